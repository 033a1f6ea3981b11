//! Reading the packs: a block, a piece, a recipe, a body; and walking all blocks past any damage.
//!
//! Must never hand out bytes whose checksum does not match, nor look past a published length.

use std::sync::{Arc, Mutex};

use crate::block::{BLOCK_MAX, BlockHead, BlockMetaV1, GROUP_MAX, HEADER};
use crate::catalogue::{Catalogue, lock};
use crate::error::{Result, StoreError};
use crate::files::DataFile;
use crate::frame::{Place, u32_at};
use crate::marks::Marks;
use crate::recipe::{BlockAt, Hash, MAX_DEPTH, PieceAt, RecipeV1, RunV1};
use crate::types::BlobRef;
use crate::zip;

const MAGIC: &[u8; 8] = b"ccdpak\x01\n";
/// The pack header's length.
pub(crate) const PACK_HEADER: usize = 32;
/// Read in one go with a block's header: most meta data fits.
const HEAD_GUESS: usize = 512;
const WINDOW: usize = 1 << 20;
/// How many bytes of unpacked groups are kept.
const CACHED_BYTES: usize = 2 << 20;

/// A pack's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PackHead {
    pub(crate) number: u32,
    /// The pack before, and how much of it counts.
    pub(crate) prev_number: u32,
    pub(crate) prev_len: u64,
}

impl PackHead {
    pub(crate) fn to_bytes(self) -> [u8; PACK_HEADER] {
        let mut bytes = [0; PACK_HEADER];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&self.number.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.prev_number.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.prev_len.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..24]);
        bytes[24..28].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let good = bytes.len() >= PACK_HEADER
            && bytes.starts_with(MAGIC)
            && u32_at(bytes, 24) == crc32fast::hash(&bytes[..24]);
        let prev_len = u64::from(u32_at(bytes, 16)) | u64::from(u32_at(bytes, 20)) << 32;
        good.then(|| Self { number: u32_at(bytes, 8), prev_number: u32_at(bytes, 12), prev_len })
    }
}

/// The unpacked blocks of a group, up to some block.
#[derive(Clone)]
pub(crate) struct Group {
    pack: u32,
    first: u32,
    blocks: Vec<Span>,
    raw: Vec<u8>,
}

#[derive(Clone)]
struct Span {
    offset: u32,
    /// Where its pieces end in the group's bytes; the first element is where the first one begins.
    bounds: Vec<usize>,
}

impl Group {
    fn find(&self, at: BlockAt) -> Option<&Span> {
        if self.pack != at.pack || at.offset < self.first {
            return None;
        }
        let found = self.blocks.binary_search_by_key(&at.offset, |span| span.offset).ok()?;
        self.blocks.get(found)
    }

    fn last(&self) -> u32 {
        self.blocks.last().map_or(0, |span| span.offset)
    }

    /// All bytes of the group, up to and with the block it was loaded for.
    pub(crate) fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The bytes of the group up to and with one of its blocks.
    pub(crate) fn raw_upto(&self, offset: u32) -> &[u8] {
        let found = self.blocks.binary_search_by_key(&offset, |span| span.offset).ok();
        let end = found.and_then(|at| self.blocks.get(at)?.bounds.last().copied()).unwrap_or(0);
        self.raw.get(..end).unwrap_or_default()
    }

    /// A piece of one of its blocks.
    pub(crate) fn piece(&self, at: PieceAt) -> Option<&[u8]> {
        let bounds = &self.find(at.block)?.bounds;
        let entry = at.entry as usize;
        self.raw.get(*bounds.get(entry)?..*bounds.get(entry + 1)?)
    }

    /// All pieces of one of its blocks.
    pub(crate) fn pieces(&self, at: BlockAt) -> impl Iterator<Item = &[u8]> {
        let bounds = self.find(at).map_or(&[][..], |span| &span.bounds);
        bounds.windows(2).map(|pair| &self.raw[pair[0]..pair[1]])
    }
}

