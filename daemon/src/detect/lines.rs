//! A transcript's lines into events: of what hooks and exchanges have not told.
//!
//! A message is told by several lines, one for each content block; they are written together, so a message is over with the
//! next line of another kind, and with the stretch. Total over any bytes.

use ccd_detect::event::{bounded, text};
use ccd_detect::text::cut;
use ccd_detect::{Event, ModelTurn, Outcome, ToolCall, Usage, What, event};
use serde_json::{Value, json};

use super::events::{Reading, is_guarded, millis, untagged};
use super::known::Phase;
use crate::clock::parse_rfc3339;
use crate::project::transcript::{self, PromptKind, json as raw};
use crate::project::{pairs, request};

/// Longest line that is read: longer ones hold files or pictures.
const MAX_LINE: usize = 8 << 20;

/// A message, as far as its lines were read.
#[derive(Default)]
struct Message {
    id: String,
    request_id: String,
    at_ns: u64,
    agent: Option<String>,
    turn: ModelTurn,
    calls: Vec<(ToolCall, usize)>,
    /// Why the model stopped; older clients do not say.
    stop_reason: Option<String>,
    /// It has text.
    speaks: bool,
}

impl Message {
    /// It asks for nothing more.
    fn is_final(&self) -> bool {
        let over = |reason| !matches!(reason, "tool_use" | "pause_turn");
        self.speaks && self.stop_reason.as_deref().is_some_and(over)
    }
}

/// What a line is about.
struct Envelope {
    at_ns: u64,
    agent: Option<String>,
    len: usize,
}

impl Reading {
    /// Reads a stretch of a transcript: of the main thread, or of a subagent's file.
    pub fn lines(&mut self, agent: Option<&str>, body: &[u8]) {
        let mut message = Message::default();
        let mut last_ns = 0;
        for line in body.split(|byte| *byte == b'\n').filter(|line| line.len() <= MAX_LINE) {
            let line = line.trim_ascii();
            let kind = raw::member(line, "type").unwrap_or_default();
            if !matches!(kind, b"\"user\"" | b"\"assistant\"" | b"\"system\"") {
                continue;
            }
            let Some(value) = raw::value(line) else { continue };
            let at_ns = parse_rfc3339(text(&value, "timestamp")).unwrap_or(last_ns);
            last_ns = at_ns;
            if at_ns > 0 && millis(at_ns) <= self.known.floor_ms {
                continue;
            }
            // Before subagents had files of their own, their lines stood in the session's, marked and without a name.
            let aside = value.get("isSidechain") == Some(&Value::Bool(true));
            let named = Some(text(&value, "agentId")).filter(|id| !id.is_empty());
            let whose = agent.or(named).or(aside.then_some("sidechain")).map(ToOwned::to_owned);
            let envelope = Envelope { at_ns, agent: whose, len: line.len() };
            self.located(text(&value, "cwd"), false, at_ns);
            self.prompts.name(envelope.agent.as_deref(), text(&value, "promptId"));
            if kind == b"\"assistant\"" {
                self.answer(&mut message, value, envelope);
                continue;
            }
            self.close(std::mem::take(&mut message));
            if kind == b"\"user\"" {
                self.user(value, &envelope);
            } else if text(&value, "subtype") == "compact_boundary" && envelope.agent.is_none() {
                self.compacted(&value, &envelope);
            }
        }
        self.close(message);
    }

    fn answer(&mut self, message: &mut Message, mut line: Value, envelope: Envelope) {
        let request_id = text(&line, "requestId").to_owned();
        let mut told = line.get_mut("message").map(Value::take).unwrap_or_default();
        let (id, model) = (text(&told, "id").to_owned(), text(&told, "model").to_owned());
        // The client's own words, such as an error of the API.
        if id.is_empty() || model == "<synthetic>" {
            return;
        }
        if message.id != id {
            self.close(std::mem::take(message));
            let Envelope { at_ns, agent, .. } = envelope;
            *message = Message { id: id.clone(), request_id, at_ns, agent, ..Message::default() };
            message.turn.window = self.prices().context_window(&model);
            message.turn.message_id = id;
            message.turn.model = model;
        }
        message.at_ns = message.at_ns.max(envelope.at_ns);
        let count = |key: &str| told.pointer(&format!("/usage/{key}")).and_then(Value::as_u64).unwrap_or(0);
        let usage = &mut message.turn.usage;
        *usage = Usage {
            input: usage.input.max(count("input_tokens")),
            output: usage.output.max(count("output_tokens")),
            cache_read: usage.cache_read.max(count("cache_read_input_tokens")),
            cache_write: usage.cache_write.max(count("cache_creation_input_tokens")),
        };
        if let Some(reason) = told.get("stop_reason").and_then(Value::as_str) {
            message.stop_reason = Some(reason.to_owned());
        }
        for block in told.get_mut("content").and_then(Value::as_array_mut).into_iter().flatten() {
            match text(block, "type") {
                "text" => {
                    message.speaks = true;
                    add(&mut message.turn.text, text(block, "text"));
                }
                "thinking" => add(&mut message.turn.thinking, text(block, "thinking")),
                "tool_use" => {
                    let input = block.get_mut("input").map(Value::take).unwrap_or_default();
                    let (id, name) = (text(block, "id").to_owned(), text(block, "name").to_owned());
                    message.calls.push((ToolCall::new(&id, &name, input), envelope.len));
                }
                _ => {}
            }
        }
    }

