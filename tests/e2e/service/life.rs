//! Installed, served, killed, stopped, started, and gone.

use std::path::PathBuf;

use ccd_tests::assert_eventually;
use ccd_tests::harness::events::HookSession;
use ccd_tests::harness::wire::{Upstream, Wire};
use ccd_tests::harness::{TestHome, UserManager, binary, run};
use ccd_tests::mock::Mock;

use super::{UNITS, manager};
use crate::proxy::Proxy;
use crate::supervise::{Installed, Stream, ask, short};

/// Every file and link of ours below the user's units.
fn unit_files(home: &TestHome) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![home.user().join(".config/systemd/user")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().map(Result::unwrap) {
            let is_dir = entry.file_type().unwrap().is_dir();
            if is_dir { &mut dirs } else { &mut found }.push(entry.path());
        }
    }
    found.retain(|path| path.to_string_lossy().contains("ccd"));
    found
}

fn states(manager: &UserManager<'_>) -> [String; 3] {
    UNITS.map(|unit| manager.property(unit, "ActiveState"))
}

fn restarts(manager: &UserManager<'_>) -> u32 {
    manager.property("ccd.service", "NRestarts").parse().unwrap()
}

#[test]
fn an_installation_is_enabled_runs_is_stopped_started_and_leaves_nothing_behind() {
    let mock = Mock::start(short());
    let home = TestHome::new(&mock.url()).for_manager();
    let Some(manager) = manager(&home) else { return };
    let text = home.ccctl(&["install"]).ok().text();
    assert!(text.contains("kept running by systemd"), "{text}");
    assert_eq!(states(&manager), ["active"; 3]);
    for unit in UNITS {
        assert_eq!(manager.property(unit, "UnitFileState"), "enabled", "{unit}");
        assert_eq!(manager.property(unit, "LoadState"), "loaded", "{unit}");
    }
    let status = home.running();
    assert_eq!((status.daemon.manager.as_str(), status.proxy.holder.as_str()), ("systemd", "systemd"));
    let proxy = Proxy::of(&home);
    assert_eq!(ask(&proxy, "s").unwrap().0, 200);

    let (pid, worker) = (manager.property("ccd.service", "MainPID"), status.daemon.pid);
    let text = home.ccctl(&["install"]).ok().text();
    assert!(text.contains("nothing had to be changed"), "{text}");
    assert_eq!(manager.property("ccd.service", "MainPID"), pid);
    assert_eq!(home.running().daemon.pid, worker, "a second installation leaves the daemon alone");

    let _ = home.ccctl(&["stop"]).ok();
    assert_eq!(states(&manager), ["inactive"; 3], "a stop is one, and no failure");
    assert!(Wire::try_connect(&status.proxy.listen).is_err());
    let _ = home.ccctl(&["start"]).ok();
    assert_eq!(states(&manager), ["active"; 3]);
    assert_eq!(home.running().daemon.manager, "systemd");

    let _ = home.ccctl(&["uninstall", "--now"]).ok();
    assert_eq!(unit_files(&home), Vec::<PathBuf>::new());
    for unit in UNITS {
        assert_eq!(manager.property(unit, "LoadState"), "not-found", "{unit}");
        assert_eq!(manager.property(unit, "ActiveState"), "inactive", "{unit}");
    }
    assert!(Wire::try_connect(&status.proxy.listen).is_err(), "nobody holds the port");
}

#[test]
fn the_first_connection_starts_the_service() {
    let mock = Mock::start(short());
    let home = TestHome::new(&mock.url()).for_manager();
    let Some(manager) = manager(&home) else { return };
    let _ = home.ccctl(&["install"]).ok();
    let proxy = Proxy::of(&home);
    let _ = manager.systemctl(&["stop", "ccd.service"]).ok();
    assert_eq!(states(&manager), ["active", "active", "inactive"]);
    assert_eq!(ask(&proxy, "s").unwrap().0, 200);
    assert_eq!(states(&manager), ["active"; 3]);
}

