//! The texts in a captured value: what a person would look for, one after the other.
//!
//! Numbers count as texts. Names of members do not, nor what no person writes or reads: images in base64, signatures of
//! reasoning, what the API encrypts, and the words by which the API tells its blocks apart.

use serde_json::{Map, Value};

/// Members whose texts nobody reads.
const SEALED: [&str; 4] = ["signature", "encrypted_content", "encrypted_index", "encrypted_stdout"];
/// Values of `type` that only say what the others are.
const TYPES: [&str; 14] = [
    "base64",
    "document",
    "ephemeral",
    "image",
    "message",
    "redacted_thinking",
    "server_tool_use",
    "text",
    "thinking",
    "tool_reference",
    "tool_result",
    "tool_use",
    "url",
    "web_search_tool_result",
];

/// Hands over every text of a value.
pub(super) fn each(value: &Value, found: &mut dyn FnMut(&str)) {
    match value {
        Value::String(text) => found(text),
        Value::Number(number) => found(&number.to_string()),
        Value::Array(items) => items.iter().for_each(|item| each(item, found)),
        Value::Object(members) => {
            for (name, member) in members {
                if !is_noise(name, member, members) {
                    each(member, found);
                }
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

fn is_noise(name: &str, member: &Value, members: &Map<String, Value>) -> bool {
    match name {
        "type" => member.as_str().is_some_and(|kind| TYPES.contains(&kind)),
        "data" => {
            let kind = members.get("type").and_then(Value::as_str);
            matches!(kind, Some("base64" | "redacted_thinking"))
        }
        _ => SEALED.contains(&name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_are_those_that_people_read() {
        let mut found = Vec::new();
        let value = json!([
            {"type": "text", "text": "one", "signature": "no"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "no"}},
            {"type": "bug", "data": "two", "n": 3.5, "none": null, "yes": true},
            {"type": "redacted_thinking", "data": "no"},
        ]);
        each(&value, &mut |text| found.push(text.to_owned()));
        assert_eq!(found, ["one", "image/png", "two", "3.5", "bug"]);
    }
}
