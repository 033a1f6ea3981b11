//! A run: an immutable file of sorted rows.
//!
//! ```text
//! "CCDRUN1\n" | number u32 | crc u32
//! group:  pages of rows (about 4 KiB each) | pages of the filter | the index: first key of each page -> offset, length
//! ...
//! root:   length of the largest key u32 | the largest key | first key of each group -> its index, its filter's pages
//! footer: "ccdrun1\n" | number u32 | rows u64 | deleted u64 | root's offset u64 | root's length u32 | crc u32
//! ```
//!
//! Each part is followed by its CRC-32, which includes the run's number and the offset. Only the root is kept in memory
//! (some 50 bytes for each group of at least 64 pages); a look-up reads a page of the filter, and if that does not say
//! "absent", the group's index and one page of rows.
//!
//! Must never be changed once written, nor give a row whose checksum does not match.

use std::path::Path;
use std::sync::Arc;

use super::cache::Cache;
use super::filter::{self, FILTER_PAGE};
use super::page::Entries;
use crate::error::{Result, StoreError};
use crate::files::{self, DataFile};

pub(crate) const MAGIC: &[u8; 8] = b"CCDRUN1\n";
pub(crate) const END_MAGIC: &[u8; 8] = b"ccdrun1\n";
const CRC: u32 = 4;
const HEADER: u32 = 8 + 4 + CRC;
const FOOTER: u32 = 8 + 4 + 8 + 8 + 8 + 4 + CRC;

/// A value, or that its key is deleted.
pub(crate) type Cell = Option<Vec<u8>>;

/// Where a page is, without its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageAt {
    pub(crate) offset: u64,
    pub(crate) len: u32,
}

struct Group {
    first: Box<[u8]>,
    index: PageAt,
    /// How many pages the filter has; they end where the index begins.
    filter_pages: u32,
}

/// The pages of rows of a group, by their first keys.
pub(crate) type GroupIndex = Vec<(Vec<u8>, PageAt)>;

/// An open run.
pub(crate) struct Run {
    file: DataFile,
    number: u32,
    groups: Vec<Group>,
    largest: Box<[u8]>,
    rows: u64,
    deleted: u64,
    bytes: u64,
    cache: Arc<Cache>,
}