/// Tells where a block is now.
pub(crate) type Home<'a> = &'a dyn Fn(BlockAt) -> Result<BlockAt>;

/// A block's header and meta data.
pub(crate) type Head = (BlockHead, BlockMetaV1);

/// The packs as readers see them.
pub(crate) struct Packs {
    pub(crate) files: Catalogue,
    groups: Mutex<Vec<Arc<Group>>>,
}

impl Packs {
    pub(crate) fn new(files: Catalogue) -> Self {
        Self { files, groups: Mutex::default() }
    }

    /// The exact bytes of a body, given where its recipe is.
    pub(crate) fn body(&self, blob: &BlobRef, recipe: BlockAt, home: Home<'_>) -> Result<Vec<u8>> {
        let mut body = Vec::with_capacity(usize::try_from(blob.len).unwrap_or_default().min(1 << 20));
        let mut group = None;
        for at in self.resolve(recipe, home)? {
            let at = PieceAt { block: home(at.block)?, ..at };
            let group = self.group_from(&mut group, at.block)?;
            body.extend_from_slice(group.piece(at).ok_or_else(|| self.bad(at.block, "has no such piece"))?);
            if body.len() as u64 > blob.len {
                break;
            }
        }
        Ok(body)
    }

    /// The bytes of one piece.
    pub(crate) fn piece(&self, at: PieceAt) -> Result<Vec<u8>> {
        let group = self.group(at.block)?;
        group.piece(at).map(<[u8]>::to_vec).ok_or_else(|| self.bad(at.block, "has no such piece"))
    }

