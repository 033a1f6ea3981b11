//! `ccctl doctor` against real daemons: what it finds, what it leaves alone, and that it is quick where nothing hangs.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;

use ccd_tests::assert_eventually;
use ccd_tests::harness::events::HookSession;
use ccd_tests::harness::{Daemon, TestHome, eventually};
use ccd_tests::mock::{Mock, Script, reply};
use serde_json::Value;

use crate::proxy::Proxy;

/// The checks by their names, with whether the doctor calls this home healthy.
#[track_caller]
fn doctor(home: &TestHome, names: &[&str]) -> (bool, BTreeMap<String, Value>) {
    let out = home.ccctl(&[&["doctor", "--json"], names].concat());
    let told = out.json();
    let ok = told["ok"].as_bool().unwrap();
    assert_eq!(out.code, Some(i32::from(!ok)), "{out}");
    let checks = told["checks"].as_array().unwrap().iter();
    (ok, checks.map(|check| (check["name"].as_str().unwrap().to_owned(), check.clone())).collect())
}

#[track_caller]
fn level_and_detail<'a>(checks: &'a BTreeMap<String, Value>, name: &str) -> (&'a str, &'a str) {
    let check = checks.get(name).unwrap_or_else(|| panic!("no {name} in {checks:#?}"));
    (check["level"].as_str().unwrap(), check["detail"].as_str().unwrap())
}

/// Sends one request through the proxy, and says what it was answered with.
fn ask(home: &TestHome) -> u16 {
    let proxy = Proxy::of(home);
    let mut client = proxy.connect();
    client.send(proxy.message("session", "hello", false));
    let head = client.read_head();
    let _ = client.read_rest();
    head.status()
}

#[test]
fn an_installation_that_works_is_called_healthy_and_everything_is_looked_at() {
    let mock = Mock::start(Script::new().on("hello", [reply().text("world")]));
    let home = TestHome::new(&mock.url());
    let _ = home.ccctl(&["install", "--no-service"]).ok();
    let session = HookSession::new();
    let _ = home.cc_hook(&session.start()).ok();
    let _ = ask(&home);
    assert_eventually!(home.running().hooks.events == 1 && home.running().proxy.exchanges == 1, "both came");
    let requests = mock.ledger().len();

    let (ok, checks) = doctor(&home, &[]);
    assert!(ok, "{checks:#?}");
    for name in [
        "programs",
        "daemon",
        "config",
        "sockets",
        "access",
        "install",
        "service",
        "plugin",
        "hooks",
        "event",
        "request",
        "upstream",
        "client",
        "features",
        "events",
        "capture",
        "spool",
        "transcripts",
        "store",
        "disk",
        "vault",
        "clock",
    ] {
        let (level, detail) = level_and_detail(&checks, name);
        assert!(level != "fail" && !detail.is_empty(), "{name}: {detail}");
    }
    let (level, detail) = level_and_detail(&checks, "events");
    assert!(level == "ok" && detail.contains("hook ") && detail.contains("request "), "{detail}");
    let (level, detail) = level_and_detail(&checks, "upstream");
    assert!(level == "ok" && detail.contains("is reached (") && detail.contains("connection "), "{detail}");
    assert!(
        level_and_detail(&checks, "clock").1.contains("from the API's"),
        "the mock's answer told its date"
    );
    assert_eq!(mock.ledger().len(), requests, "upstream was reached, and nothing was asked of it");
    let token = home.base_url().rsplit('/').next().unwrap().to_owned();
    assert!(!serde_json::to_string(&checks).unwrap().contains(&token), "the token is nobody's to read");

    let text = home.ccctl(&["doctor"]).ok().text();
    assert!(text.lines().last().unwrap().starts_with("healthy"), "{text}");
    let one = home.ccctl(&["doctor", "clock"]).ok().text();
    assert_eq!(one.lines().count(), 2, "{one}");
    assert_eq!(home.ccctl(&["doctor", "moon"]).code, Some(2));
    let _ = home.ccctl(&["uninstall", "--now"]).ok();
}

