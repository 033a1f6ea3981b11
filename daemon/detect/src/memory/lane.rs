//! What one thread of a session - the main one, or a subagent's - has done since it last did something new.
//!
//! It must never mistake going back for going on: an edit that was made before, or that takes one back, is not new.
//!
//! Invariant: at most [`MAX_STEPS`] steps and [`MAX_EDITS`] edits are held.

use std::collections::VecDeque;

use super::push;
use super::step::{Step, Tool, Waiting};

/// Steps that are remembered of a stretch of work.
pub const MAX_STEPS: usize = 160;
/// Edits that are remembered of a thread.
pub const MAX_EDITS: usize = 512;
/// Commands that changed something, by their hash.
const MAX_WRITES: usize = 256;

/// A change that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Change {
    path: u64,
    old: u64,
    new: u64,
    call: u64,
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
    /// When the thread last did anything, as a count of events.
    pub(super) used: usize,
    changes: VecDeque<Change>,
    writes: VecDeque<u64>,
}

impl Lane {
    pub(super) fn of(agent: Option<&str>) -> Self {
        Self { agent: agent.map(ToOwned::to_owned), ..Self::default() }
    }

    /// A new stretch of work.
    pub fn renew(&mut self) {
        self.stretch = self.stretch.wrapping_add(1);
        self.steps.clear();
    }

    /// Takes a step in; a step that does something new begins a new stretch, with itself as the first step.
    pub fn add(&mut self, mut step: Step) {
        if self.is_new_work(&step) {
            self.renew();
        }
        step.repeats = self.steps.iter().any(|earlier| earlier.same(&step));
        push(&mut self.steps, MAX_STEPS, step);
    }

    fn is_new_work(&mut self, step: &Step) -> bool {
        let asked = &step.asked;
        match asked.tool {
            Tool::Edit if !step.failed => {
                let change = Change { path: asked.path, old: asked.old, new: asked.new, call: asked.call };
                let known = self.changes.iter().any(|earlier| {
                    earlier.call == change.call
                        || earlier.path == change.path
                            && change.old != change.new
                            && earlier.old == change.new
                            && earlier.new == change.old
                });
                push(&mut self.changes, MAX_EDITS, change);
                !known
            }
            // What a subagent or the user answered is news, unless it was the answer before.
            Tool::Agent | Tool::Ask if !step.failed => !self.steps.iter().any(|earlier| earlier.same(step)),
            Tool::Shell if asked.writes && !step.failed && asked.waiting == Waiting::No => {
                let known = self.writes.contains(&asked.call);
                if !known {
                    push(&mut self.writes, MAX_WRITES, asked.call);
                }
                !known
            }
            _ => false,
        }
    }

    /// The last step.
    #[must_use]
    pub fn last(&self) -> Option<&Step> {
        self.steps.back()
    }
}
