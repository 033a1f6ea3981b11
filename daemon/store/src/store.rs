//! The writer: ties the journal, the packs, the index and the watermark together.
//!
//! Order of things: a body's pieces, the record that names it, `sync` (packs before the journal), and only then the
//! acknowledgement. The index follows whenever the caller applies; it may be behind what is durable, never ahead of it.
//!
//! Must never return `Ok` from `sync` unless everything before it is durable.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use crate::blobs::{self, Families, Unsynced};
use crate::builder::ViewWriter;
use crate::catalogue::{lock, write};
use crate::engine::Engine;
use crate::error::{Result, StoreError};
use crate::files::DataFile;
use crate::index::{self, Index, StateV1};
use crate::indexer::{Indexer, PENDING_PIECES};
use crate::journal::Journal;
use crate::manifest::Manifest;
use crate::open::{Wanted, open_index};
use crate::pack::PackWriter;
use crate::reader::Reader;
use crate::shared::Shared;
use crate::types::{BlobRef, IndexState, Mutation, NewRecord, Options, Record, RecordId};
use crate::watermark::{WatermarkFile, WatermarkV1};

/// How long an index may take to close.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// The store's single writer. Lives on one thread of the caller's; [`Reader`]s live anywhere.
pub struct Store {
    pub(crate) shared: Arc<Shared>,
    pub(crate) options: Options,
    pub(crate) journal: Journal,
    pub(crate) packs: PackWriter,
    pub(crate) watermark: WatermarkFile,
    pub(crate) manifest: Manifest,
    pub(crate) indexer: Indexer,
    pub(crate) engine: Box<dyn Engine>,
    /// The caller's clock, kept with the watermark.
    pub(crate) clock_ns: u64,
    pub(crate) families: Families,
    pub(crate) unsynced: Unsynced,
    /// How often something was given up: a generation that was being built then may know records that never were.
    pub(crate) given_up: u64,
    /// Records appended since the last good sync.
    pub(crate) unsynced_records: HashSet<RecordId>,
    /// Keeps other processes out.
    pub(crate) _lock: DataFile,
}

