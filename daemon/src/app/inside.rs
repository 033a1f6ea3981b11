//! What a daemon does that owns the home: it writes the store, hears hook events, answers questions.
//!
//! Invariants: at the end, and before the home is given to another daemon, everything that came is written; the control
//! socket goes last; nothing of the home is touched after its lock is let go of.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Running;
use super::keeper::Keeper;
use super::life::{CUT_PATIENCE, WRITER_PATIENCE, failed};
use super::watching::Watching;
use crate::ingest::Submission;
use crate::ingest::shared::StoreState;
use crate::ingest::writer::Writer;
use crate::maintenance::retention;
use crate::source::{hook, spool, transcript};
use crate::startup::{Home, SocketFile, StartError};
use crate::supervise::listeners::Holder;
use crate::{alert, api, budget, forward};

/// How long hook events under way may take when another daemon waits for the store; the shim spools them otherwise.
const EVENTS_PATIENCE: Duration = Duration::from_millis(500);

/// What a daemon does that owns the home.
pub(super) struct Inside {
    lock: std::fs::File,
    /// What goes with the lock.
    files: Vec<SocketFile>,
    /// The hook socket, where a manager holds it: somebody is to answer there while nobody captures.
    held_hooks: Option<std::os::unix::net::UnixListener>,
    turning_away: CancellationToken,
    writer: Option<JoinHandle<()>>,
    watching: Option<Watching>,
    /// Hook events under way.
    events: TaskTracker,
    /// Hook socket and spool.
    sources: TaskTracker,
    closing: CancellationToken,
    api: tokio::task::JoinHandle<()>,
    retention: tokio::task::JoinHandle<()>,
    budgets: tokio::task::JoinHandle<()>,
    forwards: tokio::task::JoinHandle<()>,
    pub(super) spool_changed: Arc<Notify>,
}

impl Inside {
    /// Starts the writer, if anything is to be captured, and serves the sockets.
    pub(super) fn open(
        app: &Arc<Running>,
        home: Home,
        rx: Option<mpsc::Receiver<Submission>>,
    ) -> Result<Self, StartError> {
        let Home { lock, hooks, control, files } = home;
        let control = UnixListener::from_std(control).map_err(|e| failed("control socket", &e))?;
        let captures = rx.is_some();
        let held = hooks.as_ref().filter(|_| app.holders.hook != Holder::Own);
        let held_hooks = held.map(std::os::unix::net::UnixListener::try_clone).transpose();
        let held_hooks = held_hooks.map_err(|e| failed("hook socket", &e))?;
        let hooks = hooks.filter(|_| captures).map(UnixListener::from_std).transpose();
        let hooks = hooks.map_err(|e| failed("hook socket", &e))?;
        let writer = rx.map(|rx| {
            let (dir, feed) = (app.layout.store_dir(), app.detect.clone());
            let writer = Writer::new(dir, rx, Arc::clone(&app.shared), &app.door, feed);
            std::thread::Builder::new().name("ccd-writer".into()).spawn(move || writer.run())
        });
        let writer = writer.transpose().map_err(|e| failed("the writer's thread", &e))?;
        let watching = if captures { Watching::start(app)? } else { None };
        let (events, sources) = (TaskTracker::new(), TaskTracker::new());
        let (closing, spool_changed) = (CancellationToken::new(), Arc::new(Notify::new()));
        if let Some(hooks) = hooks {
            sources.spawn(hook::serve(hooks, Arc::new(desk(app)), events.clone(), closing.clone()));
            sources.spawn(spool::run(
                app.layout.spool_dir.clone(),
                app.door.clone(),
                Arc::clone(&app.spool),
                Arc::clone(&spool_changed),
                closing.clone(),
            ));
        }
        if captures {
            let (transcripts, shared) = (Arc::clone(&app.transcripts), Arc::clone(&app.shared));
            sources.spawn(transcript::run(transcripts, shared, closing.clone()));
        }
        let api = tokio::spawn(api::serve(control, Arc::clone(app)));
        let retention =
            if captures { tokio::spawn(retention::run(Arc::clone(app))) } else { tokio::spawn(async {}) };
        let budgets =
            if captures { tokio::spawn(budget::run(Arc::clone(app))) } else { tokio::spawn(async {}) };
        app.forwards.store(captures, std::sync::atomic::Ordering::Relaxed);
        let forwards =
            if captures { tokio::spawn(forward::run(Arc::clone(app))) } else { tokio::spawn(async {}) };
        let inside = Inside {
            lock,
            files,
            held_hooks,
            turning_away: CancellationToken::new(),
            writer,
            watching,
            events,
            sources,
            closing,
            api,
            retention,
            budgets,
            forwards,
            spool_changed,
        };
        if !captures {
            inside.turn_hooks_away();
        }
        Ok(inside)
    }