#[test]
fn a_killed_supervisor_is_back_and_costs_neither_a_connection_nor_a_stream() {
    let upstream = Upstream::new();
    let home = TestHome::new(&upstream.url()).for_manager();
    let Some(manager) = manager(&home) else { return };
    let _ = home.ccctl(&["install"]).ok();
    let proxy = Proxy::of(&home);
    for kills in 1..=2 {
        let mut stream = Stream::open(&format!("held-{kills}"), &proxy, &upstream);
        let (worker, main) = (home.running().daemon.pid, manager.property("ccd.service", "MainPID"));
        let _ = manager.systemctl(&["kill", "--kill-who=main", "--signal=KILL", "ccd.service"]).ok();
        let mut waiting = proxy.try_connect().expect("systemd holds the port");
        waiting.send(proxy.request("GET", "/.ccd/ping", &[], b""));
        assert_eq!(waiting.read_head().status(), 204);
        assert_eventually!(
            home.status().is_some_and(|status| status.daemon.pid != worker),
            "the next worker has the store"
        );
        stream.step();
        let _ = stream.end();
        assert_ne!(manager.property("ccd.service", "MainPID"), main);
        assert_eq!(restarts(&manager), kills);
    }
    assert_eq!(states(&manager), ["active"; 3]);
}

#[test]
fn the_first_hook_event_and_the_first_question_start_the_service_too() {
    let home = TestHome::new("http://127.0.0.1:9").for_manager();
    let Some(manager) = manager(&home) else { return };
    let _ = home.ccctl(&["install"]).ok();
    let events = home.running().hooks.events;
    let _ = manager.systemctl(&["stop", "ccd.service"]).ok();
    assert_eq!(states(&manager), ["active", "active", "inactive"]);
    let _ = home.cc_hook(&HookSession::new().start()).ok();
    assert_eventually!(states(&manager) == ["active"; 3], "the event starts it");
    assert_eventually!(
        home.status().is_some_and(|status| status.hooks.events == events + 1),
        "the event is recorded, once"
    );
    let _ = manager.systemctl(&["stop", "ccd.service"]).ok();
    assert!(home.ccctl(&["status"]).ok().text().contains("ccd"));
    assert_eq!(states(&manager), ["active"; 3]);
}

#[test]
fn a_supervisor_that_hangs_is_killed_by_the_watchdog_and_one_that_does_not_is_left_alone() {
    let mock = Mock::start(short());
    let home = TestHome::new(&mock.url()).for_manager();
    let Some(manager) = manager(&home) else { return };
    let _ = home.ccctl(&["install"]).ok();
    // As a user would change it, and quick enough for a test.
    let dir = home.user().join(".config/systemd/user/ccd.service.d");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("quick.conf"), "[Service]\nWatchdogSec=2s\n").unwrap();
    let _ = manager.systemctl(&["daemon-reload"]).ok();
    let _ = manager.systemctl(&["restart", "ccd.service"]).ok();
    let proxy = Proxy::of(&home);
    let (main, worker) = (manager.property("ccd.service", "MainPID"), home.running().daemon.pid);
    // It says that it lives for longer than that.
    let said = || manager.property("ccd.service", "WatchdogTimestampMonotonic").parse::<u64>().unwrap();
    let first = said();
    assert_eventually!(said() > first + 4_000_000, "the watchdog hears of it");
    assert_eq!((manager.property("ccd.service", "MainPID"), restarts(&manager)), (main.clone(), 0));

    let _ = manager.systemctl(&["kill", "--kill-who=main", "--signal=STOP", "ccd.service"]).ok();
    assert_eventually!(restarts(&manager) == 1, "the watchdog kills it, and systemd starts another");
    assert_eq!(ask(&proxy, "s").unwrap().0, 200);
    assert_eventually!(
        home.status().is_some_and(|status| status.daemon.pid != worker),
        "with a worker of its own"
    );
    assert_ne!(manager.property("ccd.service", "MainPID"), main);
}

#[test]
fn a_new_version_takes_over_under_the_same_unit_with_no_stream_cut() {
    let upstream = Upstream::new();
    let home = TestHome::new(&upstream.url()).for_manager();
    let Some(manager) = manager(&home) else { return };
    let installed = Installed::new(&home);
    installed.put("cc-hook", &binary("cc-hook"));
    let ccctl = |verb: &str| run(installed.command(&home, "ccctl").arg(verb), b"").ok();
    let _ = ccctl("install");
    let proxy = Proxy::of(&home);
    let mut stream = Stream::open("held", &proxy, &upstream);
    let (worker, main) = (home.running().daemon.pid, manager.property("ccd.service", "MainPID"));
    installed.put("ccd", &binary("ccd"));
    let _ = ccctl("restart");
    assert_ne!(home.running().daemon.pid, worker);
    stream.step();
    let _ = stream.end();
    assert_eq!(states(&manager), ["active"; 3]);
    assert_eq!(
        manager.property("ccd.service", "MainPID"),
        main,
        "the supervisor becomes the new program in place"
    );
    assert_eq!(restarts(&manager), 0);
    assert_eq!(manager.property("ccd.service", "Result"), "success");
}
