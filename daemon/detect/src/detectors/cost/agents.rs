//! Subagents that work at the same time, and what they cost together.
//!
//! It must never count subagents alone: many small ones are what they are for.
//!
//! Invariant: at most [`MAX_AGENTS`] subagents and [`MAX_SPENT`] amounts are held.

use std::collections::VecDeque;

use super::found;
use crate::detection::Detection;
use crate::event::Usage;
use crate::memory::push;
use crate::settings::Cost;
use crate::text::hash;

/// Subagents that are remembered.
const MAX_AGENTS: usize = 64;
/// Amounts that are remembered.
const MAX_SPENT: usize = 512;
/// What counts as the same time, milliseconds.
const WINDOW_MS: i64 = 10 * 60 * 1000;
/// Subagents below which it is no fan-out, whatever they cost.
const LEAST: usize = 6;

#[derive(Debug, Clone, Copy)]
struct Agent {
    id: u64,
    last: usize,
    last_ms: i64,
    context: u64,
}

/// The subagents of a session.
#[derive(Debug, Default)]
pub(super) struct Agents {
    at_work: VecDeque<Agent>,
    spent: VecDeque<(i64, u64)>,
    now: i64,
    told: Option<i64>,
}

impl Agents {
    pub(super) fn held(&self) -> usize {
        self.at_work.len() + self.spent.len()
    }

    /// A subagent has answered.
    pub(super) fn works(
        &mut self,
        agent: &str,
        usage: &Usage,
        spent: u64,
        (at, at_ms): (usize, Option<i64>),
        settings: &Cost,
    ) -> Option<Detection> {
        let now = at_ms.unwrap_or(self.now).max(self.now);
        self.now = now;
        self.at_work.retain(|agent| now.saturating_sub(agent.last_ms) <= WINDOW_MS);
        self.spent.retain(|(when, _)| now.saturating_sub(*when) <= WINDOW_MS);
        push(&mut self.spent, MAX_SPENT, (now, spent));
        let (id, context) = (hash(agent), usage.context());
        match self.at_work.iter_mut().find(|agent| agent.id == id) {
            Some(known) => {
                (known.last, known.last_ms, known.context) = (at, now, known.context.max(context));
            }
            None => push(&mut self.at_work, MAX_AGENTS, Agent { id, last: at, last_ms: now, context }),
        }
        if self.told.is_some_and(|told| now.saturating_sub(told) <= WINDOW_MS) {
            return None;
        }
        let large = self.at_work.iter().filter(|agent| agent.context >= settings.agent_context).count();
        let total = self.spent.iter().fold(0_u64, |sum, (_, spent)| sum.saturating_add(*spent));
        let many = large >= usize::try_from(settings.agents).unwrap_or(usize::MAX).max(2);
        let dear = self.at_work.len() >= LEAST && total >= settings.agent_tokens;
        if !(many || dear) {
            return None;
        }
        self.told = Some(now);
        let mut detection = found("agents", at, 65, 85)
            .title(format!(
                "{} subagents within ten minutes, {large} of them as large as a main thread; together they cost as \
                 much as {total} tokens of input",
                self.at_work.len()
            ))
            .advice(
                "Give the work to fewer subagents, with a narrower task each and a smaller model where it only \
                 searches; stop those that repeat each other.",
            );
        for agent in self.at_work.iter().take(6) {
            detection = detection.seen(agent.last, format!("a subagent with {} tokens", agent.context));
        }
        Some(detection)
    }
}
