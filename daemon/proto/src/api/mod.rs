//! The control API's typed replies: HTTP/1.1 + JSON under `/v0/…`, on `ccd.sock`.
//!
//! | route | reply |
//! | --- | --- |
//! | `GET /v0/status` | [`Status`] |
//! | `GET /v0/sessions` | [`Sessions`] |
//! | `GET /v0/turns` | [`Turns`] |
//! | `GET /v0/spans` | [`Spans`] |
//! | `GET /v0/spans/follow` | one [`Span`] per line (JSON lines), for as long as the reader stays |
//! | `GET /v0/spans/ID/records` | [`SpanRecords`] |
//! | `GET /v0/records/ID` | [`RecordContent`] |
//! | `GET /v0/follow?session=ID&after=CURSOR` | one [`FollowLine`] per line, for as long as the reader stays |
//! | `GET /v0/files?session=ID` | [`Files`] |
//! | `GET /v0/tools?since=…` | [`ToolTimes`] |
//! | `GET /v0/export/session/ID.html?full=1` | one inert page, redacted; with `POST`, on `ccd.sock` alone, `reveal=1` leaves it as it is |
//! | `GET /v0/export?format=jsonl\|csv\|har\|otlp` | a file as it is made; with `framed=1` in [`ExportFrame`]s; with `POST`, on `ccd.sock` alone, `reveal=1` |
//! | `GET /v0/exchanges` | [`Exchanges`] |
//! | `GET /v0/exchanges/follow` | one [`Exchange`] per line as it ends, for as long as the reader stays |
//! | `GET /v0/exchanges/ID` | [`ExchangeDetail`] |
//! | `GET /v0/exchanges/ID/changes` | [`RequestChanges`] |
//! | `GET /v0/exchanges/ID/request`, `…/response` | the exact body bytes |
//! | `POST` to either, on `ccd.sock` alone, `?reason=WORDS` | the bytes as they went by, credentials in them, too |
//! | `GET /v0/show/ID` | [`Shown`]; with `POST`, on `ccd.sock` alone, with credentials in it |
//! | `GET /v0/vault` | [`VaultStatus`]; the vault is on `ccd.sock` alone |
//! | `GET /v0/vault/audit` | [`VaultAudit`] |
//! | `POST /v0/vault/lookup` with a [`VaultAsk`] | [`VaultLookup`] |
//! | `POST /v0/vault/delete`, `…/rotate`, `…/health`, likewise | [`VaultDeleted`], [`VaultRotated`], [`VaultHealth`] |
//! | `POST /v0/vault/backup`, likewise | the backup's bytes |
//! | `POST /v0/vault/restore` with a [`VaultAsk`] on a line, and a backup's bytes | [`VaultRestored`] |
//! | `GET /v0/search?q=WORDS` | [`Search`] |
//! | `GET /v0/search/lines?q=WORDS` | [`SearchLine`]s, each hit as it is found |
//! | `GET /v0/usage` | [`Usage`] |
//! | `GET /v0/budget` | [`Budget`] |
//! | `GET /v0/detections` | [`Detections`] |
//! | `GET /v0/detections/ID` | [`Judged`] |
//! | `GET /v0/detections/trend?by=kind,project,week` | [`DetectionTrend`] |
//! | `POST /v0/detections/ID/dismiss?reason=WORDS`, `…/reopen` | [`Judged`] |
//! | `GET /v0/analyze?session=ID&tree=1` | [`Report`] |
//! | `GET /v0/heal` | [`Heal`] |
//! | `POST /v0/heal/allow?session=ID&kind=KIND`, `…/pause?session=ID&for_s=N`, `…/resume?session=ID` | [`Heal`] |
//! | `GET /v0/forward`, `POST /v0/forward/reload` | [`ForwardSinks`] |
//! | `GET /v0/forward/preview?name=NAME&session=ID&readable=1` | [`ForwardPreview`]: exactly what would be sent |
//! | `POST /v0/forward/connect?name=NAME` | [`Connected`] |
//! | `POST /v0/forward/sync?name=NAME&last=N&dry_run=1` | lines, at the end [`Synced`] |
//! | `POST /v0/statusline` with the client's JSON | [`StatusLine`] |
//! | `POST /v0/web/login` | [`WebLogin`]; on `ccd.sock` alone |
//! | `POST /v0/stop` | [`Done`]; the daemon drains its streams and exits. `?now=1`: without draining |
//! | `POST /v0/retire` | [`Done`]; the daemon goes on answering and exits once nobody uses it |
//! | `POST /v0/log-level?level=debug` | [`Done`] |
//! | `POST /v0/upstream/probe` | [`UpstreamProbe`] |
//! | `GET /v0/store/stats` | [`StoreStats`] |
//! | `POST /v0/store/verify` | lines, at the end [`Verified`] |
//! | `POST /v0/store/backup?dir=DIR` | lines, at the end [`BackedUp`] |
//! | `POST /v0/store/restore?dir=DIR` | lines, at the end [`Restored`] |
//! | `POST /v0/store/rebuild` | lines, at the end [`Rebuilt`] |
//! | `POST /v0/store/prune?older_than_ns=N&max_bytes=N&dry_run=1` | lines, at the end [`Pruned`] |
//!
//! Operations on the store answer as JSON lines ([`Line`]): progress, ten times a second at most, then exactly one
//! result or error. One runs at a time; a second one is refused with HTTP 409 and the code `busy`. A verification or
//! backup ends when its reader goes away, the others go on.
//!
//! Query parameters, where they make sense: `since`, `until` (RFC 3339), `limit`, `session` (a prefix is
//! enough), `project`, `tool`, `kind`, `status`, `turn`, `content=1` (a span's input and output),
//! `reasoning=1` (thinking text), for a search `q` (words that must all be there, "phrases"), `regex=1`, `case=1`,
//! `raw=1` (what no span shows, too), `cursor`, `timeout_s`, and for usage `period`, `by` (comma list) and `tz`. For
//! detections `kind` is a kind of detection; `rule`, `state` (`open`, `dismissed`, `past`, `all`; without it all that are
//! not dismissed, in a trend all), `min_severity` and `min_confidence` (0–100), and for trends `by` and `tz`.
//!
//! Every reply object opens with `schema_version`. Errors are [`ErrorReply`] with a fitting HTTP status.
//! Times are RFC 3339 in UTC with microseconds; money is integer micro-dollars beside a display string.
//! Readers ignore fields that they do not know.

