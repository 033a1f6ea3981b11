//! One HTTP delivery: bytes posted to an endpoint that the user named.
//!
//! Must never log or show a header's value or the URL's path and query, which may be secrets; never follow a redirect;
//! never speak plain HTTP to another machine unless the user allowed that by name; never wait without bound, nor read
//! more of an answer than [`MAX_ANSWER`].
//!
//! Each delivery has a connection of its own, with its certificate looked at: nothing is held open between two of them.

use std::fmt;
use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, RETRY_AFTER, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use jiff::fmt::rfc2822::DateTimeParser;

use crate::clock::Clock;
use crate::config::Network;
use crate::source::proxy::failure::{Failure, Kind};
use crate::source::proxy::post::Way;

/// Bytes of an answer that are read.
pub const MAX_ANSWER: usize = 1 << 20;
/// How long making a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// Where something is delivered, and how.
#[derive(Clone)]
pub struct Endpoint {
    /// Where. Its path and query are shown to nobody.
    pub url: Uri,
    /// Headers of the user's. Their values are shown to nobody.
    pub headers: HeaderMap,
    /// Bodies are compressed.
    pub gzip: bool,
    /// Plain HTTP is allowed to other machines, too.
    pub allow_http: bool,
    /// How long one delivery may take, from the first look-up to the answer's end.
    pub limit: Duration,
}

impl Endpoint {
    /// An endpoint without headers of its own: gzip, a minute, and TLS to all but this machine.
    #[must_use]
    pub fn new(url: Uri) -> Self {
        let limit = Duration::from_secs(60);
        Endpoint { url, headers: HeaderMap::new(), gzip: true, allow_http: false, limit }
    }

    /// Its scheme, host and port: what may be shown of it.
    #[must_use]
    pub fn shown(&self) -> String {
        shown(&self.url)
    }

    /// Whether something may be sent there.
    pub fn check(&self) -> Result<(), DeliverError> {
        let host = self.url.host().filter(|host| !host.is_empty());
        let host = host.ok_or(DeliverError::Url("a URL has a scheme and a host"))?;
        // What stands before an @ would go out as a part of the Host header.
        if self.url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(DeliverError::Url("credentials belong into a header, not into the URL"));
        }
        match self.url.scheme_str() {
            Some("https") => Ok(()),
            Some("http") if self.allow_http || is_loopback(host) => Ok(()),
            Some("http") => Err(DeliverError::Plain(host.to_owned())),
            _ => Err(DeliverError::Url("the scheme must be https; http only to this machine")),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.keys().map(HeaderName::as_str).collect();
        f.debug_struct("Endpoint")
            .field("url", &self.shown())
            .field("headers", &names)
            .field("gzip", &self.gzip)
            .field("allow_http", &self.allow_http)
            .field("limit", &self.limit)
            .finish()
    }
}

/// Scheme, host and port of a URL, and nothing that may be a secret.
#[must_use]
pub fn shown(url: &Uri) -> String {
    let port = url.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme_str().unwrap_or("?"), url.host().unwrap_or("?"))
}

/// Whether a URL's host is this machine.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A header from `NAME=VALUE` or `NAME: VALUE`, whichever sign comes first. The error never repeats the value.
pub fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text
        .split_once([':', '='])
        .ok_or("expected NAME=VALUE or `NAME: VALUE`; the text has neither sign")?;
    let name: HeaderName =
        name.trim().parse().map_err(|_| "what stands before the sign is no header's name")?;
    if [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION].contains(&name) {
        return Err(format!("{name} is made by what is sent, and cannot be set"));
    }
    let mut value =
        HeaderValue::from_str(value.trim()).map_err(|_| format!("the value of {name} cannot be sent"))?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliverError {
    /// The URL is none that can be sent to.
    #[error("{0}")]
    Url(&'static str),
    /// Plain HTTP, and not to this machine.
    #[error(
        "plain http to {0} would show everything to who is on the way; use https, or set allow_http = true"
    )]
    Plain(String),
    /// No connection, or none that lasted until the answer.
    #[error("{0}")]
    Failed(Failure),
    /// The body could not be compressed.
    #[error("cannot compress: {0}")]
    Gzip(String),
}

impl DeliverError {
    /// Whether the same may well work later.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, DeliverError::Failed(_))
    }

    /// Whether the endpoint may have taken what was sent, and only its answer is missing.
    #[must_use]
    pub fn may_have_arrived(&self) -> bool {
        matches!(self, DeliverError::Failed(f) if matches!(f.kind, Kind::Send | Kind::Closed | Kind::Timeout))
    }
}

