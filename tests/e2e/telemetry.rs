//! Claude Code's own telemetry as a source: from the real client and from its recorded batches, alone and beside the
//! others; every sum is the mock's ledger's and the client's own.

use std::io::{Read, Write};
use std::net::TcpStream;

use ccd_proto::api::{Span, Spans, Turns, Usage};
use ccd_tests::assert_eventually;
use ccd_tests::harness::{ClientRun, Daemon, RealClient, TestHome, eventually};
use ccd_tests::mock::{Exchange, Mock};
use serde_json::Value;

use crate::check;
use crate::scenario::{self, EVERYTHING, SETTINGS};

const LOGS: &str = include_str!("../fixtures/otel/logs.json");
const SESSION: &str = "52b99a47-8cbd-4622-8a1c-521f4384ccc3";

fn world() -> (TestHome, Mock) {
    let home = TestHome::without_upstream();
    let mock = Mock::start(scenario::everything(&home.work()));
    let home = home.with_upstream(&mock.url());
    home.write_settings(SETTINGS);
    (home, mock)
}

/// What `ccctl telemetry env` has a shell set.
#[track_caller]
fn variables(home: &TestHome, args: &[&str]) -> Vec<(String, String)> {
    let out = home.ccctl(&[&["telemetry", "env"], args].concat()).ok();
    let text = String::from_utf8(out.stdout.clone()).unwrap();
    let pair = |line: &str| {
        let (name, value) = line.strip_prefix("export ").unwrap().split_once('=').unwrap();
        (name.to_owned(), value.trim_matches('\'').to_owned())
    };
    text.lines().map(pair).collect()
}

#[track_caller]
fn ran(home: &TestHome, mock: &Mock, args: &[&str], what: &[&str]) -> ClientRun {
    let variables = variables(home, what);
    let url = mock.url();
    let mut extra: Vec<(&str, &str)> = variables.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    extra.push(("ANTHROPIC_BASE_URL", &url));
    RealClient::find().print(home, EVERYTHING, args, &extra)
}

#[track_caller]
fn spans(home: &TestHome) -> Vec<Span> {
    let spans: Spans = home.query(&["traces", "--content", "--limit", "10000"]);
    spans.spans
}

/// Usage is the ledger's to the token, and the client's own total to the micro-dollar that it rounds to.
#[track_caller]
fn assert_agrees(home: &TestHome, run: &ClientRun, ledger: &[Exchange]) {
    let (tokens, _) = check::sum(ledger.iter());
    let usage = eventually("every call is counted", || {
        let usage: Usage = home.query(&["usage", "total"]);
        (usage.totals.tokens == tokens).then_some(usage)
    });
    let told = run.result["total_cost_usd"].as_f64().unwrap();
    let ours = usage.totals.cost_usd_micros.unwrap();
    assert_eq!(format!("{told:.6}"), format!("{}.{:06}", ours / 1_000_000, ours % 1_000_000));
    // A moment later nothing else has been added.
    let again: Usage = home.query(&["usage", "total"]);
    assert_eq!(again.totals.tokens, tokens);
}

/// Nothing but telemetry tells of the session: no proxy, no hooks, no transcript.
#[track_caller]
fn alone(encoding: &str) {
    let (home, mock) = world();
    let daemon = Daemon::start(&home);
    let run = ran(&home, &mock, &["--no-session-persistence"], &["--encoding", encoding, "--content"]);
    let ledger = mock.ledger();
    assert_agrees(&home, &run, &ledger);
    let told = || ledger.iter().filter(|sent| sent.message_id.is_some()).count();
    let all = spans(&home);
    let of_kind = |kind: &str| all.iter().filter(|span| span.kind == kind).count();
    assert_eq!(of_kind("llm"), told());
    assert_eq!(of_kind("tool"), scenario::EVERYTHING_CALLS);
    assert!(all.iter().all(|span| span.sources == ["telemetry"]), "{all:?}");
    assert!(
        all.iter().any(|span| span.kind == "agent" && span.agent_type.as_deref() == Some("general-purpose"))
    );
    let denied: Vec<_> = all.iter().filter(|span| span.status == "denied").collect();
    assert_eq!(denied.len(), 1, "{all:?}");
    assert_eq!(denied[0].decision.as_deref(), Some("reject"));
    let turns: Turns = home.query(&["turns"]);
    assert_eq!((turns.turns.len(), turns.turns[0].prompt.as_deref()), (1, Some(EVERYTHING)));
    assert_eq!((turns.turns[0].status.as_str(), turns.turns[0].result.as_deref()), ("ok", Some("All done.")));
    let call = all.iter().find(|span| span.kind == "llm").unwrap();
    let records: Value = home.query(&["show", &call.span_id, "--records"]);
    assert!(records["records"].as_array().unwrap().iter().any(|r| r["kind"] == "api_request"), "{records}");
    // The index is worked out from the journal: it comes back the same.
    let _ = home.ccctl(&["store", "rebuild"]).ok();
    assert_agrees(&home, &run, &ledger);
    assert_eq!(spans(&home), all);
    daemon.stop(&home);
}

#[test]
fn telemetry_alone_tells_a_session_in_json() {
    alone("json");
}

#[test]
fn telemetry_alone_tells_a_session_in_protobuf() {
    alone("protobuf");
}

