//! What Claude Code's own telemetry tells: one event, span or metric of it, as it lies in a record. Pure, and total over
//! any bytes.
//!
//! Every event names its session, and most of them their turn (`prompt.id`), their call (`tool_use_id`) or their request
//! (`request_id`): by these it joins what hooks, the proxy and transcripts tell. What names none of them, or is not known
//! here, is kept and shown as it came, and tells nothing.
//!
//! Must never count what another source counts: see [`super::billed`] for what becomes of a call that several tell of.

mod read;
pub(super) mod state;
#[cfg(test)]
mod tests;

use ccd_proto::api::Tokens;

pub use read::{attributes, name_of, read};

/// The parts of telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// A log record: an event.
    Log,
    /// A span.
    Span,
    /// A metric with its data points.
    Metric,
}

impl Signal {
    /// As records and paths call it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Signal::Log => "log",
            Signal::Span => "span",
            Signal::Metric => "metric",
        }
    }
}

/// How the client is named as this source.
pub const SOURCE: &str = "telemetry";

/// One event, span or metric.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TelemetryFacts {
    /// The session.
    pub session_id: String,
    /// When it was told: of a span, its end. Nanoseconds since the Unix epoch.
    pub at_ns: u64,
    /// The client's version.
    pub version: Option<String>,
    /// The turn.
    pub prompt_id: Option<String>,
    /// The subagent.
    pub agent_id: Option<String>,
    /// The API's request.
    pub request_id: Option<String>,
    /// The tool call.
    pub tool_use_id: Option<String>,
    /// Tells it from others of its session: its number, and its name.
    pub own: u64,
    /// What it tells.
    pub kind: Kind,
}

/// What an event tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Kind {
    /// A model call was answered.
    Request(Box<Request>),
    /// What the model said.
    Said(Option<String>),
    /// A prompt; its first words where the user lets them be told.
    Prompt(Option<String>),
    /// Whether a tool call may run.
    Decision {
        /// The tool.
        tool: String,
        /// One line about the call.
        summary: Option<String>,
        /// It may.
        accepted: bool,
        /// Who said so: `config`, `hook`, `user_permanent`, `user_temporary`, `user_abort`, `user_reject`.
        by: String,
    },
    /// What a tool call ended in.
    Result {
        /// The tool.
        tool: String,
        /// One line about the call.
        summary: Option<String>,
        /// It worked.
        success: bool,
        /// How long the tool ran, in milliseconds.
        ms: Option<u64>,
        /// Why it failed.
        error: Option<String>,
    },
    /// The API failed for good: every attempt did, or it refused.
    Failed(String),
    /// A subagent ended.
    AgentDone {
        /// Its type.
        agent_type: Option<String>,
        /// How long it ran, in milliseconds.
        ms: Option<u64>,
    },
    /// Kept, and nothing to the projection.
    #[default]
    Other,
}

/// A model call that was answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// The model.
    pub model: String,
    /// Tokens billed.
    pub tokens: Tokens,
    /// How long it took, in milliseconds.
    pub ms: u64,
    /// How long to the first token, in milliseconds.
    pub ttft_ms: Option<u64>,
    /// `fast`, `standard`, or empty.
    pub speed: String,
    /// Who asked, in the client's words: `sdk`, `compact`, `agent:builtin:Explore`, ….
    pub asked_by: String,
    /// What it cost by the client's own prices, in micro-dollars.
    pub client_micros: Option<u64>,
}
