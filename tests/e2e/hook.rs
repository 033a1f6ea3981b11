//! `cc-hook`: it never fails the client, never holds it up and never prints; and no event is lost or doubled by
//! what the daemon does meanwhile.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::Duration;

use ccd_tests::harness::events::HookSession;
use ccd_tests::harness::{Daemon, Out, TestHome, eventually};
use ccd_tests::{assert_eventually, harness};

use crate::check;

/// No hook event goes to an upstream.
const NO_UPSTREAM: &str = "http://127.0.0.1:9";

#[track_caller]
fn assert_silent(out: &Out) {
    assert_eq!(out.code, Some(0), "{out}");
    assert!(out.stdout.is_empty() && out.stderr.is_empty(), "{out}");
}

/// Waits until exactly `events` events are recorded and none waits in the spool.
#[track_caller]
fn assert_recorded(home: &TestHome, events: u64) {
    let counts = || home.running().hooks;
    assert_eventually!(counts().events >= events && counts().spooled == 0, "{events} events are recorded");
    assert_eq!(counts().events, events);
    assert_eq!(home.spool(), Vec::<std::path::PathBuf>::new());
}

/// Sends a whole session of hook events with one tool call through `cc-hook`; returns the number of events.
#[track_caller]
fn send_session(home: &TestHome, session: &HookSession, id: &str) -> u64 {
    let events = [
        session.start(),
        session.prompt("hello"),
        session.before_tool(id, "true"),
        session.after_tool(id, "true", ""),
        session.stop(),
    ];
    for event in &events {
        assert_silent(&home.cc_hook(event));
    }
    events.len() as u64
}

#[track_caller]
fn assert_one_call(home: &TestHome, session: &HookSession, id: &str) {
    let spans = check::tool_spans(home, &session.session);
    let told: Vec<_> = spans.iter().map(|s| (s.tool_use_id.as_deref(), s.status.as_str())).collect();
    assert_eq!(told, [(Some(id), "ok")]);
}

#[test]
fn an_event_is_recorded_once_while_the_daemon_runs() {
    let home = TestHome::new(NO_UPSTREAM);
    let _daemon = Daemon::start(&home);
    let session = HookSession::new();
    let events = send_session(&home, &session, "toolu_up");
    assert_recorded(&home, events);
    assert_one_call(&home, &session, "toolu_up");
    let turns = check::turns(&home, &session.session);
    assert_eq!((turns.len(), turns[0].prompt.as_deref(), turns[0].status.as_str()), (1, Some("hello"), "ok"));
}

