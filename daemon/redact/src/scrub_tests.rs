//! Properties of the scrubber: memory never hides anything, JSON keeps its members, what joins records stays.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::sample::filled;
use crate::tests::{shape, text};

const ROOM: usize = 4 << 20;

fn scrubbed(scrubber: &Scrubber, text: &str) -> String {
    String::from_utf8(scrubber.bytes("s", text.as_bytes()).into_owned()).expect("text")
}

fn fresh() -> Scrubber {
    Scrubber::new(Redactor::standard(), 0)
}

/// A request whose history is long enough to be cut and remembered.
fn request(texts: &[String]) -> String {
    let messages: Vec<Value> = texts
        .iter()
        .map(|text| json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_01A09q90qw90lq917835lq9", "content": text}]}))
        .collect();
    json!({"model": "m", "system": [{"type": "text", "text": "x".repeat(5000)}], "messages": messages})
        .to_string()
}

#[test]
fn what_was_recognised_goes_from_pieces_that_were_clean() {
    let scrubber = Scrubber::new(Redactor::standard(), ROOM);
    let value = filled("{p16}", 1);
    let prose = format!("{}the word of the day was {value}, they said", "lorem ipsum dolor. ".repeat(400));
    let clean = request(&[prose.clone(), prose.replace("day", "night")]);
    assert_eq!(scrubbed(&scrubber, &clean), clean);
    assert_eq!(scrubbed(&scrubber, &clean), clean);
    assert_eq!(scrubbed(&scrubber, &format!("DB_PASSWORD={value}")), "DB_PASSWORD=[redacted:password]");
    let after = scrubbed(&scrubber, &clean);
    assert_eq!(after, clean.replace(&value, "[redacted:password]"));
    assert_eq!(scrubbed(&scrubber, &after), after);
}

#[test]
fn within_one_body_the_order_does_not_matter() {
    let value = filled("{a32}", 9);
    let first = format!("{} and {value} it is", "lorem ipsum dolor. ".repeat(400));
    let body = request(&[first, format!("API_KEY={value}")]);
    for scrubber in [fresh(), Scrubber::new(Redactor::standard(), ROOM)] {
        assert!(!scrubbed(&scrubber, &body).contains(&value));
    }
}

#[test]
fn values_of_a_vault_are_known_from_the_start() {
    let acme = crate::CustomRule { id: "acme".into(), pattern: "acme-[a-z]{9}".into(), ..Default::default() };
    let rules = crate::Rules { custom: vec![acme], ..Default::default() };
    let scrubber = Scrubber::new(Redactor::with(&rules).unwrap(), ROOM);
    scrubber.know([("acme", "plain words here!"), ("acme", "quitelongplainvalue"), ("acme", "short")]);
    assert_eq!(
        scrubbed(&scrubber, "a quitelongplainvalue and a short, cXVpdGVsb25ncGxhaW52YWx1ZQ=="),
        "a [redacted:acme] and a short, [redacted:acme]Q=="
    );
}

#[test]
fn source_is_what_is_replaced_and_value_what_it_says() {
    #[derive(Clone, Default)]
    struct Told(Arc<std::sync::Mutex<Vec<(String, String, String)>>>);
    impl crate::Mark for Told {
        fn mark(&self, hit: &crate::Hit<'_>) -> String {
            let told = (hit.rule.to_owned(), hit.value.to_owned(), hit.source.to_owned());
            self.0.lock().unwrap().push(told);
            format!("[redacted:{}]", hit.rule)
        }
        fn is_mark(&self, value: &str) -> bool {
            crate::Named.is_mark(value)
        }
    }
    let told = Told::default();
    let scrubber = Scrubber::new(Redactor::standard().marked(told.clone()), ROOM);
    let password = "aB3\"x\\9 z!kQ/7".replace(' ', "_");
    let inner = json!({"db_password": password, "n": 1}).to_string();
    let body = json!({"content": inner, "x": "y"}).to_string();
    let edits = scrubber.edits("s", body.as_bytes());
    assert_eq!(edits.len(), 1, "{edits:?}");
    let told = told.0.lock().unwrap().last().cloned().expect("a hit");
    assert_eq!((told.0.as_str(), told.1.as_str()), ("password", password.as_str()));
    assert_eq!(told.2, body[edits[0].range.clone()]);
    let once: String = serde_json::from_str(&format!("\"{}\"", told.2)).expect("whole escapes");
    let twice: String = serde_json::from_str(&format!("\"{once}\"")).expect("whole escapes");
    assert_eq!(twice, password);
}

#[test]
fn what_is_allowed_is_not_known_either() {
    let [allowed, off, other] = [1, 2, 3].map(|seed| filled("{a32}", seed));
    let rules = crate::Rules {
        allow_values: vec![allowed.clone()],
        off: vec!["password".into()],
        ..Default::default()
    };
    let scrubber = Scrubber::new(Redactor::with(&rules).unwrap(), ROOM);
    scrubber.know([("api-key", &*allowed), ("password", &*off), ("api-key", &*other)]);
    let text = format!("so {allowed} and {off}");
    assert_eq!(scrubbed(&scrubber, &text), text);
    assert_eq!(scrubbed(&scrubber, &other), "[redacted:api-key]");
}

#[test]
fn ids_and_digests_are_not_known_by_a_name_alone() {
    let scrubber = Scrubber::new(Redactor::standard(), ROOM);
    for value in [filled("{g}", 5), filled("{x40}", 5)] {
        scrubber.know([("api-key", &*value)]);
        scrubbed(&scrubber, &format!("API_KEY={value} and {value}"));
        let text = format!("git show {value}");
        assert_eq!(scrubbed(&scrubber, &text), text);
    }
}

#[test]
fn known_values_stay_where_they_join_records() {
    let scrubber = Scrubber::new(Redactor::standard(), ROOM);
    let value = filled("{a32}", 6);
    scrubber.know([("api-key", &*value)]);
    let text = json!({"session_id": value, "parentUuid": value}).to_string();
    assert_eq!(scrubbed(&scrubber, &text), text);
    let text = json!({"note": value, "uuid": format!("{value} so"), "list": ["uuid", value]}).to_string();
    assert!(!scrubbed(&scrubber, &text).contains(&value));
}

#[test]
fn only_base64_passes_for_an_image_or_a_signature() {
    let token = filled("ghp_{a36}", 3);
    let value = filled("{a32}", 3);
    let scrubber = Scrubber::new(Redactor::standard(), ROOM);
    scrubber.know([("api-key", &*value)]);
    let long = "lorem ipsum ".repeat(600);
    let body = json!({
        "signature": format!("{long} {token}"),
        "source": {"media_type": "image/png", "data": format!("{long} {token}")},
        "other": {"media_type": "image/png", "data": format!("{}{value}", "iVBORw0KGgo".repeat(600))},
    });
    let out = scrubbed(&scrubber, &body.to_string());
    assert!(!out.contains(&token) && !out.contains(&value), "{out}");
}

#[test]
fn each_mark_is_made_once_and_in_its_scope() {
    struct Scopes(Arc<std::sync::Mutex<Vec<String>>>);
    impl crate::Mark for Scopes {
        fn mark(&self, hit: &crate::Hit<'_>) -> String {
            self.0.lock().unwrap().push(hit.scope.to_owned());
            crate::Named.mark(hit)
        }
        fn is_mark(&self, value: &str) -> bool {
            crate::Named.is_mark(value)
        }
    }
    let told = Arc::default();
    let scrubber = Scrubber::new(Redactor::standard().marked(Scopes(Arc::clone(&told))), ROOM);
    scrubbed(&scrubber, &format!("API_KEY={}", filled("{a32}", 4)));
    assert_eq!(*told.lock().unwrap(), ["s"]);
}

#[test]
fn what_joins_records_stays() {
    let filled = |template: &str| filled(template, 4);
    let body = json!({
        "session_id": filled("{g}"), "uuid": filled("{g}"), "prompt_id": filled("{g}"), "requestId": filled("req_01{a22}"),
        "message": {"id": filled("msg_01{a22}"), "content": [
            {"type": "thinking", "thinking": "so", "signature": filled("Eq{b400}==")},
            {"type": "redacted_thinking", "data": filled("Eq{b400}==")},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": filled("iVBORw0KGgo{b4000}")}},
            {"type": "tool_use", "id": filled("toolu_01{a22}"), "name": "Bash", "input": {"command": filled("git show {x40}")}},
        ]},
        "traceparent": filled("00-{x32}-{x16}-01"), "integrity": filled("sha512-{b86}=="), "checksum": filled("{x64}"),
    });
    for text in [body.to_string(), format!("{body:#}"), json!({"line": body.to_string()}).to_string()] {
        assert_eq!(fresh().edits("s", text.as_bytes()), [], "{text}");
    }
}

#[test]
fn long_text_is_cut_where_nothing_goes_on() {
    let token = filled("ghp_{a36}", 1);
    let key: Vec<String> = (0..40).map(|seed| filled("{b64}", seed)).collect();
    let key =
        format!("-----{} RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----\n", "BEGIN", key.join("\n"));
    for gap in (80 << 10..210 << 10).step_by(7001) {
        let lines = "all is well on the western front\n".repeat(gap / 33);
        let text = format!("{lines}{key}{lines}{token}\n{lines}");
        let out = scrubbed(&fresh(), &text);
        assert_eq!(out.matches("[redacted:").count(), 2, "{gap}");
        assert!(!out.contains(&key[60..120]), "{gap}");
    }
}

#[test]
fn a_large_and_hostile_text_is_taken() {
    let size = 24 << 10;
    for part in [
        "\"",
        "=",
        "\\",
        "[",
        "{\"a\":",
        "{\"",
        "A",
        "password=\"",
        "key:",
        "://",
        "-----BEGIN PRIVATE KEY-----",
        "-----END PRIVATE KEY-----",
        "kind: secret\n",
        "Cookie: a=b;",
        "bearer ",
        "%41",
        "&quot;",
        "\u{1b}[",
        "\\u0041",
        "ghp_",
        "[\"",
        "\"\\\"",
        "AKIA\n",
        "\u{2192}",
        " -u a:",
    ] {
        let text = part.repeat(size / part.len());
        let out = scrubbed(&fresh(), &text);
        assert!(out.len() <= text.len() * 12, "{part}");
        let body = json!({"content": text}).to_string();
        let out = scrubbed(&fresh(), &body);
        assert!(serde_json::from_str::<Value>(&out).is_ok(), "{part}");
    }
}

#[test]
fn json_keeps_every_byte_that_is_no_credential() {
    let token = filled("ghp_{a36}", 3);
    let text = format!(
        "  {{ \"a\" : 1.50e3 ,\t\"b\":[ \"\\u00e9\\/{token}\" , null ],\n \"a\":\"\\ud83d\\ude00 {token}\" }}\n"
    );
    assert_eq!(scrubbed(&fresh(), &text), text.replace(&token, "[redacted:github-token]"));
    let lines = format!("{{\"a\":\"{token}\"}}\n{{\"b\": 2}}\nnot json {token}\n\n{{\"c\":\"{token}\"}}");
    assert_eq!(scrubbed(&fresh(), &lines), lines.replace(&token, "[redacted:github-token]"));
}

#[test]
fn structure_tells_what_a_value_is() {
    let secret = filled("{p14}", 8);
    let padding = "lorem ipsum dolor sit amet. ".repeat(300);
    for body in [
        json!({"args": ["tool", "--password", secret, "--verbose"]}),
        json!({"command": ["sshpass", "-p", secret, "ssh", "h"]}),
        json!({"parameters": [{"ParameterKey": "DbPassword", "ParameterValue": secret}]}),
        json!({"id": "password", "type": "CONCEALED", "label": "password", "value": secret}),
        json!({"outputs": {"db_password": {"sensitive": true, "type": "string", "value": secret}}}),
        json!({"outputs": {"connection": {"sensitive": true, "type": "string", "value": secret}}}),
        json!({"headers": [{"name": "Authorization", "value": format!("Custom {secret}")}]}),
        json!({"kind": "Secret", "data": {"where": secret}}),
        json!({"db_password": [secret]}),
        json!({"SecretString": json!({"username": "app", "password": secret}).to_string()}),
        json!({"stdout": format!("[{}]", json!({"password": secret}))}),
    ] {
        for body in [
            body.clone(),
            json!({"padding": padding, "inner": body}),
            json!({"inner": body.to_string(), "padding": padding}),
        ] {
            let out = scrubbed(&fresh(), &body.to_string());
            assert!(!out.contains(&secret), "{}", out.replace(&padding, "…"));
            assert_eq!(shape(&serde_json::from_str(&out).expect("JSON")), shape(&body));
        }
    }
}

fn body() -> impl Strategy<Value = String> {
    let long = (text(), 0usize..3)
        .prop_map(|(text, times)| format!("{text}{}", " lorem ipsum dolor sit amet".repeat(times * 60)))
        .boxed();
    prop_oneof![
        long.clone(),
        (prop::collection::vec(long.clone(), 1..4)).prop_map(|texts| request(&texts)),
        (long.clone(), text())
            .prop_map(|(a, b)| json!({"tool_response": {"stdout": a, "env": {"TOKEN": b}}, "list": [b, a]})
                .to_string()),
        prop::collection::vec(long, 1..4)
            .prop_map(|texts| texts.iter().map(|text| json!({"t": text}).to_string() + "\n").collect()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn memory_changes_nothing(bodies in prop::collection::vec(body(), 1..4), order in prop::collection::vec(any::<prop::sample::Index>(), 1..6)) {
        let remembering = Scrubber::new(Redactor::standard(), ROOM);
        let forgetting = fresh();
        for at in order {
            let body = at.get(&bodies);
            // What became known in between is known to both.
            prop_assert_eq!(remembering.edits("s", body.as_bytes()), forgetting.edits("s", body.as_bytes()), "{}", body);
        }
    }

    #[test]
    fn never_fewer_for_having_been_seen(bodies in prop::collection::vec(body(), 1..4)) {
        let remembering = Scrubber::new(Redactor::standard(), ROOM);
        for body in bodies.iter().chain(&bodies) {
            let alone = fresh().edits("s", body.as_bytes());
            let edits = remembering.edits("s", body.as_bytes());
            for edit in &alone {
                let covered = edits.iter().any(|known| known.range.start <= edit.range.start && known.range.end >= edit.range.end);
                prop_assert!(covered, "{:?} of {:?} in {}", edit, edits, body);
            }
        }
    }

    #[test]
    fn twice_is_once_and_json_stays(body in body()) {
        let scrubber = Scrubber::new(Redactor::standard(), ROOM);
        let once = scrubbed(&scrubber, &body);
        if let Ok(before) = serde_json::from_str::<Value>(&body) {
            let after: Value = serde_json::from_str(&once).map_err(|error| TestCaseError::fail(format!("{error}: {once}")))?;
            prop_assert_eq!(shape(&before), shape(&after));
        }
        prop_assert_eq!(scrubbed(&scrubber, &once), once.clone());
        prop_assert_eq!(scrubbed(&fresh(), &once), once);
    }
}
