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
    /// Exchanges with usage. Grouped by tool, an exchange that called several counts at each.
    pub exchanges: u64,
}
