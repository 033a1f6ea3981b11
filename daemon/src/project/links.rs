//! Which call started which subagent, and how a tool call ended: the two joins that no single source tells.

use std::collections::{HashMap, HashSet};

use super::request::is_denial;
use super::session::{SessionState, Tool, ToolEnd};
use super::telemetry::state::SignalTool;

/// Which call started which subagent.
pub(super) fn link_agents(state: &SessionState) -> HashMap<&str, &str> {
    let mut links: HashMap<&str, &str> = HashMap::new();
    for (id, agent) in &state.agents {
        let told = agent.started_by.as_ref().and_then(|tool| state.tools.get_key_value(tool));
        if let Some((tool, _)) = told {
            links.insert(id, tool);
        }
    }
    let mut tools: Vec<(&String, &Tool)> = state.tools.iter().collect();
    // An agent that is sent further messages is named by several calls: the first one started it.
    tools.sort_by_key(|(id, t)| (t.started(), *id));
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
    /// When it began, as far as anything tells: its hook, else the end of the answer that asked for it.
    pub(super) fn started(&self) -> Option<u64> {
        let asked = self.asked.as_ref().map(|a| a.at);
        let at = self.start.or(self.requested.map(|(at, _)| at)).or(asked);
        at.map(|(ns, _)| ns).or_else(|| self.signal.as_ref()?.started())
    }

    /// How it came out, in a word.
    pub(super) fn status(&self) -> &'static str {
        self.outcome_told().0
    }

    /// How it came out: in a word, what went wrong, and when it was over.
    pub(super) fn outcome(&self) -> (&'static str, Option<String>, Option<u64>) {
        let (status, why, end) = self.outcome_told();
        (status, why.cloned(), end)
    }

    fn outcome_told(&self) -> (&'static str, Option<&String>, Option<u64>) {
        // The model's own result tells a denial better than a batch's text does; and the transcript tells when it came.
        let line = self.answered.as_ref().map(|a| (a.at.0, a.is_error, a.denied, &a.preview));
        let sent =
            self.result.as_ref().map(|((ns, _), is_error, denied, text)| (*ns, *is_error, *denied, text));
        match (&self.end, line.or(sent), &self.batch) {
            (Some(((ns, _), ToolEnd::Ok)), _, _) => ("ok", None, Some(*ns)),
            (Some(((ns, _), ToolEnd::Denied(why))), _, _) => ("denied", Some(why), Some(*ns)),
            (Some(((ns, _), ToolEnd::Failed(why))), _, _) => ("error", Some(why), Some(*ns)),
            (None, Some((ns, is_error, denied, text)), batch) => {
                let end = batch.as_ref().map_or(ns, |((ns, _), ..)| *ns);
                match (is_error, denied || sent.is_some_and(|(_, _, denied, _)| denied)) {
                    (_, true) => ("denied", Some(text), Some(end)),
                    (true, false) => ("error", Some(text), Some(end)),
                    (false, false) => ("ok", None, Some(end)),
                }
            }
            (None, None, Some(((ns, _), is_error, text))) => {
                if is_denial(text) {
                    ("denied", Some(text), Some(*ns))
                } else if *is_error {
                    ("error", Some(text), Some(*ns))
                } else {
                    ("ok", None, Some(*ns))
                }
            }
            (None, None, None) => self.signal.as_ref().map_or(("running", None, None), SignalTool::outcome),
        }
    }
}
