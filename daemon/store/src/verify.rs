//! Reading every byte again: is what is on disk what was written?
//!
//! The journal frame by frame, the packs block by block, up to the lengths published when the verification began. What
//! a record's body means is the caller's business: it gets each record and asks for the bodies that it names.
//!
//! Must never write to the store's files, wait for the writer, nor look past a published length.

use std::sync::atomic::Ordering;

use crate::catalogue::{Catalogue, Entry, read};
use crate::error::{Result, StoreError};
use crate::files::DataFile;
use crate::index;
use crate::packs::{PACK_HEADER, PackHead, Packs, hash};
use crate::reader::Reader;
use crate::segment::{HEADER, SegmentHead, Segments, Step, step};
use crate::types::{BlobRef, Damage, FileKind, Locator, Record, RecordId};
use crate::unpack::{Unpacked, Unpacker, block_at};
use crate::vfs::OpenMode;

/// What a verification looks at: everything that was published when it began.
pub struct Extent {
    last_seq: u64,
    segments: Vec<(u32, u64)>,
    packs: Vec<(u32, u64)>,
    /// The packs once more, with a cache of its own: the writer needs what the other one holds.
    view: Packs,
}

impl Extent {
    /// Bytes of the journal.
    #[must_use]
    pub fn journal_bytes(&self) -> u64 {
        self.segments.iter().map(|(_, len)| len).sum()
    }

    /// Bytes of the packs.
    #[must_use]
    pub fn pack_bytes(&self) -> u64 {
        self.packs.iter().map(|(_, len)| len).sum()
    }
}

/// A damaged range of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Where.
    pub damage: Damage,
    /// The records that are missing there: the gap between its good neighbours' sequence numbers, first and last.
    /// Several ranges in a row share one gap. `None` if the numbers go on without one.
    pub seqs: Option<(u64, u64)>,
}

impl Damage {
    /// The file's name below the store's version directory.
    #[must_use]
    pub fn file_name(&self) -> String {
        match self.file {
            FileKind::Segment => format!("journal/{:08}.log", self.number),
            FileKind::Pack => format!("packs/{:06}.pack", self.number),
            FileKind::Manifest => "manifest".into(),
        }
    }
}

/// Whether the index agrees with the journal about a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InIndex {
    /// It names this place.
    Yes,
    /// It names another place, where there is a record of the same name.
    Duplicate,
    /// It does not know the record, or names a wrong place.
    No,
}

impl Reader {
    /// What a verification that begins now looks at.
    #[must_use]
    pub fn extent(&self) -> Extent {
        // First: every record up to it is within the lengths that are read afterwards.
        let last_seq = self.shared.last_seq.load(Ordering::Acquire);
        let lens = |files: &Catalogue| files.list().into_iter().map(|(number, e)| (number, e.len)).collect();
        let (segments, packs) = (lens(&self.shared.segments.files), lens(&self.shared.packs.files));
        let files = self.shared.packs.files.empty();
        for &(number, len) in &packs {
            files.publish(number, Entry { len, ..Entry::default() });
        }
        Extent { last_seq, segments, packs, view: Packs::new(files) }
    }

    /// Reads every frame of the journal, hands over every good record in order, and names what is damaged.
    /// `watch` gets the bytes read so far and says whether to go on.
    pub fn verify_journal(
        &self,
        extent: &Extent,
        watch: &mut dyn FnMut(u64) -> bool,
        f: &mut dyn FnMut(Record) -> Result<(), StoreError>,
    ) -> Result<Vec<Lost>, StoreError> {
        let mut walk = JournalWalk {
            segments: &self.shared.segments,
            last_seq: 0,
            open: Vec::new(),
            lost: Vec::new(),
            done: 0,
            watch,
            f,
        };
        let known = self.shared.segments.files.damage();
        for (number, len) in with_missing(&extent.segments, &known) {
            walk.segment(number, len, &known)?;
        }
        walk.close_gap(extent.last_seq + 1);
        Ok(walk.lost)
    }

