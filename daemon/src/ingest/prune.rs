//! Letting go of the past: which segments, and the steps in their order.
//!
//! What is planned is pure. What is done takes a while and blocks: it is for a thread of its own, and the writer is asked
//! for steps of milliseconds only.
//!
//! Must never let go of a record that is young enough, of usage, of what the user said of a detection, or of a body that a remaining record names.

use std::sync::Arc;

use ccd_store::{PackShare, PackUse, Progress, Reader, SegmentInfo, StoreError};

use super::Door;
use super::rebuild::{RebuildError, rebuild_alone};
use super::record;
use super::shared::Shared;
use super::writer::Writer;

/// Bytes of blocks moved while the writer waits.
const STEP_BYTES: u64 = 1 << 20;

/// Packs of which less than this is needed are rewritten, in percent: usually, and when space is short.
const HALF: u64 = 50;
const MOST_OF_IT: u64 = 90;

/// Nothing was recorded before 2025: who says so has a clock that is not set.
const PLAUSIBLE_NS: u64 = 1_735_689_600_000_000_000;

/// What is to be let go of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Records from before this time, in nanoseconds since the Unix epoch.
    pub before_ns: Option<u64>,
    /// What makes the store larger than this; then a tenth more, so that it is not done every hour.
    pub max_bytes: Option<u64>,
}

/// What would be let go of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The first segment that stays.
    pub keep_from: u32,
    /// How many segments go.
    pub segments: u64,
    /// Sequence numbers that go with them.
    pub records: u64,
    /// Their bytes, and those written to the packs while they were written. Some of the latter may be needed still.
    pub bytes: u64,
    /// When the newest record that goes happened, nanoseconds since the Unix epoch.
    pub until_ns: u64,
}

/// What was let go of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// How many segments.
    pub segments: u64,
    /// How many records.
    pub records: u64,
    /// How many packs.
    pub packs: u64,
    /// Bytes of the files that were removed.
    pub freed_bytes: u64,
    /// Bytes of what was still needed of them, and was written again.
    pub rewritten_bytes: u64,
    /// When the newest record that went happened; 0 if none did.
    pub until_ns: u64,
}

/// Which segments go, given all of them in order and what the store takes. The last one, which is written to, stays.
#[must_use]
pub fn plan(segments: &[SegmentInfo], total_bytes: u64, limits: &Limits) -> Option<Plan> {
    let mut excess = match limits.max_bytes {
        Some(max) if total_bytes > max => total_bytes - max + max / 10,
        _ => 0,
    };
    let mut plan = Plan::default();
    for pair in segments.windows(2) {
        let (segment, next) = (&pair[0], &pair[1]);
        // Where its end was lost, or the clock was not set yet, what follows is surely not older.
        let known = segment.newest_ns >= PLAUSIBLE_NS;
        let newest_ns = if known { segment.newest_ns } else { next.first_ns.max(segment.newest_ns) };
        // A record from the future does not keep all that came after it.
        let newest_ns = if next.first_ns >= PLAUSIBLE_NS { newest_ns.min(next.first_ns) } else { newest_ns };
        let old = newest_ns > 0 && limits.before_ns.is_some_and(|before| newest_ns < before);
        if !old && excess == 0 {
            break;
        }
        let bytes = segment.bytes + segment.pack_bytes;
        excess = excess.saturating_sub(bytes);
        plan.keep_from = next.number;
        plan.segments += 1;
        plan.records += next.first_seq.saturating_sub(segment.first_seq);
        plan.bytes += bytes;
        plan.until_ns = plan.until_ns.max(newest_ns);
    }
    (plan.segments > 0).then_some(plan)
}

/// What the store takes on disk that limits count: the journal and the packs.
pub fn total_bytes(reader: &Reader) -> Result<u64, StoreError> {
    let stats = reader.stats()?;
    Ok(stats.journal_bytes + stats.pack_bytes)
}

/// What would go now.
pub fn look(reader: &Reader, limits: &Limits) -> Result<Option<Plan>, StoreError> {
    Ok(plan(&reader.segments(), total_bytes(reader)?, limits))
}

