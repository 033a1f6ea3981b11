//! The real Claude Code client, driven in print mode against the mock, captured by the real daemon, and compared
//! with the mock's ledger.

use std::collections::BTreeSet;
use std::thread;

use ccd_proto::api::{Span, Usage};
use ccd_tests::assert_eventually;
use ccd_tests::harness::{ClientRun, Daemon, RealClient, TestHome};
use ccd_tests::mock::{Ended, Exchange, Mock, Script, ToolCall};
use serde_json::Value;

use crate::check::{self, Capture};
use crate::scenario::{
    self, AGAIN, BACKGROUND, EVERYTHING, EVERYTHING_AGENT_CALLS, EVERYTHING_CALLS, EVERYTHING_ELSEWHERE,
    FLAKY, INVALID, SETTINGS, verdict,
};

/// A home whose daemon stands before a mock with `script`.
fn world(script: impl FnOnce(&TestHome) -> Script) -> (TestHome, Mock) {
    // The script names files of the home, and the home names the mock.
    let home = TestHome::without_upstream();
    let mock = Mock::start(script(&home));
    let home = home.with_upstream(&mock.url());
    home.write_settings(SETTINGS);
    (home, mock)
}

/// All checks that hold for every captured session.
#[track_caller]
fn assert_captured(home: &TestHome, ledger: &[Exchange]) -> Capture {
    assert!(ledger.iter().all(|sent| sent.ended != Ended::Running), "the mock has nothing under way");
    let capture = Capture::read(home, ledger);
    capture.assert_exchanges(home, ledger);
    capture.assert_spans(ledger, verdict);
    check::assert_usage(home, ledger);
    capture
}

#[track_caller]
fn assert_everything_happened(run: &ClientRun, ledger: &[Exchange]) {
    assert_eq!(run.text(), "All done.");
    assert_eq!(run.result["is_error"], false);
    assert_eq!(
        ledger.iter().flat_map(|sent| &sent.tool_calls).count(),
        EVERYTHING_CALLS,
        "played to its end"
    );
    assert_eq!(ledger.iter().filter(|sent| sent.agent().is_some()).count(), EVERYTHING_AGENT_CALLS);
    assert_eq!(
        ledger.iter().filter(|sent| sent.parent_agent().is_some()).count(),
        2,
        "the nested subagent's"
    );
}

#[track_caller]
fn assert_flaky_happened(run: &ClientRun, ledger: &[Exchange]) {
    assert_eq!(run.text(), "Recovered.");
    let told: Vec<_> = ledger.iter().map(|sent| (sent.status, sent.ended)).collect();
    let whole = |status| (status, Ended::Whole);
    let cut = (200, Ended::Cut);
    assert_eq!(told, [whole(529), whole(429), whole(200), cut, whole(200), whole(200), whole(200)]);
}

#[track_caller]
fn assert_background_happened(run: &ClientRun, ledger: &[Exchange]) {
    assert_eq!(run.result["is_error"], false);
    assert_eq!(ledger.iter().filter(|sent| sent.agent().is_some()).count(), 2, "the subagent ran");
}

/// What the client told the model of a call: the `tool_result` in a later request.
fn tool_result(ledger: &[Exchange], call: &ToolCall) -> Value {
    let bodies = ledger.iter().map(|sent| serde_json::from_slice::<Value>(&sent.request).unwrap());
    let results = bodies.flat_map(|body| body["messages"].as_array().cloned().unwrap_or_default());
    let mut blocks = results.flat_map(|message| message["content"].as_array().cloned().unwrap_or_default());
    blocks.find(|block| block["tool_use_id"] == *call.id).expect("a result for every call")
}

/// Asserts that the client told the model of each call what the script means it to end in.
#[track_caller]
fn assert_verdicts(ledger: &[Exchange]) {
    for call in ledger.iter().flat_map(|sent| &sent.tool_calls) {
        let result = tool_result(ledger, call);
        assert_eq!(result["is_error"] == true, verdict(call) != "ok", "{call:?}: {result}");
    }
}

/// The ground under all other tests here: without the product, the client plays the scripts as they are meant.
#[test]
fn the_client_plays_the_scripts_without_us() {
    let (home, mock) = world(|home| scenario::everything(&home.work()));
    let run = RealClient::find().print(&home, EVERYTHING, &[], &[("ANTHROPIC_BASE_URL", &mock.url())]);
    let ledger = mock.ledger();
    assert_everything_happened(&run, &ledger);
    assert_verdicts(&ledger);
    // The client's own sum, by its own price table, is the ledger's: the prices of these tests are right.
    let told = run.result["total_cost_usd"].as_f64().unwrap();
    let (_, micros) = check::sum(ledger.iter());
    assert_eq!(format!("{told:.6}"), format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000));
}

#[test]
fn the_client_gets_over_failures_without_us() {
    let (home, mock) = world(|_| scenario::flaky());
    let run = RealClient::find().print(&home, FLAKY, &[], &[("ANTHROPIC_BASE_URL", &mock.url())]);
    assert_flaky_happened(&run, &mock.ledger());
}

