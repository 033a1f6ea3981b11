//! What an exchange tells: its record and its bodies, read into the facts that sessions, spans, usage and lists
//! are built from. Pure: the same bytes give the same facts.

use ccd_proto::api::{Reasoning, Tokens};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::charge::Part;
use super::decode::decode;
use super::limits;
use super::members;
use super::message::{self, Assembled};
use super::price::Prices;
use super::request::{self, Purpose, ToolResult};
use super::retries::{self, Attempt};
use super::text::{preview, text_hash, tool_summary};
use super::timing::{self, TimingRow};
use crate::ingest::record::{ExchangeV3, Outcome};

/// The row of an exchange in lists: what the index keeps of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangeRow {
    /// Our id.
    pub id: [u8; 16],
    /// The session.
    pub session_id: Option<String>,
    /// The subagent.
    pub agent_id: Option<String>,
    /// HTTP method.
    pub method: String,
    /// Path and query, cut where somebody sent a very long one.
    pub path: String,
    /// HTTP status.
    pub status: Option<u16>,
    /// The API's request id.
    pub request_id: Option<String>,
    /// The API's message id.
    pub message_id: Option<String>,
    /// The model that answered, else the one asked for.
    pub model: Option<String>,
    /// [`Purpose::as_str`].
    pub purpose: String,
    /// Arrival of the request, nanoseconds since the Unix epoch.
    pub started_ns: u64,
    /// Until the first body byte.
    pub ttfb_us: Option<u64>,
    /// Until the end.
    pub end_us: u64,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the response's body.
    pub response_bytes: u64,
    /// Came to its proper end and was captured whole.
    pub complete: bool,
    /// Not captured whole.
    pub gap: bool,
    /// Streamed.
    pub stream: bool,
    /// Why the model stopped.
    pub stop_reason: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
    /// Tokens billed.
    pub tokens: Option<Tokens>,
    /// Web searches billed.
    pub web_searches: u64,
    /// Cost in micro-dollars.
    pub cost: Option<u64>,
    /// The context window that the request asked for, where it did.
    pub context_window: Option<u64>,
    /// Thinking blocks.
    pub thinking_blocks: u64,
    /// Thinking blocks without text.
    pub thinking_omitted: u64,
    /// How its time was spent.
    pub timing: TimingRow,
}

impl ExchangeRow {
    /// Nanoseconds since the Unix epoch at its end.
    #[must_use]
    pub fn ended_ns(&self) -> u64 {
        self.started_ns.saturating_add(self.end_us.saturating_mul(1000))
    }

    /// What it was for.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        Purpose::parse(&self.purpose)
    }

    /// Thinking, without its text.
    #[must_use]
    pub fn reasoning(&self) -> Reasoning {
        Reasoning { blocks: self.thinking_blocks, omitted: self.thinking_omitted, text: None }
    }
}

/// A tool call that a response asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolUse {
    /// The API's id.
    pub id: String,
    /// The tool.
    pub name: String,
    /// One line about it.
    pub summary: Option<String>,
    /// The hash of the prompt that a subagent is started with.
    pub prompt_hash: Option<u64>,
}

/// Everything that an exchange tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExchangeFacts {
    /// The list's row.
    pub row: ExchangeRow,
    /// The parent agent, as the client's header names it.
    pub parent_agent_id: Option<String>,
    /// Calls that the response asks for.
    pub tool_uses: Vec<ToolUse>,
    /// Results that the request brings.
    pub tool_results: Vec<ToolResult>,
    /// A new prompt, first words.
    pub prompt: Option<String>,
    /// Hashes of the request's new user texts.
    pub text_hashes: Vec<u64>,
    /// The response's text, first words.
    pub text: Option<String>,
    /// By what a repetition of it would be recognised.
    pub retry_key: Option<retries::Key>,
    /// It did not bring what was asked for: an error, or a response that was cut.
    pub failed: bool,
    /// What the response told of rate limits.
    pub limits: Option<Box<limits::Told>>,
    /// By what its charge is shared out, and what it was served as.
    pub measures: Option<Box<Measures>>,
    /// What the model said, for the detectors: of the answers that are part of a conversation.
    pub said: Option<Box<Said>>,
}

/// What the model said, bounded as [`ccd_detect::event`] bounds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Its text blocks.
    pub text: String,
    /// Its thinking, as far as it is shown.
    pub thinking: String,
}

/// By what a charge is shared out among the tools that it has to do with, and what it was served as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measures {
    /// Calls that the response asks for.
    pub asked: Vec<Part>,
    /// Results that the request brings.
    pub brought: Vec<Part>,
    /// Bytes of the answer.
    pub answer_bytes: u64,
    /// Bytes of what is new in the request.
    pub fresh_bytes: u64,
    /// The service tier that the response names; may be empty.
    pub tier: String,
    /// The speed that it names; may be empty.
    pub speed: String,
}

