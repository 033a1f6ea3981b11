//! The writer's store, coming and going: opened, brought up to its journal, mended, exchanged for a restored one.
//!
//! Must never hold up what comes for longer than opening a store takes: what is more than a moment's work is done beside
//! the writer.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use ccd_store::{Options, Store};
use tokio::sync::mpsc::error::TryRecvError;

use super::rebuild::{self, view_version};
use super::shared::StoreState;
use super::views::{CaughtUp, catch_up};
use super::writer::{Behind, LOOK, RECOVER_PAUSE, WriteError, Writer, answer, guarded, place};
use super::{Ack, Submission, Swap};

/// How long to wait before a store that cannot be opened is tried again.
const REOPEN_PAUSE: Duration = Duration::from_secs(2);
/// So many records are brought into the index before anything else, at a start.
const AT_ONCE: u64 = 500;

/// Whether the writer goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    GoOn,
    End,
}

impl Writer {
    /// Opens the store, and refuses what comes until that works. `None`: told to end.
    pub(super) fn opened(&mut self) -> Option<Store> {
        loop {
            match guarded(|| self.open()) {
                Ok(store) => return Some(store),
                Err(error) => {
                    tracing::error!(%error, "the store cannot be used: requests are relayed without being captured");
                    self.shared.state.send_replace(StoreState::Failed(error.to_string()));
                    if self.refuse_for(REOPEN_PAUSE) == Next::End {
                        return None;
                    }
                }
            }
        }
    }

    /// Closes the store, lets a copy take its place, and opens that. `None`: told to end.
    pub(super) fn swap(&mut self, store: Store, Swap { staged, done }: Swap) -> Option<Store> {
        // Questions wait, events and exchanges stay at the door.
        self.shared.state.send_replace(StoreState::Opening);
        self.shared.live.clear();
        self.feed.swapped();
        (self.behind, self.complete) = (Behind::No, false);
        if let Err(error) = guarded(|| Ok(store.close()?)) {
            tracing::warn!(%error, "the store could not be closed well; its journal is whole");
        }
        let swapped = guarded(|| Ok(staged.swap()?)).map_err(|e| e.to_string());
        let opened = guarded(|| self.open());
        // Whoever asked may have given up waiting.
        let failed = |e: &WriteError| Err(format!("the restored store does not open: {e}"));
        let _ = done.send(swapped.and_then(|swapped| opened.as_ref().map_or_else(failed, |_| Ok(swapped))));
        opened.ok().or_else(|| self.opened())
    }

    pub(super) fn open(&mut self) -> Result<Store, WriteError> {
        let version = view_version(&self.shared.live.prices());
        let opened = Store::open(&self.dir, Options { view_version: version, ..Options::default() })?;
        let mut store = opened.store;
        self.place = place(&self.dir);
        tracing::info!(report = ?opened.report, "store opened");
        self.shared.damaged.store(opened.report.damaged, Ordering::Relaxed);
        self.bring_up(&mut store)?;
        Ok(store)
    }

    /// Brings the index up to the journal: at once if that is little, else beside the writer, which goes on taking
    /// exchanges in; hook events are refused meanwhile (the shim spools them), since nobody can tell which are known.
    pub(super) fn bring_up(&mut self, store: &mut Store) -> Result<(), WriteError> {
        if store.is_ready() && store.last_seq() - store.applied() <= AT_ONCE {
            let kept = store.carry();
            let found = catch_up(store, &self.shared.live, || kept, None, &mut |_| ())?;
            self.brought_up(store, &found);
            return Ok(());
        }
        tracing::info!(from = store.applied(), to = store.last_seq(), "the index is worked out again");
        self.behind = Behind::Building;
        self.shared.state.send_replace(StoreState::Opening);
        let (door, shared) = (self.door.clone(), Arc::clone(&self.shared));
        let build = move || {
            let Some(door) = door.upgrade() else { return };
            let show = |now| *shared.progress.lock().unwrap_or_else(PoisonError::into_inner) = now;
            let done = guarded(|| Ok(rebuild::rebuild(&door, &shared, None, &mut |now| show(Some(now)))));
            show(None);
            let failed = match done {
                Ok(Ok(_)) => return,
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            tracing::error!(error = failed, "the index could not be worked out; trying again");
            // If the daemon stops, the next start tries again.
            let _ = door.with_writer(move |writer, _| {
                writer.shared.set_error(Some(failed));
                writer.behind = Behind::Since(Instant::now());
            });
        };
        let thread = std::thread::Builder::new().name("ccd-rebuild".into()).spawn(build);
        thread.map(drop).map_err(|e| WriteError::Panic(format!("the rebuild's thread: {e}")))
    }

    /// The index accounts for all that is journalled.
    pub(super) fn brought_up(&mut self, store: &Store, found: &CaughtUp) {
        self.shared.damaged.fetch_max(found.damaged, Ordering::Relaxed);
        self.shared.set_counters(found.counters);
        self.shared.set_error(None);
        self.behind = Behind::No;
        self.complete = true;
        self.feed.brought_up(store.applied());
        self.shared.state.send_replace(StoreState::Ready(store.reader()));
        self.shared.marks.renewed();
    }

    /// Brings an index that failed up to the journal again. sled does not recover from a failed write by itself.
    pub(super) fn recover(&mut self, store: &mut Store) {
        let Behind::Since(last) = self.behind else { return };
        if last.elapsed() < RECOVER_PAUSE {
            return;
        }
        // Facts of a batch that was not applied must not be told twice over.
        self.shared.live.clear();
        // Until it is brought up, another index may know less than the one that failed.
        self.complete = false;
        let done = store.reopen_index().map_err(WriteError::from).and_then(|state| {
            tracing::info!(?state, "the index is open again");
            self.bring_up(store)
        });
        if let Err(error) = done {
            self.behind = Behind::Since(Instant::now());
            self.shared.set_error(Some(error.to_string()));
        }
    }

    /// Refuses what comes, for a while.
    fn refuse_for(&mut self, pause: Duration) -> Next {
        let until = Instant::now() + pause;
        loop {
            match self.rx.try_recv() {
                Ok(Submission::Hook(_, ack)) => answer(ack, Ack::Refused),
                Ok(Submission::Kept(_, ack) | Submission::Ready(_, ack) | Submission::Gap(_, _, ack)) => {
                    answer([ack], Ack::Refused);
                }
                Ok(Submission::Exchange(exchange)) => {
                    let why = match &*self.shared.state.borrow() {
                        StoreState::Failed(why) => format!("the store cannot be used: {why}"),
                        _ => "the store cannot be used".into(),
                    };
                    self.gauges.miss(exchange.record.started_ns, &why);
                }
                // Whoever waits for it is told by its end.
                Ok(Submission::Task(_) | Submission::Missed) => {}
                Ok(Submission::Swap(swap)) => {
                    // Questions wait for what takes the place of a store that did not open.
                    self.shared.state.send_replace(StoreState::Opening);
                    let Swap { staged, done } = *swap;
                    let _ = done.send(guarded(|| Ok(staged.swap()?)).map_err(|e| e.to_string()));
                    return Next::GoOn;
                }
                Ok(Submission::Stop) | Err(TryRecvError::Disconnected) => return Next::End,
                Err(TryRecvError::Empty) if Instant::now() >= until => return Next::GoOn,
                Err(TryRecvError::Empty) => std::thread::sleep(LOOK),
            }
        }
    }
}
