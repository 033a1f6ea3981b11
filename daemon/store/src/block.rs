//! The pack's block: pieces that became known together, compressed together, and the recipe that they were cut for.
//!
//! ```text
//! pack  = magic 8 | number u32 | prev_number u32 | prev_len u64 | crc32 u32 | 0 u32 | block*     (little-endian)
//! block = magic u32 | head_crc u32 | data_crc u32 | stored u32 | raw u32 | meta u32
//!       | prev u32 | first u32 | prefix u32 | durable u32 | BlockMetaV1 in bincode, meta bytes | data, stored bytes
//! ```
//!
//! Small blocks compress badly alone, so the blocks of a family form a *group*: each is compressed as the continuation
//! of the last `prefix` bytes of the group before it. `prev` is the offset of the group's previous block (0: none) and
//! `first` that of its first. A group holds at most [`GROUP_MAX`] bytes, which bounds what it takes to read any piece.
//! `data` is stored as it is if `stored == raw`.
//!
//! `durable` is as in a journal frame, and a pack's header names the end of the one before as a segment's does.
//!
//! `head_crc` covers the rest of the header, the meta data and the block's place; `data_crc` covers the data.
//!
//! Must never panic, nor allocate beyond the limits here, on any bytes.

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::error::Result;
use crate::frame::{Place, place_crc, u32_at};
use crate::recipe::{BlockAt, RecipeV1};

const MAGIC: [u8; 4] = [0xCC, 0xD1, 0xB1, 0x0C];
/// The block header's length.
pub(crate) const HEADER: usize = 40;
/// A block's pieces take at most this much.
pub(crate) const BLOCK_MAX: usize = 128 << 10;
/// A group's blocks take at most this much.
pub(crate) const GROUP_MAX: usize = 512 << 10;
const META_MAX: usize = 8 << 20;

/// What a block holds. Frozen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BlockMetaV1 {
    /// The lengths of the pieces. Their hashes are not stored: they follow from the bytes.
    pub(crate) pieces: Vec<u32>,
    /// How to put a body together, if it is more than one piece.
    pub(crate) recipe: Option<RecipeV1>,
    /// Blocks that this one stands for, since their packs were let go: the same pieces, the same recipe.
    pub(crate) former: Vec<BlockAt>,
}

/// A block's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockHead {
    head_crc: u32,
    pub(crate) data_crc: u32,
    pub(crate) stored: u32,
    pub(crate) raw: u32,
    pub(crate) meta: u32,
    pub(crate) prev: u32,
    pub(crate) first: u32,
    pub(crate) prefix: u32,
    /// Everything in the pack before this offset was durable when the block was written.
    pub(crate) durable: u32,
}

/// A block's place in its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) prev: u32,
    pub(crate) first: u32,
    pub(crate) prefix: u32,
}

impl BlockHead {
    /// None if these cannot be the first bytes of a block.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < HEADER || bytes[..4] != MAGIC {
            return None;
        }
        let [head_crc, data_crc, stored, raw, meta, prev, first, prefix, durable] =
            [4, 8, 12, 16, 20, 24, 28, 32, 36].map(|at| u32_at(bytes, at));
        let sane = stored <= raw
            && raw as usize <= BLOCK_MAX
            && meta as usize <= META_MAX
            && prefix as usize <= GROUP_MAX;
        sane.then_some(Self { head_crc, data_crc, stored, raw, meta, prev, first, prefix, durable })
    }

    /// The whole block's length.
    pub(crate) fn len(&self) -> u64 {
        HEADER as u64 + u64::from(self.meta) + u64::from(self.stored)
    }

    /// Where its data begins, from the block's beginning.
    pub(crate) fn data_at(&self) -> u64 {
        HEADER as u64 + u64::from(self.meta)
    }

    /// Checks and decodes the meta data; `head` is the header's and the meta data's bytes.
    pub(crate) fn open(&self, place: Place, head: &[u8]) -> Option<BlockMetaV1> {
        let good = head.len() as u64 == self.data_at() && head_crc(place, &head[8..]) == self.head_crc;
        let meta: BlockMetaV1 = good.then(|| codec::decode(&head[HEADER..])).flatten()?;
        let pieces: u64 = meta.pieces.iter().map(|&len| u64::from(len)).sum();
        let linked = if self.prev == 0 {
            self.first == place.offset && self.prefix == 0
        } else {
            self.first <= self.prev && self.prev < place.offset
        };
        (pieces == u64::from(self.raw) && linked).then_some(meta)
    }
}

fn head_crc(place: Place, rest: &[u8]) -> u32 {
    let mut crc = place_crc(place);
    crc.update(rest);
    crc.finalize()
}

/// Lays out a block. Everything in the pack before `durable` was known to be durable by then.
pub(crate) fn seal(
    place: Place,
    durable: u32,
    link: Link,
    meta: &BlockMetaV1,
    raw: usize,
    data: &[u8],
) -> Result<Vec<u8>> {
    let meta = codec::encode(meta)?;
    let mut out = Vec::with_capacity(HEADER + meta.len() + data.len());
    let word = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[0; 4]);
    for field in [
        crc32fast::hash(data),
        word(data.len()),
        word(raw),
        word(meta.len()),
        link.prev,
        link.first,
        link.prefix,
        durable,
    ] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out.extend_from_slice(&meta);
    let crc = head_crc(place, &out[8..]);
    out[4..8].copy_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(data);
    Ok(out)
}
