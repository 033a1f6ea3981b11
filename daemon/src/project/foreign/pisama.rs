//! Lines of `pisama`'s hooks: a tool call, the prompt that it was under, and what the client's transcript said was billed
//! for the message before it. In the shape that its hook writes, and in that of its library (`span_id`, `attributes`).

use ccd_proto::api::Tokens;
use serde_json::{Value, json};

use super::{PISAMA, cc_tracer};
use crate::project::hook::{HookFacts, HookKind, ToolCall};
use crate::project::text::{preview, text_hash, tool_summary};
use crate::project::transcript::LineKind;

/// A tool call that has no ids.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The end of the call, under an id made of its line.
    pub hook: HookFacts,
    /// The prompt that it was under, where the line has it.
    pub prompt: Option<String>,
    /// The model that asked for it, and what that message was billed.
    pub billed: Option<(String, Tokens)>,
}

/// Reads a line; none where it is not the end of a call.
pub(super) fn read(at_ns: u64, line: &[u8]) -> Option<Trace> {
    let event: Value = serde_json::from_slice(line).ok()?;
    let hook = as_hook(&event)?;
    let text = |key: &str| hook.get(key).and_then(Value::as_str).filter(|s| !s.is_empty()).map(str::to_owned);
    let session_id = text("session_id").filter(|id| id != "unknown")?;
    let mut short = [0; 8];
    short.copy_from_slice(&blake3::hash(line.trim_ascii()).as_bytes()[..8]);
    let call = ToolCall {
        tool_use_id: format!("{PISAMA}-{:016x}", u64::from_be_bytes(short)),
        name: text("tool_name")?,
        summary: hook.get("tool_input").and_then(tool_summary),
        prompt_hash: None,
    };
    let prompt = text("prompt");
    let kind = match text("error") {
        Some(error) => HookKind::ToolFailed { call, error: preview(&error), execution_ms: None },
        None => HookKind::ToolOk { call, started_agent: None, execution_ms: None },
    };
    let billed = billed(&session_id, at_ns, &event);
    let hook = HookFacts {
        at_ns,
        event: "PostToolUse".into(),
        cwd: text("cwd"),
        // The same words are the same turn: nothing else tells turns apart.
        prompt_id: Some(turn_of(&session_id, prompt.as_deref())),
        agent_id: text("agent_id"),
        agent_type: text("agent_type"),
        client: None,
        kind,
        session_id,
    };
    Some(Trace { hook, prompt: prompt.map(|p| preview(&p)), billed })
}

fn turn_of(session: &str, prompt: Option<&str>) -> String {
    format!("{PISAMA}-{:016x}", text_hash(&format!("{session}\0{}", prompt.unwrap_or(""))))
}

/// A line as the hook's payload that it was; none where it was written before the call.
pub(super) fn as_hook(event: &Value) -> Option<Value> {
    let none = Value::Null;
    let get = |key: &str| event.get(key).unwrap_or(&none);
    let attributes = get("attributes");
    let either = |flat: &str, attribute: &str| match get(flat) {
        Value::Null => attributes.get(attribute).unwrap_or(&none).clone(),
        value => value.clone(),
    };
    let kind = either("hook_type", "hook_type");
    if matches!(kind.as_str(), Some("pre" | "PreToolUse")) {
        return None;
    }
    let in_library = event.get("span_id").is_some();
    let name = if in_library { get("name") } else { get("tool_name") };
    let (input, output) =
        if in_library { ("input_data", "output_data") } else { ("tool_input", "tool_output") };
    Some(json!({
        "session_id": either("session_id", "session_id"),
        "cwd": either("working_dir", "working_dir"),
        "agent_id": get("agent_id"),
        "agent_type": get("agent_type"),
        "prompt": get("user_input"),
        "tool_name": name,
        "tool_input": get(input),
        "tool_response": get(output),
        "error": get("error"),
        "last_assistant_message": get("ai_output"),
    }))
}

/// The message that asked for the call: the hook's `usage`, or the same figures beside it as older versions wrote them.
fn billed(session: &str, at_ns: u64, event: &Value) -> Option<(String, Tokens)> {
    let usage = match event.get("usage").filter(|usage| usage.is_object()) {
        Some(usage) if usage.as_object().is_some_and(serde_json::Map::is_empty) => return None,
        Some(usage) => usage.clone(),
        None => json!({
            "input_tokens": event.get("input_tokens")?,
            "output_tokens": event.get("output_tokens")?,
            "cache_read_input_tokens": event.get("cache_read_tokens"),
        }),
    };
    let line = json!({
        "type": "assistant",
        "sessionId": session,
        "message": {"id": PISAMA, "role": "assistant", "model": event.get("model"), "content": [], "usage": usage},
    });
    let facts = cc_tracer::of_line(session, at_ns, line.to_string().as_bytes())?;
    facts.lines.into_iter().find_map(|line| match line.kind {
        LineKind::Answer(answer) => Some((answer.model, answer.tokens?)),
        _ => None,
    })
}
