//! Reads a record's body: one line of JSON that `source::telemetry` wrote.

use ccd_proto::api::Tokens;
use serde_json::{Map, Value};

use super::{Kind, Request, Signal, TelemetryFacts};
use crate::project::charge::MAX_COUNT;
use crate::project::text::{preview, text_hash, tool_summary};

/// What stands for a text that the user does not let be told.
const WITHHELD: &str = "<REDACTED>";
/// Before an event's name where its body has it.
const PREFIX: &str = "claude_code.";

/// The attributes of a body, texts that are JSON themselves read as such: for showing.
#[must_use]
pub fn attributes(body: &Value) -> Value {
    let mut attributes = body.get("attributes").cloned().unwrap_or_default();
    if let Some(Value::Object(input)) = attributes
        .get("tool_input")
        .and_then(Value::as_str)
        .and_then(|text| serde_json::from_str::<Value>(text).ok())
        && let Some(slot) = attributes.get_mut("tool_input")
    {
        *slot = Value::Object(input);
    }
    attributes
}

/// What an event, a span or a metric is called.
#[must_use]
pub fn name_of(body: &Value) -> &str {
    body.get("name").and_then(Value::as_str).unwrap_or_default()
}

/// Reads a body. `None` where it is no object, or names no session.
#[must_use]
pub fn read(signal: Signal, session_id: &str, at_ns: u64, body: &[u8]) -> Option<TelemetryFacts> {
    let body: Value = serde_json::from_slice(body).ok()?;
    if session_id.is_empty() || !body.is_object() {
        return None;
    }
    let none = Map::new();
    let attributes = body.get("attributes").and_then(Value::as_object).unwrap_or(&none);
    let of = Attributes(attributes);
    let name = name_of(&body);
    let number = attributes.get("event.sequence").and_then(Value::as_u64);
    Some(TelemetryFacts {
        session_id: session_id.to_owned(),
        at_ns,
        version: body.get("version").and_then(Value::as_str).filter(|v| !v.is_empty()).map(str::to_owned),
        prompt_id: of.text("prompt.id"),
        agent_id: of.text("agent_id"),
        request_id: of.text("request_id"),
        tool_use_id: of.text("tool_use_id"),
        own: text_hash(&format!("{} {at_ns} {name}", number.unwrap_or(u64::MAX))),
        kind: match signal {
            Signal::Log => of.event(name.strip_prefix(PREFIX).unwrap_or(name)),
            Signal::Span | Signal::Metric => Kind::Other,
        },
    })
}

struct Attributes<'a>(&'a Map<String, Value>);

impl Attributes<'_> {
    fn str(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str().filter(|text| !text.is_empty() && *text != WITHHELD)
    }

    fn text(&self, name: &str) -> Option<String> {
        self.str(name).map(str::to_owned)
    }

    /// A count, which some events tell as a number and others as a text.
    fn count(&self, name: &str) -> Option<u64> {
        let value = self.0.get(name)?;
        let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
        // Of a duration the client tells fractions, too.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // within the bound
        let rounded = || value.as_f64().filter(|n| (0.0..1e12).contains(n)).map(|n| n as u64);
        Some(number.or_else(rounded)?.min(MAX_COUNT))
    }

    fn flag(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|v| v.as_bool() == Some(true) || v.as_str() == Some("true"))
    }

    /// One line about a call.
    fn summary(&self) -> Option<String> {
        let of = |name: &str| {
            let input: Value = serde_json::from_str(self.str(name)?).ok()?;
            let full = input.get("full_command").and_then(Value::as_str).map(preview);
            full.or_else(|| tool_summary(&input))
        };
        of("tool_input").or_else(|| of("tool_parameters"))
    }

    fn event(&self, name: &str) -> Kind {
        let tool = || self.text("tool_name").unwrap_or_default();
        match name {
            "api_request" => Kind::Request(Box::new(self.request())),
            "assistant_response" => Kind::Said(self.str("response").map(preview)),
            // A command asks nothing of a model.
            "user_prompt" if self.str("command_name").is_none() => {
                Kind::Prompt(self.str("prompt").map(preview))
            }
            "tool_decision" => Kind::Decision {
                tool: tool(),
                summary: self.summary(),
                accepted: self.str("decision") == Some("accept"),
                by: self.text("source").unwrap_or_default(),
            },
            "tool_result" => Kind::Result {
                tool: tool(),
                summary: self.summary(),
                success: self.flag("success"),
                ms: self.count("duration_ms"),
                error: self.str("error").or_else(|| self.str("error_type")).map(preview),
            },
            "api_retries_exhausted" => {
                Kind::Failed(self.str("error").map_or_else(|| "API error".to_owned(), preview))
            }
            "api_refusal" => Kind::Failed("the model refused".to_owned()),
            "subagent_completed" => {
                Kind::AgentDone { agent_type: self.text("agent_type"), ms: self.count("duration_ms") }
            }
            _ => Kind::Other,
        }
    }

    fn request(&self) -> Request {
        let count = |name: &str| self.count(name).unwrap_or(0);
        let hour = count("cache_creation_1h_tokens");
        // What nobody says was written for an hour was written for the default lifetime of 5 minutes.
        let five = count("cache_creation_tokens").saturating_sub(hour).max(count("cache_creation_5m_tokens"));
        let speed = self.str("speed").unwrap_or_default();
        Request {
            model: self.text("model").unwrap_or_else(|| "unknown".to_owned()),
            tokens: Tokens {
                input: count("input_tokens"),
                output: count("output_tokens"),
                cache_read: count("cache_read_tokens"),
                cache_write_5m: five,
                cache_write_1h: hour,
            },
            ms: count("duration_ms"),
            ttft_ms: self.count("ttft_ms"),
            speed: if speed == "normal" { "standard" } else { speed }.to_owned(),
            asked_by: self.text("query_source").unwrap_or_default(),
            client_micros: self.count("cost_usd_micros"),
        }
    }
}
