//! A session's tree: turns, agents, model calls and tool calls with their parents, worked out from its state.
//!
//! Rules, each from what hooks, headers and bodies say, never from "the most recent":
//! - a model or tool call's parent is the agent it happened in: the subagent that its header, hook or file names,
//!   else the turn's root;
//! - a subagent's parent is the call that the file beside its transcript names, or whose response names it; where
//!   neither does (it never returned), the one call of its parent agent with the very prompt that its first request
//!   opens with;
//! - a tool call's turn is its hook's or line's `prompt_id`; a main-thread model call's the prompt that its transcript
//!   has it behind, else the one submitted last before it (the hook is synchronous, so this order is exact); a
//!   subagent's the prompt it was started under;
//! - a tool call's status is its closing hook's; denied and interrupted calls have none, so the result in the
//!   transcript or in the next request decides; what then stays open after its turn is an interrupted call;
//! - what a model call was billed is told once, by its span; agents and turns have the sums of their spans.

mod compaction;

use std::collections::{HashMap, HashSet};

use ccd_proto::api;
use ccd_store::Locator;

use super::exchange;
use super::foreign::PISAMA;
use super::ids;
use super::links::link_agents;
use super::messages::MessageId;
use super::origin::{sources, tool_input, tool_output};
use super::pairs::ModelCall;
use super::price::Prices;
use super::session::{Agent, SessionState, Tool};
use super::turns::TurnFrame;
use crate::clock::rfc3339;

const INTERRUPTED: &str = "interrupted";
const WITH_ITS_CALL: &str = "interrupted with the call that started it";
const OUTLIVED: &str = "the session ended before it did";
const NO_END: &str = "interrupted: nothing tells of its end";
const CUT: &str = "the response was cut";

/// Whether an error is told in our own words: nothing that was captured says it.
#[must_use]
pub fn is_own_wording(error: &str) -> bool {
    [INTERRUPTED, WITH_ITS_CALL, OUTLIVED, NO_END, CUT].contains(&error) || exchange::is_own_wording(error)
}

/// Where a piece of a span's content stands: a record, and what of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentRef {
    /// The record.
    pub record: Locator,
    /// What of it.
    pub part: Part,
}

/// A part of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A member of a hook's payload.
    Hook(&'static str),
    /// A tool's response within a `PostToolBatch` payload.
    Batch(String),
    /// A request's new messages.
    NewMessages,
    /// A response's content blocks.
    Blocks,
    /// The input of a call within a response.
    UseInput(String),
    /// The content of a result within a request.
    ResultContent(String),
    /// The content of the message in the line of a transcript that begins here.
    Line(u64),
    /// The content blocks of a message over its lines.
    Lines(Vec<(Locator, u64)>),
    /// The messages of several lines.
    NewLines(Vec<(Locator, u64)>),
    /// The input of a call within the line that begins here.
    LineInput(u64, String),
    /// The content of a result within the line that begins here.
    LineResult(u64, String),
}

/// A span, and where its content stands.
#[derive(Clone, Debug, Default)]
pub struct SpanView {
    /// The span, without content.
    pub span: api::Span,
    /// Start, nanoseconds since the Unix epoch.
    pub start_ns: u64,
    /// End, likewise; none while it runs, or where nothing tells of it.
    pub end_ns: Option<u64>,
    /// What went in.
    pub input: Option<ContentRef>,
    /// What came out.
    pub output: Option<ContentRef>,
    /// Of a model call: the API's message id and request id, by which what it was billed is known.
    pub billed: Option<(String, Option<String>)>,
}

/// A session, seen whole.
#[derive(Clone, Debug, Default)]
pub struct SessionView {
    /// Turns, oldest first.
    pub turns: Vec<api::Turn>,
    /// Spans, in order of their start.
    pub spans: Vec<SpanView>,
}

impl SessionState {
    /// The whole tree.
    #[must_use]
    pub fn view(&self, prices: &Prices) -> SessionView {
        let Some(shadow) = self.shadow() else { return Builder::new(self, prices).build() };
        let mut view = Builder::new(&shadow, prices).build();
        for view in &mut view.spans {
            view.span.sources = vec![PISAMA.to_owned()];
        }
        view
    }
}

