//! The records of what the detectors found, what was done about it, and what the user said of it.
//!
//! Detections depend on the working directory as it was at that moment, and an intervention is something that happened:
//! both are facts, journalled like any other, and never worked out again. Frozen structs: see [`super::record`].

use ccd_store::{NewRecord, RecordId};
use serde::{Deserialize, Serialize};

use super::record::{KIND_DETECTION, KIND_INTERVENTION, KIND_JUDGEMENT, RecordError, encode, first16};

/// Something seen in the session that supports a detection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceV1 {
    /// The span it was seen in, where it is known.
    pub span_id: Option<String>,
    /// What was seen there.
    pub text: String,
}

/// Something that goes wrong in a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetectionV1 {
    /// When it was known: the time of the event that showed it, nanoseconds since the Unix epoch.
    pub at_ns: u64,
    /// The session.
    pub session_id: String,
    /// The subagent; none is the main thread.
    pub agent_id: Option<String>,
    /// The session's working directory.
    pub cwd: Option<String>,
    /// The turn.
    pub turn_id: Option<String>,
    /// The span that showed it.
    pub span_id: Option<String>,
    /// `loop`, `derailment`, `overflow`, `cost`, `hallucination`, `completion`, ….
    pub kind: String,
    /// Which of the kind's rules.
    pub rule: String,
    /// 0–100: how bad it is if it is so.
    pub severity: u8,
    /// 0–100: how sure it is.
    pub confidence: u8,
    /// The number of the event in the session that showed it.
    pub at_event: u64,
    /// One line.
    pub title: String,
    /// What supports it, oldest first.
    pub evidence: Vec<EvidenceV1>,
    /// What to do about it, as one would tell the model.
    pub advice: String,
    /// The failure mode of MAST that it is.
    pub mast: Option<String>,
    /// What it is about, whatever the session: one that the user called a false alarm is known again by this and `cwd`.
    pub fingerprint: [u8; 16],
}

/// What was done about a detection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterventionV1 {
    /// When, nanoseconds since the Unix epoch.
    pub at_ns: u64,
    /// The session.
    pub session_id: String,
    /// The subagent; none is the main thread.
    pub agent_id: Option<String>,
    /// The detection it is about; a call may be denied before it makes one.
    pub detection: Option<RecordId>,
    /// The detection's kind.
    pub kind: String,
    /// The detection's rule.
    pub rule: String,
    /// `advised`, `denied` or `blocked`.
    pub action: String,
    /// The hook event that was answered.
    pub event: String,
    /// The tool call that was denied, or whose result the advice was added to.
    pub tool_use_id: Option<String>,
    /// What the model was told.
    pub text: String,
    /// Whether `cc-hook` said that it had printed it.
    pub delivered: bool,
}

/// What the user said: of a detection, or of the interventions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgementV1 {
    /// When, nanoseconds since the Unix epoch.
    pub at_ns: u64,
    /// `dismiss` or `reopen` (what a detection is about), `allow` (no interventions of this kind, or of any, in this session
    /// any more), `pause` (no interventions at all, in a session or everywhere, until a time), `resume` (takes back all
    /// pauses and allowances, of a session or of all). The last word counts.
    pub what: String,
    /// The detection.
    pub detection: Option<RecordId>,
    /// What that is about: those about the same in the same working directory are dismissed with it.
    pub fingerprint: Option<[u8; 16]>,
    /// The detection's working directory.
    pub cwd: Option<String>,
    /// The session; none is all of them.
    pub session_id: Option<String>,
    /// The kind; none is all of them.
    pub kind: Option<String>,
    /// Until when a pause lasts, nanoseconds since the Unix epoch; none is until it is resumed.
    pub until_ns: Option<u64>,
    /// Why, in the user's words.
    pub reason: String,
}

impl DetectionV1 {
    /// The record's id: the same rule at the same event of a session is one detection, however often it is worked out.
    #[must_use]
    pub fn record_id(session: &str, kind: &str, rule: &str, at_event: u64) -> RecordId {
        let mut hash = blake3::Hasher::new();
        hash.update(b"ccd detection v1");
        for part in [session, kind, rule] {
            hash.update(&(part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        hash.update(&at_event.to_be_bytes());
        first16(hash.finalize())
    }

    /// The journal's record.
    pub fn to_record(&self) -> Result<NewRecord, RecordError> {
        let id = Self::record_id(&self.session_id, &self.kind, &self.rule, self.at_event);
        Ok(NewRecord { kind: KIND_DETECTION, schema: 1, id, at_ns: self.at_ns, body: encode(self)? })
    }
}

impl InterventionV1 {
    /// The journal's record; the id is a new UUID's.
    pub fn to_record(&self, id: RecordId) -> Result<NewRecord, RecordError> {
        Ok(NewRecord { kind: KIND_INTERVENTION, schema: 1, id, at_ns: self.at_ns, body: encode(self)? })
    }
}

impl JudgementV1 {
    /// The journal's record; the id is a new UUID's.
    pub fn to_record(&self, id: RecordId) -> Result<NewRecord, RecordError> {
        Ok(NewRecord { kind: KIND_JUDGEMENT, schema: 1, id, at_ns: self.at_ns, body: encode(self)? })
    }
}
