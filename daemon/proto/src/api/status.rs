//! `status`: the daemon, the proxy, the hooks, the store. Fields may be added, never renamed.

use serde::{Deserialize, Serialize};

use super::{ForwardStatus, RateLimits, VaultStatus};

/// `GET /v0/status`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// The process.
    pub daemon: DaemonStatus,
    /// The API proxy.
    pub proxy: ProxyStatus,
    /// The web UI's door.
    pub web: WebStatus,
    /// What other programs hand in.
    pub receive: ReceiveStatus,
    /// Hook events.
    pub hooks: HookStatus,
    /// The store.
    pub store: StoreStatus,
    /// What could not be captured.
    pub capture: CaptureStatus,
    /// Detections.
    pub detections: DetectionStatus,
    /// The detectors at work.
    pub detect: DetectStatus,
    /// What is done about them.
    pub heal: HealStatus,
    /// What the upstream in force told last of its limits; null where it told nothing.
    pub rate_limits: Option<RateLimits>,
    /// The client's own files.
    pub transcripts: TranscriptStatus,
    /// What keeps that which is taken out of records.
    #[serde(default)]
    pub vault: VaultStatus,
    /// To whom what is recorded is sent.
    pub forward: Vec<ForwardStatus>,
    /// The client's own telemetry.
    pub telemetry: TelemetryStatus,
}

/// The client's own telemetry, as far as it was taken in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TelemetryStatus {
    /// Events, spans and metrics.
    pub events: u64,
    /// When the latest of them was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_at: Option<String>,
}

/// The client's transcripts, and how far they were taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TranscriptStatus {
    /// Whether they are read.
    pub enabled: bool,
    /// `off`, `waiting` for the store, `importing`, `following` (changes are told by the system), `sweeping` (they are
    /// not: looked at now and then), or `refused` (the store takes nothing now).
    pub state: String,
    /// Directories that are searched.
    pub roots: Vec<TranscriptRoot>,
    /// Files there.
    pub files: u64,
    /// Bytes taken since the daemon started.
    pub bytes: u64,
    /// Bytes of the files there that are taken, whenever that was.
    pub imported_bytes: u64,
    /// Bytes of the files there.
    pub total_bytes: u64,
    /// Bytes that are not taken yet: half lines, too.
    pub behind: u64,
    /// Lines that were too long to be taken, since the daemon started.
    pub skipped_lines: u64,
    /// When something was taken last, since start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_at: Option<String>,
    /// Why some cannot be read, or changes are not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A directory that is searched for transcripts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TranscriptRoot {
    /// Its path.
    pub path: String,
    /// Whether it is there.
    pub exists: bool,
    /// Whether the system tells what changes in it.
    pub watched: bool,
}

/// The daemon's process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DaemonStatus {
    /// False only where `ccctl` itself says so.
    pub running: bool,
    /// Process id.
    pub pid: u32,
    /// Version of the running build.
    pub version: String,
    /// Seconds since it began to serve.
    pub uptime_s: u64,
    /// Who keeps it running: `systemd`, `launchd`, `daemonized` or `foreground`.
    pub manager: String,
    /// Resident memory in bytes.
    pub rss_bytes: u64,
    /// `serving`, `draining` or `retiring`.
    pub state: String,
    /// The log filter in force.
    pub log: String,
    /// Why the configuration file in place is not in force, if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_error: Option<String>,
    /// What that is about: `file`, `environment`, or `restart` for what takes a restart to be in force; else empty.
    pub config_error_about: String,
    /// Who starts it again when it dies; null where nobody does.
    pub supervisor: Option<SupervisorStatus>,
    /// It had a supervisor, which is gone, and nobody starts another: nobody holds the port if the daemon ends.
    pub supervisor_gone: bool,
    /// It is not running although nobody asked it to end: the next hook event brings it back. Only where `running` is
    /// false.
    pub killed: bool,
    /// How it stands with a daemon whose installation was taken back; null otherwise.
    pub retiring: Option<RetiringStatus>,
    /// Its listeners, and who holds each.
    pub sockets: Vec<SocketStatus>,
}

