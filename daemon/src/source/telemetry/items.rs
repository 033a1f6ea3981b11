//! From a message to items: one for each event, each span, and each metric of a session; and what they are known again by.
//!
//! The client sends a batch again when it had no answer. An event is known by its session, its number, its name and its
//! time (the number begins anew when a session is resumed); a span by its ids; a metric by its points. Both encodings of
//! the same give the same items.

use std::collections::BTreeMap;

use ccd_otlp::{
    Data, DecodeError, Encoding, ExportLogsServiceRequest, ExportMetricsServiceRequest,
    ExportTraceServiceRequest, InstrumentationScope, KeyValue, LogRecord, Message, Metric, Resource, Signal,
    Span, Value as Otlp, find,
};
use ccd_store::RecordId;
use serde_json::{Map, Value};

use super::value::{hex, json, object};
use crate::ingest::scrub::IdKey;
use crate::ingest::signals::{SignalV1, TelemetryV1};

/// The service that is taken.
const SERVICE: &str = "claude-code";
/// How its libraries are called, whatever the user calls the service.
const SCOPES: &str = "com.anthropic.claude_code";
/// Longest session id that is one.
const MAX_ID: usize = 128;

/// An item, before it is scrubbed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub id: RecordId,
    pub at_ns: u64,
    pub signal: SignalV1,
    pub session_id: String,
    pub resource: RecordId,
    pub body: Vec<u8>,
}

/// A message's items.
#[derive(Debug, Default)]
pub(super) struct Cut {
    pub items: Vec<Item>,
    /// Records, spans or points that are not taken.
    pub rejected: u64,
    /// Why.
    pub why: String,
}

/// Cuts a message.
pub(super) fn cut(
    signal: Signal,
    encoding: Encoding,
    body: &[u8],
    key: &IdKey,
    now_ns: u64,
) -> Result<Cut, DecodeError> {
    let mut cutter = Cutter { key, now_ns, cut: Cut::default(), resource: None };
    match signal {
        Signal::Logs => {
            for of in ExportLogsServiceRequest::from_bytes(encoding, body)?.resource_logs {
                let resource = of.resource.unwrap_or_default();
                for scope in of.scope_logs {
                    let library = scope.scope.unwrap_or_default();
                    if cutter.takes(&resource, &library, scope.log_records.len()) {
                        scope.log_records.iter().for_each(|record| cutter.log(&library, record));
                    }
                }
            }
        }
        Signal::Traces => {
            for of in ExportTraceServiceRequest::from_bytes(encoding, body)?.resource_spans {
                let resource = of.resource.unwrap_or_default();
                for scope in of.scope_spans {
                    let library = scope.scope.unwrap_or_default();
                    if cutter.takes(&resource, &library, scope.spans.len()) {
                        scope.spans.iter().for_each(|span| cutter.span(&library, span));
                    }
                }
            }
        }
        Signal::Metrics => {
            for of in ExportMetricsServiceRequest::from_bytes(encoding, body)?.resource_metrics {
                let resource = of.resource.unwrap_or_default();
                for scope in of.scope_metrics {
                    let library = scope.scope.unwrap_or_default();
                    let points = scope.metrics.iter().map(points).sum();
                    if cutter.takes(&resource, &library, points) {
                        scope.metrics.into_iter().for_each(|metric| cutter.metric(&library, metric));
                    }
                }
            }
        }
    }
    Ok(cutter.cut)
}

struct Cutter<'a> {
    key: &'a IdKey,
    now_ns: u64,
    cut: Cut,
    /// Where the items come from that follow.
    resource: Option<(Vec<u8>, RecordId)>,
}

fn text<'a>(attributes: &'a [KeyValue], name: &str) -> Option<&'a str> {
    find(attributes, name).and_then(Otlp::as_str)
}

/// The session that attributes name; a name that no session has is none.
fn session(attributes: &[KeyValue]) -> &str {
    let id = text(attributes, "session.id").unwrap_or_default();
    if id.len() <= MAX_ID { id } else { "" }
}

