//! Several sources of sorted rows as one: for each key, what the newest source says.
//!
//! Must never give a key twice, nor out of order, even if a source changes meanwhile.

use super::Row;
use crate::error::Result;

/// A key, and its value (none: it is deleted).
pub(crate) type Entry = (Vec<u8>, Option<Vec<u8>>);

/// Rows in the order of their keys, from either end.
pub(crate) trait Source: Send {
    fn next(&mut self) -> Result<Option<Entry>>;
    fn next_back(&mut self) -> Result<Option<Entry>>;
}

#[derive(Clone, Copy)]
enum End {
    Front,
    Back,
}

/// A source with the next entry of each end at hand.
struct Peeked {
    source: Box<dyn Source>,
    front: Option<Entry>,
    back: Option<Entry>,
}

impl Peeked {
    fn fill(&mut self, end: End) -> Result<()> {
        match end {
            End::Front if self.front.is_none() => {
                self.front = self.source.next()?.or_else(|| self.back.take());
            }
            End::Back if self.back.is_none() => {
                self.back = self.source.next_back()?.or_else(|| self.front.take());
            }
            _ => {}
        }
        Ok(())
    }

    fn slot(&mut self, end: End) -> &mut Option<Entry> {
        match end {
            End::Front => &mut self.front,
            End::Back => &mut self.back,
        }
    }

    fn key(&self, end: End) -> Option<&[u8]> {
        let slot = match end {
            End::Front => &self.front,
            End::Back => &self.back,
        };
        slot.as_ref().map(|(key, _)| key.as_slice())
    }
}

/// The merged entries, deleted ones included; ends after the first error.
pub(crate) struct Merged {
    /// The newest first.
    sources: Vec<Peeked>,
    /// The last keys given: what a changing source has to say about what is behind them comes too late.
    given: [Option<Vec<u8>>; 2],
    failed: bool,
}

impl Merged {
    /// The newest source comes first.
    pub(crate) fn new(sources: Vec<Box<dyn Source>>) -> Self {
        let peeked = |source| Peeked { source, front: None, back: None };
        Self { sources: sources.into_iter().map(peeked).collect(), given: [None, None], failed: false }
    }

    fn is_late(&self, key: &[u8]) -> bool {
        let [front, back] = &self.given;
        front.as_ref().is_some_and(|given| key <= given.as_slice())
            || back.as_ref().is_some_and(|given| key >= given.as_slice())
    }

    fn step(&mut self, end: End) -> Result<Option<Entry>> {
        loop {
            for source in &mut self.sources {
                source.fill(end)?;
            }
            let keys = self.sources.iter().enumerate().filter_map(|(n, source)| Some((source.key(end)?, n)));
            // Of equal keys the newest source's, which is the first.
            let next = match end {
                End::Front => keys.min(),
                End::Back => keys.max_by(|(a, n), (b, m)| a.cmp(b).then(m.cmp(n))),
            };
            let Some((_, newest)) = next else { return Ok(None) };
            let Some((key, value)) = self.sources[newest].slot(end).take() else { return Ok(None) };
            for source in &mut self.sources {
                source.slot(end).take_if(|(other, _)| *other == key);
            }
            if !self.is_late(&key) {
                let given = self.given[end as usize].get_or_insert_default();
                given.clear();
                given.extend_from_slice(&key);
                return Ok(Some((key, value)));
            }
        }
    }

    fn guarded(&mut self, end: End) -> Option<Result<Entry>> {
        if self.failed {
            return None;
        }
        let entry = self.step(end);
        self.failed = entry.is_err();
        entry.transpose()
    }
}

impl Iterator for Merged {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        self.guarded(End::Front)
    }
}

impl DoubleEndedIterator for Merged {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.guarded(End::Back)
    }
}

/// The rows that are there: without the deleted ones.
pub(crate) fn present(merged: Merged) -> impl DoubleEndedIterator<Item = Result<Row>> + Send {
    merged.filter_map(|entry| match entry {
        Ok((key, value)) => value.map(|value| Ok((key, value))),
        Err(error) => Some(Err(error)),
    })
}
