//! The tokens by which other programs hand something in, as `ccctl token` asks for them.
//!
//! Must never be asked by a page: who is in could let others in.

use std::sync::Arc;

use ccd_proto::api::{TokenCreated, TokenInfo, TokenList, TokenRevoked};
use http::{Response, StatusCode};

use super::body::ApiBody;
use super::json;
use super::routes::{blocking, parameter};
use crate::app::Running;
use crate::clock::rfc3339;
use crate::query::QueryError;
use crate::tokens::{Scope, Token, TokenError};

/// All of them.
pub(super) async fn list(app: &Arc<Running>) -> Result<Response<ApiBody>, QueryError> {
    let (running, now_ns) = (Arc::clone(app), app.clock.now_ns());
    let mut tokens = blocking(move || Ok(running.receiver.tokens.list())).await?;
    tokens.sort_by(|a, b| a.name.cmp(&b.name));
    json(TokenList { tokens: tokens.iter().map(|token| info(token, now_ns)).collect() })
}

/// A new one, or the end of one.
pub(super) async fn change(
    app: &Arc<Running>,
    what: &str,
    query: &str,
) -> Result<Response<ApiBody>, QueryError> {
    let (running, now_ns) = (Arc::clone(app), app.clock.now_ns());
    let needed =
        |name: &str| parameter(query, name).ok_or_else(|| QueryError::bad(format!("{name} is missing")));
    if what == "revoke" {
        let which = needed("which")?;
        let gone = blocking(move || running.receiver.tokens.revoke(&which).map_err(refused)).await?;
        tracing::info!(name = gone.name, "a token was revoked");
        return json(TokenRevoked { revoked: info(&gone, now_ns) });
    }
    let name = needed("name")?;
    let scope = parameter(query, "scope").unwrap_or_else(|| Scope::Ingest.name().to_owned());
    let scope =
        Scope::of(&scope).ok_or_else(|| QueryError::bad("scope: expected `ingest`, `telemetry` or `all`"))?;
    let lives_s = match parameter(query, "expires_s") {
        None => None,
        Some(text) => match text.parse::<u64>() {
            Ok(seconds) if seconds > 0 => Some(seconds),
            _ => return Err(QueryError::bad("expires_s: expected a number of seconds")),
        },
    };
    let made = move || running.receiver.tokens.create(&name, scope, lives_s, now_ns).map_err(refused);
    let (token, kept) = blocking(made).await?;
    tracing::info!(name = kept.name, scope = scope.name(), "a token was made");
    json(TokenCreated { token, info: info(&kept, now_ns) })
}

fn info(token: &Token, now_ns: u64) -> TokenInfo {
    let at = |s: u64| rfc3339(s.saturating_mul(1_000_000_000));
    TokenInfo {
        id: token.id.clone(),
        name: token.name.clone(),
        scope: token.scope.name().into(),
        made_at: at(token.made_s),
        expires_at: token.expires_s.map(at),
        used_at: token.used_s.map(at),
        expired: !token.is_good(now_ns / 1_000_000_000),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "it is handed to `map_err`")]
fn refused(error: TokenError) -> QueryError {
    let (status, code) = match &error {
        TokenError::Name | TokenError::Ambiguous => (StatusCode::BAD_REQUEST, "bad_request"),
        TokenError::NotFound => (StatusCode::NOT_FOUND, "not_found"),
        TokenError::Exists | TokenError::TooMany => (StatusCode::CONFLICT, "exists"),
        TokenError::NoRandom | TokenError::Disk(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    };
    let found = QueryError::new(status, code, error.to_string());
    match error {
        TokenError::NotFound | TokenError::Ambiguous | TokenError::TooMany => {
            found.hint("`ccctl token list` shows them")
        }
        TokenError::Exists => found.hint("`ccctl token revoke NAME` ends it; another name will do, too"),
        _ => found,
    }
}
