//! The writer: the one thread that owns the store.
//!
//! Takes what waits at the door as one batch: drops what is known already, journals the rest as one frame,
//! makes it durable, acknowledges, and only then works out and writes the views. A store that cannot be opened
//! or written never stops the stream: events are refused (the shim spools them), exchanges are counted as
//! dropped, `status` says why, and it is tried again. A defect in reading what was captured (a panic) costs the
//! views, not the journal.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ccd_store::{Options, Record, Store, StoreError};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};

use super::apply::Batch;
use super::maintain::{self, Job};
use super::record::{BodyV1, HookV1, INLINE_MAX, RecordError, Stored};
use super::shared::{Shared, StoreState};
use super::{Ack, CapturedExchange, Gauges, HookEvent, Submission};
use crate::live::{LiveError, exchange_fact};
use crate::project::rows::{self, Counters};
use crate::project::session::Fact;
use crate::project::{self, hook};

/// Submissions taken as one batch.
const BATCH: usize = 256;
/// How long to wait before a store that cannot be opened is tried again.
const REOPEN_PAUSE: Duration = Duration::from_secs(5);
/// How often to look for submissions while something is to be tried again.
const LOOK: Duration = Duration::from_millis(20);
/// How long to wait before a failed index is tried again.
const RECOVER_PAUSE: Duration = Duration::from_secs(2);
/// Records replayed as one batch.
const REPLAY_BATCH: usize = 512;

/// The writer's thread.
pub struct Writer {
    dir: PathBuf,
    rx: mpsc::Receiver<Submission>,
    shared: Arc<Shared>,
    gauges: Arc<Gauges>,
    /// The index lacks records that the journal has (applying the next ones alone would skip those), and when
    /// bringing it up was last tried.
    behind: Option<Instant>,
}

/// What a batch can fail with.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Live(#[from] LiveError),
    #[error(transparent)]
    Row(#[from] rows::RowError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("a defect of ccd: {0}")]
    Panic(String),
}

/// Whether the writer goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    GoOn,
    End,
}

/// Runs something that may panic: sled 0.34 does on some damaged files.
fn guarded<T>(work: impl FnOnce() -> Result<T, WriteError>) -> Result<T, WriteError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(WriteError::Panic(text.unwrap_or_else(|| "panic".into())))
    })
}

/// A submission turned into a record, before it is journalled.
struct Pending {
    record: ccd_store::NewRecord,
    fact: Option<(String, Fact)>,
    ack: Option<oneshot::Sender<Ack>>,
    /// Its body lies in the packs.
    has_blob: bool,
}

impl Writer {
    /// Takes everything it needs; nothing is opened yet.
    #[must_use]
    pub fn new(
        dir: PathBuf,
        rx: mpsc::Receiver<Submission>,
        shared: Arc<Shared>,
        gauges: Arc<Gauges>,
    ) -> Self {
        Writer { dir, rx, shared, gauges, behind: None }
    }

    /// Opens the store, brings its index up to the journal, and writes until it is told to end.
    pub fn run(mut self) {
        let Some(mut store) = self.opened() else { return };
        while let Some(mut batch) = self.next_batch() {
            let jobs = maintain::take(&mut batch);
            let stop = batch.iter().any(|s| matches!(s, Submission::Stop));
            let written = guarded(|| {
                if batch.iter().any(|s| matches!(s, Submission::Rebuild)) {
                    self.rebuild(&mut store);
                }
                self.write(&mut store, batch);
                Ok(())
            });
            if let Err(error) = written {
                tracing::error!(%error, "a batch could not be taken in");
                self.fall_behind(&error);
            }
            if stop {
                break;
            }
            for job in jobs {
                let Some(after) = self.maintain(store, job) else { return };
                store = after;
            }
        }
        if let Err(error) = guarded(|| Ok(store.flush()?)) {
            tracing::error!(%error, "the store could not be flushed; its journal is whole, its index will be rebuilt");
        }
    }

