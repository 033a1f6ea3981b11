//! Letting go of the past: whole segments at once, then the packs that nothing refers to any more.
//!
//! The caller, on a thread of its own, builds a generation of the index that begins with a later segment
//! ([`Store::begin_generation`]); [`Store::adopt`] puts it in place and drops the segments before. Then it marks what
//! the remaining records refer to ([`PackUse`]), tells the writer which packs are to go ([`Store::leave`]: from then on
//! nothing new refers to them), marks what was journalled meanwhile, lets the blocks still needed be moved, a few at a
//! time ([`Store::move_blocks`]), and drops the packs ([`Store::drop_pack`]).
//!
//! Invariants: the manifest is replaced before a file is removed, and after what replaces it is durable. A pack with a
//! needed block that cannot be read stays.
//!
//! Must never remove a file that is being written, nor one whose content is still referred to.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, RwLock};

use crate::blobs::Unsynced;
use crate::block::BlockMetaV1;
use crate::builder::Builder;
use crate::catalogue::{lock, write};
use crate::error::{Result, StoreError};
use crate::indexer::Indexer;
use crate::manifest::ManifestV1;
use crate::marks::Marks;
use crate::pack::GroupTail;
use crate::packs::{PACK_HEADER, hash};
use crate::reader::Reader;
use crate::recipe::{BlockAt, PieceAt};
use crate::shared::{Pending, Shared};
use crate::store::{Store, close};
use crate::types::BlobRef;

/// What was let go of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// How many segments.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// How much of a pack is still needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackShare {
    /// The pack's number.
    pub number: u32,
    /// Its bytes.
    pub bytes: u64,
    /// The bytes of its blocks that are needed.
    pub needed: u64,
}

/// What is needed of the packs.
#[derive(Default)]
pub struct PackUse {
    marks: Marks,
}

/// Blocks of a pack that are to be moved.
#[derive(Debug, Default)]
pub struct Moves {
    blocks: Vec<BlockAt>,
    group: Option<GroupTail>,
}

impl PackUse {
    /// Marks what a body needs.
    pub fn mark(&mut self, reader: &Reader, blob: &BlobRef) -> Result<(), StoreError> {
        reader.shared.mark(blob, &mut self.marks)
    }

    /// Each pack that is not written to any more, and how much of it is needed.
    pub fn shares(&self, reader: &Reader) -> Result<Vec<PackShare>, StoreError> {
        let mut packs = reader.shared.packs.files.list();
        packs.pop();
        let share = |(number, entry): (u32, crate::catalogue::Entry)| {
            let mut needed = 0;
            each_block(reader, number, |at, len| needed += if self.marks.has(at) { len } else { 0 })?;
            Ok(PackShare { number, bytes: entry.len, needed })
        };
        packs.into_iter().map(share).collect()
    }

    /// The blocks of a pack that are needed.
    pub fn needed(&self, reader: &Reader, pack: u32) -> Result<Moves, StoreError> {
        let mut blocks = Vec::new();
        each_block(reader, pack, |at, _| {
            if self.marks.has(at) {
                blocks.push(at);
            }
        })?;
        blocks.reverse();
        Ok(Moves { blocks, group: None })
    }
}

impl Moves {
    /// Whether all are moved.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }
}

fn each_block(reader: &Reader, pack: u32, mut f: impl FnMut(BlockAt, u64)) -> Result<()> {
    let packs = &reader.shared.packs;
    let Some(entry) = packs.files.get(pack) else { return Ok(()) };
    let mut at = PACK_HEADER as u64;
    while let Some((found, (head, _))) = packs.next_block(pack, at, entry.len)? {
        at = found + head.len();
        if let Ok(offset) = u32::try_from(found) {
            f(BlockAt { pack, offset }, head.len());
        }
    }
    Ok(())
}

