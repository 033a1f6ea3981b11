//! The names that scripts lean on: every field that `--json` promises is there, under its name.
//!
//! Written out here a second time on purpose. Typed checks follow a renamed field without a word; these do not.

use ccd_tests::assert_eventually;
use ccd_tests::harness::events::HookSession;
use ccd_tests::harness::{Daemon, TestHome};
use ccd_tests::mock::{Mock, Script, reply};
use serde_json::{Value, json};

use crate::check;
use crate::proxy::Proxy;

const TOKENS: &str = "input output cache_read cache_write_5m cache_write_1h";
const SESSION: &str = "session_id cwd project model models started_at last_at ended turns exchanges tool_calls \
    tool_errors agents tokens cost_usd_micros context detections";
const SPAN: &str = "span_id trace_id parent_id session_id turn_id agent_id agent_type kind name started_at \
    duration_ms status tool_use_id input output error model tokens cost_usd_micros sources";
const EXCHANGE: &str = "exchange_id session_id agent_id method path status request_id message_id model started_at \
    ttfb_ms duration_ms request_bytes response_bytes complete stop_reason tokens cost_usd_micros reasoning \
    timing retry_of attempt retried_by";
const TIMING: &str = "reused tunnelled peer resolve_ms connect_ms tls_ms sent_ms head_ms first_byte_ms total_ms \
    longest_gap_ms stalls";

#[track_caller]
fn assert_fields(value: &Value, names: &str) {
    let object = value.as_object().unwrap_or_else(|| panic!("an object: {value}"));
    let missing: Vec<_> = names.split_whitespace().filter(|name| !object.contains_key(*name)).collect();
    assert!(missing.is_empty(), "{missing:?} of {value:#}");
}

#[track_caller]
fn assert_time(value: &Value) {
    let text = value.as_str().unwrap_or_else(|| panic!("a time: {value}"));
    assert!(text.ends_with('Z') && text.as_bytes().get(10) == Some(&b'T'), "RFC 3339 in UTC: {text}");
}

/// One session with one tool call and one model call, told by hooks and proxy.
pub(crate) fn recorded() -> (TestHome, Daemon, Mock, HookSession) {
    let mock = Mock::start(Script::new().on("hello", [reply().thinking_omitted().text("hi")]));
    let home = TestHome::new(&mock.url());
    let daemon = Daemon::start(&home);
    let session = HookSession::new();
    for event in [
        session.start(),
        session.prompt("hello"),
        session.before_tool("toolu_1", "true"),
        session.after_tool("toolu_1", "true", ""),
        session.stop(),
    ] {
        let _ = home.cc_hook(&event).ok();
    }
    let proxy = Proxy::of(&home);
    let mut client = proxy.connect();
    client.send(proxy.message(&session.session, "hello", true));
    let _ = (client.read_head(), client.read_rest());
    assert_eventually!(check::exchanges(&home).len() == 1, "the exchange is recorded");
    (home, daemon, mock, session)
}

#[test]
fn every_promised_field_is_there_under_its_name() {
    let (home, _daemon, _mock, session) = recorded();
    let query = |args: &[&str]| -> Value {
        let out = home.ccctl(&[args, &["--json"]].concat()).ok();
        assert!(
            out.text().trim_start().trim_start_matches('{').trim_start().starts_with("\"schema_version\""),
            "{out}"
        );
        out.json()
    };

    let status = query(&["status"]);
    for (part, names) in [
        ("daemon", "running pid version uptime_s manager rss_bytes"),
        ("proxy", "listen upstream in_flight exchanges errors bypass retries"),
        ("web", "listen"),
        ("hooks", "installed events spooled"),
        ("store", "path bytes records sessions damaged"),
        ("capture", "dropped gaps queue_bytes"),
        ("detections", "open"),
    ] {
        assert_fields(&status[part], names);
    }
    assert_eq!((&status["hooks"]["events"], &status["proxy"]["exchanges"]), (&json!(5), &json!(1)));

    let sessions = query(&["sessions"]);
    let row = &sessions["sessions"][0];
    assert_fields(row, SESSION);
    assert_fields(&row["tokens"], TOKENS);
    assert_fields(&row["context"], "used window percent");
    assert_time(&row["started_at"]);
    assert_eq!(row["session_id"], session.session);

    let spans = query(&["traces", "--content"]);
    let spans = spans["spans"].as_array().unwrap();
    assert!(!spans.is_empty());
    for span in spans {
        assert_fields(span, SPAN);
        assert_time(&span["started_at"]);
    }

    let exchanges = query(&["exchanges"]);
    let exchange = &exchanges["exchanges"][0];
    assert_fields(exchange, EXCHANGE);
    assert_fields(&exchange["tokens"], TOKENS);
    assert_fields(&exchange["reasoning"], "blocks omitted");
    assert_fields(&exchange["timing"], TIMING);
    assert_time(&exchange["started_at"]);

    let usage = query(&["usage", "--by", "model"]);
    assert_fields(&usage, "since until timezone totals rows unpriced_models retries rate_limits");
    assert_fields(&usage["retries"], "exchanges tokens cost_usd_micros");
    assert_fields(&usage["totals"], "tokens cost_usd_micros exchanges");
    assert_fields(&usage["rows"][0], "key tokens cost_usd_micros");
    assert_eq!(usage["rows"][0]["key"]["model"], "claude-opus-5-5");
}

#[test]
fn a_session_is_found_by_the_head_of_its_id_and_an_unknown_one_is_an_error() {
    let (home, _daemon, _mock, session) = recorded();
    let head = &session.session[..8];
    assert_eq!(check::tool_spans(&home, head).len(), 1);
    let shown = home.ccctl(&["show", &session.session, "--json"]).ok().json();
    assert_eq!(shown["session"]["session_id"], session.session);
    let out = home.ccctl(&["show", "no-such-thing"]);
    assert_eq!((out.code, out.stdout.is_empty()), (Some(1), true), "{out}");
}

#[test]
fn an_unknown_model_is_counted_and_named_and_never_free() {
    let mock = Mock::start(Script::new());
    let home = TestHome::new(&mock.url());
    let _daemon = Daemon::start(&home);
    let proxy = Proxy::of(&home);
    let body = json!({"model": "claude-of-tomorrow-9", "stream": true, "messages": []}).to_string();
    let mut client = proxy.connect();
    client.send(proxy.request("POST", "/v1/messages", &[("X-Claude-Code-Session-Id", "s")], body.as_bytes()));
    let _ = (client.read_head(), client.read_rest());
    assert_eventually!(check::exchanges(&home).len() == 1, "the exchange is recorded");
    let usage = home.ccctl(&["usage", "total", "--json"]).ok().json();
    assert_eq!(usage["unpriced_models"], json!(["claude-of-tomorrow-9"]));
    assert_eq!(usage["totals"]["cost_usd_micros"], Value::Null);
    let told = mock.ledger()[0].tokens.unwrap();
    assert_eq!(usage["totals"]["tokens"]["output"], told.output);
}
