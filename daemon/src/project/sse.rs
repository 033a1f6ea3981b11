//! Server-sent events: a total parser over the raw bytes of a response.
//!
//! Any bytes parse: CR, LF and CRLF line ends, a byte order mark, comments, unknown fields, a last event that
//! was cut. Never allocates for an event's data unless it spans lines; never panics.

use std::borrow::Cow;
use std::ops::Range;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The `event` field, or empty.
    pub name: &'a [u8],
    /// The `data` fields, joined by newlines.
    pub data: Cow<'a, [u8]>,
    /// Where its bytes lie, the closing blank line included.
    pub range: Range<usize>,
}

/// Iterates over the complete events of a stream. A last event without its closing blank line is not an
/// event, as the specification has it: what the peer did not finish, it did not say.
#[derive(Clone, Debug)]
pub struct Events<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Events<'a> {
    /// Starts at the first byte of a response body.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Events { bytes, at: if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 } }
    }

    /// The next line without its end, and where the line after it starts. `None` at a line without an end.
    fn line(&self, from: usize) -> Option<(&'a [u8], usize)> {
        let rest = self.bytes.get(from..)?;
        let len = rest.iter().position(|b| matches!(b, b'\n' | b'\r'))?;
        let crlf = rest[len] == b'\r' && rest.get(len + 1) == Some(&b'\n');
        Some((&rest[..len], from + len + 1 + usize::from(crlf)))
    }
}

impl<'a> Iterator for Events<'a> {
    type Item = Event<'a>;

    fn next(&mut self) -> Option<Event<'a>> {
        let mut start = self.at;
        let mut next = self.at;
        let mut name: &[u8] = b"";
        let mut data: Option<Cow<'a, [u8]>> = None;
        loop {
            let (line, after) = self.line(next)?;
            next = after;
            if line.is_empty() {
                self.at = next;
                if let Some(data) = data.take() {
                    return Some(Event { name, data, range: start..next });
                }
                // Blank lines and comments alone make no event.
                start = next;
                name = b"";
                continue;
            }
            let (field, value) = field(line);
            match field {
                b"event" => name = value,
                b"data" => match &mut data {
                    None => data = Some(Cow::Borrowed(value)),
                    Some(so_far) => {
                        let so_far = so_far.to_mut();
                        so_far.push(b'\n');
                        so_far.extend_from_slice(value);
                    }
                },
                _ => {}
            }
        }
    }
}

/// A line's field, and its value.
fn field(line: &[u8]) -> (&[u8], &[u8]) {
    let (field, value) = match line.iter().position(|b| *b == b':') {
        Some(colon) => (&line[..colon], &line[colon + 1..]),
        None => (line, &b""[..]),
    };
    (field, value.strip_prefix(b" ").unwrap_or(value))
}

/// Where in the stream the values of an event's `data` fields lie: what [`Event::data`] joins. `event` is its range.
#[must_use]
pub fn data_lines(stream: &[u8], event: &Range<usize>) -> Vec<Range<usize>> {
    let lines = Events { bytes: stream.get(..event.end).unwrap_or(stream), at: event.start };
    let mut out = Vec::new();
    let mut at = event.start;
    while let Some((line, after)) = lines.line(at) {
        let (name, value) = field(line);
        if name == b"data" {
            let end = at + line.len();
            out.push(end - value.len()..end);
        }
        at = after;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(bytes: &[u8]) -> Vec<(String, String)> {
        Events::new(bytes)
            .map(|e| {
                (String::from_utf8_lossy(e.name).into_owned(), String::from_utf8_lossy(&e.data).into_owned())
            })
            .collect()
    }

    #[test]
    fn every_line_end_is_understood() {
        for end in ["\n", "\r\n", "\r"] {
            let text =
                ["event: a", "data: 1", "", ": comment", "", "data:2", "data: 3", "", "data: cut"].join(end);
            assert_eq!(
                all(text.as_bytes()),
                [("a".into(), "1".into()), (String::new(), "2\n3".into())],
                "{end:?}"
            );
        }
    }

    #[test]
    fn ranges_tile_the_stream() {
        let text = b"event: ping\ndata: {}\n\ndata: x\n\n";
        let ranges: Vec<_> = Events::new(text).map(|e| e.range).collect();
        assert_eq!(ranges, [0..22, 22..31]);
    }

    proptest! {
        #[test]
        fn any_bytes_parse_and_ranges_move_on(bytes in proptest::collection::vec(
            prop_oneof![Just(vec![b'\n']), Just(vec![b'\r']), Just(vec![b':']), Just(b"data:".to_vec()), any::<u8>().prop_map(|byte| vec![byte])], 0..200)) {
            let bytes = bytes.concat();
            let mut end = 0;
            for event in Events::new(&bytes) {
                prop_assert!(event.range.start >= end && event.range.end > event.range.start);
                end = event.range.end;
                let lines: Vec<&[u8]> =
                    data_lines(&bytes, &event.range).into_iter().map(|line| &bytes[line]).collect();
                prop_assert_eq!(lines.join(&b'\n'), event.data.as_ref());
            }
            prop_assert!(end <= bytes.len());
        }
    }
}
