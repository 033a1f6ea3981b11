//! The writer: the one thread that owns the store.
//!
//! Takes what waits at the door as one batch: drops what is known already, journals the rest as one frame,
//! makes it durable, acknowledges, and only then works out and writes the views. A store that cannot be opened
//! or written never stops the stream: events are refused (the shim spools them), exchanges are counted as
//! dropped, `status` says why, and it is tried again. A defect in reading what was captured (a panic) costs the
//! views, not the journal.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ccd_store::{Record, Store, StoreError};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::apply::Batch;
use super::made::gap_record;
use super::missed::CALM;
use super::record::{KIND_EXCHANGE, RecordError};
use super::shared::{Shared, StoreState};
use super::{Ack, Door, Gauges, Submission, Task, WeakDoor};
use crate::detect::{self, Feed, Seen, Told};
use crate::live::LiveError;
use crate::memory;
use crate::project::rows;
use crate::project::session::Fact;

/// Submissions taken as one batch.
const BATCH: usize = 256;
/// From bodies of this size on, what the allocator keeps of the work on them is given back at once.
const LARGE: u64 = 4 << 20;
/// How long nothing has to come before the daemon is at rest.
const REST: Duration = Duration::from_secs(3);
/// How often to look for submissions while something is to be tried again.
pub(super) const LOOK: Duration = Duration::from_millis(20);
/// How long to wait before a failed index is tried again.
pub(super) const RECOVER_PAUSE: Duration = Duration::from_secs(2);

/// The writer's thread.
pub struct Writer {
    pub(super) dir: PathBuf,
    pub(super) rx: mpsc::Receiver<Submission>,
    pub(super) shared: Arc<Shared>,
    pub(super) gauges: Arc<Gauges>,
    /// For the threads that work views out beside the writer.
    pub(super) door: WeakDoor,
    pub(super) behind: Behind,
    /// The detectors, who are told of what is on disk.
    pub(super) feed: Feed,
    /// Tells when nothing came for a while. Without it the writer never rests, which is no harm.
    timer: Option<tokio::runtime::Runtime>,
    resting: bool,
    /// Whether the index knows every record that was there when it was opened: only then can it be told whether a hook
    /// event is known.
    pub(super) complete: bool,
    /// Which directory the open store is in.
    pub(super) place: Option<Place>,
}

/// Whether the index lacks records that the journal has: applying the next ones alone would skip those.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behind {
    No,
    /// Bringing it up was last tried then.
    Since(Instant),
    /// Another one is being built, from nothing.
    Building,
}

/// A directory, whatever its name: device and inode.
pub(super) type Place = (u64, u64);

/// What a batch can fail with.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Live(#[from] LiveError),
    #[error(transparent)]
    Row(#[from] rows::RowError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("{}: the store's directory is gone; put it back, or let `ccctl restart` make a new one", .0.display())]
    Gone(PathBuf),
    #[error("a defect of ccd: {0}")]
    Panic(String),
}

/// Runs something that may panic: sled 0.34 does on some damaged files.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, WriteError>) -> Result<T, WriteError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(WriteError::Panic(text.unwrap_or_else(|| "panic".into())))
    })
}

impl Submission {
    fn is_large(&self) -> bool {
        match self {
            Submission::Hook(event, _) => event.body.len() as u64 >= LARGE,
            Submission::Exchange(e) | Submission::Kept(e, _) => {
                e.record.request.seen.max(e.record.response.seen) >= LARGE
            }
            _ => false,
        }
    }

    /// When what it tells of began.
    pub(super) fn began_ns(&self) -> u64 {
        match self {
            Submission::Hook(event, _) => event.arrived_ns,
            Submission::Exchange(e) | Submission::Kept(e, _) => e.record.started_ns,
            Submission::Ready(ready, _) => ready.record.at_ns,
            _ => 0,
        }
    }
}

impl Writer {
    /// Takes everything it needs; nothing is opened yet.
    #[must_use]
    pub fn new(
        dir: PathBuf,
        rx: mpsc::Receiver<Submission>,
        shared: Arc<Shared>,
        door: &Door,
        feed: Feed,
    ) -> Self {
        let gauges = Arc::clone(door.gauges());
        let timer = tokio::runtime::Builder::new_current_thread().enable_time().build().ok();
        let (door, behind) = (door.downgrade(), Behind::No);
        Writer {
            dir,
            rx,
            shared,
            gauges,
            door,
            behind,
            feed,
            timer,
            resting: false,
            complete: false,
            place: None,
        }
    }

