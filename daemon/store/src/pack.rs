//! Writing the packs: append-only files of blocks.
//!
//! Invariants: a block refers only to blocks before it, in packs that are durable or in its own; so whatever is cut off
//! an end, what remains is complete.
//!
//! Must never treat a pack as clean after a failed fsync, nor write to it again.

use std::sync::Arc;

use crate::block::{self, BlockMetaV1, GROUP_MAX, Link};
use crate::catalogue::{Catalogue, Entry};
use crate::error::{Result, StoreError};
use crate::files::DataFile;
use crate::frame::Place;
use crate::manifest::ManifestV1;
use crate::packs::{PACK_HEADER, PackHead, Packs};
use crate::recipe::BlockAt;
use crate::tail::Tail;
use crate::vfs::OpenMode;
use crate::watermark::WatermarkV1;
use crate::zip;

/// A block is compressed as the continuation of at most this many times its own length, so that small ones stay cheap.
const PREFIX_RATIO: usize = 64;
const PREFIX_LEAST: usize = 32 << 10;
/// A block from this length on repeats itself more than what came long before: so much of that is enough.
const LARGE: usize = 32 << 10;
const PREFIX_OF_LARGE: usize = 128 << 10;

/// How much of the group before it a block of `raw` bytes is compressed after, at most.
fn reach(raw: usize) -> usize {
    if raw < LARGE { (raw * PREFIX_RATIO).max(PREFIX_LEAST) } else { PREFIX_OF_LARGE }
}

/// The end of a group that can still grow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupTail {
    pack: u32,
    first: u32,
    last: u32,
    len: usize,
}

struct Active {
    number: u32,
    file: Arc<DataFile>,
    len: u64,
    synced: u64,
}

/// The packs' writer.
pub(crate) struct PackWriter {
    packs: Arc<Packs>,
    pack_bytes: u64,
    active: Option<Active>,
    /// The last pack that is not written any more, and its length.
    sealed: (u32, u64),
    gave_up: bool,
}

impl PackWriter {
    /// Lists the packs, looks at what was written since the last sync, and cuts a half-written block off the end.
    pub(crate) fn open(
        packs: &Arc<Packs>,
        mark: Option<&WatermarkV1>,
        manifest: &ManifestV1,
        pack_bytes: u64,
    ) -> Result<(Self, u64)> {
        let mark = mark.copied().unwrap_or_default();
        let files = &packs.files;
        let heads = list(files, &mark, manifest)?;
        let mut writer = Self {
            packs: Arc::clone(packs),
            pack_bytes,
            active: None,
            sealed: (mark.pack, mark.pack_len),
            gave_up: false,
        };
        for (number, head) in heads.into_iter().rev().take_while(|(number, _)| *number >= mark.pack) {
            if let Some(cut) = writer.resume(number, head, &mark)? {
                return Ok((writer, cut));
            }
        }
        Ok((writer, 0))
    }

