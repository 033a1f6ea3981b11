//! The secret that ids of records are made with.
//!
//! An id is made from the bytes that came, so that what comes twice is one record whatever the rules were meanwhile. Without
//! a key it would tell of what was taken out: whoever has the record could try values until the id fits. The key lies
//! beside the store and goes into no backup, for the same reason. Where it is lost it is made anew: what is known by an
//! older id (an event in the spool, a transcript that is imported again) may then be recorded a second time; its lines and
//! calls count once all the same.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Its length in bytes.
const LEN: usize = 32;

/// The key.
#[derive(Clone)]
pub struct IdKey([u8; LEN]);

impl std::fmt::Debug for IdKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdKey")
    }
}

impl IdKey {
    /// Of these bytes.
    #[must_use]
    pub fn new(bytes: [u8; LEN]) -> Self {
        IdKey(bytes)
    }

    /// One for this process only: where there is nowhere to keep it.
    #[must_use]
    pub fn passing() -> Self {
        let mut bytes = [0; LEN];
        if getrandom::fill(&mut bytes).is_err() {
            // No random numbers: the addresses of this process and the time are better than nothing.
            let seed =
                format!("{:p} {:?} {}", &raw const bytes, std::time::Instant::now(), std::process::id());
            bytes = *blake3::hash(seed.as_bytes()).as_bytes();
        }
        IdKey(bytes)
    }

    /// A hash that only who has the key can make.
    #[must_use]
    pub fn hasher(&self) -> blake3::Hasher {
        blake3::Hasher::new_keyed(&self.0)
    }

    /// The key in this file; made where there is none. Whoever else makes one at the same time, both have the same.
    pub fn of_file(path: &Path) -> std::io::Result<Self> {
        for _ in 0..3 {
            match fs_err::read(path) {
                Ok(bytes) => {
                    if let Ok(bytes) = <[u8; LEN]>::try_from(bytes) {
                        return Ok(IdKey(bytes));
                    }
                    tracing::warn!(file = %path.display(), "the key of the ids is damaged: it is made anew");
                    fs_err::remove_file(path)?;
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            let key = IdKey::passing();
            let aside = path.with_extension(format!("{}.tmp", std::process::id()));
            let placed = (|| {
                let mut options = File::options();
                let mut file = options.create(true).write(true).truncate(true).mode(0o600).open(&aside)?;
                file.write_all(&key.0)?;
                file.sync_all()?;
                fs_err::hard_link(&aside, path)
            })();
            let _ = fs_err::remove_file(&aside);
            match placed {
                Ok(()) => return Ok(key),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ids.key");
        let made = IdKey::of_file(&path).unwrap();
        assert_eq!(IdKey::of_file(&path).unwrap().0, made.0);
        assert_eq!(fs_err::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs_err::read_dir(dir.path()).unwrap().count(), 1);
        fs_err::write(&path, "short").unwrap();
        assert_ne!(IdKey::of_file(&path).unwrap().0, made.0);
        assert!(IdKey::of_file(&dir.path().join("none/ids.key")).is_err());
    }
}
