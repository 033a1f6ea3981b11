//! Keeps what is captured after the store was given up: as files in the spool, for the daemon that has it now.
//!
//! Must never hold up a stream: it works on a thread of its own, and a disk that takes nothing is waited for there.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::Running;
use super::life::{WRITER_PATIENCE, failed};
use crate::ingest::{Ack, CapturedExchange, Gauges, QUEUE, Submission};
use crate::source::kept;
use crate::startup::StartError;

/// How long a disk that takes nothing is waited for by who has given up the store, and has nothing else to do.
const DISK_PATIENCE: Duration = Duration::from_secs(300);
/// How often it is tried meanwhile.
const DISK_PAUSE: Duration = Duration::from_secs(1);

/// Keeps exchanges as files, on a thread of its own.
pub(super) struct Keeper {
    pub(super) to: SyncSender<Box<CapturedExchange>>,
    thread: JoinHandle<()>,
}

impl Keeper {
    pub(super) fn start(app: &Running) -> Result<Self, StartError> {
        let (to, from) = sync_channel::<Box<CapturedExchange>>(QUEUE);
        let (dir, gauges) = (app.layout.spool_dir.clone(), Arc::clone(app.door.gauges()));
        let work = move || {
            for exchange in from {
                keep(&dir, &exchange, &gauges);
            }
        };
        let thread = std::thread::Builder::new().name("ccd-keeper".into()).spawn(work);
        Ok(Keeper { to, thread: thread.map_err(|e| failed("the keeper's thread", &e))? })
    }

    /// Keeps what waits at a door that no writer stands behind, and whatever comes from now on.
    pub(super) fn take_from(&self, mut rx: mpsc::Receiver<Submission>, app: &Running) {
        app.door.set_aside(Some(self.to.clone()));
        while let Ok(submission) = rx.try_recv() {
            match submission {
                Submission::Exchange(exchange) => {
                    let began_ns = exchange.record.started_ns;
                    if self.to.try_send(exchange).is_err() {
                        app.door.gauges().miss(began_ns, "it could not be kept");
                    }
                }
                Submission::Kept(_, ack) | Submission::Gap(_, _, ack) | Submission::Hook(_, Some(ack)) => {
                    let _ = ack.send(Ack::Refused);
                }
                _ => {}
            }
        }
    }

    /// Waits until everything is kept.
    pub(super) async fn finish(self, app: &Running) -> Result<(), StartError> {
        app.door.flush().await;
        app.door.set_aside(None);
        drop(self.to);
        let thread = self.thread;
        let kept = tokio::task::spawn_blocking(move || thread.join());
        if tokio::time::timeout(DISK_PATIENCE + WRITER_PATIENCE, kept).await.is_err() {
            tracing::error!("the disk does not take what was captured last");
        }
        Ok(())
    }
}

/// Keeps an exchange, as soon as the disk takes it.
fn keep(dir: &Path, exchange: &CapturedExchange, gauges: &Gauges) {
    let until = Instant::now() + DISK_PATIENCE;
    loop {
        match kept::keep(dir, exchange) {
            Ok(path) => {
                tracing::debug!(file = %path.display(), "an exchange was kept for the next daemon");
                return;
            }
            Err(error) if Instant::now() < until => {
                tracing::warn!(%error, "an exchange cannot be kept yet");
                std::thread::sleep(DISK_PAUSE);
            }
            Err(error) => {
                tracing::error!(%error, "an exchange is lost: it cannot be kept");
                gauges.miss(exchange.record.started_ns, &format!("it could not be kept: {error}"));
                return;
            }
        }
    }
}
