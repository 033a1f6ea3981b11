//! An index that after a crash is gone, or as it was after any of the batches applied to it: sled promises no more.

use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::engine::Engine;
use crate::error::Result;
use crate::index::{Index, MemIndex, Rows};
use crate::recover::Found;
use crate::types::{Mutation, Options};

/// All batches since the index was started, in order.
#[derive(Clone, Default)]
pub(super) struct ModelEngine(Arc<Mutex<Vec<Vec<Mutation>>>>);

impl ModelEngine {
    pub(super) fn batches(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// An engine whose index is as it was after that many batches; gone if none.
    pub(super) fn after(&self, batches: usize) -> Self {
        Self(Arc::new(Mutex::new(self.0.lock().unwrap()[..batches].to_vec())))
    }
}

impl Engine for ModelEngine {
    fn open(&self, _: &Options) -> Result<(Arc<dyn Index>, Found)> {
        let batches = self.0.lock().unwrap().clone();
        let found = if batches.is_empty() { Found::Missing } else { Found::Intact };
        let now = MemIndex::default();
        for batch in batches {
            now.apply(batch)?;
        }
        Ok((Arc::new(Tracked { now, batches: Arc::clone(&self.0) }), found))
    }

    fn start_over(&self, options: &Options) -> Result<Arc<dyn Index>> {
        self.0.lock().unwrap().clear();
        Ok(self.open(options)?.0)
    }
}

struct Tracked {
    now: MemIndex,
    batches: Arc<Mutex<Vec<Vec<Mutation>>>>,
}

impl Index for Tracked {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.now.get(key)
    }

    fn apply(&self, batch: Vec<Mutation>) -> Result<()> {
        self.batches.lock().unwrap().push(batch.clone());
        self.now.apply(batch)
    }

    fn scan(&self, from: &[u8], to: &[u8]) -> Rows {
        self.now.scan(from, to)
    }

    fn flush(&self) -> Result<()> {
        self.now.flush()
    }

    fn dir(&self) -> Option<&Path> {
        None
    }
}
