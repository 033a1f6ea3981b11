//! A context that is nearly full. `docs/overflow.md` is the account of its rules.
//!
//! It must never add the contexts of answers up: each answer's context holds those before it.
//!
//! Invariants: each thread is measured against its own model's window; one filling is told of once as a warning and
//! once as urgent; at most `MAX_THREADS` threads and `MAX_MODELS` models are held.

mod window;

use std::collections::VecDeque;
use std::sync::Arc;

use super::Detector;
use crate::detection::{Detection, Kind};
use crate::event::{Event, ModelTurn, What};
use crate::index::Index;
use crate::memory::{Memory, push, slot};
use crate::settings::{Overflow, Settings};
use crate::text::{clip, hash};

use window::Windows;

/// Threads that are measured.
const MAX_THREADS: usize = 16;
/// Models whose windows are remembered.
const MAX_MODELS: usize = 8;
/// Answers by which growth is told.
const GROWTH: usize = 12;
/// Loss of conversation history.
const MAST: &str = "FM-1.4";

/// One thread's filling.
#[derive(Debug, Default)]
struct Filling {
    thread: u64,
    /// Contexts of the last answers, oldest first.
    contexts: VecDeque<u64>,
    message: u64,
    warned: bool,
    urgent: bool,
    /// It is at work: a prompt has not been answered by a Stop yet.
    working: bool,
}

/// The detector of one session.
#[derive(Debug)]
pub struct Contexts {
    settings: Overflow,
    windows: Windows,
    fillings: VecDeque<Filling>,
    model: String,
}

/// Makes one, if it is on.
#[must_use]
pub fn make(settings: &Settings, _: &Arc<dyn Index>) -> Option<Box<dyn Detector>> {
    let settings = settings.overflow.clone();
    let windows = Windows::new(settings.assumed_window);
    settings.enabled.then(|| {
        Box::new(Contexts { settings, windows, fillings: VecDeque::new(), model: String::new() })
            as Box<dyn Detector>
    })
}

impl Detector for Contexts {
    fn observe(&mut self, memory: &Memory, event: &Event, out: &mut Vec<Detection>) {
        let agent = event.agent.as_deref();
        match &event.what {
            What::Turn(turn) => self.turn(memory.event(), agent, turn, out),
            What::Prompt { .. } => {
                self.filling(agent).working = true;
            }
            What::Stop { .. } => {
                self.filling(agent).working = false;
            }
            What::Start { .. } => {
                let filling = self.filling(agent);
                filling.contexts.clear();
                (filling.warned, filling.urgent) = (false, false);
            }
            What::Result { call, .. } => {
                if let Some((_, step)) = memory.step(event).filter(|(_, step)| step.forgets) {
                    out.push(forgotten(
                        memory.event(),
                        &step.asked.label,
                        step.failed,
                        call.text("old_string"),
                    ));
                }
            }
            What::Compact { trigger, pre_tokens } => {
                self.compact(memory.event(), agent, trigger, *pre_tokens, out);
            }
            _ => {}
        }
    }

    fn held(&self) -> usize {
        self.windows.held() + self.fillings.iter().map(|filling| 1 + filling.contexts.len()).sum::<usize>()
    }
}

impl Contexts {
    fn filling(&mut self, agent: Option<&str>) -> &mut Filling {
        let thread = agent.map_or(0, hash);
        slot(
            &mut self.fillings,
            MAX_THREADS,
            |filling| filling.thread == thread,
            |filling| filling.thread == 0,
            || Filling { thread, ..Filling::default() },
        )
    }

    fn turn(&mut self, at: usize, agent: Option<&str>, turn: &ModelTurn, out: &mut Vec<Detection>) {
        let context = turn.usage.context();
        if context == 0 {
            return;
        }
        self.windows.learn(&turn.model, turn.window, context);
        let (window, sure) = self.windows.of(&turn.model);
        if agent.is_none() {
            self.model.clone_from(&turn.model);
        }
        let settings = self.settings.clone();
        let filling = self.filling(agent);
        let message = hash(&turn.message_id);
        if filling.message == message && !turn.message_id.is_empty() {
            filling.contexts.pop_back();
        }
        filling.message = message;
        // Twice much less than before is another filling; once may be a side request.
        let before = filling.contexts.iter().copied().max().unwrap_or(0);
        let last = filling.contexts.back().copied().unwrap_or(0);
        if context < before / 2 && last < before / 2 {
            filling.contexts.clear();
            (filling.warned, filling.urgent) = (false, false);
        }
        push(&mut filling.contexts, GROWTH, context);
        let percent = context.saturating_mul(100) / window.max(1);
        let (warn, urgent) = if agent.is_some() {
            (settings.agent_percent, 101)
        } else {
            (settings.warn_percent, settings.urgent_percent)
        };
        let (is_urgent, is_warning) = (percent >= u64::from(urgent), percent >= u64::from(warn));
        if is_urgent && !filling.urgent || is_warning && !filling.warned {
            filling.urgent |= is_urgent;
            filling.warned = true;
            let left = window.saturating_sub(context);
            let growth = growth(&filling.contexts);
            out.push(told(at, agent, (context, window, percent), (growth, left), is_urgent, sure));
        }
    }

