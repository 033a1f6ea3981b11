//! Lines of `pisama`'s hooks: a tool call, the prompt that it was under, and what the client's transcript said was billed
//! for the message before it. In the shape that its hook writes, in that of its library (`span_id`, `attributes`), and in
//! those that its clients and others send to a platform ([`super::platform`]).
//!
//! A call has a name that is the same in all of them: the hash of session, time and tool that the client itself gives its
//! spans. It is taken where the time is told to a fraction of a second; else what the tool was called with is a part of it.
//! So a call that is imported, streamed and uploaded, however often, is one call.

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
    pub billed: Option<Billed>,
    /// It has what the call came back with.
    pub whole: bool,
}

/// What a line says was billed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Billed {
    /// The model.
    pub model: String,
    /// What was billed.
    pub tokens: Tokens,
    /// How much of the cache's part is told: 0 nothing, 1 what was read from it, 2 all.
    pub told: u8,
    /// The call that it was billed for alone. Without one it was billed for a message, and every call of that message
    /// repeats the figures.
    pub alone: Option<String>,
}

/// More tokens than any message has; whoever says more says nothing.
const MOST_TOKENS: u64 = 1 << 40;

/// Reads a line; none where it is not the end of a call.
pub(super) fn read(at_ns: u64, line: &[u8]) -> Option<Trace> {
    of_event(at_ns, &serde_json::from_slice(line).ok()?)
}

/// The same of a line's object.
pub(super) fn of_event(at_ns: u64, event: &Value) -> Option<Trace> {
    let hook = as_hook(event)?;
    let text = |key: &str| hook.get(key).and_then(Value::as_str).filter(|s| !s.is_empty()).map(str::to_owned);
    let session_id = text("session_id").filter(|id| id != "unknown")?;
    let name = text("tool_name")?;
    let call = ToolCall {
        tool_use_id: format!("{PISAMA}-{}", name_of(&session_id, &name, event)),
        name,
        summary: hook.get("tool_input").and_then(tool_summary),
        prompt_hash: None,
    };
    let call_id = call.tool_use_id.clone();
    let prompt = text("prompt");
    let kind = match text("error") {
        Some(error) => HookKind::ToolFailed { call, error: preview(&error), execution_ms: None },
        None => HookKind::ToolOk { call, started_agent: None, execution_ms: None },
    };
    let billed = billed(&session_id, at_ns, event, &call_id);
    let whole = !hook["tool_response"].is_null();
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
    Some(Trace { hook, prompt: prompt.map(|p| preview(&p)), billed, whole })
}

/// A call's name: the one that the client gives its span, where that can be told.
fn name_of(session: &str, tool: &str, event: &Value) -> String {
    let is_hex = |id: &&str| id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit());
    if let Some(id) = event.get(SPAN).and_then(Value::as_str).filter(is_hex) {
        return id.to_ascii_lowercase();
    }
    let time = match event.get("timestamp") {
        Some(Value::String(time)) => time.clone(),
        Some(Value::Number(time)) => time.to_string(),
        _ => String::new(),
    };
    let mut of = format!("{session}:{time}:{tool}");
    if !time.contains('.') {
        of = format!("{of}:{}", event.get("tool_input").unwrap_or(&Value::Null));
        if time.is_empty() {
            // Nothing but the line itself tells it from others.
            of = format!("{of}:{event}");
        }
    }
    let hash = ring::digest::digest(&ring::digest::SHA256, of.as_bytes());
    let mut short = [0; 8];
    short.copy_from_slice(&hash.as_ref()[..8]);
    format!("{:016x}", u64::from_be_bytes(short))
}

/// The member that holds the id of the client's span for a call.
pub(super) const SPAN: &str = "otlp_span_id";

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
    if matches!(kind.as_str(), Some("pre" | "PreToolUse" | "pre_tool" | "pre_tool_use")) {
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
///
/// `tokens_in` and `tokens_out`, as programs send them that report one call at a time, are that call's own.
fn billed(session: &str, at_ns: u64, event: &Value, call: &str) -> Option<Billed> {
    let figure = |name: &str| event.get(name).and_then(whole);
    let (mut told, mut alone) = (2, None);
    let usage = match event.get("usage").filter(|usage| usage.is_object()) {
        Some(usage) if usage.as_object().is_some_and(serde_json::Map::is_empty) => return None,
        Some(usage) => usage.clone(),
        None => {
            let (own_in, own_out) = (figure("tokens_in"), figure("tokens_out"));
            if own_in.is_some() || own_out.is_some() {
                alone = Some(call.to_owned());
            }
            let (input, output) = (own_in.or(figure("input_tokens")), own_out.or(figure("output_tokens")));
            if input.unwrap_or(0) == 0 && output.unwrap_or(0) == 0 {
                return None;
            }
            let read = figure("cache_read_tokens");
            told = u8::from(read.is_some());
            json!({ "input_tokens": input.unwrap_or(0), "output_tokens": output.unwrap_or(0),
                "cache_read_input_tokens": read.unwrap_or(0) })
        }
    };
    let line = json!({
        "type": "assistant",
        "sessionId": session,
        "message": {"id": PISAMA, "role": "assistant", "model": event.get("model"), "content": [], "usage": usage},
    });
    let facts = cc_tracer::of_line(session, at_ns, line.to_string().as_bytes())?;
    facts.lines.into_iter().find_map(|line| match line.kind {
        LineKind::Answer(answer) => {
            let (model, tokens, alone) = (answer.model, answer.tokens?, alone.clone());
            let all = [
                tokens.input,
                tokens.output,
                tokens.cache_read,
                tokens.cache_write_5m,
                tokens.cache_write_1h,
            ];
            all.iter().all(|n| *n < MOST_TOKENS).then_some(Billed { model, tokens, told, alone })
        }
        _ => None,
    })
}

/// A whole number, however it is written: clients send floats and strings, too.
pub(super) fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => {
            let float = || number.as_f64().filter(|f| *f >= 0.0 && *f < 1e15);
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in range")]
            number.as_u64().or_else(|| float().map(|f| f as u64))
        }
        Value::String(text) => {
            let text = text.trim();
            text.parse()
                .ok()
                .or_else(|| whole(&Value::Number(serde_json::Number::from_f64(text.parse().ok()?)?)))
        }
        _ => None,
    }
}
