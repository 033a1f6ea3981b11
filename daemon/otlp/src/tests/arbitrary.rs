//! Messages of every shape, for the properties. Floats are fractions of powers of two: JSON's text says them exactly.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::*;

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z.]{0,12}", any::<String>()]
}

fn float() -> impl Strategy<Value = f64> {
    any::<i32>().prop_map(|n| f64::from(n) / 8.0)
}

fn id(len: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![Just(Vec::new()), vec(any::<u8>(), len)]
}

fn any_value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        text().prop_map(AnyValue::from),
        any::<bool>().prop_map(AnyValue::from),
        any::<i64>().prop_map(AnyValue::from),
        float().prop_map(AnyValue::from),
        vec(any::<u8>(), 0..20).prop_map(AnyValue::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let pair = (text(), inner.clone()).prop_map(|(key, value)| KeyValue { key, value: Some(value) });
        prop_oneof![
            vec(inner, 0..4).prop_map(|values| Value::Array(ArrayValue { values })),
            vec(pair, 0..4).prop_map(|values| Value::Kvlist(KeyValueList { values })),
        ]
        .prop_map(|value| AnyValue { value: Some(value) })
    })
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    vec((text(), any_value()).prop_map(|(key, value)| KeyValue { key, value: Some(value) }), 0..4)
}

fn resource() -> impl Strategy<Value = Option<Resource>> {
    let entity = (text(), text(), vec(text(), 0..3), vec(text(), 0..3)).prop_map(
        |(schema_url, kind, id_keys, description_keys)| EntityRef {
            schema_url,
            r#type: kind,
            id_keys,
            description_keys,
        },
    );
    option::of((attributes(), any::<u32>(), vec(entity, 0..2)).prop_map(
        |(attributes, dropped_attributes_count, entity_refs)| Resource {
            attributes,
            dropped_attributes_count,
            entity_refs,
        },
    ))
}

fn scope() -> impl Strategy<Value = Option<InstrumentationScope>> {
    option::of((text(), text(), attributes(), any::<u32>()).prop_map(
        |(name, version, attributes, dropped_attributes_count)| InstrumentationScope {
            name,
            version,
            attributes,
            dropped_attributes_count,
        },
    ))
}

fn event() -> impl Strategy<Value = Event> {
    (any::<u64>(), text(), attributes(), any::<u32>()).prop_map(
        |(time_unix_nano, name, attributes, dropped_attributes_count)| Event {
            time_unix_nano,
            name,
            attributes,
            dropped_attributes_count,
        },
    )
}

fn link() -> impl Strategy<Value = Link> {
    (id(16), id(8), text(), attributes(), any::<u32>()).prop_map(
        |(trace_id, span_id, trace_state, attributes, flags)| Link {
            trace_id,
            span_id,
            trace_state,
            attributes,
            dropped_attributes_count: flags / 2,
            flags,
        },
    )
}

fn span() -> impl Strategy<Value = Span> {
    let ids = (id(16), id(8), id(8), text(), text());
    let numbers = (any::<u32>(), 0..6_i32, any::<u64>(), any::<u64>());
    let status = option::of((text(), 0..3_i32).prop_map(|(message, code)| Status { message, code }));
    (ids, numbers, attributes(), vec(event(), 0..3), vec(link(), 0..3), status).prop_map(
        |(ids, numbers, attributes, events, links, status)| Span {
            trace_id: ids.0,
            span_id: ids.1,
            parent_span_id: ids.2,
            trace_state: ids.3,
            name: ids.4,
            flags: numbers.0,
            kind: numbers.1,
            start_time_unix_nano: numbers.2,
            end_time_unix_nano: numbers.3,
            attributes,
            dropped_attributes_count: numbers.0 / 2,
            events,
            dropped_events_count: numbers.0 / 3,
            links,
            dropped_links_count: numbers.0 / 4,
            status,
        },
    )
}

/// Spans.
pub(super) fn traces() -> impl Strategy<Value = ExportTraceServiceRequest> {
    let scope_spans = (scope(), vec(span(), 0..3), text())
        .prop_map(|(scope, spans, schema_url)| ScopeSpans { scope, spans, schema_url });
    let of = (resource(), vec(scope_spans, 0..3), text())
        .prop_map(|(resource, scope_spans, schema_url)| ResourceSpans { resource, scope_spans, schema_url });
    vec(of, 0..3).prop_map(|resource_spans| ExportTraceServiceRequest { resource_spans })
}

/// Log records.
pub(super) fn logs() -> impl Strategy<Value = ExportLogsServiceRequest> {
    let words = (text(), text(), id(16), id(8));
    let numbers = (any::<u64>(), any::<u64>(), 0..25_i32, any::<u32>());
    let record = (words, numbers, option::of(any_value()), attributes()).prop_map(
        |(words, numbers, body, attributes)| LogRecord {
            time_unix_nano: numbers.0,
            observed_time_unix_nano: numbers.1,
            severity_number: numbers.2,
            severity_text: words.0,
            body,
            attributes,
            dropped_attributes_count: numbers.3 / 2,
            flags: numbers.3,
            trace_id: words.2,
            span_id: words.3,
            event_name: words.1,
        },
    );
    let scope_logs = (scope(), vec(record, 0..3), text())
        .prop_map(|(scope, log_records, schema_url)| ScopeLogs { scope, log_records, schema_url });
    let of = (resource(), vec(scope_logs, 0..3), text())
        .prop_map(|(resource, scope_logs, schema_url)| ResourceLogs { resource, scope_logs, schema_url });
    vec(of, 0..3).prop_map(|resource_logs| ExportLogsServiceRequest { resource_logs })
}