    /// Takes up the last pack where it ends. None if the power went before it was begun: then it is no more.
    fn resume(&mut self, number: u32, head: Option<PackHead>, mark: &WatermarkV1) -> Result<Option<u64>> {
        let files = &self.packs.files;
        let file = Arc::new(files.open(number, OpenMode::Write)?);
        let file_len = file.len()?;
        let known = if number == mark.pack { mark.pack_len } else { 0 };
        if head.is_none() && known == 0 && file_len <= PACK_HEADER as u64 {
            files.withdraw(number)?;
            return Ok(None);
        }
        if file_len < known {
            files.report(number, file_len, known);
        }
        let start = if known <= file_len { known.max(PACK_HEADER as u64) } else { PACK_HEADER as u64 };
        let mut tail = Tail::new(start, known);
        let mut at = start;
        while let Some((found, (head, _))) = self.packs.next_block(number, at, file_len)? {
            let next = found + head.len();
            if found > at {
                tail.gap(at, found);
            }
            let offset = u32::try_from(found).unwrap_or(u32::MAX);
            if self.packs.is_good(BlockAt { pack: number, offset }, &head)? {
                tail.good(next, head.durable);
            } else {
                tail.gap(found, next);
            }
            at = next;
        }
        let (len, damage) = tail.judge();
        for (from, to) in damage {
            files.report(number, from, to);
        }
        let len = len.max(known).min(file_len);
        if len < file_len {
            tracing::info!(pack = number, bytes = file_len - len, "cut a half-written block off the pack");
            file.cut(len)?;
        }
        // What is found here is taken for durable: make it so.
        if len > known || len < file_len {
            file.rewrite(known..len)?;
            file.sync()?;
            files.sync_dir()?;
        }
        files.publish(number, Entry { len, ..Entry::default() });
        files.keep(number, Arc::clone(&file));
        self.sealed = (number, len.max(known));
        if head.is_some() && len >= known {
            self.active = Some(Active { number, file, len, synced: len });
        }
        Ok(Some(file_len - len))
    }

    /// Where the next block goes. It stays there until a block is written.
    pub(crate) fn next_place(&mut self) -> Result<BlockAt> {
        if self.active.as_ref().is_some_and(|a| a.len >= self.pack_bytes) {
            // Later packs may refer to this one: it must be durable first.
            self.sync()?;
            if let Some(active) = self.active.take() {
                self.sealed = (active.number, active.len);
            }
        }
        let active = match &mut self.active {
            Some(active) => active,
            None => self.active.insert(start_pack(&self.packs, self.sealed)?),
        };
        let offset =
            u32::try_from(active.len).map_err(|_| StoreError::Misuse("segment_bytes is over 4 GiB"))?;
        Ok(BlockAt { pack: active.number, offset })
    }

    /// Writes a block at `at`, which [`PackWriter::next_place`] gave, and returns the group's new end.
    pub(crate) fn write(
        &mut self,
        at: BlockAt,
        meta: &BlockMetaV1,
        raw: &[u8],
        group: Option<GroupTail>,
    ) -> Result<Option<GroupTail>> {
        let group =
            group.filter(|tail| tail.pack == at.pack && tail.len + raw.len() <= GROUP_MAX && !raw.is_empty());
        let before = group.and_then(|tail| {
            let last = BlockAt { pack: tail.pack, offset: tail.last };
            // A group that cannot be read any more is not continued.
            Some((tail, self.packs.group(last).ok().filter(|group| group.raw().len() == tail.len)?))
        });
        let (link, prefix) = match &before {
            Some((tail, group)) => {
                let prefix = tail.len.min(reach(raw.len()));
                let link = Link {
                    prev: tail.last,
                    first: tail.first,
                    prefix: u32::try_from(prefix).unwrap_or_default(),
                };
                (link, &group.raw()[tail.len - prefix..])
            }
            None => (Link { prev: 0, first: at.offset, prefix: 0 }, &[][..]),
        };
        let compressed = zip::compress_after(prefix, raw);
        let data = compressed.as_deref().unwrap_or(raw);
        let place = Place { number: at.pack, offset: at.offset };
        let durable = self.active.as_ref().map_or(0, |active| active.synced);
        let durable = u32::try_from(durable).unwrap_or_default();
        let bytes = block::seal(place, durable, link, meta, raw.len(), data)?;
        self.append(&bytes)?;
        let len = before.map_or(0, |(tail, _)| tail.len) + raw.len();
        Ok((!raw.is_empty()).then_some(GroupTail { pack: at.pack, first: link.first, last: at.offset, len }))
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let active = self.active.as_mut().ok_or(StoreError::Misuse("no pack"))?;
        if let Err(error) = active.file.write(bytes, active.len) {
            // What is left of it cannot pass for a block, and the next one goes over it.
            drop(active.file.cut(active.len));
            return Err(error);
        }
        active.len += bytes.len() as u64;
        self.packs.files.publish_len(active.number, active.len);
        Ok(())
    }

