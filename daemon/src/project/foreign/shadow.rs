//! Sessions that only `pisama` tells of, as far as its lines go.
//!
//! Its lines name no call and no message, so that they are held apart from what other sources tell, and shown only while
//! those tell nothing. What its lines say was billed repeats with each call of a message: the same figures of the same
//! model are one message, and figures that tell less of the cache are those of one that tells more. They go to the books as a
//! closing total, which counts only where nothing else was billed.
//!
//! A call may be told of several times, as when a session is uploaded again: the fullest line of it stands, and of equally
//! full ones the last.

use std::collections::BTreeMap;
use std::sync::Arc;

use ccd_proto::api::Tokens;
use ccd_store::Locator;

use super::{Billed, PISAMA, Trace};
use crate::project::charge::{CostState, ModelTotal};
use crate::project::hook::{HookFacts, HookKind};
use crate::project::ids;
use crate::project::messages::{Message, MessageId};
use crate::project::session::{Changes, Fact, SessionState, keep_min};
use crate::project::text::text_hash;

const HOUR_NS: u64 = 3_600_000_000_000;

/// What `pisama`'s lines tell of a session.
#[derive(Clone, Debug, Default)]
pub(in crate::project) struct Traces {
    /// Lines by the id of their call.
    calls: BTreeMap<String, (Trace, Locator)>,
    /// What lines say was billed, by all that they have in common, and how many lines say so.
    billed: BTreeMap<Alike, BTreeMap<Billed, usize>>,
    /// What was billed, by model.
    totals: BTreeMap<String, Tokens>,
}

/// Model, input, output, and the call that it was billed for alone: what lines about one message have in common.
type Alike = (String, u64, u64, Option<String>);

fn alike(billed: &Billed) -> Alike {
    (billed.model.clone(), billed.tokens.input, billed.tokens.output, billed.alone.clone())
}

/// Those of alike figures that tell most: each of them is a message.
fn fullest(of: &BTreeMap<Billed, usize>) -> impl Iterator<Item = &Billed> {
    let most = of.keys().map(|billed| billed.told).max();
    of.keys().filter(move |billed| Some(billed.told) == most)
}

/// How much a line tells of its call.
fn fullness((trace, record): &(Trace, Locator)) -> (u8, bool, Locator) {
    (trace.billed.as_ref().map_or(0, |billed| billed.told + 1), trace.whole, *record)
}

fn without(of: Tokens, less: Tokens) -> Tokens {
    Tokens {
        input: of.input.saturating_sub(less.input),
        output: of.output.saturating_sub(less.output),
        cache_read: of.cache_read.saturating_sub(less.cache_read),
        cache_write_5m: of.cache_write_5m.saturating_sub(less.cache_write_5m),
        cache_write_1h: of.cache_write_1h.saturating_sub(less.cache_write_1h),
    }
}

impl Traces {
    /// Adds a line; whether anything that was billed changed.
    fn add(&mut self, call: &str, trace: &Trace, record: Locator) -> bool {
        let new = (trace.clone(), record);
        if let Some(known) = self.calls.get(call) {
            if fullness(&new) <= fullness(known) {
                return false;
            }
            let known = known.0.billed.clone();
            self.bill(known.as_ref(), false);
        }
        self.bill(trace.billed.as_ref(), true);
        self.calls.insert(call.to_owned(), new);
        trace.billed.is_some()
    }

    fn bill(&mut self, billed: Option<&Billed>, comes: bool) {
        let Some(billed) = billed else { return };
        let sum = |of: &BTreeMap<Billed, usize>| {
            fullest(of).fold(Tokens::default(), |mut sum, billed| {
                sum += billed.tokens;
                sum
            })
        };
        let of = self.billed.entry(alike(billed)).or_default();
        let before = sum(of);
        let lines = of.entry(billed.clone()).or_default();
        if comes {
            *lines += 1;
        } else {
            *lines -= 1;
            if *lines == 0 {
                of.remove(billed);
            }
        }
        let after = sum(of);
        if of.is_empty() {
            self.billed.remove(&alike(billed));
        }
        let total = self.totals.entry(billed.model.clone()).or_default();
        *total = without(*total, before);
        *total += after;
    }

    /// The message that a line's figures are of.
    fn message<'a>(&'a self, billed: &'a Billed) -> &'a Billed {
        let of = self.billed.get(&alike(billed));
        let full = of.and_then(|of| fullest(of).find(|full| *full == billed).or_else(|| fullest(of).next()));
        full.unwrap_or(billed)
    }

    /// Lines.
    pub(in crate::project) fn len(&self) -> usize {
        self.calls.len()
    }
}

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
pub fn message_of(billed: &Billed) -> String {
    let Billed { model, tokens: t, alone, .. } = billed;
    let figures = format!(
        "{model} {} {} {} {} {} {}",
        t.input,
        t.output,
        t.cache_read,
        t.cache_write_5m,
        t.cache_write_1h,
        alone.as_deref().unwrap_or("")
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
        let is_billed = call_of(&trace.hook).is_some_and(|call| self.traces.add(call, trace, record));
        if !is_billed {
            return Changes::default();
        }
        let models = self.traces.totals.iter().map(|(model, tokens)| ModelTotal {
            model: model.clone(),
            tokens: *tokens,
            ..ModelTotal::default()
        });
        let total = CostState {
            session_id: self.session_id.clone(),
            // As the lines say it, to the hour: each total stands in a row of its own.
            at_ns: ns - ns % HOUR_NS,
            start_ns: start_of(&self.session_id),
            models: models.collect(),
        };
        Changes { cost_states: vec![total], ..Changes::default() }
    }

    /// The session as `pisama`'s lines tell it, where nothing else does.
    pub(in crate::project) fn shadow(&self) -> Option<SessionState> {
        let told = self.lines.any
            || !self.calls.is_empty()
            || !self.prompts.is_empty()
            || !self.tools.is_empty()
            || !self.agents.is_empty();
        if told || self.traces.calls.is_empty() {
            return None;
        }
        let mut shadow = SessionState::new(&self.session_id);
        let mut last: BTreeMap<&str, (u64, Locator)> = BTreeMap::new();
        for (trace, record) in self.traces.calls.values() {
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
                shadow.tell_message(self.traces.message(billed), trace);
            }
        }
        // Of how a turn ended it has no word: it is over with its last call.
        for (trace, record) in self.traces.calls.values() {
            let at = (trace.hook.at_ns, *record);
            if trace.hook.prompt_id.as_deref().and_then(|turn| last.get(turn)) == Some(&at) {
                shadow.apply(&of_turn(&trace.hook, "Stop", HookKind::Stop { last: None }), *record);
            }
        }
        (shadow.first_ns, shadow.last_ns, shadow.alive_ns) = (self.first_ns, self.last_ns, self.alive_ns);
        (shadow.cwd, shadow.client, shadow.ended_ns) = (self.cwd.clone(), self.client.clone(), self.ended_ns);
        Some(shadow)
    }

    fn tell_message(&mut self, billed: &Billed, trace: &Trace) {
        let ns = trace.hook.at_ns;
        let id = Arc::new(MessageId { message: message_of(billed), request: String::new() });
        let message = self.lines.messages.entry(id).or_insert_with(|| Message {
            first_ns: ns,
            prompt_id: trace.hook.prompt_id.clone(),
            model: billed.model.clone(),
            tokens: Some(billed.tokens),
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
