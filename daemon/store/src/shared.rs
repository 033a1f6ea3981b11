//! What the store and its readers share: the files, the index, and what is written but not yet in the index.
//!
//! Must never hold a lock while doing I/O.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, RwLock};

use crate::catalogue::{read, write};
use crate::error::{Result, StoreError};
use crate::index::{self, Index};
use crate::marks::Marks;
use crate::packs::Packs;
use crate::recipe::{BlockAt, Hash, PieceAt};
use crate::segment::Segments;
use crate::types::{BlobRef, Locator, RecordId};

/// Rows that the next batch will put into the index.
#[derive(Default)]
pub(crate) struct Pending {
    pub(crate) records: HashMap<RecordId, Locator>,
    pub(crate) pieces: HashMap<Hash, PieceAt>,
    pub(crate) recipes: HashMap<Hash, BlockAt>,
    pub(crate) moved: HashMap<BlockAt, BlockAt>,
}

/// Shared by the store and its readers.
pub(crate) struct Shared {
    pub(crate) segments: Arc<Segments>,
    pub(crate) packs: Arc<Packs>,
    pub(crate) index: RwLock<Arc<dyn Index>>,
    /// How often another index took over.
    pub(crate) indexes: AtomicU64,
    pub(crate) pending: RwLock<Pending>,
    pub(crate) last_seq: Arc<AtomicU64>,
    pub(crate) applied: AtomicU64,
    /// A record that is accounted for, and where it is: replaying what follows begins there.
    pub(crate) applied_at: Mutex<Option<(u64, Locator)>>,
    /// Packs about to be let go of: still read, never referred to anew.
    pub(crate) leaving: RwLock<BTreeSet<u32>>,
}

impl Shared {
    pub(crate) fn index(&self) -> Arc<dyn Index> {
        Arc::clone(&read(&self.index))
    }

    pub(crate) fn set_index(&self, index: Arc<dyn Index>) -> Arc<dyn Index> {
        self.indexes.fetch_add(1, std::sync::atomic::Ordering::AcqRel);
        std::mem::replace(&mut *write(&self.index), index)
    }

    pub(crate) fn locate_record(&self, id: &RecordId) -> Result<Option<Locator>> {
        let pending = read(&self.pending).records.get(id).copied();
        pending.map_or_else(|| index::record(&*self.index(), id), |at| Ok(Some(at)))
    }

    pub(crate) fn locate_piece(&self, hash: &Hash) -> Result<Option<PieceAt>> {
        let pending = read(&self.pending).pieces.get(hash).copied();
        pending.map_or_else(|| index::piece(&*self.index(), hash), |at| Ok(Some(at)))
    }

    pub(crate) fn locate_recipe(&self, id: &Hash) -> Result<Option<BlockAt>> {
        let pending = read(&self.pending).recipes.get(id).copied();
        pending.map_or_else(|| index::recipe(&*self.index(), id), |at| Ok(Some(at)))
    }

    /// Where a block is now: where it was written, or where it went when its pack was let go of.
    pub(crate) fn home(&self, at: BlockAt) -> Result<BlockAt> {
        if self.packs.files.get(at.pack).is_some() {
            return Ok(at);
        }
        let pending = read(&self.pending).moved.get(&at).copied();
        let moved = pending.map_or_else(|| index::moved(&*self.index(), at), |to| Ok(Some(to)))?;
        moved.filter(|to| self.packs.files.get(to.pack).is_some()).ok_or_else(|| {
            StoreError::damaged(format!("{} is missing", self.packs.files.path(at.pack).display()))
        })
    }

    /// A piece that new recipes may refer to. One in a pack that is gone or going is not: it is stored again.
    pub(crate) fn known_piece(&self, hash: &Hash) -> Result<Option<PieceAt>> {
        Ok(self.locate_piece(hash)?.filter(|at| self.stays(at.block)))
    }

    /// A recipe that still leads to the whole body. What a dropped record's recipe refers to may be gone.
    pub(crate) fn known_recipe(&self, id: &Hash) -> Result<Option<BlockAt>> {
        let Some(at) = self.locate_recipe(id)? else { return Ok(None) };
        // Every block of the chain has to stay, the bases between too.
        let home = |block: BlockAt| match self.home(block) {
            Ok(home) if !self.stays(home) => Err(StoreError::damaged("its pack is leaving")),
            other => other,
        };
        let pieces = self.packs.resolve(at, &home);
        Ok(pieces.is_ok_and(|pieces| pieces.iter().all(|piece| home(piece.block).is_ok())).then_some(at))
    }

    fn stays(&self, at: BlockAt) -> bool {
        self.packs.files.get(at.pack).is_some() && !read(&self.leaving).contains(&at.pack)
    }

    /// The bytes of a body, not yet compared with its name. None if nothing knows a place for it.
    pub(crate) fn body(&self, blob: &BlobRef) -> Result<Option<Vec<u8>>> {
        self.body_in(&self.packs, blob)
    }

    /// As [`Shared::body`], read through a view of the packs of its own.
    pub(crate) fn body_in(&self, packs: &Packs, blob: &BlobRef) -> Result<Option<Vec<u8>>> {
        if blob.len == 0 {
            return Ok(Some(Vec::new()));
        }
        if let Some(recipe) = self.locate_recipe(&blob.id)? {
            return packs.body(blob, recipe, &|block| self.home(block)).map(Some);
        }
        let Some(at) = self.locate_piece(&blob.id)? else { return Ok(None) };
        packs.piece(PieceAt { block: self.home(at.block)?, ..at }).map(Some)
    }

    /// Whether a recipe is nowhere else than in one of these blocks, as far as is known. A moved block takes the place of
    /// what it was, not of what was written since.
    pub(crate) fn is_led_to(&self, id: &Hash, former: &[BlockAt]) -> bool {
        match self.locate_recipe(id) {
            Ok(Some(at)) => former.contains(&at) || self.packs.files.get(at.pack).is_none(),
            Ok(None) => true,
            Err(_) => false,
        }
    }

    /// Whether a place of the body is known.
    pub(crate) fn has_place(&self, blob: &BlobRef) -> Result<bool> {
        Ok(self.locate_recipe(&blob.id)?.is_some() || self.locate_piece(&blob.id)?.is_some())
    }

    /// Marks the blocks that a body needs, where they are now. Not knowing a place for it is an error of the index:
    /// whether that is because the body was lost, only the caller can tell.
    pub(crate) fn mark(&self, blob: &BlobRef, marks: &mut Marks) -> Result<()> {
        if blob.len == 0 {
            return Ok(());
        }
        if let Some(recipe) = self.locate_recipe(&blob.id)? {
            return self.packs.mark(recipe, &|block| self.home(block), marks);
        }
        let Some(at) = self.locate_piece(&blob.id)? else {
            return Err(StoreError::Index("it knows no place for a body".into()));
        };
        marks.block(self.home(at.block)?);
        Ok(())
    }
}
