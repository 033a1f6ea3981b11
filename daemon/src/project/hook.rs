//! What a hook event tells. The payload stays as it came; this reads the fields that sessions, turns and spans
//! are built from. Total over any bytes: what is not a hook event is kept and tells nothing.

use serde::Deserialize;
use serde_json::Value;

use super::compactions::Trigger;
use super::text::{preview, text_hash, tool_summary};

/// What happened, as far as the projection cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookKind {
    /// The session starts, resumes, or goes on after a compaction.
    SessionStart,
    /// The session ends.
    SessionEnd,
    /// A prompt is submitted.
    Prompt {
        /// First words.
        preview: String,
        /// The client's own notice that a background task ended, not a person's prompt.
        machine: bool,
    },
    /// The turn ended normally.
    Stop {
        /// Its last words.
        last: Option<String>,
    },
    /// The turn was ended by an API error.
    StopFailure {
        /// Which.
        error: String,
    },
    /// A tool call is about to run.
    ToolStart(ToolCall),
    /// A tool call succeeded.
    ToolOk {
        /// The call.
        call: ToolCall,
        /// The subagent that it started.
        started_agent: Option<String>,
        /// How long the tool ran.
        execution_ms: Option<u64>,
    },
    /// A tool call failed.
    ToolFailed {
        /// The call.
        call: ToolCall,
        /// Why.
        error: String,
        /// How long the tool ran.
        execution_ms: Option<u64>,
    },
    /// A tool call was denied in auto mode.
    ToolDenied {
        /// The call.
        call: ToolCall,
        /// Why.
        reason: String,
    },
    /// Every call of a batch is resolved: for unknown tools and invalid inputs the only word.
    ToolBatch {
        /// The calls, each with whether its response reads as an error, and the response's first words.
        calls: Vec<(ToolCall, bool, String)>,
    },
    /// The context is about to be summarised, by `/compact` or by itself.
    Compacting {
        /// By which.
        trigger: Option<Trigger>,
    },
    /// It was.
    Compacted {
        /// By which.
        trigger: Option<Trigger>,
    },
    /// A subagent starts.
    AgentStart,
    /// A subagent stops. Internal forks announce their end without ever having started.
    AgentStop {
        /// Its last words.
        last: Option<String>,
    },
    /// Recorded, and nothing to the projection.
    Other,
}

/// A tool call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolCall {
    /// The API's id of the call.
    pub tool_use_id: String,
    /// The tool.
    pub name: String,
    /// One line about it.
    pub summary: Option<String>,
    /// The hash of the prompt that a subagent is started with.
    pub prompt_hash: Option<u64>,
}

/// A hook event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookFacts {
    /// When the shim was started.
    pub at_ns: u64,
    /// Claude Code's session.
    pub session_id: String,
    /// The event's name.
    pub event: String,
    /// The session's working directory at that time.
    pub cwd: Option<String>,
    /// The turn.
    pub prompt_id: Option<String>,
    /// The subagent it happened in.
    pub agent_id: Option<String>,
    /// That subagent's type.
    pub agent_type: Option<String>,
    /// The client and its version.
    pub client: Option<String>,
    /// What happened.
    pub kind: HookKind,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Payload {
    session_id: Value,
    hook_event_name: Value,
    cwd: Value,
    prompt_id: Value,
    agent_id: Value,
    agent_type: Value,
    prompt: Value,
    last_assistant_message: Value,
    error: Value,
    reason: Value,
    tool_name: Value,
    tool_input: Value,
    tool_use_id: Value,
    tool_response: Value,
    duration_ms: Value,
    tool_calls: Value,
    trigger: Value,
}

fn string(value: &Value) -> Option<String> {
    value.as_str().filter(|s| !s.is_empty()).map(str::to_owned)
}

