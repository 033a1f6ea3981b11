//! What was looked through before, known again by a keyed hash: the same piece is not scanned twice.
//!
//! Bounded: two generations, of which the older goes when the younger has half of the room. The key is drawn for each
//! process and never leaves it, so that nobody can make two pieces that are taken for one. Nothing of a piece is kept but
//! what was found in it, and that is wiped when it goes.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use crate::found::Found;

/// A place of memory for each, so that threads do not wait for each other's look-ups.
const SHARDS: usize = 16;

/// Pieces of this size are remembered: less is as quickly scanned, and more is cut.
pub(crate) const SIZES: Range<usize> = 192..(256 << 10);

/// What an entry takes beside what was found.
const ENTRY: usize = 96;

/// A piece.
pub(crate) type Key = [u8; 16];

/// What is known of a piece.
#[derive(Clone)]
pub(crate) struct Seen {
    /// How many values were known when they were looked for in it.
    pub(crate) epoch: u64,
    /// What was found, as places in the piece.
    pub(crate) found: Arc<[Found]>,
}

/// Pieces that were looked through.
pub(crate) struct Memory {
    key: [u8; 32],
    shards: Vec<Mutex<Shard>>,
    /// Bytes for a generation of a shard.
    room: usize,
}

#[derive(Default)]
struct Shard {
    young: HashMap<Key, Seen>,
    old: HashMap<Key, Seen>,
    /// Bytes of the young.
    bytes: usize,
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

impl Memory {
    /// For at most so many bytes.
    pub(crate) fn new(bytes: usize) -> Memory {
        let mut key = [0; 32];
        for (at, part) in key.chunks_exact_mut(8).enumerate() {
            // The system's randomness, by way of the standard library's.
            part.copy_from_slice(&RandomState::new().hash_one(at).to_le_bytes());
        }
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Memory { key, shards, room: bytes / SHARDS / 2 }
    }

    /// What a piece is known by. The tag tells how it is looked at.
    pub(crate) fn key(&self, tag: u8, piece: &str) -> Key {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&[tag]);
        hasher.update(piece.as_bytes());
        let mut key = [0; 16];
        key.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        key
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Seen> {
        let mut shard = self.shard(key);
        if let Some(seen) = shard.young.get(key) {
            return Some(seen.clone());
        }
        let seen = shard.old.remove(key)?;
        shard.put(*key, seen.clone(), self.room);
        Some(seen)
    }

    pub(crate) fn put(&self, key: Key, seen: Seen) {
        self.shard(&key).put(key, seen, self.room);
    }

    fn shard(&self, key: &Key) -> std::sync::MutexGuard<'_, Shard> {
        self.shards[usize::from(key[0]) % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn entries(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.lock().unwrap())
            .map(|shard| shard.young.len() + shard.old.len())
            .sum()
    }
}

impl Shard {
    fn put(&mut self, key: Key, seen: Seen, room: usize) {
        let size = ENTRY + seen.found.iter().map(|one| size_of::<Found>() + one.value.len()).sum::<usize>();
        if size > room {
            return;
        }
        if self.bytes + size > room {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
        if self.young.insert(key, seen).is_none() {
            self.bytes += size;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_what_is_used_stays() {
        let memory = Memory::new(64 << 10);
        let seen = || Seen { epoch: 7, found: Arc::default() };
        let first = memory.key(0, "first");
        memory.put(first, seen());
        for at in 0..10_000 {
            memory.put(memory.key(0, &at.to_string()), seen());
            assert_eq!(memory.get(&first).map(|seen| seen.epoch), Some(7));
        }
        assert!(memory.entries() <= (64 << 10) / ENTRY, "{}", memory.entries());
        assert!(memory.get(&memory.key(0, "0")).is_none());
        assert!(memory.key(0, "x") != memory.key(1, "x") && memory.key(0, "x") != Memory::new(0).key(0, "x"));
        let none = Memory::new(0);
        none.put(first, seen());
        assert!(none.get(&first).is_none());
    }
}
