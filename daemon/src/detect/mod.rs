//! The detectors at work: sessions' records, in the order of the journal, through one [`ccd_detect::Engine`] per session.
//!
//! ```text
//! writer ── Feed::seen (after fsync, before the acknowledgements) ──┐
//! hook   ── Feed::ask  (waits for its answer, a bounded time)  ─────┤── one thread: engines, heal::Policy
//! API    ── Feed::judged ───────────────────────────────────────────┘        │
//!                                              detections ── door ── journal, alerts
//! ```
//!
//! Must never keep the writer, the proxy or a hook event waiting: a channel that is full is a session whose engine is read
//! anew from the journal, counted; whoever asks and is not answered in time goes on as if nobody had been asked. A panic
//! of a detector costs that session's engine.
//!
//! Invariants: the question after an acknowledged event is answered by an engine that has seen the event; a detection is
//! on record at most once, whatever is replayed.

pub mod workspace;

use std::sync::mpsc::{SyncSender, TrySendError};

use tokio::sync::oneshot;

use crate::heal::{Answer, Asked};
use crate::ingest::found::{InterventionV1, JudgementV1};

/// Messages that may wait for the thread.
pub const QUEUE: usize = 4096;

/// What the thread is told.
pub enum Message {
    /// A hook event waits for its answer. `call` is its payload.
    Ask(Asked, bytes::Bytes, oneshot::Sender<Option<Answer>>),
    /// An answer did not arrive.
    Undelivered(Box<InterventionV1>),
    /// The user said something.
    Judged(Box<JudgementV1>),
}

/// The thread's door, for everybody who tells it something.
#[derive(Clone, Debug)]
pub struct Feed {
    tx: SyncSender<Message>,
}

impl Feed {
    /// A door, and the thread's end of it.
    #[must_use]
    pub fn new() -> (Self, std::sync::mpsc::Receiver<Message>) {
        let (tx, rx) = std::sync::mpsc::sync_channel(QUEUE);
        (Feed { tx }, rx)
    }

    /// What is to be done about a hook event; none where nobody answers. Whoever asks bounds the time.
    pub async fn ask(&self, asked: Asked, payload: bytes::Bytes) -> Option<Answer> {
        let (tx, rx) = oneshot::channel();
        self.tx.try_send(Message::Ask(asked, payload, tx)).ok()?;
        rx.await.ok()?
    }

    /// An answer did not arrive.
    pub fn undelivered(&self, intervention: InterventionV1) {
        self.tell(Message::Undelivered(Box::new(intervention)));
    }

    /// The user said something, and it is on record.
    pub fn judged(&self, judgement: JudgementV1) {
        self.tell(Message::Judged(Box::new(judgement)));
    }

    fn tell(&self, message: Message) {
        match self.tx.try_send(message) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(_)) => tracing::warn!("the detectors are behind"),
        }
    }
}
