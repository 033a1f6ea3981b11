//! What a generation's directory holds, and which of it counts.
//!
//! ```text
//! current          "CCDCUR1\n" | crc u32 | CurrentV1: the head and the runs, the oldest first
//! head-<n>/        sled: the recent rows
//! runs/<n>.run     the others
//! damaged          present if a run was found damaged
//! ```
//!
//! `current` is replaced whole (written beside, fsynced, renamed). What it does not name is left over from a crash and
//! is removed at opening. A number is never used twice.
//!
//! Must never remove what `current` names, nor take a damaged `current` for a missing one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::cache::Cache;
use super::run::Run;
use crate::codec;
use crate::error::{Result, StoreError};
use crate::files;

const CURRENT: &str = "current";
const DAMAGED: &str = "damaged";
const HEAD: &str = "head-";
const RUN: &str = ".run";
const MAGIC: &[u8; 8] = b"CCDCUR1\n";
const PREFIX: usize = 8 + 4;

/// What counts. Frozen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CurrentV1 {
    pub(crate) head: u32,
    /// The oldest first.
    pub(crate) runs: Vec<u32>,
}

/// A generation whose head is not open yet.
pub(crate) struct Generation {
    pub(crate) dir: PathBuf,
    pub(crate) current: CurrentV1,
    /// The next number for a head or a run.
    pub(crate) next: u32,
    /// The oldest first.
    pub(crate) runs: Vec<Arc<Run>>,
    pub(crate) cache: Arc<Cache>,
}

impl Generation {
    /// Opens the generation in `dir`, or starts it if there is nothing yet.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        files::private_dir(dir)?;
        files::private_dir(&dir.join("runs"))?;
        if dir.join(DAMAGED).exists() {
            return Err(StoreError::Index(format!("{}: a run was found damaged", dir.display())));
        }
        let heads = files::named(dir, HEAD, "")?;
        let runs = files::numbered(&dir.join("runs"), RUN)?;
        let current = match read(dir)? {
            Some(current) => current,
            None if heads.is_empty() && runs.is_empty() => {
                let current = CurrentV1 { head: 1, runs: Vec::new() };
                write(dir, &current)?;
                current
            }
            None => return Err(StoreError::Index(format!("{} is missing", dir.join(CURRENT).display()))),
        };
        let left_heads = heads.iter().filter(|(number, _)| *number != current.head);
        let left_runs = runs.iter().filter(|(number, _)| !current.runs.contains(number));
        for (_, path) in left_heads.chain(left_runs) {
            remove_left_over(path);
        }
        remove_left_over(&beside(dir));
        let used = heads.iter().chain(&runs).map(|(number, _)| *number);
        let next = used.chain(current.runs.iter().copied()).chain([current.head]).max().unwrap_or(0) + 1;
        let cache = Arc::new(Cache::new());
        let open =
            |number: &u32| Run::open(&run_path(dir, *number), *number, Arc::clone(&cache)).map(Arc::new);
        let runs = current.runs.iter().map(open).collect::<Result<_>>()?;
        Ok(Self { dir: dir.to_owned(), current, next, runs, cache })
    }

    pub(crate) fn head_dir(&self) -> PathBuf {
        head_dir(&self.dir, self.current.head)
    }

    /// Goes on with a head that does not exist yet.
    pub(crate) fn replace_head(&mut self) -> Result<()> {
        let current = CurrentV1 { head: self.next, ..self.current.clone() };
        self.next += 1;
        write(&self.dir, &current)?;
        self.current = current;
        Ok(())
    }
}

fn remove_left_over(path: &Path) {
    if let Err(error) = files::remove(path) {
        tracing::warn!(%error, "could not remove what a crash left in the index");
    }
}

pub(crate) fn head_dir(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{HEAD}{number}"))
}

pub(crate) fn run_path(dir: &Path, number: u32) -> PathBuf {
    dir.join("runs").join(format!("{number:06}{RUN}"))
}

/// Has the generation set aside at the next opening.
pub(crate) fn mark_damaged(dir: &Path) -> Result<()> {
    files::create(&dir.join(DAMAGED))?;
    files::sync_dir(dir)
}

fn beside(dir: &Path) -> PathBuf {
    dir.join("current.new")
}

/// What counts on disk; none if there is no `current`.
pub(crate) fn read(dir: &Path) -> Result<Option<CurrentV1>> {
    let path = dir.join(CURRENT);
    let bytes = match fs_err::read(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|e| StoreError::io(&path, e))?,
    };
    let body = bytes.split_at_checked(PREFIX).and_then(|(prefix, body)| {
        let good = prefix[..8] == *MAGIC && prefix[8..] == crc32fast::hash(body).to_le_bytes();
        good.then(|| codec::decode::<CurrentV1>(body)).flatten()
    });
    body.map(Some).ok_or_else(|| StoreError::Index(format!("{} is damaged", path.display())))
}

/// Switches over to another head and other runs. After an error it is uncertain which of them count: both must stay.
pub(crate) fn write(dir: &Path, current: &CurrentV1) -> Result<()> {
    let body = codec::encode(current)?;
    let bytes = [&MAGIC[..], &crc32fast::hash(&body).to_le_bytes(), &body].concat();
    let (path, new) = (dir.join(CURRENT), beside(dir));
    let file = files::create(&new)?;
    file.cut(0)?;
    file.write(&bytes, 0)?;
    file.sync()?;
    fs_err::rename(&new, &path).map_err(|e| StoreError::io(&path, e))?;
    files::sync_dir(dir)
}
