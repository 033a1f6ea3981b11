//! The status line: one line, whatever stdin holds and however the daemon is; and the limits that it tells of.

use std::os::unix::net::UnixListener;
use std::time::Duration;

use ccd_proto::api::{Tokens, Usage};
use ccd_tests::harness::{Daemon, Out, TestHome, binary, eventually, run_within};
use ccd_tests::mock::{Mock, Script, reply};
use ccd_tests::{assert_eventually, harness};
use serde_json::{Value, json};

use crate::proxy::Proxy;

const DOLLAR: &str = "SPEND-a-dollar";

fn snapshot(session: &str, five_hour: f64) -> Value {
    json!({
        "session_id": session,
        "model": {"id": "claude-opus-5-5", "display_name": "Opus 5.5"},
        "cost": {"total_cost_usd": 0.42},
        "context_window": {"used_percentage": 25},
        "rate_limits": {
            "five_hour": {"used_percentage": five_hour, "resets_at": 4_102_444_800u64},
            "seven_day": {"used_percentage": 7.5, "resets_at": 4_102_444_800u64},
        },
    })
}

/// The one line that is printed for this.
#[track_caller]
fn line(home: &TestHome, stdin: &[u8]) -> String {
    let mut command = home.command(&binary("ccctl"));
    command.arg("statusline").env("NO_COLOR", "1");
    one_line(&harness::run(&mut command, stdin))
}

#[track_caller]
fn one_line(out: &Out) -> String {
    let text = out.text();
    assert_eq!((out.code, out.stderr.as_str(), text.lines().count()), (Some(0), "", 1), "{out}");
    assert!(!text.trim().is_empty() && text.ends_with('\n'), "{out}");
    text.trim_end().to_owned()
}

#[test]
fn figures_of_the_daemon_and_limits_on_record() {
    let dollar = Tokens { output: 50_000, ..Tokens::default() };
    let mock = Mock::start(Script::new().on(DOLLAR, [reply().text("Spent.").tokens(dollar)]));
    let home = TestHome::new(&mock.url());
    let daemon = Daemon::start(&home);
    let proxy = Proxy::of(&home);
    for session in ["one", "two"] {
        let mut client = proxy.connect();
        client.send(proxy.message(session, DOLLAR, false));
        assert_eq!(client.read_head().status(), 200);
        let _ = client.read_rest();
    }
    let sent = snapshot("one", 33.0).to_string();
    let text = eventually("both are counted", || {
        Some(line(&home, sent.as_bytes())).filter(|text| text.contains("$1.00, $2.00 today"))
    });
    assert!(text.starts_with("Opus 5.5 · ▓▓░░░░░░ 25% · "), "{text}");
    assert!(text.contains("5h 33%") && text.contains("7d 8%"), "{text}");
    // What the client told is known from then on, and after a restart, without the client.
    let used = |home: &TestHome| -> Vec<(String, Option<f64>)> {
        let usage: Usage = home.query(&["usage", "total"]);
        let limits = usage.rate_limits.map(|told| told.limits).unwrap_or_default();
        let account = limits.into_iter().filter(|limit| limit.name.starts_with("unified"));
        account.map(|limit| (limit.name, limit.used_percent)).collect()
    };
    let told = [("unified-5h".to_owned(), Some(33.0)), ("unified-7d".to_owned(), Some(7.5))];
    assert_eventually!(used(&home) == told, "the limits are on record");
    let journal = || home.query::<Value>(&["store", "stats"]);
    let before = journal()["last_seq"].clone();
    for _ in 0..3 {
        let _ = line(&home, sent.as_bytes());
    }
    assert_eq!(journal()["last_seq"], before, "what is known is not recorded again");
    daemon.stop(&home);
    home.delete_index();
    let _daemon = Daemon::start(&home);
    assert_eventually!(used(&home) == told, "the limits are read back from the journal");
    assert!(home.running().rate_limits.is_some(), "and shown by `status`");
    let _ = line(&home, snapshot("one", 34.0).to_string().as_bytes());
    assert_eventually!(used(&home)[0].1 == Some(34.0), "newer ones replace them");
}

#[test]
fn whatever_stdin_holds_there_is_one_line_with_and_without_a_daemon() {
    let home = TestHome::new("http://127.0.0.1:9");
    let hostile = json!({"model": {"display_name": "\u{1b}]0;x\u{7}\nOpus\u{202e}"}, "session_id": "../x"});
    let deep = "[".repeat(200_000);
    let hostile = hostile.to_string();
    let inputs: Vec<&[u8]> = vec![
        b"",
        b"\n",
        b"{",
        b"null",
        &[0xff, 0xfe, 0],
        deep.as_bytes(),
        hostile.as_bytes(),
        br#"{"rate_limits":7,"cost":{"total_cost_usd":"x"}}"#,
    ];
    for input in &inputs {
        // It looks for 30 ms at most, which a busy machine may not grant it.
        let text = eventually("that no daemon is there is told", || {
            Some(line(&home, input)).filter(|text| text.ends_with("ccd is not running"))
        });
        assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{text}");
    }
    let _daemon = Daemon::start(&home);
    for input in &inputs {
        let text = line(&home, input);
        assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{text}");
    }
    // Who mistypes, or has no home at all, gets a line, too.
    let mut command = home.command(&binary("ccctl"));
    let _ = one_line(&harness::run(command.args(["statusline", "--nonsense"]), b""));
    let mut command = home.command(&binary("ccctl"));
    let _ = one_line(&harness::run(command.env_clear().arg("statusline"), b"{}"));
    let mut command = home.command(&binary("ccctl"));
    command.args(["statusline", "--parts", "model"]);
    let sent = snapshot("s", 1.0).to_string();
    assert!(one_line(&harness::run(&mut command, sent.as_bytes())).contains("Opus 5.5"));
}

#[test]
fn a_daemon_that_stands_still_is_not_waited_for() {
    let home = TestHome::new("http://127.0.0.1:9");
    let sent = snapshot("s", 12.0).to_string();
    let soon = |home: &TestHome| {
        let mut command = home.command(&binary("ccctl"));
        command.arg("statusline").env("NO_COLOR", "1");
        // The bound is 30 ms; what is asserted is that it does not wait for the daemon.
        one_line(&run_within(Duration::from_secs(10), &mut command, sent.as_bytes()))
    };
    let daemon = Daemon::start(&home);
    daemon.freeze();
    let text = soon(&home);
    daemon.thaw();
    assert!(text.contains("~$0.42") && text.contains("5h 12%") && !text.contains("not running"), "{text}");
    drop(daemon);
    // Somebody who accepts nothing.
    let socket = home.layout().control_socket();
    let _ = std::fs::remove_file(&socket);
    let _listener = UnixListener::bind(&socket).unwrap();
    assert!(soon(&home).contains("~$0.42"));
    let _ = std::fs::remove_file(&socket);
}
