//! What stands behind a span: the records that told of it, what a request added to the one before, the files of a session,
//! and how long tools take.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One record of the journal, or one line of it, that told of a span.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordRef {
    /// Opaque; `GET /v0/records/ID` takes it.
    pub record_id: String,
    /// `hook`, `proxy`, `transcript` or `telemetry`; another recorder's format for what was taken in from it.
    pub source: String,
    /// A hook event's name, a transcript line's type, `exchange`, `agent-meta` for the file beside a subagent's transcript.
    pub kind: String,
    /// When it came.
    pub at: String,
    /// Its payload's size; of an exchange, what both bodies have.
    pub bytes: u64,
    /// An exchange's id.
    pub exchange_id: Option<String>,
    /// By what it was joined to the span: `tool_use_id`, `request_id`, `message_id`, `prompt_id`, `agent_id`, …
    pub joined_by: String,
    /// That id's value.
    pub join_key: String,
}

/// `GET /v0/spans/ID/records`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SpanRecords {
    /// Oldest first.
    pub records: Vec<RecordRef>,
}

/// `GET /v0/records/ID`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordContent {
    /// What it is.
    pub record: RecordRef,
    /// The payload where it is JSON, as it was written; of an exchange, what is known of it.
    pub payload: Option<Value>,
    /// The payload as text where it is not, invalid UTF-8 replaced.
    pub text: Option<String>,
}

/// One thing of a request that is not as it was in the request before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Change {
    /// A tool's name, `(order)` where only the tools' order differs, a setting's name, a system block's place (`system 2`).
    pub name: String,
    /// `added`, `removed` or `changed`.
    pub what: String,
    /// As it was.
    pub before: Option<Value>,
    /// As it is.
    pub after: Option<Value>,
}

/// `GET /v0/exchanges/ID/changes`: what a request has that the one before of the same agent and purpose had not.
///
/// Values of more than some megabytes in all are not sent whole: what is left out is an object with `left_out_bytes` alone,
/// and for a message its `role`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RequestChanges {
    /// The exchange before; null where this is the first: everything is new then.
    pub previous: Option<String>,
    /// When that was.
    pub previous_at: Option<String>,
    /// Messages at the head that are the same in both, cache marks aside.
    pub kept_messages: u64,
    /// Messages behind those that only the one before had.
    pub dropped: Vec<Value>,
    /// Messages behind those that only this one has.
    pub added: Vec<Value>,
    /// System blocks.
    pub system: Vec<Change>,
    /// Tools.
    pub tools: Vec<Change>,
    /// Everything else at the top level: model, limits, thinking, metadata.
    pub settings: Vec<Change>,
    /// Whether a change makes the prompt cache useless: something before the first added message differs, or what the API
    /// keeps caches apart by (model, thinking, tool choice).
    pub cache_broken: bool,
}

/// A file that a session touched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionFile {
    /// As the tools named it.
    pub path: String,
    /// Edits and writes that worked.
    pub edits: u64,
    /// Lines added by them, and taken away.
    pub added: u64,
    /// Lines taken away.
    pub removed: u64,
    /// As it was before the first edit; null where it did not exist, or is not known (see `exact`).
    pub before: Option<String>,
    /// As it was after the last one.
    pub after: Option<String>,
    /// Whether both are known to be whole. Else they are what the edits themselves showed.
    pub exact: bool,
    /// Whether the session made it.
    pub created: bool,
    /// The edits, oldest first.
    pub spans: Vec<String>,
}

/// `GET /v0/files?session=ID`; `path=FILE`: one of them. What they were before and after comes with `content=1` only, and
/// for so many megabytes in all: a file whose both sides are null then is to be asked for alone.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Files {
    /// The session.
    pub session_id: String,
    /// In order of their first edit.
    pub files: Vec<SessionFile>,
}

/// How long one tool takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ToolTime {
    /// The tool.
    pub tool: String,
    /// Calls.
    pub calls: u64,
    /// Calls that failed.
    pub errors: u64,
    /// Calls that were denied.
    pub denied: u64,
    /// Milliseconds that half of the calls take at most; null where none has an end.
    pub p50_ms: Option<u64>,
    /// Likewise 95 of 100.
    pub p95_ms: Option<u64>,
    /// The slowest.
    pub max_ms: Option<u64>,
    /// All together.
    pub total_ms: u64,
    /// The slowest call.
    pub slowest_span_id: Option<String>,
    /// Its session.
    pub slowest_session_id: Option<String>,
}

/// `GET /v0/tools?since=…`, with `until`, `session` and `project`. A call's time is how long the tool itself ran, where the
/// client measured it, else from the call to its result; of what was denied or has not ended there is none.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ToolTimes {
    /// Slowest in all first.
    pub tools: Vec<ToolTime>,
    /// Sessions looked at.
    pub sessions: u64,
    /// Sessions of the range that were not looked at: the question took too long.
    pub left_out: u64,
}
