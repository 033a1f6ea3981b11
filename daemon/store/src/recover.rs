//! Opening the index, whatever state it is in: a ladder from "as it is" down to "a new one".
//!
//! 1. Remove the head's `snap.*.generating` (left by a crash, sled never opens again with it), open.
//! 2. Remove all its `snap.*` (sled can do without), open.
//! 3. Set the head aside as `quarantine-<n>` (only the newest is kept), go on with what the runs hold and an empty head.
//! 4. If a run or `current` cannot be read: set the whole generation aside, start an empty index.
//!
//! sled may panic or hang on damaged files, so each try has a thread of its own and a time limit.
//!
//! The index lives in a generation of its own, `index/<n>/`; the highest number counts. Starting over is starting the
//! next generation: a thread that still holds the old one cannot harm it. So it is with heads.
//!
//! Must never set an index aside because the disk is full, or there are no more file descriptors, or another process has
//! it.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use crate::error::{Result, StoreError};
use crate::files;
use crate::index::{Generation, Head, LayeredIndex, Mirror};
use crate::types::Options;

const QUARANTINE: &str = "quarantine-";
/// Beside a generation that is being built: it does not count yet.
const UNFINISHED: &str = ".unfinished";
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// How long an index that is being dropped may hold on to its files.
const RELEASE_LIMIT: Duration = Duration::from_secs(5);

/// How the index was opened.
pub(crate) enum Found {
    /// As it was left.
    Intact,
    /// Without the head's snapshots, or without the head.
    Repaired(String),
    /// There was none.
    Missing,
    /// It could not be opened, and was set aside.
    Replaced(String),
}

/// Where the index's generations are.
pub(crate) struct IndexDir {
    root: PathBuf,
    quarantine: PathBuf,
}

impl IndexDir {
    pub(crate) fn new(version_dir: &Path) -> Self {
        Self { root: version_dir.join("index"), quarantine: version_dir.to_owned() }
    }

    /// Climbs down the ladder until an index is open.
    pub(crate) fn open(&self, options: &Options) -> Result<(LayeredIndex, Found)> {
        files::private_dir(&self.root)?;
        let mut generations = self.generations()?;
        let Some((number, dir)) = generations.pop() else {
            return Ok((self.create(1, options)?, Found::Missing));
        };
        remove_old(generations);
        match Generation::open(&dir) {
            Ok(generation) => self.open_head(generation, options),
            Err(error) => {
                let error = self.worth_repairing(error)?;
                tracing::error!(%error, "the index is lost and set aside; it comes back from the journal");
                self.set_aside(&dir)?;
                Ok((self.create(self.next()?.max(number + 1), options)?, Found::Replaced(error.to_string())))
            }
        }
    }

    fn open_head(&self, mut generation: Generation, options: &Options) -> Result<(LayeredIndex, Found)> {
        let dir = generation.head_dir();
        let found = if dir.is_dir() {
            remove_snapshots(&dir, |name| name.ends_with(".generating"))?;
            Found::Intact
        } else if generation.runs.is_empty() {
            Found::Missing
        } else {
            Found::Repaired("its recent rows were gone".into())
        };
        let first = match attempt(&dir, options) {
            Ok((head, mirror)) => return Ok((LayeredIndex::new(generation, head, mirror, options), found)),
            Err(error) => self.worth_repairing(error)?,
        };
        tracing::warn!(error = %first, "the index does not open; trying without its snapshots");
        remove_snapshots(&dir, |_| true)?;
        let second = match attempt(&dir, options) {
            Ok((head, mirror)) => {
                let index = LayeredIndex::new(generation, head, mirror, options);
                return Ok((index, Found::Repaired(first.to_string())));
            }
            Err(error) => self.worth_repairing(error)?,
        };
        tracing::error!(error = %second, "the index's recent rows are set aside; they come back from the journal");
        generation.replace_head()?;
        self.set_aside(&dir)?;
        let found = if generation.runs.is_empty() { Found::Replaced } else { Found::Repaired };
        let (head, mirror) = attempt(&generation.head_dir(), options)?;
        Ok((LayeredIndex::new(generation, head, mirror, options), found(first.to_string())))
    }

    /// Starts an empty generation. The previous one may still be open; its files go.
    pub(crate) fn start_over(&self, options: &Options) -> Result<LayeredIndex> {
        let old = self.generations()?;
        let index = self.create(self.next()?, options)?;
        remove_old(old);
        Ok(index)
    }

    /// Begins a generation that does not count until it is finished.
    pub(crate) fn begin(&self, options: &Options) -> Result<(u32, LayeredIndex)> {
        let number = self.next()?;
        drop(files::create(&self.root.join(format!("{number:06}{UNFINISHED}")))?);
        Ok((number, self.create(number, options)?.in_bulk()))
    }