mod budget;
mod detections;
mod exchanges;
mod explain;
mod export;
mod forward;
mod limits;
mod live;
mod otel;
mod records;
mod search;
mod status;
mod store;
mod timing;
mod tokens;
mod usage;
mod vault;
mod web;

use serde::{Deserialize, Serialize};

pub use self::budget::{Budget, BudgetScope, StatusLine};
pub use self::detections::{
    Detection, DetectionRef, DetectionTrend, DetectionTrendRow, Detections, Evidence, Heal, HealException,
    Intervention, Judged, Report, ReportCost,
};
pub use self::exchanges::{Exchange, ExchangeDetail, Exchanges, StreamEvent};
pub use self::explain::{Explain, ExplainCharge, ExplainTerm};
pub use self::export::{EXPORT_SCHEMA, ExportEnd, ExportFrame};
pub use self::forward::{
    Connected, ForwardParcel, ForwardPreview, ForwardSinks, ForwardStatus, SyncNote, Synced,
};
pub use self::limits::{Limited, RateLimit, RateLimits};
pub use self::live::{FollowLine, FollowOpen, Gone};
pub use self::otel::{OtelExport, OtelExported};
pub use self::records::{
    Change, Files, RecordContent, RecordRef, RequestChanges, SessionFile, SpanRecords, ToolTime, ToolTimes,
};
pub use self::search::{Hit, Search, SearchEnd, SearchLine};
pub use self::status::{
    CaptureStatus, DaemonStatus, DetectStatus, DetectionStatus, HealStatus, HookStatus, ProxyStatus,
    ReceiveStatus, RetiringSession, RetiringStatus, SocketStatus, Status, StoreStatus, Supervision,
    SupervisorStatus, TelemetryStatus, TranscriptRoot, TranscriptStatus, UpstreamProbe, WebStatus,
};
pub use self::store::{
    BackedUp, DamagedRange, DamagedRecord, FileStats, Imported, Line, LostRecord, NotImported, Operation,
    Progress, Pruned, Rebuilt, Restored, Retention, StoreStats, Verified,
};
pub use self::timing::{Stall, Timing, millis};
pub use self::tokens::{TokenCreated, TokenInfo, TokenList, TokenRevoked};
pub use self::usage::{Block, Cache, Retries, Side, Usage, UsageRow, UsageSession};
pub use self::vault::MARKS_LEFT;
pub use self::vault::{
    VaultAsk, VaultAudit, VaultDeleted, VaultHealth, VaultLook, VaultLookup, VaultRestored, VaultRotated,
    VaultStatus,
};
pub use self::web::WebLogin;

