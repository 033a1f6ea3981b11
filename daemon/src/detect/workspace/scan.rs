//! Looking through a tree: all of it, what has changed since, or one file.
//!
//! Must never lock the table while it reads a file, nor read more than the bounds allow.
//!
//! Invariants: a look that ends well leaves the table as if it had been made anew; one that does not leaves it empty,
//! and tells why.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use ccd_detect::Index;
use ignore::WalkState;

use super::content::{Content, Sort, content};
use super::limits::{Gap, Limits};
use super::place::{Place, Within};
use super::table::{Read, Table};
use super::walk::{self, Entry};
use crate::clock::{Clock, SystemClock};

/// How long a file counts as being written where nobody says that it was.
const WRITTEN: Duration = Duration::from_secs(120);
/// Files that are being written at a time.
const MAX_WRITING: usize = 64;

/// A table that others ask while it is kept up.
#[derive(Debug)]
pub(super) struct Kept {
    state: RwLock<State>,
    /// Files that somebody is writing, and since when: what they are about to say was not there before.
    writing: Mutex<Vec<(String, Instant)>>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) table: Table,
    pub(super) gap: Option<Gap>,
}

impl Default for Kept {
    fn default() -> Self {
        let state = State { table: Table::default(), gap: Some(Gap::Unbuilt) };
        Self { state: RwLock::new(state), writing: Mutex::default() }
    }
}

