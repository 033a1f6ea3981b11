//! Changes of a body: making them, moving along what is known by place, and putting back what was taken out.
//!
//! Pure. What [`made`] makes of a body, [`reveal`] makes the body of again, if every mark is known; but for what was left out
//! unscanned.

use std::ops::Range;

use super::MARK;
use crate::ingest::record::CutV1;

/// Longest mark that is looked for.
const LONGEST: usize = 256;

/// A replacement of some bytes of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) range: Range<usize>,
    pub(super) with: String,
    /// Of a value that lay in pieces: its mark, and which byte of it this piece begins with.
    pub(super) piece: Option<(String, u64)>,
}

impl Change {
    /// The texts in it that may hold marks.
    pub(super) fn texts(&mut self) -> impl Iterator<Item = &mut String> {
        std::iter::once(&mut self.with).chain(self.piece.as_mut().map(|(mark, _)| mark))
    }
}

/// The body with its changes made, which are in order and apart from each other; and where the pieces are.
pub(super) fn made(bytes: &[u8], changes: &[Change]) -> (Vec<u8>, Vec<CutV1>) {
    let (mut out, mut cuts) = (Vec::with_capacity(bytes.len()), Vec::new());
    let mut done = 0;
    for change in changes {
        out.extend_from_slice(bytes.get(done..change.range.start).unwrap_or_default());
        if let Some((mark, from)) = &change.piece {
            cuts.push(CutV1 {
                at: out.len() as u64,
                len: change.with.len() as u64,
                mark: mark.clone(),
                from: *from,
                to: from + change.range.len() as u64,
            });
        }
        out.extend_from_slice(change.with.as_bytes());
        done = change.range.end;
    }
    out.extend_from_slice(bytes.get(done..).unwrap_or_default());
    (out, cuts)
}

/// Moves the arrival marks of a body along with its changes: each is a count of bytes and something of no matter here. They
/// add up to the length of what is stored, and whatever is not changed stays in the chunk that it came in; a mark is in the
/// chunk in which the value began. `len` is the body's length before.
pub(super) fn move_arrivals(arrivals: &mut [(u64, u64)], changes: &[Change], len: usize) {
    let (mut before, mut after) = (0_usize, 0_u64);
    let (mut at, mut shift) = (0, 0_isize);
    for (bytes, _) in arrivals {
        before = before.saturating_add(usize::try_from(*bytes).unwrap_or(usize::MAX)).min(len);
        while let Some(change) = changes.get(at) {
            if change.range.start >= before {
                break;
            }
            shift += change.with.len().cast_signed() - change.range.len().cast_signed();
            at += 1;
        }
        // Within what is replaced: behind the mark.
        let place = match at.checked_sub(1).and_then(|last| changes.get(last)) {
            Some(last) if last.range.end > before => last.range.end,
            _ => before,
        };
        let place = place.saturating_add_signed(shift) as u64;
        *bytes = place.saturating_sub(after);
        after = after.max(place);
    }
}

/// As [`move_arrivals`], where what is stored has nothing to do with what arrived but its order: its content encoding was
/// undone.
pub(super) fn stretch_arrivals(arrivals: &mut [(u64, u64)], len: usize, stored: usize) {
    let (mut before, mut after) = (0_u64, 0_u64);
    for (bytes, _) in arrivals {
        before = before.saturating_add(*bytes).min(len as u64);
        let place = u128::from(before) * stored as u128 / (len.max(1) as u128);
        let place = u64::try_from(place).unwrap_or(u64::MAX);
        *bytes = place.saturating_sub(after);
        after = place;
    }
}