fn put(body: &mut Map<String, Value>, name: &str, value: impl Into<Value>) {
    let value = value.into();
    let is_nothing = match &value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_u64() == Some(0),
        Value::Array(list) => list.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) => false,
    };
    if !is_nothing {
        body.insert(name.to_owned(), value);
    }
}

impl Cutter<'_> {
    /// Whether what a library of a service says is taken; where it comes from is noted.
    fn takes(&mut self, resource: &Resource, library: &InstrumentationScope, count: usize) -> bool {
        let service = text(&resource.attributes, "service.name").unwrap_or_default();
        if service != SERVICE && !library.name.starts_with(SCOPES) {
            self.cut.rejected += count as u64;
            if count > 0 && self.cut.why.is_empty() {
                let name: String = service.chars().filter(|c| !c.is_control()).take(80).collect();
                self.cut.why =
                    format!("only Claude Code's own telemetry is taken in here, not that of \"{name}\"");
            }
            return false;
        }
        if count == 0 {
            return false;
        }
        let mut body = Map::new();
        body.insert("name".into(), "resource".into());
        put(&mut body, "attributes", object(&resource.attributes));
        let body = serde_json::to_vec(&body).unwrap_or_default();
        if self.resource.as_ref().is_none_or(|(known, _)| *known != body) {
            let id = TelemetryV1::record_id(self.key, SignalV1::Resource, "", &[&body]);
            self.resource = Some((body.clone(), id));
            self.push(id, self.now_ns, SignalV1::Resource, "", [0; 16], body);
        }
        true
    }

    fn push(
        &mut self,
        id: RecordId,
        at_ns: u64,
        signal: SignalV1,
        session: &str,
        resource: RecordId,
        body: Vec<u8>,
    ) {
        let session_id = session.to_owned();
        self.cut.items.push(Item { id, at_ns, signal, session_id, resource, body });
    }

    fn add(
        &mut self,
        signal: SignalV1,
        session: &str,
        at_ns: u64,
        own: Option<&[u8]>,
        body: &Map<String, Value>,
    ) {
        let body = serde_json::to_vec(body).unwrap_or_default();
        let own = own.unwrap_or(&body);
        let id = TelemetryV1::record_id(self.key, signal, session, &[own]);
        let at_ns = if at_ns == 0 { self.now_ns } else { at_ns };
        let resource = self.resource.as_ref().map_or([0; 16], |(_, id)| *id);
        self.push(id, at_ns, signal, session, resource, body);
    }

    fn log(&mut self, library: &InstrumentationScope, record: &LogRecord) {
        let of = &record.attributes;
        let said = json(record.body.as_ref());
        let name = text(of, "event.name").filter(|name| !name.is_empty());
        let name = name.or(Some(record.event_name.as_str()).filter(|name| !name.is_empty()));
        let name = name.or(said.as_str()).unwrap_or_default().to_owned();
        let told = record.time_unix_nano;
        let at_ns = if told == 0 { record.observed_time_unix_nano } else { told };
        let mut body = head(library, &name);
        put(&mut body, "time_unix_nano", at_ns);
        if said.as_str().is_none_or(|said| said.strip_prefix("claude_code.").unwrap_or(said) != name) {
            put(&mut body, "body", said);
        }
        put(&mut body, "severity_number", record.severity_number);
        put(&mut body, "severity_text", record.severity_text.as_str());
        put(&mut body, "trace_id", hex(&record.trace_id));
        put(&mut body, "span_id", hex(&record.span_id));
        put(&mut body, "attributes", object(of));
        let number = find(of, "event.sequence").and_then(Otlp::as_i64);
        let own = number.map(|number| format!("{number} {at_ns} {name}").into_bytes());
        self.add(SignalV1::Log, session(of), at_ns, own.as_deref(), &body);
    }

    fn span(&mut self, library: &InstrumentationScope, span: &Span) {
        let mut body = head(library, &span.name);
        put(&mut body, "start_time_unix_nano", span.start_time_unix_nano);
        put(&mut body, "end_time_unix_nano", span.end_time_unix_nano);
        put(&mut body, "trace_id", hex(&span.trace_id));
        put(&mut body, "span_id", hex(&span.span_id));
        put(&mut body, "parent_span_id", hex(&span.parent_span_id));
        put(&mut body, "trace_state", span.trace_state.as_str());
        put(&mut body, "kind", span.kind);
        if let Some(status) = &span.status {
            put(&mut body, "status_code", status.code);
            put(&mut body, "status_message", status.message.as_str());
        }
        put(&mut body, "attributes", object(&span.attributes));
        let events = span.events.iter().map(|event| {
            let mut one = Map::new();
            put(&mut one, "name", event.name.as_str());
            put(&mut one, "time_unix_nano", event.time_unix_nano);
            put(&mut one, "attributes", object(&event.attributes));
            Value::Object(one)
        });
        put(&mut body, "events", events.collect::<Value>());
        let links = span.links.iter().map(|link| {
            let mut one = Map::new();
            put(&mut one, "trace_id", hex(&link.trace_id));
            put(&mut one, "span_id", hex(&link.span_id));
            put(&mut one, "attributes", object(&link.attributes));
            Value::Object(one)
        });
        put(&mut body, "links", links.collect::<Value>());
        let own = (!span.span_id.is_empty()).then(|| [&span.trace_id[..], &span.span_id].concat());
        self.add(SignalV1::Span, session(&span.attributes), span.end_time_unix_nano, own.as_deref(), &body);
    }

    fn metric(&mut self, library: &InstrumentationScope, metric: Metric) {
        for (session, at_ns, part) in by_session(metric) {
            let mut body = head(library, &part.name);
            // As the protocol has it: nothing is worked out of it.
            put(&mut body, "metric", serde_json::to_value(&part).unwrap_or_default());
            self.add(SignalV1::Metric, &session, at_ns, None, &body);
        }
    }
}

