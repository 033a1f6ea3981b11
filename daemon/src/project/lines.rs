//! The transcripts' half of a session's state: messages by their ids, and where their lines stand.
//!
//! A message is told by several lines, in as many files as it was copied into, and perhaps by the proxy too. Its lines
//! are recognised by their own ids, so that telling them again changes nothing. What a message was sent with (the
//! results that came since the message before) is known by the order of lines in a file, and by nothing else: so the
//! stretches of one file must come in order, and a [`Tail`] remembers where each file stands.

use std::collections::BTreeMap;
use std::sync::Arc;

use ccd_store::Locator;

use super::charge::{self, CostState, ModelTotal, Observation, Source};
use super::messages::{LineOf, Message, MessageId, larger_name, max_tokens};
use super::session::{At, Changes, SessionState, fill, keep_max, keep_min};
use super::text::text_hash;
use super::transcript::{
    AgentMeta, Answer, Costs, LineFact, LineKind, PromptKind, ToolResult, TranscriptFacts,
};

/// The line that asks for a turn.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TurnLine {
    pub at: At,
    pub line: u64,
    pub kind: PromptKind,
    pub preview: String,
}

/// The line that asks for a call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Asked {
    pub at: At,
    pub line: u64,
    pub message: Arc<MessageId>,
    pub bytes: u64,
}

/// The line that brings a call's result.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Answered {
    pub at: At,
    pub line: u64,
    pub is_error: bool,
    pub denied: bool,
    pub preview: String,
}

/// What the message that comes next in a file is sent with.
#[derive(Clone, Debug, Default)]
struct Since {
    results: Vec<(String, u64)>,
    bytes: u64,
    lines: Vec<(Locator, u64)>,
    /// The latest of the prompts and results.
    ns: u64,
}

/// Where one agent's conversation stands in one file.
#[derive(Clone, Debug, Default)]
struct Tail {
    /// Where the first line stands that was not read yet.
    end: u64,
    last_ns: u64,
    prompt: Option<String>,
    /// Lines since the message.
    since: Since,
    /// The message, what it was sent with, and the prompt before it.
    current: Option<(Arc<MessageId>, Since, u64)>,
}

/// What the transcripts tell of a session.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines {
    pub messages: BTreeMap<Arc<MessageId>, Message>,
    tails: BTreeMap<(u64, Option<String>), Tail>,
    /// The latest compaction, and the tokens that it left.
    pub compacted: Option<(u64, u64)>,
    /// The git branch that was told last.
    pub branch: Option<(u64, String)>,
    /// Any line was read.
    pub any: bool,
}

impl Lines {
    pub(super) fn weight(&self) -> usize {
        self.messages.len() * 2 + self.tails.len()
    }

    /// The tail of an agent's conversation in a file. A copy that goes on where another file was read to goes on from
    /// there.
    fn tail(&mut self, file: u64, agent: Option<&String>, offset: u64) -> &mut Tail {
        let key = (file, agent.cloned());
        if !self.tails.contains_key(&key) {
            let other =
                self.tails.iter().find(|((_, a), t)| a.as_ref() == agent && t.end == offset && offset > 0);
            let tail = other.map(|(_, t)| t.clone()).unwrap_or_default();
            self.tails.insert(key.clone(), tail);
        }
        self.tails.entry(key).or_default()
    }
}

