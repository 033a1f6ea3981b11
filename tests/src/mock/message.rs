//! Messages of the API, as one JSON object and as the events of a stream.
//!
//! Both come from the same blocks, so that they always say the same. Nothing here knows HTTP.

use bytes::Bytes;
use ccd_proto::api::{Reasoning, Tokens};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ids;
use super::ledger::ToolCall;
use super::script::Reply;

/// One content block.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Block {
    /// Thinking; an empty text is one that the API left out.
    Thinking {
        /// The text.
        #[serde(default)]
        thinking: String,
        /// Its signature.
        #[serde(default)]
        signature: String,
    },
    /// Thinking that is encrypted as a whole.
    RedactedThinking {
        /// The cipher text.
        data: String,
    },
    /// Text.
    Text {
        /// The text.
        text: String,
        /// Number of deltas that it is sent in.
        #[serde(default = "three")]
        deltas: usize,
        /// Citations, each sent as one delta.
        #[serde(default)]
        citations: Vec<Value>,
    },
    /// A call of one of the client's tools.
    ToolUse {
        /// The tool.
        name: String,
        /// Its input.
        input: Value,
        /// Characters of input per delta.
        #[serde(default = "seven")]
        split: usize,
    },
    /// A call of a tool that the API runs itself.
    ServerToolUse {
        /// The tool.
        name: String,
        /// Its input.
        input: Value,
    },
    /// What a tool of the API returned; its call is the [`Block::ServerToolUse`] before it.
    ServerToolResult {
        /// The block's type, such as `web_search_tool_result`.
        kind: String,
        /// Its content.
        content: Value,
    },
}

fn three() -> usize {
    3
}

fn seven() -> usize {
    7
}

/// One event of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its data; the event's name is the field `type`.
    pub data: Value,
}

impl Event {
    fn new(data: Value) -> Self {
        Event { data }
    }

    /// The error that a stream may carry amid its events.
    #[must_use]
    pub fn overloaded() -> Self {
        Event::new(json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}))
    }

    /// The event's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.data["type"].as_str().unwrap_or("message")
    }

    /// The event as it goes over the wire.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        format!("event: {}\ndata: {}\n\n", self.name(), self.data).into()
    }
}

/// A message put together.
#[derive(Clone, Debug)]
pub struct Message {
    /// `msg_…`.
    pub id: String,
    /// Why the model stopped.
    pub stop_reason: String,
    /// The message as one JSON object.
    pub whole: Value,
    /// The message as events.
    pub events: Vec<Event>,
    /// Calls of the client's tools.
    pub tool_calls: Vec<ToolCall>,
    /// Thinking blocks.
    pub reasoning: Reasoning,
    /// Tokens.
    pub tokens: Tokens,
}

impl Message {
    /// Puts exchange `number`'s message together.
    #[must_use]
    pub fn build(reply: &Reply, number: u64, model: &str) -> Self {
        let tokens = reply.tokens.unwrap_or_else(|| distinct_tokens(number));
        let mut content = Content::new(number);
        for block in &reply.blocks {
            content.add(block);
        }
        let stop_reason = reply.stop_reason.clone().unwrap_or_else(|| {
            if content.tool_calls.is_empty() { "end_turn".into() } else { "tool_use".into() }
        });

        let id = ids::id("msg", number);
        let whole = json!({
            "id": id, "type": "message", "role": "assistant", "model": model, "content": content.whole,
            "stop_reason": stop_reason, "stop_sequence": null, "usage": usage(&tokens, tokens.output),
        });
        let mut opening = whole.clone();
        opening["content"] = json!([]);
        opening["stop_reason"] = Value::Null;
        // The API opens a stream with the few output tokens that it knows of by then.
        opening["usage"] = usage(&tokens, opening_output(&tokens));

        let mut events = vec![Event::new(json!({"type": "message_start", "message": opening}))];
        events.extend((0..reply.pings).map(|_| Event::new(json!({"type": "ping"}))));
        events.append(&mut content.events);
        events.push(Event::new(json!({
            "type": "message_delta",
            "delta": {"stop_reason": stop_reason, "stop_sequence": null},
            "usage": {
                "input_tokens": tokens.input,
                "cache_creation_input_tokens": tokens.cache_write_5m + tokens.cache_write_1h,
                "cache_read_input_tokens": tokens.cache_read,
                "output_tokens": tokens.output,
            },
        })));
        events.push(Event::new(json!({"type": "message_stop"})));
        let Content { tool_calls, reasoning, .. } = content;
        Message { id, stop_reason, whole, events, tool_calls, reasoning, tokens }
    }

    /// The tokens that a stream's first event tells.
    #[must_use]
    pub fn opening_tokens(&self) -> Tokens {
        Tokens { output: opening_output(&self.tokens), ..self.tokens }
    }
}

fn opening_output(tokens: &Tokens) -> u64 {
    tokens.output.min(1)
}