impl Kept {
    /// Asks.
    pub(super) fn ask<T>(&self, question: impl FnOnce(&State) -> T) -> T {
        question(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Empties it, for this reason.
    pub(super) fn give_up(&self, gap: Gap) {
        let old = self.change(|state| {
            state.gap = Some(gap);
            std::mem::take(&mut state.table)
        });
        drop(old);
    }

    /// A file is about to be written: no look takes it in before [`Kept::touch`] does, but for one that comes much later.
    pub(super) fn writing(&self, below: &str) {
        let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        writing.retain(|(path, since)| path != below && since.elapsed() < WRITTEN);
        if writing.len() < MAX_WRITING {
            writing.push((below.to_owned(), Instant::now()));
        }
    }

    fn is_being_written(&self, below: &str) -> bool {
        let writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        writing.iter().any(|(path, since)| path == below && since.elapsed() < WRITTEN)
    }

    fn written(&self, below: &str) {
        let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        writing.retain(|(path, _)| path != below);
    }

    /// Looks through the tree, reads what has changed since the last time, and forgets what is gone.
    pub(super) fn sweep(&self, root: &Path, limits: &Limits, stop: &dyn Fn() -> bool) {
        let mut seen: Vec<bool> = Vec::new();
        let mut reader = Reader { limits, buffer: Vec::new() };
        let (mut gap, mut entries) = (None, 0_usize);
        let unreadable = walk::walk(root, |entry| {
            entries += 1;
            if entry.outside {
                gap = Some(Gap::Outside);
            } else if entries > limits.files {
                gap = Some(Gap::Files);
            } else if stop() {
                gap = Some(Gap::Unbuilt);
            } else {
                let taken = if self.is_being_written(&entry.path) {
                    let known = self.ask(|state| state.table.stamp(&entry.path));
                    known.map(|(id, _)| id).ok_or(Missing::Gone)
                } else {
                    self.take(&entry, &mut reader)
                };
                match taken {
                    Ok(id) => {
                        let id = id as usize;
                        if seen.len() <= id {
                            seen.resize(id + 1, false);
                        }
                        if let Some(known) = seen.get_mut(id) {
                            *known = true;
                        }
                    }
                    Err(Missing::Gone) => {}
                    Err(Missing::Gap(why)) => gap = Some(why),
                }
            }
            if gap.is_some() { WalkState::Quit } else { WalkState::Continue }
        });
        let absent = || (!root.is_dir()).then_some(Gap::Absent);
        match gap.or(unreadable.then_some(Gap::Unreadable)).or_else(absent) {
            Some(gap) => self.give_up(gap),
            None => self.change(|state| {
                for path in state.table.unseen(&seen) {
                    state.table.remove(&path);
                }
                state.gap = None;
            }),
        }
    }

    /// Looks at one path again. Tells whether the whole has to be looked at for it.
    pub(super) fn touch(&self, root: &Path, on_disk: &Path, limits: &Limits) -> bool {
        let Ok(below) = on_disk.strip_prefix(root) else { return false };
        below.to_str().into_iter().for_each(|below| self.written(below));
        let metadata = match on_disk.symlink_metadata() {
            Ok(metadata) if metadata.is_dir() => return true,
            Ok(metadata) => metadata,
            Err(_) => {
                let known = self.change(|state| {
                    let known = below.to_str().is_some_and(|path| state.table.stamp(path).is_some());
                    below.to_str().into_iter().for_each(|path| state.table.remove(path));
                    known
                });
                return !known;
            }
        };
        let name = below.file_name().unwrap_or_default();
        // What is ignored may be another now.
        if name == ".gitignore" {
            return true;
        }
        let Some(entry) = walk::made(root, on_disk.to_path_buf(), &metadata) else { return false };
        let known = self.ask(|state| state.table.stamp(&entry.path).is_some());
        if !known && walk::is_ignored(root, below, false) {
            return false;
        }
        if entry.outside {
            self.give_up(Gap::Outside);
            return false;
        }
        match self.take(&entry, &mut Reader { limits, buffer: Vec::new() }) {
            Err(Missing::Gap(gap)) => self.give_up(gap),
            Err(Missing::Gone) => self.change(|state| state.table.remove(&entry.path)),
            Ok(_) => {}
        }
        false
    }

    /// Takes an entry in, if it is not known as it is. Tells its number.
    fn take(&self, entry: &Entry, reader: &mut Reader<'_>) -> Result<u32, Missing> {
        let (known, read) = self.ask(|state| (state.table.stamp(&entry.path), state.table.read));
        if let Some((id, stamp)) = known
            && stamp == entry.stamp
        {
            return Ok(id);
        }
        let (stamp, read, content) = reader.read(entry, read)?;
        self.change(|state| {
            let id = state.table.put(&entry.path, stamp, read, &content);
            state.table.over(reader.limits).map_or(Ok(id), |gap| Err(Missing::Gap(gap)))
        })
    }
}

enum Missing {
    /// It was there a moment ago.
    Gone,
    Gap(Gap),
}

struct Reader<'a> {
    limits: &'a Limits,
    buffer: Vec<u8>,
}

impl Reader<'_> {
    fn read(&mut self, entry: &Entry, sofar: Read) -> Result<(u64, Read, Content), Missing> {
        let sort = if entry.regular { Sort::of(&entry.path) } else { Sort::Data };
        let limits = self.limits;
        let (most, source) = match sort {
            Sort::Data => return Ok((entry.stamp, Read::default(), Content::default())),
            Sort::Source(_) if entry.bytes > limits.source_file_bytes => {
                return Err(Missing::Gap(Gap::Bytes));
            }
            Sort::Source(_) => (limits.source_file_bytes + 1, true),
            Sort::Text => (limits.text_file_bytes.min(limits.text_bytes.saturating_sub(sofar.text)), false),
        };
        let (stamp, _) = match walk::read(&entry.on_disk, most, SystemClock.now_ns(), &mut self.buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(Missing::Gone),
            Err(_) if source => return Err(Missing::Gap(Gap::Unreadable)),
            // A text that only others may read, a key: its name is enough.
            Err(_) => return Ok((entry.stamp, Read::default(), Content::default())),
        };
        let bytes = self.buffer.len() as u64;
        if source && bytes > limits.source_file_bytes {
            return Err(Missing::Gap(Gap::Bytes));
        }
        let content = content(&entry.path, &self.buffer);
        let read = if source { Read { source: bytes, text: 0 } } else { Read { source: 0, text: bytes } };
        Ok((stamp, read, content))
    }
}

/// What is asked of a table, seen from a working directory.
pub(super) struct Asked<'a> {
    pub(super) state: &'a State,
    pub(super) place: &'a Place,
}

