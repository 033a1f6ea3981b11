//! Unpacking block after block of a pack, in order: for who looks at all of them. Each is unpacked once.
//!
//! Must never hold more than a few groups, nor hand out bytes whose checksum does not match.

use crate::block::{BlockHead, BlockMetaV1, HEADER};
use crate::error::{Result, StoreError};
use crate::files::DataFile;
use crate::frame::Place;
use crate::packs::Packs;
use crate::recipe::BlockAt;
use crate::zip;

/// How many groups of blocks are held: about as many as the writer keeps growing at a time.
const GROUPS: usize = 32;

struct Group {
    first: u32,
    last: u32,
    raw: Vec<u8>,
}

/// What became of a block's data.
pub(crate) enum Unpacked<'a> {
    /// Its bytes.
    Raw(&'a [u8]),
    /// They are not those that were written.
    Bad,
    /// The block that it continues is damaged.
    Orphan,
}

/// The groups of one pack that are growing, the last one used first.
#[derive(Default)]
pub(crate) struct Unpacker(Vec<Group>);

impl Unpacker {
    /// Checks and unpacks the data of the block at `at`.
    pub(crate) fn unpack(
        &mut self,
        packs: &Packs,
        at: BlockAt,
        head: &BlockHead,
        data: &[u8],
    ) -> Result<Unpacked<'_>> {
        let kept = self.0.iter().position(|g| g.first == head.first).map(|i| self.0.remove(i));
        if crc32fast::hash(data) != head.data_crc {
            return Ok(Unpacked::Bad);
        }
        let mut group = match kept.filter(|g| g.last == head.prev) {
            Some(group) => group,
            None if head.prev == 0 => Group { first: head.first, last: 0, raw: Vec::new() },
            None => match packs.group(BlockAt { pack: at.pack, offset: head.prev }) {
                Ok(group) => {
                    Group { first: head.first, last: head.prev, raw: group.raw_upto(head.prev).to_vec() }
                }
                Err(StoreError::Damaged { .. }) => return Ok(Unpacked::Orphan),
                Err(other) => return Err(other),
            },
        };
        let (begin, raw_len) = (group.raw.len(), head.raw as usize);
        let Some(skip) = begin.checked_sub(head.prefix as usize) else { return Ok(Unpacked::Bad) };
        if data.len() == raw_len {
            group.raw.extend_from_slice(data);
        } else {
            let raw = zip::decompress_after(&group.raw[skip..], data, raw_len);
            let Some(raw) = raw else { return Ok(Unpacked::Bad) };
            group.raw.extend_from_slice(&raw);
        }
        group.last = at.offset;
        self.0.insert(0, group);
        self.0.truncate(GROUPS);
        Ok(Unpacked::Raw(&self.0[0].raw[begin..]))
    }
}

/// A block whose header and meta data are good, and its data, which need not be.
pub(crate) struct Block {
    pub(crate) at: BlockAt,
    pub(crate) head: BlockHead,
    pub(crate) meta: BlockMetaV1,
    pub(crate) data: Vec<u8>,
}

/// Reads the block at an offset of a pack of which `end` bytes count. None if there is no good header.
pub(crate) fn block_at(file: &DataFile, pack: u32, at: u64, end: u64) -> Result<Option<Block>> {
    let Ok(offset) = u32::try_from(at) else { return Ok(None) };
    if at + HEADER as u64 > end {
        return Ok(None);
    }
    let Some(head) = BlockHead::parse(&file.read(at, HEADER)?).filter(|head| at + head.len() <= end) else {
        return Ok(None);
    };
    let bytes = file.read(at, usize::try_from(head.len()).unwrap_or(usize::MAX))?;
    let (front, data) = bytes.split_at(HEADER + head.meta as usize);
    let at = BlockAt { pack, offset };
    let block = |meta| Block { at, head, meta, data: data.to_vec() };
    Ok(head.open(Place { number: pack, offset }, front).map(block))
}
