use proptest::prelude::*;

use super::*;

const LIST: Shape = Shape::NewestFirst("turns");

fn row(number: usize, text: &str) -> Value {
    json!({"number": number, "started_at": format!("2026-11-20T00:00:{:02}Z", 59 - number % 60), "prompt": text, "error": "", "limit": null})
}

fn rows(value: &Value) -> &Vec<Value> {
    value["turns"].as_array().unwrap()
}

#[test]
fn what_fits_is_whole_but_for_what_is_empty() {
    let reply = json!({"schema_version": 1, "turns": [row(1, "a\tb\u{1b}[31m\u{202e}")], "more": [], "totals": {"n": 0, "x": null}});
    assert_eq!(
        fit(&reply, LIST, 10_000, &[]),
        json!({
            "schema_version": 1,
            "turns": [{"number": 1, "started_at": "2026-11-20T00:00:58Z", "prompt": "a    b\\u{1b}[31m\\u{202e}"}],
            "totals": {"n": 0},
        })
    );
    assert_eq!(fit(&json!({"turns": []}), LIST, 10_000, &[]), json!({"turns": []}), "what is promised stays");
}

#[test]
fn captured_content_keeps_what_is_empty() {
    let edit = json!({"span": {"input": {"new_string": "", "x": null}, "error": ""}, "kind": "span"});
    assert_eq!(
        fit(&edit, Shape::One, 10_000, &[]),
        json!({"span": {"input": {"new_string": "", "x": null}}, "kind": "span"})
    );
}

#[test]
fn texts_go_before_rows_and_the_rest_is_told() {
    let many: Vec<_> = (1..=30).map(|n| row(n, &"word ".repeat(300))).collect();
    let reply = json!({"turns": many});
    let texts = fit(&reply, LIST, 20_000, &[]);
    assert_eq!(rows(&texts).len(), 30);
    assert!(rows(&texts)[0]["prompt"].as_str().unwrap().ends_with("…[+1000]"), "{texts}");
    assert!(texts["cut"][0].as_str().unwrap().starts_with("30 texts"), "{texts}");

    let few = fit(&reply, LIST, 3_000, &["older ones are left out: until=… goes on from here".into()]);
    assert_eq!(rows(&few).len(), 10);
    assert_eq!(
        few["cut"][0], "older ones are left out: until=2026-11-20T00:00:49Z goes on from here",
        "of this cut"
    );

    let last = fit(&json!({"turns": many}), Shape::NewestLast("turns"), 3_000, &[]);
    assert_eq!(rows(&last)[0]["number"], 21);
    assert_eq!(last["cut"][0], "older ones are left out: until=2026-11-20T00:00:38Z goes on from here");
}

#[test]
fn what_does_not_fit_at_all_says_so() {
    let reply = json!({"kind": "span", "span": {"span_id": "x".repeat(300), "tool": "y".repeat(300)}});
    let value = fit(&reply, Shape::One, 1, &[]);
    assert_eq!(value["kind"], "span");
    assert!(value["cut"][0].as_str().unwrap().contains("raise max_bytes"), "{value}");
    let odd = fit(&json!({"kind": "\u{1b}".repeat(9000)}), Shape::One, 1, &[]);
    assert!(odd.to_string().len() < 1200, "{odd}");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<u64>().prop_map(Value::from),
        "(\\PC|\\p{C}|\\p{Cf}){0,60}".prop_map(Value::from),
        "[a-z ]{0,400}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..10).prop_map(Value::Array),
            proptest::collection::btree_map("[a-z]{1,4}|input|[a-z]{200}|\u{202e}", inner, 0..10)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn hidden(value: &Value) -> bool {
    let shown = |text: &String| visible(text) == text.replace('\n', "\\n");
    match value {
        Value::String(text) => !shown(text),
        Value::Array(items) => items.iter().any(hidden),
        Value::Object(fields) => fields.iter().any(|(name, field)| !shown(name) || hidden(field)),
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn nothing_captured_breaks_the_budget_or_hides(
        found in proptest::collection::vec(any_json(), 0..20),
        one in any_json(),
        budget in 0usize..30_000,
    ) {
        let list = fit(&json!({"turns": found, "other": one.clone()}), LIST, budget, &[]);
        let one = fit(&json!({"kind": "span", "span": one}), Shape::One, budget, &[]);
        for value in [&list, &one] {
            prop_assert!(value.to_string().len() <= budget.max(400), "{}", value);
            prop_assert!(!hidden(value));
        }
        prop_assert!(list["turns"].is_array() && one["kind"] == "span", "what the schema promises is there");
    }
}
