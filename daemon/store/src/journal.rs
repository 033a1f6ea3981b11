//! Writing the journal: append-only segments of frames. The journal is the truth; everything else is derived.
//!
//! Invariants: sequence numbers only grow, over restarts and failures too; a frame is whole or not there; what was
//! written since the last good fsync is in doubt once one fails, and is then given up for good by the next segment's
//! header, so that it cannot come back after its events were journalled again.
//!
//! Must never treat a segment as clean after a failed fsync, nor write to it again.

use std::sync::Arc;

use crate::catalogue::{Catalogue, Entry};
use crate::error::{Result, StoreError};
use crate::files::DataFile;
use crate::frame::{self, Place};
use crate::manifest::ManifestV1;
use crate::segment::{HEADER, SegmentHead, Segments, Step, step};
use crate::types::{Locator, NewRecord, Record};
use crate::vfs::OpenMode;
use crate::watermark::WatermarkV1;
use crate::zip::Compressor;

/// How long a segment is written to, by the times of its records: a day.
const SPAN_NS: u64 = 86_400_000_000_000;

struct Active {
    number: u32,
    file: Arc<DataFile>,
    len: u64,
    synced: u64,
    first_ns: u64,
    newest_ns: u64,
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
        let mut cut = 0;
        if let Some((number, head)) = heads.last().copied().filter(|(number, _)| *number >= mark.segment) {
            cut = journal.resume(number, head, &mark)?;
        }
        Ok((journal, cut))
    }

    /// Takes up the last segment where it ends.
    fn resume(&mut self, number: u32, head: Option<SegmentHead>, mark: &WatermarkV1) -> Result<u64> {
        let files = &self.segments.files;
        let file = Arc::new(files.open(number, OpenMode::Write)?);
        let file_len = file.len()?;
        let known = if number == mark.segment { mark.segment_len } else { 0 };
        if file_len < known {
            files.report(number, file_len, known);
        }
        let mut at = if known >= HEADER as u64 && known <= file_len { known } else { HEADER as u64 };
        let mut last_seq = head.map_or(0, |head| head.first_seq.saturating_sub(1));
        let mut newest_ns = if known > 0 { mark.newest_ns } else { 0 };
        let mut torn_from = None;
        loop {
            match step(&file, number, at, file_len)? {
                Step::Frame(batch, next) => {
                    last_seq = last_seq.max(batch.last_seq());
                    newest_ns = newest_ns.max(batch.newest_ns());
                    at = next;
                }
                Step::Bad { resume: Some(next) } => {
                    files.report(number, at, next);
                    at = next;
                }
                Step::Bad { resume: None } => {
                    torn_from = Some(at);
                    break;
                }
                Step::End => break,
            }
        }
        let len = torn_from.unwrap_or(file_len).max(known.min(file_len)).max(file_len.min(HEADER as u64));
        if len < file_len {
            tracing::info!(file = %file.path().display(), bytes = file_len - len, "cut a half-written frame off the journal");
            file.cut(len)?;
        }
        // A caller may take what is found here for durable: make it so.
        if file_len != known {
            file.sync()?;
            files.sync_dir()?;
        }
        self.last_seq = self.last_seq.max(last_seq);
        self.synced_seq = self.last_seq;
        let first_ns = head.map_or(0, |head| head.first_ns);
        files.publish(number, Entry { newest_ns, ..entry(head, len) });
        files.keep(number, Arc::clone(&file));
        self.sealed = (number, len.max(known));
        self.sealed_newest_ns = newest_ns;
        // A segment that was damaged is not written to again.
        if head.is_some() && len >= known {
            self.active = Some(Active { number, file, len, synced: len, first_ns, newest_ns });
        }
        Ok(file_len - len)
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
        let compressed = self.zip.compress(&payload, frame::HEADER);
        let bytes = compressed.map_err(|e| StoreError::io(self.segments.files.dir(), e))?;
        let times = || records.iter().map(|record| record.at_ns);
        Ok(Prepared {
            bytes,
            raw_len: payload.len(),
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
        let Prepared { mut bytes, raw_len, newest_ns, .. } = frame;
        let offset =
            u32::try_from(active.len).map_err(|_| StoreError::Misuse("segment_bytes is over 4 GiB"))?;
        let place = Place { number: active.number, offset };
        frame::seal(place, raw_len, &mut bytes)?;
        if let Err(error) = active.file.write(&bytes, active.len) {
            if active.file.cut(active.len).is_err() {
                self.seal();
            }
            return Err(error);
        }
        active.len += bytes.len() as u64;
        active.newest_ns = active.newest_ns.max(newest_ns);
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
        if let Some(active) = self.active.take() {
            self.sealed = (active.number, active.len);
            self.sealed_newest_ns = active.newest_ns;
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
        files.sync_dir()?;
        let len = HEADER as u64;
        files.publish(number, entry(Some(head), len));
        files.keep(number, Arc::clone(&file));
        Ok(Active { number, file, len, synced: len, first_ns, newest_ns: 0 })
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
        let head =
            file.read(0, HEADER).ok().and_then(|b| SegmentHead::parse(&b)).filter(|h| h.number == number);
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
