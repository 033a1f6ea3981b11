//! What the store and its readers share: the files, the index, and what is written but not yet in the index.
//!
//! Must never hold a lock while doing I/O.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, RwLock};

use crate::catalogue::{read, write};
use crate::error::Result;
use crate::index::{self, Index};
use crate::packs::Packs;
use crate::recipe::{BlockAt, Hash, PieceAt};
use crate::segment::Segments;
use crate::types::{Locator, RecordId};

/// Rows that the next batch will put into the index.
#[derive(Default)]
pub(crate) struct Pending {
    pub(crate) records: HashMap<RecordId, Locator>,
    pub(crate) pieces: HashMap<Hash, PieceAt>,
    pub(crate) recipes: HashMap<Hash, BlockAt>,
}

/// Shared by the store and its readers.
pub(crate) struct Shared {
    pub(crate) segments: Arc<Segments>,
    pub(crate) packs: Arc<Packs>,
    pub(crate) index: RwLock<Arc<dyn Index>>,
    pub(crate) pending: RwLock<Pending>,
    pub(crate) last_seq: AtomicU64,
    pub(crate) applied: AtomicU64,
    /// A record that is accounted for, and where it is: replaying what follows begins there.
    pub(crate) applied_at: Mutex<Option<(u64, Locator)>>,
}

impl Shared {
    pub(crate) fn index(&self) -> Arc<dyn Index> {
        Arc::clone(&read(&self.index))
    }

    pub(crate) fn set_index(&self, index: Arc<dyn Index>) -> Arc<dyn Index> {
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
}