fn exemplars() -> impl Strategy<Value = Vec<Exemplar>> {
    let value =
        prop_oneof![float().prop_map(ExemplarValue::Double), any::<i64>().prop_map(ExemplarValue::Int)];
    let one = (attributes(), any::<u64>(), id(8), id(16), value).prop_map(
        |(filtered_attributes, time_unix_nano, span_id, trace_id, value)| Exemplar {
            filtered_attributes,
            time_unix_nano,
            span_id,
            trace_id,
            value: Some(value),
        },
    );
    vec(one, 0..2)
}

fn number_points() -> impl Strategy<Value = Vec<NumberDataPoint>> {
    let value = prop_oneof![float().prop_map(NumberValue::Double), any::<i64>().prop_map(NumberValue::Int)];
    let one = (attributes(), any::<u64>(), any::<u64>(), exemplars(), 0..2_u32, value).prop_map(
        |(attributes, start_time_unix_nano, time_unix_nano, exemplars, flags, value)| NumberDataPoint {
            attributes,
            start_time_unix_nano,
            time_unix_nano,
            exemplars,
            flags,
            value: Some(value),
        },
    );
    vec(one, 0..3)
}

fn data() -> impl Strategy<Value = Data> {
    let limits = || (option::of(float()), option::of(float()), option::of(float()));
    let times = || (any::<u64>(), any::<u64>(), any::<u64>());
    let counts = || vec(any::<u64>(), 0..4);
    let histogram = (attributes(), times(), limits(), counts(), vec(float(), 0..4), exemplars()).prop_map(
        |(attributes, times, limits, bucket_counts, explicit_bounds, exemplars)| HistogramDataPoint {
            attributes,
            start_time_unix_nano: times.0,
            time_unix_nano: times.1,
            count: times.2,
            sum: limits.0,
            bucket_counts,
            explicit_bounds,
            exemplars,
            flags: 1,
            min: limits.1,
            max: limits.2,
        },
    );
    let buckets = || {
        option::of(
            (any::<i32>(), counts()).prop_map(|(offset, bucket_counts)| Buckets { offset, bucket_counts }),
        )
    };
    let exponential =
        (attributes(), times(), limits(), any::<i32>(), buckets(), buckets(), float(), exemplars()).prop_map(
            |(attributes, times, limits, scale, positive, negative, zero, exemplars)| {
                ExponentialHistogramDataPoint {
                    attributes,
                    start_time_unix_nano: times.0,
                    time_unix_nano: times.1,
                    count: times.2,
                    sum: limits.0,
                    scale,
                    zero_count: times.2 / 2,
                    positive,
                    negative,
                    flags: 0,
                    exemplars,
                    min: limits.1,
                    max: limits.2,
                    zero_threshold: zero,
                }
            },
        );
    let quantile = (float(), float()).prop_map(|(quantile, value)| ValueAtQuantile { quantile, value });
    let summary = (attributes(), times(), float(), vec(quantile, 0..3)).prop_map(
        |(attributes, times, sum, quantile_values)| SummaryDataPoint {
            attributes,
            start_time_unix_nano: times.0,
            time_unix_nano: times.1,
            count: times.2,
            sum,
            quantile_values,
            flags: 1,
        },
    );
    prop_oneof![
        number_points().prop_map(|data_points| Data::Gauge(Gauge { data_points })),
        (number_points(), 0..3_i32, any::<bool>()).prop_map(
            |(data_points, aggregation_temporality, is_monotonic)| Data::Sum(Sum {
                data_points,
                aggregation_temporality,
                is_monotonic
            })
        ),
        vec(histogram, 0..2)
            .prop_map(|data_points| Data::Histogram(Histogram { data_points, aggregation_temporality: 1 })),
        vec(exponential, 0..2).prop_map(|data_points| Data::ExponentialHistogram(ExponentialHistogram {
            data_points,
            aggregation_temporality: 2
        })),
        vec(summary, 0..2).prop_map(|data_points| Data::Summary(Summary { data_points })),
    ]
}

/// Metrics.
pub(super) fn metrics() -> impl Strategy<Value = ExportMetricsServiceRequest> {
    let metric = (text(), text(), text(), attributes(), option::of(data())).prop_map(
        |(name, description, unit, metadata, data)| Metric { name, description, unit, metadata, data },
    );
    let scope_metrics = (scope(), vec(metric, 0..3), text())
        .prop_map(|(scope, metrics, schema_url)| ScopeMetrics { scope, metrics, schema_url });
    let of =
        (resource(), vec(scope_metrics, 0..2), text()).prop_map(|(resource, scope_metrics, schema_url)| {
            ResourceMetrics { resource, scope_metrics, schema_url }
        });
    vec(of, 0..2).prop_map(|resource_metrics| ExportMetricsServiceRequest { resource_metrics })
}

/// A value in so many lists: `2 n + 1` messages below each other.
pub(super) fn nested(lists: usize) -> AnyValue {
    (0..lists).fold(AnyValue::from("x"), |inner, _| AnyValue {
        value: Some(Value::Array(ArrayValue { values: vec![inner] })),
    })
}
