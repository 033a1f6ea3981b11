//! What a tree holds: its files, the words in them, what they define and what they declare as dependencies.
//!
//! Must never touch the file system: it is told.
//!
//! Invariants: after any puts and removals it is as if only the files that are left had ever been put; paths are
//! relative to the tree's root, with `/`.

use std::collections::HashMap;
use std::sync::Arc;

use ccd_detect::text::hash;

use super::content::Content;
use super::limits::{Gap, Limits};
use super::names::{ByHash, Counted, Symbols, table_heap};
use super::packed::Packed;

/// The most paths that are told of one name.
const MAX_NAMED: usize = 16;

#[derive(Debug)]
struct File {
    path: Arc<str>,
    stamp: u64,
    read: Read,
    words: Packed,
    symbols: Packed,
    declared: Box<[String]>,
}

/// How much of a file was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) source: u64,
    pub(super) text: u64,
}

/// Files of one base name.
#[derive(Debug)]
enum Ids {
    One(u32),
    Many(Vec<u32>),
}

impl Ids {
    fn as_slice(&self) -> &[u32] {
        match self {
            Self::One(id) => std::slice::from_ref(id),
            Self::Many(ids) => ids,
        }
    }
}

/// The tree.
#[derive(Debug, Default)]
pub(super) struct Table {
    files: Vec<Option<File>>,
    free: Vec<u32>,
    by_path: HashMap<Arc<str>, u32>,
    by_name: ByHash<Ids>,
    /// How many files and directories are right within; by the hash of its path.
    directories: ByHash<u32>,
    words: Counted,
    symbols: Symbols,
    declared: HashMap<String, u32>,
    /// What has been read of all files.
    pub(super) read: Read,
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(parent, _)| parent)
}

impl Table {
    /// The number and the stamp of a file.
    pub(super) fn stamp(&self, path: &str) -> Option<(u32, u64)> {
        let id = *self.by_path.get(path)?;
        let file = self.files.get(id as usize)?.as_ref()?;
        Some((id, file.stamp))
    }

