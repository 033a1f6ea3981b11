//! A session as OpenTelemetry's spans: one trace per turn.
//!
//! ```text
//! gather.rs   reads what is asked for, a session at a time      spans.rs     a turn -> its spans (pure)
//! semconv.rs  how attributes are spelt                          content.rs   prompts, answers, tools' values
//! batch.rs    requests of a size that receivers take            send.rs      delivers them, tries again, counts
//! ```
//!
//! Invariants: every span's parent is a span of the same trace and of the same request; a trace has one root; times are
//! those on record, in nanoseconds; ids do not change between exports. `gen_ai.usage.*` stands on model calls alone, so
//! that whoever adds it up gets what was billed; sums of agents and turns are `ccd.rollup.*`.
//!
//! Must never tell what was captured beyond names and figures unless a [`Level`] asks for it, nor anything that was not
//! redacted by the rules of now, whole, before it is cut.

pub mod batch;
mod content;
pub mod gather;
pub mod semconv;
pub mod send;
mod spans;

#[cfg(test)]
mod tests;

use ccd_otlp::{InstrumentationScope, KeyValue, Resource, ResourceSpans, ScopeSpans, Span};
use ccd_proto::VERSION;
use ccd_proto::api::Session;

pub use self::gather::{Told, traces_json_lines};
pub use self::spans::{Call, Filled, Story, trace};

/// The service's name where none is asked for.
pub const SERVICE_NAME: &str = "claude-code";

/// How much of what was said goes along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Names and figures.
    #[default]
    None,
    /// And prompts, answers with their thinking, and errors.
    Text,
    /// And what tools were given and answered, and the system prompt, once per agent and turn.
    Full,
}

impl Level {
    /// Of `none`, `text` (or `prompts`), `full`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "none" => Some(Level::None),
            "text" | "prompts" => Some(Level::Text),
            "full" => Some(Level::Full),
            _ => None,
        }
    }
}

/// How spans are told.
#[derive(Clone, Debug)]
pub struct Options {
    /// `service.name`.
    pub service_name: String,
    /// `host.name`, where it is asked for.
    pub host_name: Option<String>,
    /// How attributes are spelt.
    pub semconv: semconv::Version,
    /// How much goes along.
    pub content: Level,
    /// Turns that still run, too: their spans end with the last sign of life.
    pub running: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            service_name: SERVICE_NAME.to_owned(),
            host_name: None,
            semconv: semconv::Version::default(),
            content: Level::None,
            running: false,
        }
    }
}

/// One turn's spans: the root first, each before what is below it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// The session.
    pub session_id: String,
    /// The turn.
    pub turn_id: String,
    /// The spans.
    pub spans: Vec<Span>,
}

/// What a session's spans are of.
#[must_use]
pub fn resource(session: &Session, options: &Options) -> Resource {
    let mut attributes = vec![KeyValue::new("service.name", options.service_name.as_str())];
    let version = session.client.as_deref().and_then(|client| client.split_whitespace().nth(1));
    // Captured text: it goes as far as it has the shape of a version.
    let is_version = |text: &&str| {
        text.len() <= 32 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-+".contains(&b))
    };
    if let Some(version) = version.filter(is_version) {
        attributes.push(KeyValue::new("service.version", version));
    }
    if let Some(host) = &options.host_name {
        attributes.push(KeyValue::new("host.name", host.as_str()));
    }
    attributes.extend([
        KeyValue::new("telemetry.sdk.name", "ccd"),
        KeyValue::new("telemetry.sdk.language", "rust"),
        KeyValue::new("telemetry.sdk.version", VERSION),
        KeyValue::new("ccd.version", VERSION),
    ]);
    Resource { attributes, ..Resource::default() }
}

/// Spans with what they are of.
#[must_use]
pub fn resource_spans(resource: Resource, spans: Vec<Span>) -> ResourceSpans {
    let scope = InstrumentationScope {
        name: "ccd".into(),
        version: VERSION.into(),
        ..InstrumentationScope::default()
    };
    ResourceSpans {
        resource: Some(resource),
        scope_spans: vec![ScopeSpans { scope: Some(scope), spans, schema_url: String::new() }],
        schema_url: String::new(),
    }
}