/// Tokens that no other exchange of the mock has, each kind on its own scale. Cache reads are a multiple of
/// five, so that every cost is a whole number of micro-dollars at a fifth of a micro-dollar per token.
pub(super) fn distinct_tokens(number: u64) -> Tokens {
    Tokens {
        input: 100 + number,
        output: 2_000 + 3 * number,
        cache_read: 30_000 + 5 * number,
        cache_write_5m: 400 + 7 * number,
        cache_write_1h: 50 + 11 * number,
    }
}

fn usage(tokens: &Tokens, output: u64) -> Value {
    json!({
        "input_tokens": tokens.input,
        "cache_creation_input_tokens": tokens.cache_write_5m + tokens.cache_write_1h,
        "cache_read_input_tokens": tokens.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": tokens.cache_write_5m,
            "ephemeral_1h_input_tokens": tokens.cache_write_1h,
        },
        "output_tokens": output,
        "service_tier": "standard",
    })
}

/// A message's content while it is put together.
struct Content {
    number: u64,
    whole: Vec<Value>,
    events: Vec<Event>,
    tool_calls: Vec<ToolCall>,
    reasoning: Reasoning,
}

impl Content {
    fn new(number: u64) -> Self {
        Content {
            number,
            whole: Vec::new(),
            events: Vec::new(),
            tool_calls: Vec::new(),
            reasoning: Reasoning::default(),
        }
    }

    fn add(&mut self, block: &Block) {
        match block {
            Block::Thinking { thinking, signature } => {
                self.reasoning.blocks += 1;
                self.reasoning.omitted += u64::from(thinking.is_empty());
                let mut deltas: Vec<_> = pieces(thinking, 16)
                    .map(|piece| json!({"type": "thinking_delta", "thinking": piece}))
                    .collect();
                deltas.push(json!({"type": "signature_delta", "signature": signature}));
                self.push(
                    &json!({"type": "thinking", "thinking": "", "signature": ""}),
                    deltas,
                    json!({"type": "thinking", "thinking": thinking, "signature": signature}),
                );
            }
            Block::RedactedThinking { data } => {
                self.reasoning.blocks += 1;
                let block = json!({"type": "redacted_thinking", "data": data});
                self.push(&block, Vec::new(), block.clone());
            }
            Block::Text { text, deltas, citations } => {
                let length = text.chars().count().div_ceil((*deltas).max(1));
                let cited = citations.iter().map(|c| json!({"type": "citations_delta", "citation": c}));
                let said = pieces(text, length).map(|piece| json!({"type": "text_delta", "text": piece}));
                let mut whole = json!({"type": "text", "text": text});
                if !citations.is_empty() {
                    whole["citations"] = json!(citations);
                }
                self.push(&json!({"type": "text", "text": ""}), cited.chain(said).collect(), whole);
            }
            Block::ToolUse { name, input, split } => {
                let id = self.id("toolu");
                self.push_call("tool_use", &id, name, input, *split);
                self.tool_calls.push(ToolCall { id, name: name.clone(), input: input.clone() });
            }
            Block::ServerToolUse { name, input } => {
                let id = self.id("srvtoolu");
                self.push_call("server_tool_use", &id, name, input, 7);
            }
            Block::ServerToolResult { kind, content } => {
                let call = self.whole.iter().rev().find(|b| b["type"] == "server_tool_use");
                let id = call.map_or(Value::Null, |b| b["id"].clone());
                let block = json!({"type": kind, "tool_use_id": id, "content": content});
                self.push(&block, Vec::new(), block.clone());
            }
        }
    }

    /// An id for the block that is added next.
    fn id(&self, prefix: &str) -> String {
        ids::id(prefix, self.number * 1000 + self.whole.len() as u64)
    }

    fn push_call(&mut self, kind: &str, id: &str, name: &str, input: &Value, split: usize) {
        let text = input.to_string();
        // As the API does it: an empty delta first.
        let deltas = std::iter::once(String::new())
            .chain(pieces(&text, split))
            .map(|piece| json!({"type": "input_json_delta", "partial_json": piece}))
            .collect();
        self.push(
            &json!({"type": kind, "id": id, "name": name, "input": {}}),
            deltas,
            json!({"type": kind, "id": id, "name": name, "input": input}),
        );
    }

    fn push(&mut self, opening: &Value, deltas: Vec<Value>, whole: Value) {
        let index = self.whole.len();
        let start = json!({"type": "content_block_start", "index": index, "content_block": opening});
        self.events.push(Event::new(start));
        self.events.extend(
            deltas.into_iter().map(|delta| {
                Event::new(json!({"type": "content_block_delta", "index": index, "delta": delta}))
            }),
        );
        self.events.push(Event::new(json!({"type": "content_block_stop", "index": index})));
        self.whole.push(whole);
    }
}

/// `text` in pieces of at most `length` characters.
fn pieces(text: &str, length: usize) -> impl Iterator<Item = String> {
    let chars: Vec<char> = text.chars().collect();
    let pieces: Vec<String> = chars.chunks(length.max(1)).map(|piece| piece.iter().collect()).collect();
    pieces.into_iter()
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
