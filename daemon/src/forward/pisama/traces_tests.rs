//! Traces of a session that was made up.

use ccd_proto::api::{Reasoning, Turn};
use serde_json::json;

use super::*;

fn span(id: &str, kind: &str, requested_by: Option<&str>) -> SpanView {
    let span = Span {
        span_id: id.into(),
        kind: kind.into(),
        turn_id: "t1".into(),
        started_at: format!("2026-11-20T10:00:0{}Z", id.len()),
        requested_by: requested_by.map(str::to_owned),
        tool_name: (kind == "tool").then(|| "Edit".to_owned()),
        model: (kind == "llm").then(|| "claude-x".to_owned()),
        tokens: (kind == "llm").then(|| Tokens { input: 10, output: 5, cache_read: 7, ..Tokens::default() }),
        cost_usd_micros: (kind == "llm").then_some(1_500),
        ..Span::default()
    };
    SpanView { span, ..SpanView::default() }
}

fn made(content: Content, outputs: bool) -> Vec<Trace> {
    let secret = ccd_redact::sample::filled("ghp_{a36}", 7);
    let session =
        Session { session_id: "s-1".into(), cwd: Some("/home/ann/shop".into()), ..Session::default() };
    let view = SessionView {
        turns: vec![Turn { turn_id: "t1".into(), prompt: Some(format!("use {secret}")), ..Turn::default() }],
        spans: vec![
            span("a", "agent", None),
            span("m1", "llm", None),
            span("x", "tool", Some("m1")),
            span("y", "tool", Some("m1")),
            span("m2", "llm", None),
        ],
    };
    let cleaner = Cleaner::standard(
        &crate::export::clean::Privacy { home: Some("/home/ann".into()), ..Default::default() },
        None,
    )
    .unwrap();
    let mut fill = |view: &SpanView| {
        let mut span = view.span.clone();
        if span.kind == "tool" {
            // As MultiEdit's, deep inside.
            span.input = Some(
                json!({"edits": [{"new_string": format!("TOKEN={secret}")}], "file_path": "/home/ann/shop/a"}),
            );
            span.output = Some(json!({"stdout": [format!("is {secret}")]}));
        } else {
            span.output = Some(
                json!([{"type": "text", "text": format!("said {secret}")}, {"type": "tool_use", "id": "u"}]),
            );
            span.reasoning =
                Some(Reasoning { blocks: 1, omitted: 0, text: Some(format!("thought {secret}")) });
        }
        span
    };
    let mut traces = Vec::new();
    Maker { session: &session, view: &view, cleaner: &cleaner, content }.each(
        outputs,
        &mut fill,
        &mut |trace| {
            traces.push(trace);
            true
        },
    );
    let text = serde_json::to_string(&traces).unwrap();
    assert!(!text.contains(&secret) && !text.contains("ann"), "{text}");
    traces
}

#[test]
fn a_tool_call_is_a_trace_and_nothing_is_counted_twice() {
    let traces = made(Content::Full, true);
    let names: Vec<_> = traces.iter().map(|trace| (trace.tool_name.as_str(), trace.hook_type)).collect();
    assert_eq!(names, [("Edit", "PostToolUse"), ("Edit", "PostToolUse"), ("assistant_turn", "proxy")]);
    assert_eq!(traces.iter().map(|trace| trace.input_tokens).collect::<Vec<_>>(), [10, 0, 10]);
    assert_eq!(
        traces.iter().map(|trace| trace.cache_read_tokens).collect::<Vec<_>>(),
        [Some(7), None, Some(7)]
    );
    assert!(traces.iter().all(|trace| trace.model.as_deref() == Some("claude-x")));
    assert_eq!(traces[0].working_dir, "~/shop");
    assert!(traces[0].user_input.as_deref().unwrap().starts_with("use [redacted:"));
    assert!(traces[0].reasoning.as_deref().unwrap().starts_with("thought [redacted:"));
    assert!(traces[0].ai_output.as_deref().unwrap().starts_with("said [redacted:"));
    assert_eq!((&traces[1].user_input, &traces[1].reasoning), (&None, &None));
    let input = traces[1].tool_input.as_ref().unwrap();
    assert_eq!(input["file_path"], "~/shop/a");
    assert!(input["edits"][0]["new_string"].as_str().unwrap().contains("[redacted:"));
    assert!(traces[1].tool_output.as_ref().unwrap()["stdout"][0].as_str().unwrap().contains("[redacted:"));
}

#[test]
fn no_more_goes_along_than_was_agreed() {
    let text = made(Content::Text, true);
    assert!(text.iter().all(|trace| trace.tool_output.is_none()));
    assert!(text[0].tool_input.is_none() && text[0].user_input.is_some() && text[0].ai_output.is_some());
    let without = made(Content::Full, false);
    assert!(without.iter().all(|trace| trace.tool_output.is_none()) && without[0].tool_input.is_some());
    let none = made(Content::None, true);
    for trace in &none {
        assert_eq!((&trace.tool_input, &trace.tool_output, &trace.user_input), (&None, &None, &None));
        assert_eq!((&trace.reasoning, &trace.ai_output), (&None, &None));
    }
    assert_eq!(none.iter().map(|trace| trace.output_tokens).sum::<u64>(), 10, "figures go along");
}

#[test]
fn long_values_are_cut_wherever_they_stand() {
    let mut trace = Trace {
        tool_input: Some(json!({"a": {"b": ["x".repeat(50)]}})),
        tool_output: Some(json!(vec!["y"; 10_000])),
        ai_output: Some("ä".repeat(50)),
        ..Trace::default()
    };
    trace.shape(Shape { outputs: true, field: 40 });
    assert_eq!(trace.ai_output.unwrap(), format!("{}...[truncated]", "ä".repeat(40)));
    let input = trace.tool_input.unwrap();
    assert_eq!(input["a"]["b"][0].as_str().unwrap(), format!("{}...[truncated]", "x".repeat(40)));
    assert!(trace.tool_output.unwrap().as_str().unwrap().ends_with("...[truncated]"));
}
