//! The one bounded door that everything captured comes through, on its way to the journal.
//!
//! Sources submit and never wait for the disk, except who asks for an acknowledgement: it is given only after
//! the bytes are durable. The proxy never waits at all: a full door means that its copy is dropped and counted.

pub mod apply;
mod carry;
pub mod cursors;
mod findings;
pub mod found;
mod ledger;
mod lookups;
mod made;
pub mod marks;
mod missed;
mod opening;
pub mod prune;
pub mod rebuild;
pub mod record;
pub mod scrub;
pub mod shared;
pub mod signals;
mod views;
pub mod writer;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, Weak};

use bytes::Bytes;
use ccd_store::{NewRecord, RecordId, Staged, Store, Swapped};
use tokio::sync::{mpsc, oneshot};

use missed::Missed;
use rebuild::RebuildError;
use record::{ExchangeV3, GapV1};
use scrub::Scrub;
use scrub::stage::{Job, Stage};
use writer::Writer;

use crate::project::session::Fact;

/// Submissions that may wait at the door.
pub const QUEUE: usize = 4096;

/// What became of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// It is on disk.
    Durable,
    /// It could not be written: keep it and come again.
    Refused,
}

/// A hook event as it is kept: [`Scrub::hook`] makes it of what arrived.
#[derive(Debug)]
pub struct HookEvent {
    /// The id of its record, of the bytes that came.
    pub id: RecordId,
    /// When the shim was started.
    pub arrived_ns: u64,
    /// The client's name and version.
    pub client: Vec<u8>,
    /// The payload, scrubbed.
    pub body: Bytes,
}

/// A whole exchange as it was captured. The record's bodies are empty: their bytes are here.
#[derive(Debug)]
pub struct CapturedExchange {
    /// Everything but the bodies.
    pub record: ExchangeV3,
    /// Pieces of the request's body; once it is scrubbed, one or none.
    pub request: Vec<Bytes>,
    /// Pieces of the response's body.
    pub response: Vec<Bytes>,
    /// Gives the memory back when it is dropped.
    pub budget: Reserved,
}

/// A record with what it tells. One whose id is known already is not recorded again.
#[derive(Debug)]
pub struct Ready {
    /// The record; its body lies in it.
    pub record: NewRecord,
    /// What it tells, and its session.
    pub fact: Option<(String, Fact)>,
}

/// Something for the writer.
#[derive(Debug)]
pub enum Submission {
    /// A hook event, with who wants to know that it is durable.
    Hook(HookEvent, Option<oneshot::Sender<Ack>>),
    /// An exchange.
    Exchange(Box<CapturedExchange>),
    /// An exchange that was kept as a file, with who wants to know that it is durable.
    Kept(Box<CapturedExchange>, oneshot::Sender<Ack>),
    /// Exchanges that another daemon could not capture, the id of their record, and who wants to know that it is durable.
    Gap(GapV1, RecordId, oneshot::Sender<Ack>),
    /// A record that is ready to be journalled, with who wants to know that it is durable.
    Ready(Box<Ready>, oneshot::Sender<Ack>),
    /// Exchanges could not be captured: the gauges know how many.
    Missed,
    /// Something to be done with the store, between two batches.
    Task(Task),
    /// Let a restored copy take the store's place.
    Swap(Box<Swap>),
    /// Write what came before, and end.
    Stop,
}

/// Something to be done on the writer's thread.
pub struct Task(Work);

type Work = Box<dyn FnOnce(&mut Writer, &mut Store) + Send>;

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Task")
    }
}

/// A restored copy, and who waits for it to take the store's place.
#[derive(Debug)]
pub struct Swap {
    staged: Staged,
    done: std::sync::mpsc::SyncSender<Result<Swapped, String>>,
}

/// What could not be captured, and what waits to be.
#[derive(Debug, Default)]
pub struct Gauges {
    /// Exchanges not captured, since start.
    pub dropped: AtomicU64,
    /// Bytes of captured bodies in memory.
    pub queue_bytes: AtomicU64,
    /// When the last hook event arrived, nanoseconds since the Unix epoch; 0 before the first since start.
    pub last_hook_ns: AtomicU64,
    /// Those of the dropped that no record tells of yet.
    missed: Missed,
    /// What takes credentials out of why they were; none before there is a door.
    scrub: OnceLock<Arc<Scrub>>,
}

/// The pieces of a body as one.
fn concat(pieces: Vec<Bytes>) -> Bytes {
    match <[Bytes; 1]>::try_from(pieces) {
        Ok([only]) => only,
        Err(pieces) => {
            let mut out = Vec::with_capacity(pieces.iter().map(Bytes::len).sum());
            // Each is let go as soon as it is copied: a large body is not held twice.
            for piece in pieces {
                out.extend_from_slice(&piece);
            }
            out.into()
        }
    }
}

/// Memory taken from the capture's budget.
#[derive(Debug)]
pub struct Reserved {
    gauges: Arc<Gauges>,
    bytes: u64,
}

