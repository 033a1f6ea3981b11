//! Compactions that the proxy did not see: what hooks (`PreCompact`, `PostCompact`) and transcripts (`compact_boundary`)
//! tell of the same one, joined by their order.
//!
//! A compaction is told of by no id. But the client makes one at a time in each agent, announces it before, writes its line
//! when it has the summary, and announces the end after that: so what is told between the two announcements is the same
//! compaction. Where the proxy saw the call that made the summary, that call stands for it, and nothing is added.
//!
//! Pure: the same facts give the same compactions, in whatever order they come.

use std::collections::BTreeMap;

use ccd_store::Locator;

use super::hook::{HookFacts, HookKind};
use super::ids;
use super::pairs::ModelCall;
use super::request::Purpose;
use super::session::At;

/// What was announced by several recorders is announced within this.
const SAME_NS: u64 = 2_000_000_000;

/// Who asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trigger {
    /// The user, by `/compact`.
    Manual,
    /// The client: the context was full.
    Auto,
}

impl Trigger {
    /// By its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "manual" => Some(Trigger::Manual),
            "auto" => Some(Trigger::Auto),
            _ => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Trigger::Manual => "manual",
            Trigger::Auto => "auto",
        }
    }
}

/// What the line of a transcript says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Boundary {
    /// Who asked for it.
    pub trigger: Option<Trigger>,
    /// Tokens of the context before it.
    pub before: Option<u64>,
    /// Tokens of the context after it.
    pub left: Option<u64>,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<u64>,
}

/// The span of a compaction that a hook told of first.
#[must_use]
pub fn span_of_hook(session: &str, at_ns: u64) -> String {
    ids::span(session, "compaction", &format!("hook {at_ns}"))
}

/// The span of a compaction that only a line tells of.
#[must_use]
pub fn span_of_line(session: &str, uuid: u64) -> String {
    ids::span(session, "compaction", &format!("line {uuid:016x}"))
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    is_end: bool,
    trigger: Option<Trigger>,
    agent: Option<String>,
    prompt: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    at: At,
    agent: Option<String>,
    says: Boundary,
}

/// What was told of a session's compactions.
#[derive(Clone, Debug, Default)]
pub(super) struct Compactions {
    hooks: BTreeMap<At, Word>,
    /// By the lines' own ids: a session's files repeat each other's.
    lines: BTreeMap<u64, Told>,
}

/// A compaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Compaction<'a> {
    pub span_id: String,
    pub start_ns: u64,
    /// When it is known to have begun; else `start_ns` is its end.
    pub has_start: bool,
    pub end_ns: Option<u64>,
    pub agent: Option<&'a str>,
    pub prompt: Option<&'a str>,
    pub trigger: Option<Trigger>,
    pub says: Boundary,
    /// Another one of the same agent came after it.
    pub is_past: bool,
    pub hooks: Vec<Locator>,
    /// The record of `PostCompact`.
    pub ended_by: Option<Locator>,
    pub line: Option<Locator>,
}

impl Compaction<'_> {
    pub(super) fn name(&self) -> String {
        match self.trigger {
            Some(trigger) => format!("compact {}", trigger.as_str()),
            None => "compact".into(),
        }
    }

    pub(super) fn summary(&self) -> Option<String> {
        match (self.says.before, self.says.left) {
            (Some(before), Some(left)) => Some(format!("{} → {} tokens", grouped(before), grouped(left))),
            (Some(before), None) => Some(format!("{} tokens before", grouped(before))),
            (None, Some(left)) => Some(format!("{} tokens left", grouped(left))),
            (None, None) => None,
        }
    }
}

/// 1234567 as 1,234,567.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

impl Compactions {
    pub(super) fn weight(&self) -> usize {
        self.hooks.len() + self.lines.len()
    }

    /// Takes a hook event in, if it tells of a compaction.
    pub(super) fn hook(&mut self, hook: &HookFacts, at: At) {
        let (is_end, trigger) = match hook.kind {
            HookKind::Compacting { trigger } => (false, trigger),
            HookKind::Compacted { trigger } => (true, trigger),
            _ => return,
        };
        let (agent, prompt) = (hook.agent_id.clone(), hook.prompt_id.clone());
        self.hooks.insert(at, Word { is_end, trigger, agent, prompt });
    }

    /// Takes a line in.
    pub(super) fn line(&mut self, uuid: u64, at: At, agent: Option<&String>, says: Boundary) {
        let told = Told { at, agent: agent.cloned(), says };
        let known = self.lines.entry(uuid).or_insert_with(|| told.clone());
        if (told.at, told.says) < (known.at, known.says) {
            *known = told;
        }
    }

