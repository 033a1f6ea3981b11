//! Private files and directories: what the store makes of the few calls of a [`Vfs`].
//!
//! Interrupted and partial calls are dealt with here, and nowhere else.
//!
//! Must never leave anything readable by another user, whatever the umask, nor report an I/O error without its path.

use std::fs::Permissions;
use std::io;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::error::{Result, StoreError};
use crate::vfs::{DIR_MODE, FILE_MODE, Kind, OpenMode, RealFs, Vfs, VfsFile};

/// How often a call is made again that was interrupted: a signal storm is no reason to hang.
const INTERRUPTIONS: usize = 1_000;

/// How much is read at a time.
const CHUNK: usize = 256 << 10;

/// Makes a call again while it is interrupted.
fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut left = INTERRUPTIONS;
    loop {
        match call() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted && left > 0 => left -= 1,
            result => return result,
        }
    }
}

/// An open file that knows its path. Reads and writes are positional, so that readers and the writer share it.
pub(crate) struct DataFile {
    file: Box<dyn VfsFile>,
    path: PathBuf,
}

impl std::fmt::Debug for DataFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("DataFile").field(&self.path).finish()
    }
}

impl DataFile {
    pub(crate) fn open(vfs: &dyn Vfs, path: &Path, mode: OpenMode) -> Result<Self> {
        let file = at(path, || vfs.open(path, mode))?;
        Ok(Self { file, path: path.to_owned() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn len(&self) -> Result<u64> {
        self.named(retry(|| self.file.len()))
    }

    /// Reads exactly `len` bytes; a shorter file is damage, not an I/O error.
    pub(crate) fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>> {
        let bytes = self.read_most(offset, len)?;
        if bytes.len() < len {
            let end = offset + len as u64;
            return Err(StoreError::damaged(format!("{} ends before offset {end}", self.path.display())));
        }
        Ok(bytes)
    }

    /// Reads `len` bytes, or as many as there are.
    pub(crate) fn read_most(&self, offset: u64, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let mut done = 0;
        while done < len {
            let at = offset + done as u64;
            match self.named(retry(|| self.file.read_at(&mut bytes[done..], at)))? {
                0 => break,
                read => done += read,
            }
        }
        bytes.truncate(done);
        Ok(bytes)
    }

    pub(crate) fn write(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            match self.named(retry(|| self.file.write_at(&bytes[done..], at)))? {
                0 => return self.named(Err(io::ErrorKind::WriteZero.into())),
                written => done += written,
            }
        }
        Ok(())
    }

    /// Writes the same bytes again. After a failed fsync, by whatever process, the system takes what it could not write
    /// for written: only what is written anew is really written by the next one.
    pub(crate) fn rewrite(&self, range: Range<u64>) -> Result<()> {
        let mut at = range.start;
        while at < range.end {
            let len = usize::try_from(range.end - at).unwrap_or(CHUNK).min(CHUNK);
            self.write(&self.read(at, len)?, at)?;
            at += len as u64;
        }
        Ok(())
    }

    /// Where the zeros begin that end the first `end` bytes; `from` if all of them from there on are zeros.
    pub(crate) fn zeros_from(&self, from: u64, end: u64) -> Result<u64> {
        let mut end = end;
        while from < end {
            let start = end.saturating_sub(CHUNK as u64).max(from);
            let bytes = self.read(start, usize::try_from(end - start).unwrap_or(CHUNK))?;
            if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
                return Ok(start + last as u64 + 1);
            }
            end = start;
        }
        Ok(from)
    }

    pub(crate) fn sync(&self) -> Result<()> {
        self.named(retry(|| self.file.sync_data()))
    }

    pub(crate) fn cut(&self, len: u64) -> Result<()> {
        self.named(retry(|| self.file.set_len(len)))
    }

    /// Gives the file space that it does not use yet: zeros, up to `from + len`.
    pub(crate) fn allocate(&self, from: u64, len: u64) -> Result<()> {
        self.named(retry(|| self.file.allocate(from, len)))
    }

    /// Takes the lock that keeps a second process out; it is held until the file is closed.
    pub(crate) fn lock(&self) -> Result<()> {
        if self.named(retry(|| self.file.try_lock()))? {
            Ok(())
        } else {
            Err(StoreError::Locked { path: self.path.clone() })
        }
    }

    fn named<T>(&self, result: io::Result<T>) -> Result<T> {
        result.map_err(|e| StoreError::io(&self.path, e))
    }
}

/// Makes a call at a path, again while it is interrupted.
fn at<T>(path: &Path, call: impl Fn() -> io::Result<T>) -> Result<T> {
    retry(call).map_err(|e| StoreError::io(path, e))
}

/// What the store does with files and directories by their paths.
impl dyn Vfs + '_ {
    /// Makes `path` and its missing parents, and makes `path` private. What is durable of it is not said.
    pub(crate) fn private_dir(&self, path: &Path) -> Result<()> {
        if at(path, || self.kind(path))? == Some(Kind::Dir) {
            return at(path, || self.make_dir_private(path));
        }
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty())
            && at(parent, || self.kind(parent))? != Some(Kind::Dir)
        {
            self.private_dir(parent)?;
        }
        at(path, || self.create_dir(path))
    }

    /// Makes the creation and removal of entries of `dir` durable.
    pub(crate) fn sync_entries(&self, dir: &Path) -> Result<()> {
        at(dir, || self.sync_dir(dir))
    }

    /// Puts a file in another's place, in the same directory, durably.
    pub(crate) fn replace(&self, from: &Path, to: &Path) -> Result<()> {
        at(from, || self.rename(from, to))?;
        to.parent().map_or(Ok(()), |dir| self.sync_entries(dir))
    }

    /// Removes a file; it is fine if there is none.
    pub(crate) fn remove(&self, path: &Path) -> Result<()> {
        at(path, || match self.remove_file(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        })
    }

    /// What `dir` holds; nothing if there is no such directory.
    pub(crate) fn entries(&self, dir: &Path) -> Result<Vec<(PathBuf, Kind)>> {
        at(dir, || match self.list(dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            other => other,
        })
    }

    /// The entries `<number><suffix>` of `dir`, in the order of their numbers.
    pub(crate) fn numbered(&self, dir: &Path, suffix: &str) -> Result<Vec<(u32, PathBuf)>> {
        self.named(dir, "", suffix)
    }

    /// The entries `<prefix><number><suffix>` of `dir`, in the order of their numbers.
    pub(crate) fn named(&self, dir: &Path, prefix: &str, suffix: &str) -> Result<Vec<(u32, PathBuf)>> {
        let mut found: Vec<_> = self
            .entries(dir)?
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
}

