//! Tests of what other recorders' bodies are read as.

use proptest::prelude::*;
use serde_json::json;

use super::*;

const EVENT: &str = r#"{
    "timestamp": "2026-03-11T10:00:00Z",
    "tool_name": "Bash", "hook_type": "post_tool", "session_id": "session-abc-123",
    "tool_input": {"command": "pytest  tests/"}, "tool_output": "5 passed, 0 failed",
    "working_dir": "/home/user/project", "trace_type": "tool_call", "model": "claude-sonnet-4",
    "tokens_in": 1500, "tokens_out": 800, "cost_usd": 0.012 }"#;

fn path_of(body: &str) -> String {
    let problem = read(body.as_bytes(), "local").unwrap_err();
    assert!(problem.status.is_client_error());
    problem.path.unwrap()
}

#[test]
fn one_event_and_a_batch_are_read() {
    let one = read(EVENT.as_bytes(), "local").unwrap();
    assert_eq!(one.items.len(), 1);
    let item = &one.items[0];
    assert_eq!((item.session.as_str(), item.at_ns), ("session-abc-123", Some(1_773_223_200_000_000_000)));
    assert!(
        !item.text.contains('\n') && item.text.contains(r#""command":"pytest  tests/""#),
        "{}",
        item.text
    );
    let batch = format!(
        r#"{{"source":"claude-code","version":"0.6.5","uploaded_at":"x","traces":[{EVENT},{EVENT}]}}"#
    );
    let batch = read(batch.as_bytes(), "t").unwrap();
    assert_eq!((batch.items.len(), batch.sender.version.as_deref()), (2, Some("0.6.5")));
    assert_eq!(batch.items[0], one.items[0]);
    assert_eq!(read(b"{\"traces\":[]}", "t").unwrap().items.len(), 0);
}

#[test]
fn what_clients_make_of_it_is_taken() {
    for more in [
        json!({"timestamp": null}),
        json!({"timestamp": 1_773_223_200}),
        json!({"timestamp": 1_773_223_200_000_u64}),
        json!({"timestamp": "2026-03-11T10:00:00.123456"}),
        json!({"tool_input": "{\"command\": \"[REDACTED]\"}"}),
        json!({"input_tokens": "12", "output_tokens": 12.0, "cost_usd": "0.1"}),
        json!({"tool_name": null, "agent_id": 7, "model": null}),
        json!({"anything": {"else": [1, 2, 3]}}),
    ] {
        let mut trace = more;
        trace["session_id"] = "s".into();
        let read = read(trace.to_string().as_bytes(), "t").unwrap();
        assert_eq!(read.items[0].value, trace, "kept as it came");
    }
}

#[test]
fn the_first_wrong_field_is_named() {
    for (body, path) in [
        ("", "$"),
        ("nonsense", "$"),
        ("5", "$"),
        ("{\"session_id\":NaN}", "$"),
        ("{}", "$.session_id"),
        ("[{}]", "$[0].session_id"),
        ("{\"traces\":5}", "$.traces"),
        ("{\"traces\":[{\"session_id\":\"s\"},7]}", "$.traces[1]"),
        ("{\"traces\":[{\"session_id\":5}]}", "$.traces[0].session_id"),
        ("{\"traces\":[],\"source\":[]}", "$.source"),
        ("{\"session_id\":\"\"}", "$.session_id"),
        ("{\"session_id\":\"a\\u0000b\"}", "$.session_id"),
        ("{\"session_id\":\"s\",\"timestamp\":\"soon\"}", "$.timestamp"),
        ("{\"session_id\":\"s\",\"timestamp\":-5}", "$.timestamp"),
        ("{\"session_id\":\"s\",\"tokens_in\":-1}", "$.tokens_in"),
        ("{\"session_id\":\"s\",\"tokens_in\":1e300}", "$.tokens_in"),
        ("{\"session_id\":\"s\",\"output_tokens\":18446744073709551615}", "$.output_tokens"),
        ("{\"session_id\":\"s\",\"usage\":5}", "$.usage"),
        ("{\"session_id\":\"s\",\"tool_name\":[]}", "$.tool_name"),
        ("{\"session_id\":\"s\",\"tool_name\":5}", "$.tool_name"),
    ] {
        assert_eq!(path_of(body), path, "{body}");
    }
    let deep = format!("{{\"session_id\":\"s\",\"tool_input\":{}{}}}", "[".repeat(5000), "]".repeat(5000));
    assert_eq!(path_of(&deep), "$");
    assert_eq!(path_of(&format!("{{\"session_id\":\"{}\"}}", "x".repeat(300))), "$.session_id");
    let many = format!("[{}]", vec!["0"; MOST + 1].join(","));
    assert_eq!(path_of(&many), "$");
    // Ids are names, whatever they look like.
    assert!(read(br#"{"session_id":"../../etc/passwd"}"#, "t").is_ok());
}

#[test]
fn a_span_of_the_platforms_client_is_the_trace_that_it_was_made_of() {
    // As its real-time path sends it: the kind as a name, numbers as numbers, a time made of a float.
    let body = json!({"resourceSpans":[{"resource":{"attributes":[{"key":"session.id","value":{"stringValue":"s"}}]},
    "scopeSpans":[{"scope":{"name":"pisama-claude-code"},"spans":[{
        "name":"Bash:PostToolUse","kind":"SPAN_KIND_INTERNAL",
        "startTimeUnixNano":1_773_223_200_123_455_900_u64,"endTimeUnixNano":1_773_223_200_124_455_900_u64,
        "traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331",
        "attributes":[
            {"key":"tool.name","value":{"stringValue":"Bash"}},
            {"key":"session.id","value":{"stringValue":"s"}},
            {"key":"gen_ai.request.model","value":{"stringValue":"claude-sonnet-4-5"}},
            {"key":"gen_ai.usage.input_tokens","value":{"intValue":15}},
            {"key":"gen_ai.usage.output_tokens","value":{"intValue":"8"}},
            {"key":"mine","value":{"boolValue":true}},
            {"key":"gen_ai.state","value":{"stringValue":"{\"tool_input\":{\"command\":\"ls\"},\"reasoning\":\"why\"}"}}
        ]}]}]}]});
    let batch = read_spans(body.to_string().as_bytes(), "t").unwrap();
    let trace = &batch.items[0].value;
    assert_eq!(
        *trace,
        json!({"session_id":"s","timestamp":"2026-03-11T10:00:00.123456Z","tool_name":"Bash",
            "model":"claude-sonnet-4-5","input_tokens":15,"output_tokens":8,"otlp_span_id":"b7ad6b7169203331",
            "tool_input":{"command":"ls"},"reasoning":"why","attributes":{"mine":true}})
    );
    for (change, path) in [
        (json!({}), "$.resourceSpans"),
        (json!({"resourceSpans":5}), "$.resourceSpans"),
        (json!({"resourceSpans":[5]}), "$.resourceSpans[0]"),
        (json!({"resourceSpans":[{"resource":{"attributes":7}}]}), "$.resourceSpans[0].resource.attributes"),
        (
            json!({"resourceSpans":[{"scopeSpans":[{"spans":[7]}]}]}),
            "$.resourceSpans[0].scopeSpans[0].spans[0]",
        ),
        (
            json!({"resourceSpans":[{"scopeSpans":[{"spans":[{}]}]}]}),
            "$.resourceSpans[0].scopeSpans[0].spans[0].attributes",
        ),
    ] {
        let problem = read_spans(change.to_string().as_bytes(), "t").unwrap_err();
        assert_eq!(problem.path.as_deref(), Some(path), "{change}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        "20[0-9]{2}-0[1-9]-1[0-9]T10:00:00(\\.[0-9]{1,6})?(Z|\\+00:00)?".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        let key = prop_oneof![
            prop::sample::select(vec![
                "traces",
                "source",
                "version",
                "session_id",
                "timestamp",
                "tool_name",
                "hook_type",
                "tool_input",
                "tool_output",
                "model",
                "usage",
                "input_tokens",
                "output_tokens",
                "tokens_in",
                "cost_usd",
                "user_input",
                "resourceSpans",
                "scopeSpans",
                "spans",
                "attributes",
                "key",
                "value",
                "stringValue",
                "intValue",
                "resource",
                "spanId",
                "startTimeUnixNano",
                "gen_ai.state",
            ])
            .prop_map(str::to_owned),
            "[a-z]{0,4}",
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..6)
                .prop_map(|all| Value::Object(all.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    /// Any JSON is taken, or refused with the path of what is wrong; and what is taken is read without a fall.
    #[test]
    fn any_json_is_taken_or_refused_by_a_path(value in any_json(), session in prop::option::of("[a-z]{1,4}")) {
        let mut value = value;
        if let (Some(session), Some(trace)) = (session, value.as_object_mut()) {
            trace.insert("session_id".into(), session.into());
        }
        for read in [read, read_spans] {
            match read(value.to_string().as_bytes(), "t") {
                Ok(batch) => for item in batch.items {
                    let line = crate::project::foreign::platform::line(&batch.sender, &item.text);
                    prop_assert!(serde_json::from_str::<Value>(&line).is_ok() && !line.contains('\n'));
                    let _ = crate::project::foreign::read("platform", 1, line.as_bytes());
                    let _ = crate::project::foreign::content("platform", 1, line.as_bytes());
                },
                Err(problem) => {
                    prop_assert!(problem.status.is_client_error());
                    prop_assert!(problem.path.is_some_and(|path| path.starts_with('$')));
                }
            }
        }
    }

    #[test]
    fn any_bytes_are_taken_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for read in [read, read_spans] {
            let _ = read(&bytes, "t");
        }
    }
}
