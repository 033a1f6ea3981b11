//! Tests of transcripts in the join: a session told by lines alone, and by all three sources in any order.

use ccd_proto::api::{Span, Tokens};
use ccd_store::Locator;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::charge::Observation;
use super::exchange::{ExchangeFacts, ExchangeRow, ToolUse};
use super::hook;
use super::price::Prices;
use super::session::{Changes, Fact, SessionState};
use super::transcript;
use super::view::{Part, SessionView};
use crate::ingest::record::{Stored, TranscriptPart, TranscriptV2};

const SESSION: &str = "c4aea1f3-66f1-45dc-b211-c365079e7020";
const MS: u64 = 1_000_000;
/// 2026-11-20T18:00:00Z.
const BASE: u64 = 1_795_197_600_000 * MS;

fn prices() -> Prices {
    Prices::new(&std::collections::BTreeMap::new())
}

fn extend(line: &mut Value, more: Value) {
    if let (Value::Object(line), Value::Object(more)) = (line, more) {
        line.extend(more);
    }
}

fn line(at_ms: u64, kind: &str, more: Value) -> Value {
    let mut line = json!({"type":kind,"uuid":format!("{kind} {at_ms}"),"timestamp":crate::clock::rfc3339(BASE + at_ms * MS),
        "cwd":"/home/user/project","sessionId":SESSION,"version":"2.1.329","gitBranch":"feature"});
    extend(&mut line, more);
    line
}

fn user(at_ms: u64, prompt: &str, text: &str) -> Value {
    line(at_ms, "user", json!({"promptId":prompt,"message":{"role":"user","content":text}}))
}

fn result(at_ms: u64, prompt: &str, id: &str, is_error: bool, more: Value) -> Value {
    let mut line = line(
        at_ms,
        "user",
        json!({"promptId":prompt,"message":{"role":"user","content":[
            {"type":"tool_result","tool_use_id":id,"content":"out","is_error":is_error}]}}),
    );
    extend(&mut line, more);
    line
}

fn usage(n: u64) -> Value {
    json!({"input_tokens":n,"output_tokens":10,"cache_read_input_tokens":1000,"cache_creation_input_tokens":0})
}

/// A line of the message `msg_N`, answered to `req_N`.
fn says(at_ms: u64, n: u64, block: Value, stop: &str) -> Value {
    let mut line = line(
        at_ms,
        "assistant",
        json!({"requestId":format!("req_{n}"),"message":{"id":format!("msg_{n}"),"role":"assistant",
            "model":"claude-opus-5-5","stop_reason":stop,"usage":usage(100),"content":[]}}),
    );
    line["message"]["content"] = Value::Array(vec![block]);
    line
}

fn text(words: &str) -> Value {
    json!({"type":"text","text":words})
}

fn uses(id: &str, name: &str) -> Value {
    json!({"type":"tool_use","id":id,"name":name,"input":{"command":"ls","prompt":"look"}})
}

fn stretch(path: &str, part: TranscriptPart, offset: u64, body: &[u8]) -> Fact {
    let record = TranscriptV2 {
        path: path.as_bytes().to_vec(),
        part,
        device: 1,
        inode: path.len() as u64,
        born_ns: BASE,
        offset,
        body: Stored::Inline(Vec::new()),
        in_file: None,
    };
    Fact::Transcript(Box::new(transcript::read(&record, body).unwrap()))
}

/// A file cut into stretches of so many lines.
fn file(path: &str, lines: &[Value], per: usize) -> Vec<Fact> {
    let mut offset = 0;
    lines
        .chunks(per.max(1))
        .map(|chunk| {
            let body: Vec<u8> = chunk.iter().flat_map(|l| format!("{l}\n").into_bytes()).collect();
            let fact = stretch(path, TranscriptPart::Lines, offset, &body);
            offset += body.len() as u64;
            fact
        })
        .collect()
}

