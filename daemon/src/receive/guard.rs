//! Who may hand something in: the paths of other programs, and what a request to one must look like.
//!
//! Pure, as the web door's guard, which asks here for these paths after it has checked the host and the target. Programs
//! come here and browsers never do: whatever carries `Origin` or `Sec-Fetch-*` is refused, cookies are not looked at, and
//! a bearer token is needed. A token in the target is none. Must never send a CORS header, or let a request in whose end
//! is not certain.

use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, ORIGIN,
    TRANSFER_ENCODING,
};
use http::{Method, Request, StatusCode};

use super::problem::Problem;
use crate::source::telemetry::{Encoding, Signal};
use crate::tokens::Scope;

/// Longest body, in bytes: as it comes, and inflated.
pub const LONGEST: u64 = 10 << 20;
/// Longest body of a request for a token, in bytes.
pub const LONGEST_KEY: u64 = 4 << 10;
/// Longest bearer token that is looked at, in bytes.
const LONGEST_BEARER: usize = 4 << 10;

/// What lies at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// A token is exchanged for one that ends soon.
    Token,
    /// Traces of a session, or one.
    Traces,
    /// Spans of the platform's clients, as OTLP in JSON.
    Spans,
    /// Traces are looked at, and not kept.
    Analyze,
    /// What the detectors found.
    Detections,
    /// What may be done about one of them.
    Fixes,
    /// OpenTelemetry signals.
    Telemetry(Signal),
}

impl Route {
    /// What a token has to be good for; none where it comes in the body.
    #[must_use]
    pub fn scope(self) -> Option<Scope> {
        match self {
            Route::Token => None,
            Route::Telemetry(_) => Some(Scope::Telemetry),
            _ => Some(Scope::Ingest),
        }
    }

    /// Whether something of what was captured is told there.
    fn is_question(self) -> bool {
        matches!(self, Route::Detections | Route::Fixes)
    }

    /// Longest body.
    #[must_use]
    pub fn longest(self) -> u64 {
        if self == Route::Token { LONGEST_KEY } else { LONGEST }
    }
}

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// gzip.
    Gzip,
    /// zlib, or raw by the habit of some.
    Deflate,
    /// Zstandard.
    Zstd,
}

/// A request that looks as it must.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// What it asks for.
    pub route: Route,
    /// How its body is written.
    pub encoding: Encoding,
    /// How its body is packed.
    pub packing: Packing,
    /// How long its body is; none where it comes in chunks.
    pub length: Option<u64>,
    /// It came to a listener that only this machine reaches.
    pub is_near: bool,
}

impl Admitted {
    /// What a token has to be good for; none where it comes in the body. Who may hand something in from afar need not be
    /// who may read what was captured.
    #[must_use]
    pub fn scope(&self) -> Option<Scope> {
        if self.route.is_question() && !self.is_near { Some(Scope::All) } else { self.route.scope() }
    }
}

/// Whether a path is one of other programs'.
#[must_use]
pub fn is_ours(path: &str) -> bool {
    let under =
        |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    under("/api/v1") || under("/v1")
}

/// What a request is admitted to, once its token is found good.
pub fn check<B>(request: &Request<B>) -> Result<Admitted, Problem> {
    let (method, headers) = (request.method(), request.headers());
    if headers.contains_key(ORIGIN) || headers.keys().any(|name| name.as_str().starts_with("sec-fetch-")) {
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "requests from web pages are refused"));
    }
    let route = route(request.uri().path()).ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, "not_found", "nothing is taken in or told here")
    })?;
    let (fits, allow) = if route.is_question() {
        (matches!(*method, Method::GET | Method::HEAD), "GET, HEAD")
    } else {
        (*method == Method::POST, "POST")
    };
    if !fits {
        return Err(Problem::method(allow));
    }
    let length = framed(headers, route)?;
    let (encoding, packing) = if route.is_question() {
        (Encoding::Json, Packing::Plain)
    } else {
        (kind(headers, route)?, packing(headers)?)
    };
    if route.scope().is_some() {
        bearer(headers)?;
    }
    Ok(Admitted { route, encoding, packing, length, is_near: false })
}

/// What lies at a path.
fn route(path: &str) -> Option<Route> {
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    // `//x` is another path than `/x`.
    if path.starts_with("//") {
        return None;
    }
    match segments.as_slice() {
        ["api", "v1", "auth", "token"] => Some(Route::Token),
        ["api", "v1", "traces", "claude-code", "ingest"] => Some(Route::Traces),
        ["api", "v1", "traces", "claude-code", "analyze"] => Some(Route::Analyze),
        ["api", "v1", "traces", "ingest"] => Some(Route::Spans),
        ["api", "v1", "tenants", tenant, "traces", "ingest"] if is_plain(tenant) => Some(Route::Spans),
        ["api", "v1", "detections"] => Some(Route::Detections),
        ["api", "v1", "detections", id, "fixes"] if is_plain(id) => Some(Route::Fixes),
        ["v1", "logs"] => Some(Route::Telemetry(Signal::Logs)),
        ["v1", "traces"] => Some(Route::Telemetry(Signal::Traces)),
        ["v1", "metrics"] => Some(Route::Telemetry(Signal::Metrics)),
        _ => None,
    }
}

