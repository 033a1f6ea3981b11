//! Who is let in, and with what: the checks of a request's head before it goes on its way.
//!
//! Let in is who knows the path token and calls us by a loopback name; a browser never is. The token ends here: neither
//! upstream nor a record sees it. Answers to who is not let in have no body and give no hint.

use http::header::{CONTENT_LENGTH, HeaderMap, ORIGIN};
use http::{Method, Request, StatusCode, Uri};

use super::hosts::Hosts;

/// What a request must show to be let in.
#[derive(Clone)]
pub struct Admission {
    token: String,
    hosts: Hosts,
}

/// Where the way of a request that was let in leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// We answer it ourselves: the whole way through the listener works.
    Ping,
    /// To upstream, with this path and query, byte for byte.
    Forward(String),
}

/// The path, behind the token, that we answer ourselves.
const PING: &str = "/.ccd/ping";

impl Admission {
    /// For a listener at this address, with this path token.
    #[must_use]
    pub fn new(listen: std::net::SocketAddr, token: String) -> Self {
        Admission { token, hosts: Hosts::of(listen) }
    }

    /// Lets a request in, or tells the status that it is refused with.
    pub fn check<B>(&self, request: &Request<B>) -> Result<Admitted, StatusCode> {
        if matches!(*request.method(), Method::CONNECT | Method::TRACE | Method::OPTIONS) {
            return Err(StatusCode::METHOD_NOT_ALLOWED);
        }
        let Some(path) = origin_form(request.uri()) else { return Err(StatusCode::BAD_REQUEST) };
        self.hosts.check(request.headers())?;
        // Not every `Sec-Fetch-*`: Node's own fetch sends `Sec-Fetch-Mode`, and is no web page.
        if request.headers().contains_key(ORIGIN) || request.headers().contains_key("sec-fetch-site") {
            return Err(StatusCode::FORBIDDEN);
        }
        let path = self.behind_token(path).ok_or(StatusCode::NOT_FOUND)?;
        if path.split('?').next() == Some(PING) {
            return Ok(Admitted::Ping);
        }
        if has_dot_segments(&path) { Err(StatusCode::BAD_REQUEST) } else { Ok(Admitted::Forward(path)) }
    }

    /// Path and query behind `/TOKEN`, byte for byte.
    fn behind_token(&self, whole: &str) -> Option<String> {
        let (given, rest) = whole.strip_prefix('/')?.split_at_checked(self.token.len())?;
        if !same(given.as_bytes(), self.token.as_bytes()) {
            return None;
        }
        match rest.as_bytes().first() {
            None => Some("/".into()),
            Some(b'/') => Some(rest.into()),
            Some(b'?') => Some(format!("/{rest}")),
            Some(_) => None,
        }
    }
}

/// Path and query, where the target is nothing else: a whole URL is for forward proxies, which we are not.
#[must_use]
pub fn origin_form(uri: &Uri) -> Option<&str> {
    let nothing_else = uri.scheme().is_none() && uri.authority().is_none();
    uri.path_and_query()
        .map(http::uri::PathAndQuery::as_str)
        .filter(|path| nothing_else && path.starts_with('/'))
}

/// The length that a request's body is declared to have.
#[must_use]
pub fn declared(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Compares without telling by its time how much was right.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && std::hint::black_box(a.iter().zip(b).fold(0, |diff, (x, y)| diff | (x ^ y))) == 0
}

