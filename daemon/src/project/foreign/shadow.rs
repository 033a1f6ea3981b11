//! Sessions that only `pisama` tells of, as far as its lines go.
//!
//! Its lines name no call and no message, so that they are held apart from what other sources tell, and shown only while
//! those tell nothing. What its lines say was billed repeats with each call of a message: the same figures of the same
//! model are one message. They go to the books as a closing total, which counts only where nothing else was billed.

use std::collections::BTreeMap;
use std::sync::Arc;

use ccd_proto::api::Tokens;
use ccd_store::Locator;

use super::{PISAMA, Trace};
use crate::project::charge::{CostState, ModelTotal};
use crate::project::hook::{HookFacts, HookKind};
use crate::project::ids;
use crate::project::messages::{Message, MessageId};
use crate::project::session::{Changes, Fact, SessionState, keep_min};
use crate::project::text::text_hash;

const HOUR_NS: u64 = 3_600_000_000_000;

/// Lines by the id of their call.
pub(in crate::project) type Traces = BTreeMap<String, (Trace, Locator)>;

/// The beginning that stands for `pisama`'s totals of a session: later than any client's.
#[must_use]
pub fn start_of(session: &str) -> u64 {
    let key = ids::session_key(session);
    let mut first = [0; 8];
    first.copy_from_slice(&key[..8]);
    u64::from_be_bytes(first) | 1 << 63
}

/// Whether a beginning is one of those.
#[must_use]
pub fn is_foreign_start(start_ns: u64) -> bool {
    start_ns >> 63 == 1
}

/// The name of a message that is known by its figures alone.
#[must_use]
pub fn message_of((model, t): &(String, Tokens)) -> String {
    let figures = format!(
        "{model} {} {} {} {} {}",
        t.input, t.output, t.cache_read, t.cache_write_5m, t.cache_write_1h
    );
    format!("{PISAMA}-{:016x}", text_hash(&figures))
}

fn call_of(hook: &HookFacts) -> Option<&str> {
    match &hook.kind {
        HookKind::ToolOk { call, .. } | HookKind::ToolFailed { call, .. } => Some(&call.tool_use_id),
        _ => None,
    }
}

impl SessionState {
    /// Adds a line.
    pub(in crate::project) fn apply_trace(&mut self, trace: &Trace, record: Locator) -> Changes {
        let ns = trace.hook.at_ns;
        self.seen(ns, ns);
        self.alive_ns = self.alive_ns.max(ns);
        if let Some(cwd) = &trace.hook.cwd {
            keep_min(&mut self.cwd, (ns, cwd.clone()));
        }
        if let Some(call) = call_of(&trace.hook) {
            self.traces.insert(call.to_owned(), (trace.clone(), record));
        }
        let mut models: BTreeMap<String, Tokens> = BTreeMap::new();
        for (model, tokens) in self.traced_messages().values() {
            *models.entry(model.clone()).or_default() += *tokens;
        }
        if trace.billed.is_none() || models.is_empty() {
            return Changes::default();
        }
        let models =
            models.into_iter().map(|(model, tokens)| ModelTotal { model, tokens, ..ModelTotal::default() });
        let total = CostState {
            session_id: self.session_id.clone(),
            // As the lines say it, to the hour: each total stands in a row of its own.
            at_ns: ns - ns % HOUR_NS,
            start_ns: start_of(&self.session_id),
            models: models.collect(),
        };
        Changes { cost_states: vec![total], ..Changes::default() }
    }

    fn traced_messages(&self) -> BTreeMap<String, &(String, Tokens)> {
        let billed = self.traces.values().filter_map(|(trace, _)| trace.billed.as_ref());
        billed.map(|billed| (message_of(billed), billed)).collect()
    }

    /// The session as `pisama`'s lines tell it, where nothing else does.
    pub(in crate::project) fn shadow(&self) -> Option<SessionState> {
        let told = self.lines.any
            || !self.calls.is_empty()
            || !self.prompts.is_empty()
            || !self.tools.is_empty()
            || !self.agents.is_empty();
        if told || self.traces.is_empty() {
            return None;
        }
        let mut shadow = SessionState::new(&self.session_id);
        let mut last: BTreeMap<&str, (u64, Locator)> = BTreeMap::new();
        for (trace, record) in self.traces.values() {
            shadow.apply(&Fact::Hook(Box::new(trace.hook.clone())), *record);
            let Some(turn) = trace.hook.prompt_id.as_deref() else { continue };
            if let Some(preview) = &trace.prompt {
                let kind = HookKind::Prompt { preview: preview.clone(), machine: false };
                shadow.apply(&of_turn(&trace.hook, "UserPromptSubmit", kind), *record);
            }
            let at = (trace.hook.at_ns, *record);
            let latest = last.entry(turn).or_insert(at);
            *latest = (*latest).max(at);
            if let Some(billed) = &trace.billed {
                shadow.tell_message(billed, trace);
            }
        }
        // Of how a turn ended it has no word: it is over with its last call.
        for (trace, record) in self.traces.values() {
            let at = (trace.hook.at_ns, *record);
            if trace.hook.prompt_id.as_deref().and_then(|turn| last.get(turn)) == Some(&at) {
                shadow.apply(&of_turn(&trace.hook, "Stop", HookKind::Stop { last: None }), *record);
            }
        }
        (shadow.first_ns, shadow.last_ns, shadow.alive_ns) = (self.first_ns, self.last_ns, self.alive_ns);
        (shadow.cwd, shadow.client, shadow.ended_ns) = (self.cwd.clone(), self.client.clone(), self.ended_ns);
        Some(shadow)
    }

    fn tell_message(&mut self, billed: &(String, Tokens), trace: &Trace) {
        let ns = trace.hook.at_ns;
        let id = Arc::new(MessageId { message: message_of(billed), request: String::new() });
        let message = self.lines.messages.entry(id).or_insert_with(|| Message {
            first_ns: ns,
            prompt_id: trace.hook.prompt_id.clone(),
            model: billed.0.clone(),
            tokens: Some(billed.1),
            stop_reason: Some((0, "tool_use".into())),
            ..Message::default()
        });
        if ns < message.first_ns {
            (message.first_ns, message.prompt_id) = (ns, trace.hook.prompt_id.clone());
        }
        message.last_ns = message.first_ns;
        if let Some(call) = call_of(&trace.hook) {
            message.tool_uses.push(call.to_owned());
        }
    }
}

fn of_turn(hook: &HookFacts, event: &str, kind: HookKind) -> Fact {
    let (agent_id, agent_type) = (None, None);
    Fact::Hook(Box::new(HookFacts { event: event.into(), kind, agent_id, agent_type, ..hook.clone() }))
}
