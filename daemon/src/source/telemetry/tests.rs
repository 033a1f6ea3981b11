//! From messages to records: what is taken, what it is known again by, and that nothing falls over.

use std::collections::BTreeSet;

use ccd_otlp::{ExportLogsServiceRequest, ExportMetricsServiceRequest, ExportTraceServiceRequest};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::ingest::scrub::IdKey;
use crate::ingest::signals::SignalV1;

const LOGS: &[u8] = include_bytes!("../../../../tests/fixtures/otel/logs.json");
const TRACES: &[u8] = include_bytes!("../../../../tests/fixtures/otel/traces.json");
const METRICS: &[u8] = include_bytes!("../../../../tests/fixtures/otel/metrics.json");
const SESSION: &str = "52b99a47-8cbd-4622-8a1c-521f4384ccc3";

fn cut(signal: Signal, encoding: Encoding, body: &[u8]) -> items::Cut {
    items::cut(signal, encoding, body, &IdKey::new([1; 32]), 5).unwrap()
}

fn in_protobuf(signal: Signal, json: &[u8]) -> Vec<u8> {
    match signal {
        Signal::Logs => {
            ExportLogsServiceRequest::from_bytes(Encoding::Json, json).unwrap().to_bytes(Encoding::Protobuf)
        }
        Signal::Traces => {
            ExportTraceServiceRequest::from_bytes(Encoding::Json, json).unwrap().to_bytes(Encoding::Protobuf)
        }
        Signal::Metrics => ExportMetricsServiceRequest::from_bytes(Encoding::Json, json)
            .unwrap()
            .to_bytes(Encoding::Protobuf),
    }
}

#[test]
fn what_the_client_sent_is_cut_into_items_that_are_the_same_in_both_encodings() {
    for (signal, body, kind, count) in [
        (Signal::Logs, LOGS, SignalV1::Log, 23),
        (Signal::Traces, TRACES, SignalV1::Span, 18),
        (Signal::Metrics, METRICS, SignalV1::Metric, 4),
    ] {
        let cut_json = cut(signal, Encoding::Json, body);
        let items = &cut_json.items;
        assert_eq!(items.iter().filter(|item| item.signal == kind).count(), count, "{signal:?}");
        assert_eq!(items.iter().filter(|item| item.signal == SignalV1::Resource).count(), 1);
        let ids: BTreeSet<_> = items.iter().map(|item| item.id).collect();
        assert_eq!(ids.len(), items.len(), "each is one of its own");
        assert!(items.iter().filter(|i| i.signal == kind).all(|i| i.session_id == SESSION && i.at_ns > 5));
        assert_eq!((cut_json.rejected, &*cut_json.why), (0, ""));
        let protobuf = in_protobuf(signal, body);
        assert_eq!(&cut(signal, Encoding::Protobuf, &protobuf).items, items);
    }
}

#[test]
fn an_item_is_known_again_however_a_batch_is_cut() {
    let whole: Value = serde_json::from_slice(LOGS).unwrap();
    let all: BTreeSet<_> = cut(Signal::Logs, Encoding::Json, LOGS).items.iter().map(|i| i.id).collect();
    let mut found = BTreeSet::new();
    for index in 0..23 {
        let mut part = whole.clone();
        let records = &mut part["resourceLogs"][0]["scopeLogs"][0]["logRecords"];
        *records = json!([records[index]]);
        let items = cut(Signal::Logs, Encoding::Json, part.to_string().as_bytes()).items;
        found.extend(items.iter().map(|item| item.id));
    }
    assert_eq!(found, all);
}

#[test]
fn another_services_data_is_rejected_and_said_to_be() {
    let log = |service: &str, scope: &str| {
        json!({"resourceLogs": [{
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]},
            "scopeLogs": [{"scope": {"name": scope}, "logRecords": [{"body": {"stringValue": "hello"}}, {}]}],
        }]})
        .to_string()
    };
    let rejected = cut(Signal::Logs, Encoding::Json, log("shop", "x").as_bytes());
    assert_eq!((rejected.items.len(), rejected.rejected), (0, 2));
    assert!(rejected.why.contains("shop"), "{}", rejected.why);
    let answer = Answer::taken(Signal::Logs, Encoding::Json, 2, rejected.why);
    let said: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((answer.status, &said["partialSuccess"]["rejectedLogRecords"]), (StatusCode::OK, &json!("2")));
    // The user may call the service what he likes: its library tells what it is.
    let renamed =
        cut(Signal::Logs, Encoding::Json, log("mine", "com.anthropic.claude_code.events").as_bytes());
    assert_eq!((renamed.items.len(), renamed.rejected), (3, 0));
    let whole = Answer::taken(Signal::Logs, Encoding::Json, 0, String::new());
    assert_eq!(whole.body, b"{}");
}

