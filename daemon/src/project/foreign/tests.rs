//! Tests of other recorders' lines.

use ccd_store::Locator;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::project::price::Prices;
use crate::project::session::{Changes, SessionState};

const HOOK: &str =
    r#"{"session_id":"s","hook_event_name":"Stop","prompt_id":"p","cwd":"/w","_ts":"2026-05-01T10:00:00.5"}"#;
const CALL: &str = r#"{"session_id":"s","hook_event_name":"ApiCall","request":{},"response":{"role":"assistant",
    "id":"msg_1","model":"claude-sonnet-4-5","stop_reason":"end_turn","content":[{"type":"text","text":"Hi"}]},
    "usage":{"input_tokens":3,"output_tokens":5},"_ts":"2026-05-01T10:00:01"}"#;
const PROXY: &str = r#"{"ts":"2026-05-01T10:00:00Z","conversation_id":"cc-proxy-1","input_messages":[]}"#;
const SPAN: &str = r#"{"span_id":"1","trace_id":"s","parent_id":null,"name":"Bash","kind":"tool","platform":"claude_code",
    "status":"ok","start_time":"2026-05-01T10:00:00+00:00","end_time":null,"attributes":{"session_id":"s",
    "hook_type":"post","working_dir":"/w"},"input_data":{"command":"ls"},"output_data":{"result":"a"},"error":null,"raw":{}}"#;

/// A line as the hook writes it.
fn trace(n: u64, tool: &str, prompt: &str, input: u64) -> Value {
    json!({"session_id":"s","timestamp":format!("2026-05-01T10:00:{n:02}+00:00"),"hook_type":"post","tool_name":tool,
        "tool_input":{"command":format!("ls {n}")},"tool_output":{"stdout":"a"},"working_dir":"/home/user/project",
        "agent_id":null,"agent_type":null,"is_sidechain":false,"model":"claude-sonnet-4-5",
        "usage":{"input_tokens":input,"cache_creation_input_tokens":0,"cache_read_input_tokens":100,"output_tokens":7},
        "cost_usd":0.1,"user_input":prompt,"reasoning":null,"ai_output":"Looking","ai_response":"Looking"})
}

fn at(n: u64) -> Locator {
    let n = u32::try_from(n).unwrap();
    Locator { segment: 1, offset: n, index: 0 }
}

fn tell(state: &mut SessionState, n: u64, format: &str, line: &[u8]) -> Changes {
    let (session, fact) = read(format, n * 1_000_000_000, line).unwrap();
    assert_eq!(session, "s");
    state.apply(&fact, at(n))
}

