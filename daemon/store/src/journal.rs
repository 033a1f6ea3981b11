//! Writing the journal: append-only segments of frames. The journal is the truth; everything else is derived.
//!
//! Invariants: sequence numbers only grow, over restarts and failures too; a frame is whole or not there; what was
//! written since the last good fsync is in doubt once one fails, and is then given up for good by the next segment's
//! header, so that it cannot come back after its events were journalled again.
//!
//! The segment being written is given space ahead, zeros that count for nothing, so that a sync need not write a new
//! length; a sealed one is cut to its length.
//!
//! Must never treat a segment as clean after a failed fsync, nor write to it again.

use std::sync::Arc;

use crate::catalogue::{Catalogue, Entry};
use crate::dictionary;
use crate::error::{Result, StoreError};
use crate::files::DataFile;
use crate::frame::{self, Place};
use crate::manifest::ManifestV1;
use crate::segment::{HEADER, SegmentHead, Segments, Step, step_before};
use crate::tail::Tail;
use crate::types::{Locator, NewRecord, Record};
use crate::vfs::OpenMode;
use crate::watermark::WatermarkV1;
use crate::zip::Compressor;

/// How long a segment is written to, by the times of its records: a day.
const SPAN_NS: u64 = 86_400_000_000_000;

/// How far ahead of its end a segment is given space, so that a sync has no new length to write.
const AHEAD: u64 = 1 << 20;

struct Active {
    number: u32,
    file: Arc<DataFile>,
    len: u64,
    synced: u64,
    first_ns: u64,
    newest_ns: u64,
    /// How long the file is: zeros after `len` are free space.
    allocated: u64,
    /// Whether giving it space ahead works.
    allocates: bool,
}

impl Active {
    /// Gives the file space ahead for writing up to `end`, but not beyond `limit`. If that fails, the write decides.
    fn allocate(&mut self, end: u64, limit: u64) {
        if !self.allocates || end <= self.allocated {
            return;
        }
        let to = (end + AHEAD).min(limit).max(end);
        match self.file.allocate(self.allocated, to - self.allocated) {
            Ok(()) => self.allocated = to,
            Err(error) => {
                tracing::debug!(%error, "the journal gets no space ahead");
                self.allocates = false;
            }
        }
    }
}

/// The journal's writer.
pub(crate) struct Journal {
    segments: Arc<Segments>,
    segment_bytes: u64,
    active: Option<Active>,
    /// The segment before the next new one: its number and how much of it counts.
    sealed: (u32, u64),
    /// When its newest record happened.
    sealed_newest_ns: u64,
    last_seq: u64,
    synced_seq: u64,
    zip: Compressor,
}

/// A frame that is ready but for its place.
pub(crate) struct Prepared {
    bytes: Vec<u8>,
    raw_len: usize,
    taught: bool,
    first_ns: u64,
    newest_ns: u64,
}

impl Journal {
    /// Lists the segments, looks at what was written since the last sync, and cuts a half-written frame off the end.
    pub(crate) fn open(
        segments: Arc<Segments>,
        watermark: Option<&WatermarkV1>,
        manifest: &ManifestV1,
        segment_bytes: u64,
    ) -> Result<(Self, u64)> {
        let mark = watermark.copied().unwrap_or_default();
        let heads = list(&segments.files, &mark, manifest.oldest_segment)?;
        let mut journal = Self {
            segments,
            segment_bytes,
            active: None,
            sealed: (mark.segment, mark.segment_len),
            sealed_newest_ns: mark.newest_ns,
            last_seq: mark.last_seq,
            synced_seq: mark.last_seq,
            zip: Compressor::new(),
        };
        let unsettled = heads.into_iter().rev().take_while(|(number, _)| *number >= mark.segment);
        for (number, head) in unsettled {
            if let Some(cut) = journal.resume(number, head, &mark)? {
                return Ok((journal, cut));
            }
        }
        Ok((journal, 0))
    }

