//! The telemetry's part of a session's state.
//!
//! It is held apart from what the other sources tell, and looked at where those tell nothing: so it can come before them,
//! between them or after them, and as often as it likes. A call that telemetry tells of is known by its request; without
//! a request's id nothing could tell whether another source counts it, so that it goes to the session's totals, which
//! count only where nothing else was billed.

use std::collections::{BTreeMap, BTreeSet};

use ccd_proto::api::Tokens;
use ccd_store::Locator;

use super::{Kind, Request, TelemetryFacts};
use crate::project::billed::told_message;
use crate::project::charge::{CostState, ModelTotal, Observation, Source};
use crate::project::foreign::start_of;
use crate::project::request::Purpose;
use crate::project::session::{At, Changes, SessionState, fill, keep_max, keep_min};

const HOUR_NS: u64 = 3_600_000_000_000;
const MS_NS: u64 = 1_000_000;

/// A model call, as far as telemetry tells.
#[derive(Clone, Debug, Default)]
pub(in crate::project) struct SignalCall {
    /// The event that tells what was billed: when that was, and its record.
    pub at: Option<At>,
    pub request: Request,
    pub agent_id: Option<String>,
    pub prompt_id: Option<String>,
    /// What the model said.
    pub said: Option<(At, Option<String>)>,
    /// It asked for a tool.
    pub asks: bool,
}

/// A tool call, as far as telemetry tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::project) struct SignalTool {
    pub name: String,
    pub summary: Option<String>,
    /// When it was decided, whether it may run, and who said so.
    pub decided: Option<(At, bool, String)>,
    /// When it was over, whether it worked, and why not.
    pub ended: Option<(At, bool, Option<String>)>,
    pub ms: Option<u64>,
    pub request_id: Option<String>,
}

impl SignalTool {
    /// When it began to run.
    pub(in crate::project) fn started(&self) -> Option<u64> {
        let ended = self.ended.as_ref().map(|((ns, _), ..)| *ns);
        let ran = ended.map(|ns| ns.saturating_sub(self.ms.unwrap_or(0).saturating_mul(MS_NS)));
        self.decided.as_ref().map(|((ns, _), ..)| *ns).or(ran)
    }

    /// How it came out: in a word, what went wrong, and when it was over.
    pub(in crate::project) fn outcome(&self) -> (&'static str, Option<&String>, Option<u64>) {
        match (&self.decided, &self.ended) {
            (Some(((ns, _), false, by)), _) => ("denied", Some(by), Some(*ns)),
            (_, Some(((ns, _), true, _))) => ("ok", None, Some(*ns)),
            (_, Some(((ns, _), false, why))) => ("error", why.as_ref(), Some(*ns)),
            (_, None) => ("running", None, None),
        }
    }
}

/// What telemetry tells of a session.
#[derive(Clone, Debug, Default)]
pub(in crate::project) struct Signals {
    pub calls: BTreeMap<String, SignalCall>,
    /// Events of calls without a request's id that are in the totals.
    counted: BTreeSet<u64>,
    totals: BTreeMap<String, Tokens>,
}

impl Signals {
    pub(in crate::project) fn weight(&self) -> usize {
        self.calls.len() + self.counted.len()
    }
}

impl SignalCall {
    pub(in crate::project) fn end_ns(&self) -> u64 {
        self.at.map_or(0, |(ns, _)| ns)
    }

    pub(in crate::project) fn start_ns(&self) -> u64 {
        self.end_ns().saturating_sub(self.request.ms.saturating_mul(MS_NS))
    }

    pub(in crate::project) fn purpose(&self) -> Purpose {
        purpose(&self.request.asked_by, self.agent_id.is_some())
    }
}

/// What a call was for, by who asked.
fn purpose(asked_by: &str, of_agent: bool) -> Purpose {
    match asked_by {
        "compact" => Purpose::Compaction,
        "generate_session_title" => Purpose::Title,
        "web_search_tool" => Purpose::WebSearch,
        "sdk" | "" if !of_agent => Purpose::Main,
        _ if asked_by.starts_with("repl_main_thread") => Purpose::Main,
        _ if of_agent || asked_by.starts_with("agent:") => Purpose::Subagent,
        _ => Purpose::Side,
    }
}

