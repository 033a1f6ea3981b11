//! A session's tree: turns, agents, model calls and tool calls with their parents, worked out from its state.
//!
//! Rules, each from what hooks, headers and bodies say, never from "the most recent":
//! - a model or tool call's parent is the agent it happened in: the subagent that its header or hook names,
//!   else the turn's root;
//! - a subagent's parent is the call whose response names it; where none does (it never returned), the one
//!   call of its parent agent with the very prompt that its first request opens with;
//! - a tool call's turn is its hook's `prompt_id`; a main-thread call's the prompt submitted last before it
//!   (the hook is synchronous, so this order is exact); a subagent's the prompt it was started under;
//! - a tool call's status is its closing hook's; denied and interrupted calls have none, so the result that
//!   the next request brings decides; what then stays open after its turn is an interrupted call.

use std::collections::{BTreeMap, HashMap};

use ccd_proto::api;
use ccd_store::Locator;

use super::cost::Sum;
use super::ids;
use super::links::link_agents;
use super::session::{Agent, At, Call, SessionState, Tool, ToolEnd};
use super::turns::TurnFrame;
use crate::clock::rfc3339;

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
}

/// A span, and where its content stands.
#[derive(Clone, Debug, Default)]
pub struct SpanView {
    /// The span, without content.
    pub span: api::Span,
    /// Start, nanoseconds since the Unix epoch.
    pub start_ns: u64,
    /// What went in.
    pub input: Option<ContentRef>,
    /// What came out.
    pub output: Option<ContentRef>,
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
    pub fn view(&self) -> SessionView {
        Builder::new(self).build()
    }
}

struct Builder<'a> {
    state: &'a SessionState,
    turns: Vec<TurnFrame>,
    /// The call that started each subagent.
    started_by: HashMap<&'a str, &'a str>,
    spans: Vec<SpanView>,
}

impl<'a> Builder<'a> {
    fn new(state: &'a SessionState) -> Self {
        Builder { state, turns: state.turn_frames(), started_by: link_agents(state), spans: Vec::new() }
    }

    fn build(mut self) -> SessionView {
        for i in 0..self.turns.len() {
            let root = self.root_span(i);
            self.spans.push(root);
        }
        for (id, agent) in self.state.agents.iter().filter(|(_, a)| a.real) {
            let span = self.agent_span(id, agent);
            self.spans.push(span);
        }
        for call in self.state.calls.values().filter(|c| c.facts.row.purpose().is_model_call()) {
            let span = self.call_span(call);
            self.spans.push(span);
        }
        for (id, tool) in self.state.visible_tools() {
            let span = self.tool_span(id, tool);
            self.spans.push(span);
        }
        self.sum_up();
        let turns = self.turn_rows();
        self.spans.sort_by(|a, b| {
            let rank = |s: &SpanView| match (s.span.kind.as_str(), s.span.parent_id.is_none()) {
                ("agent", true) => 0,
                ("agent", false) => 1,
                _ => 2,
            };
            (a.start_ns, rank(a), &a.span.span_id).cmp(&(b.start_ns, rank(b), &b.span.span_id))
        });
        SessionView { turns, spans: self.spans }
    }

    /// The turn that was open at a time: the one that started last before it, else the first.
    fn turn_at(&self, ns: u64) -> usize {
        self.turns.iter().rposition(|t| t.start <= ns).unwrap_or(0)
    }

    fn turn_named(&self, id: Option<&str>) -> Option<usize> {
        let id = id?;
        self.turns.iter().position(|t| t.id == id)
    }

    fn turn_of_agent(&self, id: &str) -> usize {
        let agent = self.state.agents.get(id);
        let named = agent.and_then(|a| self.turn_named(a.prompt_id.as_ref().map(|(_, p)| p.as_str())));
        // Without a hook's word: the turn of the call that started it, else of its first request.
        named
            .or_else(|| {
                let tool = self.state.tools.get(*self.started_by.get(id)?)?;
                let asked = tool.requested.map(|((ns, _), _)| ns).or(tool.start.map(|(ns, _)| ns))?;
                self.turn_named(tool.prompt_id.as_deref()).or_else(|| Some(self.turn_at(asked)))
            })
            .unwrap_or_else(|| {
                let first = self.calls_of_agent(id).map(|c| c.facts.row.started_ns).min();
                self.turn_at(first.or(agent.and_then(|a| a.start).map(|(ns, _)| ns)).unwrap_or(0))
            })
    }