impl Asked<'_> {
    /// Whether the path is known; where it leads if not.
    pub(super) fn file(&self, path: &str) -> Result<bool, String> {
        match self.place.within(path) {
            Within::Elsewhere => Ok(true),
            Within::Tree(path) if path.is_empty() || self.state.table.has_file(&path) => Ok(true),
            Within::Tree(path) => Err(path),
        }
    }

    pub(super) fn files_named(&self, name: &str) -> Vec<String> {
        self.state.table.files_named(name).iter().map(|path| self.place.seen(path)).collect()
    }

    /// The modules' names whose rest leads to a directory below the working directory.
    pub(super) fn modules(&self) -> Vec<String> {
        let mut directory = self.place.prefix.as_str();
        let module = loop {
            let path = if directory.is_empty() { "go.mod".to_owned() } else { format!("{directory}/go.mod") };
            if let Some(module) = self.state.table.module(&path) {
                let below = self.place.prefix.get(directory.len()..).unwrap_or_default();
                let below = below.trim_start_matches('/');
                break if below.is_empty() { module.to_owned() } else { format!("{module}/{below}") };
            }
            match directory.rsplit_once('/') {
                Some((parent, _)) => directory = parent,
                None if directory.is_empty() => return Vec::new(),
                None => directory = "",
            }
        };
        // Another module may have a name that begins like this one's, and lie anywhere.
        let others = self.state.table.declared().any(|name| {
            let rest = name.strip_prefix("mod:").unwrap_or(name).strip_prefix(&module);
            let below = rest.and_then(|rest| rest.strip_prefix('/'));
            below.is_some_and(|below| self.file(below).is_err())
        });
        if others { Vec::new() } else { vec![module] }
    }
}

/// Whether something is at this path: a look of a few microseconds. What cannot be told is there.
pub(super) fn exists(path: &Path) -> bool {
    use std::io::ErrorKind as E;
    path.symlink_metadata().map_or_else(
        |e| !matches!(e.kind(), E::NotFound | E::NotADirectory | E::InvalidInput | E::InvalidFilename),
        |_| true,
    )
}

/// A tree as it was when it was looked through.
#[derive(Debug)]
pub struct Scanned {
    kept: Kept,
    place: Option<Place>,
}

/// Looks through the tree of a working directory, here and now: a second or so for 64 MiB.
#[must_use]
pub fn scan(cwd: &Path, home: Option<&Path>, limits: &Limits) -> Scanned {
    let kept = Kept::default();
    match Place::find(cwd, home) {
        Ok(place) => {
            kept.sweep(&place.root, limits, &|| false);
            Scanned { kept, place: Some(place) }
        }
        Err(gap) => {
            kept.give_up(gap);
            Scanned { kept, place: None }
        }
    }
}

impl Scanned {
    /// Why it is not complete, if it is not.
    #[must_use]
    pub fn gap(&self) -> Option<Gap> {
        self.kept.ask(|state| state.gap)
    }

    /// What it holds.
    #[must_use]
    pub fn stats(&self) -> super::TreeStats {
        super::TreeStats::of(
            &self.kept,
            self.place.as_ref().map(|place| place.root.clone()).unwrap_or_default(),
        )
    }

    /// It, to be shared.
    #[must_use]
    pub fn shared(self) -> Arc<dyn Index> {
        Arc::new(self)
    }

    #[cfg(test)]
    pub(super) fn look_at(&self, path: &Path) {
        let place = self.place.as_ref().unwrap();
        if self.kept.touch(&place.root, path, &Limits::default()) {
            self.look_again();
        }
    }

    #[cfg(test)]
    pub(super) fn look_again(&self) {
        let place = self.place.as_ref().unwrap();
        self.kept.sweep(&place.root, &Limits::default(), &|| false);
    }

    fn ask<T: Default>(&self, question: impl FnOnce(Asked<'_>) -> T) -> T {
        let Some(place) = &self.place else { return T::default() };
        self.kept.ask(|state| question(Asked { state, place }))
    }
}

impl Index for Scanned {
    fn is_complete(&self) -> bool {
        self.gap().is_none()
    }
    fn has_file(&self, path: &str) -> bool {
        self.ask(|asked| match asked.file(path) {
            Ok(known) => known,
            Err(path) => asked.state.gap.is_none() && exists(&asked.place.root.join(path)),
        })
    }
    fn files_named(&self, name: &str) -> Vec<String> {
        self.ask(|asked| asked.files_named(name))
    }
    fn has_symbol(&self, name: &str) -> bool {
        self.ask(|asked| asked.state.table.has_symbol(name))
    }
    fn has_identifier(&self, name: &str) -> bool {
        self.ask(|asked| asked.state.table.has_word(name))
    }
    fn is_dependency(&self, name: &str) -> bool {
        self.ask(|asked| asked.state.table.declares(name))
    }
    fn similar(&self, name: &str) -> Option<(String, u8)> {
        self.ask(|asked| asked.state.table.similar(name))
    }
    fn modules(&self) -> Vec<String> {
        self.ask(|asked| asked.modules())
    }
}
