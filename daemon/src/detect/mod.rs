//! The detectors at work: sessions' records, in the order of the journal, through one [`ccd_detect::Engine`] per session.
//!
//! ```text
//! writer ── Feed::seen (after fsync, before the acknowledgements) ──┐
//! hook   ── Feed::ask  (waits for its answer, a bounded time)  ─────┤── one thread: engines, heal::Policy
//! API    ── Feed::judged ───────────────────────────────────────────┘        │
//!                                              detections ── recorder ── door ── journal, alerts
//!
//! events.rs, lines.rs   records into events, each thing once (known.rs), each with its place (places.rs)
//! session.rs            one session: its events through its engine    history.rs  a session's records, read back
//! engines.rs            the sessions that are held                    thread.rs   the thread
//! recorder.rs           detections on their way to the journal        analyze.rs  the same over a session's history
//! prices.rs             what tokens cost, as the detectors ask
//! ```
//!
//! Must never keep the writer, the proxy or a hook event waiting: a channel that is full is a session whose engine is read
//! anew from the journal, counted; whoever asks and is not answered in time goes on as if nobody had been asked. A panic
//! of a detector costs that session's engine.
//!
//! Invariants: the question after an acknowledged event is answered by an engine that has seen the event; a detection is
//! on record at most once, whatever is replayed.

pub mod analyze;
pub mod engines;
pub mod events;
pub mod history;
mod known;
mod lines;
pub mod places;
pub mod prices;
pub mod recorder;
pub mod session;
#[cfg(test)]
pub(crate) mod session_tests;
pub mod thread;
#[cfg(test)]
mod thread_tests;
pub mod workspace;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use ccd_proto::api::DetectStatus;
use ccd_store::Record;
use tokio::sync::oneshot;

use crate::clock::{Clock, SystemClock};
use crate::config;
use crate::heal::{Answer, Asked};
use crate::ingest::found::{InterventionV1, JudgementV1};
use events::Answered;

/// Messages that may wait for the thread.
pub const QUEUE: usize = 4096;
/// Bytes of bodies that may wait with them.
const MAX_WAITING: u64 = 32 << 20;
/// What is older than this when it comes is history: it begins no engine, and nothing is done about it. Nanoseconds.
pub const AGE_NS: u64 = 600 * 1_000_000_000;

/// What a record has for the detectors.
#[derive(Clone, Debug)]
pub enum Told {
    /// A hook event's payload, and whether the session is over with it.
    Hook(Bytes, bool),
    /// An answer of the model.
    Answer(Box<Answered>),
    /// A transcript's lines: the record of this place in its batch.
    Lines(Arc<Vec<Record>>, usize),
    /// History: an import, or what another recorder wrote. It is read from the journal where its session is live.
    Past,
}

impl Told {
    fn bytes(&self) -> u64 {
        let bytes = match self {
            Told::Hook(body, _) => body.len(),
            Told::Answer(answer) => answer.size(),
            // Counted once for its batch.
            Told::Lines(..) | Told::Past => 0,
        };
        bytes as u64
    }
}

/// A record that is on disk.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its place in the journal.
    pub seq: u64,
    /// When what it tells of happened, nanoseconds since the Unix epoch.
    pub at_ns: u64,
    /// Its session.
    pub session_id: String,
    /// What it has.
    pub told: Told,
}

/// Records that became durable together.
#[derive(Debug, Default)]
pub struct Batch {
    /// The place of the first of them in the journal, whether it is here or not.
    pub first_seq: u64,
    /// Whether the index accounts for every record before them.
    pub indexed: bool,
    /// Which store they are in; [`Feed::seen`] fills it in.
    pub store: u64,
    /// Those that tell the detectors something, in their order.
    pub seen: Vec<Seen>,
}

impl Batch {
    /// Bytes of memory that it keeps: for one of its lines of a transcript, all of its records.
    fn bytes(&self) -> u64 {
        let lines = self.seen.iter().find_map(|seen| match &seen.told {
            Told::Lines(records, _) => {
                Some(records.iter().map(|record| record.body.len() as u64).sum::<u64>())
            }
            _ => None,
        });
        lines.unwrap_or(0) + self.seen.iter().map(|seen| seen.told.bytes()).sum::<u64>()
    }
}

