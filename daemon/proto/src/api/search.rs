//! `search`: which of what was captured has some words in it. Fields may be added, never renamed.

use serde::{Deserialize, Serialize};

use super::ApiError;

/// `GET /v0/search`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Search {
    /// What was asked for, as it was understood: one per word, phrase or pattern.
    pub query: Vec<String>,
    /// What was found: session by session, the one that was used last first; within one the newest turn first, and within
    /// a turn what began last.
    pub hits: Vec<Hit>,
    /// How the search ended.
    #[serde(flatten)]
    pub end: SearchEnd,
}

/// How a search ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SearchEnd {
    /// Whether the limit left some out.
    pub more: bool,
    /// False if the time was up before everything was looked at.
    pub complete: bool,
    /// Sessions that were looked at.
    pub scanned_sessions: u64,
    /// Goes on from here, with the same words and filters; null where there is nothing left.
    pub cursor: Option<String>,
}

/// Something that has all of the words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hit {
    /// Its session; empty for an exchange that named none.
    pub session_id: String,
    /// That session's project.
    pub project: Option<String>,
    /// Its turn; empty where `kind` is none of a span's.
    pub turn_id: String,
    /// The span, likewise.
    pub span_id: String,
    /// The exchange, where it is one.
    pub exchange_id: Option<String>,
    /// A span's: `agent`, `llm` or `tool`. With `raw` also `exchange`, `hook` and `line`, for what no span shows.
    pub kind: String,
    /// The tool, the model, the subagent's type, the hook's event, or the request's path.
    pub name: String,
    /// A span's status; may be empty.
    pub status: String,
    /// When it began, RFC 3339.
    pub at: String,
    /// Where in it: `prompt`, `result`, `input`, `output`, `text`, `reasoning`, `error`; with `raw` also `request`,
    /// `response`, `payload`, `line`.
    pub field: String,
    /// The place, with what is around it. As it was captured: whoever shows it makes control characters visible.
    pub snippet: String,
    /// Where in the snippet the words are: pairs of the first character and the one after the last, in characters.
    pub ranges: Vec<(u32, u32)>,
}

/// A line of `GET /v0/search/lines`: exactly one of these. The last line is an end or an error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SearchLine {
    /// What was found, as it is found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hit: Option<Hit>,
    /// Sessions looked at so far; a few times a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scanned_sessions: Option<u64>,
    /// How the search ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<SearchEnd>,
    /// Why it could not go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ApiError>,
}