impl Store {
    /// Begins a generation of the index beside the one in use. With `from_segment`, it leaves out everything before
    /// that segment, which [`Store::adopt`] then drops. Its views have `view_version`.
    pub fn begin_generation(
        &mut self,
        view_version: u32,
        from_segment: Option<u32>,
    ) -> Result<Builder, StoreError> {
        let oldest = match from_segment {
            Some(number) if number > self.manifest.state.oldest_segment => number,
            _ => self.manifest.state.oldest_segment,
        };
        let applied = match from_segment {
            Some(_) => self.first_seq(oldest)?.saturating_sub(1),
            None => self.manifest.state.oldest_seq.saturating_sub(1),
        };
        let (number, index) = self.engine.begin(&self.options)?;
        let shared = Shared {
            segments: Arc::clone(&self.shared.segments),
            packs: Arc::clone(&self.shared.packs),
            index: RwLock::new(index),
            indexes: AtomicU64::new(0),
            pending: RwLock::new(Pending::default()),
            last_seq: Arc::clone(&self.shared.last_seq),
            applied: AtomicU64::new(applied),
            applied_at: Mutex::new(None),
            leaving: RwLock::default(),
        };
        let indexer = Indexer::new(Arc::new(shared), view_version, oldest);
        Ok(Builder { indexer, number, given_up: self.given_up, pack: (0, 0) })
    }

    /// The first sequence number from a segment on.
    fn first_seq(&self, segment: u32) -> Result<u64> {
        let list = self.shared.segments.files.list();
        let entry = list.iter().find(|(number, entry)| *number >= segment && entry.first_seq > 0);
        entry.map(|(_, entry)| entry.first_seq).ok_or(StoreError::Misuse("no such segment"))
    }

    /// Puts a generation in place that has everything up to the last record. If it leaves segments out, these are
    /// dropped, and `carry` is kept in their stead: it is handed out by [`Store::carry`] from now on. One that cannot be
    /// put in place is thrown away.
    pub fn adopt(&mut self, mut builder: Builder, carry: Option<&[u8]>) -> Result<Dropped, StoreError> {
        if let Err(error) = self.make_ready(&mut builder, carry) {
            if let Err(error) = self.discard(builder) {
                tracing::warn!(%error, "a generation that was not adopted could not be removed");
            }
            return Err(error);
        }
        let (number, oldest) = (builder.number, builder.indexer.oldest);
        let new = &builder.indexer.shared;
        let old = self.shared.set_index(new.index());
        *write(&self.shared.pending) = Pending::default();
        *lock(&self.shared.applied_at) = *lock(&new.applied_at);
        let applied = builder.indexer.applied();
        self.shared.applied.store(applied, std::sync::atomic::Ordering::Release);
        self.options.view_version = builder.indexer.view_version;
        self.indexer = Indexer::new(Arc::clone(&self.shared), builder.indexer.view_version, oldest);
        drop(builder);
        // It is in place: what is left is tidying, and whatever of that fails, the next start does.
        let tidied =
            self.engine.finish(number).and_then(|()| close(old)).and_then(|()| self.engine.keep(number));
        if let Err(error) = tidied {
            tracing::warn!(%error, "an old generation of the index is not removed yet");
        }
        self.write_watermark();
        Ok(self.drop_segments(oldest))
    }

    /// Everything that can fail before a generation is put in place.
    fn make_ready(&mut self, builder: &mut Builder, carry: Option<&[u8]>) -> Result<()> {
        if !Arc::ptr_eq(&builder.indexer.shared.segments, &self.shared.segments) {
            return Err(StoreError::Misuse("adopted another store's index"));
        }
        self.sync()?;
        builder.index_packs(&mut |_| ())?;
        if builder.indexer.applied() < self.last_seq() {
            return Err(StoreError::Misuse("adopted an index that is behind"));
        }
        if builder.given_up != self.given_up {
            return Err(StoreError::Index("records were given up while it was built".into()));
        }
        builder.flush()?;
        let oldest = builder.indexer.oldest;
        if oldest > self.manifest.state.oldest_segment {
            let state = ManifestV1 {
                oldest_segment: oldest,
                oldest_seq: self.first_seq(oldest)?,
                ..self.manifest.state.clone()
            };
            self.manifest.replace(state, Some(carry.unwrap_or_default()))?;
        }
        Ok(())
    }

    /// Throws a generation away that is not needed after all.
    pub fn discard(&self, builder: Builder) -> Result<(), StoreError> {
        if !Arc::ptr_eq(&builder.indexer.shared.segments, &self.shared.segments) {
            return Ok(());
        }
        let (number, index) = (builder.number, builder.indexer.shared.index());
        drop(builder);
        close(index)?;
        self.engine.discard(number)
    }

