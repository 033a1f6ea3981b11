//! Puts a response of the Messages API together: from a stream of events, or from one JSON document.
//!
//! Every block type is kept, known or not: text, thinking with its signature, redacted thinking, tool calls,
//! server tools and their results, citations. A delta of an unknown type is kept beside its block. Total: any
//! JSON of any shape assembles to something; nothing is invented.

use ccd_proto::api::{Reasoning, Tokens};
use serde_json::{Map, Value, json};

use super::charge::MAX_COUNT;
use super::sse;

/// A response, put together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Assembled {
    /// The API's message object with its content blocks; null where the response holds none.
    pub message: Value,
    /// The API's own error, `type: message`.
    pub error: Option<String>,
    /// Whether the message came to its end (`message_stop`, or a whole JSON document).
    pub complete: bool,
}

impl Assembled {
    /// A string member of the message.
    #[must_use]
    pub fn text_of(&self, key: &str) -> Option<&str> {
        self.message.get(key)?.as_str()
    }

    /// The content blocks.
    #[must_use]
    pub fn content(&self) -> &[Value] {
        self.message.get("content").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// The tokens that the API billed, and how many web searches. `None` where it told none.
    #[must_use]
    pub fn usage(&self) -> Option<(Tokens, u64)> {
        let usage = self.message.get("usage")?.as_object()?;
        let count = |value: Option<&Value>| value.and_then(Value::as_u64).unwrap_or(0).min(MAX_COUNT);
        let n = |key: &str| count(usage.get(key));
        let split = usage.get("cache_creation").and_then(Value::as_object);
        let part = |key: &str| count(split.and_then(|s| s.get(key)));
        let hour = part("ephemeral_1h_input_tokens");
        // What nobody says was written for an hour was written for the default lifetime of 5 minutes.
        let five = n("cache_creation_input_tokens").saturating_sub(hour);
        let tokens = Tokens {
            input: n("input_tokens"),
            output: n("output_tokens"),
            cache_read: n("cache_read_input_tokens"),
            cache_write_5m: part("ephemeral_5m_input_tokens").max(five),
            cache_write_1h: hour,
        };
        let searches = count(usage.get("server_tool_use").and_then(|s| s.get("web_search_requests")));
        Some((tokens, searches))
    }

    /// The thinking blocks, with their text where `with_text` asks for it.
    #[must_use]
    pub fn reasoning(&self, with_text: bool) -> Reasoning {
        let mut out = Reasoning::default();
        let mut text = String::new();
        for block in self.content() {
            match block.get("type").and_then(Value::as_str) {
                Some("thinking") => {
                    out.blocks += 1;
                    let thinking = block.get("thinking").and_then(Value::as_str).unwrap_or("");
                    if thinking.is_empty() {
                        out.omitted += 1;
                    } else {
                        if !text.is_empty() {
                            text.push_str("\n\n");
                        }
                        text.push_str(thinking);
                    }
                }
                Some("redacted_thinking") => {
                    out.blocks += 1;
                    out.omitted += 1;
                }
                _ => {}
            }
        }
        if with_text && !text.is_empty() {
            out.text = Some(text);
        }
        out
    }

    /// The text blocks, joined.
    #[must_use]
    pub fn text(&self) -> String {
        let texts = self.content().iter().filter(|b| b.get("type").and_then(Value::as_str) == Some("text"));
        texts.filter_map(|b| b.get("text")?.as_str()).collect::<Vec<_>>().join("\n\n")
    }
}

/// Assembles a whole JSON document: a message, or an error.
#[must_use]
pub fn from_json(body: &[u8]) -> Assembled {
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return Assembled::default() };
    match value.get("type").and_then(Value::as_str) {
        Some("message") => Assembled { message: value, error: None, complete: true },
        Some("error") => Assembled { message: Value::Null, error: Some(error_text(&value)), complete: true },
        // `count_tokens` and others: a whole document, but no message.
        _ => Assembled { message: Value::Null, error: None, complete: true },
    }
}

/// Assembles a stream.
#[must_use]
pub fn from_stream(body: &[u8]) -> Assembled {
    let mut a = Assembler::default();
    for event in sse::Events::new(body) {
        if let Ok(data) = serde_json::from_slice::<Value>(&event.data) {
            a.event(event.name, data);
        }
    }
    a.finish()
}

#[derive(Default)]
struct Assembler {
    message: Option<Map<String, Value>>,
    blocks: Vec<Block>,
    error: Option<String>,
    stopped: bool,
}

/// A content block under way. Its index is the API's; blocks may interleave.
struct Block {
    index: u64,
    value: Map<String, Value>,
    /// `input_json_delta`s: a tool's input arrives as text and is parsed at the end.
    input: String,
}