struct Builder<'a> {
    state: &'a SessionState,
    prices: &'a Prices,
    calls: Vec<ModelCall<'a>>,
    /// The model calls of each subagent.
    of_agent: HashMap<&'a str, Vec<usize>>,
    /// The span of each exchange and each message.
    by_exchange: HashMap<[u8; 16], usize>,
    by_message: HashMap<&'a MessageId, usize>,
    /// Of those that telemetry tells of.
    by_request: HashMap<&'a str, usize>,
    turns: Vec<TurnFrame>,
    turn_index: HashMap<String, usize>,
    /// The call that started each subagent.
    started_by: HashMap<&'a str, &'a str>,
    running: HashSet<&'a str>,
    /// The exchange that each repetition repeats.
    repeats: HashMap<[u8; 16], [u8; 16]>,
    spans: Vec<SpanView>,
}

impl<'a> Builder<'a> {
    fn new(state: &'a SessionState, prices: &'a Prices) -> Self {
        let calls = state.model_calls();
        let turns = state.turn_frames(&calls);
        let mut of_agent: HashMap<&str, Vec<usize>> = HashMap::new();
        for (i, call) in calls.iter().enumerate() {
            if let Some(agent) = call.agent_id() {
                of_agent.entry(agent).or_default().push(i);
            }
        }
        let exchanges = calls.iter().enumerate().filter_map(|(i, c)| Some((c.call?.facts.row.id, i)));
        let messages = calls.iter().enumerate().filter_map(|(i, c)| Some((&**c.message?.0, i)));
        let told = calls.iter().enumerate().filter_map(|(i, c)| Some((c.told?.0, i)));
        let (by_exchange, by_message, by_request) = (exchanges.collect(), messages.collect(), told.collect());
        Builder {
            state,
            prices,
            of_agent,
            by_exchange,
            by_message,
            by_request,
            calls,
            turn_index: turns.iter().enumerate().map(|(i, t)| (t.id.clone(), i)).collect(),
            turns,
            started_by: link_agents(state),
            running: HashSet::new(),
            repeats: state.attempts.repeated().collect(),
            spans: Vec::new(),
        }
    }

    fn build(mut self) -> SessionView {
        for (id, agent) in self.state.agents.iter().filter(|(_, a)| a.real) {
            let span = self.agent_span(id, agent);
            if span.span.status == "running" {
                self.running.insert(id);
            }
            self.spans.push(span);
        }
        let mut seen_by_proxy = vec![false; self.turns.len()];
        for call in &self.calls {
            let span = self.call_span(call);
            if call.call.is_some()
                && let Some(seen) =
                    self.turn_named(Some(&span.span.turn_id)).and_then(|i| seen_by_proxy.get_mut(i))
            {
                *seen = true;
            }
            self.spans.push(span);
        }
        for (id, tool) in self.state.visible_tools() {
            let span = self.tool_span(id, tool);
            self.spans.push(span);
        }
        for compaction in self.state.compactions.unseen(&self.state.session_id, &self.calls) {
            let span = self.compaction_span(&compaction);
            self.spans.push(span);
        }
        for (i, proxy) in seen_by_proxy.into_iter().enumerate() {
            let root = self.root_span(i, proxy);
            self.spans.push(root);
        }
        self.spans.sort_by(|a, b| {
            let rank = |s: &SpanView| match (s.span.kind.as_str(), s.span.parent_id.is_none()) {
                ("agent", true) => 0,
                ("agent", false) => 1,
                _ => 2,
            };
            (a.start_ns, rank(a), &a.span.span_id).cmp(&(b.start_ns, rank(b), &b.span.span_id))
        });
        let turns = self.turn_rows();
        let mut view = SessionView { turns, spans: self.spans };
        view.sum_up();
        view
    }

    /// The turn that was open at a time: the one that started last before it, else the first.
    fn turn_at(&self, ns: u64) -> usize {
        self.turns.partition_point(|t| t.start <= ns).saturating_sub(1)
    }

