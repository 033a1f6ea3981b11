//! Bodies of other recorders into traces. Pure: bytes go in; traces, or the path of the first field that is wrong, come out.
//!
//! Tolerant of what clients really send: other names, numbers in strings, floats, whatever is missing but the session, and
//! fields that nobody knows, which are kept. Total over any bytes. Must never repeat a captured string in an error.

use ccd_otlp::Message as _;
use ccd_otlp::{KeyValue, Span, Value as Scalar};
use http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::problem::Problem;
use crate::clock::{parse_rfc3339, rfc3339};
use crate::project::foreign::platform::{SOURCE, Sender, SpanFacts, of_span, whole};

/// Traces in one body.
const MOST: usize = 50_000;
/// Longest id of a session, in bytes.
const LONGEST_ID: usize = 256;
/// Longest name of a source or a version, in bytes.
const LONGEST_NAME: usize = 64;
/// The most tokens that a field may tell of.
const MOST_TOKENS: u64 = 1 << 40;
/// Fields that hold tokens.
const FIGURES: [&str; 5] = ["tokens_in", "tokens_out", "input_tokens", "output_tokens", "cache_read_tokens"];
/// Fields that hold short texts.
const TEXTS: [&str; 6] = ["tool_name", "hook_type", "model", "working_dir", "agent_id", "agent_type"];

/// A trace that can be kept.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    /// Its session.
    pub(super) session: String,
    /// When it was; none where it does not say.
    pub(super) at_ns: Option<u64>,
    /// The trace as it came, without the spaces between its parts.
    pub(super) text: String,
    /// The same, read.
    pub(super) value: Value,
}

/// What a body holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Batch {
    /// Who sends it.
    pub(super) sender: Sender,
    /// What it sends.
    pub(super) items: Vec<Item>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    traces: Option<&'a RawValue>,
    #[serde(borrow)]
    source: Option<&'a RawValue>,
    #[serde(borrow)]
    version: Option<&'a RawValue>,
}

/// Reads one event, a list of them, or a batch.
pub(super) fn read(body: &[u8], tenant: &str) -> Result<Batch, Problem> {
    let no_json = || Problem::field("$", "the body is no JSON");
    let raw: &RawValue = serde_json::from_slice(body).map_err(|_| no_json())?;
    let mut sender = Sender { tenant: tenant.to_owned(), source: SOURCE.to_owned(), version: None };
    let (root, list) = match raw.get().as_bytes().first() {
        Some(b'{') => {
            let envelope: Envelope<'_> = serde_json::from_str(raw.get())
                .map_err(|_| Problem::field("$", "a field that says what the rest is comes twice"))?;
            let Some(traces) = envelope.traces else {
                return Ok(Batch { sender, items: vec![item(raw, "$")?] });
            };
            if let Some(source) = name(envelope.source, "$.source")? {
                sender.source = source;
            }
            sender.version = name(envelope.version, "$.version")?;
            ("$.traces", traces)
        }
        Some(b'[') => ("$", raw),
        _ => return Err(Problem::field("$", "expected an object")),
    };
    let list: Vec<&RawValue> =
        serde_json::from_str(list.get()).map_err(|_| Problem::field(root, "expected a list of traces"))?;
    few(list.len(), root)?;
    let items = list.into_iter().enumerate().map(|(n, raw)| item(raw, &format!("{root}[{n}]")));
    Ok(Batch { sender, items: items.collect::<Result<_, _>>()? })
}

fn few(count: usize, path: &str) -> Result<(), Problem> {
    if count <= MOST {
        return Ok(());
    }
    let problem = Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_many", "too many at once: 50000 at most");
    Err(Problem { path: Some(path.to_owned()), ..problem })
}

/// The name of a sender, or its version.
fn name(raw: Option<&RawValue>, path: &str) -> Result<Option<String>, Problem> {
    let Some(raw) = raw.filter(|raw| raw.get() != "null") else { return Ok(None) };
    let text = match serde_json::from_str(raw.get()) {
        Ok(Value::String(text)) => text,
        Ok(Value::Number(number)) => number.to_string(),
        _ => return Err(Problem::field(path, "expected a text")),
    };
    let is_plain = !text.is_empty() && text.len() <= LONGEST_NAME && !text.chars().any(char::is_control);
    if is_plain { Ok(Some(text)) } else { Err(Problem::field(path, "expected a name of 1 to 64 bytes")) }
}

