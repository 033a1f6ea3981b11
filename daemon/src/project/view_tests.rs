//! Tests of the join: hook events and exchanges of a made-up session, told in every order.

use ccd_proto::api::{Span, Tokens};
use ccd_store::Locator;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::exchange::{ExchangeFacts, ExchangeRow, ToolUse};
use super::hook;
use super::price::Prices;
use super::request::ToolResult;
use super::session::{Fact, SessionState};
use super::text::text_hash;

const MS: u64 = 1_000_000;

fn prices() -> Prices {
    Prices::new(&std::collections::BTreeMap::new())
}

fn hook(at_ms: u64, event: &str, more: Value) -> Fact {
    let mut body = json!({"session_id":"s","hook_event_name":event,"cwd":"/home/user/project"});
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    Fact::Hook(Box::new(
        hook::read(at_ms * MS, b"claude-code_2-1-329_x", body.to_string().as_bytes()).unwrap(),
    ))
}

#[derive(Clone, Copy)]
struct CallAt {
    id: u8,
    start_ms: u64,
    end_ms: u64,
    agent: Option<&'static str>,
}

fn call(at: CallAt, uses: &[(&str, Option<&str>)], results: &[ToolResult], texts: &[&str]) -> Fact {
    Fact::Exchange(Box::new(ExchangeFacts {
        row: ExchangeRow {
            id: [at.id; 16],
            session_id: Some("s".into()),
            agent_id: at.agent.map(str::to_owned),
            method: "POST".into(),
            path: "/v1/messages".into(),
            status: Some(200),
            model: Some("claude-opus-5-5".into()),
            purpose: if at.agent.is_some() { "subagent" } else { "main" }.into(),
            started_ns: at.start_ms * MS,
            end_us: (at.end_ms - at.start_ms) * 1000,
            complete: true,
            stop_reason: Some(if uses.is_empty() { "end_turn" } else { "tool_use" }.into()),
            tokens: Some(Tokens { input: 100, output: 10, ..Tokens::default() }),
            cost: Some(600),
            ..ExchangeRow::default()
        },
        tool_uses: uses
            .iter()
            .map(|(id, prompt)| ToolUse {
                id: (*id).into(),
                name: if prompt.is_some() { "Agent" } else { "Bash" }.into(),
                summary: None,
                prompt_hash: prompt.map(text_hash),
            })
            .collect(),
        tool_results: results.to_vec(),
        prompt: texts.last().map(|t| (*t).to_owned()),
        text_hashes: texts.iter().map(|t| text_hash(t)).collect(),
        ..ExchangeFacts::default()
    }))
}

fn result(id: &str, is_error: bool, denied: bool) -> ToolResult {
    ToolResult { tool_use_id: id.into(), is_error, denied, preview: "why".into() }
}

fn main_call(id: u8, start_ms: u64, end_ms: u64) -> CallAt {
    CallAt { id, start_ms, end_ms, agent: None }
}

