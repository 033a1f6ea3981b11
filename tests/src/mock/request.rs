//! Reads what of a request decides its answer: which conversation it belongs to, and how far that is.
//!
//! Only text that a user (or the parent of a subagent) wrote is searched for markers; what tools returned is
//! not, so a marker in a file or a command never takes a conversation over. What makes a conversation turn is searched for
//! in everything that the model did not say itself.

use serde_json::Value;

use super::script::Conversation;

/// Where a request stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Index of the conversation.
    pub(crate) conversation: usize,
    /// Index of its turning, and the text that made it turn; none: it goes its usual course.
    pub(crate) turning: Option<(usize, String)>,
    /// Number of assistant messages since its marker, or since what made it turn.
    pub(crate) step: usize,
}

/// Finds the conversation whose marker stands latest in `body`'s messages.
pub(crate) fn place(body: &Value, conversations: &[Conversation]) -> Option<Place> {
    let messages = body["messages"].as_array()?;
    let last_with = |marker: &str| {
        let says = |m: &Value| m["role"] == "user" && texts(m).iter().any(|text| text.contains(marker));
        messages.iter().rposition(says)
    };
    let markers = conversations.iter().enumerate();
    let (at, conversation) = markers.filter_map(|(n, c)| Some((last_with(&c.marker)?, n))).max()?;
    let turned = turned(&messages[at..], &conversations[conversation]);
    let since = turned.as_ref().map_or(at, |(after, ..)| at + after);
    let step = messages[since..].iter().filter(|m| m["role"] == "assistant").count();
    Some(Place { conversation, turning: turned.map(|(_, n, seen)| (n, seen)), step })
}

/// The turning that was told last: after how many messages, which, and what was told.
fn turned(messages: &[Value], conversation: &Conversation) -> Option<(usize, usize, String)> {
    let first_with = |sees: &str| {
        messages.iter().enumerate().find_map(|(at, message)| Some((at, told(message, sees)?.to_owned())))
    };
    let turnings = conversation.turnings.iter().enumerate();
    turnings
        .filter_map(|(n, turning)| first_with(&turning.sees).map(|(at, seen)| (at, n, seen)))
        .max_by_key(|(at, n, _)| (*at, *n))
}

/// What a message that is not the model's own says with this text in it.
fn told<'a>(message: &'a Value, sees: &str) -> Option<&'a str> {
    if message["role"] == "assistant" {
        return None;
    }
    let results = message["content"].as_array().into_iter().flatten();
    let results = results.filter(|block| block["type"] == "tool_result").flat_map(texts);
    texts(message).into_iter().chain(results).find(|text| text.contains(sees))
}

/// The text of a message, or of a tool's result: as one string or as blocks.
fn texts(of: &Value) -> Vec<&str> {
    match &of["content"] {
        Value::String(text) => vec![text],
        Value::Array(blocks) => blocks.iter().filter_map(|block| block["text"].as_str()).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::reply;
    use serde_json::json;

    fn conversation(marker: &str) -> Conversation {
        Conversation::new(marker, [reply()])
    }

    fn at(conversation: usize, step: usize) -> Place {
        Place { conversation, turning: None, step }
    }

    #[test]
    fn the_latest_marker_wins_and_steps_count_from_it() {
        let body = json!({"messages": [
            {"role": "user", "content": [{"type": "text", "text": "do FIRST"}]},
            {"role": "assistant", "content": []},
            {"role": "user", "content": [{"type": "tool_result", "content": "SECOND"}]},
            {"role": "assistant", "content": []},
        ]});
        let both = [conversation("FIRST"), conversation("SECOND")];
        assert_eq!(place(&body, &both), Some(at(0, 2)));

        let mut resumed = body.clone();
        resumed["messages"].as_array_mut().unwrap().push(json!({"role": "user", "content": "now SECOND"}));
        assert_eq!(place(&resumed, &both), Some(at(1, 0)));
        assert_eq!(place(&body, &[conversation("NONE")]), None);
        assert_eq!(place(&json!({}), &both), None);
    }

    #[test]
    fn what_is_told_turns_a_conversation_and_steps_count_from_there() {
        let result =
            |text: Value| json!({"role": "user", "content": [{"type": "tool_result", "content": text}]});
        let said = |text: &str| json!({"role": "assistant", "content": [{"type": "text", "text": text}]});
        let start = [json!({"role": "user", "content": "FIRST"}), said("no, NEVER")];
        let turns = [conversation("FIRST").turning("no,", [reply()]).turning("stop", [reply()])];
        let place = |more: &[Value]| {
            let messages = [&start[..], more].concat();
            super::place(&json!({"messages": messages}), &turns)
        };
        let turned = |turning: usize, seen: &str, step| {
            Some(Place { conversation: 0, turning: Some((turning, seen.into())), step })
        };
        assert_eq!(place(&[]), Some(at(0, 1)), "its own words turn nothing");
        assert_eq!(place(&[result(json!("no, because"))]), turned(0, "no, because", 0));
        let blocks = json!([{"type": "text", "text": "well"}, {"type": "text", "text": "no, thanks"}]);
        assert_eq!(place(&[result(blocks)]), turned(0, "no, thanks", 0));
        let both = [
            result(json!("no, once")),
            said("a"),
            result(json!("no, twice")),
            said("b"),
            json!({"role": "system", "content": "stop it"}),
        ];
        assert_eq!(place(&both[..4]), turned(0, "no, once", 2), "counted from the first time");
        assert_eq!(place(&both), turned(1, "stop it", 0), "the last that was told");
    }
}