fn main_lines() -> Vec<Value> {
    vec![
        user(10, "p1", "do it"),
        line(11, "attachment", json!({"attachment":{"type":"date"},"rendered":"today"})),
        says(30, 1, json!({"type":"thinking","thinking":"","signature":"x"}), "tool_use"),
        says(31, 1, uses("t1", "Bash"), "tool_use"),
        says(32, 1, uses("t2", "Edit"), "tool_use"),
        result(40, "p1", "t1", false, json!({})),
        result(41, "p1", "t2", true, json!({"toolDenialKind":"user-rejected"})),
        says(60, 2, uses("t4", "Agent"), "tool_use"),
        result(82, "p1", "t4", false, json!({"toolUseResult":{"agentId":"a1"}})),
        says(95, 5, text("done"), "end_turn"),
        line(96, "system", json!({"subtype":"stop_hook_summary"})),
        user(200, "p2", "more"),
        says(220, 6, uses("t6", "Bash"), "tool_use"),
        line(
            230,
            "user",
            json!({"promptId":"p2","message":{"role":"user","content":[
            {"type":"text","text":"[Request interrupted by user for tool use]"}]}}),
        ),
        json!({"type":"cost-state","sessionId":SESSION,"startTime":1_795_197_600_000_u64,"totalDuration":300,
            "modelUsage":{"claude-opus-5-5":{"inputTokens":900,"outputTokens":90}}}),
    ]
}

fn agent_lines() -> Vec<Value> {
    let aside = |mut line: Value| {
        extend(&mut line, json!({"isSidechain":true,"agentId":"a1","attributionAgent":"general-purpose"}));
        line
    };
    vec![
        aside(user(62, "p1", "look")),
        aside(says(70, 3, uses("t5", "Bash"), "tool_use")),
        aside(result(75, "p1", "t5", false, json!({}))),
        aside(says(80, 4, text("found"), "end_turn")),
    ]
}

fn main_path() -> String {
    format!("/p/{SESSION}.jsonl")
}

fn meta() -> Fact {
    let path = format!("/p/{SESSION}/subagents/agent-a1.meta.json");
    let body = json!({"agentType":"general-purpose","toolUseId":"t4","finished":true}).to_string();
    stretch(&path, TranscriptPart::AgentMeta, 0, body.as_bytes())
}

fn transcripts(per: usize) -> Vec<Vec<Fact>> {
    let agent = format!("/p/{SESSION}/subagents/agent-a1.jsonl");
    vec![file(&main_path(), &main_lines(), per), file(&agent, &agent_lines(), per), vec![meta()]]
}

fn exchange(n: u8, from_ms: u64, to_ms: u64, agent: Option<&str>, tools: &[&str]) -> Fact {
    Fact::Exchange(Box::new(ExchangeFacts {
        row: ExchangeRow {
            id: [n; 16],
            session_id: Some(SESSION.into()),
            agent_id: agent.map(str::to_owned),
            status: Some(200),
            request_id: Some(format!("req_{n}")),
            message_id: Some(format!("msg_{n}")),
            model: Some("claude-opus-5-5".into()),
            purpose: if agent.is_some() { "subagent" } else { "main" }.into(),
            started_ns: BASE + from_ms * MS,
            end_us: (to_ms - from_ms) * 1000,
            complete: true,
            stop_reason: Some(if tools.is_empty() { "end_turn" } else { "tool_use" }.into()),
            tokens: Some(Tokens { input: 100, output: 10, cache_read: 1000, ..Tokens::default() }),
            cost: Some(800),
            ..ExchangeRow::default()
        },
        tool_uses: tools
            .iter()
            .map(|id| ToolUse { id: (*id).into(), name: String::new(), summary: None, prompt_hash: None })
            .collect(),
        ..ExchangeFacts::default()
    }))
}

fn exchanges() -> Vec<Fact> {
    vec![
        exchange(1, 20, 30, None, &["t1", "t2"]),
        exchange(2, 50, 60, None, &["t4"]),
        exchange(3, 63, 70, Some("a1"), &["t5"]),
        exchange(4, 76, 80, Some("a1"), &[]),
        exchange(5, 90, 95, None, &[]),
        exchange(6, 210, 220, None, &["t6"]),
    ]
}

