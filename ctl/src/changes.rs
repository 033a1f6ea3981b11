//! Changing files so that it can be taken back: the journal around [`Manifest`].
//!
//! Invariants:
//! - a copy of the original, then the manifest, then the change: in this order, each synced before the next;
//! - taking back restores the original bytes where the file is as we left it, and takes out only what is ours
//!   where somebody else has changed it since;
//! - both are idempotent, and may be killed and run again at any point.

use std::path::{Path, PathBuf};

use ccd_proto::paths::Layout;
use serde_json::Map;

use crate::config;
use crate::error::{CommandError, Kind, Result};
use crate::files;
use crate::manifest::{FileChange, FileKind, Manifest, Saved, backups, hash};
use crate::settings::{Document, Written};

/// A change to a file, worked out but not made.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// What the file is.
    pub kind: FileKind,
    /// Where it really is.
    pub path: PathBuf,
    /// What taking the change back shall restore; none: no file.
    pub original: Option<Vec<u8>>,
    /// What is there now.
    pub current: Option<Vec<u8>>,
    /// What shall be there.
    pub target: Option<Vec<u8>>,
    /// Keys that the target holds of ours.
    pub written: Written,
}

impl Planned {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_in_force(&self) -> bool {
        self.current == self.target
    }
}

/// What taking a change back came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undone {
    /// The file is what it was before, byte for byte.
    Restored,
    /// The file did not exist before and is gone.
    Removed,
    /// Somebody else has changed the file: only what is ours was taken out.
    TakenOut,
    /// It was so already.
    Nothing,
}

/// The manifest, and the one way to change what stands in it.
pub struct Journal<'a> {
    layout: &'a Layout,
    token: Option<String>,
    /// What was changed so far.
    pub manifest: Manifest,
    /// How many steps may still be done before the run is "killed".
    #[cfg(test)]
    pub(crate) fuse: Option<u32>,
    /// What somebody else does after so many steps.
    #[cfg(test)]
    pub(crate) meddler: Option<(u32, Box<dyn FnOnce()>)>,
}

impl<'a> Journal<'a> {
    /// The journal of this installation, or a new one.
    pub fn open(layout: &'a Layout, token: Option<String>) -> Result<Self> {
        let manifest = Manifest::load(layout)?.unwrap_or_default();
        Ok(Journal {
            layout,
            token,
            manifest,
            #[cfg(test)]
            fuse: None,
            #[cfg(test)]
            meddler: None,
        })
    }

    /// What was there before we first changed the file, as far as we know: what `plan` starts from. A file that
    /// somebody else has changed since is that one, with what is ours taken out.
    pub fn base(&self, kind: FileKind, path: &Path, current: Option<&[u8]>) -> Result<Option<Vec<u8>>> {
        let Some(current) = current else { return Ok(None) };
        match self.manifest.file(path) {
            Some(change) if change.ours.contains(&hash(current)) => Self::original(change),
            Some(change) => self.without_ours(change, current),
            None => {
                let unknown = FileChange {
                    kind,
                    path: path.to_owned(),
                    original: None,
                    ours: Vec::new(),
                    written: Written::default(),
                };
                self.without_ours(&unknown, current)
            }
        }
    }

    /// Makes a change. Says whether there was anything to do. [`Kind::Changed`]: work it out again.
    pub fn apply(&mut self, planned: &Planned) -> Result<bool> {
        let known = self.manifest.file(&planned.path).is_some();
        if planned.is_in_force() && (known || planned.original == planned.current) {
            return Ok(false);
        }
        let original = self.save_copy(planned.original.as_deref())?;
        self.step()?;
        let dirs = files::missing_dirs(&planned.path);
        self.note(planned, original, &dirs);
        self.save()?;
        self.step()?;
        for dir in &dirs {
            files::make_dir(dir)?;
            self.step()?;
        }
        if planned.is_in_force() {
            return Ok(false);
        }
        match (&planned.current, &planned.target) {
            (current, Some(target)) => files::replace(&planned.path, current.as_deref(), target)?,
            (Some(current), None) => files::remove(&planned.path, current)?,
            (None, None) => {}
        }
        self.step()?;
        Ok(true)
    }