impl SessionState {
    /// Adds a stretch of a transcript.
    pub(super) fn apply_transcript(&mut self, facts: &TranscriptFacts, record: Locator) -> Changes {
        self.lines.any = true;
        if let (Some(meta), Some(agent)) = (&facts.meta, &facts.agent_id) {
            self.apply_meta(agent, meta);
        }
        if facts.last_ns > 0 {
            self.seen(facts.first_ns, facts.last_ns);
            self.alive_ns = self.alive_ns.max(facts.last_ns);
            if let Some(agent) = &facts.agent_id {
                self.agent_seen(agent, facts.first_ns, facts.last_ns);
            }
        }
        if let Some(cwd) = &facts.cwd {
            keep_min(&mut self.cwd, cwd.clone());
        }
        if let Some((ns, version)) = &facts.version {
            keep_max(&mut self.client, (*ns, format!("claude-code {version}")));
        }
        if let Some(branch) = &facts.branch {
            keep_max(&mut self.lines.branch, branch.clone());
        }
        if facts.offset == 0 {
            // From its beginning: whatever stood in the file before stands there no more.
            let old = self.lines.tails.keys().filter(|(file, _)| *file == facts.file).cloned();
            for key in old.collect::<Vec<_>>() {
                self.lines.tails.remove(&key);
            }
        }
        let mut reading = Reading { facts, record, observe: Vec::new(), changes: Changes::default() };
        for line in &facts.lines {
            self.apply_line(line, &mut reading);
        }
        let tail = self.lines.tail(facts.file, facts.agent_id.as_ref(), facts.offset);
        tail.last_ns = tail.last_ns.max(facts.last_ns);
        tail.end = tail.end.max(facts.offset.saturating_add(facts.size));
        let Reading { observe, mut changes, .. } = reading;
        changes.observed =
            observe.iter().filter_map(|(id, since, before)| self.observe(id, since, *before)).collect();
        changes
    }

    fn apply_meta(&mut self, id: &str, meta: &AgentMeta) {
        let agent = self.agents.entry(id.to_owned()).or_default();
        if let Some(kind) = &meta.agent_type {
            keep_min(&mut agent.kind, kind.clone());
        }
        if let Some(tool) = &meta.tool_use_id {
            keep_min(&mut agent.started_by, tool.clone());
        }
        fill(&mut agent.parent_agent_id, meta.parent_agent_id.as_ref());
        agent.finished |= meta.finished;
    }

    fn agent_seen(&mut self, id: &str, first_ns: u64, last_ns: u64) {
        let agent = self.agents.entry(id.to_owned()).or_default();
        agent.real = true;
        let (first, last) = agent.lines.unwrap_or((first_ns, last_ns));
        agent.lines = Some((first.min(first_ns), last.max(last_ns)));
    }

    fn apply_line(&mut self, line: &LineFact, reading: &mut Reading<'_>) {
        let facts = reading.facts;
        let agent = facts.agent_id.as_ref().or(line.agent_id.as_ref());
        if let (Some(id), None) = (agent, &facts.agent_id) {
            self.agent_seen(id, line.at_ns, line.at_ns);
        }
        let place = facts.place(line.at);
        let tail = self.lines.tail(facts.file, agent, facts.offset);
        let is_new = place >= tail.end;
        tail.end = tail.end.max(place.saturating_add(1));
        let ns = if line.at_ns == 0 { tail.last_ns } else { line.at_ns };
        tail.last_ns = tail.last_ns.max(ns);
        let own_id = match &line.kind {
            LineKind::Prompt(p) if opens(p.kind) && agent.is_none() => p.own_id.as_ref(),
            _ => None,
        };
        let prompt = line.prompt_id.as_ref().or(own_id).cloned();
        if is_new && prompt.is_some() {
            tail.prompt.clone_from(&prompt);
        }
        let prompt = prompt.or_else(|| tail.prompt.clone().filter(|_| is_new));
        if is_new
            && ns > 0
            && let Some(id) = &prompt
        {
            self.prompt(id, ns);
        }
        if let (Some(agent), Some(prompt)) = (agent, &prompt) {
            let agent = self.agents.entry(agent.clone()).or_default();
            keep_min(&mut agent.prompt_id, (ns, prompt.clone()));
        }
        let one = OneLine { line, ns, agent, prompt: prompt.as_deref(), is_new };
        match &line.kind {
            LineKind::Prompt(p) => self.apply_prompt(p, &one, reading),
            LineKind::Interrupted => match (agent, &prompt) {
                (Some(agent), _) => {
                    keep_max(&mut self.agents.entry(agent.clone()).or_default().interrupted, ns);
                }
                (None, Some(id)) => keep_max(&mut self.prompt(id, ns).interrupted, ns),
                (None, None) => {}
            },
            LineKind::ApiError(text) => match (agent, &prompt) {
                (Some(agent), _) => {
                    keep_max(&mut self.agents.entry(agent.clone()).or_default().error, (ns, text.clone()));
                }
                (None, Some(id)) => keep_max(&mut self.prompt(id, ns).error, (ns, text.clone())),
                (None, None) => {}
            },
            LineKind::Results(results) => self.apply_results(results, &one, reading),
            LineKind::Answer(answer) => self.apply_answer(answer, &one, reading),
            LineKind::Compacted(says) => {
                if let (Some(left), None) = (says.left, agent) {
                    keep_max(&mut self.lines.compacted, (ns, left));
                }
                self.compactions.line(line.uuid, (ns, reading.record), agent, *says);
            }
            LineKind::Fresh(bytes) => {
                if is_new {
                    let since = &mut self.lines.tail(facts.file, agent, facts.offset).since;
                    since.bytes = since.bytes.saturating_add(*bytes);
                }
            }
            LineKind::Costs(costs) => {
                keep_max(&mut self.ended_ns, ns);
                let at_ns = if ns == 0 { costs.start_ns } else { ns };
                reading.changes.cost_states.push(cost_state(&self.session_id, at_ns, costs));
            }
        }
    }

