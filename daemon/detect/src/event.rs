//! What happened in a session, in one shape, whoever told of it: hook payloads, API exchanges, lines of a file.
//!
//! It must never fail or panic on what it is given: what it does not know becomes [`What::Other`], so that events keep
//! their numbers; what is missing is empty.
//!
//! Invariant: an event is bounded. Strings longer than [`MAX_STRING`] keep their ends and the hash of the whole, so
//! that equal ones stay equal and others different; values keep [`MAX_NODES`] nodes at [`MAX_DEPTH`] levels.

use serde_json::{Map, Value};

use crate::text::{cut, parse_time, slashed};

/// Bytes that are kept of one string.
pub const MAX_STRING: usize = 64 * 1024;
/// Nodes that are kept of one value.
pub const MAX_NODES: usize = 4096;
/// Levels that are kept of one value.
pub const MAX_DEPTH: usize = 24;

/// Bytes that are kept of an agent's id.
const MAX_AGENT: usize = 128;

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// When, in milliseconds since the Unix epoch, if somebody told.
    pub at_ms: Option<i64>,
    /// The subagent it happened in; `None` is the main thread.
    pub agent: Option<String>,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A session starts, or starts again: `source` is `startup`, `resume`, `clear`, `compact` or `fork`.
    Start {
        /// Why it starts.
        source: String,
        /// The working directory.
        cwd: String,
    },
    /// The user, or a machine in the user's place, says something.
    Prompt {
        /// What is said.
        text: String,
    },
    /// A tool call is about to run.
    Call(ToolCall),
    /// A tool call has come back.
    Result {
        /// The call.
        call: ToolCall,
        /// What came back.
        outcome: Outcome,
    },
    /// The model has answered.
    Turn(Box<ModelTurn>),
    /// The conversation is about to be compacted.
    Compact {
        /// `auto` or `manual`.
        trigger: String,
        /// The size of the context, if it was told.
        pre_tokens: Option<u64>,
    },
    /// The agent ends its turn.
    Stop {
        /// Its last message.
        message: String,
        /// It goes on because of a Stop hook.
        hook_active: bool,
    },
    /// The session's model is changed on somebody's wish.
    ModelSwitch {
        /// The model from now on.
        to: String,
    },
    /// Something that no detector looks at.
    Other,
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ToolCall {
    /// The API's id of the call.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// What it is called with.
    pub input: Value,
}

/// What came back from a tool.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It ran.
    Ok(Value),
    /// It failed, or somebody refused it.
    Err(String),
}

/// One answer of the model.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ModelTurn {
    /// The model.
    pub model: String,
    /// The API's id of the message; several events may tell of one message.
    pub message_id: String,
    /// Tokens.
    pub usage: Usage,
    /// What it said.
    pub text: String,
    /// What it thought, as far as it is shown.
    pub thinking: String,
    /// The window of this model in this session, where somebody told it (a beta header, the status line).
    pub window: Option<u64>,
}

/// Tokens as the API splits them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Not from the cache.
    pub input: u64,
    /// Written.
    pub output: u64,
    /// From the cache.
    pub cache_read: u64,
    /// Put into the cache.
    pub cache_write: u64,
}

impl Usage {
    /// What the model was given.
    #[must_use]
    pub fn prompt(&self) -> u64 {
        self.input.saturating_add(self.cache_read).saturating_add(self.cache_write)
    }

    /// What the context holds after the answer.
    #[must_use]
    pub fn context(&self) -> u64 {
        self.prompt().saturating_add(self.output)
    }
}

impl ToolCall {
    /// A call as a hook tells of it, within the bounds of an event.
    #[must_use]
    pub fn new(id: &str, name: &str, input: Value) -> Self {
        Self { id: id.to_owned(), name: name.to_owned(), input: with_slashes(bounded(input)) }
    }

    /// A string of the input; "" where there is none.
    #[must_use]
    pub fn text(&self, key: &str) -> &str {
        text(&self.input, key)
    }
}

impl Event {
    /// From a hook's payload, or from a line shaped like one. `ApiTurn` stands for an exchange.
    #[must_use]
    pub fn from_hook(mut payload: Value) -> Self {
        let at_ms = match payload.get("ts") {
            Some(Value::String(ts)) => parse_time(ts),
            Some(Value::Number(ts)) => ts.as_i64(),
            _ => None,
        };
        let agent =
            Some(take(&mut payload, "agent_id")).filter(|id| !id.is_empty()).map(|id| cut(id, MAX_AGENT));
        let what = what(&mut payload);
        Self { at_ms, agent, what }
    }
}