/// Lets go of what the limits say, and of what nothing refers to any more.
pub fn prune(
    door: &Door,
    shared: &Arc<Shared>,
    limits: &Limits,
    progress: &mut dyn FnMut(Progress),
) -> Result<Pruned, RebuildError> {
    // A generation being built must not meet packs that go.
    let _alone = shared.alone();
    let reader = door.with_store(|store| store.reader())?;
    let mut pruned = Pruned::default();
    if limits.max_bytes.is_some_and(|max| total_bytes(&reader).is_ok_and(|total| total > max)) {
        // What nothing refers to goes before what was recorded.
        compact(door, &reader, MOST_OF_IT, &mut pruned, progress)?;
    }
    if let Some(plan) = look(&reader, limits)? {
        tracing::info!(?plan, "letting go of old records");
        let done = rebuild_alone(door, shared, Some(plan.keep_from), progress)?;
        pruned.segments = done.dropped.segments;
        pruned.freed_bytes = done.dropped.bytes;
        pruned.records = plan.records;
        pruned.until_ns = plan.until_ns;
    }
    compact(door, &reader, HALF, &mut pruned, progress)?;
    tracing::info!(?pruned, "let go of old records");
    Ok(pruned)
}

/// Drops the packs of which less than so many percent are needed, moving what is.
fn compact(
    door: &Door,
    reader: &Reader,
    percent: u64,
    pruned: &mut Pruned,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), RebuildError> {
    let mut used = PackUse::default();
    // What is marked is marked by one index, which knows everything.
    let index = reader.index_number();
    let same =
        move |writer: &mut Writer, reader: &Reader| writer.is_complete() && reader.index_number() == index;
    let marked = mark(reader, &mut used, 1, progress)?;
    let shares = used.shares(reader)?;
    let little = |s: &&PackShare| s.needed * 100 < s.bytes * percent;
    let leaving: Vec<u32> = shares.iter().filter(little).map(|s| s.number).collect();
    if leaving.is_empty() {
        return Ok(());
    }
    let (packs, theirs) = (leaving.clone(), reader.clone());
    let left = door.with_writer(move |writer, store| {
        let same = same(writer, &theirs);
        if same {
            store.leave(&packs);
        }
        same
    })?;
    if !left {
        return Err(RebuildError::Write(
            "the index changed meanwhile: no pack is let go of this time".into(),
        ));
    }
    let done = move_all(door, reader, &mut used, marked, &leaving, same, pruned, progress);
    // Those that are gone already are not there to stay.
    door.with_store(move |store| leaving.iter().for_each(|pack| store.stay(*pack)))?;
    done
}

/// Marks what was journalled until the packs began to leave, and moves all that is needed out of them.
#[allow(clippy::too_many_arguments)] // the second half of one function
fn move_all(
    door: &Door,
    reader: &Reader,
    used: &mut PackUse,
    marked: u64,
    leaving: &[u32],
    same: impl Fn(&mut Writer, &Reader) -> bool + Send + 'static,
    pruned: &mut Pruned,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), RebuildError> {
    // From here on nothing new refers to these packs: what was journalled before is all there is to mark.
    mark(reader, used, marked + 1, progress)?;
    let theirs = reader.clone();
    if !door.with_writer(move |writer, _| same(writer, &theirs))? {
        return Err(RebuildError::Write(
            "the index changed meanwhile: no pack is let go of this time".into(),
        ));
    }
    for (done, pack) in (0..).zip(leaving) {
        progress(Progress { phase: "packs", done, total: leaving.len() as u64, unit: "packs" });
        match move_out(door, reader, used, *pack) {
            Ok((rewritten, freed)) => {
                pruned.packs += 1;
                pruned.rewritten_bytes += rewritten;
                pruned.freed_bytes += freed;
            }
            Err(error) => {
                tracing::warn!(pack, %error, "a pack cannot be let go of, and stays");
            }
        }
    }
    Ok(())
}

fn move_out(door: &Door, reader: &Reader, used: &PackUse, pack: u32) -> Result<(u64, u64), RebuildError> {
    let mut moves = used.needed(reader, pack)?;
    let mut rewritten = 0;
    while !moves.is_empty() {
        let (back, bytes) = door.with_store(move |store| {
            let bytes = store.move_blocks(&mut moves, STEP_BYTES);
            (moves, bytes)
        })?;
        moves = back;
        rewritten += bytes?;
    }
    Ok((rewritten, door.with_store(move |store| store.drop_pack(pack))??))
}

