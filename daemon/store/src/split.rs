//! Cuts a body into pieces along its own JSON structure, so that a body that repeats the previous one and adds a bit
//! (as each request of a conversation does) consists of the same pieces and a few new ones.
//!
//! * In a top-level object, each element of an array that is a direct member ends a piece; in a top-level array, each
//!   element does. What stands between (commas, keys, scalars) goes with the element that follows.
//! * An element of more than [`LARGE_ELEMENT`] bytes is cut again, after each element of the arrays that are its direct
//!   members (a message's `content`).
//! * Pieces shorter than [`MIN_PIECE`] grow into what follows; longer than [`MAX_PIECE`] are cut at that size.
//! * From where the body stops being JSON, or if it never was, pieces are [`MAX_PIECE`] long.
//!
//! It reads structure, never values, and keeps no tree: it cannot fail, and concatenating the pieces gives the body.
//!
//! Must never let what comes later in a body move a cut that lies before the end of the previous element: identical
//! prefixes give identical pieces. And it must stay as it is: other cuts would store known pieces again.

/// Pieces are at least this long, except the last.
pub(crate) const MIN_PIECE: usize = 64;
/// From this many pieces on, pieces are at least [`LATE_MIN_PIECE`] long: bounds the list for arrays of numbers.
const MANY_PIECES: usize = 4_096;
const LATE_MIN_PIECE: usize = 4_096;
/// Pieces are at most this long.
pub(crate) const MAX_PIECE: usize = 64 << 10;
/// Elements longer than this are cut along their own arrays.
const LARGE_ELEMENT: usize = 4 << 10;
/// Objects and arrays are told apart down to this depth; deeper ones are only counted.
const TRACKED: usize = 4;

/// The end offsets of the pieces of `body`, ascending; the last is its length. Empty for an empty body.
pub(crate) fn split(body: &[u8]) -> Vec<usize> {
    let mut cutter = Cutter { start: 0, ends: Vec::new() };
    scan(body, &mut cutter);
    cutter.finish(body.len())
}

/// Turns wished cuts into pieces of sensible sizes.
struct Cutter {
    start: usize,
    ends: Vec<usize>,
}

impl Cutter {
    fn cut(&mut self, at: usize) {
        self.chop(at);
        let least = if self.ends.len() < MANY_PIECES { MIN_PIECE } else { LATE_MIN_PIECE };
        if at >= self.start + least {
            self.push(at);
        }
    }

    fn chop(&mut self, at: usize) {
        while at > self.start + MAX_PIECE {
            self.push(self.start + MAX_PIECE);
        }
    }

    fn push(&mut self, end: usize) {
        self.ends.push(end);
        self.start = end;
    }

    fn finish(mut self, len: usize) -> Vec<usize> {
        self.chop(len);
        if len > self.start {
            self.push(len);
        }
        self.ends
    }
}

/// Finds the ends of elements, until the top-level value ends or the bytes cannot be JSON.
fn scan(body: &[u8], cutter: &mut Cutter) {
    let Some(root) = body.iter().position(|b| !b.is_ascii_whitespace()) else { return };
    // The depths at which a comma separates the elements we are after.
    let (outer, inner) = match body[root] {
        b'{' => (2, 4),
        b'[' => (1, 3),
        _ => return,
    };
    let mut opened = [0_u8; TRACKED + 1];
    let mut depth = 0;
    let mut element = 0;
    let mut nested: Vec<usize> = Vec::new();
    let mut at = root;
    while let Some(&byte) = body.get(at) {
        match byte {
            b'"' => match string_end(body, at) {
                Some(end) => at = end,
                None => return,
            },
            b'{' | b'[' => {
                depth += 1;
                if let Some(slot) = opened.get_mut(depth) {
                    *slot = byte;
                }
            }
            b',' | b']' | b'}' => {
                let open = opened.get(depth).copied().unwrap_or_default();
                if open == b'[' && depth == inner {
                    if nested.last().is_none_or(|last| at >= last + MIN_PIECE) {
                        nested.push(at);
                    }
                } else if open == b'[' && depth == outer {
                    if at - element > LARGE_ELEMENT {
                        for &end in &nested {
                            cutter.cut(end);
                        }
                    }
                    nested.clear();
                    cutter.cut(at);
                    element = at;
                }
                if byte != b',' {
                    let fits = depth > TRACKED || open == if byte == b']' { b'[' } else { b'{' };
                    if !fits || depth == 0 {
                        return;
                    }
                    depth -= 1;
                    if depth == 0 {
                        return;
                    }
                }
            }
            _ => {}
        }
        at += 1;
    }
}

/// The offset of the quote that closes the string opened at `open`.
fn string_end(body: &[u8], open: usize) -> Option<usize> {
    let mut at = open + 1;
    loop {
        at += body.get(at..)?.iter().position(|b| matches!(b, b'"' | b'\\'))?;
        if body[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

#[cfg(test)]
#[path = "split_tests.rs"]
mod tests;
