//! A walk over JSON without building it: members and elements as the bytes that they stand in.
//!
//! Transcripts are long, and most of a line tells nothing to the projection; what is passed over here is passed over at
//! the speed of `memchr`. A string is decoded only where it is wanted and only as far as it is wanted, so that half a
//! surrogate pair, which the client does write when it cuts a text, costs one character and not the line.
//!
//! Total over any bytes and linear in them; nesting takes no stack. What is nested inside a value that is passed over is
//! only checked for its brackets and strings: whoever must know that a line is JSON to the last byte asks
//! [`is_json`].

/// A member's name, as it is written, and its value.
pub type Member<'a> = (&'a [u8], &'a [u8]);

/// Members of an object, in order. Of what is no object, or is torn, those before the damage.
pub struct Members<'a> {
    bytes: &'a [u8],
    at: usize,
    state: State,
}

/// Elements of a list, in order.
pub struct Elements<'a> {
    bytes: &'a [u8],
    at: usize,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    First,
    Further,
    /// Came to its proper end.
    Whole,
    Torn,
}

fn blanks(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
        at += 1;
    }
    at
}

/// Behind the string that begins at `at`.
fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        // Most strings of a transcript are short: the first few bytes are looked at here.
        let short = bytes.get(at..).unwrap_or_default().iter().take(16);
        let near = short.enumerate().find(|(_, b)| matches!(b, b'"' | b'\\')).map(|(i, _)| i);
        let found = if let Some(i) = near {
            at + i
        } else {
            let from = at + 16;
            from + memchr::memchr2(b'"', b'\\', bytes.get(from..)?)?
        };
        if bytes[found] == b'"' {
            return Some(found + 1);
        }
        at = found + 2;
    }
}

/// Behind the value that begins at `at`.
fn value_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    match *bytes.get(at)? {
        b'"' => string_end(bytes, at),
        b'{' | b'[' => {
            let mut depth = 0usize;
            loop {
                match *bytes.get(at)? {
                    b'"' => at = string_end(bytes, at)?,
                    b'{' | b'[' => {
                        depth += 1;
                        at += 1;
                    }
                    b'}' | b']' => {
                        depth -= 1;
                        at += 1;
                        if depth == 0 {
                            return Some(at);
                        }
                    }
                    _ => at += 1,
                }
            }
        }
        b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => {
            let rest = &bytes[at..];
            let over = |b: &u8| matches!(b, b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n');
            Some(at + rest.iter().position(over).unwrap_or(rest.len()))
        }
        _ => None,
    }
}

/// The end of a container, if it is here: then nothing but blanks may follow.
fn closes(bytes: &[u8], at: usize, with: u8) -> bool {
    bytes.get(at) == Some(&with) && blanks(bytes, at + 1) == bytes.len()
}

impl<'a> Members<'a> {
    /// Of an object; of anything else there is no first member.
    #[must_use]
    pub fn of(bytes: &'a [u8]) -> Self {
        Members { bytes, at: blanks(bytes, 0), state: State::First }
    }

    /// Whether it came to its proper end, nothing but blanks behind. Told once the last member was had.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.state == State::Whole
    }

    fn step(&mut self, first: bool) -> Option<Member<'a>> {
        let bytes = self.bytes;
        let mut at = self.at;
        if first {
            if *bytes.get(at)? != b'{' {
                return None;
            }
            at = blanks(bytes, at + 1);
        }
        if closes(bytes, at, b'}') {
            self.state = State::Whole;
            return None;
        }
        if !first {
            if *bytes.get(at)? != b',' {
                return None;
            }
            at = blanks(bytes, at + 1);
        }
        if *bytes.get(at)? != b'"' {
            return None;
        }
        let name_end = string_end(bytes, at)?;
        let name = &bytes[at + 1..name_end - 1];
        at = blanks(bytes, name_end);
        if *bytes.get(at)? != b':' {
            return None;
        }
        at = blanks(bytes, at + 1);
        let end = value_end(bytes, at)?;
        self.at = blanks(bytes, end);
        self.state = State::Further;
        Some((name, &bytes[at..end]))
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        let first = match self.state {
            State::First => true,
            State::Further => false,
            State::Whole | State::Torn => return None,
        };
        self.state = State::Torn;
        self.step(first)
    }
}

impl<'a> Elements<'a> {
    /// Of a list; of anything else there is none.
    #[must_use]
    pub fn of(bytes: &'a [u8]) -> Self {
        Elements { bytes, at: blanks(bytes, 0), state: State::First }
    }

