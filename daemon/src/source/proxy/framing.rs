//! Where a request begins and ends, strictly: the one reading of it that every parser behind us agrees with.
//!
//! hyper's parser is lenient in places where others are not (a lone LF ends a line, a second equal `Content-Length` is
//! dropped, `Transfer-Encoding` beats `Content-Length`); such differences are what request smuggling is made of. What
//! could be read in two ways is refused here, before hyper sees a byte of it. Pure: no I/O, no clock.
//!
//! Invariant: whatever is accepted here as one message, hyper reads as the same one message. Everything that does not
//! concern where messages end (the method, the target, the values) is left to hyper.

use super::limits::Limits;

/// Longest line of a chunk's size with its extensions, and longest trailer section, in bytes. hyper's own limit for
/// each is the same.
const MAX_EXTRA: usize = 16 << 10;

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It can be read in more than one way, or in none.
    Malformed,
    /// It is larger than the limits allow.
    TooLarge,
    /// It was not whole in time.
    TooSlow,
}

/// How the end of a body is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// So many bytes are left.
    Sized(u64),
    /// By its chunks.
    Chunked(Chunks),
}

/// A chunked body cannot be read, or is too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadBody;

impl Body {
    /// How many of these next bytes belong to the body: all of them, unless it ends before.
    pub fn take(&mut self, bytes: &[u8], limit: u64) -> Result<usize, BadBody> {
        match self {
            Body::Sized(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                Ok(taken)
            }
            Body::Chunked(chunks) => chunks.take(bytes, limit),
        }
    }

    /// Whether nothing of it is left.
    #[must_use]
    pub fn is_done(&self) -> bool {
        match self {
            Body::Sized(left) => *left == 0,
            Body::Chunked(chunks) => chunks.state == At::Done,
        }
    }
}

/// Looks for a whole head at the start of `bytes`, of which `seen` were looked at before (and are counted up). The line
/// breaks that may precede a request line must be gone. `None`: not whole yet. Else its length, and the body behind it.
pub fn head(bytes: &[u8], seen: &mut usize, limits: &Limits) -> Result<Option<(usize, Body)>, Refusal> {
    while let Some(at) =
        bytes.get(*seen..).and_then(|rest| rest.iter().position(|b| matches!(b, 0 | b'\r' | b'\n')))
    {
        let at = *seen + at;
        if at + 2 > limits.head_bytes {
            return Err(Refusal::TooLarge);
        }
        match (bytes[at], bytes.get(at + 1)) {
            (b'\r', None) => {
                *seen = at;
                return Ok(None);
            }
            (b'\r', Some(b'\n')) => {}
            _ => return Err(Refusal::Malformed),
        }
        *seen = at + 2;
        if at >= 2 && bytes[at - 2..at] == *b"\r\n" {
            return body(&bytes[..at - 2], limits).map(|body| Some((at + 2, body)));
        }
    }
    *seen = bytes.len();
    if bytes.len() > limits.head_bytes { Err(Refusal::TooLarge) } else { Ok(None) }
}

/// The framing that a head's lines (without the empty one) declare.
fn body(head: &[u8], limits: &Limits) -> Result<Body, Refusal> {
    let mut lines = head.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let request_line = lines.next().unwrap_or_default();
    // The parser behind us drops a fragment from a target, silently; a request has none (RFC 9112, section 3.2).
    if request_line.contains(&b'#') {
        return Err(Refusal::Malformed);
    }
    let http_11 = request_line.ends_with(b" HTTP/1.1");
    let (mut length, mut chunked, mut fields) = (None, false, 0);
    for line in lines {
        fields += 1;
        if fields > limits.fields {
            return Err(Refusal::TooLarge);
        }
        let colon = line.iter().position(|b| *b == b':').ok_or(Refusal::Malformed)?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        // A line that continues the one before begins with a space; so does a space before the colon end a name.
        if name.is_empty() || !name.iter().all(|b| is_token(*b)) {
            return Err(Refusal::Malformed);
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
            let number = std::str::from_utf8(value).ok().filter(|_| digits).and_then(|n| n.parse().ok());
            let number: u64 = number.ok_or(Refusal::Malformed)?;
            if length.replace(number).is_some() {
                return Err(Refusal::Malformed);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            // Other codings than this one nobody sends, and few agree on.
            if !http_11 || chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Refusal::Malformed);
            }
            chunked = true;
        }
    }
    match (length, chunked) {
        (Some(_), true) => Err(Refusal::Malformed),
        (Some(length), false) => Ok(Body::Sized(length)),
        (None, true) => Ok(Body::Chunked(Chunks::default())),
        (None, false) => Ok(Body::Sized(0)),
    }
}

fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// Where in a chunked body we are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// In the digits of a chunk's size.
    #[default]
    Size,
    /// Behind them, before the end of the line.
    Extension,
    /// At the LF of that line.
    SizeEnd,
    /// In the chunk's bytes.
    Data,
    /// At the CR behind them.
    DataCr,
    /// At the LF behind them.
    DataLf,
    /// At the start of a line behind the last chunk.
    Trailer,
    /// In such a line.
    TrailerLine,
    /// At the LF of such a line.
    TrailerLf,
    /// At the LF of the empty line.
    LastLf,
    /// Behind it.
    Done,
}

/// Finds the end of a chunked body, piece by piece.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunks {
    state: At,
    /// Of the chunk.
    left: u64,
    /// Digits of the size read.
    digits: u8,
    /// Bytes of the line or the trailers.
    extra: usize,
    /// Of the body, framing left out.
    total: u64,
}

impl Chunks {
    fn take(&mut self, bytes: &[u8], limit: u64) -> Result<usize, BadBody> {
        let mut at = 0;
        while at < bytes.len() && self.state != At::Done {
            if self.state == At::Data {
                let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len() - at);
                (self.left, self.total, at) = (self.left - here as u64, self.total + here as u64, at + here);
                if self.total > limit {
                    return Err(BadBody);
                }
                if self.left == 0 {
                    self.state = At::DataCr;
                }
                continue;
            }
            self.state = self.step(bytes[at])?;
            at += 1;
        }
        Ok(at)
    }

    fn step(&mut self, b: u8) -> Result<At, BadBody> {
        self.extra += 1;
        if self.extra > MAX_EXTRA {
            return Err(BadBody);
        }
        match (self.state, b) {
            (At::Size, _) if b.is_ascii_hexdigit() && self.digits < 16 => {
                let digit = char::from(b).to_digit(16).map_or(0, u64::from);
                self.left = self.left << 4 | digit;
                self.digits += 1;
                Ok(At::Size)
            }
            (At::Size, b'\r') if self.digits > 0 => Ok(At::SizeEnd),
            (At::Size, b';' | b' ' | b'\t') if self.digits > 0 => Ok(At::Extension),
            (At::Extension, b'\r') => Ok(At::SizeEnd),
            (At::SizeEnd, b'\n') => {
                (self.digits, self.extra) = (0, 0);
                Ok(if self.left == 0 { At::Trailer } else { At::Data })
            }
            (At::DataCr, b'\r') => Ok(At::DataLf),
            (At::DataLf, b'\n') => {
                self.extra = 0;
                Ok(At::Size)
            }
            (At::Trailer, b'\r') => Ok(At::LastLf),
            (At::TrailerLine, b'\r') => Ok(At::TrailerLf),
            (At::TrailerLf, b'\n') => Ok(At::Trailer),
            (At::LastLf, b'\n') => Ok(At::Done),
            // A trailer that continues the one before would begin with a space.
            (At::Trailer, _) if is_token(b) => Ok(At::TrailerLine),
            (At::Extension | At::TrailerLine, _) if !matches!(b, 0 | b'\n') => Ok(self.state),
            _ => Err(BadBody),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Option<(usize, Body)>, Refusal> {
        head(text.as_bytes(), &mut 0, &Limits::DEFAULT)
    }

    fn framed(fields: &str) -> Result<Body, Refusal> {
        let text = format!("POST /x HTTP/1.1\r\nHost: h\r\n{fields}\r\nbehind");
        read(&text).map(|found| {
            let (length, body) = found.unwrap();
            assert_eq!(&text[length..], "behind");
            body
        })
    }

    #[test]
    fn what_can_be_read_in_one_way_is_taken() {
        assert_eq!(framed(""), Ok(Body::Sized(0)));
        assert_eq!(framed("content-LENGTH:\t12 \r\n"), Ok(Body::Sized(12)));
        assert_eq!(framed("Transfer-Encoding: Chunked\r\n"), Ok(Body::Chunked(Chunks::default())));
        assert_eq!(framed("x: \u{e9}\r\nempty:\r\n"), Ok(Body::Sized(0)));
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for fields in [
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
            "Content-Length: 1\r\nContent-Length: 1\r\n",
            "Content-Length: 1\r\ncontent-length: 2\r\n",
            "Content-Length: 1, 1\r\n",
            "Content-Length: +1\r\n",
            "Content-Length: -1\r\n",
            "Content-Length: 0x1\r\n",
            "Content-Length:\r\n",
            "Content-Length: 99999999999999999999999\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: identity\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: \u{b}chunked\r\n",
            "Content-Length : 1\r\n",
            "a: b\r\n c\r\n",
            "a: b\r\n\tc\r\n",
            " Content-Length: 1\r\n",
            "no colon\r\n",
            ": no name\r\n",
            "a: b\nContent-Length: 1\r\n",
            "a: b\rContent-Length: 1\r\n",
            "a: b\0\r\n",
            "a\0: b\r\n",
            "\n",
        ] {
            assert_eq!(framed(fields), Err(Refusal::Malformed), "{fields:?}");
        }
        let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(read(old), Err(Refusal::Malformed));
    }

    #[test]
    fn limits_hold_to_the_byte() {
        let limits = Limits { head_bytes: 40, fields: 2, ..Limits::DEFAULT };
        let of = |text: &str| head(text.as_bytes(), &mut 0, &limits);
        let exact = format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "x".repeat(17));
        assert_eq!(exact.len(), 40);
        assert!(matches!(of(&exact), Ok(Some((40, _)))));
        assert_eq!(of(&exact.replace("a: ", "a: y")), Err(Refusal::TooLarge));
        assert_eq!(of(&"x".repeat(41)), Err(Refusal::TooLarge));
        assert_eq!(of(&"x".repeat(40)), Ok(None));
        assert_eq!(of("GET / HTTP/1.1\r\na:\r\nb:\r\nc:\r\n\r\n"), Err(Refusal::TooLarge));
    }

    #[test]
    fn the_end_of_a_chunked_body_is_found() {
        for (text, body) in [
            ("0\r\n\r\n", 0),
            ("5\r\nhello\r\n0\r\n\r\n", 5),
            ("005;a=\"b\"\r\nhello\r\nA \r\n0123456789\r\n0\r\nx: y\r\nz:\r\n\r\n", 15),
        ] {
            let whole = format!("{text}GET /");
            let mut chunks = Chunks::default();
            assert_eq!(chunks.take(whole.as_bytes(), 100), Ok(text.len()), "{text:?}");
            assert!(chunks.state == At::Done && chunks.total == body, "{text:?}");
        }
        assert_eq!(Chunks::default().take(b"5\r\nhello\r\n", 4), Err(BadBody), "over the limit");
        for text in [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "5\nhello",
            "5\r\nhello0\r\n",
            "5\r\nhello\n0\r\n",
            "5;a\nb\r\n",
            " 5\r\n",
            "11111111111111111\r\n",
            "0\r\n x: y\r\n\r\n",
            "0\r\nx: y\n\r\n",
            "0x5\r\n",
            ";a\r\n",
            "0\r\n\n",
        ] {
            assert_eq!(Chunks::default().take(text.as_bytes(), 100), Err(BadBody), "{text:?}");
        }
        let endless = format!("1;{}", "x".repeat(MAX_EXTRA));
        assert_eq!(Chunks::default().take(endless.as_bytes(), 100), Err(BadBody));
    }

    fn chunked() -> impl Strategy<Value = Vec<u8>> {
        let chunk = prop::collection::vec(any::<u8>(), 1..40);
        (prop::collection::vec(chunk, 0..6), prop::collection::vec("[a-z]{1,5}: [ -~]{0,5}", 0..3)).prop_map(
            |(chunks, trailers)| {
                let mut out = Vec::new();
                for chunk in chunks {
                    out.extend(format!("{:x}\r\n", chunk.len()).bytes().chain(chunk).chain(*b"\r\n"));
                }
                out.extend(b"0\r\n");
                for line in trailers {
                    out.extend(format!("{line}\r\n").bytes());
                }
                out.extend(b"\r\n");
                out
            },
        )
    }

    proptest! {
        #[test]
        fn pieces_are_read_as_the_whole_is(
            text in "(POST / HTTP/1.1\r\n)?([a-zA-Z-]{1,6}: ?[ -~\r\n]{0,8}\r\n|Content-Length: 3\r\n){0,4}(\r\n)?.{0,9}",
            cuts in prop::collection::vec(0..60usize, 0..8),
        ) {
            let bytes = text.as_bytes();
            let whole = head(bytes, &mut 0, &Limits::DEFAULT);
            let mut ends: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            ends.sort_unstable();
            ends.push(bytes.len());
            let (mut seen, mut got) = (0, Ok(None));
            for end in ends {
                got = head(&bytes[..end], &mut seen, &Limits::DEFAULT);
                if got != Ok(None) {
                    break;
                }
            }
            prop_assert_eq!(got, whole);
        }

        #[test]
        fn a_chunked_body_ends_where_it_ends_however_it_is_cut(
            body in chunked(), behind in prop::collection::vec(any::<u8>(), 0..20), step in 1..50usize,
        ) {
            let all = [&body[..], &behind].concat();
            let (mut chunks, mut taken) = (Chunks::default(), 0);
            for piece in all.chunks(step) {
                let n = chunks.take(piece, u64::MAX).unwrap();
                taken += n;
                if n < piece.len() {
                    break;
                }
            }
            prop_assert_eq!(taken, body.len());
            prop_assert_eq!(chunks.state, At::Done);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = head(&bytes, &mut 0, &Limits::DEFAULT);
            let _ = Chunks::default().take(&bytes, 1000);
        }
    }
}
