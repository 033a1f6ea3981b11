//! What lies in a tree, as far as git would not ignore it, and the bytes of one file.
//!
//! Must never follow a link, open anything but a regular file, wait for what has no end, or leave the file system.
//!
//! Invariant: `node_modules` and the like are nobody's own sources, whether ignored or not; their files exist all the
//! same.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ccd_detect::text::Hash;
use ignore::{WalkBuilder, WalkState};

use super::content::Sort;

/// Changes so shortly before a look may be followed by others within the same tick of the file system's clock: two
/// seconds on the coarsest.
const TICK_NS: u64 = 2_000_000_000;
/// Bytes of a `.git` file that are read.
const MAX_GIT_FILE: u64 = 4096;
/// Where the repository keeps what belongs to its other work trees.
const WORKTREES: &[u8] = b"/worktrees/";

/// Something in a tree that is no directory.
#[derive(Debug)]
pub(super) struct Entry {
    /// Below the root, with `/`.
    pub(super) path: String,
    pub(super) on_disk: PathBuf,
    /// Changes whenever the file may have changed.
    pub(super) stamp: u64,
    pub(super) bytes: u64,
    pub(super) regular: bool,
    /// A link to sources outside of the tree.
    pub(super) outside: bool,
}

/// Directories that hold what others wrote, or a copy of the tree.
fn is_foreign(name: &OsStr) -> bool {
    matches!(
        name.as_bytes(),
        b".git"
            | b".hg"
            | b".svn"
            | b".jj"
            | b"node_modules"
            | b"bower_components"
            | b".venv"
            | b"__pycache__"
            | b".tox"
            | b".mypy_cache"
            | b".direnv"
    )
}

/// Another work tree of the same repository; a submodule is none.
fn is_worktree(directory: &Path) -> bool {
    let mut text = Vec::new();
    let read = open(&directory.join(".git")).and_then(|file| file.take(MAX_GIT_FILE).read_to_end(&mut text));
    read.is_ok_and(|_| {
        text.starts_with(b"gitdir:") && text.windows(WORKTREES.len()).any(|part| part == WORKTREES)
    })
}

/// Whether a directory's own rules can be read: whoever opened a pipe of that name would wait for ever.
fn is_sound(directory: &Path) -> bool {
    std::fs::metadata(directory.join(".gitignore")).map_or(true, |metadata| metadata.is_file())
}

fn builder(root: &Path) -> WalkBuilder {
    let mut builder = WalkBuilder::new(root);
    builder
        .standard_filters(false)
        .git_ignore(true)
        .git_exclude(true)
        .git_global(true)
        // A directory without a repository may well have a `.gitignore`.
        .require_git(false)
        .parents(false)
        .follow_links(false)
        .same_file_system(true)
        .current_dir(root);
    builder
}

/// Whether this path below the root is ignored, or lies in something that is.
pub(super) fn is_ignored(root: &Path, below: &Path, is_directory: bool) -> bool {
    if below.as_os_str().is_empty() {
        return false;
    }
    below.components().any(|part| is_foreign(part.as_os_str()))
        || below.ancestors().any(|part| !is_sound(&root.join(part)))
        || builder(root)
            .build_matchers()
            .first_mut()
            .is_some_and(|matcher| matcher.matched(below, is_directory).is_ignore())
}

/// Calls for everything in the tree that is no directory, until it tells to stop. Tells whether some could not be read.
pub(super) fn walk(root: &Path, mut found: impl FnMut(Entry) -> WalkState) -> bool {
    if !is_sound(root) {
        return true;
    }
    let unsound = Arc::new(AtomicBool::new(false));
    let mut builder = builder(root);
    let seen = Arc::clone(&unsound);
    builder.filter_entry(move |entry| {
        if entry.depth() == 0 || !entry.file_type().is_some_and(|kind| kind.is_dir()) {
            return true;
        }
        if is_foreign(entry.file_name()) || is_worktree(entry.path()) {
            return false;
        }
        let sound = is_sound(entry.path());
        seen.fetch_or(!sound, Ordering::Relaxed);
        sound
    });
    let mut unreadable = false;
    for entry in builder.build() {
        let entry = match entry {
            Ok(entry) => entry,
            // Gone meanwhile.
            Err(error) if error.io_error().is_some_and(|e| e.kind() == io::ErrorKind::NotFound) => continue,
            Err(_) => {
                unreadable = true;
                continue;
            }
        };
        if entry.depth() == 0 || entry.file_type().is_none_or(|kind| kind.is_dir()) {
            continue;
        }
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(error) => {
                unreadable |= error.io_error().is_none_or(|e| e.kind() != io::ErrorKind::NotFound);
                continue;
            }
        };
        let Some(entry) = made(root, entry.into_path(), &metadata) else { continue };
        if found(entry) == WalkState::Quit {
            break;
        }
    }
    unreadable || unsound.load(Ordering::Relaxed)
}

/// The entry of a path that lies in the tree.
pub(super) fn made(root: &Path, on_disk: PathBuf, metadata: &Metadata) -> Option<Entry> {
    let below = on_disk.strip_prefix(root).ok()?;
    let path = below.to_str().map_or_else(|| unspeakable(below), ToOwned::to_owned);
    let outside = metadata.file_type().is_symlink() && leads_outside(root, &on_disk, &path);
    Some(Entry {
        outside,
        path,
        stamp: stamp(metadata),
        bytes: metadata.len(),
        regular: metadata.file_type().is_file(),
        on_disk,
    })
}

/// A name for what has none in UTF-8. Nobody can ask for it; but what stands in it counts, and it must not be taken for
/// another.
fn unspeakable(below: &Path) -> String {
    let mut hash = Hash::default();
    hash.bytes(below.as_os_str().as_bytes());
    format!("\0{:x}/{}", hash.end(), below.to_string_lossy())
}

/// Whether a link leads to a source file, or to a directory of files, that lies outside. A hidden directory's are
/// settings.
fn leads_outside(root: &Path, link: &Path, path: &str) -> bool {
    if path.split('/').any(|part| part.starts_with('.')) {
        return false;
    }
    std::fs::canonicalize(link)
        .is_ok_and(|to| !to.starts_with(root) && (to.is_dir() || matches!(Sort::of(path), Sort::Source(_))))
}

fn stamp(metadata: &Metadata) -> u64 {
    let mut hash = Hash::default();
    for part in [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()] {
        hash.bytes(&part.to_le_bytes());
    }
    hash.hash(metadata.size());
    hash.hash(metadata.ino());
    // 0 is a stamp that no file has.
    hash.end() | 1
}

/// Whether a file changed so lately that it may change again without a sign.
fn is_fresh(metadata: &Metadata, now_ns: u64) -> bool {
    let changed = metadata.mtime().max(metadata.ctime());
    u64::try_from(changed).unwrap_or(0).saturating_mul(1_000_000_000).saturating_add(TICK_NS + 1_000_000_000)
        > now_ns
}

/// Opens what should be a file: it may have become a link, or a pipe that nobody writes to, since it was looked at.
fn open(path: &Path) -> io::Result<File> {
    std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
}

/// Reads a file's beginning into `into`. Tells its stamp, 0 if it may change without a sign, and its length.
pub(super) fn read(path: &Path, most: u64, now_ns: u64, into: &mut Vec<u8>) -> io::Result<(u64, u64)> {
    into.clear();
    let file = open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok((0, 0));
    }
    (&file).take(most).read_to_end(into)?;
    let stamp = if is_fresh(&metadata, now_ns) { 0 } else { stamp(&metadata) };
    Ok((stamp, metadata.len()))
}

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;