fn event(at_ms: u64, event: &str, more: Value) -> Fact {
    let mut body = json!({"session_id":SESSION,"hook_event_name":event,"cwd":"/home/user/project"});
    extend(&mut body, more);
    let body = body.to_string();
    Fact::Hook(Box::new(hook::read(BASE + at_ms * MS, b"claude-code_2-1-329_x", body.as_bytes()).unwrap()))
}

fn hooks() -> Vec<Fact> {
    let tool = |id: &str, name: &str| json!({"prompt_id":"p1","tool_name":name,"tool_use_id":id,"tool_input":{"command":"ls"}});
    vec![
        event(9, "UserPromptSubmit", json!({"prompt_id":"p1","prompt":"do it"})),
        event(33, "PreToolUse", tool("t1", "Bash")),
        event(39, "PostToolUse", tool("t1", "Bash")),
        event(34, "PreToolUse", tool("t2", "Edit")),
        event(61, "SubagentStart", json!({"prompt_id":"p1","agent_id":"a1","agent_type":"general-purpose"})),
        event(81, "SubagentStop", json!({"prompt_id":"p1","agent_id":"a1","last_assistant_message":"found"})),
        event(97, "Stop", json!({"prompt_id":"p1","last_assistant_message":"done"})),
        event(199, "UserPromptSubmit", json!({"prompt_id":"p2","prompt":"more"})),
    ]
}

/// Facts told in an order, each with the record that it has whatever the order.
fn tell(facts: &[(u32, Fact)]) -> (SessionState, Vec<Changes>) {
    let mut state = SessionState::new(SESSION);
    let changes =
        facts.iter().map(|(n, f)| state.apply(f, Locator { segment: 1, offset: *n, index: 0 })).collect();
    (state, changes)
}

fn numbered(files: Vec<Vec<Fact>>) -> Vec<Vec<(u32, Fact)>> {
    let mut n = 0;
    let mut number = |fact| {
        n += 1;
        (n, fact)
    };
    files.into_iter().map(|file| file.into_iter().map(&mut number).collect()).collect()
}

fn view_of(files: Vec<Vec<Fact>>) -> SessionView {
    tell(&numbered(files).concat()).0.view(&prices())
}

fn span(view: &SessionView, is: impl Fn(&Span) -> bool) -> &Span {
    view.spans.iter().map(|s| &s.span).find(|s| is(s)).unwrap()
}

fn tool<'a>(view: &'a SessionView, id: &str) -> &'a Span {
    span(view, |s| s.tool_use_id.as_deref() == Some(id))
}

#[test]
fn a_session_seen_by_its_transcript_alone_is_whole() {
    let (state, _) = tell(&numbered(transcripts(100)).concat());
    let view = state.view(&prices());
    let turns: Vec<_> =
        view.turns.iter().map(|t| (t.turn_id.as_str(), t.prompt.as_deref(), t.status.as_str())).collect();
    assert_eq!(turns, [("p1", Some("do it"), "ok"), ("p2", Some("more"), "interrupted")]);
    assert_eq!(view.turns[0].result.as_deref(), Some("done"));
    assert_eq!((view.turns[0].exchanges, view.turns[0].tool_calls, view.turns[0].agents), (5, 4, 1));
    assert_eq!(
        view.turns[0].tokens,
        Tokens { input: 500, output: 50, cache_read: 5000, ..Tokens::default() }
    );
    assert_eq!(view.turns[0].duration_ms, Some(85));
    let statuses: Vec<_> =
        ["t1", "t2", "t4", "t5", "t6"].iter().map(|id| tool(&view, id).status.as_str()).collect();
    assert_eq!(statuses, ["ok", "denied", "ok", "ok", "error"]);
    assert_eq!(tool(&view, "t1").summary.as_deref(), Some("ls"));
    let agent = span(&view, |s| s.kind == "agent" && s.agent_id.is_some());
    assert_eq!(agent.parent_id.as_ref(), Some(&tool(&view, "t4").span_id));
    assert_eq!((agent.name.as_str(), agent.status.as_str()), ("invoke_agent general-purpose", "ok"));
    assert_eq!(agent.tokens.unwrap().input, 200);
    assert_eq!(tool(&view, "t5").parent_id.as_ref(), Some(&agent.span_id));
    let first = span(&view, |s| s.kind == "llm");
    assert_eq!(first.reasoning.as_ref().map(|r| (r.blocks, r.omitted)), Some((1, 1)));
    assert_eq!(first.started_at, crate::clock::rfc3339(BASE + 10 * MS), "from the line before it");
    assert_eq!(tool(&view, "t1").requested_by.as_ref(), Some(&first.span_id));
    assert!(view.spans.iter().all(|s| s.span.sources == ["transcript"]));
    let s = state.summary(&prices());
    assert_eq!((s.turns, s.exchanges, s.tool_calls, s.tool_errors, s.agents, s.ended), (2, 6, 5, 0, 1, true));
    assert_eq!((s.project.as_deref(), s.client.as_deref()), (Some("project"), Some("claude-code 2.1.329")));
    assert_eq!(s.context.used, 1100);
}

