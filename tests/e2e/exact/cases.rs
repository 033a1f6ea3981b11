//! Exchanges made at random: everything that HTTP/1.1 allows and that somebody may send one day.

use std::io::Write;

use ccd_tests::harness::raw::bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::client::{Body, Request, chunk, last_chunk, short};
use super::origin::{Cut, Script, Step};

/// How a response's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Sized,
    Chunked,
    /// By the end of the connection.
    Close,
}

/// A response, in Latin-1.
#[derive(Clone)]
pub(crate) struct Response {
    /// Heads of informational responses that come first, as they are on the wire. Not over HTTP/2.
    pub(crate) interim: Vec<String>,
    pub(crate) status: u16,
    pub(crate) reason: &'static str,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) framing: Framing,
    /// As they are on the wire, compressed where the headers say so.
    pub(crate) pieces: Vec<Vec<u8>>,
    pub(crate) trailers: Vec<(String, String)>,
    /// Upstream closes the connection when it is done, and says so.
    pub(crate) closes: bool,
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pieces: Vec<_> = self.pieces.iter().map(|piece| short(piece)).collect();
        let Response { interim, status, reason, headers, framing, trailers, closes, .. } = self;
        write!(
            f,
            "{interim:?} {status} {reason:?} {headers:?} {framing:?} {pieces:?} trailers {trailers:?} closes {closes}"
        )
    }
}

/// One exchange.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) request: Request,
    pub(crate) response: Response,
}

impl Case {
    /// Whether the connection is over after this one.
    pub(crate) fn is_last(&self) -> bool {
        self.response.closes || (self.response.framing == Framing::Close && !self.bodiless())
    }

    pub(crate) fn bodiless(&self) -> bool {
        self.request.method == "HEAD" || matches!(self.response.status, 204 | 304)
    }

    /// What upstream plays.
    pub(crate) fn script(&self) -> Script {
        let Response { interim, status, reason, headers, framing, pieces, trailers, .. } = &self.response;
        let mut head = format!("HTTP/1.1 {status} {reason}\r\n");
        for (name, value) in headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        let length: usize = pieces.iter().map(Vec::len).sum();
        match framing {
            // A 304 with a length has a test of its own.
            _ if matches!(status, 204 | 304) => {}
            Framing::Sized => head.extend(["Content-Length: ", &length.to_string(), "\r\n"]),
            Framing::Chunked if self.bodiless() => {}
            Framing::Chunked => head.push_str("Transfer-Encoding: chunked\r\n"),
            Framing::Close => {}
        }
        if self.is_last() {
            head.push_str("Connection: close\r\n");
        }
        head.push_str("\r\n");
        let mut script = Script::answer(interim.iter().chain([&head]).map(|head| bytes(head)));
        if !self.bodiless() {
            for piece in pieces {
                let wire = if *framing == Framing::Chunked { chunk(piece) } else { piece.clone() };
                script.steps.push(Step::Send(wire));
            }
            if *framing == Framing::Chunked {
                script.steps.push(Step::Send(last_chunk(trailers)));
            }
        }
        if self.is_last() {
            script.steps.push(Step::End(Cut::Fin));
        }
        script
    }
}

/// Several exchanges on one connection, and whether all requests are written before the first answer is read.
#[derive(Clone, Debug)]
pub(crate) struct Conversation {
    pub(crate) cases: Vec<Case>,
    pub(crate) pipelined: bool,
}

/// Any conversation.
pub(crate) fn conversation() -> impl Strategy<Value = Conversation> {
    (vec(case(), 1..4), prop::bool::weighted(0.2)).prop_map(|(cases, pipelined)| {
        // Whoever writes everything before it reads must not wait for whoever answers the first: what fits into
        // socket buffers is written without a wait.
        let small = |case: &Case| case.request.body().len() + case.response.pieces.concat().len() < 16 << 10;
        let fits = |case: &Case| !case.is_last() && !case.request.expects() && small(case);
        let pipelined = pipelined && cases.iter().all(fits);
        Conversation { cases, pipelined }
    })
}

fn case() -> impl Strategy<Value = Case> {
    (request(), response()).prop_map(|(request, response)| {
        let mut case = Case { request, response };
        if case.bodiless() {
            case.response.trailers.clear();
        }
        if !case.response.trailers.is_empty() {
            let names: Vec<_> = case.response.trailers.iter().map(|(name, _)| name.as_str()).collect();
            case.response.headers.push(("Trailer".into(), names.join(", ")));
            // Trailers are for who says that it takes them.
            case.request.headers.push(("TE".into(), "trailers".into()));
        }
        case
    })
}

