//! Reading the store from any thread, while it is being written.
//!
//! Must never wait for the writer's I/O, nor hand out bytes whose checksum does not match.

use std::cmp::Ordering;
use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;

use crate::catalogue::{Entry, lock};
use crate::error::{Result, StoreError};
use crate::files;
use crate::index::Row;
use crate::packs::hash;
use crate::seen::Seen;
use crate::shared::Shared;
use crate::types::{BlobRef, Damage, Locator, Record, RecordId, ReplayReport, SegmentInfo, Stats};
use crate::zip;

/// Reads a store. Cheap to clone; sees what is written at once, synced or not.
#[derive(Clone)]
pub struct Reader {
    pub(crate) shared: Arc<Shared>,
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The record at a place.
    pub fn record(&self, at: Locator) -> Result<Record, StoreError> {
        self.shared.segments.record(at)
    }

    /// The record of this name.
    pub fn record_by_id(&self, id: &RecordId) -> Result<Option<Record>, StoreError> {
        let Some(at) = self.shared.locate_record(id)? else { return Ok(None) };
        let record = self.record(at)?;
        // A damaged index may name the wrong place.
        if record.id == *id {
            Ok(Some(record))
        } else {
            Err(StoreError::Index("a record's row names another".into()))
        }
    }

    /// Whether there is a record of this name, in the index or appended since. After [`crate::Store::open`] this is
    /// complete once the caller has replayed what the index lacks.
    pub fn contains(&self, id: &RecordId) -> Result<bool, StoreError> {
        Ok(self.shared.locate_record(id)?.is_some())
    }

    /// The exact bytes of a body.
    pub fn blob(&self, blob: &BlobRef) -> Result<Vec<u8>, StoreError> {
        let Some(body) = self.shared.body(blob)? else {
            return Err(StoreError::damaged(format!("no pack holds the body {}", hex(&blob.id))));
        };
        if body.len() as u64 != blob.len || hash(&body) != blob.id {
            return Err(StoreError::damaged(format!("the body {} is not what was stored", hex(&blob.id))));
        }
        Ok(body)
    }

    /// What of a body was in none that was read with this `seen` before, as runs of bytes in order, not compared with the
    /// body's name. Neighbouring pieces come together; pieces are cut where an element of an array ends, and every 64 KiB.
    pub fn unseen(&self, blob: &BlobRef, seen: &mut Seen) -> Result<Vec<Vec<u8>>, StoreError> {
        let runs = self.shared.unseen(blob, seen)?;
        runs.ok_or_else(|| StoreError::damaged(format!("no pack holds the body {}", hex(&blob.id))))
    }

    /// The value of one of the caller's keys.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.shared.index().get(key)
    }

    /// The rows with `from <= key < to`, in order, from either end.
    #[must_use]
    pub fn scan(
        &self,
        from: &[u8],
        to: &[u8],
    ) -> impl DoubleEndedIterator<Item = Result<Row, StoreError>> + use<> {
        self.shared.index().scan(from, to)
    }

    /// Hands over all records from `from_seq` on, in order, read from the journal. What is damaged is skipped and named.
    pub fn replay(
        &self,
        from_seq: u64,
        f: &mut dyn FnMut(Record) -> Result<(), StoreError>,
    ) -> Result<ReplayReport, StoreError> {
        let known = *lock(&self.shared.applied_at);
        self.shared.segments.replay(from_seq, known, f)
    }

    /// The journal's segments, oldest first. The last one may still be written to.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentInfo> {
        let list = self.shared.segments.files.list();
        let packs = self.shared.packs.files.list();
        let until = |(pack, len): (u32, u64)| -> u64 {
            let counts = |&(number, entry): &(u32, Entry)| match number.cmp(&pack) {
                Ordering::Less => entry.len,
                Ordering::Equal => entry.len.min(len),
                Ordering::Greater => 0,
            };
            packs.iter().map(counts).sum()
        };
        let ends = list.iter().skip(1).map(|(_, next)| until(next.pack)).chain([until((u32::MAX, 0))]);
        let info = |(&(number, entry), end): (&(u32, Entry), u64)| SegmentInfo {
            number,
            bytes: entry.len,
            first_seq: entry.first_seq,
            first_ns: entry.first_ns,
            newest_ns: entry.newest_ns,
            pack_bytes: end.saturating_sub(until(entry.pack)),
        };
        list.iter().zip(ends).map(info).collect()
    }

    /// How many files the index has.
    pub fn index_files(&self) -> Result<u64, StoreError> {
        self.shared.index().dir().map_or(Ok(0), files::file_count)
    }

    /// The damaged ranges known so far.
    #[must_use]
    pub fn damage(&self) -> Vec<Damage> {
        let mut damage = self.shared.segments.files.damage();
        damage.extend(self.shared.packs.files.damage());
        damage
    }

    /// Whether the index knows a place for a body; an error if it cannot be asked.
    pub fn has_place(&self, blob: &BlobRef) -> Result<bool, StoreError> {
        self.shared.has_place(blob)
    }

    /// Which index is read: another number means that another one took over.
    #[must_use]
    pub fn index_number(&self) -> u64 {
        self.shared.indexes.load(Acquire)
    }

    /// Lets go of what is held ready for the next reads and writes: for a moment at which none are near.
    pub fn rest(&self) {
        self.shared.packs.forget();
        self.shared.segments.forget();
        zip::rest();
    }

    /// Sizes and health.
    pub fn stats(&self) -> Result<Stats, StoreError> {
        let (segments, journal_bytes) = self.shared.segments.files.totals();
        let (packs, pack_bytes) = self.shared.packs.files.totals();
        let damaged = self.shared.segments.files.damage().len() + self.shared.packs.files.damage().len();
        Ok(Stats {
            journal_bytes,
            pack_bytes,
            index_bytes: self.shared.index().bytes()?,
            segments,
            packs,
            damaged: damaged as u64,
            last_seq: self.shared.last_seq.load(Acquire),
            applied: self.shared.applied.load(Acquire),
        })
    }
}

fn hex(id: &[u8; 32]) -> String {
    use std::fmt::Write as _;
    id.iter().fold(String::with_capacity(64), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}