    /// A message is told whole.
    fn close(&mut self, message: Message) {
        if message.id.is_empty() {
            return;
        }
        let is_final = message.is_final();
        let Message { id, request_id, at_ns, agent, mut turn, calls, .. } = message;
        let at_ms = Some(millis(at_ns));
        turn.text = cut(turn.text, event::MAX_STRING);
        turn.thinking = cut(turn.thinking, event::MAX_STRING);
        let last = turn.text.clone();
        if self.known.first(Phase::Turn, &id, millis(at_ns)) {
            let span = pairs::span_of(&self.session_id, &id, &request_id);
            let what = What::Turn(Box::new(turn));
            self.push_placed(Event { at_ms, agent: agent.clone(), what }, at_ns, &span);
        }
        let has_calls = !calls.is_empty();
        for (call, len) in calls {
            // A hook tells the same call before it runs, or has told its result already.
            if self.known.has(Phase::Result, &call.id)
                || !self.known.first(Phase::Call, &call.id, millis(at_ns))
            {
                continue;
            }
            self.known.open(&call, len);
            let id = call.id.clone();
            self.push(Event { at_ms, agent: agent.clone(), what: What::Call(call) }, at_ns, &id);
        }
        // Where hooks tell of a prompt, they tell how it ends, too.
        if is_final && !has_calls && !self.is_hooked(agent.as_deref()) {
            let whose = agent.clone().unwrap_or_default();
            if self.known.first_by(false, &whose, &last) {
                let what = What::Stop { message: last, hook_active: false };
                self.push(Event { at_ms, agent, what }, at_ns, "");
            }
        }
    }

    fn user(&mut self, mut line: Value, envelope: &Envelope) {
        let told = line.get_mut("toolUseResult").map(Value::take).unwrap_or_default();
        let content = line.pointer_mut("/message/content").map(Value::take).unwrap_or_default();
        let blocks = content.as_array().map_or(&[][..], Vec::as_slice);
        let results: Vec<&Value> = blocks.iter().filter(|b| text(b, "type") == "tool_result").collect();
        let alone = results.len() == 1;
        for block in &results {
            self.result(block, if alone { &told } else { &Value::Null }, envelope);
        }
        if results.is_empty() {
            self.prompt(&line, &request::content_text(&content), envelope);
        }
    }

    fn result(&mut self, block: &Value, told: &Value, envelope: &Envelope) {
        let id = text(block, "tool_use_id");
        let call = self.known.close(id);
        if id.is_empty() || !self.known.first(Phase::Result, id, millis(envelope.at_ns)) {
            return;
        }
        // Whose call is not known tells nothing.
        let Some(call) = call else { return };
        let said = block.get("content").map(request::content_text).unwrap_or_default();
        if is_guarded(&said) {
            return;
        }
        let outcome = if block.get("is_error") == Some(&Value::Bool(true)) {
            Outcome::Err(cut(untagged(&said).to_owned(), event::MAX_STRING))
        } else if told.is_object() || told.is_array() {
            Outcome::Ok(bounded(told.clone()))
        } else {
            Outcome::Ok(bounded(json!(said)))
        };
        let at_ms = Some(millis(envelope.at_ns));
        let event = Event { at_ms, agent: envelope.agent.clone(), what: What::Result { call, outcome } };
        self.push(event, envelope.at_ns, id);
    }

    fn prompt(&mut self, line: &Value, said: &str, envelope: &Envelope) {
        let marked = |key: &str| line.get(key) == Some(&Value::Bool(true));
        // What a subagent is asked is the call that starts it.
        if envelope.agent.is_some() || marked("isMeta") || marked("isCompactSummary") {
            return;
        }
        let (kind, typed) = transcript::prompt_of(said);
        let is_interrupt = said.trim_start().starts_with("[Request interrupted by user");
        if !matches!(kind, PromptKind::Typed | PromptKind::Machine | PromptKind::Command) || is_interrupt {
            return;
        }
        let id = ["promptId", "uuid"].map(|key| text(line, key)).into_iter().find(|id| !id.is_empty());
        let id = id.unwrap_or_default();
        self.prompts.name(None, id);
        let news = self.known.first(Phase::Prompt, id, millis(envelope.at_ns))
            && self.known.first_by(false, "prompt", &typed);
        if news {
            let what = What::Prompt { text: cut(typed, event::MAX_STRING) };
            self.push(Event { at_ms: Some(millis(envelope.at_ns)), agent: None, what }, envelope.at_ns, "");
        }
    }

    fn compacted(&mut self, line: &Value, envelope: &Envelope) {
        if self.known.first_by(false, "compaction", "") {
            let meta = line.get("compactMetadata").unwrap_or(&Value::Null);
            let what = What::Compact {
                trigger: text(meta, "trigger").to_owned(),
                pre_tokens: meta.get("preTokens").and_then(Value::as_u64),
            };
            self.push(Event { at_ms: Some(millis(envelope.at_ns)), agent: None, what }, envelope.at_ns, "");
        }
    }
}

fn add(to: &mut String, more: &str) {
    if to.len() > event::MAX_STRING || more.is_empty() {
        return;
    }
    if !to.is_empty() {
        to.push_str("\n\n");
    }
    to.push_str(more);
}
