//! Which call started which subagent, and how a tool call ended: the two joins that no single source tells.

use std::collections::{HashMap, HashSet};

use super::request::is_denial;
use super::session::{SessionState, Tool, ToolEnd};

/// Which call started which subagent.
pub(super) fn link_agents(state: &SessionState) -> HashMap<&str, &str> {
    let mut links: HashMap<&str, &str> = HashMap::new();
    let mut tools: Vec<(&String, &Tool)> = state.tools.iter().collect();
    // An agent that is sent further messages is named by several calls: the first one started it.
    tools.sort_by_key(|(id, t)| (t.start.or(t.requested.map(|(at, _)| at)), *id));
    for (tool_id, tool) in tools {
        if let Some((agent, _)) = tool.started_agent.as_deref().and_then(|a| state.agents.get_key_value(a)) {
            links.entry(agent).or_insert(tool_id);
        }
    }
    let mut taken: HashSet<&str> = links.values().copied().collect();
    for (agent_id, agent) in
        state.agents.iter().filter(|(id, a)| a.real && !links.contains_key(id.as_str())).collect::<Vec<_>>()
    {
        let first = state
            .calls
            .values()
            .filter(|c| c.facts.row.agent_id.as_deref() == Some(agent_id))
            .min_by_key(|c| c.facts.row.started_ns);
        let Some(first) = first else { continue };
        let mut with_prompt = state.tools.iter().filter(|(id, t)| {
            !taken.contains(id.as_str())
                && t.agent_id == agent.parent_agent_id
                && t.prompt_hash.is_some_and(|h| first.facts.text_hashes.contains(&h))
        });
        // Two open calls with the same prompt cannot be told apart yet: better no link than a wrong one.
        if let (Some((tool_id, _)), None) = (with_prompt.next(), with_prompt.next()) {
            links.insert(agent_id, tool_id);
            taken.insert(tool_id);
        }
    }
    links
}

impl Tool {
    /// Status, why, and when it ended.
    pub(super) fn outcome(&self) -> (&'static str, Option<String>, Option<u64>) {
        // The model's own result tells a denial better than a batch's text does.
        let result = self.result.as_ref();
        match (&self.end, result, &self.batch) {
            (Some(((ns, _), ToolEnd::Ok)), _, _) => ("ok", None, Some(*ns)),
            (Some(((ns, _), ToolEnd::Denied(why))), _, _) => ("denied", Some(why.clone()), Some(*ns)),
            (Some(((ns, _), ToolEnd::Failed(why))), _, _) => ("error", Some(why.clone()), Some(*ns)),
            (None, Some(((ns, _), is_error, denied, text)), batch) => {
                let end = batch.as_ref().map_or(*ns, |((ns, _), ..)| *ns);
                match (*is_error, *denied) {
                    (_, true) => ("denied", Some(text.clone()), Some(end)),
                    (true, false) => ("error", Some(text.clone()), Some(end)),
                    (false, false) => ("ok", None, Some(end)),
                }
            }
            (None, None, Some(((ns, _), is_error, text))) => {
                if is_denial(text) {
                    ("denied", Some(text.clone()), Some(*ns))
                } else if *is_error {
                    ("error", Some(text.clone()), Some(*ns))
                } else {
                    ("ok", None, Some(*ns))
                }
            }
            (None, None, None) => ("running", None, None),
        }
    }
}
