//! Detections, what was done about them, and what the user said of them.

use serde::{Deserialize, Serialize};

/// Something seen in the session that supports a detection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Evidence {
    /// The span it was seen in: `show` takes it. Null where it is not known.
    pub span_id: Option<String>,
    /// What was seen there. Captured text may be in it.
    pub text: String,
}

/// What was done about a detection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Intervention {
    /// 32 hexadecimal digits.
    pub intervention_id: String,
    /// When.
    pub at: String,
    /// The session.
    pub session_id: String,
    /// The subagent; null is the main thread.
    pub agent_id: Option<String>,
    /// The detection it is about; null where a call was denied before one was made.
    pub detection_id: Option<String>,
    /// The detection's kind.
    pub kind: String,
    /// The detection's rule.
    pub rule: String,
    /// `advised` (the model was told), `denied` (a tool call did not run), `blocked` (the turn did not end).
    pub action: String,
    /// The hook event that was answered.
    pub event: String,
    /// The tool call that was denied, or whose result the advice was added to.
    pub tool_use_id: Option<String>,
    /// The same as a span.
    pub span_id: Option<String>,
    /// What the model was told.
    pub text: String,
    /// Whether it is known to have been handed to the client.
    pub delivered: bool,
}

/// Something that goes wrong in a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Detection {
    /// 32 hexadecimal digits; the head of it is enough where one is asked for. Empty for one that `analyze` made and that
    /// is not on record.
    pub detection_id: String,
    /// `loop`, `derailment`, `overflow`, `cost`, `hallucination`, `completion`, ….
    pub kind: String,
    /// Which of the kind's rules, as `ccctl detections --explain KIND` names it.
    pub rule: String,
    /// 0–100: how bad it is if it is so.
    pub severity: u8,
    /// 0–100: how sure it is.
    pub confidence: u8,
    /// The session.
    pub session_id: String,
    /// The subagent; null is the main thread.
    pub agent_id: Option<String>,
    /// Last component of the working directory.
    pub project: Option<String>,
    /// The turn; null where it is not known.
    pub turn_id: Option<String>,
    /// The span that showed it; null where it is not known.
    pub span_id: Option<String>,
    /// When it was known.
    pub at: String,
    /// One line. Captured text may be in it.
    pub title: String,
    /// What supports it, oldest first.
    pub evidence: Vec<Evidence>,
    /// What to do about it, as one would tell the model.
    pub advice: String,
    /// The failure mode of MAST that it is, such as `FM-1.3`.
    pub mast: Option<String>,
    /// What was done about it last; null where nothing was.
    pub intervention: Option<Intervention>,
    /// `open`, `dismissed` (the user said that it, or one about the same, is a false alarm) or `past` (older than a week).
    pub state: String,
    /// Why it was dismissed, in the user's words.
    pub reason: Option<String>,
}

/// A detection, as what it is about names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DetectionRef {
    /// Its id.
    pub detection_id: String,
    /// Its kind.
    pub kind: String,
    /// Its rule.
    pub rule: String,
    /// 0–100.
    pub severity: u8,
}

/// `GET /v0/detections`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Detections {
    /// Newest first.
    pub detections: Vec<Detection>,
    /// How many more match than `limit` allows.
    pub more: u64,
}

/// One row of a trend.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DetectionTrendRow {
    /// What it is about: the keys that were asked for (`kind`, `rule`, `project`, `week`, `day`, `session`), each with its value.
    pub key: std::collections::BTreeMap<String, String>,
    /// Detections.
    pub detections: u64,
    /// Those that were dismissed.
    pub dismissed: u64,
    /// Those about which something was done.
    pub intervened: u64,
    /// Sessions that have any.
    pub sessions: u64,
    /// The highest severity.
    pub worst: u8,
}

/// `GET /v0/detections/trend?by=kind,project,week`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DetectionTrend {
    /// The keys.
    pub by: Vec<String>,
    /// Weeks and days newest first, then the most detections first.
    pub rows: Vec<DetectionTrendRow>,
    /// Sessions in the range, whether anything was found in them or not.
    pub sessions: u64,
}

/// `GET /v0/detections/ID`, `POST /v0/detections/ID/dismiss?reason=…` and `…/reopen`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Judged {
    /// The detection, as it is now.
    pub detection: Detection,
    /// How many others are about the same, and are dismissed or open with it.
    pub others: u64,
}

/// A pause of the interventions, or a kind that is allowed in a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealException {
    /// `allow` or `pause`.
    pub what: String,
    /// The session; null is all of them.
    pub session_id: Option<String>,
    /// The kind; null is all of them.
    pub kind: Option<String>,
    /// Until when; null is until it is taken back, or the session's end.
    pub until: Option<String>,
    /// When it was said.
    pub at: String,
}

/// `GET /v0/heal`: how interventions are set, and the audit list.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Heal {
    /// `off`, `advise` or `guard`, as configured.
    pub mode: String,
    /// Working directories with a mode of their own, and which.
    pub projects: std::collections::BTreeMap<String, String>,
    /// Pauses and allowances in force.
    pub exceptions: Vec<HealException>,
    /// What was done, newest first.
    pub interventions: Vec<Intervention>,
    /// How many more match than `limit` allows.
    pub more: u64,
}

/// Where the report's tokens and cents went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReportCost {
    /// What the session cost in all, in micro-dollars; null where nothing could be priced.
    pub session_usd_micros: Option<i64>,
    /// What it cost from the first finding on, in micro-dollars; null likewise.
    pub since_first_usd_micros: Option<i64>,
    /// Tool calls from the first finding on.
    pub tool_calls_since_first: u64,
}

/// `GET /v0/analyze?session=ID`: the detectors, run over a session again.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// The session.
    pub session: super::Session,
    /// The first thing that went wrong: an index into `detections`; null where nothing did.
    pub first: Option<usize>,
    /// What was found, in the order in which it was known.
    pub detections: Vec<Detection>,
    /// What it cost.
    pub cost: ReportCost,
    /// A text for `CLAUDE.md` that would have helped, as Markdown; empty where nothing went wrong.
    pub guardrail: String,
    /// Events that the detectors were given.
    pub events: u64,
    /// What could not be looked at, and why: such as names, because no index of the working directory was at hand.
    pub not_checked: Vec<String>,
}
