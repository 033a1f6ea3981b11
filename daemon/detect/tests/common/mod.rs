//! Hand-made sessions in the shapes of hook payloads, and what is found in them.

#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::Arc;

use ccd_detect::{Detection, Engine, Event, Index, Kind, Settings, ToolCall, Unknown};
use serde_json::{Value, json};

/// A session that is being written, one event every few seconds.
pub(crate) struct Session {
    pub(crate) events: Vec<Value>,
    at_ms: i64,
    messages: u64,
    agent: Option<String>,
}

impl Session {
    /// Begins, with a prompt.
    pub(crate) fn new() -> Self {
        let mut session = Self { events: Vec::new(), at_ms: 1_767_225_600_000, messages: 0, agent: None };
        session.push(json!({"hook_event_name": "SessionStart", "source": "startup", "cwd": "/home/u/shop"}));
        session.prompt("Make the basket keep its order");
        session
    }

    pub(crate) fn push(&mut self, mut event: Value) -> &mut Self {
        event["ts"] = json!(self.at_ms);
        if let Some(agent) = &self.agent {
            event["agent_id"] = json!(agent);
        }
        self.at_ms += 4000;
        self.events.push(event);
        self
    }

    pub(crate) fn agent(&mut self, id: Option<&str>) -> &mut Self {
        self.agent = id.map(ToOwned::to_owned);
        self
    }

    pub(crate) fn wait(&mut self, seconds: i64) -> &mut Self {
        self.at_ms += seconds * 1000;
        self
    }

    pub(crate) fn prompt(&mut self, text: &str) -> &mut Self {
        self.push(json!({"hook_event_name": "UserPromptSubmit", "prompt": text}))
    }

    pub(crate) fn stop(&mut self, message: &str, hooked: bool) -> &mut Self {
        self.push(
            json!({"hook_event_name": "Stop", "last_assistant_message": message, "stop_hook_active": hooked}),
        )
    }

    pub(crate) fn compact(&mut self, trigger: &str, tokens: u64) -> &mut Self {
        self.push(json!({"hook_event_name": "PreCompact", "trigger": trigger, "pre_tokens": tokens}))
    }

    /// An answer of the model: tokens not cached, written to the cache, read from it, and output.
    pub(crate) fn turn(&mut self, model: &str, [input, write, read, output]: [u64; 4]) -> &mut Self {
        self.messages += 1;
        let message = format!("msg_{:04}", self.messages);
        self.push(json!({"hook_event_name": "ApiTurn", "model": model, "message_id": message, "text": "",
            "usage": {"input_tokens": input, "cache_creation_input_tokens": write, "cache_read_input_tokens": read,
                "output_tokens": output}}))
    }

    pub(crate) fn says(&mut self, text: &str) -> &mut Self {
        self.turn("claude-opus-4-6", [1, 100, 30_000, 50]);
        if let Some(last) = self.events.last_mut() {
            last["text"] = json!(text);
        }
        self
    }

    pub(crate) fn ok(&mut self, tool: &str, input: &Value, response: &Value) -> &mut Self {
        self.push(json!({"hook_event_name": "PostToolUse", "tool_name": tool, "tool_input": input,
            "tool_response": response, "tool_use_id": "toolu_1"}))
    }

    pub(crate) fn fails(&mut self, tool: &str, input: &Value, error: &str) -> &mut Self {
        self.push(json!({"hook_event_name": "PostToolUseFailure", "tool_name": tool, "tool_input": input,
            "error": error, "tool_use_id": "toolu_1"}))
    }

    pub(crate) fn bash(&mut self, command: &str, output: &str) -> &mut Self {
        let response = json!({"stdout": output, "stderr": "", "interrupted": false});
        self.ok("Bash", &json!({"command": command}), &response)
    }

    pub(crate) fn bash_fails(&mut self, command: &str, error: &str) -> &mut Self {
        self.fails("Bash", &json!({"command": command}), error)
    }

    pub(crate) fn read(&mut self, path: &str, content: &str) -> &mut Self {
        let response = json!({"type": "text", "file": {"filePath": path, "content": content}});
        self.ok("Read", &json!({"file_path": path}), &response)
    }

    pub(crate) fn edit(&mut self, path: &str, old: &str, new: &str) -> &mut Self {
        let input = json!({"file_path": path, "old_string": old, "new_string": new});
        self.ok("Edit", &input, &json!({"filePath": path, "originalFile": old, "userModified": false}))
    }

    pub(crate) fn edit_fails(&mut self, path: &str, old: &str) -> &mut Self {
        let input = json!({"file_path": path, "old_string": old, "new_string": "x"});
        self.fails("Edit", &input, &format!("String to replace not found in file.\nString: {old}"))
    }

    pub(crate) fn grep(&mut self, pattern: &str, found: &str) -> &mut Self {
        let response = json!({"mode": "content", "content": found, "numLines": found.lines().count()});
        self.ok("Grep", &json!({"pattern": pattern, "output_mode": "content"}), &response)
    }

    pub(crate) fn engine(&self) -> (Engine, Vec<Detection>) {
        self.engine_in(&(Arc::new(Unknown) as Arc<dyn Index>))
    }

    /// With an index of the working directory.
    pub(crate) fn engine_in(&self, index: &Arc<dyn Index>) -> (Engine, Vec<Detection>) {
        let mut engine = Engine::new(&Settings::default(), index);
        let found =
            self.events.iter().flat_map(|event| engine.observe(&Event::from_hook(event.clone()))).collect();
        (engine, found)
    }

    /// The rules of a kind that found something, in order, and at which event.
    pub(crate) fn found(&self, kind: Kind) -> Vec<(&'static str, usize)> {
        self.engine().1.iter().filter(|d| d.kind == kind).map(|d| (d.rule, d.at_event)).collect()
    }

    /// The same, with an index of the working directory.
    pub(crate) fn found_in(&self, kind: Kind, index: &Arc<dyn Index>) -> Vec<(&'static str, usize)> {
        let found = self.engine_in(index).1;
        found.iter().filter(|d| d.kind == kind).map(|d| (d.rule, d.at_event)).collect()
    }

    /// The number of the last event.
    pub(crate) fn last(&self) -> usize {
        self.events.len() - 1
    }
}

pub(crate) fn bash_call(command: &str) -> ToolCall {
    ToolCall { id: "toolu_2".to_owned(), name: "Bash".to_owned(), input: json!({"command": command}) }
}
