//! What is followed: spans as they come and change, exchanges as they end. One JSON object per line.
//!
//! For spans, a message only says which session changed; what is sent comes from the session itself. So a reader that
//! lags behind the messages loses none of the spans: it looks at every session that changed since.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use ccd_proto::api::Exchange;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

use super::routes::blocking;
use crate::app::Running;
use crate::clock::parse_rfc3339;
use crate::query::content::Contents;
use crate::query::filter::Filter;
use crate::query::spans::matches;
use crate::query::tree::tree;
use crate::query::{Ask, QueryError, exchanges, sessions};

/// Lines that may wait for a slow reader.
const QUEUE: usize = 256;

/// How long an exchange may have been under way for whoever follows again to be told of it.
const UNDER_WAY_NS: u64 = 3600 * 1_000_000_000;
/// Exchanges looked at for whoever follows again.
const CAUGHT_UP: usize = 1000;

/// Spans already sent or there before: their id, and a hash of what was last seen.
type Seen = HashMap<String, [u8; 32]>;

/// Starts to follow. The receiver ends with the daemon; dropping it ends the following.
pub(super) async fn follow(app: &Arc<Running>, filter: Filter) -> Result<mpsc::Receiver<Bytes>, QueryError> {
    let mut changed = app.shared.changed.subscribe();
    let now_ns = app.clock.now_ns();
    let from_ns = filter.from_ns.unwrap_or(now_ns);
    let ask = Ask::new(&app.shared, now_ns).await?;
    let only = match &filter.session {
        Some(prefix) => Some(sessions::resolve(&ask, prefix)?),
        None => None,
    };
    let (tx, rx) = mpsc::channel(QUEUE);
    let app = Arc::clone(app);
    tokio::spawn(async move {
        let mut seen = Seen::new();
        let mut catches_up = filter.from_ns.is_some();
        loop {
            let touched = tokio::select! {
                () = tx.closed() => return,
                sessions = active_since(&app, from_ns), if catches_up => {
                    catches_up = false;
                    sessions.unwrap_or_default()
                }
                message = changed.recv() => match message {
                    Ok(session) => vec![session],
                    Err(RecvError::Lagged(_)) => match active_since(&app, from_ns).await {
                        Ok(sessions) => sessions,
                        Err(_) => continue,
                    },
                    Err(RecvError::Closed) => return,
                },
            };
            for session in touched.into_iter().filter(|s| only.as_ref().is_none_or(|o| o == s)) {
                let Ok(ask) = Ask::new(&app.shared, from_ns).await else { continue };
                let (filter, before) = (filter.clone(), std::mem::take(&mut seen));
                let Ok((lines, after)) =
                    blocking(move || Ok(news(&ask, &session, &filter, before, from_ns))).await
                else {
                    return;
                };
                seen = after;
                for line in lines {
                    if tx.send(line).await.is_err() {
                        return;
                    }
                }
            }
        }
    });
    Ok(rx)
}

/// Starts to follow exchanges as they end. A reader that lags a thousand batches behind misses some: a list has them.
pub(super) async fn exchanges(
    app: &Arc<Running>,
    filter: Filter,
) -> Result<mpsc::Receiver<Bytes>, QueryError> {
    let mut recorded = app.shared.recorded.subscribe();
    let now_ns = app.clock.now_ns();
    // Whoever cannot ask is told so now.
    Ask::new(&app.shared, now_ns).await?;
    let missed = match filter.from_ns {
        Some(from_ns) => ended_since(app, from_ns).await?,
        None => Vec::new(),
    };
    let (tx, rx) = mpsc::channel(QUEUE);
    let app = Arc::clone(app);
    tokio::spawn(async move {
        if !send(&tx, &filter, missed).await {
            return;
        }
        loop {
            let batch = tokio::select! {
                () = tx.closed() => return,
                message = recorded.recv() => match message {
                    Ok(batch) => batch,
                    Err(RecvError::Lagged(_)) => continue,
                    Err(RecvError::Closed) => return,
                },
            };
            let Ok(ask) = Ask::new(&app.shared, now_ns).await else { continue };
            let read = move || {
                let found = batch.iter().filter_map(|(at, id)| exchanges::one(&ask, *at, *id).ok()?);
                Ok(found.collect::<Vec<_>>())
            };
            let Ok(found) = blocking(read).await else { return };
            if !send(&tx, &filter, found).await {
                return;
            }
        }
    });
    Ok(rx)
}

/// Sends those that are asked for. False once nobody reads them.
async fn send(tx: &mpsc::Sender<Bytes>, filter: &Filter, found: Vec<Exchange>) -> bool {
    for exchange in found {
        let is_asked_for = filter
            .session
            .as_ref()
            .is_none_or(|prefix| exchange.session_id.as_ref().is_some_and(|id| id.starts_with(prefix)));
        let Ok(mut line) = serde_json::to_vec(&exchange) else { continue };
        line.push(b'\n');
        if is_asked_for && tx.send(line.into()).await.is_err() {
            return false;
        }
    }
    true
}

/// Exchanges that ended since then, oldest first; those aside that had been under way for very long.
async fn ended_since(app: &Arc<Running>, from_ns: u64) -> Result<Vec<Exchange>, QueryError> {
    let ask = Ask::new(&app.shared, from_ns).await?;
    let since_ns = Some(from_ns.saturating_sub(UNDER_WAY_NS));
    let of = Filter { since_ns, limit: CAUGHT_UP, ..Filter::default() };
    let mut found = blocking(move || Ok(exchanges::exchanges(&ask, &of)?.exchanges)).await?;
    found.retain(|e| {
        let began = parse_rfc3339(&e.started_at).unwrap_or_default();
        began.saturating_add(e.duration_ms.saturating_mul(1_000_000)) >= from_ns
    });
    found.reverse();
    Ok(found)
}

async fn active_since(app: &Arc<Running>, from_ns: u64) -> Result<Vec<String>, QueryError> {
    let ask = Ask::new(&app.shared, from_ns).await?;
    let of = Filter { since_ns: Some(from_ns), limit: 0, ..Filter::default() };
    blocking(move || Ok(sessions::sessions(&ask, &of)?.sessions.into_iter().map(|s| s.session_id).collect()))
        .await
}

/// A session's spans that are new or changed, as lines.
fn news(ask: &Ask, session: &str, filter: &Filter, mut seen: Seen, from_ns: u64) -> (Vec<Bytes>, Seen) {
    let Ok(view) = tree(ask, session) else { return (Vec::new(), seen) };
    let mut contents = Contents::new(ask);
    let mut lines = Vec::new();
    for view in view.spans.iter().cloned() {
        let Ok(plain) = serde_json::to_vec(&view.span) else { continue };
        let hash = *blake3::hash(&plain).as_bytes();
        let known = seen.insert(view.span.span_id.clone(), hash);
        let is_news = known.map_or_else(
            // What was over before we began to follow is none.
            || view.span.duration_ms.is_none_or(|ms| view.start_ns + ms * 1_000_000 >= from_ns),
            |last| last != hash,
        );
        if is_news && matches(filter, &view) {
            let span = contents.fill(view, filter);
            if let Ok(mut line) = serde_json::to_vec(&span) {
                line.push(b'\n');
                lines.push(Bytes::from(line));
            }
        }
    }
    (lines, seen)
}
