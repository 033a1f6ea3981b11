//! The recent rows in memory: what sled holds, readable whatever becomes of sled.
//!
//! When they have become a run, the next mirror takes over; scans that began before keep this one, which changes no
//! more.
//!
//! Must never hold half of a batch.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, RwLock};

use super::merged::{Entry, Source};
use super::run::Cell;
use crate::catalogue::{read, write};
use crate::error::Result;
use crate::types::Mutation;

/// How many rows a scan takes at once.
const CHUNK: usize = 64;
/// What a row takes besides its key and value: a place in the tree and two allocations, roughly.
const ROW: usize = 80;

type Map = BTreeMap<Box<[u8]>, Option<Box<[u8]>>>;

/// Rows by key; a row without a value says that the key is deleted.
#[derive(Default)]
pub(crate) struct Mirror(RwLock<Inner>);

#[derive(Default)]
struct Inner {
    map: Map,
    bytes: usize,
}

impl Mirror {
    pub(crate) fn apply(&self, batch: Vec<Mutation>) {
        let mut inner = write(&self.0);
        for mutation in batch {
            let (key, value) = match mutation {
                Mutation::Put(key, value) => (key, Some(value)),
                Mutation::Delete(key) => (key, None),
            };
            inner.insert(key, value);
        }
    }

    pub(crate) fn insert(&self, key: Vec<u8>, value: Cell) {
        write(&self.0).insert(key, value);
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<Cell> {
        read(&self.0).map.get(key).map(|value| value.as_ref().map(|value| value.to_vec()))
    }

    pub(crate) fn rows(&self) -> usize {
        read(&self.0).map.len()
    }

    /// The memory it takes, roughly.
    pub(crate) fn bytes(&self) -> usize {
        let inner = read(&self.0);
        inner.bytes + inner.map.len() * ROW
    }

    /// All rows, in order; nobody else can write meanwhile.
    pub(crate) fn each(&self, mut f: impl FnMut(&[u8], Option<&[u8]>) -> Result<()>) -> Result<()> {
        read(&self.0).map.iter().try_for_each(|(key, value)| f(key, value.as_deref()))
    }
}

impl Inner {
    fn insert(&mut self, key: Vec<u8>, value: Cell) {
        self.bytes += key.len() + value.as_ref().map_or(0, Vec::len);
        let key_len = key.len();
        if let Some(old) = self.map.insert(key.into(), value.map(Into::into)) {
            self.bytes -= key_len + old.map_or(0, |old| old.len());
        }
    }
}

/// The rows of a range, a chunk at a time.
pub(crate) struct MirrorScan {
    mirror: Arc<Mirror>,
    from: Bound<Vec<u8>>,
    to: Bound<Vec<u8>>,
    front: VecDeque<Entry>,
    back: VecDeque<Entry>,
    done: bool,
}

impl MirrorScan {
    /// The rows with `from <= key < to`; `from` must be less than `to`.
    pub(crate) fn new(mirror: Arc<Mirror>, from: &[u8], to: &[u8]) -> Self {
        let (from, to) = (Bound::Included(from.to_vec()), Bound::Excluded(to.to_vec()));
        Self { mirror, from, to, front: VecDeque::new(), back: VecDeque::new(), done: false }
    }

    fn chunk(&mut self, from_back: bool) -> VecDeque<Entry> {
        let inner = read(&self.mirror.0);
        let bounds = (self.from.as_ref().map(Vec::as_slice), self.to.as_ref().map(Vec::as_slice));
        if let (Bound::Excluded(from), Bound::Excluded(to)) = bounds
            && from >= to
        {
            self.done = true;
            return VecDeque::new();
        }
        let range = inner.map.range::<[u8], _>(bounds);
        let mut chunk = VecDeque::new();
        if from_back {
            for (key, value) in range.rev().take(CHUNK) {
                chunk.push_front((key.to_vec(), value.as_ref().map(|value| value.to_vec())));
            }
        } else {
            for (key, value) in range.take(CHUNK) {
                chunk.push_back((key.to_vec(), value.as_ref().map(|value| value.to_vec())));
            }
        }
        drop(inner);
        self.done = chunk.len() < CHUNK;
        if from_back {
            if let Some((first, _)) = chunk.front() {
                self.to = Bound::Excluded(first.clone());
            }
        } else if let Some((last, _)) = chunk.back() {
            self.from = Bound::Excluded(last.clone());
        }
        chunk
    }
}

impl Source for MirrorScan {
    fn next(&mut self) -> Result<Option<Entry>> {
        if self.front.is_empty() && !self.done {
            self.front = self.chunk(false);
        }
        Ok(self.front.pop_front().or_else(|| self.back.pop_front()))
    }

    fn next_back(&mut self) -> Result<Option<Entry>> {
        if self.back.is_empty() && !self.done {
            self.back = self.chunk(true);
        }
        Ok(self.back.pop_back().or_else(|| self.front.pop_back()))
    }
}
