//! The API's rate limits: what response headers tell of them, and what is known of an upstream's.
//!
//! Every value is somebody else's: what is no plain number stays the text that it came as, cut to a bound, and counts
//! nothing. What is known of an upstream is the newest of each limit: whatever the order in which responses are told,
//! it comes out the same.

use std::collections::BTreeMap;

use ccd_proto::api;
use serde::{Deserialize, Serialize};

use super::exchange::header;
use super::text::preview;
use crate::clock::{parse_rfc3339, rfc3339};
use crate::ingest::record::ExchangeV3;

const PREFIX: &str = "anthropic-ratelimit-";
/// Limits and other headers kept of one upstream. The API has a dozen.
const MAX_LIMITS: usize = 24;
/// Longest name and value kept, in bytes and in characters.
const MAX_NAME: usize = 64;
const MAX_VALUE: usize = 120;
/// What an upstream has not told for a day while it told others does not hold any more.
const FORGET_NS: u64 = 86_400_000_000_000;
/// The end of the year 9999, in seconds since the Unix epoch: no reset is later.
const LAST_SECOND: u64 = 253_402_300_799;

/// One limit. Percentages are kept in hundredths, so that rows stay comparable.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Figures {
    /// What is allowed.
    pub limit: Option<u64>,
    /// What is left.
    pub remaining: Option<u64>,
    /// What is used, in hundredths of a percent.
    pub used: Option<u32>,
    /// When it is full again, nanoseconds since the Unix epoch.
    pub resets_ns: Option<u64>,
    /// The API's word on it.
    pub status: Option<String>,
}

/// What a response tells of limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Who told it.
    pub upstream: String,
    /// When its head came, nanoseconds since the Unix epoch.
    pub at_ns: u64,
    /// The exchange.
    pub id: [u8; 16],
    /// By name.
    pub limits: BTreeMap<String, Figures>,
    /// Headers that are no figures.
    pub other: BTreeMap<String, String>,
    /// 429 or 529, where that was the answer.
    pub refused: Option<u16>,
    /// Seconds until the client may come again.
    pub retry_after_s: Option<u64>,
    /// The API's words, where it refused.
    pub error: Option<String>,
}

/// Reads a response's headers; `None` where they tell nothing and nothing was refused.
#[must_use]
pub fn read(record: &ExchangeV3, error: Option<&str>) -> Option<Told> {
    let refused = record.status.filter(|s| matches!(s, 429 | 529));
    let mut told = Told {
        upstream: record.upstream.clone(),
        at_ns: record.started_ns.saturating_add(record.head_us.unwrap_or(0).saturating_mul(1000)),
        id: record.id,
        refused,
        retry_after_s: retry_after(record),
        error: error.filter(|_| refused.is_some()).map(preview),
        ..Told::default()
    };
    for (name, value) in &record.response_headers {
        let name = name.to_ascii_lowercase();
        let Some(name) = name.strip_prefix(PREFIX).filter(|n| !n.is_empty() && n.len() <= MAX_NAME) else {
            continue;
        };
        let value = String::from_utf8_lossy(value);
        let value = value.trim();
        if told.limits.len() + told.other.len() >= MAX_LIMITS && !is_known(&told, name) {
            continue;
        }
        if !figure(&mut told.limits, name, value) {
            told.other.insert(name.to_owned(), value.chars().take(MAX_VALUE).collect());
        }
    }
    (refused.is_some() || !told.limits.is_empty() || !told.other.is_empty()).then_some(told)
}

fn is_known(told: &Told, name: &str) -> bool {
    name.rsplit_once('-').is_some_and(|(limit, _)| told.limits.contains_key(limit))
}

/// Puts a header into the limit that it is a figure of. False: it is none.
fn figure(limits: &mut BTreeMap<String, Figures>, name: &str, value: &str) -> bool {
    let Some((limit, what)) = name.rsplit_once('-') else { return false };
    let mut put = |set: &dyn Fn(&mut Figures)| {
        set(limits.entry(limit.to_owned()).or_default());
        true
    };
    match what {
        "limit" => number(value).is_some_and(|n| put(&|f| f.limit = Some(n))),
        "remaining" => number(value).is_some_and(|n| put(&|f| f.remaining = Some(n))),
        "utilization" => hundredths(value).is_some_and(|n| put(&|f| f.used = Some(n))),
        "reset" => moment(value).is_some_and(|ns| put(&|f| f.resets_ns = Some(ns))),
        "status" => put(&|f| f.status = Some(value.chars().take(MAX_VALUE).collect())),
        _ => false,
    }
}

fn number(value: &str) -> Option<u64> {
    value.bytes().all(|b| b.is_ascii_digit()).then(|| value.parse().ok())?
}

/// A fraction in hundredths of a percent. Ten times what is allowed is more than anybody can have used.
fn hundredths(value: &str) -> Option<u32> {
    let fraction: f64 = value.parse().ok().filter(|f| (0.0..=10.0).contains(f))?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // 0 to 100,000
    let hundredths = (fraction * 10_000.0).round() as u32;
    Some(hundredths)
}

/// Seconds since the Unix epoch, or RFC 3339.
fn moment(value: &str) -> Option<u64> {
    match number(value) {
        Some(seconds) => (seconds <= LAST_SECOND).then(|| seconds.saturating_mul(1_000_000_000)),
        None => parse_rfc3339(value).ok(),
    }
}

