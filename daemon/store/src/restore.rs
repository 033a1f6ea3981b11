//! Putting a backup back: it is checked, copied beside the store, opened there, and only then takes the store's place.
//!
//! ```text
//! <store>/restoring/lock   held while a backup is being put back; without the lock, `restoring` is left over
//! <store>/restoring/v1     the copy
//! <store>/restore          the number N: from now on the copy is the store
//! 1. write `restore`   2. v1 → v1.before-restore-N   3. restoring/v1 → v1   4. remove `restore`   5. remove `restoring`
//! ```
//!
//! A kill before 1 is complete leaves the old store in place, a kill after it the new one: whoever opens the store
//! next finishes what is left ([`recover`]).
//!
//! Must never remove the store that was there before.

use std::path::{Path, PathBuf};

use crate::backup::Manifest;
use crate::copy::{copy_file, hash_file, write_whole};
use crate::error::{Result, StoreError};
use crate::files::{self, DataFile};
use crate::index;
use crate::open::Opened;
use crate::store::{Store, close};
use crate::types::{Options, ReplayReport};
use crate::vfs::RealFs;
use crate::watermark::{WatermarkFile, WatermarkV1};

const VERSION_DIR: &str = "v1";
const RESTORING: &str = "restoring";
const DECIDED: &str = "restore";
const BEFORE: &str = "v1.before-restore-";

/// A backup copied beside the store, not yet in its place. Dropped, it is removed.
#[derive(Debug)]
pub struct Staged {
    store: PathBuf,
    /// Keeps others from taking the copy for left over. `None` once it has taken the store's place.
    lock: Option<DataFile>,
}

/// What took place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swapped {
    /// The store that was there before, if there was one.
    pub previous: Option<PathBuf>,
}

impl Manifest {
    /// Reads every file of the backup in `dir` and compares it with its length and hash. `watch` gets the bytes read so
    /// far and says whether to go on.
    pub fn check(&self, dir: &Path, watch: &mut dyn FnMut(u64) -> bool) -> Result<(), StoreError> {
        let mut done = 0;
        for entry in &self.files {
            let path = dir.join(&entry.file);
            let wrong = |why: &str| StoreError::Backup { path: path.clone(), why: why.into() };
            match hash_file(&path, entry.len, &mut |at| watch(done + at)) {
                Ok(hash) if hash == entry.blake3 => {}
                Ok(_) => return Err(wrong("not what was backed up: its BLAKE3 differs")),
                Err(StoreError::Damaged { .. }) => return Err(wrong("shorter than what was backed up")),
                Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                    return Err(wrong("missing from the backup"));
                }
                Err(other) => return Err(other),
            }
            done += entry.len;
        }
        Ok(())
    }

    /// Copies the backup in `dir` beside the store in `store`, which may be open or not. `watch` as in
    /// [`Manifest::check`].
    pub fn stage(
        &self,
        dir: &Path,
        store: &Path,
        watch: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Staged, StoreError> {
        let root = store.join(RESTORING);
        files::private_dir(&root)?;
        let lock = files::create(&root.join("lock"))?;
        lock.lock()?;
        let staged = Staged { store: store.to_owned(), lock: Some(lock) };
        let home = root.join(VERSION_DIR);
        files::remove(&home)?;
        for part in [home.clone(), home.join("journal"), home.join("packs")] {
            files::private_dir(&part)?;
        }
        let mut done = 0;
        for entry in &self.files {
            let (from, to) = (dir.join(&entry.file), home.join(&entry.name));
            let copied = copy_file(&from, &to, 0, entry.len, &mut |at| watch(done + at))?;
            if copied.is_none_or(|(_, hash)| hash != entry.blake3) {
                return Err(StoreError::Backup {
                    path: from,
                    why: "changed while it was being copied".into(),
                });
            }
            done += entry.len;
        }
        let end = self.end;
        // Not copied but made anew: it says how long the copied files must be.
        WatermarkFile::open(&RealFs, &home.join("watermark"))?.0.write(WatermarkV1 {
            oldest: end.oldest,
            segment: end.segment,
            segment_len: end.segment_len,
            last_seq: end.last_seq,
            pack: end.pack,
            pack_len: end.pack_len,
            ..WatermarkV1::default()
        })?;
        for part in [home.join("journal"), home.join("packs"), home] {
            files::sync_dir(&part)?;
        }
        Ok(staged)
    }
}