#[test]
fn what_is_no_message_is_refused_in_the_encoding_that_it_came_in() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (door, rx) = Door::new();
    for encoding in [Encoding::Json, Encoding::Protobuf] {
        let body = Bytes::from_static(b"\xff\xff{");
        let answer = runtime.block_on(take(&door, 5, Signal::Traces, encoding, body));
        assert_eq!((answer.status, answer.encoding), (StatusCode::BAD_REQUEST, encoding));
        assert_eq!(RpcStatus::from_bytes(encoding, &answer.body).unwrap().code, INVALID);
    }
    // Where nobody takes anything in, the client is told to come again.
    drop(rx);
    let answer = runtime.block_on(take(&door, 5, Signal::Logs, Encoding::Json, Bytes::from_static(LOGS)));
    assert_eq!((answer.status, answer.retry_after), (StatusCode::SERVICE_UNAVAILABLE, Some(AGAIN_S)));
}

#[test]
fn credentials_are_taken_out_before_anything_is_made_of_an_item() {
    let secret = ccd_redact::sample::filled("ghp_{a36}", 7);
    let text = String::from_utf8(LOGS.to_vec()).unwrap().replace("exit 3", &format!("curl -u x:{secret}"));
    assert!(text.contains(&secret));
    let scrub = Scrub::default();
    let all = records(cut(Signal::Logs, Encoding::Json, text.as_bytes()).items, &scrub).unwrap();
    for ready in &all {
        let body = String::from_utf8_lossy(&ready.record.body);
        assert!(!body.contains(&secret), "{body}");
        assert!(!format!("{:?}", ready.fact).contains(&secret));
    }
    assert!(all.iter().any(|ready| String::from_utf8_lossy(&ready.record.body).contains("[redacted:")));
}

fn otlp_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z._0-9]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        let key = prop::sample::select(vec![
            "resourceLogs",
            "resourceSpans",
            "resourceMetrics",
            "resource",
            "scopeLogs",
            "scopeSpans",
            "scopeMetrics",
            "scope",
            "name",
            "attributes",
            "key",
            "value",
            "stringValue",
            "arrayValue",
            "values",
            "logRecords",
            "spans",
            "metrics",
            "sum",
            "gauge",
            "dataPoints",
            "traceId",
            "body",
            "timeUnixNano",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(key.prop_map(String::from), inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_are_cut_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        signal in prop::sample::select(vec![Signal::Logs, Signal::Traces, Signal::Metrics]),
        encoding in prop::sample::select(vec![Encoding::Json, Encoding::Protobuf]),
    ) {
        let _ = items::cut(signal, encoding, &bytes, &IdKey::new([1; 32]), 5);
    }

    #[test]
    fn any_message_is_cut_or_refused(
        value in otlp_value(),
        signal in prop::sample::select(vec![Signal::Logs, Signal::Traces, Signal::Metrics]),
    ) {
        let _ = items::cut(signal, Encoding::Json, value.to_string().as_bytes(), &IdKey::new([1; 32]), 5);
    }

    #[test]
    fn a_damaged_message_of_the_clients_is_cut_or_refused(
        at in 0..20_000usize,
        byte in any::<u8>(),
        signal in prop::sample::select(vec![Signal::Logs, Signal::Traces, Signal::Metrics]),
    ) {
        let json = match signal { Signal::Logs => LOGS, Signal::Traces => TRACES, Signal::Metrics => METRICS };
        let mut bytes = in_protobuf(signal, json);
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(cut) = items::cut(signal, Encoding::Protobuf, &bytes, &IdKey::new([1; 32]), 5) {
            prop_assert!(records(cut.items, &Scrub::default()).is_ok());
        }
    }
}
