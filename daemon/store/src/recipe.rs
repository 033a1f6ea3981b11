//! The recipe of a body: which pieces, in which order.
//!
//! A conversation's bodies repeat each other, so a recipe says what it takes from its *base*, the recipe of the body
//! before, and lists only the rest: it takes a few dozen bytes, however long the conversation. The chain of bases is
//! at most [`MAX_DEPTH`] long; then a recipe stands alone again, as runs of neighbouring pieces.
//!
//! Must never refer forwards: what a recipe refers to was written before it.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// How long a chain of bases may be.
pub(crate) const MAX_DEPTH: u8 = 64;

/// BLAKE3.
pub(crate) type Hash = [u8; 32];

/// Where a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct BlockAt {
    pub(crate) pack: u32,
    pub(crate) offset: u32,
}

/// Where a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct PieceAt {
    pub(crate) block: BlockAt,
    pub(crate) entry: u32,
}

/// A piece and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) hash: Hash,
    pub(crate) at: PieceAt,
}

/// Some pieces in a row. Frozen; new variants are appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RunV1 {
    /// The pieces of the base from the given one on.
    Base { from: u32, count: u32 },
    /// The pieces of a block from the given one on.
    Block { at: PieceAt, count: u32 },
}

/// How to put a body together. Frozen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecipeV1 {
    /// BLAKE3 of the body.
    pub(crate) id: Hash,
    pub(crate) len: u64,
    /// How many bases there are below this one.
    pub(crate) depth: u8,
    pub(crate) base: Option<BlockAt>,
    pub(crate) runs: Vec<RunV1>,
}

/// The body that the next one of the same family is likely to repeat.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    pub(crate) at: BlockAt,
    pub(crate) depth: u8,
    pub(crate) pieces: Vec<Piece>,
}

/// Writes the recipe of `pieces`, taking from `base` what it has.
pub(crate) fn write(id: Hash, len: u64, pieces: &[Piece], base: Option<&Base>) -> RecipeV1 {
    let base = base.filter(|base| base.depth < MAX_DEPTH);
    let in_base = BaseIndex::new(base.map_or(&[], |base| &base.pieces));
    let mut runs: Vec<RunV1> = Vec::new();
    for piece in pieces {
        let expected = match runs.last() {
            Some(RunV1::Base { from, count }) => from + count,
            _ => 0,
        };
        match (in_base.find(piece, expected), runs.last_mut()) {
            (Some(position), Some(RunV1::Base { count, .. })) if position == expected => *count += 1,
            (Some(from), _) => runs.push(RunV1::Base { from, count: 1 }),
            (None, Some(RunV1::Block { at, count }))
                if at.block == piece.at.block && at.entry + *count == piece.at.entry =>
            {
                *count += 1;
            }
            (None, _) => runs.push(RunV1::Block { at: piece.at, count: 1 }),
        }
    }
    let base = base.filter(|_| runs.iter().any(|run| matches!(run, RunV1::Base { .. })));
    RecipeV1 { id, len, depth: base.map_or(0, |base| base.depth + 1), base: base.map(|base| base.at), runs }
}

/// Finds pieces in a base: the expected one first, so that the usual case takes no table.
struct BaseIndex<'a> {
    pieces: &'a [Piece],
    table: std::cell::OnceCell<HashMap<Hash, u32>>,
}

impl<'a> BaseIndex<'a> {
    fn new(pieces: &'a [Piece]) -> Self {
        Self { pieces, table: std::cell::OnceCell::new() }
    }

    fn find(&self, piece: &Piece, expected: u32) -> Option<u32> {
        if self.pieces.get(expected as usize).is_some_and(|p| p == piece) {
            return Some(expected);
        }
        let table =
            self.table.get_or_init(|| self.pieces.iter().zip(0..).map(|(p, n)| (p.hash, n)).collect());
        table.get(&piece.hash).copied().filter(|&n| self.pieces[n as usize].at == piece.at)
    }
}
