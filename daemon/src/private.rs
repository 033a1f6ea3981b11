//! Small files of ours that nobody else may read, in JSON, replaced as a whole: tokens, logins, what was forwarded.
//!
//! Must never follow a link, wait for a pipe, take what somebody else could have written for ours, or repeat in an error
//! what a file holds.
//!
//! Invariants: a file appears whole or not at all, is on disk when the call returns, and has the mode 0600 whatever the
//! umask.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::SystemTime;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The form of a file: what its first member, `version`, says, and how long it may be.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// The version; a file of another one is not read.
    pub version: u32,
    /// Longest file that is read, in bytes.
    pub longest: u64,
}

#[derive(Serialize, Deserialize)]
struct Whole<T> {
    version: u32,
    #[serde(flatten)]
    content: T,
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    len: u64,
    mode: u32,
    modified: Option<SystemTime>,
    /// Of its mode and its owner, too: seconds and nanoseconds.
    changed: (i64, i64),
}

/// That of the file; none where there is no file.
pub fn stamp(path: &Path) -> Result<Option<Stamp>> {
    let meta = match std::fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(Stamp {
        inode: meta.ino(),
        len: meta.len(),
        mode: meta.mode(),
        modified: meta.modified().ok(),
        changed: (meta.ctime(), meta.ctime_nsec()),
    }))
}

/// What is wrong with a file, in words that hold nothing of it.
#[must_use]
pub fn damaged(why: &str) -> Error {
    Error::new(ErrorKind::InvalidData, why)
}

/// Reads a file. One that others can read or write, or that is not of this form, is an error of [`ErrorKind::InvalidData`].
pub fn read<T: DeserializeOwned>(path: &Path, form: Form) -> Result<T> {
    let mut options = std::fs::OpenOptions::new();
    // A pipe in its place is not waited for.
    let file = options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() || meta.uid() != rustix::process::geteuid().as_raw() || meta.mode() & 0o077 != 0 {
        return Err(damaged("it is no file that only we can read"));
    }
    let mut bytes = Vec::new();
    file.take(form.longest + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > form.longest {
        return Err(damaged("it is too long"));
    }
    // What is wrong with it may quote it.
    let whole: Whole<T> = serde_json::from_slice(&bytes).map_err(|_| damaged("it is damaged"))?;
    if whole.version != form.version {
        return Err(damaged("it is of another version"));
    }
    Ok(whole.content)
}

/// Replaces a file.
pub fn write<T: Serialize>(path: &Path, form: Form, content: T) -> Result<()> {
    let mut bytes = serde_json::to_vec(&Whole { version: form.version, content }).map_err(Error::other)?;
    bytes.push(b'\n');
    replace(path, &bytes)
}

/// Puts bytes in the place of a file; its directory is made, for nobody else either, if need be.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let dir = path.parent().ok_or(ErrorKind::InvalidInput)?;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let aside = path.with_extension("new");
    // Of one that was killed here; a new file, so that its mode is ours.
    let _ = std::fs::remove_file(&aside);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&aside, path)?;
    // What was told as done is done, and what was told as gone is gone.
    std::fs::File::open(dir)?.sync_all()
}

/// Removes a file; that there is none is fine.
pub fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const FORM: Form = Form { version: 3, longest: 64 };

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Thing {
        some: Vec<u8>,
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn files_are_ours_alone_and_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/x.json");
        assert_eq!(stamp(&path).unwrap(), None);
        assert_eq!(read::<Thing>(&path, FORM).unwrap_err().kind(), ErrorKind::NotFound);
        let mut before = None;
        for some in [vec![1], vec![2, 3]] {
            write(&path, FORM, &Thing { some: some.clone() }).unwrap();
            assert_eq!(read::<Thing>(&path, FORM).unwrap(), Thing { some });
            let now = stamp(&path).unwrap();
            assert_ne!(now, before);
            before = now;
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"version\":3,\"some\":[2,3]}\n");
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert!(!path.with_extension("new").exists());
        remove(&path).unwrap();
        remove(&path).unwrap();
    }

    #[test]
    fn what_may_be_somebody_elses_or_is_damaged_is_not_taken_and_not_quoted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let refused = |words: &str| {
            let error = read::<Thing>(&path, FORM).unwrap_err();
            assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::InvalidData, words));
        };
        for (text, words) in [
            ("{\"version\":2,\"some\":[]}", "it is of another version"),
            ("{\"version\":3,\"some\":\"hush\"}", "it is damaged"),
            ("", "it is damaged"),
            (&" ".repeat(65), "it is too long"),
        ] {
            replace(&path, text.as_bytes()).unwrap();
            refused(words);
        }
        write(&path, FORM, &Thing { some: vec![] }).unwrap();
        for wrong in [0o644, 0o620, 0o602] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(wrong)).unwrap();
            refused("it is no file that only we can read");
        }
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(read::<Thing>(&link, FORM).is_err() && read::<Thing>(&path, FORM).is_ok());
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        assert!(read::<Thing>(&pipe, FORM).is_err());
    }
}
