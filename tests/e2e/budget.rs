//! Budgets: what was spent beside what may be, told once, and an end to tool calls where that is wanted.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use ccd_proto::api::{Budget, Tokens};
use ccd_tests::assert_eventually;
use ccd_tests::harness::events::HookSession;
use ccd_tests::harness::{Daemon, PATIENCE, RealClient, TestHome, eventually};
use ccd_tests::mock::{Mock, Script, reply};
use serde_json::{Value, json};

use crate::proxy::Proxy;

/// Costs a dollar.
const DOLLAR: &str = "SPEND-a-dollar";
/// Calls a tool.
const TOOL: &str = "SPEND-and-call";

fn dollar() -> Tokens {
    Tokens { output: 50_000, ..Tokens::default() }
}

/// A home with this `[budget]`, before a mock that knows what costs a dollar.
fn world(config: &str) -> (TestHome, Mock) {
    let call = json!({"command": "echo was-run", "description": "say something"});
    let script = Script::new()
        .on(DOLLAR, [reply().text("Spent.").tokens(dollar())])
        .on(TOOL, [reply().tool("Bash", call).tokens(dollar()), reply().text("Done.").tokens(dollar())]);
    let mock = Mock::start(script);
    let home = TestHome::new(&mock.url());
    let file = home.layout().config_file;
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, config).unwrap();
    (home, mock)
}

/// Spends a dollar in a session.
#[track_caller]
fn spend(home: &TestHome, session: &str) {
    let proxy = Proxy::of(home);
    let mut client = proxy.connect();
    client.send(proxy.message(session, DOLLAR, false));
    assert_eq!(client.read_head().status(), 200);
    let _ = client.read_rest();
}

/// The exit code of `ccctl budget`, and what it tells.
fn budget(home: &TestHome) -> (i32, Budget) {
    let out = home.ccctl(&["budget", "--json"]);
    assert_eq!(out.stderr, "", "{out}");
    (out.code.unwrap(), out.parse())
}

fn micros(budget: &Budget, scope: &str) -> i64 {
    budget.scopes.iter().find(|s| s.scope == scope).map_or(0, |s| s.spent_usd_micros)
}

/// What was posted to a server of the test's own, in order.
fn webhook() -> (String, Receiver<Value>) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/budget?x=1", server.local_addr().unwrap());
    let (tx, rx) = sync_channel(16);
    thread::spawn(move || {
        for peer in server.incoming() {
            let mut peer = BufReader::new(peer.unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                assert!(peer.read_line(&mut head).unwrap() > 0, "the head is whole: {head}");
            }
            assert!(head.starts_with("POST /budget?x=1 HTTP/1.1\r\n"), "{head}");
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            let mut body = vec![0; length.parse().unwrap()];
            peer.read_exact(&mut body).unwrap();
            peer.get_mut().write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").unwrap();
            if tx.send(serde_json::from_slice(&body).unwrap()).is_err() {
                return;
            }
        }
    });
    (url, rx)
}

#[test]
fn exit_codes_tell_scripts_how_it_stands() {
    let (home, _mock) = world("");
    assert_eq!(home.ccctl(&["budget"]).code, Some(3), "no daemon");
    let _daemon = Daemon::start(&home);
    assert_eq!(budget(&home).0, 30, "nothing is configured");
    let _ = home.ccctl(&["budget", "set", "day", "--soft", "1.50", "--hard", "2.50"]).ok();
    assert!(budget(&home).1.configured, "the command ends when the daemon goes by the limits");
    assert_eq!(budget(&home).0, 30, "nothing is recorded");
    for (spent, code) in [(1, 0), (2, 10), (3, 11)] {
        spend(&home, "s");
        assert_eventually!(
            micros(&budget(&home).1, "day") == spent * 1_000_000,
            "{spent} dollars are counted"
        );
        let (got, told) = budget(&home);
        assert_eq!(got, code, "{told:?}");
        for scope in ["session", "month"] {
            assert_eq!(micros(&told, scope), spent * 1_000_000, "one number everywhere");
        }
    }
    let day = budget(&home).1.scopes.into_iter().find(|s| s.scope == "day").unwrap();
    assert_eq!((day.percent, day.state.as_str()), (Some(120), "hit"));
    let text = home.ccctl(&["budget"]).text();
    assert!(text.contains("$3.00") && text.contains("120%") && text.contains("stop nothing"), "{text}");
    let wrong = home.ccctl(&["budget", "set", "day", "--hard", "-3"]);
    assert_eq!(wrong.code, Some(2), "{wrong}");
}

