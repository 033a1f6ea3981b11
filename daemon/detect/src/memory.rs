//! What several detectors want to know of the session so far, worked out once per event.
//!
//! It must never decide anything: it remembers, the detectors judge.
//!
//! Invariants: an event is [taken in](Memory::begin) before the detectors see it and [let go of](Memory::end) after;
//! what `end` adds (names seen, files written) is therefore not yet known to a detector that looks at the event that
//! brings it. Every list has a bound, and forgets its oldest.

use std::collections::VecDeque;

use crate::event::{Event, What};
use crate::text::clip;

/// Prompts that are remembered.
pub const MAX_PROMPTS: usize = 32;
/// Bytes that are remembered of a prompt.
pub const MAX_PROMPT: usize = 8 * 1024;

/// A prompt.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// The number of its event.
    pub event: usize,
    /// What was said, cut.
    pub text: String,
}

/// What the session has shown so far.
#[derive(Debug, Default)]
pub struct Memory {
    seen: usize,
    /// The working directory, as the session's start told it.
    pub cwd: String,
    /// The time of the last event that had one.
    pub now: Option<i64>,
    /// The last prompts, oldest first.
    pub prompts: VecDeque<Prompt>,
}

impl Memory {
    /// The number of the event that is being looked at.
    #[must_use]
    pub fn event(&self) -> usize {
        self.seen.saturating_sub(1)
    }

    /// Takes an event in, before the detectors see it.
    pub fn begin(&mut self, event: &Event) {
        self.seen = self.seen.saturating_add(1);
        self.now = event.at_ms.or(self.now);
        match &event.what {
            What::Start { cwd, .. } if !cwd.is_empty() => self.cwd.clone_from(cwd),
            What::Prompt { text } if event.agent.is_none() => {
                push(
                    &mut self.prompts,
                    MAX_PROMPTS,
                    Prompt { event: self.seen - 1, text: clip(text, MAX_PROMPT) },
                );
            }
            _ => {}
        }
    }

    /// Lets an event go, after the detectors have seen it.
    pub fn end(&mut self, _event: &Event) {}
}

/// Adds to a list that forgets its oldest.
pub fn push<T>(list: &mut VecDeque<T>, max: usize, item: T) {
    if list.len() >= max {
        list.pop_front();
    }
    list.push_back(item);
}
