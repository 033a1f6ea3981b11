//! Headers: which of them end at a proxy, and which may be kept.
//!
//! Credentials never reach a record: [`captured`] is the only way from a header map to one, and leaves them out.

use http::HeaderMap;
use http::header::{self, HeaderName};

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

/// Takes the hop-by-hop headers out, those that `Connection` names included. The others keep their order, which
/// `HeaderMap::remove` would not: it moves the last one into the gap.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let ends_here = |name: &HeaderName| {
        // `Proxy-Authorization` is meant for us, should anybody send it: a credential that ends here.
        HOP_BY_HOP.contains(name) || named.contains(name) || name == header::PROXY_AUTHORIZATION
    };
    let all = std::mem::take(headers);
    headers.reserve(all.len());
    let mut last = None;
    for (name, value) in all {
        // A name is given once for all its values.
        if name.is_some() {
            last = name;
        }
        if let Some(name) = last.as_ref().filter(|name| !ends_here(name)) {
            headers.append(name, value);
        }
    }
}

/// Whether a header carries a credential.
#[must_use]
pub fn is_credential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    matches!(
        name.as_str(),
        "authorization" | "proxy-authorization" | "cookie" | "set-cookie" | "x-api-key" | "api-key"
    ) || (name.starts_with("anthropic-") && name.ends_with("-key"))
        || name.ends_with("-token")
        || name.ends_with("-secret")
        || name.ends_with("api-key")
}

/// The headers that a record keeps: all but credentials, in order.
#[must_use]
pub fn captured(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers
        .iter()
        .filter(|(name, value)| !value.is_sensitive() && !is_credential(name.as_str()))
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
    use http::HeaderValue;

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
        ] {
            h.insert(HeaderName::from_static(k), HeaderValue::from_static("canary"));
        }
        h.append("x-claude-code-session-id", HeaderValue::from_static("s"));
        h.append("anthropic-version", HeaderValue::from_static("2023-06-01"));
        let kept = captured(&h);
        assert_eq!(kept.len(), 2, "{kept:?}");
        assert!(kept.iter().all(|(_, v)| v != b"canary"));
    }
}