    fn apply_prompt(&mut self, p: &super::transcript::Prompt, one: &OneLine<'_>, reading: &mut Reading<'_>) {
        let (record, line) = (reading.record, one.line.at);
        let at = (one.ns, record);
        match (one.agent, one.prompt) {
            (Some(agent), _) => {
                keep_min(&mut self.agents.entry(agent.clone()).or_default().asked, (at, line));
            }
            (None, Some(id)) if opens(p.kind) => {
                let told = TurnLine { at, line, kind: p.kind, preview: p.preview.clone() };
                keep_min(&mut self.prompt(id, one.ns).told, told);
            }
            (None, Some(id)) if p.kind == PromptKind::Summary => {
                keep_max(&mut self.prompt(id, one.ns).compacted, at);
            }
            _ => {}
        }
        if one.is_new {
            let facts = reading.facts;
            let since = &mut self.lines.tail(facts.file, one.agent, facts.offset).since;
            since.ns = since.ns.max(one.ns);
            since.bytes = since.bytes.saturating_add(p.bytes);
            since.lines.push((record, line));
        }
    }

    fn apply_results(&mut self, results: &[ToolResult], one: &OneLine<'_>, reading: &mut Reading<'_>) {
        let (record, line) = (reading.record, one.line.at);
        for result in results {
            let tool = self.tools.entry(result.tool_use_id.clone()).or_default();
            let answered = Answered {
                at: (one.ns, record),
                line,
                is_error: result.is_error,
                denied: result.denied,
                preview: result.preview.clone(),
            };
            keep_min(&mut tool.answered, answered);
            fill(&mut tool.agent_id, one.agent);
            if let Some(prompt) = one.prompt {
                keep_min(&mut tool.prompt_id, prompt.to_owned());
            }
            if let Some(agent) = &result.started_agent {
                keep_min(&mut tool.started_agent, agent.clone());
            }
        }
        if one.is_new {
            let facts = reading.facts;
            let since = &mut self.lines.tail(facts.file, one.agent, facts.offset).since;
            since.ns = since.ns.max(one.ns);
            for result in results {
                since.bytes = since.bytes.saturating_add(result.bytes);
                since.results.push((result.tool_use_id.clone(), result.bytes));
            }
            since.lines.push((record, line));
        }
    }