/// What came of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The answer's status.
    pub status: StatusCode,
    /// The answer's content type.
    pub content_type: String,
    /// The answer's body, up to [`MAX_ANSWER`] bytes.
    pub body: Bytes,
    /// Whether that is all of it.
    pub whole: bool,
    /// How long the endpoint asked to be left alone.
    pub retry_after: Option<Duration>,
}

/// What is to be done about an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was taken.
    Taken,
    /// The same may be taken later.
    Later,
    /// Less of it may be taken.
    TooLarge,
    /// Another credential may open the door.
    Unauthorized,
    /// It is not taken, and never will be.
    Refused,
}

impl Outcome {
    /// What is to be done about it: 408, 429 and 5xx pass, except those by which a server says that it cannot do this at
    /// all. Redirects are refusals: whoever moved tells the user, not us. The OpenTelemetry collector says 400 where others
    /// say 413.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self.status.as_u16() {
            200..=299 => Verdict::Taken,
            401 => Verdict::Unauthorized,
            413 => Verdict::TooLarge,
            400 if self.is_about_size() => Verdict::TooLarge,
            501 | 505 => Verdict::Refused,
            408 | 425 | 429 | 500..=599 => Verdict::Later,
            _ => Verdict::Refused,
        }
    }

    fn is_about_size(&self) -> bool {
        let said = self.words().to_ascii_lowercase();
        ["body too large", "message too large", "message larger than max"]
            .iter()
            .any(|word| said.contains(word))
    }

    /// The status and the beginning of what the endpoint said, made harmless for a log or a terminal.
    #[must_use]
    pub fn words(&self) -> String {
        let said = String::from_utf8_lossy(&self.body[..self.body.len().min(1024)]);
        let said: String = said.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
        match said.trim() {
            "" => self.status.to_string(),
            said => format!("{}: {said}", self.status),
        }
    }
}

/// Delivers to one endpoint. Trust and the way there are looked up when it is made.
pub struct Courier {
    endpoint: Endpoint,
    way: Way,
}

impl Courier {
    /// To `endpoint`, by `network`.
    pub fn new(endpoint: Endpoint, network: &Network) -> Result<Self, DeliverError> {
        endpoint.check()?;
        let way = Way::new(&endpoint.url, network, CONNECT.min(endpoint.limit));
        let way = way.ok_or(DeliverError::Url("a URL has a scheme and a host"))?;
        Ok(Courier { endpoint, way })
    }

    /// Where it delivers to.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Posts `body` once. `more` goes over the endpoint's own headers.
    pub async fn deliver(
        &self,
        content_type: &'static str,
        body: Bytes,
        more: &HeaderMap,
        clock: &dyn Clock,
    ) -> Result<Outcome, DeliverError> {
        let mut headers = self.endpoint.headers.clone();
        for (name, value) in more {
            headers.insert(name, value.clone());
        }
        // What names us to the endpoint: its answer may repeat it, and is told of.
        let sent: Vec<HeaderValue> = headers.values().cloned().collect();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let body = if self.endpoint.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            gzip(body).await?
        } else {
            body
        };
        let answer = self.way.post(headers, body, self.endpoint.limit, MAX_ANSWER).await;
        let answer = answer.map_err(DeliverError::Failed)?;
        let text = |name| answer.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let retry_after = text(RETRY_AFTER).and_then(|asked| retry_after(asked, clock.now_ns()));
        let content_type = text(CONTENT_TYPE).unwrap_or("").to_owned();
        Ok(Outcome {
            status: answer.status,
            content_type,
            body: without(answer.body, &sent),
            whole: answer.whole,
            retry_after,
        })
    }
}

/// An answer in which nothing stands of what was sent to name us.
fn without(body: Bytes, sent: &[HeaderValue]) -> Bytes {
    let words = sent.iter().filter_map(|value| value.to_str().ok()).flat_map(str::split_whitespace);
    let secrets: Vec<&str> = words.filter(|word| word.len() >= 6).collect();
    let Ok(text) = str::from_utf8(&body) else { return body };
    if !secrets.iter().any(|secret| text.contains(secret)) {
        return body;
    }
    secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "[redacted]")).into()
}

/// Compresses off the runtime's threads: a body may be megabytes.
async fn gzip(body: Bytes) -> Result<Bytes, DeliverError> {
    let pack = move || {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packer.write_all(&body)?;
        packer.finish().map(Bytes::from)
    };
    let packed = tokio::task::spawn_blocking(pack).await.map_err(|e| DeliverError::Gzip(e.to_string()))?;
    packed.map_err(|e: std::io::Error| DeliverError::Gzip(e.to_string()))
}

