//! A text as a reader further in would see it: one layer of escapes, URL encoding, entities and terminal colours taken
//! off, or its wrapped lines joined; and the way back from a place in it to the source.
//!
//! A credential may lie in JSON in a string of JSON in a request's body. It is looked for in every layer, and taken out of
//! the outermost, whole escapes at a time, so that what was well-formed stays so.

use std::ops::Range;

/// A text made of another, with the way back.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) text: String,
    /// Pieces in order, as (start here, start in the source, end there). A piece is as long here as in the source, or it is
    /// one escape, which is shorter here. What stands for nothing is in no piece.
    pieces: Vec<(usize, usize, usize)>,
}

impl View {
    /// The range of the source that a range of the view was made of; whole escapes.
    pub(crate) fn source(&self, range: &Range<usize>) -> Range<usize> {
        let start = self.place(range.start).0;
        let end = if range.end > range.start { self.place(range.end - 1).1 } else { start };
        start..end.max(start)
    }

    /// The source of one byte.
    fn place(&self, at: usize) -> (usize, usize) {
        let piece = self.pieces.partition_point(|piece| piece.0 <= at).saturating_sub(1);
        let Some(&(here, there, end)) = self.pieces.get(piece) else { return (at, at) };
        if self.here_end(piece) - here == end - there {
            (there + (at - here), there + (at - here) + 1)
        } else {
            (there, end)
        }
    }

    /// The range of the view that a range of the source became; whole escapes.
    pub(crate) fn within(&self, range: &Range<usize>) -> Range<usize> {
        let start = {
            let piece = self.pieces.partition_point(|piece| piece.2 <= range.start);
            match self.pieces.get(piece) {
                None => self.text.len(),
                Some(&(here, there, end)) => {
                    let whole = self.here_end(piece) - here == end - there;
                    if whole && range.start > there { here + (range.start - there) } else { here }
                }
            }
        };
        let end = {
            let after = self.pieces.partition_point(|piece| piece.1 < range.end);
            match after.checked_sub(1).map(|piece| (piece, self.pieces[piece])) {
                None => 0,
                Some((piece, (here, there, end))) => {
                    let whole = self.here_end(piece) - here == end - there;
                    if whole && range.end < end { here + (range.end - there) } else { self.here_end(piece) }
                }
            }
        };
        start..end.max(start)
    }

    fn here_end(&self, piece: usize) -> usize {
        self.pieces.get(piece + 1).map_or(self.text.len(), |next| next.0)
    }

    fn plain(&mut self, source: &str, range: Range<usize>) {
        if !range.is_empty() {
            self.pieces.push((self.text.len(), range.start, range.end));
            self.text.push_str(&source[range]);
        }
    }

    fn escape(&mut self, range: Range<usize>, stands_for: &str) {
        if !stands_for.is_empty() {
            self.pieces.push((self.text.len(), range.start, range.end));
            self.text.push_str(stands_for);
        }
    }

    /// One layer taken off. None where there is nothing to take off.
    pub(crate) fn peeled(source: &str) -> Option<View> {
        let bytes = source.as_bytes();
        let mut view = View::default();
        let mut done = 0;
        let mut at = 0;
        let mut specials = Specials::new(bytes);
        while let Some(found) = specials.next(at) {
            at = found;
            let Some((len, stands_for)) = escape_at(source, at) else {
                at += 1;
                continue;
            };
            if view.pieces.is_empty() {
                view.text.reserve(source.len());
            }
            view.plain(source, done..at);
            view.escape(at..at + len, stands_for.as_str());
            at += len;
            done = at;
        }
        if done == 0 {
            return None;
        }
        view.plain(source, done..source.len());
        Some(view)
    }

