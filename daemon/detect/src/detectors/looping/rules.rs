//! The rules about tool calls: each looks at one stretch of work of one thread and says what its last step completes.
//!
//! A rule must never look across new work: the memory begins a new stretch there.
//!
//! Invariant: the first rule that holds is the one that is told; they stand in the order of how sure they are.

use crate::memory::{Asked, Lane, Step, Tool, Waiting};
use crate::settings::Looping;

/// Calls that are new between the first and the last of a few repetitions, and that still do not make it work.
/// Between rounds of a cycle of four there are three.
const NEW_BETWEEN: usize = 3;

/// A rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    Repeat,
    Cycle,
    Agent,
    Waiting,
    EmptySearch,
    MissedEdit,
    SameFailure,
}

/// What a rule found.
#[derive(Debug)]
pub(super) struct Found<'a> {
    pub(super) rule: Rule,
    pub(super) count: u32,
    pub(super) step: &'a Step,
    pub(super) evidence: Vec<&'a Step>,
    /// Since which stretch of work.
    pub(super) stretch: u64,
}

impl Rule {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Repeat => "repeat",
            Self::Cycle => "cycle",
            Self::Agent => "agent",
            Self::Waiting => "waiting",
            Self::EmptySearch => "empty_search",
            Self::MissedEdit => "missed_edit",
            Self::SameFailure => "same_failure",
        }
    }

    /// Severity and confidence.
    pub(super) fn weight(self) -> (u8, u8) {
        match self {
            Self::Repeat => (70, 95),
            Self::Cycle => (75, 90),
            Self::Agent => (70, 85),
            Self::Waiting => (40, 70),
            Self::MissedEdit => (65, 85),
            Self::EmptySearch | Self::SameFailure => (60, 80),
        }
    }

    pub(super) fn title(self, count: u32, step: &Step) -> String {
        let label = &step.asked.label;
        match self {
            Self::Repeat if step.failed => {
                format!("The same call failed in the same way {count} times: {label}")
            }
            Self::Repeat => format!("The same call with the same result {count} times: {label}"),
            Self::Cycle => format!("{count} calls in a row that were all made before, with the same results"),
            Self::Agent => {
                format!("The same subagent with the same prompt started {count} times: {label}")
            }
            Self::Waiting => format!("{count} times asked, and the answer has not changed: {label}"),
            Self::EmptySearch => format!("{count} searches in a row found nothing"),
            Self::MissedEdit => format!("{count} edits of the same file in a row failed: {label}"),
            Self::SameFailure => format!("{count} calls in a row failed in the same way"),
        }
    }

    pub(super) fn advice(self, step: &Step) -> &'static str {
        match (self, step.asked.tool) {
            (Self::Repeat, Tool::Edit) if step.failed => {
                "Read the file as it is now and take the text to replace from there, or write the file anew."
            }
            (Self::Repeat, Tool::Edit) => {
                "The same change has been made and taken back. Decide for one, and look for the cause of the failure \
                 elsewhere."
            }
            (Self::Repeat, Tool::Read) => "Use what was read before; read another part, or go on.",
            (Self::Repeat, Tool::Plan) => "The list says so already. Work on its next open point.",
            (Self::Repeat, _) if step.failed => {
                "Read the error: change the command, what it depends on, or the code, or ask the user. Do not run it \
                 unchanged."
            }
            (Self::Repeat | Self::Cycle, _) => {
                "Say what the result means for the task and take a step that was not taken yet, or ask the user."
            }
            (Self::Agent, _) => {
                "Use what the subagent reported. If it did not do what it should, change its prompt or do that part \
                 yourself."
            }
            (Self::Waiting, _) => {
                "What is waited for may be stuck. Look at why, wait in the background, or tell the user."
            }
            (Self::EmptySearch, _) => {
                "What is searched for is probably not there, or not called that. List the directory, search for a \
                 part of the name without options, or ask the user."
            }
            (Self::MissedEdit, _) => {
                "Read the part of the file as it is now and copy the text to replace from there."
            }
            (Self::SameFailure, _) => "The calls fail for one reason. Find it before the next try.",
        }
    }
}

/// What the last step of a thread completes.
pub(super) fn judge<'a>(lane: &'a Lane, settings: &Looping) -> Option<Found<'a>> {
    let step = lane.last()?;
    if step.asked.waiting != Waiting::No {
        return waiting(lane, step, settings);
    }
    repeat(lane, step, settings)
        .or_else(|| agent(lane, step, settings))
        .or_else(|| missed_edit(lane, step, settings))
        .or_else(|| cycle(lane, step, settings))
        .or_else(|| empty_search(lane, step, settings))
        .or_else(|| same_failure(lane, step, settings))
}

/// Steps that are the same as `step`, newest first.
fn same<'a>(lane: &'a Lane, step: &'a Step) -> impl Iterator<Item = (usize, &'a Step)> {
    lane.steps.iter().enumerate().rev().filter(move |(_, earlier)| earlier.same(step))
}

/// How many answers of the model the steps belong to: calls that run side by side are one try.
fn rounds(steps: &[&Step]) -> usize {
    1 + steps.windows(2).filter(|pair| pair[0].batch != pair[1].batch).count()
}

fn limit(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX).max(2)
}

fn found<'a>(lane: &Lane, rule: Rule, step: &'a Step, mut evidence: Vec<&'a Step>) -> Found<'a> {
    evidence.reverse();
    let count = u32::try_from(evidence.len()).unwrap_or(u32::MAX);
    let stretch = if rule == Rule::Agent { lane.agents_from } else { lane.stretch };
    Found { rule, count, step, evidence, stretch }
}

