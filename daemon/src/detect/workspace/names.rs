//! The words and the definitions of a tree, each with how many files have it.
//!
//! Must never hold a word's text: a hash is enough to tell whether it is there. Definitions keep theirs, for
//! [`Symbols::similar`].
//!
//! Invariant: a name that no file has any more is gone, as if it had never been.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use ccd_detect::text::hash;
use ccd_detect::words::{likeness, parts};

/// Symbols that are compared with a name, those first that share its rarest part: what hundreds have in common says
/// little.
const MAX_COMPARED: usize = 1024;

/// Keys that are hashes already.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Plain(u64);

impl Hasher for Plain {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u64(&mut self, hash: u64) {
        // The table takes its top bits for one thing and its low bits for another; FNV's low bits are its poorest.
        self.0 = hash ^ (hash >> 32);
    }
}

pub(super) type ByHash<T> = HashMap<u64, T, BuildHasherDefault<Plain>>;

/// Bytes of a table of `capacity` entries of this size: one byte more each, an eighth free.
pub(super) fn table_heap(capacity: usize, entry: usize) -> usize {
    capacity * (entry + 1) * 8 / 7
}

/// Hashes with small numbers that are given anew when a name is gone.
#[derive(Debug, Default)]
pub(super) struct Counted {
    ids: ByHash<u32>,
    hashes: Vec<u64>,
    counts: Vec<u32>,
    free: Vec<u32>,
}

impl Counted {
    pub(super) fn has(&self, hash: u64) -> bool {
        self.ids.contains_key(&hash)
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// One more file has it. Tells its number, and whether it is new.
    pub(super) fn add(&mut self, hash: u64) -> (u32, bool) {
        if let Some(&id) = self.ids.get(&hash) {
            if let Some(count) = self.counts.get_mut(id as usize) {
                *count = count.saturating_add(1);
            }
            return (id, false);
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.hashes.push(0);
            self.counts.push(0);
            u32::try_from(self.hashes.len() - 1).unwrap_or(u32::MAX)
        });
        if let (Some(known), Some(count)) =
            (self.hashes.get_mut(id as usize), self.counts.get_mut(id as usize))
        {
            *known = hash;
            *count = 1;
        }
        self.ids.insert(hash, id);
        (id, true)
    }

    /// One file less has it. Tells whether it is gone.
    pub(super) fn drop(&mut self, id: u32) -> bool {
        let Some(count) = self.counts.get_mut(id as usize) else { return false };
        *count = count.saturating_sub(1);
        if *count > 0 {
            return false;
        }
        if let Some(hash) = self.hashes.get(id as usize) {
            self.ids.remove(hash);
        }
        self.free.push(id);
        true
    }

    fn id(&self, hash: u64) -> Option<u32> {
        self.ids.get(&hash).copied()
    }

    pub(super) fn heap(&self) -> usize {
        table_heap(self.ids.capacity(), 16)
            + self.hashes.capacity() * 8
            + (self.counts.capacity() + self.free.capacity()) * 4
    }
}

/// The definitions.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    known: Counted,
    names: Vec<Box<str>>,
    /// The hashes of their names' parts.
    parts: Vec<Box<[u64]>>,
    by_part: ByHash<Vec<u32>>,
}

fn hashed_parts(name: &str) -> Box<[u64]> {
    parts(name).iter().map(|part| hash(part)).collect()
}

impl Symbols {
    pub(super) fn has(&self, name: &str) -> bool {
        self.known.has(hash(name))
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    pub(super) fn add(&mut self, name: &str) -> u32 {
        let (id, new) = self.known.add(hash(name));
        if !new {
            return id;
        }
        let own = hashed_parts(name);
        for part in &own {
            let alike = self.by_part.entry(*part).or_default();
            // A part may be in a name twice.
            if alike.last() != Some(&id) {
                alike.push(id);
            }
        }
        let at = id as usize;
        if self.names.len() <= at {
            self.names.resize(at + 1, Box::default());
            self.parts.resize(at + 1, Box::default());
        }
        if let (Some(known), Some(parts)) = (self.names.get_mut(at), self.parts.get_mut(at)) {
            *known = name.into();
            *parts = own;
        }
        id
    }

    pub(super) fn drop(&mut self, id: u32) {
        if !self.known.drop(id) {
            return;
        }
        let (Some(name), Some(parts)) = (self.names.get_mut(id as usize), self.parts.get_mut(id as usize))
        else {
            return;
        };
        *name = Box::default();
        for part in std::mem::take(parts) {
            if let Some(alike) = self.by_part.get_mut(&part) {
                alike.retain(|other| *other != id);
                if alike.is_empty() {
                    self.by_part.remove(&part);
                }
            }
        }
    }

    /// The symbol that shares most of its parts with this name, and how much, percent; of two the first by name.
    pub(super) fn similar(&self, name: &str) -> Option<(String, u8)> {
        let own = hashed_parts(name);
        let itself = self.known.id(hash(name));
        let mut lists: Vec<&Vec<u32>> = own.iter().filter_map(|part| self.by_part.get(part)).collect();
        lists.sort_by_key(|list| list.len());
        let mut best: Option<(&str, u8)> = None;
        for id in lists.into_iter().flatten().take(MAX_COMPARED) {
            let (Some(symbol), Some(other)) = (self.names.get(*id as usize), self.parts.get(*id as usize))
            else {
                continue;
            };
            let like = likeness(&own, other);
            let better =
                best.is_none_or(|(first, most)| like > most || like == most && symbol.as_ref() < first);
            if like > 0 && Some(*id) != itself && better {
                best = Some((symbol, like));
            }
        }
        best.map(|(symbol, like)| (symbol.to_owned(), like))
    }

    pub(super) fn heap(&self) -> usize {
        // What the allocator adds to each piece is about 16 bytes.
        let names: usize = self.names.iter().map(|name| name.len() + 16).sum();
        let parts: usize = self.parts.iter().map(|parts| parts.len() * 8 + 16).sum();
        let lists: usize = self.by_part.values().map(|list| list.capacity() * 4 + 16).sum();
        self.known.heap()
            + names
            + parts
            + lists
            + self.names.capacity() * 16
            + self.parts.capacity() * 16
            + table_heap(self.by_part.capacity(), 32)
    }
}
