//! The content blocks of a transcript's messages, and what the API says it billed.

use ccd_proto::api::Tokens;

use super::json::{self, Elements, Members};
use super::line::{HEAD, count, inner, name, words};
use super::{Answer, ToolUse};
use crate::project::text::{TELLING, text_hash};

/// A content block's members.
#[derive(Default)]
pub(super) struct Block<'a> {
    pub kind: &'a [u8],
    pub text: Option<&'a [u8]>,
    pub thinking: Option<&'a [u8]>,
    pub id: Option<&'a [u8]>,
    pub name: Option<&'a [u8]>,
    pub input: Option<&'a [u8]>,
    pub tool_use_id: Option<&'a [u8]>,
    pub content: Option<&'a [u8]>,
    pub is_error: Option<&'a [u8]>,
}

impl<'a> Block<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        let mut block = Block::default();
        for (key, value) in Members::of(bytes) {
            let slot = match key {
                b"type" => {
                    block.kind = inner(value);
                    continue;
                }
                b"text" => &mut block.text,
                b"thinking" => &mut block.thinking,
                b"id" => &mut block.id,
                b"name" => &mut block.name,
                b"input" => &mut block.input,
                b"tool_use_id" => &mut block.tool_use_id,
                b"content" => &mut block.content,
                b"is_error" => &mut block.is_error,
                _ => continue,
            };
            *slot = Some(value);
        }
        block
    }
}

/// A message's members.
#[derive(Default)]
pub(super) struct Message<'a> {
    pub id: Option<&'a [u8]>,
    pub model: Option<&'a [u8]>,
    pub content: Option<&'a [u8]>,
    pub usage: Option<&'a [u8]>,
    pub stop_reason: Option<&'a [u8]>,
}

impl<'a> Message<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Option<Self> {
        let mut message = Message::default();
        let mut members = Members::of(bytes);
        for (key, value) in members.by_ref() {
            let slot = match key {
                b"id" => &mut message.id,
                b"model" => &mut message.model,
                b"content" => &mut message.content,
                b"usage" => &mut message.usage,
                b"stop_reason" => &mut message.stop_reason,
                _ => continue,
            };
            *slot = Some(value);
        }
        members.is_whole().then_some(message)
    }
}

pub(super) fn read_usage(usage: &[u8], answer: &mut Answer) {
    let mut tokens = Tokens::default();
    let mut written = None;
    let mut split: (Option<u64>, Option<u64>) = (None, None);
    let mut any = false;
    for (key, value) in Members::of(usage) {
        let n = || count(Some(value)).unwrap_or(0);
        match key {
            b"input_tokens" => (tokens.input, any) = (n(), true),
            b"output_tokens" => (tokens.output, any) = (n(), true),
            b"cache_read_input_tokens" => tokens.cache_read = n(),
            b"cache_creation_input_tokens" => written = Some(n()),
            b"cache_creation" => {
                split = (
                    count(json::member(value, "ephemeral_5m_input_tokens")),
                    count(json::member(value, "ephemeral_1h_input_tokens")),
                );
            }
            b"server_tool_use" => {
                answer.web_searches = count(json::member(value, "web_search_requests")).unwrap_or(0);
            }
            b"service_tier" => answer.service_tier = name(value).unwrap_or_default(),
            b"speed" => answer.speed = name(value).unwrap_or_default(),
            _ => {}
        }
    }
    let (five, hour) = (split.0.unwrap_or(0), split.1.unwrap_or(0));
    // What nobody says was written for an hour was written for the default lifetime of 5 minutes.
    tokens.cache_write_5m = five.max(written.unwrap_or(0).saturating_sub(hour));
    tokens.cache_write_1h = hour;
    answer.tokens = any.then_some(tokens);
}

pub(super) fn add_block(block: &Block<'_>, answer: &mut Answer) {
    match block.kind {
        b"text" if answer.text.is_none() => {
            answer.text = block.text.and_then(words).filter(|t| !t.is_empty());
        }
        b"thinking" => {
            answer.thinking += 1;
            answer.omitted += u64::from(block.thinking.is_none_or(|t| inner(t).is_empty()));
        }
        b"redacted_thinking" => {
            answer.thinking += 1;
            answer.omitted += 1;
        }
        b"tool_use" => {
            let Some(id) = block.id.and_then(name) else { return };
            let input = block.input.unwrap_or_default();
            answer.tool_uses.push(ToolUse {
                id,
                name: block.name.and_then(name).unwrap_or_default(),
                summary: summary(input),
                prompt_hash: json::member(input, "prompt")
                    .and_then(|p| json::text(p, usize::MAX))
                    .map(|p| text_hash(&p)),
                bytes: input.len() as u64,
            });
        }
        _ => {}
    }
}

/// As [`crate::project::text::tool_summary`], from the bytes.
pub(super) fn summary(input: &[u8]) -> Option<String> {
    let strings = Members::of(input).filter(|(_, value)| value.starts_with(b"\""));
    let rank = |key: &[u8]| TELLING.iter().position(|t| t.as_bytes() == key).unwrap_or(TELLING.len());
    let (_, best) = strings.min_by_key(|(key, _)| (rank(key), *key))?;
    words(best).filter(|s| !s.is_empty())
}

/// The first words of a content member: a string, or the text blocks of a list.
pub(super) fn content_head(content: &[u8]) -> String {
    if let Some(text) = json::text(content, HEAD) {
        return text;
    }
    let mut out = String::new();
    for block in Elements::of(content) {
        let Some(text) = Block::of(block).text.and_then(|t| json::text(t, HEAD)) else { continue };
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&text);
        if out.len() >= HEAD {
            break;
        }
    }
    out
}
