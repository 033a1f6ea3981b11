//! Installed, served, killed, stopped, started, and gone.

use std::path::PathBuf;

use ccd_tests::assert_eventually;
use ccd_tests::harness::wire::{Upstream, Wire};
use ccd_tests::harness::{TestHome, UserManager};
use ccd_tests::mock::Mock;

use super::{UNITS, manager};
use crate::proxy::Proxy;
use crate::supervise::{Stream, ask, short};

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
