//! What a line of another recorder tells. Pure, and total over any bytes.
//!
//! `cc-tracer` kept the client's hook payloads as they came, and of each API call its answer with the message's own id:
//! both are read as if they were ours, and join what else is known by the same ids, so that nothing is counted twice.
//! Spans that it told of say so.
//!
//! `pisama` kept neither the call's nor the message's id, so that its lines can be joined with nothing. The rule
//! ([`pisama`], [`shadow`]): its tool calls are shown only in sessions of which no other source tells anything, and what
//! it says was billed is counted only for sessions that nothing else was billed for; once another source tells of the
//! session, that alone counts. Its proxy's lines do not name the client's session at all: nobody could tell which of them
//! a transcript has told already, so they are kept and counted nowhere. What is handed in over the network as to a platform
//! ([`platform`]) goes by the same rule.

mod cc_tracer;
mod pisama;
pub mod platform;
mod shadow;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::session::Fact;
pub use pisama::{Billed, Trace};
pub(super) use shadow::Traces;
pub use shadow::{is_foreign_start, message_of, start_of};

/// Lines of `cc-tracer`.
pub const CC_TRACER: &str = "cc-tracer";
/// Lines of `pisama`'s hooks.
pub const PISAMA_TRACES: &str = "pisama-traces";
/// Lines of `pisama`'s proxy.
pub const PISAMA_CALLS: &str = "pisama-calls";
/// Traces that were handed in over the network.
pub const PLATFORM: &str = "platform";
/// How `pisama` is named as a source.
pub const PISAMA: &str = "pisama";

/// What another recorder tells.
#[derive(Clone, Debug)]
pub enum Told {
    /// What one of our own sources could have told.
    Same(&'static str, Fact),
    /// A tool call without ids.
    Trace(Box<Trace>),
}

/// Whose a line is; none if it is nobody's that is known.
#[must_use]
pub fn format_of(line: &[u8]) -> Option<&'static str> {
    #[derive(Deserialize)]
    struct Line<'a> {
        #[serde(borrow)]
        hook_event_name: Option<&'a RawValue>,
        #[serde(borrow, rename = "_ts")]
        ts: Option<&'a RawValue>,
        #[serde(borrow)]
        hook_type: Option<&'a RawValue>,
        #[serde(borrow)]
        session_id: Option<&'a RawValue>,
        #[serde(borrow)]
        span_id: Option<&'a RawValue>,
        #[serde(borrow)]
        platform: Option<&'a RawValue>,
        #[serde(borrow)]
        conversation_id: Option<&'a RawValue>,
        #[serde(borrow)]
        input_messages: Option<&'a RawValue>,
    }
    let line: Line<'_> = serde_json::from_slice(line).ok()?;
    if line.hook_event_name.is_some() && line.ts.is_some() {
        Some(CC_TRACER)
    } else if (line.hook_type.is_some() && line.session_id.is_some())
        || (line.span_id.is_some() && line.platform.is_some())
    {
        Some(PISAMA_TRACES)
    } else if line.conversation_id.is_some() && line.input_messages.is_some() {
        Some(PISAMA_CALLS)
    } else {
        None
    }
}

/// When a line says that it was written: in whose time, only whoever wrote it knows.
#[must_use]
pub fn written_at(line: &[u8]) -> Option<String> {
    let line: Value = serde_json::from_slice(line).ok()?;
    let keys = ["_ts", "timestamp", "ts", "end_time", "start_time"];
    keys.iter().find_map(|key| Some(line.get(key)?.as_str()?.to_owned()))
}

/// Reads a line that was written at `at_ns`, and finds its session.
#[must_use]
pub fn read(format: &str, at_ns: u64, line: &[u8]) -> Option<(String, Fact)> {
    let (session, told) = match format {
        CC_TRACER => {
            let (session, fact) = cc_tracer::read(at_ns, line)?;
            (session, Told::Same(CC_TRACER, fact))
        }
        PISAMA_TRACES => {
            let trace = pisama::read(at_ns, line)?;
            (trace.hook.session_id.clone(), Told::Trace(Box::new(trace)))
        }
        PLATFORM => {
            let trace = platform::read(at_ns, line)?;
            (trace.hook.session_id.clone(), Told::Trace(Box::new(trace)))
        }
        _ => return None,
    };
    Some((session, Fact::Foreign(Box::new(told))))
}

/// What a line holds, in the shape that the client would have given it.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A hook's payload.
    Hook(Value),
    /// A transcript's line.
    Line(Vec<u8>),
}

/// A line's content; none where its facts lead to none.
#[must_use]
pub fn content(format: &str, at_ns: u64, line: &[u8]) -> Option<Content> {
    let value: Value = serde_json::from_slice(line).ok()?;
    match format {
        CC_TRACER => Some(match cc_tracer::as_written(at_ns, &value) {
            Some((_, written)) => Content::Line(written),
            None => Content::Hook(value),
        }),
        PISAMA_TRACES => Some(Content::Hook(pisama::as_hook(&value)?)),
        PLATFORM => Some(Content::Hook(pisama::as_hook(value.get(platform::TRACE)?)?)),
        _ => None,
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