    /// Takes up the last segment where it ends. None if the power went before it was begun: then it is no more.
    fn resume(&mut self, number: u32, head: Option<SegmentHead>, mark: &WatermarkV1) -> Result<Option<u64>> {
        let files = &self.segments.files;
        let file = Arc::new(files.open(number, OpenMode::Write)?);
        let file_len = file.len()?;
        let known = if number == mark.segment { mark.segment_len } else { 0 };
        if head.is_none() && known == 0 && file_len <= HEADER as u64 {
            files.withdraw(number)?;
            return Ok(None);
        }
        if file_len < known {
            files.report(number, file_len, known);
        }
        let start = if known <= file_len { known.max(HEADER as u64) } else { HEADER as u64 };
        let content = file.zeros_from(start.min(file_len), file_len)?;
        let mut tail = Tail::new(start, known);
        let mut ends = vec![(start, head.map_or(0, |head| head.first_seq.saturating_sub(1)))];
        let mut newest_ns = if known > 0 { mark.newest_ns } else { 0 };
        let mut at = start;
        // Zeros at the end are space ahead; a frame may end with some of its own.
        loop {
            match step_before(&file, number, at, content, file_len)? {
                Step::Frame(batch, next) => {
                    newest_ns = newest_ns.max(batch.newest_ns());
                    tail.good(next, batch.durable);
                    ends.push((next, batch.last_seq()));
                    at = next;
                }
                Step::Bad { resume: Some(next) } => {
                    tail.gap(at, next);
                    at = next;
                }
                Step::Bad { resume: None } | Step::End => break,
            }
        }
        let (len, damage) = tail.judge();
        for (from, to) in damage {
            files.report(number, from, to);
        }
        let len = len.max(known).min(file_len);
        let cut = content.saturating_sub(len);
        if cut > 0 {
            tracing::info!(file = %file.path().display(), bytes = cut, "cut a half-written frame off the journal");
            file.cut(len)?;
        }
        // A caller takes what is found here for durable: make it so.
        if len > known || cut > 0 {
            file.rewrite(known..len)?;
            file.sync()?;
            files.sync_dir()?;
        }
        let last_seq = ends.iter().filter(|(end, _)| *end <= len.max(start)).map(|(_, seq)| *seq).max();
        self.last_seq = self.last_seq.max(last_seq.unwrap_or_default());
        self.synced_seq = self.last_seq;
        let first_ns = head.map_or(0, |head| head.first_ns);
        files.publish(number, Entry { newest_ns, ..entry(head, len) });
        files.keep(number, Arc::clone(&file));
        self.sealed = (number, len.max(known));
        self.sealed_newest_ns = newest_ns;
        // A segment that was damaged is not written to again.
        if head.is_some() && len >= known {
            let allocated = if cut > 0 { len } else { file_len };
            self.active = Some(Active {
                number,
                file,
                len,
                synced: len,
                first_ns,
                newest_ns,
                allocated,
                allocates: true,
            });
        }
        Ok(Some(cut))
    }

    /// The last sequence number given out.
    pub(crate) fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// The last durable one.
    pub(crate) fn synced_seq(&self) -> u64 {
        self.synced_seq
    }

    pub(crate) fn is_dirty(&self) -> bool {
        self.active.as_ref().is_some_and(|active| active.len > active.synced)
    }

    /// The durable end: segment and length.
    pub(crate) fn position(&self) -> (u32, u64) {
        self.active.as_ref().map_or(self.sealed, |active| (active.number, active.synced))
    }

    /// Lays out and compresses the next frame.
    pub(crate) fn prepare(&mut self, records: &[NewRecord]) -> Result<Prepared> {
        let payload = frame::payload(self.last_seq + 1, records)?;
        let taught = payload.len() <= dictionary::LONGEST;
        let compressed = self.zip.compress(&payload, frame::HEADER, taught);
        let bytes = compressed.map_err(|e| StoreError::io(self.segments.files.dir(), e))?;
        let times = || records.iter().map(|record| record.at_ns);
        Ok(Prepared {
            bytes,
            raw_len: payload.len(),
            taught,
            first_ns: times().next().unwrap_or(0),
            newest_ns: times().max().unwrap_or(0),
        })
    }