    /// Files that stay for now are removed at the next opening.
    fn drop_segments(&self, oldest: u32) -> Dropped {
        let mut dropped = Dropped::default();
        let segments = &self.shared.segments;
        for (number, entry) in segments.files.list().into_iter().filter(|(number, _)| *number < oldest) {
            if let Err(error) = segments.files.withdraw(number) {
                tracing::warn!(%error, "a segment that was let go of is not removed yet");
            }
            dropped.segments += 1;
            dropped.bytes += entry.len;
        }
        segments.forget();
        dropped
    }

    /// What was kept when records were dropped: the `carry` of the last [`Store::adopt`] that did. A generation that
    /// is begun starts from it.
    pub fn carry(&self) -> Result<Vec<u8>, StoreError> {
        self.manifest.carry()
    }

    /// A time kept with the watermark, 0 if none was: for a caller that must not trust the system's clock alone.
    #[must_use]
    pub fn clock(&self) -> u64 {
        self.clock_ns
    }

    /// Sets it. Written with the next sync, not at once.
    pub fn set_clock(&mut self, ns: u64) {
        self.clock_ns = ns;
    }

    /// From now on nothing new refers to these packs. Not the one that is being written: it is left out.
    pub fn leave(&mut self, packs: &[u32]) {
        let active = self.packs.end().0;
        write(&self.shared.leaving).extend(packs.iter().filter(|pack| **pack < active));
        self.families.forget();
    }

    /// Takes [`Store::leave`] back.
    pub fn stay(&mut self, pack: u32) {
        write(&self.shared.leaving).remove(&pack);
    }

    /// Moves some blocks, about `max_bytes` of them, to the end of the packs; durable when it returns. Returns the bytes
    /// written.
    pub fn move_blocks(&mut self, moves: &mut Moves, max_bytes: u64) -> Result<u64, StoreError> {
        let done = self.try_move(moves, max_bytes);
        if self.packs.take_gave_up() {
            self.give_up();
        }
        done
    }

    fn try_move(&mut self, moves: &mut Moves, max_bytes: u64) -> Result<u64> {
        // A failing sync gives up what was put since the last one: there must be nothing but ours.
        self.sync()?;
        let mut written = 0;
        let mut pending = Pending::default();
        while let Some(from) = moves.blocks.last().copied().filter(|_| written < max_bytes) {
            let packs = Arc::clone(&self.shared.packs);
            let (head, meta) = packs.head(from)?;
            let group = packs.group(from)?;
            let raw: Vec<u8> = group.pieces(from).flatten().copied().collect();
            let at = self.packs.next_place()?;
            let mut former = meta.former.clone();
            former.push(from);
            let new_meta = BlockMetaV1 { former: former.clone(), ..meta };
            let tail = self.packs.write(at, &new_meta, &raw, moves.group)?;
            moves.group = tail.or(moves.group);
            for (bytes, entry) in group.pieces(from).zip(0..) {
                pending.pieces.insert(hash(bytes), PieceAt { block: at, entry });
            }
            // A body that was stored again since has a better recipe than one that may have been kept for its pieces.
            let recipe = new_meta.recipe.filter(|recipe| self.shared.is_led_to(&recipe.id, &former));
            pending.recipes.extend(recipe.map(|recipe| (recipe.id, at)));
            pending.moved.extend(former.into_iter().map(|former| (former, at)));
            written += head.len();
            moves.blocks.pop();
        }
        self.unsynced = Unsynced::default();
        self.sync()?;
        let mut all = write(&self.shared.pending);
        all.pieces.extend(pending.pieces);
        all.recipes.extend(pending.recipes);
        all.moved.extend(pending.moved);
        drop(all);
        self.apply(self.applied(), Vec::new())?;
        Ok(written)
    }

    /// Drops a pack of which nothing is needed any more. Returns its bytes.
    pub fn drop_pack(&mut self, pack: u32) -> Result<u64, StoreError> {
        let packs = Arc::clone(&self.shared.packs);
        let Some(entry) = packs.files.get(pack).filter(|_| pack < self.packs.end().0) else {
            return Err(StoreError::Misuse("dropped a pack that is not there, or is written to"));
        };
        let mut state = self.manifest.state.clone();
        state.drop_pack(pack);
        self.manifest.replace(state, None)?;
        packs.files.withdraw(pack)?;
        packs.forget();
        self.stay(pack);
        Ok(entry.len)
    }
}
