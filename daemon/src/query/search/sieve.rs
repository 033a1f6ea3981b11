//! Which words may be in what some JSON holds, by its bytes alone: nothing is parsed.
//!
//! Must never miss a word that a string of the JSON has; may name one that no string has.

use std::borrow::Cow;

use memchr::{memchr, memmem};

use super::words::{Term, Words};

/// A bit for each word that may be there.
pub(super) fn mask(words: &Words, json: &[u8]) -> u32 {
    // Most records have none of the words, and are done without a copy.
    let (mut hidden, mut plain_text): (Option<bool>, Option<Cow<'_, [u8]>>) = (None, None);
    words.mask(|term| {
        if term.loose.is_match(json) {
            return true;
        }
        if is_same(term) && !*hidden.get_or_insert_with(|| memmem::find(json, b"\\u").is_some()) {
            return false;
        }
        term.loose.is_match(plain_text.get_or_insert_with(|| unescaped(json)))
    })
}

/// Whether a word stands in JSON as it is, but for escapes by number.
fn is_same(term: &Term) -> bool {
    term.plain
}

/// The bytes with JSON's escapes undone, wherever they stand. What is no escape stays as it is.
pub(super) fn unescaped(json: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr(b'\\', json) else { return Cow::Borrowed(json) };
    let mut out = Vec::with_capacity(json.len());
    let mut rest = json;
    let mut next = Some(first);
    while let Some(at) = next {
        out.extend_from_slice(&rest[..at]);
        let (text, used) = escape(&rest[at..]);
        match text {
            Some(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            None => out.extend_from_slice(&rest[at..at + used]),
        }
        rest = &rest[at + used..];
        next = memchr(b'\\', rest);
    }
    out.extend_from_slice(rest);
    Cow::Owned(out)
}

/// The character that an escape stands for, if it is one, and its length.
fn escape(bytes: &[u8]) -> (Option<char>, usize) {
    let c = match bytes.get(1) {
        Some(b'n') => '\n',
        Some(b't') => '\t',
        Some(b'r') => '\r',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(c @ (b'"' | b'\\' | b'/')) => char::from(*c),
        Some(b'u') => {
            let Some(first) = number(bytes) else { return (None, 2) };
            if let Some(c) = char::from_u32(first) {
                return (Some(c), 6);
            }
            let second = bytes.get(6..).and_then(number).filter(|n| (0xdc00..0xe000).contains(n));
            return match second {
                Some(second) if first < 0xdc00 => {
                    (char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)), 12)
                }
                _ => (Some(char::REPLACEMENT_CHARACTER), 6),
            };
        }
        _ => return (None, 1),
    };
    (Some(c), 2)
}

/// The number of `\uXXXX`.
fn number(bytes: &[u8]) -> Option<u32> {
    let digits = bytes.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |n, digit| Some(n * 16 + char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::super::words::Manner;
    use super::*;
    use proptest::prelude::*;

    /// JSON with some of its characters escaped by number, as others write it.
    fn written(text: &str, escaped: &[bool]) -> String {
        let mut json = String::from("{\"k\":\"");
        for (at, c) in text.chars().enumerate() {
            if escaped.get(at).copied().unwrap_or_default() {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(json, "\\u{unit:04X}").unwrap();
                }
            } else {
                json += serde_json::to_string(&c).unwrap().trim_matches('"').replace('/', "\\/").as_str();
                if c == '"' {
                    json += "\"";
                }
            }
        }
        json + "\"}"
    }

    #[test]
    fn escapes_are_undone() {
        let un = |text: &str| String::from_utf8(unescaped(text.as_bytes()).into_owned()).unwrap();
        assert_eq!(un(r#"a\n\"\\\/A\ud83c\udf89 \q"#), "a\n\"\\/A🎉 \\q");
        assert_eq!(un(r"\ud83c x \u12"), "\u{fffd} x \\u12");
        assert_eq!(un("ends\\"), "ends\\");
    }

    proptest! {
        #[test]
        fn no_word_of_a_string_is_missed(
            text in "(\\PC|[\"\\\\/\n\t\u{1b}ßKk]){1,40}",
            escaped in proptest::collection::vec(any::<bool>(), 40),
            from in 0usize..40, len in 1usize..12,
        ) {
            let needle: String = text.chars().skip(from).take(len).collect();
            let quoted = format!("\"{}\"", needle.replace('\\', "\\\\").replace('"', "\\\""));
            if let Ok(words) = Words::parse(&quoted, Manner::default()) {
                prop_assert_eq!(words.in_text(&text), 1, "in the text itself");
                let json = written(&text, &escaped);
                prop_assert_eq!(mask(&words, json.as_bytes()), 1, "{}", json);
                let whole = serde_json::to_vec(&text).unwrap();
                prop_assert_eq!(mask(&words, &whole), 1);
            }
        }

        #[test]
        fn any_bytes_are_looked_at(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = unescaped(&bytes);
        }
    }
}
