//! The real Claude Code client, while what it talks to is killed and replaced under it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ccd_tests::assert_eventually;
use ccd_tests::harness::soak::summary;
use ccd_tests::harness::{RealClient, Supervised, TestHome, signal};
use ccd_tests::mock::{Ended, Mock, Reply, Script, reply};
use rustix::process::Signal;
use serde_json::json;

use super::{Installed, long};
use crate::check;

const LONG: &str = "SCENARIO-long";
/// Tool calls of the session.
const CALLS: usize = 32;

/// A session of many turns, each with a tool call.
fn session() -> Script {
    let call = |n: usize| -> Reply {
        reply()
            .text(&format!("Call {n} of a long session."))
            .tool("Bash", json!({"command": format!("echo {n}"), "description": "Say a number"}))
            .pace(Duration::from_millis(30))
    };
    Script::new().on(LONG, (0..CALLS).map(call).chain([reply().text("All done.")]))
}

#[test]
fn a_session_ends_well_although_the_worker_is_killed_twenty_times_during_it() {
    let mock = Mock::start(session());
    let home = TestHome::new(&mock.url());
    home.write_settings(crate::scenario::SETTINGS);
    let supervised = Supervised::start(&home);
    let (done, client) = (AtomicBool::new(false), RealClient::find());
    let (run, kills) = std::thread::scope(|scope| {
        let killing = scope.spawn(|| {
            let (mut kills, mut seen) = (0, 0);
            while kills < 20 && !done.load(Ordering::SeqCst) {
                let ledger = mock.ledger();
                // Each falls into the first request after one that was answered whole: a request that is killed over and
                // over would only show how long the client waits between its tries.
                let answered = ledger.iter().skip(seen).any(|sent| sent.ended == Ended::Whole);
                if answered && ledger.last().is_some_and(|sent| sent.ended == Ended::Running) {
                    seen = ledger.len();
                    signal(supervised.worker(), Signal::KILL);
                    kills += 1;
                }
                std::thread::yield_now();
            }
            kills
        });
        let run = client.print_captured(&home, LONG, &[]);
        done.store(true, Ordering::SeqCst);
        (run, killing.join().unwrap())
    });
    assert_eq!((run.text(), &run.result["is_error"]), ("All done.", &json!(false)));
    assert_eq!(kills, 20);
    summary(&format!(
        "The real client, {CALLS} calls, {kills} kills of the worker: ended well after {} ms and {} requests",
        run.wall_ms,
        mock.ledger().len()
    ));
    supervised.stop();
}

#[test]
fn an_upgrade_in_the_middle_of_a_stream_is_not_noticed() {
    let words = long(400).pace(Duration::from_millis(10));
    let mock = Mock::start(Script::new().on(LONG, [words]));
    let home = TestHome::new(&mock.url());
    home.write_settings(crate::scenario::SETTINGS);
    let installed = Installed::new(&home);
    let supervised = Supervised::start_as(&home, installed.command(&home, "ccd"));
    let client = RealClient::find();
    let run = std::thread::scope(|scope| {
        let session = scope.spawn(|| client.print_captured(&home, LONG, &[]));
        assert_eventually!(
            supervised.status().is_some_and(|status| status.proxy.in_flight > 0) || session.is_finished(),
            "the stream is under way"
        );
        assert!(!session.is_finished());
        let old = supervised.worker();
        let mut program = std::fs::read(installed.program("ccd")).unwrap();
        program.extend_from_slice(b"another version");
        let aside = home.user().join("other");
        std::fs::write(&aside, program).unwrap();
        let mode = std::fs::metadata(installed.program("ccd")).unwrap().permissions();
        std::fs::set_permissions(&aside, mode).unwrap();
        installed.put("ccd", &aside);
        let begun = Instant::now();
        let _ = home.ccctl(&["restart"]).ok();
        summary(&format!("Upgrade amid the real client's stream: {} ms", begun.elapsed().as_millis()));
        assert_ne!(supervised.worker(), old);
        session.join().unwrap()
    });
    assert_eq!(run.result["is_error"], false);
    assert_eq!(run.text().split_whitespace().count(), 400);
    let ledger = mock.ledger();
    let asked = ledger.iter().filter(|sent| sent.path.starts_with("/v1/messages")).count();
    assert_eventually!(
        check::exchanges(&home)
            .iter()
            .filter(|got| got.complete && got.path.starts_with("/v1/messages"))
            .count()
            == asked,
        "every exchange is recorded, once"
    );
    supervised.stop();
}
