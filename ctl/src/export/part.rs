//! A file that is being written, as `FILE.part`, and beside it, as `FILE.part.cursor`, how far it is whole.
//!
//! Invariants: what the cursor file says is on the disk; the name itself is only taken by a file that is whole, and never from
//! a file that is there unless that was asked for; both are their owner's alone and never links.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::page::is_there;
use crate::error::{CommandError, Result};

/// How far a file is whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// What was typed: with something else it is another export.
    pub typed: String,
    /// What the daemon is asked for.
    pub target: String,
    /// Where the daemon goes on; none: at the beginning.
    pub cursor: Option<String>,
    /// Bytes of the file that are whole.
    pub len: u64,
}

/// The file.
pub(super) struct Part {
    file: File,
    to: PathBuf,
    force: bool,
    /// Bytes written.
    pub len: u64,
}

fn beside(to: &Path, end: &str) -> PathBuf {
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(end);
    to.with_file_name(name)
}

fn options() -> std::fs::OpenOptions {
    let mut options = File::options();
    options.write(true).mode(0o600);
    options.custom_flags(i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default());
    options
}

fn failed(path: &Path, error: &io::Error) -> CommandError {
    CommandError::failed(format!("cannot write {}: {error}", path.display()))
}

impl Part {
    /// That there is none that was interrupted.
    pub(super) fn check(to: &Path) -> Result<()> {
        let at = beside(to, ".part");
        if at.symlink_metadata().is_err() {
            return Ok(());
        }
        Err(CommandError::failed(format!("{} is there: an export that was interrupted", at.display()))
            .hint("the same command with --resume goes on with it; with --force alone it is begun again"))
    }

    /// A new one.
    pub(super) fn create(to: &Path, force: bool) -> Result<Self> {
        let at = beside(to, ".part");
        // A device or a pipe is written to, and never replaced.
        if to.metadata().is_ok_and(|meta| !meta.is_file()) {
            return Err(CommandError::failed(format!("{} is no file that can be replaced", to.display()))
                .hint("without -o it goes to standard output"));
        }
        if force {
            Self::forget(to);
        }
        Self::check(to)?;
        let file = options().create_new(true).open(&at).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                CommandError::failed(format!("cannot write {}: there is no such directory", to.display()))
            }
            _ => failed(&at, &error),
        })?;
        Ok(Part { file, to: to.to_owned(), force, len: 0 })
    }

    /// One that was interrupted, cut back to where it is whole.
    pub(super) fn resume(to: &Path, force: bool) -> Result<(Self, Place)> {
        let at = beside(to, ".part");
        let nothing = |why: &str| {
            CommandError::failed(format!("there is nothing to go on with: {why}"))
                .hint("without --resume it is begun")
        };
        let place = std::fs::read(beside(to, ".part.cursor"));
        let place = place.map_err(|_| nothing(&format!("no {} that was interrupted", at.display())))?;
        let place: Place = serde_json::from_slice(&place)
            .map_err(|_| nothing(&format!("how far {} is whole cannot be read", at.display())))?;
        let mut file = options().open(&at).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => nothing(&format!("{} is gone", at.display())),
            _ => failed(&at, &error),
        })?;
        let meta = file.metadata().map_err(|error| failed(&at, &error))?;
        if !meta.is_file() || meta.len() < place.len {
            return Err(nothing(&format!("{} has less in it than it had", at.display())));
        }
        file.set_len(place.len).map_err(|error| failed(&at, &error))?;
        file.seek(SeekFrom::End(0)).map_err(|error| failed(&at, &error))?;
        Ok((Part { file, to: to.to_owned(), force, len: place.len }, place))
    }

    /// Removes what was begun.
    pub(super) fn forget(to: &Path) {
        // What cannot be removed is in the way, and is told of then.
        let _ = std::fs::remove_file(beside(to, ".part"));
        let _ = std::fs::remove_file(beside(to, ".part.cursor"));
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|error| failed(&beside(&self.to, ".part"), &error))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Everything so far is whole: it and the place go to the disk.
    pub(super) fn keep(&mut self, place: &Place) -> Result<()> {
        let at = beside(&self.to, ".part.cursor");
        let new = beside(&self.to, ".part.cursor.new");
        let write = || {
            self.file.sync_data()?;
            let mut file = options().create(true).truncate(true).open(&new)?;
            file.write_all(&serde_json::to_vec(place)?)?;
            file.sync_data()?;
            std::fs::rename(&new, &at)
        };
        write().map_err(|error| failed(&at, &error))
    }

    /// It is whole: it takes its name.
    pub(super) fn finish(self) -> Result<()> {
        let at = beside(&self.to, ".part");
        self.file.sync_all().map_err(|error| failed(&at, &error))?;
        let moved = if self.force {
            std::fs::rename(&at, &self.to)
        } else {
            // A second name is only given where there is none.
            match std::fs::hard_link(&at, &self.to) {
                Ok(()) => std::fs::remove_file(&at),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(is_there(&self.to)),
                // Where files have one name only.
                Err(_) if self.to.symlink_metadata().is_err() => std::fs::rename(&at, &self.to),
                Err(error) => Err(error),
            }
        };
        moved.map_err(|error| failed(&self.to, &error))?;
        let _ = std::fs::remove_file(beside(&self.to, ".part.cursor"));
        Ok(())
    }
}
