//! Who may ask what of the pages, and what a browser is told with every answer.
//!
//! One place, and pure (what other programs may do is asked of [`receive::guard`], as pure): a request's head goes in, and what it is admitted to, or why it is refused, comes out. Nothing is
//! answered that did not pass here. Must never send a CORS header: no other origin has any business here.
//!
//! A request must name us as we are (no DNS name that somebody points at us), must not come from another site's page, and,
//! for anything that was captured, must show a login. A cookie is no proof of the page that asks: browsers send it with
//! requests of every page on this host, whatever its port. So the browser's own word (`Sec-Fetch-Site`, `Origin`) is asked
//! for, too, and what changes something has to be sent as no form can send it.

use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, HOST, HeaderMap,
    HeaderName, HeaderValue, ORIGIN, REFERRER_POLICY, TRANSFER_ENCODING, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use http::{Method, Request, StatusCode, Uri};

use crate::receive::{self, guard::Admitted};
use crate::source::proxy::admit::origin_form;
use crate::source::proxy::hosts::Hosts;

/// For pages. Nothing but our own files; no markup from text (`require-trusted-types-for`), no frame, no form, no other
/// origin.
const PAGES: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'";
/// For what was captured: should a browser ever take it for a document, it is none of our origin, and can do nothing.
const DATA: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; sandbox";

/// Longest head of a request, in bytes.
pub(super) const HEAD: usize = 64 << 10;
/// Longest body of a request, in bytes: what is said here is said in few words.
pub(super) const LONGEST: u64 = 4 << 10;
/// Cookies of our name that are looked at: another port of this host may have set some, too.
const COOKIES: usize = 8;

const LOOK: &str = "GET, HEAD";
const SAY: &str = "POST";

/// What a request is admitted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// What everybody of this user may see: the pages' own files, whether we are well.
    Open,
    /// The page that shows everything; who is not logged in gets the other one.
    Page,
    /// To exchange a code for a login.
    Login,
    /// To see what was captured.
    Read,
    /// To change something.
    Change,
    /// What other programs hand in, once they have shown a token.
    Receive(Admitted),
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Denial {
    /// By the pages.
    Pages(Refusal),
    /// By what other programs may do.
    Receive(receive::Problem),
}

impl From<Refusal> for Denial {
    fn from(refusal: Refusal) -> Self {
        Denial::Pages(refusal)
    }
}

/// Why the pages refuse a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The status that fits.
    pub(super) status: StatusCode,
    /// Stable name.
    pub(super) code: &'static str,
    /// In words. Nothing of the request is repeated: it may be anybody's text.
    pub(super) message: &'static str,
    /// What to do about it.
    pub(super) hint: Option<&'static str>,
    /// The methods that this path has, where the method was wrong.
    pub(super) allow: &'static str,
    /// Whether the connection ends: where the next request begins cannot be told for certain.
    pub(super) close: bool,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: &'static str) -> Self {
        Refusal { status, code, message, hint: None, allow: "", close: false }
    }

    fn method(allow: &'static str) -> Self {
        let refusal = Self::new(StatusCode::METHOD_NOT_ALLOWED, "method", "this is not for that method here");
        Refusal { allow, ..refusal }
    }

    fn malformed(message: &'static str) -> Self {
        Refusal { close: true, ..Self::new(StatusCode::BAD_REQUEST, "bad_request", message) }
    }

    fn foreign() -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "requests from other pages are refused")
    }
}

/// The checks of one listener.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    /// The names that it answers to; none: any one, because it is known by whatever name the network has for it. No page
    /// is served there, and no page's request heard.
    hosts: Option<Hosts>,
    cookie: String,
    /// Pages and questions are answered here, too.
    has_pages: bool,
}

impl Guard {
    /// For a listener at this address.
    pub(super) fn new(listen: std::net::SocketAddr) -> Self {
        // Two daemons of this user, on two ports, have the cookies of one host in common.
        let cookie = format!("ccd-{}", listen.port());
        Guard { hosts: Some(Hosts::of(listen)), cookie, has_pages: true }
    }

    /// For a listener at this address where other programs hand something in, and that serves nothing else.
    pub(super) fn of_receiver(listen: std::net::SocketAddr) -> Self {
        let hosts = listen.ip().is_loopback().then(|| Hosts::of(listen));
        Guard { hosts, cookie: String::new(), has_pages: false }
    }

