//! Working all views out again, beside the ones in use, on a thread of its own; and letting go of old segments, which
//! is the same with a later beginning.
//!
//! Capture and questions go on meanwhile. Only the last few records are brought in, and the new generation put in
//! place, on the writer's thread.
//!
//! Must never put a generation in place that lacks a record.

use std::sync::Arc;
use std::time::Instant;

use ccd_store::{Builder, Dropped, Progress, Store, StoreError, ViewWriter as _};

use super::shared::Shared;
use super::views::{CaughtUp, catch_up};
use super::writer::WriteError;
use super::{Door, carry, cursors, findings};
use crate::live::Live;
use crate::project;
use crate::project::price::Prices;

/// So many records may be left for the writer's thread.
const LAST: u64 = 256;
/// How often the rest is brought in beside the writer before it has to be brought in by the writer: a machine that
/// writes faster than it reads does not exist, but must not keep this going for ever.
const ROUNDS: u32 = 20;

/// What a rebuild did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rebuilt {
    /// Records in the new generation.
    pub records: u64,
    /// How long it took, in microseconds.
    pub micros: u64,
    /// What was let go of.
    pub dropped: Dropped,
}

/// Why views could not be worked out again. Those in use stay.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The store is not open, or the daemon stops.
    #[error("the store is not open; `ccctl status` says why")]
    Closed,
    /// The store or a view.
    #[error("{0}")]
    Write(String),
}

impl From<WriteError> for RebuildError {
    fn from(error: WriteError) -> Self {
        RebuildError::Write(error.to_string())
    }
}

impl From<StoreError> for RebuildError {
    fn from(error: StoreError) -> Self {
        RebuildError::Write(error.to_string())
    }
}

/// Views depend on the code that makes them and on the prices.
pub(super) fn view_version(prices: &Prices) -> u32 {
    u32::from(project::VERSION) ^ prices.fingerprint()
}

/// Works all views out again, from a segment on if one is named: what is before it is then let go of, but for its
/// usage and for the judgements that are in force. Blocks: for a thread of its own. One at a time; another one waits.
pub fn rebuild(
    door: &Door,
    shared: &Arc<Shared>,
    from_segment: Option<u32>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Rebuilt, RebuildError> {
    let _one = shared.alone();
    rebuild_alone(door, shared, from_segment, progress)
}

/// As [`rebuild`], for who is alone already.
pub(super) fn rebuild_alone(
    door: &Door,
    shared: &Arc<Shared>,
    from_segment: Option<u32>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Rebuilt, RebuildError> {
    let begun = Instant::now();
    let kept = match from_segment {
        Some(segment) => Some(keep(door, shared, segment, progress)?),
        None => None,
    };
    let prices = shared.live.prices();
    let version = view_version(&prices);
    let live = Live::new(Prices::clone(&prices));
    let mut builder = door.with_store(move |store| store.begin_generation(version, from_segment))??;
    let built = (|| {
        builder.index_packs(progress)?;
        let mut found = CaughtUp::default();
        for _ in 0..ROUNDS {
            let before = found.records;
            found = fill(door, &mut builder, &live, kept.clone(), found, progress)?;
            if found.records - before <= LAST {
                break;
            }
        }
        builder.flush()?;
        Ok(found)
    })();
    let found = match built {
        Ok(found) => found,
        Err(error) => {
            discard(door, builder);
            return Err(error);
        }
    };
    let shared = Arc::clone(shared);
    let (found, dropped) = door.with_writer(move |writer, store| {
        let carry = kept.clone();
        let rest = match catch_up(&mut builder, &live, || Ok(kept.unwrap_or_default()), None, &mut |_| ()) {
            Ok(rest) => rest,
            Err(error) => {
                if let Err(error) = store.discard(builder) {
                    tracing::warn!(%error, "a generation of the index could not be removed");
                }
                return Err(error);
            }
        };
        let dropped = store.adopt(builder, carry.as_deref())?;
        let found = CaughtUp {
            records: found.records + rest.records,
            damaged: found.damaged.max(rest.damaged),
            ..rest
        };
        writer.brought_up(store, &found);
        shared.live.clear();
        shared.marks.renewed();
        Ok::<_, WriteError>((found, dropped))
    })??;
    let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    Ok(Rebuilt { records: found.records, micros, dropped })
}

fn fill(
    door: &Door,
    builder: &mut Builder,
    live: &Live,
    kept: Option<Vec<u8>>,
    before: CaughtUp,
    progress: &mut dyn FnMut(Progress),
) -> Result<CaughtUp, RebuildError> {
    let kept = match kept {
        Some(kept) => kept,
        None => door.with_store(|store| store.carry())??,
    };
    let found = catch_up(builder, live, || Ok(kept), None, progress)?;
    Ok(CaughtUp {
        records: before.records + found.records,
        damaged: found.damaged.max(before.damaged),
        ..found
    })
}

/// The usage of everything before a segment, how far transcripts were taken and the judgements in force then, as bytes to
/// keep. It is worked out in a generation of its own, which is
/// thrown away.
fn keep(
    door: &Door,
    shared: &Shared,
    segment: u32,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<u8>, RebuildError> {
    let prices = shared.live.prices();
    let version = view_version(&prices);
    let (mut builder, last, kept) = door.with_store(move |store| {
        let builder = store.begin_generation(version, None)?;
        let segments = store.reader().segments();
        let last = segments.iter().find(|s| s.number >= segment && s.first_seq > 0).map(|s| s.first_seq - 1);
        Ok::<_, StoreError>((builder, last.ok_or(StoreError::Misuse("no such segment"))?, store.carry()?))
    })??;
    let live = Live::new(Prices::clone(&prices));
    let kept = (|| {
        builder.index_packs(progress)?;
        catch_up(&mut builder, &live, || Ok(kept), Some(last), progress)?;
        let reader = builder.reader();
        let kept = carry::collect(&reader)
            .and_then(|usage| cursors::carried(&reader, usage))
            .and_then(|kept| findings::carried(&reader, kept));
        kept.map_err(|e| RebuildError::Write(e.to_string()))
    })();
    discard(door, builder);
    kept
}

fn discard(door: &Door, builder: Builder) {
    // Without a store there is nothing to tidy: the next start does.
    let _ = door.with_store(move |store: &mut Store| {
        if let Err(error) = store.discard(builder) {
            tracing::warn!(%error, "a generation of the index that is not needed could not be removed");
        }
    });
}