impl Assembler {
    fn event(&mut self, name: &[u8], mut data: Value) {
        // The type in the data is authoritative; the event's name repeats it.
        let kind = data.get("type").and_then(Value::as_str).map(str::to_owned);
        let kind = kind.unwrap_or_else(|| String::from_utf8_lossy(name).into_owned());
        match kind.as_str() {
            "message_start" => {
                if let Some(Value::Object(message)) = data.get_mut("message").map(Value::take) {
                    self.message = Some(message);
                }
            }
            "content_block_start" => {
                let index = data.get("index").and_then(Value::as_u64).unwrap_or(0);
                if let Some(Value::Object(value)) = data.get_mut("content_block").map(Value::take) {
                    self.blocks.retain(|b| b.index != index);
                    self.blocks.push(Block { index, value, input: String::new() });
                }
            }
            "content_block_delta" => {
                let index = data.get("index").and_then(Value::as_u64).unwrap_or(0);
                let delta = data.get_mut("delta").map(Value::take);
                if let (Some(Value::Object(delta)), Some(block)) =
                    (delta, self.blocks.iter_mut().find(|b| b.index == index))
                {
                    block.delta(delta);
                }
            }
            "message_delta" => {
                let message = self.message.get_or_insert_default();
                if let Some(Value::Object(delta)) = data.get_mut("delta").map(Value::take) {
                    message.extend(delta);
                }
                if let Some(Value::Object(usage)) = data.get_mut("usage").map(Value::take) {
                    let so_far = message.entry("usage").or_insert_with(|| json!({}));
                    if let Value::Object(so_far) = so_far {
                        // Counts are cumulative; null says nothing and must not erase what was said.
                        so_far.extend(usage.into_iter().filter(|(_, v)| !v.is_null()));
                    }
                }
                // Members beside `delta` and `usage`, such as `context_management`.
                if let Value::Object(rest) = data {
                    for (key, value) in rest {
                        if !matches!(key.as_str(), "type" | "delta" | "usage") {
                            message.insert(key, value);
                        }
                    }
                }
            }
            "message_stop" => self.stopped = true,
            "error" => self.error = Some(error_text(&data)),
            _ => {}
        }
    }

    fn finish(mut self) -> Assembled {
        let message = self.message.take().map_or(Value::Null, |mut message| {
            self.blocks.sort_by_key(|b| b.index);
            let content = self.blocks.into_iter().map(Block::finish).collect();
            message.insert("content".into(), Value::Array(content));
            Value::Object(message)
        });
        Assembled { message, complete: self.stopped && self.error.is_none(), error: self.error }
    }
}

impl Block {
    fn delta(&mut self, mut delta: Map<String, Value>) {
        let kind = delta.get("type").and_then(Value::as_str).unwrap_or("").to_owned();
        let mut append = |member: &str| {
            if let Some(Value::String(more)) = delta.get(member) {
                match self.value.get_mut(member) {
                    Some(Value::String(text)) => text.push_str(more),
                    _ => {
                        self.value.insert(member.into(), Value::String(more.clone()));
                    }
                }
            }
        };
        match kind.as_str() {
            "text_delta" => append("text"),
            "thinking_delta" => append("thinking"),
            "signature_delta" => append("signature"),
            "input_json_delta" => {
                if let Some(Value::String(more)) = delta.get("partial_json") {
                    self.input.push_str(more);
                }
            }
            "citations_delta" => {
                if let Some(citation) = delta.remove("citation") {
                    self.list("citations").push(citation);
                }
            }
            _ => self.list("unknown_deltas").push(Value::Object(delta)),
        }
    }

    /// The named member as a list, whatever it was before.
    fn list(&mut self, member: &str) -> &mut Vec<Value> {
        let slot = self.value.entry(member).or_insert_with(|| Value::Array(Vec::new()));
        if !slot.is_array() {
            *slot = Value::Array(Vec::new());
        }
        match slot {
            Value::Array(list) => list,
            _ => unreachable!("made an array above"),
        }
    }

    fn finish(mut self) -> Value {
        if !self.input.is_empty() {
            let input = serde_json::from_str(&self.input)
                // Cut in the middle: the text as far as it came, rather than nothing.
                .unwrap_or_else(|_| json!({ "partial_json": self.input }));
            self.value.insert("input".into(), input);
        }
        Value::Object(self.value)
    }
}

