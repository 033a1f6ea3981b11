//! Reads what of a request decides its answer: which conversation it belongs to, and how far that is.
//!
//! Only text that a user (or the parent of a subagent) wrote is searched for markers; what tools returned is
//! not, so a marker in a file or a command never takes a conversation over.

use serde_json::Value;

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Index of the conversation.
    pub(crate) conversation: usize,
    /// Number of assistant messages since its marker.
    pub(crate) step: usize,
}

/// Finds the conversation whose marker stands latest in `body`'s messages.
pub(crate) fn place<'a>(body: &Value, markers: impl Iterator<Item = &'a str>) -> Option<Place> {
    let messages = body["messages"].as_array()?;
    let last_with = |marker: &str| messages.iter().rposition(|m| m["role"] == "user" && says(m, marker));
    let (at, conversation) =
        markers.enumerate().filter_map(|(n, marker)| Some((last_with(marker)?, n))).max()?;
    let step = messages[at..].iter().filter(|m| m["role"] == "assistant").count();
    Some(Place { conversation, step })
}

fn says(message: &Value, marker: &str) -> bool {
    match &message["content"] {
        Value::String(text) => text.contains(marker),
        Value::Array(blocks) => blocks.iter().any(|b| b["text"].as_str().is_some_and(|t| t.contains(marker))),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_latest_marker_wins_and_steps_count_from_it() {
        let body = json!({"messages": [
            {"role": "user", "content": [{"type": "text", "text": "do FIRST"}]},
            {"role": "assistant", "content": []},
            {"role": "user", "content": [{"type": "tool_result", "content": "SECOND"}]},
            {"role": "assistant", "content": []},
        ]});
        let markers = ["FIRST", "SECOND"];
        assert_eq!(place(&body, markers.into_iter()), Some(Place { conversation: 0, step: 2 }));

        let mut resumed = body.clone();
        resumed["messages"].as_array_mut().unwrap().push(json!({"role": "user", "content": "now SECOND"}));
        assert_eq!(place(&resumed, markers.into_iter()), Some(Place { conversation: 1, step: 0 }));
        assert_eq!(place(&body, ["NONE"].into_iter()), None);
        assert_eq!(place(&json!({}), markers.into_iter()), None);
    }
}
