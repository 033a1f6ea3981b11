//! The API's rate limits, as its response headers tell them. Fields may be added, never renamed.
//!
//! All of it comes from outside: numbers were read as numbers, what is none stands in `other` as the text that came.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What an upstream told last of its limits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RateLimits {
    /// When the newest of it was told.
    pub at: String,
    /// Who told it.
    pub upstream: String,
    /// By name.
    pub limits: Vec<RateLimit>,
    /// Headers that are no figures of a limit, by name without `anthropic-ratelimit-`.
    pub other: BTreeMap<String, String>,
    /// The last answer that said "too many requests" (429) or "overloaded" (529).
    pub last_limited: Option<Limited>,
}

/// One limit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RateLimit {
    /// As in the header: `requests`, `input-tokens`, `unified-5h`, …
    pub name: String,
    /// What is allowed.
    pub limit: Option<u64>,
    /// What is left.
    pub remaining: Option<u64>,
    /// What is used, in percent: told as such, or worked out from the two.
    pub used_percent: Option<f64>,
    /// When it is full again.
    pub resets_at: Option<String>,
    /// What the API says about it: `allowed`, `allowed_warning`, `rejected`, …
    pub status: Option<String>,
    /// When this was told.
    pub at: String,
    /// It has been reset since: the figures are those of a window that is over.
    pub stale: bool,
}

/// An answer that told the client to come back later.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limited {
    /// When.
    pub at: String,
    /// 429 or 529.
    pub status: u16,
    /// The exchange.
    pub exchange_id: String,
    /// Seconds that the client was asked to wait.
    pub retry_after_s: Option<u64>,
    /// The API's words.
    pub error: Option<String>,
}
