//! Contexts that fill, against windows that are told, learned or assumed.

mod common;

use ccd_detect::Kind;
use common::Session;
use serde_json::json;

const MODEL: &str = "claude-opus-4-6";

fn overflows(session: &Session) -> Vec<(&'static str, usize)> {
    session.found(Kind::Overflow)
}

fn grow(session: &mut Session, from: u64, to: u64) {
    for context in (from..=to).step_by(2000) {
        session.turn(MODEL, [1, 1900, context - 2000, 99]).bash(&format!("step {context}"), "ok");
    }
}

#[test]
fn a_long_session_below_is_quiet_however_much_it_adds_up_to() {
    let mut session = Session::new();
    for _ in 0..5 {
        grow(&mut session, 40_000, 128_000);
        session.compact("manual", 128_000);
    }
    assert_eq!(overflows(&session), []);
}

#[test]
fn it_warns_once_and_then_urgently() {
    let mut session = Session::new();
    grow(&mut session, 100_000, 190_000);
    let rules: Vec<_> = overflows(&session).into_iter().map(|(rule, _)| rule).collect();
    assert_eq!(rules, ["filling", "urgent"]);
    let (_, found) = session.engine();
    assert!(found[0].evidence[0].text.contains("more answers"), "{:?}", found[0].evidence);
}

#[test]
fn a_jump_and_a_provider_without_cache_are_seen_at_once() {
    let mut session = Session::new();
    session.turn(MODEL, [1, 0, 60_000, 100]).turn(MODEL, [1, 120_000, 60_000, 100]);
    assert_eq!(overflows(&session), [("urgent", session.last())]);
    let mut uncached = Session::new();
    uncached.turn(MODEL, [120_000, 0, 0, 100]).turn(MODEL, [150_000, 0, 0, 100]);
    assert_eq!(overflows(&uncached), [("filling", uncached.last())]);
}

#[test]
fn the_window_is_what_was_told_or_seen() {
    let mut told = Session::new();
    for context in [150_000, 160_000, 190_000_u64] {
        told.turn(MODEL, [context, 0, 0, 10]);
        told.events.last_mut().expect("a turn")["window"] = json!(1_000_000);
    }
    assert_eq!(overflows(&told), []);

    let mut seen = Session::new();
    seen.turn(MODEL, [250_000, 0, 0, 10]).turn(MODEL, [100_000, 0, 0, 10]).turn(MODEL, [170_000, 0, 0, 10]);
    assert_eq!(overflows(&seen), []);
    seen.turn(MODEL, [760_000, 0, 0, 10]);
    assert_eq!(overflows(&seen), [("filling", seen.last())]);
}

#[test]
fn subagents_are_measured_apart() {
    let mut session = Session::new();
    for n in 0..12 {
        session.agent(Some(&format!("a{n}"))).turn(MODEL, [0, 0, 90_000, 50]);
        session.agent(None).turn(MODEL, [0, 0, 50_000 + n * 500, 50]);
    }
    assert_eq!(overflows(&session), []);
    session.agent(Some("a3")).turn(MODEL, [0, 0, 185_000, 50]);
    assert_eq!(overflows(&session), [("agent", session.last())]);
}

#[test]
fn a_compaction_in_the_middle_of_work_is_told() {
    let mut session = Session::new();
    grow(&mut session, 130_000, 160_000);
    session.compact("auto", 160_000);
    assert_eq!(overflows(&session).last(), Some(&("compacted", session.last())));
    grow(&mut session, 30_000, 60_000);
    session.stop("Done.", false).compact("manual", 60_000);
    assert_eq!(overflows(&session).len(), 2);
}

#[test]
fn a_side_request_is_no_new_beginning() {
    let mut session = Session::new();
    grow(&mut session, 140_000, 150_000);
    session.turn("claude-haiku-4-5", [900, 0, 0, 10]);
    grow(&mut session, 150_000, 156_000);
    assert_eq!(overflows(&session).len(), 1);
}

#[test]
fn what_a_compaction_made_the_agent_forget() {
    let file = "/home/u/shop/a.py";
    let before = |said: Option<&str>| {
        let mut session = Session::new();
        session.edit(file, "one", "two").bash("make", "ok").compact("manual", 60_000);
        if let Some(said) = said {
            session.prompt(said);
        }
        session.read(file, "two");
        session
    };
    let mut back = before(None);
    back.edit(file, "two", "one");
    assert_eq!(overflows(&back), [("forgotten", back.last())], "taken back");
    let mut again = before(None);
    again.edit_fails(file, "one");
    assert_eq!(overflows(&again), [], "another edit of the same place");
    again.fails(
        "Edit",
        &json!({"file_path": file, "old_string": "one", "new_string": "two"}),
        "String not found",
    );
    assert_eq!(overflows(&again), [("forgotten", again.last())], "made again");

    let mut asked = before(Some("Take that back, please"));
    asked.edit(file, "two", "one");
    assert_eq!(overflows(&asked), [], "somebody wants it");
    let mut other = before(None);
    other.edit(file, "three", "four").edit("/home/u/shop/b.py", "two", "one");
    assert_eq!(overflows(&other), [], "other edits");
    let mut plain = Session::new();
    plain.edit(file, "one", "two").edit(file, "two", "one");
    assert_eq!(overflows(&plain), [], "nothing was compacted");
    let mut undone = Session::new();
    undone.edit(file, "one", "two").bash("git checkout a.py", "").compact("manual", 60_000);
    undone.fails(
        "Edit",
        &json!({"file_path": file, "old_string": "one", "new_string": "two"}),
        "String not found",
    );
    assert_eq!(overflows(&undone), [], "something else may have taken it back");
}
