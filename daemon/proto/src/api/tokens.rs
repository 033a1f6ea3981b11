//! The tokens by which other programs hand something in.

use serde::{Deserialize, Serialize};

/// `GET /v0/tokens` on `ccd.sock`: all tokens, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenList {
    /// One by one.
    pub tokens: Vec<TokenInfo>,
}

/// What is known of a token. The token itself is not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenInfo {
    /// Names it for good: the head of its hash.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// `ingest`, `telemetry` or `all`.
    pub scope: String,
    /// When it was made.
    pub made_at: String,
    /// When it ends; null: never.
    pub expires_at: Option<String>,
    /// When it was last used, as far as it is known: to the day across restarts; null: never.
    pub used_at: Option<String>,
    /// Whether it has ended.
    pub expired: bool,
}

/// `POST /v0/tokens/create?name=…`: a new token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenCreated {
    /// The token. It is not shown again.
    pub token: String,
    /// What is kept of it.
    #[serde(flatten)]
    pub info: TokenInfo,
}

/// `POST /v0/tokens/revoke?which=…`: the token that is good no more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenRevoked {
    /// What was known of it.
    pub revoked: TokenInfo,
}
