//! Roll-ups: rows of sums that are changed by differences, so that a charge that is told of again, or of which more
//! becomes known, moves from where it was to where it belongs.
//!
//! Three families of rows, each a sum of all charges, from coarse to fine, so that a question reads the fewest rows that
//! tell its answer. A row is of a third of a day and has the quarters of an hour in which there was anything: days of
//! every time zone begin on a quarter.
//!
//! Invariants: the families' sums are the same; quarters are in order, and none is nothing; a row without any does not
//! exist.

use std::collections::BTreeSet;

use ccd_proto::api::Tokens;
use serde::{Deserialize, Serialize};

use super::cost::Sum;
use super::rows::{BUCKET_NS, RowError};

/// A sum, or a difference of sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Messages; of a tool, its calls.
    pub calls: i64,
    /// Tokens: input, output, read from the cache, written for 5 minutes, for an hour.
    pub tokens: [i64; 5],
    /// Web searches.
    pub web_searches: i64,
    /// Cost of what is priced, in micro-dollars.
    pub micros: i64,
    /// Charges, or parts of charges, that have a price, and that have none.
    pub priced: i64,
    /// See `priced`.
    pub unpriced: i64,
    /// What the cache saved, in micro-dollars.
    pub saved: i64,
    /// Tokens written to the cache again.
    pub rewritten: i64,
    /// What that cost beyond reading them, in micro-dollars.
    pub wasted: i64,
}

impl Tally {
    /// Nothing at all.
    pub const NONE: Tally = Tally {
        calls: 0,
        tokens: [0; 5],
        web_searches: 0,
        micros: 0,
        priced: 0,
        unpriced: 0,
        saved: 0,
        rewritten: 0,
        wasted: 0,
    };

    /// Whether it is nothing at all.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Tally::NONE
    }

    /// Adds another one so many times: once, or minus once.
    pub fn add(&mut self, other: &Tally, times: i64) {
        self.calls += times * other.calls;
        for (mine, theirs) in self.tokens.iter_mut().zip(other.tokens) {
            *mine += times * theirs;
        }
        self.web_searches += times * other.web_searches;
        self.micros += times * other.micros;
        self.priced += times * other.priced;
        self.unpriced += times * other.unpriced;
        self.saved += times * other.saved;
        self.rewritten += times * other.rewritten;
        self.wasted += times * other.wasted;
    }

    /// The tokens of a whole sum.
    #[must_use]
    pub fn tokens(&self) -> Tokens {
        let [input, output, cache_read, short, long] = self.tokens.map(|n| u64::try_from(n).unwrap_or(0));
        Tokens { input, output, cache_read, cache_write_5m: short, cache_write_1h: long }
    }

    /// As a sum of a model's calls.
    #[must_use]
    pub fn to_sum(&self, model: &str) -> Sum {
        let n = |n: i64| u64::try_from(n).unwrap_or(0);
        let unpriced_models =
            if self.unpriced > 0 { BTreeSet::from([model.to_owned()]) } else { BTreeSet::new() };
        Sum {
            calls: n(self.calls),
            tokens: self.tokens(),
            micros: n(self.micros),
            priced: n(self.priced),
            unpriced_models,
        }
    }
}

/// Tokens as a tally has them.
#[must_use]
pub fn signed(t: &Tokens) -> [i64; 5] {
    [t.input, t.output, t.cache_read, t.cache_write_5m, t.cache_write_1h]
        .map(|n| i64::try_from(n).unwrap_or(i64::MAX))
}

/// What kind of charges a row sums up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Whole responses.
    #[default]
    Whole,
    /// Responses that were cut.
    Cut,
    /// What only the client's closing totals tell of.
    Side,
}

/// What a row is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dims {
    /// The project; may be empty.
    pub project: String,
    /// The model.
    pub model: String,
    /// `main`, or the subagent's type.
    pub agent: String,
    /// The git branch; may be empty.
    pub branch: String,
    /// The tool; empty for the conversation.
    pub tool: String,
    /// The kind.
    pub kind: Kind,
}

/// How much of [`Dims`] a family tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// The model and the kind.
    Model,
    /// All but the tool.
    Place,
    /// Everything.
    Tool,
}

impl Family {
    /// All of them.
    pub const ALL: [Family; 3] = [Family::Model, Family::Place, Family::Tool];

    /// What it tells of these.
    #[must_use]
    pub fn of(self, dims: &Dims) -> Dims {
        match self {
            Family::Model => Dims { model: dims.model.clone(), kind: dims.kind, ..Dims::default() },
            Family::Place => Dims { tool: String::new(), ..dims.clone() },
            Family::Tool => dims.clone(),
        }
    }

    /// What it counts of a part: messages are counted once, not by the tools that they have to do with.
    #[must_use]
    pub fn share(self, dims: &Dims, tally: &Tally) -> Tally {
        if self == Family::Tool || dims.tool.is_empty() {
            return *tally;
        }
        Tally { calls: 0, priced: 0, unpriced: 0, ..*tally }
    }

    fn number(self) -> u8 {
        match self {
            Family::Model => 0,
            Family::Place => 1,
            Family::Tool => 2,
        }
    }
}

/// Prefix of all families' rows.
pub const ROLLUP: u8 = 0x24;
/// Quarters of an hour in a row: few enough that a row which is changed is quickly written again, enough that there are
/// few rows to read.
const QUARTERS: u32 = 32;

/// The quarter of an hour that a time is in.
#[must_use]
pub fn bucket(ns: u64) -> u32 {
    u32::try_from(ns / BUCKET_NS).unwrap_or(u32::MAX)
}

