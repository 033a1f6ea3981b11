//! Detections, interventions and judgements as rows of the index: their keys, what each row holds, and what the user's
//! word does to them.
//!
//! A row holds what lists are cut by, and where the record is; evidence, advice and texts are read from there. Whether a
//! detection is dismissed stands in its own rows, so that nothing has to be looked up to count those that are not.
//!
//! Must never keep a judgement by the detection it was said of: it is about what the detection is about
//! ([`about`]), which outlives records and comes again.

use ccd_store::{Locator, RecordId};
use serde::{Deserialize, Serialize};

use super::ids;
use super::rows::{number, prefixed};
use crate::ingest::found::{DetectionV1, InterventionV1, JudgementV1};
use crate::ingest::record::first16;

const DETECTION: u8 = 0x29;
const OF_SESSION: u8 = 0x2a;
const BY_ID: u8 = 0x2b;
const ABOUT: u8 = 0x2c;
const INTERVENTION: u8 = 0x2d;
const OF_DETECTION: u8 = 0x2e;
const JUDGEMENT: u8 = 0x2f;

/// In the keys of judgements: what is dismissed, and pauses and allowances.
const DISMISSED: u8 = 0;
const EXCEPTION: u8 = 1;
/// Of the latter.
const PAUSE: u8 = 0;
const ALLOWANCE: u8 = 1;

/// How long a detection is open: nobody goes back to older ones.
pub const OPEN_NS: u64 = 7 * 86_400_000_000_000;

/// Bytes kept of names, of titles and of directories.
const NAME: usize = 60;
const TITLE: usize = 200;
const DIR: usize = 300;

/// When something was, nanoseconds since the Unix epoch, and its record's id.
pub type Place = (u64, RecordId);

/// What a detection is about: see [`about`].
pub type About = [u8; 16];

/// A detection's row. It begins with its [`Brief`], which may be read alone, and that with its [`Gist`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetectionRow {
    /// All that a session's tree wants to know of it.
    pub brief: Brief,
    /// Where its record is.
    pub locator: [u8; 10],
    /// The session.
    pub session_id: String,
    /// The session's working directory, its beginning.
    pub cwd: Option<String>,
    /// What it is about.
    pub about: About,
    /// The last intervention.
    pub intervention: Option<Place>,
    /// Its title, its beginning.
    pub title: String,
}

/// What counts of a detection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gist {
    /// The user said that it, or one about the same, is a false alarm.
    pub dismissed: bool,
    /// 0–100.
    pub severity: u8,
    /// 0–100.
    pub confidence: u8,
    /// Its kind.
    pub kind: String,
}

/// What a session's tree wants to know of a detection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brief {
    /// What counts.
    pub gist: Gist,
    /// Its rule.
    pub rule: String,
    /// Its turn.
    pub turn_id: Option<String>,
    /// The span that showed it.
    pub span_id: Option<String>,
}

/// An intervention's row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterventionRow {
    /// Where its record is.
    pub locator: [u8; 10],
    /// The session.
    pub session_id: String,
    /// The detection.
    pub detection: Option<RecordId>,
    /// The detection's kind.
    pub kind: String,
    /// The detection's rule.
    pub rule: String,
    /// What was done.
    pub action: String,
}

/// The beginning of a text, so many bytes at most.
fn head(text: &str, bytes: usize) -> String {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text[..end.unwrap_or(0)].to_owned()
}

impl DetectionRow {
    /// The row of a detection whose record lies there.
    #[must_use]
    pub fn new(found: &DetectionV1, at: Locator, dismissed: bool) -> Self {
        DetectionRow {
            locator: at.to_bytes(),
            session_id: found.session_id.clone(),
            cwd: found.cwd.as_deref().map(|cwd| head(cwd, DIR)),
            about: about(found.fingerprint, found.cwd.as_deref()),
            intervention: None,
            brief: Brief {
                gist: Gist {
                    dismissed,
                    severity: found.severity.min(100),
                    confidence: found.confidence.min(100),
                    kind: head(&found.kind, NAME),
                },
                rule: head(&found.rule, NAME),
                turn_id: found.turn_id.clone(),
                span_id: found.span_id.clone(),
            },
            title: head(&found.title, TITLE),
        }
    }

    /// The last component of the working directory.
    #[must_use]
    pub fn project(&self) -> Option<&str> {
        project(self.cwd.as_deref()?)
    }

    /// `open`, `dismissed` or `past`.
    #[must_use]
    pub fn state(&self, at_ns: u64, now_ns: u64) -> State {
        self.brief.state(at_ns, now_ns)
    }
}

impl Brief {
    /// What has become of a detection that was made then.
    #[must_use]
    pub fn state(&self, at_ns: u64, now_ns: u64) -> State {
        match self.gist.dismissed {
            true => State::Dismissed,
            false if at_ns >= open_since(now_ns) => State::Open,
            false => State::Past,
        }
    }
}

