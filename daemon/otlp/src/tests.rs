//! What is written is read back, by us and by the Rust SDK's own messages; and nothing that comes in can hurt.

mod arbitrary;

use opentelemetry_proto::tonic::collector as theirs;
use proptest::prelude::*;
use prost::Message as _;
use serde_json::json;

use self::arbitrary::{logs, metrics, nested, traces};
use crate::*;

const BOTH: [Encoding; 2] = [Encoding::Protobuf, Encoding::Json];

fn round_trips<M: Message + PartialEq + std::fmt::Debug>(message: &M) {
    for encoding in BOTH {
        let back = M::from_bytes(encoding, &message.to_bytes(encoding));
        assert_eq!(back.as_ref().ok(), Some(message), "{encoding:?}: {:?}", back.as_ref().err());
    }
}

/// Their messages read ours in both encodings, and say the same.
macro_rules! agrees {
    ($ours:expr, $mine:ty, $theirs:ty) => {{
        let ours: &$mine = $ours;
        let proto = <$theirs>::decode(ours.to_bytes(Encoding::Protobuf).as_slice()).unwrap();
        assert_eq!(&<$mine>::from_bytes(Encoding::Protobuf, &proto.encode_to_vec()).unwrap(), ours);
        let json: $theirs = serde_json::from_slice(&ours.to_bytes(Encoding::Json)).unwrap();
        assert_eq!(json, proto);
        let said = serde_json::to_vec(&json).unwrap();
        assert_eq!(&<$mine>::from_bytes(Encoding::Json, &said).unwrap(), ours);
    }};
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn traces_are_what_they_were(message in traces()) {
        round_trips(&message);
        agrees!(&message, ExportTraceServiceRequest, theirs::trace::v1::ExportTraceServiceRequest);
    }

    #[test]
    fn logs_are_what_they_were(message in logs()) {
        round_trips(&message);
        agrees!(&message, ExportLogsServiceRequest, theirs::logs::v1::ExportLogsServiceRequest);
    }

    #[test]
    fn metrics_are_what_they_were(message in metrics()) {
        round_trips(&message);
        agrees!(&message, ExportMetricsServiceRequest, theirs::metrics::v1::ExportMetricsServiceRequest);
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, text: String) {
        for bytes in [bytes.as_slice(), text.as_bytes()] {
            for encoding in BOTH {
                let _ = ExportTraceServiceRequest::from_bytes(encoding, bytes);
                let _ = ExportLogsServiceRequest::from_bytes(encoding, bytes);
                let _ = ExportMetricsServiceRequest::from_bytes(encoding, bytes);
            }
        }
    }

    #[test]
    fn no_damage_panics(message in traces(), at: prop::sample::Index, byte: u8, end: prop::sample::Index) {
        for encoding in BOTH {
            let mut bytes = message.to_bytes(encoding);
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
                bytes.truncate(end.index(bytes.len() + 1));
            }
            let _ = ExportTraceServiceRequest::from_bytes(encoding, &bytes);
        }
    }

    #[test]
    fn answers_are_what_they_were(rejected: i64, error: String) {
        let partial = ExportTracePartialSuccess { rejected_spans: rejected, error_message: error };
        let answer = ExportTraceServiceResponse { partial_success: Some(partial) };
        round_trips(&answer);
        // (In JSON they read only numbers here, where the protocol has strings.)
        let theirs = theirs::trace::v1::ExportTraceServiceResponse::decode(
            answer.to_bytes(Encoding::Protobuf).as_slice(),
        );
        prop_assert_eq!(theirs.unwrap().partial_success.unwrap().rejected_spans, rejected);
    }
}

fn span_of(value: &serde_json::Value) -> Span {
    let request = json!({"resourceSpans": [{"scopeSpans": [{"spans": [value]}]}]});
    let bytes = serde_json::to_vec(&request).unwrap();
    let mut request = ExportTraceServiceRequest::from_bytes(Encoding::Json, &bytes).unwrap();
    request.resource_spans.remove(0).scope_spans.remove(0).spans.remove(0)
}

#[test]
fn json_is_as_the_protocol_has_it() {
    let span = Span {
        trace_id: vec![0xab; 16],
        span_id: vec![1; 8],
        name: "chat".to_owned(),
        kind: SpanKind::Client as i32,
        start_time_unix_nano: u64::MAX,
        attributes: vec![
            KeyValue::new("n", 5_i64),
            KeyValue::new("f", f64::INFINITY),
            KeyValue::new("b", vec![0xfb_u8, 0xff]),
            KeyValue::new("none", AnyValue::default()),
            KeyValue::new("empty", ""),
        ],
        status: Some(Status { code: StatusCode::Error as i32, message: String::new() }),
        ..Span::default()
    };
    assert_eq!(
        serde_json::to_value(&span).unwrap(),
        json!({
            "traceId": "abababababababababababababababab",
            "spanId": "0101010101010101",
            "name": "chat",
            "kind": 3,
            "startTimeUnixNano": "18446744073709551615",
            "attributes": [
                {"key": "n", "value": {"intValue": "5"}},
                {"key": "f", "value": {"doubleValue": "Infinity"}},
                {"key": "b", "value": {"bytesValue": "+/8="}},
                {"key": "none", "value": {}},
                {"key": "empty", "value": {"stringValue": ""}},
            ],
            "status": {"code": 2},
        })
    );
}

