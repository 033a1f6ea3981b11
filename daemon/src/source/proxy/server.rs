//! The proxy: what it is made of, and how a request that came in is answered.
//!
//! `accept` takes connections in, `intake` lets sound requests through, `admit` says whose; what is let in goes to
//! upstream here.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};

use http::header::{HOST, HeaderValue};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;

use super::admit::{Admission, Admitted, declared};
use super::bypass::Bypass;
use super::limits::Limits;
use super::tap::{ProxyBody, RequestBody, Tap, version};
use super::upstream::{Target, UpstreamClient, describe};
use super::{Gauges, headers, respond};
use crate::clock::Clock;
use crate::config::Capture;
use crate::ingest::record::{BodyV1, ExchangeV2, Outcome, RouteV1, Stored};

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
    admission: Admission,
    pub(super) limits: Limits,
    settings: RwLock<Arc<Settings>>,
    bypass: Bypass,
    gauges: Arc<Gauges>,
    clock: Arc<dyn Clock>,
}

impl Proxy {
    /// A proxy that is reached at `listen` with `token`, keeps its clients within `limits`, and captures as `bypass`
    /// says.
    #[must_use]
    pub fn new(
        client: UpstreamClient,
        token: String,
        listen: SocketAddr,
        limits: Limits,
        settings: Settings,
        bypass: Bypass,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        let proxy = Proxy {
            client,
            admission: Admission::new(listen, token),
            limits,
            settings: RwLock::new(Arc::new(settings.clone())),
            bypass,
            gauges: Arc::default(),
            clock,
        };
        proxy.set(settings);
        Arc::new(proxy)
    }

    /// Whether exchanges are captured, and how many are not.
    #[must_use]
    pub fn bypass(&self) -> &Bypass {
        &self.bypass
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

    /// Puts other settings in force for the requests to come, as far as the memory that we may use allows.
    pub fn set(&self, mut settings: Settings) {
        settings.capture = self.bypass.budget().capture(settings.capture);
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    /// Answers a request: by ourselves, or by upstream.
    pub(super) async fn handle(&self, request: Request<Incoming>) -> Response<ProxyBody> {
        let path = match self.admission.check(&request) {
            Ok(Admitted::Forward(path)) => path,
            Ok(Admitted::Ping) => return respond::pong(),
            Err(status) => return respond::empty(status),
        };
        if declared(request.headers()).is_some_and(|length| length > self.limits.body_bytes) {
            return respond::too_large(self.limits.body_bytes);
        }
        self.gauges.last_request_ns.store(self.clock.now_ns(), Ordering::Relaxed);
        self.forward(request, &path).await
    }

    async fn forward(&self, request: Request<Incoming>, path: &str) -> Response<ProxyBody> {
        let settings = self.settings();
        let Some(uri) = settings.target.uri(path) else {
            return respond::error(StatusCode::BAD_REQUEST, "path", "the path is not a valid URI");
        };
        let (mut parts, body) = request.into_parts();
        let record = self.record(&parts, path, &settings.target);
        let tap = Tap::new(record, settings.capture, self.bypass.door(), Arc::clone(&self.gauges));

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
