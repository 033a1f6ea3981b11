//! `GET /v0/follow`: what there is of a session, then what comes; or the list of sessions.
//!
//! A reader is a number: how far it is behind the state that all readers share ([`hub`], [`board`]). Must never queue more
//! for it than a few batches of lines; a reader that does not read is behind, and that is all. Nothing is lost between what
//! there was and what comes, since both are the same state at two times.

mod board;
mod hub;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ccd_proto::api::{FollowLine, FollowOpen};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use self::board::{Board, push};
use self::hub::Latest;
pub use self::hub::{Hub, MAX_SPANS};
use super::routes::blocking;
use crate::app::Running;
use crate::query::{Ask, QueryError, sessions};

/// Lines made at a time.
const BATCH: usize = 256;
/// Batches that may wait for a slow reader.
const QUEUE: usize = 2;

/// What is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    session: Option<String>,
    after: Option<String>,
}

impl Asked {
    fn parse(query: &str) -> Result<Self, QueryError> {
        let mut asked = Asked::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let value = Some(value.into_owned()).filter(|value| !value.is_empty());
            match &*name {
                "session" => asked.session = value,
                "after" => asked.after = value,
                other => return Err(QueryError::bad(format!("unknown parameter {other:?}"))),
            }
        }
        Ok(asked)
    }
}

/// Starts to follow. The receiver ends when the daemon cannot tell any more; dropping it ends the following.
pub(super) async fn follow(app: &Arc<Running>, query: &str) -> Result<mpsc::Receiver<Bytes>, QueryError> {
    let Asked { session, after } = Asked::parse(query)?;
    let ask = Ask::new(&app.shared, app.clock.now_ns()).await?;
    let session = match session {
        Some(prefix) => Some(blocking(move || sessions::resolve(&ask, &prefix)).await?),
        None => None,
    };
    let latest = app.live.join(app, &session)?;
    let (tx, rx) = mpsc::channel(QUEUE);
    let reader = Reader { tx, latest, heartbeat: app.live.heartbeat() };
    tokio::spawn(reader.run(session, after));
    Ok(rx)
}

/// Somebody who follows.
struct Reader {
    tx: mpsc::Sender<Bytes>,
    latest: watch::Receiver<Latest>,
    heartbeat: Duration,
}

impl Reader {
    async fn run(mut self, session_id: Option<String>, after: Option<String>) {
        let Some(first) = self.first().await else { return };
        let resumed = after.and_then(|cursor| first.number_of(&cursor));
        let mut sent = resumed.unwrap_or(0);
        // Of what vanished before it came, a new reader knows nothing.
        let had = resumed.unwrap_or_else(|| first.last());
        let (turns, spans) = first.ahead(sent);
        drop(first);
        let open = FollowOpen { session_id, resumed: resumed.is_some(), turns, spans };
        if !self.send(lines(&FollowLine { open: Some(open), ..FollowLine::default() })).await {
            return;
        }
        let mut told = None;
        loop {
            let Some(board) = self.latest.borrow_and_update().clone() else { return };
            if !board.knows(sent.max(had)) {
                // So far behind that what vanished since is forgotten: it begins anew.
                return;
            }
            let batch = board.batch(sent, had, BATCH);
            let (cursor, is_all) = (board.cursor(batch.upto), batch.upto == board.last());
            drop(board);
            sent = batch.upto;
            let mut bytes = batch.bytes;
            // Only where nothing is left: what belongs together has then been sent, and the first time all there is.
            if is_all && told != Some(sent) {
                told = Some(sent);
                push(&mut bytes, &FollowLine { cursor: Some(cursor), ..FollowLine::default() });
            }
            if !bytes.is_empty() && !self.send(bytes).await {
                return;
            }
            if is_all && !self.wait().await {
                return;
            }
        }
    }

    /// The state as it is now, or as soon as there is one.
    async fn first(&mut self) -> Option<Arc<Board>> {
        tokio::select! {
            latest = self.latest.wait_for(Option::is_some) => latest.ok()?.clone(),
            () = self.tx.closed() => None,
        }
    }

    /// False once nobody reads.
    async fn send(&self, bytes: Vec<u8>) -> bool {
        self.tx.send(bytes.into()).await.is_ok()
    }

    /// Waits for the next state, with a sign of life now and then. False once there is none, or nobody reads.
    async fn wait(&mut self) -> bool {
        loop {
            tokio::select! {
                changed = self.latest.changed() => return changed.is_ok(),
                () = self.tx.closed() => return false,
                () = sleep(self.heartbeat) => {}
            }
            if !self.send(b"{}\n".to_vec()).await {
                return false;
            }
        }
    }
}

fn lines(line: &FollowLine) -> Vec<u8> {
    let mut bytes = Vec::new();
    push(&mut bytes, line);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_names_nothing_unknown() {
        let asked = Asked::parse("session=ab&after=c-1").unwrap();
        assert_eq!(asked, Asked { session: Some("ab".into()), after: Some("c-1".into()) });
        assert_eq!(Asked::parse("session=&after=").unwrap(), Asked::default());
        assert!(Asked::parse("sesion=ab").is_err());
    }
}