/// Marks what the records from a sequence number on refer to; gives the last of them.
fn mark(
    reader: &Reader,
    used: &mut PackUse,
    from: u64,
    progress: &mut dyn FnMut(Progress),
) -> Result<u64, RebuildError> {
    let total = reader.stats()?.last_seq;
    let mut last = from.saturating_sub(1);
    let mut unknown = false;
    let index = reader.index_number();
    reader.replay(from, &mut |found| {
        last = found.seq;
        if last.is_multiple_of(1024) {
            progress(Progress { phase: "references", done: last, total, unit: "records" });
        }
        let Ok(blobs) = record::blobs(&found) else {
            unknown = true;
            return Ok(());
        };
        for blob in blobs {
            match used.mark(reader, &blob) {
                Ok(()) => {}
                // What lies in damaged packs is lost: what is left of it is marked.
                Err(error @ StoreError::Damaged { .. }) => {
                    tracing::debug!(seq = found.seq, %error, "a body is not all there");
                }
                Err(StoreError::Index(_))
                    if !reader.damage().is_empty()
                        && reader.index_number() == index
                        && !reader.has_place(&blob)? =>
                {
                    tracing::debug!(seq = found.seq, "a body is nowhere, and there is damage");
                }
                // Who cannot be asked has not said that nothing is needed.
                Err(error) => return Err(error),
            }
        }
        Ok(())
    })?;
    if unknown {
        let what = "there are records of a newer ccd, which may need any pack: no pack is let go of";
        return Err(RebuildError::Write(what.into()));
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BASE: u64 = PLAUSIBLE_NS;

    fn segment(number: u32, bytes: u64, newest_ns: u64) -> SegmentInfo {
        let first_seq = u64::from(number) * 10;
        SegmentInfo {
            number,
            bytes,
            first_seq,
            first_ns: newest_ns.saturating_sub(5),
            newest_ns,
            pack_bytes: 0,
        }
    }

    #[test]
    fn whole_segments_go_while_all_of_them_is_old() {
        let times = [BASE + 100, 7, BASE + 120, BASE + 130];
        let segments: Vec<_> = (3..).zip(times).map(|(n, newest)| segment(n, 10, newest)).collect();
        let at = |before| plan(&segments, 40, &Limits { before_ns: Some(BASE + before), max_bytes: None });
        assert_eq!(at(100), None);
        let one = Plan { keep_from: 4, segments: 1, records: 10, bytes: 10, until_ns: BASE + 100 };
        assert_eq!(at(101), Some(one));
        assert_eq!(at(115), Some(one), "one whose clock was not set is as old as what follows");
        assert_eq!(at(116).map(|p| p.keep_from), Some(5));
        assert_eq!(at(1_000).map(|p| (p.keep_from, p.records)), Some((6, 30)));
        assert_eq!(plan(&segments[..1], 40, &Limits { before_ns: Some(u64::MAX), max_bytes: Some(0) }), None);
    }

    proptest! {
        #[test]
        fn by_size_just_enough_goes(sizes in prop::collection::vec(1_u64..100, 1..20), max in 1_u64..1_500) {
            let segments: Vec<_> = (1..).zip(&sizes).map(|(n, bytes)| segment(n, *bytes, BASE)).collect();
            let total: u64 = sizes.iter().sum();
            let found = plan(&segments, total, &Limits { before_ns: None, max_bytes: Some(max) });
            prop_assert_eq!(found.is_some(), total > max && sizes.len() > 1);
            if let Some(plan) = found {
                let gone = usize::try_from(plan.segments).unwrap();
                prop_assert!(gone < sizes.len());
                prop_assert_eq!(plan.bytes, sizes[..gone].iter().sum::<u64>());
                let enough = |bytes: u64| bytes >= total - max + max / 10;
                prop_assert!(enough(plan.bytes) || gone == sizes.len() - 1);
                prop_assert!(!enough(sizes[..gone - 1].iter().sum()));
            }
        }
    }
}
