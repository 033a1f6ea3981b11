//! Bodies as an export has them: inflated, as text where they are text, without credentials, and saying what is missing.
//!
//! A credential may come in a stream's pieces, of which none looks like one: the pieces of each block are joined before they
//! are looked through, and what is taken out goes out of every piece that has a part of it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::base64;
use super::clean::Cleaner;
use crate::project::sse::Events;

/// A body.
#[derive(Clone, Debug, Default)]
pub(super) struct Body {
    /// As its header names it; empty where it does not.
    pub media_type: String,
    /// The body.
    pub text: String,
    /// The text is base 64 of what is none.
    pub is_base64: bool,
    /// Bytes that went by, as they were encoded.
    pub wire_bytes: u64,
    /// Bytes of it, inflated, as it was kept.
    pub bytes: u64,
    /// What is missing, for people.
    pub missing: Option<String>,
}

impl Body {
    /// `sizes`: bytes that went by, and those that were kept where that is less.
    pub(super) fn new(
        cleaner: &Cleaner,
        bytes: &[u8],
        media_type: String,
        (seen, kept): (u64, Option<u64>),
        cut: Option<String>,
    ) -> Self {
        let mut missing =
            kept.map(|kept| format!("cut when it was captured: {kept} of {seen} bytes were kept"));
        if let Some(cut) = cut {
            let before = missing.map(|before| format!("{before}; ")).unwrap_or_default();
            missing = Some(format!("{before}inflated only in part: {cut}"));
        }
        let (text, is_base64) = match std::str::from_utf8(bytes) {
            Ok(text) if media_type.starts_with("text/event-stream") => {
                let whole = stream(cleaner, text);
                (cleaner.text(&whole).as_str().to_owned(), false)
            }
            Ok(text) => (cleaner.text(text).as_str().to_owned(), false),
            Err(_) => (base64(&cleaner.bytes(bytes)), true),
        };
        let bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Body { media_type, text, is_base64, wire_bytes: seen, bytes, missing }
    }

    /// As JSON lines have it.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "media_type": self.media_type,
            "encoding": if self.is_base64 { "base64" } else { "text" },
            "text": self.text,
            "bytes": self.bytes,
            "missing": self.missing,
        })
    }
}

/// A block's text, and of each piece of it the event and where in the text it ends.
type Block = (String, Vec<(usize, usize)>);

/// The members of a stream's deltas that are pieces of a longer text.
const PIECES: [&str; 3] = ["text", "thinking", "partial_json"];