    /// Opens the store, brings its index up to the journal, and writes until it is told to end.
    pub fn run(mut self) {
        let Some(mut store) = self.opened() else { return };
        while let Some(mut batch) = self.next_batch() {
            let stop = batch.iter().any(|s| matches!(s, Submission::Stop));
            let is_special = |s: &mut Submission| matches!(s, Submission::Task(_) | Submission::Swap(_));
            let special: Vec<_> = batch.extract_if(.., is_special).collect();
            let large = batch.iter().any(Submission::is_large);
            let written = guarded(|| {
                if place(&self.dir) == self.place {
                    self.write(&mut store, batch);
                } else {
                    // Files that were deleted can still be written to, and are lost all the same.
                    self.turn_away(batch);
                }
                Ok(())
            });
            if let Err(error) = written {
                tracing::error!(%error, "a batch could not be taken in");
                self.fall_behind(&error);
            }
            if large {
                memory::trim();
            }
            for submission in special {
                match submission {
                    Submission::Task(Task(work)) => {
                        let worked = guarded(|| {
                            work(&mut self, &mut store);
                            Ok(())
                        });
                        if let Err(error) = worked {
                            tracing::error!(%error, "work on the store failed");
                            self.fall_behind(&error);
                        }
                    }
                    Submission::Swap(swap) => match self.swap(store, *swap) {
                        Some(after) => store = after,
                        None => return,
                    },
                    _ => {}
                }
            }
            if stop {
                break;
            }
        }
        // Closed, not only flushed: whoever still reads holds no file of the index open, which the next daemon needs.
        if let Err(error) = guarded(|| Ok(store.close()?)) {
            tracing::error!(%error, "the store could not be closed well; its journal is whole, its index will be rebuilt");
        }
    }

    /// What waits at the door, as soon as something does. While the index is behind, nothing may come too: it is
    /// tried again without an occasion. `None`: the door is closed.
    fn next_batch(&mut self) -> Option<Vec<Submission>> {
        let mut batch = Vec::with_capacity(BATCH);
        if !matches!(self.behind, Behind::Since(_)) {
            return self.wait(&mut batch).then_some(batch);
        }
        let until = Instant::now() + RECOVER_PAUSE;
        loop {
            match self.rx.try_recv() {
                Ok(submission) => batch.push(submission),
                Err(TryRecvError::Disconnected) if batch.is_empty() => return None,
                Err(_) if batch.is_empty() && Instant::now() < until => std::thread::sleep(LOOK),
                Err(_) => return Some(batch),
            }
            if batch.len() >= BATCH {
                return Some(batch);
            }
        }
    }

    /// Whether the index knows every record.
    pub(super) fn is_complete(&self) -> bool {
        self.complete && self.behind == Behind::No
    }

    /// Waits for something at the door, and takes it, or until a record is to tell of what was missed; false if the door
    /// is closed. After a while in which nothing came, lets go of what a daemon at rest need not hold, once.
    fn wait(&mut self, batch: &mut Vec<Submission>) -> bool {
        let missed = self.gauges.has_missed();
        if let Some(timer) = self.timer.as_ref().filter(|_| !self.resting || missed) {
            let rx = &mut self.rx;
            let patience = if missed { CALM } else { REST };
            let come = timer.block_on(async { timeout(patience, rx.recv_many(batch, BATCH)).await });
            if let Ok(took) = come {
                return took > 0;
            }
            if missed {
                return true;
            }
            self.resting = true;
            self.shared.live.rest();
            if let StoreState::Ready(reader) = &*self.shared.state.borrow() {
                reader.rest();
            }
            memory::trim();
        }
        let took = self.rx.blocking_recv_many(batch, BATCH);
        self.resting = false;
        took > 0
    }

    /// Nothing held of the views can be trusted; the journal is.
    fn fall_behind(&mut self, error: &WriteError) {
        self.shared.live.clear();
        self.shared.set_error(Some(error.to_string()));
        self.behind = Behind::Since(Instant::now());
    }

    fn write(&mut self, store: &mut Store, batch: Vec<Submission>) {
        self.recover(store);
        let reader = store.reader();
        let stops = batch.iter().any(|s| matches!(s, Submission::Stop));
        let (mut pending, again) = self.made(store, &reader, batch);
        let missed = if stops { self.gauges.take_missed() } else { self.gauges.take_episode(Instant::now()) };
        if let Some(gap) = &missed {
            match gap_record(gap, uuid::Uuid::now_v7().into_bytes(), None) {
                Ok(made) => pending.push(made),
                Err((error, _)) => self.refuse(&error, None, gap.from_ns),
            }
        }
        if pending.is_empty() {
            answer(again, Ack::Durable);
            return;
        }
        let mut facts = Vec::with_capacity(pending.len());
        let mut acks = again;
        let mut untold = Vec::new();
        let mut new = Vec::with_capacity(pending.len());
        let mut told = Vec::with_capacity(pending.len());
        for p in pending {
            // Who is told can come again; the others are lost if this fails.
            if p.record.kind == KIND_EXCHANGE && p.ack.is_none() {
                untold.push(p.record.at_ns);
            }
            new.push(p.record);
            facts.push(p.fact);
            told.push(p.told);
            acks.extend(p.ack);
        }
        let journalled = store.append(new).and_then(|records| store.sync().map(|()| records));
        let records = match journalled {
            Ok(records) => Arc::new(records),
            Err(error) => {
                tracing::error!(%error, "the journal cannot be written");
                self.shared.set_error(Some(error.to_string()));
                let why = format!("the journal cannot be written: {error}");
                for began_ns in untold {
                    self.gauges.miss(began_ns, &why);
                }
                if let Some(gap) = missed {
                    self.gauges.put_back(gap);
                }
                answer(acks, Ack::Refused);
                return;
            }
        };
        // Before the acknowledgements: whoever has one and asks the detectors is answered by what has seen the event.
        self.hand_over(&records, told, &facts);
        answer(acks, Ack::Durable);
        if self.behind != Behind::No {
            return;
        }
        let published = self.publish(store, &reader, &records, facts);
        self.shared.set_error(published.as_ref().err().map(ToString::to_string));
        if let Err(error) = published {
            // The journal has it: what the index lacks is read back from there.
            tracing::error!(%error, "the index cannot be written");
            self.fall_behind(&error);
        }
    }

