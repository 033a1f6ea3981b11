//! Spans.

use crate::common::{InstrumentationScope, KeyValue, Resource};
use crate::json::{Enumerated, Id, Inner, List, Long, Maybe, Plain};
use crate::message::{enumeration, message};

message! {
    /// Spans of one resource.
    pub struct ResourceSpans {
        /// What they are of.
        #[prost(message, optional, tag = "1")]
        resource: Option<Resource> = "resource" Maybe<Inner>,
        /// The spans, by what made them.
        #[prost(message, repeated, tag = "2")]
        scope_spans: Vec<ScopeSpans> = "scopeSpans" List<Inner>,
        /// The schema of the resource.
        #[prost(string, tag = "3")]
        schema_url: String = "schemaUrl" Plain,
    }
}

message! {
    /// Spans that one library made.
    pub struct ScopeSpans {
        /// The library.
        #[prost(message, optional, tag = "1")]
        scope: Option<InstrumentationScope> = "scope" Maybe<Inner>,
        /// The spans.
        #[prost(message, repeated, tag = "2")]
        spans: Vec<Span> = "spans" List<Inner>,
        /// Their schema.
        #[prost(string, tag = "3")]
        schema_url: String = "schemaUrl" Plain,
    }
}

message! {
    /// A span.
    pub struct Span {
        /// Its trace: 16 bytes, not all zero.
        #[prost(bytes = "vec", tag = "1")]
        trace_id: Vec<u8> = "traceId" Id,
        /// Its own id: 8 bytes, not all zero.
        #[prost(bytes = "vec", tag = "2")]
        span_id: Vec<u8> = "spanId" Id,
        /// The W3C `tracestate`.
        #[prost(string, tag = "3")]
        trace_state: String = "traceState" Plain,
        /// Its parent's id; empty at a root.
        #[prost(bytes = "vec", tag = "4")]
        parent_span_id: Vec<u8> = "parentSpanId" Id,
        /// W3C trace flags in the lowest byte; whether the parent is remote in the two bits above.
        #[prost(fixed32, tag = "16")]
        flags: u32 = "flags" Plain,
        /// What was done.
        #[prost(string, tag = "5")]
        name: String = "name" Plain,
        /// A [`SpanKind`].
        #[prost(enumeration = "SpanKind", tag = "6")]
        kind: i32 = "kind" Enumerated<SpanKind>,
        /// Start, in nanoseconds since 1970.
        #[prost(fixed64, tag = "7")]
        start_time_unix_nano: u64 = "startTimeUnixNano" Long,
        /// End, in nanoseconds since 1970.
        #[prost(fixed64, tag = "8")]
        end_time_unix_nano: u64 = "endTimeUnixNano" Long,
        /// Attributes, each name once.
        #[prost(message, repeated, tag = "9")]
        attributes: Vec<KeyValue> = "attributes" List<Inner>,
        /// Attributes that were left out.
        #[prost(uint32, tag = "10")]
        dropped_attributes_count: u32 = "droppedAttributesCount" Plain,
        /// What happened in it.
        #[prost(message, repeated, tag = "11")]
        events: Vec<Event> = "events" List<Inner>,
        /// Events that were left out.
        #[prost(uint32, tag = "12")]
        dropped_events_count: u32 = "droppedEventsCount" Plain,
        /// Other spans that it has to do with.
        #[prost(message, repeated, tag = "13")]
        links: Vec<Link> = "links" List<Inner>,
        /// Links that were left out.
        #[prost(uint32, tag = "14")]
        dropped_links_count: u32 = "droppedLinksCount" Plain,
        /// How it went; not there where nothing is said.
        #[prost(message, optional, tag = "15")]
        status: Option<Status> = "status" Maybe<Inner>,
    }
}

message! {
    /// Something that happened in a span.
    pub struct Event {
        /// When, in nanoseconds since 1970.
        #[prost(fixed64, tag = "1")]
        time_unix_nano: u64 = "timeUnixNano" Long,
        /// What.
        #[prost(string, tag = "2")]
        name: String = "name" Plain,
        /// Its attributes.
        #[prost(message, repeated, tag = "3")]
        attributes: Vec<KeyValue> = "attributes" List<Inner>,
        /// Attributes that were left out.
        #[prost(uint32, tag = "4")]
        dropped_attributes_count: u32 = "droppedAttributesCount" Plain,
    }
}

message! {
    /// Another span that a span has to do with.
    pub struct Link {
        /// Its trace.
        #[prost(bytes = "vec", tag = "1")]
        trace_id: Vec<u8> = "traceId" Id,
        /// Its id.
        #[prost(bytes = "vec", tag = "2")]
        span_id: Vec<u8> = "spanId" Id,
        /// Its W3C `tracestate`.
        #[prost(string, tag = "3")]
        trace_state: String = "traceState" Plain,
        /// What it has to do with it.
        #[prost(message, repeated, tag = "4")]
        attributes: Vec<KeyValue> = "attributes" List<Inner>,
        /// Attributes that were left out.
        #[prost(uint32, tag = "5")]
        dropped_attributes_count: u32 = "droppedAttributesCount" Plain,
        /// As a span's.
        #[prost(fixed32, tag = "6")]
        flags: u32 = "flags" Plain,
    }
}

message! {
    /// How a span went.
    pub struct Status {
        /// Why it failed.
        #[prost(string, tag = "2")]
        message: String = "message" Plain,
        /// A [`StatusCode`].
        #[prost(enumeration = "StatusCode", tag = "3")]
        code: i32 = "code" Enumerated<StatusCode>,
    }
}

enumeration! {
    /// Which side of a call a span tells.
    pub enum SpanKind {
        /// Not said.
        Unspecified = 0 "SPAN_KIND_UNSPECIFIED",
        /// Inside a program.
        Internal = 1 "SPAN_KIND_INTERNAL",
        /// The side that is called.
        Server = 2 "SPAN_KIND_SERVER",
        /// The side that calls.
        Client = 3 "SPAN_KIND_CLIENT",
        /// The side that sends a message.
        Producer = 4 "SPAN_KIND_PRODUCER",
        /// The side that takes a message.
        Consumer = 5 "SPAN_KIND_CONSUMER",
    }
}

enumeration! {
    /// How a span went.
    pub enum StatusCode {
        /// Nothing is said: it went well.
        Unset = 0 "STATUS_CODE_UNSET",
        /// Somebody says that it went well.
        Ok = 1 "STATUS_CODE_OK",
        /// It failed.
        Error = 2 "STATUS_CODE_ERROR",
    }
}
