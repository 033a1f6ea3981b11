//! The watermark: how far the journal and the packs were durable at the last sync, kept outside of them.
//!
//! It is what makes a deleted or truncated file noticed, and opening fast: only what lies behind it is looked at.
//! Two slots are written in turn, so that a torn write leaves the other.
//!
//! Must never be ahead of the files: it is written after their fsync, and is itself only a hint.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::error::Result;
use crate::files::DataFile;
use crate::vfs::{OpenMode, Vfs};

const SLOT: usize = 128;
const CRC_AT: usize = SLOT - 4;

/// The state at the last sync. Frozen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WatermarkV1 {
    /// Which write this is; [`WatermarkFile::write`] sets it.
    pub(crate) turn: u64,
    /// The oldest segment there should be.
    pub(crate) oldest: u32,
    /// The segment being written, and its durable length.
    pub(crate) segment: u32,
    pub(crate) segment_len: u64,
    pub(crate) last_seq: u64,
    /// The pack being written (0: none yet), and its durable length.
    pub(crate) pack: u32,
    pub(crate) pack_len: u64,
    /// When the newest record of the segment being written happened.
    pub(crate) newest_ns: u64,
    /// The caller's clock: see [`crate::Store::set_clock`].
    pub(crate) clock_ns: u64,
}

/// The watermark's file.
pub(crate) struct WatermarkFile {
    file: DataFile,
    turn: u64,
}

impl WatermarkFile {
    /// Opens or creates the file; gives the newest state in it, if any.
    pub(crate) fn open(vfs: &dyn Vfs, path: &Path) -> Result<(Self, Option<WatermarkV1>)> {
        let file = DataFile::open(vfs, path, OpenMode::Create)?;
        // One that cannot be read costs what it is for, not the store.
        let slots = file.read_most(0, 2 * SLOT).unwrap_or_else(|error| {
            tracing::warn!(%error, "opening without the watermark");
            Vec::new()
        });
        let newest = slots.chunks_exact(SLOT).filter_map(parse).max_by_key(|watermark| watermark.turn);
        Ok((Self { file, turn: newest.map_or(0, |w| w.turn) }, newest))
    }

    pub(crate) fn write(&mut self, state: WatermarkV1) -> Result<()> {
        let turn = self.turn + 1;
        let body = codec::encode(&WatermarkV1 { turn, ..state })?;
        let mut slot = [0; SLOT];
        slot[0] = u8::try_from(body.len()).unwrap_or(u8::MAX);
        slot[1..=body.len()].copy_from_slice(&body);
        let crc = crc32fast::hash(&slot[..CRC_AT]);
        slot[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        self.file.write(&slot, (turn % 2) * SLOT as u64)?;
        self.turn = turn;
        Ok(())
    }
}

fn parse(slot: &[u8]) -> Option<WatermarkV1> {
    let good = crc32fast::hash(&slot[..CRC_AT]).to_le_bytes() == slot[CRC_AT..];
    good.then(|| slot[1..CRC_AT].get(..usize::from(slot[0]))).flatten().and_then(codec::decode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::RealFs;

    #[test]
    fn the_newest_intact_slot_counts_and_any_value_fits() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("watermark");
        let (mut file, none) = WatermarkFile::open(&RealFs, &path).unwrap();
        assert_eq!(none, None);
        let most = WatermarkV1 {
            turn: 0,
            oldest: u32::MAX,
            segment: u32::MAX,
            segment_len: u64::MAX,
            last_seq: u64::MAX,
            pack: u32::MAX,
            pack_len: u64::MAX,
            newest_ns: u64::MAX,
            clock_ns: u64::MAX,
        };
        file.write(WatermarkV1 { last_seq: 7, ..most }).unwrap();
        file.write(WatermarkV1 { last_seq: 8, ..most }).unwrap();
        assert_eq!(WatermarkFile::open(&RealFs, &path).unwrap().1.unwrap().last_seq, 8);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[3] ^= 1; // turn 2 is in the first slot
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(WatermarkFile::open(&RealFs, &path).unwrap().1.unwrap().last_seq, 7);
    }
}
