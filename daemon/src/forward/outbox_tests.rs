//! The outbox with a clock and a sink of the test's own.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::forward::retry::Retry;

const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400 * SECOND;

fn unit(key: u64, digest: u64) -> Unit {
    Unit { key, digest }
}

fn looked(units: &[Unit]) -> Looked {
    Looked { since_ns: 5, units: units.to_vec(), seen: 7, at_ns: 1, again: None }
}

fn on() -> Outbox {
    let mut outbox = Outbox::new(None, "sink");
    outbox.switch_on(false, 5);
    outbox.scanned(Vec::new(), &[], 0);
    outbox
}

/// What is on disk after a kill: what was saved last.
fn killed(outbox: &Outbox) -> Outbox {
    let text = serde_json::to_string(outbox.state()).unwrap();
    let mut outbox = Outbox::new(serde_json::from_str(&text).unwrap(), "sink");
    outbox.switch_on(false, 99);
    outbox
}

#[test]
fn nothing_waits_before_it_is_switched_on_nor_after_it_is_switched_off() {
    let mut outbox = Outbox::new(None, "sink");
    outbox.changed("s".into(), 0);
    outbox.missed();
    assert_eq!(outbox.next(u64::MAX), Step::Wait(None));
    outbox.switch_on(false, 5);
    assert_eq!((outbox.next(0), outbox.state().since_ns), (Step::Scan, 5));
    outbox.scanned(Vec::new(), &[], 0);
    outbox.looked("s", looked(&[unit(1, 1)]), 0);
    assert_eq!(outbox.next(0), Step::Send("s".into(), unit(1, 1)));
    outbox.switch_off();
    assert_eq!((outbox.next(u64::MAX), outbox.waiting(), outbox.take_unsaved()), (Step::Wait(None), 0, true));
    outbox.switch_on(false, 9);
    assert_eq!(outbox.state().since_ns, 9, "what came while it was off is not sent");
    outbox.scanned(Vec::new(), &[], 0);
    outbox.looked("s", looked(&[unit(1, 1)]), 0);
    assert_eq!(outbox.waiting(), 0, "nor what was seen before");
}

#[test]
fn a_session_is_looked_at_once_it_is_quiet_and_soon_even_if_it_never_is() {
    let mut outbox = on();
    outbox.changed("s".into(), 0);
    assert_eq!(outbox.next(SECOND), Step::Wait(Some(3 * SECOND)));
    for second in 1..60 {
        outbox.changed("s".into(), second * SECOND);
    }
    assert_eq!(outbox.next(0), Step::Wait(Some(30 * SECOND)));
    assert_eq!(outbox.next(30 * SECOND), Step::Look("s".into()));
    outbox.looked("s", looked(&[]), 30 * SECOND);
    assert_eq!(outbox.next(DAY), Step::Wait(None), "idle is idle");
    let running = Looked { again: Some(Duration::from_secs(60)), ..looked(&[]) };
    outbox.looked("s", running, 0);
    assert_eq!(outbox.next(0), Step::Wait(Some(60 * SECOND)));
    assert_eq!(outbox.state().sessions["s"].seen, 0);
}

#[test]
fn a_turn_is_sent_once_and_again_only_if_that_is_wanted() {
    for (resend, again) in [(false, Step::Wait(None)), (true, Step::Send("s".into(), unit(1, 2)))] {
        let mut outbox = on();
        outbox.switch_on(resend, 5);
        outbox.scanned(Vec::new(), &[], 0);
        outbox.looked("s", looked(&[unit(1, 1)]), 0);
        outbox.taken("s", unit(1, 1), None, 8);
        outbox.looked("s", looked(&[unit(1, 1)]), 0);
        assert_eq!(outbox.next(0), Step::Wait(None));
        outbox.looked("s", looked(&[unit(1, 2)]), 0);
        assert_eq!(outbox.next(0), again);
        assert_eq!((outbox.state().sent, outbox.state().last_success_ns), (1, 8));
    }
}

#[test]
fn three_days_without_the_sink_cost_a_few_attempts_and_the_names_of_what_waits() {
    let mut outbox = on();
    let (mut now, mut tries, mut writes) = (0, 0, 0);
    let mut turns = BTreeMap::<String, Vec<Unit>>::new();
    while now < 3 * DAY {
        // A turn every ten minutes.
        let n = now / (600 * SECOND);
        let session = format!("s{}", n / 20);
        let units = turns.entry(session.clone()).or_default();
        if units.last().is_none_or(|last| last.key < n) {
            units.push(unit(n, n));
            outbox.changed(session, now);
        }
        now = match outbox.next(now) {
            Step::Scan => unreachable!(),
            Step::Look(session) => {
                let units = turns[&session].clone();
                outbox.looked(
                    &session,
                    Looked { since_ns: 5, units, at_ns: n, seen: n + 1, again: None },
                    now,
                );
                now
            }
            Step::Send(..) => {
                tries += 1;
                let pause = |failed| Retry::STEADY.pause(failed, None, tries);
                outbox.failed("connection refused", pause, now, now);
                now
            }
            Step::Wait(until) => until.unwrap_or(u64::MAX).min((n + 1) * 600 * SECOND),
        };
        writes += u32::from(outbox.take_unsaved());
    }
    let made: u64 = turns.values().map(|units| units.len() as u64).sum();
    assert_eq!((outbox.waiting(), outbox.state().dropped), (made, 0));
    assert!(made > 400 && (850..4000).contains(&tries), "{made} {tries}");
    assert!(u64::from(writes) <= made + 2, "{writes}");
    assert!(serde_json::to_string(outbox.state()).unwrap().len() < 64 * 1024);

    // It comes back: everything, in order, once.
    let mut outbox = killed(&outbox);
    let found =
        turns.keys().map(|session| (session.clone(), outbox.state().sessions[session].seen)).collect();
    outbox.scanned(found, &[], 0);
    let mut got = Vec::new();
    while let Step::Send(session, unit) = outbox.next(0) {
        got.push(unit.key);
        outbox.taken(&session, unit, None, 1);
    }
    assert_eq!(
        got,
        turns.values().flatten().map(|u| u.key).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    );
    assert_eq!(outbox.next(0), Step::Wait(None));
}

