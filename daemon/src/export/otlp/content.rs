//! Prompts, answers and tools' values as the conventions' JSON: messages of a role and parts.
//!
//! Takes values that were redacted whole, and cuts afterwards: a text after [`MAX_TEXT`] bytes, and more of it where an
//! attribute would be longer than [`MAX_ATTRIBUTE`]; then the oldest messages go. A cut is marked `…[N bytes cut]`, and
//! what comes out is JSON of the right shape however much was cut. Pictures are told by their type and size.

use serde_json::{Map, Value, json};

use super::Level;

/// Bytes of one text.
pub(super) const MAX_TEXT: usize = 16 << 10;
/// Bytes of one attribute.
pub(super) const MAX_ATTRIBUTE: usize = 64 << 10;
/// Below so many bytes, texts are not cut further to save the whole.
const LEAST: usize = 256;

/// Messages of the API's shape (`role`, `content`).
pub(super) fn messages(value: &Value, level: Level) -> Vec<Value> {
    let mut all = Vec::new();
    for message in value.as_array().into_iter().flatten() {
        let role = message.get("role").and_then(Value::as_str).unwrap_or("user");
        all.extend(of_role(role, message.get("content").unwrap_or(&Value::Null), level));
    }
    all
}

/// One message: a text, content blocks, or a tool's input that has a prompt. Results of tools become messages of their own.
pub(super) fn of_role(role: &str, content: &Value, level: Level) -> Vec<Value> {
    let (mut said, mut results) = (Vec::new(), Vec::new());
    match content {
        Value::String(text) => said.extend(text_part("text", text)),
        Value::Array(blocks) => {
            for block in blocks {
                let is_result = kind(block).ends_with("tool_result");
                if is_result { &mut results } else { &mut said }.extend(part(block, level));
            }
        }
        Value::Object(input) => {
            said.extend(input.get("prompt").and_then(Value::as_str).and_then(|text| text_part("text", text)));
        }
        _ => {}
    }
    let message = |role: &str, parts: Vec<Value>| json!({"role": role, "parts": parts});
    let results = (!results.is_empty()).then(|| message("tool", results));
    results.into_iter().chain((!said.is_empty()).then(|| message(role, said))).collect()
}

/// An answer, with why it ended.
pub(super) fn answer(content: &Value, stop_reason: Option<&str>, level: Level) -> Vec<Value> {
    let mut all = of_role("assistant", content, level);
    for message in &mut all {
        if let Value::Object(members) = message {
            members.insert("finish_reason".to_owned(), Value::from(finish_reason(stop_reason)));
        }
    }
    all
}

/// A system prompt: a text, or a list of blocks.
pub(super) fn system(value: &Value) -> Vec<Value> {
    match value {
        Value::String(text) => text_part("text", text).into_iter().collect(),
        Value::Array(blocks) => blocks.iter().filter_map(|block| part(block, Level::Full)).collect(),
        _ => Vec::new(),
    }
}

fn finish_reason(stop_reason: Option<&str>) -> &str {
    match stop_reason {
        Some("tool_use") => "tool_call",
        Some("max_tokens" | "model_context_window_exceeded") => "length",
        Some("refusal") => "content_filter",
        None | Some("end_turn" | "stop_sequence") => "stop",
        Some(other) => other,
    }
}

fn kind(block: &Value) -> &str {
    block.get("type").and_then(Value::as_str).unwrap_or("")
}

fn text_part(kind: &str, text: &str) -> Option<Value> {
    (!text.is_empty()).then(|| json!({"type": kind, "content": text}))
}

fn part(block: &Value, level: Level) -> Option<Value> {
    let text = |name: &str| block.get(name).and_then(Value::as_str);
    let full = level >= Level::Full;
    match kind(block) {
        "text" => text_part("text", text("text")?),
        "thinking" => text_part("reasoning", text("thinking")?),
        "" | "redacted_thinking" => None,
        "tool_use" => {
            let mut call = json!({"type": "tool_call", "id": text("id"), "name": text("name").unwrap_or("")});
            if full && let (Value::Object(members), Some(input)) = (&mut call, block.get("input")) {
                members.insert("arguments".to_owned(), without_pictures(input));
            }
            Some(call)
        }
        "tool_result" if full => {
            let response = block.get("content").map_or(Value::Null, without_pictures);
            Some(json!({"type": "tool_call_response", "id": text("tool_use_id"), "response": response}))
        }
        "server_tool_use" => {
            let name = text("name").unwrap_or("");
            let mut call = Map::new();
            call.insert("type".to_owned(), Value::from(name));
            if full && let Some(input) = block.get("input") {
                call.insert("input".to_owned(), input.clone());
            }
            Some(
                json!({"type": "server_tool_call", "id": text("id"), "name": name, "server_tool_call": call}),
            )
        }
        _ => full.then(|| without_pictures(block)),
    }
}

/// A value with the bytes of pictures and documents left out.
pub(super) fn without_pictures(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let source = members.get("source").filter(|s| s.get("type").is_some_and(|t| t == "base64"));
            if let Some(source) = source {
                let bytes = source.get("data").and_then(Value::as_str).map_or(0, |data| data.len() / 4 * 3);
                let kind = members.get("type").cloned().unwrap_or_else(|| Value::from("image"));
                return json!({"type": kind, "mime_type": source.get("media_type"), "bytes": bytes});
            }
            Value::Object(members.iter().map(|(name, v)| (name.clone(), without_pictures(v))).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(without_pictures).collect()),
        other => other.clone(),
    }
}

