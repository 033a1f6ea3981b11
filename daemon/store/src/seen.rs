//! Reading bodies that repeat each other without reading again what they share: each request of a conversation has the
//! whole history in it, so that reading all of them whole takes the square of what is in them.
//!
//! Must never leave out a stretch of bytes that no earlier body had, as long as it lies within two neighbouring pieces: a
//! piece comes with the one before it wherever the two have not stood together yet.

use std::collections::HashSet;

use crate::error::{Result, StoreError};
use crate::packs::{Home, Packs};
use crate::recipe::{BlockAt, PieceAt};
use crate::shared::Shared;
use crate::types::BlobRef;

/// How many pairs are remembered; beyond it, all are forgotten, and something is read twice.
const REMEMBERED: usize = 1 << 18;

/// Which pieces have been read, and what stood before each.
#[derive(Debug, Default)]
pub struct Seen(HashSet<(Option<PieceAt>, PieceAt)>);

impl Seen {
    fn is_new(&mut self, before: Option<PieceAt>, at: PieceAt) -> bool {
        if self.0.len() >= REMEMBERED {
            self.0.clear();
        }
        self.0.insert((before, at))
    }
}

impl Shared {
    /// What of a body has not been read yet, as runs of bytes in order. None if nothing knows a place for it.
    pub(crate) fn unseen(&self, blob: &BlobRef, seen: &mut Seen) -> Result<Option<Vec<Vec<u8>>>> {
        if blob.len == 0 {
            return Ok(Some(Vec::new()));
        }
        if let Some(recipe) = self.locate_recipe(&blob.id)? {
            return self.packs.unseen(recipe, &|block| self.home(block), seen).map(Some);
        }
        let Some(at) = self.locate_piece(&blob.id)? else { return Ok(None) };
        if !seen.is_new(None, at) {
            return Ok(Some(Vec::new()));
        }
        self.packs.piece(PieceAt { block: self.home(at.block)?, ..at }).map(|piece| Some(vec![piece]))
    }
}

impl Packs {
    fn unseen(&self, recipe: BlockAt, home: Home<'_>, seen: &mut Seen) -> Result<Vec<Vec<u8>>> {
        let mut runs: Vec<Vec<u8>> = Vec::new();
        let mut before: Option<PieceAt> = None;
        // Whether the run that is open ends with the piece before.
        let mut open = false;
        let mut group = None;
        let mut add = |run: &mut Vec<u8>, at: PieceAt| -> Result<()> {
            let at = PieceAt { block: home(at.block)?, ..at };
            let group = self.group_from(&mut group, at.block)?;
            let piece =
                group.piece(at).ok_or_else(|| StoreError::damaged("a block has no such piece".to_owned()))?;
            run.extend_from_slice(piece);
            Ok(())
        };
        for at in self.resolve(recipe, home)? {
            if seen.is_new(before, at) {
                if !open {
                    runs.push(Vec::new());
                    if let (Some(before), Some(run)) = (before, runs.last_mut()) {
                        add(run, before)?;
                    }
                }
                if let Some(run) = runs.last_mut() {
                    add(run, at)?;
                }
                open = true;
            } else {
                open = false;
            }
            before = Some(at);
        }
        Ok(runs)
    }
}
