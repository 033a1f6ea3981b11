//! What a session's sources have told already, so that each thing becomes one event, whoever told of it first.
//!
//! Must never grow with the session: the oldest is forgotten, and whatever a transcript tells of the time before that is
//! then taken for told, because it is far more likely a file that is read again than news.
//!
//! Invariant: the same things told in the same order are the same news.

use std::collections::{HashMap, HashSet, VecDeque};

use ccd_detect::ToolCall;
use ccd_detect::text::{hash, tail};

/// Things that are remembered.
pub(super) const MAX_KNOWN: usize = 4096;
/// Ends of turns, and prompts without an id, that one source has told and another may tell, too.
const MAX_TWICE: usize = 32;
/// Calls that have not come back.
const MAX_OPEN: usize = 64;
/// Bytes of their inputs, as they came.
const MAX_OPEN_BYTES: usize = 2 << 20;
/// Bytes of a text that it is known again by.
const TELLING: usize = 512;

/// What kind of thing was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// A prompt, by its id.
    Prompt,
    /// A call that begins, by its id.
    Call,
    /// A call that came back, by its id.
    Result,
    /// An answer of the model, by its message's id.
    Turn,
}

/// What was told.
#[derive(Default)]
pub(super) struct Known {
    keys: HashSet<u64>,
    order: VecDeque<(u64, i64)>,
    /// What a transcript tells of this time or before is told already, milliseconds since the Unix epoch.
    pub floor_ms: i64,
    open: VecDeque<(usize, ToolCall)>,
    open_bytes: usize,
    hooks: VecDeque<u64>,
    lines: VecDeque<u64>,
}

fn key(phase: Phase, id: &str) -> u64 {
    hash(id) ^ (phase as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Known {
    /// Whether this is told for the first time. What has no id is always news.
    pub(super) fn first(&mut self, phase: Phase, id: &str, at_ms: i64) -> bool {
        if id.is_empty() {
            return true;
        }
        let key = key(phase, id);
        if !self.keys.insert(key) {
            return false;
        }
        if self.order.len() >= MAX_KNOWN
            && let Some((old, at_ms)) = self.order.pop_front()
        {
            self.keys.remove(&old);
            self.floor_ms = self.floor_ms.max(at_ms);
        }
        self.order.push_back((key, at_ms));
        true
    }

    /// Whether this was told.
    pub(super) fn has(&self, phase: Phase, id: &str) -> bool {
        self.keys.contains(&key(phase, id))
    }

    /// Whether something without an id is told for the first time: a text that both a hook and a transcript tell is one,
    /// one that the same of them tells twice is two.
    pub(super) fn first_by(&mut self, is_hook: bool, what: &str, text: &str) -> bool {
        let key = hash(tail(text.trim(), TELLING)) ^ hash(what);
        let (own, other) =
            if is_hook { (&mut self.hooks, &mut self.lines) } else { (&mut self.lines, &mut self.hooks) };
        if let Some(at) = other.iter().position(|told| *told == key) {
            other.remove(at);
            return false;
        }
        if own.len() >= MAX_TWICE {
            own.pop_front();
        }
        own.push_back(key);
        true
    }

    /// A call begins: its result may come without saying what it is the result of. `bytes`: how long it was as it came.
    pub(super) fn open(&mut self, call: &ToolCall, bytes: usize) {
        if call.id.is_empty() || bytes > MAX_OPEN_BYTES {
            return;
        }
        self.open.push_back((bytes, call.clone()));
        self.open_bytes += bytes;
        while self.open.len() > MAX_OPEN || self.open_bytes > MAX_OPEN_BYTES {
            self.open_bytes -= self.open.pop_front().map_or(self.open_bytes, |(bytes, _)| bytes);
        }
    }

    /// The call of this id, which has come back.
    pub(super) fn close(&mut self, id: &str) -> Option<ToolCall> {
        let at = self.open.iter().rposition(|(_, call)| call.id == id)?;
        let (bytes, call) = self.open.remove(at)?;
        self.open_bytes -= bytes;
        Some(call)
    }
}

/// The prompt that each subagent works on.
#[derive(Default)]
pub(super) struct Prompts {
    main: Option<std::sync::Arc<str>>,
    agents: HashMap<String, std::sync::Arc<str>>,
    order: VecDeque<String>,
}

/// Subagents that are remembered.
const MAX_AGENTS: usize = 64;

impl Prompts {
    /// Something of this thread names its prompt.
    pub(super) fn name(&mut self, agent: Option<&str>, prompt: &str) {
        if prompt.is_empty() {
            return;
        }
        let Some(agent) = agent else {
            if self.main.as_deref() != Some(prompt) {
                self.main = Some(prompt.into());
            }
            return;
        };
        // The first that names it: a subagent outlives its turn.
        if self.agents.contains_key(agent) {
            return;
        }
        if self.order.len() >= MAX_AGENTS
            && let Some(old) = self.order.pop_front()
        {
            self.agents.remove(&old);
        }
        self.order.push_back(agent.to_owned());
        self.agents.insert(agent.to_owned(), prompt.into());
    }

    /// The prompt of a thread: its own, else the main thread's.
    pub(super) fn of(&self, agent: Option<&str>) -> Option<std::sync::Arc<str>> {
        agent.and_then(|agent| self.agents.get(agent)).or(self.main.as_ref()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_are_news_once_and_forgotten_in_order() {
        let mut known = Known::default();
        assert!(known.first(Phase::Call, "a", 1) && !known.first(Phase::Call, "a", 2));
        assert!(known.first(Phase::Result, "a", 3), "its result is another thing");
        assert!(known.first(Phase::Call, "", 0) && known.first(Phase::Call, "", 0));
        for n in 0..MAX_KNOWN {
            known.first(Phase::Turn, &n.to_string(), 10);
        }
        assert_eq!((known.floor_ms, known.keys.len(), known.order.len()), (3, MAX_KNOWN, MAX_KNOWN));
        assert!(!known.has(Phase::Call, "a") && known.has(Phase::Turn, "7"));
    }

    #[test]
    fn what_two_tell_is_one_and_what_one_tells_twice_is_two() {
        let mut known = Known::default();
        assert!(known.first_by(true, "stop", "done") && known.first_by(true, "stop", "done "));
        assert!(!known.first_by(false, "stop", " done") && !known.first_by(false, "stop", "done"));
        assert!(known.first_by(false, "stop", "done") && !known.first_by(true, "stop", "done"));
    }

    #[test]
    fn open_calls_are_bounded() {
        let mut known = Known::default();
        for n in 0..200 {
            let call = ToolCall { id: n.to_string(), ..ToolCall::default() };
            known.open(&call, 100_000);
        }
        assert!(known.open.len() <= MAX_OPEN && known.open_bytes <= MAX_OPEN_BYTES);
        assert!(known.close("199").is_some() && known.close("199").is_none() && known.close("0").is_none());
        assert_eq!(known.open_bytes, known.open.iter().map(|(bytes, _)| bytes).sum::<usize>());
    }
}
