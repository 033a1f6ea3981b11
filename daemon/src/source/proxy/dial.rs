//! How a connection to upstream is made: directly, or through the HTTP proxy of the user's network.
//!
//! An `https` upstream goes through `HTTPS_PROXY` by CONNECT, so TLS is with upstream and the proxy sees nothing
//! of it; `NO_PROXY` is honoured. Plain `http` upstreams are dialled directly.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use http::uri::Scheme;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

/// Makes connections.
#[derive(Clone)]
pub struct Dial {
    tcp: HttpConnector,
    proxies: Arc<Matcher>,
}

impl Dial {
    /// Dials with `tcp`, through what `proxies` says.
    #[must_use]
    pub fn new(tcp: HttpConnector, proxies: Arc<Matcher>) -> Self {
        Dial { tcp, proxies }
    }
}

/// Why no connection could be made.
type DialError = Box<dyn std::error::Error + Send + Sync>;

impl Service<Uri> for Dial {
    type Response = TokioIo<TcpStream>;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, DialError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let proxy = if to.scheme() == Some(&Scheme::HTTPS) { self.proxies.intercept(&to) } else { None };
        let Some(proxy) = proxy else {
            let connecting = self.tcp.call(to);
            return Box::pin(async move { Ok(connecting.await?) });
        };
        let mut tunnel = Tunnel::new(proxy.uri().clone(), self.tcp.clone());
        if let Some(auth) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(auth.clone());
        }
        let connecting = tunnel.call(to);
        Box::pin(async move {
            connecting.await.map_err(|e| DialError::from(format!("through the proxy of the network: {e}")))
        })
    }
}
