//! A body of an exchange: a JSON document, a stream of events, or anything else; as it is, or with a content encoding.
//!
//! An encoding is undone, within limits, to look through the body. Where nothing is found the bytes are kept as they came;
//! where something is, the body is kept with the encoding undone, which the record says. What cannot be undone is not kept.

use std::borrow::Cow;

use bytes::Bytes;
use ccd_redact::Edit;

use super::cuts::{self, Change};
use super::stream::{self, As};
use super::{Scrub, guard, is_mark, text, unscanned};
use crate::ingest::record::CutV1;
use crate::project::decode::{DecodeError, decode};

/// At the end of what was cut, so much may be the beginning of a credential.
const TORN: usize = 4096;
/// Less than this tells nothing.
const TELLS: usize = 4;
/// So far before a value a sentence says what it is, in bytes.
const NEAR: usize = 96;
/// Longer words are seldom said.
const LONGEST_WORD: usize = 20;

/// What is known of a body beside its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct About<'a> {
    pub(super) session: &'a str,
    pub(super) encoding: &'a str,
    pub(super) is_stream: bool,
    /// Only its beginning was kept, or came.
    pub(super) is_cut: bool,
}

/// What a body became.
#[derive(Debug, Default)]
pub(super) struct Scrubbed {
    /// Its bytes, where they are not those that came.
    pub(super) bytes: Option<Bytes>,
    pub(super) marks: u64,
    /// Bytes that were left out.
    pub(super) unscanned: u64,
    pub(super) decoded: bool,
    pub(super) cuts: Vec<CutV1>,
    pub(super) changes: Vec<Change>,
}

impl Scrub {
    /// Looks through a body.
    pub(super) fn body(&self, bytes: &[u8], about: About<'_>) -> Scrubbed {
        let plain = about.encoding.split(',').all(|e| matches!(e.trim(), "" | "identity"));
        if plain || bytes.is_empty() {
            return self.plain(bytes, bytes, about, 0);
        }
        let decoded = decode(bytes, about.encoding);
        let (is_cut, lost) = match &decoded.cut {
            None => (about.is_cut, 0),
            // The stream ended there, for us as for everybody.
            Some(DecodeError::Damaged { source, .. })
                if source.kind() == std::io::ErrorKind::UnexpectedEof && !decoded.bytes.is_empty() =>
            {
                (true, 0)
            }
            // What is text was never encoded.
            Some(_) if is_text(bytes) => return self.plain(bytes, bytes, about, 0),
            Some(_) => (true, bytes.len()),
        };
        let inside = match &decoded.bytes {
            // What grows beyond the limits is not looked into at all: as much again would be needed for that.
            _ if matches!(decoded.cut, Some(DecodeError::Unknown(_) | DecodeError::Bomb)) => b"",
            Cow::Borrowed(_) => bytes,
            Cow::Owned(made) => made.as_slice(),
        };
        let mut done = self.plain(inside, bytes, About { is_cut, ..about }, lost);
        done.decoded = done.bytes.is_some();
        done
    }

    /// Looks through bytes without an encoding. `came`: what is kept where nothing is found; `lost`: so many more bytes could
    /// not be looked at.
    fn plain(&self, bytes: &[u8], came: &[u8], about: About<'_>, lost: usize) -> Scrubbed {
        let work = self.work(about.session);
        let find = |text: &[u8], how: As| -> Vec<Edit> {
            let edits = |text: &str| {
                let found = work.found(text);
                if how == As::Document { guard::document(text, found) } else { found }
            };
            text::edits(text, &edits)
        };
        let mut changes = if about.is_stream || looks_like_stream(bytes) {
            stream::changes(bytes, about.is_cut, &find)
        } else {
            let mut edits = find(bytes, As::Document);
            if about.is_cut {
                without_end(bytes, &mut edits);
            }
            edits.into_iter().map(|edit| Change { range: edit.range, with: edit.mark, piece: None }).collect()
        };
        work.settle(changes.iter_mut().flat_map(Change::texts));
        if lost > 0 {
            let range = bytes.len()..bytes.len();
            changes.push(Change { range, with: unscanned(lost), piece: None });
        }
        if changes.is_empty() {
            return Scrubbed::default();
        }
        let (mut made, mut cuts) = cuts::made(bytes, &changes);
        if made == came {
            return Scrubbed::default();
        }
        let marks = changes.iter().filter(|change| is_mark(&change.with)).count() as u64;
        let dark = changes.iter().filter(|change| change.with.contains(super::UNSCANNED));
        let (pieces, left_out) =
            dark.fold((0, lost as u64), |(n, sum), change| (n + 1, sum + change.range.len() as u64));
        self.tell(marks, pieces);
        made.shrink_to_fit();
        cuts.shrink_to_fit();
        Scrubbed { bytes: Some(made.into()), marks, unscanned: left_out, decoded: false, cuts, changes }
    }
}

fn is_text(bytes: &[u8]) -> bool {
    str::from_utf8(bytes).is_ok() && memchr::memchr(0, bytes).is_none()
}

fn looks_like_stream(bytes: &[u8]) -> bool {
    let start = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    [&b"event:"[..], b"data:", b":"].iter().any(|field| start.starts_with(field))
}

/// Takes out the last word of a text that was cut, too: what it goes on with was never looked at.
pub(super) fn without_end(text: &[u8], edits: &mut Vec<Edit>) {
    let is_of_word =
        |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'/' | b'+' | b'=' | b'~');
    let len = text.iter().rev().take(TORN).take_while(|b| is_of_word(b)).count();
    let start = (text.len() - len).max(edits.last().map_or(0, |edit| edit.range.end));
    let (before, word) = text.split_at(start);
    if word.len() >= TELLS && !is_prose(before, word) {
        edits.push(Edit { range: start..text.len(), mark: unscanned(text.len() - start) });
    }
}

/// Whether a word at the end is one of a sentence: small letters after the first, and nobody's value. What a credential of
/// a known kind begins with goes on with other signs after at most five such letters.
fn is_prose(before: &[u8], word: &[u8]) -> bool {
    let near = String::from_utf8_lossy(&before[before.len().saturating_sub(NEAR)..]);
    let is_value =
        before.trim_ascii_end().last().is_some_and(|b| matches!(b, b':' | b'=' | b'"' | b'\'' | b'`'))
            || ccd_redact::speaks_of_one(&near);
    let is_apart = before.last().is_none_or(|b| matches!(b, b' ' | b'\n' | b'\t' | b'(' | b','));
    let (first, rest) = word.split_first().map_or((b' ', word), |(first, rest)| (*first, rest));
    let end = rest.last().map_or(0, |b| usize::from(matches!(b, b'.' | b'-')));
    let is_small = rest[..rest.len() - end].iter().all(u8::is_ascii_lowercase);
    is_apart && !is_value && first.is_ascii_alphabetic() && is_small && word.len() <= LONGEST_WORD
}
