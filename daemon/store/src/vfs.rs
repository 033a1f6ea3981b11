//! The file system as the journal, the packs, the watermark and the lock see it: few calls, all of which can fail.
//!
//! The only implementation outside of the tests is [`RealFs`]; the tests put a model in its place that crashes, tears
//! and refuses. sled does its own I/O, and what only serves the index may stay on the real file system.
//!
//! Must never hide what the system said: retries and paths are the business of `files`.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

pub(crate) const DIR_MODE: u32 = 0o700;
pub(crate) const FILE_MODE: u32 = 0o600;

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenMode {
    /// Reading; it has to exist.
    Read,
    /// Reading and writing; it has to exist.
    Write,
    /// Reading and writing; it is created, private, if it does not exist, and is private afterwards in any case.
    Create,
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Dir,
}

/// A file system.
pub(crate) trait Vfs: Send + Sync {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn VfsFile>>;
    /// None if there is nothing.
    fn kind(&self, path: &Path) -> io::Result<Option<Kind>>;
    /// What is in a directory, in any order.
    fn list(&self, dir: &Path) -> io::Result<Vec<(PathBuf, Kind)>>;
    /// Makes a private directory.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes a directory private that is there already.
    fn make_dir_private(&self, path: &Path) -> io::Result<()>;
    /// Puts a file in another's place.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Makes the creation, renaming and removal of entries durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// An open file. Positions are explicit, so that readers and the writer can share it.
pub(crate) trait VfsFile: Send + Sync {
    /// May read less; 0 at the end.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;
    /// May write less.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    fn len(&self) -> io::Result<u64>;
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes the file longer, with space that is really there. It may do less and fail, or fail because it cannot.
    fn allocate(&self, from: u64, len: u64) -> io::Result<()>;
    /// Makes the data durable, and the length.
    fn sync_data(&self) -> io::Result<()>;
    /// False if another process has it. Held until the file is closed.
    fn try_lock(&self) -> io::Result<bool>;
}

/// The operating system's.
pub(crate) struct RealFs;

impl Vfs for RealFs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn VfsFile>> {
        let (writes, creates) = (mode != OpenMode::Read, mode == OpenMode::Create);
        let mut options = OpenOptions::new();
        options.read(true).write(writes).create(creates).truncate(false).mode(FILE_MODE);
        let file = options.open(path)?;
        if creates {
            file.set_permissions(Permissions::from_mode(FILE_MODE))?;
        }
        Ok(Box::new(file))
    }

    fn kind(&self, path: &Path) -> io::Result<Option<Kind>> {
        match std::fs::metadata(path) {
            Ok(meta) => Ok(Some(kind(meta.is_dir()))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<(PathBuf, Kind)>> {
        std::fs::read_dir(dir)?
            .map(|entry| {
                let entry = entry?;
                Ok((entry.path(), kind(entry.file_type().is_ok_and(|t| t.is_dir()))))
            })
            .collect()
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::DirBuilder::new().mode(DIR_MODE).create(path)?;
        self.make_dir_private(path)
    }

    fn make_dir_private(&self, path: &Path) -> io::Result<()> {
        std::fs::set_permissions(path, Permissions::from_mode(DIR_MODE))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }
}

fn kind(is_dir: bool) -> Kind {
    if is_dir { Kind::Dir } else { Kind::File }
}

impl VfsFile for File {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, offset)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }

    #[cfg(target_os = "linux")]
    fn allocate(&self, from: u64, len: u64) -> io::Result<()> {
        Ok(rustix::fs::fallocate(self, rustix::fs::FallocateFlags::empty(), from, len)?)
    }

    #[cfg(not(target_os = "linux"))]
    fn allocate(&self, _: u64, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn try_lock(&self) -> io::Result<bool> {
        match File::try_lock(self) {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(e)) => Err(e),
        }
    }
}
