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
}

impl Engine for IndexDir {
    fn open(&self, options: &Options) -> Result<(Arc<dyn Index>, Found)> {
        let (index, found) = IndexDir::open(self, options)?;
        Ok((Arc::new(index), found))
    }

    fn start_over(&self, options: &Options) -> Result<Arc<dyn Index>> {
        Ok(Arc::new(IndexDir::start_over(self, options)?))
    }
}
