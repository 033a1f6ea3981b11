//! Exchanges whose bodies hold credentials: what is stored has none of them, and their owner gets the bytes that were sent.

use std::fmt::Write as _;
use std::io::Write as _;

use ccd_tests::harness::wire::{BodyEnd, Upstream};
use ccd_tests::harness::{Daemon, TestHome, eventually};
use ccd_tests::mock::{Mock, Script, reply};

use crate::check;
use crate::proxy::Proxy;

fn secret(seed: u64) -> String {
    ccd_redact::sample::filled("ghp_{a36}", seed)
}

/// Looks at one side of the one exchange of a home: it is `came` for its owner, and nobody else sees five letters in a row
/// of a value.
fn is_revealed(home: &TestHome, side: &str, came: &[u8], values: &[&str]) {
    let exchange = eventually("the exchange is recorded", || check::exchanges(home).pop());
    let id = exchange.exchange_id.as_str();
    let stored = home.ccctl(&["exchange", id, side]).ok().text();
    assert!(stored.contains("[redacted:github"), "{stored}");
    for value in values {
        let mut pieces = (0..=value.len() - 5).map(|at| &value[at..at + 5]);
        assert_eq!(pieces.find(|piece| stored.contains(piece)), None, "{side}: {stored}");
    }
    let revealed = home.ccctl(&["exchange", id, side, "--reveal"]).ok().stdout;
    assert_eq!(String::from_utf8_lossy(&revealed), String::from_utf8_lossy(came));
    assert_eq!(revealed, came);
}

#[test]
fn what_a_stream_said_in_pieces_is_given_back_byte_for_byte() {
    let (said, asked) = (secret(31), secret(32));
    // The mock says seven letters with each event.
    let answer = reply()
        .thinking(&format!("The key is {said}, it seems."))
        .text(&format!("I use {said} and \"{asked}\" now."))
        .tool("Bash", serde_json::json!({"command": format!("curl -H 'Authorization: token {said}' host")}));
    let mock = Mock::start(Script::new().on("pieces", [answer]));
    let home = TestHome::new(&mock.url());
    let _daemon = Daemon::start(&home);
    let proxy = Proxy::of(&home);
    let mut client = proxy.connect();
    client.send(proxy.message("s", &format!("pieces: \"{asked}\"\n\tand {asked}"), true));
    assert_eq!(client.read_head().status(), 200);
    let (came, end) = client.read_rest();
    let sent = mock.ledger().remove(0);
    assert_eq!((&came, end), (&sent.response, BodyEnd::Whole));
    let whole = String::from_utf8_lossy(&came);
    assert!(!whole.contains(&said) && !whole.contains(&asked), "they come in pieces: {whole}");
    is_revealed(&home, "--response", &sent.response, &[&said, &asked]);
    is_revealed(&home, "--request", &sent.request, &[&asked]);
}

/// A stream whose deltas cut a value into pieces, and some of whose events come in several lines.
fn stream(value: &str) -> String {
    let mut body = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_lines\",\"type\":\"message\",\"role\":\"assistant\",\ndata: \"model\":\"claude-opus-5-5\",\"content\":[],\ndata: \"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n".to_owned();
    let text = format!("I use {value} now");
    let letters: Vec<char> = text.chars().collect();
    for (number, piece) in letters.chunks(4).enumerate() {
        let between = if number % 2 == 0 { "\ndata: " } else { "" };
        let piece: String = piece.iter().collect();
        write!(body, "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,{between}\"delta\":{{\"type\":\"text_delta\",\"text\":{between}\"{piece}\"}}}}\n\n").unwrap();
    }
    body + "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":9}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

/// As it was sent, or what it is without its encoding: where something was taken out, that is what is kept.
#[test]
fn a_stream_is_given_back_whatever_its_lines_and_its_encoding() {
    let value = secret(33);
    let body = stream(&value);
    let zipped = gzip(body.as_bytes());
    for (encoding, bytes) in [("identity", body.as_bytes()), ("gzip", &zipped)] {
        let upstream = Upstream::new();
        let home = TestHome::new(&upstream.url());
        let _daemon = Daemon::start(&home);
        let proxy = Proxy::of(&home);
        let mut client = proxy.connect();
        client.send(proxy.message("s", "hi", true));
        let mut api = upstream.accept();
        let _ = (api.read_head(), api.read_rest());
        api.send(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: {encoding}\r\ncontent-length: {}\r\n\r\n",
            bytes.len()
        ));
        api.send(bytes);
        assert_eq!(client.read_head().status(), 200);
        assert_eq!(client.read_rest(), (bytes.to_vec(), BodyEnd::Whole), "{encoding}");
        is_revealed(&home, "--response", body.as_bytes(), &[&value]);
    }
}
