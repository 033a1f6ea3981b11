//! Forwarding at work: a task for each sink that is on, woken by what is recorded, and by a timer only while something
//! waits.
//!
//! Invariants: a sink that is off has no task; once [`super::Forwarding::settled`] returns, what was switched off is not
//! under way any more; what the sink took is on disk as such before the next is sent.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::task::JoinHandle;

use super::look::{self, Found};
use super::outbox::{Step, Unit};
use super::retry::Retry;
use super::speaker::{Packing, Shipped, Speaker};
use super::{Board, Failed};
use crate::app::Running;
use crate::config::{Network, Sink};
use crate::query::{Ask, QueryError, sessions};

/// How long to wait before a store that cannot be asked is asked again.
const AGAIN: Duration = Duration::from_secs(5);

/// A task that ends when it is let go of.
struct Task {
    sink: Arc<Sink>,
    network: Network,
    board: Arc<Board>,
    handle: JoinHandle<()>,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

impl Task {
    /// Ends it, and what it has under way.
    async fn end(mut self) -> Arc<Board> {
        self.handle.abort();
        let _ = (&mut self.handle).await;
        Arc::clone(&self.board)
    }
}

/// Forwards until it is aborted.
pub async fn run(app: Arc<Running>) {
    let mut settings = app.forwarding.settings.subscribe();
    let mut tasks: HashMap<String, Task> = HashMap::new();
    loop {
        let (times, wanted) = {
            let now = settings.borrow_and_update();
            (now.0, Arc::clone(&now.1))
        };
        let network = app.network();
        let changed: Vec<String> = tasks
            .iter()
            .filter(|(name, task)| {
                wanted.get(*name).is_none_or(|sink| *sink != *task.sink || task.network != network)
            })
            .map(|(name, _)| name.clone())
            .collect();
        for name in changed {
            let Some(task) = tasks.remove(&name) else { continue };
            let board = task.end().await;
            if !wanted.get(&name).is_some_and(|sink| sink.enabled && sink.identity() == task_identity(&board))
            {
                switch_off(board).await;
            }
        }
        for (name, sink) in wanted.iter() {
            let board = app.forwarding.board(name, sink);
            if !sink.enabled {
                // It may have been on when the daemon ended.
                if board.lock().state().since_ns != 0 {
                    switch_off(board).await;
                }
            } else if !tasks.contains_key(name) {
                let sink = Arc::new(sink.clone());
                let handle = tokio::spawn(serve(
                    Arc::clone(&app),
                    name.clone(),
                    Arc::clone(&sink),
                    Arc::clone(&board),
                ));
                tasks.insert(name.clone(), Task { sink, network: network.clone(), board, handle });
            }
        }
        app.forwarding.settled.send_replace(times);
        if settings.changed().await.is_err() {
            return;
        }
    }
}

fn task_identity(board: &Board) -> String {
    board.lock().state().identity.clone()
}

async fn switch_off(board: Arc<Board>) {
    board.lock().switch_off();
    save(&board).await;
}

async fn save(board: &Arc<Board>) {
    let board = Arc::clone(board);
    let _ = tokio::task::spawn_blocking(move || board.save()).await;
}

/// Looks after one sink until it is aborted.
async fn serve(app: Arc<Running>, name: String, sink: Arc<Sink>, board: Arc<Board>) {
    let mut changed = app.shared.changed.subscribe();
    let mut speaker = Speaker::new(&app, &name, &sink);
    let resends = sink.resend || sink.kind == crate::config::SinkKind::Pisama;
    board.lock().switch_on(resends, app.clock.now_ns());
    tracing::info!(sink = name, to = super::deliver::shown(&sink.url), "forwarding is on");
    loop {
        hear(&board, &mut changed);
        save(&board).await;
        let (step, now) = {
            let outbox = board.lock();
            let now = board.now();
            (outbox.next(now), now)
        };
        let done = match step {
            Step::Wait(until) => {
                wait(&board, &mut changed, until.map(|until| until.saturating_sub(now))).await;
                continue;
            }
            Step::Scan => scan(&app, &board).await,
            Step::Look(session) => take_a_look(&app, &sink, &board, session).await,
            Step::Send(session, unit) => send(&app, &name, &mut speaker, &sink, &board, session, unit).await,
        };
        if let Err(error) = done {
            tracing::warn!(sink = name, error = error.error.message, "forwarding waits for the store");
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// Takes up what changed meanwhile.
fn hear(board: &Board, changed: &mut broadcast::Receiver<String>) {
    let mut outbox = board.lock();
    loop {
        match changed.try_recv() {
            Ok(session) => outbox.changed(session, board.now()),
            // Those that were dropped are not known.
            Err(TryRecvError::Lagged(_)) => outbox.missed(),
            Err(TryRecvError::Empty | TryRecvError::Closed) => return,
        }
    }
}

async fn wait(board: &Board, changed: &mut broadcast::Receiver<String>, limit: Option<u64>) {
    let heard = async {
        match changed.recv().await {
            Ok(session) => board.lock().changed(session, board.now()),
            Err(RecvError::Lagged(_)) => board.lock().missed(),
            Err(RecvError::Closed) => std::future::pending().await,
        }
    };
    match limit {
        Some(limit) => _ = tokio::time::timeout(Duration::from_nanos(limit), heard).await,
        None => heard.await,
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, QueryError> + Send + 'static,
) -> Result<T, QueryError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(QueryError::bad(e.to_string())))
}

async fn scan(app: &Arc<Running>, board: &Arc<Board>) -> Result<(), QueryError> {
    let ask = Ask::new(&app.shared, app.clock.now_ns()).await?;
    let board = Arc::clone(board);
    blocking(move || {
        let (since_ns, known) = {
            let outbox = board.lock();
            let known: Vec<String> = outbox.state().sessions.keys().cloned().collect();
            (outbox.state().since_ns, known)
        };
        let mut found = Vec::new();
        for session in sessions::recent(&ask, since_ns) {
            let session = session?;
            found.push((session.session_id.clone(), look::seen(&session)));
        }
        let gone = gone(&ask, known)?;
        board.lock().scanned(found, &gone, board.now());
        Ok(())
    })
    .await
}

/// Those of the sessions that are not on record any more.
fn gone(ask: &Ask, sessions: Vec<String>) -> Result<Vec<String>, QueryError> {
    let mut gone = Vec::new();
    for session in sessions {
        if look::row(ask, &session)?.is_none() {
            gone.push(session);
        }
    }
    Ok(gone)
}

async fn take_a_look(
    app: &Arc<Running>,
    sink: &Arc<Sink>,
    board: &Arc<Board>,
    session: String,
) -> Result<(), QueryError> {
    let ask = Ask::new(&app.shared, app.clock.now_ns()).await?;
    let (sink, board) = (Arc::clone(sink), Arc::clone(board));
    blocking(move || {
        let since_ns = board.lock().state().since_ns;
        let found = look::look(&ask, &sink, &session, since_ns)?;
        let mut outbox = board.lock();
        let now = board.now();
        match found {
            Found::Gone => outbox.lost(&session),
            Found::Excluded(seen) => outbox.excluded(&session, seen),
            Found::Units(looked) => outbox.looked(&session, looked, now),
        }
        Ok(())
    })
    .await
}

async fn send(
    app: &Arc<Running>,
    name: &str,
    speaker: &mut Speaker,
    sink: &Arc<Sink>,
    board: &Arc<Board>,
    session: String,
    unit: Unit,
) -> Result<(), QueryError> {
    let ask = Ask::new(&app.shared, app.clock.now_ns()).await?;
    // While the sink is down, the store may let go of what waits: that is told without waiting for its turn.
    let waits: Vec<String> = {
        let outbox = board.lock();
        let all = outbox.state().sessions.iter();
        let tried = outbox.next_try().is_some();
        all.filter(|(id, past)| !past.waiting.is_empty() && (tried || **id == session))
            .map(|(id, _)| id.clone())
            .collect()
    };
    let (looking, of, id) = (ask.clone(), Arc::clone(sink), session.clone());
    let (gone, excluded) = blocking(move || {
        let row = look::row(&looking, &id)?;
        let excluded = row.filter(|row| !look::wants(&of, row)).map(|row| look::seen(&row));
        Ok((gone(&looking, waits)?, excluded))
    })
    .await?;
    {
        let mut outbox = board.lock();
        for session in &gone {
            outbox.lost(session);
        }
        if let Some(seen) = excluded {
            outbox.excluded(&session, seen);
        }
        if excluded.is_some() || gone.contains(&session) {
            return Ok(());
        }
    }
    let shipped = speaker.ship(&ask, Packing::of(app, sink), &session, unit.key).await;
    let wall_ns = app.clock.now_ns();
    let mut outbox = board.lock();
    match shipped {
        Shipped::Taken { note, items, bytes } => {
            if let Some(note) = &note {
                tracing::warn!(sink = name, note, "not all of it was forwarded");
            }
            tracing::debug!(sink = name, items, bytes, "forwarded");
            outbox.taken(&session, unit, note.as_deref(), wall_ns);
        }
        Shipped::Gone => outbox.gone(&session, unit),
        Shipped::Refused(words) => {
            tracing::warn!(sink = name, words, "a sink does not take something, which is not sent again");
            outbox.refused(&session, unit, &words, wall_ns);
        }
        Shipped::Failed(Failed { words, asked, held }) => {
            if outbox.next_try().is_none() {
                tracing::warn!(
                    sink = name,
                    words,
                    "a sink cannot be reached, or is not ready: tried again later"
                );
            }
            let random = random();
            let pause = |failed: u32| {
                // What somebody has to change is not asked for every second.
                let failed = if held { failed.saturating_add(6) } else { failed };
                Retry::STEADY.pause(failed, asked, random)
            };
            let now = board.now();
            outbox.failed(&words, pause, now, wall_ns);
        }
    }
    Ok(())
}

/// Any number: without a source of randomness, all who failed together come again together.
fn random() -> u64 {
    let mut bytes = [0; 8];
    let _ = getrandom::fill(&mut bytes);
    u64::from_le_bytes(bytes)
}
