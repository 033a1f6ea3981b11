//! Upstream's informational responses (1xx), copied while hyper reads past them.
//!
//! hyper's client tells of them, but without the reason and the case of names; so the bytes themselves are looked at,
//! from the moment the request goes out until the final head begins. Only looked at: what hyper reads stays as it is. A
//! head is passed on as upstream wrote it, without the headers that end at a proxy. 100 is not: it is for us, and the
//! client has its own from hyper. 101 is a final answer.
//!
//! Whoever doubts gives up: what is passed on is only what every parser reads as one head, and after anything else, and
//! after a head larger than we hold, nothing more is of this request. HTTP/1.1 only: hyper's HTTP/2 client reads past
//! informational responses without a word.

use bytes::Bytes;
use http::HeaderName;
use http::header;

use super::headers;
use super::outlet::{MOST_BYTES, ToClient};

/// How an informational response begins.
const START: &[u8] = b"HTTP/1.1 1";
const END: &[u8] = b"\r\n\r\n";

/// Looks at what upstream answers to one request.
pub(super) struct Interim {
    to_client: ToClient,
    /// Of a head that is not whole yet.
    held: Vec<u8>,
}

impl Interim {
    /// Passes what it finds on to this client.
    pub(super) fn new(to_client: ToClient) -> Self {
        Interim { to_client, held: Vec::new() }
    }

    /// Looks at the next bytes: whether those behind them are still of interest.
    pub(super) fn look(&mut self, bytes: &[u8]) -> bool {
        if self.held.is_empty() {
            let Some(rest) = self.take(bytes) else { return false };
            self.held.extend_from_slice(rest);
            return true;
        }
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(bytes);
        let Some(left) = self.take(&held).map(<[u8]>::len) else { return false };
        held.drain(..held.len() - left);
        self.held = held;
        true
    }

    /// Takes whole heads off the start of `bytes`, and returns what is left, which may become one.
    fn take<'a>(&self, mut bytes: &'a [u8]) -> Option<&'a [u8]> {
        loop {
            let start = bytes.len().min(START.len());
            if bytes[..start] != START[..start] {
                return None;
            }
            let Some(end) = bytes.windows(END.len()).position(|four| four == END) else {
                return (bytes.len() <= MOST_BYTES).then_some(bytes);
            };
            let (head, rest) = bytes.split_at(end + END.len());
            if head.len() > MOST_BYTES {
                return None;
            }
            match &head[START.len() - 1..START.len() + 2] {
                b"100" => {}
                b"101" => return None,
                _ => self.to_client.interim(passed_on(head)?),
            }
            bytes = rest;
        }
    }
}