    fn compact(
        &mut self,
        at: usize,
        agent: Option<&str>,
        trigger: &str,
        pre: Option<u64>,
        out: &mut Vec<Detection>,
    ) {
        let model = self.model.clone();
        let filling = self.filling(agent);
        let context = filling.contexts.back().copied().or(pre).unwrap_or(0);
        let (working, warned) = (filling.working, filling.warned);
        filling.contexts.clear();
        (filling.warned, filling.urgent) = (false, false);
        if trigger != "auto" {
            return;
        }
        self.windows.compacted(&model, pre.unwrap_or(context));
        if working && agent.is_none() {
            let (window, sure) = self.windows.of(&model);
            // A context that was measured and was not nearly full was not what was compacted.
            if context.saturating_mul(100) / window.max(1) < u64::from(self.settings.warn_percent) && !warned
            {
                return;
            }
            out.push(
                Detection::new(Kind::Overflow, "compacted", at, 55, if sure { 95 } else { 85 })
                    .title("The context was full and is compacted in the middle of the work")
                    .seen(at, format!("automatic compaction at {context} tokens"))
                    .advice(
                        "What was agreed and what was found is only kept as a summary. Check the plan and the open \
                         points against the task before going on; write them to a file next time.",
                    )
                    .mast(MAST),
            );
        }
    }
}

/// An edit from before a compaction is taken back, or tried again: the agent does not know any more that it made it.
fn forgotten(at: usize, label: &str, again: bool, old: &str) -> Detection {
    let what = if again { "makes an edit again" } else { "takes an edit back" };
    Detection::new(Kind::Overflow, "forgotten", at, 55, 75)
        .title(format!("After a compaction the agent {what} that it made before it: {label}"))
        .seen(at, clip(old.trim(), 200))
        .advice(
            "This was done on purpose before the conversation was compacted. Look at the change (git diff) and the plan \
             before going on; keep it unless there is a reason against it.",
        )
        .mast(MAST)
}

/// The middle of how much each answer added.
fn growth(contexts: &VecDeque<u64>) -> u64 {
    let mut steps: Vec<u64> =
        contexts.iter().zip(contexts.iter().skip(1)).filter_map(|(a, b)| b.checked_sub(*a)).collect();
    steps.sort_unstable();
    steps.get(steps.len() / 2).copied().unwrap_or(0)
}

fn told(
    at: usize,
    agent: Option<&str>,
    (context, window, percent): (u64, u64, u64),
    (growth, left): (u64, u64),
    urgent: bool,
    sure: bool,
) -> Detection {
    let rule = match (agent, urgent) {
        (Some(_), _) => "agent",
        (None, true) => "urgent",
        (None, false) => "filling",
    };
    let severity = if agent.is_some() { 45 } else { 60 + if urgent { 20 } else { 0 } };
    let whose = agent.map_or_else(String::new, |id| format!(" of subagent {id}"));
    // What is left until automatic compaction is less than what is left of the window: about a fifth is kept free.
    let free = left.saturating_sub(window / 5);
    let turns = free.checked_div(growth).map_or_else(String::new, |turns| {
        format!("; about {turns} more answers at {growth} tokens each until it is compacted")
    });
    Detection::new(Kind::Overflow, rule, at, severity, if sure { 97 } else { 75 })
        .title(format!("The context{whose} holds {context} of {window} tokens, {percent} %"))
        .seen(at, format!("{context} tokens in the last answer's context{turns}"))
        .advice(if sure {
            "Finish or write down the current step, then compact at a place of your choosing, start anew with a \
             summary, or give searches and long outputs to a subagent."
        } else {
            "Nobody told this model's window: it is taken for the usual one. Finish or write down the current step, \
             then compact at a place of your choosing or start anew."
        })
        .mast(MAST)
}
