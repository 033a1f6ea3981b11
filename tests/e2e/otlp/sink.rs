//! An endpoint of OTLP over HTTP that keeps what it is sent, read by the Rust SDK's own messages, and answers as it is told.

use std::collections::{BTreeMap, HashSet};
use std::io::Read;
use std::sync::{Arc, Mutex};

use ccd_tests::harness::wire::{Head, Upstream};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

/// A request, as it came.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) head: Head,
    pub(super) body: Vec<u8>,
}

/// What is done with the `n`th request, from 0.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// These bytes are sent.
    Bytes(Vec<u8>),
    /// The connection is closed.
    Close,
    /// Nothing comes, until the other end gives up.
    Nothing,
}

impl Answer {
    pub(super) fn status(line: &str, headers: &str, body: &[u8]) -> Self {
        let head = format!("HTTP/1.1 {line}\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
        Answer::Bytes([head.as_bytes(), body].concat())
    }

    pub(super) fn ok() -> Self {
        Self::status("200 OK", "Content-Type: application/x-protobuf\r\n", b"")
    }
}

/// The endpoint. It ends with the test's process.
pub(super) struct Sink {
    url: String,
    got: Arc<Mutex<Vec<Request>>>,
}

impl Sink {
    pub(super) fn taking_all() -> Self {
        Self::new(|_| Answer::ok())
    }

    pub(super) fn new(answer: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::judging(move |n, _| answer(n))
    }

    /// One that looks at what it is sent.
    pub(super) fn judging(answer: impl Fn(usize, &Request) -> Answer + Send + Sync + 'static) -> Self {
        let upstream = Upstream::new();
        let url = upstream.url();
        let got: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (kept, answer) = (Arc::clone(&got), Arc::new(answer));
        std::thread::spawn(move || {
            loop {
                let Some(mut wire) = upstream.try_accept() else {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                    continue;
                };
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                std::thread::spawn(move || {
                    while let Some(head) = wire.try_head() {
                        let (body, _) = wire.read_rest();
                        let request = Request { head, body };
                        let n = {
                            let mut all = kept.lock().unwrap();
                            all.push(request.clone());
                            all.len() - 1
                        };
                        match answer(n, &request) {
                            Answer::Bytes(bytes) => {
                                let _ = wire.try_send(bytes);
                            }
                            Answer::Close => return,
                            Answer::Nothing => return wire.read_close(),
                        }
                    }
                });
            }
        });
        Sink { url, got }
    }

    pub(super) fn url(&self) -> String {
        self.url.clone()
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.got.lock().unwrap().clone()
    }

    pub(super) fn clear(&self) {
        self.got.lock().unwrap().clear();
    }

    /// All spans of all requests.
    pub(super) fn spans(&self) -> Vec<Span> {
        self.requests().iter().flat_map(Request::spans).collect()
    }
}

impl Request {
    /// What is in it.
    pub(super) fn message(&self) -> ExportTraceServiceRequest {
        assert_eq!(self.head.start, "POST /v1/traces HTTP/1.1");
        let mut plain = self.body.clone();
        if self.head.header("content-encoding") == Some("gzip") {
            plain.clear();
            flate2::read::GzDecoder::new(self.body.as_slice()).read_to_end(&mut plain).unwrap();
        }
        match self.head.header("content-type") {
            Some("application/json") => serde_json::from_slice(&plain).unwrap(),
            _ => ExportTraceServiceRequest::decode(plain.as_slice()).unwrap(),
        }
    }

    pub(super) fn spans(&self) -> Vec<Span> {
        let scopes = self.message().resource_spans.into_iter().flat_map(|of| of.scope_spans);
        scopes.flat_map(|of| of.spans).collect()
    }
}

fn attribute<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    attributes.iter().find(|a| a.key == key)?.value.as_ref()?.value.as_ref()
}

/// A number's attribute; 0 where it has none.
pub(super) fn number(span: &Span, key: &str) -> i64 {
    match attribute(&span.attributes, key) {
        Some(Value::IntValue(number)) => *number,
        None => 0,
        other => panic!("{key} is {other:?}"),
    }
}

/// A text's attribute.
pub(super) fn text<'a>(span: &'a Span, key: &str) -> Option<&'a str> {
    match attribute(&span.attributes, key)? {
        Value::StringValue(text) => Some(text),
        other => panic!("{key} is {other:?}"),
    }
}

/// Asserts that the spans are whole trees: each id once, each parent there, one root per trace, no end before its start.
/// Returns how many traces there are.
#[track_caller]
pub(super) fn assert_trees(spans: &[Span]) -> usize {
    let mut traces: BTreeMap<&[u8], Vec<&Span>> = BTreeMap::new();
    for span in spans {
        assert_eq!((span.trace_id.len(), span.span_id.len()), (16, 8), "{}", span.name);
        assert!(span.start_time_unix_nano > 0 && span.end_time_unix_nano >= span.start_time_unix_nano);
        traces.entry(&span.trace_id).or_default().push(span);
    }
    for spans in traces.values() {
        let ids: HashSet<&[u8]> = spans.iter().map(|span| span.span_id.as_slice()).collect();
        assert_eq!(ids.len(), spans.len(), "each span once");
        let roots = spans.iter().filter(|span| span.parent_span_id.is_empty()).count();
        assert_eq!(roots, 1, "one root: {:?}", spans.iter().map(|s| &s.name).collect::<Vec<_>>());
        for span in spans {
            let parent = span.parent_span_id.as_slice();
            assert!(parent.is_empty() || ids.contains(parent), "the parent of {} is missing", span.name);
        }
    }
    traces.len()
}