#[test]
fn the_client_reports_calls_that_never_run_without_us() {
    let (home, mock) = world(|_| scenario::invalid());
    let run = RealClient::find().print(&home, INVALID, &[], &[("ANTHROPIC_BASE_URL", &mock.url())]);
    assert_eq!(run.text(), "Two of three never ran.");
    assert_verdicts(&mock.ledger());
}

#[test]
fn the_client_runs_a_background_subagent_without_us() {
    let (home, mock) = world(|_| scenario::background());
    let run = RealClient::find().print(&home, BACKGROUND, &[], &[("ANTHROPIC_BASE_URL", &mock.url())]);
    assert_background_happened(&run, &mock.ledger());
}

#[test]
fn a_session_through_ccctl_run_is_captured_whole() {
    let (home, mock) = world(|home| scenario::everything(&home.work()));
    let _daemon = Daemon::start(&home);
    let run = RealClient::find().print_captured(&home, EVERYTHING, &[]);
    let ledger = mock.ledger();
    assert_everything_happened(&run, &ledger);
    let capture = assert_captured(&home, &ledger);

    assert_eq!(std::fs::read_to_string(home.settings()).unwrap(), SETTINGS, "nothing was installed");
    let turns = check::turns(&home, run.session());
    assert_eq!(turns.len(), 1);
    assert_eq!((turns[0].status.as_str(), turns[0].prompt.as_deref()), ("ok", Some(EVERYTHING)));
    assert_eq!(turns[0].result.as_deref(), Some("All done."));
    for span in capture.spans.iter().filter(|span| span.kind == "tool") {
        let duration = span.duration_ms.unwrap_or_default();
        assert!(duration <= run.wall_ms, "no call takes longer than its session: {span:?}");
        let slept =
            span.input.as_ref().unwrap()["command"].as_str().is_some_and(|c| c.starts_with("sleep 0.2"));
        assert!(!slept || duration >= 200, "a call lasts as long as it does: {span:?}");
    }
    let failed = capture.spans.iter().find(|span| span.status == "error").unwrap();
    assert!(failed.error.as_deref().unwrap().contains("Exit code 3"), "{failed:?}");
}

#[test]
fn a_session_through_installed_settings_is_captured_and_uninstall_restores_every_byte() {
    let (home, mock) = world(|home| scenario::everything(&home.work()));
    let client = RealClient::find();
    // The client's own first run may write into its settings: that is none of ours.
    let first = client.print(&home, "hello", &[], &[("ANTHROPIC_BASE_URL", &mock.url())]);
    assert_eq!(first.text(), "ok");
    let before = std::fs::read(home.settings()).unwrap();
    let direct = mock.ledger().len();

    let _ = client.ccctl(&home, &["install", "--no-service"]).ok();
    assert!(home.running().hooks.installed);
    // What `install` sends to prove that requests arrive is no session's.
    let proof = mock.ledger().len();
    let run = client.print(&home, EVERYTHING, &[], &[]);
    let ledger = mock.ledger();
    assert_everything_happened(&run, &ledger[proof..]);
    assert_eq!(ledger[direct..proof].iter().filter_map(Exchange::session).count(), 0);
    let through = &ledger[direct..];
    let capture = Capture::read(&home, through);
    capture.assert_exchanges(&home, through);
    capture.assert_spans(through, verdict);
    // The session that went around us is counted too: its transcript tells of it.
    check::assert_usage(&home, &ledger);

    let _ = client.ccctl(&home, &["uninstall"]).ok();
    assert_eq!(std::fs::read(home.settings()).unwrap(), before);
    assert!(!home.user().join(".claude/skills/ccd").exists());
    // And the client is back on its own: this session goes around us.
    let after = client.print(&home, "hello", &[], &[("ANTHROPIC_BASE_URL", &mock.url())]);
    assert_eq!(after.text(), "ok");
    let all = mock.ledger();
    // What was recorded is kept, and answers once more.
    let _ = client.ccctl(&home, &["start"]).ok();
    assert!(!check::exchanges(&home).iter().any(|got| got.session_id.as_deref() == Some(after.session())));
    assert!(all[ledger.len()..].iter().all(|sent| sent.session() == Some(after.session())));
}

#[test]
fn two_sessions_at_once_are_kept_apart() {
    let elsewhere = |home: &TestHome| home.work().join("elsewhere");
    let (home, mock) = world(|home| scenario::everything_twice(&home.work(), &elsewhere(home)));
    let _daemon = Daemon::start(&home);
    let client = RealClient::find();
    let other = client.in_dir(elsewhere(&home));
    let runs = thread::scope(|scope| {
        let one = scope.spawn(|| client.print_captured(&home, EVERYTHING, &[]));
        let two = scope.spawn(|| other.print_captured(&home, EVERYTHING_ELSEWHERE, &[]));
        [one.join().unwrap(), two.join().unwrap()]
    });
    let ledger = mock.ledger();
    assert_ne!(runs[0].session(), runs[1].session());
    for run in &runs {
        let own: Vec<_> = ledger.iter().filter(|s| s.session() == Some(run.session())).cloned().collect();
        assert_everything_happened(run, &own);
    }
    assert_captured(&home, &ledger);
    let projects: BTreeSet<_> = check::sessions(&home).into_iter().filter_map(|s| s.project).collect();
    assert_eq!(projects, BTreeSet::from(["elsewhere", "work"].map(String::from)));
}