/// A head as it goes to the client; `None` if it may be read in another way.
fn passed_on(head: &[u8]) -> Option<Bytes> {
    let mut lines = Vec::new();
    let mut rest = head.strip_suffix(END)?;
    while let Some(at) = rest.windows(2).position(|two| two == b"\r\n") {
        lines.push(&rest[..at]);
        rest = &rest[at + 2..];
    }
    lines.push(rest);
    // A lone CR or LF, too.
    let is_text = |b: &u8| *b == b'\t' || (*b >= b' ' && *b != 0x7f);
    if !lines.iter().all(|line| line.iter().all(is_text)) {
        return None;
    }
    let (status, fields) = lines.split_first()?;
    let [a, b, behind @ ..] = status.strip_prefix(START)? else { return None };
    if !(a.is_ascii_digit() && b.is_ascii_digit() && matches!(behind.first(), None | Some(b' '))) {
        return None;
    }
    let mut named = Vec::new();
    let mut fields =
        fields.iter().map(|line| name(line).map(|name| (name, *line))).collect::<Option<Vec<_>>>()?;
    for (_, line) in fields.iter().filter(|(name, _)| name == header::CONNECTION) {
        let value = &line[header::CONNECTION.as_str().len() + 1..];
        named.extend(
            value.split(|b| *b == b',').filter_map(|it| HeaderName::from_bytes(it.trim_ascii()).ok()),
        );
    }
    fields.retain(|(name, _)| {
        // There is no body: who believes a length would wait for one.
        !(headers::is_hop_by_hop(name) || named.contains(name) || name == header::CONTENT_LENGTH)
    });
    let mut out = Vec::with_capacity(head.len());
    for line in std::iter::once(status).chain(fields.iter().map(|(_, line)| line)) {
        out.extend_from_slice(line);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    Some(out.into())
}

/// A field's name, right up to the colon.
fn name(line: &[u8]) -> Option<HeaderName> {
    let colon = line.iter().position(|b| *b == b':')?;
    HeaderName::from_bytes(&line[..colon]).ok()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::super::outlet::Outlet;
    use super::*;

    /// What goes to the client of an upstream's bytes that come in these pieces, and whether more could.
    async fn passed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, bool) {
        let to_client = ToClient::default();
        let mut interim = Interim::new(to_client.clone());
        let open = pieces.into_iter().all(|piece| interim.look(piece));
        let (near, mut far) = tokio::io::duplex(64 << 10);
        let mut outlet = Outlet::new(near, to_client);
        outlet.flush().await.unwrap();
        drop(outlet);
        let mut got = Vec::new();
        far.read_to_end(&mut got).await.unwrap();
        (got, open)
    }

    const HINTS: &str =
        "HTTP/1.1 103  Early \u{e9}\r\nLink: </a>; rel=preload\r\nlink:  </b>\r\nX-Empty:\r\n\r\n";
    const BARE: &str = "HTTP/1.1 102\r\n\r\n";
    const FINAL: &str =
        "HTTP/1.1 200 OK\r\ncontent-length: 40\r\n\r\nHTTP/1.1 103 Body\r\nX: this is none\r\n\r\n";

    #[tokio::test]
    async fn heads_are_passed_on_as_they_are_wherever_they_are_cut() {
        let wire = [HINTS, "HTTP/1.1 100 Continue\r\nX: y\r\n\r\n", BARE, FINAL].concat();
        let want = [HINTS, BARE].concat();
        for at in 0..wire.len() {
            let (one, two) = wire.as_bytes().split_at(at);
            let pieces = [one, two].into_iter().filter(|piece| !piece.is_empty());
            assert_eq!(passed(pieces).await, (want.clone().into_bytes(), false), "{at}");
        }
        assert_eq!(passed(wire.as_bytes().chunks(1)).await, (want.into_bytes(), false));
        assert_eq!(passed([HINTS.as_bytes()]).await, (HINTS.into(), true), "more may come");
    }

    #[tokio::test]
    async fn an_ordinary_answer_is_looked_at_once() {
        for wire in [FINAL, "HTTP/1.1 2", "HTTP/1.0 103 Old\r\n\r\n", "HTTP/1.1 101 Up\r\n\r\n", "\r\n", "x"]
        {
            assert_eq!(passed([wire.as_bytes(), HINTS.as_bytes()]).await, (Vec::new(), false), "{wire:?}");
        }
    }

    #[tokio::test]
    async fn what_concerns_the_connection_ends_here() {
        let wire = "HTTP/1.1 103 Early\r\nConnection: close, X-Mine\r\nx-mine: 1\r\nContent-Length: 5\r\n\
                    Keep-Alive: 1\r\nLink: x\r\nTransfer-Encoding: chunked\r\nconnection:y\r\nY: 1\r\n\r\n";
        let want = "HTTP/1.1 103 Early\r\nLink: x\r\n\r\n";
        assert_eq!(passed([wire.as_bytes()]).await, (want.into(), true));
    }

    #[tokio::test]
    async fn what_may_be_read_in_another_way_is_not_passed_on_and_nothing_behind_it() {
        for wire in [
            "HTTP/1.1 103 Early\r\na: b\nc: d\r\n\r\n",
            "HTTP/1.1 103 Early\r\na: b\n\nHTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 103 Early\r\na: b\rc\r\n\r\n",
            "HTTP/1.1 103 Early\0\r\n\r\n",
            "HTTP/1.1 103 Early\r\na: b\r\n c\r\n\r\n",
            "HTTP/1.1 103 Early\r\na : b\r\n\r\n",
            "HTTP/1.1 103 Early\r\nno colon\r\n\r\n",
            "HTTP/1.1 103 Early\r\n: no name\r\n\r\n",
            "HTTP/1.1 1034 Early\r\n\r\n",
            "HTTP/1.1 1\r\n\r\n",
            "HTTP/1.1 1x3 Early\r\n\r\n",
        ] {
            assert_eq!(passed([wire.as_bytes(), HINTS.as_bytes()]).await, (Vec::new(), false), "{wire:?}");
        }
        let endless = format!("HTTP/1.1 103 Early\r\na: {}", "x".repeat(MOST_BYTES));
        assert_eq!(passed([endless.as_bytes(), b"\r\n\r\n", HINTS.as_bytes()]).await, (Vec::new(), false));
    }
}
