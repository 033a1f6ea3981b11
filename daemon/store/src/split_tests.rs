use proptest::prelude::*;
use serde_json::{Value, json};

use super::{LARGE_ELEMENT, MAX_PIECE, MIN_PIECE, split};

fn pieces(body: &[u8]) -> Vec<&[u8]> {
    let mut start = 0;
    let cut = |end: usize| {
        let piece = &body[start..end];
        start = end;
        piece
    };
    split(body).into_iter().map(cut).collect()
}

fn check(body: &[u8]) {
    let pieces = pieces(body);
    assert_eq!(pieces.concat(), body);
    assert!(pieces.iter().all(|p| !p.is_empty() && p.len() <= MAX_PIECE));
    let inner = pieces.split_last().map_or(&[][..], |(_, rest)| rest);
    assert!(inner.iter().all(|p| p.len() >= MIN_PIECE));
}

fn arb_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~\\\\\"\\[\\]{},é\n]{0,200}".prop_map(Value::from),
        (1_usize..9_000).prop_map(|n| Value::from("x".repeat(n))),
    ];
    leaf.prop_recursive(5, 200, 12, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..12).prop_map(Value::from),
            prop::collection::hash_map("[a-z\"\\\\\\[]{0,9}", inner, 0..8)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

fn message() -> impl Strategy<Value = Value> {
    let text = "[ -~]{0,300}".prop_map(|text| json!({"type": "text", "text": text}));
    let long =
        (0_usize..9_000).prop_map(|n| json!({"type": "tool_result", "content": "[\"{,]}\\".repeat(n / 7)}));
    prop::collection::vec(prop_oneof![3 => text, 1 => long], 0..5)
        .prop_map(|content| json!({"role": "user", "content": content}))
}

proptest! {
    #[test]
    fn pieces_of_any_bytes_concatenate_to_them(body in prop::collection::vec(any::<u8>(), 0..5_000)) {
        check(&body);
    }

    #[test]
    fn pieces_of_any_brackets_concatenate_to_them(body in "[\\[\\]{}\",:\\\\ a1]{0,600}") {
        check(body.as_bytes());
        check(format!("{{\"k\":[{body}").as_bytes());
    }

    #[test]
    fn pieces_of_any_json_concatenate_to_it_and_so_do_those_of_its_beginnings(value in arb_json(), cut in any::<prop::sample::Index>()) {
        for body in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            check(body.as_bytes());
            check(&body.as_bytes()[..cut.index(body.len() + 1)]);
        }
    }

    #[test]
    fn a_longer_conversation_begins_with_the_same_pieces(messages in prop::collection::vec(message(), 1..12), keep in any::<prop::sample::Index>()) {
        let body = |messages: &[Value]| {
            let messages: Vec<_> = messages.iter().map(Value::to_string).collect();
            format!(r#"{{"model":"m","messages":[{}],"tools":[{{"name":"a"}}],"stream":true}}"#, messages.join(","))
        };
        let keep = 1 + keep.index(messages.len());
        let (short, long) = (body(&messages[..keep]), body(&messages));
        let (short, long) = (pieces(short.as_bytes()), pieces(long.as_bytes()));
        // All but what holds the end of the last common message and what follows it.
        let common = short.len().saturating_sub(2);
        prop_assert_eq!(&short[..common], &long[..common]);
    }
}

#[test]
fn elements_and_the_content_of_large_ones_are_pieces_of_their_own() {
    let text = |c: &str, n| format!(r#"{{"type":"text","text":"{}"}}"#, c.repeat(n));
    let small = format!(r#"{{"role":"user","content":[{},{}]}}"#, text("a", 100), text("b", 100));
    let large = format!(r#"{{"role":"user","content":[{},{}]}}"#, text("c", 100), text("d", LARGE_ELEMENT));
    let body = format!(
        r#"{{"model":"m","messages":[{small},{large}],"system":[{}],"max_tokens":1}}"#,
        text("s", 100)
    );
    let found: Vec<_> = pieces(body.as_bytes()).into_iter().map(String::from_utf8_lossy).collect();
    assert_eq!(
        found,
        [
            format!(r#"{{"model":"m","messages":[{small}"#),
            format!(r#",{{"role":"user","content":[{}"#, text("c", 100)),
            format!(",{}", text("d", LARGE_ELEMENT)),
            format!(r#"]}}],"system":[{}"#, text("s", 100)),
            r#"],"max_tokens":1}"#.to_owned(),
        ]
    );
}

#[test]
fn a_huge_array_of_numbers_stays_a_short_list() {
    let body = format!("[{}1]", "1,".repeat(2_000_000));
    assert!(split(body.as_bytes()).len() < 6_000);
    check(body.as_bytes());
}

#[test]
fn cuts_never_change() {
    // Golden: other cuts would store again what is stored.
    let body = json!({"messages": (0..40).map(|n| json!({"n": n, "t": "y".repeat(n * 7)})).collect::<Vec<_>>(), "x": "z".repeat(100)}).to_string();
    let ends = split(body.as_bytes());
    assert_eq!(crc32fast::hash(format!("{ends:?}").as_bytes()), 110_519_963, "{ends:?}");
}
