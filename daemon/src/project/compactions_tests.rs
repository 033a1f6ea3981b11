//! Compactions told of by hooks, by lines, by both, and by the proxy.

use ccd_proto::api::Span;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::ingest::record::{Stored, TranscriptPart, TranscriptV2};
use crate::project::exchange::{ExchangeFacts, ExchangeRow};
use crate::project::price::Prices;
use crate::project::session::{Fact, SessionState};
use crate::project::{hook, transcript};

const SESSION: &str = "c4aea1f3-66f1-45dc-b211-c365079e7020";
const MS: u64 = 1_000_000;
/// 2026-11-20T18:00:00Z.
const BASE: u64 = 1_795_197_600_000 * MS;

fn hooked(at_ms: u64, name: &str, more: Value) -> Fact {
    let mut body = json!({"session_id":SESSION,"hook_event_name":name});
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    Fact::Hook(Box::new(hook::read(BASE + at_ms * MS, b"", body.to_string().as_bytes()).unwrap()))
}

/// A file of its own for each line: order shall not matter.
fn boundary(at_ms: u64, uuid: &str, meta: Value) -> Fact {
    let mut line = json!({"type":"system","subtype":"compact_boundary","uuid":uuid,"sessionId":SESSION,
        "timestamp":crate::clock::rfc3339(BASE + at_ms * MS)});
    line["compactMetadata"] = meta;
    let record = TranscriptV2 {
        path: format!("/p/{uuid}/{SESSION}.jsonl").into_bytes(),
        part: TranscriptPart::Lines,
        device: 1,
        inode: at_ms,
        born_ns: BASE,
        offset: 0,
        body: Stored::Inline(Vec::new()),
        in_file: None,
    };
    Fact::Transcript(Box::new(transcript::read(&record, format!("{line}\n").as_bytes()).unwrap()))
}

fn summary_call(at_ms: u64) -> Fact {
    let row = ExchangeRow {
        id: [7; 16],
        session_id: Some(SESSION.into()),
        started_ns: BASE + at_ms * MS,
        end_us: 900_000,
        complete: true,
        purpose: "compaction".into(),
        ..ExchangeRow::default()
    };
    Fact::Exchange(Box::new(ExchangeFacts { row, ..ExchangeFacts::default() }))
}

fn spans(facts: &[(u16, Fact)]) -> Vec<Span> {
    let mut state = SessionState::new(SESSION);
    for (n, fact) in facts {
        state.apply(fact, Locator { segment: 1, offset: u32::from(*n), index: 0 });
    }
    state.view(&Prices::new(&BTreeMap::new())).spans.into_iter().map(|view| view.span).collect()
}

fn numbered(facts: Vec<Fact>) -> Vec<(u16, Fact)> {
    (0..).zip(facts).collect()
}

/// Name, duration, status, summary, sources.
type Seen = (String, Option<u64>, String, Option<String>, Vec<String>);

fn seen(facts: Vec<Fact>) -> Vec<Seen> {
    let all = spans(&numbered(facts)).into_iter().filter(|s| s.kind == "compaction");
    all.map(|s| (s.name, s.duration_ms, s.status, s.summary, s.sources)).collect()
}

fn prompt() -> Fact {
    hooked(0, "UserPromptSubmit", json!({"prompt_id":"p","prompt":"do it"}))
}

fn pre(at_ms: u64) -> Fact {
    hooked(at_ms, "PreCompact", json!({"prompt_id":"p","trigger":"auto"}))
}

fn post(at_ms: u64) -> Fact {
    hooked(at_ms, "PostCompact", json!({"prompt_id":"p","trigger":"auto","compact_summary":"…"}))
}

fn meta() -> Value {
    json!({"trigger":"auto","preTokens":167_123,"postTokens":2979,"durationMs":400})
}

