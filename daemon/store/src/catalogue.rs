//! Which numbered files there are (segments or packs), how much of each counts, and their open handles.
//!
//! Shared by the writer, which publishes a length after the bytes are written, and the readers, who never look past it.
//!
//! Must never hold more than a few files open, nor a lock while doing I/O on data.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::error::{Result, StoreError};
use crate::files::DataFile;
use crate::types::{Damage, FileKind};
use crate::vfs::{OpenMode, Vfs};

const OPEN_FILES: usize = 8;

/// Locks, even if a thread panicked while holding it: what these locks guard is replaced whole, never half.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As [`lock`], for reading.
pub(crate) fn read<T: ?Sized>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// As [`lock`], for writing.
pub(crate) fn write<T: ?Sized>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// What is known of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    /// How many bytes count. Fewer than the file has, if the rest is in doubt.
    pub(crate) len: u64,
    /// Segments: the first sequence number that can be in it, 0 if not known.
    pub(crate) first_seq: u64,
    /// Segments: when the first and the newest record in it happened, 0 if not known.
    pub(crate) first_ns: u64,
    pub(crate) newest_ns: u64,
    /// Segments: where the packs ended when it was begun.
    pub(crate) pack: (u32, u64),
}

/// The files of one kind.
pub(crate) struct Catalogue {
    vfs: Arc<dyn Vfs>,
    kind: FileKind,
    dir: PathBuf,
    files: RwLock<BTreeMap<u32, Entry>>,
    open: Mutex<Vec<(u32, Arc<DataFile>)>>,
    damage: Mutex<BTreeSet<Damage>>,
}

impl Catalogue {
    pub(crate) fn new(vfs: Arc<dyn Vfs>, kind: FileKind, dir: PathBuf) -> Self {
        Self { vfs, kind, dir, files: RwLock::default(), open: Mutex::default(), damage: Mutex::default() }
    }

    /// Another catalogue of the same directory, with nothing in it yet.
    pub(crate) fn empty(&self) -> Self {
        Self::new(Arc::clone(&self.vfs), self.kind, self.dir.clone())
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn path(&self, number: u32) -> PathBuf {
        match self.kind {
            FileKind::Segment => self.dir.join(format!("{number:08}.log")),
            FileKind::Pack | FileKind::Manifest => self.dir.join(format!("{number:06}.pack")),
        }
    }

    fn suffix(&self) -> &'static str {
        match self.kind {
            FileKind::Segment => ".log",
            FileKind::Pack | FileKind::Manifest => ".pack",
        }
    }

    /// The files that are in the directory, in order.
    pub(crate) fn on_disk(&self) -> Result<Vec<(u32, PathBuf)>> {
        self.vfs.numbered(&self.dir, self.suffix())
    }

    /// Opens a file, past the handles that are kept.
    pub(crate) fn open(&self, number: u32, mode: OpenMode) -> Result<DataFile> {
        DataFile::open(&*self.vfs, &self.path(number), mode)
    }

    /// Makes the creation of files durable.
    pub(crate) fn sync_dir(&self) -> Result<()> {
        self.vfs.sync_entries(&self.dir)
    }

    /// Publishes how much of a file counts.
    pub(crate) fn publish(&self, number: u32, entry: Entry) {
        write(&self.files).insert(number, entry);
    }

    /// Publishes a new length of a known file.
    pub(crate) fn publish_len(&self, number: u32, len: u64) {
        if let Some(entry) = write(&self.files).get_mut(&number) {
            entry.len = len;
        }
    }

    /// Publishes a newer record's time.
    pub(crate) fn publish_newest(&self, number: u32, newest_ns: u64) {
        if let Some(entry) = write(&self.files).get_mut(&number) {
            entry.newest_ns = entry.newest_ns.max(newest_ns);
        }
    }

    /// Takes a file out, and removes it: it holds nothing, or was let go of.
    pub(crate) fn withdraw(&self, number: u32) -> Result<()> {
        write(&self.files).remove(&number);
        lock(&self.open).retain(|(other, _)| *other != number);
        lock(&self.damage).retain(|damage| damage.file != self.kind || damage.number != number);
        self.vfs.remove(&self.path(number))
    }

    pub(crate) fn get(&self, number: u32) -> Option<Entry> {
        read(&self.files).get(&number).copied()
    }

    /// All files, in order.
    pub(crate) fn list(&self) -> Vec<(u32, Entry)> {
        read(&self.files).iter().map(|(number, entry)| (*number, *entry)).collect()
    }

    /// The number of files and their bytes.
    pub(crate) fn totals(&self) -> (u64, u64) {
        let files = read(&self.files);
        (files.len() as u64, files.values().map(|entry| entry.len).sum())
    }

    /// Keeps a handle that the writer opened.
    pub(crate) fn keep(&self, number: u32, file: Arc<DataFile>) {
        let mut open = lock(&self.open);
        open.retain(|(other, _)| *other != number);
        open.insert(0, (number, file));
        open.truncate(OPEN_FILES);
    }

    /// A handle for reading.
    pub(crate) fn file(&self, number: u32) -> Result<Arc<DataFile>> {
        let kept =
            lock(&self.open).iter().find(|(other, _)| *other == number).map(|(_, file)| Arc::clone(file));
        if let Some(file) = kept {
            return Ok(file);
        }
        let path = self.path(number);
        let file = Arc::new(self.open(number, OpenMode::Read).map_err(|e| match e {
            StoreError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                StoreError::damaged(format!("{} is missing", path.display()))
            }
            other => other,
        })?);
        self.keep(number, Arc::clone(&file));
        Ok(file)
    }

    /// Notes a damaged range, once.
    pub(crate) fn report(&self, number: u32, from: u64, to: u64) -> Damage {
        self.report_as(self.kind, number, from, to)
    }

    /// Notes a damaged range of another kind of file, once.
    pub(crate) fn report_as(&self, file: FileKind, number: u32, from: u64, to: u64) -> Damage {
        let damage = Damage { file, number, from, to };
        if lock(&self.damage).insert(damage) {
            tracing::warn!(%damage, "damaged; everything else is still served");
        }
        damage
    }

    /// The damaged ranges known so far.
    pub(crate) fn damage(&self) -> Vec<Damage> {
        lock(&self.damage).iter().copied().collect()
    }
}
