//! Traces that were handed in over the network as to a platform: one object each, as it came, in an envelope of ours that
//! says who sent it.
//!
//! ```text
//! {"platform":{"tenant":…,"source":…,"version":…},"trace":{…}}
//! ```
//!
//! What stands in the trace is read as a line of `pisama`'s hooks is, with all that its clients and others make of it: other
//! names, numbers in strings, inputs flattened to a string. Must never read what a proxy's client sent as a tool call: those
//! traces do not name the client's session, so nobody could tell which of them another source has told of already; they are
//! kept, and counted nowhere.

use serde_json::{Map, Value, json};

use super::pisama::{self, SPAN, Trace};

/// The envelope's member that holds the trace.
pub const TRACE: &str = "trace";
/// Who sent traces that name nobody.
pub const SOURCE: &str = "claude-code";
/// Who sends what a proxy saw.
const PROXY: &str = "claude-code-proxy";

/// Who sent a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Whose it is.
    pub tenant: String,
    /// The recorder.
    pub source: String,
    /// Its version, where it says.
    pub version: Option<String>,
}

/// A trace in its envelope; `trace` is JSON.
#[must_use]
pub fn line(sender: &Sender, trace: &str) -> String {
    let head = json!({ "tenant": sender.tenant, "source": sender.source, "version": sender.version });
    format!("{{\"platform\":{head},\"{TRACE}\":{trace}}}")
}

/// Reads a line.
pub(super) fn read(at_ns: u64, line: &[u8]) -> Option<Trace> {
    let line: Value = serde_json::from_slice(line).ok()?;
    let trace = line.get(TRACE)?;
    let is_proxy = line.pointer("/platform/source").and_then(Value::as_str) == Some(PROXY)
        || trace.get("hook_type").and_then(Value::as_str) == Some("proxy");
    if is_proxy { None } else { pisama::of_event(at_ns, trace) }
}

/// A number of tokens, however it is written.
#[must_use]
pub fn whole(value: &Value) -> Option<u64> {
    pisama::whole(value)
}

/// What a span of the platform's clients tells, as a trace: what its state says, with the span's own id, session, tool and
/// figures beside it. Attributes that have no other place are kept as they are.
#[must_use]
pub fn of_span(span: &SpanFacts<'_>) -> Map<String, Value> {
    let text = |key: &str| span.attributes.get(key).and_then(Value::as_str).map(str::to_owned);
    let mut trace = match text("gen_ai.state").and_then(|state| serde_json::from_str(&state).ok()) {
        Some(Value::Object(state)) => state,
        _ => Map::new(),
    };
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value.filter(|value| !value.is_null())
            && !trace.contains_key(key)
        {
            trace.insert(key.to_owned(), value);
        }
    };
    let attribute = |key: &str| span.attributes.get(key).cloned();
    put("session_id", span.session.map(Value::from));
    put("timestamp", Some(span.time.into()));
    put("hook_type", attribute("hook.type"));
    put("tool_name", attribute("tool.name").or_else(|| attribute("gen_ai.tool.name")));
    put("model", attribute("gen_ai.request.model"));
    put("input_tokens", attribute("gen_ai.usage.input_tokens"));
    put("output_tokens", attribute("gen_ai.usage.output_tokens"));
    put("cost_usd", attribute("gen_ai.usage.cost_usd"));
    put("user_input", attribute("gen_ai.prompt"));
    put("ai_output", attribute("gen_ai.completion"));
    put("agent_id", attribute("gen_ai.agent.id"));
    put("agent_type", attribute("gen_ai.agent.name"));
    put(SPAN, Some(span.id.into()));
    let rest = span
        .attributes
        .iter()
        .filter(|(key, _)| !key.starts_with("gen_ai.") && !KNOWN.contains(&key.as_str()));
    let rest: Map<String, Value> = rest.map(|(key, value)| (key.clone(), value.clone())).collect();
    put("attributes", Some(Value::from(rest)).filter(|rest| rest.as_object().is_some_and(|o| !o.is_empty())));
    trace
}

/// Attributes that have a place of their own.
const KNOWN: [&str; 3] = ["tool.name", "hook.type", "session.id"];

/// A span, as far as traces go.
#[derive(Clone, Debug)]
pub struct SpanFacts<'a> {
    /// Its id, as hexadecimal digits.
    pub id: &'a str,
    /// Its session, by its own attributes or its resource's.
    pub session: Option<&'a str>,
    /// Its beginning, RFC 3339.
    pub time: &'a str,
    /// Its attributes.
    pub attributes: &'a Map<String, Value>,
}
