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
    let body = serde_json::json!({
        "type": "error",
        "error": { "type": "api_error", "message": format!("ccd: {message}") },
    });
    let mut response = Response::new(ProxyBody::own(body.to_string().into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("x-ccd-error", HeaderValue::from_static(code));
    response
}
