//! What the writer shows to everybody else: whether the store can be asked, and what changed.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ccd_store::Progress;
use tokio::sync::{broadcast, watch};

use super::marks::Marks;
use crate::live::Live;
use crate::project::billed::ChargeKey;
use crate::project::price::Prices;
use crate::project::rows::Counters;

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

/// What makes the key of an exchange's row: its beginning and its id.
pub type RowOf = (u64, [u8; 16]);

/// What the writer shows to others.
pub struct Shared {
    /// The store.
    pub state: watch::Sender<StoreState>,
    /// Recent session states.
    pub live: Live,
    /// Ids of sessions that changed. Lagging readers lose nothing: they look at the session, not the message.
    pub changed: broadcast::Sender<String>,
    /// What is followed, and how often it changed.
    pub marks: Marks,
    /// Exchanges that were recorded, in batches.
    pub recorded: broadcast::Sender<Arc<[RowOf]>>,
    /// Damaged frames found when the journal was read.
    pub damaged: AtomicU64,
    /// Why the last write failed, until one succeeds.
    pub error: Mutex<Option<String>>,
    /// How far the views are that are being worked out, while the store cannot be asked.
    pub progress: Mutex<Option<Progress>>,
    /// Held while views are worked out again: one at a time.
    rebuilding: Mutex<()>,
    counters: Mutex<Counters>,
}

impl Shared {
    /// Before anything is open.
    #[must_use]
    pub fn new(prices: Prices) -> Arc<Self> {
        Arc::new(Shared {
            state: watch::Sender::new(StoreState::Opening),
            live: Live::new(prices),
            changed: broadcast::Sender::new(1024),
            marks: Marks::default(),
            recorded: broadcast::Sender::new(1024),
            damaged: AtomicU64::new(0),
            error: Mutex::new(None),
            progress: Mutex::new(None),
            rebuilding: Mutex::new(()),
            counters: Mutex::default(),
        })
    }

    /// Keeps others from working views out, pruning, or putting another store in place, until it is dropped. For threads
    /// that may block.
    pub fn alone(&self) -> MutexGuard<'_, ()> {
        self.rebuilding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a store that cannot be asked yet is doing.
    #[must_use]
    pub fn opening(&self) -> String {
        match *self.progress.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(Progress { phase, done, total, .. }) if total > 0 => {
                let percent = done.saturating_mul(100) / total;
                format!("its index is being worked out again: {phase}, {percent} %")
            }
            _ => "being opened".into(),
        }
    }

    /// The store's counters.
    #[must_use]
    pub fn counters(&self) -> Counters {
        *self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_counters(&self, counters: Counters) {
        *self.counters.lock().unwrap_or_else(PoisonError::into_inner) = counters;
    }

    /// Tells followers which sessions and charges changed, and which exchanges there are.
    pub(super) fn tell(&self, sessions: Vec<String>, exchanges: Vec<RowOf>, charges: &[ChargeKey]) {
        self.marks.changed(&sessions, charges);
        for session in sessions {
            // Nobody follows: nobody is told.
            let _ = self.changed.send(session);
        }
        if !exchanges.is_empty() && self.recorded.receiver_count() > 0 {
            let _ = self.recorded.send(exchanges.into());
        }
    }

    pub(super) fn set_error(&self, error: Option<String>) {
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }
}
