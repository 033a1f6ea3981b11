//! What other programs hand in over the network: traces of the platform's clients, and OpenTelemetry signals.
//!
//! ```text
//!   web door, or a listener of its own ── guard: what the request looks like ── token ── rate ── body ─┬─ ingest
//!                                                                                                    ├─ analyze
//!                                                                                                    └─ telemetry
//! ```
//!
//! Everything is refused that shows no token ([`crate::tokens`]) which is good for it. Must never answer a browser, hold
//! more of a body than it may be long, or say that something is taken before it is on disk.

mod analyze;
mod body;
pub mod guard;
mod ingest;
mod problem;
mod rate;
mod traces;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::api::ApiBody;
use crate::app::Running;
use crate::query::detections::{OF_LIST, Wanted};
use crate::query::{self, Ask, QueryError};
use crate::source::telemetry;
use crate::tokens::{Pass, Refused, TENANT, Tokens};
use body::Bodies;
use guard::{Admitted, Route};
pub use problem::Problem;
use rate::Rates;

/// What stands behind the paths of other programs.
#[derive(Debug)]
pub struct Receiver {
    /// Who may.
    pub tokens: Tokens,
    rates: Rates,
    bodies: Bodies,
    /// Requests that were let in, since start.
    pub taken: AtomicU64,
    /// Requests that were not, since start.
    pub refused: AtomicU64,
}

impl Receiver {
    /// With these tokens.
    #[must_use]
    pub fn new(tokens: Tokens) -> Self {
        Receiver {
            tokens,
            rates: Rates::default(),
            bodies: Bodies::default(),
            taken: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }
}

/// Answers a request that the guard has let by.
pub(crate) async fn answer(
    app: &Arc<Running>,
    admitted: Admitted,
    request: Request<Incoming>,
) -> Response<ApiBody> {
    let is_chunked = admitted.length.is_none();
    let answered = admit(app, admitted, request).await;
    let gauge = if answered.is_ok() { &app.receiver.taken } else { &app.receiver.refused };
    gauge.fetch_add(1, Ordering::Relaxed);
    let mut response = answered.unwrap_or_else(|problem| {
        tracing::debug!(
            code = problem.code,
            status = problem.status.as_u16(),
            "what was handed in is refused"
        );
        problem.answer()
    });
    if is_chunked {
        // A length beside the chunks is dropped before we see it: what follows is not taken for a request.
        response.headers_mut().insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
    }
    response
}

async fn admit(
    app: &Arc<Running>,
    admitted: Admitted,
    request: Request<Incoming>,
) -> Result<Response<ApiBody>, Problem> {
    let (head, body) = request.into_parts();
    let route = admitted.route;
    if let Some(wanted) = admitted.scope() {
        let shown = guard::bearer(&head.headers)?.to_owned();
        let pass = passed(app, move |tokens, now_ns| tokens.check(&shown, now_ns)).await?;
        share(app, &pass)?;
        if !pass.scope.allows(wanted) {
            let text = format!("this token is not good for that: its scope is not {}", wanted.name());
            let hint = Some("`ccctl token create NAME --scope …` makes another");
            return Err(Problem { hint, ..Problem::new(StatusCode::FORBIDDEN, "scope", text) });
        }
    }
    let bodies = &app.receiver.bodies;
    let (body, _memory) = bodies.read(body, admitted.length, route.longest(), admitted.packing).await?;
    match route {
        Route::Token => exchange(app, &body).await,
        Route::Telemetry(signal) => telemetry::receive(app, signal, admitted.encoding, body).await,
        Route::Traces => ingest::take(app, body, TENANT.to_owned(), traces::read).await,
        Route::Spans => {
            let tenant = guard::tenant_of(head.uri.path()).unwrap_or(TENANT).to_owned();
            ingest::take(app, body, tenant, traces::read_spans).await
        }
        Route::Analyze => looked_at(app, body).await,
        Route::Detections => detections(app).await,
        // What is advised stands in the detection itself, as its `fix`; there is nothing that could be applied.
        Route::Fixes => Ok(problem::json(StatusCode::OK, &json!({ "suggestions": [] }))),
    }
}

/// Asks the tokens, which may read their file.
async fn passed<T: Send + 'static>(
    app: &Arc<Running>,
    ask: impl FnOnce(&Tokens, u64) -> Result<T, Refused> + Send + 'static,
) -> Result<T, Problem> {
    let (running, now_ns) = (Arc::clone(app), app.clock.now_ns());
    let asked = tokio::task::spawn_blocking(move || ask(&running.receiver.tokens, now_ns)).await;
    asked.map_err(|_| Problem::later("tokens cannot be looked at now"))?.map_err(|refused| match refused {
        Refused::Unknown => Problem::unauthorized("this is no token of ours, or one that was revoked"),
        Refused::Expired => Problem::unauthorized("this token has ended"),
    })
}