    /// Whether the frame has to go to a new segment: the present one is full, or spans a day, which is the grain in
    /// which the past is let go of. Everything must have been synced by then.
    pub(crate) fn needs_segment(&self, frame: &Prepared) -> bool {
        self.active.as_ref().is_none_or(|active| {
            let full = active.len + frame.bytes.len() as u64 > self.segment_bytes;
            active.len > HEADER as u64 && (full || frame.first_ns >= active.first_ns.saturating_add(SPAN_NS))
        })
    }

    /// When the newest record of the segment being written happened.
    pub(crate) fn newest_ns(&self) -> u64 {
        self.active.as_ref().map_or(self.sealed_newest_ns, |active| active.newest_ns)
    }

    /// Writes the frame of `records`; the packs end at `packs_end`. Either all records are in the journal afterwards, or none.
    pub(crate) fn append(
        &mut self,
        frame: Prepared,
        records: Vec<NewRecord>,
        packs_end: (u32, u64),
    ) -> Result<Vec<Record>> {
        if self.needs_segment(&frame) {
            self.sync()?;
            self.seal();
            self.active = Some(self.start_segment(frame.first_ns, packs_end)?);
        }
        let Some(active) = &mut self.active else { return Err(StoreError::Misuse("no segment")) };
        let Prepared { mut bytes, raw_len, taught, newest_ns, .. } = frame;
        let offset =
            u32::try_from(active.len).map_err(|_| StoreError::Misuse("segment_bytes is over 4 GiB"))?;
        let place = Place { number: active.number, offset };
        let durable = u32::try_from(active.synced).unwrap_or_default();
        frame::seal(place, raw_len, taught, durable, &mut bytes)?;
        let end = active.len + bytes.len() as u64;
        active.allocate(end, self.segment_bytes);
        if let Err(error) = active.file.write(&bytes, active.len) {
            // What is left of it cannot pass for a frame, and the next one goes over it.
            if active.file.cut(active.len).is_ok() {
                active.allocated = active.len;
            }
            return Err(error);
        }
        active.newest_ns = active.newest_ns.max(newest_ns);
        active.len = end;
        active.allocated = active.allocated.max(end);
        self.segments.files.publish_len(place.number, active.len);
        self.segments.files.publish_newest(place.number, newest_ns);
        let first_seq = self.last_seq + 1;
        self.last_seq += records.len() as u64;
        let record = |(seq, (index, new)): (u64, (u16, NewRecord))| Record {
            seq,
            locator: Locator { segment: place.number, offset, index },
            kind: new.kind,
            schema: new.schema,
            id: new.id,
            at_ns: new.at_ns,
            body: new.body,
        };
        Ok((first_seq..).zip((0..).zip(records)).map(record).collect())
    }

    /// Makes everything appended durable. After an error, what was appended since the last success is given up.
    pub(crate) fn sync(&mut self) -> Result<()> {
        let Some(active) = self.active.as_mut().filter(|active| active.len > active.synced) else {
            return Ok(());
        };
        if let Err(error) = active.file.sync() {
            self.give_up();
            return Err(error);
        }
        active.synced = active.len;
        self.synced_seq = self.last_seq;
        Ok(())
    }

    /// Gives the space ahead back. For the end: the next append takes some again.
    pub(crate) fn trim(&mut self) {
        let Some(active) = self.active.as_mut().filter(|active| active.allocated > active.len) else {
            return;
        };
        match active.file.cut(active.len) {
            Ok(()) => active.allocated = active.len,
            Err(error) => tracing::debug!(%error, "the journal keeps the space it was given ahead"),
        }
    }

