//! Records into events: what hooks, exchanges and lines of transcripts tell of a session, each thing once.
//!
//! ```text
//! hook payload ─┐
//! exchange ─────┼─► Reading (what was told already, whose prompt it is) ─► Step: an event and its place
//! lines ────────┘   known.rs                                  lines.rs
//! ```
//!
//! Pure: no I/O, no clock. Must never fail on what it is given: what is no event of a session tells nothing.
//!
//! Invariant: the same records in the same order give the same steps, however they come in batches; so detectors number
//! events alike when they are fed live, when they are read anew from the journal, and in an analysis.

use std::collections::VecDeque;
use std::sync::Arc;

use ccd_detect::{Event, ModelTurn, Usage, What};
use ccd_proto::api::Tokens;
use serde_json::{Value, json};

use super::known::{Known, Phase, Prompts};
use super::places::Place;
use crate::project::exchange::ExchangeFacts;
use crate::project::price::Prices;
use crate::project::request::content_text;
use crate::project::{ids, pairs};

/// Prompts that hooks told of, which are remembered.
const MAX_HOOKED: usize = 16;

/// Hook events that tell the detectors something. The others come often (`MessageDisplay`), and are not even read.
const TELLING: [&str; 11] = [
    "SessionStart",
    "UserPromptSubmit",
    "PreToolUse",
    "PostToolUse",
    "PostToolUseFailure",
    "PostToolBatch",
    "PreCompact",
    "Stop",
    "SubagentStop",
    "PostModelSwitch",
    "SessionEnd",
];

/// Whether a hook event of this name tells the detectors something.
#[must_use]
pub fn is_telling(event: &str) -> bool {
    TELLING.contains(&event)
}

/// An event, and where and when it happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The event.
    pub event: Event,
    /// Where it stands.
    pub place: Place,
    /// When, nanoseconds since the Unix epoch; 0 where nobody told.
    pub at_ns: u64,
}

/// An answer of the model, as an exchange told it.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    at_ns: u64,
    agent: Option<String>,
    request_id: String,
    turn: ModelTurn,
}

impl Answered {
    /// The answer in an exchange; none where it is none of the conversation, failed, or was not billed. Takes the texts
    /// out of it.
    #[must_use]
    pub fn take(facts: &mut ExchangeFacts, prices: &Prices) -> Option<Self> {
        let said = facts.said.take()?;
        let row = &facts.row;
        let model = row.model.clone().unwrap_or_default();
        Some(Answered {
            at_ns: row.ended_ns(),
            agent: row.agent_id.clone(),
            request_id: row.request_id.clone().unwrap_or_default(),
            turn: ModelTurn {
                message_id: row.message_id.clone().unwrap_or_default(),
                usage: usage(&row.tokens?),
                text: said.text,
                thinking: said.thinking,
                window: row.context_window.or_else(|| prices.context_window(&model)),
                model,
            },
        })
    }

    /// Bytes that it holds.
    #[must_use]
    pub fn size(&self) -> usize {
        self.turn.text.len() + self.turn.thinking.len()
    }
}

pub(super) fn usage(tokens: &Tokens) -> Usage {
    Usage {
        input: tokens.input,
        output: tokens.output,
        cache_read: tokens.cache_read,
        cache_write: tokens.cache_write_5m.saturating_add(tokens.cache_write_1h),
    }
}

pub(super) fn millis(ns: u64) -> i64 {
    i64::try_from(ns / 1_000_000).unwrap_or(i64::MAX)
}

/// A call that a guard did not let run: its refusal is nothing that the tool said.
pub(super) fn is_guarded(text: &str) -> bool {
    text.trim_start().starts_with("PreToolUse:") && text.contains(" hook error: ")
}

/// An error as the hooks tell it, without the tags that the model sees around it.
pub(super) fn untagged(text: &str) -> &str {
    let text = text.trim();
    let inner =
        text.strip_prefix("<tool_use_error>").map(|t| t.strip_suffix("</tool_use_error>").unwrap_or(t));
    inner.unwrap_or(text)
}

