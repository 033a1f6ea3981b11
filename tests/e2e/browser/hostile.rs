//! Captured text that wants to act, by every way that text comes in: hooks, the proxy, transcripts.

use std::io::Write as _;
use std::net::TcpListener;
use std::thread;

use ccd_tests::harness::raw::MessageReader;
use ccd_tests::harness::{Supervised, TestHome};
use serde_json::json;

use super::play::play;

/// An upstream that answers a request with the bytes of the file that its header `x-answer` names: what no well-behaved API
/// sends, the script makes up. It ends with the test's process.
fn upstream() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut reader = MessageReader::new(stream);
                let Some(request) = reader.request() else { return };
                let file = request.head.header("x-answer").unwrap_or_default();
                let answer = std::fs::read(file)
                    .unwrap_or_else(|_| b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".into());
                let _ = reader.stream().write_all(&answer);
            });
        }
    });
    url
}

#[test]
fn hostile_text_is_shown_as_text() {
    let home = TestHome::new(&upstream());
    let _daemon = Supervised::start(&home);
    let scene = json!({"base_url": home.base_url(), "projects": home.user().join(".claude/projects")});
    play(&home, "hostile", &scene);
}
