//! The vocabulary that callers share with the store: records, locators, blobs, options and reports.
//!
//! Must never know what a record's body means.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Names a record, chosen by the caller: the same captured fact always gets the same id.
pub type RecordId = [u8; 16];

/// A record to be journalled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRecord {
    /// What the body is; the caller's own numbering.
    pub kind: u8,
    /// Which version of that kind.
    pub schema: u8,
    /// The record's name.
    pub id: RecordId,
    /// When it happened, in nanoseconds since 1970.
    pub at_ns: u64,
    /// The caller's bytes.
    pub body: Vec<u8>,
}

/// A journalled record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in the order of all records; the first is 1. Never used twice.
    pub seq: u64,
    /// Where the journal holds it.
    pub locator: Locator,
    /// What the body is.
    pub kind: u8,
    /// Which version of that kind.
    pub schema: u8,
    /// The record's name.
    pub id: RecordId,
    /// When it happened, in nanoseconds since 1970.
    pub at_ns: u64,
    /// The caller's bytes.
    pub body: Vec<u8>,
}

/// Where the journal holds a record: the segment, the frame's offset in it, the record's index in the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Locator {
    /// The segment's number.
    pub segment: u32,
    /// The frame's offset in the segment.
    pub offset: u32,
    /// The record's index in the frame.
    pub index: u16,
}

impl Locator {
    /// Ten bytes, big-endian, so that they sort like the locators.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 10] {
        let mut bytes = [0; 10];
        bytes[..4].copy_from_slice(&self.segment.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.offset.to_be_bytes());
        bytes[8..].copy_from_slice(&self.index.to_be_bytes());
        bytes
    }

    /// The opposite of [`Locator::to_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: [u8; 10]) -> Self {
        let [s0, s1, s2, s3, o0, o1, o2, o3, i0, i1] = bytes;
        Self {
            segment: u32::from_be_bytes([s0, s1, s2, s3]),
            offset: u32::from_be_bytes([o0, o1, o2, o3]),
            index: u16::from_be_bytes([i0, i1]),
        }
    }
}

/// Names a body kept in the packs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BlobRef {
    /// BLAKE3 of the whole body.
    pub id: [u8; 32],
    /// The body's length.
    pub len: u64,
}

/// How to open a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The version of the caller's views. If the index was written with another, it is dropped.
    pub view_version: u32,
    /// Segments and packs start a new file at this size.
    pub segment_bytes: u64,
    /// The page cache of the index's head. Not a bound: it takes a few times this.
    pub cache_bytes: u64,
    /// How many changes the index's head takes before its rows are written out as a sorted run.
    pub head_mutations: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { view_version: 1, segment_bytes: 64 << 20, cache_bytes: 1 << 20, head_mutations: 16_384 }
    }
}

/// What opening a store found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Bytes of half-written frames and blocks that were cut off the ends. Nothing in them was acknowledged.
    pub cut_bytes: u64,
    /// How many damaged ranges were found; `damage` names them. Opening looks at what was written since the last
    /// sync and at the edges of all files; [`crate::Reader::replay`] looks at every byte of the journal.
    pub damaged: u64,
    /// The damaged ranges.
    pub damage: Vec<Damage>,
    /// How the index came up.
    pub index: IndexState,
    /// The last record that the index accounts for. The caller replays from the next one.
    pub applied: u64,
    /// The last record ever journalled.
    pub last_seq: u64,
}

/// How the index came up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexState {
    /// As it was left.
    Opened,
    /// After a repair. What it cost, if anything, comes back with the replay.
    Repaired {
        /// What was wrong.
        reason: String,
    },
    /// Empty, to be filled by replaying the journal.
    Rebuilt {
        /// Why the old one could not be used.
        reason: String,
    },
    /// Empty, as is the journal.
    Empty,
}

/// A range of bytes that is not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Damage {
    /// Which kind of file.
    pub file: FileKind,
    /// The file's number.
    pub number: u32,
    /// The first damaged byte.
    pub from: u64,
    /// The byte after the last damaged one. Past the file's end if the file is too short, or gone.
    pub to: u64,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, bytes {}..{}", self.file_name(), self.from, self.to)
    }
}

/// How far a long operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What it is at, one word.
    pub phase: &'static str,
    /// How much is done, in `unit`s.
    pub done: u64,
    /// How much there is.
    pub total: u64,
    /// `bytes` or `records`.
    pub unit: &'static str,
}

/// The kinds of files that hold what cannot be derived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FileKind {
    /// A journal segment.
    Segment,
    /// A blob pack.
    Pack,
    /// What was let go of on purpose.
    Manifest,
}

/// One change of the index. Keys start with a byte of at least `0x20`: those below are the store's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// Sets a key's value. Keep values under 1 KiB.
    Put(Vec<u8>, Vec<u8>),
    /// Removes a key.
    Delete(Vec<u8>),
}

/// What a replay read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayReport {
    /// How many records were handed over.
    pub records: u64,
    /// The last of them, 0 if none.
    pub last_seq: u64,
    /// What had to be skipped.
    pub damaged: Vec<Damage>,
}

/// A journal segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its number.
    pub number: u32,
    /// How many bytes of it count.
    pub bytes: u64,
    /// Its records have this sequence number or a later one.
    pub first_seq: u64,
    /// When its first record happened, nanoseconds since 1970.
    pub first_ns: u64,
    /// When its newest record happened; 0 if that is not known.
    pub newest_ns: u64,
    /// How many bytes of the packs were written while it was.
    pub pack_bytes: u64,
}

/// The store's size and health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Bytes of the journal.
    pub journal_bytes: u64,
    /// Bytes of the packs.
    pub pack_bytes: u64,
    /// Bytes of the index.
    pub index_bytes: u64,
    /// Number of journal segments.
    pub segments: u64,
    /// Number of packs.
    pub packs: u64,
    /// Damaged ranges known so far.
    pub damaged: u64,
    /// The last record journalled.
    pub last_seq: u64,
    /// The last record that the index accounts for.
    pub applied: u64,
}