#[test]
fn hooks_proxy_and_transcripts_tell_of_one_tree() {
    let (home, mock) = world(|home| scenario::everything(&home.work()));
    let _daemon = Daemon::start(&home);
    let run = RealClient::find().print_captured(&home, EVERYTHING, &[]);
    let ledger = mock.ledger();
    assert_everything_happened(&run, &ledger);
    let others = || {
        let spans = Capture::read(&home, &ledger).spans.into_iter();
        let conversation = |s: &Span| matches!(s.purpose.as_deref(), None | Some("main" | "subagent"));
        let all = |s: &Span| match s.kind.as_str() {
            "llm" => s.sources == ["proxy", "transcript"],
            _ => s.sources == ["hook", "proxy", "transcript"],
        };
        let others = spans.filter(|s| conversation(s) && !all(s));
        others.map(|s| format!("{} {:?}", s.name, s.sources)).collect::<Vec<_>>()
    };
    assert_eventually!(others().is_empty(), "all sources are named");
    // Nothing is there twice, and nothing is counted twice.
    assert_captured(&home, &ledger);
}

#[test]
fn a_resumed_session_goes_on_under_its_id() {
    let (home, mock) = world(|home| scenario::everything(&home.work()));
    let _daemon = Daemon::start(&home);
    let client = RealClient::find();
    let first = client.print_captured(&home, EVERYTHING, &[]);
    let again = client.print_captured(&home, AGAIN, &["--resume", first.session()]);
    assert_eq!(again.text(), "Once more done.");
    assert_eq!(again.session(), first.session());
    assert_captured(&home, &mock.ledger());
    let turns = check::turns(&home, first.session());
    let told: Vec<_> = turns.iter().map(|t| (t.number, t.prompt.as_deref(), t.status.as_str())).collect();
    assert_eq!(told, [(1, Some(EVERYTHING), "ok"), (2, Some(AGAIN), "ok")]);
}

#[test]
fn failures_and_retries_are_exchanges_of_their_own() {
    let (home, mock) = world(|_| scenario::flaky());
    let _daemon = Daemon::start(&home);
    let run = RealClient::find().print_captured(&home, FLAKY, &[]);
    let ledger = mock.ledger();
    assert_flaky_happened(&run, &ledger);
    let capture = assert_captured(&home, &ledger);
    for sent in &ledger {
        let got = capture.exchange(sent);
        let failed = sent.message_id.is_none() || sent.stop_reason.is_none();
        assert_eq!(got.error.is_some(), failed, "{got:?}");
    }
    let messages = ledger.iter().filter(|sent| sent.message_id.is_some());
    let streamed: Vec<_> = messages.map(|sent| capture.exchange(sent).stream).collect();
    assert_eq!(streamed, [true, true, true, true, false], "the last is the client's fallback");
    // The client marks none of them; its bodies say which repeats which.
    let got: Vec<_> = ledger.iter().map(|sent| capture.exchange(sent)).collect();
    assert_eq!(got.iter().map(|e| e.attempt).collect::<Vec<_>>(), [1, 2, 3, 1, 2, 1, 2]);
    for (earlier, later) in got.iter().zip(&got[1..]).filter(|(_, later)| later.attempt > 1) {
        assert_eq!(later.retry_of.as_ref(), Some(&earlier.exchange_id));
        assert_eq!(earlier.retried_by.as_ref(), Some(&later.exchange_id));
    }
    let usage: Usage = home.query(&["usage", "total"]);
    let billed = |sent: &&Exchange| capture.exchange(sent).retried_by.is_some();
    let (tokens, micros) = check::sum(ledger.iter().filter(billed));
    assert_eq!((usage.retries.exchanges, usage.retries.tokens), (4, tokens));
    assert_eq!(usage.retries.cost_usd_micros, Some(micros));
}

#[test]
fn a_background_subagent_hangs_under_the_call_that_started_it() {
    let (home, mock) = world(|_| scenario::background());
    let _daemon = Daemon::start(&home);
    let run = RealClient::find().print_captured(&home, BACKGROUND, &[]);
    let ledger = mock.ledger();
    assert_background_happened(&run, &ledger);
    assert_captured(&home, &ledger);
    let turns = check::turns(&home, run.session());
    let sources: Vec<_> = turns.iter().map(|turn| turn.source.as_str()).collect();
    assert_eq!(sources, ["user", "machine"], "the notice of its end is a turn of its own");
}

#[test]
fn calls_that_never_run_are_spans_that_failed() {
    let (home, mock) = world(|_| scenario::invalid());
    let _daemon = Daemon::start(&home);
    let run = RealClient::find().print_captured(&home, INVALID, &[]);
    assert_eq!(run.text(), "Two of three never ran.");
    assert_captured(&home, &mock.ledger());
}