/// The real file system, for what only serves the index.
fn real() -> &'static dyn Vfs {
    &RealFs
}

/// Opens a file of the index, or creates it, private.
pub(crate) fn create(path: &Path) -> Result<DataFile> {
    DataFile::open(real(), path, OpenMode::Create)
}

/// Opens a file of the index for reading.
pub(crate) fn open_read(path: &Path) -> Result<DataFile> {
    DataFile::open(real(), path, OpenMode::Read)
}

/// As [`Vfs::sync_dir`], for the index.
pub(crate) fn sync_dir(dir: &Path) -> Result<()> {
    real().sync_entries(dir)
}

/// As [`Vfs::private_dir`], for the index.
pub(crate) fn private_dir(path: &Path) -> Result<()> {
    real().private_dir(path)
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
    let entries = real().entries(dir)?;
    Ok(entries.into_iter().map(|(path, kind)| (path, kind == Kind::Dir)).collect())
}

/// As [`Vfs::numbered`], for the index.
pub(crate) fn numbered(dir: &Path, suffix: &str) -> Result<Vec<(u32, PathBuf)>> {
    real().numbered(dir, suffix)
}

/// As [`Vfs::named`], for the index.
pub(crate) fn named(dir: &Path, prefix: &str, suffix: &str) -> Result<Vec<(u32, PathBuf)>> {
    real().named(dir, prefix, suffix)
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

/// Removes a file or a whole directory of the index; it is fine if there is none.
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