impl Store {
    /// Makes everything durable and lets go of all files of the index, even while there are readers: they find it
    /// closed.
    pub fn close(mut self) -> Result<(), StoreError> {
        let flushed = self.flush();
        close(self.shared.set_index(std::sync::Arc::new(index::Closed)))?;
        flushed
    }
}

impl Staged {
    fn root(&self) -> PathBuf {
        self.store.join(RESTORING)
    }

    /// Opens the copy as a store and reads all its records. `watch` gets the last one's number and says whether to go
    /// on.
    pub fn try_out(
        &self,
        options: Options,
        watch: &mut dyn FnMut(u64) -> bool,
    ) -> Result<ReplayReport, StoreError> {
        let Opened { store, .. } = Store::open(&self.root(), options)?;
        let report = store.reader().replay(1, &mut |record| {
            if watch(record.seq) { Ok(()) } else { Err(StoreError::Stopped) }
        });
        store.close()?;
        // Its views are the caller's business, and it begins with none.
        for derived in ["index", "rebuild"] {
            files::remove(&self.root().join(VERSION_DIR).join(derived))?;
        }
        report
    }

    /// Lets the copy take the store's place. Nobody may have the store open.
    pub fn swap(mut self) -> Result<Swapped, StoreError> {
        let number = files::named(&self.store, BEFORE, "")?.last().map_or(1, |(number, _)| number + 1);
        // A thread of the old index that ends late knows its files by path: the new one's have another.
        let old = files::numbered(&self.store.join(VERSION_DIR).join("index"), "")?;
        let generation = old.last().map_or(1, |(number, _)| number + 1);
        let index = self.root().join(VERSION_DIR).join("index").join(format!("{generation:06}"));
        files::private_dir(&index)?;
        write_whole(&self.store.join(DECIDED), number.to_string().as_bytes())?;
        if let Err(error) = finish(&self.store, number) {
            undo(&self.store, number)?;
            return Err(error);
        }
        self.lock = None;
        let previous = self.store.join(format!("{BEFORE}{number}"));
        Ok(Swapped { previous: previous.exists().then_some(previous) })
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if self.lock.is_some()
            && let Err(error) = files::remove(&self.root())
        {
            tracing::warn!(%error, "could not remove what was copied for a restore");
        }
    }
}

/// Finishes what a kill left half done. Called before the store in `store` is opened: the one process of this home
/// may do that (its caller sees to it).
pub(crate) fn recover(store: &Path) -> Result<()> {
    let root = store.join(RESTORING);
    match fs_err::read_to_string(store.join(DECIDED)) {
        Ok(number) => {
            let number = number.trim().parse().unwrap_or(1);
            tracing::warn!("a restore was interrupted; it is finished now");
            finish(store, number)
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            // A copy that nobody is making any more.
            files::remove(&store.join(format!("{DECIDED}.new")))?;
            let locked = files::open_read(&root.join("lock")).and_then(|lock| lock.lock());
            match locked {
                Err(StoreError::Locked { .. }) => Ok(()),
                _ => files::remove(&root),
            }
        }
        Err(e) => Err(StoreError::io(&store.join(DECIDED), e)),
    }
}

/// The renames that are left, in order. May be called at any step, and again.
fn finish(store: &Path, number: u32) -> Result<()> {
    let (home, copy) = (store.join(VERSION_DIR), store.join(RESTORING).join(VERSION_DIR));
    let before = store.join(format!("{BEFORE}{number}"));
    if copy.exists() {
        if home.exists() {
            rename(&home, &before)?;
        }
        rename(&copy, &home)?;
    }
    if !home.exists() && before.exists() {
        rename(&before, &home)?;
    }
    // From here on it is done; what stays behind is found at the next start.
    let tidied = files::remove(&store.join(DECIDED))
        .and_then(|()| files::sync_dir(store))
        .and_then(|()| files::remove(&store.join(RESTORING)));
    if let Err(error) = tidied {
        tracing::warn!(%error, "could not tidy up after a restore");
    }
    Ok(())
}

/// Puts the old store back, after a rename failed.
fn undo(store: &Path, number: u32) -> Result<()> {
    let (home, before) = (store.join(VERSION_DIR), store.join(format!("{BEFORE}{number}")));
    if !home.exists() && before.exists() {
        rename(&before, &home)?;
    }
    files::remove(&store.join(DECIDED))?;
    files::sync_dir(store)
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs_err::rename(from, to).map_err(|e| StoreError::io(from, e))?;
    for dir in [from.parent(), to.parent()].into_iter().flatten() {
        files::sync_dir(dir)?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "restore_tests.rs"]
mod tests;
