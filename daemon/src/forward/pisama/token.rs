//! The API key's exchange for a token that lives for a while, and the token's keeping.
//!
//! Must never log a key or a token. A token is kept in a file of ours (0600), known again only for the very key and address
//! that it was given for, and used until a minute before its end. What it says of itself is read and not verified: it is
//! the platform's, and only the platform needs to believe it.

use std::path::PathBuf;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::config::Sink;
use crate::forward::deliver::Courier;
use crate::forward::{Failed, keep};

/// Seconds before a token's end from which on it is not used.
const MARGIN_S: u64 = 60;
/// Seconds that a token lives that does not say.
const USUAL_S: u64 = 3600;

/// A token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    version: u32,
    /// Of key and address.
    given_for: String,
    /// The token itself.
    pub access_token: String,
    /// Its end, seconds since the Unix epoch.
    pub expires_s: u64,
    /// Whose it is.
    pub tenant_id: Option<String>,
}

/// The token that is known, in memory and in its file.
pub struct Tokens {
    file: PathBuf,
    held: Option<Token>,
}

impl Tokens {
    /// Kept in this file.
    #[must_use]
    pub fn new(file: PathBuf) -> Self {
        Tokens { file, held: None }
    }

    /// The known token, if it is good for this sink and for a while.
    pub fn known(&mut self, sink: &Sink, clock: &dyn Clock) -> Option<Token> {
        let given_for = given_for(sink, &key(sink).ok()?);
        let held = self.held.take().or_else(|| keep::read(&self.file));
        let now_s = clock.now_ns() / 1_000_000_000;
        self.held = held.filter(|token: &Token| {
            token.version == 1
                && token.given_for == given_for
                && token.expires_s.saturating_sub(MARGIN_S) > now_s
        });
        self.held.clone()
    }

    /// Forgets it.
    pub fn forget(&mut self) {
        self.held = None;
        keep::remove(&self.file);
    }

    /// Gets a new one.
    pub async fn exchange(
        &mut self,
        sink: &Sink,
        door: &Courier,
        clock: &dyn Clock,
    ) -> Result<Token, Failed> {
        let key = key(sink).map_err(Failed::held)?;
        let body = Bytes::from(json!({"api_key": key, "scope": "ingest"}).to_string());
        let outcome = door.deliver("application/json", body, &HeaderMap::new(), clock).await;
        let outcome = outcome.map_err(|error| Failed::passing(error.to_string()))?;
        if outcome.status != StatusCode::OK {
            // What it says may repeat the key.
            let words = format!("the API key could not be exchanged for a token: {}", outcome.status);
            let failed =
                if outcome.status.is_client_error() { Failed::held(words) } else { Failed::passing(words) };
            return Err(Failed { asked: outcome.retry_after, ..failed });
        }
        let answer: Value = serde_json::from_slice(&outcome.body).unwrap_or_default();
        let access_token =
            answer.get("access_token").and_then(Value::as_str).filter(|token| !token.is_empty());
        let access_token =
            access_token.ok_or_else(|| Failed::held("the platform answered without a token"))?;
        let said = payload(access_token).unwrap_or_default();
        let now_s = clock.now_ns() / 1_000_000_000;
        let token = Token {
            version: 1,
            given_for: given_for(sink, &key),
            access_token: access_token.to_owned(),
            expires_s: said.get("exp").and_then(Value::as_u64).unwrap_or(now_s + USUAL_S),
            tenant_id: said.get("tenant_id").and_then(Value::as_str).map(str::to_owned),
        };
        if let Err(error) = keep::write(&self.file, &token) {
            tracing::warn!(%error, "the platform's token cannot be kept: the next one is asked for anew");
        }
        self.held = Some(token.clone());
        Ok(token)
    }
}

/// The API key.
fn key(sink: &Sink) -> Result<String, String> {
    let file =
        sink.key_file.as_ref().ok_or("no key_file is configured: `ccctl connect` takes the API key")?;
    let key = keep::secret(file)?.trim().to_owned();
    if key.is_empty() { Err(format!("{} is empty", file.display())) } else { Ok(key) }
}

fn given_for(sink: &Sink, key: &str) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("ccd 2026 forward token");
    hasher.update(sink.url.to_string().as_bytes());
    hasher.update(b"\n");
    hasher.update(key.as_bytes());
    hasher.finalize().to_hex().to_string()
}

/// What a JSON Web Token says (RFC 7519 §3).
fn payload(token: &str) -> Option<Value> {
    serde_json::from_slice(&base64url(token.split('.').nth(1)?)?).ok()
}

/// Base 64 as in URLs, with or without padding.
fn base64url(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' | b'+' => 62,
            b'_' | b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(six)) & 0xff_ffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).unwrap_or(0));
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_token_says_of_itself_is_read() {
        // {"exp":1790000000,"tenant_id":"t-ä"}
        let said = payload("h.eyJleHAiOjE3OTAwMDAwMDAsInRlbmFudF9pZCI6InQtw6QifQ.s").unwrap();
        assert_eq!(said, json!({"exp": 1_790_000_000, "tenant_id": "t-ä"}));
        for none in ["", "a", "a.b", "a.!.c", "a.e30"] {
            assert!(payload(none).is_none_or(|said| said == json!({})), "{none}");
        }
    }
}