/// What the thread is told.
pub enum Message {
    /// Records became durable.
    Seen(Batch),
    /// A hook event waits for its answer. `call` is its payload.
    Ask(Asked, Bytes, oneshot::Sender<Option<Answer>>),
    /// An answer did not arrive.
    Undelivered(Box<InterventionV1>),
    /// Nothing more comes.
    Stop,
}

/// What the thread and those who tell it something have in common.
#[derive(Debug, Default)]
pub struct Gauges {
    /// Engines held.
    pub sessions: AtomicU64,
    /// Events that were given to detectors, since start.
    pub events: AtomicU64,
    /// Messages that wait.
    pub behind: AtomicU64,
    /// Sessions whose engines had to be read anew because something was lost on the way, since start.
    pub lost: AtomicU64,
    /// Panics of detectors, since start.
    pub panics: AtomicU64,
    /// Detections made, since start; those of history included.
    pub found: AtomicU64,
    /// Detections that could not be recorded, since start.
    pub dropped: AtomicU64,
    /// Records of sessions that are not watched because as many as can be are at work, since start.
    pub crowded: AtomicU64,
    waiting: AtomicU64,
    /// Which store is written: another number means that another one took its place.
    store: AtomicU64,
    /// The index accounts for all records up to this one.
    published: AtomicU64,
    /// The last record when the store was opened: what comes after it is news to us.
    begun: AtomicU64,
    /// Sessions of which something was lost on the way, up to which record.
    missing: Mutex<HashMap<String, u64>>,
    has_missing: AtomicBool,
    /// Settings that the thread has not put in force yet.
    settings: Mutex<Option<(Arc<config::Detect>, Arc<config::Heal>)>>,
    has_settings: AtomicBool,
    /// What the user said that the thread has not heard yet.
    said: Mutex<Said>,
    has_said: AtomicBool,
}

/// What the user said.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// What was said before does not hold: these are all.
    pub(super) anew: bool,
    pub(super) judgements: Vec<JudgementV1>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gauges {
    fn miss(&self, sessions: impl IntoIterator<Item = (String, u64)>) {
        let mut missing = locked(&self.missing);
        for (session, seq) in sessions {
            let upto = missing.entry(session).or_default();
            *upto = (*upto).max(seq);
        }
        self.has_missing.store(!missing.is_empty(), Ordering::Release);
    }

    fn take_missing(&self) -> HashMap<String, u64> {
        if !self.has_missing.swap(false, Ordering::Acquire) {
            return HashMap::new();
        }
        std::mem::take(&mut locked(&self.missing))
    }

    fn take_said(&self) -> Option<Said> {
        if !self.has_said.swap(false, Ordering::Acquire) {
            return None;
        }
        Some(std::mem::take(&mut *locked(&self.said)))
    }

    fn take_settings(&self) -> Option<(Arc<config::Detect>, Arc<config::Heal>)> {
        if !self.has_settings.swap(false, Ordering::Acquire) {
            return None;
        }
        locked(&self.settings).take()
    }
}

/// The thread's door, for everybody who tells it something.
#[derive(Clone)]
pub struct Feed {
    tx: SyncSender<Message>,
    gauges: Arc<Gauges>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed").field("gauges", &self.gauges).finish_non_exhaustive()
    }
}

impl Feed {
    /// A door, and the thread's end of it.
    #[must_use]
    pub fn new() -> (Self, Receiver<Message>) {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// As [`Feed::new`], with another clock.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> (Self, Receiver<Message>) {
        Self::sized(clock, QUEUE)
    }

    fn sized(clock: Arc<dyn Clock>, queue: usize) -> (Self, Receiver<Message>) {
        let (tx, rx) = std::sync::mpsc::sync_channel(queue);
        (Feed { tx, gauges: Arc::default(), clock }, rx)
    }

    /// What is counted.
    #[must_use]
    pub fn gauges(&self) -> &Arc<Gauges> {
        &self.gauges
    }

    /// Whether what happened then is no history yet.
    #[must_use]
    pub fn is_young(&self, at_ns: u64) -> bool {
        self.clock.now_ns().saturating_sub(at_ns) <= AGE_NS
    }

