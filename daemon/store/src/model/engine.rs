//! An index that after a crash is gone, or as it was after any of the batches applied to it: sled promises no more.

use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::engine::Engine;
use crate::error::Result;
use crate::index::{Index, MemIndex, Rows};
use crate::recover::Found;
use crate::types::{Mutation, Options};

type Log = Arc<Mutex<Vec<Vec<Mutation>>>>;

/// All batches since the index was started, in order; and those of generations that are being built.
#[derive(Clone, Default)]
pub(super) struct ModelEngine(Arc<Mutex<Generations>>);

#[derive(Default)]
struct Generations {
    current: Log,
    begun: Vec<Log>,
}

impl ModelEngine {
    fn current(&self) -> Log {
        Arc::clone(&self.0.lock().unwrap().current)
    }

    pub(super) fn batches(&self) -> usize {
        self.current().lock().unwrap().len()
    }

    /// An engine whose index is as it was after that many batches; gone if none.
    pub(super) fn after(&self, batches: usize) -> Self {
        let current = Arc::new(Mutex::new(self.current().lock().unwrap()[..batches].to_vec()));
        Self(Arc::new(Mutex::new(Generations { current, begun: Vec::new() })))
    }
}

impl Engine for ModelEngine {
    fn open(&self, _: &Options) -> Result<(Arc<dyn Index>, Found)> {
        let log = self.current();
        let batches = log.lock().unwrap().clone();
        let found = if batches.is_empty() { Found::Missing } else { Found::Intact };
        let now = MemIndex::default();
        for batch in batches {
            now.apply(batch)?;
        }
        Ok((Arc::new(Tracked { now, batches: log }), found))
    }

    fn start_over(&self, options: &Options) -> Result<Arc<dyn Index>> {
        self.0.lock().unwrap().current = Log::default();
        Ok(self.open(options)?.0)
    }

    fn begin(&self, _: &Options) -> Result<(u32, Arc<dyn Index>)> {
        let mut all = self.0.lock().unwrap();
        all.begun.push(Log::default());
        let number = all.begun.len();
        let batches = Arc::clone(&all.begun[number - 1]);
        let number = u32::try_from(number).unwrap();
        Ok((number, Arc::new(Tracked { now: MemIndex::default(), batches })))
    }

    fn finish(&self, number: u32) -> Result<()> {
        let mut all = self.0.lock().unwrap();
        all.current = Arc::clone(&all.begun[usize::try_from(number).unwrap() - 1]);
        Ok(())
    }

    fn discard(&self, _: u32) -> Result<()> {
        Ok(())
    }

    fn keep(&self, _: u32) -> Result<()> {
        Ok(())
    }

    fn remove_unfinished(&self) -> Result<()> {
        Ok(())
    }
}

struct Tracked {
    now: MemIndex,
    batches: Log,
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