    /// Opens the store, and refuses what comes until that works. `None`: told to end.
    fn opened(&mut self) -> Option<Store> {
        loop {
            match guarded(|| self.open()) {
                Ok(store) => {
                    self.shared.state.send_replace(StoreState::Ready(store.reader()));
                    return Some(store);
                }
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

    /// Work on the store itself. `None`: told to end.
    fn maintain(&mut self, mut store: Store, job: Job) -> Option<Store> {
        match job {
            Job::Cut(done) => {
                let cut = guarded(|| Ok(store.cut()?)).map_err(|e| e.to_string());
                // Whoever asked may have given up waiting.
                let _ = done.send(cut);
                Some(store)
            }
            Job::Swap(staged, done) => {
                // Questions wait, events and exchanges stay at the door.
                self.shared.state.send_replace(StoreState::Opening);
                self.shared.live.clear();
                self.behind = None;
                if let Err(error) = guarded(|| Ok(store.close()?)) {
                    tracing::warn!(%error, "the store could not be closed well; its journal is whole");
                }
                let swapped = guarded(|| Ok(staged.swap()?)).map_err(|e| e.to_string());
                match guarded(|| self.open()) {
                    Ok(store) => {
                        self.shared.set_error(None);
                        self.shared.state.send_replace(StoreState::Ready(store.reader()));
                        let _ = done.send(swapped);
                        Some(store)
                    }
                    Err(error) => {
                        let _ =
                            done.send(swapped.and(Err(format!("the restored store does not open: {error}"))));
                        self.opened()
                    }
                }
            }
        }
    }

    /// What waits at the door, as soon as something does. While the index is behind, nothing may come too: it is
    /// tried again without an occasion. `None`: the door is closed.
    fn next_batch(&mut self) -> Option<Vec<Submission>> {
        let mut batch = Vec::with_capacity(BATCH);
        if self.behind.is_none() {
            return (self.rx.blocking_recv_many(&mut batch, BATCH) > 0).then_some(batch);
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

    /// Nothing held of the views can be trusted; the journal is.
    fn fall_behind(&mut self, error: &WriteError) {
        self.shared.live.clear();
        self.shared.set_error(Some(error.to_string()));
        self.behind = Some(Instant::now());
    }

    /// Views depend on the code that makes them and on the prices.
    fn view_version(&self) -> u32 {
        u32::from(project::VERSION) ^ self.shared.live.prices().fingerprint()
    }

    fn open(&self) -> Result<Store, WriteError> {
        let options = Options { view_version: self.view_version(), ..Options::default() };
        let opened = Store::open(&self.dir, options)?;
        let mut store = opened.store;
        tracing::info!(report = ?opened.report, "store opened");
        self.shared.damaged.store(opened.report.damaged, Ordering::Relaxed);
        self.catch_up(&mut store)?;
        Ok(store)
    }

    /// Applies what the journal has and the index has not.
    fn catch_up(&self, store: &mut Store) -> Result<(), WriteError> {
        let reader = store.reader();
        let mut counters = match reader.get(rows::COUNTERS)? {
            Some(bytes) => rows::decode(&bytes)?,
            None => Counters::default(),
        };
        let from = store.applied() + 1;
        let mut waiting: Vec<Record> = Vec::with_capacity(REPLAY_BATCH);
        let mut failed = None;
        let replayed = reader.replay(from, &mut |record| {
            waiting.push(record);
            if waiting.len() < REPLAY_BATCH {
                return Ok(());
            }
            self.apply(store, &reader, &std::mem::take(&mut waiting), &mut counters).map_err(|error| {
                let stop = StoreError::Index(error.to_string());
                failed = Some(error);
                stop
            })
        });
        if let Some(error) = failed {
            return Err(error);
        }
        let report = replayed?;
        if !waiting.is_empty() {
            self.apply(store, &reader, &waiting, &mut counters)?;
        }
        self.shared.damaged.fetch_max(report.damaged.len() as u64, Ordering::Relaxed);
        self.shared.set_counters(counters);
        Ok(())
    }

    fn apply(
        &self,
        store: &mut Store,
        reader: &ccd_store::Reader,
        records: &[Record],
        counters: &mut Counters,
    ) -> Result<(), WriteError> {
        let Some(upto) = records.last().map(|r| r.seq) else { return Ok(()) };
        let mut batch = Batch::new(&self.shared.live, reader, *counters);
        for record in records {
            // A record whose bytes are damaged costs itself, not the store.
            if let Err(error) = batch.add(record, None) {
                tracing::error!(seq = record.seq, %error, "a record cannot be read back");
                self.shared.damaged.fetch_add(1, Ordering::Relaxed);
            }
        }
        let applied = batch.finish()?;
        store.reindex(records);
        store.apply(upto, applied.mutations)?;
        self.shared.live.trim();
        *counters = applied.counters;
        self.shared.tell(applied.sessions);
        Ok(())
    }

    fn rebuild(&mut self, store: &mut Store) {
        self.shared.state.send_replace(StoreState::Opening);
        self.shared.live.clear();
        let version = self.view_version();
        let done = store.reset_views(version).map_err(WriteError::from).and_then(|()| self.catch_up(store));
        self.behind = done.is_err().then(Instant::now);
        if let Err(error) = done {
            tracing::error!(%error, "the views could not be worked out again");
            self.shared.set_error(Some(error.to_string()));
        }
        self.shared.state.send_replace(StoreState::Ready(store.reader()));
    }

    /// Brings an index that failed up to the journal again. sled does not recover from a failed write by itself.
    fn recover(&mut self, store: &mut Store) {
        if self.behind.is_none_or(|last| last.elapsed() < RECOVER_PAUSE) {
            return;
        }
        // Facts of a batch that was not applied must not be told twice over.
        self.shared.live.clear();
        let done = store.reopen_index().map_err(WriteError::from).and_then(|state| {
            tracing::info!(?state, "the index is open again");
            self.catch_up(store)
        });
        self.behind = done.is_err().then(Instant::now);
        self.shared.set_error(done.err().map(|e| e.to_string()));
    }

    fn write(&mut self, store: &mut Store, batch: Vec<Submission>) {
        self.recover(store);
        let reader = store.reader();
        let mut pending: Vec<Pending> = Vec::new();
        let mut again: Vec<oneshot::Sender<Ack>> = Vec::new();
        for submission in batch {
            let made = match submission {
                Submission::Hook(event, ack) => {
                    let id = HookV1::record_id(event.arrived_ns, &event.body);
                    let known = pending.iter().any(|p| p.record.id == id);
                    match reader.contains(&id) {
                        // Delivered twice: recorded once, acknowledged both times.
                        Ok(true) => {
                            again.extend(ack);
                            continue;
                        }
                        Ok(false) if known => {
                            again.extend(ack);
                            continue;
                        }
                        Ok(false) => hook_record(store, id, event, ack),
                        Err(e) => Err((e.into(), ack)),
                    }
                }
                Submission::Exchange(captured) => {
                    self.exchange_record(store, *captured).map_err(|e| (e, None))
                }
                Submission::Rebuild | Submission::Maintain(_) | Submission::Stop => continue,
            };
            match made {
                Ok(made) => pending.push(made),
                Err((error, ack)) => {
                    self.refuse(&error, ack);
                    // The store gave up every body since the last sync: whoever has one here has lost it.
                    let (lost, kept): (Vec<_>, Vec<_>) = pending.into_iter().partition(|p| p.has_blob);
                    pending = kept;
                    for p in lost {
                        self.refuse(&error, p.ack);
                    }
                }
            }
        }
        if pending.is_empty() {
            answer(again, Ack::Durable);
            return;
        }
        let mut facts = Vec::with_capacity(pending.len());
        let mut acks = again;
        let mut exchanges = 0;
        let mut new = Vec::with_capacity(pending.len());
        for p in pending {
            exchanges += u64::from(p.record.kind == super::record::KIND_EXCHANGE);
            new.push(p.record);
            facts.push(p.fact);
            acks.extend(p.ack);
        }
        let journalled = store.append(new).and_then(|records| store.sync().map(|()| records));
        let records = match journalled {
            Ok(records) => records,
            Err(error) => {
                tracing::error!(%error, "the journal cannot be written");
                self.shared.set_error(Some(error.to_string()));
                self.gauges.dropped.fetch_add(exchanges, Ordering::Relaxed);
                answer(acks, Ack::Refused);
                return;
            }
        };
        answer(acks, Ack::Durable);
        if self.behind.is_some() {
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
        self.shared.live.trim();
        self.shared.set_counters(applied.counters);
        self.shared.tell(applied.sessions);
        Ok(())
    }

    fn exchange_record(&self, store: &mut Store, captured: CapturedExchange) -> Result<Pending, WriteError> {
        let CapturedExchange { mut record, request, response, budget } = captured;
        let request = concat(request);
        let response = concat(response);
        // Requests of one conversation repeat each other; a subagent's repeat its own.
        let family = format!(
            "{} {}",
            record.session_id.as_deref().unwrap_or(""),
            record.agent_id.as_deref().unwrap_or("")
        );
        record.request = stored(store, family.as_bytes(), &request, record.request.seen)?;
        record.response = stored(store, format!("< {family}").as_bytes(), &response, record.response.seen)?;
        let prices = self.shared.live.prices();
        let fact = exchange_fact(&record, &request, &response, &prices);
        drop(budget);
        let in_packs = |body: &BodyV1| matches!(body.stored, Stored::Blob(_));
        let has_blob = in_packs(&record.request) || in_packs(&record.response);
        Ok(Pending { record: record.to_record()?, fact: Some(fact), ack: None, has_blob })
    }

    fn refuse(&self, error: &WriteError, ack: Option<oneshot::Sender<Ack>>) {
        tracing::error!(%error, "a record cannot be written");
        self.shared.set_error(Some(error.to_string()));
        if ack.is_none() {
            self.gauges.dropped.fetch_add(1, Ordering::Relaxed);
        }
        answer(ack, Ack::Refused);
    }

    /// Refuses what comes, for a while.
    fn refuse_for(&mut self, pause: Duration) -> Next {
        let until = Instant::now() + pause;
        loop {
            match self.rx.try_recv() {
                Ok(Submission::Hook(_, ack)) => answer(ack, Ack::Refused),
                Ok(Submission::Exchange(_)) => {
                    self.gauges.dropped.fetch_add(1, Ordering::Relaxed);
                }
                Ok(Submission::Rebuild) => {}
                Ok(Submission::Maintain(Job::Swap(staged, done))) => {
                    // Questions wait for what takes the place of a store that did not open.
                    self.shared.state.send_replace(StoreState::Opening);
                    let _ = done.send(guarded(|| Ok(staged.swap()?)).map_err(|e| e.to_string()));
                    return Next::GoOn;
                }
                Ok(Submission::Maintain(Job::Cut(done))) => {
                    let _ = done.send(Err("the store cannot be used".into()));
                }
                Ok(Submission::Stop) | Err(TryRecvError::Disconnected) => return Next::End,
                Err(TryRecvError::Empty) if Instant::now() >= until => return Next::GoOn,
                Err(TryRecvError::Empty) => std::thread::sleep(LOOK),
            }
        }
    }
}

fn answer(acks: impl IntoIterator<Item = oneshot::Sender<Ack>>, ack: Ack) {
    for tx in acks {
        // Whoever asked may have given up waiting; the event is recorded all the same.
        let _ = tx.send(ack);
    }
}

type Made = Result<Pending, (WriteError, Option<oneshot::Sender<Ack>>)>;

fn hook_record(store: &mut Store, id: [u8; 16], event: HookEvent, ack: Option<oneshot::Sender<Ack>>) -> Made {
    let HookEvent { arrived_ns, client, body } = event;
    let fact =
        hook::read(arrived_ns, &client, &body).map(|f| (f.session_id.clone(), Fact::Hook(Box::new(f))));
    let made = (|| -> Result<_, WriteError> {
        let body = if body.len() <= INLINE_MAX {
            Stored::Inline(body.to_vec())
        } else {
            Stored::Blob(store.put_blob(b"", &body)?)
        };
        let has_blob = matches!(body, Stored::Blob(_));
        Ok((HookV1 { arrived_ns, client, body }.to_record(id)?, has_blob))
    })();
    match made {
        Ok((record, has_blob)) => Ok(Pending { record, fact, ack, has_blob }),
        Err(error) => Err((error, ack)),
    }
}

fn stored(store: &mut Store, family: &[u8], bytes: &[u8], seen: u64) -> Result<BodyV1, WriteError> {
    let stored = if bytes.len() <= 512 {
        Stored::Inline(bytes.to_vec())
    } else {
        Stored::Blob(store.put_blob(family, bytes)?)
    };
    Ok(BodyV1 { seen, kept: bytes.len() as u64, stored })
}

fn concat(pieces: Vec<Bytes>) -> Bytes {
    match <[Bytes; 1]>::try_from(pieces) {
        Ok([only]) => only,
        Err(pieces) => {
            let mut out = Vec::with_capacity(pieces.iter().map(Bytes::len).sum());
            for piece in &pieces {
                out.extend_from_slice(piece);
            }
            out.into()
        }
    }
}
