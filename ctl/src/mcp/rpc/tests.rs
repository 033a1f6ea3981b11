use proptest::prelude::*;

use super::*;

/// Asks a server whose tools answer with what they were given.
fn ask(line: &str) -> Option<Value> {
    answer(line.as_bytes(), &mut |tool, arguments| match tool.given(arguments) {
        Ok(_) => Ok(json!({"tool": tool.name, "arguments": arguments})),
        Err(error) => Err(error),
    })
}

fn request(method: &str, params: &Value) -> Value {
    let line = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).to_string();
    let answer = ask(&line).unwrap();
    assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), &json!(7)), "{answer}");
    answer
}

fn meta(version: &str) -> Value {
    json!({VERSION_KEY: version, CAPABILITIES_KEY: {}})
}

#[test]
fn a_handshake_agrees_on_the_revision_asked_for_or_the_newest_of_its_kind() {
    for (asked, agreed) in [
        ("2025-11-25", "2025-11-25"),
        ("2024-11-05", "2024-11-05"),
        ("2026-07-28", "2025-11-25"),
        ("1999-01-01", "2025-11-25"),
    ] {
        let answer = request("initialize", &json!({"protocolVersion": asked, "capabilities": {}}));
        assert_eq!(answer["result"]["protocolVersion"], agreed, "{asked}");
        assert_eq!(answer["result"]["serverInfo"]["version"], ccd_proto::VERSION);
        assert_eq!(answer["result"].get("resultType"), None, "of a later revision");
    }
    assert_eq!(request("ping", &json!({}))["result"], json!({}));
    assert_eq!(request("initialize", &json!({}))["error"]["code"], INVALID_PARAMS);
}

#[test]
fn requests_of_the_current_revision_stand_for_themselves() {
    let found = request("server/discover", &json!({"_meta": meta(CURRENT)}));
    assert_eq!(found["result"]["supportedVersions"], json!([CURRENT]));
    assert_eq!(found["result"]["capabilities"], json!({"tools": {}}));
    let listed = request("tools/list", &json!({"_meta": meta(CURRENT)}));
    for result in [&found["result"], &listed["result"]] {
        assert_eq!((&result["resultType"], &result["cacheScope"]), (&json!("complete"), &json!("public")));
        assert!(result["ttlMs"].is_u64());
        assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "ccd");
    }
    for gone in ["initialize", "ping"] {
        assert_eq!(request(gone, &json!({"_meta": meta(CURRENT)}))["error"]["code"], METHOD_NOT_FOUND);
    }
    let refused = request("tools/list", &json!({"_meta": meta("1900-01-01")}))["error"].clone();
    assert_eq!(refused["code"], UNSUPPORTED_VERSION);
    assert_eq!(refused["data"], json!({"supported": [CURRENT], "requested": "1900-01-01"}));
    let half = json!({"_meta": {VERSION_KEY: CURRENT}});
    assert_eq!(request("tools/list", &half)["error"]["code"], INVALID_PARAMS);
    assert_eq!(request("server/discover", &json!({}))["error"]["code"], INVALID_PARAMS);
}

