//! `store rebuild`: the index made anew from the journal and the packs, beside the one in use.

use ccd_proto::api::Rebuilt;

use super::{Context, write_error};
use crate::ingest::rebuild;
use crate::query::QueryError;

pub(super) fn run(context: &mut Context) -> Result<Rebuilt, QueryError> {
    let begun = context.app.clock.now_ns();
    let stats = context.reader()?.stats()?;
    let (door, shared) = (context.app.door.clone(), context.app.shared.clone());
    // It goes on to its end, heard or not.
    let mut tell = |now: ccd_store::Progress| {
        context.tell(now.phase, now.done, now.total, now.unit);
    };
    let done = rebuild::rebuild(&door, &shared, None, &mut tell).map_err(write_error)?;
    let seconds = context.seconds(begun);
    let bytes = stats.journal_bytes + stats.pack_bytes;
    Ok(Rebuilt { records: done.records, seconds, bytes_per_second: per_second(bytes, seconds) })
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a rate
fn per_second(bytes: u64, seconds: f64) -> u64 {
    (bytes as f64 / seconds.max(0.001)) as u64
}
