//! What the client repeats, and what the API says about its limits: linked, counted, kept.

use std::fmt::Write as _;

use ccd_proto::api::{Exchange, Usage};
use ccd_tests::harness::wire::{BodyEnd, Upstream, Wire};
use ccd_tests::harness::{Daemon, TestHome, eventually};
use serde_json::{Value, json};

use crate::check;
use crate::proxy::Proxy;

const START: &str = concat!(
    "event: message_start\n",
    r#"data: {"type":"message_start","message":{"type":"message","id":"msg_1","model":"claude-opus-5-5","content":[],"#,
    r#""usage":{"input_tokens":1000,"output_tokens":10}}}"#,
    "\n\n"
);
const STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
const MESSAGE: &str = r#"{"type":"message","id":"msg_2","model":"claude-opus-5-5","content":[],"stop_reason":"end_turn","usage":{"input_tokens":1000,"output_tokens":20}}"#;
const OVERLOADED: &str = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;

/// The body of a model call; without a stream, as the client falls back to it.
fn body(stream: bool) -> Vec<u8> {
    let max_tokens = if stream { 128_000 } else { 64_000 };
    let messages = json!([{"role": "user", "content": "hi"}]);
    let body = json!({
        "model": "claude-opus-5-5", "max_tokens": max_tokens, "messages": messages, "stream": stream,
    });
    body.to_string().into_bytes()
}

/// Sends a model call on a connection of its own; gives that one and upstream's, the request read.
fn sent(proxy: &Proxy, upstream: &Upstream, body: &[u8]) -> (Wire, Wire) {
    let mut client = proxy.connect();
    let session = [("X-Claude-Code-Session-Id", "s")];
    client.send(proxy.request("POST", "/v1/messages?beta=true", &session, body));
    let mut api = upstream.accept();
    let _ = (api.read_head(), api.read_rest());
    (client, api)
}

/// Answers whole, and lets nobody use the connection again.
fn answer(api: &mut Wire, status: &str, headers: &[(&str, &str)], body: &str) {
    let mut head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n");
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    api.send(format!("{head}content-length: {}\r\n\r\n{body}", body.len()));
}

const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";

/// All exchanges, oldest first, once there are so many.
#[track_caller]
fn recorded(home: &TestHome, count: usize) -> Vec<Exchange> {
    let mut all = eventually("the exchanges are recorded", || {
        Some(check::exchanges(home)).filter(|all| all.len() == count)
    });
    all.reverse();
    all
}

#[test]
fn a_request_sent_again_after_529_is_linked_and_the_same_again_after_200_is_not() {
    let upstream = Upstream::new();
    let home = TestHome::new(&upstream.url());
    let daemon = Daemon::start(&home);
    let proxy = Proxy::of(&home);
    for n in 0..4 {
        let (mut client, mut api) = sent(&proxy, &upstream, &body(true));
        if n < 2 {
            answer(&mut api, "529 Overloaded", &[("retry-after", "7")], OVERLOADED);
        } else {
            api.send(STREAM);
            api.send_chunk([START, STOP].concat());
            api.send("0\r\n\r\n");
        }
        assert_eq!(client.read_head().status(), if n < 2 { 529 } else { 200 });
        assert_eq!(client.read_rest().1, BodyEnd::Whole);
        // The next attempt begins when this one is over, as the client's does.
        let _ = recorded(&home, n + 1);
    }
    let all = recorded(&home, 4);
    let id = |n: usize| Some(all[n].exchange_id.clone());
    let links: Vec<_> = all.iter().map(|e| (e.retry_of.clone(), e.attempt, e.retried_by.clone())).collect();
    assert_eq!(links, [(None, 1, id(1)), (id(0), 2, id(2)), (id(1), 3, None), (None, 1, None)]);

    let status = home.running();
    assert_eq!(status.proxy.retries, 2);
    let limited = status.rate_limits.unwrap().last_limited.unwrap();
    assert_eq!((limited.status, limited.retry_after_s), (529, Some(7)));
    assert_eq!(Some(limited.exchange_id), id(1));
    let usage: Usage = home.query(&["usage", "total"]);
    assert_eq!(
        (usage.retries.exchanges, usage.retries.tokens.total()),
        (2, 0),
        "nothing was billed for them"
    );

    let text = home.ccctl(&["exchanges"]).ok().text();
    assert!(text.contains("↻2") && text.contains("↻3"), "{text}");
    let shown = home.ccctl(&["exchange", &all[1].exchange_id]).ok().text();
    assert!(
        shown.contains(&format!("2, repeats {}, repeated by {}", all[0].exchange_id, all[2].exchange_id))
    );
    assert!(shown.contains("asked to come back after 7 s"), "{shown}");
    let as_json: Value = home.query(&["show", &all[1].exchange_id]);
    assert_eq!(as_json["exchange"]["exchange"]["attempt"], 2);

    // The journal alone tells it again.
    daemon.stop(&home);
    home.delete_index();
    let _daemon = Daemon::start(&home);
    assert_eq!(recorded(&home, 4), all);
    assert_eq!(home.running().proxy.retries, 2);
}

