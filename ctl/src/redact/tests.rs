use std::io::Cursor;

use ccd_redact::sample::filled;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::testing::Home;

fn jsonl(input: &[u8]) -> (String, String, jsonl::Done) {
    let (mut out, text, talk) = Printer::captured(80);
    let done =
        jsonl::run(&mut out, &Redactor::standard(), "x.jsonl", Cursor::new(input.to_vec()), None).unwrap();
    (text.text(), talk.text(), done)
}

#[test]
fn only_text_changes_and_the_order_stays() {
    let token = filled("ghp_{a36}", 1);
    let input = format!(
        "{{ \"id\":1.50, \"text\" : \"a \\u00e9 {token}\",\"other\":\"{token}\"}}\r\n{{\"text\":\"clean \\u00e9\",\"n\":[1,2]}}\n\n{{\"a\":{{\"text\":\"{token}\"}},\"text\":\"\"}}"
    );
    let (text, talk, done) = jsonl(input.as_bytes());
    let want = input.replacen(&format!("a \\u00e9 {token}"), "a é [redacted:github-token]", 1);
    assert_eq!(text, want);
    assert_eq!((talk.as_str(), done.wrong, done.lines), ("", 0, 4));
}

#[test]
fn wrong_lines_are_told_of_and_the_others_printed() {
    let (text, talk, done) =
        jsonl(b"{\"text\":\"a\"}\nno json\n{\"x\":1}\n[1]\n{\"text\":\"\xff\"}\n{\"text\":\"b\"}\n");
    assert_eq!(text, "{\"text\":\"a\"}\n{\"text\":\"b\"}\n");
    assert_eq!(done.wrong, 4);
    for line in 2..=5 {
        assert!(talk.contains(&format!("x.jsonl: line {line}: ")), "{talk}");
    }
}

#[test]
fn text_that_is_no_plain_string_is_redacted_all_the_same() {
    let token = filled("ghp_{a36}", 1);
    for value in [
        format!("{{\"deep\":[\"{token}\"]}}"),
        format!("[\"{token}\"]"),
        format!("\"\\ud800 {token}\""),
        format!("{}", json!(json!({"k": token}).to_string())),
    ] {
        let (text, _, done) = jsonl(format!("{{\"text\":{value}}}\n").as_bytes());
        assert_eq!(text, format!("{{\"text\":{}}}\n", value.replace(&token, "[redacted:github-token]")));
        assert_eq!(done.wrong, 0);
    }
    assert_eq!(jsonl(b"{\"text\":null}\n").0, "{\"text\":null}\n");
}

#[test]
fn files_are_redacted_and_counted() {
    let home = Home::new();
    let token = filled("ghp_{a36}", 1);
    home.write("a.txt", format!("one {token}\ntwo"));
    home.write("ccd/config/config.toml", "");
    let env = home.env();
    let print = |args: &RedactArgs| {
        let (mut out, text, _) = Printer::captured(80);
        let result = run(&env, &mut out, args);
        (text.text(), result)
    };
    let args = RedactArgs { files: vec!["a.txt".into(), "missing".into()], ..RedactArgs::default() };
    let (text, result) = print(&args);
    assert_eq!(text, "one [redacted:github-token]\ntwo");
    assert_eq!(result.unwrap_err().exit_code(), 1);
    let args = RedactArgs { files: vec!["a.txt".into()], json: true, ..RedactArgs::default() };
    let read: Value = serde_json::from_str(&print(&args).0).unwrap();
    assert_eq!(
        read,
        json!({"schema_version": 1, "bytes": 48, "found": 1, "rules": [{"rule": "github-token", "count": 1}]})
    );
    let (listed, _) = print(&RedactArgs { list_rules: true, ..RedactArgs::default() });
    assert!(
        listed.lines().count() > 100 && listed.contains("github-token") && listed.contains("url-password")
    );
}

proptest! {
    #[test]
    fn every_line_keeps_its_other_fields(texts in prop::collection::vec(".{0,40}", 1..6), n in any::<i64>()) {
        let input: String = texts.iter().map(|text| json!({"n": n, "text": text, "z": text}).to_string() + "\n").collect();
        let (out, _, done) = jsonl(input.as_bytes());
        prop_assert_eq!(done.wrong, 0);
        for (line, text) in out.lines().zip(&texts) {
            let read: Value = serde_json::from_str(line).unwrap();
            prop_assert_eq!(&read["z"], &json!(text));
            prop_assert_eq!(read["n"].as_i64(), Some(n));
            prop_assert_eq!(&read["text"], &json!(Redactor::standard().text(text)));
        }
        prop_assert_eq!(out.lines().count(), texts.len());
    }
}