    fn calls_of_agent(&self, id: &str) -> impl Iterator<Item = &'a Call> {
        self.state.calls.values().filter(move |c| c.facts.row.agent_id.as_deref() == Some(id))
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

    fn root_span(&self, turn: usize) -> SpanView {
        let t = &self.turns[turn];
        let mut span = self.span(turn, None, "agent", "invoke_agent main".into(), t.start);
        span.span_id = ids::span(&self.state.session_id, "turn", &t.id);
        span.duration_ms = t.end.map(|end| millis(t.start, end));
        span.status = if t.status == "interrupted" { "error" } else { t.status }.into();
        span.error = t.error.clone().or_else(|| (t.status == "interrupted").then(|| "interrupted".into()));
        span.summary.clone_from(&t.prompt);
        span.sources = vec![if self.state.prompts.is_empty() { "proxy" } else { "hook" }.into()];
        SpanView { span, start_ns: t.start, input: t.input.clone(), output: t.output.clone() }
    }

    fn agent_span(&self, id: &str, agent: &Agent) -> SpanView {
        let calls: Vec<&Call> = self.calls_of_agent(id).collect();
        let first = calls.iter().min_by_key(|c| c.facts.row.started_ns);
        let last = calls.iter().max_by_key(|c| c.facts.row.ended_ns());
        let tools = || self.state.tools.values().filter(|t| t.agent_id.as_deref() == Some(id));
        let start_ns = agent
            .start
            .map(|(ns, _)| ns)
            .or_else(|| first.map(|c| c.facts.row.started_ns))
            .or_else(|| tools().filter_map(|t| t.start.map(|(ns, _)| ns)).min())
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
        let over = agent.stop.as_ref().map(|((ns, _), _)| *ns).or_else(|| {
            // Its calls say so where no hook does: a last answer that asks for no tool.
            let last = last?;
            let row = &last.facts.row;
            let done = row.complete && row.stop_reason.as_deref() != Some("tool_use");
            (done && agent.start.is_none()).then(|| row.ended_ns())
        });
        // Its call failed or was interrupted, and no hook tells of the subagent itself.
        let starter_end = tool.and_then(|t| match t.outcome() {
            ("error" | "denied", _, end) => end,
            _ => None,
        });
        (span.status, span.duration_ms) = match over {
            Some(end) => ("ok".into(), Some(millis(start_ns, end))),
            None if starter_end.is_some() => {
                span.error = Some("interrupted with the call that started it".into());
                ("error".into(), starter_end.map(|end| millis(start_ns, end)))
            }
            None if self.state.ended() => {
                span.error = Some("the session ended before it did".into());
                ("error".into(), last.map(|c| millis(start_ns, c.facts.row.ended_ns())))
            }
            None => ("running".into(), None),
        };
        span.sources = sources(agent.start.is_some() || agent.stop.is_some(), !calls.is_empty());
        let input = tool.map(|t| tool_input(starter.unwrap_or(""), t)).unwrap_or_default();
        let hook_output = agent.stop.as_ref().map(|((_, record), _)| *record);
        let output = match (hook_output, last) {
            (Some(record), _) => Some(ContentRef { record, part: Part::Hook("last_assistant_message") }),
            (None, Some(c)) => Some(ContentRef { record: c.record, part: Part::Blocks }),
            (None, None) => None,
        };
        SpanView { span, start_ns, input, output }
    }

    fn turn_of_call(&self, call: &Call) -> usize {
        match call.facts.row.agent_id.as_deref() {
            Some(agent) => self.turn_of_agent(agent),
            None => self.turn_at(call.facts.row.started_ns),
        }
    }