#[test]
fn what_a_cut_stream_was_billed_is_told_beside_the_request_without_a_stream_that_followed() {
    let upstream = Upstream::new();
    let home = TestHome::new(&upstream.url());
    let _daemon = Daemon::start(&home);
    let proxy = Proxy::of(&home);
    let (mut client, mut api) = sent(&proxy, &upstream, &body(true));
    api.send(STREAM);
    api.send_chunk(START);
    let _ = client.read_head();
    assert_eq!(client.read_body(START.len()), START.as_bytes());
    drop(api);
    assert_eq!(client.read_rest().1, BodyEnd::Cut);
    let _ = recorded(&home, 1);

    let (mut client, mut api) = sent(&proxy, &upstream, &body(false));
    answer(&mut api, "200 OK", &[], MESSAGE);
    assert_eq!(client.read_head().status(), 200);
    assert_eq!(client.read_rest(), (MESSAGE.into(), BodyEnd::Whole));

    let all = recorded(&home, 2);
    assert_eq!((all[0].complete, &all[0].retried_by), (false, &Some(all[1].exchange_id.clone())));
    assert_eq!((all[1].attempt, &all[1].retry_of), (2, &Some(all[0].exchange_id.clone())));
    let usage: Usage = home.query(&["usage", "total"]);
    assert_eq!((usage.retries.exchanges, usage.totals.exchanges), (1, 2));
    assert_eq!((usage.retries.tokens.input, usage.retries.tokens.output), (1000, 10));
    // $4 and $20 per million tokens.
    assert_eq!(usage.retries.cost_usd_micros, Some(4_200));
    let text = home.ccctl(&["usage"]).ok().text();
    assert!(text.contains("sent again after a failure: 1 attempt, 1.0k tokens, $0.0042"), "{text}");
    let none: Usage = home.query(&["usage", "total", "--until", "2020-01-01"]);
    assert_eq!(none.retries.exchanges, 0, "the range holds for them, too");
}

#[test]
fn timing_is_told_step_by_step() {
    let upstream = Upstream::new();
    let home = TestHome::new(&upstream.url());
    let _daemon = Daemon::start(&home);
    let proxy = Proxy::of(&home);
    let (mut client, mut api) = sent(&proxy, &upstream, &body(true));
    api.send(STREAM);
    api.send_chunk(START);
    let _ = client.read_head();
    assert_eq!(client.read_body(START.len()), START.as_bytes());
    api.send_chunk(STOP);
    api.send("0\r\n\r\n");
    assert_eq!(client.read_rest(), (STOP.into(), BodyEnd::Whole));
    let got = recorded(&home, 1).remove(0);
    let t = &got.timing;
    let (sent, head, first) = (t.sent_ms.unwrap(), t.head_ms.unwrap(), t.first_byte_ms.unwrap());
    assert!(sent <= head && head <= first && first <= t.total_ms, "{t:?}");
    assert!(t.longest_gap_ms.is_some() && t.stalls.is_empty(), "{t:?}");
    let shown = home.ccctl(&["exchange", &got.exchange_id]).ok().text();
    assert!(shown.contains("waiting    ") && shown.contains('█'), "{shown}");
}