#[test]
fn what_the_store_lets_go_of_is_counted() {
    let mut outbox = on();
    outbox.looked("a", looked(&[unit(1, 1), unit(2, 2)]), 0);
    outbox.looked("b", looked(&[unit(1, 1), unit(2, 2)]), 0);
    outbox.looked("c", looked(&[unit(1, 1)]), 0);
    outbox.taken("a", unit(1, 1), None, 1);
    outbox.missed();
    outbox.scanned(Vec::new(), &["a".into()], 0);
    assert_eq!(outbox.state().dropped, 1);
    outbox.looked("b", looked(&[unit(2, 2)]), 0);
    assert_eq!(outbox.state().dropped, 2);
    outbox.gone("c", unit(1, 1));
    assert_eq!((outbox.state().dropped, outbox.waiting()), (3, 1));
    outbox.excluded("b", 8);
    assert_eq!((outbox.state().dropped, outbox.waiting()), (3, 0));
}

#[test]
fn another_sink_was_sent_nothing_yet() {
    let mut outbox = on();
    outbox.looked("s", looked(&[unit(1, 1)]), 0);
    let state = outbox.state().clone();
    assert_eq!(Outbox::new(Some(state.clone()), "sink").state(), &state);
    assert_eq!(Outbox::new(Some(state.clone()), "other").waiting(), 0);
    assert_eq!(Outbox::new(Some(State { version: 2, ..state }), "sink").waiting(), 0);
}

/// What happens to an outbox, its sink and its daemon.
#[derive(Clone, Debug)]
enum Event {
    Turn(u8),
    /// Whether the sink gets it, and whether its answer arrives.
    Attempt(bool, bool),
    Kill,
    /// The state is saved.
    Save,
    Pass(u16),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0u8..4).prop_map(Event::Turn),
        6 => (any::<bool>(), any::<bool>()).prop_map(|(got, heard)| Event::Attempt(got, heard)),
        1 => Just(Event::Kill),
        2 => Just(Event::Save),
        3 => (0u16..400).prop_map(Event::Pass),
    ]
}

proptest! {
    #[test]
    fn nothing_is_lost_and_nothing_is_noted_that_the_sink_has_not(events in proptest::collection::vec(event(), 1..120)) {
        let mut outbox = on();
        let mut disk = serde_json::to_string(outbox.state()).unwrap();
        let (mut now, mut made) = (0, BTreeMap::<String, Vec<Unit>>::new());
        let mut sink = BTreeSet::new();
        let settle = |outbox: &mut Outbox, made: &BTreeMap<String, Vec<Unit>>, now: u64| loop {
            match outbox.next(now) {
                Step::Scan => outbox.scanned(made.keys().map(|s| (s.clone(), made[s].len() as u64)).collect(), &[], now),
                Step::Look(s) => {
                    let units = made[&s].clone();
                    let seen = units.len() as u64;
                    outbox.looked(&s, Looked { since_ns: 5, units, seen, at_ns: 1, again: None }, now);
                }
                other => return other,
            }
        };
        for event in events {
            match event {
                Event::Turn(session) => {
                    let units = made.entry(format!("s{session}")).or_default();
                    units.push(unit(units.len() as u64, 0));
                    outbox.changed(format!("s{session}"), now);
                }
                Event::Attempt(got, heard) => {
                    if let Step::Send(session, unit) = settle(&mut outbox, &made, now) {
                        if got { sink.insert((session.clone(), unit.key)); }
                        if got && heard {
                            outbox.taken(&session, unit, None, 1);
                        } else {
                            outbox.failed("down", |n| Retry::STEADY.pause(n, None, 0), now, 1);
                        }
                    }
                }
                Event::Save => disk = serde_json::to_string(outbox.state()).unwrap(),
                Event::Kill => {
                    outbox = Outbox::new(serde_json::from_str(&disk).unwrap(), "sink");
                    outbox.switch_on(false, 99);
                }
                Event::Pass(seconds) => now += u64::from(seconds) * SECOND,
            }
            for (session, past) in &outbox.state().sessions {
                for sent in &past.sent {
                    prop_assert!(sink.contains(&(session.clone(), sent.key)), "noted as sent, and is not there");
                }
            }
        }
        // The sink is well from now on: it gets all of it.
        loop {
            match settle(&mut outbox, &made, now) {
                Step::Send(session, unit) => {
                    sink.insert((session.clone(), unit.key));
                    outbox.taken(&session, unit, None, 1);
                }
                Step::Wait(Some(until)) => now = now.max(until),
                _ => break,
            }
        }
        let all: BTreeSet<_> = made.iter().flat_map(|(s, units)| units.iter().map(|u| (s.clone(), u.key))).collect();
        prop_assert_eq!(sink, all);
    }
}
