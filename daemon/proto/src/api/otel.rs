//! `export-otel`: what is asked for, and what came of it. Fields may be added, never renamed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The body of `POST /v0/export-otel`; its query filters turns (`since`, `until`, `session`, `project`, `limit`: the newest
/// turns). The answer comes in lines, as a long operation's.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(clippy::struct_excessive_bools, reason = "one per flag")]
pub struct OtelExport {
    /// Where to: the whole URL.
    pub url: String,
    /// Headers as `NAME=VALUE`. Their values are kept in memory while it is under way, and shown to nobody.
    pub headers: Vec<String>,
    /// `http/protobuf` or `http/json`.
    pub protocol: String,
    /// Bodies are compressed with gzip.
    pub gzip: bool,
    /// `none`, `text` (or `prompts`) or `full`.
    pub content: String,
    /// `service.name`; empty: `claude-code`.
    pub service_name: String,
    /// `host.name` goes along.
    pub host: bool,
    /// The GenAI conventions: `1.41` or `1.44`; empty: the usual one.
    pub semconv: String,
    /// Plain HTTP is allowed to other machines, too.
    pub allow_http: bool,
    /// Everything but the sending.
    pub dry_run: bool,
    /// Turns that still run go along.
    pub running: bool,
    /// Seconds that one request may take; null: a minute.
    pub timeout_s: Option<u64>,
    /// Seconds that are waited in all for an endpoint that fails; null: a minute.
    pub retry_s: Option<u64>,
}

impl fmt::Debug for OtelExport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL and the headers may hold secrets.
        f.debug_struct("OtelExport")
            .field("protocol", &self.protocol)
            .field("content", &self.content)
            .field("dry_run", &self.dry_run)
            .finish_non_exhaustive()
    }
}

/// What `export-otel` did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OtelExported {
    /// Where to: scheme, host and port.
    pub endpoint: String,
    /// `http/protobuf` or `http/json`.
    pub protocol: String,
    /// Whether nothing was sent.
    pub dry_run: bool,
    /// Sessions.
    pub sessions: u64,
    /// Traces: turns.
    pub traces: u64,
    /// Spans.
    pub spans: u64,
    /// Turns that were left out because they still run.
    pub running: u64,
    /// Requests that were taken; in a dry run, that would be sent.
    pub requests: u64,
    /// Their bytes, before they were compressed.
    pub bytes: u64,
    /// Times that a request was sent again.
    pub retries: u64,
    /// Spans that the endpoint said it did not take.
    pub rejected_spans: u64,
    /// Spans that were left out because each alone is too large for the endpoint.
    pub too_large_spans: u64,
    /// What it said of them, and its warnings; the first few.
    pub messages: Vec<String>,
    /// How long it took, in seconds.
    pub seconds: f64,
}
