//! What is to be replaced in bytes that may be no text, and may be large.
//!
//! What is no text is not scanned, and so not kept: a text in another encoding may hold a credential that nobody sees. A
//! large text is scanned in windows that overlap, since every layer of escapes costs its length in memory.

use std::ops::Range;

use ccd_redact::{Edit, apply};

use super::unscanned;

/// Bytes that are no text are taken together where less than this of text lies between them.
const NEAR: usize = 64;
/// So many NULs in a row are a hole.
const HOLE: usize = 8;
/// Texts up to this length are scanned at once.
const WHOLE: usize = 12 << 20;
/// The windows of longer ones, and how much two of them have in common: more than the longest credential.
const WINDOW: usize = 8 << 20;
const OVERLAP: usize = 64 << 10;
/// How often what was edited is looked through again.
const ROUNDS: usize = 3;

/// What is to be replaced, in order and apart from each other. `find` looks through a text.
pub(super) fn edits(bytes: &[u8], find: &dyn Fn(&str) -> Vec<Edit>) -> Vec<Edit> {
    if let Ok(text) = str::from_utf8(bytes)
        && memchr::memchr(0, bytes).is_none()
    {
        return of_text(text, find);
    }
    let mut edits = Vec::new();
    let mut at = 0;
    for dark in dark(bytes) {
        edits.extend(between(bytes, at..dark.start, find));
        at = dark.end;
        edits.push(Edit { mark: unscanned(dark.len()), range: dark });
    }
    edits.extend(between(bytes, at..bytes.len(), find));
    edits
}

fn between(bytes: &[u8], range: Range<usize>, find: &dyn Fn(&str) -> Vec<Edit>) -> Vec<Edit> {
    let start = range.start;
    match bytes.get(range.clone()).map(str::from_utf8) {
        Some(Ok(text)) => moved(of_text(text, find), start),
        // It is text as far as `dark` can tell, so it never is none; but for the promise.
        _ => vec![Edit { mark: unscanned(range.len()), range }],
    }
}

fn moved(edits: Vec<Edit>, by: usize) -> Vec<Edit> {
    let moved = |edit: Edit| Edit { range: edit.range.start + by..edit.range.end + by, ..edit };
    edits.into_iter().map(moved).collect()
}

/// The runs of bytes that are no text. A text holds no NUL, which those of two bytes a letter are full of; but for holes, as
/// file systems leave them after a crash: there is nothing in those, and the lines behind them are whole.
fn dark(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut dark: Vec<Range<usize>> = Vec::new();
    let mut add = |range: Range<usize>| match dark.last_mut() {
        _ if range.is_empty() => {}
        Some(last) if range.start - last.end < NEAR => last.end = range.end,
        _ => dark.push(range),
    };
    let mut at = 0;
    for chunk in bytes.utf8_chunks() {
        let mut nuls = 0..0;
        for nul in memchr::memchr_iter(0, chunk.valid().as_bytes()).chain([usize::MAX]) {
            if nul == nuls.end {
                nuls.end += 1;
                continue;
            }
            if nuls.len() < HOLE {
                add(at + nuls.start..at + nuls.end);
            }
            nuls = nul..nul.saturating_add(1);
        }
        at += chunk.valid().len();
        add(at..at + chunk.invalid().len());
        at += chunk.invalid().len();
    }
    dark
}

fn of_text(text: &str, find: &dyn Fn(&str) -> Vec<Edit>) -> Vec<Edit> {
    if text.len() <= WHOLE {
        return settled(text, find);
    }
    let mut edits: Vec<Edit> = Vec::new();
    let mut start = 0;
    loop {
        let end = boundary(text, start + WINDOW);
        let last = end == text.len();
        // What begins in the second half of what two windows share is left to the second of them.
        let mine = if last { usize::MAX } else { end - OVERLAP / 2 };
        for edit in moved(settled(&text[start..end], find), start) {
            let done = edits.last().map_or(0, |edit| edit.range.end);
            if edit.range.start < mine && edit.range.end > done {
                edits.push(Edit { range: edit.range.start.max(done)..edit.range.end, ..edit });
            }
        }
        if last {
            return edits;
        }
        start = boundary(text, end - OVERLAP);
    }
}