/// A turn with a tool that works, one that fails, one that was denied without a hook, and a subagent with a
/// tool of its own; then a turn that was interrupted.
fn story() -> Vec<Fact> {
    let p1 = |more: Value| {
        let mut v = json!({"prompt_id":"p1"});
        v.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        v
    };
    let tool = |id: &str| p1(json!({"tool_name":"Bash","tool_use_id":id,"tool_input":{"command":"ls"}}));
    let agent_call = |more: Value| {
        let mut v = p1(json!({"tool_name":"Agent","tool_use_id":"t4","tool_input":{"prompt":"look"}}));
        v.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        v
    };
    let in_agent = |more: Value| {
        let mut v = p1(json!({"agent_id":"a1","agent_type":"general-purpose"}));
        v.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        v
    };
    vec![
        hook(1, "SessionStart", json!({"source":"startup"})),
        hook(10, "UserPromptSubmit", p1(json!({"prompt":"do it"}))),
        call(main_call(1, 20, 30), &[("t1", None), ("t2", None), ("t3", None)], &[], &["do it"]),
        hook(31, "PreToolUse", tool("t1")),
        hook(32, "PreToolUse", tool("t2")),
        hook(40, "PostToolUse", {
            let mut t = tool("t1");
            t["duration_ms"] = 5.into();
            t
        }),
        hook(41, "PostToolUseFailure", {
            let mut t = tool("t2");
            t["error"] = "Exit code 3".into();
            t
        }),
        call(
            main_call(2, 50, 60),
            &[("t4", Some("look"))],
            &[result("t1", false, false), result("t2", true, false), result("t3", true, true)],
            &[],
        ),
        hook(61, "PreToolUse", agent_call(json!({}))),
        hook(62, "SubagentStart", in_agent(json!({}))),
        call(CallAt { id: 3, start_ms: 63, end_ms: 70, agent: Some("a1") }, &[("t5", None)], &[], &["look"]),
        hook(71, "PreToolUse", in_agent(json!({"tool_name":"Bash","tool_use_id":"t5","tool_input":{}}))),
        hook(75, "PostToolUse", in_agent(json!({"tool_name":"Bash","tool_use_id":"t5","tool_input":{}}))),
        call(
            CallAt { id: 4, start_ms: 76, end_ms: 80, agent: Some("a1") },
            &[],
            &[result("t5", false, false)],
            &[],
        ),
        hook(81, "SubagentStop", in_agent(json!({"last_assistant_message":"found"}))),
        hook(82, "PostToolUse", agent_call(json!({"tool_response":{"agentId":"a1"}}))),
        call(main_call(5, 90, 95), &[], &[result("t4", false, false)], &[]),
        hook(96, "Stop", p1(json!({"last_assistant_message":"done"}))),
        hook(200, "UserPromptSubmit", json!({"prompt_id":"p2","prompt":"more"})),
        call(main_call(6, 210, 220), &[("t6", None)], &[], &["more"]),
        hook(
            221,
            "PreToolUse",
            json!({"prompt_id":"p2","tool_name":"Bash","tool_use_id":"t6","tool_input":{}}),
        ),
        hook(300, "SessionEnd", json!({"prompt_id":"p2","reason":"other"})),
    ]
}

fn tell(facts: &[(usize, Fact)]) -> SessionState {
    let mut state = SessionState::new("s");
    for (i, fact) in facts {
        state.apply(fact, Locator { segment: 1, offset: u32::try_from(*i).unwrap(), index: 0 });
    }
    state
}

fn numbered() -> Vec<(usize, Fact)> {
    story().into_iter().enumerate().collect()
}

fn spans() -> Vec<Span> {
    tell(&numbered()).view(&prices()).spans.into_iter().map(|s| s.span).collect()
}

fn tool<'a>(spans: &'a [Span], id: &str) -> &'a Span {
    spans.iter().find(|s| s.tool_use_id.as_deref() == Some(id)).unwrap()
}

#[test]
fn every_call_has_its_parent_and_status() {
    let spans = spans();
    let root =
        spans.iter().find(|s| s.kind == "agent" && s.parent_id.is_none() && s.turn_id == "p1").unwrap();
    let agent = spans.iter().find(|s| s.agent_id.as_deref() == Some("a1") && s.kind == "agent").unwrap();
    let parent = |id: &str| tool(&spans, id).parent_id.clone().unwrap();
    for id in ["t1", "t2", "t3", "t4"] {
        assert_eq!(parent(id), root.span_id, "{id}");
    }
    assert_eq!(agent.parent_id.as_deref(), Some(tool(&spans, "t4").span_id.as_str()));
    assert_eq!(parent("t5"), agent.span_id);
    let status = |id: &str| (tool(&spans, id).status.as_str(), tool(&spans, id).error.as_deref());
    assert_eq!(status("t1"), ("ok", None));
    assert_eq!(status("t2"), ("error", Some("Exit code 3")));
    assert_eq!(status("t3"), ("denied", Some("why")), "no hook told of it");
    assert_eq!(status("t6"), ("error", Some("interrupted: nothing tells of its end")));
    let t1 = tool(&spans, "t1");
    assert_eq!((t1.duration_ms, t1.execution_ms), (Some(9), Some(5)));
    assert_eq!(t1.sources, ["hook", "proxy"]);
    assert_eq!(tool(&spans, "t3").sources, ["proxy"]);
    let asked = spans.iter().find(|s| s.kind == "llm" && s.requested_by.is_none()).unwrap();
    assert_eq!(t1.requested_by.as_deref(), Some(asked.span_id.as_str()));
}

