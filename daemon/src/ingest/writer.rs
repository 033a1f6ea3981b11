//! The writer: the one thread that owns the store.
//!
//! Takes what waits at the door as one batch: drops what is known already, journals the rest as one frame,
//! makes it durable, acknowledges, and only then works out and writes the views. A store that cannot be opened
//! or written never stops the stream: events are refused (the shim spools them), exchanges are counted as
//! dropped, and `status` says why.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ccd_store::{Options, Record, Store, StoreError};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::apply::Batch;
use super::record::{BodyV1, HookV1, INLINE_MAX, RecordError, Stored};
use super::{Ack, CapturedExchange, Gauges, HookEvent, Submission};
use crate::live::{Live, LiveError, exchange_fact};
use crate::project::rows::{self, Counters};
use crate::project::session::Fact;
use crate::project::{self, hook};

/// Submissions taken as one batch.
const BATCH: usize = 256;
/// How long to wait before a failed index is tried again.
const RECOVER_PAUSE: Duration = Duration::from_secs(2);
/// Records replayed as one batch.
const REPLAY_BATCH: usize = 512;

/// Whether the store can be asked.
#[derive(Clone)]
pub enum StoreState {
    /// Being opened, or its index being brought up to the journal.
    Opening,
    /// It can.
    Ready(ccd_store::Reader),
    /// It cannot, and why.
    Failed(String),
}

/// What the writer shows to others.
pub struct Shared {
    /// The store.
    pub state: watch::Sender<StoreState>,
    /// Recent session states.
    pub live: Live,
    /// Ids of sessions that changed. Lagging readers lose nothing: they look at the session, not the message.
    pub changed: broadcast::Sender<String>,
    /// Damaged frames found when the journal was read.
    pub damaged: AtomicU64,
    /// Why the last write failed, until one succeeds.
    pub error: Mutex<Option<String>>,
    counters: Mutex<Counters>,
}

impl Shared {
    /// Before anything is open.
    #[must_use]
    pub fn new(prices: project::price::Prices) -> Arc<Self> {
        Arc::new(Shared {
            state: watch::Sender::new(StoreState::Opening),
            live: Live::new(prices),
            changed: broadcast::Sender::new(1024),
            damaged: AtomicU64::new(0),
            error: Mutex::new(None),
            counters: Mutex::default(),
        })
    }

    /// The store's counters.
    #[must_use]
    pub fn counters(&self) -> Counters {
        *self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_error(&self, error: Option<String>) {
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }
}

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
}

/// A submission turned into a record, before it is journalled.
struct Pending {
    record: ccd_store::NewRecord,
    fact: Option<(String, Fact)>,
    ack: Option<oneshot::Sender<Ack>>,
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

    /// Opens the store, brings its index up to the journal, and writes until the door is closed.
    pub fn run(mut self) {
        let mut store = match self.open() {
            Ok(store) => store,
            Err(error) => {
                tracing::error!(%error, "the store cannot be used: requests are relayed without being captured");
                self.shared.state.send_replace(StoreState::Failed(error.to_string()));
                self.refuse_everything();
                return;
            }
        };
        self.shared.state.send_replace(StoreState::Ready(store.reader()));
        let mut batch = Vec::with_capacity(BATCH);
        while self.rx.blocking_recv_many(&mut batch, BATCH) > 0 {
            let stop = batch.iter().any(|s| matches!(s, Submission::Stop));
            if batch.iter().any(|s| matches!(s, Submission::Rebuild)) {
                self.rebuild(&mut store);
            }
            self.write(&mut store, std::mem::take(&mut batch));
            if stop {
                break;
            }
        }
        if let Err(error) = store.flush() {
            tracing::error!(%error, "the store could not be flushed; its journal is whole, its index will be rebuilt");
        }
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
        let report = reader.replay(from, &mut |record| {
            waiting.push(record);
            if waiting.len() >= REPLAY_BATCH
                && failed.is_none()
                && let Err(e) = self.apply(store, &reader, &std::mem::take(&mut waiting), &mut counters)
            {
                failed = Some(e);
            }
            Ok(())
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        if !waiting.is_empty() {
            self.apply(store, &reader, &waiting, &mut counters)?;
        }
        self.shared.damaged.fetch_max(report.damaged.len() as u64, Ordering::Relaxed);
        *self.shared.counters.lock().unwrap_or_else(PoisonError::into_inner) = counters;
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
                Submission::Rebuild | Submission::Stop => continue,
            };
            match made {
                Ok(made) => pending.push(made),
                Err((error, ack)) => self.refuse(&error, ack),
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
            self.shared.live.clear();
            self.behind = Some(Instant::now());
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
        *self.shared.counters.lock().unwrap_or_else(PoisonError::into_inner) = applied.counters;
        for session in applied.sessions {
            // Nobody follows: nobody is told.
            let _ = self.shared.changed.send(session);
        }
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
        record.response = stored(store, b"", &response, record.response.seen)?;
        let prices = self.shared.live.prices();
        let fact = exchange_fact(&record, &request, &response, &prices);
        drop(budget);
        Ok(Pending { record: record.to_record()?, fact: Some(fact), ack: None })
    }

    fn refuse(&self, error: &WriteError, ack: Option<oneshot::Sender<Ack>>) {
        tracing::error!(%error, "a record cannot be written");
        self.shared.set_error(Some(error.to_string()));
        if ack.is_none() {
            self.gauges.dropped.fetch_add(1, Ordering::Relaxed);
        }
        answer(ack, Ack::Refused);
    }

    fn refuse_everything(&mut self) {
        while let Some(submission) = self.rx.blocking_recv() {
            match submission {
                Submission::Hook(_, ack) => answer(ack, Ack::Refused),
                Submission::Exchange(_) => {
                    self.gauges.dropped.fetch_add(1, Ordering::Relaxed);
                }
                Submission::Rebuild => {}
                Submission::Stop => return,
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
        Ok(HookV1 { arrived_ns, client, body }.to_record(id)?)
    })();
    match made {
        Ok(record) => Ok(Pending { record, fact, ack }),
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
