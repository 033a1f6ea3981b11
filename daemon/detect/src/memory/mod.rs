//! What several detectors want to know of the session so far, worked out once per event.
//!
//! It must never decide anything: it remembers, the detectors judge.
//!
//! Invariants: an event is [taken in](Memory::begin) before the detectors see it and [let go of](Memory::end) after;
//! what `end` adds (names seen, files written) is therefore not yet known to a detector that looks at the event that
//! brings it. Every list has a bound, and forgets its oldest.

pub mod lane;
pub mod step;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::event::{Event, Outcome, What};
use crate::price::{Price, Prices};
use crate::text::clip;
use crate::words::Words;

pub use lane::Lane;
pub use step::{Asked, Step, Tool, Waiting};

/// Prompts that are remembered.
pub const MAX_PROMPTS: usize = 32;
/// Bytes that are remembered of a prompt.
pub const MAX_PROMPT: usize = 8 * 1024;
/// Threads that are remembered: the main one, and the subagents that did something last.
pub const MAX_LANES: usize = 12;

/// A prompt.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// The number of its event.
    pub event: usize,
    /// What was said, cut.
    pub text: String,
}

/// What the session has shown so far.
#[derive(Default)]
pub struct Memory {
    seen: usize,
    /// The working directory, as the session's start told it.
    pub cwd: String,
    /// The time of the last event that had one.
    pub now: Option<i64>,
    /// The last prompts, oldest first.
    pub prompts: VecDeque<Prompt>,
    /// What tokens cost, where somebody told.
    pub prices: Option<Arc<dyn Prices>>,
    /// The words and file names that the session has shown: prompts, outputs, what was written and run. What the
    /// agent only says or looks for is not among them.
    pub words: Words,
    /// The threads.
    pub lanes: Vec<Lane>,
}

impl Memory {
    /// The number of the event that is being looked at.
    #[must_use]
    pub fn event(&self) -> usize {
        self.seen.saturating_sub(1)
    }

    /// What a model's tokens cost: as told, else by its family in proportion.
    #[must_use]
    pub fn price(&self, model: &str) -> Option<Price> {
        let told = self.prices.as_ref().and_then(|prices| prices.of(model));
        told.or_else(|| Price::by_family(model))
    }

    /// The thread of an agent; `None` is the main one.
    #[must_use]
    pub fn lane(&self, agent: Option<&str>) -> Option<&Lane> {
        self.lanes.iter().find(|lane| lane.agent.as_deref() == agent)
    }

    /// The step that the event being looked at is, if it is one: refusals and calls cut short with others are none.
    #[must_use]
    pub fn step(&self, event: &Event) -> Option<(&Lane, &Step)> {
        let lane = self.lane(event.agent.as_deref())?;
        lane.last().filter(|step| step.event == self.event()).map(|step| (lane, step))
    }

    /// How many items its lists hold.
    #[must_use]
    pub fn held(&self) -> usize {
        self.prompts.len() + self.lanes.iter().map(Lane::held).sum::<usize>()
    }

    /// Takes an event in, before the detectors see it.
    pub fn begin(&mut self, event: &Event) {
        self.seen = self.seen.saturating_add(1);
        self.now = event.at_ms.or(self.now);
        match &event.what {
            What::Start { cwd, .. } => {
                if !cwd.is_empty() {
                    self.cwd.clone_from(cwd);
                }
                self.lane_mut(None).renew();
            }
            What::Prompt { text } if event.agent.is_none() => {
                push(
                    &mut self.prompts,
                    MAX_PROMPTS,
                    Prompt { event: self.seen - 1, text: clip(text, MAX_PROMPT) },
                );
                self.lane_mut(None).told();
            }
            What::Turn(_) => {
                let lane = self.lane_mut(event.agent.as_deref());
                lane.answers = lane.answers.saturating_add(1);
            }
            What::Compact { .. } => self.lane_mut(event.agent.as_deref()).compact(),
            What::Result { call, outcome } => {
                if let Outcome::Err(error) = outcome {
                    if step::is_sibling(error) {
                        return;
                    }
                    if step::is_refusal(error) {
                        self.lane_mut(event.agent.as_deref()).renew();
                        return;
                    }
                }
                let step = Asked::read(call, &self.cwd).came_back(self.seen - 1, event.at_ms, outcome);
                self.lane_mut(event.agent.as_deref()).add(step);
            }
            _ => {}
        }
    }

    /// Lets an event go, after the detectors have seen it.
    pub fn end(&mut self, event: &Event) {
        match &event.what {
            What::Prompt { text } => self.words.read(text),
            What::Result { call, outcome } => {
                match outcome {
                    Outcome::Ok(response) => self.words.read_value(response),
                    Outcome::Err(error) => self.words.read(error),
                }
                // What is looked for may not exist; what is written or run has been judged by now.
                if !matches!(Tool::named(&call.name), Tool::Read | Tool::Search)
                    && (matches!(outcome, Outcome::Ok(_)) || Tool::named(&call.name) != Tool::Edit)
                {
                    self.words.read_value(&call.input);
                }
            }
            _ => {}
        }
    }

    fn lane_mut(&mut self, agent: Option<&str>) -> &mut Lane {
        let used = self.seen;
        let at = self.lanes.iter().position(|lane| lane.agent.as_deref() == agent).unwrap_or_else(|| {
            let lane = Lane::of(agent);
            if self.lanes.len() < MAX_LANES {
                self.lanes.push(lane);
                return self.lanes.len() - 1;
            }
            // The subagent that has been quiet for longest makes room; the main thread stays.
            let others = self.lanes.iter().enumerate().filter(|(_, lane)| lane.agent.is_some());
            let at = others.min_by_key(|(_, lane)| lane.used).map_or(0, |(at, _)| at);
            self.lanes[at] = lane;
            at
        });
        self.lanes[at].used = used;
        &mut self.lanes[at]
    }
}

/// Adds to a list that forgets its oldest.
pub fn push<T>(list: &mut VecDeque<T>, max: usize, item: T) {
    if list.len() >= max {
        list.pop_front();
    }
    list.push_back(item);
}

/// The item of a list that `is` picks, or a new one; a full list forgets its oldest that is not `pinned`.
pub fn slot<T>(
    list: &mut VecDeque<T>,
    max: usize,
    is: impl Fn(&T) -> bool,
    pinned: impl Fn(&T) -> bool,
    make: impl FnOnce() -> T,
) -> &mut T {
    let at = list.iter().position(is).unwrap_or_else(|| {
        if list.len() >= max && list.front().is_some_and(pinned) {
            list.rotate_left(1);
        }
        push(list, max, make());
        list.len() - 1
    });
    &mut list[at]
}