    pub(crate) fn group_from<'a>(&self, kept: &'a mut Option<Arc<Group>>, at: BlockAt) -> Result<&'a Group> {
        if kept.as_ref().is_none_or(|group| group.find(at).is_none()) {
            *kept = Some(self.group(at)?);
        }
        kept.as_deref().ok_or_else(|| self.bad(at, "could not be read"))
    }

    /// The places of a body's pieces, as its recipes name them: some may have moved since.
    pub(crate) fn resolve(&self, at: BlockAt, home: Home<'_>) -> Result<Vec<PieceAt>> {
        let mut chain: Vec<RecipeV1> = Vec::new();
        let mut next = Some(at);
        while let Some(at) = next {
            let at = home(at)?;
            let (_, meta) = self.head(at)?;
            let recipe = meta.recipe.ok_or_else(|| self.bad(at, "has no recipe"))?;
            let forwards = recipe.base.is_some_and(|b| (b.pack, b.offset) >= (at.pack, at.offset));
            if forwards || chain.len() > usize::from(MAX_DEPTH) {
                return Err(self.bad(at, "has a recipe without end"));
            }
            next = recipe.base;
            chain.push(recipe);
        }
        let mut pieces: Vec<PieceAt> = Vec::new();
        for recipe in chain.iter().rev() {
            let base = std::mem::take(&mut pieces);
            for run in &recipe.runs {
                let (RunV1::Base { count, .. } | RunV1::Block { count, .. }) = *run;
                // Every piece has at least one byte.
                if pieces.len() as u64 + u64::from(count) > recipe.len {
                    return Err(self.bad(at, "has a recipe with too many pieces"));
                }
                match *run {
                    RunV1::Base { from, count } => {
                        let run = base.get(from as usize..).and_then(|rest| rest.get(..count as usize));
                        pieces.extend_from_slice(
                            run.ok_or_else(|| self.bad(at, "has a recipe its base does not fit"))?,
                        );
                    }
                    RunV1::Block { at, count } => {
                        let entries = at.entry..at.entry.saturating_add(count);
                        pieces.extend(entries.map(|entry| PieceAt { entry, ..at }));
                    }
                }
            }
        }
        Ok(pieces)
    }

    /// Marks the blocks that a recipe needs: its own, those of its pieces, and all that its bases need. What can be
    /// marked is, whatever is missing; but only a chain that is whole counts as followed, or what other bodies share of
    /// it would be taken for done.
    pub(crate) fn mark(&self, at: BlockAt, home: Home<'_>, marks: &mut Marks) -> Result<()> {
        let mut followed = Vec::new();
        let mut missing = None;
        let mut next = Some(at);
        while let Some(at) = next {
            let at = home(at)?;
            marks.block(at);
            if marks.followed(at) {
                break;
            }
            let (_, meta) = self.head(at)?;
            let recipe = meta.recipe.ok_or_else(|| self.bad(at, "has no recipe"))?;
            for run in &recipe.runs {
                if let RunV1::Block { at, .. } = run {
                    match home(at.block) {
                        Ok(block) => marks.block(block),
                        Err(error) => missing = Some(error),
                    }
                }
            }
            if followed.len() > usize::from(MAX_DEPTH) + 1 {
                return Err(self.bad(at, "has a recipe without end"));
            }
            followed.push(at);
            next = recipe.base;
        }
        if let Some(error) = missing {
            return Err(error);
        }
        for at in followed {
            marks.recipe(at);
        }
        Ok(())
    }

    /// A block's header and meta data.
    pub(crate) fn head(&self, at: BlockAt) -> Result<Head> {
        let Some(entry) = self.files.get(at.pack) else {
            return Err(StoreError::damaged(format!("{} is missing", self.files.path(at.pack).display())));
        };
        let file = self.files.file(at.pack)?;
        head_at(&file, at, entry.len)?.ok_or_else(|| {
            self.files.report(at.pack, u64::from(at.offset), u64::from(at.offset) + HEADER as u64);
            self.bad(at, "is not a good block")
        })
    }

    /// The group of a block, unpacked at least up to that block.
    pub(crate) fn group(&self, at: BlockAt) -> Result<Arc<Group>> {
        let kept =
            |covers: &dyn Fn(&Group) -> bool| lock(&self.groups).iter().find(|g| covers(g)).map(Arc::clone);
        if let Some(group) = kept(&|g| g.find(at).is_some()) {
            return Ok(group);
        }
        let mut missing = vec![(at, self.head(at)?)];
        let (pack, first) = (at.pack, missing[0].1.0.first);
        let mut group = kept(&|g| g.pack == pack && g.first == first);
        while let Some((_, (head, _))) = missing.last() {
            if head.prev == 0 || group.as_ref().is_some_and(|g| g.last() == head.prev) {
                break;
            }
            let prev = BlockAt { pack, offset: head.prev };
            if group.as_ref().is_some_and(|g| g.last() > prev.offset) {
                group = None; // the kept one took another way: a stale one, of blocks that were given up
            }
            let prev_head = self.head(prev)?;
            if prev_head.0.first != first {
                return Err(self.bad(prev, "does not belong to the group that refers to it"));
            }
            missing.push((prev, prev_head));
        }
        let mut group = match missing.last() {
            Some((_, (head, _))) if head.prev != 0 => group.map(Arc::unwrap_or_clone),
            _ => None,
        }
        .unwrap_or_else(|| Group { pack, first, blocks: Vec::new(), raw: Vec::new() });
        for (at, (head, meta)) in missing.iter().rev() {
            self.unpack(&mut group, *at, head, meta)?;
        }
        let group = Arc::new(group);
        self.keep(&group);
        Ok(group)
    }

    /// Appends a block's bytes to its group.
    fn unpack(&self, group: &mut Group, at: BlockAt, head: &BlockHead, meta: &BlockMetaV1) -> Result<()> {
        let stored = self.data(at, head)?;
        let raw_len = head.raw as usize;
        let skip = group.raw.len().checked_sub(head.prefix as usize);
        let skip = skip.filter(|_| group.raw.len() + raw_len <= GROUP_MAX.max(BLOCK_MAX));
        let skip = skip.ok_or_else(|| self.bad(at, "does not fit its group"))?;
        let raw = if stored.len() == raw_len {
            stored
        } else {
            zip::decompress_after(&group.raw[skip..], &stored, raw_len)
                .ok_or_else(|| self.bad(at, "does not unpack"))?
        };
        let mut bounds = Vec::with_capacity(meta.pieces.len() + 1);
        let mut end = group.raw.len();
        bounds.push(end);
        bounds.extend(meta.pieces.iter().map(|&len| {
            end += len as usize;
            end
        }));
        group.raw.extend_from_slice(&raw);
        group.blocks.push(Span { offset: at.offset, bounds });
        Ok(())
    }

    /// A block's checked data, as stored.
    fn data(&self, at: BlockAt, head: &BlockHead) -> Result<Vec<u8>> {
        let from = u64::from(at.offset);
        let stored = self.files.file(at.pack)?.read(from + head.data_at(), head.stored as usize)?;
        if crc32fast::hash(&stored) == head.data_crc {
            return Ok(stored);
        }
        self.files.report(at.pack, from, from + head.len());
        Err(self.bad(at, "has a wrong checksum"))
    }

    fn keep(&self, group: &Arc<Group>) {
        let mut groups = lock(&self.groups);
        groups.retain(|g| (g.pack, g.first) != (group.pack, group.first));
        groups.insert(0, Arc::clone(group));
        let mut bytes = 0;
        groups.retain(|g| {
            bytes += g.raw.len();
            bytes <= CACHED_BYTES
        });
    }

    /// Drops what is cached: needed when blocks in doubt are given up.
    pub(crate) fn forget(&self) {
        lock(&self.groups).clear();
    }

    /// Whether a block's bytes are those that were written.
    pub(crate) fn is_good(&self, at: BlockAt, head: &BlockHead) -> Result<bool> {
        let stored =
            self.files.file(at.pack)?.read(u64::from(at.offset) + head.data_at(), head.stored as usize)?;
        Ok(crc32fast::hash(&stored) == head.data_crc)
    }

    /// Finds the first block at or after `from` whose header is good, in a file of which `end` bytes count.
    pub(crate) fn next_block(&self, pack: u32, from: u64, end: u64) -> Result<Option<(u64, Head)>> {
        let file = self.files.file(pack)?;
        let head = |offset: u64| match u32::try_from(offset) {
            Ok(offset) => head_at(&file, BlockAt { pack, offset }, end),
            Err(_) => Ok(None),
        };
        if let Some(found) = head(from)? {
            return Ok(Some((from, found)));
        }
        let mut at = from + 1;
        while at + (HEADER as u64) <= end {
            let len = usize::try_from(end - at).unwrap_or(usize::MAX).min(WINDOW);
            let window = file.read(at, len)?;
            for position in 0..=len - HEADER {
                if BlockHead::parse(&window[position..]).is_some() {
                    let offset = at + position as u64;
                    if let Some(found) = head(offset)? {
                        return Ok(Some((offset, found)));
                    }
                }
            }
            at += (len - HEADER + 1) as u64;
        }
        Ok(None)
    }

    fn bad(&self, at: BlockAt, what: &str) -> StoreError {
        StoreError::damaged(format!(
            "{}: the block at offset {} {what}",
            self.files.path(at.pack).display(),
            at.offset
        ))
    }
}

fn head_at(file: &DataFile, at: BlockAt, end: u64) -> Result<Option<Head>> {
    let from = u64::from(at.offset);
    let left = usize::try_from(end.saturating_sub(from)).unwrap_or(usize::MAX);
    let mut bytes = file.read(from, left.min(HEAD_GUESS))?;
    let Some(head) = BlockHead::parse(&bytes).filter(|head| head.len() <= left as u64) else {
        return Ok(None);
    };
    let need = HEADER + head.meta as usize;
    if need > bytes.len() {
        bytes = file.read(from, need)?;
    }
    let place = Place { number: at.pack, offset: at.offset };
    Ok(head.open(place, &bytes[..need]).map(|meta| (head, meta)))
}

/// The name of a piece or a body.
pub(crate) fn hash(bytes: &[u8]) -> Hash {
    *blake3::hash(bytes).as_bytes()
}
