//! The writer: ties the journal, the packs, the index and the watermark together.
//!
//! Order of things: a body's pieces, the record that names it, `sync` (packs before the journal), and only then the
//! acknowledgement. The index follows whenever the caller applies; it may be behind what is durable, never ahead of it.
//!
//! Must never return `Ok` from `sync` unless everything before it is durable.

use std::collections::{HashSet, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use crate::blobs::{self, Families, Unsynced};
use crate::block::BlockMetaV1;
use crate::catalogue::{lock, read, write};
use crate::engine::Engine;
use crate::error::{Result, StoreError};
use crate::files::DataFile;
use crate::index::{self, FIRST_CALLER_BYTE, Index, StateV1};
use crate::journal::Journal;
use crate::open::{Wanted, open_index};
use crate::pack::PackWriter;
use crate::packs::{PACK_HEADER, Packs, hash};
use crate::reader::Reader;
use crate::recipe::{BlockAt, PieceAt};
use crate::shared::{Pending, Shared};
use crate::types::{BlobRef, IndexState, Locator, Mutation, NewRecord, Options, Record, RecordId};
use crate::watermark::{WatermarkFile, WatermarkV1};

/// How many rows of pieces wait for the caller's next batch before they get one of their own.
const PENDING_PIECES: usize = 8_192;

/// How long an index may take to close.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// The store's single writer. Lives on one thread of the caller's; [`Reader`]s live anywhere.
pub struct Store {
    pub(crate) shared: Arc<Shared>,
    pub(crate) options: Options,
    pub(crate) journal: Journal,
    pub(crate) packs: PackWriter,
    pub(crate) watermark: WatermarkFile,
    pub(crate) oldest: u32,
    pub(crate) engine: Box<dyn Engine>,
    pub(crate) families: Families,
    pub(crate) unsynced: Unsynced,
    /// Records appended since the last good sync.
    pub(crate) unsynced_records: HashSet<RecordId>,
    /// Records whose rows are not in the index, by sequence number.
    pub(crate) unapplied: VecDeque<(u64, RecordId, Locator)>,
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
        self.shared.applied.load(Ordering::Acquire)
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
        if self.pending_pieces() > PENDING_PIECES + unsynced {
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
        let records = self.journal.append(frame, records)?;
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
        self.apply_upto_pack(upto_seq, mutations, self.packs.position())
    }

    /// Opens the index again after it failed: sled fails for good once a write has failed (a full disk), even to read.
    /// Meanwhile the journal and the packs go on. Afterwards the caller replays from [`Store::applied`] + 1, as after
    /// [`Store::open`]. If this fails too (the disk is still full), try again later.
    pub fn reopen_index(&mut self) -> Result<IndexState, StoreError> {
        close(self.shared.set_index(Arc::new(index::Closed)))?;
        let wanted = Wanted::new(&self.options, &self.journal, &self.packs);
        let (index, state, index_state) = match open_index(&*self.engine, &self.options, &wanted) {
            Err(StoreError::Index(reason)) => {
                // The old one hangs and will not let go of its files.
                let state = StateV1 { view_version: self.options.view_version, ..StateV1::default() };
                let index = self.engine.start_over(&self.options)?;
                index.apply(vec![index::put_state(&state)?])?;
                (index, state, IndexState::Rebuilt { reason })
            }
            other => other?,
        };
        self.shared.set_index(index);
        *lock(&self.shared.applied_at) = state.applied_at;
        self.shared.applied.store(state.applied, Ordering::Release);
        self.index_packs(state.pack, state.pack_len)?;
        Ok(index_state)
    }

    fn apply_upto_pack(&mut self, upto_seq: u64, mutations: Vec<Mutation>, pack: (u32, u64)) -> Result<()> {
        let applied = self.applied();
        // What is in the index must not be lost by the files, or it would be taken for known: only what is durable
        // gets into it.
        if upto_seq > self.journal.synced_seq() {
            return Err(StoreError::Misuse("applied a record that is not durable"));
        }
        let own = |key: &[u8]| key.first().is_none_or(|first| *first < FIRST_CALLER_BYTE);
        if mutations.iter().any(|(Mutation::Put(key, _) | Mutation::Delete(key))| own(key)) {
            return Err(StoreError::Misuse("a key below 0x20"));
        }
        let applied = applied.max(upto_seq);
        let records = self.unapplied.partition_point(|(seq, ..)| *seq <= applied);
        let mut batch = mutations;
        batch.extend(self.unapplied.iter().take(records).map(|(_, id, at)| index::put_record(id, *at)));
        {
            let pending = read(&self.shared.pending);
            for (hash, at) in pending.pieces.iter().filter(|(_, at)| is_before(at.block, pack)) {
                batch.push(index::put_piece(hash, *at)?);
            }
            for (id, at) in pending.recipes.iter().filter(|(_, at)| is_before(**at, pack)) {
                batch.push(index::put_recipe(id, *at)?);
            }
        }
        let last = records.checked_sub(1).and_then(|last| self.unapplied.get(last));
        let applied_at = last.map(|(seq, _, at)| (*seq, *at)).or(*lock(&self.shared.applied_at));
        let view_version = self.options.view_version;
        let state = StateV1 { view_version, applied, applied_at, pack: pack.0, pack_len: pack.1 };
        batch.push(index::put_state(&state)?);
        self.shared.index().apply(batch)?;
        let mut pending = write(&self.shared.pending);
        for (_, id, _) in self.unapplied.drain(..records) {
            pending.records.remove(&id);
        }
        pending.pieces.retain(|_, at| !is_before(at.block, pack));
        pending.recipes.retain(|_, at| !is_before(*at, pack));
        drop(pending);
        *lock(&self.shared.applied_at) = applied_at;
        self.shared.applied.store(applied, Ordering::Release);
        Ok(())
    }

    /// Queues the rows of replayed records for the next [`Store::apply`].
    pub fn reindex(&mut self, records: &[Record]) {
        let mut pending = write(&self.shared.pending);
        for Record { seq, id, locator, .. } in records {
            pending.records.insert(*id, *locator);
            self.unapplied.push_back((*seq, *id, *locator));
        }
    }

    /// Makes everything durable, the index too. For shutdown.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        self.sync()?;
        if self.pending_pieces() > 0 {
            self.apply(self.applied(), Vec::new())?;
        }
        self.shared.index().flush()
    }

    /// Empties the index, so that the caller replays everything: [`Store::applied`] is 0 afterwards. The places of
    /// pieces are found again by scanning the packs. The views to come have this version.
    pub fn reset_views(&mut self, view_version: u32) -> Result<(), StoreError> {
        self.options.view_version = view_version;
        let index = self.engine.start_over(&self.options)?;
        close(self.shared.set_index(index))?;
        *write(&self.shared.pending) = Pending::default();
        self.unapplied.clear();
        *lock(&self.shared.applied_at) = None;
        self.shared.applied.store(0, Ordering::Release);
        self.index_packs(0, 0)
    }

    /// Forgets everything since the last good sync, after one failed.
    fn give_up(&mut self) {
        self.journal.give_up();
        self.families.forget();
        let synced = self.journal.synced_seq();
        let unsynced = std::mem::take(&mut self.unsynced);
        let records = std::mem::take(&mut self.unsynced_records);
        self.unapplied.retain(|(seq, ..)| *seq <= synced);
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
        let mark =
            WatermarkV1 { turn: 0, oldest: self.oldest, segment, segment_len, last_seq, pack, pack_len };
        if let Err(error) = self.watermark.write(mark) {
            tracing::warn!(%error, "could not write the watermark; the next start looks at more of the journal");
        }
    }

    /// Finds the pieces and recipes in the packs from a position on, and brings them into the index.
    pub(crate) fn index_packs(&mut self, pack: u32, pack_len: u64) -> Result<()> {
        let packs = Arc::clone(&self.shared.packs);
        for (number, entry) in packs.files.list().into_iter().filter(|(number, _)| *number >= pack) {
            let mut at = if number == pack { pack_len.max(PACK_HEADER as u64) } else { PACK_HEADER as u64 };
            while let Some((found, (head, meta))) = packs.next_block(number, at, entry.len)? {
                if found > at {
                    packs.files.report(number, at, found);
                }
                at = found + head.len();
                let Ok(offset) = u32::try_from(found) else { break };
                self.index_block(&packs, BlockAt { pack: number, offset }, meta);
                if self.pending_pieces() > PENDING_PIECES {
                    self.apply_upto_pack(self.applied(), Vec::new(), (number, at))?;
                }
            }
            if at < entry.len {
                packs.files.report(number, at, entry.len);
            }
        }
        Ok(())
    }

    fn index_block(&self, packs: &Packs, at: BlockAt, meta: BlockMetaV1) {
        let group = match packs.group(at) {
            Ok(group) => group,
            Err(error) => {
                tracing::warn!(%error, "a block cannot be read; its pieces are lost");
                return;
            }
        };
        let mut pending = write(&self.shared.pending);
        for (bytes, entry) in group.pieces(at).zip(0..) {
            pending.pieces.insert(hash(bytes), PieceAt { block: at, entry });
        }
        if let Some(recipe) = meta.recipe {
            pending.recipes.insert(recipe.id, at);
        }
    }

    fn pending_pieces(&self) -> usize {
        let pending = read(&self.shared.pending);
        pending.pieces.len() + pending.recipes.len()
    }
}

/// Whether a block is before an end of the packs: such a state of the index has to have its rows.
fn is_before(block: BlockAt, end: (u32, u64)) -> bool {
    (block.pack, u64::from(block.offset)) < end
}

/// Drops an index on a thread of its own: sled writes when it is dropped, and may hang on a full disk.
fn close(index: Arc<dyn Index>) -> Result<()> {
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