fn item(raw: &RawValue, path: &str) -> Result<Item, Problem> {
    // Deeper than the reader goes.
    let value: Value =
        serde_json::from_str(raw.get()).map_err(|_| Problem::field(path, "it is nested too deeply"))?;
    checked(value, Some(raw.get()), path)
}

/// What can be kept of a trace, if it can.
fn checked(value: Value, text: Option<&str>, path: &str) -> Result<Item, Problem> {
    let Some(trace) = value.as_object() else { return Err(Problem::field(path, "expected an object")) };
    let at = |field: &str| format!("{path}.{field}");
    let session = match trace.get("session_id") {
        Some(Value::String(id)) => id.clone(),
        _ => return Err(Problem::field(at("session_id"), "expected a text")),
    };
    if session.is_empty() || session.len() > LONGEST_ID || session.chars().any(char::is_control) {
        return Err(Problem::field(at("session_id"), "expected 1 to 256 bytes without control characters"));
    }
    for field in TEXTS {
        match trace.get(field) {
            None | Some(Value::Null | Value::String(_)) => {}
            // A call of a tool without a name is none, and would be taken and never seen.
            Some(Value::Number(_)) if field != "tool_name" => {}
            Some(_) => return Err(Problem::field(at(field), "expected a text")),
        }
    }
    for field in FIGURES {
        let Some(figure) = trace.get(field).filter(|figure| !figure.is_null()) else { continue };
        if whole(figure).is_none_or(|n| n >= MOST_TOKENS) {
            return Err(Problem::field(at(field), "expected a number of tokens"));
        }
    }
    if trace.get("usage").is_some_and(|usage| !usage.is_null() && !usage.is_object()) {
        return Err(Problem::field(at("usage"), "expected an object"));
    }
    if trace
        .get("cost_usd")
        .is_some_and(|cost| !matches!(cost, Value::Null | Value::Number(_) | Value::String(_)))
    {
        return Err(Problem::field(at("cost_usd"), "expected a number"));
    }
    let at_ns = match trace.get("timestamp") {
        None | Some(Value::Null) => None,
        Some(time) => Some(moment(time).ok_or_else(|| {
            Problem::field(at("timestamp"), "expected a time such as 2026-03-11T10:00:00Z")
        })?),
    };
    let text = text.map_or_else(|| value.to_string(), dense);
    Ok(Item { session, at_ns, text, value })
}

/// A time as clients write it: RFC 3339, without a zone as UTC, or seconds or milliseconds since the Unix epoch.
fn moment(time: &Value) -> Option<u64> {
    match time {
        Value::String(text) => {
            let text = text.trim();
            parse_rfc3339(text).ok().or_else(|| parse_rfc3339(&format!("{text}Z")).ok()).filter(|ns| *ns > 0)
        }
        Value::Number(number) => {
            let seconds = number.as_f64().filter(|n| *n > 0.0 && *n < 1e13)?;
            let seconds = if seconds > 1e11 { seconds / 1000.0 } else { seconds };
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in range")]
            let micros = (seconds * 1e6) as u64;
            micros.checked_mul(1000)
        }
        _ => None,
    }
}

/// JSON without what stands between its parts: on one line.
fn dense(json: &str) -> String {
    let (mut out, mut inside, mut escaped) = (String::with_capacity(json.len()), false, false);
    for c in json.chars() {
        if inside {
            out.push(c);
            (inside, escaped) = (escaped || c != '"', !escaped && c == '\\');
        } else if !matches!(c, ' ' | '\t' | '\r' | '\n') {
            out.push(c);
            inside = c == '"';
        }
    }
    out
}