    /// Tells the detectors what is on disk. Costs capture no more than the copies of a few names.
    fn hand_over(
        &self,
        records: &Arc<Vec<Record>>,
        told: Vec<Option<Told>>,
        facts: &[Option<(String, Fact)>],
    ) {
        let Some(first_seq) = records.first().map(|record| record.seq) else { return };
        let mut seen = Vec::new();
        for (at, (told, fact)) in told.into_iter().zip(facts).enumerate() {
            let Some((session_id, fact)) = fact.as_ref().filter(|(session, _)| !session.is_empty()) else {
                continue;
            };
            let told = told.or_else(|| match fact {
                Fact::Transcript(facts) if facts.meta.is_some() => None,
                // What is imported is told from what is followed by the age of its lines.
                Fact::Transcript(facts) => {
                    let told_ns = Some(facts.last_ns).filter(|ns| *ns > 0);
                    let at_ns = told_ns.or(records.get(at).map(|record| record.at_ns)).unwrap_or(0);
                    let young = self.feed.is_young(at_ns);
                    Some(if young { Told::Lines(Arc::clone(records), at) } else { Told::Past })
                }
                Fact::Foreign(_) => Some(Told::Past),
                _ => None,
            });
            if let (Some(told), Some(record)) = (told, records.get(at)) {
                let (seq, at_ns) = (record.seq, record.at_ns);
                seen.push(Seen { seq, at_ns, session_id: session_id.clone(), told });
            }
        }
        let indexed = self.is_complete();
        self.feed.seen(detect::Batch { first_seq, indexed, seen, ..detect::Batch::default() });
    }

    fn publish(
        &self,
        store: &mut Store,
        reader: &ccd_store::Reader,
        records: &[Record],
        facts: Vec<Option<(String, Fact)>>,
    ) -> Result<(), WriteError> {
        let Some(upto) = records.last().map(|r| r.seq) else { return Ok(()) };
        let mut batch = Batch::new(&self.shared.live, reader, self.shared.counters());
        for (record, fact) in records.iter().zip(facts) {
            batch.add(record, fact)?;
        }
        let applied = batch.finish()?;
        store.apply(upto, applied.mutations)?;
        self.feed.published(upto);
        self.shared.live.trim();
        self.shared.set_counters(applied.counters);
        self.shared.tell(applied.sessions, applied.exchanges, &applied.charges);
        Ok(())
    }

    pub(super) fn refuse(&self, error: &WriteError, ack: Option<oneshot::Sender<Ack>>, began_ns: u64) {
        tracing::error!(%error, "a record cannot be written");
        self.shared.set_error(Some(error.to_string()));
        if ack.is_none() {
            self.gauges.miss(began_ns, &error.to_string());
        }
        answer(ack, Ack::Refused);
    }

    /// Takes nothing of a batch.
    fn turn_away(&self, batch: Vec<Submission>) {
        for submission in batch {
            let began_ns = submission.began_ns();
            let ack = match submission {
                Submission::Hook(_, ack) => ack,
                Submission::Kept(_, ack) | Submission::Ready(_, ack) | Submission::Gap(_, _, ack) => {
                    Some(ack)
                }
                Submission::Exchange(_) => None,
                Submission::Task(_) | Submission::Swap(_) | Submission::Missed | Submission::Stop => continue,
            };
            self.refuse(&WriteError::Gone(self.dir.clone()), ack, began_ns);
        }
    }
}

pub(super) fn answer(acks: impl IntoIterator<Item = oneshot::Sender<Ack>>, ack: Ack) {
    for tx in acks {
        // Whoever asked may have given up waiting; the event is recorded all the same.
        let _ = tx.send(ack);
    }
}

/// The directory of this name; none if there is none.
pub(super) fn place(dir: &Path) -> Option<Place> {
    std::fs::metadata(dir).ok().map(|meta| (meta.dev(), meta.ino()))
}