/// A stream whose blocks are without credentials, wherever they were cut to pieces.
fn stream<'t>(cleaner: &Cleaner, text: &'t str) -> Cow<'t, str> {
    if cleaner.reveals() {
        return Cow::Borrowed(text);
    }
    let mut events = Vec::new();
    let mut blocks: BTreeMap<(u64, &'static str), Block> = BTreeMap::new();
    for (n, event) in Events::new(text.as_bytes()).enumerate() {
        let value: Value = serde_json::from_slice(&event.data).unwrap_or_default();
        let index = value.get("index").and_then(Value::as_u64);
        for name in PIECES {
            if let (Some(index), Some(piece)) = (index, value["delta"].get(name).and_then(Value::as_str)) {
                let (joined, pieces) = blocks.entry((index, name)).or_default();
                joined.push_str(piece);
                pieces.push((n, joined.len()));
            }
        }
        events.push((event.range.clone(), value));
    }
    let mut changed: BTreeSet<usize> = BTreeSet::new();
    for ((_, name), (joined, pieces)) in &blocks {
        let clean = cleaner.text(joined);
        let clean = clean.as_str();
        if clean == joined {
            continue;
        }
        let ends: Vec<usize> = pieces.iter().map(|(_, end)| *end).collect();
        for ((n, _), part) in pieces.iter().zip(distributed(joined, clean, &ends)) {
            if let Some((_, value)) = events.get_mut(*n) {
                value["delta"][*name] = part.into();
                changed.insert(*n);
            }
        }
    }
    if changed.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (n, (range, value)) in events.iter().enumerate() {
        if !changed.contains(&n) {
            continue;
        }
        out.push_str(text.get(at..range.start).unwrap_or_default());
        let before = text.get(range.clone()).unwrap_or_default();
        // The event's other lines stay.
        let kept = before.lines().filter(|line| !line.is_empty() && !line.starts_with("data"));
        kept.for_each(|line| {
            out.push_str(line);
            out.push('\n');
        });
        _ = write!(out, "data: {value}\n\n");
        at = range.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    Cow::Owned(out)
}

/// The pieces of a text that ended at these places, now that the text is another: what is the same at both ends stays where it
/// was, and what lies between is in the first piece that has some of it.
fn distributed(before: &str, after: &str, ends: &[usize]) -> Vec<String> {
    let head = before.bytes().zip(after.bytes()).take_while(|(a, b)| a == b).count();
    let most = before.len().min(after.len()) - head;
    let tail = before.bytes().rev().zip(after.bytes().rev()).take(most).take_while(|(a, b)| a == b).count();
    let whole = |text: &str, mut at: usize| {
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let head = whole(before, head);
    // Towards the end, so that no character is cut.
    let mut tail_from = before.len() - tail;
    while !before.is_char_boundary(tail_from) {
        tail_from += 1;
    }
    let middle = after.get(head..after.len() - (before.len() - tail_from)).unwrap_or_default();
    let mut told = false;
    let mut from = 0;
    let mut parts = Vec::with_capacity(ends.len());
    for (n, &end) in ends.iter().enumerate() {
        let mut part = before.get(from..end.min(head)).unwrap_or_default().to_owned();
        if !told && (end > head || n + 1 == ends.len()) {
            part.push_str(middle);
            told = true;
        }
        part.push_str(before.get(from.max(tail_from)..end).unwrap_or_default());
        parts.push(part);
        from = end;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cleaner() -> Cleaner {
        Cleaner::standard(
            &crate::export::clean::Privacy { home: Some("/home/ann".into()), ..Default::default() },
            None,
        )
        .unwrap()
    }

    fn delta(text: &str) -> String {
        let data = json!({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":text}});
        format!("event: content_block_delta\ndata: {data}\n\n")
    }

    fn joined(stream: &str) -> String {
        let texts = Events::new(stream.as_bytes()).map(|event| {
            let value: Value = serde_json::from_slice(&event.data).unwrap();
            value["delta"]["text"].as_str().unwrap().to_owned()
        });
        texts.collect()
    }

    #[test]
    fn a_credential_in_pieces_goes_out_of_all_of_them() {
        let token = ccd_redact::sample::filled("ghp_{a36}", 7);
        let whole = format!("The token is {token} and that is all of it in /home/ann/shop.");
        for size in [1, 3, 8, 50, 500] {
            let chars: Vec<char> = whole.chars().collect();
            let text: String = chars.chunks(size).map(|c| delta(&c.iter().collect::<String>())).collect();
            let body = Body::new(&cleaner(), text.as_bytes(), "text/event-stream".into(), (0, None), None);
            let told = joined(&body.text);
            assert!(told.starts_with("The token is [redacted:") && told.ends_with("~/shop."), "{told}");
            assert_eq!(Events::new(body.text.as_bytes()).count(), Events::new(text.as_bytes()).count());
            assert!(!body.text.contains(&token[4..12]) && !body.text.contains("ann"), "{}", body.text);
        }
    }

    #[test]
    fn what_has_nothing_to_hide_stays_byte_for_byte() {
        let text = format!(": ping\n\n{}event: x\ndata: no json\n\n{}rest", delta("hel"), delta("lo"));
        let body = Body::new(&cleaner(), text.as_bytes(), "text/event-stream".into(), (9, None), None);
        assert_eq!(body.text, text);
        let body = Body::new(
            &cleaner(),
            b"\xff\x00",
            String::new(),
            (3, Some(2)),
            Some("the end is missing".into()),
        );
        assert!(body.is_base64 && body.text == "/wA=");
        assert_eq!(
            body.missing.as_deref(),
            Some(
                "cut when it was captured: 2 of 3 bytes were kept; inflated only in part: the end is missing"
            )
        );
    }

    proptest! {
        #[test]
        fn pieces_make_the_new_text(head in "[aé]{0,6}", old in "[aéb]{0,6}", new in "[aéc]{0,6}", tail in "[éa]{0,6}", cuts in prop::collection::vec(0usize..40, 0..5)) {
            let (before, after) = (format!("{head}{old}{tail}"), format!("{head}{new}{tail}"));
            let mut ends: Vec<usize> = cuts.into_iter().filter(|at| before.is_char_boundary(*at)).collect();
            ends.push(before.len());
            ends.sort_unstable();
            prop_assert_eq!(distributed(&before, &after, &ends).concat(), after);
        }
    }
}
