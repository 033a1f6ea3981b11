//! A long input, a stretch at a time: as a whole where it is short, else cut at lines' ends and not within a key block.
//!
//! Must never hold more than [`MOST`] bytes and what one read brings.

use std::io::{self, Read};

/// What is looked at as a whole.
pub(crate) const MOST: usize = 16 << 20;
/// How far back of its end a stretch is cut.
const BACK: usize = 1 << 20;
/// The longest key block.
const KEY: usize = 64 << 10;

/// Reads stretches of at least so many bytes, but for the last.
pub(crate) struct Stretches<R> {
    input: R,
    least: usize,
    held: Vec<u8>,
    ended: bool,
}

impl<R: Read> Stretches<R> {
    /// `least` is at most [`MOST`].
    pub(crate) fn new(input: R, least: usize) -> Self {
        Stretches { input, least: least.min(MOST), held: Vec::new(), ended: false }
    }

    /// The next stretch, never empty. None at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut least = self.least;
        loop {
            while !self.ended && self.held.len() < least {
                let wanted = u64::try_from(least - self.held.len()).unwrap_or(u64::MAX);
                self.ended = self.input.by_ref().take(wanted).read_to_end(&mut self.held)? == 0;
            }
            if self.held.is_empty() {
                return Ok(None);
            }
            if self.ended {
                return Ok(Some(std::mem::take(&mut self.held)));
            }
            if let Some(end) = cut(&self.held, self.held.len() >= MOST) {
                let rest = self.held.split_off(end);
                return Ok(Some(std::mem::replace(&mut self.held, rest)));
            }
            least = (self.held.len() * 2).min(MOST);
        }
    }
}

/// Where a stretch ends: behind a blank line, else a line, else, if it must, a word.
fn cut(bytes: &[u8], must: bool) -> Option<usize> {
    let low = bytes.len() - (bytes.len() / 2).min(BACK);
    let part = &bytes[low..];
    let line = rfind(part, b"\n\n").map(|at| at + 2).or_else(|| rfind(part, b"\n").map(|at| at + 1));
    if let Some(line) = line {
        let end = low + line;
        let before = &bytes[end.saturating_sub(KEY)..end];
        let open = rfind(before, b"-----BEGIN").filter(|open| rfind(&before[*open..], b"-----END").is_none());
        let end = open.map_or(end, |open| end - (before.len() - open));
        if end > 0 {
            return Some(end);
        }
    }
    if !must {
        return None;
    }
    let blank = part.iter().rposition(|byte| matches!(byte, b' ' | b'\t' | b',' | b';' | b'"'));
    // Not within a character.
    let any = || (low + 1..bytes.len()).rev().find(|at| bytes[*at] & 0xc0 != 0x80).unwrap_or(bytes.len());
    Some(blank.map_or_else(any, |at| low + at + 1))
}

fn rfind(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).rposition(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretches(bytes: &[u8], least: usize) -> Vec<Vec<u8>> {
        let mut stretches = Stretches::new(bytes, least);
        std::iter::from_fn(|| stretches.next().unwrap()).collect()
    }

    #[test]
    fn nothing_is_lost_and_lines_stay_whole() {
        let text = "a line of text\nand one more\n\n".repeat(1000);
        for least in [1, 30, 100, 5000, MOST] {
            let got = stretches(text.as_bytes(), least);
            assert_eq!(got.concat(), text.as_bytes());
            assert!(got.iter().all(|one| one.ends_with(b"\n")), "{least}");
        }
        assert_eq!(stretches(b"", 10).len(), 0);
        assert_eq!(stretches(&[b'x'; 100], 10).len(), 1, "a line is not cut while there is room");
        let long = vec![b'x'; MOST + 100];
        assert_eq!(stretches(&long, 10).concat(), long);
    }

    #[test]
    fn a_key_block_is_not_cut() {
        let key =
            format!("-----{} PRIVATE KEY-----\n{}-----END PRIVATE KEY-----\n", "BEGIN", "abcd\n".repeat(40));
        for before in 0..60 {
            let text = format!("{}{key}after\n", "line\n".repeat(before));
            let got = stretches(text.as_bytes(), 200);
            let whole = got.iter().any(|one| one.windows(key.len()).any(|part| part == key.as_bytes()));
            assert!(whole || got.len() == 1, "{before}");
            assert_eq!(got.concat(), text.as_bytes());
        }
    }
}