fn what(payload: &mut Value) -> What {
    match text(payload, "hook_event_name") {
        "SessionStart" => What::Start { source: take(payload, "source"), cwd: slashed(take(payload, "cwd")) },
        "UserPromptSubmit" => What::Prompt { text: take(payload, "prompt") },
        "PreToolUse" => What::Call(call(payload)),
        "PostToolUse" => {
            let response = bounded(payload.get_mut("tool_response").map(Value::take).unwrap_or_default());
            What::Result { call: call(payload), outcome: Outcome::Ok(response) }
        }
        "PostToolUseFailure" => {
            let error = take(payload, "error");
            What::Result { call: call(payload), outcome: Outcome::Err(error) }
        }
        "ApiTurn" => What::Turn(Box::new(turn(payload))),
        "PreCompact" => What::Compact {
            trigger: take(payload, "trigger"),
            pre_tokens: payload.get("pre_tokens").and_then(Value::as_u64),
        },
        "Stop" | "SubagentStop" => What::Stop {
            message: take(payload, "last_assistant_message"),
            hook_active: payload.get("stop_hook_active").and_then(Value::as_bool).unwrap_or(false),
        },
        // The client's own changes, such as a fallback, are nobody's wish.
        "PostModelSwitch" if text(payload, "source") != "auto" => {
            What::ModelSwitch { to: take(payload, "to_model") }
        }
        _ => What::Other,
    }
}

fn call(payload: &mut Value) -> ToolCall {
    let input = bounded(payload.get_mut("tool_input").map(Value::take).unwrap_or_default());
    ToolCall {
        id: take(payload, "tool_use_id"),
        name: take(payload, "tool_name"),
        input: with_slashes(input),
    }
}

/// The input of a tool with its paths as they are written everywhere but on Windows.
#[must_use]
pub fn with_slashes(mut input: Value) -> Value {
    for key in ["file_path", "notebook_path", "path"] {
        if let Some(Value::String(path)) = input.get_mut(key)
            && path.contains('\\')
        {
            *path = slashed(std::mem::take(path));
        }
    }
    input
}

fn turn(payload: &mut Value) -> ModelTurn {
    let count = |key: &str| payload.pointer(&format!("/usage/{key}")).and_then(Value::as_u64).unwrap_or(0);
    let usage = Usage {
        input: count("input_tokens"),
        output: count("output_tokens"),
        cache_read: count("cache_read_input_tokens"),
        cache_write: count("cache_creation_input_tokens"),
    };
    let window = payload.get("window").and_then(Value::as_u64);
    ModelTurn {
        model: take(payload, "model"),
        message_id: take(payload, "message_id"),
        usage,
        text: take(payload, "text"),
        thinking: take(payload, "thinking"),
        window,
    }
}

/// A string of an object; "" where there is none.
#[must_use]
pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn take(value: &mut Value, key: &str) -> String {
    match value.get_mut(key).map(Value::take) {
        Some(Value::String(text)) => cut(text, MAX_STRING),
        _ => String::new(),
    }
}

/// The value with its strings cut and without what is beyond the bounds.
#[must_use]
pub fn bounded(value: Value) -> Value {
    let mut nodes = MAX_NODES;
    prune(value, &mut nodes, MAX_DEPTH)
}

fn prune(value: Value, nodes: &mut usize, depth: usize) -> Value {
    if *nodes == 0 || depth == 0 {
        return Value::Null;
    }
    *nodes -= 1;
    match value {
        Value::String(text) => Value::String(cut(text, MAX_STRING)),
        Value::Array(items) => {
            let mut kept = Vec::new();
            for item in items {
                if *nodes == 0 {
                    break;
                }
                kept.push(prune(item, nodes, depth - 1));
            }
            Value::Array(kept)
        }
        Value::Object(fields) => {
            let mut kept = Map::new();
            for (key, item) in fields {
                if *nodes == 0 {
                    break;
                }
                kept.insert(cut(key, MAX_STRING), prune(item, nodes, depth - 1));
            }
            Value::Object(kept)
        }
        other => other,
    }
}
