//! The state of one session: hook events, exchanges and transcripts, joined.
//!
//! Facts arrive in any order: an exchange is known when it ended, an event may have waited in the spool.
//! Applying them is therefore commutative and idempotent (each field keeps the earliest, the latest, or a
//! maximum), and whatever depends on several facts (which turn, whose parent, what status) is worked out in
//! [`super::view`] when it is asked for. A property test permutes the facts.
//!
//! No I/O, no clock. Content is not held: a [`Locator`] says which record has it.

use std::collections::BTreeMap;

use ccd_store::Locator;

use super::charge::{self, CostState, Observation};
use super::compactions::Compactions;
use super::exchange::ExchangeFacts;
use super::foreign::{Told, Traces};
use super::hook::{HookFacts, HookKind, ToolCall};
use super::lines::{Answered, Asked, Lines, TurnLine};
use super::request::Purpose;
use super::retries::{Attempts, Relinked, RetryRow};
use super::telemetry::TelemetryFacts;
use super::telemetry::state::{SignalTool, Signals};
use super::transcript::TranscriptFacts;

/// A fact and the record it stands in.
#[derive(Clone, Debug)]
pub enum Fact {
    /// A hook event.
    Hook(Box<HookFacts>),
    /// An exchange.
    Exchange(Box<ExchangeFacts>),
    /// A stretch of a transcript.
    Transcript(Box<TranscriptFacts>),
    /// A line of another recorder.
    Foreign(Box<Told>),
    /// An event of the client's own telemetry.
    Telemetry(Box<TelemetryFacts>),
}

/// What a fact changed beyond the session's own state.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Links between attempts at the same request.
    pub relinked: Vec<Relinked>,
    /// What it says of billed messages.
    pub observed: Vec<Observation>,
    /// The client's closing totals.
    pub cost_states: Vec<CostState>,
}

/// A time and the record that tells it. Orders by time, so `min` keeps the earliest.
pub(super) type At = (u64, Locator);