    fn step(&mut self, first: bool) -> Option<&'a [u8]> {
        let bytes = self.bytes;
        let mut at = self.at;
        if *bytes.get(at)? != if first { b'[' } else { b',' } {
            return None;
        }
        at = blanks(bytes, at + 1);
        let end = value_end(bytes, at)?;
        self.at = blanks(bytes, end);
        self.state = State::Further;
        Some(&bytes[at..end])
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let first = match self.state {
            State::First => true,
            State::Further => false,
            State::Whole | State::Torn => return None,
        };
        self.state = State::Torn;
        self.step(first)
    }
}

/// The member of an object that has this name: the last one, as every reader of JSON takes it.
#[must_use]
pub fn member<'a>(object: &'a [u8], name: &str) -> Option<&'a [u8]> {
    Members::of(object).filter(|(key, _)| *key == name.as_bytes()).last().map(|(_, value)| value)
}

/// A string, at most `max` characters of it. `None` where it is no string.
#[must_use]
pub fn text(value: &[u8], max: usize) -> Option<String> {
    let inner = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let mut out = String::new();
    let mut left = max;
    let mut rest = inner;
    while left > 0 && !rest.is_empty() {
        let plain = memchr::memchr(b'\\', rest).unwrap_or(rest.len());
        // A character has at most four bytes: no more than that many are looked at.
        let plain = plain.min(left.saturating_mul(4).saturating_add(4));
        if plain > 0 {
            let whole = plain == rest.len() || rest[plain] == b'\\';
            left -= push(&mut out, &rest[..plain], left, whole);
            if !whole {
                break;
            }
            rest = &rest[plain..];
            continue;
        }
        let (decoded, used) = escape(rest);
        out.push(decoded);
        left -= 1;
        rest = &rest[used..];
    }
    Some(out)
}

/// Adds at most `max` characters; gives how many there were. Where the bytes were cut (`!whole`), a torn last
/// character is left out.
fn push(out: &mut String, bytes: &[u8], max: usize, whole: bool) -> usize {
    let decoded = String::from_utf8_lossy(bytes);
    let decoded = if whole { &*decoded } else { decoded.trim_end_matches('\u{fffd}') };
    let kept = decoded.char_indices().nth(max).map_or(decoded, |(at, _)| &decoded[..at]);
    out.push_str(kept);
    kept.chars().count()
}

/// The character that an escape stands for, and the escape's length.
fn escape(bytes: &[u8]) -> (char, usize) {
    let simple = |c| (c, 2);
    match bytes.get(1) {
        Some(b'n') => simple('\n'),
        Some(b't') => simple('\t'),
        Some(b'r') => simple('\r'),
        Some(b'b') => simple('\u{8}'),
        Some(b'f') => simple('\u{c}'),
        Some(b'u') => {
            let Some(high) = hex4(bytes, 2) else { return (char::REPLACEMENT_CHARACTER, 2) };
            if (0xd800..0xdc00).contains(&high)
                && bytes.get(6..8) == Some(b"\\u")
                && let Some(low) = hex4(bytes, 8).filter(|low| (0xdc00..0xe000).contains(low))
            {
                let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                return (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12);
            }
            (char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER), 6)
        }
        Some(b) if b.is_ascii() => simple(char::from(*b)),
        // A lone backslash, or one before a character of several bytes, which stands for itself.
        _ => (char::REPLACEMENT_CHARACTER, 1),
    }
}

fn hex4(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..at + 4)?;
    digits.iter().try_fold(0, |sum, b| Some(sum * 16 + char::from(*b).to_digit(16)?))
}

/// A whole number; `None` for anything else.
#[must_use]
pub fn number(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// A number of any form; `None` for what is none, or not finite.
#[must_use]
pub fn float(value: &[u8]) -> Option<f64> {
    std::str::from_utf8(value).ok()?.parse().ok().filter(|n: &f64| n.is_finite())
}

/// Whether it is exactly `true`.
#[must_use]
pub fn is_true(value: &[u8]) -> bool {
    value == b"true"
}

/// A value, built. What no string can hold, halves of surrogate pairs and bytes that are no UTF-8, is replaced, as
/// [`text`] replaces it.
#[must_use]
pub fn value(bytes: &[u8]) -> Option<serde_json::Value> {
    serde_json::from_slice(bytes).ok().or_else(|| serde_json::from_str(&mended(bytes)).ok())
}

/// The same JSON without halves of surrogate pairs and bytes that are no UTF-8.
fn mended(bytes: &[u8]) -> String {
    let lossy = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(lossy.len());
    let mut rest = &*lossy;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let (decoded, used) = escape(rest.as_bytes());
        let is_half =
            decoded == char::REPLACEMENT_CHARACTER && rest.as_bytes().get(1) == Some(&b'u') && used > 2;
        out.push_str(if is_half { "\\ufffd" } else { &rest[..used] });
        rest = &rest[used..];
    }
    out.push_str(rest);
    out
}

