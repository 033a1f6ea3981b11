//! The proxy: what it is made of, and how a request that came in is answered.
//!
//! `accept` takes connections in, `intake` lets sound requests through, `admit` says whose; what is let in goes to
//! upstream here.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use http::{Request, Response};
use hyper::body::Incoming;

use super::admit::{Admission, Admitted, declared};
use super::body::ProxyBody;
use super::bypass::Bypass;
use super::limits::Limits;
use super::upstream::Upstream;
use super::{Gauges, respond};
use crate::clock::Clock;
use crate::config::Capture;

/// What may change while we run.
#[derive(Clone)]
pub struct Settings {
    /// Where requests go.
    pub upstream: Arc<Upstream>,
    /// Limits of the capture.
    pub capture: Capture,
}

/// The proxy.
pub struct Proxy {
    admission: Admission,
    pub(super) limits: Limits,
    settings: RwLock<Arc<Settings>>,
    pub(super) bypass: Bypass,
    pub(super) gauges: Arc<Gauges>,
    handing_over: AtomicBool,
    pub(super) clock: Arc<dyn Clock>,
}

impl Proxy {
    /// A proxy that is reached at `listen` with `token`, keeps its clients within `limits`, and captures as `bypass`
    /// says.
    #[must_use]
    pub fn new(
        token: String,
        listen: SocketAddr,
        limits: Limits,
        settings: Settings,
        bypass: Bypass,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        let proxy = Proxy {
            admission: Admission::new(listen, token),
            limits,
            settings: RwLock::new(Arc::new(settings.clone())),
            bypass,
            gauges: Arc::default(),
            handing_over: AtomicBool::new(false),
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

    /// Another daemon takes new connections from now on: clients are to go there, without losing a request on the way.
    pub fn hand_over(&self) {
        self.handing_over.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_handing_over(&self) -> bool {
        self.handing_over.load(Ordering::Relaxed)
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
}