fn head(library: &InstrumentationScope, name: &str) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("name".into(), name.into());
    put(&mut body, "scope", library.name.as_str());
    put(&mut body, "version", library.version.as_str());
    body
}

fn points(metric: &Metric) -> usize {
    match &metric.data {
        None => 0,
        Some(Data::Gauge(data)) => data.data_points.len(),
        Some(Data::Sum(data)) => data.data_points.len(),
        Some(Data::Histogram(data)) => data.data_points.len(),
        Some(Data::ExponentialHistogram(data)) => data.data_points.len(),
        Some(Data::Summary(data)) => data.data_points.len(),
    }
}

/// A metric's points by the session that they name, with the time of the latest.
fn by_session(metric: Metric) -> Vec<(String, u64, Metric)> {
    let Metric { name, description, unit, metadata, data } = metric;
    let Some(data) = data else { return Vec::new() };
    macro_rules! split {
        ($variant:ident, $data:expr) => {{
            let mut of = BTreeMap::new();
            for point in std::mem::take(&mut $data.data_points) {
                of.entry(session(&point.attributes).to_owned()).or_insert_with(Vec::new).push(point);
            }
            let parts = of.into_iter().map(|(session, data_points)| {
                let at_ns = data_points.iter().map(|p| p.time_unix_nano).max().unwrap_or(0);
                let mut part = $data.clone();
                part.data_points = data_points;
                (session, at_ns, Data::$variant(part))
            });
            parts.collect::<Vec<_>>()
        }};
    }
    let parts = match data {
        Data::Gauge(mut of) => split!(Gauge, of),
        Data::Sum(mut of) => split!(Sum, of),
        Data::Histogram(mut of) => split!(Histogram, of),
        Data::ExponentialHistogram(mut of) => split!(ExponentialHistogram, of),
        Data::Summary(mut of) => split!(Summary, of),
    };
    let whole = |data| Metric {
        name: name.clone(),
        description: description.clone(),
        unit: unit.clone(),
        metadata: metadata.clone(),
        data: Some(data),
    };
    parts.into_iter().map(|(session, at_ns, data)| (session, at_ns, whole(data))).collect()
}