#[test]
fn content_is_read_from_the_lines() {
    let view = view_of(transcripts(100));
    let first = view.spans.iter().find(|s| s.span.kind == "llm").unwrap();
    assert!(matches!(&first.output.as_ref().unwrap().part, Part::Lines(lines) if lines.len() == 3));
    assert!(matches!(&first.input.as_ref().unwrap().part, Part::NewLines(lines) if lines.len() == 1));
    let tool = view.spans.iter().find(|s| s.span.tool_use_id.as_deref() == Some("t1")).unwrap();
    assert!(matches!(&tool.input.as_ref().unwrap().part, Part::LineInput(_, id) if id == "t1"));
    assert!(matches!(&tool.output.as_ref().unwrap().part, Part::LineResult(_, id) if id == "t1"));
    // What the proxy has is exact.
    let view = view_of([transcripts(100), vec![exchanges()]].concat());
    let first = view.spans.iter().find(|s| s.span.kind == "llm").unwrap();
    assert_eq!(first.output.as_ref().unwrap().part, Part::Blocks);
}

#[test]
fn a_model_call_has_one_span_with_one_id_whoever_tells_of_it() {
    let ids = |files: Vec<Vec<Fact>>| -> Vec<String> {
        let view = view_of(files);
        let mut ids: Vec<_> =
            view.spans.into_iter().filter(|s| s.span.kind == "llm").map(|s| s.span.span_id).collect();
        ids.sort();
        ids
    };
    let lines = ids(transcripts(3));
    assert_eq!(lines.len(), 6);
    assert_eq!(lines, ids(vec![exchanges()]));
    assert_eq!(lines, ids([vec![exchanges()], transcripts(3)].concat()));
    let view = view_of([transcripts(3), vec![exchanges()]].concat());
    for s in view.spans.iter().filter(|s| s.span.kind == "llm") {
        assert_eq!(s.span.sources, ["proxy", "transcript"]);
    }
}

#[test]
fn every_source_is_named_and_counts_once() {
    let view = view_of([vec![hooks(), exchanges()], transcripts(4)].concat());
    let all = ["hook", "proxy", "transcript"];
    assert_eq!(tool(&view, "t1").sources, all);
    assert_eq!(span(&view, |s| s.kind == "agent" && s.agent_id.is_some()).sources, all);
    assert_eq!(span(&view, |s| s.parent_id.is_none()).sources, all);
    assert_eq!(view.turns[0].tokens.input, 500);
    assert_eq!(view.turns.iter().map(|t| t.status.as_str()).collect::<Vec<_>>(), ["ok", "interrupted"]);
    assert_eq!(tool(&view, "t2").status, "denied");
}

