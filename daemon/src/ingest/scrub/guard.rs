//! Keeps JSON well-formed: an edit that would break a document is held to the insides of its strings.
//!
//! A credential may be taken to reach over a quote, and a number may be one. What is taken out stays out; where it reaches
//! over several strings the mark stands in the first and the others lose their share; a number becomes a string. Lines of a
//! file of lines stay lines.

use std::ops::Range;

use ccd_redact::{Edit, apply};
use serde::de::IgnoredAny;

use super::unscanned;

fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
}

/// Edits of a text, such that it stays a JSON document if it is one.
pub(super) fn document(text: &str, edits: Vec<Edit>) -> Vec<Edit> {
    if edits.is_empty() || !text.trim_start().starts_with(['{', '[', '"']) {
        return edits;
    }
    if is_json(&apply(text.as_bytes(), &edits)) || !is_json(text.as_bytes()) {
        return edits;
    }
    let held = held(text.as_bytes(), &edits);
    if is_json(&apply(text.as_bytes(), &held)) {
        return held;
    }
    vec![Edit { range: 0..text.len(), mark: format!("\"{}\"", unscanned(text.len())) }]
}

/// Edits of lines that are documents each, such that every line stays one.
pub(super) fn lines(bytes: &[u8], edits: Vec<Edit>) -> Vec<Edit> {
    let mut out = Vec::with_capacity(edits.len());
    let mut edits = edits.into_iter().peekable();
    let (mut start, mut rest) = (0, None::<Edit>);
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        let end = start + line.len();
        let content = line.strip_suffix(b"\n").unwrap_or(line);
        let mut own = Vec::new();
        while let Some(edit) = rest.take().or_else(|| edits.next_if(|edit| edit.range.start < end)) {
            let inner = edit.range.start - start..edit.range.end.min(start + content.len()) - start;
            let is_told = inner.start < inner.end;
            if edit.range.end > end {
                let mark = if is_told { String::new() } else { edit.mark.clone() };
                rest = Some(Edit { range: end..edit.range.end, mark });
            }
            if is_told {
                own.push(Edit { range: inner, mark: edit.mark });
            }
            if rest.is_some() {
                break;
            }
        }
        if !own.is_empty() {
            let own = match str::from_utf8(content) {
                Ok(text) => document(text, own),
                Err(_) => own,
            };
            out.extend(own.into_iter().map(|edit| Edit {
                range: edit.range.start + start..edit.range.end + start,
                mark: edit.mark,
            }));
        }
        start = end;
        if rest.is_none() && edits.peek().is_none() {
            break;
        }
    }
    out
}

/// A place in a document where an edit may be.
struct Place {
    range: Range<usize>,
    /// The inside of a string; else a number or a word.
    inside: bool,
    /// Escapes in it.
    escapes: Vec<Range<usize>>,
}

/// The strings' insides and the scalars of a document.
fn places(bytes: &[u8]) -> Vec<Place> {
    let mut places = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => {
                let start = at + 1;
                let mut escapes = Vec::new();
                at = start;
                while let Some(&byte) = bytes.get(at) {
                    match byte {
                        b'"' => break,
                        b'\\' => {
                            let len = escape(&bytes[at..]);
                            escapes.push(at..at + len);
                            at += len;
                        }
                        _ => at += 1,
                    }
                }
                places.push(Place { range: start..at.min(bytes.len()), inside: true, escapes });
                at += 1;
            }
            b'{' | b'}' | b'[' | b']' | b',' | b':' | b' ' | b'\t' | b'\r' | b'\n' => at += 1,
            _ => {
                let start = at;
                let ends = |b: &u8| matches!(b, b'}' | b']' | b',' | b':' | b'"') || b.is_ascii_whitespace();
                at += bytes[at..].iter().position(ends).unwrap_or(bytes.len() - at);
                places.push(Place { range: start..at, inside: false, escapes: Vec::new() });
            }
        }
    }
    places
}

/// The length of an escape in a document that is well-formed; both halves of a pair are one.
fn escape(bytes: &[u8]) -> usize {
    let unicode = |at: usize| bytes.get(at..at + 2) == Some(b"\\u");
    if !unicode(0) {
        return 2;
    }
    let is_high = bytes.get(2).is_some_and(|b| b.eq_ignore_ascii_case(&b'd'))
        && bytes.get(3).is_some_and(|b| matches!(b.to_ascii_lowercase(), b'8' | b'9' | b'a' | b'b'));
    if is_high && unicode(6) { 12 } else { 6 }
}