    fn call_span(&self, call: &Call) -> SpanView {
        let row = &call.facts.row;
        let turn = self.turn_of_call(call);
        let model = row.model.as_deref().unwrap_or("unknown");
        let agent = row.agent_id.as_deref();
        let mut span = self.span(turn, agent, "llm", format!("chat {model}"), row.started_ns);
        span.span_id = ids::span(&self.state.session_id, "llm", &ids::exchange(row.id));
        span.parent_id = self.parent(turn, agent);
        span.duration_ms = Some(row.end_us / 1000);
        let failed = row.error.is_some() || !row.complete;
        span.status = if failed { "error" } else { "ok" }.into();
        span.error = row.error.clone().or_else(|| failed.then(|| "the response was cut".into()));
        span.summary = call.facts.text.clone().or_else(|| {
            let names: Vec<&str> = call.facts.tool_uses.iter().map(|t| t.name.as_str()).collect();
            (!names.is_empty()).then(|| format!("→ {}", names.join(", ")))
        });
        span.model.clone_from(&row.model);
        span.purpose = Some(row.purpose.clone());
        span.exchange_id = Some(ids::exchange(row.id));
        span.tokens = row.tokens;
        span.cost_usd_micros = row.cost.map(|c| i64::try_from(c).unwrap_or(i64::MAX));
        span.reasoning = (row.thinking_blocks > 0).then(|| row.reasoning());
        span.sources = vec!["proxy".into()];
        SpanView {
            span,
            start_ns: row.started_ns,
            input: Some(ContentRef { record: call.record, part: Part::NewMessages }),
            output: Some(ContentRef { record: call.record, part: Part::Blocks }),
        }
    }

    fn tool_span(&self, id: &str, tool: &Tool) -> SpanView {
        let requested = tool.requested;
        let start_ns = tool
            .start
            .or(requested.map(|(at, _)| at))
            .or(tool.batch.as_ref().map(|(at, _, _)| *at))
            .or(tool.end.as_ref().map(|(at, _)| *at))
            .map_or(self.state.first_ns, |(ns, _)| ns);
        let agent = tool.agent_id.as_deref();
        // A subagent may outlive its turn; what it does belongs to the tree that it hangs in.
        let turn = agent
            .map(|a| self.turn_of_agent(a))
            .or_else(|| self.turn_named(tool.prompt_id.as_deref()))
            .unwrap_or_else(|| self.turn_at(start_ns));
        let mut span = self.span(turn, agent, "tool", format!("execute_tool {}", tool.name), start_ns);
        span.span_id = ids::span(&self.state.session_id, "tool", id);
        span.parent_id = self.parent(turn, agent);
        span.tool_use_id = Some(id.to_owned());
        span.tool_name = Some(tool.name.clone());
        span.summary.clone_from(&tool.summary);
        span.execution_ms = tool.execution_ms;
        span.requested_by =
            requested.map(|(_, call)| ids::span(&self.state.session_id, "llm", &ids::exchange(call)));
        let (status, error, end) = tool.outcome();
        span.duration_ms = end.map(|end| millis(start_ns, end));
        (span.status, span.error) = (status.into(), error);
        let turn_over = self.turns.get(turn).is_some_and(|t| t.status != "running");
        if status == "running" && (self.state.ended() || agent.map_or(turn_over, |a| !self.is_running(a))) {
            span.status = "error".into();
            span.error = Some("interrupted: nothing tells of its end".into());
        }
        let hooked = tool.start.is_some() || tool.end.is_some() || tool.batch.is_some();
        span.sources = sources(hooked, requested.is_some() || tool.result.is_some());
        let output = match (&tool.end, &tool.batch, &tool.result) {
            (Some(((_, record), end)), _, _) => {
                let member = match end {
                    ToolEnd::Ok => "tool_response",
                    ToolEnd::Failed(_) => "error",
                    ToolEnd::Denied(_) => "reason",
                };
                Some(ContentRef { record: *record, part: Part::Hook(member) })
            }
            (None, Some(((_, record), ..)), _) => {
                Some(ContentRef { record: *record, part: Part::Batch(id.to_owned()) })
            }
            (None, None, Some(((_, record), ..))) => {
                Some(ContentRef { record: *record, part: Part::ResultContent(id.to_owned()) })
            }
            (None, None, None) => None,
        };
        SpanView { span, start_ns, input: tool_input(id, tool), output }
    }