#[test]
fn events_of_a_time_without_a_daemon_are_recorded_at_its_next_start() {
    let home = TestHome::new(NO_UPSTREAM);
    let session = HookSession::new();
    let events = send_session(&home, &session, "toolu_down");
    assert_eq!(home.spool().len() as u64, events, "one file per event");
    for file in home.spool() {
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
    let _daemon = Daemon::start(&home);
    assert_recorded(&home, events);
    assert_one_call(&home, &session, "toolu_down");
}

#[test]
fn a_frozen_daemon_neither_holds_the_client_up_nor_loses_or_doubles_an_event() {
    let home = TestHome::new(NO_UPSTREAM);
    let daemon = Daemon::start(&home);
    let session = HookSession::new();
    daemon.freeze();
    let hook = |event: &[u8]| {
        let mut command = home.command(&harness::binary("cc-hook"));
        // The promise is 50 ms; what is asserted is that it does not wait for the daemon.
        harness::run_within(Duration::from_secs(5), &mut command, event)
    };
    for event in [session.before_tool("toolu_frozen", "true"), session.after_tool("toolu_frozen", "true", "")]
    {
        assert_silent(&hook(&event));
    }
    daemon.thaw();
    // Each went into the socket's buffer and, unacknowledged, into the spool: that is still one event.
    assert_recorded(&home, 2);
    assert_one_call(&home, &session, "toolu_frozen");
    drop(daemon);
    let _daemon = Daemon::start(&home);
    assert_recorded(&home, 2);
}

#[test]
fn a_payload_of_seven_megabytes_arrives_whole_with_and_without_a_daemon() {
    let home = TestHome::new(NO_UPSTREAM);
    let session = HookSession::new();
    let big = "a line of a file\n".repeat(7 << 16);
    assert!(big.len() > 7_000_000);
    assert_silent(&home.cc_hook(&session.before_tool("toolu_spooled", &big)));
    let _daemon = Daemon::start(&home);
    assert_silent(&home.cc_hook(&session.before_tool("toolu_sent", &big)));
    assert_recorded(&home, 2);
    let spans = check::tool_spans(&home, &session.session);
    let ids: BTreeSet<_> = spans.iter().filter_map(|span| span.tool_use_id.as_deref()).collect();
    assert_eq!(ids, BTreeSet::from(["toolu_sent", "toolu_spooled"]));
    for span in &spans {
        assert!(span.input.as_ref().unwrap()["command"] == *big, "every byte of the input is there");
    }
}

#[test]
fn two_hundred_at_once_are_all_recorded_once() {
    let home = TestHome::new(NO_UPSTREAM);
    let _daemon = Daemon::start(&home);
    let session = HookSession::new();
    let ids: Vec<String> = (0..200).map(|n| format!("toolu_{n:03}")).collect();
    thread::scope(|scope| {
        for id in &ids {
            let (home, session) = (&home, &session);
            scope.spawn(move || assert_silent(&home.cc_hook(&session.before_tool(id, "true"))));
        }
    });
    assert_recorded(&home, 200);
    let spans = check::tool_spans(&home, &session.session);
    let mut got: Vec<_> = spans.iter().filter_map(|span| span.tool_use_id.clone()).collect();
    got.sort();
    assert_eq!(got, ids);
}

#[test]
fn what_is_no_event_is_survived_in_silence() {
    let home = TestHome::new(NO_UPSTREAM);
    let _daemon = Daemon::start(&home);
    for garbage in [&b""[..], b"\n", b"not json", b"{\"hook_event_name\":", &[0xff, 0xfe, 0x00], b"[]"] {
        assert_silent(&home.cc_hook(garbage));
    }
    let session = HookSession::new();
    assert_silent(&home.cc_hook(&session.before_tool("toolu_after", "true")));
    let spans = || check::tool_spans(&home, &session.session);
    assert_eventually!(spans().len() == 1, "the daemon still records");
}

#[test]
fn a_hook_with_nowhere_to_put_its_event_still_succeeds_in_silence() {
    let home = TestHome::new(NO_UPSTREAM);
    // A file where the directory should be: nobody, not even root, can make a spool below it.
    std::fs::write(home.ccd(), "").unwrap();
    assert_silent(&home.cc_hook(&HookSession::new().start()));
    let mut command = home.command(&harness::binary("cc-hook"));
    command.env_clear();
    assert_silent(&harness::run(&mut command, &HookSession::new().start()));
}

#[test]
fn a_spool_file_that_is_no_event_is_set_aside_and_the_rest_is_taken() {
    let home = TestHome::new(NO_UPSTREAM);
    let session = HookSession::new();
    assert_silent(&home.cc_hook(&session.before_tool("toolu_good", "true")));
    assert_silent(&home.cc_hook(&session.before_tool("toolu_torn", "true")));
    let mut spool = home.spool();
    spool.sort();
    let torn = std::fs::read(&spool[1]).unwrap();
    std::fs::write(&spool[1], &torn[..torn.len() - 3]).unwrap();
    let _daemon = Daemon::start(&home);
    let hooks = eventually("the spool is gone through", || {
        Some(home.running().hooks).filter(|hooks| hooks.events + hooks.rejected == 2)
    });
    assert_eq!((hooks.events, hooks.rejected, hooks.spooled), (1, 1, 0));
    assert_eq!(check::tool_spans(&home, &session.session).len(), 1);
}