/// `retry-after` in seconds. A date says nothing without the clock of whoever sent it.
#[must_use]
pub fn retry_after(record: &ExchangeV3) -> Option<u64> {
    number(header(&record.response_headers, "retry-after")?.trim())
}

/// When something was told: of two at the same time, the later id is the newer.
type At = (u64, [u8; 16]);

/// What is known of an upstream's limits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitsRow {
    /// The upstream.
    pub upstream: String,
    /// The newest of each limit.
    pub limits: BTreeMap<String, (At, Figures)>,
    /// The newest of each other header.
    pub other: BTreeMap<String, (At, String)>,
    /// The newest refusal: when, status, seconds to wait, words.
    pub refused: Option<(At, u16, Option<u64>, Option<String>)>,
}

impl LimitsRow {
    /// Nothing known of an upstream yet.
    #[must_use]
    pub fn new(upstream: &str) -> Self {
        LimitsRow { upstream: upstream.to_owned(), ..LimitsRow::default() }
    }

    /// What one response tells, and nothing else.
    #[must_use]
    pub fn of(told: &Told) -> Self {
        let mut row = LimitsRow::new(&told.upstream);
        row.add(told);
        row
    }

    /// Adds what a response tells.
    pub fn add(&mut self, told: &Told) {
        let at = (told.at_ns, told.id);
        for (name, figures) in &told.limits {
            newest(&mut self.limits, name, (at, figures));
        }
        for (name, value) in &told.other {
            newest(&mut self.other, name, (at, value));
        }
        forget(&mut self.limits);
        forget(&mut self.other);
        if let Some(status) = told.refused
            && self.refused.as_ref().is_none_or(|(known, ..)| *known < at)
        {
            self.refused = Some((at, status, told.retry_after_s, told.error.clone()));
        }
    }

    /// Adds what is known of others: of each limit the newest.
    pub fn merge(&mut self, other: &LimitsRow) {
        for (name, (at, figures)) in &other.limits {
            newest(&mut self.limits, name, (*at, figures));
        }
        for (name, (at, value)) in &other.other {
            newest(&mut self.other, name, (*at, value));
        }
        forget(&mut self.limits);
        forget(&mut self.other);
        if other.refused.as_ref().map(|(at, ..)| at) > self.refused.as_ref().map(|(at, ..)| at) {
            self.refused.clone_from(&other.refused);
        }
    }

    /// When the newest of it was told, nanoseconds since the Unix epoch.
    #[must_use]
    pub fn at_ns(&self) -> u64 {
        let limits = self.limits.values().map(|((at, _), _)| *at);
        let other = self.other.values().map(|((at, _), _)| *at);
        limits.chain(other).chain(self.refused.iter().map(|((at, _), ..)| *at)).max().unwrap_or(0)
    }

    /// As `status` and `usage` print it, at this time.
    #[must_use]
    pub fn to_api(&self, now_ns: u64) -> api::RateLimits {
        api::RateLimits {
            at: rfc3339(self.at_ns()),
            upstream: self.upstream.clone(),
            limits: self.limits.iter().map(|(n, ((at, _), f))| limit(n, *at, f, now_ns)).collect(),
            other: self.other.iter().map(|(name, (_, value))| (name.clone(), value.clone())).collect(),
            last_limited: self.refused.as_ref().map(|((at, id), status, after, error)| api::Limited {
                at: rfc3339(*at),
                status: *status,
                exchange_id: super::ids::exchange(*id),
                retry_after_s: *after,
                error: error.clone(),
            }),
        }
    }
}

fn newest<T: Clone>(known: &mut BTreeMap<String, (At, T)>, name: &str, (at, value): (At, &T)) {
    match known.get_mut(name) {
        Some((old, _)) if *old >= at => {}
        Some(slot) => *slot = (at, value.clone()),
        None => _ = known.insert(name.to_owned(), (at, value.clone())),
    }
}

/// Lets go of what is a day older than the newest, and of the oldest beyond the bound.
fn forget<T>(known: &mut BTreeMap<String, (At, T)>) {
    let mut times: Vec<At> = known.values().map(|(at, _)| *at).collect();
    times.sort_unstable_by(|a, b| b.cmp(a));
    let Some((newest, _)) = times.first() else { return };
    let from = newest.saturating_sub(FORGET_NS);
    known.retain(|_, ((at, _), _)| *at >= from);
    while known.len() > MAX_LIMITS {
        let oldest = known.iter().min_by_key(|(name, (at, _))| (*at, std::cmp::Reverse(*name)));
        let Some(name) = oldest.map(|(name, _)| name.clone()) else { break };
        known.remove(&name);
    }
}

/// One limit as it is printed.
fn limit(name: &str, at_ns: u64, figures: &Figures, now_ns: u64) -> api::RateLimit {
    let counted = figures.limit.zip(figures.remaining).filter(|(limit, _)| *limit > 0);
    let used = figures.used.or_else(|| {
        let (limit, remaining) = counted?;
        let used = u128::from(limit.saturating_sub(remaining)) * 10_000 / u128::from(limit);
        u32::try_from(used).ok()
    });
    api::RateLimit {
        name: name.to_owned(),
        limit: figures.limit,
        remaining: figures.remaining,
        used_percent: used.map(|hundredths| f64::from(hundredths) / 100.0),
        resets_at: figures.resets_ns.map(rfc3339),
        status: figures.status.clone(),
        at: rfc3339(at_ns),
        stale: figures.resets_ns.is_some_and(|resets| resets <= now_ns),
    }
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
