//! The head: sled 0.34 keeps the rows that are not in a run yet, so that they come back after a restart.
//!
//! Nothing is read from it but once, at opening; see [`super::mirror`]. It runs without sled's flusher, which would
//! fsync for ever, idle or not: each batch pushes the one before it to the file, a batch is there whole or not at all,
//! and what a kill takes (the last batch) the journal brings back. sled reclaims space only in the flusher; here the
//! whole head goes when it has become a run.
//!
//! sled panics on some damaged files instead of returning an error, at any call; every call is guarded, and a panic is
//! an error like another. Dropping may hang after a write failed: see [`Head::discard`].
//!
//! Must never let a panic of sled's out.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use super::mirror::Mirror;
use crate::error::{Result, StoreError};
use crate::files;
use crate::types::{Mutation, Options};

const TREE: &str = "v1";
const PUT: u8 = 1;
const DELETED: u8 = 0;

/// The recent rows on disk.
pub(crate) struct Head {
    dir: PathBuf,
    tree: sled::Tree,
    db: sled::Db,
}

impl Head {
    /// Opens or creates the head in `dir`, and reads its rows. May hang or panic on damaged files: see `recover`.
    pub(crate) fn open(dir: &Path, options: &Options) -> Result<(Self, Mirror)> {
        let open = || -> sled::Result<_> {
            let db = sled::Config::new()
                .path(dir)
                .cache_capacity(options.cache_bytes)
                .flush_every_ms(None)
                .open()?;
            Ok((db.open_tree(TREE)?, db))
        };
        let (tree, db) = guard(dir, open)?;
        files::make_private(dir)?;
        let head = Self { dir: dir.to_owned(), tree, db };
        let mirror = Mirror::default();
        let mut rows = head.tree.iter();
        while let Some((key, value)) = guard(dir, || rows.next().transpose())? {
            let value = match value.split_first() {
                Some((&PUT, value)) => Some(value.to_vec()),
                Some((&DELETED, [])) => None,
                _ => return Err(StoreError::Index(format!("{}: a row cannot be decoded", dir.display()))),
            };
            mirror.insert(key.to_vec(), value);
        }
        Ok((head, mirror))
    }

    /// Applies all mutations, in order, or none.
    pub(crate) fn apply(&self, mutations: &[Mutation]) -> Result<()> {
        let mut batch = sled::Batch::default();
        for mutation in mutations {
            match mutation {
                Mutation::Put(key, value) => {
                    batch.insert(key.as_slice(), [&[PUT][..], value].concat());
                }
                Mutation::Delete(key) => batch.insert(key.as_slice(), &[DELETED]),
            }
        }
        guard(&self.dir, || self.tree.apply_batch(batch))
    }

    /// Makes everything applied durable.
    pub(crate) fn flush(&self) -> Result<()> {
        guard(&self.dir, || self.db.flush())?;
        files::make_private(&self.dir)
    }

    /// The length of its log.
    pub(crate) fn log_bytes(&self) -> u64 {
        fs_err::metadata(self.dir.join("db")).map_or(0, |meta| meta.len())
    }

    /// Drops it, on a thread of its own, and removes its files.
    pub(crate) fn discard(self) {
        let dir = self.dir.clone();
        let dropping = std::thread::Builder::new().name("ccd-index-drop".into()).spawn(move || {
            let dir = self.dir.clone();
            if catch_unwind(AssertUnwindSafe(|| drop(self))).is_err() {
                tracing::warn!(dir = %dir.display(), "sled panicked when it was dropped");
            }
            remove(&dir);
        });
        if let Err(error) = dropping {
            tracing::warn!(%error, dir = %dir.display(), "could not remove old index files; the next start does");
        }
    }
}

/// Removes a head's files; what is left is removed at the next opening.
pub(crate) fn remove(dir: &Path) {
    if let Err(error) = files::remove(dir) {
        tracing::warn!(%error, "could not remove old index files; the next start does");
    }
}

fn guard<T>(dir: &Path, f: impl FnOnce() -> sled::Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(result) => result.map_err(|e| failed(dir, e)),
        Err(_) => Err(StoreError::Index(format!("{}: sled panicked", dir.display()))),
    }
}

/// Tells what the system refuses to everybody from what is wrong with these files.
fn failed(dir: &Path, error: sled::Error) -> StoreError {
    /// Too many open files, in the process or in the system; the same on Linux, macOS and the BSDs.
    const NO_FILES: [i32; 2] = [24, 23];
    match error {
        sled::Error::Io(e)
            if matches!(
                e.kind(),
                io::ErrorKind::StorageFull
                    | io::ErrorKind::QuotaExceeded
                    | io::ErrorKind::PermissionDenied
                    | io::ErrorKind::ReadOnlyFilesystem
                    | io::ErrorKind::OutOfMemory
            ) || e.raw_os_error().is_some_and(|code| NO_FILES.contains(&code)) =>
        {
            StoreError::io(dir, e)
        }
        other => StoreError::Index(format!("{}: {other}", dir.display())),
    }
}
