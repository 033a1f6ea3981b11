//! Log records and events.

use crate::common::{AnyValue, InstrumentationScope, KeyValue, Resource};
use crate::json::{Enumerated, Id, Inner, List, Long, Maybe, Plain};
use crate::message::{enumeration, message};

message! {
    /// Records of one resource.
    pub struct ResourceLogs {
        /// What they are of.
        #[prost(message, optional, tag = "1")]
        resource: Option<Resource> = "resource" Maybe<Inner>,
        /// The records, by what made them.
        #[prost(message, repeated, tag = "2")]
        scope_logs: Vec<ScopeLogs> = "scopeLogs" List<Inner>,
        /// The schema of the resource.
        #[prost(string, tag = "3")]
        schema_url: String = "schemaUrl" Plain,
    }
}

message! {
    /// Records that one library made.
    pub struct ScopeLogs {
        /// The library.
        #[prost(message, optional, tag = "1")]
        scope: Option<InstrumentationScope> = "scope" Maybe<Inner>,
        /// The records.
        #[prost(message, repeated, tag = "2")]
        log_records: Vec<LogRecord> = "logRecords" List<Inner>,
        /// Their schema.
        #[prost(string, tag = "3")]
        schema_url: String = "schemaUrl" Plain,
    }
}

message! {
    /// A record.
    pub struct LogRecord {
        /// When it happened, in nanoseconds since 1970; 0 where unknown.
        #[prost(fixed64, tag = "1")]
        time_unix_nano: u64 = "timeUnixNano" Long,
        /// When it was seen, in nanoseconds since 1970.
        #[prost(fixed64, tag = "11")]
        observed_time_unix_nano: u64 = "observedTimeUnixNano" Long,
        /// A [`SeverityNumber`].
        #[prost(enumeration = "SeverityNumber", tag = "2")]
        severity_number: i32 = "severityNumber" Enumerated<SeverityNumber>,
        /// How grave it is, in its source's words.
        #[prost(string, tag = "3")]
        severity_text: String = "severityText" Plain,
        /// What it says.
        #[prost(message, optional, tag = "5")]
        body: Option<AnyValue> = "body" Maybe<Inner>,
        /// Its attributes.
        #[prost(message, repeated, tag = "6")]
        attributes: Vec<KeyValue> = "attributes" List<Inner>,
        /// Attributes that were left out.
        #[prost(uint32, tag = "7")]
        dropped_attributes_count: u32 = "droppedAttributesCount" Plain,
        /// W3C trace flags in the lowest byte.
        #[prost(fixed32, tag = "8")]
        flags: u32 = "flags" Plain,
        /// The trace that it belongs to; empty where none.
        #[prost(bytes = "vec", tag = "9")]
        trace_id: Vec<u8> = "traceId" Id,
        /// The span that it belongs to; empty where none.
        #[prost(bytes = "vec", tag = "10")]
        span_id: Vec<u8> = "spanId" Id,
        /// An event's name; empty for other records.
        #[prost(string, tag = "12")]
        event_name: String = "eventName" Plain,
    }
}

enumeration! {
    /// How grave a record is.
    pub enum SeverityNumber {
        /// Not said.
        Unspecified = 0 "SEVERITY_NUMBER_UNSPECIFIED",
        /// Trace.
        Trace = 1 "SEVERITY_NUMBER_TRACE",
        /// Trace, a little graver.
        Trace2 = 2 "SEVERITY_NUMBER_TRACE2",
        /// Trace, graver.
        Trace3 = 3 "SEVERITY_NUMBER_TRACE3",
        /// Trace, gravest.
        Trace4 = 4 "SEVERITY_NUMBER_TRACE4",
        /// Debug.
        Debug = 5 "SEVERITY_NUMBER_DEBUG",
        /// Debug, a little graver.
        Debug2 = 6 "SEVERITY_NUMBER_DEBUG2",
        /// Debug, graver.
        Debug3 = 7 "SEVERITY_NUMBER_DEBUG3",
        /// Debug, gravest.
        Debug4 = 8 "SEVERITY_NUMBER_DEBUG4",
        /// Info.
        Info = 9 "SEVERITY_NUMBER_INFO",
        /// Info, a little graver.
        Info2 = 10 "SEVERITY_NUMBER_INFO2",
        /// Info, graver.
        Info3 = 11 "SEVERITY_NUMBER_INFO3",
        /// Info, gravest.
        Info4 = 12 "SEVERITY_NUMBER_INFO4",
        /// Warn.
        Warn = 13 "SEVERITY_NUMBER_WARN",
        /// Warn, a little graver.
        Warn2 = 14 "SEVERITY_NUMBER_WARN2",
        /// Warn, graver.
        Warn3 = 15 "SEVERITY_NUMBER_WARN3",
        /// Warn, gravest.
        Warn4 = 16 "SEVERITY_NUMBER_WARN4",
        /// Error.
        Error = 17 "SEVERITY_NUMBER_ERROR",
        /// Error, a little graver.
        Error2 = 18 "SEVERITY_NUMBER_ERROR2",
        /// Error, graver.
        Error3 = 19 "SEVERITY_NUMBER_ERROR3",
        /// Error, gravest.
        Error4 = 20 "SEVERITY_NUMBER_ERROR4",
        /// Fatal.
        Fatal = 21 "SEVERITY_NUMBER_FATAL",
        /// Fatal, a little graver.
        Fatal2 = 22 "SEVERITY_NUMBER_FATAL2",
        /// Fatal, graver.
        Fatal3 = 23 "SEVERITY_NUMBER_FATAL3",
        /// Fatal, gravest.
        Fatal4 = 24 "SEVERITY_NUMBER_FATAL4",
    }
}
