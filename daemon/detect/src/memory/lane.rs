//! What one thread of a session - the main one, or a subagent's - has done since it last did something new.
//!
//! It must never mistake going back for going on: an edit that was made before, or that takes one back, is not new.
//!
//! Invariant: at most [`MAX_STEPS`] steps and [`MAX_EDITS`] edits are held.

use std::collections::VecDeque;

use super::push;
use super::step::{Step, Tool, UNCHANGED, Waiting};

/// Steps that are remembered of a stretch of work.
pub const MAX_STEPS: usize = 160;
/// Edits that are remembered of a thread: going back and forth is between neighbours.
pub const MAX_EDITS: usize = 16;
/// Subagents that are remembered as started since anything else was new.
pub const MAX_AGENTS: usize = 24;
/// Commands that changed something, by their hash.
const MAX_WRITES: usize = 256;

/// Results of calls that ran side by side come within this time of each other, milliseconds.
const MOMENT_MS: i64 = 1500;
/// What a write takes out: it names nothing.
const NOTHING: u64 = crate::text::Hash::EMPTY;

/// A change that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Change {
    path: u64,
    old: u64,
    new: u64,
    call: u64,
    /// Something that may have taken it back ran since.
    undone: bool,
    /// The conversation was compacted since, and nobody has said anything after that: the agent may not know of it.
    forgotten: bool,
}

/// One thread.
#[derive(Debug, Default)]
pub struct Lane {
    /// Whose it is; `None` is the main thread.
    pub agent: Option<String>,
    /// The number of the stretch of work: it grows with each new work.
    pub stretch: u64,
    /// The steps of this stretch, oldest first.
    pub steps: VecDeque<Step>,
    /// The subagents that were started and came back since the thread itself did something new, oldest first: what each
    /// of them answers is news, but starting the same one again is not.
    pub agents: VecDeque<Step>,
    /// The stretch of work in which the first of them was started.
    pub agents_from: u64,
    /// When the thread last did anything, as a count of events.
    pub(super) used: usize,
    /// Answers of the model so far: calls of one answer run side by side.
    pub(super) answers: u64,
    changes: VecDeque<Change>,
    writes: VecDeque<u64>,
}

impl Change {
    /// The other puts back what this took out.
    fn is_taken_back_by(&self, other: &Self) -> bool {
        self.path == other.path && self.old == other.new && self.new == other.old && self.old != self.new
    }

    /// The other does the same. An edit that succeeds twice has changed two places, unless the first was undone by
    /// something else than an edit; a file that is written twice with the same content has not changed.
    fn is_again(&self, other: &Self) -> bool {
        self.call == other.call && (self.undone || self.old == NOTHING)
    }
}

impl Lane {
    pub(super) fn of(agent: Option<&str>) -> Self {
        Self { agent: agent.map(ToOwned::to_owned), ..Self::default() }
    }

    /// How many items it holds.
    #[must_use]
    pub fn held(&self) -> usize {
        1 + self.steps.len() + self.agents.len() + self.changes.len() + self.writes.len()
    }

    /// A new stretch of work.
    pub fn renew(&mut self) {
        self.stretch = self.stretch.wrapping_add(1);
        self.steps.clear();
        self.agents.clear();
        self.agents_from = self.stretch;
    }

    /// The conversation is compacted: what was changed before may be forgotten.
    pub(super) fn compact(&mut self) {
        self.changes.iter_mut().for_each(|change| change.forgotten = true);
        self.renew();
    }

    /// Somebody says what to do: from here on, going back may be what is wanted.
    pub(super) fn told(&mut self) {
        self.changes.iter_mut().for_each(|change| change.forgotten = false);
        self.renew();
    }

    /// Whether an edit takes back, or tries to make again, what was done before a compaction.
    fn repeats_forgotten(&self, step: &Step) -> bool {
        let asked = &step.asked;
        asked.tool == Tool::Edit
            && asked.old != NOTHING
            && self.changes.iter().any(|change| {
                let back = change.path == asked.path && change.old == asked.new && change.new == asked.old;
                // An edit that succeeds twice has changed two places.
                let again = change.call == asked.call && step.failed;
                change.forgotten
                    && !change.undone
                    && change.old != change.new
                    && (back && !step.failed || again)
            })
    }

    /// Takes a step in; a step that does something new begins a new stretch, with itself as the first step.
    pub fn add(&mut self, mut step: Step) {
        step.forgets = self.repeats_forgotten(&step);
        if self.is_new_work(&step) {
            if step.asked.tool == Tool::Agent {
                // The last one's number goes on, for a batch is told by it.
                self.stretch = self.stretch.wrapping_add(1);
                self.steps.clear();
            } else {
                self.renew();
            }
        }
        if step.shape.all == UNCHANGED
            && let Some(before) =
                self.steps.iter().rev().find(|earlier| earlier.asked.call == step.asked.call)
        {
            step.shape = before.shape;
        }
        step.batch = self.batch(&step);
        if step.asked.tool == Tool::Agent {
            push(&mut self.agents, MAX_AGENTS, step.clone());
        }
        step.repeats = self.steps.iter().any(|earlier| earlier.same(&step));
        push(&mut self.steps, MAX_STEPS, step);
    }

    fn is_new_work(&mut self, step: &Step) -> bool {
        let asked = &step.asked;
        match asked.tool {
            Tool::Edit if !step.failed => {
                let change = Change {
                    path: asked.path,
                    old: asked.old,
                    new: asked.new,
                    call: asked.call,
                    undone: false,
                    forgotten: false,
                };
                let known = self
                    .changes
                    .iter()
                    .any(|earlier| earlier.is_taken_back_by(&change) || earlier.is_again(&change));
                push(&mut self.changes, MAX_EDITS, change);
                !known
            }
            // What a subagent or the user answered is news, unless it was the answer before.
            Tool::Agent | Tool::Ask if !step.failed => !self.steps.iter().any(|earlier| earlier.same(step)),
            Tool::Shell if asked.writes && !step.failed && asked.waiting == Waiting::No => {
                let known = self.writes.contains(&asked.call);
                self.changes.iter_mut().for_each(|change| change.undone = true);
                if !known {
                    push(&mut self.writes, MAX_WRITES, asked.call);
                }
                !known
            }
            _ => false,
        }
    }

    /// Which answer of the model a step belongs to. Where nobody tells of answers, calls that come back within a
    /// moment of each other ran side by side.
    fn batch(&self, step: &Step) -> u64 {
        let Some(last) = self.steps.back().or_else(|| self.agents.back()) else { return self.answers };
        if self.answers > 0 {
            return self.answers.max(last.batch);
        }
        let apart =
            step.at_ms.zip(last.at_ms).is_none_or(|(now, before)| now.saturating_sub(before) > MOMENT_MS);
        last.batch.saturating_add(u64::from(apart))
    }

    /// The last step.
    #[must_use]
    pub fn last(&self) -> Option<&Step> {
        self.steps.back()
    }
}
