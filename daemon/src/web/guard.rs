//! Who may see the pages, and what a browser is told of them.
//!
//! Every request passes here before it reaches a page, and every answer carries the headers that keep other sites out.
//! Must never send a CORS header: no other origin has any business here.

use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{Method, Request, StatusCode};

use crate::source::proxy::admit::origin_form;
use crate::source::proxy::hosts::Hosts;

/// Nothing but our own files; no markup from text (`require-trusted-types-for`), no frame, no form, no other origin.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'";

/// The checks of one listener.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    hosts: Hosts,
}

impl Guard {
    /// For a listener at this address.
    pub(super) fn new(listen: std::net::SocketAddr) -> Self {
        Guard { hosts: Hosts::of(listen) }
    }

    /// Lets a request in, or tells the status that it is refused with.
    pub(super) fn check<B>(&self, request: &Request<B>) -> Result<(), StatusCode> {
        if origin_form(request.uri()).is_none() && *request.method() != Method::CONNECT {
            return Err(StatusCode::BAD_REQUEST);
        }
        self.hosts.check(request.headers())?;
        // Everything here is only looked at.
        match *request.method() {
            Method::GET | Method::HEAD => Ok(()),
            _ => Err(StatusCode::METHOD_NOT_ALLOWED),
        }
    }
}

/// Puts on an answer what every answer carries.
pub(super) fn protect(status: StatusCode, headers: &mut HeaderMap) {
    let fixed = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // What was captured is not to lie in a browser's cache.
        (CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, target: &str, hosts: &[&str]) -> u16 {
        let mut request = Request::builder().method(method).uri(target);
        for host in hosts {
            request = request.header("host", *host);
        }
        let guard = Guard::new("127.0.0.1:7789".parse().unwrap());
        guard.check(&request.body(()).unwrap()).err().map_or(0, |status| status.as_u16())
    }

    #[test]
    fn only_our_own_names_are_answered_to() {
        for host in ["127.0.0.1:7789", "localhost:7789", "[::1]:7789"] {
            assert_eq!(check("GET", "/health", &[host]), 0, "{host}");
        }
        for host in
            ["", "localhost", "127.0.0.1:7788", "evil.example:7789", "LOCALHOST:7789", "x@localhost:7789"]
        {
            assert_eq!(check("GET", "/health", &[host]), 421, "{host:?}");
        }
        assert_eq!(check("GET", "/", &[]), 421);
        assert_eq!(check("GET", "/", &["localhost:7789", "localhost:7789"]), 400);
    }

    #[test]
    fn pages_are_only_looked_at() {
        let host = ["localhost:7789"];
        assert_eq!(check("HEAD", "/", &host), 0);
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"] {
            assert_eq!(check(method, "/", &host), 405, "{method}");
        }
        assert_eq!(check("CONNECT", "localhost:7789", &host), 405);
        assert_eq!(check("GET", "http://localhost:7789/", &host), 400);
    }

    #[test]
    fn no_answer_lets_another_origin_in() {
        let mut headers = HeaderMap::new();
        protect(StatusCode::METHOD_NOT_ALLOWED, &mut headers);
        assert_eq!(headers[ALLOW], "GET, HEAD");
        assert!(headers[CONTENT_SECURITY_POLICY].to_str().unwrap().starts_with("default-src 'none'; "));
        assert!(!headers.keys().any(|name| name.as_str().starts_with("access-control-")));
        let mut headers = HeaderMap::new();
        protect(StatusCode::OK, &mut headers);
        assert!(!headers.contains_key(ALLOW));
    }
}