#[test]
fn an_upstream_that_nobody_answers_at_is_told_before_any_request_and_after_one_it_fails() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let home = TestHome::new(&format!("http://{closed}"));
    let _daemon = Daemon::start(&home);
    let (ok, checks) = doctor(&home, &["upstream"]);
    let (level, detail) = level_and_detail(&checks, "upstream");
    assert!(ok && level == "warn" && detail.contains("connection refused"), "{detail}");
    let (_, checks) = doctor(&home, &["upstream", "--offline"]);
    assert!(checks.is_empty(), "nothing was tried: {checks:?}");
    assert_eq!(ask(&home), 502);
    assert_eq!(home.running().proxy.unreached, 1);
    let (ok, checks) = doctor(&home, &["upstream"]);
    assert!(!ok && level_and_detail(&checks, "upstream").0 == "fail", "{checks:?}");
}

#[test]
fn what_lies_where_a_socket_must_be_is_named_and_never_removed() {
    let home = TestHome::new("http://127.0.0.1:9");
    let run = home.layout().run_dir;
    std::fs::create_dir_all(&run).unwrap();
    let place = home.layout().hook_socket();
    for what in ["a directory", "a file", "a link"] {
        match what {
            "a directory" => std::fs::create_dir(&place).unwrap(),
            "a file" => std::fs::write(&place, "mine").unwrap(),
            _ => symlink("/nowhere", &place).unwrap(),
        }
        let before = place.symlink_metadata().unwrap().file_type();
        let (ok, checks) = doctor(&home, &["sockets"]);
        let (level, detail) = level_and_detail(&checks, "sockets");
        assert!(!ok && level == "fail" && detail.contains(what), "{detail}");
        // Nor does a daemon that is asked to start.
        let started = home.ccctl(&["start"]);
        assert_eq!(
            place.symlink_metadata().unwrap().file_type(),
            before,
            "{what} is not ours to remove: {started}"
        );
        let _ = home.ccctl(&["stop", "--now"]);
        if place.is_dir() {
            std::fs::remove_dir(&place).unwrap();
        } else {
            std::fs::remove_file(&place).unwrap();
        }
    }
}

#[test]
fn what_a_killed_daemon_leaves_is_no_failure_of_its_sockets_and_goes_with_the_next_start() {
    let home = TestHome::new("http://127.0.0.1:9");
    Daemon::start(&home).kill9();
    // A number that some other process has.
    std::fs::write(home.layout().lock_file(), "1\n").unwrap();
    let (ok, checks) = doctor(&home, &["sockets"]);
    let (level, detail) = level_and_detail(&checks, "sockets");
    assert!(ok && level == "note" && detail.contains("was killed"), "{detail}");
    let _daemon = Daemon::start(&home);
    let (ok, checks) = doctor(&home, &["sockets"]);
    assert!(ok && level_and_detail(&checks, "sockets").0 == "ok", "{checks:?}");
}

#[test]
fn a_hook_socket_that_somebody_removed_is_found_and_a_restart_makes_it_again() {
    let home = TestHome::new("http://127.0.0.1:9");
    let _ = home.ccctl(&["start"]).ok();
    std::fs::remove_file(home.layout().hook_socket()).unwrap();
    let (ok, checks) = doctor(&home, &["sockets"]);
    assert!(!ok && level_and_detail(&checks, "sockets").1.contains("hook.sock is gone"), "{checks:?}");
    let _ = home.ccctl(&["restart"]).ok();
    eventually("the socket is back", || home.layout().hook_socket().exists().then_some(()));
    assert!(doctor(&home, &["sockets"]).0);
}

#[test]
fn a_supervisor_that_hangs_is_told_and_not_waited_for() {
    let home = TestHome::new("http://127.0.0.1:9");
    let daemon = Daemon::start(&home);
    daemon.freeze();
    let (ok, checks) = doctor(&home, &["daemon", "sockets"]);
    assert!(!ok && level_and_detail(&checks, "daemon").1.contains("no answer within"), "{checks:?}");
    daemon.thaw();
}
