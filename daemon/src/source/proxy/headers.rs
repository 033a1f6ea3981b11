//! Headers: which of them end at a proxy, and which may be kept.
//!
//! Credentials never reach a record: [`captured`] is the only way from a header map to one, and leaves them out.

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue};

/// Headers about the connection, not the message (RFC 9110 §7.6.1).
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Whether headers of this name end at a proxy, whatever `Connection` says.
#[must_use]
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    // `Proxy-Authorization` is meant for us, should anybody send it: a credential that ends here.
    HOP_BY_HOP.contains(name) || name == header::PROXY_AUTHORIZATION
}

/// Takes the hop-by-hop headers out, those that `Connection` names included. The others keep their order, which
/// `HeaderMap::remove` would not: it moves the last one into the gap.
///
/// Of `TE`, `trailers` stays: whoever takes trailers from us gets those of the other side, and an upstream may send
/// them only to who asks. `Connection: TE` does not go with it, as HTTP/1.1 would have it: over HTTP/2, which knows no
/// `Connection`, it would take the `TE` away.
///
/// A `Content-Length` beside a `Transfer-Encoding` is wrong, whatever it says (RFC 9112 §6.3): passed on without the
/// chunks it would cut the body.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> =
        tokens(headers, &header::CONNECTION).filter_map(|name| name.parse().ok()).collect();
    let chunked = headers.contains_key(header::TRANSFER_ENCODING);
    let mut takes_trailers =
        tokens(headers, &header::TE).any(|coding| coding.eq_ignore_ascii_case("trailers"));
    let ends_here = |name: &HeaderName| {
        is_hop_by_hop(name) || named.contains(name) || (chunked && name == header::CONTENT_LENGTH)
    };
    let all = std::mem::take(headers);
    headers.reserve(all.len());
    let mut last = None;
    for (name, value) in all {
        // A name is given once for all its values.
        if name.is_some() {
            last = name;
        }
        let Some(name) = last.as_ref() else { continue };
        if name == header::TE && std::mem::take(&mut takes_trailers) {
            headers.append(name, HeaderValue::from_static("trailers"));
        } else if !ends_here(name) {
            headers.append(name, value);
        }
    }
}

/// The members of a header that is a list.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

/// Whether something with this name is a credential. Gateways have names of their own for theirs, so what looks
/// like one counts as one; better a harmless header too few in a record than one key too many.
#[must_use]
pub fn is_credential(name: &str) -> bool {
    const TELLING: [&str; 9] =
        ["key", "auth", "token", "secret", "credential", "password", "cookie", "jwt", "signature"];
    let name = name.to_ascii_lowercase();
    let harmless = name.starts_with("anthropic-ratelimit-")
        || matches!(name.as_str(), "idempotency-key" | "www-authenticate");
    !harmless && TELLING.iter().any(|part| name.contains(part))
}

/// Whether a value is a credential, whatever its name.
fn is_credential_value(value: &HeaderValue) -> bool {
    let start = value.as_bytes().get(..7).unwrap_or_default().to_ascii_lowercase();
    start.starts_with(b"bearer ") || start.starts_with(b"basic ")
}

/// A path and query as a record keeps it: values of parameters that are credentials are left out.
#[must_use]
pub fn captured_path(path_and_query: &str) -> String {
    let Some((path, query)) = path_and_query.split_once('?') else { return path_and_query.to_owned() };
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if is_credential(name) => format!("{name}=…"),
        _ => pair.to_owned(),
    });
    format!("{path}?{}", pairs.collect::<Vec<_>>().join("&"))
}

/// The headers that a record keeps: all but credentials, in order.
#[must_use]
pub fn captured(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers
        .iter()
        .filter(|(name, value)| {
            !value.is_sensitive() && !is_credential(name.as_str()) && !is_credential_value(value)
        })
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect()
}

/// A header that names something of the client's: short text, or nothing.
#[must_use]
pub fn name_of(headers: &HeaderMap, name: &str) -> Option<String> {
    const LONGEST: usize = 128;
    let value = headers.get(name)?.to_str().ok()?.trim();
    (!value.is_empty() && value.len() <= LONGEST).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_connections_own_headers_are_taken_out() {
        let mut h = HeaderMap::new();
        for (k, v) in [
            ("connection", "keep-alive, X-Mine"),
            ("keep-alive", "timeout=5"),
            ("x-mine", "1"),
            ("transfer-encoding", "chunked"),
            ("accept-encoding", "gzip, br"),
            ("anthropic-beta", "a"),
            ("x-api-key", "k"),
        ] {
            h.insert(HeaderName::from_static(k), HeaderValue::from_static(v));
        }
        h.append("anthropic-beta", HeaderValue::from_static("b"));
        strip_hop_by_hop(&mut h);
        let left: Vec<_> = h.iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect();
        let want = [
            ("accept-encoding", "gzip, br"),
            ("anthropic-beta", "a"),
            ("anthropic-beta", "b"),
            ("x-api-key", "k"),
        ];
        assert_eq!(left, want, "in their order");
    }

    fn stripped(headers: &[(&'static str, &'static str)]) -> Vec<(String, String)> {
        let mut h = HeaderMap::new();
        for (k, v) in headers {
            h.append(HeaderName::from_static(k), HeaderValue::from_static(v));
        }
        strip_hop_by_hop(&mut h);
        h.iter().map(|(n, v)| (n.to_string(), v.to_str().unwrap().to_owned())).collect()
    }

    #[test]
    fn who_takes_trailers_says_so_upstream_and_nothing_else_of_te() {
        let te = ("te".to_owned(), "trailers".to_owned());
        let a = ("a".to_owned(), "b".to_owned());
        let listed = [("te", "gzip;q=0.5, Trailers"), ("te", "trailers"), ("a", "b"), ("connection", "te")];
        assert_eq!(stripped(&listed), [te, a]);
        assert_eq!(stripped(&[("te", "gzip, trailersx")]), []);
    }

    #[test]
    fn a_length_beside_chunks_is_not_passed_on() {
        let chunked = ("transfer-encoding", "chunked");
        assert_eq!(stripped(&[("content-length", "3"), chunked]), []);
        assert_eq!(stripped(&[("content-length", "3")]), [("content-length".to_owned(), "3".to_owned())]);
    }

    #[test]
    fn credentials_are_never_kept() {
        let mut h = HeaderMap::new();
        for k in [
            "authorization",
            "x-api-key",
            "cookie",
            "anthropic-admin-key",
            "x-goog-api-key",
            "x-amz-security-token",
            "ocp-apim-subscription-key",
            "helicone-auth",
            "x-functions-key",
        ] {
            h.insert(HeaderName::from_static(k), HeaderValue::from_static("canary"));
        }
        h.append("x-claude-code-session-id", HeaderValue::from_static("s"));
        h.append("x-mine", HeaderValue::from_static("Bearer canary"));
        h.append("anthropic-version", HeaderValue::from_static("2023-06-01"));
        let kept = captured(&h);
        assert_eq!(kept.len(), 2, "{kept:?}");
        assert!(kept.iter().all(|(_, v)| !v.ends_with(b"canary")));
        assert!(!is_credential("anthropic-ratelimit-input-tokens-remaining"));
        assert_eq!(captured_path("/v1/messages?beta=true&key=canary"), "/v1/messages?beta=true&key=…");
        assert_eq!(captured_path("/v1/messages"), "/v1/messages");
    }
}