impl InterventionRow {
    /// The row of an intervention whose record lies there.
    #[must_use]
    pub fn new(done: &InterventionV1, at: Locator) -> Self {
        InterventionRow {
            locator: at.to_bytes(),
            session_id: done.session_id.clone(),
            detection: done.detection,
            kind: head(&done.kind, NAME),
            rule: head(&done.rule, NAME),
            action: head(&done.action, NAME),
        }
    }
}

/// The last component of a directory.
#[must_use]
pub fn project(cwd: &str) -> Option<&str> {
    cwd.trim_end_matches('/').rsplit('/').next().filter(|s| !s.is_empty())
}

/// Since when detections count as open, at a time.
#[must_use]
pub fn open_since(now_ns: u64) -> u64 {
    now_ns.saturating_sub(OPEN_NS)
}

/// What has become of a detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Neither dismissed nor old.
    Open,
    /// It, or one about the same, was said to be a false alarm.
    Dismissed,
    /// Older than a week.
    Past,
}

impl State {
    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            State::Open => "open",
            State::Dismissed => "dismissed",
            State::Past => "past",
        }
    }
}

/// What detections are about: those with one fingerprint in one working directory are about the same.
#[must_use]
pub fn about(fingerprint: [u8; 16], cwd: Option<&str>) -> About {
    let mut hash = blake3::Hasher::new();
    hash.update(b"ccd about");
    hash.update(&fingerprint);
    // Without a directory is not in the directory of no name.
    hash.update(&[u8::from(cwd.is_some())]);
    hash.update(cwd.unwrap_or_default().as_bytes());
    first16(hash.finalize())
}

/// What a judgement does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Everything about this is dismissed: the judgement is in force under its key.
    Dismiss(About),
    /// Nothing about this is dismissed any more.
    Reopen(About),
    /// A pause or an allowance is in force under this key, in place of what was there.
    Except(Vec<u8>),
    /// What lies between these keys is not in force any more: what is excepted in one session, or all pauses.
    Resume(Vec<(Vec<u8>, Vec<u8>)>),
    /// It is none that this build knows, or says of nothing.
    Nothing,
}

/// What a judgement does to those that are in force, and to detections.
#[must_use]
pub fn effect(said: &JudgementV1) -> Effect {
    let about = said.fingerprint.map(|fingerprint| about(fingerprint, said.cwd.as_deref()));
    let session = said.session_id.as_deref().map(ids::session_key);
    match (said.what.as_str(), about) {
        ("dismiss", Some(about)) => Effect::Dismiss(about),
        ("reopen", Some(about)) => Effect::Reopen(about),
        ("pause", _) => Effect::Except(exception(PAUSE, session, said.kind.as_deref())),
        ("allow", _) => Effect::Except(exception(ALLOWANCE, session, said.kind.as_deref())),
        ("resume", _) => Effect::Resume(match session {
            Some(_) => [PAUSE, ALLOWANCE]
                .map(|what| {
                    let from = exception(what, session, None);
                    // No name of a kind has this byte: it is in no UTF-8 text.
                    let to = [&from[..], &[0xff]].concat();
                    (from, to)
                })
                .into(),
            None => vec![(vec![JUDGEMENT, EXCEPTION, PAUSE], vec![JUDGEMENT, EXCEPTION, PAUSE + 1])],
        }),
        _ => Effect::Nothing,
    }
}

/// The key of what is in force for all sessions, or for one, and for all kinds, or for one.
fn exception(what: u8, session: Option<[u8; 16]>, kind: Option<&str>) -> Vec<u8> {
    let mut key = vec![JUDGEMENT, EXCEPTION, what, u8::from(session.is_some())];
    key.extend_from_slice(&session.unwrap_or_default());
    key.extend_from_slice(head(kind.unwrap_or_default(), NAME).as_bytes());
    key
}

/// The judgement by which something is dismissed.
#[must_use]
pub fn dismissal(about: About) -> Vec<u8> {
    [&[JUDGEMENT, DISMISSED], &about[..]].concat()
}

/// The range of all judgements in force. Their values are those of the records, which are frozen: they outlive them.
#[must_use]
pub fn judgements() -> (Vec<u8>, Vec<u8>) {
    (vec![JUDGEMENT], vec![JUDGEMENT + 1])
}

/// The range of the pauses and allowances in force.
#[must_use]
pub fn exceptions() -> (Vec<u8>, Vec<u8>) {
    (vec![JUDGEMENT, EXCEPTION], vec![JUDGEMENT, EXCEPTION + 1])
}

fn newest_first(mut key: Vec<u8>, (at_ns, id): Place) -> Vec<u8> {
    key.extend_from_slice(&(u64::MAX - at_ns).to_be_bytes());
    key.extend_from_slice(&id);
    key
}

fn place(key: &[u8], from: usize) -> Option<Place> {
    Some((u64::MAX - number(key, from..from + 8)?, key.get(from + 8..from + 24)?.try_into().ok()?))
}

