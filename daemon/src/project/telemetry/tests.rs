//! What telemetry tells of a session, alone and beside other sources.

use ccd_proto::api::Span;
use ccd_store::Locator;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::project::price::Prices;
use crate::project::session::{Fact, SessionState};
use crate::project::{hook, transcript};

const LOGS: &str = include_str!("../../../../tests/fixtures/otel/logs.json");
const SESSION: &str = "52b99a47-8cbd-4622-8a1c-521f4384ccc3";
const TURN: &str = "f736fcc4-9b95-4fd1-a429-f4037e7c9805";

/// The client's events, as records have them.
fn bodies() -> Vec<(u64, Value)> {
    let logs: Value = serde_json::from_str(LOGS).unwrap();
    let records = logs["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().unwrap().clone();
    records
        .into_iter()
        .map(|record| {
            let mut attributes = serde_json::Map::new();
            for pair in record["attributes"].as_array().unwrap() {
                let value = pair["value"].as_object().unwrap().values().next().cloned().unwrap_or_default();
                attributes.insert(pair["key"].as_str().unwrap().into(), value);
            }
            let at_ns = record["timeUnixNano"].as_str().unwrap().parse().unwrap();
            let name = attributes["event.name"].clone();
            (at_ns, json!({"name": name, "version": "2.1.329", "attributes": attributes}))
        })
        .collect()
}

fn facts() -> Vec<Fact> {
    let read =
        |(at_ns, body): (u64, Value)| read(Signal::Log, SESSION, at_ns, body.to_string().as_bytes()).unwrap();
    bodies().into_iter().map(|body| Fact::Telemetry(Box::new(read(body)))).collect()
}

fn at(n: usize) -> Locator {
    Locator { segment: 1, offset: u32::try_from(n).unwrap(), index: 0 }
}

fn prices() -> Prices {
    Prices::new(&std::collections::BTreeMap::new())
}

fn spans(state: &SessionState) -> Vec<Span> {
    state.view(&prices()).spans.into_iter().map(|view| view.span).collect()
}

fn alone(order: &[usize]) -> SessionState {
    let facts = facts();
    let mut state = SessionState::new(SESSION);
    for n in order {
        state.apply(&facts[*n], at(*n));
    }
    state
}

#[test]
fn alone_it_tells_turns_calls_tools_and_agents() {
    let state = alone(&(0..23).collect::<Vec<_>>());
    let view = state.view(&prices());
    let turns = &view.turns;
    assert_eq!((turns.len(), &*turns[0].turn_id, &*turns[0].status), (1, TURN, "ok"));
    assert_eq!(turns[0].prompt.as_deref(), Some("demo: look"));
    assert!(turns[0].result.as_deref().unwrap().starts_with("Looked around"));
    let spans = spans(&state);
    let calls: Vec<_> = spans.iter().filter(|span| span.kind == "llm").collect();
    assert_eq!(calls.len(), 5);
    let sum = |of: fn(&Tokens) -> u64| calls.iter().map(|c| of(c.tokens.as_ref().unwrap())).sum::<u64>();
    assert_eq!((sum(|t| t.input), sum(|t| t.output), sum(|t| t.cache_read)), (565, 10_195, 150_325));
    assert_eq!((sum(|t| t.cache_write_5m), sum(|t| t.cache_write_1h)), (2_455, 965));
    let ours: i64 = calls.iter().map(|c| c.cost_usd_micros.unwrap()).sum();
    let clients: i64 = calls.iter().map(|c| c.client_usd_micros.unwrap()).sum();
    assert_eq!((calls[0].asked_by.as_deref(), calls[0].ttfb_ms), (Some("sdk"), Some(30)));
    assert!(ours > 0 && clients == 256_220, "{ours} {clients}");
    let tools: Vec<_> = spans.iter().filter(|span| span.kind == "tool").collect();
    assert_eq!(tools.len(), 4);
    let failed = tools.iter().find(|tool| tool.status == "error").unwrap();
    assert_eq!((failed.summary.as_deref(), failed.execution_ms), (Some("exit 3"), Some(16)));
    assert!(
        tools
            .iter()
            .all(|t| t.decision.as_deref() == Some("accept") && t.decided_by.as_deref() == Some("config"))
    );
    assert!(tools.iter().all(|tool| calls.iter().any(|c| Some(&c.span_id) == tool.requested_by.as_ref())));
    let agent = spans.iter().find(|span| span.kind == "agent" && span.parent_id.is_some()).unwrap();
    assert_eq!((agent.agent_type.as_deref(), &*agent.status), (Some("general-purpose"), "ok"));
    assert_eq!(calls.iter().filter(|call| call.parent_id.as_ref() == Some(&agent.span_id)).count(), 2);
    assert!(spans.iter().all(|span| span.sources == [SOURCE]), "{spans:?}");
}

#[test]
fn a_call_that_a_transcript_tells_of_too_is_one_call() {
    let mut state = alone(&(0..23).collect::<Vec<_>>());
    let before = spans(&state).iter().filter(|span| span.kind == "llm").count();
    let line = json!({"type": "assistant", "uuid": "u1", "sessionId": SESSION, "promptId": TURN,
        "requestId": "req_01KZCaTaLZqyNxKSvxNKwbXA", "timestamp": "2026-11-21T19:44:38.000Z",
        "message": {"id": "msg_1", "model": "claude-opus-5-5", "role": "assistant", "stop_reason": "end_turn",
            "content": [{"type": "text", "text": "Done."}],
            "usage": {"input_tokens": 115, "output_tokens": 2045, "cache_read_input_tokens": 30075,
                "cache_creation_input_tokens": 720,
                "cache_creation": {"ephemeral_5m_input_tokens": 505, "ephemeral_1h_input_tokens": 215}}}});
    let body = format!("{line}\n");
    let stretch = crate::ingest::record::TranscriptV2 {
        path: format!("/p/-w/{SESSION}.jsonl").into_bytes(),
        part: crate::ingest::record::TranscriptPart::Lines,
        device: 1,
        inode: 2,
        born_ns: 3,
        offset: 0,
        body: crate::ingest::record::Stored::Inline(Vec::new()),
        in_file: None,
    };
    let facts = transcript::read(&stretch, body.as_bytes()).unwrap();
    state.apply(&Fact::Transcript(Box::new(facts)), at(99));
    let spans = spans(&state);
    let calls: Vec<_> = spans.iter().filter(|span| span.kind == "llm").collect();
    assert_eq!(calls.len(), before);
    let both = calls.iter().find(|call| call.sources.len() == 2).unwrap();
    assert_eq!(both.sources, ["transcript", SOURCE]);
    assert_eq!(both.tokens.unwrap().output, 2045);
}

#[test]
fn what_names_no_session_or_is_not_known_tells_nothing() {
    assert!(read(Signal::Log, "", 5, b"{}").is_none());
    assert!(read(Signal::Log, "s", 5, b"[]").is_none());
    let odd =
        read(Signal::Log, "s", 5, br#"{"name":"never_heard_of","attributes":{"prompt.id":"p"}}"#).unwrap();
    assert_eq!((odd.kind, odd.prompt_id.as_deref()), (Kind::Other, Some("p")));
    let hidden = br#"{"name":"user_prompt","attributes":{"prompt.id":"p","prompt":"<REDACTED>"}}"#;
    assert_eq!(read(Signal::Log, "s", 5, hidden).unwrap().kind, Kind::Prompt(None));
}

#[test]
fn a_refused_call_is_denied_by_who_refused_it() {
    let body = json!({"name": "tool_decision", "attributes": {"prompt.id": "p", "tool_use_id": "t1",
        "tool_name": "Bash", "decision": "reject", "source": "user_reject"}});
    let facts = read(Signal::Log, "s", 5, body.to_string().as_bytes()).unwrap();
    let mut state = SessionState::new("s");
    state.apply(&Fact::Telemetry(Box::new(facts)), at(1));
    let spans = spans(&state);
    let tool = spans.iter().find(|span| span.kind == "tool").unwrap();
    assert_eq!((&*tool.status, tool.error.as_deref()), ("denied", Some("user_reject")));
    assert_eq!(tool.decided_by.as_deref(), Some("user_reject"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_order_changes_nothing_nor_does_what_is_told_twice(
        order in Just((0..23).chain(0..23).collect::<Vec<usize>>()).prop_shuffle(),
    ) {
        let canonical = alone(&(0..23).collect::<Vec<_>>());
        let other = alone(&order);
        prop_assert_eq!(spans(&canonical), spans(&other));
        prop_assert_eq!(canonical.view(&prices()).turns, other.view(&prices()).turns);
    }

    #[test]
    fn hooks_before_between_or_behind_it_give_the_same(
        order in Just((0..25).collect::<Vec<usize>>()).prop_shuffle(),
    ) {
        let events = [
            json!({"session_id": SESSION, "hook_event_name": "UserPromptSubmit", "prompt_id": TURN, "prompt": "demo: look"}),
            json!({"session_id": SESSION, "hook_event_name": "Stop", "prompt_id": TURN, "last_assistant_message": "So."}),
        ];
        let mut all = facts();
        for (event, ns) in events.iter().zip([1_795_290_272_000_000_000, 1_795_290_290_000_000_000]) {
            let facts = hook::read(ns, b"claude-code_2-1-329_harness", event.to_string().as_bytes()).unwrap();
            all.push(Fact::Hook(Box::new(facts)));
        }
        let build = |order: &[usize]| {
            let mut state = SessionState::new(SESSION);
            for n in order {
                state.apply(&all[*n], at(*n));
            }
            state
        };
        let (canonical, other) = (build(&(0..25).collect::<Vec<_>>()), build(&order));
        prop_assert_eq!(spans(&canonical), spans(&other));
        let turns = other.view(&prices()).turns;
        prop_assert_eq!((turns.len(), turns[0].result.as_deref()), (1, Some("So.")));
    }

    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(Signal::Log, "s", 5, &bytes);
    }

    #[test]
    fn any_attributes_are_read(
        name in prop::sample::select(vec!["api_request", "tool_decision", "tool_result", "user_prompt",
            "subagent_completed", "api_retries_exhausted", "assistant_response", "other"]),
        members in prop::collection::btree_map(
            prop::sample::select(vec!["prompt.id", "tool_use_id", "request_id", "agent_id", "model", "duration_ms",
                "input_tokens", "cost_usd_micros", "success", "decision", "tool_input", "prompt"]),
            prop_oneof![any::<i64>().prop_map(Value::from), any::<f64>().prop_map(Value::from),
                "[a-z{}\"0-9]{0,9}".prop_map(Value::from), any::<bool>().prop_map(Value::from)],
            0..8),
    ) {
        let body = json!({"name": name, "attributes": members}).to_string();
        if let Some(facts) = read(Signal::Log, "s", u64::MAX / 3, body.as_bytes()) {
            let mut state = SessionState::new("s");
            state.apply(&Fact::Telemetry(Box::new(facts)), at(1));
            let _ = (state.view(&prices()), state.summary(&prices()));
        }
    }
}
