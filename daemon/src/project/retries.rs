//! Which exchange repeats which: the client does not say so, its bodies do.
//!
//! An exchange repeats another one of its session that went to the same path with the same body, failed, and had
//! ended when it began. The same body is one of the same bytes, or, for the request that follows a stream that broke
//! off, one that asks for no stream and for no more tokens and is otherwise the same: so the client falls back
//! (2.1.329: `stream` becomes false and `max_tokens` half of what it was). The newest earlier attempt decides: if that
//! one went well, or has been repeated already, the exchange is a request of its own that happens to say the same.
//!
//! Pure: the same exchanges give the same links, in whatever order they are told.

use std::collections::BTreeMap;

use ccd_proto::api::Tokens;
use serde::{Deserialize, Serialize};

use super::exchange::ExchangeRow;
use super::members::Members;
use crate::ingest::record::{ExchangeV3, Stored, first16};

/// An exchange's id.
pub type Id = [u8; 16];

/// How long after a failure the same body is a repetition of it. The client's longest pause is below a minute, and a
/// server may ask for a longer one.
pub const WITHIN_NS: u64 = 600_000_000_000;
/// How much later than the client the proxy may notice that the client gave up.
const SLACK_NS: u64 = 2_000_000_000;
/// So many attempts that overlap are looked at, at most: who sends the same body a thousand times at once is not
/// asked which of them repeats which.
const LOOK_BACK: usize = 64;

/// By what an exchange is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Method, path, and the body's [`Members::fingerprint`]: what a repetition has in common with what it repeats.
    pub group: [u8; 16],
    /// The body's bytes.
    pub exact: [u8; 16],
    /// It asks for a stream.
    pub stream: bool,
    /// The most tokens that it asks for; 0 where it does not say.
    pub max_tokens: u64,
}

/// The key of an exchange whose whole body is known and whose session is named. `members` are the body's, if it has
/// any.
#[must_use]
pub fn key(record: &ExchangeV3, body: &[u8], members: Option<&Members<'_>>) -> Option<Key> {
    let whole = record.request_end_us.is_some() && record.request.kept == record.request.seen;
    record.session_id.as_ref().filter(|_| whole && !body.is_empty())?;
    let exact = match &record.request.stored {
        // Its name is its hash.
        Stored::Blob(blob) => first16(blake3::Hash::from_bytes(blob.id)),
        Stored::Inline(bytes) => first16(blake3::hash(bytes)),
    };
    let mut group = blake3::Hasher::new();
    for part in [record.method.as_bytes(), record.path.as_bytes()] {
        group.update(&(part.len() as u64).to_be_bytes());
        group.update(part);
    }
    match members {
        Some(members) => group.update(&members.fingerprint),
        None => group.update(&exact),
    };
    let stream = members.and_then(|m| m.stream).is_some_and(|v| v.get() == "true");
    let max_tokens = members.and_then(|m| m.max_tokens).and_then(|v| v.get().parse().ok()).unwrap_or(0);
    Some(Key { group: first16(group.finalize()), exact, stream, max_tokens })
}

/// One exchange of a group. Orders by its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attempt {
    /// Beginning, nanoseconds since the Unix epoch.
    pub started_ns: u64,
    /// The exchange.
    pub id: Id,
    /// End.
    pub ended_ns: u64,
    /// It did not bring what was asked for: an error, or a response that was cut.
    pub failed: bool,
    /// The body's bytes.
    pub exact: [u8; 16],
    /// It asks for a stream.
    pub stream: bool,
    /// The most tokens that it asks for.
    pub max_tokens: u64,
}

impl Attempt {
    /// Whether this is the same request as `earlier`, or what the client sends after that one's stream broke off.
    fn says_the_same_as(&self, earlier: &Attempt) -> bool {
        let falls_back = earlier.stream && !self.stream && self.max_tokens <= earlier.max_tokens;
        self.exact == earlier.exact || falls_back
    }
}

/// Where an exchange stands among the attempts at the same request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// What it repeats.
    pub retry_of: Option<Id>,
    /// How many attempts there were before it.
    pub before: u32,
    /// What repeats it.
    pub retried_by: Option<Id>,
}

