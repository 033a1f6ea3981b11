//! `budget` and `statusline`: what was spent beside what may be. Fields may be added, never renamed.

use serde::{Deserialize, Serialize};

use super::RateLimits;

/// `GET /v0/budget`: every budget, and how far it is used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Budget {
    /// Whether the configuration names any limit.
    pub configured: bool,
    /// Whether anything that costs was recorded in any of the scopes.
    pub recorded: bool,
    /// Whether a hard limit stops tool calls, or is only told of.
    pub enforce: bool,
    /// Time zone that days and months are cut in.
    pub timezone: String,
    /// The worst of the scopes' states: `ok`, `near`, `hit`; `none` where nothing is configured or recorded.
    pub state: String,
    /// The scopes: the session asked for, or that was used last; the day; the month.
    pub scopes: Vec<BudgetScope>,
}

/// What was spent in one scope, and its limits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BudgetScope {
    /// `session`, `day` or `month`.
    pub scope: String,
    /// Which one: a session's id, a date, a month.
    pub key: String,
    /// What was spent, in micro-dollars. What has no price is not in it.
    pub spent_usd_micros: i64,
    /// The same for people.
    pub spent: String,
    /// The soft limit in micro-dollars; null: none.
    pub soft_usd_micros: Option<i64>,
    /// The hard limit in micro-dollars; null: none.
    pub hard_usd_micros: Option<i64>,
    /// What was spent in percent of the hard limit, else of the soft one, rounded down; null without a limit.
    pub percent: Option<u64>,
    /// What it comes to at the end of the day or month if it goes on as it went so far, in micro-dollars; null for
    /// sessions, and in the first moments of a day or month.
    pub projected_usd_micros: Option<i64>,
    /// The same for people.
    pub projected: Option<String>,
    /// `ok`, `near` (the soft limit is reached, or four fifths of the hard one), `hit` (the hard limit is reached);
    /// `none` without a limit.
    pub state: String,
    /// Thresholds that were told of: `soft`, `hard`.
    pub told: Vec<String>,
}

/// `POST /v0/statusline`: what the daemon adds to what the client tells its status line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StatusLine {
    /// What the session has cost so far, in micro-dollars; null where we know nothing of it.
    pub session_usd_micros: Option<i64>,
    /// What today has cost so far, in micro-dollars; the day is that of the budgets (`[budget] timezone`).
    pub today_usd_micros: i64,
    /// What is known of the account's limits; null where nothing is.
    pub rate_limits: Option<RateLimits>,
    /// The budget that is used most, if it is near its limit or beyond.
    pub budget: Option<BudgetScope>,
    /// The session's open detections: not dismissed, and not older than a week.
    pub open_detections: u64,
}
