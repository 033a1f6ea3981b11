//! Asked to end, it stays away: no hook event brings back what somebody has stopped, nor what never was to stay.

use std::process::Stdio;

use ccd_tests::assert_eventually;
use ccd_tests::harness::events::HookSession;
use ccd_tests::harness::{Daemon, Holding, TestHome, signal, supervision};
use rustix::process::Signal;

use super::{NO_UPSTREAM, assert_recorded, hook, kill_all, processes, started};

/// Sends an event, after which no daemon runs.
#[track_caller]
fn assert_stays_away(home: &TestHome, how: &str) {
    assert_eventually!(processes(home).is_empty(), "{how}: all of them have ended");
    assert!(!home.layout().revival_note().exists(), "{how}: the note is gone");
    let before = home.spool().len();
    hook(home, &HookSession::new().start());
    // What a hook starts is there before the hook has ended.
    assert!(processes(home).is_empty(), "{how}: nobody is started");
    assert_eq!(home.spool().len(), before + 1, "{how}: the event waits");
    let status = home.ccctl(&["status"]);
    assert!(status.code == Some(3) && status.stderr.contains("is not running"), "{how}: {status}");
}

#[test]
fn what_somebody_asked_to_end_stays_away() {
    let home = started(NO_UPSTREAM);
    let again = || drop(home.ccctl(&["start"]).ok());
    let _ = home.ccctl(&["stop"]).ok();
    assert_stays_away(&home, "a stop");

    again();
    signal(supervision(&home).unwrap().supervisor.pid, Signal::TERM);
    assert_stays_away(&home, "a signal to the supervisor");

    again();
    signal(home.running().daemon.pid, Signal::TERM);
    assert_stays_away(&home, "a signal to the worker");

    again();
    let alone = home.running().daemon.pid;
    signal(supervision(&home).unwrap().supervisor.pid, Signal::KILL);
    assert_eventually!(home.running().daemon.supervisor.is_none(), "the worker goes on alone");
    signal(alone, Signal::INT);
    assert_stays_away(&home, "a signal to a worker without its supervisor");

    again();
    kill_all(&home);
    let stop = home.ccctl(&["stop"]).ok().text();
    assert!(stop.contains("no event of Claude Code brings it back now"), "{stop}");
    assert_stays_away(&home, "a stop of one that was killed");

    again();
    assert!(home.layout().revival_note().exists());
    let _ = home.ccctl(&["restart"]).ok();
    assert!(home.layout().revival_note().exists(), "a restart is no end");
    let session = Holding::start(&home);
    let _ = home.ccctl(&["uninstall"]).ok();
    assert_eventually!(!home.layout().revival_note().exists(), "one that retires is not to come back");
    kill_all(&home);
    drop(session);
    assert_stays_away(&home, "a kill after an uninstallation");

    again();
    kill_all(&home);
    let _ = home.ccctl(&["uninstall"]).ok();
    assert_stays_away(&home, "an uninstallation after a kill");

    again();
    let _ = home.ccctl(&["uninstall", "--purge"]).ok();
    assert!(!home.ccd().exists(), "nothing is left");
}

#[test]
fn the_end_of_the_machine_is_nobodys_wish() {
    let home = crate::faults::with_fixed_port(TestHome::new(NO_UPSTREAM));
    // Process 1 of a container, which starts the daemon, and ends it as `init` ends everybody at a shutdown.
    let script = "ccctl=$0; $ccctl start >/dev/null && pid=$($ccctl status --json | \
        sed 's/.*\"supervisor\":{\"pid\":\\([0-9]*\\).*/\\1/') && kill -TERM $pid && \
        while kill -0 $pid 2>/dev/null; do sleep 0.05; done";
    let mut container = home.command(std::path::Path::new("/usr/bin/unshare"));
    container.args(["--pid", "--fork", "--mount-proc", "/bin/sh", "-c", script]);
    container.arg(ccd_tests::harness::binary("ccctl")).stdin(Stdio::null());
    let out = ccd_tests::harness::run(&mut container, b"").ok();
    assert!(out.stderr.is_empty(), "{out}");
    assert!(processes(&home).is_empty());
    assert!(home.layout().revival_note().exists(), "nobody asked for the end");
    let session = HookSession::new();
    hook(&home, &session.before_tool("toolu_after", "true"));
    assert_recorded(&home, &session, &["toolu_after".into()]);
}

#[test]
fn what_never_was_to_stay_leaves_no_note() {
    let home = TestHome::new(NO_UPSTREAM);
    let daemon = Daemon::start(&home);
    assert!(!home.layout().revival_note().exists(), "its user keeps it in the foreground");
    daemon.kill9();
    assert_stays_away(&home, "a daemon in the foreground");
}

#[test]
fn one_whose_port_was_any_comes_back_where_it_is_known() {
    let home = TestHome::new(NO_UPSTREAM);
    let _ = home.ccctl(&["start"]).ok();
    let listen = format!("CCD_PROXY_LISTEN={}", home.running().proxy.listen);
    // Not tried: meanwhile the system may give such a port to anybody.
    let note = String::from_utf8(std::fs::read(home.layout().revival_note()).unwrap()).unwrap();
    assert!(note.split('\0').any(|var| var == listen), "{note:?}");
}

#[test]
fn nothing_that_the_hook_was_started_with_stays_open() {
    let home = started(NO_UPSTREAM);
    kill_all(&home);
    let (mut end, kept) = std::io::pipe().unwrap();
    // Descriptor 9 of the hook is the pipe's other end, left open by whoever starts it.
    let mut shell = home.command(std::path::Path::new("/bin/sh"));
    shell.args(["-c", "exec 9<&0; printf '{}' | \"$0\""]).arg(ccd_tests::harness::binary("cc-hook"));
    shell.stdin(Stdio::from(std::os::fd::OwnedFd::from(kept)));
    assert!(shell.status().unwrap().success());
    drop(shell);
    // With the daemon alive, the pipe has come to its end: nobody holds it.
    assert!(home.running().daemon.running);
    assert_eq!(std::io::Read::read_to_end(&mut end, &mut Vec::new()).unwrap(), 0);
}