#[derive(Clone, Debug, Default)]
pub(super) struct Prompt {
    /// `UserPromptSubmit`.
    pub submitted: Option<At>,
    pub preview: String,
    pub machine: bool,
    /// The earliest event that names this prompt.
    pub first_ns: u64,
    /// The latest event that names it, `SessionEnd` aside.
    pub last_ns: u64,
    /// The latest `Stop`.
    pub stop: Option<(At, Option<String>)>,
    pub failure: Option<(At, String)>,
    /// The latest compaction: for `/compact`, which is announced by no other event, its end.
    pub compacted: Option<At>,
    /// A hook names it.
    pub hooked: bool,
    /// The transcript's line that asks it.
    pub told: Option<TurnLine>,
    /// The model answered it, as the transcript tells.
    pub answered: bool,
    /// When the user interrupted it last, as the transcript tells.
    pub interrupted: Option<u64>,
    /// The latest error of the API that the transcript or telemetry tells of.
    pub error: Option<(u64, String)>,
    /// Telemetry tells of it: its first words, where they are told.
    pub signalled: Option<(At, Option<String>)>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ToolEnd {
    Ok,
    Failed(String),
    Denied(String),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Tool {
    pub name: String,
    pub summary: Option<String>,
    pub prompt_hash: Option<u64>,
    pub prompt_id: Option<String>,
    pub agent_id: Option<String>,
    /// `PreToolUse`.
    pub start: Option<At>,
    /// The closing hook.
    pub end: Option<(At, ToolEnd)>,
    pub execution_ms: Option<u64>,
    /// `PostToolBatch`: time and record, reads as an error, first words.
    pub batch: Option<(At, bool, String)>,
    /// The call that asked for it: when that ended, its record and its id.
    pub requested: Option<(At, [u8; 16])>,
    /// The request that brings its result: time and record, error, denied, first words.
    pub result: Option<(At, bool, bool, String)>,
    /// The subagent that it started, as its response says.
    pub started_agent: Option<String>,
    /// The transcript's line that asks for it.
    pub asked: Option<Asked>,
    /// The transcript's line that brings its result.
    pub answered: Option<Answered>,
    /// What telemetry tells of it.
    pub signal: Option<SignalTool>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Agent {
    pub kind: Option<String>,
    pub prompt_id: Option<(u64, String)>,
    pub start: Option<At>,
    pub stop: Option<(At, Option<String>)>,
    /// It did something: internal forks only announce their end.
    pub real: bool,
    pub parent_agent_id: Option<String>,
    /// The call that started it, as the file beside its transcript says.
    pub started_by: Option<String>,
    /// That file says that it came to its end.
    pub finished: bool,
    /// The earliest and the latest line of its transcript.
    pub lines: Option<(u64, u64)>,
    /// What it was asked: the first line of its transcript.
    pub asked: Option<(At, u64)>,
    /// When the user interrupted it last.
    pub interrupted: Option<u64>,
    /// The latest error of the API in its transcript.
    pub error: Option<(u64, String)>,
    /// Telemetry tells that it ended: when, and when it began.
    pub signalled: Option<(At, u64)>,
}

#[derive(Clone, Debug)]
pub(super) struct Call {
    pub facts: ExchangeFacts,
    pub record: Locator,
}

/// One session.
#[derive(Clone, Debug, Default)]
pub struct SessionState {
    pub(super) session_id: String,
    pub(super) first_ns: u64,
    pub(super) last_ns: u64,
    pub(super) cwd: Option<(u64, String)>,
    pub(super) client: Option<(u64, String)>,
    pub(super) ended_ns: Option<u64>,
    /// The latest fact that is no `SessionEnd`: a resumed session is alive again.
    pub(super) alive_ns: u64,
    pub(super) prompts: BTreeMap<String, Prompt>,
    pub(super) tools: BTreeMap<String, Tool>,
    pub(super) agents: BTreeMap<String, Agent>,
    pub(super) calls: BTreeMap<[u8; 16], Call>,
    pub(super) lines: Lines,
    pub(super) signals: Signals,
    /// What tells of no ids; see [`super::foreign`].
    pub(super) traces: Traces,
    /// Records of other recorders, by their names.
    pub(super) recorders: BTreeMap<Locator, &'static str>,
    pub(super) attempts: Attempts,
    pub(super) compactions: Compactions,
}

/// Keeps the smaller of what is there and what comes.
pub(super) fn keep_min<T: Ord>(slot: &mut Option<T>, new: T) {
    match slot {
        Some(old) if *old <= new => {}
        _ => *slot = Some(new),
    }
}

/// Keeps the larger of what is there and what comes.
pub(super) fn keep_max<T: Ord>(slot: &mut Option<T>, new: T) {
    match slot {
        Some(old) if *old >= new => {}
        _ => *slot = Some(new),
    }
}

impl SessionState {
    /// An empty session.
    #[must_use]
    pub fn new(session_id: &str) -> Self {
        SessionState { session_id: session_id.to_owned(), first_ns: u64::MAX, ..SessionState::default() }
    }

    /// Facts held, as a measure of its size.
    #[must_use]
    pub fn weight(&self) -> usize {
        1 + self.prompts.len()
            + self.tools.len()
            + self.agents.len()
            + self.calls.len()
            + self.lines.weight()
            + self.traces.len()
            + self.signals.weight()
            + self.compactions.weight()
    }

    /// The session's project: the last component of its first working directory.
    #[must_use]
    pub fn project(&self) -> Option<&str> {
        let (_, cwd) = self.cwd.as_ref()?;
        cwd.trim_end_matches('/').rsplit('/').next().filter(|s| !s.is_empty())
    }

    /// A subagent's type, where a hook told it.
    #[must_use]
    pub fn agent_type(&self, agent_id: &str) -> Option<&str> {
        self.agents.get(agent_id)?.kind.as_deref()
    }

    /// Adds a fact. The stretches of one file come in their order; everything else comes in any.
    pub fn apply(&mut self, fact: &Fact, record: Locator) -> Changes {
        match fact {
            Fact::Hook(hook) => {
                self.apply_hook(hook, record);
                Changes::default()
            }
            Fact::Exchange(exchange) => {
                self.apply_exchange(exchange, record);
                let observed = charge::of_exchange(exchange).into_iter().collect();
                Changes { relinked: self.relink(exchange), observed, ..Changes::default() }
            }
            Fact::Transcript(lines) => self.apply_transcript(lines, record),
            Fact::Telemetry(facts) => self.apply_telemetry(facts, record),
            Fact::Foreign(told) => match &**told {
                Told::Same(recorder, fact) => {
                    self.recorders.insert(record, recorder);
                    self.apply(fact, record)
                }
                Told::Trace(trace) => self.apply_trace(trace, record),
            },
        }
    }

    fn relink(&mut self, facts: &ExchangeFacts) -> Vec<Relinked> {
        let Some((group, attempt)) = facts.attempt() else { return Vec::new() };
        let changed = self.attempts.add(group, attempt).into_iter();
        changed
            .filter_map(|(id, before, after)| {
                let row = RetryRow::new(&self.calls.get(&id)?.facts.row, &after);
                Some(Relinked { row, was_retry: before.retry_of.is_some() })
            })
            .collect()
    }

    pub(super) fn seen(&mut self, from_ns: u64, to_ns: u64) {
        self.first_ns = self.first_ns.min(from_ns);
        self.last_ns = self.last_ns.max(to_ns);
    }

    fn apply_hook(&mut self, hook: &HookFacts, record: Locator) {
        let at = (hook.at_ns, record);
        self.seen(hook.at_ns, hook.at_ns);
        if hook.kind == HookKind::SessionEnd {
            keep_max(&mut self.ended_ns, hook.at_ns);
        } else {
            self.alive_ns = self.alive_ns.max(hook.at_ns);
        }
        if let Some(cwd) = &hook.cwd {
            keep_min(&mut self.cwd, (hook.at_ns, cwd.clone()));
        }
        if let Some(client) = &hook.client {
            keep_max(&mut self.client, (hook.at_ns, client.clone()));
        }
        // `SessionEnd` names the last prompt, and tells nothing new of it.
        if let Some(id) = hook.prompt_id.as_deref().filter(|_| hook.kind != HookKind::SessionEnd) {
            let prompt = self.prompt(id, hook.at_ns);
            prompt.hooked = true;
            match &hook.kind {
                HookKind::Prompt { preview, machine } => {
                    keep_min(&mut prompt.submitted, at);
                    if prompt.submitted == Some(at) {
                        prompt.preview.clone_from(preview);
                        prompt.machine = *machine;
                    }
                }
                HookKind::Stop { last } => keep_max(&mut prompt.stop, (at, last.clone())),
                HookKind::Compacted { .. } => keep_max(&mut prompt.compacted, at),
                HookKind::StopFailure { error } => keep_max(&mut prompt.failure, (at, error.clone())),
                _ => {}
            }
        }
        if let Some(id) = hook.agent_id.as_deref() {
            let agent = self.agents.entry(id.to_owned()).or_default();
            if let Some(kind) = hook.agent_type.as_deref() {
                keep_min(&mut agent.kind, kind.to_owned());
            }
            match &hook.kind {
                HookKind::AgentStop { last } => keep_max(&mut agent.stop, (at, last.clone())),
                kind => {
                    agent.real = true;
                    if *kind == HookKind::AgentStart {
                        keep_min(&mut agent.start, at);
                    }
                    if let Some(prompt) = &hook.prompt_id {
                        keep_min(&mut agent.prompt_id, (hook.at_ns, prompt.clone()));
                    }
                }
            }
        }
        self.compactions.hook(hook, at);
        self.apply_tool_hook(hook, at);
    }

    fn apply_tool_hook(&mut self, hook: &HookFacts, at: At) {
        match &hook.kind {
            HookKind::ToolStart(call) => {
                let tool = self.tool(call, hook);
                keep_min(&mut tool.start, at);
            }
            HookKind::ToolOk { call, started_agent, execution_ms } => {
                let tool = self.tool(call, hook);
                keep_min(&mut tool.end, (at, ToolEnd::Ok));
                if let Some(agent) = started_agent {
                    keep_min(&mut tool.started_agent, agent.clone());
                }
                tool.execution_ms = tool.execution_ms.max(*execution_ms);
            }
            HookKind::ToolFailed { call, error, execution_ms } => {
                let tool = self.tool(call, hook);
                keep_min(&mut tool.end, (at, ToolEnd::Failed(error.clone())));
                tool.execution_ms = tool.execution_ms.max(*execution_ms);
            }
            HookKind::ToolDenied { call, reason } => {
                let tool = self.tool(call, hook);
                keep_min(&mut tool.end, (at, ToolEnd::Denied(reason.clone())));
            }
            HookKind::ToolBatch { calls } => {
                for (call, is_error, preview) in calls {
                    let tool = self.tool(call, hook);
                    keep_min(&mut tool.batch, (at, *is_error, preview.clone()));
                }
            }
            _ => {}
        }
    }

    /// A prompt that something names at a time.
    pub(super) fn prompt(&mut self, id: &str, ns: u64) -> &mut Prompt {
        let prompt = self
            .prompts
            .entry(id.to_owned())
            .or_insert_with(|| Prompt { first_ns: u64::MAX, ..Prompt::default() });
        prompt.first_ns = prompt.first_ns.min(ns);
        prompt.last_ns = prompt.last_ns.max(ns);
        prompt
    }

    fn tool(&mut self, call: &ToolCall, hook: &HookFacts) -> &mut Tool {
        let tool = self.tools.entry(call.tool_use_id.clone()).or_default();
        if !call.name.is_empty() {
            tool.name.clone_from(&call.name);
        }
        fill(&mut tool.summary, call.summary.as_ref());
        fill(&mut tool.prompt_hash, call.prompt_hash.as_ref());
        fill(&mut tool.agent_id, hook.agent_id.as_ref());
        if let Some(prompt) = &hook.prompt_id {
            keep_min(&mut tool.prompt_id, prompt.clone());
        }
        tool
    }

    fn apply_exchange(&mut self, facts: &ExchangeFacts, record: Locator) {
        let row = &facts.row;
        self.seen(row.started_ns, row.ended_ns());
        self.alive_ns = self.alive_ns.max(row.started_ns);
        if let Some(id) = row.agent_id.as_deref() {
            let agent = self.agents.entry(id.to_owned()).or_default();
            agent.real = true;
            fill(&mut agent.parent_agent_id, facts.parent_agent_id.as_ref());
        }
        if row.purpose() != Purpose::CountTokens {
            for used in &facts.tool_uses {
                let tool = self.tools.entry(used.id.clone()).or_default();
                if tool.name.is_empty() {
                    tool.name.clone_from(&used.name);
                }
                fill(&mut tool.summary, used.summary.as_ref());
                fill(&mut tool.prompt_hash, used.prompt_hash.as_ref());
                fill(&mut tool.agent_id, row.agent_id.as_ref());
                keep_min(&mut tool.requested, ((row.ended_ns(), record), row.id));
            }
            for result in &facts.tool_results {
                let tool = self.tools.entry(result.tool_use_id.clone()).or_default();
                let at = (row.started_ns, record);
                keep_min(&mut tool.result, (at, result.is_error, result.denied, result.preview.clone()));
            }
        }
        // What the limits were is nothing about the session, shares are the charge's, and texts are the record's.
        let facts = ExchangeFacts { limits: None, measures: None, said: None, ..facts.clone() };
        self.calls.insert(facts.row.id, Call { facts, record });
    }
}

/// Sets what is not set. Sources agree on what they both tell, so order does not matter.
pub(super) fn fill<T: Clone>(slot: &mut Option<T>, value: Option<&T>) {
    if slot.is_none() {
        *slot = value.cloned();
    }
}
