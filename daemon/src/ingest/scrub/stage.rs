//! The bounded stage between the streams and the writer, where exchanges are scrubbed: one thread, in order.
//!
//! Must never keep who hands in waiting: a full stage drops the copy, which is counted. What the scanner falls over is
//! dropped, too, and counted; nothing goes on unscrubbed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, PoisonError};

use tokio::sync::{mpsc, oneshot};

use super::Scrub;
use crate::ingest::{Aside, CapturedExchange, Gauges, QUEUE, Submission};

/// Something for the stage.
pub(in crate::ingest) enum Job {
    /// To be scrubbed, and handed on.
    Exchange(Box<CapturedExchange>),
    /// To be told once all before it is handed on.
    Flush(oneshot::Sender<()>),
}

/// Where what was scrubbed goes.
pub(in crate::ingest) struct Stage {
    pub(in crate::ingest) scrub: Arc<Scrub>,
    pub(in crate::ingest) tx: mpsc::Sender<Submission>,
    pub(in crate::ingest) aside: Arc<Aside>,
    pub(in crate::ingest) gauges: Arc<Gauges>,
}

impl Stage {
    /// Begins the thread. It ends once nobody can hand anything in any more. Where there can be none, nothing is taken.
    pub(in crate::ingest) fn start(self) -> Arc<SyncSender<Job>> {
        let (tx, rx) = sync_channel(QUEUE);
        let work = move || self.run(&rx);
        if let Err(error) = std::thread::Builder::new().name("ccd-scrub".into()).spawn(work) {
            tracing::error!(%error, "no thread to take credentials out of exchanges: none is captured");
        }
        Arc::new(tx)
    }

    fn run(&self, rx: &Receiver<Job>) {
        for job in rx {
            match job {
                Job::Exchange(exchange) => self.one(exchange),
                Job::Flush(done) => {
                    // Whoever asked may have given up waiting.
                    let _ = done.send(());
                }
            }
        }
    }

    fn one(&self, mut exchange: Box<CapturedExchange>) {
        let began_ns = exchange.record.started_ns;
        let scrubbed = catch_unwind(AssertUnwindSafe(|| self.scrub.exchange(&mut exchange)));
        let why = if scrubbed.is_err() {
            "a defect of ccd: it could not be looked through for credentials"
        } else if self.hand_on(exchange) {
            return;
        } else {
            "what is captured is not written fast enough: its queue is full"
        };
        if self.gauges.miss(began_ns, why) {
            let _ = self.tx.try_send(Submission::Missed);
        }
    }

    fn hand_on(&self, exchange: Box<CapturedExchange>) -> bool {
        // Let go of before it waits: whoever sets another one must not be kept.
        let aside = self.aside.read().unwrap_or_else(PoisonError::into_inner).clone();
        match aside {
            Some(aside) => aside.try_send(exchange).is_ok(),
            None => self.tx.blocking_send(Submission::Exchange(exchange)).is_ok(),
        }
    }
}
