//! `store rebuild`: the index made anew from the journal and the packs.
//!
//! The writer does it; this asks for it and watches the last record that the index accounts for.

use std::time::Duration;

use ccd_proto::api::Rebuilt;
use tokio::sync::oneshot::error::TryRecvError;

use super::{Context, failed, unavailable};
use crate::ingest::maintain::Job;
use crate::query::QueryError;

/// How often to look.
const LOOK: Duration = Duration::from_millis(20);

pub(super) fn run(context: &mut Context) -> Result<Rebuilt, QueryError> {
    let begun = context.app.clock.now_ns();
    let reader = context.reader()?;
    let total = reader.last_seq();
    let stats = reader.stats()?;
    context.tell("rebuild", 0, total, "records");
    context.app.door.rebuild_blocking();
    // The writer takes things in order: its answer to this comes once the index is there.
    let (tx, mut done) = tokio::sync::oneshot::channel();
    context.app.door.maintain(Job::Cut(tx));
    loop {
        match done.try_recv() {
            Ok(answer) => break answer.map(drop).map_err(failed)?,
            Err(TryRecvError::Closed) => return Err(unavailable("the daemon is about to end")),
            Err(TryRecvError::Empty) => {
                std::thread::sleep(LOOK);
                // Until the writer begins, the old index accounts for everything.
                let applied = reader.applied();
                if applied < total {
                    context.tell("rebuild", applied, total, "records");
                }
            }
        }
    }
    if reader.applied() < total {
        return Err(
            failed("the index could not be made anew; it is tried again").hint("`ccctl status` shows why")
        );
    }
    let counters = context.app.shared.counters();
    let seconds = context.seconds(begun);
    let bytes = stats.journal_bytes + stats.pack_bytes;
    Ok(Rebuilt {
        records: counters.hooks + counters.exchanges + counters.unreadable,
        seconds,
        bytes_per_second: per_second(bytes, seconds),
    })
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a rate
fn per_second(bytes: u64, seconds: f64) -> u64 {
    (bytes as f64 / seconds.max(0.001)) as u64
}
