//! Which blocks of the packs are still needed: two bits per possible place of a block, nothing else held in memory.
//!
//! Must never call a block needless that a marked body refers to, directly or through the recipes it rests on.

use std::collections::BTreeMap;

use crate::block::HEADER;
use crate::recipe::BlockAt;

/// A block takes at least its header, so two blocks never share a slot of this many bytes.
const SLOT: u32 = 32;
const _: () = assert!(SLOT as usize <= HEADER);

/// A set of places in one pack.
#[derive(Default)]
struct Bits(Vec<u64>);

impl Bits {
    /// Whether it was new.
    fn insert(&mut self, offset: u32) -> bool {
        let slot = offset / SLOT;
        let (word, bit) = ((slot / 64) as usize, 1_u64 << (slot % 64));
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let is_new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        is_new
    }

    fn contains(&self, offset: u32) -> bool {
        let slot = offset / SLOT;
        self.0.get((slot / 64) as usize).is_some_and(|word| word & (1 << (slot % 64)) != 0)
    }
}

/// The blocks that are needed.
#[derive(Default)]
pub(crate) struct Marks {
    blocks: BTreeMap<u32, Bits>,
    recipes: BTreeMap<u32, Bits>,
}

impl Marks {
    /// Marks a block.
    pub(crate) fn block(&mut self, at: BlockAt) {
        self.blocks.entry(at.pack).or_default().insert(at.offset);
    }

    /// Marks a block's recipe as followed, with all that it rests on; whether it was new.
    pub(crate) fn recipe(&mut self, at: BlockAt) -> bool {
        self.recipes.entry(at.pack).or_default().insert(at.offset)
    }

    /// Whether a block's recipe was followed.
    pub(crate) fn followed(&self, at: BlockAt) -> bool {
        self.recipes.get(&at.pack).is_some_and(|bits| bits.contains(at.offset))
    }

    /// Whether a block is needed.
    pub(crate) fn has(&self, at: BlockAt) -> bool {
        self.blocks.get(&at.pack).is_some_and(|bits| bits.contains(at.offset))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_mark_is_a_set(places in prop::collection::vec((1_u32..3, 0_u32..500), 0..60)) {
            let mut marks = Marks::default();
            let mut model = BTreeSet::new();
            for (pack, n) in places {
                let at = BlockAt { pack, offset: 16 + n * 36 };
                marks.block(at);
                prop_assert_eq!(marks.recipe(at), model.insert((pack, at.offset)));
            }
            for (pack, n) in (0..4_u32).flat_map(|pack| (0..501_u32).map(move |n| (pack, n))) {
                let at = BlockAt { pack, offset: 16 + n * 36 };
                prop_assert_eq!(marks.has(at), model.contains(&(pack, at.offset)));
            }
        }
    }
}