    /// The content of a string of JSON, with its escapes taken off. None where it has none.
    pub(crate) fn of_json(content: &str) -> Option<View> {
        let bytes = content.as_bytes();
        let mut at = memchr::memchr(b'\\', bytes)?;
        let mut view = View { text: String::with_capacity(content.len()), pieces: Vec::new() };
        let mut done = 0;
        loop {
            let (len, stands_for) = match bytes.get(at + 1) {
                Some(b'u') => match escape_at(content, at) {
                    Some((_, stands_for)) => match surrogates(content, at) {
                        Some(character) => (12, Stands::one(character)),
                        None => (6, stands_for),
                    },
                    None => (2, Stands::one('u')),
                },
                Some(b'n') => (2, Stands::one('\n')),
                Some(b't') => (2, Stands::one('\t')),
                Some(b'r') => (2, Stands::one('\r')),
                Some(b'b' | b'f') => (2, Stands::one(' ')),
                Some(byte) if byte.is_ascii() => (2, Stands::one(char::from(*byte))),
                _ => (1, Stands::one('\\')),
            };
            view.plain(content, done..at);
            view.escape(at..at + len, stands_for.as_str());
            done = at + len;
            match memchr::memchr(b'\\', &bytes[done..]) {
                Some(next) => at = done + next,
                None => break,
            }
        }
        view.plain(content, done..content.len());
        Some(view)
    }

    /// The lines joined, without what viewers put before each: numbers, marks of a diff, quotes, indentation. None where
    /// there is one line.
    pub(crate) fn joined(source: &str) -> Option<View> {
        memchr::memchr(b'\n', source.as_bytes())?;
        let mut view = View::default();
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', source.as_bytes()).chain([source.len()]) {
            let line = &source[start..end];
            let from = if start == 0 { 0 } else { before_line(line) };
            let kept = line.trim_end_matches(['\r', ' ', '\\', '"', '\'', '+']).len();
            view.plain(source, start + from.min(kept)..start + kept);
            start = end + 1;
        }
        Some(view)
    }
}

/// How many bytes at the start of a line were put there by a viewer: `     5→`, `12:`, `+`, `> `, indentation.
pub(crate) fn before_line(line: &str) -> usize {
    let bytes = line.as_bytes();
    let blank = |mut at: usize| {
        while bytes.get(at).is_some_and(|b| matches!(b, b' ' | b'\t')) {
            at += 1;
        }
        at
    };
    let mut at = blank(0);
    let number = bytes[at..].iter().take_while(|b| b.is_ascii_digit()).count();
    if number > 0 && number <= 7 {
        let after = at + number;
        let arrow = "\u{2192}".as_bytes();
        if bytes[after..].starts_with(arrow) {
            at = blank(after + arrow.len());
        } else if bytes.get(after).is_some_and(|b| matches!(b, b'\t' | b'|' | b':'))
            || (bytes[after..].starts_with(b" |") || (at > 0 && bytes[after..].starts_with(b"  ")))
        {
            at = blank(after + 1);
            if bytes.get(at) == Some(&b'|') {
                at = blank(at + 1);
            }
        }
    }
    if bytes.get(at).is_some_and(|b| matches!(b, b'+' | b'-' | b'>' | b'|' | b'#' | b'*' | b'"' | b'\''))
        && bytes.get(at + 1) != Some(&b'-')
    {
        at = blank(at + 1);
    }
    at
}

