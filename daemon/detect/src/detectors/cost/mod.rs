//! Money that runs out faster than the work explains. `docs/cost.md` is the account of its rules.
//!
//! It must never count calls or minutes: a long session is not a runaway one.
//!
//! Invariants: an answer is counted once, by its message id; each rule tells one episode once; at most `MAX_THREADS`
//! threads and `RECENT` answers of each are held.

mod agents;
mod thread;

use std::collections::VecDeque;
use std::sync::Arc;

use super::Detector;
use crate::detection::{Detection, Kind};
use crate::event::{Event, ModelTurn, Outcome, What};
use crate::index::Index;
use crate::memory::{Memory, slot};
use crate::price::Price;
use crate::settings::{Cost, Settings};
use crate::text::hash;

use agents::Agents;
use thread::{Answer, Thread};

/// Threads that are followed.
const MAX_THREADS: usize = 24;
/// Answers of a thread that are looked at together.
const RECENT: usize = 6;
/// Answers after which an episode that goes on is told of again.
const EPISODE: u32 = 40;

/// The detector of one session.
pub struct Costs {
    settings: Cost,
    threads: VecDeque<Thread>,
    agents: Agents,
}

/// Makes one, if it is on.
#[must_use]
pub fn make(settings: &Settings, _: &Arc<dyn Index>) -> Option<Box<dyn Detector>> {
    let settings = settings.cost.clone();
    settings.enabled.then(|| {
        Box::new(Costs { settings, threads: VecDeque::new(), agents: Agents::default() }) as Box<dyn Detector>
    })
}

impl Detector for Costs {
    fn observe(&mut self, memory: &Memory, event: &Event, out: &mut Vec<Detection>) {
        let agent = event.agent.as_deref();
        match &event.what {
            What::Turn(turn) => self.turn(memory, event, turn, out),
            What::Prompt { .. } | What::ModelSwitch { .. } => {
                let thread = self.thread(agent);
                (thread.worked, thread.asked) = (true, true);
            }
            What::Start { .. } | What::Compact { .. } => self.thread(agent).renew(),
            What::Result { call, outcome } => {
                let thread = self.thread(agent);
                thread.worked = true;
                // A skill or the plan mode may come with a model of its own.
                let chooses =
                    matches!(call.name.as_str(), "Skill" | "SlashCommand" | "EnterPlanMode" | "ExitPlanMode");
                thread.asked |= chooses && matches!(outcome, Outcome::Ok(_));
            }
            What::Stop { .. } => self.thread(agent).worked = true,
            What::Call(_) | What::Other => {}
        }
    }

    fn held(&self) -> usize {
        self.agents.held() + self.threads.iter().map(Thread::held).sum::<usize>()
    }
}

impl Costs {
    fn thread(&mut self, agent: Option<&str>) -> &mut Thread {
        let id = agent.map_or(0, hash);
        slot(
            &mut self.threads,
            MAX_THREADS,
            |thread| thread.id == id,
            |thread| thread.id == 0,
            || Thread::new(id),
        )
    }

    fn turn(&mut self, memory: &Memory, event: &Event, turn: &ModelTurn, out: &mut Vec<Detection>) {
        if turn.usage.context() == 0 {
            return;
        }
        let at = memory.event();
        let price = memory.price(&turn.model);
        let settings = self.settings.clone();
        let thread = self.thread(event.agent.as_deref());
        let answer = Answer::new(at, event.at_ms, turn, price);
        if !thread.is_new(&answer) {
            return;
        }
        let upward = thread.changes_upward(&answer, memory);
        thread.add(answer, &settings);
        let found = [
            upward,
            thread.missed_cache(&settings),
            thread.same_request(&settings),
            thread.long_output(&settings),
        ];
        for found in found.into_iter().flatten() {
            if thread.tells(found.rule) {
                out.push(found);
            }
        }
        if let Some(agent) = event.agent.as_deref() {
            let spent = price.unwrap_or_else(Price::usual).in_input(&turn.usage);
            if let Some(found) = self.agents.works(agent, &turn.usage, spent, (at, event.at_ms), &settings) {
                out.push(found);
            }
        }
    }
}

fn found(rule: &'static str, at: usize, severity: u8, confidence: u8) -> Detection {
    Detection::new(Kind::Cost, rule, at, severity, confidence)
}
