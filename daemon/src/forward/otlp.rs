//! Traces to an OTLP receiver over HTTP (opentelemetry.io/docs/specs/otlp, "OTLP/HTTP").
//!
//! What a receiver takes in part is not sent again: it said what it does not want. What is too large for it is sent in
//! halves. Ids are those of the session's tree, so that a receiver that is sent a span twice knows it again.

use bytes::Bytes;
use ccd_otlp::{Encoding as Wire, ExportTraceServiceRequest, ExportTraceServiceResponse, Message, RpcStatus};
use ccd_proto::api::{Session, Turn};
use http::{HeaderMap, Uri};

use super::deliver::{Courier, Endpoint, Verdict};
use super::speaker::Packing;
use super::{Failed, Sent, headers, is_about_the_door};
use crate::clock::Clock;
use crate::config::{Content, Encoding, Network, Sink};
use crate::export::clean::Cleaner;
use crate::export::otlp::batch::Batcher;
use crate::export::otlp::gather::Wanted;
use crate::export::otlp::send::traces_url;
use crate::export::otlp::{Level, Options};
use crate::query::filter::Filter;
use crate::query::{Ask, QueryError};

/// One request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch(pub ExportTraceServiceRequest);

impl Batch {
    /// Its spans.
    #[must_use]
    pub fn spans(&self) -> u64 {
        let scopes = self.0.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
        scopes.map(|scope| scope.spans.len() as u64).sum()
    }

    /// As it is sent.
    #[must_use]
    pub fn bytes(&self, encoding: Encoding) -> Bytes {
        self.0.to_bytes(wire(encoding)).into()
    }

    /// It in two; none where it is one span.
    #[must_use]
    pub fn halves(mut self) -> Option<(Batch, Batch)> {
        if self.spans() < 2 {
            return None;
        }
        if self.0.resource_spans.len() > 1 {
            let second = self.0.resource_spans.split_off(self.0.resource_spans.len() / 2);
            return Some((self, Batch(ExportTraceServiceRequest { resource_spans: second })));
        }
        let resource = self.0.resource_spans.first_mut()?;
        let mut second = resource.clone();
        if resource.scope_spans.len() > 1 {
            second.scope_spans = resource.scope_spans.split_off(resource.scope_spans.len() / 2);
        } else {
            let scope = resource.scope_spans.first_mut()?;
            second.scope_spans.first_mut()?.spans = scope.spans.split_off(scope.spans.len() / 2);
        }
        Some((self, Batch(ExportTraceServiceRequest { resource_spans: vec![second] })))
    }
}

fn wire(encoding: Encoding) -> Wire {
    match encoding {
        Encoding::Protobuf => Wire::Protobuf,
        Encoding::Json => Wire::Json,
    }
}

/// A turn's trace in requests; none where it has none. Blocks.
pub(super) fn pack(
    ask: &Ask,
    sink: &Sink,
    packing: &Packing,
    session: &Session,
    turn: &Turn,
) -> Result<Option<Vec<Batch>>, QueryError> {
    let content = match (packing.content, packing.outputs) {
        (Content::None, _) => Level::None,
        // Of what tools did, all of it goes along, or nothing.
        (Content::Text, _) | (Content::Full, false) => Level::Text,
        (Content::Full, true) => Level::Full,
    };
    // Whether it is over was decided before: what never ends is sent, too, in the end.
    let options = Options { content, running: true, ..Options::default() };
    let filter = Filter {
        session: Some(session.session_id.clone()),
        turn: Some(turn.turn_id.clone()),
        limit: 0,
        ..Filter::default()
    };
    let privacy = packing.privacy.clone();
    let cleaner =
        |cwd: Option<&str>| Cleaner::standard(&privacy, cwd).map_err(|e| QueryError::bad(e.to_string()));
    let mut batcher = Batcher::new(wire(sink.encoding));
    let mut made = Vec::new();
    Wanted::find(ask, &filter, &options)?.tell(ask, &options, &cleaner, &mut |resource, trace| {
        if trace.turn_id == turn.turn_id {
            made.extend(batcher.push(resource, trace));
        }
        true
    })?;
    made.extend(batcher.finish());
    let made: Vec<Batch> =
        made.iter().map(|batch| Batch(batch.request())).filter(|batch| batch.spans() > 0).collect();
    Ok((!made.is_empty()).then_some(made))
}

/// Where traces go: the URL itself if it names their path, else below it.
#[must_use]
pub fn url(base: &Uri) -> Option<Uri> {
    traces_url(&base.to_string()).parse().ok()
}

