//! Money that runs out, and the dear but healthy sessions next to it.

mod common;

use std::sync::Arc;

use ccd_detect::{Engine, Event, Index, Kind, Price, Prices, Settings, Unknown};
use common::Session;
use serde_json::json;

const OPUS: &str = "claude-opus-4-6";
const HAIKU: &str = "claude-haiku-4-5";

fn costs(session: &Session) -> Vec<(&'static str, usize)> {
    session.found(Kind::Cost)
}

/// Answers with a cache that hits, one tool call after each.
fn steady(session: &mut Session, answers: u64) {
    for n in 0..answers {
        session.turn(OPUS, [5, 900, 80_000 + n * 1000, 100]).bash(&format!("step {n}"), "ok");
    }
}

#[test]
fn steady_and_dear_is_healthy() {
    let mut session = Session::new();
    steady(&mut session, 80);
    session.turn(OPUS, [5, 900, 161_000, 12_600]);
    assert_eq!(costs(&session), []);
}

#[test]
fn a_cache_that_stops_hitting() {
    let mut session = Session::new();
    steady(&mut session, 5);
    for n in 0..3 {
        assert_eq!(costs(&session), []);
        session.turn(OPUS, [8, 85_000 + n * 900, 0, 100]).bash(&format!("more {n}"), "ok");
    }
    assert_eq!(costs(&session), [("cache", session.last() - 1)]);
}

#[test]
fn a_pause_a_compaction_and_a_provider_without_cache_explain_themselves() {
    let mut slow = Session::new();
    steady(&mut slow, 5);
    for n in 0..6 {
        slow.wait(400).turn(OPUS, [8, 85_000 + n * 900, 0, 100]).bash(&format!("more {n}"), "ok");
    }
    assert_eq!(costs(&slow), []);

    let mut timeless = Session::new();
    steady(&mut timeless, 5);
    for n in 0..6 {
        timeless.turn(OPUS, [8, 85_000 + n * 900, 0, 100]).bash(&format!("more {n}"), "ok");
    }
    timeless.events.iter_mut().for_each(|event| event["ts"] = json!(null));
    assert_eq!(costs(&timeless), []);

    let mut compacted = Session::new();
    for _ in 0..4 {
        steady(&mut compacted, 3);
        compacted.compact("auto", 83_000).turn(OPUS, [3, 30_000, 0, 100]);
        compacted.push(json!({"hook_event_name": "SessionStart", "source": "compact"}));
    }
    assert_eq!(costs(&compacted), []);

    let mut uncached = Session::new();
    for n in 0..20 {
        uncached.turn(OPUS, [60_000 + n * 1000, 0, 0, 100]).bash(&format!("step {n}"), "ok");
    }
    assert_eq!(costs(&uncached), []);
}

#[test]
fn the_same_request_paid_again_and_again() {
    let mut session = Session::new();
    steady(&mut session, 3);
    for _ in 0..3 {
        session.turn(OPUS, [0, 500, 90_000, 5]);
        assert_eq!(costs(&session), []);
    }
    session.turn(OPUS, [0, 90_500, 0, 5]);
    assert_eq!(costs(&session), [("same_request", session.last())]);

    let mut one_message = Session::new();
    steady(&mut one_message, 3);
    for _ in 0..8 {
        one_message.turn(OPUS, [0, 500, 90_000, 5]);
        one_message.events.last_mut().expect("a turn")["message_id"] = json!("msg_same");
    }
    assert_eq!(costs(&one_message), [], "one answer, told of eight times");
}

#[test]
fn long_answers_again_and_again() {
    let mut session = Session::new();
    steady(&mut session, 3);
    for n in 0..3 {
        session.turn(OPUS, [5, 900, 84_000, 25_000]).bash(&format!("write {n}"), "ok");
    }
    assert_eq!(costs(&session), [("output", session.last() - 1)]);
}

#[test]
fn many_large_subagents_and_many_small_ones() {
    let fan_out = |context: u64, agents: usize| {
        let mut session = Session::new();
        steady(&mut session, 3);
        for n in 0..agents {
            session.agent(Some(&format!("a{n}"))).turn("claude-sonnet-4-5", [3, 1000, context, 200]);
        }
        costs(&session)
    };
    assert_eq!(fan_out(95_000, 7), []);
    assert_eq!(fan_out(95_000, 8).len(), 1);
    assert_eq!(fan_out(20_000, 25), []);
}

#[test]
fn a_dearer_model_that_nobody_chose() {
    let work = |between: &dyn Fn(&mut Session) -> usize| {
        let mut session = Session::new();
        for n in 0..4 {
            session.turn(HAIKU, [5, 900, 60_000 + n * 1000, 100]).bash(&format!("step {n}"), "ok");
        }
        between(&mut session);
        session.turn(OPUS, [5, 65_000, 0, 100]);
        costs(&session)
    };
    assert_eq!(work(&|_| 0).first().map(|(rule, _)| *rule), Some("model"));
    let switch =
        |source: &str| json!({"hook_event_name": "PostModelSwitch", "source": source, "to_model": OPUS});
    assert_eq!(work(&|s| s.prompt("/model opus").last()), []);
    assert_eq!(work(&|s| s.stop("Done.", false).prompt("Now the hard part").last()), []);
    assert_eq!(work(&|s| s.push(switch("user")).last()), []);
    assert_eq!(work(&|s| s.push(switch("auto")).last()).len(), 1);
    let mut side_request = Session::new();
    steady(&mut side_request, 4);
    side_request.turn(HAIKU, [700, 0, 0, 20]);
    steady(&mut side_request, 4);
    assert_eq!(costs(&side_request), []);
}

struct Flat;

impl Prices for Flat {
    fn of(&self, _: &str) -> Option<Price> {
        let input = 5_000_000;
        Some(Price {
            input,
            output: 25_000_000,
            cache_read: 500_000,
            cache_write: 6_250_000,
            relative: false,
        })
    }
}

#[test]
fn money_is_told_where_prices_are_known() {
    let mut session = Session::new();
    steady(&mut session, 5);
    for n in 0..3 {
        session.turn(OPUS, [8, 85_000 + n * 900, 0, 100]).bash(&format!("more {n}"), "ok");
    }
    let index: Arc<dyn Index> = Arc::new(Unknown);
    let mut engine = Engine::new(&Settings::default(), &index).with_prices(Arc::new(Flat));
    let found: Vec<_> =
        session.events.iter().flat_map(|event| engine.observe(&Event::from_hook(event.clone()))).collect();
    assert!(found.iter().any(|d| d.kind == Kind::Cost && d.title.contains("($1.4")), "{found:?}");
    assert!(!session.engine().1.iter().any(|d| d.title.contains('$')));
}