/// A daemon that answers as long as somebody holds its address, and ends by itself then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RetiringStatus {
    /// Since when.
    pub since: String,
    /// When it ends whoever still holds the address.
    pub until: String,
    /// Seconds without a request after which it ends in any case.
    pub idle_s: u64,
    /// Whether `sessions` are all there are. Where the system does not tell of processes, nobody knows.
    pub known: bool,
    /// Who holds the address.
    pub sessions: Vec<RetiringSession>,
}

/// A process that may send requests to a retiring daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RetiringSession {
    /// Process id.
    pub pid: u32,
    /// The session that it runs, where that is known.
    pub session_id: Option<String>,
    /// Where it runs.
    pub cwd: Option<String>,
}

/// A listener of the daemon's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SocketStatus {
    /// `proxy`, `web`, `hook` or `control`.
    pub name: String,
    /// Who keeps it when the daemon dies: `systemd`, `launchd`, `supervise`, or `self` for nobody.
    pub held_by: String,
}

/// The supervisor: the process that holds the listener and keeps a worker behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SupervisorStatus {
    /// Process id.
    pub pid: u32,
    /// Workers that died without being asked to, since it began.
    pub restarts: u64,
    /// How the last of them ended.
    pub last_exit: Option<String>,
}

/// What the supervisor says of itself on its own socket, whatever its workers do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Supervision {
    /// The supervisor.
    pub supervisor: SupervisorStatus,
    /// Version of its build.
    pub version: String,
    /// The program that it starts workers from, as an absolute path.
    pub program: String,
    /// Whether another file lies there by now than the one that it runs: an upgrade that it has not changed over to.
    pub replaced: bool,
    /// The worker that serves.
    pub worker: Option<i32>,
    /// All workers, those included that finish their streams.
    pub workers: Vec<i32>,
    /// No worker can run: every request is answered with 503.
    pub refusing: bool,
    /// Why nothing is captured, while nothing is.
    pub reason: Option<String>,
    /// `address:port` that it holds.
    pub listen: String,
}

/// The API proxy.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ProxyStatus {
    /// `address:port` that it answers on.
    pub listen: String,
    /// Who holds that port, and keeps it when the daemon dies: `systemd`, `launchd`, `supervise`, or `self` for nobody.
    pub holder: String,
    /// Where requests go, without credentials.
    pub upstream: String,
    /// Requests under way.
    pub in_flight: u64,
    /// Exchanges captured, since ever.
    pub exchanges: u64,
    /// Exchanges that ended in an error of the connection to upstream, since start.
    pub errors: u64,
    /// True while requests are relayed without being captured.
    pub bypass: bool,
    /// Why, while they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bypass_reason: Option<String>,
    /// Exchanges relayed without being captured, since start.
    pub relayed: u64,
    /// Connections open.
    pub connections: u64,
    /// Connections refused because another user was at their other end, since start.
    pub refused: u64,
    /// Connections told to come again because there were too many, since start.
    pub turned_away: u64,
    /// Exchanges captured that repeat one that failed, since ever.
    pub retries: u64,
    /// The last error of the connection to upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// The last request did not reach upstream: so many since one did. 0 where one did, or none was made.
    pub unreached: u64,
    /// When a request came last, since start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_request_at: Option<String>,
    /// How far upstream's clock is ahead of this machine's, in milliseconds, by the `Date` of its last answer, which
    /// counts whole seconds; null before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_skew_ms: Option<i64>,
}

/// `POST /v0/upstream/probe`: a connection made as requests make theirs, and closed without one. Steps that were not
/// taken, or not reached, are null.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpstreamProbe {
    /// Where requests go, without credentials.
    pub upstream: String,
    /// Whether it is reached.
    pub ok: bool,
    /// Whether the way leads through the network's proxy.
    pub tunnelled: bool,
    /// Whom the connection was made to.
    pub peer: Option<String>,
    /// Looking its name up took so many microseconds.
    pub resolve_us: Option<u64>,
    /// Connecting did, the network's proxy included.
    pub connect_us: Option<u64>,
    /// TLS with upstream did.
    pub tls_us: Option<u64>,
    /// Which part of the way failed: `resolve`, `connect`, `proxy`, `tls`, `closed` or `timeout`.
    pub kind: Option<String>,
    /// Why.
    pub error: Option<String>,
}