/// `type: message` of an error object.
fn error_text(value: &Value) -> String {
    let error = value.get("error").unwrap_or(value);
    let member = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or("");
    match (member("type"), member("message")) {
        ("", "") => "error".into(),
        (kind, "") => kind.into(),
        ("", message) => message.into(),
        (kind, message) => format!("{kind}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stream(events: &[Value]) -> Vec<u8> {
        events
            .iter()
            .flat_map(|e| format!("event: {}\ndata: {e}\n\n", e["type"].as_str().unwrap_or("x")).into_bytes())
            .collect()
    }

    fn start() -> Value {
        json!({"type":"message_start","message":{"type":"message","id":"msg_1","model":"m","content":[],
            "usage":{"input_tokens":3,"output_tokens":1,"cache_read_input_tokens":5,
                "cache_creation_input_tokens":30,
                "cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":20}}}})
    }

    #[test]
    fn blocks_of_every_kind_come_together() {
        let a = from_stream(&stream(&[
            start(),
            json!({"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}),
            json!({"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}),
            json!({"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"sig"}}),
            json!({"type":"content_block_stop","index":0}),
            json!({"type":"ping"}),
            json!({"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}),
            json!({"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_1","name":"Bash","input":{}}}),
            json!({"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"comm"}}),
            json!({"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Hello"}}),
            json!({"type":"content_block_delta","index":1,"delta":{"type":"citations_delta","citation":{"c":1}}}),
            json!({"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"and\":\"ls\"}"}}),
            json!({"type":"content_block_start","index":3,"content_block":{"type":"redacted_thinking","data":"x"}}),
            json!({"type":"content_block_start","index":4,"content_block":{"type":"web_search_tool_result","tool_use_id":"s","content":[]}}),
            json!({"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":77,"input_tokens":null}}),
            json!({"type":"message_stop"}),
        ]));
        assert!(a.complete && a.error.is_none());
        assert_eq!(a.content()[0], json!({"type":"thinking","thinking":"hm","signature":"sig"}));
        assert_eq!(a.content()[1], json!({"type":"text","text":"Hello","citations":[{"c":1}]}));
        assert_eq!(a.content()[2]["input"], json!({"command":"ls"}));
        assert_eq!(a.content()[4]["type"], "web_search_tool_result");
        assert_eq!(a.text_of("stop_reason"), Some("tool_use"));
        let (tokens, _) = a.usage().unwrap();
        assert_eq!(
            tokens,
            Tokens { input: 3, output: 77, cache_read: 5, cache_write_5m: 10, cache_write_1h: 20 }
        );
        let r = a.reasoning(true);
        assert_eq!((r.blocks, r.omitted, r.text.as_deref()), (2, 1, Some("hm")));
    }

    #[test]
    fn thinking_without_text_is_kept_and_counted_as_omitted() {
        let a = from_stream(&stream(&[
            start(),
            json!({"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":"s"}}),
            json!({"type":"message_stop"}),
        ]));
        assert_eq!(a.content()[0]["signature"], "s");
        assert_eq!(a.reasoning(true), Reasoning { blocks: 1, omitted: 1, text: None });
    }

    #[test]
    fn a_cut_stream_is_not_complete_and_keeps_what_came() {
        let whole = stream(&[
            start(),
            json!({"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"Bash","input":{}}}),
            json!({"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}),
        ]);
        let a = from_stream(&whole);
        assert!(!a.complete);
        assert_eq!(a.content()[0]["input"], json!({"partial_json":"{\"a\":"}));
        assert_eq!(a.usage().unwrap().0.output, 1);
    }

    #[test]
    fn errors_in_mid_stream_are_told() {
        let a = from_stream(&stream(&[
            start(),
            json!({"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}),
        ]));
        assert_eq!(a.error.as_deref(), Some("overloaded_error: Overloaded"));
        assert!(!a.complete);
        assert_eq!(
            from_json(br#"{"type":"error","error":{"type":"x","message":"y"}}"#).error.as_deref(),
            Some("x: y")
        );
    }

    #[test]
    fn cache_writes_without_a_split_are_five_minute_ones() {
        let a = from_json(
            br#"{"type":"message","content":[],"usage":{"input_tokens":1,"cache_creation_input_tokens":9}}"#,
        );
        assert_eq!(a.usage().unwrap().0.cache_write_5m, 9);
        assert!(from_json(br#"{"input_tokens":5}"#).usage().is_none(), "a count is not usage");
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-z_]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            let key = prop_oneof![
                Just("type"),
                Just("index"),
                Just("delta"),
                Just("content_block"),
                Just("message"),
                Just("usage"),
                Just("error"),
                Just("text"),
                Just("partial_json"),
                Just("citation"),
            ];
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::hash_map(key.prop_map(String::from), inner, 0..5)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_events_assemble(events in proptest::collection::vec((prop_oneof![
            Just("message_start"), Just("content_block_start"), Just("content_block_delta"),
            Just("message_delta"), Just("message_stop"), Just("error")], json_value()), 0..12)) {
            let body: Vec<u8> = events.iter().flat_map(|(kind, data)| {
                let mut data = data.clone();
                if let Value::Object(m) = &mut data { m.insert("type".into(), (*kind).into()); }
                format!("event: {kind}\ndata: {data}\n\n").into_bytes()
            }).collect();
            let a = from_stream(&body);
            let _ = (a.usage(), a.reasoning(true), a.text());
        }
    }
}
