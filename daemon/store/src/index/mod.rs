//! The index: an ordered map of small keys and values that is changed by atomic batches.
//!
//! It is derived: whatever it holds comes back by replaying the journal and scanning the packs. So it may fail, and be
//! thrown away, and be another engine tomorrow: [`Index`] is all that the store asks of it.
//!
//! Must never be the only home of anything.

mod cache;
mod compact;
mod filter;
mod generation;
mod head;
mod layered;
#[cfg(test)]
mod mem;
mod merged;
mod mirror;
mod page;
mod run;
mod run_scan;
mod run_write;
#[cfg(test)]
mod tests;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::error::{Result, StoreError};
use crate::recipe::{BlockAt, Hash, PieceAt};
use crate::types::{Locator, Mutation, RecordId};

pub(crate) use self::generation::Generation;
pub(crate) use self::head::Head;
pub(crate) use self::layered::LayeredIndex;
#[cfg(test)]
pub(crate) use self::mem::MemIndex;
pub(crate) use self::mirror::Mirror;

/// A key and its value.
pub(crate) type Row = (Vec<u8>, Vec<u8>);
/// Rows in the order of their keys, from either end.
pub(crate) type Rows = Box<dyn DoubleEndedIterator<Item = Result<Row>> + Send>;

/// What the store asks of an engine.
pub(crate) trait Index: Send + Sync {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>>;
    /// Applies all mutations, in order, or none.
    fn apply(&self, batch: Vec<Mutation>) -> Result<()>;
    /// The rows with `from <= key < to`.
    fn scan(&self, from: &[u8], to: &[u8]) -> Rows;
    /// Makes everything applied durable.
    fn flush(&self) -> Result<()>;
    /// After a write failed: makes writing possible again, in place, so that reading goes on meanwhile. False if it
    /// must be opened anew.
    fn mend(&self) -> Result<bool> {
        Ok(false)
    }
    /// The bytes it takes on disk.
    fn bytes(&self) -> Result<u64> {
        Ok(0)
    }
    /// Where its files are, if it has any.
    fn dir(&self) -> Option<&Path>;
}

/// Stands in while the index is being reopened: it answers nothing rather than something wrong.
pub(crate) struct Closed;

impl Closed {
    fn error() -> StoreError {
        StoreError::Index("it is closed".into())
    }
}

impl Index for Closed {
    fn get(&self, _: &[u8]) -> Result<Option<Vec<u8>>> {
        Err(Self::error())
    }

    fn apply(&self, _: Vec<Mutation>) -> Result<()> {
        Err(Self::error())
    }

    fn scan(&self, _: &[u8], _: &[u8]) -> Rows {
        Box::new(std::iter::once(Err(Self::error())))
    }

    fn flush(&self) -> Result<()> {
        Err(Self::error())
    }

    fn dir(&self) -> Option<&Path> {
        None
    }
}

/// Keys that start with less than this are the store's own.
pub(crate) const FIRST_CALLER_BYTE: u8 = 0x20;
const STATE_KEY: [u8; 1] = [0x00];
const RECORD: u8 = 0x01;
const PIECE: u8 = 0x02;
const RECIPE: u8 = 0x03;
const MOVED: u8 = 0x04;

/// How far the index is. Written in each batch, so it always tells the truth about the rest. Frozen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StateV1 {
    /// The version of the caller's views.
    pub(crate) view_version: u32,
    /// Records of segments before this one are not accounted for: they were let go of.
    pub(crate) oldest: u32,
    /// The last record accounted for.
    pub(crate) applied: u64,
    /// Where the last of them is: catching up begins there.
    pub(crate) applied_at: Option<(u64, Locator)>,
    /// All blocks before this end are accounted for.
    pub(crate) pack: u32,
    pub(crate) pack_len: u64,
}

fn key<const N: usize>(table: u8, id: &[u8; N]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + N);
    key.push(table);
    key.extend_from_slice(id);
    key
}

/// The store's own rows.
pub(crate) fn put_state(state: &StateV1) -> Result<Mutation> {
    Ok(Mutation::Put(STATE_KEY.to_vec(), codec::encode(state)?))
}
pub(crate) fn put_record(id: &RecordId, at: Locator) -> Mutation {
    Mutation::Put(key(RECORD, id), at.to_bytes().to_vec())
}
pub(crate) fn put_piece(hash: &Hash, at: PieceAt) -> Result<Mutation> {
    Ok(Mutation::Put(key(PIECE, hash), codec::encode(&at)?))
}
pub(crate) fn put_recipe(id: &Hash, at: BlockAt) -> Result<Mutation> {
    Ok(Mutation::Put(key(RECIPE, id), codec::encode(&at)?))
}

pub(crate) fn put_moved(from: BlockAt, to: BlockAt) -> Result<Mutation> {
    Ok(Mutation::Put(moved_key(from), codec::encode(&to)?))
}

fn moved_key(from: BlockAt) -> Vec<u8> {
    let mut key = vec![MOVED];
    key.extend_from_slice(&from.pack.to_be_bytes());
    key.extend_from_slice(&from.offset.to_be_bytes());
    key
}

/// None if the index is new.
pub(crate) fn state(index: &dyn Index) -> Result<Option<StateV1>> {
    let Some(bytes) = index.get(&STATE_KEY)? else { return Ok(None) };
    codec::decode(&bytes).map(Some).ok_or_else(|| StoreError::Index("its state cannot be decoded".into()))
}

pub(crate) fn record(index: &dyn Index, id: &RecordId) -> Result<Option<Locator>> {
    let Some(bytes) = index.get(&key(RECORD, id))? else { return Ok(None) };
    let bytes =
        bytes.try_into().map_err(|_| StoreError::Index("a record's row has a wrong length".into()))?;
    Ok(Some(Locator::from_bytes(bytes)))
}

/// All records' rows.
pub(crate) fn records(index: &dyn Index) -> impl Iterator<Item = Result<(RecordId, Locator)>> {
    index.scan(&[RECORD], &[RECORD + 1]).filter_map(|row| match row {
        Ok((key, value)) => {
            let id = key.get(1..)?.try_into().ok()?;
            Some(Ok((id, Locator::from_bytes(value.try_into().ok()?))))
        }
        Err(error) => Some(Err(error)),
    })
}

pub(crate) fn piece(index: &dyn Index, hash: &Hash) -> Result<Option<PieceAt>> {
    decoded(index, &key(PIECE, hash))
}

pub(crate) fn recipe(index: &dyn Index, id: &Hash) -> Result<Option<BlockAt>> {
    decoded(index, &key(RECIPE, id))
}

/// Where a block went whose pack was let go of.
pub(crate) fn moved(index: &dyn Index, from: BlockAt) -> Result<Option<BlockAt>> {
    decoded(index, &moved_key(from))
}

fn decoded<T: serde::de::DeserializeOwned>(index: &dyn Index, key: &[u8]) -> Result<Option<T>> {
    let Some(bytes) = index.get(key)? else { return Ok(None) };
    codec::decode(&bytes).map(Some).ok_or_else(|| StoreError::Index("a row cannot be decoded".into()))
}
