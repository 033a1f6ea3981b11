//! JSON as it stands: where each value lies in the text, and nothing of it changed.
//!
//! Takes what a strict reader takes, and strings with raw control characters or unknown escapes besides: what lies outside
//! strings is always only structure, numbers and the three words. Linear, without recursion, and no deeper than
//! [`DEEPEST`].

use std::ops::Range;

/// How deep containers may lie in each other.
const DEEPEST: usize = 128;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Its children are names and values in turn.
    Object,
    Array,
    Text,
    /// A number or a word.
    Other,
}

/// One value, or the name of a member.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) start: usize,
    /// Behind its last byte.
    pub(crate) end: usize,
    /// The node that follows it and all within it.
    pub(crate) after: usize,
}

impl Node {
    pub(crate) fn range(&self) -> Range<usize> {
        self.start..self.end
    }

    /// What stands between the quotes of a text.
    pub(crate) fn content(&self) -> Range<usize> {
        self.start + 1..self.end - 1
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Want {
    Value,
    ValueOrEnd,
    Name,
    NameOrEnd,
    Colon,
    CommaOrEnd,
}

/// The value that begins at a place, or behind the blanks there, and where it ends.
pub(crate) fn parsed(text: &str, from: usize) -> Option<(Vec<Node>, usize)> {
    let bytes = text.as_bytes();
    let mut nodes: Vec<Node> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let mut want = Want::Value;
    let mut at = from;
    loop {
        at += bytes[at..].iter().take_while(|b| matches!(b, b' ' | b'\n' | b'\r' | b'\t')).count();
        let byte = *bytes.get(at)?;
        let value = matches!(want, Want::Value | Want::ValueOrEnd);
        match byte {
            b'{' | b'[' if value => {
                if open.len() >= DEEPEST {
                    return None;
                }
                let (kind, next) = if byte == b'{' {
                    (Kind::Object, Want::NameOrEnd)
                } else {
                    (Kind::Array, Want::ValueOrEnd)
                };
                open.push(nodes.len());
                nodes.push(Node { kind, start: at, end: at, after: 0 });
                want = next;
                at += 1;
                continue;
            }
            b'}' | b']' => {
                let ends = if byte == b'}' {
                    matches!(want, Want::NameOrEnd | Want::CommaOrEnd)
                } else {
                    matches!(want, Want::ValueOrEnd | Want::CommaOrEnd)
                };
                let kind = if byte == b'}' { Kind::Object } else { Kind::Array };
                let node = open.pop().filter(|_| ends)?;
                if nodes[node].kind != kind {
                    return None;
                }
                at += 1;
                nodes[node].end = at;
                nodes[node].after = nodes.len();
            }
            b'"' if want != Want::Colon && want != Want::CommaOrEnd => {
                let end = string_end(bytes, at + 1)?;
                nodes.push(Node { kind: Kind::Text, start: at, end, after: nodes.len() + 1 });
                at = end;
                if !value {
                    want = Want::Colon;
                    continue;
                }
            }
            b':' if want == Want::Colon => {
                want = Want::Value;
                at += 1;
                continue;
            }
            b',' if want == Want::CommaOrEnd => {
                want = match open.last().map(|node| nodes[*node].kind) {
                    Some(Kind::Object) => Want::Name,
                    _ => Want::Value,
                };
                at += 1;
                continue;
            }
            _ if value => {
                let len = other(&bytes[at..])?;
                nodes.push(Node { kind: Kind::Other, start: at, end: at + len, after: nodes.len() + 1 });
                at += len;
            }
            _ => return None,
        }
        if open.is_empty() {
            return Some((nodes, at));
        }
        want = Want::CommaOrEnd;
    }
}

/// Behind the quote that ends a string whose content begins here.
fn string_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// The length of a number or a word.
fn other(bytes: &[u8]) -> Option<usize> {
    for word in [&b"true"[..], b"false", b"null"] {
        if bytes.starts_with(word) {
            return Some(word.len());
        }
    }
    let len = bytes
        .iter()
        .take_while(|b| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E'))
        .count();
    (len > 0).then_some(len)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn values_are_found_where_they_lie() {
        let text = r#" {"a":[1,"x\"y",{}],"b":null} "#;
        let (nodes, end) = parsed(text, 0).expect("JSON");
        let parts: Vec<_> = nodes.iter().map(|node| &text[node.range()]).collect();
        assert_eq!(
            parts,
            [&text[1..end], "\"a\"", r#"[1,"x\"y",{}]"#, "1", r#""x\"y""#, "{}", "\"b\"", "null"]
        );
        assert_eq!(nodes.iter().map(|node| node.after).collect::<Vec<_>>(), [8, 2, 6, 4, 5, 6, 7, 8]);
        for wrong in [
            "",
            "{",
            "{a:1}",
            "[1,]",
            "{\"a\"}",
            "{\"a\":1,}",
            "[}",
            "]",
            "\"x",
            "{\"a\":ghp}",
            "[1 2]",
            "\"x\\\"",
        ] {
            assert!(parsed(wrong, 0).is_none(), "{wrong}");
        }
        assert!(parsed(&"[".repeat(1 << 20), 0).is_none());
    }

    proptest! {
        #[test]
        fn what_serde_reads_is_read(text in r#"[\[\]{}:,"a1\\n. -]{0,24}"#) {
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                let (nodes, end) = parsed(&text, 0).expect("as JSON");
                prop_assert!(text[end..].trim().is_empty());
                prop_assert_eq!(&serde_json::from_str::<Value>(&text[nodes[0].range()]).expect("JSON"), &value);
            }
        }
    }
}
