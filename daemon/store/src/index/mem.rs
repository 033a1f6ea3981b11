//! The index in memory: the model that [`super::SledIndex`] is tested against.
//!
//! Must never differ from `SledIndex` in what it answers.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::RwLock;

use super::{Index, Rows};
use crate::catalogue::{read, write};
use crate::error::Result;
use crate::types::Mutation;

/// An index that is gone when the process is.
#[derive(Default)]
pub(crate) struct MemIndex(RwLock<BTreeMap<Vec<u8>, Vec<u8>>>);

impl Index for MemIndex {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(read(&self.0).get(key).cloned())
    }

    fn apply(&self, batch: Vec<Mutation>) -> Result<()> {
        let mut map = write(&self.0);
        for mutation in batch {
            match mutation {
                Mutation::Put(key, value) => drop(map.insert(key, value)),
                Mutation::Delete(key) => drop(map.remove(&key)),
            }
        }
        Ok(())
    }

    fn scan(&self, from: &[u8], to: &[u8]) -> Rows {
        if from >= to {
            return Box::new(std::iter::empty());
        }
        let map = read(&self.0);
        let range = map.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
        let rows: Vec<_> = range.map(|(key, value)| Ok((key.clone(), value.clone()))).collect();
        Box::new(rows.into_iter())
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn dir(&self) -> Option<&Path> {
        None
    }
}
