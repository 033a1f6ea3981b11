//! The routes: one enum, one place where each is answered.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ccd_proto::api::Done;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::mpsc;

use super::body::{ApiBody, Then};
use super::questions::Question;
use super::{
    Door, analyze, detections, export, follow, forward, json, live, otel, questions, search, statusline,
    store, tokens, vault, web, with_type,
};
use crate::app::Running;
use crate::maintenance::stats;
use crate::query::exchanges::Side;
use crate::query::filter::Filter;
use crate::query::{
    Ask, QueryError, budget, exchanges, explain, sessions, show, spans, status, turns, usage,
};

#[derive(Debug, PartialEq, Eq)]
enum Route<'a> {
    Status,
    Sessions,
    Turns,
    Spans,
    Follow,
    Exchanges,
    FollowExchanges,
    Live,
    Exchange(&'a str),
    /// What stands behind spans and requests.
    Behind(Question<'a>),
    Body(&'a str, Side),
    Show(&'a str),
    /// The same with what marks stand for.
    RevealBody(&'a str, Side),
    RevealShow(&'a str),
    Vault,
    VaultAudit,
    VaultCommand(&'a str),
    /// A file of a session, and whether it may be asked for as it is on record.
    Export(&'a str, bool),
    /// Turns, sent to an OTLP endpoint.
    ExportOtel,
    /// A file of many, likewise.
    Bulk(bool),
    Search,
    SearchLines,
    Usage,
    Explain,
    Analyze,
    Budget,
    Detections,
    Trend,
    Detection(&'a str),
    /// A detection, and what the user says of it.
    Judge(&'a str, &'a str),
    Heal,
    /// What is excepted from the interventions, or not any more.
    Except(&'a str),
    /// Of forwarding.
    Forward(&'a str),
    StatusLine,
    /// Tokens of other programs.
    Tokens,
    /// A new one, or the end of one.
    Token(&'a str),
    /// A link that opens the pages once.
    WebLogin,
    /// The end of all logins to them.
    WebForget,
    Stop,
    Retire,
    LogLevel,
    ProbeUpstream,
    StoreStats,
    Operate(&'a str),
}

/// `Err(true)`: the path exists, with another method.
fn find<'a>(method: &Method, path: &'a str) -> Result<Route<'a>, bool> {
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let writes = *method == Method::POST;
    let (write, route) = match segments.as_slice() {
        ["v0", "status"] => (false, Route::Status),
        ["v0", "sessions"] => (false, Route::Sessions),
        ["v0", "turns"] => (false, Route::Turns),
        ["v0", "spans"] => (false, Route::Spans),
        ["v0", "spans", "follow"] => (false, Route::Follow),
        ["v0", "follow"] => (false, Route::Live),
        ["v0", "spans", id, "records"] => (false, Route::Behind(Question::Records(id))),
        ["v0", "records", id] => (false, Route::Behind(Question::Record(id))),
        ["v0", "exchanges", id, "changes"] => (false, Route::Behind(Question::Changes(id))),
        ["v0", "files"] => (false, Route::Behind(Question::Files)),
        ["v0", "tools"] => (false, Route::Behind(Question::Tools)),
        ["v0", "exchanges"] => (false, Route::Exchanges),
        // No id is this word.
        ["v0", "exchanges", "follow"] => (false, Route::FollowExchanges),
        ["v0", "exchanges", id] => (false, Route::Exchange(id)),
        ["v0", "exchanges", id, what @ ("request" | "response")] => {
            let side = if *what == "request" { Side::Request } else { Side::Response };
            if writes { (true, Route::RevealBody(id, side)) } else { (false, Route::Body(id, side)) }
        }
        ["v0", "show", id] if writes => (true, Route::RevealShow(id)),
        ["v0", "show", id] => (false, Route::Show(id)),
        ["v0", "vault"] => (false, Route::Vault),
        ["v0", "vault", "audit"] => (false, Route::VaultAudit),
        ["v0", "vault", name @ ("lookup" | "delete" | "rotate" | "backup" | "restore" | "health")] => {
            (true, Route::VaultCommand(name))
        }
        // What was redacted is shown to whoever may write.
        ["v0", "export"] => (writes, Route::Bulk(writes)),
        ["v0", "export", "session", file] => (writes, Route::Export(file, writes)),
        ["v0", "export-otel"] => (true, Route::ExportOtel),
        ["v0", "search"] => (false, Route::Search),
        ["v0", "search", "lines"] => (false, Route::SearchLines),
        ["v0", "usage"] => (false, Route::Usage),
        ["v0", "usage", "explain"] => (false, Route::Explain),
        ["v0", "analyze"] => (false, Route::Analyze),
        ["v0", "budget"] => (false, Route::Budget),
        ["v0", "detections"] => (false, Route::Detections),
        // No id is this word.
        ["v0", "detections", "trend"] => (false, Route::Trend),
        ["v0", "detections", id] => (false, Route::Detection(id)),
        ["v0", "detections", id, what @ ("dismiss" | "reopen")] => (true, Route::Judge(id, what)),
        ["v0", "heal"] => (false, Route::Heal),
        ["v0", "heal", what @ ("allow" | "pause" | "resume")] => (true, Route::Except(what)),
        ["v0", "forward"] => (false, Route::Forward("list")),
        ["v0", "forward", "preview"] => (false, Route::Forward("preview")),
        ["v0", "forward", what @ ("reload" | "connect" | "sync")] => (true, Route::Forward(what)),
        ["v0", "statusline"] => (true, Route::StatusLine),
        ["v0", "tokens"] => (false, Route::Tokens),
        ["v0", "tokens", what @ ("create" | "revoke")] => (true, Route::Token(what)),
        ["v0", "web", "login"] => (true, Route::WebLogin),
        ["v0", "web", "forget"] => (true, Route::WebForget),
        ["v0", "stop"] => (true, Route::Stop),
        ["v0", "retire"] => (true, Route::Retire),
        ["v0", "log-level"] => (true, Route::LogLevel),
        ["v0", "upstream", "probe"] => (true, Route::ProbeUpstream),
        ["v0", "import"] => (true, Route::Operate("import")),
        ["v0", "store", "stats"] => (false, Route::StoreStats),
        ["v0", "store", name @ ("verify" | "backup" | "restore" | "rebuild" | "prune")] => {
            (true, Route::Operate(name))
        }
        _ => return Err(false),
    };
    let fits = if write { *method == Method::POST } else { matches!(*method, Method::GET | Method::HEAD) };
    if fits { Ok(route) } else { Err(true) }
}

impl Route<'_> {
    /// Whether a page may give this command: what is said of detections and interventions, and nothing else.
    fn is_said_by_pages(&self) -> bool {
        matches!(self, Route::Judge(..) | Route::Except(_))
    }

    /// Whether no page may ask for it, not even to look.
    fn is_of_the_socket(&self) -> bool {
        matches!(self, Route::Vault | Route::VaultAudit | Route::Tokens | Route::Forward(_))
    }
}

/// Answers a request.
#[allow(clippy::too_many_lines, reason = "a line for each route")]
pub(super) async fn route(
    door: Door,
    app: Arc<Running>,
    request: Request<Incoming>,
) -> Result<Response<ApiBody>, QueryError> {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    let query = head.uri.query().unwrap_or("");
    let route = find(&head.method, path).map_err(|exists| {
        if exists {
            QueryError::new(StatusCode::METHOD_NOT_ALLOWED, "method", "another method is needed here")
        } else {
            QueryError::not_found(format!("no route {path}"))
                .hint("a newer ccctl than ccd? `ccctl status` shows both versions")
        }
    })?;
    let refused = route.is_of_the_socket() || head.method == Method::POST && !route.is_said_by_pages();
    if door == Door::Web && refused {
        return Err(QueryError::new(StatusCode::FORBIDDEN, "forbidden", "no page may ask for this"));
    }
    match route {
        Route::Tokens => tokens::list(&app).await,
        Route::Token(what) => tokens::change(&app, what, query).await,
        Route::WebLogin => web::login(&app),
        Route::WebForget => web::forget(&app).await,
        Route::Status => {
            let app = Arc::clone(&app);
            json(blocking(move || Ok(status::status(&app))).await?)
        }
        Route::Stop => {
            app.forget();
            let now = parameter(query, "now").is_some();
            // A daemon with nothing to do is gone within milliseconds: whoever asked is to hear of it first.
            let then = Then::new(move || app.stop(now));
            let reply = json(Done { ok: true })?;
            Ok(reply.map(|body| match body {
                ApiBody::Full(bytes) => ApiBody::Then(bytes, then),
                other => other,
            }))
        }
        Route::Retire => {
            let idle = match parameter(query, "idle_s") {
                Some(text) => Some(Duration::from_secs(
                    text.parse().map_err(|_| QueryError::bad(format!("idle_s={text:?}: not a number")))?,
                )),
                None => None,
            };
            app.retire(idle);
            json(Done { ok: true })
        }
        Route::LogLevel => {
            let level = parameter(query, "level").ok_or_else(|| QueryError::bad("level is missing"))?;
            app.set_log(&level).map_err(QueryError::bad)?;
            json(Done { ok: true })
        }
        Route::ProbeUpstream => json(app.proxy.settings().upstream.probe().await),
        Route::StoreStats => json(blocking(move || stats::stats(&app)).await?),
        Route::Operate(name) => store::operate(&app, store::work(name, query)?).await,
        Route::Follow => Ok(as_lines(follow::follow(&app, Filter::parse(query)?).await?)),
        Route::FollowExchanges => Ok(as_lines(follow::exchanges(&app, Filter::parse(query)?).await?)),
        Route::Live => Ok(as_lines(live::follow(&app, query).await?)),
        Route::Search => search::whole(&app, query).await,
        Route::SearchLines => search::lines(&app, query).await,
        Route::Sessions => ask(&app, query, sessions::sessions).await,
        Route::Turns => ask(&app, query, turns::turns).await,
        Route::Spans => ask(&app, query, spans::spans).await,
        Route::Exchanges => ask(&app, query, exchanges::exchanges).await,
        Route::Behind(question) => questions::answer(&app, question, query).await,
        Route::Usage => ask(&app, query, usage::usage).await,
        Route::Explain => ask(&app, query, explain::explain).await,
        Route::Analyze => analyze::answer(&app, query).await,
        Route::Budget => {
            let settings = app.budget.settings();
            ask(&app, query, move |a, f| budget::budget(a, &settings, f.session.as_deref())).await
        }
        Route::Detections => detections::list(&app, query).await,
        Route::Trend => detections::trend(&app, query).await,
        Route::Detection(id) => detections::one(&app, unescape(id)?).await,
        Route::Judge(id, what) => detections::judge(&app, unescape(id)?, what, query).await,
        Route::Heal => detections::heal(&app, query).await,
        Route::Except(what) => detections::except(&app, what, query).await,
        // What would be sent is shown to whoever may send it.
        Route::Forward("preview") if door == Door::Web => {
            Err(QueryError::new(StatusCode::FORBIDDEN, "forbidden", "no page may ask for this"))
        }
        Route::Forward("preview") => forward::preview(&app, query).await,
        Route::Forward("reload") => forward::reload(&app).await,
        Route::Forward("connect") => forward::connect(&app, query).await,
        Route::Forward("sync") => forward::synchronise(&app, query).await,
        Route::Forward(_) => forward::list(&app).await,
        Route::StatusLine => statusline::answer(&app, body).await,
        Route::Exchange(id) => {
            let id = unescape(id)?;
            ask(&app, query, move |a, f| exchanges::exchange(a, &id, f)).await
        }
        Route::Show(id) => {
            let id = unescape(id)?;
            ask(&app, query, move |a, f| show::show(a, &id, f)).await
        }
        Route::RevealBody(id, side) => vault::reveal_body(&app, unescape(id)?, side, query, who(&head)).await,
        Route::RevealShow(id) => vault::reveal_show(&app, unescape(id)?, query, who(&head)).await,
        Route::Vault => json(app.vault.status()),
        Route::VaultAudit => vault::audit(&app).await,
        Route::VaultCommand(name) => vault::command(&app, name, who(&head), body).await,
        Route::Export(file, may_reveal) => {
            export::session(&app, &unescape(file)?, query, may_reveal.then(|| who(&head))).await
        }
        Route::Bulk(may_reveal) => export::bulk(&app, query, may_reveal.then(|| who(&head))).await,
        Route::ExportOtel => otel::export(&app, query, body).await,
        Route::Body(id, side) => {
            let id = unescape(id)?;
            let a = Ask::new(&app.shared, app.clock.now_ns()).await?;
            let bytes = blocking(move || exchanges::bytes(&a, &id, side)).await?;
            Ok(with_type("application/octet-stream", ApiBody::full(bytes)))
        }
    }
}

/// Who asks, as the socket was told when it was connected.
fn who(head: &http::request::Parts) -> ccd_vault::Who {
    head.extensions.get().cloned().unwrap_or_default()
}

fn as_lines(lines: mpsc::Receiver<Bytes>) -> Response<ApiBody> {
    with_type("application/x-ndjson", ApiBody::Lines(lines))
}

/// Asks a question off the runtime's threads: it may read the disk.
pub(super) async fn ask<T: serde::Serialize + Send + 'static>(
    app: &Running,
    query: &str,
    question: impl FnOnce(&Ask, &Filter) -> Result<T, QueryError> + Send + 'static,
) -> Result<Response<ApiBody>, QueryError> {
    let filter = Filter::parse(query)?;
    let a = Ask::new(&app.shared, app.clock.now_ns()).await?;
    let _turn = app.questions.acquire().await;
    json(blocking(move || question(&a, &filter)).await?)
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, QueryError> + Send + 'static,
) -> Result<T, QueryError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| {
        tracing::error!(error = %e, "a question panicked");
        Err(QueryError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the question could not be answered",
        )
        .hint("`ccctl logs` shows why"))
    })
}

pub(super) fn parameter(query: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes())
        .find(|(key, value)| key == name && !value.is_empty())
        .map(|(_, value)| value.into_owned())
}

/// A path segment, percent-decoded.
pub(super) fn unescape(segment: &str) -> Result<String, QueryError> {
    // The form encoding differs from a path's in the plus sign alone.
    let pair = format!("id={}", segment.replace('+', "%2B"));
    parameter(&pair, "id").ok_or_else(|| QueryError::bad("no id"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_found_by_method_and_path() {
        assert_eq!(find(&Method::GET, "/v0/status"), Ok(Route::Status));
        assert_eq!(find(&Method::GET, "/v0/exchanges/x/response"), Ok(Route::Body("x", Side::Response)));
        assert_eq!(find(&Method::GET, "/v0/spans/follow"), Ok(Route::Follow));
        let records = Route::Behind(Question::Records("x"));
        assert_eq!(find(&Method::GET, "/v0/spans/x/records"), Ok(records));
        assert_eq!(find(&Method::POST, "/v0/files"), Err(true));
        assert_eq!(find(&Method::GET, "/v0/stop"), Err(true));
        assert_eq!(find(&Method::GET, "/v0/store/verify"), Err(true));
        assert_eq!(find(&Method::POST, "/v0/store/verify"), Ok(Route::Operate("verify")));
        assert_eq!(find(&Method::POST, "/v0/detections/x/dismiss"), Ok(Route::Judge("x", "dismiss")));
        assert_eq!(find(&Method::GET, "/v0/detections/x/dismiss"), Err(true));
        assert_eq!(find(&Method::POST, "/v0/heal/pause"), Ok(Route::Except("pause")));
        assert_eq!(find(&Method::GET, "/v0/export/session/x.html"), Ok(Route::Export("x.html", false)));
        assert_eq!(find(&Method::POST, "/v0/export/session/x.html"), Ok(Route::Export("x.html", true)));
        assert_eq!(find(&Method::PUT, "/v0/export/session/x.html"), Err(true));
        assert_eq!(find(&Method::GET, "/v0/export"), Ok(Route::Bulk(false)));
        assert_eq!(find(&Method::POST, "/v0/show/x"), Ok(Route::RevealShow("x")));
        assert_eq!(find(&Method::POST, "/v0/exchanges/x/request"), Ok(Route::RevealBody("x", Side::Request)));
        assert_eq!(find(&Method::GET, "/v0/vault/lookup"), Err(true));
        assert!(Route::Vault.is_of_the_socket() && Route::VaultAudit.is_of_the_socket());
        assert!(!Route::VaultCommand("lookup").is_said_by_pages(), "no page looks a value up");
        assert_eq!(find(&Method::POST, "/v0/nothing"), Err(false));
    }

    #[test]
    fn ids_are_unescaped() {
        assert_eq!(unescape("a%2Fb+c").unwrap(), "a/b+c");
        assert!(unescape("").is_err());
    }
}