/// The checksum of a part of a run.
pub(crate) fn crc(number: u32, offset: u64, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

impl Run {
    pub(crate) fn open(path: &Path, number: u32, cache: Arc<Cache>) -> Result<Self> {
        let file = files::open_read(path).map_err(|e| match e {
            StoreError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                StoreError::Index(format!("{} is missing", path.display()))
            }
            other => other,
        })?;
        let bytes = file.len()?;
        let mut run = Self {
            file,
            number,
            groups: Vec::new(),
            largest: Box::default(),
            rows: 0,
            deleted: 0,
            bytes,
            cache,
        };
        let header = run.read(PageAt { offset: 0, len: HEADER - CRC })?;
        let footer_at = bytes.checked_sub(u64::from(FOOTER)).ok_or_else(|| run.wrong("is too short"))?;
        let footer = run.read(PageAt { offset: footer_at, len: FOOTER - CRC })?;
        let named = |bytes: &[u8], magic: &[u8]| bytes[..8] == *magic && bytes[8..12] == number.to_le_bytes();
        if !named(&header, MAGIC) || !named(&footer, END_MAGIC) {
            return Err(run.wrong("is not this run"));
        }
        let mut fields = Fields(&footer[12..]);
        let parsed = (|| Some((fields.u64()?, fields.u64()?, fields.u64()?, fields.u32()?)))();
        let (rows, deleted, offset, len) = parsed.ok_or_else(|| run.wrong("has a wrong footer"))?;
        (run.rows, run.deleted) = (rows, deleted);
        run.read_root(PageAt { offset, len })?;
        Ok(run)
    }

    fn read_root(&mut self, at: PageAt) -> Result<()> {
        let root = self.read(at)?;
        let largest = (|| {
            let mut fields = Fields(&root);
            let len = fields.u32()? as usize;
            fields.0.split_at_checked(len)
        })();
        let (largest, groups) = largest.ok_or_else(|| self.wrong("has a wrong root"))?;
        self.largest = largest.into();
        let mut entries = Entries::new(groups);
        while let Some((first, value)) = entries.step()? {
            let mut fields = Fields(value.unwrap_or_default());
            let parsed = (|| {
                let index = PageAt { offset: fields.u64()?, len: fields.u32()? };
                Some(Group { first: first.into(), index, filter_pages: fields.u32()? })
            })();
            self.groups.push(parsed.ok_or_else(|| self.wrong("has a wrong root"))?);
        }
        self.groups.shrink_to_fit();
        Ok(())
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Its length on disk.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many keys it holds, the deleted ones among them.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// How many of its keys are deleted.
    pub(crate) fn deleted(&self) -> u64 {
        self.deleted
    }

    pub(crate) fn groups(&self) -> usize {
        self.groups.len()
    }

    /// What it says about a key, if anything. `hash` is the key's [`filter::hash`].
    pub(crate) fn get(&self, key: &[u8], hash: u64) -> Result<Option<Cell>> {
        if key > &*self.largest {
            return Ok(None);
        }
        let Some(number) = self.group_of(key) else { return Ok(None) };
        let group = &self.groups[number];
        let (page, at) = filter::place(hash, group.filter_pages);
        let from_index = u64::from(group.filter_pages - page) * u64::from(FILTER_PAGE + CRC);
        let offset =
            group.index.offset.checked_sub(from_index).ok_or_else(|| self.wrong("has a wrong root"))?;
        let page = self.cached(PageAt { offset, len: FILTER_PAGE })?;
        if !filter::may_hold(&page, at, hash) {
            return Ok(None);
        }
        let index = self.cached(group.index)?;
        let mut entries = Entries::new(&index);
        let mut found = None;
        while let Some((_, value)) = entries.step()?.filter(|(first, _)| *first <= key) {
            found = Some(self.page_at(value)?);
        }
        let Some(at) = found else { return Ok(None) };
        let page = self.cached(at)?;
        let mut entries = Entries::new(&page);
        while let Some((row, value)) = entries.step()?.filter(|(row, _)| *row <= key) {
            if row == key {
                return Ok(Some(value.map(<[u8]>::to_vec)));
            }
        }
        Ok(None)
    }

    /// The last group whose first key is not above `key`.
    pub(crate) fn group_of(&self, key: &[u8]) -> Option<usize> {
        self.groups.partition_point(|group| &*group.first <= key).checked_sub(1)
    }

    /// The last group whose first key is below `key`.
    pub(crate) fn group_below(&self, key: &[u8]) -> Option<usize> {
        self.groups.partition_point(|group| &*group.first < key).checked_sub(1)
    }

    pub(crate) fn index(&self, group: usize) -> Result<GroupIndex> {
        let page = self.cached(self.groups[group].index)?;
        let mut entries = Entries::new(&page);
        let mut index = Vec::new();
        while let Some((first, value)) = entries.step()? {
            index.push((first.to_vec(), self.page_at(value)?));
        }
        if index.is_empty() { Err(self.wrong("has an empty group")) } else { Ok(index) }
    }

    fn page_at(&self, value: Option<&[u8]>) -> Result<PageAt> {
        let mut fields = Fields(value.unwrap_or_default());
        (|| Some(PageAt { offset: fields.u64()?, len: fields.u32()? }))()
            .ok_or_else(|| self.wrong("has a wrong index"))
    }

    fn cached(&self, at: PageAt) -> Result<Arc<[u8]>> {
        let name = (self.number, at.offset);
        if let Some(page) = self.cache.get(name).filter(|page| page.len() == at.len as usize) {
            return Ok(page);
        }
        let page = Arc::from(self.read(at)?);
        self.cache.put(name, &page);
        Ok(page)
    }

    /// Reads a page, past the cache.
    pub(crate) fn read(&self, at: PageAt) -> Result<Vec<u8>> {
        let end = at.offset.checked_add(u64::from(at.len) + u64::from(CRC));
        if end.is_none_or(|end| end > self.bytes) {
            return Err(self.wrong(&format!("ends before offset {}", at.offset)));
        }
        let mut page = self.file.read(at.offset, (at.len + CRC) as usize).map_err(|e| match e {
            StoreError::Damaged { what } => StoreError::Index(what),
            other => other,
        })?;
        let sum = page.split_off(at.len as usize);
        if crc(self.number, at.offset, &page).to_le_bytes() == *sum {
            Ok(page)
        } else {
            Err(self.wrong(&format!("is damaged at offset {}", at.offset)))
        }
    }

    fn wrong(&self, what: &str) -> StoreError {
        StoreError::Index(format!("{} {what}", self.path().display()))
    }
}

/// Takes integers off the front.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn u32(&mut self) -> Option<u32> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*bytes))
    }

    fn u64(&mut self) -> Option<u64> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*bytes))
    }
}
