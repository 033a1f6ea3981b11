//! A generation of the index that is built beside the one in use, on another thread, while the store is written.
//!
//! Begun by [`crate::Store::begin_generation`], filled by its owner (packs first, then the journal), and put in place by
//! [`crate::Store::adopt`], together with what is to be let go of. One that is dropped before that leaves nothing but a
//! directory marked as unfinished, which the next opening removes.
//!
//! Must never touch the generation in use, the journal or the packs.

use std::sync::Arc;

use crate::error::{Result, StoreError};
use crate::indexer::Indexer;
use crate::reader::Reader;
use crate::types::{Mutation, Progress, Record};

/// A generation being built.
pub struct Builder {
    pub(crate) indexer: Indexer,
    /// The generation's number.
    pub(crate) number: u32,
    /// What the store's was when it was begun.
    pub(crate) given_up: u64,
    /// Blocks before this position are in it.
    pub(crate) pack: (u32, u64),
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Builder {
    /// Brings the packs in. To be done first, and again by [`crate::Store::adopt`] for what came since.
    pub fn index_packs(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<(), StoreError> {
        self.pack = self.indexer.index_packs(self.pack, progress)?;
        self.indexer.apply(self.indexer.applied(), Vec::new(), self.pack)
    }

    /// Makes what is built durable.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.indexer.shared.index().flush()
    }
}

/// What a projection writes to: the generation in use, or one being built.
pub trait ViewWriter {
    /// Reads the generation that is written to.
    fn reader(&self) -> Reader;
    /// The last record that it accounts for. What follows is to be replayed.
    fn applied(&self) -> u64;
    /// Queues the rows of replayed records for the next batch.
    fn reindex(&mut self, records: &[Record]);
    /// One atomic batch: the mutations, and the rows of all records up to `upto_seq`.
    fn apply(&mut self, upto_seq: u64, mutations: Vec<Mutation>) -> Result<(), StoreError>;
}

impl ViewWriter for Builder {
    fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.indexer.shared))
    }

    fn applied(&self) -> u64 {
        self.indexer.applied()
    }

    fn reindex(&mut self, records: &[Record]) {
        self.indexer.reindex(records);
    }

    fn apply(&mut self, upto_seq: u64, mutations: Vec<Mutation>) -> Result<(), StoreError> {
        self.indexer.apply(upto_seq, mutations, self.pack)
    }
}
