//! The search's two doors: one object at its end, or each hit on a line as it is found.
//!
//! A search may read everything there is: it has a thread of its own, behind all others where the system lets one stand
//! back, few run at a time, and it ends when whoever asked goes away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ccd_proto::api::{Hit, Search, SearchEnd, SearchLine};
use http::{Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::body::ApiBody;
use super::{json, with_type};
use crate::app::Running;
use crate::query::search::{Listener, Question, search};
use crate::query::{Ask, QueryError};

/// Lines that may wait for a slow reader.
const QUEUE: usize = 64;
/// Between two lines of progress.
const PACE: Duration = Duration::from_millis(200);
/// How far a search stands back: a third of the processor where everything else wants it, for somebody waits for it.
#[cfg(target_os = "linux")]
const NICE: i32 = 5;
/// How long one that is answered whole waits for its turn.
const TURN: Duration = Duration::from_secs(15);

/// Answers with everything at once.
pub(super) async fn whole(app: &Arc<Running>, query: &str) -> Result<Response<ApiBody>, QueryError> {
    let question = Question::parse(query)?;
    let given = question.words.terms.iter().map(|term| term.given.clone()).collect();
    let ask = Ask::new(&app.shared, app.clock.now_ns()).await?;
    let turn = Arc::clone(&app.searches).acquire_owned();
    let turn = tokio::time::timeout(TURN, turn).await.ok().and_then(Result::ok).ok_or_else(|| {
        QueryError::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "other searches are under way")
            .hint("try again once they are done")
    })?;
    // Dropped with this future when the client goes away, which ends the search.
    let (tx, mut lines) = mpsc::channel(QUEUE);
    begin(ask, question, tx, turn)?;
    let mut found = Search { query: given, ..Search::default() };
    while let Some(SearchLine { hit, end, error, .. }) = lines.recv().await {
        found.hits.extend(hit);
        if let Some(error) = error {
            return Err(QueryError { status: status_of(&error.code), error });
        }
        if let Some(end) = end {
            found.end = end;
            return json(found);
        }
    }
    Err(broken())
}

/// Answers line by line.
pub(super) async fn lines(app: &Arc<Running>, query: &str) -> Result<Response<ApiBody>, QueryError> {
    let question = Question::parse(query)?;
    let ask = Ask::new(&app.shared, app.clock.now_ns()).await?;
    let searches = Arc::clone(&app.searches);
    let (out, body) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        let turn = tokio::select! {
            turn = searches.acquire_owned() => turn,
            () = out.closed() => return,
        };
        let Ok(turn) = turn else { return };
        let (tx, mut lines) = mpsc::channel(QUEUE);
        if let Err(QueryError { error, .. }) = begin(ask, question, tx, turn) {
            let _ = out.send(to_line(&SearchLine { error: Some(error), ..SearchLine::default() })).await;
            return;
        }
        loop {
            let line = tokio::select! {
                line = lines.recv() => line,
                // Dropping the receiver ends the search.
                () = out.closed() => return,
            };
            let Some(line) = line else { return };
            if out.send(to_line(&line)).await.is_err() {
                return;
            }
        }
    });
    Ok(with_type("application/x-ndjson", ApiBody::Lines(body)))
}

fn to_line(line: &SearchLine) -> Bytes {
    let mut text = serde_json::to_vec(line).unwrap_or_default();
    text.push(b'\n');
    text.into()
}

fn status_of(code: &str) -> StatusCode {
    match code {
        "not_found" => StatusCode::NOT_FOUND,
        "ambiguous" => StatusCode::CONFLICT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn broken() -> QueryError {
    QueryError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the search could not be finished")
        .hint("`ccctl logs` shows why")
}

/// Starts to search; the last line is an end or an error.
fn begin(
    ask: Ask,
    question: Question,
    tx: mpsc::Sender<SearchLine>,
    turn: OwnedSemaphorePermit,
) -> Result<(), QueryError> {
    let work = move || {
        stand_back();
        let mut teller = Teller { tx, told: Instant::now() };
        let run = std::panic::AssertUnwindSafe(|| search(&ask, &question, &mut teller));
        // A defect costs the search, not the daemon.
        let done = std::panic::catch_unwind(run).unwrap_or_else(|_| {
            tracing::error!("a search panicked");
            Err(broken())
        });
        drop((ask, turn));
        teller.end(done);
    };
    let thread = std::thread::Builder::new().name("ccd-search".into()).spawn(work);
    thread.map(drop).map_err(|error| {
        QueryError::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", format!("no thread: {error}"))
    })
}

/// Lets everything else that wants a processor have it first.
pub(super) fn stand_back() {
    // Elsewhere the whole process would.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "a search runs beside everything else");
    }
}

/// Tells whoever asked.
struct Teller {
    tx: mpsc::Sender<SearchLine>,
    told: Instant,
}

impl Teller {
    fn end(self, done: Result<SearchEnd, QueryError>) {
        let line = match done {
            Ok(end) => SearchLine { end: Some(end), ..SearchLine::default() },
            Err(QueryError { error, .. }) => SearchLine { error: Some(error), ..SearchLine::default() },
        };
        // Whoever asked may be gone.
        let _ = self.tx.blocking_send(line);
    }
}

impl Listener for Teller {
    fn hit(&mut self, hit: Hit) -> bool {
        self.tx.blocking_send(SearchLine { hit: Some(hit), ..SearchLine::default() }).is_ok()
    }

    fn scanned(&mut self, sessions: u64) {
        if self.told.elapsed() >= PACE {
            self.told = Instant::now();
            // A reader that is slow misses some.
            let line = SearchLine { scanned_sessions: Some(sessions), ..SearchLine::default() };
            let _ = self.tx.try_send(line);
        }
    }

    fn is_there(&self) -> bool {
        !self.tx.is_closed()
    }
}
