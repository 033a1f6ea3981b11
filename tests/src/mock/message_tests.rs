//! The mock's two forms of a message say the same: a stream put together again is the message as one object.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::mock::script::reply;

fn everything() -> Reply {
    reply()
        .thinking("Where is it? Grüße, 漢字 and 🦀.")
        .thinking_omitted()
        .block(Block::RedactedThinking { data: "Ev8BCk".into() })
        .block(Block::Text { text: "Café, naïve".into(), deltas: 4, citations: vec![json!({"url": "x"})] })
        .tool("Write", json!({"file_path": "a \"quoted\" path", "content": "line\nline\n\u{7}"}))
        .tool("Read", json!({}))
        .block(Block::ServerToolUse { name: "web_search".into(), input: json!({"query": "q"}) })
        .block(Block::ServerToolResult { kind: "web_search_tool_result".into(), content: json!([{"a": 1}]) })
        .pings(2)
}

/// Puts a stream together as a client does.
fn assemble(events: &[Event]) -> Value {
    let mut message = events[0].data["message"].clone();
    let mut blocks: BTreeMap<u64, Value> = BTreeMap::new();
    let mut partial: BTreeMap<u64, String> = BTreeMap::new();
    for event in events {
        let index = event.data["index"].as_u64().unwrap_or_default();
        match event.name() {
            "content_block_start" => drop(blocks.insert(index, event.data["content_block"].clone())),
            "content_block_delta" => {
                let (block, delta) = (blocks.get_mut(&index).unwrap(), &event.data["delta"]);
                let mut append = |field: &str| {
                    let text =
                        format!("{}{}", block[field].as_str().unwrap(), delta[field].as_str().unwrap());
                    block[field] = text.into();
                };
                match delta["type"].as_str().unwrap() {
                    "text_delta" => append("text"),
                    "thinking_delta" => append("thinking"),
                    "signature_delta" => append("signature"),
                    "citations_delta" => block["citations"] = json!([delta["citation"]]),
                    "input_json_delta" => {
                        partial.entry(index).or_default().push_str(delta["partial_json"].as_str().unwrap());
                    }
                    other => panic!("unknown delta {other}"),
                }
            }
            "message_delta" => {
                message["stop_reason"] = event.data["delta"]["stop_reason"].clone();
                message["usage"]["output_tokens"] = event.data["usage"]["output_tokens"].clone();
            }
            _ => {}
        }
    }
    for (index, json) in partial {
        blocks.get_mut(&index).unwrap()["input"] = serde_json::from_str(&json).unwrap();
    }
    message["content"] = blocks.into_values().collect();
    message
}

#[test]
fn a_stream_put_together_is_the_whole_message() {
    let message = Message::build(&everything(), 3, "claude-opus-5-5");
    assert_eq!(assemble(&message.events), message.whole);
    assert_eq!(message.stop_reason, "tool_use");
    assert_eq!(message.tool_calls.len(), 2, "server tools are not the client's");
    assert_eq!((message.reasoning.blocks, message.reasoning.omitted), (3, 1));
}

#[test]
fn events_are_framed_as_server_sent_events() {
    let message = Message::build(&everything(), 3, "m");
    for event in &message.events {
        let wire = String::from_utf8(event.encode().to_vec()).unwrap();
        let (name, data) = wire.strip_suffix("\n\n").unwrap().split_once('\n').unwrap();
        assert_eq!(name.strip_prefix("event: "), Some(event.name()));
        // One line of data: a line break inside it would end the event early.
        let data = data.strip_prefix("data: ").unwrap();
        assert!(!data.contains('\n'));
        assert_eq!(serde_json::from_str::<Value>(data).unwrap(), event.data);
    }
    let names: Vec<_> = message.events.iter().map(Event::name).collect();
    assert_eq!(&names[..4], ["message_start", "ping", "ping", "content_block_start"]);
    assert_eq!(&names[names.len() - 2..], ["message_delta", "message_stop"]);
}

#[test]
fn no_two_exchanges_share_an_id_or_their_tokens() {
    let (a, b) = (Message::build(&everything(), 1, "m"), Message::build(&everything(), 2, "m"));
    assert_ne!(a.id, b.id);
    assert_ne!(a.tool_calls[0].id, b.tool_calls[0].id);
    assert_ne!(a.tool_calls[0].id, a.tool_calls[1].id);
    assert_ne!(a.tokens, b.tokens);
    assert_eq!(Message::build(&everything(), 1, "m").whole, a.whole, "and they are the same in every run");
}