fn request() -> impl Strategy<Value = Request> {
    const NAMES: [&str; 14] = [
        "Accept",
        "user-agent",
        "X-Stainless-Retry-Count",
        "anthropic-beta",
        "ANTHROPIC-VERSION",
        "x-api-key",
        "Authorization",
        "Cookie",
        "accept-encoding",
        "Cache-Control",
        "X-Forwarded-For",
        "x-App",
        "If-None-Match",
        "a",
    ];
    let method = select(vec!["POST", "POST", "POST", "GET", "HEAD", "PUT", "DELETE", "PATCH", "MKCOL"]);
    let expect = prop::bool::weighted(0.15);
    (method, path(), headers(&NAMES), request_body(), expect).prop_map(
        |(method, path, mut headers, body, expect)| {
            let body = if matches!(method, "GET" | "HEAD") { Body::None } else { body };
            let empty = match &body {
                Body::None => true,
                Body::Sized(body) => body.is_empty(),
                Body::Chunked(chunks, _) => chunks.is_empty(),
            };
            // Nobody asks for a body that is known to be none.
            if expect && !empty {
                headers.push(("Expect".into(), "100-continue".into()));
            }
            Request { method, path, headers, body }
        },
    )
}

fn path() -> impl Strategy<Value = String> {
    let segment = "[A-Za-z0-9._~!$&'()*+,;=:@-]{1,12}|%2F|%20|%C3%A9|a%00b|%2e%2e%2e|"
        .prop_filter("a dot segment is refused, and rightly", |s: &String| s != "." && s != "..");
    let query = "[A-Za-z0-9._~!$&'()*+,;=:@/?%-]{0,40}";
    let known = select(vec!["/v1/messages?beta=true", "/v1/messages/count_tokens", "/", "/api/hello"]);
    prop_oneof![
        known.prop_map(str::to_owned),
        (vec(segment, 1..5), prop::option::of(query)).prop_map(|(segments, query)| {
            let query = query.map(|query| format!("?{query}")).unwrap_or_default();
            format!("/{}{query}", segments.join("/"))
        }),
    ]
}

/// Headers of these names in any order, some of them several times, in a row, each time in another case.
fn headers(names: &'static [&'static str]) -> impl Strategy<Value = Vec<(String, String)>> {
    let names = Just(names.to_vec()).prop_shuffle();
    (names, vec(vec(value(), 1..3), 0..8), any::<bool>()).prop_map(|(names, values, upper)| {
        let mut headers = Vec::new();
        for (name, values) in names.into_iter().zip(values) {
            for (n, value) in values.into_iter().enumerate() {
                let name = if n == 1 && upper { name.to_uppercase() } else { name.to_owned() };
                headers.push((name, value));
            }
        }
        headers
    })
}

/// A header's value: words, tabs within, bytes beyond ASCII, nothing, or very much.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[!-~]([ -~]{0,30}[!-~])?",
        1 => "[!-~][ \t]{1,3}[!-~]",
        1 => "[\u{80}-\u{ff}]{1,12}",
        1 => Just(String::new()),
        1 => (1_000_usize..6_000).prop_map(|len| "y".repeat(len)),
    ]
}

fn trailers() -> impl Strategy<Value = Vec<(String, String)>> {
    vec((select(vec!["X-Checksum", "x-trailer", "Server-Timing"]), "[!-~]{0,20}"), 0..3).prop_map(|fields| {
        let mut fields: Vec<_> = fields.into_iter().map(|(n, v)| (n.to_owned(), v)).collect();
        fields.sort();
        fields.dedup_by(|a, b| a.0 == b.0);
        fields
    })
}

fn request_body() -> impl Strategy<Value = Body> {
    let json = "[ -~]{0,200}".prop_map(|text| format!("{{\"x\":{text:?}}}").into_bytes());
    prop_oneof![
        1 => Just(Body::None),
        2 => json.prop_map(Body::Sized),
        2 => data().prop_map(Body::Sized),
        2 => (data(), cuts()).prop_map(|(data, cuts)| Body::Chunked(split(&data, &cuts), Vec::new())),
    ]
}

/// Bytes of any size up to a few socket buffers' worth.
fn data() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        1 => Just(Vec::new()),
        4 => vec(any::<u8>(), 1..300),
        2 => (1_usize..300_000, any::<u8>()).prop_map(|(len, seed)| noise(len, seed)),
    ]
}

/// Bytes that repeat late.
fn noise(len: usize, seed: u8) -> Vec<u8> {
    let mut state = u32::from(seed) | 1;
    let step = |state: &mut u32| {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..len).map(|_| step(&mut state)).collect()
}