/// The character that two escapes stand for together.
fn surrogates(source: &str, at: usize) -> Option<char> {
    let half = |from: usize| {
        let digits = source.get(from..from + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let (first, second) = (half(at)?, half(at + 6)?);
    if !(0xd800..0xdc00).contains(&first) {
        return None;
    }
    char::decode_utf16([first, second]).next()?.ok()
}

/// Places where an escape may begin, in order.
struct Specials<'a> {
    bytes: &'a [u8],
    /// The next backslash, percent sign or escape character; and the next ampersand. Each is looked for once.
    first: Option<usize>,
    and: Option<usize>,
}

impl<'a> Specials<'a> {
    fn new(bytes: &'a [u8]) -> Specials<'a> {
        let first = memchr::memchr3(b'\\', b'%', 0x1b, bytes);
        Specials { bytes, first, and: memchr::memchr(b'&', bytes) }
    }

    /// The next that is at this place or behind it.
    fn next(&mut self, at: usize) -> Option<usize> {
        let rest = self.bytes.get(at..)?;
        if self.first.is_some_and(|first| first < at) {
            self.first = memchr::memchr3(b'\\', b'%', 0x1b, rest).map(|found| found + at);
        }
        if self.and.is_some_and(|and| and < at) {
            self.and = memchr::memchr(b'&', rest).map(|found| found + at);
        }
        match (self.first, self.and) {
            (Some(first), Some(and)) => Some(first.min(and)),
            (first, and) => first.or(and),
        }
    }
}

/// The text that an escape stands for: at most one character.
struct Stands {
    buffer: [u8; 4],
    len: usize,
}

impl Stands {
    fn nothing() -> Stands {
        Stands { buffer: [0; 4], len: 0 }
    }

    fn one(character: char) -> Stands {
        let mut buffer = [0; 4];
        let len = character.encode_utf8(&mut buffer).len();
        Stands { buffer, len }
    }

    fn as_str(&self) -> &str {
        str::from_utf8(&self.buffer[..self.len]).unwrap_or_default()
    }
}

/// The length of the escape at a place and what it stands for.
fn escape_at(source: &str, at: usize) -> Option<(usize, Stands)> {
    let bytes = source.as_bytes();
    let hex = |from: usize, len: usize| -> Option<u32> {
        let digits = source.get(from..from + len)?;
        if digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            u32::from_str_radix(digits, 16).ok()
        } else {
            None
        }
    };
    match bytes[at] {
        b'\\' => match *bytes.get(at + 1)? {
            b'n' => Some((2, Stands::one('\n'))),
            b't' => Some((2, Stands::one('\t'))),
            b'r' => Some((2, Stands::one('\r'))),
            b'b' | b'f' => Some((2, Stands::one(' '))),
            b'e' => Some((2, Stands::one('\u{1b}'))),
            quoted @ (b'"' | b'\'' | b'/' | b'\\' | b'`' | b'$' | b'!' | b'&' | b'@' | b'#') => {
                Some((2, Stands::one(char::from(quoted))))
            }
            b'\n' => Some((2, Stands::nothing())),
            b'0' if bytes[at + 1..].starts_with(b"033[") => Some((4, Stands::one('\u{1b}'))),
            b'u' => hex(at + 2, 4).map(|code| (6, Stands::one(char::from_u32(code).unwrap_or('\u{fffd}')))),
            b'x' => hex(at + 2, 2)
                .filter(|code| *code < 0x80)
                .and_then(char::from_u32)
                .map(|c| (4, Stands::one(c))),
            _ => None,
        },
        b'%' => {
            let code = hex(at + 1, 2).filter(|code| (0x20..0x7f).contains(code) || *code == 0x0a)?;
            Some((3, Stands::one(char::from_u32(code)?)))
        }
        0x1b => Some((terminal(&bytes[at..]), Stands::nothing())),
        b'&' => entity(&source[at..]),
        _ => None,
    }
}

/// The length of a terminal's control sequence.
fn terminal(bytes: &[u8]) -> usize {
    match bytes.get(1) {
        Some(b'[') => {
            let len = bytes[2..].iter().take(64).take_while(|b| (0x20..0x40).contains(*b)).count();
            let last = bytes.get(2 + len).is_some_and(|b| (0x40..0x7f).contains(b));
            2 + len + usize::from(last)
        }
        Some(b']') => {
            let len = bytes[2..].iter().take(512).take_while(|b| !matches!(b, 0x07 | 0x1b | b'\n')).count();
            let bell = bytes.get(2 + len) == Some(&0x07);
            // Bytes of a character are passed over whole or not at all.
            if bytes[2..2 + len].is_ascii() { 2 + len + usize::from(bell) } else { 1 }
        }
        Some(byte) if (0x40..0x60).contains(byte) => 2,
        _ => 1,
    }
}

fn entity(rest: &str) -> Option<(usize, Stands)> {
    for (name, character) in [("&quot;", '"'), ("&amp;", '&'), ("&lt;", '<'), ("&gt;", '>'), ("&apos;", '\'')]
    {
        if rest.starts_with(name) {
            return Some((name.len(), Stands::one(character)));
        }
    }
    let number = rest.strip_prefix("&#")?;
    let (digits, radix) = match number.strip_prefix(['x', 'X']) {
        Some(hex) => (hex, 16),
        None => (number, 10),
    };
    let len = digits.bytes().take(6).take_while(u8::is_ascii_hexdigit).count();
    if digits.as_bytes().get(len) != Some(&b';') {
        return None;
    }
    let code = u32::from_str_radix(&digits[..len], radix).ok()?;
    let whole = rest.len() - digits.len() + len + 1;
    Some((whole, Stands::one(char::from_u32(code).filter(|c| !c.is_control() || *c == '\n')?)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn peeled(text: &str) -> String {
        View::peeled(text).map_or_else(|| text.to_owned(), |view| view.text)
    }

    #[test]
    fn one_layer_comes_off() {
        assert_eq!(peeled(r#"a\"b\nc\u002dd\/e"#), "a\"b\nc-d/e");
        assert_eq!(peeled(r#"{\\\"a\\\":1}"#), r#"{\"a\":1}"#);
        assert_eq!(peeled("a%2Db%3a 100% %zz"), "a-b: 100% %zz");
        assert_eq!(peeled("PASS\u{1b}[0m=\u{1b}[1;32mx"), "PASS=x");
        assert_eq!(peeled("a=&quot;b&amp;c&#x2d;&#45;d&nbsp;"), "a=\"b&c--d&nbsp;");
        assert_eq!(peeled("C:\\Users\\Zed \\"), "C:\\Users\\Zed \\");
        assert!(View::peeled("nothing here").is_none());
    }

    #[test]
    fn a_range_leads_back_to_whole_escapes() {
        let source = r#"x\u0041b\"c"#;
        let view = View::peeled(source).expect("escapes");
        assert_eq!(view.text, "xAb\"c");
        assert_eq!(&source[view.source(&(1..3))], r"\u0041b");
        assert_eq!(&source[view.source(&(2..4))], r#"b\""#);
        assert_eq!(&source[view.source(&(0..5))], source);
    }

    #[test]
    fn lines_are_joined_without_what_a_viewer_put_there() {
        let view = View::joined("key=abc\n     5\u{2192}def\n+ ghi\n> jkl").expect("lines");
        assert_eq!(view.text, "key=abcdefghijkl");
        let source = "ab\n  12\tcd";
        let view = View::joined(source).expect("lines");
        assert_eq!(view.text, "abcd");
        assert_eq!(&source[view.source(&(1..3))], "b\n  12\tc");
    }

    proptest! {
        #[test]
        fn every_range_of_a_view_is_a_range_of_the_source(text in r#"([a-z\\"%&\x1bé\n]|\\u00[0-9a-f]{2}|%[0-9A-F]{2}|&quot;|\x1b\[1m){0,40}"#, a in 0usize..60, b in 0usize..60) {
            for view in [View::peeled(&text), View::joined(&text)].into_iter().flatten() {
                let (a, b) = (a.min(view.text.len()), b.min(view.text.len()));
                let range = a.min(b)..a.max(b);
                if view.text.is_char_boundary(range.start) && view.text.is_char_boundary(range.end) {
                    let there = view.source(&range);
                    prop_assert!(text.get(there).is_some(), "{text:?} {range:?}");
                }
            }
        }
    }
}