/// The bytes as they came: those that are stored, with what their marks stand for put back. `lookup` gives what a mark
/// stands for, as it stood in the body, where that is known; other marks stay.
///
/// `cuts` are those of the body's record; a body of which nothing lay in pieces has none.
#[must_use]
pub fn reveal(stored: &[u8], cuts: &[CutV1], lookup: &dyn Fn(&str) -> Option<String>) -> Vec<u8> {
    let mut out = Vec::with_capacity(stored.len());
    let mut done = 0;
    for cut in cuts {
        let (Ok(at), Ok(len)) = (usize::try_from(cut.at), usize::try_from(cut.len)) else { continue };
        let (Some(before), Some(there)) = (stored.get(done..at), stored.get(at..at.saturating_add(len)))
        else {
            continue;
        };
        whole(before, lookup, &mut out);
        let (from, to) = (usize::try_from(cut.from), usize::try_from(cut.to));
        let value = lookup(&cut.mark);
        let piece = match (&value, from, to) {
            (Some(value), Ok(from), Ok(to)) => value.as_bytes().get(from..to),
            _ => None,
        };
        out.extend_from_slice(piece.unwrap_or(there));
        done = at + len;
    }
    whole(stored.get(done..).unwrap_or_default(), lookup, &mut out);
    out
}

/// Puts back what marks stand for that were put in one place.
fn whole(bytes: &[u8], lookup: &dyn Fn(&str) -> Option<String>, out: &mut Vec<u8>) {
    let mut done = 0;
    for at in memchr::memmem::find_iter(bytes, MARK.as_bytes()) {
        if at < done {
            continue;
        }
        let rest = &bytes[at..bytes.len().min(at + LONGEST)];
        let Some(end) = memchr::memchr(b']', rest) else { continue };
        let Ok(mark) = str::from_utf8(&rest[..=end]) else { continue };
        let Some(value) = lookup(mark) else { continue };
        out.extend_from_slice(&bytes[done..at]);
        out.extend_from_slice(value.as_bytes());
        done = at + mark.len();
    }
    out.extend_from_slice(&bytes[done..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn change(range: Range<usize>, with: &str) -> Change {
        Change { range, with: with.into(), piece: None }
    }

    #[test]
    fn a_mark_is_in_the_chunk_where_its_value_began() {
        let changes = [change(3..9, "[m]"), change(9..10, "")];
        let mut arrivals = [(4, 1), (4, 2), (4, 3)];
        move_arrivals(&mut arrivals, &changes, 12);
        assert_eq!(arrivals, [(6, 1), (0, 2), (2, 3)]);
        let mut arrivals = [(2, 1), (20, 2)];
        move_arrivals(&mut arrivals, &changes, 12);
        assert_eq!(arrivals, [(2, 1), (6, 2)], "a body that was cut");
        stretch_arrivals(&mut arrivals, 8, 80);
        assert_eq!(arrivals, [(20, 1), (60, 2)]);
    }

    proptest! {
        #[test]
        fn arrivals_add_up(chunks in proptest::collection::vec(0u64..9, 0..20), gaps in proptest::collection::vec((0usize..6, 0usize..6, "[a-z]{0,9}"), 0..9)) {
            let len = usize::try_from(chunks.iter().sum::<u64>()).unwrap();
            let mut changes = Vec::new();
            let mut at = 0;
            for (gap, long, with) in gaps {
                let range = at + gap..at + gap + long;
                if range.end <= len && !range.is_empty() {
                    at = range.end;
                    changes.push(change(range, &with));
                }
            }
            let (stored, _) = made(&vec![b'x'; len], &changes);
            let mut arrivals: Vec<_> = chunks.iter().map(|bytes| (*bytes, 0)).collect();
            move_arrivals(&mut arrivals, &changes, len);
            prop_assert_eq!(arrivals.iter().map(|(bytes, _)| bytes).sum::<u64>(), stored.len() as u64);
        }

        #[test]
        fn any_cuts_are_survived(stored in "[a-z\\[\\]:é]{0,30}", cuts in proptest::collection::vec((0u64..40, 0u64..9, 0u64..9, 0u64..9), 0..5)) {
            let cuts: Vec<_> = cuts.into_iter().map(|(at, len, from, to)| CutV1 { at, len, mark: "m".into(), from, to }).collect();
            let _ = reveal(stored.as_bytes(), &cuts, &|_| Some("value".into()));
            prop_assert_eq!(reveal(stored.as_bytes(), &[], &|_| None), stored.as_bytes());
        }
    }
}
