//! Which files there are. Links are not followed, neither to files nor to directories; no file is opened here.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// One file.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) modified: Option<SystemTime>,
    pub(super) mode: u32,
}

/// What there is.
#[derive(Default)]
pub(super) struct Walked {
    pub(super) files: Vec<File>,
    pub(super) unreadable: Vec<(PathBuf, String)>,
}

/// Every file at and below these places, each once.
pub(super) fn files(places: &[PathBuf]) -> Walked {
    let mut walked = Walked::default();
    let mut seen = std::collections::HashSet::new();
    let mut todo: Vec<PathBuf> = places.to_vec();
    while let Some(path) = todo.pop() {
        match entry(&path) {
            Ok(Some(Entry::File(file, id))) => {
                if seen.insert(id) {
                    walked.files.push(file);
                }
            }
            Ok(Some(Entry::Dir(inner, id))) => {
                if seen.insert(id) {
                    todo.extend(inner);
                }
            }
            Ok(None) => {}
            // It may have gone in between.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => walked.unreadable.push((path, reason(&error))),
        }
    }
    walked.unreadable.sort();
    walked
}

enum Entry {
    File(File, (u64, u64)),
    Dir(Vec<PathBuf>, (u64, u64)),
}

fn entry(path: &Path) -> io::Result<Option<Entry>> {
    let meta = std::fs::symlink_metadata(path)?;
    let id = (meta.dev(), meta.ino());
    if meta.is_dir() {
        let mut inner = Vec::new();
        for entry in std::fs::read_dir(path)? {
            inner.push(entry?.path());
        }
        return Ok(Some(Entry::Dir(inner, id)));
    }
    if !meta.is_file() {
        return Ok(None);
    }
    let file = File {
        path: path.to_owned(),
        bytes: meta.len(),
        modified: meta.modified().ok(),
        mode: meta.permissions().mode() & 0o7777,
    };
    Ok(Some(Entry::File(file, id)))
}

/// Why something could not be read, without the path in it.
pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        kind => kind.to_string(),
    }
}

/// Whether somebody else on this machine can read it: the file, and every directory on the way to it.
pub(super) fn others_can_read(file: &File) -> bool {
    let dirs_open = |bit: u32| {
        file.path
            .ancestors()
            .skip(1)
            .filter(|dir| !dir.as_os_str().is_empty())
            .all(|dir| std::fs::metadata(dir).is_ok_and(|meta| meta.permissions().mode() & bit != 0))
    };
    file.mode & 0o004 != 0 && dirs_open(0o001)
}