impl ExchangeFacts {
    /// As an attempt among others.
    #[must_use]
    pub fn attempt(&self) -> Option<([u8; 16], Attempt)> {
        let key = self.retry_key?;
        let attempt = Attempt {
            started_ns: self.row.started_ns,
            id: self.row.id,
            ended_ns: self.row.ended_ns(),
            failed: self.failed,
            exact: key.exact,
            stream: key.stream,
            max_tokens: key.max_tokens,
        };
        Some((key.group, attempt))
    }
}

/// The error of an exchange that the client left.
const CLIENT_GONE: &str = "the client went away before the end";
/// What an error begins with that only a status tells of.
const BY_STATUS: &str = "HTTP status ";

/// Whether an exchange's error is told in our own words.
#[must_use]
pub fn is_own_wording(error: &str) -> bool {
    error == CLIENT_GONE || error.starts_with(BY_STATUS)
}

/// Longest path kept in a row, in characters.
const MAX_PATH: usize = 200;
/// Longest of the other strings that come from outside, in characters.
const MAX_NAME: usize = 120;

fn cut(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((at, _)) => text[..at].to_owned(),
        None => text.to_owned(),
    }
}

/// The value of a header, where it is text.
#[must_use]
pub fn header<'a>(headers: &'a [(String, Vec<u8>)], name: &str) -> Option<&'a str> {
    let (_, value) = headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(value).ok()
}

/// Puts a response together from its raw body.
#[must_use]
pub fn assemble(record: &ExchangeV3, response: &[u8]) -> Assembled {
    let decoded = decode(response, response_encoding(record));
    let content_type = header(&record.response_headers, "content-type").unwrap_or("");
    if content_type.starts_with("text/event-stream") {
        message::from_stream(&decoded.bytes)
    } else {
        message::from_json(&decoded.bytes)
    }
}

/// The request's body as the API reads it.
#[must_use]
pub fn decoded_request<'a>(record: &ExchangeV3, body: &'a [u8]) -> std::borrow::Cow<'a, [u8]> {
    decode(body, request_encoding(record)).bytes
}

/// The content encoding that the stored response has: none where it was undone to look through it.
#[must_use]
pub fn response_encoding(record: &ExchangeV3) -> &str {
    let encoding = header(&record.response_headers, "content-encoding").unwrap_or("");
    if record.redaction.response_decoded { "" } else { encoding }
}

/// Likewise, the stored request's.
#[must_use]
pub fn request_encoding(record: &ExchangeV3) -> &str {
    let encoding = header(&record.request_headers, "content-encoding").unwrap_or("");
    if record.redaction.request_decoded { "" } else { encoding }
}

/// Reads an exchange.
#[must_use]
pub fn read(record: &ExchangeV3, request: &[u8], response: &[u8], prices: &Prices) -> ExchangeFacts {
    let path = record.path.split('?').next().unwrap_or("");
    let is_messages = record.method == "POST" && path.ends_with("/messages");
    let is_count = record.method == "POST" && path.ends_with("/messages/count_tokens");
    let sent = decoded_request(record, request);
    let members = if record.method == "POST" { members::read(&sent) } else { None };
    let asked = members.as_ref().filter(|_| is_messages || is_count).map(request::read).unwrap_or_default();
    let answer = assemble(record, response);
    let purpose = match asked.purpose {
        _ if is_count => Purpose::CountTokens,
        _ if !is_messages => Purpose::Other,
        Purpose::Main if record.agent_id.is_some() => Purpose::Subagent,
        // Not readable as a request, and sent as one all the same.
        Purpose::Other => Purpose::Side,
        known => known,
    };
    let usage = if is_messages { answer.usage() } else { None };
    let model = answer.text_of("model").map(str::to_owned).or(asked.model).map(|m| cut(&m, MAX_NAME));
    let over = match record.outcome {
        Outcome::Complete => true,
        // A client may go once the message is whole, without waiting for the connection's end.
        Outcome::ClientGone => is_messages && answer.complete && record.response.seen > 0,
        Outcome::UpstreamFailed | Outcome::Stopped => false,
    };
    let left = record.outcome == Outcome::ClientGone && !over;
    // An answer before the request was sent whole leaves the rest of it unseen.
    let early = record.outcome == Outcome::Complete && record.request_end_us.is_none();
    let gap =
        early || record.request.kept < record.request.seen || record.response.kept < record.response.seen;
    let content_type = header(&record.response_headers, "content-type").unwrap_or("");
    let stream = asked.stream || content_type.starts_with("text/event-stream");
    let whole_message = !is_messages || answer.complete || record.status.is_some_and(|s| s >= 400);
    let cut_by_us = record.response.kept < record.response.seen;
    let told_all = cut_by_us || (whole_message && answer.error_is_final(record.status));
    let failed = !over || !told_all || record.status.is_none_or(|s| s >= 400);
    let reasoning = answer.reasoning(false);
    let measures = usage.is_some().then(|| Box::new(measures(&answer, asked.brought, asked.fresh_bytes)));
    let served = measures.as_ref().map_or(("", ""), |m| (&*m.tier, &*m.speed));
    let cost = usage.as_ref().zip(model.as_deref()).and_then(|((tokens, searches), model)| {
        let rates = prices.rates(model, record.started_ns, tokens.prompt(), served.0, served.1)?;
        Some(rates.cost(tokens, *searches))
    });
    let short = |s: Option<&str>| s.map(|s| cut(s, MAX_NAME));
    let said = (is_talk(purpose) && !failed && usage.is_some()).then(|| Box::new(said(&answer)));
    ExchangeFacts {
        row: ExchangeRow {
            id: record.id,
            session_id: record.session_id.clone(),
            agent_id: record.agent_id.clone(),
            method: cut(&record.method, 20),
            path: cut(&record.path, MAX_PATH),
            status: record.status,
            request_id: short(
                header(&record.response_headers, "request-id")
                    .or_else(|| header(&record.response_headers, "x-request-id")),
            ),
            message_id: short(answer.text_of("id")),
            model,
            purpose: purpose.as_str().into(),
            started_ns: record.started_ns,
            ttfb_us: record.first_byte_us.or(record.head_us),
            end_us: record.end_us,
            request_bytes: record.request.seen,
            response_bytes: record.response.seen,
            complete: over && !gap && whole_message && answer.error_is_final(record.status),
            gap,
            stream,
            stop_reason: short(answer.text_of("stop_reason")),
            error: record
                .error
                .as_deref()
                .or(answer.error.as_deref())
                .map(preview)
                .or_else(|| left.then(|| CLIENT_GONE.to_owned()))
                .or_else(|| record.status.filter(|s| *s >= 400).map(|s| format!("{BY_STATUS}{s}"))),
            tokens: usage.as_ref().map(|(t, _)| *t),
            web_searches: usage.as_ref().map_or(0, |(_, w)| *w),
            cost,
            context_window: header(&record.request_headers, "anthropic-beta")
                .filter(|betas| betas.contains("context-1m-"))
                .map(|_| 1_000_000),
            thinking_blocks: reasoning.blocks,
            thinking_omitted: reasoning.omitted,
            timing: timing::read(record),
        },
        parent_agent_id: record.parent_agent_id.clone(),
        tool_uses: answer.content().iter().filter_map(tool_use).collect(),
        tool_results: asked.tool_results,
        prompt: asked.prompt,
        text_hashes: asked.text_hashes,
        text: Some(preview(&answer.text())).filter(|t| !t.is_empty()),
        retry_key: retries::key(record, &sent, members.as_ref()).filter(|_| record.method == "POST"),
        failed,
        said,
        limits: limits::read(record, answer.error.as_deref()).map(Box::new),
        measures,
    }
}

