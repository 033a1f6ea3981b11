//! Writing a run, row by row, in memory that does not grow with it.
//!
//! Must never leave a run that can be opened before [`RunWriter::finish`] has made all of it durable.

use std::path::Path;

use super::filter::{self, FILTER_PAGE};
use super::page::PageBuilder;
use super::run::{END_MAGIC, MAGIC, PageAt, crc};
use crate::error::{Result, StoreError};
use crate::files::{self, DataFile};

const PAGE: usize = 4 << 10;
const WRITE: usize = 256 << 10;
/// Unsynced bytes pile up to this, so that the fsyncs of the journal do not wait long for ours.
const SYNC: u64 = 8 << 20;
const FIRST_GROUP_PAGES: u32 = 64;
/// After so many groups they get twice as large, so that the root stays small.
const GROUPS: u32 = 512;

/// A run being written. Rows come in the order of their keys.
pub(crate) struct RunWriter {
    file: DataFile,
    number: u32,
    written: u64,
    synced: u64,
    buffer: Vec<u8>,
    page: PageBuilder,
    index: PageBuilder,
    root: PageBuilder,
    hashes: Vec<u64>,
    last: Vec<u8>,
    rows: u64,
    deleted: u64,
}

impl RunWriter {
    pub(crate) fn create(path: &Path, number: u32) -> Result<Self> {
        let file = files::create(path)?;
        file.cut(0)?;
        let mut writer = Self {
            file,
            number,
            written: 0,
            synced: 0,
            buffer: Vec::with_capacity(WRITE + 2 * PAGE),
            page: PageBuilder::default(),
            index: PageBuilder::default(),
            root: PageBuilder::default(),
            hashes: Vec::new(),
            last: Vec::new(),
            rows: 0,
            deleted: 0,
        };
        writer.part(&[&MAGIC[..], &number.to_le_bytes()].concat())?;
        Ok(writer)
    }

    pub(crate) fn push(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        if self.rows > 0 && key <= self.last.as_slice() {
            return Err(StoreError::Index("rows out of order".into()));
        }
        self.page.push(key, value);
        self.hashes.push(filter::hash(key));
        self.last.clear();
        self.last.extend_from_slice(key);
        self.rows += 1;
        self.deleted += u64::from(value.is_none());
        if self.page.bytes().len() >= PAGE {
            self.end_page()?;
            let pages = FIRST_GROUP_PAGES << (self.root.entries() / GROUPS).min(16);
            if self.index.entries() >= pages {
                self.end_group()?;
            }
        }
        Ok(())
    }

    /// Writes what is left and makes all of it durable, but for its name in the directory.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.end_page()?;
        self.end_group()?;
        let root = [&len(&self.last)?.to_le_bytes()[..], &self.last, self.root.bytes()].concat();
        let at = self.part(&root)?;
        let mut footer = END_MAGIC.to_vec();
        footer.extend_from_slice(&self.number.to_le_bytes());
        for field in [self.rows, self.deleted, at.offset] {
            footer.extend_from_slice(&field.to_le_bytes());
        }
        footer.extend_from_slice(&at.len.to_le_bytes());
        self.part(&footer)?;
        self.write()?;
        self.file.sync()
    }

    fn end_page(&mut self) -> Result<()> {
        if self.page.entries() > 0 {
            let mut page = std::mem::take(&mut self.page);
            let at = self.part(page.bytes())?;
            self.index.push(page.first(), Some(&place(at)));
            page.clear();
            self.page = page;
        }
        Ok(())
    }

    fn end_group(&mut self) -> Result<()> {
        if self.index.entries() == 0 {
            return Ok(());
        }
        let filter = filter::build(&self.hashes);
        self.hashes.clear();
        let mut pages = 0_u32;
        for page in filter.chunks(FILTER_PAGE as usize) {
            self.part(page)?;
            pages += 1;
        }
        let mut index = std::mem::take(&mut self.index);
        let at = self.part(index.bytes())?;
        self.root.push(index.first(), Some(&[&place(at)[..], &pages.to_le_bytes()].concat()));
        index.clear();
        self.index = index;
        Ok(())
    }

    /// Appends a part and its checksum.
    fn part(&mut self, bytes: &[u8]) -> Result<PageAt> {
        let offset = self.written + self.buffer.len() as u64;
        let len = len(bytes)?;
        self.buffer.extend_from_slice(bytes);
        self.buffer.extend_from_slice(&crc(self.number, offset, bytes).to_le_bytes());
        if self.buffer.len() >= WRITE {
            self.write()?;
        }
        Ok(PageAt { offset, len })
    }

    fn write(&mut self) -> Result<()> {
        self.file.write(&self.buffer, self.written)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        if self.written - self.synced >= SYNC {
            self.file.sync()?;
            self.synced = self.written;
        }
        Ok(())
    }
}

fn len(bytes: &[u8]) -> Result<u32> {
    u32::try_from(bytes.len()).map_err(|_| StoreError::Misuse("a row of 4 GiB"))
}

fn place(at: PageAt) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&at.offset.to_le_bytes());
    bytes[8..].copy_from_slice(&at.len.to_le_bytes());
    bytes
}