    /// All of them, in order of their start, but for those that a model call stands for.
    pub(super) fn unseen(&self, session: &str, calls: &[ModelCall<'_>]) -> Vec<Compaction<'_>> {
        if self.weight() == 0 {
            return Vec::new();
        }
        let mut all = self.joined(session);
        let summaries: Vec<u64> =
            calls.iter().filter(|c| c.purpose() == Purpose::Compaction).map(ModelCall::start_ns).collect();
        let starts: Vec<u64> = all.iter().map(|c| c.start_ns).collect();
        let mut at = 0_usize;
        all.retain(|one| {
            let before = at.checked_sub(1).and_then(|before| starts.get(before)).copied();
            let next = starts.get(at + 1).copied().unwrap_or(u64::MAX);
            at += 1;
            let from = if one.has_start { one.start_ns.saturating_sub(SAME_NS) } else { before.unwrap_or(0) };
            // Of one without an end, up to where the next one begins.
            let to = one.end_ns.map_or(next, |end| end.saturating_add(SAME_NS));
            !summaries.iter().any(|start| (from..to).contains(start))
        });
        all
    }

    fn joined(&self, session: &str) -> Vec<Compaction<'_>> {
        let mut of_agent: BTreeMap<Option<&str>, Vec<Compaction<'_>>> = BTreeMap::new();
        for (at, word) in &self.hooks {
            announce(of_agent.entry(word.agent.as_deref()).or_default(), session, *at, word);
        }
        let mut lines: Vec<(&u64, &Told)> = self.lines.iter().collect();
        lines.sort_by_key(|(uuid, told)| (told.at, **uuid));
        for (uuid, told) in lines {
            write(of_agent.entry(told.agent.as_deref()).or_default(), session, *uuid, told);
        }
        for all in of_agent.values_mut() {
            all.sort_by(|a, b| (a.start_ns, &a.span_id).cmp(&(b.start_ns, &b.span_id)));
            let last = all.len().saturating_sub(1);
            all.iter_mut().take(last).for_each(|one| one.is_past = true);
        }
        let mut all: Vec<Compaction<'_>> = of_agent.into_values().flatten().collect();
        all.sort_by(|a, b| (a.start_ns, &a.span_id).cmp(&(b.start_ns, &b.span_id)));
        all
    }
}

fn announce<'a>(all: &mut Vec<Compaction<'a>>, session: &str, (ns, record): At, word: &'a Word) {
    let new = || Compaction {
        span_id: span_of_hook(session, ns),
        start_ns: ns,
        has_start: !word.is_end,
        end_ns: word.is_end.then_some(ns),
        agent: word.agent.as_deref(),
        prompt: word.prompt.as_deref(),
        trigger: word.trigger,
        hooks: vec![record],
        ended_by: word.is_end.then_some(record),
        ..Compaction::default()
    };
    let Some(last) = all.last_mut() else { return all.push(new()) };
    let is_same = match (word.is_end, last.end_ns) {
        // A beginning, after one that has no end yet, or an end after an end: two recorders told of it.
        (false, None) => ns - last.start_ns < SAME_NS,
        (true, Some(end)) => ns - end < SAME_NS,
        (false, Some(_)) => false,
        (true, None) => {
            (last.end_ns, last.ended_by) = (Some(ns), Some(record));
            true
        }
    };
    if is_same {
        last.hooks.push(record);
        last.trigger = last.trigger.or(word.trigger);
        last.prompt = last.prompt.or(word.prompt.as_deref());
    } else {
        all.push(new());
    }
}

fn write<'a>(all: &mut Vec<Compaction<'a>>, session: &str, uuid: u64, told: &'a Told) {
    let (ns, record) = told.at;
    let holds = |one: &&mut Compaction<'_>| {
        let from = if one.has_start { one.start_ns } else { one.start_ns.saturating_sub(SAME_NS) };
        one.line.is_none()
            && from.saturating_sub(SAME_NS) <= ns
            && one.end_ns.is_none_or(|end| ns <= end.saturating_add(SAME_NS))
    };
    if let Some(one) = all.iter_mut().rev().find(holds) {
        (one.line, one.says) = (Some(record), told.says);
        one.trigger = one.trigger.or(told.says.trigger);
        one.end_ns = one.end_ns.or(Some(ns.max(one.start_ns)));
        return;
    }
    let lasted = told.says.duration_ms.map(|ms| ms.saturating_mul(1_000_000));
    all.push(Compaction {
        span_id: span_of_line(session, uuid),
        start_ns: ns.saturating_sub(lasted.unwrap_or(0)),
        has_start: lasted.is_some(),
        end_ns: Some(ns),
        agent: told.agent.as_deref(),
        trigger: told.says.trigger,
        says: told.says,
        line: Some(record),
        ..Compaction::default()
    });
}

#[cfg(test)]
#[path = "compactions_tests.rs"]
mod tests;
