//! Finds the transcripts below a directory.
//!
//! Must never wait for what is no file, nor go round in circles, nor read what belongs to another user.

use std::collections::HashSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use crate::ingest::cursors::FileId;
use crate::ingest::record::TranscriptPart;

/// How deep transcripts can lie below a root; a backup of a home is deeper than the client's own directories.
const DEEPEST: usize = 16;
/// Directories of the client's that hold no transcripts, and may hold much else.
const OTHERS: [&str; 2] = ["tool-results", "memory"];

/// A file as the system describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Device and inode.
    pub id: FileId,
    /// Its length in bytes.
    pub size: u64,
    /// When it was last written, nanoseconds since the Unix epoch.
    pub written_ns: u64,
    /// When it was made; where the file system does not say, when it was last written.
    pub born_ns: u64,
}

impl Stat {
    /// Of a regular file.
    #[must_use]
    pub fn of(meta: &Metadata) -> Self {
        let since = |time: std::io::Result<std::time::SystemTime>| {
            let since = time.ok()?.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
            u64::try_from(since.as_nanos()).ok()
        };
        let written_ns = since(meta.modified()).unwrap_or(0);
        let born_ns = since(meta.created()).filter(|ns| *ns > 0).unwrap_or(written_ns);
        Stat { id: (meta.dev(), meta.ino()), size: meta.len(), written_ns, born_ns }
    }
}

/// A transcript, or what lies beside one.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its path.
    pub path: PathBuf,
    /// What the system says of it.
    pub stat: Stat,
}

/// What a search came to.
#[derive(Debug, Default)]
pub struct Search {
    /// Files, the one written longest ago first.
    pub files: Vec<Found>,
    /// What could not be looked at, and why; the first few.
    pub errors: Vec<String>,
    /// How many those were.
    pub failed: u64,
}

impl Search {
    fn fail(&mut self, path: &Path, error: &std::io::Error) {
        if error.kind() == std::io::ErrorKind::NotFound {
            return;
        }
        self.failed += 1;
        if self.errors.len() < 3 {
            self.errors.push(format!("{}: {}", path.display(), plain(error)));
        }
    }
}

/// An error without the path that `fs_err` adds.
pub(super) fn plain(error: &std::io::Error) -> String {
    error
        .raw_os_error()
        .map_or_else(|| error.to_string(), |code| std::io::Error::from_raw_os_error(code).to_string())
}

/// What a file of this name is; none if it is no transcript.
#[must_use]
pub fn part_of(path: &Path) -> Option<TranscriptPart> {
    let name = path.file_name()?.as_encoded_bytes();
    if name.ends_with(b".jsonl") && name.len() > 6 && !name.starts_with(b".") {
        Some(TranscriptPart::Lines)
    } else if name.ends_with(b".meta.json") && name.starts_with(b"agent-") {
        Some(TranscriptPart::AgentMeta)
    } else {
        None
    }
}

/// Everything below these directories, each file once. Links below them are not followed: they can lead anywhere.
#[must_use]
pub fn search(roots: &[PathBuf]) -> Search {
    let own = rustix::process::geteuid().as_raw();
    let mut found = Search::default();
    let mut seen: HashSet<FileId> = HashSet::new();
    let mut waiting: Vec<(PathBuf, usize)> = roots.iter().map(|root| (root.clone(), 0)).collect();
    while let Some((dir, depth)) = waiting.pop() {
        // A root itself may be a link.
        match fs_err::metadata(&dir) {
            Ok(meta) if !meta.is_dir() || !seen.insert((meta.dev(), meta.ino())) => continue,
            Ok(_) => {}
            Err(error) => {
                found.fail(&dir, &error);
                continue;
            }
        }
        let entries = match fs_err::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) => {
                found.fail(&dir, &error);
                continue;
            }
        };
        for entry in entries.flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            let path = entry.path();
            if kind.is_dir() {
                if depth < DEEPEST && !OTHERS.iter().any(|other| entry.file_name() == *other) {
                    waiting.push((path, depth + 1));
                }
            } else if kind.is_file() && part_of(&path).is_some() {
                match entry.metadata() {
                    Ok(meta) if meta.uid() == own && seen.insert((meta.dev(), meta.ino())) => {
                        found.files.push(Found { path, stat: Stat::of(&meta) });
                    }
                    Ok(_) => {}
                    Err(error) => found.fail(&path, &error),
                }
            }
        }
    }
    // As it happened: what a session was forked from is older than the fork.
    found.files.sort_by(|a, b| (a.stat.written_ns, &a.path).cmp(&(b.stat.written_ns, &b.path)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transcripts_are_found_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("projects");
        let write = |name: &str| {
            let path = root.join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, "{}\n").unwrap();
        };
        for name in [
            "-w/s.jsonl",
            "-w/s/subagents/agent-1.jsonl",
            "-w/s/subagents/agent-1.meta.json",
            "-w/s/tool-results/x.jsonl",
            "-w/memory/m.jsonl",
            "-w/notes.txt",
            "-w/.jsonl",
        ] {
            write(name);
        }
        fs_err::os::unix::fs::symlink(&root, root.join("-w/loop")).unwrap();
        fs_err::os::unix::fs::symlink("/etc/passwd", root.join("-w/link.jsonl")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            root.join("-w/pipe.jsonl"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        let found = search(&[root.clone(), root.clone(), home.path().join("none")]);
        let mut names: Vec<_> =
            found.files.iter().map(|f| f.path.strip_prefix(&root).unwrap().display().to_string()).collect();
        names.sort();
        assert_eq!(names, ["-w/s.jsonl", "-w/s/subagents/agent-1.jsonl", "-w/s/subagents/agent-1.meta.json"]);
        assert_eq!((found.failed, found.files[0].stat.size), (0, 3));
    }
}
