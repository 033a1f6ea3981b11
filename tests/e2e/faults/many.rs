//! F24, F27: several daemons on one home, and a store of a version that is not known yet.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use ccd_proto::frame::Status;
use ccd_tests::assert_eventually;
use ccd_tests::harness::events::HookSession;
use ccd_tests::harness::soak::{count, summary};
use ccd_tests::harness::{Daemon, TestHome, binary, eventually, run};
use ccd_tests::mock::{Mock, Script, sha256};

use super::load::{Events, Streams};
use super::{NO_UPSTREAM, millis, status, with_fixed_port};

/// Children that end with the test.
struct Starters(Vec<Child>);

impl Drop for Starters {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn f24_of_several_daemons_started_at_once_one_serves_and_the_others_say_which() {
    let home = with_fixed_port(TestHome::new(NO_UPSTREAM));
    let (events, session) = (Events::of(&home), HookSession::new());
    let (rounds, mut started, mut slowest) = (count(10, 50), 0, Duration::ZERO);
    for round in 0..rounds {
        let rivals = if round % 2 == 0 { 2 } else { 5 };
        let begun = Instant::now();
        let spawn = |_| {
            let mut command = home.command(&binary("ccd"));
            command.arg("run").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
            command.spawn().unwrap()
        };
        let mut starters = Starters((0..rivals).map(spawn).collect());
        started += rivals;
        eventually("all but one have ended", || {
            let running =
                starters.0.iter_mut().filter_map(|child| child.try_wait().unwrap().is_none().then_some(()));
            (running.count() == 1).then_some(())
        });
        slowest = slowest.max(begun.elapsed());
        assert_eventually!(home.status().is_some(), "the one that is left serves");
        let owner = status(&home).daemon.pid;
        let at = starters.0.iter().position(|child| child.id() == owner).expect("the owner is one of them");
        let owner = starters.0.swap_remove(at);
        for child in starters.0.drain(..) {
            let out = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&out.stdout).into_owned();
            assert_eq!(out.status.code(), Some(0), "{said}");
            assert!(
                said.contains(&format!("pid {}", owner.id())),
                "the owner's pid {} is named: {said}",
                owner.id()
            );
        }
        starters.0.push(owner);
        let answer = events.send(&session, &format!("toolu_{round}")).unwrap();
        assert_eq!(answer, Status::Durable);
        // Some end well, some do not.
        if round % 3 == 0 {
            drop(starters);
        } else {
            std::thread::scope(|scope| {
                scope.spawn(|| starters.0[0].wait().unwrap());
                let _ = home.ccctl(&["stop"]).ok();
            });
        }
    }
    let _daemon = Daemon::start(&home);
    assert_eq!(events.assert_recorded(&home), rounds);
    assert_eq!(status(&home).store.damaged, 0);
    summary(&format!(
        "F24: {rounds} rounds, {started} daemons started, one served each time, {} stepped back with exit code 0; \
         the slowest after {} ms; 0 damaged",
        started - rounds,
        millis(slowest)
    ));
}

/// Every file below a directory with a hash of what is in it.
fn tree(dir: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.insert(path.display().to_string(), String::from("directory"));
                open.push(path);
            } else {
                found.insert(path.display().to_string(), sha256(&std::fs::read(&path).unwrap()));
            }
        }
    }
    found
}

#[test]
fn f27_a_store_of_a_newer_version_is_left_alone_and_the_proxy_relays() {
    let mock = Mock::start(Script::new());
    let (events, session, mut files) = (HookSession::new(), HookSession::new(), 0);
    for with_an_older_one in [false, true] {
        let home = with_fixed_port(TestHome::new(&mock.url()));
        if with_an_older_one {
            let daemon = Daemon::start(&home);
            assert_eq!(Events::of(&home).send(&events, "toolu_old").unwrap(), Status::Durable);
            daemon.stop(&home);
        }
        let newer = home.layout().store_dir().join("v2/journal");
        std::fs::create_dir_all(&newer).unwrap();
        std::fs::write(newer.join("00000001.log"), "of a version to come").unwrap();
        let before = tree(&home.layout().store_dir());
        files += before.len();

        let daemon = Daemon::start(&home);
        let is_told = || status(&home).store.error.is_some_and(|error| error.contains("newer ccd"));
        assert_eventually!(is_told(), "the store is looked at");
        let error = status(&home).store.error.unwrap();
        assert!(error.contains("newer ccd") && error.contains("v2"), "{error}");
        assert!(status(&home).proxy.bypass);
        let streams = Streams::of(&home);
        assert!(streams.stream("relayed") && streams.whole() == 1);
        let sent = mock.ledger().pop().unwrap();
        streams.assert_relayed(&sent);
        assert_eq!(Events::of(&home).send(&session, "toolu_new").unwrap(), Status::Refused);
        let _ = home.cc_hook(&session.start()).ok();
        assert_eq!(home.spool().len(), 1, "what is refused waits");
        for command in [&["sessions"][..], &["verify"]] {
            let out = home.ccctl(command);
            assert_eq!(out.code, Some(1), "{out}");
            assert!(format!("{}{}", out.text(), out.stderr).contains("newer ccd"), "{out}");
        }
        let shown = run(home.command(&binary("ccctl")).arg("status"), b"").ok().text();
        assert!(shown.contains("newer ccd"), "{shown}");
        daemon.stop(&home);
        assert!(tree(&home.layout().store_dir()) == before, "nothing of it was touched");

        // Without it, everything is taken up again.
        std::fs::remove_dir_all(home.layout().store_dir().join("v2")).unwrap();
        let _daemon = Daemon::start(&home);
        let events = 1 + u64::from(with_an_older_one);
        assert_eventually!(status(&home).hooks.events == events, "what waited is recorded");
    }
    summary(&format!(
        "F27: 2 stores with a v2 beside or alone, {files} files untouched, requests relayed, events spooled"
    ));
}
