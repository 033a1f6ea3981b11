//! A few pages of the runs, kept in memory once their checksums were found good: at most 1 MiB.
//!
//! Must never grow: a page has one slot, and displaces what was there.

use std::sync::{Arc, Mutex};

use crate::catalogue::lock;

const SLOTS: usize = 128;
/// Larger pages are not kept.
const LARGEST: usize = 8 << 10;

/// A run's number, and a page's offset in it.
type Name = (u32, u64);

type Slot = Mutex<Option<(Name, Arc<[u8]>)>>;

/// Pages by run and offset.
pub(crate) struct Cache(Vec<Slot>);

impl Cache {
    pub(crate) fn new() -> Self {
        Self((0..SLOTS).map(|_| Mutex::default()).collect())
    }

    fn slot(&self, (run, at): Name) -> &Slot {
        let mixed = (at ^ (u64::from(run) << 40)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        &self.0[mixed as usize % SLOTS]
    }

    pub(crate) fn get(&self, name: Name) -> Option<Arc<[u8]>> {
        lock(self.slot(name)).as_ref().filter(|(held, _)| *held == name).map(|(_, page)| Arc::clone(page))
    }

    pub(crate) fn put(&self, name: Name, page: &Arc<[u8]>) {
        if page.len() <= LARGEST {
            *lock(self.slot(name)) = Some((name, Arc::clone(page)));
        }
    }
}