#[test]
fn the_newest_limits_are_shown_survive_a_restart_and_hostile_ones_do_no_harm() {
    let upstream = Upstream::new();
    let home = TestHome::new(&upstream.url());
    let daemon = Daemon::start(&home);
    let proxy = Proxy::of(&home);
    let huge = "9".repeat(400);
    let hostile = [
        ("anthropic-ratelimit-unified-5h-utilization", "0.97"),
        ("anthropic-ratelimit-requests-limit", huge.as_str()),
        ("anthropic-ratelimit-requests-remaining", "\u{9b}31m"),
        ("anthropic-ratelimit-tokens-reset", "-1"),
    ];
    let newest = [
        ("anthropic-ratelimit-unified-status", "allowed"),
        ("anthropic-ratelimit-unified-5h-utilization", "0.42"),
        ("anthropic-ratelimit-unified-5h-reset", "4102444800"),
        ("anthropic-ratelimit-unified-7d-utilization", "0.12"),
        ("anthropic-ratelimit-unified-7d-reset", "946684800"),
        ("anthropic-ratelimit-unified-representative-claim", "five_hour"),
    ];
    for (n, headers) in [&hostile[..], &newest[..]].into_iter().enumerate() {
        let (mut client, mut api) = sent(&proxy, &upstream, &body(false));
        answer(&mut api, "200 OK", headers, MESSAGE);
        assert_eq!(client.read_head().status(), 200);
        let _ = (client.read_rest(), recorded(&home, n + 1));
    }
    // A store that is being opened knows of none.
    let told = |home: &TestHome| eventually("the limits are known", || home.running().rate_limits);
    let limits = told(&home);
    let of = |name: &str| limits.limits.iter().find(|l| l.name == name).unwrap();
    assert_eq!((of("unified-5h").used_percent, of("unified-5h").stale), (Some(42.0), false));
    assert_eq!((of("unified-7d").used_percent, of("unified-7d").stale), (Some(12.0), true), "reset long ago");
    assert_eq!(limits.other["unified-representative-claim"], "five_hour");
    assert_eq!(limits.other["requests-limit"].len(), 120, "no number, and cut");
    assert_eq!(limits.upstream.trim_end_matches('/'), upstream.url());

    for command in [&["status"][..], &["usage"], &["proxy", "status"]] {
        let text = home.ccctl(command).ok().text();
        let line =
            text.lines().find(|line| line.contains("rate limits: ")).unwrap_or_else(|| panic!("{text}"));
        assert!(line.contains("5h 42 % used, resets 01 Jan"), "{line}");
        assert!(line.contains("7d 12 % used, reset at 01 Jan"), "{line}");
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    }
    let first = recorded(&home, 2).remove(0).exchange_id;
    let detail: Value = home.query(&["exchange", &first]);
    assert_eq!(detail["rate_limits"]["limits"][0]["used_percent"], 97.0, "as this response told it");
    assert!(!home.ccctl(&["exchange", &first]).ok().text().contains('\u{9b}'));

    daemon.stop(&home);
    let daemon = Daemon::start(&home);
    assert_eq!(told(&home), limits);
    daemon.stop(&home);
    home.delete_index();
    let _daemon = Daemon::start(&home);
    let _ = recorded(&home, 2);
    assert_eq!(told(&home), limits);
    let usage: Usage = home.query(&["usage"]);
    assert_eq!(usage.rate_limits, Some(limits));
}
