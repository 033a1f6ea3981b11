//! `usage`: tokens and cost by keys. Fields may be added, never renamed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{RateLimits, Tokens};

/// `GET /v0/usage`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Start of the range; null: since ever.
    pub since: Option<String>,
    /// End of the range (exclusive); null: now.
    pub until: Option<String>,
    /// Time zone that days are cut in.
    pub timezone: String,
    /// What rows are cut by: `total`, `daily`, `weekly`, `monthly`, `session` or `blocks`.
    pub period: String,
    /// Further keys, in order.
    pub by: Vec<String>,
    /// The sum of all rows.
    pub totals: UsageRow,
    /// In order of their keys.
    pub rows: Vec<UsageRow>,
    /// Models called that have no price, and are in no cost.
    pub unpriced_models: Vec<String>,
    /// What failed and was sent again. Its tokens and cost are part of `totals`.
    pub retries: Retries,
    /// Responses that did not come to their end, retried or not. Their tokens and cost are part of `totals`.
    pub cut: Retries,
    /// What only the client's closing totals tell of: calls that no transcript has and the proxy did not see, such as
    /// titles and web searches. Part of `totals`, under their model, at the time of the session's end.
    pub side: Side,
    /// What caching saved and wasted.
    pub cache: Cache,
    /// What was told last of the API's limits, whatever the range; null where nothing was.
    pub rate_limits: Option<RateLimits>,
}

/// Attempts that failed and were sent again: those that the range, the session and the project leave over, as far
/// as their records are kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Retries {
    /// Such attempts, billed or not.
    pub exchanges: u64,
    /// Tokens that they were billed: what a stream used before it was cut.
    pub tokens: Tokens,
    /// Cost in micro-dollars; null where nothing could be priced.
    pub cost_usd_micros: Option<i64>,
    /// Cost for people.
    pub cost: String,
}

/// Usage known from the client's closing totals alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Side {
    /// Sessions that have such usage.
    pub sessions: u64,
    /// Tokens.
    pub tokens: Tokens,
    /// Cost in micro-dollars; null where nothing could be priced.
    pub cost_usd_micros: Option<i64>,
    /// Cost for people.
    pub cost: String,
}

/// What prompt caching saved and wasted, at the prices of each call's model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cache {
    /// Tokens read from the cache, in percent of all prompt tokens.
    pub hit_percent: u64,
    /// What the tokens read from the cache would have cost beyond it as plain input, less what writing them cost
    /// beyond plain input, in micro-dollars. Negative where caching cost more than it saved.
    pub saved_usd_micros: i64,
    /// The same for people.
    pub saved: String,
    /// Tokens written to the cache although the same conversation had them in it before: it had expired, or the
    /// conversation's beginning was changed.
    pub rewritten_tokens: u64,
    /// What writing those cost beyond reading them, in micro-dollars.
    pub wasted_usd_micros: i64,
    /// The same for people.
    pub wasted: String,
}

/// A 5-hour block.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Block {
    /// When it begins, RFC 3339.
    pub start: String,
    /// When it ends, RFC 3339.
    pub end: String,
    /// When it was last used, RFC 3339.
    pub last_at: String,
    /// It is not over yet.
    pub active: bool,
    /// Tokens per minute, from its first use to its last (now, while it is active).
    pub tokens_per_minute: u64,
    /// Micro-dollars per hour, likewise.
    pub usd_micros_per_hour: i64,
    /// While it is active: its cost at its end if it goes on as in the last hour, in micro-dollars.
    pub projected_usd_micros: Option<i64>,
    /// The same for people.
    pub projected: Option<String>,
}

/// Tokens and cost of one key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UsageRow {
    /// What this row is about, e.g. `{"date":"2026-11-20","model":"…"}`; empty in `totals`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub key: BTreeMap<String, String>,
    /// Tokens.
    pub tokens: Tokens,
    /// Cost in micro-dollars; null where nothing could be priced.
    pub cost_usd_micros: Option<i64>,
    /// Cost for people.
    pub cost: String,
    /// Messages that were billed; grouped by tool, the calls of that tool.
    pub exchanges: u64,
    /// Shared out by a rule, not billed like this: what calling the tool cost and what its result added.
    pub attributed: bool,
    /// Of a 5-hour block, its rates.
    pub block: Option<Block>,
    /// Of a session, what tells it apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<UsageSession>,
}

/// What tells a session's row apart, beside its id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UsageSession {
    /// When it was last billed, RFC 3339.
    pub last_at: String,
    /// Its project: the name of its directory.
    pub project: Option<String>,
}
