//! Which ids lead to a session: those of its turns, spans, agents and tool calls.

use crate::project::hook::HookKind as K;
use crate::project::ids;
use crate::project::session::Fact;

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
            // Without hooks, an exchange that opens a turn gives the turn its id.
            found.extend([ids::trace(session, &id), ids::span(session, "turn", &id)]);
            if let Some(agent) = &facts.row.agent_id {
                found.extend([agent.clone(), ids::span(session, "agent", agent)]);
            }
        }
        Fact::Transcript(_) => {}
    }
    found
}