    /// Makes a generation count, above all others.
    pub(crate) fn finish(&self, number: u32) -> Result<()> {
        files::remove(&self.root.join(format!("{number:06}{UNFINISHED}")))?;
        files::sync_dir(&self.root)
    }

    /// Removes all other generations that count, also one that took over meanwhile and is newer.
    pub(crate) fn keep(&self, number: u32) -> Result<()> {
        let mut others = self.generations()?;
        others.retain(|(other, _)| *other != number);
        others.into_iter().try_for_each(|(_, dir)| files::remove(&dir))
    }

    /// Removes the generations that were begun and never finished. For a start only.
    pub(crate) fn remove_unfinished(&self) -> Result<()> {
        self.unfinished()?.into_iter().try_for_each(|(number, _)| self.discard(number))
    }

    /// Removes a generation that was begun.
    pub(crate) fn discard(&self, number: u32) -> Result<()> {
        files::remove(&self.root.join(format!("{number:06}")))?;
        files::remove(&self.root.join(format!("{number:06}{UNFINISHED}")))
    }

    /// A number that no generation has.
    fn next(&self) -> Result<u32> {
        let taken = self.generations()?.into_iter().chain(self.unfinished()?);
        Ok(taken.map(|(number, _)| number).max().unwrap_or(0) + 1)
    }

    fn unfinished(&self) -> Result<Vec<(u32, PathBuf)>> {
        files::numbered(&self.root, UNFINISHED)
    }

    fn create(&self, number: u32, options: &Options) -> Result<LayeredIndex> {
        let generation = Generation::open(&self.root.join(format!("{number:06}")))?;
        let (head, mirror) = attempt(&generation.head_dir(), options)?;
        Ok(LayeredIndex::new(generation, head, mirror, options))
    }

    fn generations(&self) -> Result<Vec<(u32, PathBuf)>> {
        let unfinished = self.unfinished()?;
        let mut all = files::numbered(&self.root, "")?;
        all.retain(|(number, _)| unfinished.iter().all(|(other, _)| other != number));
        Ok(all)
    }

    /// Passes on what no repair helps against.
    fn worth_repairing(&self, error: StoreError) -> Result<StoreError> {
        let in_use = is_in_use(&error);
        match error {
            StoreError::Index(_) if in_use => {
                Err(StoreError::Index(format!("{}: it is still in use", self.root.display())))
            }
            error @ (StoreError::Index(_) | StoreError::Damaged { .. }) => Ok(error),
            other => Err(other),
        }
    }

    fn set_aside(&self, dir: &Path) -> Result<()> {
        let mut newest = 0;
        for (number, old) in files::named(&self.quarantine, QUARANTINE, "")? {
            newest = newest.max(number);
            files::remove(&old)?;
        }
        let target = self.quarantine.join(format!("{QUARANTINE}{}", newest + 1));
        fs_err::rename(dir, target).map_err(|e| StoreError::io(dir, e))
    }
}

/// Who still has them open may be removing things too: then the next opening does the rest.
fn remove_old(generations: Vec<(u32, PathBuf)>) {
    for (_, dir) in generations {
        if let Err(error) = files::remove(&dir) {
            tracing::warn!(%error, "could not remove an old index");
        }
    }
}

fn remove_snapshots(dir: &Path, which: impl Fn(&str) -> bool) -> Result<()> {
    for (path, _) in files::entries(dir)? {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("snap.") && which(name) {
            files::remove(&path)?;
        }
    }
    Ok(())
}

/// Tries to open the head in `dir`. The store's own lock is held, so who has this one can only be an index of ours
/// that is being dropped: sled's threads let go of it a moment later.
fn attempt(dir: &Path, options: &Options) -> Result<(Head, Mirror)> {
    files::private_dir(dir)?;
    let begun = Instant::now();
    loop {
        match attempt_once(dir, options) {
            Err(error) if is_in_use(&error) && begun.elapsed() < RELEASE_LIMIT => {
                std::thread::sleep(Duration::from_millis(10));
            }
            result => return result,
        }
    }
}

fn is_in_use(error: &StoreError) -> bool {
    matches!(error, StoreError::Index(why) if why.contains("could not acquire lock"))
}

/// Opens on a thread of its own. A thread that hangs is left behind.
fn attempt_once(dir: &Path, options: &Options) -> Result<(Head, Mirror)> {
    let (send, receive) = sync_channel(1);
    let (path, options) = (dir.to_owned(), *options);
    std::thread::Builder::new()
        .name("ccd-index-open".into())
        .spawn(move || drop(send.send(Head::open(&path, &options))))
        .map_err(|e| StoreError::io(dir, e))?;
    let failed = |why: &str| StoreError::Index(format!("{}: sled {why}", dir.display()));
    match receive.recv_timeout(TIME_LIMIT) {
        Ok(opened) => opened,
        Err(RecvTimeoutError::Disconnected) => Err(failed("panicked while opening")),
        Err(RecvTimeoutError::Timeout) => Err(failed("did not open in time")),
    }
}
