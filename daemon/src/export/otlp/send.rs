//! Delivers turns to an OTLP/HTTP endpoint, once: in batches, one after the other, again where that may help.
//!
//! Must never show a header's value nor more of the URL than its host; never follow a redirect; never take what an endpoint
//! refused for delivered. An endpoint may have taken a request whose answer was lost: spans keep their ids, so that it can
//! know them again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ccd_otlp::{Encoding, ExportTraceServiceResponse, Message as _, RpcStatus};
use ccd_proto::api::OtelExported;
use http::{HeaderMap, StatusCode, Uri};
use tokio::sync::mpsc;

use super::batch::{Batch, Batcher};
use super::gather::{CleanerFor, Told, Wanted};
use super::{Options, Trace};
use crate::clock::Clock;
use crate::forward::deliver::{Courier, DeliverError, Outcome, Verdict};
use crate::forward::retry::Retry;
use crate::query::{Ask, QueryError};

/// Batches that wait for the network.
const AHEAD: usize = 2;
/// Single spans that are too large for an endpoint before anything else was taken: then it takes nothing.
const TOO_MANY: u64 = 32;
/// Messages of an endpoint that are kept.
const MESSAGES: usize = 5;

/// The whole URL of an endpoint: `/v1/traces` is added, unless its path ends in `/traces` already.
#[must_use]
pub fn traces_url(url: &str) -> String {
    let (base, query) = url.split_once('?').map_or((url, None), |(base, query)| (base, Some(query)));
    let trimmed = base.trim_end_matches('/');
    let path = if trimmed.ends_with("/traces") { trimmed.to_owned() } else { format!("{trimmed}/v1/traces") };
    query.map_or(path.clone(), |query| format!("{path}?{query}"))
}

/// Makes the batches of what is wanted, on this thread, and hands them over until nobody takes them.
pub fn make(
    ask: &Ask,
    wanted: &Wanted,
    options: &Options,
    cleaner: &CleanerFor<'_>,
    encoding: Encoding,
    to: &mpsc::Sender<Batch>,
) -> Result<Told, QueryError> {
    let mut batcher = Batcher::new(encoding);
    let mut is_heard = true;
    let told = wanted.tell(ask, options, cleaner, &mut |resource, trace: Trace| {
        for batch in batcher.push(resource, trace) {
            is_heard = is_heard && to.blocking_send(batch).is_ok();
        }
        is_heard
    })?;
    if let Some(last) = batcher.finish() {
        let _ = to.blocking_send(last);
    }
    Ok(told)
}

/// A channel for batches.
#[must_use]
pub fn channel() -> (mpsc::Sender<Batch>, mpsc::Receiver<Batch>) {
    mpsc::channel(AHEAD)
}

/// One export under way.
pub struct Sender {
    courier: Option<Courier>,
    encoding: Encoding,
    retry: Retry,
    clock: Arc<dyn Clock>,
    retries: AtomicU64,
    done: OtelExported,
    /// Whether anything was taken of the turn whose pieces are being sent.
    begun: bool,
}

impl Sender {
    /// By a courier; without one nothing is sent, only counted.
    #[must_use]
    pub fn new(
        courier: Option<Courier>,
        url: &Uri,
        encoding: Encoding,
        retry_s: Option<u64>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let retry = match retry_s {
            Some(seconds) => Retry { total: Some(Duration::from_secs(seconds)), ..Retry::SHORT },
            None => Retry::SHORT,
        };
        let done = OtelExported {
            endpoint: crate::forward::deliver::shown(url),
            protocol: protocol(encoding).to_owned(),
            dry_run: courier.is_none(),
            ..OtelExported::default()
        };
        Sender { courier, encoding, retry, clock, retries: AtomicU64::new(0), done, begun: false }
    }

    /// Turns that were taken so far.
    #[must_use]
    pub fn traces(&self) -> u64 {
        self.done.traces
    }

    /// What was done.
    #[must_use]
    pub fn done(&self, told: &Told, seconds: f64) -> OtelExported {
        OtelExported {
            sessions: told.sessions,
            running: told.running,
            retries: self.retries.load(Ordering::Relaxed),
            seconds,
            ..self.done.clone()
        }
    }

    /// Sends a batch; where it is too large for the endpoint, in halves, down to single spans. One that is too large by
    /// itself is left out and counted.
    pub async fn send(&mut self, batch: Batch) -> Result<(), QueryError> {
        let mut open = vec![batch];
        while let Some(batch) = open.pop() {
            let body = batch.request().to_bytes(self.encoding);
            let bytes = body.len() as u64;
            let Some(courier) = &self.courier else {
                self.count(&batch, bytes);
                continue;
            };
            let outcome = self.deliver(courier, body.into()).await.map_err(|error| self.failed(&error))?;
            match outcome.verdict() {
                Verdict::Taken => {
                    self.count(&batch, bytes);
                    self.hear(&outcome);
                }
                Verdict::TooLarge => {
                    let goes_on = batch.goes_on;
                    if let Some([first, second]) = batch.halves() {
                        open.extend([second, first]);
                    } else {
                        self.done.too_large_spans += 1;
                        if self.done.requests == 0 && self.done.too_large_spans >= TOO_MANY {
                            return Err(self.refused(&outcome));
                        }
                        // The turn is told all the same if anything of it was.
                        if !goes_on {
                            self.done.traces += u64::from(std::mem::take(&mut self.begun));
                        }
                    }
                }
                _ => return Err(self.refused(&outcome)),
            }
        }
        Ok(())
    }