/// Keys of a family's rows from that of this quarter on.
#[must_use]
pub fn from(family: Family, bucket: u32) -> Vec<u8> {
    let mut key = vec![ROLLUP, family.number()];
    key.extend_from_slice(&(bucket / QUARTERS).to_be_bytes());
    key
}

/// The end of a family's rows.
#[must_use]
pub fn end(family: Family) -> Vec<u8> {
    vec![ROLLUP, family.number() + 1]
}

/// The key before which all of a family's rows are that have any quarter before this one.
#[must_use]
pub fn until(family: Family, bucket: u32) -> Vec<u8> {
    from(family, bucket.saturating_add(QUARTERS - 1))
}

fn first_bucket(key: &[u8]) -> u32 {
    key.get(2..6).and_then(|b| b.try_into().ok()).map_or(0, u32::from_be_bytes).saturating_mul(QUARTERS)
}

/// A row's key.
#[must_use]
pub fn key(family: Family, bucket: u32, dims: &Dims) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new();
    for part in [&dims.project, &dims.model, &dims.agent, &dims.branch, &dims.tool] {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.update(&[dims.kind as u8]);
    let mut key = from(family, bucket);
    key.extend_from_slice(&hasher.finalize().as_bytes()[..16]);
    key
}

/// A row: what it is about, borrowed from its bytes, and its quarters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row<'a> {
    /// See [`Dims`].
    pub project: &'a str,
    /// See [`Dims`].
    pub model: &'a str,
    /// See [`Dims`].
    pub agent: &'a str,
    /// See [`Dims`].
    pub branch: &'a str,
    /// See [`Dims`].
    pub tool: &'a str,
    kind: u8,
    /// The sums of the quarters, each by its place in the row.
    quarters: Vec<(u8, Tally)>,
}

impl<'a> Row<'a> {
    /// A row of these without any sum.
    #[must_use]
    pub fn new(dims: &'a Dims) -> Self {
        Row {
            project: &dims.project,
            model: &dims.model,
            agent: &dims.agent,
            branch: &dims.branch,
            tool: &dims.tool,
            kind: dims.kind as u8,
            quarters: Vec::new(),
        }
    }

    /// From its bytes.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, RowError> {
        let limit = bincode::config::standard().with_limit::<{ 1 << 20 }>();
        let read = bincode::serde::borrow_decode_from_slice(bytes, limit);
        read.map(|(row, _)| row).map_err(|e| RowError::new(e.to_string()))
    }

    /// The kind of what it sums up.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.kind {
            1 => Kind::Cut,
            2 => Kind::Side,
            _ => Kind::Whole,
        }
    }

    /// Adds to the quarter.
    pub fn add(&mut self, bucket: u32, tally: &Tally) {
        let Ok(place) = u8::try_from(bucket % QUARTERS) else { return };
        let at = match self.quarters.binary_search_by_key(&place, |(place, _)| *place) {
            Ok(at) => at,
            Err(at) => {
                self.quarters.insert(at, (place, Tally::default()));
                at
            }
        };
        if let Some((_, sum)) = self.quarters.get_mut(at) {
            sum.add(tally, 1);
            if sum.is_zero() {
                self.quarters.remove(at);
            }
        }
    }

    /// The quarters that have anything, in order, of the row of this key.
    pub fn quarters(&self, key: &[u8]) -> impl Iterator<Item = (u32, &Tally)> {
        let first = first_bucket(key);
        self.quarters.iter().map(move |(place, tally)| (first + u32::from(*place), tally))
    }

    /// No quarter has anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.quarters.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dims() -> Dims {
        Dims {
            project: "p".into(),
            model: "m".into(),
            agent: "main".into(),
            tool: "Bash".into(),
            ..Dims::default()
        }
    }

    #[test]
    fn rows_come_back_and_vanish() {
        let dims = dims();
        let mut row = Row::new(&dims);
        let tally = Tally { calls: 1, tokens: [1, 2, 3, 4, 5], micros: 7, saved: -3, ..Tally::default() };
        row.add(39, &tally);
        row.add(33, &Tally { saved: 1, ..tally });
        let bytes = super::super::rows::encode(&row).unwrap();
        let mut back = Row::decode(&bytes).unwrap();
        let key = key(Family::Tool, 39, &dims);
        let quarters: Vec<(u32, i64)> = back.quarters(&key).map(|(at, tally)| (at, tally.saved)).collect();
        assert_eq!((&back, quarters), (&row, vec![(33, 1), (39, -3)]));
        let mut minus = Tally::default();
        minus.add(&tally, -1);
        back.add(39, &minus);
        assert_eq!(back.quarters(&key).count(), 1);
        back.add(33, &Tally { saved: -1, ..minus });
        assert!(back.is_empty());
        assert!(Row::decode(&bytes[..5]).is_err());
    }

    #[test]
    fn keys_sort_by_time_within_a_family() {
        let key = |family, bucket| key(family, bucket, &dims());
        assert!(key(Family::Model, 1023) < key(Family::Model, 1024));
        assert!(key(Family::Model, u32::MAX) < end(Family::Model));
        // Quarter 1023 is in the row that 1024 is not in.
        assert!(key(Family::Model, 1023) < until(Family::Model, 1024));
        assert!(key(Family::Model, 1024) < until(Family::Model, 1025));
        assert!(key(Family::Model, 1024) >= until(Family::Model, 1024));
        assert!(end(Family::Model) <= from(Family::Place, 0));
        assert_eq!(first_bucket(&key(Family::Tool, 4127)), 4096);
        assert_ne!(
            key(Family::Place, 4),
            super::key(Family::Place, 4, &Dims { branch: "p".into(), ..dims() })
        );
    }
}
