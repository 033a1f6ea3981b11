//! The way to the API: a pooled client over HTTP/1.1 or 2, with rustls and the platform's trust roots.
//!
//! Requests are never repeated by us (a POST is not ours to repeat) except where the pool's connection turned
//! out closed before a byte was sent. Redirects are passed through. Only connecting has a time limit: how long
//! an answer may take is between the client and the API.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;

use super::dial::Dial;
use super::tap::RequestBody;

/// How long a TCP connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an unused connection is kept; below the API's own limit.
const IDLE: Duration = Duration::from_secs(55);

/// How often an HTTP/2 connection in use is asked whether it is still there.
const PING_EVERY: Duration = Duration::from_secs(15);
/// How long it may take to answer.
const PING_PATIENCE: Duration = Duration::from_secs(10);

/// The client to the API.
pub type UpstreamClient = Client<HttpsConnector<Dial>, RequestBody>;

/// TLS with the platform's trust roots. A machine without any still reaches an upstream of plain HTTP; over
/// TLS it gets errors that name the missing roots.
fn tls_config() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    match builder.clone().try_with_platform_verifier() {
        Ok(verified) => Ok(verified.with_no_client_auth()),
        Err(error) => {
            tracing::error!(%error, "no trust roots on this machine: no upstream can be reached over TLS");
            Ok(builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
        }
    }
}

/// Builds the client.
pub fn client(proxies: Arc<Matcher>) -> Result<UpstreamClient, rustls::Error> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    tcp.set_keepalive(Some(Duration::from_secs(60)));
    #[cfg(target_os = "linux")]
    tcp.set_tcp_user_timeout(Some(CONNECT_TIMEOUT));
    let tls = HttpsConnectorBuilder::new()
        .with_tls_config(tls_config()?)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(Dial::new(tcp, proxies));
    Ok(Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE)
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .http1_preserve_header_case(true)
        // One connection carries every session: a dead one (sleep, another network) must be noticed.
        .http2_keep_alive_interval(Some(PING_EVERY))
        .http2_keep_alive_timeout(PING_PATIENCE)
        .build(tls))
}

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

/// An error with its causes, in one line.
pub fn describe(error: &(dyn std::error::Error + 'static)) -> String {
    let mut out = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !out.ends_with(&text) {
            out.push_str(": ");
            out.push_str(&text);
        }
        source = cause.source();
    }
    out
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
