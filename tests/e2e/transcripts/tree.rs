//! What transcripts alone make of sessions: turns, spans with their content, forks that carry no tokens of their own; and
//! that the trees add up to what `usage` counts.

use ccd_proto::api::{Shown, Span, Spans, Tokens, Turn, Turns, Usage};
use ccd_tests::assert_eventually;
use ccd_tests::harness::TestHome;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;

const ORIGINAL: &str = "11111111-1111-4111-8111-111111111111";
const FORK: &str = "22222222-2222-4222-8222-222222222222";

fn ask<T: DeserializeOwned>(home: &TestHome, args: &[&str]) -> T {
    let out = home.ccctl(&[args, &["--json"]].concat());
    serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{args:?}: {e}: {}", out.stderr))
}

fn of(session: &str, second: u64, kind: &str, message: Value, more: Value) -> String {
    let mut line = json!({"type":kind,"uuid":format!("{kind}-{second}"),"promptId":"p1","sessionId":session,"cwd":"/w/app",
        "version":"2.1.329","timestamp":format!("2026-11-20T10:00:{second:02}.000Z")});
    line["message"] = message;
    if let (Value::Object(line), Value::Object(more)) = (&mut line, more) {
        line.extend(more);
    }
    format!("{line}\n")
}

/// An answer of 100 input tokens to request N, which ends its turn unless it asks for something.
fn answer(session: &str, second: u64, block: Value) -> String {
    let stop = if block["type"] == "tool_use" { "tool_use" } else { "end_turn" };
    let mut message = json!({"id":format!("msg_{second}"),"role":"assistant","model":"claude-sonnet-4-5","stop_reason":stop,
        "content":[],"usage":{"input_tokens":100,"output_tokens":10}});
    message["content"] = Value::Array(vec![block]);
    of(session, second, "assistant", message, json!({"requestId":format!("req_{second}")}))
}

/// A prompt, a thought, a call with its result, and the last words.
fn conversation(session: &str) -> String {
    let result =
        json!({"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":"a b"}]});
    [
        of(session, 1, "user", json!({"role":"user","content":"list it"}), json!({})),
        answer(session, 2, json!({"type":"thinking","thinking":"Let me see.","signature":"x"})),
        answer(session, 3, json!({"type":"tool_use","id":"toolu_1","name":"Bash","input":{"command":"ls"}})),
        of(session, 4, "user", result, json!({})),
        answer(session, 5, json!({"type":"text","text":"a and b"})),
    ]
    .concat()
}

fn spans(home: &TestHome, session: &str) -> Vec<Span> {
    let args = ["traces", "--session", session, "--content", "--reasoning", "--limit", "1000"];
    ask::<Spans>(home, &args).spans
}

fn turns(home: &TestHome, session: &str) -> Vec<Turn> {
    ask::<Turns>(home, &["turns", "--session", session, "--limit", "1000"]).turns
}

fn usage(home: &TestHome, session: &str) -> (Tokens, Option<i64>) {
    let totals = ask::<Usage>(home, &["usage", "--session", session]).totals;
    (totals.tokens, totals.cost_usd_micros)
}

fn sum(turns: &[Turn]) -> (Tokens, Option<i64>) {
    let mut tokens = Tokens::default();
    for turn in turns {
        tokens += turn.tokens;
    }
    (tokens, Some(turns.iter().filter_map(|t| t.cost_usd_micros).sum()))
}

#[test]
fn a_session_of_a_transcript_alone_has_its_content() {
    let home = home();
    let text = conversation(ORIGINAL);
    write(&transcript(&home, "-w-app", ORIGINAL), &text);
    let _daemon = start(&home);
    assert_eventually!(has(&home, 1, text.len() as u64), "it is taken");
    let turns = turns(&home, ORIGINAL);
    assert_eq!(turns.len(), 1);
    assert_eq!((turns[0].prompt.as_deref(), turns[0].result.as_deref()), (Some("list it"), Some("a and b")));
    assert_eq!(sum(&turns), usage(&home, ORIGINAL));
    let spans = spans(&home, ORIGINAL);
    assert!(spans.iter().all(|s| s.sources == ["transcript"] && s.status == "ok"), "{spans:?}");
    let tool = spans.iter().find(|s| s.kind == "tool").unwrap();
    assert_eq!(
        (tool.input.as_ref(), tool.output.as_ref()),
        (Some(&json!({"command":"ls"})), Some(&json!("a b")))
    );
    assert!(tool.attributed_usd_micros.is_some());
    let calls: Vec<&Span> = spans.iter().filter(|s| s.kind == "llm").collect();
    assert_eq!(calls.len(), 3);
    assert_eq!(calls[0].reasoning.as_ref().unwrap().text.as_deref(), Some("Let me see."));
    assert_eq!(calls[0].input, Some(json!([{"role":"user","content":"list it"}])));
    assert_eq!(calls[2].output, Some(json!([{"type":"text","text":"a and b"}])));
    for id in [&calls[2].span_id, "toolu_1", "p1"] {
        assert_ne!(ask::<Shown>(&home, &["show", id]).kind, "session", "{id} is found");
    }
}

#[test]
fn a_fork_shows_what_it_copied_and_was_not_charged_for_it() {
    let home = home();
    let original = conversation(ORIGINAL);
    write(&transcript(&home, "-w-app", ORIGINAL), &original);
    let _daemon = start(&home);
    assert_eventually!(has(&home, 1, original.len() as u64), "the original is taken");
    let own = [
        of(FORK, 20, "user", json!({"role":"user","content":"and c?"}), json!({"promptId":"p2"})),
        answer(FORK, 21, json!({"type":"text","text":"no c"})),
    ];
    let fork = conversation(FORK) + &own.concat();
    write(&transcript(&home, "-w-app", FORK), &fork);
    assert_eventually!(has(&home, 2, (original.len() + fork.len()) as u64), "the fork is taken");
    let spans = spans(&home, FORK);
    let calls: Vec<_> = spans.iter().filter(|s| s.kind == "llm").collect();
    let copied: Vec<_> = calls.iter().map(|s| s.copied_from.as_deref()).collect();
    assert_eq!(copied, [Some(ORIGINAL), Some(ORIGINAL), Some(ORIGINAL), None]);
    assert!(calls[..3].iter().all(|s| s.tokens.is_none()) && calls[3].tokens.is_some());
    for (session, input) in [(ORIGINAL, 300), (FORK, 100)] {
        let (counted, shown) = (usage(&home, session), sum(&turns(&home, session)));
        assert_eq!((counted.0.input, &shown), (input, &counted), "{session}");
    }
}
