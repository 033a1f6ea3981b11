//! `GET /v0/export/session/ID.html`: a session as one page; `GET /v0/export`: sessions as lines, a table, an archive. Both are
//! written while they are read.
//!
//! With POST, on the control socket alone, they may be asked for as they are on record (`?reveal=1`): the pages can read, and
//! never what was redacted. Few are written at a time, each on a thread of its own that stands back behind everything else,
//! and one ends when whoever asked goes away or takes nothing of it for long. One that cannot be written to its end breaks the
//! connection off, so that nobody takes it for whole; frames also say why.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ccd_proto::api::ExportFrame;
use ccd_vault::Who;
use http::header::{CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, HeaderValue};
use http::{Response, StatusCode};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};

use super::body::{ApiBody, FilePiece};
use super::routes::blocking;
use super::search::stand_back;
use super::with_type;
use crate::app::Running;
use crate::export::bulk::{Export, Piece, Wanted};
use crate::export::{Options, Page};
use crate::query::{Ask, QueryError};
use crate::vault::reveal::Revealer;

/// Pieces that may wait for a slow reader.
const QUEUE: usize = 4;
/// Files written at a time.
static WRITERS: Semaphore = Semaphore::const_new(2);
/// How long somebody may take nothing of it; then others have their turn.
const STALLED: Duration = Duration::from_secs(120);
/// How long one waits for its turn.
const TURN: Duration = Duration::from_secs(20);

async fn turn() -> Result<SemaphorePermit<'static>, QueryError> {
    let turn = tokio::time::timeout(TURN, WRITERS.acquire()).await;
    turn.ok().and_then(Result::ok).ok_or_else(|| {
        QueryError::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "others are exporting")
            .hint("try again once they are done")
    })
}

/// Where a file goes while it is made.
struct Sink {
    tx: mpsc::Sender<FilePiece>,
    runtime: tokio::runtime::Handle,
}

impl Sink {
    /// False once nobody reads.
    fn send(&self, piece: impl Into<Bytes>) -> bool {
        self.hand_over(FilePiece::Bytes(piece.into()))
    }

    fn hand_over(&self, piece: FilePiece) -> bool {
        let sent = async { tokio::time::timeout(STALLED, self.tx.send(piece)).await };
        self.runtime.block_on(sent).is_ok_and(|sent| sent.is_ok())
    }
}

/// Writes a file on a thread of its own; `write` says whether all of it was written.
fn written(
    turn: SemaphorePermit<'static>,
    write: impl FnOnce(&Sink) -> bool + Send + 'static,
) -> Result<ApiBody, QueryError> {
    let (tx, pieces) = mpsc::channel(QUEUE);
    let sink = Sink { tx, runtime: tokio::runtime::Handle::current() };
    let work = move || {
        stand_back();
        // A defect costs the file, which ends without its end, not the daemon.
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| write(&sink))) {
            Ok(true) => _ = sink.hand_over(FilePiece::End),
            Ok(false) => {}
            Err(_) => tracing::error!("an export panicked"),
        }
        drop(turn);
    };
    std::thread::Builder::new().name("ccd-export".into()).spawn(work).map_err(|error| {
        QueryError::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", format!("no thread: {error}"))
    })?;
    Ok(ApiBody::File(pieces))
}

fn named(mut response: Response<ApiBody>, name: &str) -> Response<ApiBody> {
    let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""));
    let disposition = disposition.unwrap_or(HeaderValue::from_static("attachment"));
    response.headers_mut().insert(CONTENT_DISPOSITION, disposition);
    response
}

/// What turns marks back, for somebody; none where no vault is open: then they stay marks.
fn revealer(app: &Running, who: Who, reason: String) -> Option<Arc<Revealer>> {
    let at = crate::clock::rfc3339(app.clock.now_ns());
    Some(Arc::new(Revealer::new(app.vault.vault()?, who, reason, at)))
}

