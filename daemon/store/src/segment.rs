//! Reading the journal: one frame, one record, or all of them in order past any damage.
//!
//! ```text
//! segment = magic 8 | number u32 | prev_number u32 | prev_len u64 | first_seq u64 | first_ns u64 | prev_newest_ns u64
//!         | pack u32 | 0 u32 | pack_len u64 | crc32 u32 | 0 u32 | frame*
//! ```
//!
//! Each segment's header says how much of the previous one counts: what a failed fsync left in doubt is not in it, and
//! what is missing from it is noticed.
//!
//! Must never look past a published length, nor stop at damage, nor hand out a record whose checksum does not match.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use crate::catalogue::{Catalogue, lock};
use crate::error::{Result, StoreError};
use crate::files::DataFile;
use crate::frame::{self, Batch, FrameHead, Place, u32_at};
use crate::types::{Locator, Record, ReplayReport};

const MAGIC: &[u8; 8] = b"ccdlog\x01\n";
/// The segment header's length.
pub(crate) const HEADER: usize = 72;
const CRC_AT: usize = HEADER - 8;
/// How much is read at a time when looking for the next good frame.
const WINDOW: usize = 1 << 20;
const CACHED_BATCHES: usize = 4;
const CACHED_BYTES: usize = 256 << 10;

/// A segment's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHead {
    pub(crate) number: u32,
    /// The segment before, 0 if this is the first, and how much of it counts.
    pub(crate) prev_number: u32,
    pub(crate) prev_len: u64,
    /// Records in this segment have this sequence number or a later one.
    pub(crate) first_seq: u64,
    /// When its first record happened, and the newest one of the segment before.
    pub(crate) first_ns: u64,
    pub(crate) prev_newest_ns: u64,
    /// Where the packs ended when it was begun.
    pub(crate) pack: u32,
    pub(crate) pack_len: u64,
}

impl SegmentHead {
    pub(crate) fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&self.number.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.prev_number.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.prev_len.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first_seq.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.first_ns.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.prev_newest_ns.to_le_bytes());
        bytes[48..52].copy_from_slice(&self.pack.to_le_bytes());
        bytes[56..CRC_AT].copy_from_slice(&self.pack_len.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..CRC_AT]);
        bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let good = bytes.len() >= HEADER
            && bytes.starts_with(MAGIC)
            && u32_at(bytes, CRC_AT) == crc32fast::hash(&bytes[..CRC_AT]);
        let u64_at = |at| u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32;
        good.then(|| Self {
            number: u32_at(bytes, 8),
            prev_number: u32_at(bytes, 12),
            prev_len: u64_at(16),
            first_seq: u64_at(24),
            first_ns: u64_at(32),
            prev_newest_ns: u64_at(40),
            pack: u32_at(bytes, 48),
            pack_len: u64_at(56),
        })
    }
}

/// What stands at a position of a segment.
pub(crate) enum Step {
    /// A good frame, and where the next begins.
    Frame(Batch, u64),
    /// Not a frame. The next good one is at `resume`, if there is any.
    Bad { resume: Option<u64> },
    /// The end.
    End,
}

/// Reads what stands at `at` in a segment of which `end` bytes count.
pub(crate) fn step(file: &DataFile, number: u32, at: u64, end: u64) -> Result<Step> {
    step_before(file, number, at, end, end)
}

/// As [`step`], with nothing but zeros from `zeros` on: no frame begins there.
pub(crate) fn step_before(file: &DataFile, number: u32, at: u64, zeros: u64, end: u64) -> Result<Step> {
    if at >= zeros {
        return Ok(Step::End);
    }
    if let Some(batch) = frame_at(file, number, at, end)? {
        return Ok(Step::Frame(batch.0, batch.1));
    }
    Ok(Step::Bad { resume: resync(file, number, at + 1..zeros, end)? })
}

fn frame_at(file: &DataFile, number: u32, at: u64, end: u64) -> Result<Option<(Batch, u64)>> {
    let Ok(offset) = u32::try_from(at) else { return Ok(None) };
    let body = at + frame::HEADER as u64;
    if body > end {
        return Ok(None);
    }
    let Some(head) = FrameHead::parse(&file.read(at, frame::HEADER)?) else { return Ok(None) };
    let next = body + head.len as u64;
    if next > end {
        return Ok(None);
    }
    let stored = file.read(body, head.len)?;
    Ok(head.open(Place { number, offset }, &stored).map(|batch| (batch, next)))
}

fn resync(file: &DataFile, number: u32, range: Range<u64>, end: u64) -> Result<Option<u64>> {
    let mut at = range.start;
    while at + (frame::MAGIC.len() as u64) <= range.end {
        let len = usize::try_from(range.end - at).unwrap_or(usize::MAX).min(WINDOW);
        let window = file.read(at, len)?;
        for found in window.windows(frame::MAGIC.len()).enumerate().filter(|(_, w)| *w == frame::MAGIC) {
            let candidate = at + found.0 as u64;
            if frame_at(file, number, candidate, end)?.is_some() {
                return Ok(Some(candidate));
            }
        }
        at += (len - frame::MAGIC.len() + 1) as u64;
    }
    Ok(None)
}

