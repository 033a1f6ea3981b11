//! Sorted entries in a page: prefix-compressed keys, values or the note that a key is deleted.
//!
//! ```text
//! entry = shared | rest | tag | key[shared..] | value      three varints; tag 0: deleted, n: a value of n - 1 bytes
//! ```
//!
//! Must never trust a length it reads: a page that is not what was written gives an error, not a panic.

use crate::error::{Result, StoreError};

/// Collects entries, in the order of their keys.
#[derive(Default)]
pub(crate) struct PageBuilder {
    bytes: Vec<u8>,
    first: Vec<u8>,
    last: Vec<u8>,
    entries: u32,
}

impl PageBuilder {
    pub(crate) fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        let shared = self.last.iter().zip(key).take_while(|(a, b)| a == b).count();
        if self.entries == 0 {
            self.first.clear();
            self.first.extend_from_slice(key);
        }
        put_varint(&mut self.bytes, shared);
        put_varint(&mut self.bytes, key.len() - shared);
        put_varint(&mut self.bytes, value.map_or(0, |value| value.len() + 1));
        self.bytes.extend_from_slice(&key[shared..]);
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.last.truncate(shared);
        self.last.extend_from_slice(&key[shared..]);
        self.entries += 1;
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn first(&self) -> &[u8] {
        &self.first
    }

    pub(crate) fn entries(&self) -> u32 {
        self.entries
    }

    /// Starts the next page.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.last.clear();
        self.entries = 0;
    }
}

/// A key and its value (none: the key is deleted).
pub(crate) type EntryRef<'key, 'page> = (&'key [u8], Option<&'page [u8]>);

/// Walks through the entries of a page.
pub(crate) struct Entries<'a> {
    rest: &'a [u8],
    key: Vec<u8>,
}

impl<'a> Entries<'a> {
    pub(crate) fn new(page: &'a [u8]) -> Self {
        Self { rest: page, key: Vec::new() }
    }

    /// The next entry.
    pub(crate) fn step(&mut self) -> Result<Option<EntryRef<'_, 'a>>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        self.parse().map(Some).ok_or_else(|| StoreError::Index("an entry cannot be decoded".into()))
    }

    fn parse(&mut self) -> Option<EntryRef<'_, 'a>> {
        let shared = self.varint()?;
        let rest = self.varint()?;
        let tag = self.varint()?;
        if shared > self.key.len() {
            return None;
        }
        self.key.truncate(shared);
        let (key, after) = self.rest.split_at_checked(rest)?;
        self.key.extend_from_slice(key);
        let (value, after) = after.split_at_checked(tag.saturating_sub(1))?;
        self.rest = after;
        Some((&self.key, (tag > 0).then_some(value)))
    }

    fn varint(&mut self) -> Option<usize> {
        let mut number = 0_usize;
        for shift in [0, 7, 14, 21, 28] {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            number |= usize::from(byte & 0x7F) << shift;
            if *byte < 0x80 {
                return Some(number);
            }
        }
        None
    }
}

#[allow(clippy::cast_possible_truncation)] // cut to seven bits each
fn put_varint(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push(0x80 | (number & 0x7F) as u8);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(page: &[u8]) -> Result<Vec<crate::index::merged::Entry>> {
        let mut entries = Entries::new(page);
        let mut all = Vec::new();
        while let Some((key, value)) = entries.step()? {
            all.push((key.to_vec(), value.map(<[u8]>::to_vec)));
        }
        Ok(all)
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(
            rows in prop::collection::btree_map(
                prop::collection::vec(any::<u8>(), 0..40),
                prop::option::of(prop::collection::vec(any::<u8>(), 0..300)),
                0..60,
            ),
        ) {
            let mut page = PageBuilder::default();
            for (key, value) in &rows {
                page.push(key, value.as_deref());
            }
            prop_assert_eq!(read(page.bytes()).unwrap(), rows.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(read(&bytes));
        }
    }
}