/// Whether the bytes are one JSON document, to the last byte.
#[must_use]
pub fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn all(bytes: &[u8]) -> Option<Vec<Member<'_>>> {
        let mut members = Members::of(bytes);
        let out = members.by_ref().collect();
        members.is_whole().then_some(out)
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<i32>().prop_map(|n| Value::from(f64::from(n) / 8.0)),
            ".{0,40}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::vec((".{0,20}", inner), 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    #[test]
    fn torn_and_glued_lines_are_malformed() {
        for bad in [
            r#"{"a":1"#,
            r#"{"a":"#,
            r#"{"a":"x"#,
            r#"{"a":{"b":1}"#,
            r#"{"a":1}{"b":2}"#,
            r#"{"a":1 "b":2}"#,
            r#"{"type":"user","mess{"type":"user"}"#,
            "[1]",
            "",
            "7",
        ] {
            assert_eq!(all(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(all(b"{}"), Some(vec![]));
        assert_eq!(all(b" { } \r"), Some(vec![]));
    }

    #[test]
    fn halves_of_surrogate_pairs_cost_one_character() {
        assert_eq!(text(br#""a\ud83dz""#, 9).unwrap(), "a\u{fffd}z");
        assert_eq!(text(br#""\ud83d\ude00!""#, 9).unwrap(), "😀!");
        assert_eq!(text(br#""\q\u12""#, 9).unwrap(), "q\u{fffd}12");
        assert_eq!(text("\"ééé\"".as_bytes(), 2).unwrap(), "éé");
        assert_eq!(text(b"\"\xff\\", 9), None);
    }

    #[test]
    fn values_of_cut_texts_are_built_all_the_same() {
        assert_eq!(value(br#"{"a":"x\\ud83d"}"#), Some(json!({"a": "x\\ud83d"})));
        assert_eq!(
            value(br#"["cut \ud83d", "\ud83d\ude00", "\n\\"]"#),
            Some(json!(["cut \u{fffd}", "😀", "\n\\"]))
        );
        assert_eq!(value(b"[\"\xff\\ude00\"]"), Some(json!(["\u{fffd}\u{fffd}"])));
        assert_eq!((value(b"[1"), value(br#"["\u12"]"#), value(br#"["\"#)), (None, None, None));
    }

    #[test]
    fn nesting_takes_no_stack() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(1 << 20), "]".repeat(1 << 20));
        assert_eq!(all(deep.as_bytes()).unwrap().len(), 1);
        assert_eq!(all("{\"a\":[".repeat(1 << 18).as_bytes()), None);
    }

    proptest! {
        #[test]
        fn members_and_texts_are_what_a_json_reader_sees(value in any_json(), pretty in any::<bool>()) {
            let whole = json!({"first": value.clone(), "list": [value.clone(), value]});
            let bytes =
                if pretty { serde_json::to_vec_pretty(&whole) } else { serde_json::to_vec(&whole) }.unwrap();
            let members = all(&bytes).unwrap();
            prop_assert_eq!(members.len(), 2);
            for (name, raw) in members {
                let expected = &whole[std::str::from_utf8(name).unwrap()];
                prop_assert_eq!(&serde_json::from_slice::<Value>(raw).unwrap(), expected);
                if let Some(expected) = expected.as_str() {
                    prop_assert_eq!(text(raw, usize::MAX).unwrap(), expected);
                    let three: String = expected.chars().take(3).collect();
                    prop_assert_eq!(text(raw, 3).unwrap(), three);
                }
                if let Some(list) = expected.as_array() {
                    let elements: Vec<Value> =
                        Elements::of(raw).map(|e| serde_json::from_slice(e).unwrap()).collect();
                    prop_assert_eq!(&elements, list);
                }
                prop_assert_eq!(member(&bytes, std::str::from_utf8(name).unwrap()), Some(raw));
            }
        }

        #[test]
        fn any_bytes_are_walked(bytes in proptest::collection::vec(any::<u8>(), 0..200), max in 0usize..50) {
            let _ = (all(&bytes), text(&bytes, max), number(&bytes), float(&bytes));
            prop_assert!(Elements::of(&bytes).count() <= bytes.len());
            let quoted = [b"\"", &bytes[..], b"\""].concat();
            prop_assert!(text(&quoted, max).unwrap().chars().count() <= max);
        }
    }
}