/// Reads a payload. `None` where it is no hook event of a session.
#[must_use]
pub fn read(at_ns: u64, client: &[u8], body: &[u8]) -> Option<HookFacts> {
    let p: Payload = serde_json::from_slice(body).ok()?;
    let event = string(&p.hook_event_name)?;
    let call = || call(&p.tool_use_id, &p.tool_name, &p.tool_input);
    let last = || p.last_assistant_message.as_str().map(preview);
    let kind = match event.as_str() {
        "SessionStart" => HookKind::SessionStart,
        "SessionEnd" => HookKind::SessionEnd,
        "UserPromptSubmit" => {
            let prompt = p.prompt.as_str().unwrap_or("");
            HookKind::Prompt {
                preview: preview(prompt),
                machine: prompt.trim_start().starts_with("<task-notification>"),
            }
        }
        "Stop" => HookKind::Stop { last: last() },
        "StopFailure" => HookKind::StopFailure {
            error: last().or_else(|| string(&p.error)).unwrap_or_else(|| "API error".into()),
        },
        "PreToolUse" => call().map_or(HookKind::Other, HookKind::ToolStart),
        "PostToolUse" => call().map_or(HookKind::Other, |call| HookKind::ToolOk {
            call,
            started_agent: p.tool_response.get("agentId").and_then(string),
            execution_ms: p.duration_ms.as_u64(),
        }),
        "PostToolUseFailure" => call().map_or(HookKind::Other, |call| HookKind::ToolFailed {
            call,
            error: p.error.as_str().map(preview).unwrap_or_default(),
            execution_ms: p.duration_ms.as_u64(),
        }),
        "PermissionDenied" => call().map_or(HookKind::Other, |call| HookKind::ToolDenied {
            call,
            reason: p.reason.as_str().map(preview).unwrap_or_default(),
        }),
        "PostToolBatch" => HookKind::ToolBatch {
            calls: p.tool_calls.as_array().into_iter().flatten().filter_map(batch_call).collect(),
        },
        "PreCompact" => HookKind::Compacting { trigger: p.trigger.as_str().and_then(Trigger::named) },
        "PostCompact" => HookKind::Compacted { trigger: p.trigger.as_str().and_then(Trigger::named) },
        "SubagentStart" => HookKind::AgentStart,
        "SubagentStop" => HookKind::AgentStop { last: last() },
        _ => HookKind::Other,
    };
    Some(HookFacts {
        at_ns,
        session_id: string(&p.session_id)?,
        event,
        cwd: string(&p.cwd),
        prompt_id: string(&p.prompt_id),
        agent_id: string(&p.agent_id),
        agent_type: string(&p.agent_type),
        client: client_name(client),
        kind,
    })
}

fn call(id: &Value, name: &Value, input: &Value) -> Option<ToolCall> {
    Some(ToolCall {
        tool_use_id: string(id)?,
        name: string(name).unwrap_or_default(),
        summary: tool_summary(input),
        prompt_hash: input.get("prompt").and_then(Value::as_str).map(text_hash),
    })
}

fn batch_call(one: &Value) -> Option<(ToolCall, bool, String)> {
    let member = |key: &str| one.get(key).unwrap_or(&Value::Null);
    let call = call(member("tool_use_id"), member("tool_name"), member("tool_input"))?;
    let response = super::request::content_text(member("tool_response"));
    let is_error = response.trim_start().starts_with("<tool_use_error>");
    Some((call, is_error, preview(&response)))
}

/// `claude-code_2-1-329_harness` (the hook's environment) → `claude-code 2.1.329`.
fn client_name(raw: &[u8]) -> Option<String> {
    let raw = std::str::from_utf8(raw).ok().filter(|s| !s.is_empty())?;
    let mut parts = raw.split('_');
    Some(match (parts.next(), parts.next()) {
        (Some(name), Some(version)) => format!("{name} {}", version.replace('-', ".")),
        _ => raw.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn facts(body: &Value) -> HookFacts {
        read(5, b"claude-code_2-1-329_harness", body.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_background_agent_is_joined_by_the_calls_response() {
        let f = facts(&json!({"session_id":"s","hook_event_name":"PostToolUse","prompt_id":"p",
            "tool_name":"Agent","tool_use_id":"toolu_1","duration_ms":17,
            "tool_input":{"description":"sub","prompt":"say ok"},
            "tool_response":{"isAsync":true,"agentId":"ae45"}}));
        let HookKind::ToolOk { call, started_agent, execution_ms } = f.kind else { panic!("{f:?}") };
        assert_eq!((started_agent.as_deref(), execution_ms), (Some("ae45"), Some(17)));
        assert_eq!(call.prompt_hash, Some(text_hash("say ok")));
        assert_eq!(f.client.as_deref(), Some("claude-code 2.1.329"));
    }

    #[test]
    fn machine_prompts_are_told_from_typed_ones() {
        let f = facts(&json!({"session_id":"s","hook_event_name":"UserPromptSubmit",
            "prompt":"<task-notification>\n…"}));
        assert!(matches!(f.kind, HookKind::Prompt { machine: true, .. }));
    }

    #[test]
    fn wrong_types_lose_nothing_else() {
        let f = facts(&json!({"session_id":"s","hook_event_name":"PreToolUse","cwd":7,
            "tool_use_id":"t","tool_name":["x"],"tool_input":"text"}));
        assert!(matches!(f.kind, HookKind::ToolStart(ref c) if c.tool_use_id == "t"));
        assert_eq!(f.cwd, None);
        assert_eq!(read(0, b"", b"[1]"), None);
        assert_eq!(read(0, b"", br#"{"session_id":5,"hook_event_name":"Stop"}"#), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(0, &bytes, &bytes);
        }
    }
}