#[test]
fn calls_are_results_and_what_a_tool_refuses_is_told_to_the_model() {
    let answer = request("tools/call", &json!({"name": "turns", "arguments": {"limit": 3}}));
    let wanted = json!({"tool": "turns", "arguments": {"limit": 3}});
    assert_eq!(answer["result"]["structuredContent"], wanted);
    let text = answer["result"]["content"][0]["text"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(text).unwrap(), wanted);

    let refused = request("tools/call", &json!({"name": "turns", "arguments": {"limt\u{1b}": 3}}));
    assert_eq!(refused["result"]["isError"], true);
    assert_eq!(refused["result"].get("structuredContent"), None);
    let text = refused["result"]["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("it takes session, project") && !text.contains('\u{1b}'), "{text}");

    for params in [json!({}), json!({"name": "rm"}), json!({"name": "turns", "arguments": [1]})] {
        assert_eq!(request("tools/call", &params)["error"]["code"], INVALID_PARAMS, "{params}");
    }
    assert_eq!(request("resources/list", &json!({}))["error"]["code"], METHOD_NOT_FOUND);
    assert_eq!(request("tools/list", &json!({"cursor": "x"}))["error"]["code"], INVALID_PARAMS);
}

#[test]
fn what_is_no_request_is_refused_or_passed_over() {
    for (line, code) in [
        ("{", PARSE_ERROR),
        ("\u{0}", PARSE_ERROR),
        ("[]", INVALID_REQUEST),
        ("7", INVALID_REQUEST),
        (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, INVALID_REQUEST),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, INVALID_REQUEST),
        (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, INVALID_REQUEST),
        (r#"{"jsonrpc":"2.0","id":1}"#, INVALID_REQUEST),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}"#, INVALID_PARAMS),
    ] {
        assert_eq!(ask(line).unwrap()["error"]["code"], code, "{line}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(ask(&deep).unwrap()["error"]["code"], PARSE_ERROR);
    for quiet in [
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"turns"}}"#,
        r#"{"jsonrpc":"2.0","id":3,"result":{}}"#,
        r#"[{"jsonrpc":"2.0","method":"notifications/cancelled"}]"#,
    ] {
        assert_eq!(ask(quiet), None, "{quiet}");
    }
    let both = r#"[{"jsonrpc":"2.0","id":"a","method":"ping"},{"jsonrpc":"2.0","method":"x"},3]"#;
    let answers = ask(both).unwrap();
    assert_eq!(
        (answers[0]["id"].as_str(), &answers[1]["error"]["code"]),
        (Some("a"), &json!(INVALID_REQUEST))
    );
    let many = Value::Array(vec![json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}); MAX_BATCH + 1]);
    assert_eq!(ask(&many.to_string()).unwrap()["error"]["code"], INVALID_REQUEST);
}

/// Every definition, as it stands in a model's request where the client does not defer tools.
#[test]
fn the_tools_are_few_and_their_words_are_short() {
    let tools = request("tools/list", &json!({}))["result"]["tools"].as_array().unwrap().clone();
    assert!(tools.len() <= 8);
    let mut bytes = 0;
    for tool in &tools {
        assert_eq!(tool["annotations"]["readOnlyHint"], true, "{tool}");
        assert_eq!(
            (&tool["inputSchema"]["type"], &tool["outputSchema"]["type"]),
            (&json!("object"), &json!("object"))
        );
        bytes += json!({
            "name": format!("mcp__plugin_ccd_history__{}", tool["name"].as_str().unwrap()),
            "description": tool["description"], "input_schema": tool["inputSchema"],
        })
        .to_string()
        .len();
    }
    assert!(bytes < 5500, "{bytes} bytes in every request of a client that does not defer them");
    assert!(INSTRUCTIONS.len() < 250, "in every request of every client");
}

/// JSON of any shape, with the words of the protocol in likely places.
fn json_value() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just("2.0".to_owned()),
        Just("tools/call".to_owned()),
        Just("initialize".to_owned()),
        Just("show".to_owned()),
        Just(CURRENT.to_owned()),
        any::<String>(),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|n| json!(n)),
        word.prop_map(Value::from),
    ];
    let key = prop_oneof![
        Just("jsonrpc".to_owned()),
        Just("id".to_owned()),
        Just("method".to_owned()),
        Just("params".to_owned()),
        Just("_meta".to_owned()),
        Just(VERSION_KEY.to_owned()),
        Just(CAPABILITIES_KEY.to_owned()),
        Just("name".to_owned()),
        Just("arguments".to_owned()),
        Just("limit".to_owned()),
        "[a-z]{0,3}",
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            proptest::collection::btree_map(key.clone(), inner, 0..7)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_line_is_too_odd(line in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = answer(&line, &mut |_, _| Ok(Value::Null));
    }

    #[test]
    fn every_answer_is_well_formed(message in json_value(), dressed in any::<bool>(), method in "[a-z/]{0,12}|tools/(call|list)|initialize") {
        let message = if dressed {
            json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": message})
        } else {
            message
        };
        let answers = match ask(&message.to_string()) {
            None => Vec::new(),
            Some(Value::Array(answers)) => answers,
            Some(answer) => vec![answer],
        };
        prop_assert!(!dressed || answers.len() == 1);
        for answer in answers {
            prop_assert_eq!(&answer["jsonrpc"], "2.0");
            prop_assert!(answer["result"].is_object() != answer["error"].is_object(), "{}", answer);
            prop_assert!(answer["error"].is_null() || answer["error"]["code"].is_i64());
            prop_assert!(!answer.to_string().contains('\n'));
        }
    }
}
