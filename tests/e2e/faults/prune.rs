//! F02: `kill -9` while the past is let go of. What stays is whole; what goes, goes wholly or not at all; its usage
//! and the next start need nobody's help.

use std::process::Stdio;
use std::time::{Duration, Instant};

use ccd_proto::frame::Status;
use ccd_tests::harness::events::{HookSession, deliver_at, now_ns};
use ccd_tests::harness::soak::{Random, count, summary};
use ccd_tests::harness::{Daemon, TestHome, binary, eventually};
use serde_json::Value;

use super::{NO_UPSTREAM, millis, status};
use crate::check;

const HOUR_NS: u64 = 3_600_000_000_000;
/// Calls of a day's session; one of them tells so much that it lies in the packs.
const CALLS: usize = 6;

/// Records a session for each of the last days, the oldest first.
fn record(home: &TestHome, days: u64) -> Vec<HookSession> {
    let socket = home.layout().hook_socket();
    let mut random = Random::of("prune");
    let begin = now_ns() - days * 24 * HOUR_NS;
    (0..days)
        .map(|day| {
            let (session, mut at) = (HookSession::new(), begin + day * 24 * HOUR_NS);
            let mut send = |payload: &[u8]| {
                at += 1_000_000;
                assert_eq!(deliver_at(&socket, at, payload).unwrap(), Status::Durable);
            };
            send(&session.start());
            send(&session.prompt("do it"));
            for call in 0..CALLS {
                let id = format!("toolu_{day}_{call}");
                send(&session.before_tool(&id, "true"));
                let said = random.text(if call == 0 { 80_000 } else { 500 });
                send(&session.after_tool(&id, "true", &said));
            }
            session
        })
        .collect()
}

/// The days whose sessions are there. Each is there whole.
fn days(home: &TestHome, sessions: &[HookSession]) -> Vec<usize> {
    let found = check::sessions(home);
    let there: Vec<usize> = (0..sessions.len())
        .filter(|day| {
            let session = found.iter().find(|found| found.session_id == sessions[*day].session);
            session.is_some_and(|session| {
                assert_eq!((session.tool_calls, session.turns), (CALLS as u64, 1), "day {day}");
                true
            })
        })
        .collect();
    assert_eq!(found.len(), there.len(), "nothing else is there");
    there
}

#[test]
fn f02_a_kill_while_old_records_are_pruned_leaves_a_day_or_takes_it() {
    let mut random = Random::seeded("F02 prune");
    let kills = count(8, 60);
    let home = TestHome::new(NO_UPSTREAM);
    let mut daemon = Daemon::start(&home);
    let sessions = record(&home, kills as u64 + 3);
    let prune = |day: usize| {
        // In the middle of the night after that day's session.
        let age = (sessions.len() - day) * 24 - 12;
        let mut command = home.command(&binary("ccctl"));
        command.args(["store", "prune", "--yes", "--older-than", &format!("{age}h")]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null());
        command
    };
    let begun = Instant::now();
    assert!(prune(0).status().unwrap().success());
    let whole = begun.elapsed();
    assert_eq!(days(&home, &sessions), (1..sessions.len()).collect::<Vec<_>>());
    let mut gone = 0;
    for day in 1..=kills {
        let mut child = prune(day).spawn().unwrap();
        random.pause(whole + Duration::from_millis(20));
        daemon.kill9();
        child.wait().unwrap();
        daemon = Daemon::start(&home);
        let there = eventually("questions are answered", || Some(days(&home, &sessions)));
        assert_eq!(there, (sessions.len() - there.len()..sessions.len()).collect::<Vec<_>>());
        assert!(there[0] <= day + 1, "day {} is gone too early: {there:?}", day + 1);
        gone += usize::from(there[0] == day + 1);
    }
    assert!(prune(kills).status().unwrap().success());
    assert_eq!(days(&home, &sessions), [kills + 1, kills + 2]);
    let verified: Value = home.ccctl(&["store", "verify", "--json"]).ok().json();
    assert_eq!((&verified["ok"], status(&home).store.damaged), (&Value::Bool(true), 0), "{verified}");
    let left = home.layout().store_dir().join("v1/index").read_dir().unwrap().count();
    assert_eq!(left, 1, "one generation of the index");
    summary(&format!(
        "F02: {kills} kills while a day was pruned, {gone} days gone at once, the others wholly there; pruning a day \
         took {} ms",
        millis(whole)
    ));
}