/// The keys between two times, the later one excluded, newest first.
fn between(prefix: &[u8], since_ns: u64, until_ns: Option<u64>) -> (Vec<u8>, Vec<u8>) {
    let from = until_ns.map_or_else(
        || prefix.to_vec(),
        |until| match until.checked_sub(1) {
            Some(last) => newest_first(prefix.to_vec(), (last, [0; 16])),
            // Nothing is before the beginning.
            None => [prefix, &[0xff; 25]].concat(),
        },
    );
    let mut to = newest_first(prefix.to_vec(), (since_ns, [0xff; 16]));
    to.push(0);
    // Times the wrong way round have nothing between them.
    let to = to.max(from.clone());
    (from, to)
}

/// A detection, newest first.
#[must_use]
pub fn detection(place: Place) -> Vec<u8> {
    newest_first(vec![DETECTION], place)
}

/// The range of the detections from a time on, and before another one.
#[must_use]
pub fn detections(since_ns: u64, until_ns: Option<u64>) -> (Vec<u8>, Vec<u8>) {
    between(&[DETECTION], since_ns, until_ns)
}

/// When and which the detection of a row of [`detections`] is.
#[must_use]
pub fn of_key(key: &[u8]) -> Option<Place> {
    place(key, 1)
}

/// A session's detection, newest first; the value is its [`Brief`].
#[must_use]
pub fn of_session(session: [u8; 16], place: Place) -> Vec<u8> {
    newest_first(prefixed(OF_SESSION, &session), place)
}

/// The range of a session's detections from a time on, and before another one.
#[must_use]
pub fn session_detections(session: [u8; 16], since_ns: u64, until_ns: Option<u64>) -> (Vec<u8>, Vec<u8>) {
    between(&prefixed(OF_SESSION, &session), since_ns, until_ns)
}

/// When and which the detection of a row of [`session_detections`] is.
#[must_use]
pub fn of_session_key(key: &[u8]) -> Option<Place> {
    place(key, 17)
}

/// Where a detection's id leads to; the value is when it was.
#[must_use]
pub fn by_id(id: RecordId) -> Vec<u8> {
    prefixed(BY_ID, &id)
}

/// The range of the detections whose ids, as 32 hexadecimal digits, begin so. None if none can.
#[must_use]
pub fn ids_from(digits: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    if digits.is_empty() || digits.len() > 32 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let filled = |with: char| {
        let digits: String = digits.chars().chain(std::iter::repeat(with)).take(32).collect();
        u128::from_str_radix(&digits, 16).ok().map(u128::to_be_bytes)
    };
    let (first, last) = (filled('0')?, filled('f')?);
    let mut to = by_id(last);
    to.push(0);
    Some((by_id(first), to))
}

/// The detection that a row of [`ids_from`] is of.
#[must_use]
pub fn of_id_key(key: &[u8], value: &[u8]) -> Option<Place> {
    Some((number(value, 0..8)?, key.get(1..17)?.try_into().ok()?))
}

/// That a detection is about something. No value.
#[must_use]
pub fn about_key(about: About, place: Place) -> Vec<u8> {
    newest_first(prefixed(ABOUT, &about), place)
}

/// The range of all that is about the same.
#[must_use]
pub fn all_about(about: About) -> (Vec<u8>, Vec<u8>) {
    between(&prefixed(ABOUT, &about), 0, None)
}

/// The detection of a row of [`all_about`].
#[must_use]
pub fn of_about_key(key: &[u8]) -> Option<Place> {
    place(key, 17)
}

/// An intervention, newest first.
#[must_use]
pub fn intervention(place: Place) -> Vec<u8> {
    newest_first(vec![INTERVENTION], place)
}

/// The range of the interventions from a time on, and before another one.
#[must_use]
pub fn interventions(since_ns: u64, until_ns: Option<u64>) -> (Vec<u8>, Vec<u8>) {
    between(&[INTERVENTION], since_ns, until_ns)
}

/// That an intervention was about a detection. No value.
#[must_use]
pub fn of_detection(detection: RecordId, place: Place) -> Vec<u8> {
    newest_first(prefixed(OF_DETECTION, &detection), place)
}

/// The range of the interventions about a detection, newest first.
#[must_use]
pub fn all_of_detection(detection: RecordId) -> (Vec<u8>, Vec<u8>) {
    between(&prefixed(OF_DETECTION, &detection), 0, None)
}

/// The intervention of a row of [`all_of_detection`].
#[must_use]
pub fn of_detection_key(key: &[u8]) -> Option<Place> {
    place(key, 17)
}

/// An id as it is shown: 32 hexadecimal digits.
#[must_use]
pub fn id_text(id: RecordId) -> String {
    format!("{:032x}", u128::from_be_bytes(id))
}

#[cfg(test)]
#[path = "detections_tests.rs"]
mod tests;
