//! What is answered at the web door: our own files, the way in, and the questions of the control API.
//!
//! Everything passes [`Guard`] first. What streams ends when the browser goes, when the daemon ends, and when all logins
//! are ended. Must never serve what was captured as anything that a browser could run or show as a page of ours.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use ccd_proto::api::{ApiError, ErrorReply};
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_DISPOSITION, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue,
    IF_NONE_MATCH, RETRY_AFTER, SET_COOKIE, VARY,
};
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::assets::{self, Asset};
use super::guard::{self, Denial, Entry, Guard, LONGEST, Refusal};
use super::login::{Known, Logins, Pass, Refused};
use super::room::{Busy, Line};
use crate::api::{self, ApiBody};
use crate::app::Running;
use crate::receive;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";
/// How long a body that was announced may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What stands behind one listener.
pub(super) struct Door {
    pub(super) guard: Guard,
    pub(super) logins: Arc<Logins>,
    pub(super) app: Weak<Running>,
    pub(super) closing: CancellationToken,
}

/// What `POST /login` is sent.
#[derive(Deserialize)]
struct Code {
    code: String,
}

impl Door {
    /// Answers a request.
    pub(super) async fn answer(&self, request: Request<Incoming>, line: &Arc<Line>) -> Response<Answer> {
        let busy = line.busy();
        let path = request.uri().path().to_owned();
        let (mut response, pass) = match self.admit(request).await {
            Ok(answered) => answered,
            Err(Denial::Pages(refusal)) => (refused(&path, &refusal), None),
            Err(Denial::Receive(problem)) => {
                if let Some(app) = self.app.upgrade() {
                    app.receiver.refused.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
                (problem.answer(), None)
            }
        };
        guard::protect(&path, response.headers_mut());
        let until = pass.map(|pass| ends(self.closing.clone(), pass.ended));
        let is_file = response.headers().contains_key(CONTENT_DISPOSITION);
        response.map(|inner| Answer { inner, until, is_file, _busy: busy })
    }

    async fn admit(&self, request: Request<Incoming>) -> Result<(Response<ApiBody>, Option<Pass>), Denial> {
        let entry = self.guard.check(&request)?;
        let Some(app) = self.app.upgrade() else { return Err(ENDED.into()) };
        let now_ns = app.clock.now_ns();
        let (login, pass) = match entry {
            Entry::Page | Entry::Read | Entry::Change => self.pass(request.headers(), now_ns).await.unzip(),
            Entry::Open | Entry::Login | Entry::Receive(_) => (None, None),
        };
        let response = match entry.with(pass.is_some())? {
            Entry::Open => open(&request),
            Entry::Page => self.page(login.as_deref()),
            Entry::Login => self.login(request, now_ns).await,
            Entry::Read | Entry::Change => captured(api::answer_web(app, request).await),
            Entry::Receive(admitted) => receive::answer(&app, admitted, request).await,
        };
        Ok((response, pass))
    }

    /// Whether a request shows a login, and which.
    async fn pass(&self, headers: &HeaderMap, now_ns: u64) -> Option<(String, Pass)> {
        for login in self.guard.logins(headers) {
            match self.logins.known(login, now_ns) {
                Known::Yes(pass) => return Some((login.to_owned(), pass)),
                Known::No => {}
                Known::Look => {
                    let (logins, text) = (Arc::clone(&self.logins), login.to_owned());
                    let looked = tokio::task::spawn_blocking(move || logins.look(&text, now_ns));
                    if let Ok(Some(pass)) = looked.await {
                        return Some((login.to_owned(), pass));
                    }
                }
            }
        }
        None
    }

    /// The page, or the one that says how to get to it.
    fn page(&self, login: Option<&str>) -> Response<ApiBody> {
        let mut response = match login {
            Some(_) => whole(StatusCode::OK, assets::index().kind, assets::index().body.clone()),
            None => whole(StatusCode::UNAUTHORIZED, assets::login().kind, assets::login().body.clone()),
        };
        response.headers_mut().insert(VARY, HeaderValue::from_static("cookie"));
        // Who comes back is let in for as long again.
        if let Some(cookie) = login.and_then(|login| self.guard.cookie(login)) {
            response.headers_mut().insert(SET_COOKIE, cookie);
        }
        response
    }

    /// Exchanges a code for a login.
    async fn login(&self, request: Request<Incoming>, now_ns: u64) -> Response<ApiBody> {
        let limit = usize::try_from(LONGEST).unwrap_or(usize::MAX);
        let body = Limited::new(request.into_body(), limit).collect();
        let Ok(body) = tokio::time::timeout(PATIENCE, body).await else {
            let mut response = error(StatusCode::REQUEST_TIMEOUT, "timeout", "the body did not come", None);
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            return response;
        };
        let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let Ok(Code { code }) = serde_json::from_slice(&body) else {
            return error(StatusCode::BAD_REQUEST, "bad_request", "the body is no {\"code\": …}", None);
        };
        let logins = Arc::clone(&self.logins);
        let redeemed = tokio::task::spawn_blocking(move || logins.redeem(&code, now_ns)).await;
        let again = Some("`ccctl open` makes a new link");
        match redeemed.unwrap_or(Err(Refused::NoRandom)) {
            Ok(login) => {
                let mut response = whole(StatusCode::NO_CONTENT, TEXT, Bytes::new());
                response.headers_mut().remove(CONTENT_TYPE);
                if let Some(cookie) = self.guard.cookie(&login) {
                    response.headers_mut().insert(SET_COOKIE, cookie);
                }
                response
            }
            Err(Refused::Wrong) => {
                let text = "this link was used already, or is too old, or was never one";
                error(StatusCode::FORBIDDEN, "wrong_code", text, again)
            }
            Err(Refused::TooMany(seconds)) => {
                let text = "too many wrong links lately: none is looked at for a moment";
                let mut response = error(StatusCode::TOO_MANY_REQUESTS, "too_many", text, again);
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
                response
            }
            Err(Refused::NoRandom) => {
                let text = "nobody can be let in now";
                error(StatusCode::INTERNAL_SERVER_ERROR, "internal", text, Some("`ccctl logs` shows why"))
            }
        }
    }
}

const ENDED: Refusal = Refusal {
    status: StatusCode::SERVICE_UNAVAILABLE,
    code: "unavailable",
    message: "the daemon is ending",
    hint: None,
    allow: "",
    close: true,
};

/// Our own files, and whether we are well.
fn open(request: &Request<Incoming>) -> Response<ApiBody> {
    match request.uri().path() {
        "/health" => {
            let body = serde_json::json!({ "ccd": ccd_proto::VERSION });
            whole(StatusCode::OK, JSON, format!("{body}\n").into())
        }
        "/login" => asset(assets::login(), request.headers()),
        path => match assets::find(path) {
            Some(found) => asset(found, request.headers()),
            // What was asked for is not repeated: it may be anybody's text.
            None => whole(
                StatusCode::NOT_FOUND,
                TEXT,
                "ccd: no such page. `ccctl open` opens the pages.\n".into(),
            ),
        },
    }
}

fn asset(asset: &Asset, asked: &HeaderMap) -> Response<ApiBody> {
    let tags = asked.get_all(IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok());
    let is_known = tags
        .flat_map(|tags| tags.split(','))
        .map(|tag| tag.trim().trim_start_matches("W/"))
        .any(|tag| tag == asset.etag || tag == "*");
    let mut response = if is_known {
        let mut response = whole(StatusCode::NOT_MODIFIED, asset.kind, Bytes::new());
        response.headers_mut().remove(CONTENT_TYPE);
        response
    } else {
        whole(StatusCode::OK, asset.kind, asset.body.clone())
    };
    if let Ok(etag) = HeaderValue::from_str(&asset.etag) {
        response.headers_mut().insert(ETAG, etag);
    }
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// What the control API answered. Anything but its own objects is a file to be kept, and never a document.
fn captured(mut response: Response<ApiBody>) -> Response<ApiBody> {
    let headers = response.headers_mut();
    let is_ours = headers.get(CONTENT_TYPE).is_some_and(|kind| kind == JSON || kind == LINES);
    if !is_ours && !headers.contains_key(CONTENT_DISPOSITION) {
        headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    }
    response
}

fn refused(path: &str, refusal: &Refusal) -> Response<ApiBody> {
    let mut response = if guard::is_api(path) || refusal.status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
        error(refusal.status, refusal.code, refusal.message, refusal.hint)
    } else {
        whole(refusal.status, TEXT, format!("ccd: {}\n", refusal.message).into())
    };
    guard::allow(refusal.allow, response.headers_mut());
    if refusal.close {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn error(status: StatusCode, code: &str, message: &str, hint: Option<&str>) -> Response<ApiBody> {
    let error = ApiError { code: code.into(), message: message.into(), hint: hint.map(Into::into) };
    whole(status, JSON, serde_json::to_vec(&ErrorReply { error }).unwrap_or_default().into())
}

fn whole(status: StatusCode, kind: &'static str, body: Bytes) -> Response<ApiBody> {
    let mut response = Response::new(ApiBody::Full(Some(body).filter(|body| !body.is_empty())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

type End = Pin<Box<dyn Future<Output = ()> + Send>>;

fn ends(closing: CancellationToken, ended: CancellationToken) -> End {
    Box::pin(async move {
        tokio::select! {
            () = closing.cancelled_owned() => {}
            () = ended.cancelled_owned() => {}
        }
    })
}

/// An answer's body, under way until it is dropped.
pub(super) struct Answer {
    inner: ApiBody,
    /// What comes piece by piece ends early with this.
    until: Option<End>,
    /// Somebody keeps it: one that ends early must not look whole.
    is_file: bool,
    _busy: Busy,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let this = self.get_mut();
        // What has a length is never cut.
        if this.inner.size_hint().exact().is_none()
            && let Some(until) = &mut this.until
            && until.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(this.is_file.then(|| Err(std::io::ErrorKind::ConnectionAborted.into())));
        }
        Pin::new(&mut this.inner).poll_frame(cx).map_err(std::io::Error::other)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
