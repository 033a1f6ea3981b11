//! Metrics: gauges, sums, histograms of both kinds, summaries.

use crate::common::{InstrumentationScope, KeyValue, Resource};
use crate::json::{Double, Enumerated, Id, Inner, List, Long, Maybe, Plain};
use crate::message::{enumeration, message};

message! {
    /// Metrics of one resource.
    pub struct ResourceMetrics {
        /// What they are of.
        #[prost(message, optional, tag = "1")]
        resource: Option<Resource> = "resource" Maybe<Inner>,
        /// The metrics, by what made them.
        #[prost(message, repeated, tag = "2")]
        scope_metrics: Vec<ScopeMetrics> = "scopeMetrics" List<Inner>,
        /// The schema of the resource.
        #[prost(string, tag = "3")]
        schema_url: String = "schemaUrl" Plain,
    }
}

message! {
    /// Metrics that one library made.
    pub struct ScopeMetrics {
        /// The library.
        #[prost(message, optional, tag = "1")]
        scope: Option<InstrumentationScope> = "scope" Maybe<Inner>,
        /// The metrics.
        #[prost(message, repeated, tag = "2")]
        metrics: Vec<Metric> = "metrics" List<Inner>,
        /// Their schema.
        #[prost(string, tag = "3")]
        schema_url: String = "schemaUrl" Plain,
    }
}

message! {
    /// A metric.
    pub struct Metric {
        /// Its name.
        #[prost(string, tag = "1")]
        name: String = "name" Plain,
        /// What it is.
        #[prost(string, tag = "2")]
        description: String = "description" Plain,
        /// Its unit, in UCUM.
        #[prost(string, tag = "3")]
        unit: String = "unit" Plain,
        /// More about it.
        #[prost(message, repeated, tag = "12")]
        metadata: Vec<KeyValue> = "metadata" List<Inner>,
    }
    oneof {
        /// Its points.
        #[prost(oneof = "Data", tags = "5, 7, 9, 10, 11")]
        data: Data {
            Gauge = "gauge" / "gauge" Inner,
            Sum = "sum" / "sum" Inner,
            Histogram = "histogram" / "histogram" Inner,
            ExponentialHistogram = "exponentialHistogram" / "exponential_histogram" Inner,
            Summary = "summary" / "summary" Inner,
        }
    }
}

/// A metric's points, by its kind.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Data {
    /// How much there is now.
    #[prost(message, tag = "5")]
    Gauge(Gauge),
    /// How much there was in all.
    #[prost(message, tag = "7")]
    Sum(Sum),
    /// How measurements fall into buckets of given bounds.
    #[prost(message, tag = "9")]
    Histogram(Histogram),
    /// How measurements fall into buckets of growing bounds.
    #[prost(message, tag = "10")]
    ExponentialHistogram(ExponentialHistogram),
    /// Quantiles, worked out by the source.
    #[prost(message, tag = "11")]
    Summary(Summary),
}

message! {
    /// How much there is now.
    pub struct Gauge {
        /// The points.
        #[prost(message, repeated, tag = "1")]
        data_points: Vec<NumberDataPoint> = "dataPoints" List<Inner>,
    }
}

message! {
    /// How much there was in all.
    pub struct Sum {
        /// The points.
        #[prost(message, repeated, tag = "1")]
        data_points: Vec<NumberDataPoint> = "dataPoints" List<Inner>,
        /// An [`AggregationTemporality`].
        #[prost(enumeration = "AggregationTemporality", tag = "2")]
        aggregation_temporality: i32 = "aggregationTemporality" Enumerated<AggregationTemporality>,
        /// Whether it only grows.
        #[prost(bool, tag = "3")]
        is_monotonic: bool = "isMonotonic" Plain,
    }
}

message! {
    /// How measurements fall into buckets of given bounds.
    pub struct Histogram {
        /// The points.
        #[prost(message, repeated, tag = "1")]
        data_points: Vec<HistogramDataPoint> = "dataPoints" List<Inner>,
        /// An [`AggregationTemporality`].
        #[prost(enumeration = "AggregationTemporality", tag = "2")]
        aggregation_temporality: i32 = "aggregationTemporality" Enumerated<AggregationTemporality>,
    }
}

message! {
    /// How measurements fall into buckets of growing bounds.
    pub struct ExponentialHistogram {
        /// The points.
        #[prost(message, repeated, tag = "1")]
        data_points: Vec<ExponentialHistogramDataPoint> = "dataPoints" List<Inner>,
        /// An [`AggregationTemporality`].
        #[prost(enumeration = "AggregationTemporality", tag = "2")]
        aggregation_temporality: i32 = "aggregationTemporality" Enumerated<AggregationTemporality>,
    }
}

