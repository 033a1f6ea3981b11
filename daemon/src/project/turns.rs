//! A session's turns: where each began, and how it ended.
//!
//! Hooks and transcripts name turns (`prompt_id`). Hooks close them (`Stop`, `StopFailure`), where the turn was not
//! interrupted; the transcript tells of that, and closes what no hook closes. What is still open when the next turn
//! starts, or when the session ends, was interrupted. Without both, a main-thread request that brings a new prompt opens
//! a turn.

use std::collections::{HashMap, HashSet};

use ccd_store::Locator;

use super::ids;
use super::messages::Message;
use super::pairs::ModelCall;
use super::request::Purpose;
use super::session::{Prompt, SessionState};
use super::transcript::PromptKind;
use super::view::{ContentRef, Part};

/// One turn while the tree is built.
pub(super) struct TurnFrame {
    pub id: String,
    pub start: u64,
    /// Its end, where it is over.
    pub end: Option<u64>,
    pub status: &'static str,
    pub error: Option<String>,
    pub prompt: Option<String>,
    pub machine: bool,
    pub result: Option<String>,
    pub input: Option<ContentRef>,
    pub output: Option<ContentRef>,
}

/// How a turn ended.
type Close = (u64, &'static str, Option<String>);

impl SessionState {
    /// The session's turns, oldest first, with how they ended.
    pub(super) fn turn_frames(&self, calls: &[ModelCall<'_>]) -> Vec<TurnFrame> {
        let mut frames = self.turns_from_prompts(calls);
        if frames.is_empty() {
            frames = turns_from_calls(calls);
        }
        frames.sort_by(|a, b| (a.start, &a.id).cmp(&(b.start, &b.id)));
        // A turn without a closing event is over once the next one starts, or the session ends.
        let starts: Vec<u64> = frames.iter().map(|f| f.start).collect();
        for (i, frame) in frames.iter_mut().enumerate() {
            if frame.end.is_none() && frame.status == "running" {
                let over = starts.get(i + 1).copied().or(self.ended_ns.filter(|_| self.ended()));
                if let Some(over) = over {
                    // It ended with its last sign of life, not when somebody came back to the keyboard.
                    frame.end = Some(self.last_of_turn(calls, &frame.id, frame.start, over).min(over));
                    frame.status = "interrupted";
                }
            }
        }
        frames
    }

    /// How many turns there are.
    pub(super) fn turn_count(&self) -> usize {
        match self.prompts_with_work().iter().filter(|id| self.prompts.contains_key(**id)).count() {
            0 => turns_from_calls(&self.model_calls()).len(),
            n => n,
        }
    }

    /// The latest fact of a turn that began at `start` and was over by `over`.
    fn last_of_turn(&self, calls: &[ModelCall<'_>], id: &str, start: u64, over: u64) -> u64 {
        let named = self.prompts.get(id).map_or(start, |p| p.last_ns);
        // They are in order of their start.
        let from = calls.partition_point(|c| c.start_ns() < start);
        let within = calls[from..].iter().take_while(|c| c.start_ns() < over);
        let last = within.filter(|c| c.agent_id().is_none()).map(ModelCall::end_ns).max();
        last.unwrap_or(start).max(named).max(start)
    }

    /// Ids that hooks or transcripts name and under which something happened. Others belong to commands that ask
    /// nothing of a model, such as `/model`.
    fn prompts_with_work(&self) -> HashSet<&str> {
        let told = self.prompts.iter().filter(|(_, p)| {
            p.submitted.is_some()
                || p.stop.is_some()
                || p.failure.is_some()
                || p.compacted.is_some()
                || p.answered
                || p.error.is_some()
                || p.signalled.is_some()
                || p.told.as_ref().is_some_and(|t| t.kind != PromptKind::Command)
        });
        let tools = self.tools.values().filter_map(|t| t.prompt_id.as_deref());
        let agents =
            self.agents.values().filter(|a| a.real).filter_map(|a| Some(a.prompt_id.as_ref()?.1.as_str()));
        told.map(|(id, _)| id.as_str()).chain(tools).chain(agents).collect()
    }

    fn turns_from_prompts(&self, calls: &[ModelCall<'_>]) -> Vec<TurnFrame> {
        let with_work = self.prompts_with_work();
        // The last message that the transcript has of each turn.
        let mut last: HashMap<&str, &Message> = HashMap::new();
        let messages = calls.iter().filter_map(|c| Some(c.message?.1)).filter(|m| m.agent_id.is_none());
        for message in messages {
            if let Some(prompt) = message.prompt_id.as_deref() {
                let slot = last.entry(prompt).or_insert(message);
                if (slot.last_ns, slot.first_ns) < (message.last_ns, message.first_ns) {
                    *slot = message;
                }
            }
        }
        // And the last call that no transcript tells of, as far as telemetry names its turn.
        let mut signalled: HashMap<&str, &ModelCall<'_>> = HashMap::new();
        for call in calls.iter().filter(|c| c.message.is_none() && c.purpose() == Purpose::Main) {
            if let Some(prompt) = call.told.and_then(|(_, told)| told.prompt_id.as_deref()) {
                let slot = signalled.entry(prompt).or_insert(call);
                if slot.end_ns() < call.end_ns() {
                    *slot = call;
                }
            }
        }
        self.prompts
            .iter()
            .filter(|(id, _)| with_work.contains(id.as_str()))
            .map(|(id, prompt)| {
                frame(id, prompt, last.get(id.as_str()).copied(), signalled.get(id.as_str()).copied())
            })
            .collect()
    }
}

fn frame(id: &str, p: &Prompt, last: Option<&Message>, told_last: Option<&ModelCall<'_>>) -> TurnFrame {
    let hook = |record: Locator, part| Some(ContentRef { record, part: Part::Hook(part) });
    let told = p.told.as_ref();
    let signalled = p.signalled.as_ref();
    let start = p.submitted.map(|(ns, _)| ns).or(told.map(|t| t.at.0));
    let start = start.or(signalled.map(|((ns, _), _)| *ns)).unwrap_or(p.first_ns);
    let command = p.compacted.as_ref().filter(|_| p.submitted.is_none());
    let close = closed(p, last, told_last);
    let said = told_last.filter(|call| call.is_final());
    let answer = last.filter(|m| m.is_final());
    let (end, status, error) = match close {
        Some((ns, status, error)) => (Some(ns), status, error),
        None => (None, "running", None),
    };
    let machine = told.is_some_and(|t| t.kind == PromptKind::Machine);
    TurnFrame {
        id: id.to_owned(),
        start,
        end,
        status,
        error,
        prompt: p
            .submitted
            .map(|_| p.preview.clone())
            .or_else(|| told.map(|t| t.preview.clone()))
            .or_else(|| signalled.and_then(|(_, preview)| preview.clone()))
            .or_else(|| command.map(|_| "/compact".to_owned())),
        machine: if p.submitted.is_some() { p.machine } else { machine },
        result: p
            .stop
            .as_ref()
            .and_then(|(_, last)| last.clone())
            .or_else(|| answer?.text.as_ref().map(|(_, text)| text.clone()))
            .or_else(|| said?.text().map(str::to_owned)),
        input: p
            .submitted
            .and_then(|(_, r)| hook(r, "prompt"))
            .or_else(|| told.map(|t| ContentRef { record: t.at.1, part: Part::Line(t.line) }))
            .or_else(|| {
                let ((_, record), preview) = signalled?;
                preview.as_ref().and_then(|_| hook(*record, "prompt"))
            }),
        output: p
            .stop
            .as_ref()
            .and_then(|((_, r), _)| hook(*r, "last_assistant_message"))
            .or_else(|| answer.and_then(Message::blocks))
            .or_else(|| said.and_then(ModelCall::output)),
    }
}

/// How a turn ended, if it did: by its hooks, unless the transcript tells of an interrupt after them; else by what the
/// transcript tells last.
fn closed(p: &Prompt, last: Option<&Message>, told_last: Option<&ModelCall<'_>>) -> Option<Close> {
    let stop = p.stop.as_ref().map(|((ns, _), _)| *ns);
    let failed = p.failure.as_ref().map(|((ns, _), error)| (*ns, error));
    let by_hook: Option<Close> = match (failed, stop) {
        (Some((ns, error)), stop) if stop.is_none_or(|stop| stop < ns) => {
            Some((ns, "error", Some(error.clone())))
        }
        (_, Some(ns)) => Some((ns, "ok", None)),
        _ => None,
    };
    let interrupted: Option<Close> = p.interrupted.map(|ns| (ns, "interrupted", None));
    if let Some(by_hook) = by_hook {
        return interrupted.filter(|(ns, ..)| *ns > by_hook.0).or(Some(by_hook));
    }
    let message = last.map(|m| (m.last_ns, if m.is_final() { "ok" } else { "running" }, None));
    let call = told_last.map(|c| (c.end_ns(), if c.is_final() { "ok" } else { "running" }, None));
    let error: Option<Close> = p.error.as_ref().map(|(ns, error)| (*ns, "error", Some(error.clone())));
    // In the middle of a turn it ends nothing.
    let asked = p.told.as_ref().is_some_and(|t| t.kind != PromptKind::Command)
        || p.submitted.is_some()
        || p.signalled.is_some();
    let command = p.compacted.filter(|_| !asked).map(|(ns, _)| (ns, "ok", None));
    // Of what is told at the same time, the later here counts.
    let told = [command, call, message, error, interrupted].into_iter().flatten().max_by_key(|(ns, ..)| *ns);
    told.filter(|(_, status, _)| *status != "running")
}

/// Without hooks and prompts in transcripts, a main-thread request that brings a new prompt opens a turn; and what there
/// is of a conversation whose beginning is lost is a turn.
fn turns_from_calls(calls: &[ModelCall<'_>]) -> Vec<TurnFrame> {
    let mut frames: Vec<TurnFrame> = Vec::new();
    for one in calls {
        let Some(call) = one.call else {
            without_beginning(&mut frames, one);
            continue;
        };
        let row = &call.facts.row;
        let opens = row.purpose() == Purpose::Main && call.facts.prompt.is_some();
        if opens || frames.is_empty() {
            // The same prompt again is a retry within the turn.
            let retry = frames
                .last()
                .is_some_and(|f| f.status != "ok" && f.prompt.is_some() && f.prompt == call.facts.prompt);
            if !retry {
                frames.push(TurnFrame {
                    id: ids::exchange(row.id),
                    start: row.started_ns,
                    end: None,
                    status: "running",
                    error: None,
                    prompt: call.facts.prompt.clone(),
                    machine: false,
                    result: None,
                    input: Some(ContentRef { record: call.record, part: Part::NewMessages }),
                    output: None,
                });
            }
        }
        if row.purpose() == Purpose::Main
            && let Some(frame) = frames.last_mut()
        {
            let done = row.complete && row.error.is_none() && row.stop_reason.as_deref() != Some("tool_use");
            (frame.end, frame.status, frame.error) = match (&row.error, done) {
                (Some(error), _) => (Some(row.ended_ns()), "error", Some(error.clone())),
                (None, true) => (Some(row.ended_ns()), "ok", None),
                (None, false) => (None, "running", None),
            };
            if done {
                frame.result.clone_from(&call.facts.text);
                frame.output = Some(ContentRef { record: call.record, part: Part::Blocks });
            }
        }
    }
    frames
}

/// A message that the transcript has and the proxy has not.
fn without_beginning(frames: &mut Vec<TurnFrame>, call: &ModelCall<'_>) {
    let Some((id, message)) = call.message else { return };
    if frames.is_empty() {
        frames.push(TurnFrame {
            id: format!("{} {}", id.message, id.request),
            start: message.start(),
            end: None,
            status: "running",
            error: None,
            prompt: None,
            machine: false,
            result: None,
            input: message.asked_with(),
            output: None,
        });
    }
    if let Some(frame) = frames.last_mut().filter(|_| message.agent_id.is_none()) {
        let over = message.is_final();
        (frame.end, frame.status) = (over.then_some(message.last_ns), if over { "ok" } else { "running" });
        frame.error = None;
        if over {
            frame.result = message.text.as_ref().map(|(_, text)| text.clone());
            frame.output = message.blocks();
        }
    }
}
