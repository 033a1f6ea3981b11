//! Traces that are looked at and not kept: the detectors over each session of a body.
//!
//! What depends on a working directory is not worked out: a trace's directory is somebody's text, and may be on another
//! machine. Pure but for the clock of who asks; must never keep, log or write anything of what it looks at.

use std::collections::BTreeMap;
use std::sync::Arc;

use ccd_detect::{Detection, Engine, Event, Index, Settings, Unknown};
use serde_json::{Value, json};

use super::traces::{Batch, Item};
use crate::project::foreign::platform::whole;

/// Detections that are told.
const MOST: usize = 200;

/// What the detectors find, as the platform's clients read it.
pub(super) fn analyze(batch: Batch, settings: &Settings, dashboard: &str) -> Value {
    let count = batch.items.len();
    let mut sessions: BTreeMap<String, Vec<Item>> = BTreeMap::new();
    for item in batch.items {
        sessions.entry(item.session.clone()).or_default().push(item);
    }
    let index: Arc<dyn Index> = Arc::new(Unknown);
    let mut all: Vec<(String, Detection)> = Vec::new();
    for (session, mut items) in sessions {
        // Those without a time stay where they came.
        items.sort_by_key(|item| item.at_ns.unwrap_or(0));
        let mut engine = Engine::new(settings, &index);
        let mut prompt = None;
        for item in &items {
            for event in events(item, &mut prompt) {
                all.extend(engine.observe(&event).into_iter().map(|found| (session.clone(), found)));
            }
        }
    }
    all.sort_by_key(|(_, found)| std::cmp::Reverse(found.severity));
    let told: Vec<Value> = all.iter().take(MOST).map(|(session, found)| one(session, found)).collect();
    json!({ "detections": told, "trace_count": count, "dashboard_url": dashboard })
}

/// A detection.
pub(super) fn one(session: &str, found: &Detection) -> Value {
    json!({
        "type": found.kind.as_str(),
        "severity": found.severity,
        "confidence": found.confidence,
        "session_id": session,
        "explanation": found.title,
        "fix": Some(&found.advice).filter(|advice| !advice.is_empty()),
    })
}

/// What happened by a trace: the prompt where it is another one, the answer that asked for the call, and the call.
fn events(item: &Item, prompt: &mut Option<String>) -> Vec<Event> {
    let trace = &item.value;
    let text = |key: &str| trace.get(key).and_then(Value::as_str).unwrap_or("");
    let first = |keys: [&str; 2]| keys.iter().find_map(|key| trace.get(*key).and_then(whole)).unwrap_or(0);
    let ts = item.at_ns.map(|ns| ns / 1_000_000);
    let agent = trace.get("agent_id").and_then(Value::as_str);
    let event = |name: &str, more: Value| {
        let mut payload = json!({ "hook_event_name": name, "ts": ts, "agent_id": agent });
        if let (Some(payload), Value::Object(more)) = (payload.as_object_mut(), more) {
            payload.extend(more);
        }
        Event::from_hook(payload)
    };
    let mut events = Vec::new();
    let said = text("user_input");
    if !said.is_empty() && prompt.as_deref() != Some(said) {
        events.push(event("UserPromptSubmit", json!({ "prompt": said })));
        *prompt = Some(said.to_owned());
    }
    let (input, output) = (first(["tokens_in", "input_tokens"]), first(["tokens_out", "output_tokens"]));
    if input + output > 0 {
        let figures = format!("{} {input} {output}", text("model"));
        events.push(event(
            "ApiTurn",
            json!({ "model": text("model"), "message_id": figures, "text": text("ai_output"),
                "thinking": text("reasoning"), "usage": { "input_tokens": input, "output_tokens": output,
                "cache_read_input_tokens": trace.get("cache_read_tokens").and_then(whole).unwrap_or(0) } }),
        ));
    }
    let (tool, hook) = (text("tool_name"), text("hook_type"));
    if tool.is_empty() || hook == "proxy" {
        return events;
    }
    let input = match trace.get("tool_input") {
        // Flattened, because something was taken out of it.
        Some(Value::String(flat)) => serde_json::from_str(flat).unwrap_or_else(|_| json!({ "input": flat })),
        Some(input) => input.clone(),
        None => json!({}),
    };
    let call =
        json!({ "tool_name": tool, "tool_input": input, "tool_use_id": item.at_ns.unwrap_or(0).to_string() });
    events.push(event("PreToolUse", call.clone()));
    if !hook.starts_with("pre") && !hook.starts_with("Pre") {
        let mut result = call;
        let error = text("error");
        let name = if error.is_empty() {
            result["tool_response"] = trace.get("tool_output").cloned().unwrap_or(Value::Null);
            "PostToolUse"
        } else {
            result["error"] = error.into();
            "PostToolUseFailure"
        };
        events.push(event(name, result));
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receive::traces::read;

    #[test]
    fn a_loop_is_found_in_what_is_sent_and_nothing_where_nothing_is() {
        let trace = |n: u32, command: &str| {
            json!({"session_id":"s","timestamp":format!("2026-05-01T10:00:{n:02}.000001+00:00"),"tool_name":"Bash",
                "hook_type":"PostToolUse","tool_input":{"command":command},"user_input":"fix the tests"})
        };
        let analyze = |traces: Vec<Value>| {
            let batch = read(json!({ "traces": traces }).to_string().as_bytes(), "t").unwrap();
            analyze(batch, &Settings::default(), "http://127.0.0.1:1/")
        };
        let told = analyze((0..12).map(|n| trace(n, "cargo test --lib parser")).collect());
        assert_eq!(
            (told["trace_count"].as_u64(), told["detections"][0]["type"].as_str()),
            (Some(12), Some("loop"))
        );
        let first = &told["detections"][0];
        assert!(
            first["severity"].as_u64().unwrap() > 0 && !first["explanation"].as_str().unwrap().is_empty(),
            "{told}"
        );
        let told = analyze(vec![trace(1, "ls"), trace(2, "cargo fmt")]);
        assert_eq!(told["detections"], json!([]));
        let odd =
            analyze(vec![json!({"session_id":"s","tool_name":"Edit","tool_input":"{\"file_path\": 5}"})]);
        assert_eq!(odd["trace_count"], 1);
    }
}