/// Reads the records of one session.
pub struct Reading {
    pub(super) session_id: String,
    pub(super) known: Known,
    pub(super) prompts: Prompts,
    /// The prompts that hooks told of last: hooks tell how those end.
    hooked: VecDeque<Arc<str>>,
    started: bool,
    cwd: Option<String>,
    prices: Arc<Prices>,
    out: Vec<Step>,
}

impl Reading {
    /// Of this session; with what is known of models.
    #[must_use]
    pub fn new(session_id: &str, prices: Arc<Prices>) -> Self {
        Reading {
            session_id: session_id.to_owned(),
            known: Known::default(),
            prompts: Prompts::default(),
            hooked: VecDeque::new(),
            started: false,
            cwd: None,
            prices,
            out: Vec::new(),
        }
    }

    /// The working directory that was told first.
    #[must_use]
    pub fn cwd(&self) -> Option<&str> {
        self.cwd.as_deref()
    }

    /// The prices, and what is known of models.
    pub(super) fn prices(&self) -> &Prices {
        &self.prices
    }

    /// The steps since they were taken last.
    pub fn take(&mut self) -> Vec<Step> {
        std::mem::take(&mut self.out)
    }

    /// Reads a hook event's payload.
    pub fn hook(&mut self, at_ns: u64, body: &[u8]) {
        if let Ok(payload) = serde_json::from_slice(body) {
            self.payload(at_ns, payload, body.len());
        }
    }

    /// Reads a hook event's payload that is so long.
    pub fn payload(&mut self, at_ns: u64, mut payload: Value, len: usize) {
        let text = |key: &str| payload.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
        let (name, agent) = (text("hook_event_name"), Some(text("agent_id")).filter(|id| !id.is_empty()));
        if !is_telling(&name) {
            return;
        }
        let (prompt, id, cwd) = (text("prompt_id"), text("tool_use_id"), text("cwd"));
        let moment = millis(at_ns);
        if !payload.is_object() {
            return;
        }
        payload["ts"] = json!(moment);
        self.located(&cwd, name == "SessionStart", at_ns);
        self.prompts.name(agent.as_deref(), &prompt);
        if agent.is_none() && !prompt.is_empty() && name != "SessionEnd" {
            self.hooked_by(&prompt);
        }
        let news = match name.as_str() {
            "UserPromptSubmit" if prompt.is_empty() => {
                self.known.first_by(true, "prompt", &text_of(&payload, "prompt"))
            }
            "UserPromptSubmit" => self.known.first(Phase::Prompt, &prompt, moment),
            "PreToolUse" => self.known.first(Phase::Call, &id, moment),
            "PostToolUse" | "PostToolUseFailure" => {
                self.known.close(&id);
                self.known.first(Phase::Result, &id, moment)
            }
            "PostToolBatch" => return self.batch(at_ns, agent.as_deref(), &payload),
            "PreCompact" => self.known.first_by(true, "compaction", ""),
            // A fork of the client's own, such as the one that summarises, ends without having been anybody.
            "SubagentStop" => {
                let kind = text_of(&payload, "agent_type");
                let whose = agent.as_deref().unwrap_or("");
                !kind.is_empty()
                    && self.known.first_by(true, whose, &text_of(&payload, "last_assistant_message"))
            }
            "Stop" => self.known.first_by(true, "", &text_of(&payload, "last_assistant_message")),
            _ => true,
        };
        if !news {
            return;
        }
        let event = Event::from_hook(payload);
        match &event.what {
            What::Call(call) => self.known.open(call, len),
            What::Other => return,
            _ => {}
        }
        self.push(event, at_ns, &id);
    }

