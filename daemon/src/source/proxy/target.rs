//! Where requests go: fixed by the configuration, whatever a request says.

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    scheme: Scheme,
    authority: Authority,
    /// Path prefix without a closing slash.
    prefix: String,
}

impl Target {
    /// From the configured base URL. `None` where it lacks scheme or host.
    #[must_use]
    pub fn new(base: &Uri) -> Option<Self> {
        Some(Target {
            scheme: base.scheme()?.clone(),
            authority: base.authority()?.clone(),
            prefix: base.path().trim_end_matches('/').to_owned(),
        })
    }

    /// The base URL.
    #[must_use]
    pub(super) fn base(&self) -> Uri {
        self.uri("/").unwrap_or_default()
    }

    /// The host as the `Host` header has it.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The URI of a path and query, byte for byte behind the prefix. `None` where it is no path.
    #[must_use]
    pub fn uri(&self, path_and_query: &str) -> Option<Uri> {
        let joined: PathAndQuery = format!("{}{path_and_query}", self.prefix).parse().ok()?;
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(joined);
        Uri::from_parts(parts).ok()
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_goes_behind_the_prefix_as_it_is() {
        let t = |base: &str| Target::new(&base.parse().unwrap()).unwrap();
        let plain = t("https://api.anthropic.com");
        assert_eq!(plain.to_string(), "https://api.anthropic.com");
        assert_eq!(
            plain.uri("/v1/messages?beta=true").unwrap().to_string(),
            "https://api.anthropic.com/v1/messages?beta=true"
        );
        let prefixed = t("http://gw:8080/anthropic/");
        assert_eq!(prefixed.uri("/v1/a%2Fb//c").unwrap().to_string(), "http://gw:8080/anthropic/v1/a%2Fb//c");
        assert!(plain.uri("/\u{7f}").is_none());
    }
}