/// The page. `file` is the session's id, or the head of it, and `.html`.
pub(super) async fn session(
    app: &Arc<Running>,
    file: &str,
    query: &str,
    may_reveal: Option<Who>,
) -> Result<Response<ApiBody>, QueryError> {
    let id =
        file.strip_suffix(".html").filter(|id| !id.is_empty()).map(ToOwned::to_owned).ok_or_else(|| {
            QueryError::not_found(format!("no export {file:?}")).hint("there is ID.html, with a session's id")
        })?;
    let mut options = Options { privacy: app.privacy(), ..Options::default() };
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let on = matches!(&*value, "1" | "true");
        match &*name {
            "full" => options.whole = on,
            "reveal" if may_reveal.is_some() => options.reveal = on,
            "reveal" => {
                let why = "what was redacted is shown on the control socket alone, with POST";
                return Err(QueryError::new(StatusCode::FORBIDDEN, "forbidden", why)
                    .hint("`ccctl export --session ID --reveal`"));
            }
            other => return Err(QueryError::bad(format!("unknown parameter {other:?}"))),
        }
    }
    options.revealer = may_reveal
        .filter(|_| options.reveal)
        .and_then(|who| revealer(app, who, format!("reveal export of session {id}")));
    let ask = Ask::new(&app.shared, app.clock.now_ns()).await?;
    let turn = turn().await?;
    let page = blocking(move || Page::new(ask, &id, &options)).await?;
    let name = page.file_name();
    let body = written(turn, move |sink| {
        let mut is_whole = true;
        page.write(&mut |piece| {
            is_whole = sink.send(piece);
            is_whole
        });
        is_whole
    })?;
    let mut response = named(with_type("text/html; charset=utf-8", body), &name);
    // Should somebody show it instead of saving it.
    response.headers_mut().insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"),
    );
    Ok(response)
}

/// A file of what the parameters ask for, or frames of it.
pub(super) async fn bulk(
    app: &Arc<Running>,
    query: &str,
    may_reveal: Option<Who>,
) -> Result<Response<ApiBody>, QueryError> {
    let mut wanted = Wanted::parse(query, may_reveal.is_some())?;
    wanted.privacy = app.privacy();
    wanted.revealer =
        may_reveal.filter(|_| wanted.reveal).and_then(|who| revealer(app, who, "reveal export".to_owned()));
    let framed = wanted.framed;
    let ask = Ask::new(&app.shared, app.clock.now_ns()).await?;
    let turn = turn().await?;
    let export = blocking(move || Export::new(ask, wanted)).await?;
    let (name, media_type) = (export.file_name(), export.media_type());
    let body = written(turn, move |sink| {
        let done = export.write(&mut |piece| {
            if framed {
                return sink.send(frame(&piece)) && (piece.bytes.is_empty() || sink.send(piece.bytes));
            }
            if piece.bytes.is_empty() { !sink.tx.is_closed() } else { sink.send(piece.bytes) }
        });
        let last = match done {
            Ok(Some(end)) => ExportFrame { entries: end.entries, end: Some(end), ..ExportFrame::default() },
            // Nobody reads.
            Ok(None) => return false,
            Err(error) => {
                tracing::warn!(error = error.error.message, "an export could not be finished");
                ExportFrame { error: Some(error.error), ..ExportFrame::default() }
            }
        };
        let is_whole = last.error.is_none();
        if framed {
            return sink.send(line(&last));
        }
        is_whole
    })?;
    Ok(named(with_type(if framed { "application/x-ccd-frames" } else { media_type }, body), &name))
}

fn frame(piece: &Piece) -> Vec<u8> {
    line(&ExportFrame {
        bytes: u64::try_from(piece.bytes.len()).unwrap_or(u64::MAX),
        cursor: piece.cursor.clone(),
        entries: piece.entries,
        sessions: piece.sessions,
        ..ExportFrame::default()
    })
}

fn line(frame: &ExportFrame) -> Vec<u8> {
    let mut line = serde_json::to_vec(frame).unwrap_or_default();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Mutex;

    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// All that a client gets of a file.
    async fn sent(write: impl FnOnce(&Sink) -> bool + Send + 'static) -> String {
        let body = Mutex::new(Some(written(turn().await.unwrap(), write).unwrap()));
        let (mut client, server) = tokio::io::duplex(1 << 16);
        let service = service_fn(move |_| {
            let body = body.lock().unwrap().take().unwrap();
            async move { Ok::<_, Infallible>(Response::new(body)) }
        });
        let serving = tokio::spawn(async move {
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), service).await
        });
        client.write_all(b"GET / HTTP/1.1\r\nHost: ccd\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut all = String::new();
        client.read_to_string(&mut all).await.unwrap();
        let _ = serving.await.unwrap();
        all
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_file_that_is_not_made_to_its_end_does_not_look_whole() {
        const LAST: &str = "0\r\n\r\n";
        let whole = sent(|sink| sink.send("a,b\r\n")).await;
        assert!(whole.contains("a,b") && whole.ends_with(LAST), "{whole}");
        let failed = sent(|sink| {
            sink.send("a,b\r\n");
            false
        });
        let broken = sent(|sink| {
            sink.send("a,b\r\n");
            panic!("a defect");
        });
        for cut in [failed.await, broken.await] {
            // What was written at once may go with the connection.
            assert!(cut.is_empty() || cut.starts_with("HTTP/1.1 200"), "{cut}");
            assert!(!cut.ends_with(LAST), "{cut}");
        }
    }
}