#[test]
fn hooks_and_the_line_tell_of_one() {
    let tokens = Some("167,123 → 2,979 tokens".to_owned());
    let (hook, both) = (vec!["hook".to_owned()], vec!["hook".to_owned(), "transcript".to_owned()]);
    let name = || "compact auto".to_owned();
    assert_eq!(seen(vec![prompt(), pre(100)]), [(name(), None, "running".into(), None, hook.clone())]);
    let ok = || "ok".to_owned();
    assert_eq!(seen(vec![prompt(), pre(100), post(600)]), [(name(), Some(500), ok(), None, hook)]);
    let line = || boundary(590, "u", meta());
    assert_eq!(
        seen(vec![prompt(), pre(100), post(600), line()]),
        [(name(), Some(500), ok(), tokens.clone(), both.clone())]
    );
    // The end was not heard of: the line tells.
    assert_eq!(seen(vec![prompt(), pre(100), line()]), [(name(), Some(490), ok(), tokens.clone(), both)]);
    assert_eq!(seen(vec![line()]), [(name(), Some(400), ok(), tokens, vec!["transcript".to_owned()])]);
    let bare = boundary(590, "u", json!({"preTokens":900}));
    assert_eq!(
        seen(vec![bare]),
        [("compact".into(), Some(0), ok(), Some("900 tokens before".into()), vec!["transcript".to_owned()])]
    );
}

#[test]
fn the_call_that_made_the_summary_stands_for_it() {
    let told = || vec![prompt(), pre(10_000), post(12_000), boundary(11_990, "u", meta())];
    let with_call = |at_ms| told().into_iter().chain([summary_call(at_ms)]).collect::<Vec<_>>();
    assert!(seen(with_call(10_500)).is_empty());
    assert_eq!(seen(with_call(90_000)).len(), 1, "that is another one");
    // A line that tells no beginning: whatever was made since the one before it.
    let bare = |at_ms, uuid| boundary(at_ms, uuid, json!({"postTokens":5}));
    assert!(seen(vec![prompt(), bare(11_990, "u"), summary_call(10_500)]).is_empty());
    assert_eq!(seen(vec![prompt(), bare(5_000, "t"), bare(11_990, "u"), summary_call(10_500)]).len(), 1);
}

#[test]
fn two_are_two_and_one_without_an_end_does_not_run_for_ever() {
    let two = seen(vec![prompt(), pre(100), pre(60_000), post(61_000)]);
    let told: Vec<_> = two.iter().map(|(_, ms, status, ..)| (*ms, status.as_str())).collect();
    assert_eq!(told, [(None, "error"), (Some(1000), "ok")]);
    let over = seen(vec![prompt(), pre(100), hooked(5_000, "Stop", json!({"prompt_id":"p"}))]);
    assert_eq!(over[0].2, "error");
    // The same line, in the copy of a session that went on elsewhere.
    let copies = vec![boundary(590, "u", meta()), boundary(590, "u", meta())];
    assert_eq!(seen(copies).len(), 1);
    // Another recorder's word of the same events, a little later.
    let twice = seen(vec![prompt(), pre(100), pre(110), post(600), post(620)]);
    assert_eq!(twice.len(), 1);
}

proptest! {
    #[test]
    fn the_order_in_which_it_is_told_changes_nothing(facts in Just(numbered(vec![
        prompt(), pre(100), post(600), boundary(590, "u", meta()), pre(9_000), boundary(20_000, "v", json!({})),
        pre(60_000), post(62_000), summary_call(60_500),
    ])).prop_shuffle()) {
        let straight = {
            let mut facts = facts.clone();
            facts.sort_by_key(|(n, _)| *n);
            spans(&facts)
        };
        prop_assert_eq!(straight.iter().filter(|s| s.kind == "compaction").count(), 2);
        prop_assert_eq!(spans(&facts), straight);
    }
}

#[test]
fn figures_are_grouped() {
    let all = [0, 12, 999, 1000, 167_123, 1_234_567].map(grouped);
    assert_eq!(all, ["0", "12", "999", "1,000", "167,123", "1,234,567"]);
}