/// The tenant that a path names.
#[must_use]
pub fn tenant_of(path: &str) -> Option<&str> {
    let mut segments = path.split('/').skip(3);
    (segments.next() == Some("tenants")).then(|| segments.next()).flatten()
}

/// What names of tenants and ids are made of: nothing that could be taken for anything else, anywhere.
fn is_plain(name: &str) -> bool {
    let is_letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    !name.is_empty() && name.len() <= 64 && name.bytes().all(is_letter) && !name.bytes().all(|b| b == b'.')
}

/// Where the request ends must be certain: by its length, or in chunks, and never by both.
fn framed(headers: &HeaderMap, route: Route) -> Result<Option<u64>, Problem> {
    let malformed =
        |message| Problem { close: true, ..Problem::new(StatusCode::BAD_REQUEST, "bad_request", message) };
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = match (lengths.next(), lengths.next()) {
        (None, _) => None,
        (Some(length), None) => {
            let digits = length.to_str().ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
            // One that no number holds is longer than anything.
            let digits = digits.filter(|text| !text.is_empty()).ok_or(malformed("a length that is none"))?;
            Some(digits.parse::<u64>().unwrap_or(u64::MAX))
        }
        _ => return Err(malformed("more than one length")),
    };
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let chunked = match (codings.next(), codings.next()) {
        (None, _) => false,
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => true,
        _ => return Err(malformed("a transfer coding that is none of ours")),
    };
    if chunked && length.is_some() {
        return Err(malformed("a length, and chunks"));
    }
    if route.is_question() && (chunked || length.is_some_and(|length| length > 0)) {
        return Err(malformed("a question has no body"));
    }
    if length.is_some_and(|length| length > route.longest()) {
        return Err(Problem::too_long());
    }
    Ok(if chunked { None } else { Some(length.unwrap_or(0)) })
}

/// The only header of this name; more than one is refused.
fn only(headers: &HeaderMap, name: http::HeaderName) -> Result<Option<&HeaderValue>, Problem> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (one, None) => Ok(one),
        _ => Err(Problem {
            close: true,
            ..Problem::new(StatusCode::BAD_REQUEST, "bad_request", "a header that may come once came twice")
        }),
    }
}

fn kind(headers: &HeaderMap, route: Route) -> Result<Encoding, Problem> {
    let kind = only(headers, CONTENT_TYPE)?.and_then(|kind| kind.to_str().ok()).unwrap_or("");
    let essence = kind.split(';').next().unwrap_or("").trim();
    let wrong = |message| Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", message);
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(Encoding::Json);
    }
    match route {
        Route::Telemetry(_) if essence.eq_ignore_ascii_case("application/x-protobuf") => {
            Ok(Encoding::Protobuf)
        }
        Route::Telemetry(_) => Err(wrong("signals are sent as application/x-protobuf or application/json")),
        _ => Err(wrong("what is handed in is sent as application/json")),
    }
}

fn packing(headers: &HeaderMap) -> Result<Packing, Problem> {
    let coding = only(headers, CONTENT_ENCODING)?.map_or(Some(""), |coding| coding.to_str().ok());
    match coding.map(|coding| coding.trim().to_ascii_lowercase()).as_deref() {
        Some("" | "identity") => Ok(Packing::Plain),
        Some("gzip" | "x-gzip") => Ok(Packing::Gzip),
        Some("deflate") => Ok(Packing::Deflate),
        Some("zstd") => Ok(Packing::Zstd),
        _ => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content_encoding",
            "bodies are packed by gzip, deflate or zstd, and once",
        )),
    }
}

/// The bearer token that a request shows.
pub fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let shown = only(headers, AUTHORIZATION)?.and_then(|shown| shown.to_str().ok()).unwrap_or("");
    let (scheme, token) = shown.split_once(' ').unwrap_or(("", ""));
    let token = token.trim_matches(' ');
    let is_token =
        !token.is_empty() && token.len() <= LONGEST_BEARER && token.bytes().all(|b| b.is_ascii_graphic());
    if scheme.eq_ignore_ascii_case("bearer") && is_token {
        return Ok(token);
    }
    Err(Problem::unauthorized("a bearer token is needed here"))
}
