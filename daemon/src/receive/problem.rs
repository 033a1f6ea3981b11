//! Why what was handed in is not taken, as an answer.
//!
//! One object, the same for every refusal: `{"error":{"code","message","hint"?,"path"?},"detail"}`, where `path` is the
//! JSON path of the first field that is wrong, and `detail` the same in one line, as the platform's clients print it. Must
//! never repeat what was sent: it may be anybody's text; of a path only the names that we know, and numbers.

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};

use crate::api::ApiBody;

/// Why something is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The status that fits.
    pub status: StatusCode,
    /// Stable name.
    pub code: &'static str,
    /// In words.
    pub message: String,
    /// What to do about it.
    pub hint: Option<&'static str>,
    /// Of the first field that is wrong: `$.traces[3].timestamp`.
    pub path: Option<String>,
    /// The methods that this path has, where the method was wrong.
    pub allow: &'static str,
    /// Seconds until it may be tried again.
    pub retry_after: Option<u64>,
    /// Whether the connection ends: where the next request begins cannot be told, or is not waited for.
    pub close: bool,
}

impl Problem {
    /// One.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Problem { status, code, message, hint: None, path: None, allow: "", retry_after: None, close: false }
    }

    /// A field is wrong.
    #[must_use]
    pub fn field(path: impl Into<String>, message: impl Into<String>) -> Self {
        Problem { path: Some(path.into()), ..Self::new(StatusCode::BAD_REQUEST, "bad_request", message) }
    }

    /// The body is longer than it may be.
    #[must_use]
    pub fn too_long() -> Self {
        let text = "the body is too long: 10 MiB at most, unpacked too";
        Problem { close: true, ..Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_long", text) }
    }

    /// No good token was shown.
    #[must_use]
    pub fn unauthorized(message: &str) -> Self {
        let hint = Some("`ccctl token create NAME` makes one");
        Problem { hint, ..Self::new(StatusCode::UNAUTHORIZED, "token_needed", message) }
    }

    /// It cannot be taken now.
    #[must_use]
    pub fn later(message: &str) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message);
        Problem { retry_after: Some(5), ..problem }
    }

    pub(super) fn method(allow: &'static str) -> Self {
        let text = "this is not for that method here";
        Problem { allow, ..Self::new(StatusCode::METHOD_NOT_ALLOWED, "method", text) }
    }

    /// As an answer.
    pub(crate) fn answer(&self) -> Response<ApiBody> {
        let mut error = serde_json::json!({ "code": self.code, "message": self.message });
        if let Some(hint) = self.hint {
            error["hint"] = hint.into();
        }
        let mut detail = self.message.clone();
        if let Some(path) = &self.path {
            error["path"] = path.clone().into();
            detail = format!("{path}: {detail}");
        }
        let mut response = json(self.status, &serde_json::json!({ "error": error, "detail": detail }));
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"ccd\""));
        }
        if !self.allow.is_empty() {
            headers.insert(ALLOW, HeaderValue::from_static(self.allow));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// An object as an answer.
pub(crate) fn json(status: StatusCode, body: &serde_json::Value) -> Response<ApiBody> {
    let mut response = Response::new(ApiBody::Full(Some(Bytes::from(body.to_string()))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