/// Reads spans of the platform's clients: OTLP in JSON, with all that they make of it.
pub(super) fn read_spans(body: &[u8], tenant: &str) -> Result<Batch, Problem> {
    let root: Value = serde_json::from_slice(body)
        .map_err(|_| Problem::field("$", "the body is no JSON, or is nested too deeply"))?;
    let mut items = Vec::new();
    for (n, resource) in list(&root, "resourceSpans", "$", true)?.iter().enumerate() {
        let at = format!("$.resourceSpans[{n}]");
        let of_resource = match resource.pointer("/resource/attributes") {
            None | Some(Value::Null) => Map::new(),
            Some(attributes) => serde_json::from_value(attributes.clone())
                .map(|attributes: Vec<KeyValue>| plain(&attributes))
                .map_err(|_| Problem::field(format!("{at}.resource.attributes"), "expected attributes"))?,
        };
        for (m, scope) in list(resource, "scopeSpans", &at, false)?.iter().enumerate() {
            let at = format!("{at}.scopeSpans[{m}]");
            for (k, span) in list(scope, "spans", &at, false)?.iter().enumerate() {
                few(items.len() + 1, &at)?;
                let at = format!("{at}.spans[{k}]");
                let span: Span = serde_json::from_value(span.clone())
                    .map_err(|_| Problem::field(at.clone(), "expected a span"))?;
                if span.depth() > ccd_otlp::MAX_DEPTH {
                    return Err(Problem::field(at, "it is nested too deeply"));
                }
                items.push(of(&span, &of_resource, &at)?);
            }
        }
    }
    let sender = Sender { tenant: tenant.to_owned(), source: SOURCE.to_owned(), version: None };
    Ok(Batch { sender, items })
}

fn list<'a>(of: &'a Value, name: &str, path: &str, needed: bool) -> Result<&'a [Value], Problem> {
    if !of.is_object() {
        return Err(Problem::field(path, "expected an object"));
    }
    match of.get(name) {
        Some(Value::Array(list)) => Ok(list),
        None | Some(Value::Null) if !needed => Ok(&[]),
        _ => Err(Problem::field(format!("{path}.{name}"), "expected a list")),
    }
}

/// A span as a trace.
fn of(span: &Span, resource: &Map<String, Value>, path: &str) -> Result<Item, Problem> {
    let attributes = plain(&span.attributes);
    let text = |of: &Map<String, Value>| {
        of.get("session.id").and_then(Value::as_str).filter(|id| !id.is_empty()).map(str::to_owned)
    };
    let session = text(&attributes).or_else(|| text(resource));
    if session.is_none() && !attributes.contains_key("gen_ai.state") {
        return Err(Problem::field(
            format!("{path}.attributes"),
            "expected `session.id`, here or in the resource",
        ));
    }
    let id = hex(&span.span_id);
    // Made of a float, the time is off by some nanoseconds; what it was made of had microseconds.
    let micros = span.start_time_unix_nano.saturating_add(500) / 1000;
    let time = rfc3339(micros.saturating_mul(1000));
    let facts = SpanFacts { id: &id, session: session.as_deref(), time: &time, attributes: &attributes };
    checked(of_span(&facts).into(), None, path)
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// Attributes as JSON has them. The first stands where a name comes twice.
fn plain(attributes: &[KeyValue]) -> Map<String, Value> {
    let mut map = Map::new();
    for pair in attributes {
        let value = pair.value.as_ref().and_then(|value| value.value.as_ref()).map_or(Value::Null, scalar);
        map.entry(pair.key.clone()).or_insert(value);
    }
    map
}

fn scalar(value: &Scalar) -> Value {
    match value {
        Scalar::String(text) => text.clone().into(),
        Scalar::Bool(truth) => (*truth).into(),
        Scalar::Int(number) => (*number).into(),
        Scalar::Double(number) => serde_json::Number::from_f64(*number).map_or(Value::Null, Value::Number),
        Scalar::Array(list) => {
            list.values.iter().map(|value| value.value.as_ref().map_or(Value::Null, scalar)).collect()
        }
        Scalar::Kvlist(list) => plain(&list.values).into(),
        Scalar::Bytes(bytes) => format!("{} bytes", bytes.len()).into(),
    }
}

#[cfg(test)]
#[path = "traces_tests.rs"]
mod tests;