    fn apply_answer(&mut self, answer: &Answer, one: &OneLine<'_>, reading: &mut Reading<'_>) {
        let (facts, record) = (reading.facts, reading.record);
        // What tells no time, and stands behind nothing that does, is not older than its file.
        let at_ns = if one.ns == 0 { facts.born_ns } else { one.ns };
        let id = MessageId {
            message: answer.message_id.clone(),
            request: answer.request_id.clone().unwrap_or_default(),
        };
        if let (None, Some(prompt)) = (one.agent, one.prompt) {
            self.prompt(prompt, one.ns).answered = true;
        }
        if let (Some(agent), Some(kind)) = (one.agent, &answer.agent_type) {
            keep_min(&mut self.agents.entry(agent.clone()).or_default().kind, kind.clone());
        }
        let tail = self.lines.tail(facts.file, one.agent, facts.offset);
        let mut opened = None;
        if one.is_new && tail.current.as_ref().is_none_or(|(current, ..)| **current != id) {
            let id = Arc::new(id.clone());
            opened = Some((std::mem::take(&mut tail.since), tail.current.take().map(|(id, ..)| id), id));
        }
        let before = opened.as_ref().and_then(|(_, before, _)| self.lines.messages.get(before.as_ref()?));
        let before = before.and_then(|m| m.tokens).map_or(0, |t| t.prompt());
        if let Some((since, _, id)) = opened {
            self.lines.tail(facts.file, one.agent, facts.offset).current = Some((id, since, before));
        }
        let tail = self.lines.tail(facts.file, one.agent, facts.offset);
        let known = tail.current.as_ref().filter(|(current, ..)| one.is_new && **current == id).cloned();
        let (key, since, before) = known.unwrap_or_else(|| (Arc::new(id), Since::default(), 0));

        let message = self.lines.messages.entry(Arc::clone(&key)).or_insert_with(|| Message {
            first_ns: at_ns,
            born_ns: facts.born_ns,
            ..Message::default()
        });
        message.first_ns = message.first_ns.min(at_ns);
        message.last_ns = message.last_ns.max(at_ns);
        message.born_ns = message.born_ns.min(facts.born_ns);
        fill(&mut message.agent_id, one.agent);
        if let Some(prompt) = one.prompt {
            fill(&mut message.prompt_id, Some(&prompt.to_owned()));
        }
        larger_name(&mut message.model, &answer.model);
        larger_name(&mut message.service_tier, &answer.service_tier);
        larger_name(&mut message.speed, &answer.speed);
        larger_name(&mut message.branch, &answer.branch);
        max_tokens(&mut message.tokens, answer.tokens);
        message.web_searches = message.web_searches.max(answer.web_searches);
        if let Some(reason) = &answer.stop_reason {
            keep_max(&mut message.stop_reason, (one.ns, reason.clone()));
        }
        if let Some(text) = &answer.text {
            keep_min(&mut message.text, ((record, one.line.at), text.clone()));
        }
        if !message.lines.iter().any(|l| l.uuid == one.line.uuid) {
            let line = LineOf {
                at: (record, one.line.at),
                uuid: one.line.uuid,
                thinking: answer.thinking,
                omitted: answer.omitted,
                bytes: answer.bytes,
            };
            let at = message.lines.partition_point(|l| *l < line);
            message.lines.insert(at, line);
        }
        if since.ns > 0 {
            keep_min(&mut message.start_ns, since.ns);
        }
        if message.input.is_empty() {
            message.input.clone_from(&since.lines);
        }
        for used in &answer.tool_uses {
            if !message.tool_uses.contains(&used.id) {
                message.tool_uses.push(used.id.clone());
            }
            let tool = self.tools.entry(used.id.clone()).or_default();
            if tool.name.is_empty() {
                tool.name.clone_from(&used.name);
            }
            fill(&mut tool.summary, used.summary.as_ref());
            fill(&mut tool.prompt_hash, used.prompt_hash.as_ref());
            fill(&mut tool.agent_id, one.agent);
            if let Some(prompt) = one.prompt {
                keep_min(&mut tool.prompt_id, prompt.to_owned());
            }
            let at = (one.ns, record);
            keep_min(
                &mut tool.asked,
                Asked { at, line: one.line.at, message: Arc::clone(&key), bytes: used.bytes },
            );
        }
        // The lines of a message stand together: it is told of once.
        if !reading.observe.iter().rev().take(8).any(|(id, ..)| *id == key) {
            reading.observe.push((key, since, before));
        }
    }