/// Whether what is answered to such a request is part of a conversation.
#[must_use]
pub fn is_talk(purpose: Purpose) -> bool {
    matches!(purpose, Purpose::Main | Purpose::Subagent | Purpose::Compaction)
}

/// What the model said in an answer.
#[must_use]
pub fn said(answer: &Assembled) -> Said {
    let bounded = |text| ccd_detect::text::cut(text, ccd_detect::event::MAX_STRING);
    let thinking = answer.reasoning(true).text.unwrap_or_default();
    Said { text: bounded(answer.text()), thinking: bounded(thinking) }
}

fn measures(answer: &Assembled, brought: Vec<Part>, fresh_bytes: u64) -> Measures {
    let mut out = Measures { brought, fresh_bytes, ..Measures::default() };
    for block in answer.content() {
        let text = |key: &str| block.get(key).and_then(Value::as_str);
        let bytes = match text("type") {
            Some("text") => text("text").map_or(0, |t| t.len() as u64),
            // Its text may be left out; what was thought is not known then.
            Some("thinking") => text("thinking").map_or(0, |t| t.len() as u64),
            Some("tool_use") => block.get("input").map_or(0, request::json_bytes),
            _ => request::json_bytes(block),
        };
        out.answer_bytes += bytes;
        if text("type") == Some("tool_use")
            && let Some(id) = text("id")
        {
            let tool = text("name").unwrap_or("").to_owned();
            out.asked.push(Part { tool_use_id: id.to_owned(), tool, bytes });
        }
    }
    let named = |key: &str| {
        let usage = answer.message.get("usage").and_then(|u| u.get(key)).and_then(Value::as_str);
        cut(usage.unwrap_or(""), MAX_NAME)
    };
    (out.tier, out.speed) = (named("service_tier"), named("speed"));
    out
}

/// A call that the client shall run. Server tools run at the API and are part of the message.
fn tool_use(block: &Value) -> Option<ToolUse> {
    if block.get("type")?.as_str()? != "tool_use" {
        return None;
    }
    let input = block.get("input").unwrap_or(&Value::Null);
    Some(ToolUse {
        id: block.get("id")?.as_str()?.to_owned(),
        name: block.get("name").and_then(Value::as_str).unwrap_or("").to_owned(),
        summary: tool_summary(input),
        prompt_hash: input.get("prompt").and_then(Value::as_str).map(text_hash),
    })
}

impl Assembled {
    /// An error response is complete in itself; an error in the middle of a stream is not.
    fn error_is_final(&self, status: Option<u16>) -> bool {
        self.error.is_none() || status.is_some_and(|s| s >= 400)
    }
}
