//! Where the store gets its index from: what opens it, whatever state it is in, or starts a new one.
//!
//! Must never fail because an index is damaged: an empty one is always an answer.

use std::sync::Arc;

use crate::error::Result;
use crate::index::Index;
use crate::recover::{Found, IndexDir};
use crate::types::Options;

/// A source of indexes.
pub(crate) trait Engine: Send {
    /// Opens the index, or an empty one.
    fn open(&self, options: &Options) -> Result<(Arc<dyn Index>, Found)>;
    /// Gives an empty one. The previous one may still be open.
    fn start_over(&self, options: &Options) -> Result<Arc<dyn Index>>;
    /// Begins one that does not count until it is finished, and gives its number.
    fn begin(&self, options: &Options) -> Result<(u32, Arc<dyn Index>)>;
    /// Makes one count, above all others.
    fn finish(&self, number: u32) -> Result<()>;
    /// Throws one away that was begun.
    fn discard(&self, number: u32) -> Result<()>;
    /// Removes all others that count; they may still be open.
    fn keep(&self, number: u32) -> Result<()>;
    /// Removes those that were begun and never finished. For a start only.
    fn remove_unfinished(&self) -> Result<()>;
}

impl Engine for IndexDir {
    fn open(&self, options: &Options) -> Result<(Arc<dyn Index>, Found)> {
        let (index, found) = IndexDir::open(self, options)?;
        Ok((Arc::new(index), found))
    }

    fn start_over(&self, options: &Options) -> Result<Arc<dyn Index>> {
        Ok(Arc::new(IndexDir::start_over(self, options)?))
    }

    fn begin(&self, options: &Options) -> Result<(u32, Arc<dyn Index>)> {
        let (number, index) = IndexDir::begin(self, options)?;
        Ok((number, Arc::new(index)))
    }

    fn finish(&self, number: u32) -> Result<()> {
        IndexDir::finish(self, number)
    }

    fn discard(&self, number: u32) -> Result<()> {
        IndexDir::discard(self, number)
    }

    fn keep(&self, number: u32) -> Result<()> {
        IndexDir::keep(self, number)
    }

    fn remove_unfinished(&self) -> Result<()> {
        IndexDir::remove_unfinished(self)
    }
}
