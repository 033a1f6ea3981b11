//! The proxy's listener: who is let in, and how a request goes on its way.
//!
//! Let in is who knows the path token and calls us by a loopback name; a browser never is. The token ends here:
//! neither upstream nor a record sees it.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::header::{HOST, HeaderValue, ORIGIN};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::tap::{ProxyBody, RequestBody, Tap, version};
use super::upstream::{Target, UpstreamClient, describe};
use super::{Gauges, headers, respond};
use crate::clock::Clock;
use crate::config::Capture;
use crate::ingest::Door;
use crate::ingest::record::{BodyV1, ExchangeV2, Outcome, RouteV1, Stored};

/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection may take to bring its first request when it was accepted just before nothing more is: the
/// request is on its way, and closing would lose it.
const FIRST_REQUEST: Duration = Duration::from_secs(1);
/// The path, behind the token, that we answer ourselves.
const PING: &str = "/.ccd/ping";

/// What may change while we run.
#[derive(Clone)]
pub struct Settings {
    /// Where requests go.
    pub target: Target,
    /// Limits of the capture.
    pub capture: Capture,
}

/// The proxy.
pub struct Proxy {
    client: UpstreamClient,
    token: String,
    ip: String,
    port: u16,
    settings: RwLock<Arc<Settings>>,
    door: Option<Door>,
    gauges: Arc<Gauges>,
    clock: Arc<dyn Clock>,
}

impl Proxy {
    /// A proxy that is reached at `listen` with `token`. Without a door it relays and captures nothing.
    #[must_use]
    pub fn new(
        client: UpstreamClient,
        token: String,
        listen: SocketAddr,
        settings: Settings,
        door: Option<Door>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        Arc::new(Proxy {
            client,
            token,
            ip: listen.ip().to_string(),
            port: listen.port(),
            settings: RwLock::new(Arc::new(settings)),
            door,
            gauges: Arc::default(),
            clock,
        })
    }

    /// Figures for `status`.
    #[must_use]
    pub fn gauges(&self) -> &Arc<Gauges> {
        &self.gauges
    }