message! {
    /// Quantiles, worked out by the source.
    pub struct Summary {
        /// The points.
        #[prost(message, repeated, tag = "1")]
        data_points: Vec<SummaryDataPoint> = "dataPoints" List<Inner>,
    }
}

enumeration! {
    /// What a point counts.
    pub enum AggregationTemporality {
        /// Not said.
        Unspecified = 0 "AGGREGATION_TEMPORALITY_UNSPECIFIED",
        /// What came since the point before.
        Delta = 1 "AGGREGATION_TEMPORALITY_DELTA",
        /// What came since the start.
        Cumulative = 2 "AGGREGATION_TEMPORALITY_CUMULATIVE",
    }
}

message! {
    /// A number at a time.
    pub struct NumberDataPoint {
        /// What it is of.
        #[prost(message, repeated, tag = "7")]
        attributes: Vec<KeyValue> = "attributes" List<Inner>,
        /// Start of what is counted, in nanoseconds since 1970; 0 where unknown.
        #[prost(fixed64, tag = "2")]
        start_time_unix_nano: u64 = "startTimeUnixNano" Long,
        /// When it was so, in nanoseconds since 1970.
        #[prost(fixed64, tag = "3")]
        time_unix_nano: u64 = "timeUnixNano" Long,
        /// Single measurements.
        #[prost(message, repeated, tag = "5")]
        exemplars: Vec<Exemplar> = "exemplars" List<Inner>,
        /// 1 where nothing was recorded.
        #[prost(uint32, tag = "8")]
        flags: u32 = "flags" Plain,
    }
    oneof {
        /// The number.
        #[prost(oneof = "NumberValue", tags = "4, 6")]
        value: NumberValue {
            Double = "asDouble" / "as_double" Double,
            Int = "asInt" / "as_int" Long,
        }
    }
}

/// A point's number.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub enum NumberValue {
    /// A float.
    #[prost(double, tag = "4")]
    Double(f64),
    /// A whole number.
    #[prost(sfixed64, tag = "6")]
    Int(i64),
}

message! {
    /// A histogram at a time.
    pub struct HistogramDataPoint {
        /// What it is of.
        #[prost(message, repeated, tag = "9")]
        attributes: Vec<KeyValue> = "attributes" List<Inner>,
        /// Start of what is counted, in nanoseconds since 1970; 0 where unknown.
        #[prost(fixed64, tag = "2")]
        start_time_unix_nano: u64 = "startTimeUnixNano" Long,
        /// When it was so, in nanoseconds since 1970.
        #[prost(fixed64, tag = "3")]
        time_unix_nano: u64 = "timeUnixNano" Long,
        /// Measurements.
        #[prost(fixed64, tag = "4")]
        count: u64 = "count" Long,
        /// Their sum.
        #[prost(double, optional, tag = "5")]
        sum: Option<f64> = "sum" Maybe<Double>,
        /// How many fell into each bucket: one more than there are bounds, or none.
        #[prost(fixed64, repeated, tag = "6")]
        bucket_counts: Vec<u64> = "bucketCounts" List<Long>,
        /// The bounds, rising.
        #[prost(double, repeated, tag = "7")]
        explicit_bounds: Vec<f64> = "explicitBounds" List<Double>,
        /// Single measurements.
        #[prost(message, repeated, tag = "8")]
        exemplars: Vec<Exemplar> = "exemplars" List<Inner>,
        /// 1 where nothing was recorded.
        #[prost(uint32, tag = "10")]
        flags: u32 = "flags" Plain,
        /// The smallest.
        #[prost(double, optional, tag = "11")]
        min: Option<f64> = "min" Maybe<Double>,
        /// The largest.
        #[prost(double, optional, tag = "12")]
        max: Option<f64> = "max" Maybe<Double>,
    }
}