fn repeat_limit(step: &Step, settings: &Looping) -> usize {
    limit(match step.asked.tool {
        _ if step.passing => settings.passing,
        Tool::Remote => settings.remote,
        _ => settings.repeats,
    })
}

/// The last `limit` times stand close together: between the first and the last of them hardly anything was new.
fn is_close(lane: &Lane, from: usize) -> bool {
    lane.steps.iter().skip(from + 1).filter(|step| !step.repeats).count() <= NEW_BETWEEN
}

fn repeat<'a>(lane: &'a Lane, step: &'a Step, settings: &Looping) -> Option<Found<'a>> {
    let limit = repeat_limit(step, settings);
    let from = same(lane, step).nth(limit - 1)?.0;
    is_close(lane, from)
        .then(|| found(lane, Rule::Repeat, step, same(lane, step).map(|(_, step)| step).collect()))
}

/// How often this call would have been made, and the last time it was, if it should not be made again.
pub(super) fn again<'a>(lane: &'a Lane, asked: &Asked, settings: &Looping) -> Option<(u32, &'a Step)> {
    if asked.waiting != Waiting::No {
        return None;
    }
    let (_, last) = lane.steps.iter().enumerate().rev().find(|(_, step)| step.asked.call == asked.call)?;
    let limit = repeat_limit(last, settings);
    let from = same(lane, last).nth(limit - 1)?.0;
    let times = u32::try_from(same(lane, last).count()).unwrap_or(u32::MAX);
    is_close(lane, from).then_some((times.saturating_add(1), last))
}

/// The same subagent, started again after it came back. Several at once are one try: that is how work is shared out.
fn agent<'a>(lane: &'a Lane, step: &'a Step, settings: &Looping) -> Option<Found<'a>> {
    if step.asked.tool != Tool::Agent {
        return None;
    }
    let alike: Vec<&Step> =
        lane.agents.iter().rev().filter(|earlier| earlier.asked.call == step.asked.call).collect();
    let each: Vec<&Step> = alike
        .iter()
        .enumerate()
        .filter(|(at, this)| *at == 0 || alike[at - 1].batch != this.batch)
        .map(|(_, this)| *this)
        .collect();
    (each.len() >= limit(settings.repeats)).then(|| found(lane, Rule::Agent, step, each))
}

fn cycle<'a>(lane: &'a Lane, step: &'a Step, settings: &Looping) -> Option<Found<'a>> {
    let run: Vec<&Step> = lane.steps.iter().rev().take_while(|step| step.repeats).collect();
    let excused =
        |step: &&&Step| step.asked.waiting != Waiting::No || step.passing || step.asked.tool == Tool::Remote;
    let excused = run.iter().filter(excused).count();
    (run.len() >= limit(settings.cycle) && excused * 2 < run.len())
        .then(|| found(lane, Rule::Cycle, step, run))
}

fn waiting<'a>(lane: &'a Lane, step: &'a Step, settings: &Looping) -> Option<Found<'a>> {
    let asks = limit(settings.asks);
    let (from, _) = same(lane, step).nth(asks - 1)?;
    let times: Vec<&Step> = same(lane, step).map(|(_, step)| step).collect();
    let since = lane.steps.iter().skip(from);
    // Who does something else between is not waiting for it, but looking whether that helped.
    let only_waits = since.clone().all(|step| step.asked.waiting != Waiting::No);
    let patient = step.asked.waiting == Waiting::Sleeps || only_waits && is_patient(&times, settings);
    let holds = if patient { times.len() >= limit(settings.waits) } else { is_close(lane, from) };
    holds.then(|| found(lane, Rule::Waiting, step, times))
}

/// There is time between the questions. Without times they count as far apart: the benefit of the doubt.
fn is_patient(times: &[&Step], settings: &Looping) -> bool {
    let pause = i64::from(settings.waiting_seconds).saturating_mul(1000);
    let between = times.windows(2).filter_map(|pair| Some(pair[0].at_ms?.saturating_sub(pair[1].at_ms?)));
    let (long, short) =
        between.fold(
            (0, 0),
            |(long, short), between| {
                if between >= pause { (long + 1, short) } else { (long, short + 1) }
            },
        );
    long >= short
}

fn empty_search<'a>(lane: &'a Lane, step: &'a Step, settings: &Looping) -> Option<Found<'a>> {
    if !step.found_nothing {
        return None;
    }
    let run: Vec<&Step> = lane.steps.iter().rev().take_while(|step| step.found_nothing).collect();
    (rounds(&run) >= limit(settings.empty_searches)).then(|| found(lane, Rule::EmptySearch, step, run))
}

fn missed_edit<'a>(lane: &'a Lane, step: &'a Step, settings: &Looping) -> Option<Found<'a>> {
    if step.asked.tool != Tool::Edit || !step.failed {
        return None;
    }
    let of_file = lane
        .steps
        .iter()
        .rev()
        .filter(|earlier| earlier.asked.tool == Tool::Edit && earlier.asked.path == step.asked.path);
    let run: Vec<&Step> = of_file.take_while(|earlier| earlier.failed).collect();
    (rounds(&run) >= limit(settings.missed_edits)).then(|| found(lane, Rule::MissedEdit, step, run))
}

fn same_failure<'a>(lane: &'a Lane, step: &'a Step, settings: &Looping) -> Option<Found<'a>> {
    if !step.failed || step.passing {
        return None;
    }
    let alike = |earlier: &&Step| {
        earlier.failed && earlier.asked.tool == step.asked.tool && earlier.shape.all == step.shape.all
    };
    let run: Vec<&Step> = lane.steps.iter().rev().take_while(alike).collect();
    (rounds(&run) >= limit(settings.same_failures)).then(|| found(lane, Rule::SameFailure, step, run))
}
