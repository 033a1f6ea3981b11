//! Which ids lead to a session: those of its turns, spans, agents and tool calls.

use crate::project::compactions::{span_of_hook, span_of_line};
use crate::project::foreign::{Told, Trace, message_of};
use crate::project::hook::HookKind as K;
use crate::project::ids;
use crate::project::pairs::span_of;
use crate::project::session::Fact;
use crate::project::telemetry::Kind;
use crate::project::transcript::{LineKind, TranscriptFacts};

/// Ids by which `show ID` finds the session of a turn, span, agent or tool call.
pub(super) fn look_ups(session: &str, fact: &Fact) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut tool = |id: &str| {
        found.push(ids::span(session, "tool", id));
        found.push(id.to_owned());
    };
    match fact {
        Fact::Hook(hook) => {
            match &hook.kind {
                K::ToolStart(call)
                | K::ToolOk { call, .. }
                | K::ToolFailed { call, .. }
                | K::ToolDenied { call, .. } => tool(&call.tool_use_id),
                K::Compacting { .. } | K::Compacted { .. } => found.push(span_of_hook(session, hook.at_ns)),
                K::ToolBatch { calls } => calls.iter().for_each(|(call, ..)| tool(&call.tool_use_id)),
                _ => {}
            }
            if let Some(turn) = &hook.prompt_id {
                found.extend([turn.clone(), ids::trace(session, turn), ids::span(session, "turn", turn)]);
            }
            if let Some(agent) = &hook.agent_id {
                found.extend([agent.clone(), ids::span(session, "agent", agent)]);
            }
        }
        Fact::Exchange(facts) => {
            facts.tool_uses.iter().for_each(|t| tool(&t.id));
            let id = ids::exchange(facts.row.id);
            found.push(ids::span(session, "llm", &id));
            if let Some(message) = &facts.row.message_id {
                let request = facts.row.request_id.as_deref().unwrap_or("");
                found.push(span_of(session, message, request));
            }
            // Without hooks, an exchange that opens a turn gives the turn its id.
            found.extend([ids::trace(session, &id), ids::span(session, "turn", &id)]);
            if let Some(agent) = &facts.row.agent_id {
                found.extend([agent.clone(), ids::span(session, "agent", agent)]);
            }
        }
        Fact::Transcript(facts) => of_lines(session, facts, &mut found),
        Fact::Telemetry(facts) => {
            if let Some(id) = &facts.tool_use_id {
                tool(id);
            }
            if let Some(id) = &facts.prompt_id {
                found.extend([id.clone(), ids::trace(session, id), ids::span(session, "turn", id)]);
            }
            if let Some(id) = &facts.agent_id {
                found.extend([id.clone(), ids::span(session, "agent", id)]);
            }
            if let (Kind::Request(_), Some(id)) = (&facts.kind, &facts.request_id) {
                found.push(span_of(session, "", id));
            }
        }
        Fact::Foreign(told) => match &**told {
            Told::Same(_, fact) => return look_ups(session, fact),
            Told::Trace(trace) => {
                let Trace { hook, billed, .. } = &**trace;
                found = look_ups(session, &Fact::Hook(Box::new(hook.clone())));
                found.extend(billed.as_ref().map(|billed| span_of(session, &message_of(billed), "")));
            }
        },
    }
    found
}

fn of_lines(session: &str, facts: &TranscriptFacts, found: &mut Vec<String>) {
    // Lines come in runs: what one named, the next names again.
    let (mut turn, mut agent, mut message) = (None, None, None);
    for line in &facts.lines {
        let own = match &line.kind {
            LineKind::Prompt(prompt) => prompt.own_id.as_ref(),
            _ => None,
        };
        if let Some(id) = line.prompt_id.as_ref().or(own)
            && turn.replace(id) != Some(id)
        {
            found.extend([id.clone(), ids::trace(session, id), ids::span(session, "turn", id)]);
        }
        if let Some(id) = facts.agent_id.as_ref().or(line.agent_id.as_ref())
            && agent.replace(id) != Some(id)
        {
            found.extend([id.clone(), ids::span(session, "agent", id)]);
        }
        if let LineKind::Compacted(_) = &line.kind {
            found.push(span_of_line(session, line.uuid));
        }
        if let LineKind::Answer(answer) = &line.kind {
            let id = (&answer.message_id, answer.request_id.as_deref().unwrap_or(""));
            if message.replace(id) != Some(id) {
                found.push(span_of(session, id.0, id.1));
            }
            for used in &answer.tool_uses {
                found.extend([ids::span(session, "tool", &used.id), used.id.clone()]);
            }
        }
    }
}