    /// Whether a subagent is still at work, as its span says.
    fn is_running(&self, agent: &str) -> bool {
        self.spans.iter().any(|s| {
            s.span.kind == "agent" && s.span.agent_id.as_deref() == Some(agent) && s.span.status == "running"
        })
    }

    /// Gives each agent the sum of its model calls and of the agents below it.
    fn sum_up(&mut self) {
        let parents: HashMap<String, String> = self
            .spans
            .iter()
            .filter_map(|s| Some((s.span.span_id.clone(), s.span.parent_id.clone()?)))
            .collect();
        let agents: HashMap<String, usize> = self
            .spans
            .iter()
            .enumerate()
            .filter(|(_, s)| s.span.kind == "agent")
            .map(|(i, s)| (s.span.span_id.clone(), i))
            .collect();
        let mut sums: BTreeMap<usize, Sum> = BTreeMap::new();
        for call in self.state.calls.values().filter(|c| c.facts.row.tokens.is_some()) {
            let id = ids::span(&self.state.session_id, "llm", &ids::exchange(call.facts.row.id));
            let mut at = parents.get(&id);
            // As many steps as there are spans at most: headers come from outside and may name a circle.
            for _ in 0..self.spans.len() {
                let Some(id) = at else { break };
                if let Some(agent) = agents.get(id) {
                    sums.entry(*agent).or_default().add(&call.facts.row);
                }
                at = parents.get(id);
            }
        }
        for i in agents.into_values() {
            let sum = sums.remove(&i).unwrap_or_default();
            self.spans[i].span.tokens = Some(sum.tokens);
            self.spans[i].span.cost_usd_micros = sum.cost_usd_micros();
        }
    }

    fn turn_rows(&self) -> Vec<api::Turn> {
        let mut rows: Vec<(api::Turn, Sum)> = self
            .turns
            .iter()
            .enumerate()
            .map(|(i, t)| {
                let turn = api::Turn {
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
                };
                (turn, Sum::default())
            })
            .collect();
        for call in self.state.calls.values() {
            let at = self.turn_of_call(call);
            if let Some((turn, sum)) = rows.get_mut(at)
                && call.facts.row.purpose().is_model_call()
            {
                turn.exchanges += 1;
                sum.add(&call.facts.row);
            }
        }
        let index: HashMap<String, usize> =
            self.turns.iter().enumerate().map(|(i, t)| (t.id.clone(), i)).collect();
        for view in &self.spans {
            let Some((turn, _)) = index.get(&view.span.turn_id).and_then(|i| rows.get_mut(*i)) else {
                continue;
            };
            match view.span.kind.as_str() {
                "tool" => {
                    turn.tool_calls += 1;
                    turn.tool_errors += u64::from(view.span.status == "error");
                }
                "agent" if view.span.agent_id.is_some() => turn.agents += 1,
                _ => {}
            }
        }
        rows.into_iter()
            .map(|(mut turn, sum)| {
                turn.tokens = sum.tokens;
                turn.cost_usd_micros = sum.cost_usd_micros();
                turn.cost = sum.display();
                turn
            })
            .collect()
    }
}

fn tool_input(id: &str, tool: &Tool) -> Option<ContentRef> {
    let hook: Option<At> = tool.start.or(tool.end.as_ref().map(|(at, _)| *at));
    match (hook, tool.requested) {
        (Some((_, record)), _) => Some(ContentRef { record, part: Part::Hook("tool_input") }),
        (None, Some(((_, record), _))) => Some(ContentRef { record, part: Part::UseInput(id.to_owned()) }),
        (None, None) => None,
    }
}

fn sources(hook: bool, proxy: bool) -> Vec<String> {
    let mut out = Vec::new();
    if hook {
        out.push("hook".into());
    }
    if proxy {
        out.push("proxy".into());
    }
    out
}

fn millis(from_ns: u64, to_ns: u64) -> u64 {
    to_ns.saturating_sub(from_ns) / 1_000_000
}