#[test]
fn beside_the_transcript_every_call_is_counted_once() {
    let (home, mock) = world();
    let daemon = Daemon::start(&home);
    let run = ran(&home, &mock, &[], &["--traces"]);
    let ledger = mock.ledger();
    let told = ledger.iter().filter(|sent| sent.message_id.is_some()).count();
    let by_both = || {
        let both = |span: &Span| span.kind == "llm" && span.sources == ["transcript", "telemetry"];
        spans(&home).iter().filter(|span| both(span)).count()
    };
    assert_eventually!(by_both() == told, "both tell of every call");
    assert_agrees(&home, &run, &ledger);
    daemon.stop(&home);
}

#[test]
fn through_ccctl_run_all_four_sources_tell_of_the_same_session() {
    let (home, mock) = world();
    let daemon = Daemon::start(&home);
    let client = RealClient::find();
    let args = ["run", "--telemetry", "--", "-p", EVERYTHING, "--output-format", "json"];
    let out = {
        let mut command = home.command(&ccd_tests::harness::binary("ccctl"));
        command.args(args).args(["--permission-mode", "bypassPermissions"]);
        command.env("CCCTL_CLAUDE", client.program()).env("IS_SANDBOX", "1");
        command.env("ANTHROPIC_API_KEY", ccd_tests::harness::DUMMY_KEY);
        command.env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1");
        ccd_tests::harness::run(&mut command, b"").ok()
    };
    let run = ClientRun { result: out.json(), wall_ms: 0 };
    let ledger = mock.ledger();
    let capture = check::Capture::read(&home, &ledger);
    capture.assert_spans(&ledger, scenario::verdict);
    assert_agrees(&home, &run, &ledger);
    let by_three = |s: &Span| s.kind == "llm" && s.sources == ["proxy", "transcript", "telemetry"];
    assert_eventually!(spans(&home).iter().any(by_three), "three tell of a call");
    let tool = spans(&home).into_iter().find(|span| span.kind == "tool" && span.decided_by.is_some());
    assert_eq!(tool.unwrap().sources, ["hook", "proxy", "transcript", "telemetry"]);
    daemon.stop(&home);
}

/// Hands a batch in as the client does, and gives the answer's status and body.
fn post(home: &TestHome, token: &str, body: &str) -> (u16, String) {
    let listen = home.running().web.listen.unwrap();
    let mut stream = TcpStream::connect(&listen).unwrap();
    let head = format!(
        "POST /v1/logs HTTP/1.1\r\nHost: {listen}\r\nContent-Type: application/json\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned();
    (status, body)
}

fn token_of(home: &TestHome) -> String {
    let all = variables(home, &[]);
    let (_, headers) = all.iter().find(|(name, _)| name == "OTEL_EXPORTER_OTLP_HEADERS").unwrap();
    headers.strip_prefix("Authorization=Bearer ").unwrap().to_owned()
}

#[test]
fn a_batch_that_comes_again_after_a_kill_is_counted_once_and_none_is_lost() {
    let home = TestHome::without_upstream().with_upstream("http://127.0.0.1:9");
    let daemon = Daemon::start(&home);
    let token = token_of(&home);
    assert_eq!(post(&home, &token, LOGS), (200, "{}".into()));
    // Answered is durable: whatever comes now.
    daemon.kill9();
    let daemon = Daemon::start(&home);
    assert_eq!(post(&home, &token, LOGS), (200, "{}".into()));
    let figures = || {
        let usage: Usage = home.query(&["usage", "total"]);
        (home.running().telemetry.events, usage.totals.tokens.input, usage.totals.exchanges)
    };
    assert_eventually!(figures() == (23, 565, 5), "the batch's own figures");
    assert_eq!(post(&home, &token, LOGS).0, 200);
    assert_eq!(figures(), (23, 565, 5));
    let found: Value = home.query(&["search", "Looked around"]);
    assert_eq!(found["hits"][0]["session_id"], SESSION, "{found}");
    daemon.stop(&home);
}

#[test]
fn who_shows_no_token_is_refused_and_other_services_are_not_taken() {
    let home = TestHome::without_upstream().with_upstream("http://127.0.0.1:9");
    let daemon = Daemon::start(&home);
    let token = token_of(&home);
    assert_eq!(post(&home, "ccdt_wrong", LOGS).0, 401);
    let other = LOGS.replace("claude-code", "shop").replace("com.anthropic.claude_code", "x");
    let (status, body) = post(&home, &token, &other);
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["partialSuccess"]["rejectedLogRecords"]), (200, &Value::from("23")));
    assert_eq!(post(&home, &token, "{").0, 400);
    assert_eq!(home.running().telemetry.events, 0);
    daemon.stop(&home);
}

#[test]
fn on_and_off_leave_the_settings_as_they_were() {
    let home = TestHome::without_upstream().with_upstream("http://127.0.0.1:9");
    home.write_settings(SETTINGS);
    let daemon = Daemon::start(&home);
    let _ = home.ccctl(&["telemetry", "on"]).ok();
    let told: Value = home.query(&["telemetry", "status"]);
    assert_eq!((&told["on"], &told["token_is_good"]), (&Value::Bool(true), &Value::Bool(true)), "{told}");
    let _ = home.ccctl(&["telemetry", "off"]).ok();
    assert_eq!(std::fs::read_to_string(home.settings()).unwrap(), SETTINGS);
    daemon.stop(&home);
}
