//! What a detector reports, and what a guard is told before a tool call runs.
//!
//! It must never hold more of a session than a reader needs to see the point: evidence is cut.
//!
//! Invariant: severity and confidence are 0–100.

use serde::{Deserialize, Serialize};

use crate::text::{clip, hash};

/// Bytes of a piece of evidence, of a title and of an advice.
const MAX_TEXT: usize = 600;
/// Pieces of evidence of one detection.
const MAX_EVIDENCE: usize = 8;

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// The same steps again and again, with nothing new between them.
    Loop,
    /// Work that has left what was asked for.
    Derailment,
    /// The context is nearly full.
    Overflow,
    /// Money runs out faster than the work explains.
    Cost,
    /// A name, a path or a module that does not exist.
    Hallucination,
    /// "Done" where the checks do not say so.
    Completion,
}

impl Kind {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 6] =
        [Self::Loop, Self::Derailment, Self::Overflow, Self::Cost, Self::Hallucination, Self::Completion];

    /// As it is written in lists, in the configuration and in files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loop => "loop",
            Self::Derailment => "derailment",
            Self::Overflow => "overflow",
            Self::Cost => "cost",
            Self::Hallucination => "hallucination",
            Self::Completion => "completion",
        }
    }
}

/// Something seen in the session that supports a detection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The number of the event it was seen in.
    pub event: usize,
    /// What was seen there.
    pub text: String,
}

/// Something that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Detection {
    /// What kind of failure.
    pub kind: Kind,
    /// Which of the kind's rules, as its doc page names it.
    pub rule: &'static str,
    /// 0–100: how bad it is if it is so.
    pub severity: u8,
    /// 0–100: how sure it is.
    pub confidence: u8,
    /// The number of the event at which it was known.
    pub at_event: usize,
    /// One line.
    pub title: String,
    /// What supports it, oldest first.
    pub evidence: Vec<Evidence>,
    /// What to do about it, as one would tell the model.
    pub advice: String,
    /// The failure mode of MAST that it is, such as `FM-1.3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mast: Option<&'static str>,
}

impl Detection {
    /// One without evidence yet; severity and confidence are brought into 0–100.
    #[must_use]
    pub fn new(kind: Kind, rule: &'static str, at_event: usize, severity: u8, confidence: u8) -> Self {
        Self {
            kind,
            rule,
            severity: severity.min(100),
            confidence: confidence.min(100),
            at_event,
            title: String::new(),
            evidence: Vec::new(),
            advice: String::new(),
            mast: None,
        }
    }

    /// With this title.
    #[must_use]
    pub fn title(mut self, title: impl AsRef<str>) -> Self {
        self.title = clip(title.as_ref(), MAX_TEXT);
        self
    }

    /// With this advice.
    #[must_use]
    pub fn advice(mut self, advice: impl AsRef<str>) -> Self {
        self.advice = clip(advice.as_ref(), MAX_TEXT);
        self
    }

    /// With this failure mode of MAST.
    #[must_use]
    pub fn mast(mut self, code: &'static str) -> Self {
        self.mast = Some(code);
        self
    }

    /// What it is about, whatever the session and the numbers in it: detections of one kind and rule whose titles differ
    /// in their numbers only are about the same.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 16] {
        let mut text = format!("{}/{}/", self.kind.as_str(), self.rule);
        let mut in_number = false;
        for c in self.title.chars() {
            let is_digit = c.is_ascii_digit();
            if !is_digit {
                text.push(c);
            } else if !in_number {
                text.push('#');
            }
            in_number = is_digit;
        }
        let mut out = [0; 16];
        out[..8].copy_from_slice(&hash(&text).to_be_bytes());
        text.push('.');
        out[8..].copy_from_slice(&hash(&text).to_be_bytes());
        out
    }

    /// With one more piece of evidence, unless there is enough.
    #[must_use]
    pub fn seen(mut self, event: usize, text: impl AsRef<str>) -> Self {
        if self.evidence.len() < MAX_EVIDENCE {
            self.evidence.push(Evidence { event, text: clip(text.as_ref(), MAX_TEXT) });
        }
        self
    }
}

/// What a guard is told about a tool call that is about to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// What kind of failure the call would continue.
    pub kind: Kind,
    /// Which of the kind's rules.
    pub rule: &'static str,
    /// The how-manieth of its like this call would be.
    pub nth: u32,
    /// Why not, and what to do otherwise: text for the model.
    pub reason: String,
}
