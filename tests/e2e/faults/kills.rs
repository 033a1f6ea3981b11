//! F01, F02: `kill -9` at any moment. The next start needs nobody's help, and everything acknowledged is there.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use ccd_proto::frame::Status;
use ccd_tests::harness::events::HookSession;
use ccd_tests::harness::soak::{Random, count, summary};
use ccd_tests::harness::{Daemon, TestHome, binary, eventually};
use ccd_tests::mock::{Mock, Script, reply};

use super::load::{Events, Streams};
use super::{NO_UPSTREAM, millis, status, with_fixed_port};

/// How long a daemon lives at most before it is killed under load.
const LIFE: Duration = Duration::from_millis(250);
/// How long a very first start lives at most: about as long as it takes.
const FIRST_LIFE: Duration = Duration::from_millis(50);

#[test]
fn f01_kills_under_load_lose_nothing_that_was_acknowledged() {
    let mut random = Random::seeded("F01");
    let mock =
        Mock::start(Script::new().on("STREAM", [reply().thinking_omitted().text(&"words ".repeat(300))]));
    let home = with_fixed_port(TestHome::new(&mock.url()));
    let kills = count(8, 312);
    let events = Events::of(&home);
    let mut daemon = Daemon::start(&home);
    let streams = Streams::of(&home);
    let mut reported = BTreeSet::new();
    let (mut slowest, mut resent) = (Duration::ZERO, 0);
    for round in 0..kills {
        let (session, stream_session) = (HookSession::new(), format!("streams-{round}"));
        thread::scope(|scope| {
            for writer in 0..3 {
                let (events, session) = (&events, &session);
                scope.spawn(move || events.send_until_gone(session, &format!("{round}_{writer}")));
            }
            for _ in 0..2 {
                scope.spawn(|| streams.stream_until_gone(&stream_session));
            }
            random.pause(LIFE);
            // What it says it has, it must have for ever.
            reported.extend(Streams::reported(&home, &stream_session));
            random.pause(LIFE / 10);
            daemon.kill9();
        });
        let begun = Instant::now();
        daemon = Daemon::spawn(&home, home.command(&binary("ccd")));
        // The next request, on the same port, with the same token.
        eventually("the next request is answered", || streams.stream("after").then_some(()));
        slowest = slowest.max(begun.elapsed());
        // Some come again at once, as from the spool; the rest is never heard of again.
        if round % 2 == 0 {
            eventually("hook events are taken again", || {
                matches!(events.send(&session, &format!("toolu_{round}_again")), Ok(Status::Durable))
                    .then_some(())
            });
            resent += events.resend();
        }
    }
    let recorded = events.assert_recorded(&home);
    let whole = streams.assert_recorded(&home, &reported);
    assert_eq!(status(&home).store.damaged, 0, "a torn end is no damage");
    assert!(events.acknowledged() > 0 && streams.whole() > 0, "there was something to lose");
    summary(&format!(
        "F01: {kills} kills, {} events acknowledged, 0 lost, 0 doubled ({recorded} recorded, {resent} sent again); \
         {} exchanges reported captured, 0 lost ({whole} recorded, {} cut); worst restart to answer {} ms",
        events.acknowledged(),
        reported.len(),
        streams.cut(),
        millis(slowest),
    ));
}

#[test]
fn f02_a_kill_during_the_very_first_start_leaves_nothing_that_stops_the_next() {
    let mut random = Random::seeded("F02 first start");
    let kills = count(30, 300);
    let homes = count(10, 100);
    for _ in 0..homes {
        let home = TestHome::new(NO_UPSTREAM);
        for _ in 0..kills / homes {
            let daemon = Daemon::spawn(&home, home.command(&binary("ccd")));
            random.pause(FIRST_LIFE);
            daemon.kill9();
        }
        let _daemon = Daemon::start(&home);
        let (events, session) = (Events::of(&home), HookSession::new());
        let first = events.send(&session, "toolu_first").unwrap();
        assert_eq!((first, events.assert_recorded(&home)), (Status::Durable, 1));
        let store = status(&home).store;
        assert_eq!((store.damaged, store.error), (0, None));
    }
    summary(&format!("F02: {kills} kills during the first start of {homes} homes, all of them serve"));
}

#[test]
fn f02_a_kill_during_a_rebuild_of_the_index_loses_nothing() {
    let mut random = Random::seeded("F02 rebuild");
    let (kills, records) = (count(8, 100), count(1_200, 8_000));
    let home = TestHome::new(NO_UPSTREAM);
    let (events, session) = (Events::of(&home), HookSession::new());
    let daemon = Daemon::start(&home);
    thread::scope(|scope| {
        for writer in 0..4 {
            let (events, session) = (&events, &session);
            scope.spawn(move || {
                for n in 0..records / 4 {
                    let answer = events.send(session, &format!("toolu_{writer}_{n:05}")).unwrap();
                    assert_eq!(answer, Status::Durable);
                }
            });
        }
    });
    daemon.kill9();
    // About as long as the rebuild takes.
    let begun = Instant::now();
    home.delete_index();
    let daemon = Daemon::start(&home);
    assert_eq!(events.assert_recorded(&home), records);
    let whole = begun.elapsed();
    daemon.kill9();
    for _ in 0..kills {
        // Each second time, what the kill before left behind is gone on with.
        if random.below(2) == 0 {
            home.delete_index();
        }
        let daemon = Daemon::spawn(&home, home.command(&binary("ccd")));
        random.pause(whole);
        daemon.kill9();
    }
    let _daemon = Daemon::start(&home);
    assert_eq!(events.assert_recorded(&home), records);
    assert_eq!(status(&home).store.damaged, 0);
    summary(&format!(
        "F02: {kills} kills during rebuilds of {records} records, all there; a whole rebuild took {} ms",
        millis(whole)
    ));
}