/// The place itself, or the next that is no middle of a letter.
fn boundary(text: &str, at: usize) -> usize {
    (at..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
}

/// What is found, and what is found only once that is replaced.
fn settled(text: &str, find: &dyn Fn(&str) -> Vec<Edit>) -> Vec<Edit> {
    let mut edits = find(text);
    for _ in 0..ROUNDS {
        if edits.is_empty() {
            break;
        }
        let after = apply(text.as_bytes(), &edits);
        let Ok(after) = str::from_utf8(&after) else { break };
        let more = find(after);
        if !add(&mut edits, more) {
            break;
        }
    }
    edits
}

/// Adds edits of the edited text to those that made it; what touches one of those is left as it is. False: nothing was
/// added.
fn add(edits: &mut Vec<Edit>, more: Vec<Edit>) -> bool {
    let mut new = Vec::new();
    let (mut at, mut shift) = (0, 0_isize);
    for edit in more {
        // Those that end before it in the edited text.
        while let Some(known) = edits.get(at) {
            let here = known.range.start.saturating_add_signed(shift);
            if here + known.mark.len() > edit.range.start {
                break;
            }
            shift += known.mark.len().cast_signed() - known.range.len().cast_signed();
            at += 1;
        }
        let touches = edits
            .get(at)
            .is_some_and(|known| known.range.start.saturating_add_signed(shift) < edit.range.end);
        if !touches {
            let back = |place: usize| place.saturating_add_signed(-shift);
            new.push(Edit { range: back(edit.range.start)..back(edit.range.end), ..edit });
        }
    }
    let any = !new.is_empty();
    edits.extend(new);
    edits.sort_by_key(|edit| edit.range.start);
    any
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Finds every `x+`, and `y` once no `x` is left.
    fn finds(text: &str) -> Vec<Edit> {
        let of = |letter: char, mark: &str| {
            let mut edits: Vec<Edit> = Vec::new();
            for (at, _) in text.match_indices(letter) {
                match edits.last_mut() {
                    Some(last) if last.range.end == at => last.range.end = at + 1,
                    _ => edits.push(Edit { range: at..at + 1, mark: mark.into() }),
                }
            }
            edits
        };
        let found = of('x', "[X]");
        if found.is_empty() { of('y', "") } else { found }
    }

    fn scrubbed(bytes: &[u8]) -> Vec<u8> {
        apply(bytes, &edits(bytes, &finds))
    }

    #[test]
    fn what_is_no_text_is_left_out_and_told() {
        assert_eq!(scrubbed(b"ax\xff\xfeby"), b"a[X][unscanned 2 bytes]b");
        assert_eq!(scrubbed(b"a\0b\0c\0"), b"a[unscanned 5 bytes]");
        assert_eq!(scrubbed("naïve ✓".as_bytes()), "naïve ✓".as_bytes());
        let hole = [&[0; HOLE][..], b"ax", &[0; 700], b"b"].concat();
        assert_eq!(scrubbed(&hole), [&[0; HOLE][..], b"a[X]", &[0; 700], b"b"].concat(), "a hole is one");
        assert_eq!(scrubbed(&[&b"a"[..], &[0; HOLE - 1]].concat()), b"a[unscanned 7 bytes]");
        let far = [&[0xff][..], &[b'a'; NEAR], &[0xff]].concat();
        assert_eq!(edits(&far, &finds).len(), 2);
    }

    #[test]
    fn a_large_text_is_scanned_whole() {
        let mut text = "é".repeat(10 << 20);
        let places =
            [3, (WINDOW / 2 - OVERLAP / 4) * 2, WINDOW, WINDOW - OVERLAP, 2 * WINDOW, text.len() - 4];
        for at in places {
            let at = boundary(&text, at);
            text.replace_range(at..boundary(&text, at + 1), "xx");
        }
        let found = edits(text.as_bytes(), &finds);
        assert_eq!(found.len(), places.len());
        assert!(found.is_sorted_by(|a, b| a.range.end <= b.range.start));
        assert!(found.iter().all(|edit| &text[edit.range.clone()] == "xx"));
    }

    proptest! {
        #[test]
        fn edits_are_in_order_and_settled(text in "[axyé]{0,40}") {
            let found = edits(text.as_bytes(), &finds);
            prop_assert!(found.is_sorted_by(|a, b| a.range.end <= b.range.start));
            let once = String::from_utf8(apply(text.as_bytes(), &found)).unwrap();
            prop_assert!(!once.contains(['x', 'y']), "{text} {once}");
        }

        #[test]
        fn any_bytes_become_text(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(String::from_utf8(scrubbed(&bytes)).is_ok());
        }
    }
}