#[test]
fn agents_sum_up_what_is_below_them() {
    let spans = spans();
    let root = &spans.iter().find(|s| s.parent_id.is_none() && s.turn_id == "p1").unwrap();
    let agent = &spans.iter().find(|s| s.agent_id.is_some() && s.kind == "agent").unwrap();
    assert_eq!(agent.tokens.unwrap().input, 200);
    assert_eq!((root.tokens.unwrap().input, root.cost_usd_micros), (500, Some(3000)));
}

#[test]
fn turns_end_as_their_hooks_say_or_are_interrupted() {
    let turns = tell(&numbered()).view(&prices()).turns;
    let seen: Vec<_> = turns.iter().map(|t| (t.turn_id.as_str(), t.status.as_str(), t.duration_ms)).collect();
    assert_eq!(seen, [("p1", "ok", Some(86)), ("p2", "interrupted", Some(21))]);
    assert_eq!(
        (turns[0].tool_calls, turns[0].tool_errors, turns[0].agents, turns[0].exchanges),
        (5, 1, 1, 5)
    );
    assert_eq!(turns[0].result.as_deref(), Some("done"));
}

#[test]
fn the_summary_counts_everything_once() {
    let prices = super::price::Prices::new(&std::collections::BTreeMap::new());
    let s = tell(&numbered()).summary(&prices);
    assert_eq!((s.turns, s.exchanges, s.tool_calls, s.tool_errors, s.agents), (2, 6, 6, 1, 1));
    assert!(s.ended);
    assert_eq!(s.project.as_deref(), Some("project"));
    assert_eq!((s.context.used, s.context.percent), (100, Some(0)));
    assert_eq!(s.client.as_deref(), Some("claude-code 2.1.329"));
}

#[test]
fn a_session_seen_by_the_proxy_alone_is_whole_as_far_as_it_goes() {
    let facts: Vec<_> = numbered().into_iter().filter(|(_, f)| matches!(f, Fact::Exchange(_))).collect();
    let view = tell(&facts).view(&prices());
    assert_eq!(view.turns.len(), 2);
    assert_eq!((view.turns[0].prompt.as_deref(), view.turns[0].status.as_str()), (Some("do it"), "ok"));
    let spans: Vec<Span> = view.spans.into_iter().map(|s| s.span).collect();
    let agent = spans.iter().find(|s| s.agent_id.is_some() && s.kind == "agent").unwrap();
    assert_eq!(agent.parent_id.as_deref(), Some(tool(&spans, "t4").span_id.as_str()), "joined by its prompt");
    assert_eq!(tool(&spans, "t2").status, "error");
}

#[test]
fn a_compact_command_is_a_turn_that_ends() {
    let mut state = SessionState::new("s");
    for (at, event) in [(5, "PreCompact"), (9, "PostCompact")] {
        let fact = hook(at, event, json!({"prompt_id":"p","trigger":"manual"}));
        state.apply(&fact, Locator { segment: 1, offset: 0, index: 0 });
    }
    let turns = state.view(&prices()).turns;
    let seen: Vec<_> =
        turns.iter().map(|t| (t.prompt.as_deref(), t.status.as_str(), t.duration_ms)).collect();
    assert_eq!(seen, [(Some("/compact"), "ok", Some(4))]);
}

