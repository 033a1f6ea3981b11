//! Storing bodies: cut, look up what is known, write what is new, write the recipe.
//!
//! A *family* is what the caller says belongs together (a session's requests): its last body is the base of the next
//! one's recipe, and its blocks form groups. Families are kept in memory only, and only so many; a body of an unknown
//! family gets a recipe that stands alone.
//!
//! Must never take a piece for known that a failed sync has put in doubt.

use std::collections::{HashMap, HashSet};

use crate::block::{BLOCK_MAX, BlockMetaV1};
use crate::catalogue::{read, write};
use crate::error::Result;
use crate::pack::{GroupTail, PackWriter};
use crate::packs::hash;
use crate::recipe::{self, Base, BlockAt, Hash, Piece, PieceAt};
use crate::shared::Shared;
use crate::split;
use crate::types::BlobRef;

/// Bodies shorter than this are one piece.
const SMALL: usize = 512;
const FAMILIES: usize = 64;
/// How many pieces all families together remember.
const REMEMBERED: usize = 64 << 10;
/// How many bodies are remembered as whole.
const WHOLE: usize = 4_096;

#[derive(Default)]
struct Family {
    base: Option<Base>,
    group: Option<GroupTail>,
    used: u64,
}

impl Family {
    fn weight(&self) -> usize {
        self.base.as_ref().map_or(0, |base| base.pieces.len())
    }
}

/// What is remembered of the bodies stored last.
#[derive(Default)]
pub(crate) struct Families {
    by_name: HashMap<Vec<u8>, Family>,
    clock: u64,
    /// Bodies that this process wrote or has read back: a request that is sent again is not read back each time.
    whole: HashSet<Hash>,
}

impl Families {
    /// Forgets everything: what was remembered may be in doubt.
    pub(crate) fn forget(&mut self) {
        self.by_name.clear();
        self.whole.clear();
    }

    fn remember(&mut self, blob: &BlobRef) {
        if self.whole.len() >= WHOLE {
            self.whole.clear();
        }
        self.whole.insert(blob.id);
    }

    fn take(&mut self, name: &[u8]) -> Family {
        self.by_name.remove(name).unwrap_or_default()
    }

    fn put(&mut self, name: &[u8], mut family: Family) {
        self.clock += 1;
        family.used = self.clock;
        self.by_name.insert(name.to_vec(), family);
        while self.by_name.len() > FAMILIES
            || (self.by_name.len() > 1
                && self.by_name.values().map(Family::weight).sum::<usize>() > REMEMBERED)
        {
            let oldest =
                self.by_name.iter().min_by_key(|(_, family)| family.used).map(|(name, _)| name.clone());
            self.by_name.remove(&oldest.unwrap_or_default());
        }
    }
}

/// Names written since the last good sync, to be forgotten if it fails.
#[derive(Default)]
pub(crate) struct Unsynced {
    pub(crate) pieces: HashSet<Hash>,
    pub(crate) recipes: HashSet<Hash>,
}

/// Stores a body, unless it is known.
pub(crate) fn put(
    shared: &Shared,
    writer: &mut PackWriter,
    families: &mut Families,
    unsynced: &mut Unsynced,
    name: &[u8],
    body: &[u8],
) -> Result<BlobRef> {
    let blob = BlobRef { id: hash(body), len: body.len() as u64 };
    if body.is_empty() || families.whole.contains(&blob.id) {
        return Ok(blob);
    }
    if is_known(shared, &blob, body) {
        families.remember(&blob);
        return Ok(blob);
    }
    let mut family = families.take(name);
    let mut put = Put { shared, writer, unsynced, group: family.group, block: None };
    let stored = if body.len() < SMALL {
        put.pieces(body, &[body.len()], &[])
    } else {
        let base = family.base.as_ref().map_or(&[][..], |base| &base.pieces);
        put.pieces(body, &split::split(body), base)
    };
    let stored = stored.and_then(|pieces| Ok((put.finish(&blob, &pieces, family.base.as_ref())?, pieces)));
    family.group = put.group;
    let result = stored.map(|(base, pieces)| {
        if let Some((at, depth)) = base {
            family.base = Some(Base { at, depth, pieces });
        }
        blob
    });
    families.put(name, family);
    if result.is_ok() {
        families.remember(&blob);
    }
    result
}

/// While the index fails, nothing in it is known, and is stored again: space is cheaper than a lost body.
fn known<T>(found: Result<Option<T>>) -> Option<T> {
    found.unwrap_or_else(|error| {
        tracing::debug!(%error, "storing without asking the index");
        None
    })
}

