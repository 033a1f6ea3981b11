//! Whose transcript a file is, from its name alone.

/// What a file's name tells.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    /// The session; none where the name tells none, and the lines must.
    pub session_id: Option<String>,
    /// The subagent.
    pub agent_id: Option<String>,
}

/// Longest id, in bytes: more is nobody's.
const MAX_ID: usize = 128;

/// `<session>.jsonl`; `<session>/subagents/…/agent-<id>.jsonl` and `.meta.json`; older clients laid `agent-<id>.jsonl`
/// beside the sessions. A session's name is a UUID: what is named otherwise may be a copy under any name.
pub(super) fn of(path: &[u8]) -> Named {
    let path = String::from_utf8_lossy(path);
    let mut parts = path.rsplit('/').filter(|p| !p.is_empty());
    let Some(file) = parts.next() else { return Named::default() };
    let Some(stem) = file.strip_suffix(".meta.json").or_else(|| file.strip_suffix(".jsonl")) else {
        return Named::default();
    };
    match stem.strip_prefix("agent-").filter(|id| !id.is_empty() && id.len() <= MAX_ID) {
        Some(agent) => {
            let parts: Vec<&str> = parts.collect();
            let session = parts.iter().position(|p| *p == "subagents").and_then(|i| parts.get(i + 1));
            Named {
                session_id: session.filter(|id| id.len() <= MAX_ID).map(|id| (*id).to_owned()),
                agent_id: Some(agent.to_owned()),
            }
        }
        None => {
            Named { session_id: uuid::Uuid::try_parse(stem).is_ok().then(|| stem.to_owned()), agent_id: None }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(path: &str) -> (Option<String>, Option<String>) {
        let named = of(path.as_bytes());
        (named.session_id, named.agent_id)
    }

    #[test]
    fn names_tell_sessions_and_subagents() {
        let id = "c4aea1f3-66f1-45dc-b211-c365079e7020";
        let session = || Some(id.to_owned());
        let agent = || Some("a06".to_owned());
        assert_eq!(named(&format!("/h/projects/-p/{id}.jsonl")), (session(), None));
        assert_eq!(named(&format!("{id}.jsonl")), (session(), None));
        assert_eq!(named(&format!("/h/-p/{id}/subagents/agent-a06.jsonl")), (session(), agent()));
        assert_eq!(named(&format!("/h/-p/{id}/subagents/w/agent-a06.meta.json")), (session(), agent()));
        assert_eq!(named("/h/-p/agent-a06.jsonl"), (None, agent()));
        assert_eq!(named("/h/-p/backup.jsonl"), (None, None));
        assert_eq!(named("/h/-p/agent-.jsonl"), (None, None));
        assert_eq!(named(""), (None, None));
    }
}
