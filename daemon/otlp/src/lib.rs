//! OTLP: the messages of traces, logs and metrics, in protobuf and JSON, to write and to read.
//!
//! Written strictly, read leniently. JSON is written as the protocol asks (`lowerCamelCase`, ids in hexadecimal, 64-bit
//! numbers as strings, enumerations as integers, nothing that is a default); it is also read with `snake_case` names, with
//! numbers where strings belong and the other way round, with the names of enumerations, with ids in base64, and with
//! `null` for anything that is not there. Unknown fields are skipped in both encodings.
//!
//! Must never panic or recurse without a bound, whatever the bytes: a message is at most [`MAX_DEPTH`] messages deep. The
//! size is the caller's to bound. Nothing here reads a clock, a socket or a file.

mod common;
mod json;
mod logs;
mod message;
mod metrics;
mod scalar;
mod service;
mod text;
mod trace;

#[cfg(test)]
mod tests;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::common::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList, Resource, Value, find,
};
pub use self::logs::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
pub use self::metrics::{
    AggregationTemporality, Buckets, Data, Exemplar, ExemplarValue, ExponentialHistogram,
    ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    NumberValue, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, ValueAtQuantile,
};
pub use self::service::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse, RpcStatus,
};
pub use self::trace::{Event, Link, ResourceSpans, ScopeSpans, Span, SpanKind, Status, StatusCode};

/// Messages below each other that are read. A value in a list in a value counts as three.
pub const MAX_DEPTH: u32 = 64;

/// How a message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `application/x-protobuf`.
    Protobuf,
    /// `application/json`.
    Json,
}

impl Encoding {
    /// The encoding that a `Content-Type` names, with or without parameters; none where OTLP/HTTP knows it not.
    #[must_use]
    pub fn of_content_type(value: &str) -> Option<Self> {
        let kind = value.split(';').next().unwrap_or_default().trim();
        let is = |name: &str| kind.eq_ignore_ascii_case(name);
        match () {
            () if is("application/x-protobuf") || is("application/protobuf") => Some(Encoding::Protobuf),
            () if is("application/json") => Some(Encoding::Json),
            () => None,
        }
    }

    /// What to say in `Content-Type`.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Encoding::Protobuf => "application/x-protobuf",
            Encoding::Json => "application/json",
        }
    }
}

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Log records and events.
    Logs,
    /// Data points.
    Metrics,
}

impl Signal {
    /// The path of OTLP/HTTP for it.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Signal::Traces => "/v1/traces",
            Signal::Logs => "/v1/logs",
            Signal::Metrics => "/v1/metrics",
        }
    }

    /// The signal that a path is for.
    #[must_use]
    pub fn of_path(path: &str) -> Option<Self> {
        [Signal::Traces, Signal::Logs, Signal::Metrics].into_iter().find(|signal| signal.path() == path)
    }
}

/// Why bytes are no message.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Protobuf that cannot be read.
    #[error("no OTLP message in protobuf: {0}")]
    Protobuf(#[from] prost::DecodeError),
    /// JSON that cannot be read. Names the line and the column, and none of the text.
    #[error("no OTLP message in JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Nested too deeply.
    #[error("an OTLP message of more than {MAX_DEPTH} messages below each other")]
    TooDeep,
}

/// A message that can be written and read whole: a request, a response, or a part of one.
pub trait Message: prost::Message + Default + Serialize + DeserializeOwned {
    /// Messages below each other in it, itself included.
    fn depth(&self) -> u32;

    /// Reads one.
    fn from_bytes(encoding: Encoding, bytes: &[u8]) -> Result<Self, DecodeError> {
        let message = match encoding {
            Encoding::Protobuf => Self::decode(bytes)?,
            Encoding::Json => serde_json::from_slice(bytes)?,
        };
        if message.depth() > MAX_DEPTH { Err(DecodeError::TooDeep) } else { Ok(message) }
    }

    /// Writes it.
    fn to_bytes(&self, encoding: Encoding) -> Vec<u8> {
        match encoding {
            Encoding::Protobuf => self.encode_to_vec(),
            // Nothing that is written here can fail: keys are strings, and numbers that JSON has not are strings too.
            Encoding::Json => serde_json::to_vec(self).unwrap_or_default(),
        }
    }
}