    /// Reads and unpacks every block of the packs, and names what is damaged. A good block that continues a damaged
    /// one is not named here: what it costs shows when bodies are read.
    pub fn verify_packs(
        &self,
        extent: &Extent,
        watch: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Vec<Damage>, StoreError> {
        let packs = &self.shared.packs;
        let (known, others): (Vec<_>, Vec<_>) =
            packs.files.damage().into_iter().partition(|damage| damage.file == FileKind::Pack);
        let (mut found, mut done) = (others, 0);
        for (number, len) in with_missing(&extent.packs, &known) {
            let range = (number, len);
            verify_pack(packs, &extent.view, range, &known, &mut found, &mut |at| watch(done + at))?;
            done += len;
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// Reads a body and compares it with its BLAKE3; why it cannot be had, if it cannot.
    pub fn verify_blob(&self, extent: &Extent, blob: &BlobRef) -> Result<(), String> {
        let text = |e: StoreError| e.to_string();
        match self.shared.body_in(&extent.view, blob).map_err(text) {
            Ok(None) => {
                let why = "the index knows no place for it; `ccctl store rebuild` looks for it in the packs";
                return Err(why.into());
            }
            Ok(Some(body)) if body.len() as u64 == blob.len && hash(&body) == blob.id => return Ok(()),
            _ => {}
        }
        // It may have been written again since, behind what this verification looks at.
        self.blob(blob).map(drop).map_err(text)
    }

    /// Whether the index finds this record where it is.
    pub fn in_index(&self, record: &Record) -> Result<InIndex, StoreError> {
        Ok(match self.shared.locate_record(&record.id)? {
            Some(at) if at == record.locator => InIndex::Yes,
            Some(at) if self.record(at).is_ok_and(|other| other.id == record.id) => InIndex::Duplicate,
            _ => InIndex::No,
        })
    }

    /// The records that the index still knows in damaged ranges of the journal. Reads all of its rows.
    pub fn known_in(&self, ranges: &[Damage]) -> Result<Vec<(RecordId, Locator)>, StoreError> {
        let lies_in = |at: &Locator| {
            let offset = u64::from(at.offset);
            ranges.iter().any(|r| r.number == at.segment && offset >= r.from && offset < r.to)
        };
        let pending = read(&self.shared.pending).records.clone();
        let mut found: Vec<_> = pending.into_iter().filter(|(_, at)| lies_in(at)).collect();
        for row in index::records(&*self.shared.index()) {
            found.extend(Some(row?).filter(|(_, at)| lies_in(at)));
        }
        found.sort_unstable_by_key(|(_, at)| *at);
        found.dedup();
        Ok(found)
    }
}

/// The files to look at, those among them that are known to be missing.
fn with_missing(files: &[(u32, u64)], known: &[Damage]) -> Vec<(u32, u64)> {
    let mut all = files.to_vec();
    all.extend(known.iter().filter(|d| !files.iter().any(|(n, _)| *n == d.number)).map(|d| (d.number, 0)));
    all.sort_unstable();
    all.dedup();
    all
}

struct JournalWalk<'a> {
    segments: &'a Segments,
    last_seq: u64,
    /// Damage since the last good frame.
    open: Vec<Damage>,
    lost: Vec<Lost>,
    /// Bytes of the segments before this one.
    done: u64,
    watch: &'a mut dyn FnMut(u64) -> bool,
    f: &'a mut dyn FnMut(Record) -> Result<()>,
}

impl JournalWalk<'_> {
    fn segment(&mut self, number: u32, len: u64, known: &[Damage]) -> Result<()> {
        let files = &self.segments.files;
        // A handle of our own: what is kept open may be a file that has been deleted.
        let Some(file) = open(files, number)? else {
            self.open.push(files.report(number, 0, len));
            self.done += len;
            return Ok(());
        };
        let there = file.len()?.min(len);
        let head = file.read(0, HEADER).ok().and_then(|bytes| SegmentHead::parse(&bytes));
        if head.is_none_or(|head| head.number != number) {
            self.open.push(files.report(number, 0, HEADER as u64));
        }
        let mut at = HEADER as u64;
        loop {
            if !(self.watch)(self.done + at.min(len)) {
                return Err(StoreError::Stopped);
            }
            match step(&file, number, at, there.min(published(files, number)))? {
                Step::End => break,
                Step::Frame(batch, next) => {
                    self.close_gap(batch.first_seq);
                    self.last_seq = batch.last_seq();
                    for record in batch.records() {
                        (self.f)(record)?;
                    }
                    at = next;
                }
                Step::Bad { resume } => {
                    let end = there.min(published(files, number));
                    if at >= end {
                        break;
                    }
                    let next = resume.unwrap_or(end);
                    self.open.push(files.report(number, at, next));
                    at = next;
                }
            }
        }
        let shorter =
            (there < len && len <= published(files, number)).then(|| files.report(number, there, len));
        let behind = known.iter().filter(|d| d.number == number && d.from >= len).copied();
        self.open.extend(shorter.into_iter().chain(behind));
        self.done += len;
        Ok(())
    }

    /// Names the damage before a record with this sequence number.
    fn close_gap(&mut self, next_seq: u64) {
        let seqs = (self.last_seq + 1 < next_seq).then(|| (self.last_seq + 1, next_seq - 1));
        self.lost.extend(self.open.drain(..).map(|damage| Lost { damage, seqs }));
    }
}

/// What counts of a file now: less than before, if a failed sync has put its end in doubt.
fn published(files: &Catalogue, number: u32) -> u64 {
    files.get(number).map_or(0, |entry| entry.len)
}

fn open(files: &Catalogue, number: u32) -> Result<Option<DataFile>> {
    match files.open(number, OpenMode::Read) {
        Ok(file) => Ok(Some(file)),
        Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(other) => Err(other),
    }
}

fn verify_pack(
    packs: &Packs,
    view: &Packs,
    (number, len): (u32, u64),
    known: &[Damage],
    found: &mut Vec<Damage>,
    watch: &mut dyn FnMut(u64) -> bool,
) -> Result<()> {
    let files = &packs.files;
    let Some(file) = open(files, number)? else {
        found.push(files.report(number, 0, len));
        return Ok(());
    };
    found.extend(known.iter().filter(|d| d.number == number && d.from >= len));
    let there = file.len()?.min(len);
    let head =
        file.read(0, PACK_HEADER).map(|bytes| PackHead::parse(&bytes).is_some_and(|h| h.number == number));
    if head.is_ok_and(|good| !good) {
        found.push(files.report(number, 0, PACK_HEADER as u64));
    }
    let mut unpacker = Unpacker::default();
    let mut at = PACK_HEADER as u64;
    loop {
        let end = there.min(published(files, number));
        if at >= end {
            break;
        }
        if !watch(at) {
            return Err(StoreError::Stopped);
        }
        let Some(block) = block_at(&file, number, at, end)? else {
            let next = view.next_block(number, at + 1, end)?.map_or(end, |(found, _)| found);
            found.push(files.report(number, at, next));
            at = next;
            continue;
        };
        let len = block.head.len();
        // One that continues a damaged block is good as far as can be said.
        if matches!(unpacker.unpack(view, block.at, &block.head, &block.data)?, Unpacked::Bad) {
            found.push(files.report(number, at, at + len));
        }
        at += len;
    }
    if there < len && len <= published(files, number) {
        found.push(files.report(number, there, len));
    }
    Ok(())
}
