//! Bringing a generation of the index up to the journal: the one in use at a start, or one built beside it.
//!
//! Must never count a record that the generation accounts for already.

use ccd_store::{Progress, Record, StoreError, ViewWriter};

use super::apply::Batch;
use super::writer::WriteError;
use super::{carry, cursors, findings};
use crate::live::{Live, LiveError};
use crate::project::rows::{self, Counters};

/// Records replayed as one batch.
const REPLAY_BATCH: usize = 512;

/// What bringing a generation up found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CaughtUp {
    pub(super) counters: Counters,
    /// Records replayed.
    pub(super) records: u64,
    /// Damaged ranges of the journal, and records that cannot be read back.
    pub(super) damaged: u64,
}

/// Applies what the journal has and the generation has not, up to the record `upto` if there is one. A generation
/// that is new begins with what was kept of records that were let go of.
pub(super) fn catch_up(
    views: &mut impl ViewWriter,
    live: &Live,
    kept: impl FnOnce() -> Result<Vec<u8>, StoreError>,
    upto: Option<u64>,
    progress: &mut dyn FnMut(Progress),
) -> Result<CaughtUp, WriteError> {
    let reader = views.reader();
    let mut found = CaughtUp::default();
    if let Some(bytes) = reader.get(rows::COUNTERS)? {
        found.counters = rows::decode(&bytes)?;
    } else {
        let kept = kept()?;
        let (kept, said) = findings::split(&kept)?;
        let (usage, mut last) = cursors::split(kept)?;
        carry::restore(usage, views, &live.prices())?;
        last.extend(said);
        // So that it is never taken for new again.
        last.push(ccd_store::Mutation::Put(rows::COUNTERS.to_vec(), rows::encode(&found.counters)?));
        views.apply(views.applied(), last)?;
    }
    let from = views.applied() + 1;
    let upto = upto.unwrap_or(u64::MAX);
    let total = reader.stats()?.last_seq.min(upto).saturating_sub(from - 1);
    let mut waiting: Vec<Record> = Vec::with_capacity(REPLAY_BATCH);
    let (mut failed, mut enough) = (None, false);
    let replayed = reader.replay(from, &mut |record| {
        if record.seq > upto {
            enough = true;
            return Err(StoreError::Misuse("enough"));
        }
        waiting.push(record);
        if waiting.len() < REPLAY_BATCH {
            return Ok(());
        }
        let applied = apply(views, live, &std::mem::take(&mut waiting), &mut found);
        progress(Progress { phase: "journal", done: found.records, total, unit: "records" });
        applied.map_err(|error| {
            let stop = StoreError::Index(error.to_string());
            failed = Some(error);
            stop
        })
    });
    if let Some(error) = failed {
        return Err(error);
    }
    match replayed {
        Ok(report) => found.damaged += report.damaged.len() as u64,
        Err(_) if enough => {}
        Err(error) => return Err(error.into()),
    }
    apply(views, live, &waiting, &mut found)?;
    progress(Progress {
        phase: "journal",
        done: found.records,
        total: total.max(found.records),
        unit: "records",
    });
    Ok(found)
}

fn apply(
    views: &mut impl ViewWriter,
    live: &Live,
    records: &[Record],
    found: &mut CaughtUp,
) -> Result<(), WriteError> {
    let Some(upto) = records.last().map(|r| r.seq) else { return Ok(()) };
    let reader = views.reader();
    let mut batch = Batch::new(live, &reader, found.counters);
    for record in records {
        match batch.add(record, None) {
            Ok(()) => {}
            // A record whose bytes are damaged costs itself, not the store.
            Err(error @ LiveError::Store(StoreError::Damaged { .. })) => {
                tracing::error!(seq = record.seq, %error, "a record cannot be read back");
                found.damaged += 1;
            }
            // What could not be read now may be readable the next time: views without it would be wrong for good.
            Err(error) => return Err(error.into()),
        }
    }
    let applied = batch.finish()?;
    views.reindex(records);
    views.apply(upto, applied.mutations)?;
    live.trim();
    found.counters = applied.counters;
    found.records += records.len() as u64;
    Ok(())
}
