//! What is sent to a receiver, and what it answers.

use crate::json::{Inner, List, Long, Maybe, Plain};
use crate::logs::ResourceLogs;
use crate::message::message;
use crate::metrics::ResourceMetrics;
use crate::trace::ResourceSpans;

message! {
    /// Spans for a receiver.
    pub struct ExportTraceServiceRequest {
        /// By what they are of.
        #[prost(message, repeated, tag = "1")]
        resource_spans: Vec<ResourceSpans> = "resourceSpans" List<Inner>,
    }
}

message! {
    /// The receiver's answer.
    pub struct ExportTraceServiceResponse {
        /// What was not taken, or a warning; not there where all is well.
        #[prost(message, optional, tag = "1")]
        partial_success: Option<ExportTracePartialSuccess> = "partialSuccess" Maybe<Inner>,
    }
}

message! {
    /// What a receiver did not take. It must not be sent again.
    pub struct ExportTracePartialSuccess {
        /// How many. 0 with a message is a warning.
        #[prost(int64, tag = "1")]
        rejected_spans: i64 = "rejectedSpans" Long,
        /// Why.
        #[prost(string, tag = "2")]
        error_message: String = "errorMessage" Plain,
    }
}

message! {
    /// Log records for a receiver.
    pub struct ExportLogsServiceRequest {
        /// By what they are of.
        #[prost(message, repeated, tag = "1")]
        resource_logs: Vec<ResourceLogs> = "resourceLogs" List<Inner>,
    }
}

message! {
    /// The receiver's answer.
    pub struct ExportLogsServiceResponse {
        /// What was not taken, or a warning; not there where all is well.
        #[prost(message, optional, tag = "1")]
        partial_success: Option<ExportLogsPartialSuccess> = "partialSuccess" Maybe<Inner>,
    }
}

message! {
    /// What a receiver did not take. It must not be sent again.
    pub struct ExportLogsPartialSuccess {
        /// How many. 0 with a message is a warning.
        #[prost(int64, tag = "1")]
        rejected_log_records: i64 = "rejectedLogRecords" Long,
        /// Why.
        #[prost(string, tag = "2")]
        error_message: String = "errorMessage" Plain,
    }
}

message! {
    /// Data points for a receiver.
    pub struct ExportMetricsServiceRequest {
        /// By what they are of.
        #[prost(message, repeated, tag = "1")]
        resource_metrics: Vec<ResourceMetrics> = "resourceMetrics" List<Inner>,
    }
}

message! {
    /// The receiver's answer.
    pub struct ExportMetricsServiceResponse {
        /// What was not taken, or a warning; not there where all is well.
        #[prost(message, optional, tag = "1")]
        partial_success: Option<ExportMetricsPartialSuccess> = "partialSuccess" Maybe<Inner>,
    }
}

message! {
    /// What a receiver did not take. It must not be sent again.
    pub struct ExportMetricsPartialSuccess {
        /// How many. 0 with a message is a warning.
        #[prost(int64, tag = "1")]
        rejected_data_points: i64 = "rejectedDataPoints" Long,
        /// Why.
        #[prost(string, tag = "2")]
        error_message: String = "errorMessage" Plain,
    }
}

message! {
    /// The body of an answer that refuses (`google.rpc.Status`).
    pub struct RpcStatus {
        /// A code of gRPC.
        #[prost(int32, tag = "1")]
        code: i32 = "code" Plain,
        /// Why.
        #[prost(string, tag = "2")]
        message: String = "message" Plain,
    }
}