/// The web UI's door.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WebStatus {
    /// `address:port`, or null while there is none.
    pub listen: Option<String>,
    /// Browsers that are logged in.
    pub logins: u64,
    /// Why there is none: its port is taken, most likely.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What other programs hand in over the network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReceiveStatus {
    /// `address:port` of the listener that serves nothing else; null where there is none: the web port takes it in.
    pub listen: Option<String>,
    /// Whether other machines can reach that one.
    pub remote: bool,
    /// Tokens, those that have ended left out.
    pub tokens: u64,
    /// Requests that were let in, since the daemon started.
    pub requests: u64,
    /// Requests that were not.
    pub refused: u64,
    /// Why there is no listener where one is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Hook events.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HookStatus {
    /// Whether Claude Code's hooks call `cc-hook` (answered by `ccctl`, which reads Claude Code's files).
    pub installed: bool,
    /// Events recorded, since ever.
    pub events: u64,
    /// Events waiting in the spool.
    pub spooled: u64,
    /// Spool files that are no event frames, set aside.
    pub rejected: u64,
    /// Spool files of a later version, set aside until a daemon of that version starts.
    pub later: u64,
    /// When `cc-hook` was called for the last event that came since start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_at: Option<String>,
}

/// The store.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StoreStatus {
    /// Its directory.
    pub path: String,
    /// Bytes on disk.
    pub bytes: u64,
    /// Records.
    pub records: u64,
    /// Sessions.
    pub sessions: u64,
    /// Damaged frames found.
    pub damaged: u64,
    /// It is being opened, or its index worked out: nothing is wrong, and questions wait.
    pub opening: bool,
    /// Why the store takes nothing, if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What could not be captured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CaptureStatus {
    /// Exchanges not captured, since start.
    pub dropped: u64,
    /// Exchanges recorded with less than their whole bytes, or not captured at all, since ever. Those not captured are
    /// added once the episode is over.
    pub gaps: u64,
    /// Bytes waiting to be written.
    pub queue_bytes: u64,
    /// Marks put in the place of credentials since start.
    #[serde(default)]
    pub redacted: u64,
    /// Pieces left out since start because they could not be scanned for credentials.
    #[serde(default)]
    pub unscanned: u64,
    /// Ids of the built-in rules that the configuration has put out of use.
    #[serde(default)]
    pub rules_off: Vec<String>,
}

/// Detections. All zero where the store cannot be asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DetectionStatus {
    /// Open ones: not dismissed, and not older than a week.
    pub open: u64,
    /// The highest severity among them; 0 where there are none.
    pub worst: u8,
    /// When the last of them was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_at: Option<String>,
    /// How many of them there are of each kind.
    pub kinds: std::collections::BTreeMap<String, u64>,
}

/// The detectors at work on the sessions that are live.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DetectStatus {
    /// Sessions that are watched.
    pub sessions: u64,
    /// Events that detectors were given, since start.
    pub events: u64,
    /// Batches of records, and questions, that wait for the detectors.
    pub behind: u64,
    /// How often a session had to be read anew because something was lost on the way, since start. Nothing is missed by it.
    pub lost: u64,
    /// Panics of detectors, since start: each ends the watch of one session.
    pub panics: u64,
    /// What was found, since start.
    pub found: u64,
    /// What was found and could not be recorded, since start.
    pub dropped: u64,
    /// Records of sessions that are not watched because as many as can be are at work, since start.
    pub crowded: u64,
}

/// What is done about detections. Counts are since the daemon's start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealStatus {
    /// `off`, `advise` or `guard`, where no project says otherwise.
    pub mode: String,
    /// Working directories with a mode of their own.
    pub projects: u64,
    /// Advices that were handed to the client.
    pub advised: u64,
    /// Tool calls that were denied.
    pub denied: u64,
    /// Turns that were kept from ending.
    pub blocked: u64,
    /// Answers of which it is not known that they arrived.
    pub undelivered: u64,
    /// Hook events that were let through because no answer was there in time.
    pub late: u64,
}