/// The dialects that are met: kinds by name, numbers as numbers, `snake_case`, ids in base64, `null`.
#[test]
fn json_is_read_leniently() {
    let span = span_of(&json!({
        "trace_id": "q6urq6urq6urq6urq6urqw==",
        "spanId": "0A0B0C0D0E0F0001",
        "parentSpanId": null,
        "name": "Bash:PostToolUse",
        "kind": "SPAN_KIND_INTERNAL",
        "startTimeUnixNano": 1_763_754_184_380_475_136_u64,
        "end_time_unix_nano": 1.763e18,
        "unheard_of": {"deep": [1, {"er": null}]},
        "attributes": [
            {"key": "a", "value": {"intValue": 7}},
            {"key": "b", "value": {"int_value": "8"}},
            {"key": "c", "value": {"doubleValue": "1.5"}},
            {"key": "d", "value": {"boolValue": "true"}},
            {"key": "e", "value": {"arrayValue": {"values": [{"stringValue": "x"}, {}]}}},
            {"key": "f", "value": null},
            {"key": "g", "value": {"stringValue": null}},
        ],
        "status": {"code": "STATUS_CODE_ERROR", "message": "no"},
        "events": null,
    }));
    assert_eq!(span.trace_id, [0xab; 16]);
    assert_eq!(span.span_id, [0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0, 1]);
    assert!(span.parent_span_id.is_empty());
    assert_eq!(span.kind(), SpanKind::Internal);
    assert_eq!(span.start_time_unix_nano, 1_763_754_184_380_475_136);
    assert_eq!(span.end_time_unix_nano, 1_763_000_000_000_000_000);
    assert_eq!(span.status.unwrap().code(), StatusCode::Error);
    let number = |key| find(&span.attributes, key).and_then(Value::as_i64);
    assert_eq!((number("a"), number("b"), number("c")), (Some(7), Some(8), Some(1)));
    assert_eq!(find(&span.attributes, "d").and_then(Value::as_bool), Some(true));
    assert!(find(&span.attributes, "f").is_none() && find(&span.attributes, "g").is_none());
}

#[test]
fn what_is_of_no_use_is_refused() {
    for (json, word) in [
        (r#"{"resourceSpans": 5}"#, "list"),
        (r#"{"resourceSpans": [7]}"#, "object"),
        (
            r#"{"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": "yesterday"}]}]}]}"#,
            "number",
        ),
        (r#"{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "not an id"}]}]}]}"#, "id"),
        (r#"{"resourceSpans": [{"scopeSpans": [{"spans": [{"kind": []}]}]}]}"#, "number"),
        ("[]", "object"),
        ("", "EOF"),
    ] {
        let error = ExportTraceServiceRequest::from_bytes(Encoding::Json, json.as_bytes()).unwrap_err();
        assert!(error.to_string().contains(word), "{json}: {error}");
    }
    // An enumeration's name that is not known yet says nothing, and takes nothing with it.
    assert_eq!(span_of(&json!({"kind": "SPAN_KIND_OF_NEXT_YEAR", "name": "n"})).name, "n");
}

#[test]
fn nesting_has_a_bound_in_both_encodings() {
    for (lists, fits) in [(0, true), (28, true), (60, false), (5_000, false)] {
        // Written by hand: what we read is not what we would write.
        let mut json = r#"{"stringValue":"x"}"#.to_owned();
        let mut proto = vec![10, 1, b'x'];
        for _ in 0..lists {
            json = format!(r#"{{"arrayValue":{{"values":[{json}]}}}}"#);
            for tag in [10, 42] {
                let mut outer = vec![tag];
                prost::encode_length_delimiter(proto.len(), &mut outer).unwrap();
                outer.append(&mut proto);
                proto = outer;
            }
        }
        let read = [
            AnyValue::from_bytes(Encoding::Json, json.as_bytes()),
            AnyValue::from_bytes(Encoding::Protobuf, &proto),
        ];
        for read in read {
            assert_eq!(read.is_ok(), fits, "{lists} lists");
        }
    }
    // The bound is ours, not only that of the libraries below.
    for encoding in BOTH {
        assert!(AnyValue::from_bytes(encoding, &nested(31).to_bytes(encoding)).is_ok());
        let error = AnyValue::from_bytes(encoding, &nested(32).to_bytes(encoding)).unwrap_err();
        assert!(matches!(error, DecodeError::TooDeep), "{error}");
    }
}

#[test]
fn content_types_and_paths() {
    assert_eq!(Encoding::of_content_type("Application/JSON; charset=utf-8"), Some(Encoding::Json));
    assert_eq!(Encoding::of_content_type("application/x-protobuf"), Some(Encoding::Protobuf));
    assert_eq!(Encoding::of_content_type("text/plain"), None);
    assert_eq!(Signal::of_path("/v1/logs"), Some(Signal::Logs));
    assert_eq!(Signal::of_path("/v1/logs/"), None);
    for encoding in BOTH {
        assert_eq!(Encoding::of_content_type(encoding.content_type()), Some(encoding));
    }
}
