//! What the user took out of the policy's hands: detections dismissed, kinds allowed, interventions paused.
//!
//! Must never let an exception be lost to make room for another that reaches less far: what concerns every session stays.
//!
//! Invariants: a judgement applied twice counts once; an exception whose time is over holds nothing back; what is held
//! is bounded.

use std::collections::BTreeMap;

use ccd_store::RecordId;

use crate::ingest::found::{DetectionV1, JudgementV1};
use crate::ingest::record::first16;

/// Dismissals that are remembered.
const MAX_DISMISSED: usize = 16_384;
/// Pauses and allowances that are remembered.
const MAX_EXCEPTIONS: usize = 1024;

/// An `allow` or a `pause`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Exception {
    is_pause: bool,
    /// None is all of them.
    session: Option<String>,
    /// None is all of them.
    kind: Option<String>,
    /// Nanoseconds since the Unix epoch; none is until it is taken back.
    until_ns: Option<u64>,
}

impl Exception {
    fn holds(&self, session: &str, kind: &str, now_ns: u64) -> bool {
        self.session.as_deref().is_none_or(|own| own == session)
            && self.kind.as_deref().is_none_or(|own| own == kind)
            && self.until_ns.is_none_or(|until| now_ns < until)
    }
}

/// Everything that the user excepted.
#[derive(Clone, Debug, Default)]
pub struct Exceptions {
    /// What is dismissed, and when it was said in the order of judgements.
    dismissed: BTreeMap<[u8; 16], u64>,
    said: u64,
    held_back: Vec<Exception>,
}

/// What a dismissal is known by: what the detection is about, and where.
fn about(fingerprint: &[u8; 16], cwd: Option<&str>) -> [u8; 16] {
    let mut hash = blake3::Hasher::new();
    hash.update(b"ccd dismissal v1");
    hash.update(fingerprint);
    hash.update(&[u8::from(cwd.is_some())]);
    hash.update(cwd.unwrap_or_default().as_bytes());
    first16(hash.finalize())
}

impl Exceptions {
    /// Takes a judgement in.
    pub fn apply(&mut self, judgement: &JudgementV1) {
        let of = |session: &Option<String>, kind: &Option<String>, other: &Exception| {
            other.session == *session && (kind.is_none() || other.kind == *kind)
        };
        let (session, kind) = (&judgement.session_id, &judgement.kind);
        match judgement.what.as_str() {
            "dismiss" => {
                if let Some(key) = Self::told(judgement) {
                    self.dismiss(key);
                }
            }
            "reopen" => {
                if let Some(key) = Self::told(judgement) {
                    self.dismissed.remove(&key);
                }
            }
            what @ ("allow" | "pause") => {
                let is_pause = what == "pause";
                let new = Exception {
                    is_pause,
                    session: session.clone(),
                    kind: kind.clone(),
                    until_ns: if is_pause { judgement.until_ns } else { None },
                };
                // A later one says how long it lasts from now on.
                self.held_back
                    .retain(|old| (old.is_pause, &old.session, &old.kind) != (is_pause, session, kind));
                self.held_back.retain(|old| old.until_ns.is_none_or(|until| judgement.at_ns < until));
                if self.held_back.len() >= MAX_EXCEPTIONS {
                    let narrow = self.held_back.iter().position(|old| old.session.is_some()).unwrap_or(0);
                    self.held_back.remove(narrow);
                }
                self.held_back.push(new);
            }
            // In a session: everything that was excepted there. Everywhere: every pause, whomever it was for.
            "resume" if session.is_some() => self.held_back.retain(|old| !of(session, kind, old)),
            "resume" => {
                self.held_back
                    .retain(|old| !old.is_pause || kind.as_ref().is_some_and(|_| old.kind != *kind));
            }
            // A later version's.
            _ => {}
        }
    }

    /// One judgement is about all that are about the same; without what that is, about the one detection.
    fn told(judgement: &JudgementV1) -> Option<[u8; 16]> {
        match &judgement.fingerprint {
            Some(fingerprint) => Some(about(fingerprint, judgement.cwd.as_deref())),
            None => judgement.detection,
        }
    }