#[test]
fn each_is_known_by_its_content() {
    let trace = trace(1, "Bash", "do it", 3).to_string();
    for (line, format) in [
        (HOOK, Some(CC_TRACER)),
        (CALL, Some(CC_TRACER)),
        (trace.as_str(), Some(PISAMA_TRACES)),
        (SPAN, Some(PISAMA_TRACES)),
        (PROXY, Some(PISAMA_CALLS)),
        (r#"{"type":"user","sessionId":"s"}"#, None),
        ("no line", None),
    ] {
        assert_eq!(format_of(line.as_bytes()), format, "{line}");
    }
    assert_eq!(written_at(PROXY.as_bytes()).as_deref(), Some("2026-05-01T10:00:00Z"));
    assert_eq!(read(PISAMA_CALLS, 5, PROXY.as_bytes()).map(|(s, _)| s), None);
}

#[test]
fn what_has_ids_joins_and_says_whose_it_is() {
    let mut state = SessionState::new("s");
    tell(&mut state, 2, CC_TRACER, HOOK.as_bytes());
    let changes = tell(&mut state, 1, CC_TRACER, CALL.as_bytes());
    assert_eq!(changes.observed[0].message_id, "msg_1");
    let view = state.view(&Prices::new(&std::collections::BTreeMap::new()));
    assert!(view.spans.len() >= 2, "{view:?}");
    assert!(view.spans.iter().all(|s| s.span.sources == ["cc-tracer"]), "{view:?}");
    let Some(Content::Line(line)) = content(CC_TRACER, 1, CALL.as_bytes()) else { panic!() };
    assert!(line.starts_with(b"{"));
    assert!(matches!(content(CC_TRACER, 1, HOOK.as_bytes()), Some(Content::Hook(_))));
}

#[test]
fn a_session_that_nothing_else_tells_of_is_shown_by_its_traces() {
    let prices = Prices::new(&std::collections::BTreeMap::new());
    let mut state = SessionState::new("s");
    // The first two are one message's.
    let lines = [trace(1, "Bash", "do it", 3), trace(2, "Read", "do it", 3), trace(3, "Bash", "again", 9)];
    let mut total = None;
    for (n, line) in (1..).zip(&lines) {
        total = tell(&mut state, n, PISAMA_TRACES, line.to_string().as_bytes()).cost_states.pop();
    }
    let total = total.unwrap();
    assert!(is_foreign_start(total.start_ns));
    let tokens = total.models[0].tokens;
    assert_eq!((tokens.input, tokens.output, tokens.cache_read), (12, 14, 200));

    let view = state.view(&prices);
    let count = |kind: &str| view.spans.iter().filter(|s| s.span.kind == kind).count();
    assert_eq!((view.turns.len(), count("tool"), count("llm")), (2, 3, 2));
    assert!(view.spans.iter().all(|s| s.span.sources == ["pisama"]), "{view:?}");
    assert_eq!(view.turns[0].prompt.as_deref(), Some("do it"));
    assert_eq!(view.turns[0].tokens.input + view.turns[1].tokens.input, 12);
    assert_eq!(state.summary(&prices).tool_calls, 3);
    assert_eq!(state.summary(&prices).project.as_deref(), Some("project"));

    // A hook tells of the session: what has no ids is shown no more.
    let stop = json!({"session_id":"s","hook_event_name":"UserPromptSubmit","prompt_id":"p","prompt":"do it","_ts":"x"});
    let hook = crate::project::hook::read(7, b"", stop.to_string().as_bytes()).unwrap();
    state.apply(&Fact::Hook(Box::new(hook)), at(9));
    let view = state.view(&prices);
    assert!(view.spans.iter().all(|s| s.span.sources == ["hook"] && s.span.kind != "tool"), "{view:?}");
}

#[test]
fn older_lines_have_their_figures_beside_the_call() {
    let line = json!({"timestamp":"2025-01-05T10:00:00Z","tool_name":"search_files","hook_type":"post","session_id":"s",
        "model":"claude-opus-4-5","input_tokens":150,"output_tokens":50,"cost_usd":0.005,"tool_input":{"pattern":"*.py"},
        "tool_output":"Found 3 files"});
    let Some((_, Fact::Foreign(told))) = read(PISAMA_TRACES, 5, line.to_string().as_bytes()) else {
        panic!()
    };
    let Told::Trace(trace) = *told else { panic!() };
    let Billed { model, tokens, .. } = trace.billed.unwrap();
    assert_eq!((model.as_str(), tokens.input, tokens.output), ("claude-opus-4-5", 150, 50));
}

#[test]
fn the_librarys_lines_are_read_as_the_hooks() {
    let Some((session, Fact::Foreign(told))) = read(PISAMA_TRACES, 5, SPAN.as_bytes()) else { panic!() };
    let Told::Trace(trace) = *told else { panic!() };
    assert_eq!((session.as_str(), trace.hook.cwd.as_deref(), trace.billed), ("s", Some("/w"), None));
    let Some(Content::Hook(hook)) = content(PISAMA_TRACES, 5, SPAN.as_bytes()) else { panic!() };
    assert_eq!(hook["tool_input"]["command"], "ls");
    let before = json!({"session_id":"s","hook_type":"pre","tool_name":"Bash","timestamp":"x"}).to_string();
    assert!(read(PISAMA_TRACES, 5, before.as_bytes()).is_none());
}

/// As it is uploaded: without what was read from the cache, and maybe without what came back.
fn uploaded(n: u64, output: bool) -> String {
    let mut line = json!({"session_id":"s","timestamp":format!("2026-05-01T10:00:{n:02}.5+00:00"),"hook_type":"PostToolUse",
        "tool_name":"Bash","tool_input":{"command":format!("ls {n}")},"model":"claude-sonnet-4-5","input_tokens":"3",
        "output_tokens":7.0,"user_input":"do it"});
    if output {
        line["tool_output"] = "a".into();
    }
    let sender = platform::Sender { tenant: "local".into(), source: platform::SOURCE.into(), version: None };
    platform::line(&sender, &line.to_string())
}

#[test]
fn a_call_that_is_told_again_is_the_fullest_line_of_it() {
    let prices = Prices::new(&std::collections::BTreeMap::new());
    // The same call in its own file, with all figures.
    let mut whole = trace(1, "Bash", "do it", 3);
    whole["timestamp"] = "2026-05-01T10:00:01.5+00:00".into();
    let whole = whole.to_string();
    let lines = [(PLATFORM, uploaded(1, true)), (PLATFORM, uploaded(1, false)), (PISAMA_TRACES, whole)];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [1, 0, 2]] {
        let mut state = SessionState::new("s");
        for (at, n) in order.into_iter().enumerate() {
            tell(&mut state, at as u64 + 1, lines[n].0, lines[n].1.as_bytes());
        }
        assert_eq!(state.summary(&prices).tool_calls, 1, "{order:?}");
        let view = state.view(&prices);
        let tokens = view.turns[0].tokens;
        assert_eq!((tokens.input, tokens.output, tokens.cache_read), (3, 7, 100), "{order:?}");
    }
    // Figures that tell nothing of the cache are those of a message that is known with it, whichever call told of it.
    let mut state = SessionState::new("s");
    let mut last = None;
    for (n, (format, line)) in
        [(PISAMA_TRACES, lines[2].1.clone()), (PLATFORM, uploaded(2, true))].iter().enumerate()
    {
        last = tell(&mut state, n as u64 + 1, format, line.as_bytes()).cost_states.pop().or(last);
    }
    assert_eq!(last.unwrap().models[0].tokens.input, 3, "one message");
    assert_eq!(state.summary(&prices).tool_calls, 2);
}

