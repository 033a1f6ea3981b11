//! Properties of the whole: every rule finds what it says it finds, redacting twice changes nothing, JSON keeps its shape.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::sample::filled;

#[test]
fn every_rule_finds_its_samples_and_not_what_resembles_them() {
    let redactor = Redactor::standard();
    let mut wrong = Vec::new();
    for rule in rules::all() {
        assert!(regex::Regex::new(rule.pattern).is_ok(), "{}: {}", rule.id, rule.pattern);
        assert!(
            !rule.samples.is_empty() && !rule.about.is_empty() && !rule.keywords.is_empty(),
            "{}",
            rule.id
        );
        for sample in rule.samples {
            for seed in 0..3 {
                let text = filled(sample, seed);
                if !redactor.find(&text).iter().any(|found| &*found.rule == rule.id) {
                    wrong.push(format!("{} does not find {text}: {:?}", rule.id, redactor.find(&text)));
                }
            }
        }
        for near in rule.near {
            if let Some(found) = redactor.find(&filled(near, 1)).first() {
                wrong.push(format!("{} found in {near}", found.rule));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn there_are_rules_for_many_kinds() {
    let ids: std::collections::BTreeSet<_> = rules::all().map(|rule| rule.id).collect();
    assert!(ids.len() >= 100, "{}", ids.len());
    assert!(
        ids.iter().all(|id| id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'))
    );
}

#[test]
fn what_is_scrubbed_stays_as_it_was_around_the_marks() {
    let token = filled("ghp_{a36}", 1);
    let scrubber = Scrubber::new(Redactor::standard(), 1 << 20);
    let body = [b"\xff{ \"a\":\"x ", token.as_bytes(), b" y\"}\xfe"].concat();
    let edits = scrubber.edits("s", &body);
    assert_eq!(edits, [Edit { range: 10..10 + token.len(), mark: "[redacted:github-token]".into() }]);
    let want = [&b"\xff{ \"a\":\"x "[..], b"[redacted:github-token]", b" y\"}\xfe"].concat();
    assert_eq!((apply(&body, &edits), scrubber.bytes("s", &body).into_owned()), (want.clone(), want));
    assert!(matches!(scrubber.bytes("s", b"nothing"), Cow::Borrowed(b"nothing")));
    assert_eq!(scrubber.named("s", "x-api-key", &token), "[redacted:github-token]");
}

#[test]
fn marks_can_come_from_elsewhere() {
    struct Numbered;
    impl Mark for Numbered {
        fn mark(&self, hit: &Hit<'_>) -> String {
            assert_eq!((hit.value, hit.scope), (hit.source, "one"));
            format!("[{}:\"{}\"]", hit.rule, hit.value.len())
        }
        fn is_mark(&self, value: &str) -> bool {
            value.starts_with('[')
        }
    }
    let token = filled("ghp_{a36}", 1);
    let redactor = Redactor::standard().marked(Numbered).within("one");
    assert_eq!(redactor.text(&format!("a {token} b")), "a [github-token:_40_] b");
}

#[test]
fn own_rules_are_used_and_allowed_values_stay() {
    let token = filled("ghp_{a36}", 1);
    let rules = Rules {
        custom: vec![CustomRule {
            id: "acme".into(),
            keywords: vec!["acme-".into()],
            pattern: r"acme-([0-9]{6})".into(),
            entropy: 0.0,
        }],
        allow_values: vec![token.clone()],
        allow_patterns: vec!["^acme-allowed".into(), "^4444".into()],
        off: vec!["npm-token".into()],
    };
    let redactor = Redactor::with(&rules).expect("rules");
    let npm = filled("npm_{a36}", 1);
    let text = format!("{token} ACME-123456 acme-987654 acme-444455 {npm}");
    assert_eq!(redactor.text(&text), format!("{token} ACME-123456 acme-[redacted:acme] acme-444455 {npm}"));
    let wrong = Rules {
        custom: vec![CustomRule { id: "x".into(), pattern: "(".into(), ..CustomRule::default() }],
        ..Rules::default()
    };
    assert!(matches!(Redactor::with(&wrong), Err(RuleError::Pattern { .. })));
    let wrong = Rules {
        custom: vec![CustomRule { id: "x\"y".into(), pattern: "x".into(), ..CustomRule::default() }],
        ..Rules::default()
    };
    assert!(matches!(Redactor::with(&wrong), Err(RuleError::Id(_))));
}

#[test]
fn an_engine_that_could_not_be_built_finds_everything() {
    let redactor =
        Redactor { engine: Arc::new(Engine::blind()), mark: Arc::new(Named), scope: Arc::default() };
    assert_eq!(redactor.text("anything"), "[redacted:unscanned]");
}

#[test]
fn values_are_redacted_by_their_names_and_wherever_they_recur() {
    let password = filled("{p14}", 3);
    let mut value = json!({
        "id": "toolu_01A09q90qw90lq917835lq9",
        "config": {"db_password": password, "port": 5432, "password": null},
        "headers": [{"name": "Cookie", "value": format!("theme=dark; sid={}", filled("{a32}", 1))}],
        "note": format!("as told, {password} it is"),
        "kind": "tool_result",
    });
    let count = Redactor::standard().value(&mut value);
    assert_eq!(count, 3, "{value}");
    assert_eq!(
        value,
        json!({
            "id": "toolu_01A09q90qw90lq917835lq9",
            "config": {"db_password": "[redacted:password]", "port": 5432, "password": null},
            "headers": [{"name": "Cookie", "value": "theme=dark; sid=[redacted:cookie]"}],
            "note": "as told, [redacted:password] it is",
            "kind": "tool_result",
        })
    );
}

#[test]
fn a_key_in_a_list_of_lines_goes_whole() {
    let body = ["MIIEpAIBAAKCAQEA7bq0nX2hV9bq0nX2hV9bq0nX2hV9bq0nX2hV9bq0nX2hV9ab"; 4];
    for prefix in ["", "+", "-", " "] {
        for end in ["", "\n"] {
            let mut lines = vec![
                format!("{prefix}before{end}"),
                format!("{prefix}-----{} RSA PRIVATE KEY-----{end}", "BEGIN"),
            ];
            lines.extend(body.iter().enumerate().map(|(n, line)| format!("{prefix}{n}{line}{end}")));
            lines.push(format!("{prefix}-----{} RSA PRIVATE KEY-----{end}", "END"));
            lines.push(format!("{prefix}after{end}"));
            let mut value = serde_json::json!({"structuredPatch": [{"lines": lines}]});
            assert!(Redactor::standard().value(&mut value) > 0);
            let left = value["structuredPatch"][0]["lines"].as_array().unwrap();
            assert_eq!(left.len(), lines.len(), "the list keeps its length");
            let text = value.to_string();
            assert!(
                text.contains("before") && text.contains("after") && text.contains("[redacted:"),
                "{text}"
            );
            assert!(!text.contains(&body[0][4..40]), "{text}");
            let once = value.clone();
            Redactor::standard().value(&mut value);
            assert_eq!(value, once);
        }
    }
}

#[test]
fn bytes_that_are_no_text_stay() {
    let token = filled("ghp_{a36}", 1);
    let mut bytes = b"\xff\xfe key ".to_vec();
    bytes.extend(token.as_bytes());
    bytes.extend(b" \xc3");
    let out = Redactor::standard().bytes(&bytes).into_owned();
    assert_eq!(out, b"\xff\xfe key [redacted:github-token] \xc3");
    assert!(matches!(Redactor::standard().bytes(b"\xff nothing"), Cow::Borrowed(_)));
}

/// Texts as sessions have them: words, names, signs, escapes, credentials.
pub(crate) fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-z]{1,8}".prop_map(String::from),
        2 => prop::sample::select(vec![" ", "\n", "=", ": ", "\"", "'", "\\", "\\n", "\\\"", ",", "{", "}", "[", "]", "\u{1b}[0m", "%2D", "&", "@", "://", "\u{2192}", "é", "-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----"]).prop_map(String::from),
        2 => prop::sample::select(vec!["password", "API_KEY", "token", "secret", "--password ", "Cookie: ", "Authorization: Bearer ", "DB_PASSWORD=", "\"password\":\"", "kind: Secret\ndata:\n  a: "]).prop_map(String::from),
        2 => (prop::sample::select(vec!["ghp_{a36}", "sk-ant-api03-{w93}AA", "{p12}", "{a32}", "{x40}", "{b64}\n", "{g}", "AKIA{t16}", "postgres://u:{p10}@h/d", "eyJhbGciOiJIUzI1NiJ9.eyJ{w60}.{w43}"]), 0u64..50).prop_map(|(template, seed)| filled(template, seed)),
        1 => any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

pub(crate) fn shape(value: &Value) -> Value {
    match value {
        Value::String(_) => json!("s"),
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), shape(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

/// A value that holds the text in strings, under names that tell of credentials and names that do not, and in JSON in JSON.
fn nested(text: &str, other: &str, depth: usize) -> Value {
    let inner = if depth == 0 { json!(other) } else { json!(nested(other, text, depth - 1).to_string()) };
    json!({"content": text, "password": other, "list": [text, 1, null, {"api_key": other, "inner": inner}], "n": 12_345_678})
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn redacting_twice_changes_nothing_more(text in text()) {
        let redactor = Redactor::standard();
        let once = redactor.text(&text).into_owned();
        prop_assert_eq!(redactor.text(&once).into_owned(), once);
    }

    #[test]
    fn nothing_found_is_the_same_text(text in text()) {
        let redactor = Redactor::standard();
        let found = redactor.find(&text);
        let out = redactor.text(&text);
        prop_assert_eq!(found.is_empty(), matches!(out, Cow::Borrowed(_)));
        for one in &found {
            prop_assert!(text.get(one.range.clone()).is_some_and(|value| !value.is_empty()));
        }
        prop_assert!(found.windows(2).all(|pair| pair[0].range.end <= pair[1].range.start));
    }

    #[test]
    fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..400), text in text()) {
        let redactor = Redactor::standard();
        let _ = redactor.bytes(&bytes);
        let mixed = [text.as_bytes(), &bytes, text.as_bytes()].concat();
        let once = redactor.bytes(&mixed).into_owned();
        prop_assert_eq!(redactor.bytes(&once).into_owned(), once);
    }

    #[test]
    fn json_keeps_its_shape(text in text(), other in text(), depth in 0usize..3, pretty in any::<bool>()) {
        let redactor = Redactor::standard();
        let value = nested(&text, &other, depth);
        let written = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.expect("JSON");
        let out = redactor.text(&written);
        let read: Value = serde_json::from_str(&out).map_err(|error| TestCaseError::fail(format!("{error}: {out}")))?;
        prop_assert_eq!(shape(&read), shape(&value), "{}", out);

        let mut changed = value.clone();
        let count = redactor.value(&mut changed);
        prop_assert_eq!(shape(&changed), shape(&value));
        prop_assert_eq!(count == 0, changed == value);
        let again = redactor.value(&mut changed.clone());
        prop_assert_eq!(again, 0, "{}", changed);
    }
}