/// The links of a group's attempts, which are in order and of one session; those that have none are left out.
#[must_use]
pub fn links(attempts: &[Attempt]) -> BTreeMap<Id, Link> {
    let mut links: BTreeMap<Id, Link> = BTreeMap::new();
    for (at, later) in attempts.iter().enumerate() {
        let ended = |a: &&Attempt| a.ended_ns <= later.started_ns.saturating_add(SLACK_NS);
        let mut before = attempts[..at].iter().rev().take(LOOK_BACK).filter(ended);
        let Some(earlier) = before.find(|a| later.says_the_same_as(a)) else { continue };
        let known = links.get(&earlier.id).copied().unwrap_or_default();
        let soon = later.started_ns.saturating_sub(earlier.ended_ns) <= WITHIN_NS;
        if !earlier.failed || !soon || known.retried_by.is_some() {
            continue;
        }
        links.insert(earlier.id, Link { retried_by: Some(later.id), ..known });
        links.insert(
            later.id,
            Link { retry_of: Some(earlier.id), before: known.before + 1, retried_by: None },
        );
    }
    links
}

/// What the index keeps of an exchange that repeats or is repeated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryRow {
    /// The exchange.
    pub id: Id,
    /// Its beginning, nanoseconds since the Unix epoch.
    pub started_ns: u64,
    /// Its session.
    pub session_id: String,
    /// What it repeats.
    pub retry_of: Option<Id>,
    /// 1, or one more than that of what it repeats.
    pub attempt: u32,
    /// What repeats it.
    pub retried_by: Option<Id>,
    /// Tokens that it was billed.
    pub tokens: Option<Tokens>,
    /// Their cost in micro-dollars.
    pub cost: Option<u64>,
    /// The model.
    pub model: Option<String>,
}

impl RetryRow {
    /// That of an exchange with this link.
    #[must_use]
    pub fn new(row: &ExchangeRow, link: &Link) -> Self {
        RetryRow {
            id: row.id,
            started_ns: row.started_ns,
            session_id: row.session_id.clone().unwrap_or_default(),
            retry_of: link.retry_of,
            attempt: link.before.saturating_add(1),
            retried_by: link.retried_by,
            tokens: row.tokens,
            cost: row.cost,
            model: row.model.clone(),
        }
    }

    /// For a sum of what was billed.
    #[must_use]
    pub fn billed(&self) -> ExchangeRow {
        ExchangeRow {
            tokens: self.tokens,
            cost: self.cost,
            model: self.model.clone(),
            ..ExchangeRow::default()
        }
    }
}

/// A link that a fact changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relinked {
    /// What the index is to say now; no row where neither end is left of it.
    pub row: RetryRow,
    /// It was a repetition before.
    pub was_retry: bool,
}

impl Relinked {
    /// It is a repetition now.
    #[must_use]
    pub fn is_retry(&self) -> bool {
        self.row.retry_of.is_some()
    }

    /// Nothing is linked to it any more.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.row.retry_of.is_none() && self.row.retried_by.is_none()
    }
}

/// The attempts of one session, by what they have in common.
#[derive(Clone, Debug, Default)]
pub(super) struct Attempts(BTreeMap<[u8; 16], Vec<Attempt>>);

impl Attempts {
    /// What each repetition repeats.
    pub(super) fn repeated(&self) -> impl Iterator<Item = (Id, Id)> {
        let groups = self.0.values().filter(|attempts| attempts.len() > 1);
        groups.flat_map(|attempts| links(attempts)).filter_map(|(id, link)| Some((id, link.retry_of?)))
    }

    /// Adds one; gives the links before and after of those that it changed.
    pub(super) fn add(&mut self, group: [u8; 16], attempt: Attempt) -> Vec<(Id, Link, Link)> {
        let attempts = self.0.entry(group).or_default();
        let Err(at) = attempts.binary_search(&attempt) else { return Vec::new() };
        if attempts.is_empty() {
            // Most stay alone.
            attempts.reserve_exact(1);
            attempts.push(attempt);
            return Vec::new();
        }
        let before = links(attempts);
        attempts.insert(at, attempt);
        let after = links(attempts);
        let of = |links: &BTreeMap<Id, Link>, id: &Id| links.get(id).copied().unwrap_or_default();
        let ids = attempts.iter().map(|a| a.id);
        ids.map(|id| (id, of(&before, &id), of(&after, &id))).filter(|(_, b, a)| a != b).collect()
    }
}

#[cfg(test)]
#[path = "retries_tests.rs"]
mod tests;
