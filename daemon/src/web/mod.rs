//! The web door: HTTP/1.1 on a loopback port, for browsers.
//!
//! Must never keep the daemon from starting, or anything else from working: a port that is taken is told in `status`
//! and tried again. Must never be answered to another user, to another site's page, or by another name than ours
//! ([`guard`]).

mod guard;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::source::proxy::peer::{Peer, Peers};
use crate::startup;
use crate::supervise::listeners::{Holder, Listener};
use guard::Guard;

/// Connections at a time; the others wait in the listener's queue.
const CONNECTIONS: usize = 128;
/// How long a connection may take to bring a request.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest head of a request, in bytes.
const HEAD: usize = 64 << 10;
/// How long nothing is accepted after that failed: the system is out of something, files most likely.
const PAUSE: Duration = Duration::from_millis(100);
/// How long answers under way may take once the door closes.
const LAST: Duration = Duration::from_secs(2);

/// The door, open or not.
#[derive(Default)]
pub struct Web {
    state: Mutex<State>,
    closing: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Default)]
struct State {
    open: Option<(SocketAddr, Holder)>,
    error: Option<String>,
}

impl Web {
    /// Where it is open.
    #[must_use]
    pub fn listen(&self) -> Option<SocketAddr> {
        self.state().open.map(|(listen, _)| listen)
    }

    /// Who holds its listener.
    #[must_use]
    pub fn holder(&self) -> Option<Holder> {
        self.state().open.map(|(_, holder)| holder)
    }

    /// Why it is not open.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        self.state().error.clone()
    }

    /// Opens on the listener that was handed to us, else on one of our own. Nothing to do where it is open already.
    pub fn open(self: &Arc<Self>, given: Option<Listener>, wanted: SocketAddr) {
        let mut state = self.state();
        if state.open.is_some() || self.closing.is_cancelled() {
            return;
        }
        let own = || startup::listen_as(wanted, "web").map(|socket| Listener { socket, holder: Holder::Own });
        let opened = given.map_or_else(own, Ok).map_err(|e| e.to_string()).and_then(|listener| {
            let holder = listener.holder;
            let socket = TcpListener::from_std(listener.socket).map_err(|e| e.to_string())?;
            let listen = socket.local_addr().map_err(|e| e.to_string())?;
            Ok((socket, listen, holder))
        });
        match opened {
            Ok((socket, listen, holder)) => {
                *state = State { open: Some((listen, holder)), error: None };
                self.tasks.spawn(Arc::clone(self).serve(socket, Guard::new(listen)));
            }
            Err(error) => {
                if state.error.as_ref() != Some(&error) {
                    tracing::warn!(error, "the web pages cannot be served");
                }
                state.error = Some(error);
            }
        }
    }

    /// Accepts nothing more, and lets go of the listener. What is under way is waited for, shortly.
    pub async fn close(&self) {
        self.closing.cancel();
        self.tasks.close();
        let _ = tokio::time::timeout(LAST, self.tasks.wait()).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(self: Arc<Self>, listener: TcpListener, guard: Guard) {
        let (room, guard) = (Arc::new(Semaphore::new(CONNECTIONS)), Arc::new(guard));
        let us = rustix::process::geteuid().as_raw();
        let (mut peers, mut failing) = (Peers::default(), false);
        loop {
            let accepted = async {
                let place = Arc::clone(&room).acquire_owned().await;
                (place, listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                () = self.closing.cancelled() => return,
                accepted = accepted => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, "the web door cannot accept");
                    }
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            failing = false;
            match peers.owner(&stream, peer) {
                owner if owner.is_welcome(us) => {}
                Peer::Gone => continue,
                owner => {
                    tracing::warn!(?owner, "another user's connection to the web door was refused");
                    continue;
                }
            }
            let (guard, closing) = (Arc::clone(&guard), self.closing.clone());
            self.tasks.spawn(async move {
                connection(stream, guard, closing).await;
                drop(place);
            });
        }
    }
}

async fn connection(stream: TcpStream, guard: Arc<Guard>, closing: CancellationToken) {
    let service = service_fn(|request| {
        let answer = answer(&guard, &request);
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.as_mut().await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a web connection ended in an error");
    }
}

/// Answers a request: the body is not looked at.
fn answer<B>(guard: &Guard, request: &Request<B>) -> Response<Full<Bytes>> {
    let (status, kind, text) = match guard.check(request) {
        Err(status) => (status, TEXT, format!("{status}\n")),
        Ok(()) => page(request.uri().path()),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    guard::protect(status, response.headers_mut());
    response
}

const TEXT: &str = "text/plain; charset=utf-8";

/// What lies at a path.
fn page(path: &str) -> (StatusCode, &'static str, String) {
    match path {
        "/health" => {
            let body = serde_json::json!({ "ccd": ccd_proto::VERSION });
            (StatusCode::OK, "application/json", format!("{body}\n"))
        }
        // What was asked for is not repeated: it may be anybody's text.
        _ => (
            StatusCode::NOT_FOUND,
            TEXT,
            "ccd: no such page. What was captured is shown by `ccctl traces`.\n".into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn ask(method: &str, path: &str) -> (StatusCode, String, String) {
        let guard = Guard::new("127.0.0.1:7789".parse().unwrap());
        let request = Request::builder().method(method).uri(path).header("host", "localhost:7789");
        let response = answer(&guard, &request.body(()).unwrap());
        assert!(response.headers().contains_key("content-security-policy"));
        let kind = response.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, kind, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn health_is_told_and_everything_else_is_no_page() {
        let (status, kind, body) = ask("GET", "/health?x=1").await;
        assert_eq!((status, kind.as_str()), (StatusCode::OK, "application/json"));
        assert_eq!(body, format!("{{\"ccd\":\"{}\"}}\n", ccd_proto::VERSION));
        for path in ["/", "/healthz", "/%3Cscript%3E", "/health/"] {
            let (status, kind, body) = ask("GET", path).await;
            assert_eq!((status, kind.as_str()), (StatusCode::NOT_FOUND, TEXT), "{path}");
            assert!(
                body.contains("no such page") && body.contains("`ccctl traces`") && !body.contains("script")
            );
        }
        assert_eq!(ask("POST", "/health").await.0, StatusCode::METHOD_NOT_ALLOWED);
    }
}