/// How long `Retry-After` asks for: seconds, or a date (RFC 9110 §10.2.3); one that is past asks for nothing.
fn retry_after(value: &str, now_ns: u64) -> Option<Duration> {
    const PARSER: DateTimeParser = DateTimeParser::new().relaxed_weekday(true);
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let then = PARSER.parse_timestamp(value).ok()?.as_nanosecond();
    let wait = then - i128::from(now_ns);
    Some(Duration::from_nanos(u64::try_from(wait.max(0)).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_does_not_repeat_what_named_us() {
        let sent = [HeaderValue::from_static("Bearer hush-hush"), HeaderValue::from_static("1")];
        let said = without(Bytes::from_static(b"{\"message\":\"unknown key 'hush-hush', 1\"}"), &sent);
        assert_eq!(said, "{\"message\":\"unknown key '[redacted]', 1\"}");
        assert_eq!(without(Bytes::from_static(b"\xff hush-hush"), &sent), &b"\xff hush-hush"[..]);
    }

    fn endpoint(url: &str) -> Endpoint {
        Endpoint::new(url.parse().unwrap())
    }

    #[test]
    fn plain_http_goes_to_this_machine_alone_unless_allowed() {
        for fine in ["https://a.example/v1", "http://127.0.0.1:4318/", "http://localhost/", "http://[::1]:1/"]
        {
            assert_eq!(endpoint(fine).check(), Ok(()), "{fine}");
        }
        for wrong in [
            "http://a.example/",
            "ftp://a.example/",
            "/path",
            "https://u:p@a.example/",
            "http://localhost.example/",
        ] {
            assert!(endpoint(wrong).check().is_err(), "{wrong}");
        }
        let allowed = Endpoint { allow_http: true, ..endpoint("http://a.example/") };
        assert_eq!(allowed.check(), Ok(()));
    }

    #[test]
    fn nothing_secret_is_shown() {
        let (name, value) = header("x-api-key: hush:hush").unwrap();
        assert_eq!(value.as_bytes(), b"hush:hush");
        let mut endpoint = endpoint("https://a.example:1/hush?key=hush");
        endpoint.headers.insert(name, value.clone());
        let shown = format!("{endpoint:?} {value:?}");
        assert!(!shown.contains("hush") && shown.contains("x-api-key"), "{shown}");
        for wrong in ["hush", "h ush=hush", "a=hush\n"] {
            let refused = header(wrong);
            assert!(
                refused.as_ref().map_or_else(|e| !e.contains("hush"), |_| wrong.ends_with('\n')),
                "{refused:?}"
            );
        }
        let (name, value) = header("Authorization=Bearer a=b").unwrap();
        assert_eq!((name.as_str(), value.as_bytes()), ("authorization", &b"Bearer a=b"[..]));
    }

    #[test]
    fn who_asks_to_be_left_alone_says_for_how_long() {
        let now_ns = 1_790_000_000_000_000_000;
        for (asked, wait) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("Mon, 21 Sep 2026 14:14:20 GMT", Some(60)),
            ("Mon, 21 Sep 2026 14:12:20 GMT", Some(0)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(retry_after(asked, now_ns), wait.map(Duration::from_secs), "{asked}");
        }
    }

    #[test]
    fn answers_are_judged_by_their_status() {
        let verdict_of = |status, body: &'static [u8]| {
            let body = Bytes::from_static(body);
            let status = StatusCode::from_u16(status).unwrap();
            let outcome =
                Outcome { status, content_type: String::new(), body, whole: true, retry_after: None };
            assert!(!outcome.words().contains('\x1b'));
            outcome.verdict()
        };
        let verdict = |status| verdict_of(status, b"no\x1b[31m");
        for body in [&b"http: request body too large"[..], b"grpc: Message larger than max (9 vs. 8)"] {
            assert_eq!(verdict_of(400, body), Verdict::TooLarge);
            assert_eq!(verdict_of(403, body), Verdict::Refused);
        }
        for (status, want) in [
            (200, Verdict::Taken),
            (202, Verdict::Taken),
            (301, Verdict::Refused),
            (400, Verdict::Refused),
            (401, Verdict::Unauthorized),
            (403, Verdict::Refused),
            (408, Verdict::Later),
            (413, Verdict::TooLarge),
            (429, Verdict::Later),
            (500, Verdict::Later),
            (501, Verdict::Refused),
            (503, Verdict::Later),
        ] {
            assert_eq!(verdict(status), want, "{status}");
        }
    }
}