    fn note(&mut self, planned: &Planned, original: Option<Saved>, dirs: &[PathBuf]) {
        let mut ours = planned.target.iter().map(|bytes| hash(bytes)).collect::<Vec<_>>();
        match self.manifest.files.iter_mut().find(|change| change.path == planned.path) {
            Some(change) => {
                // Contents that led back to another original are not ours to restore from any more.
                if change.original == original {
                    let more = std::mem::take(&mut change.ours)
                        .into_iter()
                        .filter(|h| !ours.contains(h))
                        .collect::<Vec<_>>();
                    ours.extend(more);
                }
                (change.original, change.ours) = (original, ours);
                change.written.clone_from(&planned.written);
            }
            None => self.manifest.files.push(FileChange {
                kind: planned.kind,
                path: planned.path.clone(),
                original,
                ours,
                written: planned.written.clone(),
            }),
        }
        for dir in dirs {
            if !self.manifest.directories.contains(dir) {
                self.manifest.directories.push(dir.clone());
            }
        }
    }

    /// Writes the manifest.
    pub fn save(&self) -> Result<()> {
        self.manifest.save(self.layout)
    }

    fn save_copy(&self, bytes: Option<&[u8]>) -> Result<Option<Saved>> {
        let Some(bytes) = bytes else { return Ok(None) };
        let blake3 = hash(bytes);
        let copy = backups(self.layout).join(format!("{}.bak", &blake3[..16]));
        let current = files::read(&copy)?;
        if current.as_deref() != Some(bytes) {
            files::make_dirs(&backups(self.layout))?;
            files::replace(&copy, current.as_deref(), bytes)?;
        }
        Ok(Some(Saved { copy, blake3 }))
    }

    /// The original's bytes, checked.
    fn original(change: &FileChange) -> Result<Option<Vec<u8>>> {
        let Some(saved) = &change.original else { return Ok(None) };
        match files::read(&saved.copy)?.filter(|bytes| hash(bytes) == saved.blake3) {
            Some(bytes) => Ok(Some(bytes)),
            None => Err(CommandError::failed(format!(
                "the copy of {} in {} is gone or damaged",
                change.path.display(),
                saved.copy.display()
            ))),
        }
    }

    /// A file's content with everything of ours taken out; none if nothing would be left of a file that did
    /// not exist before.
    fn without_ours(&self, change: &FileChange, current: &[u8]) -> Result<Option<Vec<u8>>> {
        // A lost copy only means that no earlier value can be put back.
        let original = Self::original(change).unwrap_or_default();
        let left = match change.kind {
            FileKind::Own => return Ok(original),
            FileKind::Config => {
                let ours = self.manifest.upstream.as_deref();
                if ours.is_none() || config::upstream(current)?.as_deref() != ours {
                    return Ok(Some(current.to_owned()));
                }
                let earlier = original.as_deref().map(config::upstream).transpose()?.flatten();
                let left = config::with_upstream(current, earlier.as_deref())?;
                if left.is_empty() && original.is_none() {
                    return Ok(None);
                }
                left
            }
            FileKind::Settings => {
                let document = Document::read(current).map_err(|e| e.of(&change.path))?;
                let earlier = original.as_deref().and_then(|bytes| Document::read(bytes).ok());
                let earlier = earlier.map_or_else(Map::new, |d| d.value().clone());
                let stripped = document.stripped(&earlier, &change.written, self.token.as_deref());
                let stripped = stripped.map_err(|e| e.of(&change.path))?;
                if stripped.value().is_empty() && !document.value().is_empty() && original.is_none() {
                    return Ok(None);
                }
                stripped.bytes()
            }
        };
        Ok(Some(left))
    }