    /// Gives up what was appended since the last good sync: the segment ends there, and a new one begins.
    pub(crate) fn give_up(&mut self) {
        let Some(active) = self.active.take() else { return };
        tracing::error!(
            file = %active.file.path().display(),
            bytes = active.len - active.synced,
            "sealed a segment whose end could not be made durable"
        );
        self.segments.files.publish_len(active.number, active.synced);
        self.segments.forget();
        self.sealed = (active.number, active.synced);
        self.sealed_newest_ns = active.newest_ns;
        if let Err(error) = active.file.cut(active.synced) {
            tracing::warn!(%error, "could not cut the end that is in doubt; the next segment's header excludes it");
        }
    }

    /// Ends the active segment where it stands; nothing in it is in doubt.
    fn seal(&mut self) {
        let Some(active) = self.active.take() else { return };
        self.sealed = (active.number, active.len);
        self.sealed_newest_ns = active.newest_ns;
        if let Err(error) = active.file.cut(active.len) {
            tracing::debug!(%error, "a sealed segment keeps the space it was given ahead");
        }
    }

    fn start_segment(&self, first_ns: u64, (pack, pack_len): (u32, u64)) -> Result<Active> {
        let files = &self.segments.files;
        let (prev_number, prev_len) = self.sealed;
        let number = prev_number + 1;
        let file = Arc::new(files.open(number, OpenMode::Create)?);
        let head = SegmentHead {
            number,
            prev_number,
            prev_len,
            first_seq: self.last_seq + 1,
            first_ns,
            prev_newest_ns: self.sealed_newest_ns,
            pack,
            pack_len,
        };
        // A left-over of a failed attempt is ours to overwrite: nothing in it was ever published.
        file.cut(0)?;
        file.write(&head.to_bytes(), 0)?;
        // It says how much of the segment before counts: it must not be lost once something depends on that.
        file.sync()?;
        files.sync_dir()?;
        let len = HEADER as u64;
        files.publish(number, entry(Some(head), len));
        files.keep(number, Arc::clone(&file));
        Ok(Active { number, file, len, synced: len, first_ns, newest_ns: 0, allocated: len, allocates: true })
    }
}

fn entry(head: Option<SegmentHead>, len: u64) -> Entry {
    let Some(head) = head else { return Entry { len, ..Entry::default() } };
    let SegmentHead { first_seq, first_ns, pack, pack_len, .. } = head;
    Entry { len, first_seq, first_ns, newest_ns: 0, pack: (pack, pack_len) }
}

/// Fills the catalogue from the directory, and reports what is missing.
fn list(files: &Catalogue, mark: &WatermarkV1, oldest: u32) -> Result<Vec<(u32, Option<SegmentHead>)>> {
    let mut heads: Vec<(u32, Option<SegmentHead>)> = Vec::new();
    let mut expected = oldest.max(mark.oldest).max(1);
    for (number, _) in files.on_disk()? {
        let file = files.open(number, OpenMode::Read)?;
        let len = file.len()?;
        let head = SegmentHead::parse(&file.read_most(0, HEADER)?).filter(|head| head.number == number);
        let (prev_number, prev_len) = head.map_or((0, 0), |h| (h.prev_number, h.prev_len));
        if head.is_none() && len > HEADER as u64 {
            files.report(number, 0, HEADER as u64);
        }
        match files.get(prev_number) {
            Some(prev) if prev.len < prev_len => {
                files.report(prev_number, prev.len, prev_len);
            }
            Some(prev) => {
                let newest_ns = head.map_or(0, |h| h.prev_newest_ns);
                files.publish(prev_number, Entry { len: prev_len, newest_ns, ..prev });
            }
            None => {}
        }
        for missing in expected..number {
            files.report(missing, 0, if missing == prev_number { prev_len } else { 0 });
        }
        expected = number + 1;
        files.publish(number, entry(head, len));
        heads.push((number, head));
    }
    if mark.segment >= expected {
        files.report(mark.segment, 0, mark.segment_len);
    }
    Ok(heads)
}
