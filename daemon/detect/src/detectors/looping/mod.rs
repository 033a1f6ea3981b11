//! Loops: the same steps again and again, with nothing new between them. `docs/loop.md` is the account of its rules.
//!
//! It must never count calls by their name, or call waiting a loop.
//!
//! Invariants: what is found in one stretch of work of one thread is told once, and again only when it has doubled;
//! [`Detector::before`] refuses only a call whose repetition was already found.

mod chant;
mod rules;

use std::collections::VecDeque;
use std::sync::Arc;

use super::Detector;
use crate::detection::{Detection, Kind, Verdict};
use crate::event::{Event, ToolCall, What};
use crate::index::Index;
use crate::memory::{Asked, Lane, Memory, push, slot};
use crate::settings::{Looping, Settings};
use crate::text::hash;

use chant::Chant;
use rules::{Found, Rule};

/// Findings that are remembered, so that they are told once.
const MAX_TOLD: usize = 64;
/// Threads whose stops are counted.
const MAX_STOPS: usize = 16;
/// Step repetition.
const MAST: &str = "FM-1.3";

/// What was told: of which thread and stretch, by which rule, and how often it had happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    thread: u64,
    stretch: u64,
    rule: &'static str,
    count: u32,
}

/// Stops of one thread since it last did anything.
#[derive(Debug)]
struct Stops {
    thread: u64,
    events: Vec<usize>,
    hooked: bool,
}

/// The detector of one session.
#[derive(Debug)]
pub struct Loops {
    settings: Looping,
    told: VecDeque<Told>,
    stops: VecDeque<Stops>,
    chant: Chant,
}

/// Makes one, if it is on.
#[must_use]
pub fn make(settings: &Settings, _: &Arc<dyn Index>) -> Option<Box<dyn Detector>> {
    let settings = settings.looping.clone();
    settings.enabled.then(|| {
        Box::new(Loops { settings, told: VecDeque::new(), stops: VecDeque::new(), chant: Chant::default() })
            as Box<dyn Detector>
    })
}

fn thread(agent: Option<&str>) -> u64 {
    agent.map_or(0, hash)
}

impl Detector for Loops {
    fn observe(&mut self, memory: &Memory, event: &Event, out: &mut Vec<Detection>) {
        let agent = event.agent.as_deref();
        match &event.what {
            What::Result { .. } => {
                self.chant.quiet();
                self.stops.retain(|stops| stops.thread != thread(agent));
                if let Some((lane, _)) = memory.step(event)
                    && let Some(found) = rules::judge(lane, &self.settings)
                {
                    self.tell(lane, memory.event(), &found, out);
                }
            }
            What::Stop { hook_active, .. } => self.stop(memory, agent, *hook_active, out),
            What::Prompt { .. } | What::Start { .. } if agent.is_none() => {
                self.stops.retain(|stops| stops.thread != thread(None));
                self.chant.quiet();
            }
            What::Turn(turn) if agent.is_none() => {
                if let Some(found) = self.chant.hear(turn, memory.event(), self.settings.chants) {
                    out.push(found.mast(MAST));
                }
            }
            _ => {}
        }
    }

    fn held(&self) -> usize {
        self.told.len() + self.stops.iter().map(|stops| 1 + stops.events.len()).sum::<usize>()
    }

    fn before(&self, memory: &Memory, agent: Option<&str>, call: &ToolCall) -> Option<Verdict> {
        let lane = memory.lane(agent)?;
        let asked = Asked::read(call, &memory.cwd);
        let (nth, step) = rules::again(lane, &asked, &self.settings)?;
        Some(Verdict {
            kind: Kind::Loop,
            rule: Rule::Repeat.name(),
            nth,
            reason: format!(
                "This call has been made {} times since anything changed, with the same {}: {}. Running it again will \
                 not tell more. {}",
                nth - 1,
                if step.failed { "failure" } else { "result" },
                step.asked.label,
                Rule::Repeat.advice(step),
            ),
        })
    }
}

impl Loops {
    fn tell(&mut self, lane: &Lane, at: usize, found: &Found<'_>, out: &mut Vec<Detection>) {
        let thread = thread(lane.agent.as_deref());
        let same = |told: &&mut Told| {
            told.thread == thread && told.stretch == found.stretch && told.rule == found.rule.name()
        };
        let again = match self.told.iter_mut().find(same) {
            // A cycle brings each of its calls; what matters is that it has become twice as bad.
            Some(told) if found.count < told.count.saturating_mul(2) => return,
            Some(told) => {
                told.count = found.count;
                true
            }
            None => {
                let told =
                    Told { thread, stretch: found.stretch, rule: found.rule.name(), count: found.count };
                push(&mut self.told, MAX_TOLD, told);
                false
            }
        };
        let (severity, confidence) = found.rule.weight();
        let severity = if again { severity.saturating_add(15) } else { severity };
        let mut detection = Detection::new(Kind::Loop, found.rule.name(), at, severity, confidence)
            .title(found.rule.title(found.count, found.step))
            .advice(found.rule.advice(found.step))
            .mast(MAST);
        for step in &found.evidence {
            detection = detection.seen(step.event, &step.asked.label);
        }
        out.push(detection);
    }

    fn stop(&mut self, memory: &Memory, agent: Option<&str>, hooked: bool, out: &mut Vec<Detection>) {
        let thread = thread(agent);
        let new = || Stops { thread, events: Vec::new(), hooked: false };
        let stops =
            slot(&mut self.stops, MAX_STOPS, |stops| stops.thread == thread, |stops| stops.thread == 0, new);
        stops.hooked |= hooked;
        stops.events.push(memory.event());
        let limit = usize::try_from(self.settings.stops).unwrap_or(usize::MAX).max(2);
        let count = stops.events.len();
        // Each further stop is the same loop; it is told again when it has doubled, and the list stays short.
        if stops.hooked && count == limit {
            let mut detection = Detection::new(Kind::Loop, "stop", memory.event(), 75, 95)
                .title(format!("{count} stops in a row, none of which did anything about what the Stop hook asks for"))
                .advice(
                    "The hook blocks the end and the agent answers without working. Do what the hook asks for, or say \
                     why it cannot be done; let the hook give up when stop_hook_active is true.",
                )
                .mast("FM-1.5");
            for &event in &stops.events {
                detection = detection.seen(event, "Stop");
            }
            out.push(detection);
        }
        if count > limit {
            stops.events.truncate(limit + 1);
        }
    }
}