    /// What a request is admitted to, once [`Entry::with`] has heard whether it shows a login.
    pub(super) fn check<B>(&self, request: &Request<B>) -> Result<Entry, Denial> {
        let (method, headers) = (request.method(), request.headers());
        if *method == Method::CONNECT {
            return Err(Refusal { close: true, ..Refusal::method(LOOK) }.into());
        }
        if origin_form(request.uri()).is_none() {
            return Err(Refusal::malformed("the target is no path").into());
        }
        short(request.uri(), headers)?;
        self.named(headers)?;
        let path = request.uri().path();
        if !self.has_pages || receive::guard::is_ours(path) {
            let admitted = receive::guard::check(request).map_err(Denial::Receive)?;
            // Only a listener that others reach has no names of its own.
            return Ok(Entry::Receive(Admitted { is_near: self.hosts.is_some(), ..admitted }));
        }
        framed(method, headers)?;
        Ok(Self::check_page(method, path, headers)?)
    }

    /// Whether a request names us as we are.
    fn named(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(hosts) = &self.hosts else {
            return match header(headers, HOST.as_str())? {
                Some(_) => Ok(()),
                None => Err(Refusal::malformed("no Host")),
            };
        };
        hosts.check(headers).map_err(|status| match status {
            StatusCode::MISDIRECTED_REQUEST => {
                Refusal::new(status, "foreign_host", "this is not the name of what answers here")
            }
            _ => Refusal::malformed("more than one Host"),
        })
    }

    fn check_page(method: &Method, path: &str, headers: &HeaderMap) -> Result<Entry, Refusal> {
        match route(method, path)? {
            entry @ (Entry::Open | Entry::Page) => {
                origin(headers, false)?;
                // A link from elsewhere leads to the page, as one that is opened; nothing of ours is a part of another.
                let is_visit = header(headers, "sec-fetch-mode")?.is_some_and(|mode| mode == "navigate")
                    && header(headers, "sec-fetch-dest")?.is_none_or(|dest| dest == "document");
                let is_page = entry == Entry::Page || path == "/login";
                if !(is_page && is_visit) {
                    site(headers, &["same-origin", "none"])?;
                }
                Ok(entry)
            }
            Entry::Read => {
                origin(headers, false)?;
                site(headers, &["same-origin", "none"])?;
                Ok(Entry::Read)
            }
            entry @ (Entry::Login | Entry::Change) => {
                origin(headers, true)?;
                site(headers, &["same-origin"])?;
                is_json(headers)?;
                Ok(entry)
            }
            entry @ Entry::Receive(_) => Ok(entry),
        }
    }

    /// What a browser shows as logins: more than one where another port of this host has set some.
    pub(super) fn logins<'a>(&'a self, headers: &'a HeaderMap) -> impl Iterator<Item = &'a str> {
        let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
        let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.filter(|(name, _)| *name == self.cookie).map(|(_, value)| value).take(COOKIES)
    }

    /// The cookie that a login is kept in, as long as it is used.
    pub(super) fn cookie(&self, login: &str) -> Option<HeaderValue> {
        let max_age = super::login::LOGIN_S;
        let text = format!("{}={login}; HttpOnly; SameSite=Strict; Path=/; Max-Age={max_age}", self.cookie);
        HeaderValue::from_str(&text).ok()
    }
}

impl Entry {
    /// Lets in who has the login that it takes.
    pub(super) fn with(self, is_logged_in: bool) -> Result<Entry, Refusal> {
        match self {
            Entry::Read | Entry::Change if !is_logged_in => Err(Refusal {
                hint: Some("`ccctl open` opens the pages"),
                ..Refusal::new(StatusCode::UNAUTHORIZED, "login_needed", "nobody is logged in here")
            }),
            entry => Ok(entry),
        }
    }
}

/// What lies at a path, by this method.
fn route(method: &Method, path: &str) -> Result<Entry, Refusal> {
    let looks = matches!(*method, Method::GET | Method::HEAD);
    let of = |entry: Entry| if looks { Ok(entry) } else { Err(Refusal::method(LOOK)) };
    match path {
        "/" => of(Entry::Page),
        "/login" if *method == Method::POST => Ok(Entry::Login),
        "/login" if !looks => Err(Refusal::method("GET, HEAD, POST")),
        _ if !is_api(path) => of(Entry::Open),
        _ if !is_change(path) => of(Entry::Read),
        _ if *method == Method::POST => Ok(Entry::Change),
        _ => Err(Refusal::method(SAY)),
    }
}