    /// Records are on disk. For the writer: never waits. What cannot be handed over is read from the journal later.
    pub fn seen(&self, mut batch: Batch) {
        if batch.seen.is_empty() {
            return;
        }
        batch.store = self.gauges.store.load(Ordering::Acquire);
        let bytes = batch.bytes();
        let waiting = self.gauges.waiting.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.gauges.behind.fetch_add(1, Ordering::Relaxed);
        let refused = if waiting > MAX_WAITING && bytes < waiting {
            Some(batch)
        } else {
            match self.tx.try_send(Message::Seen(batch)) {
                Ok(()) => None,
                Err(TrySendError::Full(Message::Seen(batch))) => Some(batch),
                Err(_) => return,
            }
        };
        let Some(batch) = refused else { return };
        self.gauges.waiting.fetch_sub(bytes, Ordering::Relaxed);
        self.gauges.behind.fetch_sub(1, Ordering::Relaxed);
        let live = |seen: &Seen| !matches!(seen.told, Told::Past) && self.is_young(seen.at_ns);
        self.gauges.miss(batch.seen.into_iter().filter(live).map(|seen| (seen.session_id, seen.seq)));
    }

    /// The index accounts for all records up to this one. For the writer.
    pub fn published(&self, upto: u64) {
        self.gauges.published.store(upto, Ordering::Release);
    }

    /// The index was brought up to the journal, whose last record is this one. For the writer.
    pub fn brought_up(&self, last: u64) {
        // The first time only: it may be brought up again while sessions are watched.
        let _ = self.gauges.begun.compare_exchange(0, last, Ordering::AcqRel, Ordering::Acquire);
        self.published(last);
    }

    /// Another store took the place of the one that was read. For the writer.
    pub fn swapped(&self) {
        // Its records are of the store before.
        locked(&self.gauges.missing).clear();
        self.gauges.published.store(0, Ordering::Release);
        self.gauges.begun.store(0, Ordering::Release);
        self.gauges.store.fetch_add(1, Ordering::Release);
    }

    /// What is to be done about a hook event; none where nobody answers. Whoever asks bounds the time.
    pub async fn ask(&self, asked: Asked, payload: Bytes) -> Option<Answer> {
        let (tx, rx) = oneshot::channel();
        self.gauges.behind.fetch_add(1, Ordering::Relaxed);
        if self.tx.try_send(Message::Ask(asked, payload, tx)).is_err() {
            self.gauges.behind.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        rx.await.ok()?
    }

    /// An answer did not arrive.
    pub fn undelivered(&self, intervention: InterventionV1) {
        self.tell(Message::Undelivered(Box::new(intervention)));
    }

    /// The user said something, and it is on record.
    pub fn judged(&self, judgement: JudgementV1) {
        locked(&self.gauges.said).judgements.push(judgement);
        self.gauges.has_said.store(true, Ordering::Release);
    }

    /// All that the user said and that holds, oldest first: nothing else does.
    pub fn judged_anew(&self, judgements: Vec<JudgementV1>) {
        let mut said = locked(&self.gauges.said);
        // What was said meanwhile comes last.
        let later = std::mem::take(&mut said.judgements);
        *said = Said { anew: true, judgements: judgements.into_iter().chain(later).collect() };
        drop(said);
        self.gauges.has_said.store(true, Ordering::Release);
    }

    /// Puts other settings in force, from the next message on.
    pub fn set(&self, detect: config::Detect, heal: config::Heal) {
        *locked(&self.gauges.settings) = Some((Arc::new(detect), Arc::new(heal)));
        self.gauges.has_settings.store(true, Ordering::Release);
    }

    /// Tells the thread to end once it has taken what came before. Blocks while its queue is full.
    pub fn stop(&self) {
        self.gauges.behind.fetch_add(1, Ordering::Relaxed);
        // A thread that is gone has ended.
        let _ = self.tx.send(Message::Stop);
    }

    /// How it is.
    #[must_use]
    pub fn status(&self) -> DetectStatus {
        let of = |gauge: &AtomicU64| gauge.load(Ordering::Relaxed);
        let g = &self.gauges;
        let behind = g.behind.load(Ordering::Acquire);
        DetectStatus {
            sessions: of(&g.sessions),
            events: of(&g.events),
            behind,
            lost: of(&g.lost),
            panics: of(&g.panics),
            found: of(&g.found),
            dropped: of(&g.dropped),
            crowded: of(&g.crowded),
        }
    }

    fn tell(&self, message: Message) {
        self.gauges.behind.fetch_add(1, Ordering::Relaxed);
        match self.tx.try_send(message) {
            Ok(()) => {}
            Err(error) => {
                self.gauges.behind.fetch_sub(1, Ordering::Relaxed);
                if let TrySendError::Full(_) = error {
                    tracing::warn!("the detectors are behind");
                }
            }
        }
    }
}
