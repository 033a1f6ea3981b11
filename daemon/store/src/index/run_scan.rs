//! The rows of a run in a range, from either end, page by page.
//!
//! Must never hold more than a page of rows for each end.

use std::collections::VecDeque;
use std::sync::Arc;

use super::merged::{Entry, Source};
use super::page::Entries;
use super::run::{GroupIndex, Run};
use crate::error::Result;

/// A page of rows: its group, and its place there.
type Place = (usize, usize);

/// Rows from both ends; `None` as a value: the key is deleted.
pub(crate) struct RunScan {
    run: Arc<Run>,
    from: Vec<u8>,
    /// None: to the end.
    to: Option<Vec<u8>>,
    /// The pages not read yet, first and last; none if all were.
    left: Option<(Place, Place)>,
    /// The groups that the ends are in.
    indexes: [Option<(usize, GroupIndex)>; 2],
    front: VecDeque<Entry>,
    back: VecDeque<Entry>,
}

impl RunScan {
    pub(crate) fn new(run: Arc<Run>, from: &[u8], to: Option<&[u8]>) -> Result<Self> {
        let mut scan = Self {
            run,
            from: from.to_vec(),
            to: to.map(<[u8]>::to_vec),
            left: None,
            indexes: [None, None],
            front: VecDeque::new(),
            back: VecDeque::new(),
        };
        let last_group = match to {
            Some(to) => scan.run.group_below(to),
            None => scan.run.groups().checked_sub(1),
        };
        let Some(last_group) = last_group else { return Ok(scan) };
        let first_group = scan.run.group_of(from).unwrap_or(0);
        let index = scan.index(0, first_group)?;
        let first = index.partition_point(|(key, _)| key.as_slice() <= from).saturating_sub(1);
        let index = scan.index(1, last_group)?;
        let below = to.map_or(index.len(), |to| index.partition_point(|(key, _)| key.as_slice() < to));
        let ends = ((first_group, first), (last_group, below.saturating_sub(1)));
        scan.left = (ends.0 <= ends.1).then_some(ends);
        Ok(scan)
    }

    fn index(&mut self, end: usize, group: usize) -> Result<&GroupIndex> {
        let kept = self.indexes[end].take().filter(|(held, _)| *held == group);
        let index = match kept {
            Some((_, index)) => index,
            None => self.run.index(group)?,
        };
        Ok(&self.indexes[end].insert((group, index)).1)
    }

    fn rows(&mut self, end: usize, (group, page): Place) -> Result<VecDeque<Entry>> {
        let at = self.index(end, group)?[page].1;
        let bytes = self.run.read(at)?;
        let mut entries = Entries::new(&bytes);
        let mut rows = VecDeque::new();
        while let Some((key, value)) = entries.step()? {
            if key >= self.from.as_slice() && self.to.as_ref().is_none_or(|to| key < to.as_slice()) {
                rows.push_back((key.to_vec(), value.map(<[u8]>::to_vec)));
            }
        }
        Ok(rows)
    }
}

impl Source for RunScan {
    fn next(&mut self) -> Result<Option<Entry>> {
        while self.front.is_empty() {
            let Some((first, last)) = self.left else { return Ok(self.back.pop_front()) };
            self.front = self.rows(0, first)?;
            let pages = self.index(0, first.0)?.len();
            let next = if first.1 + 1 < pages { (first.0, first.1 + 1) } else { (first.0 + 1, 0) };
            self.left = (next <= last).then_some((next, last));
        }
        Ok(self.front.pop_front())
    }

    fn next_back(&mut self) -> Result<Option<Entry>> {
        while self.back.is_empty() {
            let Some((first, last)) = self.left else { return Ok(self.front.pop_back()) };
            self.back = self.rows(1, last)?;
            self.left = None;
            if first < last {
                let next = match last {
                    (group, 0) => (group - 1, self.index(1, group - 1)?.len() - 1),
                    (group, page) => (group, page - 1),
                };
                self.left = Some((first, next));
            }
        }
        Ok(self.back.pop_back())
    }
}