    fn dismiss(&mut self, key: [u8; 16]) {
        self.said += 1;
        self.dismissed.insert(key, self.said);
        if self.dismissed.len() > MAX_DISMISSED {
            let oldest = self.dismissed.iter().min_by_key(|(_, said)| **said).map(|(key, _)| *key);
            oldest.map(|key| self.dismissed.remove(&key));
        }
    }

    /// Whether the user called this, or one about the same in the same place, a false alarm.
    #[must_use]
    pub fn is_dismissed(&self, detection: &DetectionV1) -> bool {
        let d = detection;
        self.is_key_dismissed(
            &DetectionV1::record_id(&d.session_id, &d.kind, &d.rule, d.at_event),
            &Self::key(d),
        )
    }

    /// The same, of one whose id and [`Exceptions::key`] are known.
    pub(super) fn is_key_dismissed(&self, id: &RecordId, key: &[u8; 16]) -> bool {
        !self.dismissed.is_empty() && (self.dismissed.contains_key(key) || self.dismissed.contains_key(id))
    }

    /// What a detection's dismissal is known by.
    pub(super) fn key(detection: &DetectionV1) -> [u8; 16] {
        about(&detection.fingerprint, detection.cwd.as_deref())
    }

    /// Whether nothing is to be done about this kind in this session now.
    #[must_use]
    pub fn excepts(&self, session: &str, kind: &str, now_ns: u64) -> bool {
        self.held_back.iter().any(|exception| exception.holds(session, kind, now_ns))
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.dismissed.len() + self.held_back.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(what: &str, session: Option<&str>, kind: Option<&str>, until_ns: Option<u64>) -> JudgementV1 {
        JudgementV1 {
            at_ns: 10,
            what: what.into(),
            detection: None,
            fingerprint: None,
            cwd: None,
            session_id: session.map(Into::into),
            kind: kind.map(Into::into),
            until_ns,
            reason: String::new(),
        }
    }

    fn all(said: &[JudgementV1]) -> Exceptions {
        let mut exceptions = Exceptions::default();
        for judgement in said {
            exceptions.apply(judgement);
        }
        exceptions
    }

    #[test]
    fn an_allowance_holds_in_its_session_and_for_its_kind() {
        let e = all(&[said("allow", Some("a"), Some("loop"), None), said("allow", Some("b"), None, None)]);
        assert!(e.excepts("a", "loop", 11) && !e.excepts("a", "cost", 11));
        assert!(e.excepts("b", "cost", u64::MAX) && !e.excepts("c", "loop", 11));
    }

    #[test]
    fn a_pause_ends_with_its_time_or_when_it_is_taken_back() {
        let timed = said("pause", Some("a"), None, Some(20));
        assert!(all(std::slice::from_ref(&timed)).excepts("a", "loop", 19));
        assert!(!all(std::slice::from_ref(&timed)).excepts("a", "loop", 20));
        let e = all(&[timed.clone(), said("pause", Some("a"), None, None)]);
        assert!(e.excepts("a", "loop", 99), "a later one counts");
        let e = all(&[said("pause", None, None, None), said("resume", Some("a"), None, None)]);
        assert!(e.excepts("a", "loop", 11), "what holds everywhere is taken back everywhere");
        let e = all(&[timed, said("pause", None, None, None), said("resume", None, None, None)]);
        assert!(!e.excepts("a", "loop", 11));
        let e = all(&[said("allow", Some("a"), Some("loop"), None), said("resume", Some("a"), None, None)]);
        assert!(!e.excepts("a", "loop", 11));
    }

    #[test]
    fn there_is_an_end_to_what_is_remembered_and_what_reaches_far_stays() {
        let mut e = all(&[said("pause", None, Some("cost"), None)]);
        for n in 0..2 * MAX_EXCEPTIONS {
            e.apply(&said("allow", Some(&format!("s{n}")), None, None));
        }
        assert_eq!(e.held_back.len(), MAX_EXCEPTIONS);
        assert!(e.excepts("x", "cost", 11));
        for n in 0..MAX_DISMISSED + 7 {
            let mut dismissal = said("dismiss", None, None, None);
            dismissal.detection = Some((n as u128).to_be_bytes());
            e.apply(&dismissal);
        }
        assert_eq!(e.dismissed.len(), MAX_DISMISSED);
    }
}