/// Whether a path belongs to the questions.
pub(super) fn is_api(path: &str) -> bool {
    path == "/v0" || path.starts_with("/v0/")
}

/// The only paths here by which something is changed.
fn is_change(path: &str) -> bool {
    match path.split('/').collect::<Vec<_>>().as_slice() {
        ["", "v0", "detections", id, "dismiss" | "reopen"] => !id.is_empty(),
        ["", "v0", "heal", "allow" | "pause" | "resume"] => true,
        _ => false,
    }
}

/// Nobody has so much to say. The connection's own limit is one of its buffer, and lets twice as much through.
fn short(target: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
    let target = target.path_and_query().map_or(0, |path| path.as_str().len());
    let lines = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>();
    if target + lines <= HEAD {
        return Ok(());
    }
    let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    Err(Refusal { close: true, ..Refusal::new(status, "too_long", "the request's head is too long") })
}

/// Where the request ends must be certain. No browser sends a body in chunks here, or one with a question.
fn framed(method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.contains_key(TRANSFER_ENCODING) {
        return Err(Refusal::malformed("a body has to tell its length"));
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = match (lengths.next(), lengths.next()) {
        (None, _) => 0,
        (Some(length), None) => length
            .to_str()
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
            .ok_or(Refusal::malformed("a length that is none"))?,
        _ => return Err(Refusal::malformed("more than one length")),
    };
    if length > 0 && *method != Method::POST {
        return Err(Refusal::malformed("a question has no body"));
    }
    if length > LONGEST {
        let refusal = Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_long", "the body is too long");
        return Err(Refusal { close: true, ..refusal });
    }
    Ok(())
}

/// The only header of this name; more than one is refused.
fn header<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a HeaderValue>, Refusal> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (one, None) => Ok(one),
        _ => Err(Refusal::malformed("a header that may come once came twice")),
    }
}

/// Whether the page that asks is ours, as far as the browser names it. One that does not say where it comes from changes
/// nothing.
fn origin(headers: &HeaderMap, needed: bool) -> Result<(), Refusal> {
    let Some(origin) = header(headers, ORIGIN.as_str())? else {
        return if needed { Err(Refusal::foreign()) } else { Ok(()) };
    };
    // The host is one of ours; and it is the one that the page was loaded by.
    let host = headers.get(HOST).map_or(&b""[..], HeaderValue::as_bytes);
    let ours = origin.as_bytes().strip_prefix(b"http://").is_some_and(|rest| rest == host);
    if ours { Ok(()) } else { Err(Refusal::foreign()) }
}

/// Whether the browser says that the request is of one of these kinds; those that say nothing are too old to.
fn site(headers: &HeaderMap, kinds: &[&str]) -> Result<(), Refusal> {
    match header(headers, "sec-fetch-site")? {
        Some(site) if !kinds.iter().any(|kind| site == kind) => Err(Refusal::foreign()),
        _ => Ok(()),
    }
}

/// Whether the body is said to be JSON: no form can say that, and no other page's script without asking first.
fn is_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let kind = header(headers, CONTENT_TYPE.as_str())?.and_then(|kind| kind.to_str().ok()).unwrap_or("");
    let essence = kind.split(';').next().unwrap_or("").trim();
    if essence.eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        let text = "what changes something is sent as application/json";
        Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", text))
    }
}

/// Puts on an answer what every answer carries.
pub(super) fn protect(path: &str, headers: &mut HeaderMap) {
    let is_data = is_api(path) || receive::guard::is_ours(path);
    let fixed = [
        (CONTENT_SECURITY_POLICY, if is_data { DATA } else { PAGES }),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // What was captured is not to lie in a browser's cache; our own files may, and are asked for again by their tags.
    if is_data || !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

/// Tells the methods that a path has.
pub(super) fn allow(allow: &'static str, headers: &mut HeaderMap) {
    if !allow.is_empty() {
        headers.insert(ALLOW, HeaderValue::from_static(allow));
    }
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
