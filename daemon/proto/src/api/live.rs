//! What is followed live: `GET /v0/follow`, one [`FollowLine`] per line.

use serde::{Deserialize, Serialize};

use super::{Detection, Intervention, Session, Span, Turn};

/// One line of `GET /v0/follow?session=ID&after=CURSOR`: what there is, then what comes, each thing again when it changes.
///
/// Without `session`, only [`FollowLine::session`] lines: the list of sessions. Exactly one field is there, or none: an
/// empty line of JSON (`{}`) comes every 15 s, so that a reader knows a dead connection from a quiet one.
///
/// The first line is [`FollowLine::open`]. A reader that gives the last cursor it was sent gets what is new since, where
/// the daemon still knows (`resumed`); else everything once more, which it puts over what it has, and forgets what did not come.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FollowLine {
    /// What is about to be sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open: Option<FollowOpen>,
    /// A session as it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<Session>,
    /// A turn as it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn: Option<Turn>,
    /// A span as it is now, without its empty fields.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span: Option<Span>,
    /// A detection as it is now, dismissed ones included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detection: Option<Detection>,
    /// An intervention as it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intervention: Option<Intervention>,
    /// What is not there any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gone: Option<Gone>,
    /// All that belongs together has been sent: where to go on from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// The first line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FollowOpen {
    /// The session; null where the list of sessions is followed.
    pub session_id: Option<String>,
    /// Whether it goes on from the cursor; else everything is sent.
    pub resumed: bool,
    /// Turns about to be sent.
    pub turns: u64,
    /// Spans about to be sent.
    pub spans: u64,
}

/// Ids of what is not there any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gone {
    /// Sessions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<String>,
    /// Turns.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub turns: Vec<String>,
    /// Spans.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub spans: Vec<String>,
    /// Detections: the past is kept for so long, and a session may be longer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub detections: Vec<String>,
    /// Interventions, likewise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interventions: Vec<String>,
}
