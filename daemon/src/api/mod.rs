//! The control API: HTTP/1.1 and JSON, on `ccd.sock` and behind the web door.
//!
//! Only our own user is heard. On the socket a browser never is: requests with `Origin` or `Referer`, or with a foreign
//! `Host`, are refused before anything else. The web door has its own guard, and what reaches it may look at everything and
//! change almost nothing. Versions go both ways in headers, so that a newer or older
//! command line can say so instead of misreading.

mod analyze;
mod body;
mod detections;
mod export;
mod follow;
mod forward;
mod light;
pub mod live;
mod otel;
mod questions;
mod routes;
mod search;
mod statusline;
mod store;
mod tokens;
mod vault;
mod web;

use std::sync::Arc;

use ccd_proto::api::{ErrorReply, Reply};
use http::header::{CONTENT_TYPE, HOST, HeaderValue, ORIGIN, REFERER};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::UnixListener;

use crate::app::Running;
use crate::query::QueryError;
use crate::source::hook::peer_is_us;
pub(crate) use body::ApiBody;

/// Names that the socket answers to.
const HOSTS: [&str; 4] = ["ccd", "ccd.local", "localhost", "127.0.0.1"];

/// Serves until it is aborted: the control socket outlives everything else.
pub async fn serve(listener: UnixListener, app: Arc<Running>) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the control socket cannot accept");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        if !peer_is_us(&stream) {
            tracing::warn!("another user's connection to the control socket was refused");
            continue;
        }
        let app = Arc::clone(&app);
        tokio::spawn(async move {
            let who = crate::vault::who::of(&stream);
            let service = service_fn(|mut request: Request<Incoming>| {
                request.extensions_mut().insert(who.clone());
                let app = Arc::clone(&app);
                async move { Ok::<_, std::convert::Infallible>(answer(app, request).await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(std::time::Duration::from_secs(10))
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a control connection ended in an error");
            }
        });
    }
}

/// By which door a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    /// The socket.
    Socket,
    /// The web port.
    Web,
}

async fn answer(app: Arc<Running>, request: Request<Incoming>) -> Response<ApiBody> {
    match refuse(&request) {
        Some(error) => versioned(error_response(error)),
        None => answer_at(Door::Socket, app, request).await,
    }
}

/// Answers a request that the web door's guard has admitted.
pub(crate) async fn answer_web(app: Arc<Running>, request: Request<Incoming>) -> Response<ApiBody> {
    match other_language(request.uri().path(), request.headers()) {
        Some(error) => versioned(error_response(error)),
        None => answer_at(Door::Web, app, request).await,
    }
}

async fn answer_at(door: Door, app: Arc<Running>, request: Request<Incoming>) -> Response<ApiBody> {
    // The body that goes with HEAD is left out by the connection, which takes the length from it.
    versioned(routes::route(door, app, request).await.unwrap_or_else(error_response))
}

fn versioned(mut response: Response<ApiBody>) -> Response<ApiBody> {
    let headers = response.headers_mut();
    headers.insert("ccd-version", HeaderValue::from_static(ccd_proto::VERSION));
    headers.insert("ccd-api", HeaderValue::from(ccd_proto::API_VERSION));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}

fn refuse(request: &Request<Incoming>) -> Option<QueryError> {
    let headers = request.headers();
    let forbidden = |why: &str| Some(QueryError::new(StatusCode::FORBIDDEN, "forbidden", why));
    if headers.contains_key(ORIGIN) || headers.contains_key(REFERER) {
        return forbidden("requests from web pages are refused");
    }
    let host = headers.get(HOST).and_then(|h| h.to_str().ok()).unwrap_or("");
    if !HOSTS.contains(&host) {
        return forbidden("foreign Host");
    }
    other_language(request.uri().path(), headers)
}

/// Paths that clients of every version are answered on: what the daemon is, and to stop it, so that it can be replaced.
const FOR_ALL: [&str; 2] = ["/v0/status", "/v0/stop"];

/// A client that names another version of this API would misread the answer. One that names none knows what it does.
fn other_language(path: &str, headers: &http::HeaderMap) -> Option<QueryError> {
    let theirs = headers.get("ccd-api").filter(|api| **api != ccd_proto::API_VERSION.to_string().as_str())?;
    if FOR_ALL.contains(&path) {
        return None;
    }
    let text = |value: Option<&HeaderValue>| {
        value.and_then(|v| v.to_str().ok()).unwrap_or("of an unknown version").to_owned()
    };
    let (version, api) = (text(headers.get("ccd-version")), text(Some(theirs)));
    let mut error = QueryError::new(
        StatusCode::CONFLICT,
        "api_version",
        format!(
            "this ccctl is {version} with control API {api}, the daemon is ccd {} with {}: they do not understand each \
             other",
            ccd_proto::VERSION,
            ccd_proto::API_VERSION
        ),
    );
    error.error.hint =
        Some("`ccctl restart` starts the ccd that lies beside this ccctl; no stream is cut".into());
    Some(error)
}

/// A reply object as JSON.
fn json<T: Serialize>(body: T) -> Result<Response<ApiBody>, QueryError> {
    let bytes = serde_json::to_vec(&Reply::new(body))
        .map_err(|e| QueryError::new(StatusCode::INTERNAL_SERVER_ERROR, "encode", e.to_string()))?;
    Ok(with_type("application/json", ApiBody::full(bytes)))
}

fn with_type(content_type: &'static str, body: ApiBody) -> Response<ApiBody> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn error_response(error: QueryError) -> Response<ApiBody> {
    let body = serde_json::to_vec(&ErrorReply { error: error.error }).unwrap_or_default();
    let mut response = with_type("application/json", ApiBody::full(body));
    *response.status_mut() = error.status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_of_another_version_are_told_so_and_may_still_look_and_stop() {
        let headers = |api: Option<&str>| {
            let named = api.into_iter().flat_map(|api| [("ccd-version", "9.9.9"), ("ccd-api", api)]);
            named.map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())).collect::<http::HeaderMap>()
        };
        let own = ccd_proto::API_VERSION.to_string();
        assert!(other_language("/v0/sessions", &headers(None)).is_none(), "curl knows what it does");
        assert!(other_language("/v0/sessions", &headers(Some(&own))).is_none());
        for api in ["0", "2", "x"] {
            for path in FOR_ALL {
                assert!(other_language(path, &headers(Some(api))).is_none(), "{path}");
            }
            let refused = other_language("/v0/sessions", &headers(Some(api))).unwrap();
            assert_eq!((refused.status, refused.error.code.as_str()), (StatusCode::CONFLICT, "api_version"));
            assert!(refused.error.message.contains("9.9.9") && refused.error.hint.is_some());
        }
    }
}