    async fn deliver(&self, courier: &Courier, body: Bytes) -> Result<Outcome, DeliverError> {
        let content_type = self.encoding.content_type();
        let none = HeaderMap::new();
        self.retry
            .persist(
                || courier.deliver(content_type, body.clone(), &none, &*self.clock),
                || {
                    let mut random = [0; 8];
                    // Without any, all pauses are their shortest.
                    let _ = getrandom::fill(&mut random);
                    u64::from_ne_bytes(random)
                },
                tokio::time::sleep,
                |words, pause| {
                    self.retries.fetch_add(1, Ordering::Relaxed);
                    tracing::info!(
                        endpoint = self.done.endpoint,
                        why = words,
                        ?pause,
                        "export-otel tries again"
                    );
                },
            )
            .await
    }

    fn count(&mut self, batch: &Batch, bytes: u64) {
        self.done.requests += 1;
        self.done.bytes += bytes;
        self.done.spans += batch.spans() as u64;
        self.done.traces += (batch.units.len() as u64).saturating_sub(u64::from(batch.goes_on));
        self.begun = batch.goes_on;
    }

    /// What the endpoint says of what it took.
    fn hear(&mut self, outcome: &Outcome) {
        let encoding = Encoding::of_content_type(&outcome.content_type).unwrap_or(self.encoding);
        // An answer that is none of OTLP says nothing; the status said that it was taken.
        let Ok(answer) = ExportTraceServiceResponse::from_bytes(encoding, &outcome.body) else { return };
        let Some(partial) = answer.partial_success else { return };
        self.done.rejected_spans += u64::try_from(partial.rejected_spans).unwrap_or(0);
        if !partial.error_message.is_empty() && self.done.messages.len() < MESSAGES {
            self.done.messages.push(harmless(&partial.error_message));
        }
    }

    fn so_far(&self) -> String {
        format!("{} traces with {} spans were taken before", self.done.traces, self.done.spans)
    }

    fn failed(&self, error: &DeliverError) -> QueryError {
        let message = format!("{} could not be reached: {error}; {}", self.done.endpoint, self.so_far());
        QueryError::new(StatusCode::BAD_GATEWAY, "unreachable", message)
            .hint("the same export can be repeated: ids do not change")
    }

    fn refused(&self, outcome: &Outcome) -> QueryError {
        let encoding = Encoding::of_content_type(&outcome.content_type);
        let told = encoding.and_then(|encoding| RpcStatus::from_bytes(encoding, &outcome.body).ok());
        let said = match told.filter(|told| !told.message.is_empty()) {
            Some(told) => format!("{}: {}", outcome.status, harmless(&told.message)),
            None => outcome.words(),
        };
        let message = format!("{} refused: {said}; {}", self.done.endpoint, self.so_far());
        let hint = match (outcome.verdict(), outcome.status.as_u16()) {
            (Verdict::Unauthorized, _) | (_, 403) => "does it want a header? -H NAME=VALUE",
            (Verdict::TooLarge, _) => "it takes not even single spans: --content none or text says less",
            (_, 300..=399) => "redirects are not followed: name the address that it moved to",
            (_, 404 | 405) => "/v1/traces was added to the URL: name the whole path if it is another",
            (_, 415) => "--protocol http/json or http/protobuf, or --compress none",
            (Verdict::Later, _) => "it asked to be left alone for now; --retry-for SECONDS waits longer",
            _ => "the same export can be repeated: ids do not change",
        };
        QueryError::new(StatusCode::BAD_GATEWAY, "refused", message).hint(hint)
    }
}

/// The protocol's name, as `OTEL_EXPORTER_OTLP_PROTOCOL` has it.
#[must_use]
pub fn protocol(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Protobuf => "http/protobuf",
        Encoding::Json => "http/json",
    }
}

/// What somebody else said, for a terminal.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_added_where_it_is_not_there() {
        for (given, want) in [
            ("http://h:4318", "http://h:4318/v1/traces"),
            ("http://h:4318/", "http://h:4318/v1/traces"),
            ("https://h/api/public/otel", "https://h/api/public/otel/v1/traces"),
            ("https://h/v1/traces", "https://h/v1/traces"),
            ("https://h/v1/traces/", "https://h/v1/traces"),
            ("https://h/insert/opentelemetry/v1/traces?x=1", "https://h/insert/opentelemetry/v1/traces?x=1"),
            ("https://h?key=1", "https://h/v1/traces?key=1"),
        ] {
            assert_eq!(traces_url(given), want);
        }
    }
}