/// A receiver.
pub struct Receiver {
    sink: Sink,
    network: Network,
}

impl Receiver {
    /// This one; nothing is looked up yet.
    #[must_use]
    pub fn new(sink: &Sink, network: Network) -> Self {
        Receiver { sink: sink.clone(), network }
    }

    /// Sends a request.
    pub async fn send(&mut self, batch: &Batch, clock: &dyn Clock) -> Sent {
        self.attempt(batch, clock).await.unwrap_or_else(Sent::Failed)
    }

    async fn attempt(&self, batch: &Batch, clock: &dyn Clock) -> Result<Sent, Failed> {
        let url = url(&self.sink.url).ok_or_else(|| Failed::held("the URL is none"))?;
        let endpoint = Endpoint {
            headers: headers(&self.sink).map_err(Failed::held)?,
            gzip: self.sink.gzip,
            allow_http: self.sink.allow_http,
            ..Endpoint::new(url)
        };
        let courier =
            Courier::new(endpoint, &self.network).map_err(|error| Failed::held(error.to_string()))?;
        let encoding = wire(self.sink.encoding);
        let body = batch.bytes(self.sink.encoding);
        let sent = courier.deliver(encoding.content_type(), body, &HeaderMap::new(), clock).await;
        let outcome = sent.map_err(|error| Failed::passing(error.to_string()))?;
        // An answer is written as the request was, where it says nothing else.
        let told = Wire::of_content_type(&outcome.content_type).unwrap_or(encoding);
        let words = || match RpcStatus::from_bytes(told, &outcome.body) {
            Ok(status) if !status.message.is_empty() => {
                let said: String =
                    status.message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
                format!("{}: {said}", outcome.status)
            }
            _ => outcome.words(),
        };
        Ok(match outcome.verdict() {
            Verdict::Taken => {
                let answer = ExportTraceServiceResponse::from_bytes(told, &outcome.body).unwrap_or_default();
                let partial = answer.partial_success.unwrap_or_default();
                let rejected = u64::try_from(partial.rejected_spans).unwrap_or(0).min(batch.spans());
                let said: String =
                    partial.error_message.chars().filter(|c| !c.is_control()).take(200).collect();
                let note = (rejected > 0 || !said.is_empty())
                    .then(|| format!("the receiver left out {rejected} of {} spans: {said}", batch.spans()));
                Sent::Taken { items: batch.spans() - rejected, note }
            }
            Verdict::TooLarge => Sent::TooLarge(words()),
            Verdict::Later => Sent::Failed(Failed { asked: outcome.retry_after, ..Failed::passing(words()) }),
            _ if is_about_the_door(outcome.status) => Sent::Failed(Failed::held(words())),
            _ => Sent::Refused(words()),
        })
    }
}

#[cfg(test)]
mod tests {
    use ccd_otlp::{ResourceSpans, ScopeSpans, Span};

    use super::*;

    #[test]
    fn traces_go_where_the_protocol_has_them() {
        for (base, want) in [
            ("http://localhost:4318", "http://localhost:4318/v1/traces"),
            ("https://o.example/", "https://o.example/v1/traces"),
            ("https://o.example/otlp/v1/traces", "https://o.example/otlp/v1/traces"),
            ("https://o.example/otlp/?key=1", "https://o.example/otlp/v1/traces?key=1"),
        ] {
            assert_eq!(url(&base.parse().unwrap()).unwrap().to_string(), want);
        }
    }

    #[test]
    fn what_is_too_large_is_sent_in_halves_down_to_single_spans() {
        let scope = |n: usize| ScopeSpans { spans: vec![Span::default(); n], ..ScopeSpans::default() };
        let resource = |scopes| ResourceSpans { scope_spans: scopes, ..ResourceSpans::default() };
        let batch = Batch(ExportTraceServiceRequest {
            resource_spans: vec![resource(vec![scope(3), scope(4)]), resource(vec![scope(1)])],
        });
        let (mut waiting, mut single) = (vec![batch], 0);
        while let Some(batch) = waiting.pop() {
            let spans = batch.spans();
            match batch.halves() {
                Some((a, b)) => {
                    assert_eq!(a.spans() + b.spans(), spans);
                    assert!(a.spans() > 0 && b.spans() > 0);
                    waiting.extend([a, b]);
                }
                None => single += spans,
            }
        }
        assert_eq!(single, 8);
    }
}