/// Whether a path has `.` or `..` segments, written out or encoded, or behind a backslash or a parameter: upstream
/// could resolve them out of the prefix.
fn has_dot_segments(path_and_query: &str) -> bool {
    let path = path_and_query.split('?').next().unwrap_or("");
    let plain = path.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "\\");
    plain.split(['/', '\\']).any(|segment| matches!(segment.split(';').next(), Some("." | "..")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    fn admission() -> Admission {
        Admission::new("127.0.0.1:7788".parse().unwrap(), TOKEN.into())
    }

    fn check(method: &str, target: &str, headers: &[(&str, &str)]) -> Result<Admitted, StatusCode> {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        admission().check(&request.body(()).unwrap())
    }

    const HOST: (&str, &str) = ("host", "127.0.0.1:7788");

    #[test]
    fn who_knows_the_token_gets_the_path_behind_it() {
        for (target, path) in [
            (format!("/{TOKEN}/v1/messages?beta=true"), "/v1/messages?beta=true"),
            (format!("/{TOKEN}"), "/"),
            (format!("/{TOKEN}?a=/../b"), "/?a=/../b"),
            (format!("/{TOKEN}//v1/a%20b"), "//v1/a%20b"),
        ] {
            assert_eq!(check("POST", &target, &[HOST]), Ok(Admitted::Forward(path.into())), "{target}");
        }
        assert_eq!(check("GET", &format!("/{TOKEN}/.ccd/ping?x"), &[HOST]), Ok(Admitted::Ping));
        for target in
            ["/", "/v1/messages", "/0123", &format!("/{TOKEN}0/x"), &format!("/{TOKEN}").replace('f', "e")]
        {
            assert_eq!(check("POST", target, &[HOST]), Err(StatusCode::NOT_FOUND), "{target}");
        }
    }

    #[test]
    fn only_our_own_names_are_answered_to() {
        let of = |hosts: &[&str]| {
            let headers: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
            check("GET", &format!("/{TOKEN}/x"), &headers).err().map_or(0, |status| status.as_u16())
        };
        for host in ["127.0.0.1:7788", "localhost:7788", "[::1]:7788"] {
            assert_eq!(of(&[host]), 0, "{host}");
        }
        for host in [
            "",
            "127.0.0.1",
            "localhost",
            "127.0.0.1:7789",
            "127.0.0.1:+7788",
            "127.0.0.1:07788",
            "127.0.0.2:7788",
            "evil.example:7788",
            "localhost.evil.example:7788",
            "a@127.0.0.1:7788",
            "LOCALHOST:7788",
            "[::]:7788",
        ] {
            assert_eq!(of(&[host]), 421, "{host:?}");
        }
        assert_eq!((of(&[]), of(&["localhost:7788", "localhost:7788"])), (421, 400));
    }

    #[test]
    fn browsers_and_odd_targets_are_refused() {
        let target = format!("/{TOKEN}/v1/messages");
        for header in
            [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")]
        {
            assert_eq!(check("POST", &target, &[HOST, header]), Err(StatusCode::FORBIDDEN), "{header:?}");
        }
        assert!(check("POST", &target, &[HOST, ("sec-fetch-mode", "cors")]).is_ok());
        for method in ["OPTIONS", "TRACE", "CONNECT"] {
            assert_eq!(check(method, &target, &[HOST]), Err(StatusCode::METHOD_NOT_ALLOWED));
        }
        for target in [format!("http://127.0.0.1:7788{target}"), "example.com:443".into(), "*".into()] {
            assert_eq!(check("GET", &target, &[HOST]), Err(StatusCode::BAD_REQUEST), "{target}");
        }
    }

    #[test]
    fn dot_segments_are_seen_in_every_spelling() {
        for bad in [
            "/v1/../x",
            "/%2e%2E/x",
            "/./x",
            "/a/.%2e",
            "/..",
            "/v1/..;/x",
            "/v1/..\\x",
            "/a%2f..%5Cb",
            "/\\..",
        ] {
            assert!(has_dot_segments(bad), "{bad}");
        }
        for good in ["/v1/messages?x=/../", "/a..b/c", "/...", "/.ccd/ping", "/v1/a;b/..c", "/"] {
            assert!(!has_dot_segments(good), "{good}");
        }
    }

    #[test]
    fn comparison_is_exact() {
        assert!(same(b"abc", b"abc"));
        assert!(!same(b"abc", b"abd") && !same(b"ab", b"abc"));
    }

    proptest! {
        #[test]
        fn what_goes_on_is_what_came_behind_the_token(path in "(/[a-zA-Z0-9._~%!$&'()*+,;=:@-]{0,8}){0,4}(\\?[a-z=&/.]{0,9})?") {
            let whole = format!("/{TOKEN}{path}");
            let want = if path.starts_with('/') { path } else { format!("/{path}") };
            prop_assert_eq!(admission().behind_token(&whole), Some(want));
        }

        #[test]
        fn any_text_is_taken_or_refused(text in ".{0,60}") {
            let _ = (admission().behind_token(&text), has_dot_segments(&text));
        }
    }
}