    /// What the transcripts say of a billed message.
    fn observe(&self, id: &Arc<MessageId>, since: &Since, before: u64) -> Option<Observation> {
        let message = self.lines.messages.get(id)?;
        let part = |id: &String, bytes: u64| charge::Part {
            tool_use_id: id.clone(),
            tool: self.tools.get(id).map(|t| t.name.clone()).unwrap_or_default(),
            bytes,
        };
        let asked = message.tool_uses.iter().map(|id| {
            let bytes = self.tools.get(id).and_then(|t| t.asked.as_ref()).map_or(0, |a| a.bytes);
            part(id, bytes)
        });
        Some(Observation {
            source: Source::Transcript,
            message_id: id.message.clone(),
            request: Some(id.request.clone()).filter(|r| !r.is_empty()),
            session_id: self.session_id.clone(),
            agent_id: message.agent_id.clone(),
            at_ns: message.first_ns,
            born_ns: message.born_ns,
            model: message.model.clone(),
            tokens: message.tokens?,
            web_searches: message.web_searches,
            service_tier: message.service_tier.clone(),
            speed: message.speed.clone(),
            branch: message.branch.clone(),
            purpose: message.purpose().as_str().to_owned(),
            cut: false,
            asked: asked.collect(),
            brought: since.results.iter().map(|(id, bytes)| part(id, *bytes)).collect(),
            answer_bytes: message.lines.iter().map(|l| l.bytes).sum(),
            fresh_bytes: since.bytes,
            previous_prompt: before,
        })
    }
}

/// Whether such a line may begin a turn.
fn opens(kind: PromptKind) -> bool {
    matches!(kind, PromptKind::Typed | PromptKind::Machine | PromptKind::Command)
}

fn cost_state(session_id: &str, at_ns: u64, costs: &Costs) -> CostState {
    let mut models: Vec<ModelTotal> = costs
        .models
        .iter()
        .map(|(model, tokens, web_searches, micros)| ModelTotal {
            model: model.clone(),
            tokens: *tokens,
            web_searches: *web_searches,
            micros: *micros,
        })
        .collect();
    models.sort_by(|a, b| a.model.cmp(&b.model));
    let start_ns = if costs.start_ns == 0 { own_start(session_id) } else { costs.start_ns };
    CostState { session_id: session_id.to_owned(), at_ns, start_ns, models }
}

/// Closing totals of one beginning are those of a session and its forks. Where the beginning is not told, this stands
/// for it: no other session's, beyond every clock's time, and none that stands for another recorder's totals.
fn own_start(session_id: &str) -> u64 {
    text_hash(session_id) >> 2 | 1 << 62
}

/// A stretch while it is read.
struct Reading<'a> {
    facts: &'a TranscriptFacts,
    record: Locator,
    observe: Vec<(Arc<MessageId>, Since, u64)>,
    changes: Changes,
}

/// A line while it is read.
struct OneLine<'a> {
    line: &'a LineFact,
    ns: u64,
    agent: Option<&'a String>,
    prompt: Option<&'a str>,
    /// It was not read before: what comes behind it is sent with it.
    is_new: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_totals_without_a_beginning_are_no_forks_of_each_other() {
        let of = |session: &str, start_ns| {
            cost_state(session, 5, &Costs { start_ns, duration_ns: 0, models: Vec::new() }).start_ns
        };
        assert_eq!(of("a", 7), 7);
        assert_eq!(of("a", 0), of("a", 0));
        assert_ne!(of("a", 0), of("b", 0));
        assert!(of("a", 0) >> 62 == 1, "between the clocks' times and the foreign totals'");
    }
}