/// One more request of this token.
fn share(app: &Running, pass: &Pass) -> Result<(), Problem> {
    app.receiver.rates.take(&pass.id, app.clock.now_ns()).map_err(|seconds| {
        let text = "this token is shown too often";
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many", text);
        Problem { retry_after: Some(seconds), close: true, ..problem }
    })
}

/// `POST /api/v1/traces/claude-code/analyze`.
async fn looked_at(app: &Arc<Running>, body: Bytes) -> Result<Response<ApiBody>, Problem> {
    let (thresholds, dashboard) = (app.thresholds(), dashboard(app));
    let _turn = app.questions.acquire().await;
    let work = move || {
        let batch = traces::read(&body, TENANT)?;
        Ok(analyze::analyze(batch, &thresholds.settings, &dashboard))
    };
    let done = tokio::task::spawn_blocking(work).await;
    let told = done.map_err(|_| Problem::later("it could not be looked at now"))??;
    Ok(problem::json(StatusCode::OK, &told))
}

/// `GET /api/v1/detections`: what the detectors found in what was captured, newest first.
async fn detections(app: &Arc<Running>) -> Result<Response<ApiBody>, Problem> {
    let unable = |error: QueryError| Problem::later(&error.error.message);
    let ask = Ask::new(&app.shared, app.clock.now_ns()).await.map_err(unable)?;
    let wanted = Wanted::parse("limit=50", &OF_LIST).map_err(unable)?;
    let _turn = app.questions.acquire().await;
    let found = tokio::task::spawn_blocking(move || query::detections::detections(&ask, &wanted)).await;
    let found = found.map_err(|_| Problem::later("detections cannot be told now"))?.map_err(unable)?;
    let one = |found: &ccd_proto::api::Detection| {
        json!({ "id": found.detection_id, "type": found.kind, "detection_type": found.kind,
            "severity": found.severity, "confidence": found.confidence, "session_id": found.session_id,
            "created_at": found.at, "explanation": found.title, "fix": found.advice })
    };
    let told: Vec<Value> = found.detections.iter().map(one).collect();
    Ok(problem::json(StatusCode::OK, &json!({ "detections": told, "total": told.len() })))
}

/// Where people look at what was handed in.
fn dashboard(app: &Running) -> String {
    app.web.url().map_or_else(|| "`ccctl open`".to_owned(), |url| format!("{url}/"))
}

/// `POST /api/v1/auth/token`.
async fn exchange(app: &Arc<Running>, body: &Bytes) -> Result<Response<ApiBody>, Problem> {
    let value: Value =
        serde_json::from_slice(body).map_err(|_| Problem::field("$", "the body is no JSON"))?;
    if !value.is_object() {
        return Err(Problem::field("$", "expected an object"));
    }
    let key = value.get("api_key").and_then(Value::as_str);
    let key = key.ok_or_else(|| Problem::field("$.api_key", "expected a token"))?.to_owned();
    let (token, lives_s) = passed(app, move |tokens, now_ns| tokens.exchange(&key, now_ns)).await?;
    let answer = json!({ "access_token": token, "token_type": "bearer", "expires_in": lives_s });
    Ok(problem::json(StatusCode::OK, &answer))
}
