//! Reads a transcript: where to go on, and the next stretch of whole lines.
//!
//! Must never wait for what is no file, hold more than one stretch, or take half a line for a whole one.

use std::fs::File;
use std::io::{Error, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use fs_err::os::unix::fs::OpenOptionsExt;

use super::discover::Stat;
use crate::ingest::cursors::{Cursor, keyed_tail};
use crate::ingest::record::first16;
use crate::ingest::scrub::IdKey;

/// A stretch is cut at the last line end before this size.
pub const STRETCH: usize = 1 << 20;
/// A line of more than this is not taken, whatever is configured: a record holds it whole.
pub const LONGEST_LINE: u64 = 60 << 20;
/// How far beyond a line that is too long its end is looked for at a time.
const SKIP: usize = 256 << 10;

/// Opens a file of ours that is one.
pub fn open(path: &Path) -> std::io::Result<(File, Stat)> {
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_NOCTTY;
    let file = fs_err::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "no regular file"));
    }
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(Error::new(ErrorKind::PermissionDenied, "another user's file"));
    }
    Ok((file.into_file(), Stat::of(&meta)))
}

/// Whether the bytes before a cursor are those that were taken.
pub fn fits(file: &File, size: u64, cursor: &Cursor, key: &IdKey) -> std::io::Result<bool> {
    let len = u64::from(cursor.tail_len);
    if cursor.offset > size || len > cursor.offset || (len == 0 && cursor.offset > 0) {
        return Ok(false);
    }
    let mut tail = vec![0; cursor.tail_len as usize];
    match file.read_exact_at(&mut tail, cursor.offset - len) {
        Ok(()) => Ok(first16(blake3::hash(&tail)) == cursor.tail || keyed_tail(key, &tail).1 == cursor.tail),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Where the next whole lines are.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// These bytes, from this place on.
    Lines {
        /// Where they begin.
        offset: u64,
        /// Whole lines, the last of which may lack its line end.
        bytes: Vec<u8>,
        /// Lines before them that were too long.
        skipped: u64,
    },
    /// Nothing but the beginning of a line, or nothing at all.
    Nothing {
        /// Bytes of a line that is not whole.
        partial: u64,
        /// Where the next line begins: further on, where lines were too long.
        offset: u64,
        /// Lines that were too long.
        skipped: u64,
    },
}

/// Reads on from `offset`. `quiet`: nobody has written for a while, so that a last line without its end is taken, if it
/// is whole.
pub fn next(file: &File, mut offset: u64, longest: u64, quiet: bool) -> std::io::Result<Next> {
    let longest = usize::try_from(longest.min(LONGEST_LINE)).unwrap_or(STRETCH).max(1);
    let mut skipped = 0;
    let mut bytes = Vec::new();
    let mut want = STRETCH;
    loop {
        let before = bytes.len();
        let ended = fill(file, offset, want, &mut bytes)?;
        if let Some(end) = bytes[before..].iter().rposition(|b| *b == b'\n') {
            bytes.truncate(before + end + 1);
            return Ok(Next::Lines { offset, bytes, skipped });
        }
        if ended {
            let partial = bytes.len() as u64;
            // A client that was killed, or a copy that was cut.
            let whole = quiet && partial > 0 && is_object(&bytes);
            return Ok(if whole && bytes.len() <= longest {
                Next::Lines { offset, bytes, skipped }
            } else {
                Next::Nothing { partial, offset, skipped }
            });
        }
        if bytes.len() < longest {
            want = bytes.len().saturating_mul(2).min(longest.max(STRETCH));
            if want > bytes.len() {
                continue;
            }
        }
        // Too long: it is gone past, and told.
        match line_end(file, offset + bytes.len() as u64)? {
            Some(end) => {
                offset = end;
                skipped += 1;
                bytes.clear();
                want = STRETCH;
            }
            None => return Ok(Next::Nothing { partial: bytes.len() as u64, offset, skipped }),
        }
    }
}

/// Reads until there are `want` bytes; true at the file's end.
fn fill(file: &File, offset: u64, want: usize, bytes: &mut Vec<u8>) -> std::io::Result<bool> {
    let (have, mut file) = (bytes.len(), file);
    let size = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(offset + have as u64))?;
    // As much as there is, and one byte to see the end: most files are far smaller than a stretch.
    let left = usize::try_from(size.saturating_sub(offset)).unwrap_or(want);
    bytes.reserve_exact(left.saturating_add(1).min(want).saturating_sub(have));
    file.take((want - have) as u64).read_to_end(bytes)?;
    Ok(bytes.len() < want)
}

