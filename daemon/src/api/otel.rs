//! `POST /v0/export-otel`: turns sent to an OTLP/HTTP endpoint, on the control socket alone. The answer is lines: how far it
//! is, and what came of it.
//!
//! The endpoint's headers are in the body, live as long as the export, and are neither logged nor told. It ends when whoever
//! asked goes away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ccd_otlp::Encoding;
use ccd_proto::api::{Line, OtelExport, OtelExported, Progress, Reply};
use http::{HeaderMap, Response, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::Serialize;
use tokio::sync::{Semaphore, mpsc};

use super::body::ApiBody;
use super::with_type;
use crate::app::Running;
use crate::export::clean::Cleaner;
use crate::export::otlp::gather::Wanted;
use crate::export::otlp::semconv::Version;
use crate::export::otlp::send::{Sender, channel, make, traces_url};
use crate::export::otlp::{Level, Options, SERVICE_NAME};
use crate::forward::deliver::{Courier, DeliverError, Endpoint, header};
use crate::query::filter::Filter;
use crate::query::{Ask, QueryError};

/// Largest request that is read.
const MAX_BODY: usize = 256 << 10;
/// Lines that may wait for a slow reader.
const QUEUE: usize = 16;
/// Exports under way at a time.
static EXPORTS: Semaphore = Semaphore::const_new(2);

struct Asked {
    url: Uri,
    courier: Option<Courier>,
    encoding: Encoding,
    options: Options,
    retry_s: Option<u64>,
}

fn read(app: &Running, asked: &OtelExport) -> Result<Asked, QueryError> {
    let one_of =
        |name: &str, value: &str, known: &str| QueryError::bad(format!("{name}={value:?}: one of {known}"));
    let encoding = match asked.protocol.as_str() {
        "" | "http/protobuf" => Encoding::Protobuf,
        "http/json" => Encoding::Json,
        other => return Err(one_of("protocol", other, "http/protobuf, http/json")),
    };
    let content = Level::parse(if asked.content.is_empty() { "none" } else { &asked.content });
    let content = content.ok_or_else(|| one_of("content", &asked.content, "none, text, full"))?;
    let semconv = match asked.semconv.as_str() {
        "" => Version::default(),
        text => Version::parse(text).ok_or_else(|| one_of("semconv", text, "1.41, 1.44"))?,
    };
    // Not said what is wrong with it: it may hold a secret.
    let url: Uri = traces_url(&asked.url).parse().map_err(|_| QueryError::bad("the endpoint is no URL"))?;
    let mut headers = HeaderMap::new();
    for text in &asked.headers {
        let (name, value) = header(text).map_err(|why| QueryError::bad(format!("a header: {why}")))?;
        headers.append(name, value);
    }
    let endpoint = Endpoint {
        headers,
        gzip: asked.gzip,
        allow_http: asked.allow_http,
        limit: Duration::from_secs(asked.timeout_s.unwrap_or(60).max(1)),
        ..Endpoint::new(url.clone())
    };
    let bad = |error: DeliverError| {
        let is_plain = matches!(error, DeliverError::Plain(_));
        let refused = QueryError::bad(error.to_string());
        if is_plain { refused.hint("--allow-http sends it all the same") } else { refused }
    };
    let courier = if asked.dry_run {
        endpoint.check().map_err(bad)?;
        None
    } else {
        Some(Courier::new(endpoint, &app.network()).map_err(bad)?)
    };
    let name = if asked.service_name.is_empty() { SERVICE_NAME } else { &asked.service_name };
    let host_name = asked.host.then(|| rustix::system::uname().nodename().to_string_lossy().into_owned());
    let options =
        Options { service_name: name.to_owned(), host_name, semconv, content, running: asked.running };
    Ok(Asked { url, courier, encoding, options, retry_s: asked.retry_s })
}

/// Starts an export; its lines are the answer.
pub(super) async fn export(
    app: &Arc<Running>,
    query: &str,
    body: Incoming,
) -> Result<Response<ApiBody>, QueryError> {
    let mut filter = Filter { limit: 0, ..Filter::parse(query)? };
    if let Some(limit) = super::routes::parameter(query, "limit").and_then(|text| text.parse().ok()) {
        filter.limit = limit;
    }
    let body = Limited::new(body, MAX_BODY).collect().await;
    let body = body.map_err(|e| QueryError::bad(format!("the request: {e}")))?.to_bytes();
    let asked: OtelExport = serde_json::from_slice(&body)
        .map_err(|e| QueryError::bad(format!("the request: line {}, column {}", e.line(), e.column())))?;
    let asked = read(app, &asked)?;
    let ask = Ask::new(&app.shared, app.clock.now_ns()).await?;
    let (lines, receiver) = mpsc::channel(QUEUE);
    let app = Arc::clone(app);
    tokio::spawn(async move {
        let last = tokio::select! {
            done = run(&app, ask, filter, asked, &lines) => match done {
                Ok(done) => line(&Line { progress: None, result: Some(Reply::new(done)), error: None }),
                Err(error) => line::<()>(&Line { progress: None, result: None, error: Some(error.error) }),
            },
            () = lines.closed() => return,
        };
        // Whoever asked may be gone.
        let _ = lines.send(last).await;
    });
    Ok(with_type("application/x-ndjson", ApiBody::Lines(receiver)))
}

async fn run(
    app: &Arc<Running>,
    ask: Ask,
    filter: Filter,
    asked: Asked,
    lines: &mpsc::Sender<Bytes>,
) -> Result<OtelExported, QueryError> {
    let _turn = EXPORTS.acquire().await;
    let begun = Instant::now();
    let Asked { url, courier, encoding, options, retry_s } = asked;
    let mut sender = Sender::new(courier, &url, encoding, retry_s, Arc::clone(&app.clock));
    let (to, mut batches) = channel();
    let (total, mut known) = tokio::sync::oneshot::channel();
    let privacy = app.privacy();
    let making = tokio::task::spawn_blocking(move || {
        let wanted = Wanted::find(&ask, &filter, &options)?;
        let _ = total.send(wanted.turns());
        let cleaner = |cwd: Option<&str>| {
            let internal = |e: regex::Error| {
                QueryError::new(http::StatusCode::INTERNAL_SERVER_ERROR, "internal", e.to_string())
            };
            Cleaner::standard(&privacy, cwd).map_err(internal)
        };
        make(&ask, &wanted, &options, &cleaner, encoding, &to)
    });
    let mut turns = 0;
    while let Some(batch) = batches.recv().await {
        if let Ok(total) = known.try_recv() {
            turns = total;
        }
        sender.send(batch).await?;
        let progress =
            Progress { phase: "send".into(), done: sender.traces(), total: turns, unit: "traces".into() };
        // A reader that is slow misses some.
        let _ = lines.try_send(line::<()>(&Line { progress: Some(progress), result: None, error: None }));
    }
    let told = making.await.unwrap_or_else(|error| {
        tracing::error!(%error, "an export panicked");
        Err(QueryError::new(
            http::StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the export failed for a defect of ccd",
        )
        .hint("`ccctl logs` shows why"))
    })?;
    let done = sender.done(&told, begun.elapsed().as_secs_f64());
    tracing::info!(
        endpoint = done.endpoint,
        traces = done.traces,
        spans = done.spans,
        dry_run = done.dry_run,
        "export-otel"
    );
    Ok(done)
}

fn line<T: Serialize>(line: &Line<T>) -> Bytes {
    let mut text = serde_json::to_vec(line).unwrap_or_default();
    text.push(b'\n');
    text.into()
}