#[test]
fn what_a_message_was_sent_with_is_observed_across_stretches() {
    let observed = |per: usize| -> Vec<Observation> {
        let (_, changes) = tell(&numbered(transcripts(per)).concat());
        let mut all: Vec<Observation> = changes.into_iter().flat_map(|c| c.observed).collect();
        // What is told last of a message is all of it.
        all.reverse();
        let mut seen = std::collections::HashSet::new();
        all.retain(|o| seen.insert(o.message_id.clone()));
        all.sort_by(|a, b| a.message_id.cmp(&b.message_id));
        all
    };
    let whole = observed(100);
    assert_eq!(whole.len(), 6);
    let second = &whole[1];
    assert_eq!((second.message_id.as_str(), second.request.as_deref()), ("msg_2", Some("req_2")));
    let brought: Vec<_> =
        second.brought.iter().map(|p| (p.tool_use_id.as_str(), p.tool.as_str(), p.bytes)).collect();
    assert_eq!(brought, [("t1", "Bash", 5), ("t2", "Edit", 5)]);
    assert_eq!((second.previous_prompt, second.fresh_bytes), (1100, 10));
    assert_eq!(second.asked[0].tool, "Agent");
    assert_eq!((second.branch.as_str(), second.agent_id.as_deref()), ("feature", None));
    assert_eq!(whole[0].asked.len(), 2);
    assert_eq!(whole[0].fresh_bytes, 7 + 7, "the prompt and the reminder");
    assert_eq!((whole[3].agent_id.as_deref(), whole[3].purpose.as_str()), (Some("a1"), "subagent"));
    for per in 1..6 {
        assert_eq!(observed(per), whole, "cut into stretches of {per} lines");
    }
    let (_, changes) = tell(&numbered(transcripts(2)).concat());
    let totals: Vec<_> = changes.into_iter().flat_map(|c| c.cost_states).collect();
    assert_eq!(totals.len(), 1);
    assert_eq!((totals[0].at_ns, totals[0].models[0].tokens.input), (BASE + 230 * MS, 900));
}

#[test]
fn older_files_name_no_turns() {
    let strip = |mut line: Value| {
        line.as_object_mut().unwrap().remove("promptId");
        line
    };
    let lines: Vec<Value> = main_lines().into_iter().map(strip).collect();
    let view = view_of(vec![file(&main_path(), &lines, 2)]);
    let turns: Vec<_> =
        view.turns.iter().map(|t| (t.turn_id.as_str(), t.exchanges, t.status.as_str())).collect();
    assert_eq!(turns, [("user 10", 3, "ok"), ("user 200", 1, "interrupted")]);
}

#[test]
fn compactions_and_errors_close_what_no_hook_closes() {
    let lines = vec![
        user(10, "p1", "do it"),
        says(20, 1, text("ok"), "end_turn"),
        line(30, "system", json!({"subtype":"compact_boundary","compactMetadata":{"postTokens":77}})),
        line(
            31,
            "user",
            json!({"promptId":"p2","isCompactSummary":true,"message":{"content":"This session…"}}),
        ),
    ];
    let (state, _) = tell(&numbered(vec![file(&main_path(), &lines, 9)]).concat());
    let view = state.view(&prices());
    let turns: Vec<_> = view.turns.iter().map(|t| (t.prompt.as_deref(), t.status.as_str())).collect();
    assert_eq!(turns, [(Some("do it"), "ok"), (Some("/compact"), "ok")]);
    assert_eq!(state.summary(&prices()).context.used, 77);
    let mut error = says(20, 1, text("API Error: Connection refused"), "stop_sequence");
    error["message"]["model"] = "<synthetic>".into();
    error["isApiErrorMessage"] = true.into();
    let view = view_of(vec![file(&main_path(), &[user(10, "p1", "do it"), error], 9)]);
    assert_eq!((view.turns[0].status.as_str(), view.turns[0].exchanges), ("error", 0));
    assert_eq!(view.turns[0].error.as_deref(), Some("API Error: Connection refused"));
}