/// Any reply: `schema_version`, then the reply's own fields.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reply<T> {
    /// [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The reply itself.
    #[serde(flatten)]
    pub body: T,
}

impl<T> Reply<T> {
    /// Wraps a reply of this build.
    pub fn new(body: T) -> Self {
        Reply { schema_version: crate::SCHEMA_VERSION, body }
    }
}

/// Why a request failed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ErrorReply {
    /// The error.
    pub error: ApiError,
}

/// An error for people and programs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    /// Stable, low-cardinality name: `not_found`, `bad_request`, `ambiguous`, `unavailable`, `forbidden`, …
    pub code: String,
    /// What went wrong.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// The last bytes of an exported page: one without them was cut off.
pub const HTML_END: &str = "</body></html>\n";

/// The reply to a command.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Done {
    /// Always true; a failure is an [`ErrorReply`].
    pub ok: bool,
}

/// Tokens, split as the API splits them. The kinds are disjoint: their sum is everything that was billed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tokens {
    /// Input tokens that touched no cache.
    pub input: u64,
    /// Output tokens, thinking included.
    pub output: u64,
    /// Input tokens read from the prompt cache.
    pub cache_read: u64,
    /// Input tokens written to the 5-minute cache.
    pub cache_write_5m: u64,
    /// Input tokens written to the 1-hour cache.
    pub cache_write_1h: u64,
}

impl Tokens {
    /// Everything the model read.
    #[must_use]
    pub fn prompt(&self) -> u64 {
        self.input + self.cache_read + self.cache_write_5m + self.cache_write_1h
    }

    /// Everything read and written.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.prompt() + self.output
    }
}

impl std::ops::AddAssign for Tokens {
    fn add_assign(&mut self, o: Tokens) {
        self.input += o.input;
        self.output += o.output;
        self.cache_read += o.cache_read;
        self.cache_write_5m += o.cache_write_5m;
        self.cache_write_1h += o.cache_write_1h;
    }
}

/// `GET /v0/sessions`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sessions {
    /// Newest first.
    pub sessions: Vec<Session>,
}

/// One Claude Code run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Session {
    /// Claude Code's own id.
    pub session_id: String,
    /// Working directory at start.
    pub cwd: Option<String>,
    /// Last component of `cwd`.
    pub project: Option<String>,
    /// The model of the last main-thread call.
    pub model: Option<String>,
    /// Every model called.
    pub models: Vec<String>,
    /// First record.
    pub started_at: String,
    /// Last record.
    pub last_at: String,
    /// Whether the session's end was seen.
    pub ended: bool,
    /// Turns.
    pub turns: u64,
    /// Exchanges.
    pub exchanges: u64,
    /// Tool calls.
    pub tool_calls: u64,
    /// Tool calls that failed.
    pub tool_errors: u64,
    /// Subagents.
    pub agents: u64,
    /// Tokens.
    pub tokens: Tokens,
    /// Cost in micro-dollars; null where nothing could be priced. Unpriced models are not in it.
    pub cost_usd_micros: Option<i64>,
    /// Cost for people.
    pub cost: String,
    /// Models called that have no price.
    pub unpriced_models: Vec<String>,
    /// How full the main thread's context is.
    pub context: Context,
    /// Detections that are not dismissed.
    pub detections: u64,
    /// The client, as its hooks or transcripts name it, e.g. `claude-code 2.1.329`.
    pub client: Option<String>,
}

