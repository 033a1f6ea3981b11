//! A session's turns: where each began, and how it ended.
//!
//! Hooks name turns (`prompt_id`) and close them (`Stop`, `StopFailure`); a denied prompt or an interrupt closes
//! none, so what is still open when the next turn starts, or when the session ends, was interrupted. Without
//! hooks, a main-thread request that brings a new prompt opens a turn.

use std::collections::HashSet;

use ccd_store::Locator;

use super::exchange::ExchangeRow;
use super::ids;
use super::request::Purpose;
use super::session::SessionState;
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

impl SessionState {
    /// The session's turns, oldest first, with how they ended.
    pub(super) fn turn_frames(&self) -> Vec<TurnFrame> {
        let mut frames = self.turns_from_hooks();
        if frames.is_empty() {
            frames = self.turns_from_calls();
        }
        frames.sort_by(|a, b| (a.start, &a.id).cmp(&(b.start, &b.id)));
        // A turn without a closing event is over once the next one starts, or the session ends.
        let starts: Vec<u64> = frames.iter().map(|f| f.start).collect();
        for (i, frame) in frames.iter_mut().enumerate() {
            if frame.end.is_none() && frame.status == "running" {
                let over = starts.get(i + 1).copied().or(self.ended_ns.filter(|_| self.ended()));
                if let Some(over) = over {
                    // It ended with its last sign of life, not when somebody came back to the keyboard.
                    frame.end = Some(self.last_of_turn(&frame.id, frame.start, over).min(over));
                    frame.status = "interrupted";
                }
            }
        }
        frames
    }

    /// The latest fact of a turn that began at `start` and was over by `over`.
    fn last_of_turn(&self, id: &str, start: u64, over: u64) -> u64 {
        let hooks = self.prompts.get(id).map_or(start, |p| p.last_ns);
        let calls = self
            .calls
            .values()
            .map(|c| &c.facts.row)
            .filter(|row| row.agent_id.is_none() && (start..over).contains(&row.started_ns));
        calls.map(ExchangeRow::ended_ns).max().unwrap_or(start).max(hooks).max(start)
    }

    /// Ids that hooks name and under which something happened. Others belong to commands that ask nothing of a
    /// model, such as `/model`.
    fn prompts_with_work(&self) -> HashSet<&str> {
        let told = self.prompts.iter().filter(|(_, p)| {
            p.submitted.is_some() || p.stop.is_some() || p.failure.is_some() || p.compacted.is_some()
        });
        let tools = self.tools.values().filter_map(|t| t.prompt_id.as_deref());
        let agents =
            self.agents.values().filter(|a| a.real).filter_map(|a| Some(a.prompt_id.as_ref()?.1.as_str()));
        told.map(|(id, _)| id.as_str()).chain(tools).chain(agents).collect()
    }

    fn turns_from_hooks(&self) -> Vec<TurnFrame> {
        let with_work = self.prompts_with_work();
        let hook = |record: Locator, part| Some(ContentRef { record, part: Part::Hook(part) });
        self.prompts
            .iter()
            .filter(|(id, _)| with_work.contains(id.as_str()))
            .map(|(id, p)| {
                let start = p.submitted.map_or(p.first_ns, |(ns, _)| ns);
                let failed = p
                    .failure
                    .as_ref()
                    .filter(|((ns, _), _)| p.stop.as_ref().is_none_or(|((stop, _), _)| stop < ns));
                let command = p.compacted.as_ref().filter(|_| p.submitted.is_none());
                let (end, status, error) = match (failed, &p.stop, command) {
                    (Some(((ns, _), error)), _, _) => (Some(*ns), "error", Some(error.clone())),
                    (None, Some(((ns, _), _)), _) | (None, None, Some((ns, _))) => (Some(*ns), "ok", None),
                    (None, None, None) => (None, "running", None),
                };
                TurnFrame {
                    id: id.clone(),
                    start,
                    end,
                    status,
                    error,
                    prompt: p
                        .submitted
                        .map(|_| p.preview.clone())
                        .or_else(|| command.map(|_| "/compact".to_owned())),
                    machine: p.machine,
                    result: p.stop.as_ref().and_then(|(_, last)| last.clone()),
                    input: p.submitted.and_then(|(_, r)| hook(r, "prompt")),
                    output: p.stop.as_ref().and_then(|((_, r), _)| hook(*r, "last_assistant_message")),
                }
            })
            .collect()
    }

    /// Without hooks, a main-thread request that brings a new prompt opens a turn.
    fn turns_from_calls(&self) -> Vec<TurnFrame> {
        let mut frames: Vec<TurnFrame> = Vec::new();
        for call in self.calls_by_start() {
            let row = &call.facts.row;
            if !row.purpose().is_model_call() {
                continue;
            }
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
                let done =
                    row.complete && row.error.is_none() && row.stop_reason.as_deref() != Some("tool_use");
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
}
