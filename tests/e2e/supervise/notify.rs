//! What systemd is told: that the port is answered, how things are, that the supervisor lives; by a socket of our own in
//! its place.

use std::process::Command;

use ccd_tests::assert_eventually;
use ccd_tests::harness::{Notified, Supervised, TestHome, binary, signal};
use rustix::process::Signal;

use super::Installed;

fn notifying(mut command: Command, systemd: &Notified) -> Command {
    command.env("NOTIFY_SOCKET", systemd.path());
    command
}

#[test]
fn the_life_of_a_service_is_told_as_it_goes() {
    let home = TestHome::new("http://127.0.0.1:9");
    let mut systemd = Notified::of(&home);
    let installed = Installed::new(&home);
    let supervised = Supervised::start_as(&home, notifying(installed.command(&home, "ccd"), &systemd));
    let listen = supervised.status().unwrap().proxy.listen;
    assert_eventually!(systemd.count(&format!("STATUS=serving on {listen}")) == 1, "it serves");
    assert_eq!(systemd.count("READY=1"), 1);
    assert_eq!(supervised.status().unwrap().daemon.manager, "systemd");

    // A reload that fails is over, too; so is one that turns the supervisor into another program.
    installed.put_script("ccd", "exit 7");
    supervised.signal(Signal::HUP);
    assert_eventually!(systemd.count("READY=1") == 2, "the reload is over");
    assert_eq!(systemd.count("RELOADING=1"), 1);
    assert!(systemd.has("MONOTONIC_USEC="));
    installed.put("ccd", &binary("ccd"));
    supervised.signal(Signal::HUP);
    let main = format!("MAINPID={}", supervised.pid());
    assert_eventually!(systemd.count("READY=1") == 3, "another worker serves");
    assert_eventually!(systemd.count(&main) == 1, "the new program says which process it is");
    assert!(!systemd.heard().iter().any(|told| told.starts_with("MAINPID=") && *told != main));
    assert_eventually!(
        systemd.heard().last() == Some(&format!("STATUS=serving on {listen}")),
        "and that it serves"
    );

    // No worker of it can run.
    installed.put_script("ccd", "exit 7");
    signal(supervised.worker(), Signal::KILL);
    assert_eventually!(systemd.has("STATUS=refusing every request: "), "it says that nothing is relayed");
    installed.put("ccd", &binary("ccd"));
    supervised.signal(Signal::HUP);
    assert_eventually!(systemd.count("READY=1") == 4, "it serves again");
    supervised.stop();
    assert_eventually!(systemd.count("STOPPING=1") == 1, "it ends");
    assert!(systemd.has("STATUS=draining") && systemd.has("EXTEND_TIMEOUT_USEC="));
    assert_eq!(systemd.count("WATCHDOG=1"), 0, "nobody asked for it");
}

#[test]
fn a_watchdog_is_pinged_while_the_supervisor_lives_and_only_by_whom_it_is_meant_for() {
    let home = TestHome::new("http://127.0.0.1:9");
    let mut systemd = Notified::of(&home);
    let mut command = notifying(home.command(&binary("ccd")), &systemd);
    command.env("WATCHDOG_USEC", "200000");
    let supervised = Supervised::start_as(&home, command);
    assert_eventually!(systemd.count("WATCHDOG=1") >= 5, "it is pinged");
    // Not for a worker that hangs, which is found otherwise.
    let worker = supervised.worker();
    signal(worker, Signal::STOP);
    let before = systemd.count("WATCHDOG=1");
    assert_eventually!(systemd.count("WATCHDOG=1") >= before + 5, "it is still pinged");
    signal(worker, Signal::CONT);
    supervised.stop();

    let home = TestHome::new("http://127.0.0.1:9");
    let mut systemd = Notified::of(&home);
    let mut command = notifying(home.command(&binary("ccd")), &systemd);
    command.env("WATCHDOG_USEC", "2000").env("WATCHDOG_PID", "1");
    let supervised = Supervised::start_as(&home, command);
    supervised.stop();
    assert_eventually!(systemd.count("STOPPING=1") == 1, "it ends");
    assert_eq!(systemd.count("WATCHDOG=1"), 0, "it was meant for another process");
}