    /// Nobody captures events here from now on. Where their socket is held by a manager, they are told so, as a socket
    /// that is gone would: whoever brings one is not to wait in vain.
    fn turn_hooks_away(&self) {
        let Some(listener) = self.held_hooks.as_ref().and_then(|held| held.try_clone().ok()) else { return };
        match UnixListener::from_std(listener) {
            Ok(listener) => drop(tokio::spawn(hook::turn_away(listener, self.turning_away.clone()))),
            Err(error) => tracing::warn!(%error, "hook events wait for a moment each"),
        }
    }

    /// Before a stop: nothing more is begun.
    pub(super) fn stop(&self) {
        self.retention.abort();
        self.budgets.abort();
        self.forwards.abort();
        self.closing.cancel();
        self.turn_hooks_away();
        self.sources.close();
    }

    /// The end after a stop: everything that came is written, the control socket goes last.
    pub(super) async fn end(self, app: &Arc<Running>) {
        let all = async {
            self.sources.wait().await;
            self.events.close();
            self.events.wait().await;
        };
        if tokio::time::timeout(CUT_PATIENCE, all).await.is_err() {
            tracing::warn!("some hook events do not end");
        }
        app.maintenance.stop().await;
        if let Some(watching) = self.watching {
            watching.end(app, CUT_PATIENCE).await;
        }
        if let Some(writer) = self.writer {
            let written = async {
                app.door.stop().await;
                tokio::task::spawn_blocking(move || writer.join()).await
            };
            if tokio::time::timeout(WRITER_PATIENCE, written).await.is_err() {
                tracing::error!("the writer does not end; its journal is whole");
            }
        }
        // Questions under way may be followers, who would stay for ever.
        self.api.abort();
        self.files.iter().for_each(SocketFile::remove);
        drop(self.lock);
    }

    /// Gives the home to another daemon: as soon as what was captured is written, and before the streams have ended.
    /// What is returned ends when that is done.
    pub(super) async fn give_up(
        self,
        app: &Arc<Running>,
        keeper: &Keeper,
    ) -> tokio::sync::oneshot::Receiver<()> {
        let (done, given_up) = tokio::sync::oneshot::channel();
        self.retention.abort();
        self.budgets.abort();
        self.forwards.abort();
        self.closing.cancel();
        self.turning_away.cancel();
        self.api.abort();
        self.sources.close();
        self.events.close();
        let events = async {
            self.sources.wait().await;
            self.events.wait().await;
        };
        let _ = tokio::time::timeout(EVENTS_PATIENCE, events).await;
        app.maintenance.stop().await;
        if let Some(watching) = self.watching {
            watching.end(app, EVENTS_PATIENCE).await;
        }
        app.door.set_aside(Some(keeper.to.clone()));
        let Some(writer) = self.writer else {
            self.files.iter().for_each(SocketFile::remove);
            drop(self.lock);
            return given_up;
        };
        app.door.stop().await;
        let (then, lock, files) = (Arc::clone(app), self.lock, self.files);
        // Not a task of the runtime's, and not waited for: a disk that hangs must not keep the streams waiting. Until
        // the store is let go of, the lock stays ours.
        let release = move || {
            let _ = writer.join();
            // Whoever works views out writes beside the store; from here on nobody does.
            let alone = then.shared.alone();
            then.shared.state.send_replace(StoreState::Failed("it was given to another daemon".into()));
            files.iter().for_each(SocketFile::remove);
            drop(lock);
            tracing::info!("the store is given up");
            std::mem::forget(alone);
            drop(done);
        };
        if let Err(error) = std::thread::Builder::new().name("ccd-release".into()).spawn(release) {
            tracing::error!(%error, "the store is given up only at the end");
        }
        given_up
    }
}

/// What hook events are answered with.
fn desk(app: &Arc<Running>) -> hook::Desk {
    let (deciding, telling) = (Arc::clone(app), Arc::clone(app));
    let let_run: hook::LetRun = Arc::new(move |last| alert::let_run(&telling, last));
    hook::Desk {
        door: app.door.clone(),
        decide: Arc::new(move |event| deciding.budget.decision(event, deciding.clock.now_ns())),
        healer: hook::Healer::new(Arc::clone(&app.heal), app.detect.clone(), let_run),
        times: hook::Times::default(),
    }
}
