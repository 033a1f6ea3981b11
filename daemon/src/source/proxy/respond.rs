//! Answers of our own: to what is not for the API, and to what could not reach it.
//!
//! Errors have the API's own shape, so that the client shows their text, and carry `x-ccd-error`, so that they
//! are never taken for the API's.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use super::body::ProxyBody;

/// An answer without a body.
#[must_use]
pub fn empty(status: StatusCode) -> Response<ProxyBody> {
    let mut response = Response::new(ProxyBody::own(Bytes::new()));
    *response.status_mut() = status;
    response
}

/// The answer to a ping of ours: the whole way through the listener works.
#[must_use]
pub fn pong() -> Response<ProxyBody> {
    let mut response = empty(StatusCode::NO_CONTENT);
    response.headers_mut().insert("ccd-version", HeaderValue::from_static(ccd_proto::VERSION));
    response
}

/// An error in the API's shape.
#[must_use]
pub fn error(status: StatusCode, code: &'static str, message: &str) -> Response<ProxyBody> {
    of_kind(status, code, "api_error", message)
}

/// A request whose body is larger than we let through.
#[must_use]
pub fn too_large(limit: u64) -> Response<ProxyBody> {
    let message = format!("the request's body is larger than {} MiB", limit >> 20);
    of_kind(StatusCode::PAYLOAD_TOO_LARGE, "body", "request_too_large", &message)
}

/// The body of an error in the API's shape; `kind` is one of the API's.
#[must_use]
pub fn error_body(kind: &str, message: &str) -> String {
    let error = serde_json::json!({ "type": kind, "message": format!("ccd: {message}") });
    serde_json::json!({ "type": "error", "error": error }).to_string()
}

fn of_kind(status: StatusCode, code: &'static str, kind: &str, message: &str) -> Response<ProxyBody> {
    let body = error_body(kind, message);
    let mut response = Response::new(ProxyBody::own(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("x-ccd-error", HeaderValue::from_static(code));
    response
}