/// Messages or parts as an attribute's JSON, of a bounded length.
pub(super) fn listed(mut all: Vec<Value>) -> Option<String> {
    if all.is_empty() {
        return None;
    }
    loop {
        let mut limit = MAX_TEXT;
        while limit >= LEAST {
            let cut: Vec<Value> = all.iter().map(|one| shortened(one, limit)).collect();
            let text = serde_json::to_string(&cut).unwrap_or_default();
            if text.len() <= MAX_ATTRIBUTE {
                return Some(text);
            }
            limit /= 4;
        }
        if all.len() == 1 {
            // One message of very many parts, or of names without end.
            return Some("[]".to_owned());
        }
        all.drain(..all.len().div_ceil(2));
    }
}

/// A tool's value: a text as it is, anything else as JSON; of a bounded length.
pub(super) fn valued(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(cut(text, MAX_ATTRIBUTE)),
        other => {
            let other = without_pictures(other);
            let mut limit = MAX_TEXT;
            while limit >= LEAST {
                let text = shortened(&other, limit).to_string();
                if text.len() <= MAX_ATTRIBUTE {
                    return Some(text);
                }
                limit /= 4;
            }
            Some(cut(&other.to_string(), MAX_ATTRIBUTE))
        }
    }
}

fn shortened(value: &Value, most: usize) -> Value {
    match value {
        Value::String(text) if text.len() > most => Value::String(cut(text, most)),
        Value::Array(list) => Value::Array(list.iter().map(|v| shortened(v, most)).collect()),
        Value::Object(members) => {
            Value::Object(members.iter().map(|(name, v)| (name.clone(), shortened(v, most))).collect())
        }
        other => other.clone(),
    }
}

/// The beginning of a text of more than so many bytes, and how much is missing.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…[{} bytes cut]", &text[..end], text.len() - end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn messages_have_the_shape_of_the_conventions() {
        let told = json!([{"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": "rainy"},
            {"type": "text", "text": "and now?"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAAAAAA"}},
        ]}]);
        assert_eq!(
            messages(&told, Level::Full),
            [
                json!({"role": "tool", "parts": [{"type": "tool_call_response", "id": "t1", "response": "rainy"}]}),
                json!({"role": "user", "parts": [
                    {"type": "text", "content": "and now?"},
                    {"type": "image", "mime_type": "image/png", "bytes": 6},
                ]}),
            ]
        );
        assert_eq!(
            messages(&told, Level::Text),
            [json!({"role": "user", "parts": [{"type": "text", "content": "and now?"}]})]
        );
        let said = json!([
            {"type": "thinking", "thinking": "hm", "signature": "x"},
            {"type": "text", "text": "It rains."},
            {"type": "tool_use", "id": "t2", "name": "Bash", "input": {"command": "ls"}},
        ]);
        let parts = |level| answer(&said, Some("tool_use"), level).remove(0);
        assert_eq!(
            parts(Level::Full),
            json!({"role": "assistant", "finish_reason": "tool_call", "parts": [
                {"type": "reasoning", "content": "hm"},
                {"type": "text", "content": "It rains."},
                {"type": "tool_call", "id": "t2", "name": "Bash", "arguments": {"command": "ls"}},
            ]})
        );
        assert!(parts(Level::Text)["parts"][2].get("arguments").is_none());
    }

    #[test]
    fn long_texts_are_cut_with_a_mark_and_long_lists_lose_their_beginning() {
        let text = "ä".repeat(MAX_TEXT);
        let one = listed(of_role("user", &Value::from(text.as_str()), Level::Text)).unwrap();
        let value: Value = serde_json::from_str(&one).unwrap();
        let said = value[0]["parts"][0]["content"].as_str().unwrap();
        assert!(said.ends_with(&format!("…[{MAX_TEXT} bytes cut]")), "{}", &said[said.len() - 40..]);
        let many: Vec<Value> = (0..5_000).map(|n| json!({"role": "user", "parts": [{"n": n}]})).collect();
        let kept: Vec<Value> = serde_json::from_str(&listed(many).unwrap()).unwrap();
        assert_eq!(kept.last().unwrap()["parts"][0]["n"], 4_999);
        assert!(listed(Vec::new()).is_none());
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,40}".prop_map(Value::from),
            prop::sample::select(vec!["text", "thinking", "tool_use", "tool_result", "image"])
                .prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 5, |inner| {
            let name = prop::sample::select(vec!["type", "text", "content", "source", "role", "input", "x"]);
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((name, inner), 0..5)
                    .prop_map(|all| Value::Object(all.into_iter().map(|(n, v)| (n.to_owned(), v)).collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_was_captured_becomes_messages_of_a_bounded_length(value in json_value()) {
            for level in [Level::Text, Level::Full] {
                for all in [messages(&value, level), of_role("user", &value, level), answer(&value, None, level)] {
                    prop_assert!(all.iter().all(|m| m["role"].is_string() && m["parts"].is_array()));
                    let text = listed(all);
                    prop_assert!(text.is_none_or(|text| text.len() <= MAX_ATTRIBUTE));
                }
            }
            let _ = valued(&value);
        }
    }
}
