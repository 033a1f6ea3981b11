//! Lines of an input that may be anything: none is held that is longer than the caller allows.

use std::io::{self, BufRead};

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// A line, without its line feed.
    Whole(Vec<u8>),
    /// More than is taken: it was skipped.
    TooLong,
    /// There is none left.
    End,
}

/// Reads up to the next line feed, keeping at most `limit` bytes.
pub fn read_line(input: &mut impl BufRead, limit: usize) -> io::Result<Line> {
    let mut line = Vec::new();
    let (mut long, mut any) = (false, false);
    loop {
        let piece = match input.fill_buf() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if piece.is_empty() {
            // A last line without a line feed is one, too.
            return Ok(match (any, long) {
                (false, _) => Line::End,
                (true, true) => Line::TooLong,
                (true, false) => Line::Whole(line),
            });
        }
        any = true;
        let end = piece.iter().position(|byte| *byte == b'\n');
        let text = &piece[..end.unwrap_or(piece.len())];
        if long || line.len() + text.len() > limit {
            long = true;
            line = Vec::new();
        } else {
            line.extend_from_slice(text);
        }
        let used = end.map_or(piece.len(), |at| at + 1);
        input.consume(used);
        if end.is_some() {
            return Ok(if long { Line::TooLong } else { Line::Whole(line) });
        }
    }
}