#[test]
fn a_gateway_that_reuses_message_ids_is_not_merged() {
    let mut one = says(20, 1, text("a"), "end_turn");
    one["requestId"] = "req_other".into();
    let lines = vec![user(10, "p1", "x"), says(15, 1, text("b"), "end_turn"), one];
    assert_eq!(view_of(vec![file(&main_path(), &lines, 9)]).turns[0].exchanges, 2);
    // Told without its request, it is one of those that are told with theirs.
    let mut bare = says(15, 1, text("b"), "end_turn");
    bare["requestId"] = Value::Null;
    let lines = vec![user(10, "p1", "x"), bare];
    let view = view_of(vec![file(&main_path(), &lines, 9), vec![exchange(1, 11, 14, None, &[])]]);
    assert_eq!(view.turns[0].exchanges, 1);
}

#[test]
fn nested_subagents_hang_in_their_parents() {
    let agent = |id: &str, tool: &str, parent: Value| {
        let path = format!("/p/{SESSION}/subagents/agent-{id}.meta.json");
        let body = json!({"agentType":"Explore","toolUseId":tool,"parentAgentId":parent}).to_string();
        stretch(&path, TranscriptPart::AgentMeta, 0, body.as_bytes())
    };
    let lines_of =
        |id: &str, lines: &[Value]| file(&format!("/p/{SESSION}/subagents/agent-{id}.jsonl"), lines, 1);
    let view = view_of(vec![
        file(&main_path(), &[user(10, "p1", "x"), says(20, 1, uses("t1", "Agent"), "tool_use")], 1),
        lines_of("a1", &[user(21, "p1", "look"), says(30, 2, uses("t2", "Agent"), "tool_use")]),
        lines_of("a22", &[user(31, "p1", "look"), says(40, 3, text("ok"), "end_turn")]),
        vec![agent("a1", "t1", Value::Null), agent("a22", "t2", "a1".into())],
    ]);
    let agent = |id: &str| span(&view, |s| s.kind == "agent" && s.agent_id.as_deref() == Some(id));
    assert_eq!(agent("a22").parent_id.as_ref(), Some(&tool(&view, "t2").span_id));
    assert_eq!(tool(&view, "t2").parent_id.as_ref(), Some(&agent("a1").span_id));
    assert_eq!(agent("a1").parent_id.as_ref(), Some(&tool(&view, "t1").span_id));
    assert_eq!((agent("a1").tokens.unwrap().input, agent("a22").tokens.unwrap().input), (200, 100));
    assert_eq!((agent("a1").status.as_str(), agent("a22").status.as_str()), ("running", "ok"));
    assert_eq!(view.turns[0].tokens.input, 300);
}

/// An interleaving of several sequences, each in its own order: who is next is what `picks` says.
fn interleave(mut files: Vec<Vec<(u32, Fact)>>, picks: &[usize]) -> Vec<(u32, Fact)> {
    for file in &mut files {
        file.reverse();
    }
    let mut out = Vec::new();
    let mut picks = picks.iter().cycle();
    while files.iter().any(|f| !f.is_empty()) {
        files.retain(|f| !f.is_empty());
        let n = files.len();
        let i = picks.next().map_or(0, |p| p % n);
        out.extend(files[i].pop());
    }
    out
}

proptest! {
    #[test]
    fn any_interleaving_of_the_three_sources_gives_the_same_session(
        per in 1usize..6,
        picks in proptest::collection::vec(0usize..40, 1..40),
        twice: bool,
    ) {
        let mut files = transcripts(per);
        files.push(hooks());
        files.push(exchanges());
        let files = numbered(files);
        let canonical = tell(&files.concat()).0;
        let mut order = interleave(files.clone(), &picks);
        if twice {
            order.extend(interleave(files, &picks));
        }
        let told = tell(&order).0;
        let (a, b) = (canonical.view(&prices()), told.view(&prices()));
        let spans = |v: &SessionView| v.spans.iter().map(|s| (s.span.clone(), s.input.clone(), s.output.clone())).collect::<Vec<_>>();
        prop_assert_eq!(spans(&a), spans(&b));
        prop_assert_eq!(
            serde_json::to_value(&a.turns).unwrap(),
            serde_json::to_value(&b.turns).unwrap()
        );
        prop_assert_eq!(
            serde_json::to_value(canonical.summary(&prices())).unwrap(),
            serde_json::to_value(told.summary(&prices())).unwrap()
        );
    }
}
