//! The mock on the wire: what a client receives is what the ledger says was sent.

use serde_json::{Value, json};

use super::*;
use crate::harness::eventually;
use crate::harness::wire::{BodyEnd, Head, Wire};

fn ask(mock: &Mock, path: &str, body: &Value) -> (Head, Vec<u8>, BodyEnd) {
    let mut wire = send(mock, "POST", path, &body.to_string());
    let head = wire.read_head();
    let (body, end) = wire.read_rest();
    (head, body, end)
}

fn send(mock: &Mock, method: &str, path: &str, body: &str) -> Wire {
    let mut wire = Wire::connect(&mock.address().to_string());
    let length = body.len();
    wire.send(format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nX-Claude-Code-Session-Id: s\r\nx-claude-code-agent-id: a\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    ));
    wire
}

fn prompt(text: &str, stream: bool) -> Value {
    json!({"model": "claude-opus-5-5", "stream": stream, "messages": [{"role": "user", "content": text}]})
}

const MESSAGES: &str = "/v1/messages?beta=true";

#[test]
fn the_ledger_holds_both_bodies_byte_for_byte() {
    let mock = Mock::start(Script::new().on("M", [reply().thinking_omitted().tool("Bash", json!({"a": 1}))]));
    let asked = prompt("M", true);
    let (head, body, end) = ask(&mock, MESSAGES, &asked);
    assert_eq!((head.status(), end), (200, BodyEnd::Whole));
    let [entry] = &mock.ledger()[..] else { panic!("one entry") };
    assert_eq!(entry.request, asked.to_string());
    assert_eq!(sha256(&body), entry.response_sha256());
    assert_eq!(entry.ended, Ended::Whole);
    assert_eq!((entry.method.as_str(), entry.path.as_str(), entry.status), ("POST", MESSAGES, 200));
    assert_eq!((entry.session(), entry.agent(), entry.parent_agent()), (Some("s"), Some("a"), None));
    assert_eq!(head.header("request-id"), Some(entry.request_id.as_str()));
    assert_eq!(entry.stop_reason.as_deref(), Some("tool_use"));
    assert_eq!((entry.tool_calls.len(), entry.reasoning.omitted), (1, 1));
    assert!(entry.started <= entry.finished);
}

#[test]
fn without_streaming_the_message_is_one_object() {
    let mock = Mock::start(Script::new().on("M", [reply().text("hello")]));
    let (head, body, _) = ask(&mock, MESSAGES, &prompt("M", false));
    assert_eq!(head.header("content-type"), Some("application/json"));
    let message: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(message["content"][0]["text"], "hello");
    let tokens = mock.ledger()[0].tokens.unwrap();
    assert_eq!(message["usage"]["output_tokens"], tokens.output);
}

#[test]
fn attempts_follow_each_other_and_the_last_one_stays() {
    let attempts: Vec<Answer> = vec![fail(429).retry_after(3).into(), reply().text("at last").into()];
    let mock = Mock::start(Script::new().on("M", [attempts]));
    let answers: Vec<_> = (0..3).map(|_| ask(&mock, MESSAGES, &prompt("M", true)).0).collect();
    assert_eq!(answers.iter().map(Head::status).collect::<Vec<_>>(), [429, 200, 200]);
    assert_eq!(answers[0].header("retry-after"), Some("3"));
    assert_eq!(mock.ledger()[0].tokens, None);
}

#[test]
fn a_cut_stream_ends_without_its_end_and_an_error_ends_as_an_event() {
    let steps: Vec<Answer> =
        vec![reply().text("a b c").end(End::Cut(3)).into(), reply().text("a b c").end(End::Error(3)).into()];
    let mock = Mock::start(Script::new().on("M", [steps]));
    let (_, body, end) = ask(&mock, MESSAGES, &prompt("M", true));
    assert_eq!(end, BodyEnd::Cut);
    assert_eq!(mock.ledger()[0].ended, Ended::Cut);
    assert_eq!(sha256(&body), mock.ledger()[0].response_sha256(), "every byte before the cut went out");
    let (_, body, end) = ask(&mock, MESSAGES, &prompt("M", true));
    assert_eq!(end, BodyEnd::Whole);
    assert!(String::from_utf8(body).unwrap().contains("overloaded_error"));
    for entry in mock.ledger() {
        assert_eq!(
            (entry.tokens.unwrap().output, entry.stop_reason),
            (1, None),
            "no more than the opening told"
        );
    }
}

#[test]
fn a_client_that_leaves_is_in_the_ledger() {
    let pace = std::time::Duration::from_millis(5);
    let mock = Mock::start(Script::new().on("M", [reply().text(&"long ".repeat(200)).pace(pace)]));
    let mut wire = send(&mock, "POST", MESSAGES, &prompt("M", true).to_string());
    let _ = (wire.read_head(), wire.read_body(10));
    drop(wire);
    eventually("the mock notices", || (mock.ledger()[0].ended == Ended::ClientGone).then_some(()));
}

#[test]
fn side_requests_are_answered_as_the_api_answers_them() {
    let mock = Mock::start(Script::new());
    let (_, count, _) = ask(&mock, "/v1/messages/count_tokens?beta=true", &prompt("x", false));
    assert!(serde_json::from_slice::<Value>(&count).unwrap()["input_tokens"].is_u64());
    for (method, path) in [("HEAD", "/"), ("GET", "/api/hello"), ("POST", "/v1/unknown")] {
        assert_eq!(send(&mock, method, path, "").read_head().status(), 404, "{method} {path}");
    }
    assert_eq!(
        ask(&mock, MESSAGES, &prompt("no marker", true)).0.status(),
        200,
        "anything else is a plain ok"
    );
    assert_eq!(mock.ledger().len(), 5);
}
