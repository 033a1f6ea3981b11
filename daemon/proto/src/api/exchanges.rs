//! `exchanges` and `exchange`: what went over the wire. Fields may be added, never renamed.

use serde::{Deserialize, Serialize};

use super::{RateLimits, Reasoning, Timing, Tokens};

/// `GET /v0/exchanges`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Exchanges {
    /// Newest first.
    pub exchanges: Vec<Exchange>,
}

/// One HTTP request to the API and its response.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Exchange {
    /// Our id: a UUID that sorts by time.
    pub exchange_id: String,
    /// The session, as the client's header names it.
    pub session_id: Option<String>,
    /// The subagent, as the client's header names it.
    pub agent_id: Option<String>,
    /// HTTP method.
    pub method: String,
    /// Path and query, as sent upstream.
    pub path: String,
    /// HTTP status that the client received; null where it received none.
    pub status: Option<u16>,
    /// The API's `request-id`.
    pub request_id: Option<String>,
    /// The API's message id.
    pub message_id: Option<String>,
    /// The model that answered, else the one asked for.
    pub model: Option<String>,
    /// `main`, `subagent`, `title`, `compaction`, `count_tokens`, `web_search`, `side` or `other`.
    pub purpose: String,
    /// When the request arrived.
    pub started_at: String,
    /// Until the response's first body byte.
    pub ttfb_ms: Option<u64>,
    /// Until the end.
    pub duration_ms: u64,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the response's body.
    pub response_bytes: u64,
    /// Whether the response came to its proper end and was captured whole.
    pub complete: bool,
    /// Whether it was streamed.
    pub stream: bool,
    /// Why the model stopped.
    pub stop_reason: Option<String>,
    /// What went wrong: the API's error, or the connection's.
    pub error: Option<String>,
    /// Tokens; null where the response told none.
    pub tokens: Option<Tokens>,
    /// Cost in micro-dollars; null where it could not be priced.
    pub cost_usd_micros: Option<i64>,
    /// Cost for people: `$0.0123`, `unpriced`, or empty where there is nothing to price.
    pub cost: String,
    /// Thinking.
    pub reasoning: Reasoning,
    /// How its time was spent.
    pub timing: Timing,
    /// The exchange that failed and that this one repeats: the same body again, or what the client falls back to: the
    /// same without a stream.
    pub retry_of: Option<String>,
    /// 1, or one more than that of the exchange it repeats.
    pub attempt: u32,
    /// The exchange that repeats this one.
    pub retried_by: Option<String>,
}

/// `GET /v0/exchanges/ID`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ExchangeDetail {
    /// The exchange.
    pub exchange: Exchange,
    /// Request headers in order, credentials left out.
    pub request_headers: Vec<(String, String)>,
    /// Response headers in order, cookies left out.
    pub response_headers: Vec<(String, String)>,
    /// Response trailers.
    pub response_trailers: Vec<(String, String)>,
    /// HTTP version that the client spoke, and that upstream spoke.
    pub http: (String, String),
    /// Bytes of each body that were kept, where that is less than what went by.
    pub request_kept: Option<u64>,
    /// As above.
    pub response_kept: Option<u64>,
    /// The response put together: the API's message with its content blocks.
    pub message: Option<serde_json::Value>,
    /// Each event of a stream: its type and when it arrived, microseconds after the request.
    pub events: Vec<StreamEvent>,
    /// What this response told of the API's limits.
    pub rate_limits: Option<RateLimits>,
    /// Seconds that the client was asked to wait before it comes again.
    pub retry_after_s: Option<u64>,
}

/// One event of a streamed response.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamEvent {
    /// The event's type.
    pub event: String,
    /// Microseconds after the request's arrival.
    pub at_us: u64,
    /// Bytes of the event.
    pub bytes: u64,
}