impl SessionState {
    /// Adds an event.
    pub(in crate::project) fn apply_telemetry(&mut self, facts: &TelemetryFacts, record: Locator) -> Changes {
        let at = (facts.at_ns, record);
        self.seen(facts.at_ns, facts.at_ns);
        if let Some(version) = &facts.version {
            keep_max(&mut self.client, (facts.at_ns, format!("claude-code {version}")));
        }
        // What else is told may be told behind the session's end.
        if matches!(facts.kind, Kind::Prompt(_)) {
            self.alive_ns = self.alive_ns.max(facts.at_ns);
        }
        match &facts.kind {
            Kind::Request(request) => return self.signal_request(facts, request, at),
            Kind::Said(text) => {
                if let Some(id) = &facts.request_id {
                    let call = self.signals.calls.entry(id.clone()).or_default();
                    keep_min(&mut call.said, (at, text.clone()));
                }
            }
            Kind::Prompt(preview) => {
                if let Some(id) = &facts.prompt_id {
                    keep_min(&mut self.prompt(id, facts.at_ns).signalled, (at, preview.clone()));
                }
            }
            Kind::Decision { tool, summary, accepted, by } => {
                let told = (at, *accepted, by.clone());
                self.signal_tool(facts, tool, summary.as_ref(), |tool| keep_max(&mut tool.decided, told));
            }
            Kind::Result { tool, summary, success, ms, error } => {
                let told = (at, *success, error.clone());
                self.signal_tool(facts, tool, summary.as_ref(), |tool| {
                    keep_min(&mut tool.ended, told);
                    tool.ms = tool.ms.max(*ms);
                });
            }
            Kind::Failed(error) => match (&facts.agent_id, &facts.prompt_id) {
                (Some(agent), _) => {
                    let agent = self.agents.entry(agent.clone()).or_default();
                    keep_max(&mut agent.error, (facts.at_ns, error.clone()));
                }
                (None, Some(id)) => {
                    keep_max(&mut self.prompt(id, facts.at_ns).error, (facts.at_ns, error.clone()));
                }
                (None, None) => {}
            },
            Kind::AgentDone { agent_type, ms } => {
                if let Some(id) = &facts.agent_id {
                    let agent = self.agents.entry(id.clone()).or_default();
                    if let Some(kind) = agent_type {
                        keep_min(&mut agent.kind, kind.clone());
                    }
                    let from = facts.at_ns.saturating_sub(ms.unwrap_or(0).saturating_mul(MS_NS));
                    keep_max(&mut agent.signalled, (at, from));
                }
            }
            Kind::Other => {}
        }
        Changes::default()
    }

    fn signal_tool(
        &mut self,
        facts: &TelemetryFacts,
        name: &str,
        summary: Option<&String>,
        add: impl FnOnce(&mut SignalTool),
    ) {
        let Some(id) = &facts.tool_use_id else { return };
        let tool = self.tools.entry(id.clone()).or_default();
        fill(&mut tool.agent_id, facts.agent_id.as_ref());
        if let Some(prompt) = &facts.prompt_id {
            keep_min(&mut tool.prompt_id, prompt.clone());
        }
        let signal = tool.signal.get_or_insert_default();
        // Both events tell the same; where one withholds what the other tells, that one counts.
        if signal.name.as_str() < name {
            name.clone_into(&mut signal.name);
        }
        if let Some(summary) = summary {
            keep_max(&mut signal.summary, summary.clone());
        }
        add(signal);
        if let Some(request) = &facts.request_id {
            keep_min(&mut signal.request_id, request.clone());
            self.signals.calls.entry(request.clone()).or_default().asks = true;
        }
        if let Some(agent) = &facts.agent_id {
            self.agents.entry(agent.clone()).or_default().real = true;
        }
    }

    fn signal_request(&mut self, facts: &TelemetryFacts, request: &Request, at: At) -> Changes {
        if let Some(agent) = &facts.agent_id {
            let agent = self.agents.entry(agent.clone()).or_default();
            agent.real = true;
            if let Some(prompt) = &facts.prompt_id {
                keep_min(&mut agent.prompt_id, (facts.at_ns, prompt.clone()));
            }
        }
        let Some(id) = &facts.request_id else { return self.signal_total(facts, request) };
        let call = self.signals.calls.entry(id.clone()).or_default();
        // The same event, told again, changes nothing.
        if call.at.is_none_or(|known| at < known) {
            call.at = Some(at);
            call.request = request.clone();
            call.agent_id.clone_from(&facts.agent_id);
            call.prompt_id.clone_from(&facts.prompt_id);
        }
        let observed = Observation {
            source: Source::Telemetry,
            message_id: told_message(id),
            request: Some(id.clone()),
            session_id: self.session_id.clone(),
            agent_id: facts.agent_id.clone(),
            at_ns: facts.at_ns.saturating_sub(request.ms.saturating_mul(MS_NS)),
            born_ns: 0,
            model: request.model.clone(),
            tokens: request.tokens,
            web_searches: 0,
            service_tier: String::new(),
            speed: request.speed.clone(),
            branch: String::new(),
            purpose: purpose(&request.asked_by, facts.agent_id.is_some()).as_str().to_owned(),
            cut: false,
            asked: Vec::new(),
            brought: Vec::new(),
            answer_bytes: 0,
            fresh_bytes: 0,
            previous_prompt: 0,
        };
        Changes { observed: vec![observed], ..Changes::default() }
    }

    /// A call that nothing could be joined with.
    fn signal_total(&mut self, facts: &TelemetryFacts, request: &Request) -> Changes {
        if self.signals.counted.insert(facts.own) {
            *self.signals.totals.entry(request.model.clone()).or_default() += request.tokens;
        }
        let models = self.signals.totals.iter().map(|(model, tokens)| ModelTotal {
            model: model.clone(),
            tokens: *tokens,
            ..ModelTotal::default()
        });
        let total = CostState {
            session_id: self.session_id.clone(),
            at_ns: facts.at_ns - facts.at_ns % HOUR_NS,
            start_ns: start_of(&self.session_id),
            models: models.collect(),
        };
        Changes { cost_states: vec![total], ..Changes::default() }
    }
}