/// How full a context window is, as of the last main-thread call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Context {
    /// Tokens of the last main-thread request.
    pub used: u64,
    /// The model's window in tokens; null where unknown.
    pub window: Option<u64>,
    /// `used` of `window`, rounded down; null where unknown.
    pub percent: Option<u64>,
}

/// `GET /v0/turns`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Turns {
    /// Newest first.
    pub turns: Vec<Turn>,
}

/// One user prompt until Stop: one trace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Turn {
    /// Claude Code's prompt id, or one of ours where neither hook nor transcript told it.
    pub turn_id: String,
    /// The trace of this turn: 32 hexadecimal digits.
    pub trace_id: String,
    /// Its session.
    pub session_id: String,
    /// 1 for the session's first turn.
    pub number: u64,
    /// The prompt.
    pub prompt: Option<String>,
    /// Where the prompt came from: `user` or `machine` (a background task's notice).
    pub source: String,
    /// Start.
    pub started_at: String,
    /// Duration until Stop; null while it runs.
    pub duration_ms: Option<u64>,
    /// `ok`, `error`, `interrupted` or `running`.
    pub status: String,
    /// Why, where it is not `ok`.
    pub error: Option<String>,
    /// Model calls.
    pub exchanges: u64,
    /// Tool calls.
    pub tool_calls: u64,
    /// Tool calls that failed.
    pub tool_errors: u64,
    /// Subagents.
    pub agents: u64,
    /// Tokens.
    pub tokens: Tokens,
    /// Cost in micro-dollars; null where nothing could be priced.
    pub cost_usd_micros: Option<i64>,
    /// Cost for people.
    pub cost: String,
    /// The turn's last words.
    pub result: Option<String>,
    /// What was found to go wrong in it, and was not dismissed, oldest first.
    pub detections: Vec<DetectionRef>,
}

/// `GET /v0/spans`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Spans {
    /// In order of their start; the newest `limit` of them.
    pub spans: Vec<Span>,
    /// True if `limit` left older ones out.
    #[serde(default)]
    pub more: bool,
}

/// One agent, model call or tool call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Span {
    /// 16 hexadecimal digits.
    pub span_id: String,
    /// The turn's trace: 32 hexadecimal digits.
    pub trace_id: String,
    /// The parent span; null at a turn's root. A model or tool call's parent is the agent that made it; a
    /// subagent's is the tool call that started it.
    pub parent_id: Option<String>,
    /// Its session.
    pub session_id: String,
    /// Its turn.
    pub turn_id: String,
    /// The subagent it happened in; null on the main thread.
    pub agent_id: Option<String>,
    /// That subagent's type.
    pub agent_type: Option<String>,
    /// `agent`, `llm`, `tool` or `compaction`: one that only hooks or transcripts tell of; one that the proxy saw is the
    /// model call that made the summary.
    pub kind: String,
    /// `invoke_agent …`, `chat MODEL`, `execute_tool TOOL` or `compact manual|auto`.
    pub name: String,
    /// Start.
    pub started_at: String,
    /// Duration; null while it runs, or where nothing tells its end.
    pub duration_ms: Option<u64>,
    /// How long a tool itself ran, as the client measured it: without the wait for a permission.
    pub execution_ms: Option<u64>,
    /// `ok`, `error`, `denied` or `running`.
    pub status: String,
    /// A tool call's id.
    pub tool_use_id: Option<String>,
    /// A tool call's name.
    pub tool_name: Option<String>,
    /// What went in: a tool's input; a model call's new messages; an agent's prompt. With `content=1` only.
    pub input: Option<serde_json::Value>,
    /// What came out: a tool's response; a model call's content blocks; an agent's last words. With
    /// `content=1` only.
    pub output: Option<serde_json::Value>,
    /// One line for lists: a command, a path, the first words.
    pub summary: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// A model call's model.
    pub model: Option<String>,
    /// A model call's purpose: `main`, `subagent`, `title`, `compaction`, `count_tokens`, `web_search`, `side`.
    pub purpose: Option<String>,
    /// A model call's exchange.
    pub exchange_id: Option<String>,
    /// Milliseconds from a model call's start to the first byte of its answer.
    pub ttfb_ms: Option<u64>,
    /// Why a model call ended.
    pub stop_reason: Option<String>,
    /// A model call that was made again: the span of the call that failed before it.
    pub retry_of: Option<String>,
    /// For a tool call, the model call that asked for it.
    pub requested_by: Option<String>,
    /// Tokens: a model call's own; an agent's sum over itself and the agents below it.
    pub tokens: Option<Tokens>,
    /// Cost in micro-dollars, likewise.
    pub cost_usd_micros: Option<i64>,
    /// A tool call's share of what model calls cost, in micro-dollars: of the output that asked for it, and of the
    /// prompt that its result was added to. Shared out by a rule, and part of those calls' own cost.
    pub attributed_usd_micros: Option<i64>,
    /// A model call's reasoning.
    pub reasoning: Option<Reasoning>,
    /// A model call that was copied from another session's transcript, such as by a fork: that session, which was
    /// charged for it. It has no tokens of its own then.
    pub copied_from: Option<String>,
    /// What became of a tool call where somebody was asked: `accept` or `reject`. Telemetry alone tells it, as the three below.
    pub decision: Option<String>,
    /// Who said so: `config`, `hook`, `user_permanent`, `user_temporary`, `user_abort`, `user_reject`.
    pub decided_by: Option<String>,
    /// Who made a model call, in the client's words: `sdk`, `compact`, `agent:builtin:Explore`, …
    pub asked_by: Option<String>,
    /// What a model call cost by the client's own prices, in micro-dollars. No sum has it.
    pub client_usd_micros: Option<i64>,
    /// What told us of it: `hook`, `proxy`, `transcript`, `telemetry`.
    pub sources: Vec<String>,
    /// Ids of what it showed to go wrong, as far as that was not dismissed, oldest first.
    pub detections: Vec<String>,
}