    /// A file is there with this content. Tells its number.
    pub(super) fn put(&mut self, path: &str, stamp: u64, read: Read, content: &Content) -> u32 {
        self.remove(path);
        let mut numbers: Vec<u32> = content.words.iter().map(|word| self.words.add(*word).0).collect();
        let words = Packed::of(&mut numbers);
        let mut numbers: Vec<u32> = content.symbols.iter().map(|name| self.symbols.add(name)).collect();
        let symbols = Packed::of(&mut numbers);
        for name in &content.declared {
            *self.declared.entry(name.clone()).or_default() += 1;
        }
        self.read.source += read.source;
        self.read.text += read.text;
        let path: Arc<str> = path.into();
        let declared = content.declared.clone().into_boxed_slice();
        let file = File { path: Arc::clone(&path), stamp, read, words, symbols, declared };
        let id = self.free.pop().unwrap_or_else(|| {
            self.files.push(None);
            u32::try_from(self.files.len() - 1).unwrap_or(u32::MAX)
        });
        if let Some(slot) = self.files.get_mut(id as usize) {
            *slot = Some(file);
        }
        match self.by_name.entry(hash(base(&path))) {
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(Ids::One(id));
            }
            std::collections::hash_map::Entry::Occupied(mut entry) => match entry.get_mut() {
                Ids::One(first) => {
                    let first = *first;
                    entry.insert(Ids::Many(vec![first, id]));
                }
                Ids::Many(ids) => ids.push(id),
            },
        }
        let mut below = path.as_ref();
        while let Some(directory) = parent(below) {
            let count = self.directories.entry(hash(directory)).or_default();
            *count += 1;
            if *count > 1 {
                break;
            }
            below = directory;
        }
        self.by_path.insert(path, id);
        id
    }

    /// A file is gone.
    pub(super) fn remove(&mut self, path: &str) {
        let Some(id) = self.by_path.remove(path) else { return };
        let Some(file) = self.files.get_mut(id as usize).and_then(Option::take) else { return };
        self.free.push(id);
        for word in file.words.iter() {
            self.words.drop(word);
        }
        for symbol in file.symbols.iter() {
            self.symbols.drop(symbol);
        }
        for name in &file.declared {
            if let Some(count) = self.declared.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.declared.remove(name);
                }
            }
        }
        self.read.source = self.read.source.saturating_sub(file.read.source);
        self.read.text = self.read.text.saturating_sub(file.read.text);
        let name = hash(base(path));
        match self.by_name.get_mut(&name) {
            Some(Ids::Many(ids)) if ids.len() > 1 => ids.retain(|other| *other != id),
            _ => {
                self.by_name.remove(&name);
            }
        }
        let mut below = path;
        while let Some(directory) = parent(below) {
            let Some(count) = self.directories.get_mut(&hash(directory)) else { break };
            *count -= 1;
            if *count > 0 {
                break;
            }
            self.directories.remove(&hash(directory));
            below = directory;
        }
    }

    /// The files whose number `seen` does not tell.
    pub(super) fn unseen(&self, seen: &[bool]) -> Vec<Arc<str>> {
        let known = self.files.iter().enumerate();
        known
            .filter(|(id, _)| !seen.get(*id).copied().unwrap_or(false))
            .filter_map(|(_, file)| file.as_ref().map(|file| Arc::clone(&file.path)))
            .collect()
    }

    /// Which bound is passed, if one is.
    pub(super) fn over(&self, limits: &Limits) -> Option<Gap> {
        if self.by_path.len() > limits.files {
            Some(Gap::Files)
        } else if self.read.source > limits.source_bytes {
            Some(Gap::Bytes)
        } else if self.words.len() > limits.identifiers {
            Some(Gap::Identifiers)
        } else if self.symbols.len() > limits.symbols {
            Some(Gap::Symbols)
        } else {
            None
        }
    }

    pub(super) fn has_file(&self, path: &str) -> bool {
        self.by_path.contains_key(path) || self.directories.contains_key(&hash(path))
    }

    /// The paths of files of this name.
    pub(super) fn files_named(&self, name: &str) -> Vec<Arc<str>> {
        let ids = self.by_name.get(&hash(name)).map_or(&[][..], Ids::as_slice);
        let mut paths: Vec<Arc<str>> = ids
            .iter()
            .filter_map(|id| self.files.get(*id as usize)?.as_ref())
            .map(|file| Arc::clone(&file.path))
            .collect();
        paths.sort();
        paths.truncate(MAX_NAMED);
        paths
    }

    pub(super) fn has_symbol(&self, name: &str) -> bool {
        self.symbols.has(name)
    }

    pub(super) fn has_word(&self, name: &str) -> bool {
        self.words.has(hash(name)) || self.symbols.has(name)
    }

    pub(super) fn similar(&self, name: &str) -> Option<(String, u8)> {
        self.symbols.similar(name)
    }

    pub(super) fn declares(&self, name: &str) -> bool {
        self.declared.contains_key(name)
    }

    pub(super) fn declared(&self) -> impl Iterator<Item = &str> {
        self.declared.keys().map(String::as_str)
    }

    /// The Go module that `path`, a `go.mod`, declares.
    pub(super) fn module(&self, path: &str) -> Option<&str> {
        let file = self.files.get(*self.by_path.get(path)? as usize)?.as_ref()?;
        file.declared.iter().find_map(|name| name.strip_prefix("mod:"))
    }

    pub(super) fn counts(&self) -> (usize, usize, usize, usize) {
        (self.by_path.len(), self.words.len(), self.symbols.len(), self.declared.len())
    }

    /// Bytes on the heap, reckoned.
    pub(super) fn heap(&self) -> usize {
        let files: usize = self
            .files
            .iter()
            .flatten()
            .map(|file| file.path.len() + 32 + file.words.heap() + file.symbols.heap() + 32)
            .sum();
        files
            + self.files.capacity() * std::mem::size_of::<Option<File>>()
            + table_heap(self.by_path.capacity(), 24)
            + table_heap(self.by_name.capacity(), 32)
            + table_heap(self.directories.capacity(), 16)
            + self.declared.keys().map(|name| name.len() + 16).sum::<usize>()
            + table_heap(self.declared.capacity(), 32)
            + self.words.heap()
            + self.symbols.heap()
    }
}