    /// What taking a change back would do: the file now, the file then, and how.
    pub fn plan_undo(&self, change: &FileChange) -> Result<(Planned, Undone)> {
        let current = files::read(&change.path)?;
        let planned = |target: Option<Vec<u8>>| Planned {
            kind: change.kind,
            path: change.path.clone(),
            original: None,
            current: current.clone(),
            target,
            written: Written::default(),
        };
        let Some(bytes) = &current else { return Ok((planned(None), Undone::Nothing)) };
        let is_original = change.original.as_ref().is_some_and(|saved| saved.blake3 == hash(bytes));
        if is_original {
            return Ok((planned(current.clone()), Undone::Nothing));
        }
        // Without the copy there is still the way that works on files changed by somebody else.
        if change.ours.contains(&hash(bytes))
            && let Ok(original) = Self::original(change)
        {
            let how = if original.is_some() { Undone::Restored } else { Undone::Removed };
            return Ok((planned(original), how));
        }
        let left = self.without_ours(change, bytes)?;
        let how = if left == current { Undone::Nothing } else { Undone::TakenOut };
        Ok((planned(left), how))
    }

    /// Takes one change back, and forgets it.
    pub fn undo(&mut self, path: &Path) -> Result<Undone> {
        for _ in 0..5 {
            let Some(change) = self.manifest.file(path).cloned() else { return Ok(Undone::Nothing) };
            let (planned, how) = self.plan_undo(&change)?;
            self.step()?;
            match self.write_back(&planned) {
                Err(e) if e.kind == Kind::Changed => continue,
                other => other?,
            }
            self.step()?;
            files::tidy(path);
            self.manifest.files.retain(|change| change.path != path);
            self.save()?;
            if matches!(how, Undone::Restored | Undone::Nothing) {
                self.drop_copy(&change);
            }
            return Ok(how);
        }
        Err(CommandError::failed(format!("{} keeps being changed by somebody else", path.display()))
            .hint("try again in a moment"))
    }

    fn write_back(&self, planned: &Planned) -> Result<()> {
        if planned.is_in_force() {
            return Ok(());
        }
        if planned.kind == FileKind::Own
            && let Some(current) = &planned.current
        {
            // Somebody may have changed a file of ours: what they wrote is kept.
            let known = self.manifest.file(&planned.path).is_some_and(|c| c.ours.contains(&hash(current)));
            if !known {
                self.save_copy(Some(current))?;
            }
        }
        match (&planned.current, &planned.target) {
            (current, Some(target)) => files::replace(&planned.path, current.as_deref(), target),
            (Some(current), None) => files::remove(&planned.path, current),
            (None, None) => Ok(()),
        }
    }

    fn drop_copy(&self, change: &FileChange) {
        let Some(saved) = &change.original else { return };
        if !self.manifest.files.iter().any(|other| other.original.as_ref() == Some(saved)) {
            let _ = std::fs::remove_file(&saved.copy);
        }
    }

    /// Removes the directories that we made and that are empty now, innermost first. Returns those that
    /// somebody else has put something into.
    pub fn remove_directories(&mut self) -> Result<Vec<PathBuf>> {
        let mut kept = Vec::new();
        let mut dirs = std::mem::take(&mut self.manifest.directories);
        dirs.sort_by_key(|dir| std::cmp::Reverse(dir.components().count()));
        for dir in dirs {
            if let Err(e) = std::fs::remove_dir(&dir)
                && e.kind() == std::io::ErrorKind::DirectoryNotEmpty
            {
                kept.push(dir);
            }
        }
        self.save()?;
        Ok(kept)
    }

    /// Forgets the installation: everything was taken back.
    pub fn close(self) -> Result<()> {
        let path = self.layout.install_manifest();
        if let Some(current) = files::read(&path)? {
            files::remove(&path, &current)?;
        }
        // Kept if it still holds a copy that may be of use.
        let _ = std::fs::remove_dir(backups(self.layout));
        Ok(())
    }

    #[cfg(test)]
    fn step(&mut self) -> Result<()> {
        match self.meddler.take() {
            Some((0, meddle)) => meddle(),
            Some((left, meddle)) => self.meddler = Some((left - 1, meddle)),
            None => {}
        }
        match &mut self.fuse {
            Some(0) => Err(CommandError::failed("killed")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    #[cfg(not(test))]
    #[allow(clippy::unnecessary_wraps, clippy::unused_self)]
    fn step(&mut self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