#[test]
fn a_call_says_when_its_first_byte_came_why_it_ended_and_what_it_repeats() {
    let key =
        Some(crate::project::retries::Key { group: [1; 16], exact: [2; 16], stream: true, max_tokens: 9 });
    let attempt = |id: u8, start_ms: u64, failed: bool| {
        let Fact::Exchange(mut facts) = call(main_call(id, start_ms, start_ms + 5), &[], &[], &["do it"])
        else {
            unreachable!()
        };
        (facts.retry_key, facts.failed) = (key, failed);
        if failed {
            (facts.row.error, facts.row.stop_reason) = (Some("HTTP status 529".into()), None);
        } else {
            facts.row.ttfb_us = Some(2_900);
        }
        Fact::Exchange(facts)
    };
    let facts = [attempt(3, 30, false), attempt(1, 10, true), attempt(2, 20, true)];
    let facts: Vec<(usize, Fact)> = facts.into_iter().enumerate().collect();
    let spans: Vec<Span> = tell(&facts).view(&prices()).spans.into_iter().map(|s| s.span).collect();
    let calls: Vec<&Span> = spans.iter().filter(|s| s.kind == "llm").collect();
    let says: Vec<_> =
        calls.iter().map(|s| (s.ttfb_ms, s.stop_reason.as_deref(), s.retry_of.clone())).collect();
    let id = |at: usize| Some(calls[at].span_id.clone());
    assert_eq!(says, [(None, None, None), (None, None, id(0)), (Some(2), Some("end_turn"), id(1))]);
}

#[test]
fn commands_that_ask_no_model_are_no_turns() {
    let mut state = SessionState::new("s");
    let switch = hook(5, "PreModelSwitch", json!({"prompt_id":"p"}));
    state.apply(&switch, Locator { segment: 1, offset: 0, index: 0 });
    assert!(state.view(&prices()).turns.is_empty() && state.view(&prices()).spans.is_empty());
}

#[test]
fn an_agent_whose_call_failed_does_not_run_for_ever() {
    let told = |facts: &[(usize, Fact)]| {
        let spans: Vec<Span> = tell(facts).view(&prices()).spans.into_iter().map(|s| s.span).collect();
        let agent = spans.iter().find(|s| s.agent_id.is_some() && s.kind == "agent").unwrap().clone();
        (agent.status, tool(&spans, "t5").status.clone())
    };
    // Interrupted while the subagent's tool ran: neither closes, but the call's result comes with the next prompt.
    let mut facts: Vec<_> = numbered().into_iter().take(12).collect();
    assert_eq!(told(&facts), ("running".into(), "running".into()));
    facts.push((99, call(main_call(7, 500, 510), &[], &[result("t4", true, false)], &["go on"])));
    assert_eq!(told(&facts), ("error".into(), "error".into()));
}

#[test]
fn internal_forks_that_only_stop_are_no_agents() {
    let mut state = SessionState::new("s");
    let fork = hook(5, "SubagentStop", json!({"prompt_id":"p","agent_id":"x","agent_type":""}));
    state.apply(&fork, Locator { segment: 1, offset: 0, index: 0 });
    assert!(state.view(&prices()).spans.iter().all(|s| s.span.agent_id.is_none()));
}

#[test]
fn a_circle_of_agents_ends() {
    let mut state = SessionState::new("s");
    for (id, agent, parent) in [(1, "a", "b"), (2, "b", "a")] {
        let at = CallAt { id, start_ms: 1, end_ms: 2, agent: Some(agent) };
        let Fact::Exchange(mut facts) = call(at, &[], &[], &[]) else { unreachable!() };
        facts.parent_agent_id = Some(parent.into());
        state.apply(&Fact::Exchange(facts), Locator { segment: 1, offset: id.into(), index: 0 });
    }
    assert!(state.view(&prices()).spans.len() >= 4);
}

proptest! {
    #[test]
    fn facts_in_any_order_and_told_twice_give_the_same_tree(
        facts in Just(numbered()).prop_shuffle(), again in any::<prop::sample::Index>()) {
        let straight = tell(&numbered());
        let mut shuffled = facts.clone();
        shuffled.push(facts[again.index(facts.len())].clone());
        let shuffled = tell(&shuffled);
        let of = |state: &SessionState| {
            let view = state.view(&prices());
            let spans: Vec<_> = view.spans.into_iter().map(|s| (s.span, s.input, s.output)).collect();
            (view.turns, spans)
        };
        prop_assert_eq!(of(&straight), of(&shuffled));
    }
}
