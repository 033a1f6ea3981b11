//! Cost and contexts with other models, providers, windows and clients' habits.

mod common;

use ccd_detect::Kind;
use common::Session;
use serde_json::json;

const OPUS: &str = "claude-opus-4-6";
const BEDROCK: &str = "us.anthropic.claude-opus-4-6-20260101-v1:0";

fn found(session: &Session, kind: Kind) -> Vec<&'static str> {
    session.found(kind).into_iter().map(|(rule, _)| rule).collect()
}

fn told(session: &mut Session, window: u64) {
    if let Some(last) = session.events.last_mut() {
        last["window"] = json!(window);
    }
}

fn steady(session: &mut Session, model: &str, answers: u64) {
    for n in 0..answers {
        session.turn(model, [5, 900, 80_000 + n * 1000, 100]).bash(&format!("step {n}"), "ok");
    }
}

#[test]
fn models_that_nobody_knows() {
    for model in ["gpt-5.2", "kimi-k2", "some/own-model:free", ""] {
        let mut session = Session::new();
        steady(&mut session, model, 40);
        assert_eq!(found(&session, Kind::Cost), [""; 0], "{model}");
        for n in 0..3 {
            session.turn(model, [8, 122_000 + n * 900, 0, 100]).bash(&format!("more {n}"), "ok");
        }
        assert_eq!(found(&session, Kind::Cost), ["cache"], "{model}");
    }
    let fan_out = |context: u64| {
        let mut session = Session::new();
        for agent in 0..7 {
            for _ in 0..3 {
                session.agent(Some(&format!("a{agent}"))).turn("own-model", [3, 1000, context, 200]);
            }
        }
        found(&session, Kind::Cost)
    };
    assert_eq!(fan_out(60_000), [""; 0], "read from the cache: a tenth");
}

#[test]
fn one_model_under_two_names_is_one() {
    let mut session = Session::new();
    steady(&mut session, OPUS, 4);
    session.turn(BEDROCK, [5, 900, 85_000, 100]).bash("a", "ok").turn(OPUS, [5, 900, 86_000, 100]);
    assert_eq!(found(&session, Kind::Cost), [""; 0]);
    let mut session = Session::new();
    session.turn(OPUS, [1, 900, 100_000, 10]);
    told(&mut session, 1_000_000);
    session.turn(BEDROCK, [1, 900, 190_000, 10]);
    assert_eq!(found(&session, Kind::Overflow), [""; 0], "what was told of one holds for the other");
}

#[test]
fn a_model_that_changes_because_somebody_chose_it() {
    let switch = |by: Option<&str>| {
        let mut session = Session::new();
        steady(&mut session, "claude-sonnet-4-6", 4);
        if let Some(source) = by {
            session.push(json!({"hook_event_name": "PostModelSwitch", "source": source, "to_model": OPUS}));
        }
        session.turn(OPUS, [5, 85_000, 0, 100]);
        found(&session, Kind::Cost)
    };
    assert_eq!(switch(Some("user")), [""; 0]);
    assert_eq!(switch(Some("auto")), ["model"], "a fallback is nobody's wish");
    assert_eq!(switch(None), ["model"]);
    let mut down = Session::new();
    steady(&mut down, OPUS, 4);
    down.turn("claude-haiku-4-5", [5, 85_000, 0, 100]);
    assert_eq!(found(&down, Kind::Cost), [""; 0], "a cheaper one");
}

#[test]
fn subagents_with_other_models_and_side_requests() {
    let mut session = Session::new();
    steady(&mut session, OPUS, 3);
    for n in 0..4 {
        session.agent(Some("a1")).turn("claude-haiku-4-5", [5, 900, 30_000 + n * 1000, 100]);
        session.agent(None).turn("claude-haiku-4-5", [400, 0, 0, 20]);
        session.turn(OPUS, [5, 900, 83_000 + n * 1000, 100]).bash(&format!("step {n}"), "ok");
    }
    assert_eq!(found(&session, Kind::Cost), [""; 0]);
    assert_eq!(found(&session, Kind::Overflow), [""; 0]);
}

