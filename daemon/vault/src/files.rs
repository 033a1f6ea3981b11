//! The files of a vault: private whatever the umask, replaced as a whole, changed by one process at a time.

use std::fs::{DirBuilder, File, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use crate::error::{Result, VaultError};

/// Called before each step of a change, with its name: a test makes it fail there.
pub type Step = Arc<dyn Fn(&'static str) -> std::io::Result<()> + Send + Sync>;

/// How long another process may take for a change.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(2);

/// Where they lie.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub(crate) dir: PathBuf,
}

impl Files {
    pub(crate) fn rows(&self) -> PathBuf {
        self.dir.join("rows")
    }

    pub(crate) fn rows_new(&self) -> PathBuf {
        self.dir.join("rows.new")
    }

    fn lock_file(&self) -> PathBuf {
        self.dir.join("lock")
    }

    pub(crate) fn audit(&self) -> PathBuf {
        self.dir.join("audit.jsonl")
    }

    pub(crate) fn audit_head(&self) -> PathBuf {
        self.dir.join("audit.head")
    }

    pub(crate) fn make_dir(&self) -> Result<()> {
        match DirBuilder::new().mode(0o700).create(&self.dir) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                let text = format!("{}: {error}", self.dir.display());
                Err(std::io::Error::new(error.kind(), text).into())
            }
            _ => Ok(()),
        }
    }

    /// Nobody else changes anything as long as this is held.
    pub(crate) fn lock(&self) -> Result<File> {
        let path = self.lock_file();
        let file = private().create(true).write(true).truncate(false).open(&path)?;
        let until = Instant::now() + PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(LOOK),
                Err(TryLockError::WouldBlock) => return Err(VaultError::Busy(path)),
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
        }
    }

    /// Has the names of files survive.
    pub(crate) fn sync_dir(&self) -> std::io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    /// What others can read or change here, in words.
    pub(crate) fn loose(&self, more: &[PathBuf]) -> Vec<String> {
        let mut all = vec![self.dir.clone(), self.rows(), self.audit(), self.audit_head(), self.lock_file()];
        all.extend_from_slice(more);
        let uid = rustix::process::getuid().as_raw();
        let looked =
            all.iter().filter_map(|path| std::fs::symlink_metadata(path).ok().map(|meta| (path, meta)));
        looked
            .filter_map(|(path, meta)| {
                let bits = meta.permissions().mode() & 0o7777;
                if meta.is_symlink() {
                    Some(format!("{} is a link", path.display()))
                } else if meta.uid() != uid {
                    Some(format!("{} is another user's", path.display()))
                } else if bits & 0o077 != 0 {
                    Some(format!("{} has mode {bits:04o}", path.display()))
                } else {
                    None
                }
            })
            .collect()
    }
}

/// For files of our own: 0600, and no link is followed.
pub(crate) fn private() -> std::fs::OpenOptions {
    let mut options = File::options();
    options.mode(0o600).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options
}

/// Writes a whole file in the place of another.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let aside = path.with_extension("new");
    match std::fs::remove_file(&aside) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = private().create_new(true).write(true).open(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&aside, path)?;
    match path.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}