/// The journal as readers see it.
pub(crate) struct Segments {
    pub(crate) files: Catalogue,
    recent: Mutex<Vec<Arc<Batch>>>,
}

impl Segments {
    pub(crate) fn new(files: Catalogue) -> Self {
        Self { files, recent: Mutex::default() }
    }

    /// The record at a place that the index, or an append, gave.
    pub(crate) fn record(&self, at: Locator) -> Result<Record> {
        let missing = || {
            StoreError::damaged(format!(
                "{} has no record {} in a frame at offset {}",
                self.files.path(at.segment).display(),
                at.index,
                at.offset
            ))
        };
        self.batch(Place { number: at.segment, offset: at.offset })?.record(at.index).ok_or_else(missing)
    }

    fn batch(&self, place: Place) -> Result<Arc<Batch>> {
        let kept = lock(&self.recent).iter().find(|batch| batch.place == place).map(Arc::clone);
        if let Some(batch) = kept {
            return Ok(batch);
        }
        let (number, offset) = (place.number, u64::from(place.offset));
        let path = self.files.path(number);
        let Some(entry) = self.files.get(number) else {
            return Err(StoreError::damaged(format!("{} is missing", path.display())));
        };
        let file = self.files.file(number)?;
        let Some((batch, _)) = frame_at(&file, number, offset, entry.len)? else {
            // Only what is damaged is read here at all: the index names good frames.
            let next = resync(&file, number, offset + 1..entry.len, entry.len)?.unwrap_or(entry.len);
            self.files.report(number, offset, next);
            return Err(StoreError::damaged(format!(
                "{} has no good frame at offset {offset}",
                path.display()
            )));
        };
        let batch = Arc::new(batch);
        if batch.weight() <= CACHED_BYTES {
            let mut recent = lock(&self.recent);
            recent.insert(0, Arc::clone(&batch));
            recent.truncate(CACHED_BATCHES);
        }
        Ok(batch)
    }

    /// Drops what is cached: needed when frames in doubt are given up.
    pub(crate) fn forget(&self) {
        lock(&self.recent).clear();
    }

    /// Hands over all records from `from_seq` on, in order. Looks at nothing before `known`, an earlier record's place.
    pub(crate) fn replay(
        &self,
        from_seq: u64,
        known: Option<(u64, Locator)>,
        f: &mut dyn FnMut(Record) -> Result<()>,
    ) -> Result<ReplayReport> {
        let mut report = ReplayReport::default();
        let is_there = |seq, at| seq < from_seq && self.record(at).is_ok_and(|record| record.seq == seq);
        let start = known.filter(|(seq, at)| is_there(*seq, *at)).map(|(_, at)| at);
        let mut segments = self.files.list();
        segments.retain(|(number, _)| start.is_none_or(|start| *number >= start.segment));
        for (position, &(number, entry)) in segments.iter().enumerate() {
            let next_first = segments.get(position + 1).map_or(0, |(_, next)| next.first_seq);
            if next_first == 0 || next_first > from_seq {
                let start =
                    start.filter(|start| start.segment == number).map_or(HEADER as u64, |s| s.offset.into());
                self.replay_segment(number, start..entry.len, from_seq, &mut report, f)?;
            }
        }
        report.damaged.extend(self.files.damage());
        report.damaged.sort_unstable();
        report.damaged.dedup();
        Ok(report)
    }

    fn replay_segment(
        &self,
        number: u32,
        range: Range<u64>,
        from_seq: u64,
        report: &mut ReplayReport,
        f: &mut dyn FnMut(Record) -> Result<()>,
    ) -> Result<()> {
        let file = match self.files.file(number) {
            Err(StoreError::Damaged { .. }) => {
                report.damaged.push(self.files.report(number, 0, range.end));
                return Ok(());
            }
            other => other?,
        };
        // The file may be shorter than it was when it was opened.
        let end = range.end.min(file.len()?);
        let mut at = range.start;
        loop {
            match step(&file, number, at, end)? {
                Step::End => return Ok(()),
                Step::Frame(batch, next) => {
                    if batch.last_seq() >= from_seq {
                        for record in batch.records().filter(|r| r.seq >= from_seq) {
                            report.records += 1;
                            report.last_seq = record.seq;
                            f(record)?;
                        }
                    }
                    at = next;
                }
                Step::Bad { resume } => {
                    let next = resume.unwrap_or(end);
                    report.damaged.push(self.files.report(number, at, next));
                    at = next;
                }
            }
        }
    }
}