    pub(crate) fn is_dirty(&self) -> bool {
        self.active.as_ref().is_some_and(|active| active.len > active.synced)
    }

    /// Makes everything written durable. After an error, what was written since the last success is given up.
    pub(crate) fn sync(&mut self) -> Result<()> {
        let Some(active) = self.active.as_mut().filter(|active| active.len > active.synced) else {
            return Ok(());
        };
        if let Err(error) = active.file.sync() {
            tracing::error!(pack = active.number, %error, "sealed a pack whose end could not be made durable");
            let (number, synced) = (active.number, active.synced);
            drop(active.file.cut(synced));
            self.packs.files.publish_len(number, synced);
            self.packs.forget();
            self.sealed = (number, synced);
            self.active = None;
            self.gave_up = true;
            return Err(error);
        }
        active.synced = active.len;
        Ok(())
    }

    /// Whether blocks were given up after a failed sync, since this was last asked.
    pub(crate) fn take_gave_up(&mut self) -> bool {
        std::mem::take(&mut self.gave_up)
    }

    /// The durable end: pack (0: none) and length.
    pub(crate) fn position(&self) -> (u32, u64) {
        self.active.as_ref().map_or(self.sealed, |active| (active.number, active.synced))
    }

    /// The end of all that is written.
    pub(crate) fn end(&self) -> (u32, u64) {
        self.active.as_ref().map_or(self.sealed, |active| (active.number, active.len))
    }
}

fn start_pack(packs: &Packs, (prev_number, prev_len): (u32, u64)) -> Result<Active> {
    let number = prev_number + 1;
    let files = &packs.files;
    let file = Arc::new(files.open(number, OpenMode::Create)?);
    // A left-over of a failed attempt is ours to overwrite: nothing in it was ever published.
    file.cut(0)?;
    file.write(&PackHead { number, prev_number, prev_len }.to_bytes(), 0)?;
    // It says how much of the pack before counts: it must not be lost once something depends on that.
    file.sync()?;
    files.sync_dir()?;
    let len = PACK_HEADER as u64;
    files.publish(number, Entry { len, ..Entry::default() });
    files.keep(number, Arc::clone(&file));
    Ok(Active { number, file, len, synced: len })
}

/// Fills the catalogue from the directory, and reports what is missing.
fn list(
    files: &Catalogue,
    mark: &WatermarkV1,
    manifest: &ManifestV1,
) -> Result<Vec<(u32, Option<PackHead>)>> {
    let mut heads: Vec<(u32, Option<PackHead>)> = Vec::new();
    let mut expected = 1;
    for (number, _) in files.on_disk()? {
        let file = files.open(number, OpenMode::Read)?;
        let len = file.len()?;
        let head = PackHead::parse(&file.read_most(0, PACK_HEADER)?).filter(|head| head.number == number);
        let (prev_number, prev_len) = head.map_or((0, 0), |head| (head.prev_number, head.prev_len));
        if head.is_none() && len > PACK_HEADER as u64 {
            files.report(number, 0, PACK_HEADER as u64);
        }
        match files.get(prev_number) {
            Some(prev) if prev.len < prev_len => {
                files.report(prev_number, prev.len, prev_len);
            }
            Some(prev) => files.publish(prev_number, Entry { len: prev_len, ..prev }),
            None => {}
        }
        for missing in (expected..number).filter(|missing| !manifest.dropped(*missing)) {
            files.report(missing, 0, if missing == prev_number { prev_len } else { 0 });
        }
        expected = number + 1;
        files.publish(number, Entry { len, ..Entry::default() });
        heads.push((number, head));
    }
    if mark.pack >= expected && !manifest.dropped(mark.pack) {
        files.report(mark.pack, 0, mark.pack_len);
    }
    Ok(heads)
}