#[test]
fn each_threshold_is_told_once_whatever_restarts() {
    let (url, told) = webhook();
    let config = format!("[budget]\nday = {{ soft = 1, hard = 2 }}\nsession.soft = 1\nwebhook = \"{url}\"\n");
    let (home, _mock) = world(&config);
    // A desktop of the test's own, which writes down what it is to show.
    let bin = home.user().join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    let shown = home.user().join("shown");
    let script = format!(
        // In one write: two may be told at the same time.
        "#!/bin/sh\nfor arg in \"$@\"; do told=\"$told$arg|\"; done\nprintf '%s\\n' \"$told\" >> '{}'\n",
        shown.display()
    );
    std::fs::write(bin.join("notify-send"), script).unwrap();
    std::fs::set_permissions(bin.join("notify-send"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let home = home.with_env("PATH", format!("{}:/usr/bin:/bin", bin.display()));

    let daemon = Daemon::start(&home);
    spend(&home, "one");
    let mut got: Vec<Value> = (0..2).map(|_| told.recv_timeout(PATIENCE).unwrap()).collect();
    assert_eventually!(micros(&budget(&home).1, "day") == 1_000_000, "a dollar is counted");
    daemon.stop(&home);
    let _daemon = Daemon::start(&home);
    spend(&home, "two");
    got.extend((0..2).map(|_| told.recv_timeout(PATIENCE).unwrap()));
    let mut what: Vec<_> = got
        .iter()
        .map(|t| format!("{} {} {} {}", t["scope"], t["level"], t["spent_usd_micros"], t["limit_usd_micros"]))
        .collect();
    what.sort();
    assert_eq!(
        what,
        [
            r#""day" "hard" 2000000 2000000"#,
            r#""day" "soft" 1000000 1000000"#,
            r#""session" "soft" 1000000 1000000"#,
            r#""session" "soft" 1000000 1000000"#,
        ]
    );
    let keys: Vec<_> =
        got.iter().map(|t| t.as_object().unwrap().keys().cloned().collect::<Vec<_>>()).collect();
    let known = ["at", "key", "level", "limit_usd_micros", "scope", "spent_usd_micros"];
    assert!(keys.iter().all(|keys| *keys == known), "nothing of a session is sent: {keys:?}");
    assert_eventually!(
        std::fs::read_to_string(&shown).unwrap_or_default().lines().count() == 4,
        "the desktop shows all four"
    );
    let shown = std::fs::read_to_string(&shown).unwrap();
    assert!(
        shown.contains("--app-name=ccd|--|Day budget: hard limit reached|$2.00 of $2.00 spent ("),
        "{shown}"
    );
    // The budget knows what was told.
    let scopes = budget(&home).1.scopes;
    assert_eq!(scopes.iter().find(|s| s.scope == "day").unwrap().told, ["soft", "hard"]);
    // Once more spent, nothing more to tell.
    spend(&home, "two");
    assert_eventually!(micros(&budget(&home).1, "day") == 3_000_000, "the third dollar is counted");
    assert!(told.try_recv().is_err());
}

#[test]
fn only_what_is_enforced_stops_a_tool_call() {
    let (home, _mock) = world("[budget]\nsession.hard = 1\n");
    let _daemon = Daemon::start(&home);
    let beyond = HookSession::new();
    spend(&home, &beyond.session);
    assert_eventually!(micros(&budget(&home).1, "session") == 1_000_000, "a dollar is counted");
    let asked = |session: &HookSession, id: &str| home.cc_hook(&session.before_tool(id, "true")).ok();
    assert_eq!(asked(&beyond, "toolu_1").text(), "", "told of, and nothing stopped");
    let _ = home.ccctl(&["budget", "set", "session", "--enforce", "on"]).ok();
    let denied = eventually("tool calls are stopped", || {
        let out = asked(&beyond, "toolu_2");
        (!out.stdout.is_empty()).then(|| out.json())
    });
    let decision = &denied["hookSpecificOutput"];
    assert_eq!(
        (&decision["hookEventName"], &decision["permissionDecision"]),
        (&json!("PreToolUse"), &json!("deny"))
    );
    let reason = decision["permissionDecisionReason"].as_str().unwrap();
    assert!(reason.contains("$1.00 of $1.00"), "{reason}");
    assert_eq!(asked(&HookSession::new(), "toolu_3").text(), "", "another session goes on");
    assert_eq!(home.cc_hook(&beyond.stop()).ok().text(), "", "nothing but tool calls is stopped");
    let _ = home.ccctl(&["budget", "set", "session", "--hard", "5"]).ok();
    assert_eventually!(asked(&beyond, "toolu_4").stdout.is_empty(), "a higher limit lets it go on");
}

#[test]
fn the_real_client_is_told_why_its_tool_may_not_be_called() {
    let (home, mock) = world("[budget]\nday.hard = 1\nenforce = true\n");
    let _daemon = Daemon::start(&home);
    spend(&home, "before");
    assert_eventually!(budget(&home).0 == 11, "the day's budget is used up");
    let hook = HookSession::new();
    assert_eventually!(
        !home.cc_hook(&hook.before_tool("toolu_probe", "true")).ok().stdout.is_empty(),
        "tool calls are stopped"
    );
    // The client is never kept waiting for an answer: on a busy machine one may be late, and the tool runs.
    let is_told = (0..4).any(|_| {
        let run = RealClient::find().print_captured(&home, TOOL, &[]);
        assert_eq!(run.text(), "Done.", "the session itself goes on");
        let last = mock.ledger().pop().unwrap();
        let request = String::from_utf8_lossy(&last.request).into_owned();
        let is_told = request.contains("the day's budget") && request.contains("is used up");
        let has_run = request.contains("was-run\\n") || request.contains("\"was-run\"");
        assert!(!is_told || !has_run, "the tool did not run");
        is_told
    });
    assert!(is_told, "the model is told why");
}