    /// What is in force.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts other settings in force for the requests to come.
    pub fn set(&self, settings: Settings) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    /// Serves until `end`. From `stop` on, idle connections are ended, and what is under way finishes; whoever
    /// comes then is still answered, once: a port that refuses for minutes is worse than a late stop.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        tracker: TaskTracker,
        stop: CancellationToken,
        end: CancellationToken,
    ) {
        loop {
            let stream = tokio::select! {
                () = end.cancelled() => return,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        tracing::warn!(%error, "the proxy cannot accept");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
            };
            tracker.spawn(Arc::clone(&self).connection(stream, stop.clone()));
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, stop: CancellationToken) {
        // Events are small and must not wait for each other.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        self.gauges.connections.fetch_add(1, Ordering::Relaxed);
        let this = Arc::clone(&self);
        let first = Arc::new(Semaphore::new(0));
        let seen = Arc::clone(&first);
        let service = service_fn(move |request| {
            let this = Arc::clone(&this);
            seen.close();
            async move { Ok::<_, std::convert::Infallible>(this.handle(request).await) }
        });
        let late = stop.is_cancelled();
        let connection = http1::Builder::new()
            .keep_alive(!late)
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .preserve_header_case(true)
            // What upstream did not send is not added.
            .auto_date_header(false)
            .half_close(false)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let cut = self.gauges.cut.clone();
        let served = async {
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = stop.cancelled(), if !late => {
                    tokio::select! {
                        ended = connection.as_mut() => return ended,
                        _ = tokio::time::timeout(FIRST_REQUEST, first.acquire()) => {}
                    }
                    connection.as_mut().graceful_shutdown();
                    connection.as_mut().await
                }
            }
        };
        let ended = tokio::select! {
            ended = served => ended,
            () = cut.cancelled() => Ok(()),
        };
        if let Err(error) = ended {
            tracing::debug!(error = describe(&error), "a client connection ended in an error");
        }
        self.gauges.connections.fetch_sub(1, Ordering::Relaxed);
    }

    async fn handle(&self, request: Request<Incoming>) -> Response<ProxyBody> {
        if let Some(refusal) = self.refuse(&request) {
            return refusal;
        }
        let Some(path) = self.path_behind_token(&request) else {
            return respond::empty(StatusCode::NOT_FOUND);
        };
        if path.split('?').next() == Some(PING) {
            return respond::pong();
        }
        if has_dot_segments(&path) {
            return respond::error(StatusCode::BAD_REQUEST, "path", "the path has dot segments");
        }
        self.gauges.last_request_ns.store(self.clock.now_ns(), Ordering::Relaxed);
        self.forward(request, &path).await
    }

    /// Who is not let in: other hosts' names (DNS rebinding), browsers, and methods that are no requests to
    /// the API.
    fn refuse(&self, request: &Request<Incoming>) -> Option<Response<ProxyBody>> {
        if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
            return Some(respond::empty(StatusCode::METHOD_NOT_ALLOWED));
        }
        if request.uri().scheme().is_some() {
            return Some(respond::empty(StatusCode::BAD_REQUEST));
        }
        let mut hosts = request.headers().get_all(HOST).iter();
        let host = hosts.next().and_then(|h| h.to_str().ok()).unwrap_or("");
        let known = host.rsplit_once(':').is_some_and(|(name, port)| {
            (matches!(name, "127.0.0.1" | "localhost" | "[::1]") || name == self.ip)
                && port.parse() == Ok(self.port)
        });
        if !known || hosts.next().is_some() {
            return Some(respond::empty(StatusCode::MISDIRECTED_REQUEST));
        }
        // Not every `Sec-Fetch-*`: Node's own fetch sends `Sec-Fetch-Mode`, and is no web page.
        let browser =
            request.headers().contains_key(ORIGIN) || request.headers().contains_key("sec-fetch-site");
        browser.then(|| respond::empty(StatusCode::FORBIDDEN))
    }

    /// Path and query behind `/TOKEN`, byte for byte.
    fn path_behind_token(&self, request: &Request<Incoming>) -> Option<String> {
        let whole = request.uri().path_and_query()?.as_str();
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

    async fn forward(&self, request: Request<Incoming>, path: &str) -> Response<ProxyBody> {
        let settings = self.settings();
        let Some(uri) = settings.target.uri(path) else {
            return respond::error(StatusCode::BAD_REQUEST, "path", "the path is not a valid URI");
        };
        let (mut parts, body) = request.into_parts();
        let record = self.record(&parts, path, &settings.target);
        let tap = Tap::new(record, settings.capture, self.door.clone(), Arc::clone(&self.gauges));

        headers::strip_hop_by_hop(&mut parts.headers);
        if let Ok(host) = HeaderValue::from_str(settings.target.authority().as_str()) {
            parts.headers.insert(HOST, host);
        }
        parts.uri = uri;
        parts.version = http::Version::HTTP_11;
        let request = Request::from_parts(parts, RequestBody::new(body, Arc::clone(&tap)));
        match self.client.request(request).await {
            Ok(response) => {
                let (mut parts, body) = response.into_parts();
                tap.head(&parts);
                headers::strip_hop_by_hop(&mut parts.headers);
                parts.version = http::Version::HTTP_11;
                Response::from_parts(parts, ProxyBody::tapped(body, tap))
            }
            Err(error) => {
                let cause = describe(&error);
                let status = if error.is_connect() || !cause.contains("timed out") {
                    StatusCode::BAD_GATEWAY
                } else {
                    StatusCode::GATEWAY_TIMEOUT
                };
                tracing::warn!(upstream = %settings.target, error = cause, "upstream failed");
                let message = format!("no answer from {}: {cause}", settings.target);
                let response = respond::error(status, "upstream", &message);
                tap.failed(status.as_u16(), &cause, &response.body().own_bytes());
                response
            }
        }
    }

    fn record(&self, parts: &http::request::Parts, path: &str, target: &Target) -> ExchangeV2 {
        let none = || BodyV1 { seen: 0, kept: 0, stored: Stored::Inline(Vec::new()) };
        ExchangeV2 {
            id: uuid::Uuid::now_v7().into_bytes(),
            session_id: headers::name_of(&parts.headers, "x-claude-code-session-id"),
            agent_id: headers::name_of(&parts.headers, "x-claude-code-agent-id"),
            parent_agent_id: headers::name_of(&parts.headers, "x-claude-code-parent-agent-id"),
            method: parts.method.as_str().to_owned(),
            path: headers::captured_path(path),
            upstream: target.to_string(),
            client_http: version(parts.version),
            upstream_http: 0,
            started_ns: self.clock.now_ns(),
            request_end_us: None,
            head_us: None,
            first_byte_us: None,
            end_us: 0,
            status: None,
            outcome: Outcome::Complete,
            error: None,
            request_headers: headers::captured(&parts.headers),
            response_headers: Vec::new(),
            response_trailers: Vec::new(),
            request: none(),
            response: none(),
            marks: Vec::new(),
            route: RouteV1::default(),
        }
    }
}

/// Compares without telling by its time how much was right.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |diff, (x, y)| diff | (x ^ y)) == 0
}

/// Whether a path has `.` or `..` segments, written out or encoded: upstream could resolve them out of the
/// prefix.
fn has_dot_segments(path_and_query: &str) -> bool {
    let path = path_and_query.split('?').next().unwrap_or("");
    path.split('/').any(|segment| {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        plain == "." || plain == ".."
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_segments_are_seen_in_every_spelling() {
        for bad in ["/v1/../x", "/%2e%2E/x", "/./x", "/a/.%2e", "/.."] {
            assert!(has_dot_segments(bad), "{bad}");
        }
        for good in ["/v1/messages?x=/../", "/a..b/c", "/...", "/.ccd/ping"] {
            assert!(!has_dot_segments(good), "{good}");
        }
    }

    #[test]
    fn comparison_is_exact() {
        assert!(same(b"abc", b"abc"));
        assert!(!same(b"abc", b"abd") && !same(b"ab", b"abc"));
    }
}