fn held(bytes: &[u8], edits: &[Edit]) -> Vec<Edit> {
    let mut out: Vec<Edit> = Vec::new();
    let mut told = usize::MAX;
    let mut from = 0;
    for place in places(bytes) {
        while edits.get(from).is_some_and(|edit| edit.range.end <= place.range.start) {
            from += 1;
        }
        for (at, edit) in edits.iter().enumerate().skip(from) {
            if edit.range.start >= place.range.end {
                break;
            }
            let mut range = edit.range.start.max(place.range.start)..edit.range.end.min(place.range.end);
            let mark = if told == at { String::new() } else { edit.mark.clone() };
            if place.inside {
                for escape in &place.escapes {
                    if escape.start < range.start && range.start < escape.end {
                        range.start = escape.start;
                    }
                    if escape.start < range.end && range.end < escape.end {
                        range.end = escape.end;
                    }
                }
                range.start = range.start.max(out.last().map_or(0, |edit| edit.range.end));
                if range.is_empty() {
                    continue;
                }
                out.push(Edit { range, mark });
            } else if out.last().is_none_or(|edit| edit.range.end <= place.range.start) {
                out.push(Edit { range: place.range.clone(), mark: format!("\"{mark}\"") });
            }
            told = at;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn edit(range: Range<usize>) -> Edit {
        Edit { range, mark: "[redacted:x]".into() }
    }

    fn made(text: &str, of: &str) -> String {
        let at = text.find(of).unwrap();
        let edits = document(text, vec![edit(at..at + of.len())]);
        String::from_utf8(apply(text.as_bytes(), &edits)).unwrap()
    }

    #[test]
    fn an_edit_that_would_break_a_document_is_held_to_its_strings() {
        let text = r#"{"a":"one","b":12345,"c":"\u00e9\"x"}"#;
        assert_eq!(made(text, "on"), r#"{"a":"[redacted:x]e","b":12345,"c":"\u00e9\"x"}"#);
        assert_eq!(made(text, r#"ne","b":1"#), r#"{"a":"o[redacted:x]","":"","c":"\u00e9\"x"}"#);
        assert_eq!(made(text, "2345"), r#"{"a":"one","b":"[redacted:x]","c":"\u00e9\"x"}"#);
        assert_eq!(made(text, "e9\\\""), r#"{"a":"one","b":12345,"c":"[redacted:x]x"}"#);
        assert_eq!(made("no { json", "{"), "no [redacted:x] json");
    }

    #[test]
    fn lines_stay_lines() {
        let text = "{\"a\":\"one\"}\n{\"b\":\"two\"}\nrest";
        let edits = lines(text.as_bytes(), vec![edit(6..20), edit(25..text.len())]);
        let after = String::from_utf8(apply(text.as_bytes(), &edits)).unwrap();
        let all: Vec<&str> = after.split('\n').collect();
        assert_eq!(all.len(), 3, "{after}");
        assert!(all[..2].iter().all(|line| is_json(line.as_bytes())), "{after}");
        assert!(!after.contains("one") && !after.contains("two") && !after.contains("rest"), "{after}");
        assert_eq!(after.matches("[redacted:x]").count(), 2, "{after}");
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-z\"\\\\\n😀é]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec(("[a-z\"]{0,6}", inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_document_stays_one_whatever_is_taken_out(
            values in proptest::collection::vec(values(), 1..4),
            ranges in proptest::collection::vec((0usize..200, 1usize..60), 0..4),
        ) {
            let mut text = String::new();
            for value in &values {
                // As JavaScript writes some letters, too.
                text.push_str(&json!({ "v": value }).to_string().replace('😀', "\\ud83d\\ude00"));
                text.push('\n');
            }
            let mut edits: Vec<Edit> = Vec::new();
            let mut done = 0;
            for (gap, len) in ranges {
                let boundary = |mut at: usize| { while !text.is_char_boundary(at) { at += 1; } at };
                let start = boundary((done + gap).min(text.len()));
                let end = boundary((start + len).min(text.len()));
                if start < end {
                    edits.push(edit(start..end));
                    done = end;
                }
            }
            let after = apply(text.as_bytes(), &lines(text.as_bytes(), edits.clone()));
            let after = String::from_utf8(after).unwrap();
            prop_assert_eq!(after.lines().count(), values.len());
            for line in after.lines() {
                prop_assert!(is_json(line.as_bytes()), "{}\n{}", text, after);
            }
        }
    }
}