/// Whether a body is stored. What another process wrote may be damaged by now: then it is stored again.
fn is_known(shared: &Shared, blob: &BlobRef, body: &[u8]) -> bool {
    match known(shared.known_recipe(&blob.id)) {
        Some(at) => shared.packs.body(blob, at, &|block| shared.home(block)).is_ok_and(|found| found == body),
        None => known_piece(shared, &blob.id, body).is_some(),
    }
}

/// Where a piece is, if it can be read there. What this process wrote, or read when it opened, is not read again.
fn known_piece(shared: &Shared, hash: &Hash, bytes: &[u8]) -> Option<PieceAt> {
    let at = known(shared.known_piece(hash))?;
    let is_fresh = read(&shared.pending).pieces.contains_key(hash);
    (is_fresh || shared.packs.piece(at).is_ok_and(|found| found == bytes)).then_some(at)
}

/// A block being filled.
struct OpenBlock {
    at: BlockAt,
    pieces: Vec<u32>,
    hashes: Vec<Hash>,
    raw: Vec<u8>,
}

struct Put<'a> {
    shared: &'a Shared,
    writer: &'a mut PackWriter,
    unsynced: &'a mut Unsynced,
    group: Option<GroupTail>,
    block: Option<OpenBlock>,
}

impl Put<'_> {
    /// Finds or stores each piece.
    fn pieces(&mut self, body: &[u8], ends: &[usize], base: &[Piece]) -> Result<Vec<Piece>> {
        let mut pieces = Vec::with_capacity(ends.len());
        let mut new: HashMap<Hash, PieceAt> = HashMap::new();
        let mut start = 0;
        for (position, &end) in ends.iter().enumerate() {
            let bytes = &body[start..end];
            start = end;
            let hash = hash(bytes);
            let known = match base.get(position) {
                Some(piece) if piece.hash == hash => Some(piece.at),
                _ => match new.get(&hash) {
                    Some(at) => Some(*at),
                    None => known_piece(self.shared, &hash, bytes),
                },
            };
            let at = match known {
                Some(at) => at,
                None => *new.entry(hash).or_insert(self.add(hash, bytes)?),
            };
            pieces.push(Piece { hash, at });
        }
        Ok(pieces)
    }

    fn add(&mut self, hash: Hash, bytes: &[u8]) -> Result<PieceAt> {
        if self.block.as_ref().is_some_and(|block| block.raw.len() + bytes.len() > BLOCK_MAX) {
            self.write(None)?;
        }
        let block = match &mut self.block {
            Some(block) => block,
            none => none.insert(OpenBlock {
                at: self.writer.next_place()?,
                pieces: Vec::new(),
                hashes: Vec::new(),
                raw: Vec::new(),
            }),
        };
        let entry = u32::try_from(block.pieces.len()).unwrap_or(u32::MAX);
        block.pieces.push(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        block.hashes.push(hash);
        block.raw.extend_from_slice(bytes);
        Ok(PieceAt { block: block.at, entry })
    }

    /// Writes the block that is open, and the recipe with it.
    fn write(&mut self, recipe: Option<recipe::RecipeV1>) -> Result<BlockAt> {
        let block = match self.block.take() {
            Some(block) => block,
            None => OpenBlock {
                at: self.writer.next_place()?,
                pieces: Vec::new(),
                hashes: Vec::new(),
                raw: Vec::new(),
            },
        };
        let meta = BlockMetaV1 { pieces: block.pieces, recipe, former: Vec::new() };
        let group = self.writer.write(block.at, &meta, &block.raw, self.group)?;
        self.group = group.or(self.group);
        let mut pending = write(&self.shared.pending);
        for (hash, entry) in block.hashes.into_iter().zip(0..) {
            pending.pieces.insert(hash, PieceAt { block: block.at, entry });
            self.unsynced.pieces.insert(hash);
        }
        if let Some(recipe) = meta.recipe {
            pending.recipes.insert(recipe.id, block.at);
            self.unsynced.recipes.insert(recipe.id);
        }
        Ok(block.at)
    }

    /// Writes what is left, and the recipe if the body needs one. Returns where it is and how deep.
    fn finish(
        &mut self,
        blob: &BlobRef,
        pieces: &[Piece],
        base: Option<&Base>,
    ) -> Result<Option<(BlockAt, u8)>> {
        if pieces.len() < 2 {
            if self.block.is_some() {
                self.write(None)?;
            }
            return Ok(None);
        }
        let recipe = recipe::write(blob.id, blob.len, pieces, base);
        let depth = recipe.depth;
        Ok(Some((self.write(Some(recipe))?, depth)))
    }
}
