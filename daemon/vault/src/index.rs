//! Which rows there are, and where each lies; in memory, without a value in clear.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
use crate::frame::{self, Piece};
use crate::row::{Content, Row};
use crate::token::{Name, Token};

/// Where a row lies, and what changes of it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) scope: Arc<str>,
    pub(crate) rule: Arc<str>,
    pub(crate) digest: [u8; 32],
    pub(crate) at: Range<u64>,
    pub(crate) first_s: u64,
    pub(crate) last_s: u64,
    pub(crate) count: u64,
    /// It was seen since the file was last told.
    pub(crate) changed: bool,
}

/// What a file holds.
#[derive(Debug, Default)]
pub(crate) struct Index {
    rows: HashMap<Name, Vec<Place>>,
    words: HashSet<Arc<str>>,
    /// Values that were deleted, and when.
    pub(crate) gone: HashMap<Token, u64>,
    /// The key that seals, and its check.
    pub(crate) head: Option<(u32, [u8; 16])>,
    /// How far the file was read.
    pub(crate) end: u64,
    /// Places in it that are no rows.
    pub(crate) damaged: u64,
    /// Bytes at the end that were the half of a frame.
    pub(crate) torn: u64,
    /// Of [`Index::end`], what a new file would not have.
    pub(crate) waste: u64,
    count: usize,
    /// Rows with [`Place::changed`], those since the file was last told at the end.
    changed: Vec<(Name, Arc<str>)>,
}

impl Index {
    /// Notes that a row is to be told of.
    pub(crate) fn change(&mut self, name: &Name, scope: &str) {
        if let Some(place) = self.find_mut(name, scope).filter(|place| !place.changed) {
            place.changed = true;
            let scope = Arc::clone(&place.scope);
            self.changed.push((*name, scope));
        }
    }

    /// At most so many of the rows that are to be told of.
    pub(crate) fn changed(&self, most: usize) -> impl Iterator<Item = (&Name, &Place)> {
        self.changed.iter().rev().take(most).filter_map(|(name, scope)| {
            let place = self.find(name).iter().find(|place| place.scope == *scope && place.changed)?;
            Some((name, place))
        })
    }

    /// So many rows were told of: those that [`Index::changed`] gives.
    pub(crate) fn told(&mut self, most: usize) {
        for (name, scope) in self.changed.split_off(self.changed.len().saturating_sub(most)) {
            if let Some(place) = self.find_mut(&name, &scope) {
                place.changed = false;
            }
        }
    }

    /// Takes in what follows. Gives how many bytes at the end are no frame: the half of one, as a crash leaves it.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<u64> {
        let pieces = frame::pieces(bytes);
        let last = pieces.len().saturating_sub(1);
        let start = self.end;
        for (number, piece) in pieces.into_iter().enumerate() {
            match piece {
                Piece::Frame(range, content) => {
                    let at = start + range.start as u64..start + range.end as u64;
                    self.end = at.end;
                    match Content::read(content)? {
                        Some(content) => self.add(content, at),
                        None => self.damaged += 1,
                    }
                }
                Piece::Damage(range) if number == last && frame::is_torn(&bytes[range.clone()]) => {
                    self.torn += range.len() as u64;
                    return Ok(range.len() as u64);
                }
                Piece::Damage(range) => {
                    self.damaged += 1;
                    self.end = start + range.end as u64;
                }
            }
        }
        Ok(0)
    }

    fn add(&mut self, content: Content, at: Range<u64>) {
        match content {
            Content::Head { key, check } => self.head = Some((key, check)),
            Content::Sealed(row) => self.put(&row, at),
            Content::Seen { name, scope, last_s, count } => {
                self.waste += at.end - at.start;
                if let Some(place) = self.find_mut(&name, &scope) {
                    (place.last_s, place.count) = (place.last_s.max(last_s), place.count.max(count));
                }
            }
            Content::Gone { token, at_s } => _ = self.gone.insert(token, at_s),
        }
    }

    fn word(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.words.get(text) {
            return Arc::clone(known);
        }
        let word: Arc<str> = text.into();
        self.words.insert(Arc::clone(&word));
        word
    }

    /// Notes a row; of several with one name and scope the last counts.
    pub(crate) fn put(&mut self, row: &Row, at: Range<u64>) {
        let place = Place {
            scope: self.word(&row.scope),
            rule: self.word(&row.rule),
            digest: row.digest,
            at,
            first_s: row.first_s,
            last_s: row.last_s,
            count: row.count,
            changed: false,
        };
        let places = self.rows.entry(row.name).or_default();
        if let Some(old) = places.iter_mut().find(|old| old.scope == place.scope) {
            self.waste += old.at.end - old.at.start;
            *old = place;
        } else {
            places.push(place);
            self.count += 1;
        }
    }

    pub(crate) fn find(&self, name: &Name) -> &[Place] {
        self.rows.get(name).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn find_mut(&mut self, name: &Name, scope: &str) -> Option<&mut Place> {
        self.rows.get_mut(name)?.iter_mut().find(|place| &*place.scope == scope)
    }

    /// All rows.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Name, &Place)> {
        self.rows.iter().flat_map(|(name, places)| places.iter().map(move |place| (name, place)))
    }

    /// How many rows.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// How many values: rows of one value in several sessions and ways of writing are one.
    pub(crate) fn tokens(&self) -> usize {
        self.rows.keys().map(|name| name.token).collect::<HashSet<_>>().len()
    }
}