/// Events as the API sends them and as it may: line ends of every kind, comments, pings, characters of several bytes.
fn events() -> impl Strategy<Value = Vec<u8>> {
    let event = (select(vec!["ping", "content_block_delta", "of_tomorrow"]), "[ -~é漢🦀]{0,40}");
    let line = select(vec!["\n", "\r\n", "\r"]);
    vec((event, line, any::<bool>()), 0..12).prop_map(|events| {
        let mut text = String::new();
        for ((name, words), line, comment) in events {
            if comment {
                text.extend([": ", &words, line, line]);
            }
            let data =
                format!("event: {name}{line}data: {{\"type\":\"{name}\",{line}data: \"x\":{words:?}}}");
            text.push_str(&data);
            text.extend([line, line]);
        }
        text.into_bytes()
    })
}

fn cuts() -> impl Strategy<Value = Vec<Index>> {
    vec(any::<Index>(), 0..8)
}

/// Pieces of any size, none of them empty: an empty chunk would be the last.
fn split(data: &[u8], cuts: &[Index]) -> Vec<Vec<u8>> {
    if data.is_empty() {
        return Vec::new();
    }
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(data.len())).collect();
    at.extend([0, data.len()]);
    at.sort_unstable();
    at.dedup();
    at.windows(2).map(|pair| data[pair[0]..pair[1]].to_vec()).collect()
}

/// Informational responses, seldom any. Small ones: a proxy may drop what it would have to keep.
fn interim() -> impl Strategy<Value = Vec<String>> {
    let status =
        select(vec!["103 Early Hints", "103", "102  Processing \u{e9}", "199 Of ours", "100 Continue"]);
    let name = select(vec!["Link", "link", "X-Early", "Set-Cookie", "connection"]);
    let value = prop_oneof!["[!-~]([ -~]{0,30}[!-~])?", "[\u{80}-\u{ff}]{0,9}"];
    let head = (status, vec((name, value), 0..4)).prop_map(|(status, fields)| {
        let fields = fields.into_iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        format!("HTTP/1.1 {status}\r\n{}\r\n", fields.collect::<Vec<_>>().concat())
    });
    prop_oneof![3 => Just(Vec::new()), 1 => vec(head, 1..4)]
}

fn response() -> impl Strategy<Value = Response> {
    const NAMES: [&str; 14] = [
        "Date",
        "Server",
        "request-id",
        "Retry-After",
        "Location",
        "Set-Cookie",
        "anthropic-ratelimit-requests-remaining",
        "X-Should-Retry",
        "Via",
        "ETAG",
        "www-authenticate",
        "Strict-Transport-Security",
        "x-Unknown",
        "b",
    ];
    let status = select(vec![
        (200, "OK"),
        (200, "OK"),
        (200, "Very  well"),
        (201, "Created"),
        (299, "Of ours"),
        (204, "No Content"),
        (304, "Not Modified"),
        (301, "Moved Permanently"),
        (307, "Temporary Redirect"),
        (400, "Bad Request"),
        (401, "Unauthorized"),
        (404, "Not Found"),
        (413, "Too Large"),
        (429, "Too Many Requests"),
        (500, "Internal Server Error"),
        (529, "Overloaded"),
        (599, "Of nobody"),
    ]);
    let body = prop_oneof![data().prop_map(|data| (data, "")), events().prop_map(|data| (data, "sse"))];
    let framing =
        select(vec![Framing::Sized, Framing::Sized, Framing::Chunked, Framing::Chunked, Framing::Close]);
    let encoding = select(vec!["", "", "gzip", "br", "zstd"]);
    let shape = (framing, encoding, trailers(), prop::bool::weighted(0.1), interim());
    (status, headers(&NAMES), body, shape, cuts()).prop_map(
        |(
            (status, reason),
            mut headers,
            (data, kind),
            (framing, encoding, trailers, closes, interim),
            cuts,
        )| {
            if kind == "sse" {
                headers.push(("content-type".into(), "text/event-stream; charset=utf-8".into()));
            }
            let data = if status == 204 { Vec::new() } else { data };
            let data = encoded(&data, encoding);
            if !encoding.is_empty() {
                headers.push(("Content-Encoding".into(), encoding.into()));
            }
            let trailers = if framing == Framing::Chunked { trailers } else { Vec::new() };
            let pieces = split(&data, &cuts);
            Response { interim, status, reason, headers, framing, pieces, trailers, closes }
        },
    )
}

/// Compressed as a `Content-Encoding` says.
pub(crate) fn encoded(data: &[u8], encoding: &str) -> Vec<u8> {
    match encoding {
        "gzip" => {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(data).unwrap();
            gzip.finish().unwrap()
        }
        "br" => {
            let mut out = Vec::new();
            let mut brotli = brotli::CompressorWriter::new(&mut out, 4096, 2, 18);
            brotli.write_all(data).unwrap();
            drop(brotli);
            out
        }
        "zstd" => zstd::encode_all(data, 1).unwrap(),
        _ => data.to_vec(),
    }
}