    fn turn_named(&self, id: Option<&str>) -> Option<usize> {
        self.turn_index.get(id?).copied()
    }

    fn turn_of_agent(&self, id: &str) -> usize {
        let agent = self.state.agents.get(id);
        let named = agent.and_then(|a| self.turn_named(a.prompt_id.as_ref().map(|(_, p)| p.as_str())));
        // Without a word of it: the turn of the call that started it, else of its first request.
        named
            .or_else(|| {
                let tool = self.state.tools.get(*self.started_by.get(id)?)?;
                let asked = tool.requested.map(|((ns, _), _)| ns).or(tool.started())?;
                self.turn_named(tool.prompt_id.as_deref()).or_else(|| Some(self.turn_at(asked)))
            })
            .unwrap_or_else(|| {
                let first = self.calls_of_agent(id).map(ModelCall::start_ns).min();
                let told = agent.and_then(|a| a.start.map(|(ns, _)| ns).or(a.lines.map(|(first, _)| first)));
                self.turn_at(first.or(told).unwrap_or(0))
            })
    }

    fn calls_of_agent(&self, id: &str) -> impl Iterator<Item = &ModelCall<'a>> {
        self.of_agent.get(id).into_iter().flatten().filter_map(|i| self.calls.get(*i))
    }

    fn span(
        &self,
        turn: usize,
        agent_id: Option<&str>,
        kind: &str,
        name: String,
        start_ns: u64,
    ) -> api::Span {
        let session = &self.state.session_id;
        let turn_id = self.turns.get(turn).map_or("", |t| t.id.as_str());
        api::Span {
            trace_id: ids::trace(session, turn_id),
            session_id: session.clone(),
            turn_id: turn_id.to_owned(),
            agent_id: agent_id.map(str::to_owned),
            agent_type: agent_id.and_then(|a| self.state.agent_type(a)).map(str::to_owned),
            kind: kind.into(),
            name,
            started_at: rfc3339(start_ns),
            ..api::Span::default()
        }
    }

    /// The agent span that something happened in.
    fn parent(&self, turn: usize, agent_id: Option<&str>) -> Option<String> {
        let session = &self.state.session_id;
        match agent_id {
            Some(agent) => Some(ids::span(session, "agent", agent)),
            None => self.turns.get(turn).map(|t| ids::span(session, "turn", &t.id)),
        }
    }

    fn root_span(&self, turn: usize, proxy: bool) -> SpanView {
        let t = &self.turns[turn];
        let mut span = self.span(turn, None, "agent", "invoke_agent main".into(), t.start);
        span.span_id = ids::span(&self.state.session_id, "turn", &t.id);
        span.duration_ms = t.end.map(|end| millis(t.start, end));
        span.status = if t.status == "interrupted" { "error" } else { t.status }.into();
        span.error = t.error.clone().or_else(|| (t.status == "interrupted").then(|| INTERRUPTED.into()));
        span.summary.clone_from(&t.prompt);
        let prompt = self.state.prompts.get(&t.id);
        let told = prompt
            .is_some_and(|p| p.told.is_some() || p.answered || p.error.is_some() || p.interrupted.is_some());
        let hooks = prompt.into_iter().flat_map(|p| {
            let stop = p.stop.as_ref().map(|(at, _)| *at);
            [p.submitted, stop, p.failure.as_ref().map(|(at, _)| *at)]
        });
        let hooks =
            self.state.told_by("hook", prompt.is_some_and(|p| p.hooked), hooks.flatten().map(|(_, at)| at));
        // A turn whose beginning is lost is told of by its messages.
        let lost = if prompt.is_none() && self.state.lines.any { self.calls.as_slice() } else { &[] };
        let lost = lost.iter().filter_map(|call| call.message);
        let lines = lost.flat_map(|(_, message)| message.lines.iter().map(|line| line.at.0));
        let asked = prompt.and_then(|p| Some(p.told.as_ref()?.at.1));
        let told = self.state.told_by("transcript", told, lines.chain(asked));
        span.sources = sources(hooks, proxy, told, prompt.is_some_and(|p| p.signalled.is_some()));
        SpanView {
            span,
            start_ns: t.start,
            end_ns: t.end,
            input: t.input.clone(),
            output: t.output.clone(),
            ..SpanView::default()
        }
    }

    fn agent_span(&self, id: &str, agent: &Agent) -> SpanView {
        let calls: Vec<&ModelCall<'_>> = self.calls_of_agent(id).collect();
        let first = calls.iter().map(|c| c.start_ns()).min();
        let last = calls.iter().max_by_key(|c| c.end_ns());
        let tools = || self.state.tools.values().filter(|t| t.agent_id.as_deref() == Some(id));
        let told = agent.lines.map(|(first, _)| first);
        let start_ns = agent
            .start
            .map(|(ns, _)| ns)
            .or_else(|| first.into_iter().chain(told).min())
            .or_else(|| tools().filter_map(|t| t.start.map(|(ns, _)| ns)).min())
            .or(agent.signalled.map(|(_, from)| from))
            .unwrap_or(self.state.first_ns);
        let turn = self.turn_of_agent(id);
        let kind = agent.kind.as_deref().filter(|t| !t.is_empty()).unwrap_or("subagent");
        let mut span = self.span(turn, Some(id), "agent", format!("invoke_agent {kind}"), start_ns);
        span.span_id = ids::span(&self.state.session_id, "agent", id);
        let starter = self.started_by.get(id).copied();
        span.parent_id = match starter {
            Some(tool) => Some(ids::span(&self.state.session_id, "tool", tool)),
            // Not told (yet): under the agent that its header names, else under the turn.
            None => self.parent(turn, agent.parent_agent_id.as_deref()),
        };
        let tool = starter.and_then(|t| self.state.tools.get(t));
        span.summary = tool.and_then(|t| t.summary.clone());
        let last_line = agent.lines.map(|(_, last)| last);
        let over = agent.stop.as_ref().map(|((ns, _), _)| *ns).or_else(|| {
            // What it said last tells so where no hook does: an answer that asks for no tool.
            let last = last.filter(|c| c.is_final() && (c.message.is_some() || agent.start.is_none()));
            let signalled = agent.signalled.map(|((ns, _), _)| ns);
            last.map(|c| c.end_ns()).or(last_line.filter(|_| agent.finished)).or(signalled)
        });
        let stopped = agent.interrupted.map(|ns| (ns, INTERRUPTED.to_owned()));
        let broken = agent.error.clone().into_iter().chain(stopped).max();
        let broken = broken.filter(|(ns, _)| agent.stop.is_none() && over.is_none_or(|over| over <= *ns));
        // Its call failed or was interrupted, and nothing tells of the subagent itself.
        let starter_end = tool.and_then(|t| match t.outcome() {
            ("error" | "denied", _, end) => end,
            _ => None,
        });
        let (status, end_ns) = match (broken, over) {
            (Some((ns, error)), _) => {
                span.error = Some(error);
                ("error", Some(ns))
            }
            (None, Some(end)) => ("ok", Some(end)),
            (None, None) if starter_end.is_some() => {
                span.error = Some(WITH_ITS_CALL.into());
                ("error", starter_end)
            }
            (None, None) if self.state.ended() => {
                span.error = Some(OUTLIVED.into());
                ("error", last.map(|c| c.end_ns()).or(last_line))
            }
            (None, None) => ("running", None),
        };
        (span.status, span.duration_ms) = (status.into(), end_ns.map(|end| millis(start_ns, end)));
        let seen = calls.iter().any(|c| c.call.is_some());
        let hooks = [agent.start, agent.stop.as_ref().map(|(at, _)| *at)];
        let hooks = self.state.told_by("hook", false, hooks.into_iter().flatten().map(|(_, at)| at));
        let told =
            self.state.told_by("transcript", agent.lines.is_some(), agent.asked.map(|((_, at), _)| at));
        span.sources = sources(hooks, seen, told, agent.signalled.is_some());
        let asked = agent.asked.map(|((_, record), line)| ContentRef { record, part: Part::Line(line) });
        let input = tool.and_then(|t| tool_input(starter.unwrap_or(""), t)).or(asked);
        let hook_output = agent.stop.as_ref().map(|((_, record), _)| *record);
        let output = match (hook_output, last) {
            (Some(record), _) => Some(ContentRef { record, part: Part::Hook("last_assistant_message") }),
            (None, Some(c)) => c.output(),
            (None, None) => None,
        };
        SpanView { span, start_ns, end_ns, input, output, ..SpanView::default() }
    }

    fn turn_of_call(&self, call: &ModelCall<'_>) -> usize {
        match call.agent_id() {
            Some(agent) => self.turn_of_agent(agent),
            None => self
                .turn_named(call.message.and_then(|(_, m)| m.prompt_id.as_deref()))
                .or_else(|| self.turn_named(call.told?.1.prompt_id.as_deref()))
                .unwrap_or_else(|| self.turn_at(call.start_ns())),
        }
    }

    fn call_span(&self, call: &ModelCall<'_>) -> SpanView {
        let turn = self.turn_of_call(call);
        let model = call.model().unwrap_or("unknown");
        let agent = call.agent_id();
        let start_ns = call.start_ns();
        let mut span = self.span(turn, agent, "llm", format!("chat {model}"), start_ns);
        span.span_id.clone_from(&call.span_id);
        span.parent_id = self.parent(turn, agent);
        span.duration_ms = Some(millis(start_ns, call.end_ns()));
        span.status = "ok".into();
        if let Some(call) = call.call {
            let row = &call.facts.row;
            let failed = row.error.is_some() || !row.complete;
            span.duration_ms = Some(row.end_us / 1000);
            span.status = if failed { "error" } else { "ok" }.into();
            span.error = row.error.clone().or_else(|| failed.then(|| CUT.into()));
            span.exchange_id = Some(ids::exchange(row.id));
            span.ttfb_ms = row.ttfb_us.map(|us| us / 1000);
            let repeated = self.repeats.get(&row.id).and_then(|id| self.by_exchange.get(id));
            span.retry_of = repeated.and_then(|i| Some(self.calls.get(*i)?.span_id.clone()));
        }
        span.ttfb_ms = span.ttfb_ms.or_else(|| call.told?.1.request.ttft_ms);
        span.asked_by = call.told.map(|(_, told)| told.request.asked_by.clone()).filter(|by| !by.is_empty());
        span.client_usd_micros =
            call.told.and_then(|(_, told)| i64::try_from(told.request.client_micros?).ok());
        span.stop_reason = call.stop_reason().map(str::to_owned);
        span.summary = call.text().map(str::to_owned).or_else(|| {
            let names = self.tool_names(call);
            (!names.is_empty()).then(|| format!("→ {}", names.join(", ")))
        });
        span.model = call.model().map(str::to_owned);
        span.purpose = Some(call.purpose().as_str().to_owned());
        span.tokens = call.tokens();
        span.cost_usd_micros = call.cost(self.prices).map(|c| i64::try_from(c).unwrap_or(i64::MAX));
        span.reasoning = Some(call.reasoning()).filter(|r| r.blocks > 0);
        let lines = call.message.map(|(_, m)| m.lines.iter()).into_iter().flatten().map(|line| line.at.0);
        let told = self.state.told_by("transcript", call.message.is_some(), lines);
        span.sources = sources(Vec::new(), call.call.is_some(), told, call.told.is_some());
        let billed = call.billed().filter(|_| span.tokens.is_some());
        let end_ns = Some(call.end_ns());
        SpanView { span, start_ns, end_ns, input: call.input(), output: call.output(), billed }
    }

    fn tool_names(&self, call: &ModelCall<'a>) -> Vec<&'a str> {
        let told = call.call.map(|c| c.facts.tool_uses.iter().map(|t| t.name.as_str()));
        let lines = call.message.map(|(_, m)| m.tool_uses.iter()).into_iter().flatten();
        match told {
            Some(told) => told.collect(),
            None => lines.filter_map(|id| Some(self.state.tools.get(id)?.name.as_str())).collect(),
        }
    }

    fn tool_span(&self, id: &str, tool: &Tool) -> SpanView {
        let start_ns = tool
            .started()
            .or(tool.batch.as_ref().map(|((ns, _), ..)| *ns))
            .or(tool.end.as_ref().map(|((ns, _), _)| *ns))
            .or(tool.answered.as_ref().map(|a| a.at.0))
            .unwrap_or(self.state.first_ns);
        let agent = tool.agent_id.as_deref();
        // A subagent may outlive its turn; what it does belongs to the tree that it hangs in.
        let turn = agent
            .map(|a| self.turn_of_agent(a))
            .or_else(|| self.turn_named(tool.prompt_id.as_deref()))
            .unwrap_or_else(|| self.turn_at(start_ns));
        let signal = tool.signal.as_ref();
        let name = signal.map(|s| &s.name).filter(|_| tool.name.is_empty()).unwrap_or(&tool.name);
        let mut span = self.span(turn, agent, "tool", format!("execute_tool {name}"), start_ns);
        span.span_id = ids::span(&self.state.session_id, "tool", id);
        span.parent_id = self.parent(turn, agent);
        span.tool_use_id = Some(id.to_owned());
        span.tool_name = Some(name.clone());
        span.summary = tool.summary.clone().or_else(|| signal?.summary.clone());
        span.execution_ms = tool.execution_ms.or_else(|| signal?.ms);
        if let Some((_, accepted, by)) = signal.and_then(|s| s.decided.as_ref()) {
            span.decision = Some(if *accepted { "accept" } else { "reject" }.into());
            span.decided_by = Some(by.clone());
        }
        let asking = tool.requested.and_then(|(_, call)| self.by_exchange.get(&call));
        let asking = asking.or_else(|| self.by_message.get(&*tool.asked.as_ref()?.message));
        let asking = asking.or_else(|| self.by_request.get(signal?.request_id.as_deref()?));
        span.requested_by = asking.and_then(|i| Some(self.calls.get(*i)?.span_id.clone()));
        let (status, error, end) = tool.outcome();
        span.duration_ms = end.map(|end| millis(start_ns, end));
        (span.status, span.error) = (status.into(), error);
        let turn_over = self.turns.get(turn).is_some_and(|t| t.status != "running");
        let over = agent.map_or(turn_over, |a| !self.running.contains(a));
        if status == "running" && (self.state.ended() || over) {
            span.status = "error".into();
            span.error = Some(NO_END.into());
        }
        let closed = tool.end.as_ref().map(|(at, _)| *at);
        let hooks = [tool.start, closed, tool.batch.as_ref().map(|(at, ..)| *at)];
        let hooks = self.state.told_by("hook", false, hooks.into_iter().flatten().map(|(_, at)| at));
        let lines = [tool.asked.as_ref().map(|a| a.at.1), tool.answered.as_ref().map(|a| a.at.1)];
        let told = self.state.told_by("transcript", false, lines.into_iter().flatten());
        let seen = tool.requested.is_some() || tool.result.is_some();
        span.sources = sources(hooks, seen, told, signal.is_some());
        let output = tool_output(id, tool);
        SpanView { span, start_ns, end_ns: end, input: tool_input(id, tool), output, ..SpanView::default() }
    }

    fn turn_rows(&self) -> Vec<api::Turn> {
        let turns = self.turns.iter().enumerate();
        turns
            .map(|(i, t)| api::Turn {
                turn_id: t.id.clone(),
                trace_id: ids::trace(&self.state.session_id, &t.id),
                session_id: self.state.session_id.clone(),
                number: i as u64 + 1,
                prompt: t.prompt.clone(),
                source: if t.machine { "machine" } else { "user" }.into(),
                started_at: rfc3339(t.start),
                duration_ms: t.end.map(|end| millis(t.start, end)),
                status: t.status.into(),
                error: t.error.clone(),
                result: t.result.clone(),
                ..api::Turn::default()
            })
            .collect()
    }
}

fn millis(from_ns: u64, to_ns: u64) -> u64 {
    to_ns.saturating_sub(from_ns) / 1_000_000
}
