//! What is billed: one charge per message of the API, whatever the number of sources, files or lines that tell of it.
//!
//! An [`Observation`] is what one source says of one message. Observations of the same message are merged, field by
//! field, so that the order in which they come, and how often, changes nothing.

use ccd_proto::api::Tokens;
use serde::{Deserialize, Serialize};

use super::exchange::{ExchangeFacts, ExchangeRow};

/// A count beyond this is no count, whoever tells it: sums must not overflow.
pub const MAX_COUNT: u64 = 1 << 40;

/// Who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Source {
    /// The proxy saw the response.
    Proxy,
    /// A transcript's lines.
    Transcript,
    /// The client's own telemetry, which names the request and no message.
    Telemetry,
}

/// A tool call that a message asked for, or whose result the message's request brought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The call.
    pub tool_use_id: String,
    /// The tool's name; empty where it is not known.
    pub tool: String,
    /// Bytes of the call's input, or of the result's content, as JSON.
    pub bytes: u64,
}

/// What one source says of one billed message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Who says so.
    pub source: Source,
    /// The API's message id. Where an exchange was billed without telling one, a name that no message has.
    pub message_id: String,
    /// The API's request id. Without one, an exchange's own id stands for it; a transcript has nothing then.
    pub request: Option<String>,
    /// The session that the source says it belongs to; empty where it names none.
    pub session_id: String,
    /// The subagent.
    pub agent_id: Option<String>,
    /// When: the request's arrival, or the earliest of the message's lines; nanoseconds since the Unix epoch.
    pub at_ns: u64,
    /// When the source was made: of a transcript, its file. A fork's file holds its original's messages too, and is the
    /// younger one. 0 for the proxy.
    pub born_ns: u64,
    /// The model that answered.
    pub model: String,
    /// Tokens billed.
    pub tokens: Tokens,
    /// Web searches billed.
    pub web_searches: u64,
    /// What the response named as its service: `standard`, `batch`, `priority`; empty where it named none.
    pub service_tier: String,
    /// `fast` or `standard`; empty where it named none.
    pub speed: String,
    /// Git branch that it was worked on; empty where nothing tells.
    pub branch: String,
    /// [`super::request::Purpose::as_str`] where the source knows it.
    pub purpose: String,
    /// The response did not come to its end, or the attempt was repeated.
    pub cut: bool,
    /// Calls that the message asks for.
    pub asked: Vec<Part>,
    /// Results that its request brought for the first time.
    pub brought: Vec<Part>,
    /// Bytes of everything in the message's answer, calls included.
    pub answer_bytes: u64,
    /// Bytes of everything new in its request, results included.
    pub fresh_bytes: u64,
    /// Tokens of the conversation's prompt before this one, in the same agent; 0 where there was none.
    pub previous_prompt: u64,
}

/// What the client totals of one model of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelTotal {
    /// The model.
    pub model: String,
    /// Tokens.
    pub tokens: Tokens,
    /// Web searches.
    pub web_searches: u64,
    /// Cost by the client's own prices, in micro-dollars.
    pub micros: u64,
}

/// A client's closing totals of a session: everything that it called, side requests too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CostState {
    /// The session.
    pub session_id: String,
    /// When it was written: the latest time of the lines before it in its file, in nanoseconds since the Unix epoch;
    /// without such a line, [`Self::start_ns`].
    pub at_ns: u64,
    /// When the client that totals was started (`startTime`), likewise.
    pub start_ns: u64,
    /// By model, in the order of their names.
    pub models: Vec<ModelTotal>,
}

/// The message and the request that an exchange was billed as.
#[must_use]
pub fn ids_of(row: &ExchangeRow) -> (String, Option<String>) {
    let id = super::ids::exchange(row.id);
    let message = row.message_id.clone().unwrap_or_else(|| format!("exchange {id}"));
    (message, Some(row.request_id.clone().unwrap_or(id)))
}

/// What the proxy says of an exchange; `None` where nothing was billed.
#[must_use]
pub fn of_exchange(facts: &ExchangeFacts) -> Option<Observation> {
    let row = &facts.row;
    let tokens = row.tokens?;
    let (message_id, request) = ids_of(row);
    let measures = facts.measures.as_deref().cloned().unwrap_or_default();
    Some(Observation {
        source: Source::Proxy,
        message_id,
        request,
        session_id: row.session_id.clone().unwrap_or_default(),
        agent_id: row.agent_id.clone(),
        at_ns: row.started_ns,
        born_ns: 0,
        model: row.model.clone().unwrap_or_else(|| "unknown".into()),
        tokens,
        web_searches: row.web_searches,
        service_tier: measures.tier,
        speed: measures.speed,
        branch: String::new(),
        purpose: row.purpose.clone(),
        cut: facts.failed,
        asked: measures.asked,
        brought: measures.brought,
        answer_bytes: measures.answer_bytes,
        fresh_bytes: measures.fresh_bytes,
        previous_prompt: 0,
    })
}
