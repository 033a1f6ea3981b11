//! Forwarding: to whom what is recorded is sent. Fields may be added, never renamed.

use serde::{Deserialize, Serialize};

/// One sink, in `status` and of `GET /v0/forward`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ForwardStatus {
    /// Its name in the configuration.
    pub name: String,
    /// `otlp` or `pisama`.
    pub kind: String,
    /// Scheme, host and port. Path and query are not told: they may be secrets.
    pub url: String,
    /// Whether it is sent anything without being asked for.
    pub enabled: bool,
    /// How much of what was said and done goes along: `none`, `text` or `full`.
    pub content: String,
    /// When it was switched on; null where it is off.
    pub since: Option<String>,
    /// Turns, or sessions, that it took.
    pub sent: u64,
    /// Those that wait.
    pub waiting: u64,
    /// Those that the store let go of before they were sent.
    pub dropped: u64,
    /// Those that it does not take.
    pub refused: u64,
    /// Those of which something was left out because it takes no more at once.
    pub degraded: u64,
    /// When it took something last.
    pub last_success: Option<String>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// When.
    pub last_error_at: Option<String>,
    /// When it is tried again; null where nothing waits for that.
    pub next_try: Option<String>,
}

/// `GET /v0/forward`, `POST /v0/forward/reload`: all sinks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ForwardSinks {
    /// By name.
    pub forward: Vec<ForwardStatus>,
    /// Why the configuration is not in force.
    pub problem: Option<String>,
}

/// One request that would be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ForwardParcel {
    /// The session.
    pub session_id: String,
    /// The turn; null where it is the whole session.
    pub turn_id: Option<String>,
    /// Where to: scheme, host and port, then the protocol's own path.
    pub url: String,
    /// Names of the headers that go along; their values are not told.
    pub headers: Vec<String>,
    /// The body's type.
    pub content_type: String,
    /// `gzip`, where the body is compressed on its way.
    pub content_encoding: Option<String>,
    /// How many of its units are in it.
    pub items: u64,
    /// What they are: `trace` or `span`.
    pub unit: String,
    /// What is left out because the sink takes no more at once.
    pub degraded: Option<String>,
    /// The body's bytes.
    pub bytes: u64,
    /// The body, where it is text.
    pub body: Option<String>,
    /// The body in base 64, where it is none.
    pub body_base64: Option<String>,
    /// The same message in JSON, where the body is no text and that was asked for.
    pub readable: Option<String>,
}

/// `GET /v0/forward/preview?name=NAME&session=ID&readable=1`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ForwardPreview {
    /// The sink.
    pub name: String,
    /// Whether it is on.
    pub enabled: bool,
    /// Why nothing would be sent, where that is so.
    pub reason: Option<String>,
    /// The session that is shown.
    pub session_id: Option<String>,
    /// The requests, in their order: the first of them, where there are very many.
    pub requests: Vec<ForwardParcel>,
    /// Requests of the last turn that are not shown.
    pub more_requests: u64,
    /// Turns that come after it and are not shown.
    pub more_turns: u64,
}

/// `POST /v0/forward/connect?name=NAME`: what came of exchanging the key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Connected {
    /// Whether the platform gave a token.
    pub ok: bool,
    /// Whose it is, as the token says.
    pub tenant_id: Option<String>,
    /// Why there is none.
    pub error: Option<String>,
    /// Where people see what arrives.
    pub dashboard: String,
}

/// One session of a synchronisation of which there is something to say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SyncNote {
    /// The session.
    pub session_id: String,
    /// What.
    pub text: String,
}

/// The result of `POST /v0/forward/sync?name=NAME`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Synced {
    /// The sink.
    pub name: String,
    /// Sessions that were to be sent.
    pub sessions: u64,
    /// Those that were taken; those that would be, with `dry_run`.
    pub sent: u64,
    /// Their traces or spans.
    pub items: u64,
    /// Bytes of their bodies, before compression.
    pub bytes: u64,
    /// What was left out, and where less was stored than sent.
    pub degraded: Vec<SyncNote>,
    /// What was not taken, and why.
    pub failed: Vec<SyncNote>,
    /// Sessions that an exclusion is about.
    pub excluded: u64,
    /// Nothing was sent.
    pub dry_run: bool,
    /// Where people see what arrived.
    pub dashboard: String,
}
