//! The keys in a file of their user's own, where no keychain keeps them.
//!
//! Mode 0600 whatever the umask; no link is followed; replaced as a whole, and the file before is overwritten. Who can read
//! the user's files can read it: `doctor` and `status` name it.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use super::{KeyError, KeyStore};

/// More than two keys take.
const LONGEST: u64 = 4096;
const NAME: &str = "key file";

/// A file with the keys.
#[derive(Clone, Debug)]
pub struct KeyFile {
    path: PathBuf,
}

fn failed(error: impl std::fmt::Display) -> KeyError {
    KeyError::Failed(NAME, error.to_string())
}

fn no_link() -> i32 {
    OFlags::NOFOLLOW.bits().cast_signed()
}

impl KeyFile {
    /// At this path; its directory is there once keys are stored.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        KeyFile { path: path.into() }
    }

    fn write(&self, keys: &str) -> std::io::Result<()> {
        let before = File::options().write(true).custom_flags(no_link()).open(&self.path).ok();
        let aside = self.path.with_extension("new");
        match std::fs::remove_file(&aside) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = File::options().create_new(true).write(true).mode(0o600).open(&aside)?;
        file.write_all(keys.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(&aside, &self.path)?;
        if let Some(dir) = self.path.parent() {
            File::open(dir)?.sync_all()?;
        }
        if let Some(before) = before {
            // What can be done about the blocks of a file; a file system that copies on write keeps them all the same.
            let _ = wipe(before);
        }
        Ok(())
    }
}

/// Overwrites a file that has no name any more.
pub(crate) fn wipe(mut file: File) -> std::io::Result<()> {
    let mut left = file.metadata()?.len();
    file.seek(SeekFrom::Start(0))?;
    let zeros = [0; 8192];
    while left > 0 {
        let now = left.min(zeros.len() as u64);
        file.write_all(&zeros[..usize::try_from(now).unwrap_or(zeros.len())])?;
        left -= now;
    }
    file.sync_data()
}

impl KeyStore for KeyFile {
    fn name(&self) -> &'static str {
        NAME
    }

    fn load(&self) -> Result<Option<Zeroizing<String>>, KeyError> {
        let file = match File::options().read(true).custom_flags(no_link()).open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(fs_err_like(&self.path, &error))),
        };
        let mut text = Zeroizing::new(String::with_capacity(1024));
        file.take(LONGEST).read_to_string(&mut text).map_err(|e| failed(fs_err_like(&self.path, &e)))?;
        Ok(Some(text))
    }

    fn store(&self, keys: &str) -> Result<(), KeyError> {
        self.write(keys).map_err(|error| failed(fs_err_like(&self.path, &error)))
    }
}

fn fs_err_like(path: &std::path::Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_file_is_private_replaced_as_a_whole_and_no_link() {
        let dir = tempfile::tempdir().unwrap();
        let file = KeyFile::new(dir.path().join("key"));
        assert_eq!(file.load(), Ok(None));
        for keys in ["one", "two"] {
            file.store(keys).unwrap();
            assert_eq!(file.load().unwrap().unwrap().trim(), keys);
        }
        let mode = std::fs::metadata(dir.path().join("key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
        std::fs::rename(dir.path().join("key"), dir.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), dir.path().join("key")).unwrap();
        assert!(matches!(file.load(), Err(KeyError::Failed(..))));
    }
}
