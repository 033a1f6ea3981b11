//! Forwarding by the real binaries: nothing before it is switched on, everything after a kill, and nothing noted as sent
//! that the sink has not.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use ccd_tests::assert_eventually;
use ccd_tests::harness::events::{HookSession, deliver};
use ccd_tests::harness::{Daemon, TestHome, binary};
use serde_json::Value;

/// A platform that takes everything: the sessions that it has, each with its last body.
#[derive(Clone, Default)]
struct Platform {
    stored: Arc<Mutex<BTreeMap<String, Value>>>,
    connections: Arc<AtomicU64>,
}

impl Platform {
    fn start() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let platform = Platform::default();
        let serving = platform.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serving.connections.fetch_add(1, Ordering::SeqCst);
                let serving = serving.clone();
                thread::spawn(move || serving.answer(stream));
            }
        });
        (platform, url)
    }

    fn answer(&self, mut stream: TcpStream) -> Option<()> {
        let mut all = Vec::new();
        let (head, body) = loop {
            let mut piece = [0; 16384];
            let n = stream.read(&mut piece).ok().filter(|n| *n > 0)?;
            all.extend_from_slice(&piece[..n]);
            let Some(end) = all.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&all[..end]).to_ascii_lowercase();
            let length: usize = head.split("content-length: ").nth(1)?.split("\r\n").next()?.parse().ok()?;
            if all.len() >= end + 4 + length {
                break (head, all[end + 4..].to_vec());
            }
        };
        let (status, answer) = if head.contains("/api/v1/auth/token") {
            ("200 OK", "{\"access_token\":\"t.e30.s\"}".to_owned())
        } else {
            let body: Value = serde_json::from_slice(&body).ok()?;
            let session = body["traces"][0]["session_id"].as_str()?.to_owned();
            self.stored.lock().unwrap().insert(session, body.clone());
            ("202 Accepted", format!("{{\"traces_stored\":{}}}", body["trace_count"]))
        };
        let text = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}",
            answer.len()
        );
        stream.write_all(text.as_bytes()).ok()
    }

    fn sessions(&self) -> BTreeSet<String> {
        self.stored.lock().unwrap().keys().cloned().collect()
    }

    fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }
}

fn whole_turn(home: &TestHome) -> String {
    let session = HookSession::new();
    let socket = home.layout().hook_socket();
    // Ids of calls are nobody else's: one that two sessions have is told once.
    let call = format!("toolu_{}", session.session);
    for event in [
        session.prompt("list"),
        session.before_tool(&call, "ls"),
        session.after_tool(&call, "ls", "a"),
        session.stop(),
    ] {
        deliver(&socket, &event).unwrap();
    }
    session.session
}

fn sink_of(home: &TestHome) -> ccd_proto::api::ForwardStatus {
    home.running().forward.into_iter().next().unwrap_or_default()
}

/// A key file, and the platform as a sink that is off.
fn add(home: &TestHome, url: &str) {
    let key = home.ccd().join("platform.key");
    std::fs::write(&key, "throw-away\n").unwrap();
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    let key = key.display().to_string();
    let args =
        ["forward", "add", "p", "--kind", "pisama", "--url", url, "--key-file", &key, "--content", "full"];
    let _ = home.ccctl(&args).ok();
}

#[test]
fn no_connection_is_made_before_it_is_switched_on() {
    let (platform, url) = Platform::start();
    let home = TestHome::new("http://127.0.0.1:9");
    let trace = home.user().join("network.strace");
    let mut command = home.command(std::path::Path::new("strace"));
    // The tracer is a process of its own, so that the daemon is the test's child.
    command.args(["-D", "-f", "-qqq", "-e", "trace=connect", "-e", "signal=none", "-o"]);
    command.arg(&trace).arg(binary("ccd"));
    let daemon = Daemon::start_as(&home, command);
    add(&home, &url);
    let first = whole_turn(&home);
    assert_eventually!(home.running().store.sessions == 1, "the session is recorded");
    let shown = home.ccctl(&["forward", "--preview", "--session", &first]).ok().text();
    assert!(shown.contains("\"tool_name\":\"Bash\""), "{shown}");
    assert_eq!(platform.connections(), 0);
    let calls = std::fs::read_to_string(&trace).unwrap();
    let strangers: Vec<&str> = calls.lines().filter(|line| line.contains("AF_INET")).collect();
    assert!(strangers.is_empty(), "nobody is asked for anything: {strangers:?}");

    let _ = home.ccctl(&["forward", "on"]).ok();
    let second = whole_turn(&home);
    assert_eventually!(platform.sessions().contains(&second), "what comes now is sent");
    assert!(!platform.sessions().contains(&first), "what was there before is not");
    let _ = home.ccctl(&["sync", "--session", &first]).ok();
    assert!(platform.sessions().contains(&first), "unless it is asked for");
    let _ = home.ccctl(&["forward", "off"]).ok();
    assert!(!sink_of(&home).enabled);
    daemon.stop(&home);
}

#[test]
fn kills_amid_shipping_lose_nothing() {
    let (platform, url) = Platform::start();
    let home = TestHome::new("http://127.0.0.1:9");
    let mut daemon = Daemon::start(&home);
    add(&home, &url);
    let _ = home.ccctl(&["forward", "on"]).ok();
    let mut made = BTreeSet::new();
    for round in 0..3 {
        let before = platform.connections();
        for _ in 0..12 {
            made.insert(whole_turn(&home));
        }
        assert_eventually!(platform.connections() >= before + 2 + round, "shipping is under way");
        daemon.kill9();
        let state = home.layout().state_dir.join("forward/p.state.json");
        let state: Value =
            serde_json::from_slice(&std::fs::read(state).unwrap_or_default()).unwrap_or_default();
        for (session, past) in state["sessions"].as_object().into_iter().flatten() {
            if past["sent"].as_array().is_some_and(|sent| !sent.is_empty()) {
                assert!(platform.sessions().contains(session), "noted as sent, and the sink has it not");
            }
        }
        daemon = Daemon::start(&home);
    }
    assert_eventually!(platform.sessions() == made, "all of it is there");
    assert_eventually!(sink_of(&home).waiting == 0, "nothing waits");
    assert_eq!(sink_of(&home).dropped, 0);
    daemon.stop(&home);
}
