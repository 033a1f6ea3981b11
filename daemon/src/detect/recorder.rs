//! Detections on their way to the journal.
//!
//! Must never lose one because the store takes nothing for a moment, and never tell of one that is not on record.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;

use super::Gauges;
use crate::ingest::found::DetectionV1;
use crate::ingest::{Ack, Door, Ready};

/// Detections that may wait.
pub const QUEUE: usize = 1024;
/// How long to wait where the store takes nothing, and how often.
const PAUSE: Duration = Duration::from_secs(2);
const TRIES: u32 = 30;

/// A detection to be recorded.
#[derive(Clone, Debug)]
pub struct ToRecord {
    /// What.
    pub detection: DetectionV1,
    /// Nobody is to be told.
    pub quiet: bool,
}

/// Records what comes, in its order, until nobody makes any more. `recorded` is told of those that are news, once they are
/// on disk.
pub async fn run(
    mut rx: Receiver<ToRecord>,
    door: Door,
    gauges: Arc<Gauges>,
    recorded: impl Fn(&DetectionV1) + Send,
) {
    while let Some(ToRecord { detection, quiet }) = rx.recv().await {
        let mut tries = 0;
        let ack = loop {
            let ack = match detection.to_record() {
                Ok(record) => door.ready(Ready { record, fact: None }).await,
                Err(error) => {
                    tracing::error!(%error, "a detection cannot be recorded");
                    break Ack::Refused;
                }
            };
            tries += 1;
            if ack == Ack::Durable || tries >= TRIES || door.is_closed() {
                break ack;
            }
            tokio::time::sleep(PAUSE).await;
        };
        match ack {
            Ack::Durable if !quiet => recorded(&detection),
            Ack::Durable => {}
            Ack::Refused => {
                gauges.dropped.fetch_add(1, Ordering::Relaxed);
                tracing::error!(kind = detection.kind, "a detection was not recorded");
            }
        }
    }
}