/// Where the line after this place begins.
fn line_end(file: &File, mut at: u64) -> std::io::Result<Option<u64>> {
    let mut piece = Vec::new();
    loop {
        piece.clear();
        let ended = fill(file, at, SKIP, &mut piece)?;
        if let Some(end) = piece.iter().position(|b| *b == b'\n') {
            return Ok(Some(at + end as u64 + 1));
        }
        if ended {
            return Ok(None);
        }
        at += piece.len() as u64;
    }
}

/// Whether these bytes are one whole JSON object.
pub(super) fn is_object(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"{")
        && serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn half_a_line_waits_unless_it_is_whole() {
        let f = file(b"{\"a\":1}\n{\"b\":2}");
        let Next::Lines { offset: 0, bytes, skipped: 0 } = next(&f, 0, 1 << 20, false).unwrap() else {
            panic!()
        };
        assert_eq!(bytes, b"{\"a\":1}\n");
        assert_eq!(next(&f, 8, 1 << 20, false).unwrap(), Next::Nothing { partial: 7, offset: 8, skipped: 0 });
        assert!(matches!(next(&f, 8, 1 << 20, true).unwrap(), Next::Lines { offset: 8, .. }));
        for half in [&b"{\"b\":"[..], b"null", b"{} {"] {
            assert!(matches!(next(&file(half), 0, 1 << 20, true).unwrap(), Next::Nothing { .. }), "{half:?}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_gone_past_and_told() {
        let long = vec![b'x'; 3 * STRETCH];
        let whole = [&long[..], b"\n{}\n"].concat();
        let f = file(&whole);
        let Next::Lines { offset, bytes, skipped } = next(&f, 0, 1000, false).unwrap() else { panic!() };
        assert_eq!((offset, &bytes[..], skipped), (long.len() as u64 + 1, &b"{}\n"[..], 1));
        let Next::Lines { offset: 0, bytes, skipped: 0 } = next(&f, 0, 4 << 20, false).unwrap() else {
            panic!()
        };
        assert_eq!(bytes.len(), whole.len());
        assert!(matches!(
            next(&file(&long), 0, 1000, true).unwrap(),
            Next::Nothing { skipped: 0, offset: 0, .. }
        ));
    }

    proptest! {
        #[test]
        fn stretches_are_the_file_as_far_as_its_lines_go(
            lines in proptest::collection::vec("[a-z]{0,40}", 0..60),
            rest in "[a-z]{0,10}",
        ) {
            let whole = lines.iter().flat_map(|line| [line, "\n"]).collect::<String>();
            let f = file(format!("{whole}{rest}").as_bytes());
            let (mut at, mut got) = (0, Vec::new());
            while let Next::Lines { offset, bytes, .. } = next(&f, at, 1 << 20, false).unwrap() {
                prop_assert_eq!(offset, at);
                at += bytes.len() as u64;
                let cursor = Cursor::behind(0, 0, offset, &bytes);
                let key = IdKey::new([1; 32]);
                prop_assert!(fits(&f, whole.len() as u64, &cursor, &key).unwrap());
                prop_assert!(!fits(&f, at - 1, &cursor, &key).unwrap());
                let (tail_len, tail) = keyed_tail(&key, &bytes);
                let keyed = Cursor { tail_len, tail, ..cursor };
                prop_assert!(fits(&f, whole.len() as u64, &keyed, &key).unwrap());
                prop_assert!(!fits(&f, whole.len() as u64, &keyed, &IdKey::new([2; 32])).unwrap());
                got.extend(bytes);
            }
            prop_assert_eq!(got, whole.as_bytes());
        }
    }
}
