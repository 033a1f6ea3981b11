//! Everything killed, and nobody called: where no service manager keeps the daemon, the next hook event brings it back,
//! on the same port, with everything that was acknowledged; and only if nobody had asked it to end.

mod away;
mod places;
mod real;
mod turns;

use std::path::Path;

use ccd_tests::assert_eventually;
use ccd_tests::harness::events::HookSession;
use ccd_tests::harness::{Out, TestHome, signal, supervision};
use rustix::process::Signal;

use crate::check;
use crate::proxy::Proxy;

/// No hook event goes to an upstream.
const NO_UPSTREAM: &str = "http://127.0.0.1:9";

/// A home with a daemon in the background, on one port for ever, as an installed one is.
fn started(upstream: &str) -> TestHome {
    let home = crate::faults::with_fixed_port(TestHome::new(upstream));
    let _ = home.ccctl(&["start"]).ok();
    home
}

/// The processes of a home's daemons.
fn processes(home: &TestHome) -> Vec<u32> {
    let of_home = format!("CCD_HOME={}\0", home.ccd().display());
    let is_it = |dir: &Path| {
        let named = std::fs::read_to_string(dir.join("comm")).is_ok_and(|name| name.trim() == "ccd");
        let env = || std::fs::read(dir.join("environ")).unwrap_or_default();
        // One that has ended has no environment.
        named && env().windows(of_home.len()).any(|part| part == of_home.as_bytes())
    };
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let ids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|pid| is_it(&Path::new("/proc").join(pid.to_string()))).collect()
}

/// `kill -9` of the supervisor and all of its workers.
#[track_caller]
fn kill_all(home: &TestHome) {
    let told = supervision(home).expect("a supervisor runs");
    // It first: it would start another worker.
    signal(told.supervisor.pid, Signal::KILL);
    for pid in processes(home) {
        signal(pid, Signal::KILL);
    }
    assert_eventually!(processes(home).is_empty(), "all of them have ended");
}

/// Sends a hook event by `cc-hook`, which says nothing and does not fail.
#[track_caller]
fn hook(home: &TestHome, event: &[u8]) {
    assert_silent(&home.cc_hook(event));
}

#[track_caller]
fn assert_silent(out: &Out) {
    assert_eq!(out.code, Some(0), "{out}");
    assert!(out.stdout.is_empty() && out.stderr.is_empty(), "{out}");
}

/// Waits until exactly these events of a session are recorded, once each, and none waits in the spool.
#[track_caller]
fn assert_recorded(home: &TestHome, session: &HookSession, calls: &[String]) {
    let counts = || home.running().hooks;
    let events = calls.len() as u64;
    assert_eventually!(counts().events >= events && counts().spooled == 0, "{events} events are recorded");
    let spans = check::tool_spans(home, &session.session);
    let mut got: Vec<_> = spans.into_iter().filter_map(|span| span.tool_use_id).collect();
    let mut calls = calls.to_vec();
    got.sort();
    calls.sort();
    assert_eq!(got, calls);
    assert_eq!(counts().events, events, "each counts once");
    assert!(home.spool().is_empty());
}

/// Whether the port answers at a URL that was told before.
fn answers(proxy: &Proxy) -> bool {
    let Ok(mut wire) = proxy.try_connect() else { return false };
    let ping = proxy.request("GET", "/.ccd/ping", &[], b"");
    wire.try_send(ping).is_ok() && wire.try_head().is_some_and(|head| head.status() == 204)
}

/// Lets the next hook event try again at once, as it would after a while.
fn forget_the_last_try(home: &TestHome) {
    let note = std::fs::File::open(home.layout().revival_note()).unwrap();
    note.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
}
