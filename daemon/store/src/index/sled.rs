//! The index on sled 0.34: one tree, so that one batch is atomic over everything in it.
//!
//! sled panics on some damaged files instead of returning an error, at any call; every call is guarded, and a panic is
//! an error like another.
//!
//! Must never let a panic of sled's out, nor run with `flush_every_ms(None)` (sled reclaims space only there).

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use super::{Index, Row, Rows};
use crate::error::{Result, StoreError};
use crate::files;
use crate::types::{Mutation, Options};

const TREE: &str = "v1";

/// An index on disk.
pub(crate) struct SledIndex {
    dir: PathBuf,
    tree: sled::Tree,
    db: sled::Db,
}

impl SledIndex {
    /// Opens or creates the index in `dir`. May hang or panic on damaged files: see `recover`.
    pub(crate) fn open(dir: &Path, options: &Options) -> Result<Self> {
        let opened = sled::Config::new()
            .path(dir)
            .cache_capacity(options.cache_bytes)
            .flush_every_ms(Some(options.flush_every_ms.max(1)))
            .open()
            .and_then(|db| Ok((db.open_tree(TREE)?, db)));
        let (tree, db) = opened.map_err(|e| failed(dir, e))?;
        files::make_private(dir)?;
        Ok(Self { dir: dir.to_owned(), tree, db })
    }

    fn guard<T>(&self, f: impl FnOnce() -> sled::Result<T>) -> Result<T> {
        guard(&self.dir, f)
    }
}

fn guard<T>(dir: &Path, f: impl FnOnce() -> sled::Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(result) => result.map_err(|e| failed(dir, e)),
        Err(_) => Err(StoreError::Index(format!("{}: sled panicked", dir.display()))),
    }
}

fn failed(dir: &Path, error: sled::Error) -> StoreError {
    match error {
        sled::Error::Io(e)
            if matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) =>
        {
            StoreError::Full { path: dir.to_owned() }
        }
        other => StoreError::Index(format!("{}: {other}", dir.display())),
    }
}

impl Index for SledIndex {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.guard(|| self.tree.get(key))?.map(|value| value.to_vec()))
    }

    fn apply(&self, mutations: Vec<Mutation>) -> Result<()> {
        let mut batch = sled::Batch::default();
        for mutation in mutations {
            match mutation {
                Mutation::Put(key, value) => batch.insert(key, value),
                Mutation::Delete(key) => batch.remove(key),
            }
        }
        self.guard(|| self.tree.apply_batch(batch))
    }

    fn scan(&self, from: &[u8], to: &[u8]) -> Rows {
        if from >= to {
            return Box::new(std::iter::empty());
        }
        match self.guard(|| Ok(self.tree.range(from..to))) {
            Ok(rows) => Box::new(Scan { dir: self.dir.clone(), rows: Some(rows) }),
            Err(error) => Box::new(std::iter::once(Err(error))),
        }
    }

    fn flush(&self) -> Result<()> {
        self.guard(|| self.db.flush())?;
        files::make_private(&self.dir)
    }

    fn dir(&self) -> Option<&Path> {
        Some(&self.dir)
    }
}

/// Rows of a range; ends after the first error.
struct Scan {
    dir: PathBuf,
    rows: Option<sled::Iter>,
}

impl Scan {
    fn step(
        &mut self,
        f: impl FnOnce(&mut sled::Iter) -> Option<sled::Result<(sled::IVec, sled::IVec)>>,
    ) -> Option<Result<Row>> {
        let rows = self.rows.as_mut()?;
        let row = guard(&self.dir, || f(rows).transpose());
        if row.is_err() {
            self.rows = None;
        }
        row.map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec()))).transpose()
    }
}

impl Iterator for Scan {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step(Iterator::next)
    }
}

impl DoubleEndedIterator for Scan {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.step(DoubleEndedIterator::next_back)
    }
}