/// A response's thinking.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reasoning {
    /// Thinking blocks, redacted ones included.
    pub blocks: u64,
    /// Blocks that the API sent without their text.
    pub omitted: u64,
    /// The text. With `reasoning=1` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// `GET /v0/show/ID`: one thing in full.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Shown {
    /// `session`, `turn`, `span`, `exchange` or `detection`.
    pub kind: String,
    /// The session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<Session>,
    /// The turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn: Option<Turn>,
    /// The span.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span: Option<Span>,
    /// The exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exchange: Option<ExchangeDetail>,
    /// The detection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detection: Option<Detection>,
    /// What was found to go wrong in a session, or was shown by a span, and was not dismissed, oldest first. A turn has
    /// its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub detections: Vec<DetectionRef>,
    /// A session's turns.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub turns: Vec<Turn>,
    /// A turn's spans.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub spans: Vec<Span>,
}

/// Micro-dollars for people: cents where that says enough, more digits below a dollar.
#[must_use]
pub fn display_usd(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let abs = micros.unsigned_abs();
    if abs >= 1_000_000 || abs == 0 {
        let cents = (abs + 5_000) / 10_000;
        return format!("{sign}${}.{:02}", cents / 100, cents % 100);
    }
    // Below a dollar: four places, or all six where four would show nothing.
    if abs >= 100 {
        let (whole, part) = ((abs + 50) / 1_000_000, (abs + 50) % 1_000_000 / 100);
        format!("{sign}${whole}.{part:04}")
    } else {
        format!("{sign}$0.{abs:06}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_reads_well_at_every_size() {
        for (micros, want) in [
            (0, "$0.00"),
            (7, "$0.000007"),
            (12_345, "$0.0123"),
            (999_999, "$1.0000"),
            (1_234_567, "$1.23"),
            (1_995_000, "$2.00"),
            (-12_345, "-$0.0123"),
        ] {
            assert_eq!(display_usd(micros), want);
        }
    }

    #[test]
    fn replies_open_with_the_schema_version() {
        let json = serde_json::to_string(&Reply::new(Sessions::default())).unwrap();
        assert_eq!(json, r#"{"schema_version":1,"sessions":[]}"#);
    }
}