#[test]
fn contexts_that_begin_anew() {
    for source in ["resume", "clear", "compact", "startup"] {
        let mut session = Session::new();
        for _ in 0..4 {
            steady(&mut session, OPUS, 2);
            session.push(json!({"hook_event_name": "SessionStart", "source": source, "cwd": "/home/u/shop"}));
            // The first answer pays for the cache again.
            session.turn(OPUS, [3, 84_000, 0, 100]);
        }
        assert_eq!(found(&session, Kind::Cost), [""; 0], "{source}");
    }
    // A daemon that comes later than the session sees no beginning.
    let mut session = Session::new();
    session.events.clear();
    session.turn(OPUS, [3, 84_000, 0, 100]).bash("a", "ok").turn(OPUS, [3, 900, 84_000, 100]);
    assert_eq!(found(&session, Kind::Cost), [""; 0]);
}

#[test]
fn caches_that_live_longer_and_prompts_that_are_too_short() {
    let mut hour = Session::new();
    for n in 0..12 {
        hour.wait(20 * 60).turn(OPUS, [3, 900, 80_000 + n * 1000, 100]).bash(&format!("step {n}"), "ok");
    }
    assert_eq!(found(&hour, Kind::Cost), [""; 0], "it hits after twenty minutes");
    let mut short = Session::new();
    for n in 0..12 {
        short.turn(OPUS, [3, 9_000 + n * 500, 0, 100]).bash(&format!("step {n}"), "ok");
    }
    assert_eq!(found(&short, Kind::Cost), [""; 0], "written anew each time, and too small to matter");
}

#[test]
fn windows_of_other_sizes() {
    let fills = |model: &str, window: Option<u64>, contexts: &[u64]| {
        let mut session = Session::new();
        for context in contexts {
            session.turn(model, [1, 900, *context, 10]);
            if let Some(window) = window {
                told(&mut session, window);
            }
            session.bash(&format!("{context}"), "ok");
        }
        found(&session, Kind::Overflow)
    };
    let to_million: Vec<u64> = (1..76).map(|n| n * 10_000).collect();
    assert_eq!(fills(OPUS, Some(1_000_000), &to_million[..70]), [""; 0]);
    assert_eq!(fills(OPUS, Some(1_000_000), &to_million), ["filling"]);
    assert_eq!(fills(&format!("{BEDROCK}[1m]"), None, &to_million[..70]), [""; 0]);
    assert_eq!(fills("claude-opus-4-6[1M]", None, &to_million), ["filling"]);
    assert_eq!(fills(OPUS, Some(200_000), &[60_000, 150_000]), ["filling"]);
    assert_eq!(fills(OPUS, None, &[60_000, 150_000]), ["filling"]);
    // Another provider's model: told, or the least window that it can have.
    assert_eq!(fills("gpt-5.2", Some(400_000), &[60_000, 150_000, 250_000]), [""; 0]);
    assert_eq!(fills("gpt-5.2", Some(400_000), &[60_000, 290_000]), ["filling"]);
    assert_eq!(fills("kimi-k2", Some(128_000), &[60_000, 95_000]), ["filling"]);
    assert_eq!(fills("gpt-5.2", None, &[60_000, 150_000, 250_000, 260_000]), ["filling", "urgent"]);
}

#[test]
fn a_compaction_tells_another_providers_window() {
    let mut session = Session::new();
    session.turn("kimi-k2", [1, 900, 100_000, 10]).compact("auto", 101_000);
    for context in [40_000, 60_000, 80_000, 95_000] {
        session.turn("kimi-k2", [1, 900, context, 10]).bash(&format!("{context}"), "ok");
    }
    assert_eq!(found(&session, Kind::Overflow), ["compacted", "filling"]);
}