impl Reserved {
    /// Nothing yet.
    #[must_use]
    pub fn new(gauges: Arc<Gauges>) -> Self {
        Reserved { gauges, bytes: 0 }
    }

    /// Takes more, unless all captures together would then hold over `max`.
    pub fn grow(&mut self, bytes: u64, max: u64) -> bool {
        let before = self.gauges.queue_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > max {
            self.gauges.queue_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        self.bytes += bytes;
        true
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.gauges.queue_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A door that does not keep the writer waiting for more.
#[derive(Clone, Debug)]
struct WeakDoor {
    tx: mpsc::WeakSender<Submission>,
    gauges: Arc<Gauges>,
    aside: Arc<Aside>,
    scrub: Arc<Scrub>,
    stage: Weak<SyncSender<Job>>,
}

/// Where exchanges go once the store has been given to another daemon.
type Aside = RwLock<Option<SyncSender<Box<CapturedExchange>>>>;

impl WeakDoor {
    fn upgrade(&self) -> Option<Door> {
        let (gauges, aside) = (Arc::clone(&self.gauges), Arc::clone(&self.aside));
        let (scrub, stage) = (Arc::clone(&self.scrub), self.stage.upgrade()?);
        Some(Door { tx: self.tx.upgrade()?, gauges, aside, scrub, stage })
    }
}

/// The door, for sources.
#[derive(Clone, Debug)]
pub struct Door {
    tx: mpsc::Sender<Submission>,
    gauges: Arc<Gauges>,
    aside: Arc<Aside>,
    scrub: Arc<Scrub>,
    /// Where exchanges are scrubbed on their way.
    stage: Arc<SyncSender<Job>>,
}

impl Door {
    /// A door and the writer's end of it. What comes is scrubbed by the built-in rules.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Submission>) {
        Door::with(Arc::default())
    }

    /// A door before which everything is scrubbed like this, and the writer's end of it.
    #[must_use]
    pub fn with(scrub: Arc<Scrub>) -> (Self, mpsc::Receiver<Submission>) {
        let (tx, rx) = mpsc::channel(QUEUE);
        let gauges = Gauges { scrub: OnceLock::from(Arc::clone(&scrub)), ..Gauges::default() };
        let (gauges, aside) = (Arc::new(gauges), Arc::<Aside>::default());
        let stage = Stage {
            scrub: Arc::clone(&scrub),
            tx: tx.clone(),
            aside: Arc::clone(&aside),
            gauges: Arc::clone(&gauges),
        };
        (Door { tx, gauges, aside, scrub, stage: stage.start() }, rx)
    }

    /// What takes credentials out of everything that comes.
    #[must_use]
    pub fn scrub(&self) -> &Arc<Scrub> {
        &self.scrub
    }

    /// Whether what is handed in now is dropped.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.tx.capacity() == 0
    }

    /// Whether nobody takes anything in any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.tx.is_closed()
    }

    /// What could not be captured, and what waits.
    #[must_use]
    pub fn gauges(&self) -> &Arc<Gauges> {
        &self.gauges
    }

    /// Hands something in: for threads of tests.
    #[cfg(test)]
    pub(crate) fn submit(&self, submission: Submission) {
        assert!(self.tx.blocking_send(submission).is_ok(), "the writer is gone");
    }

    /// Hands a hook event in and waits until it is durable, or refused.
    pub async fn hook(&self, event: HookEvent) -> Ack {
        self.gauges.last_hook_ns.fetch_max(event.arrived_ns, Ordering::Relaxed);
        let (tx, rx) = oneshot::channel();
        match self.tx.send(Submission::Hook(event, Some(tx))).await {
            Ok(()) => rx.await.unwrap_or(Ack::Refused),
            Err(_) => Ack::Refused,
        }
    }

    /// Hands an exchange in, if there is room. Never waits.
    pub fn exchange(&self, exchange: CapturedExchange) {
        let began_ns = exchange.record.started_ns;
        if self.stage.try_send(Job::Exchange(Box::new(exchange))).is_err() {
            self.missed(began_ns, "what is captured is not written fast enough: its queue is full");
        }
    }

