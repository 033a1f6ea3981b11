//! `usage --explain`: how a session's cost comes about, charge by charge. Fields may be added, never renamed.

use serde::{Deserialize, Serialize};

use super::Tokens;

/// `GET /v0/usage/explain`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Explain {
    /// The session.
    pub session_id: String,
    /// Its charges in the order of their times, then what only the client's closing totals tell of.
    pub charges: Vec<ExplainCharge>,
    /// The sum of all charges' tokens.
    pub tokens: Tokens,
    /// The sum of all charges' costs, in micro-dollars; null where nothing could be priced.
    pub cost_usd_micros: Option<i64>,
    /// The same for people.
    pub cost: String,
}

/// One charge.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExplainCharge {
    /// When, RFC 3339.
    pub at: String,
    /// The model.
    pub model: String,
    /// `main`, or the subagent's type.
    pub agent: String,
    /// What it was for, where that is known.
    pub purpose: String,
    /// Who told of it: `proxy`, `transcript`, `cost-state`.
    pub sources: Vec<String>,
    /// The API's message id; null where it did not outlive its records.
    pub message_id: Option<String>,
    /// The API's request id, likewise, or where none was named.
    pub request_id: Option<String>,
    /// Its tokens.
    pub tokens: Tokens,
    /// What is multiplied: one line for each kind of token that there is any of, and one for web searches.
    pub terms: Vec<ExplainTerm>,
    /// The sum of the terms, rounded once, half up; null without a price.
    pub cost_usd_micros: Option<i64>,
    /// The same for people.
    pub cost: String,
    /// Since when these prices hold; null without one.
    pub effective_from: Option<String>,
    /// What is peculiar about it: `cut`, `copied`, `batch`, `long context`, …
    pub notes: Vec<String>,
}

/// One product.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExplainTerm {
    /// `input`, `output`, `cache read`, `cache write 5m`, `cache write 1h` or `web search`.
    pub kind: String,
    /// How many.
    pub count: u64,
    /// The price of a million tokens, or of a search, in micro-dollars.
    pub price_usd_micros: u64,
    /// The product in billionths of a dollar, rounded down: enough to add up by hand.
    pub nano_usd: u64,
}