message! {
    /// A histogram of growing bounds at a time.
    pub struct ExponentialHistogramDataPoint {
        /// What it is of.
        #[prost(message, repeated, tag = "1")]
        attributes: Vec<KeyValue> = "attributes" List<Inner>,
        /// Start of what is counted, in nanoseconds since 1970; 0 where unknown.
        #[prost(fixed64, tag = "2")]
        start_time_unix_nano: u64 = "startTimeUnixNano" Long,
        /// When it was so, in nanoseconds since 1970.
        #[prost(fixed64, tag = "3")]
        time_unix_nano: u64 = "timeUnixNano" Long,
        /// Measurements.
        #[prost(fixed64, tag = "4")]
        count: u64 = "count" Long,
        /// Their sum.
        #[prost(double, optional, tag = "5")]
        sum: Option<f64> = "sum" Maybe<Double>,
        /// The base of the bounds is 2 to the power of 2 to the power of minus this.
        #[prost(sint32, tag = "6")]
        scale: i32 = "scale" Plain,
        /// How many were zero, or as near as `zero_threshold`.
        #[prost(fixed64, tag = "7")]
        zero_count: u64 = "zeroCount" Long,
        /// Those above zero.
        #[prost(message, optional, tag = "8")]
        positive: Option<Buckets> = "positive" Maybe<Inner>,
        /// Those below zero.
        #[prost(message, optional, tag = "9")]
        negative: Option<Buckets> = "negative" Maybe<Inner>,
        /// 1 where nothing was recorded.
        #[prost(uint32, tag = "10")]
        flags: u32 = "flags" Plain,
        /// Single measurements.
        #[prost(message, repeated, tag = "11")]
        exemplars: Vec<Exemplar> = "exemplars" List<Inner>,
        /// The smallest.
        #[prost(double, optional, tag = "12")]
        min: Option<f64> = "min" Maybe<Double>,
        /// The largest.
        #[prost(double, optional, tag = "13")]
        max: Option<f64> = "max" Maybe<Double>,
        /// How near to zero is zero.
        #[prost(double, tag = "14")]
        zero_threshold: f64 = "zeroThreshold" Double,
    }
}

message! {
    /// Buckets of growing bounds.
    pub struct Buckets {
        /// The first bucket's index.
        #[prost(sint32, tag = "1")]
        offset: i32 = "offset" Plain,
        /// How many fell into each.
        #[prost(uint64, repeated, tag = "2")]
        bucket_counts: Vec<u64> = "bucketCounts" List<Long>,
    }
}

message! {
    /// A summary at a time.
    pub struct SummaryDataPoint {
        /// What it is of.
        #[prost(message, repeated, tag = "7")]
        attributes: Vec<KeyValue> = "attributes" List<Inner>,
        /// Start of what is counted, in nanoseconds since 1970; 0 where unknown.
        #[prost(fixed64, tag = "2")]
        start_time_unix_nano: u64 = "startTimeUnixNano" Long,
        /// When it was so, in nanoseconds since 1970.
        #[prost(fixed64, tag = "3")]
        time_unix_nano: u64 = "timeUnixNano" Long,
        /// Measurements.
        #[prost(fixed64, tag = "4")]
        count: u64 = "count" Long,
        /// Their sum.
        #[prost(double, tag = "5")]
        sum: f64 = "sum" Double,
        /// The quantiles.
        #[prost(message, repeated, tag = "6")]
        quantile_values: Vec<ValueAtQuantile> = "quantileValues" List<Inner>,
        /// 1 where nothing was recorded.
        #[prost(uint32, tag = "8")]
        flags: u32 = "flags" Plain,
    }
}

message! {
    /// A quantile.
    pub struct ValueAtQuantile {
        /// Which, from 0 to 1.
        #[prost(double, tag = "1")]
        quantile: f64 = "quantile" Double,
        /// Its value.
        #[prost(double, tag = "2")]
        value: f64 = "value" Double,
    }
}

message! {
    /// A single measurement.
    pub struct Exemplar {
        /// Attributes that the point has not.
        #[prost(message, repeated, tag = "7")]
        filtered_attributes: Vec<KeyValue> = "filteredAttributes" List<Inner>,
        /// When it was taken, in nanoseconds since 1970.
        #[prost(fixed64, tag = "2")]
        time_unix_nano: u64 = "timeUnixNano" Long,
        /// The span that it was taken in; empty where none.
        #[prost(bytes = "vec", tag = "4")]
        span_id: Vec<u8> = "spanId" Id,
        /// That span's trace.
        #[prost(bytes = "vec", tag = "5")]
        trace_id: Vec<u8> = "traceId" Id,
    }
    oneof {
        /// The number.
        #[prost(oneof = "ExemplarValue", tags = "3, 6")]
        value: ExemplarValue {
            Double = "asDouble" / "as_double" Double,
            Int = "asInt" / "as_int" Long,
        }
    }
}

/// A measurement's number.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub enum ExemplarValue {
    /// A float.
    #[prost(double, tag = "3")]
    Double(f64),
    /// A whole number.
    #[prost(sfixed64, tag = "6")]
    Int(i64),
}
