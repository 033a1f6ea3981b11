//! The Pisama platform's protocol: whole sessions as JSON, one request each, which the platform puts in the place of what it
//! had of the session. So a session that grew is sent again, and sending twice does no harm.
//!
//! ```text
//! traces.rs   a session as the platform's traces      body.rs   a request's body, never too long
//! token.rs    the API key's exchange for a token      mod.rs    the two requests
//! ```
//!
//! Spans in real time (its other protocol) are not sent: a session that grew is there a moment after the turn's end, whole
//! and in order, and one protocol is enough.

pub mod body;
pub mod token;
pub mod traces;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Uri};
use serde::Deserialize;
use std::time::Duration;

use super::deliver::{Courier, Endpoint, Verdict};
use super::{Failed, Sent, headers};
use crate::clock::Clock;
use crate::config::{Network, Sink};

pub use self::body::Body;
use self::token::Tokens;

/// How long a token may take.
const TOKEN_LIMIT: Duration = Duration::from_secs(15);
/// How long a session may take.
const BATCH_LIMIT: Duration = Duration::from_secs(60);

/// A route of the platform's, below whatever form of its address the user wrote.
#[must_use]
pub fn url(base: &Uri, path: &str) -> Option<Uri> {
    let text = base.to_string();
    let text = text.trim_end_matches('/');
    let text = text.strip_suffix("/api/v1").or_else(|| text.strip_suffix("/api")).unwrap_or(text);
    format!("{text}/api/v1{path}").parse().ok()
}

/// Where people see what arrived.
#[must_use]
pub fn dashboard(base: &Uri) -> String {
    format!("{}/traces", super::deliver::shown(base).replace("://api.", "://"))
}

/// What the platform says of a session.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Stored {
    traces_stored: Option<u64>,
}

/// Sends to the platform.
pub struct Platform {
    sink: Sink,
    network: Network,
    tokens: Tokens,
}

impl Platform {
    /// A sink of this name; nothing is sent yet, and nothing looked up.
    #[must_use]
    pub fn new(sink: &Sink, network: Network, tokens: Tokens) -> Self {
        Platform { sink: sink.clone(), network, tokens }
    }

    fn courier(&self, path: &str, limit: Duration) -> Result<Courier, Failed> {
        let url = url(&self.sink.url, path).ok_or_else(|| Failed::held("the URL is none"))?;
        let endpoint = Endpoint {
            headers: headers(&self.sink).map_err(Failed::held)?,
            gzip: false,
            allow_http: self.sink.allow_http,
            limit,
            ..Endpoint::new(url)
        };
        Courier::new(endpoint, &self.network).map_err(|error| Failed::held(error.to_string()))
    }

    /// Exchanges the key for a token, whatever is known already; says for which tenant.
    pub async fn connect(&mut self, clock: &dyn Clock) -> Result<Option<String>, Failed> {
        let courier = self.courier("/auth/token", TOKEN_LIMIT)?;
        self.tokens.exchange(&self.sink, &courier, clock).await.map(|token| token.tenant_id)
    }

    /// Sends a session. One that is too long for the platform comes back, to be made shorter.
    pub async fn send(&mut self, body: &Body, clock: &dyn Clock) -> Sent {
        match self.attempt(body, clock).await {
            Ok(sent) => sent,
            Err(failed) => Sent::Failed(failed),
        }
    }

    async fn attempt(&mut self, body: &Body, clock: &dyn Clock) -> Result<Sent, Failed> {
        let courier = self.courier("/traces/claude-code/ingest", BATCH_LIMIT)?;
        let mut is_fresh = false;
        loop {
            let token = if let Some(token) = self.tokens.known(&self.sink, clock) {
                token
            } else {
                is_fresh = true;
                let door = self.courier("/auth/token", TOKEN_LIMIT)?;
                self.tokens.exchange(&self.sink, &door, clock).await?
            };
            let mut more = HeaderMap::new();
            let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.access_token))
                .map_err(|_| Failed::held("the platform's token cannot be sent"))?;
            bearer.set_sensitive(true);
            more.insert(AUTHORIZATION, bearer);
            let sent = courier.deliver("application/json", body.bytes.clone(), &more, clock).await;
            let outcome = sent.map_err(|error| Failed::passing(error.to_string()))?;
            return Ok(match outcome.verdict() {
                Verdict::Taken => Sent::Taken { items: body.traces, note: short_count(body, &outcome.body) },
                Verdict::TooLarge => Sent::TooLarge(outcome.words()),
                Verdict::Unauthorized if !is_fresh => {
                    // One new token, and no more: a key that was taken back makes no better ones.
                    self.tokens.forget();
                    continue;
                }
                Verdict::Later => {
                    Sent::Failed(Failed { asked: outcome.retry_after, ..Failed::passing(outcome.words()) })
                }
                Verdict::Unauthorized => Sent::Failed(Failed::held(outcome.words())),
                _ if super::is_about_the_door(outcome.status) => Sent::Failed(Failed::held(outcome.words())),
                Verdict::Refused => Sent::Refused(outcome.words()),
            });
        }
    }
}

/// What is to be said where the platform stored less than it was sent.
fn short_count(body: &Body, answer: &Bytes) -> Option<String> {
    let stored = serde_json::from_slice::<Stored>(answer).ok()?.traces_stored?;
    (stored < body.traces).then(|| format!("the platform stored {stored} of {} traces", body.traces))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_may_be_written_in_any_of_its_forms() {
        for base in ["", "/", "/api", "/api/", "/api/v1", "/api/v1///"] {
            let url = url(&format!("https://api.pisama.ai{base}").parse().unwrap(), "/auth/token").unwrap();
            assert_eq!(url.to_string(), "https://api.pisama.ai/api/v1/auth/token", "{base}");
        }
        let behind = url(&"https://gw.example/pisama/api".parse().unwrap(), "/x").unwrap();
        assert_eq!(behind.to_string(), "https://gw.example/pisama/api/v1/x");
        assert_eq!(dashboard(&"https://api.pisama.ai/api".parse().unwrap()), "https://pisama.ai/traces");
    }

    #[test]
    fn less_than_was_sent_is_said() {
        let body = Body { traces: 3, ..Body::default() };
        let said = |answer: &'static str| short_count(&body, &Bytes::from_static(answer.as_bytes()));
        assert!(said("{\"traces_stored\": 2}").unwrap().contains("2 of 3"));
        for fine in ["{\"traces_stored\": 3}", "{\"traces_stored\": null}", "{}", "ok", ""] {
            assert_eq!(said(fine), None, "{fine}");
        }
    }
}