impl Store {
    /// Something to read the store with, from any thread.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.shared))
    }

    /// The last record that the index accounts for, 0 if none.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.indexer.applied()
    }

    /// Whether the index can be brought up by replaying. If not, a generation has to be built and adopted: there is too
    /// much in the packs to hold everything up for it.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.indexer.ready
    }

    /// The last record journalled, 0 if none.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.journal.last_seq()
    }

    /// Stores a body, each piece of it once. `family` names what is likely to repeat (a session's requests; keep its
    /// responses in another family). Durable after the next [`Store::sync`].
    pub fn put_blob(&mut self, family: &[u8], bytes: &[u8]) -> Result<BlobRef, StoreError> {
        let put =
            blobs::put(&self.shared, &mut self.packs, &mut self.families, &mut self.unsynced, family, bytes);
        if self.packs.take_gave_up() {
            self.give_up();
        }
        let blob = put?;
        let unsynced = self.unsynced.pieces.len() + self.unsynced.recipes.len();
        if self.indexer.pending_pieces() > PENDING_PIECES + unsynced {
            // The body is stored all the same; a failing index is the business of the caller's own batches.
            if let Err(error) = self.apply(self.applied(), Vec::new()) {
                tracing::debug!(%error, "the places of new pieces are not in the index yet");
            }
        }
        Ok(blob)
    }

    /// Journals records as one frame: all of them or, after an error, none. Durable after the next [`Store::sync`].
    /// The bodies put before are made durable first; if that fails, it is as if [`Store::sync`] had failed.
    pub fn append(&mut self, records: Vec<NewRecord>) -> Result<Vec<Record>, StoreError> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let frame = self.journal.prepare(&records)?;
        if self.journal.needs_segment(&frame) {
            self.sync()?;
        }
        // The records may name bodies. A record that a power cut leaves, synced or not, must not lack its bodies: its
        // caller would find it and think it safe.
        if let Err(error) = self.packs.sync() {
            self.packs.take_gave_up();
            self.give_up();
            return Err(error);
        }
        let records = self.journal.append(frame, records, self.packs.end())?;
        self.unsynced_records.extend(records.iter().map(|record| record.id));
        self.reindex(&records);
        self.shared.last_seq.store(self.journal.last_seq(), Ordering::Release);
        Ok(records)
    }

    /// Makes everything put and appended so far durable. After an error nothing of it may be acknowledged: it is
    /// given up, its records are not contained any more, and it has to be put and appended again.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        if !self.packs.is_dirty() && !self.journal.is_dirty() {
            return Ok(());
        }
        if let Err(error) = self.packs.sync().and_then(|()| self.journal.sync()) {
            self.packs.take_gave_up();
            self.give_up();
            return Err(error);
        }
        self.unsynced = Unsynced::default();
        self.unsynced_records.clear();
        self.write_watermark();
        Ok(())
    }

    /// Changes the index by one atomic batch: the caller's mutations, the rows of all records up to `upto_seq`, the
    /// places of new pieces, and `upto_seq` itself as [`Store::applied`]. Only what is durable: records that were not
    /// synced yet are [`StoreError::Misuse`], pieces wait for a later batch.
    pub fn apply(&mut self, upto_seq: u64, mutations: Vec<Mutation>) -> Result<(), StoreError> {
        // What is in the index must not be lost by the files, or it would be taken for known: only what is durable
        // gets into it.
        if upto_seq > self.journal.synced_seq() {
            return Err(StoreError::Misuse("applied a record that is not durable"));
        }
        self.indexer.apply(upto_seq, mutations, self.packs.position())
    }

    /// Makes the index work again after it failed: sled fails for good once a write has failed (a full disk). If it is
    /// enough to give it a new head, it goes on being read meanwhile; otherwise it is opened again. The journal and the
    /// packs go on. Afterwards the caller replays from [`Store::applied`] + 1, as after
    /// [`Store::open`]. If this fails too (the disk is still full), try again later.
    pub fn reopen_index(&mut self) -> Result<IndexState, StoreError> {
        if self.shared.index().mend()? {
            return Ok(IndexState::Opened);
        }
        // What is brought in from the packs must not be given up later.
        self.sync()?;
        close(self.shared.set_index(Arc::new(index::Closed)))?;
        let wanted = Wanted::new(&self.options, &self.journal, &self.packs, &self.manifest);
        let (index, state, index_state) = match open_index(&*self.engine, &self.options, &wanted) {
            Err(StoreError::Index(reason)) => {
                // The old one hangs and will not let go of its files.
                let state = StateV1 { view_version: self.options.view_version, ..StateV1::default() };
                let index = self.engine.start_over(&self.options)?;
                index.apply(vec![index::put_state(&state)?])?;
                index.flush()?;
                (index, state, IndexState::Rebuilt { reason })
            }
            other => other?,
        };
        self.shared.set_index(index);
        *lock(&self.shared.applied_at) = state.applied_at;
        self.shared.applied.store(state.applied, Ordering::Release);
        self.indexer.unapplied.clear();
        self.indexer.catch_up_packs((state.pack, state.pack_len))?;
        Ok(index_state)
    }

    /// Queues the rows of replayed records for the next [`Store::apply`].
    pub fn reindex(&mut self, records: &[Record]) {
        self.indexer.reindex(records);
    }

    /// Makes everything durable, the index too. For shutdown.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        self.sync()?;
        self.journal.trim();
        self.write_watermark();
        if self.indexer.ready && self.indexer.pending_pieces() > 0 {
            self.apply(self.applied(), Vec::new())?;
        }
        self.shared.index().flush()
    }

    /// Forgets everything since the last good sync, after one failed.
    pub(crate) fn give_up(&mut self) {
        self.given_up += 1;
        self.journal.give_up();
        self.families.forget();
        let synced = self.journal.synced_seq();
        let unsynced = std::mem::take(&mut self.unsynced);
        let records = std::mem::take(&mut self.unsynced_records);
        self.indexer.unapplied.retain(|(seq, ..)| *seq <= synced);
        // Nothing of it is in the index.
        let mut pending = write(&self.shared.pending);
        pending.records.retain(|id, _| !records.contains(id));
        pending.pieces.retain(|hash, _| !unsynced.pieces.contains(hash));
        pending.recipes.retain(|id, _| !unsynced.recipes.contains(id));
    }

    pub(crate) fn write_watermark(&mut self) {
        let (segment, segment_len) = self.journal.position();
        let (pack, pack_len) = self.packs.position();
        let last_seq = self.journal.synced_seq();
        let mark = WatermarkV1 {
            turn: 0,
            oldest: self.manifest.state.oldest_segment,
            segment,
            segment_len,
            last_seq,
            pack,
            pack_len,
            newest_ns: self.journal.newest_ns(),
            clock_ns: self.clock_ns,
        };
        if let Err(error) = self.watermark.write(mark) {
            tracing::warn!(%error, "could not write the watermark; the next start looks at more of the journal");
        }
    }
}

impl ViewWriter for Store {
    fn reader(&self) -> Reader {
        Store::reader(self)
    }

    fn applied(&self) -> u64 {
        Store::applied(self)
    }

    fn reindex(&mut self, records: &[Record]) {
        Store::reindex(self, records);
    }

    fn apply(&mut self, upto_seq: u64, mutations: Vec<Mutation>) -> Result<(), StoreError> {
        Store::apply(self, upto_seq, mutations)
    }
}

/// Drops an index on a thread of its own: sled writes when it is dropped, and may hang on a full disk.
pub(crate) fn close(index: Arc<dyn Index>) -> Result<()> {
    let (done, closed) = sync_channel(1);
    let path = index.dir().map(Path::to_owned).unwrap_or_default();
    std::thread::Builder::new()
        .name("ccd-index-drop".into())
        .spawn(move || {
            drop(index);
            let _ = done.send(());
        })
        .map_err(|e| StoreError::io(&path, e))?;
    // Whether it went or not, the next generation is not in its way.
    let _ = closed.recv_timeout(CLOSE_LIMIT);
    Ok(())
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