#[test]
fn what_is_reported_call_by_call_is_each_calls_own() {
    let event = |second: u64| {
        let line = json!({"session_id":"s","timestamp":format!("2026-05-01T10:00:{second:02}Z"),"hook_type":"post_tool",
            "tool_name":"Bash","tool_input":{},"model":"claude-sonnet-4","tokens_in":1500,"tokens_out":800});
        let sender = platform::Sender { tenant: "t".into(), source: platform::SOURCE.into(), version: None };
        platform::line(&sender, &line.to_string())
    };
    let mut state = SessionState::new("s");
    let mut total = None;
    for (n, second) in [(1, 1), (2, 2), (3, 2)] {
        total = tell(&mut state, n, PLATFORM, event(second).as_bytes()).cost_states.pop().or(total);
    }
    assert_eq!(total.unwrap().models[0].tokens.output, 1600);
    let proxy = uploaded(1, true).replace("PostToolUse", "proxy");
    assert!(read(PLATFORM, 1, proxy.as_bytes()).is_none(), "it names no session of the client's");
    let before = uploaded(1, true).replace("PostToolUse", "pre_tool");
    assert!(read(PLATFORM, 1, before.as_bytes()).is_none());
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for format in [CC_TRACER, PISAMA_TRACES, PISAMA_CALLS, PLATFORM] {
            let _ = (read(format, 1, &bytes), content(format, 1, &bytes));
        }
        let _ = (format_of(&bytes), written_at(&bytes));
    }

    #[test]
    fn any_order_of_traces_is_the_same_session(order in Just((0..12u64).collect::<Vec<_>>()).prop_shuffle()) {
        let prices = Prices::new(&std::collections::BTreeMap::new());
        let tell_all = |order: &[u64]| {
            let mut state = SessionState::new("s");
            let mut totals = Vec::new();
            for n in order {
                let line = trace(*n, "Bash", if n % 3 == 0 { "a" } else { "b" }, n / 2).to_string();
                totals.extend(tell(&mut state, *n + 1, PISAMA_TRACES, line.as_bytes()).cost_states.pop());
            }
            let view = state.view(&prices);
            let spans: Vec<_> = view.spans.iter().map(|s| serde_json::to_value(&s.span).unwrap()).collect();
            (spans, serde_json::to_value(&view.turns).unwrap(), totals.last().map(|t| t.models.clone()))
        };
        let sorted: Vec<u64> = (0..12).collect();
        prop_assert_eq!(tell_all(&order), tell_all(&sorted));
    }
}