    /// All calls of a batch are over. Those that failed the client's own checks are told of by nothing else; neither are
    /// those that were not allowed to run.
    fn batch(&mut self, at_ns: u64, agent: Option<&str>, payload: &Value) {
        for call in payload.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
            let id = text_of(call, "tool_use_id");
            // One that began has a word of its own about its end, which may only be late.
            let has_own = id.is_empty() || self.known.has(Phase::Call, &id);
            if has_own || !self.known.first(Phase::Result, &id, millis(at_ns)) {
                continue;
            }
            self.known.close(&id);
            let response = call.get("tool_response").map(content_text).unwrap_or_default();
            if is_guarded(&response) {
                continue;
            }
            let event = Event::from_hook(json!({
                "hook_event_name": "PostToolUseFailure",
                "ts": millis(at_ns),
                "agent_id": agent,
                "tool_use_id": id,
                "tool_name": call.get("tool_name"),
                "tool_input": call.get("tool_input"),
                "error": untagged(&response),
            }));
            self.push(event, at_ns, &id);
        }
    }

    /// Reads an answer that an exchange told.
    pub fn answered(&mut self, answered: &Answered) {
        let Answered { at_ns, agent, request_id, turn } = answered;
        if !self.known.first(Phase::Turn, &turn.message_id, millis(*at_ns)) {
            return;
        }
        let what = What::Turn(Box::new(turn.clone()));
        let event = Event { at_ms: Some(millis(*at_ns)), agent: agent.clone(), what };
        let span = pairs::span_of(&self.session_id, &turn.message_id, request_id);
        let place = Place::new(self.prompts.of(agent.as_deref()), Some(&span));
        self.out.push(Step { event, place, at_ns: *at_ns });
    }

    /// Somebody tells a working directory. The first one begins the session, where nothing else did.
    pub(super) fn located(&mut self, cwd: &str, starts: bool, at_ns: u64) {
        if self.cwd.is_none() && !cwd.is_empty() {
            self.cwd = Some(cwd.to_owned());
        }
        if starts || self.started || cwd.is_empty() {
            self.started |= starts;
            return;
        }
        self.started = true;
        let what = What::Start { source: String::new(), cwd: cwd.to_owned() };
        self.push(Event { at_ms: Some(millis(at_ns)), agent: None, what }, at_ns, "");
    }

    fn hooked_by(&mut self, prompt: &str) {
        if self.hooked.back().is_none_or(|last| **last != *prompt) {
            ccd_detect::memory::push(&mut self.hooked, MAX_HOOKED, prompt.into());
        }
    }

    /// Whether hooks tell of what this thread works on.
    pub(super) fn is_hooked(&self, agent: Option<&str>) -> bool {
        self.prompts.of(agent).is_some_and(|prompt| self.hooked.contains(&prompt))
    }

    /// Adds an event, in the span of its call, its subagent or its turn.
    pub(super) fn push(&mut self, event: Event, at_ns: u64, tool_use_id: &str) {
        let session = self.session_id.as_str();
        let turn = self.prompts.of(event.agent.as_deref());
        let is_prompt = matches!(event.what, What::Prompt { .. });
        let span = match (&event.what, &event.agent, &turn) {
            (What::Call(_) | What::Result { .. }, ..) if !tool_use_id.is_empty() => {
                Some(ids::span(session, "tool", tool_use_id))
            }
            (What::Start { .. }, ..) | (_, None, None) => None,
            (_, Some(agent), _) => Some(ids::span(session, "agent", agent)),
            (_, None, Some(turn)) => Some(ids::span(session, "turn", turn)),
        };
        let mut place = Place::new(turn, span.as_deref());
        place.is_prompt = is_prompt;
        self.out.push(Step { event, place, at_ns });
    }

    pub(super) fn push_placed(&mut self, event: Event, at_ns: u64, span_id: &str) {
        let place = Place::new(self.prompts.of(event.agent.as_deref()), Some(span_id));
        self.out.push(Step { event, place, at_ns });
    }
}

fn text_of(value: &Value, key: &str) -> String {
    ccd_detect::event::text(value, key).to_owned()
}
