//! Private files and directories: the only place where the store touches the file system's metadata.
//!
//! Must never leave anything readable by another user, whatever the umask, nor report an I/O error without its path.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Result, StoreError};

const DIR_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// An open file that knows its path. Reads and writes are positional, so that readers and the writer share it.
#[derive(Debug)]
pub(crate) struct DataFile {
    file: File,
    path: PathBuf,
}

impl DataFile {
    /// Opens for reading and writing; creates it if asked to.
    pub(crate) fn open(path: &Path, create: bool) -> Result<Self> {
        let open = || {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(create)
                .truncate(false)
                .mode(FILE_MODE)
                .open(path)?;
            if create {
                file.set_permissions(Permissions::from_mode(FILE_MODE))?;
            }
            Ok(file)
        };
        Ok(Self { file: open().map_err(|e| StoreError::io(path, e))?, path: path.to_owned() })
    }

    /// Opens for reading.
    pub(crate) fn open_read(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| StoreError::io(path, e))?;
        Ok(Self { file, path: path.to_owned() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn len(&self) -> Result<u64> {
        Ok(self.file.metadata().map_err(|e| self.error(e))?.len())
    }

    /// Reads exactly `len` bytes; a shorter file is damage, not an I/O error.
    pub(crate) fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        match self.file.read_exact_at(&mut bytes, offset) {
            Ok(()) => Ok(bytes),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Err(StoreError::damaged(format!(
                "{} ends before offset {}",
                self.path.display(),
                offset + len as u64
            ))),
            Err(e) => Err(self.error(e)),
        }
    }

    pub(crate) fn write(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.file.write_all_at(bytes, offset).map_err(|e| self.error(e))
    }

    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|e| self.error(e))
    }

    pub(crate) fn cut(&self, len: u64) -> Result<()> {
        self.file.set_len(len).map_err(|e| self.error(e))
    }

    /// Takes the lock that keeps a second process out; it is held until the file is closed.
    pub(crate) fn lock(&self) -> Result<()> {
        self.file.try_lock().map_err(|e| match e {
            TryLockError::WouldBlock => StoreError::Locked { path: self.path.clone() },
            TryLockError::Error(e) => self.error(e),
        })
    }

    fn error(&self, source: io::Error) -> StoreError {
        StoreError::io(&self.path, source)
    }
}

/// Makes `path` and its missing parents, durably, and makes `path` private.
pub(crate) fn private_dir(path: &Path) -> Result<()> {
    if path.is_dir() {
        return fs_err::set_permissions(path, Permissions::from_mode(DIR_MODE))
            .map_err(|e| StoreError::io(path, e));
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        if !parent.is_dir() {
            private_dir(parent)?;
        }
        make_dir(path)?;
        return sync_dir(parent);
    }
    make_dir(path)
}

fn make_dir(path: &Path) -> Result<()> {
    std::fs::DirBuilder::new()
        .mode(DIR_MODE)
        .create(path)
        .and_then(|()| fs_err::set_permissions(path, Permissions::from_mode(DIR_MODE)))
        .map_err(|e| StoreError::io(path, e))
}

/// Makes everything below `dir` private: for files that a library of others created.
pub(crate) fn make_private(dir: &Path) -> Result<()> {
    for (path, is_dir) in entries(dir)? {
        let mode = if is_dir { DIR_MODE } else { FILE_MODE };
        match fs_err::set_permissions(&path, Permissions::from_mode(mode)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(StoreError::io(&path, e)),
            _ if is_dir => make_private(&path)?,
            _ => {}
        }
    }
    Ok(())
}

/// What `dir` holds, with whether it is a directory; nothing if there is no such directory.
pub(crate) fn entries(dir: &Path) -> Result<Vec<(PathBuf, bool)>> {
    let read = match fs_err::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|e| StoreError::io(dir, e))?,
    };
    read.map(|entry| {
        let entry = entry.map_err(|e| StoreError::io(dir, e))?;
        Ok((entry.path(), entry.file_type().is_ok_and(|t| t.is_dir())))
    })
    .collect()
}

/// The entries `<number><suffix>` of `dir`, in the order of their numbers.
pub(crate) fn numbered(dir: &Path, suffix: &str) -> Result<Vec<(u32, PathBuf)>> {
    named(dir, "", suffix)
}

/// The entries `<prefix><number><suffix>` of `dir`, in the order of their numbers.
pub(crate) fn named(dir: &Path, prefix: &str, suffix: &str) -> Result<Vec<(u32, PathBuf)>> {
    let mut found: Vec<_> = entries(dir)?
        .into_iter()
        .filter_map(|(path, _)| {
            let number =
                path.file_name()?.to_str()?.strip_prefix(prefix)?.strip_suffix(suffix)?.parse().ok()?;
            (number > 0).then_some((number, path))
        })
        .collect();
    found.sort_unstable();
    Ok(found)
}

/// The bytes that all files below `dir` take. Files that vanish meanwhile count nothing.
pub(crate) fn disk_bytes(dir: &Path) -> Result<u64> {
    let mut total = 0;
    for (path, is_dir) in entries(dir)? {
        total += if is_dir { disk_bytes(&path)? } else { fs_err::metadata(&path).map_or(0, |m| m.len()) };
    }
    Ok(total)
}

/// How many files there are below `dir`.
pub(crate) fn file_count(dir: &Path) -> Result<u64> {
    let mut count = 0;
    for (path, is_dir) in entries(dir)? {
        count += if is_dir { file_count(&path)? } else { 1 };
    }
    Ok(count)
}

/// Makes the creation, renaming and removal of entries of `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(|e| StoreError::io(dir, e))
}

/// Removes a file or a whole directory; it is fine if there is none.
pub(crate) fn remove(path: &Path) -> Result<()> {
    let removed = match fs_err::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs_err::remove_dir_all(path),
        Ok(_) => fs_err::remove_file(path),
        Err(e) => Err(e),
    };
    match removed {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(StoreError::io(path, e)),
        _ => Ok(()),
    }
}