    /// Waits until every exchange that was handed in is with the writer, or set aside.
    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        let stage = Arc::clone(&self.stage);
        // A full stage is waited for on a thread that may block.
        let asked = tokio::task::spawn_blocking(move || stage.send(Job::Flush(done)).is_ok());
        if asked.await.unwrap_or(false) {
            let _ = flushed.await;
        }
    }

    /// An exchange that began then is not captured. Never waits.
    pub fn missed(&self, began_ns: u64, why: &str) {
        if self.gauges.miss(began_ns, why) {
            // Where that is full, whoever empties it looks anyway.
            let _ = self.tx.try_send(Submission::Missed);
        }
    }

    /// Hands a record in and waits until it is durable, or refused.
    pub async fn ready(&self, ready: Ready) -> Ack {
        let (tx, rx) = oneshot::channel();
        match self.tx.send(Submission::Ready(Box::new(ready), tx)).await {
            Ok(()) => rx.await.unwrap_or(Ack::Refused),
            Err(_) => Ack::Refused,
        }
    }

    /// Hands records in, and waits until all of them are durable. Never waits for room: where there is none, or one of them
    /// is refused, all shall come again, of which those that are durable are known then.
    pub async fn all_ready(&self, all: Vec<Ready>) -> Ack {
        let mut waiting = Vec::with_capacity(all.len());
        for ready in all {
            let (tx, rx) = oneshot::channel();
            if self.tx.try_send(Submission::Ready(Box::new(ready), tx)).is_err() {
                return Ack::Refused;
            }
            waiting.push(rx);
        }
        let mut ack = Ack::Durable;
        for rx in waiting {
            if rx.await != Ok(Ack::Durable) {
                ack = Ack::Refused;
            }
        }
        ack
    }

    /// Hands in what another daemon could not capture, and waits until it is durable, or refused.
    pub async fn gap(&self, gap: GapV1, id: RecordId) -> Ack {
        let (tx, rx) = oneshot::channel();
        match self.tx.send(Submission::Gap(gap, id, tx)).await {
            Ok(()) => rx.await.unwrap_or(Ack::Refused),
            Err(_) => Ack::Refused,
        }
    }

    /// From now on exchanges go there instead of to the writer, those that are being scrubbed included; with none, to the
    /// writer, and whoever waits for them there sees the end. [`Door::flush`] waits for those on their way.
    pub fn set_aside(&self, to: Option<SyncSender<Box<CapturedExchange>>>) {
        *self.aside.write().unwrap_or_else(PoisonError::into_inner) = to;
    }

    /// Hands in an exchange that was kept as a file, and waits until it is durable, or refused. One that was kept by a
    /// build that did not scrub is scrubbed first.
    pub async fn kept(&self, exchange: CapturedExchange) -> Ack {
        let (tx, rx) = oneshot::channel();
        let (scrub, began_ns) = (Arc::clone(&self.scrub), exchange.record.started_ns);
        let mut exchange = exchange;
        let scrubbed = tokio::task::spawn_blocking(move || {
            scrub.exchange(&mut exchange);
            exchange
        });
        let Ok(exchange) = scrubbed.await else {
            self.missed(began_ns, "a defect of ccd: it could not be looked through for credentials");
            return Ack::Refused;
        };
        match self.tx.send(Submission::Kept(Box::new(exchange), tx)).await {
            Ok(()) => rx.await.unwrap_or(Ack::Refused),
            Err(_) => Ack::Refused,
        }
    }

    /// Tells the writer that nothing more comes, once it has what came.
    pub async fn stop(&self) {
        self.flush().await;
        // A writer that is gone already has stopped.
        let _ = self.tx.send(Submission::Stop).await;
    }

    /// Waits until what was durable before is in the index too, so that every answer tells of it; or until the store is
    /// gone.
    pub async fn counted(&self) {
        let (tx, rx) = oneshot::channel();
        let done = move |_: &mut Writer, _: &mut Store| {
            let _ = tx.send(());
        };
        if self.tx.send(Submission::Task(Task(Box::new(done)))).await.is_ok() {
            let _ = rx.await;
        }
    }

    /// Does something with the store on the writer's thread, between two batches, and waits for it. For threads that
    /// may block; it should take milliseconds, since capture waits.
    pub fn with_store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Store) -> T + Send + 'static,
    ) -> Result<T, RebuildError> {
        self.with_writer(|_, store| work(store))
    }

    fn with_writer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writer, &mut Store) -> T + Send + 'static,
    ) -> Result<T, RebuildError> {
        let (tx, rx) = std::sync::mpsc::sync_channel(1);
        let task = move |writer: &mut Writer, store: &mut Store| {
            // Whoever asked is waiting; if not, nobody needs the answer.
            let _ = tx.send(work(writer, store));
        };
        self.tx.blocking_send(Submission::Task(Task(Box::new(task)))).map_err(|_| RebuildError::Closed)?;
        rx.recv().map_err(|_| RebuildError::Closed)
    }

    fn downgrade(&self) -> WeakDoor {
        let (gauges, aside) = (Arc::clone(&self.gauges), Arc::clone(&self.aside));
        let (scrub, stage) = (Arc::clone(&self.scrub), Arc::downgrade(&self.stage));
        WeakDoor { tx: self.tx.downgrade(), gauges, aside, scrub, stage }
    }

    /// Lets a restored copy take the store's place, and waits for it. Possible too while the store cannot be opened.
    pub fn swap(&self, staged: Staged) -> Result<Swapped, RebuildError> {
        let (done, rx) = std::sync::mpsc::sync_channel(1);
        self.tx
            .blocking_send(Submission::Swap(Box::new(Swap { staged, done })))
            .map_err(|_| RebuildError::Closed)?;
        rx.recv().map_err(|_| RebuildError::Closed)?.map_err(RebuildError::Write)
    }
}
