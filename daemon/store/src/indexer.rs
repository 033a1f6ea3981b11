//! Keeping one generation of the index up to the journal and the packs: the store's own, or one built beside it.
//!
//! Invariants: each batch says how far it brings the generation, so a generation that lost its tail knows it; a row
//! names only what is written.
//!
//! Must never apply a record that was not journalled, nor let the caller touch the store's own keys.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::catalogue::{lock, read, write};
use crate::error::{Result, StoreError};
use crate::index::{self, FIRST_CALLER_BYTE, StateV1};
use crate::packs::{PACK_HEADER, Packs, hash};
use crate::recipe::{BlockAt, PieceAt};
use crate::shared::Shared;
use crate::types::{Locator, Mutation, Progress, Record, RecordId};
use crate::unpack::{Block, Unpacked, Unpacker, block_at};

/// How many rows of pieces wait for the caller's next batch before they get one of their own.
pub(crate) const PENDING_PIECES: usize = 8_192;

/// So many bytes of packs are brought in at an opening: some tens of milliseconds.
const AT_ONCE: u64 = 8 << 20;

/// A generation and what is not in it yet.
pub(crate) struct Indexer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) view_version: u32,
    /// Records of segments before this one are not in it.
    pub(crate) oldest: u32,
    /// Whether it has the packs' rows. If there are too many to bring in at an opening, another generation is built
    /// instead, and nothing is applied to this one: it would claim what it has not.
    pub(crate) ready: bool,
    /// Records whose rows are not in the index, by sequence number.
    pub(crate) unapplied: VecDeque<(u64, RecordId, Locator)>,
}

impl Indexer {
    pub(crate) fn new(shared: Arc<Shared>, view_version: u32, oldest: u32) -> Self {
        Self { shared, view_version, oldest, ready: true, unapplied: VecDeque::new() }
    }

    /// The last record accounted for, 0 if none.
    pub(crate) fn applied(&self) -> u64 {
        self.shared.applied.load(Ordering::Acquire)
    }

    /// Queues the rows of records for the next batch.
    pub(crate) fn reindex(&mut self, records: &[Record]) {
        let mut pending = write(&self.shared.pending);
        for Record { seq, id, locator, .. } in records {
            pending.records.insert(*id, *locator);
            self.unapplied.push_back((*seq, *id, *locator));
        }
    }

    /// One atomic batch: the caller's mutations, what is queued up to `upto_seq` and up to this end of the packs, and
    /// the new state, which says so.
    pub(crate) fn apply(&mut self, upto_seq: u64, mutations: Vec<Mutation>, pack: (u32, u64)) -> Result<()> {
        if !self.ready {
            return Err(StoreError::Index("another one is being built".into()));
        }
        if upto_seq > self.shared.last_seq.load(Ordering::Acquire) {
            return Err(StoreError::Misuse("applied a record that was never journalled"));
        }
        let own = |key: &[u8]| key.first().is_none_or(|first| *first < FIRST_CALLER_BYTE);
        if mutations.iter().any(|(Mutation::Put(key, _) | Mutation::Delete(key))| own(key)) {
            return Err(StoreError::Misuse("a key below 0x20"));
        }
        let applied = self.applied().max(upto_seq);
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
            for (from, to) in pending.moved.iter().filter(|(_, to)| is_before(**to, pack)) {
                batch.push(index::put_moved(*from, *to)?);
            }
        }
        let last = records.checked_sub(1).and_then(|last| self.unapplied.get(last));
        let applied_at = last.map(|(seq, _, at)| (*seq, *at)).or(*lock(&self.shared.applied_at));
        batch.push(index::put_state(&StateV1 {
            view_version: self.view_version,
            oldest: self.oldest,
            applied,
            applied_at,
            pack: pack.0,
            pack_len: pack.1,
        })?);
        self.shared.index().apply(batch)?;
        let mut pending = write(&self.shared.pending);
        for (_, id, _) in self.unapplied.drain(..records) {
            pending.records.remove(&id);
        }
        pending.pieces.retain(|_, at| !is_before(at.block, pack));
        pending.recipes.retain(|_, at| !is_before(*at, pack));
        pending.moved.retain(|_, to| !is_before(*to, pack));
        drop(pending);
        *lock(&self.shared.applied_at) = applied_at;
        self.shared.applied.store(applied, Ordering::Release);
        Ok(())
    }

    /// Brings in what the packs have from a position on, unless that is so much that another generation had better be
    /// built beside.
    pub(crate) fn catch_up_packs(&mut self, (pack, pack_len): (u32, u64)) -> Result<()> {
        let behind: u64 = self
            .shared
            .packs
            .files
            .list()
            .iter()
            .map(|(number, entry)| match number.cmp(&pack) {
                std::cmp::Ordering::Less => 0,
                std::cmp::Ordering::Equal => entry.len.saturating_sub(pack_len),
                std::cmp::Ordering::Greater => entry.len,
            })
            .sum();
        self.ready = behind <= AT_ONCE;
        if self.ready { self.index_packs((pack, pack_len), &mut |_| ()).map(drop) } else { Ok(()) }
    }

    /// Finds the pieces and recipes in the packs from a position on, and brings them into the index. Returns the
    /// position up to which it looked.
    pub(crate) fn index_packs(
        &mut self,
        (pack, pack_len): (u32, u64),
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(u32, u64)> {
        let packs = Arc::clone(&self.shared.packs);
        let list: Vec<_> = packs.files.list().into_iter().filter(|(number, _)| *number >= pack).collect();
        let total = list.iter().map(|(_, entry)| entry.len).sum();
        let (mut done, mut end) = (0, (pack, pack_len));
        for (number, entry) in list {
            let mut at = if number == pack { pack_len.max(PACK_HEADER as u64) } else { PACK_HEADER as u64 };
            let file = packs.files.file(number)?;
            let mut unpacker = Unpacker::default();
            loop {
                let Some(block) = block_at(&file, number, at, entry.len)? else {
                    let Some((found, _)) = packs.next_block(number, at, entry.len)? else { break };
                    packs.files.report(number, at, found);
                    at = found;
                    continue;
                };
                at += block.head.len();
                self.index_block(&packs, &mut unpacker, block)?;
                if self.pending_pieces() > PENDING_PIECES {
                    self.apply(self.applied(), Vec::new(), (number, at))?;
                    progress(Progress { phase: "packs", done: done + at, total, unit: "bytes" });
                }
            }
            if at < entry.len {
                packs.files.report(number, at, entry.len);
            }
            done += entry.len;
            end = (number, entry.len);
        }
        Ok(end)
    }

    /// A block whose data cannot be read is lost; but a disk that fails to read it now is an error, since it may be
    /// readable the next time, and a generation without it would be wrong for good.
    fn index_block(&self, packs: &Packs, unpacker: &mut Unpacker, block: Block) -> Result<()> {
        let Block { at, head, meta, data } = block;
        let Unpacked::Raw(raw) = unpacker.unpack(packs, at, &head, &data)? else {
            packs.files.report(at.pack, u64::from(at.offset), u64::from(at.offset) + head.len());
            return Ok(());
        };
        let recipe = meta
            .recipe
            .filter(|recipe| meta.former.is_empty() || self.shared.is_led_to(&recipe.id, &meta.former));
        let mut pending = write(&self.shared.pending);
        let mut rest = raw;
        for (len, entry) in meta.pieces.iter().zip(0..) {
            let (bytes, after) = rest.split_at((*len as usize).min(rest.len()));
            rest = after;
            pending.pieces.insert(hash(bytes), PieceAt { block: at, entry });
        }
        if let Some(recipe) = recipe {
            pending.recipes.insert(recipe.id, at);
        }
        pending.moved.extend(meta.former.into_iter().map(|former| (former, at)));
        Ok(())
    }

    pub(crate) fn pending_pieces(&self) -> usize {
        let pending = read(&self.shared.pending);
        pending.pieces.len() + pending.recipes.len() + pending.moved.len()
    }
}

/// Whether a block is before an end of the packs: such a state of the index has to have its rows.
fn is_before(block: BlockAt, end: (u32, u64)) -> bool {
    (block.pack, u64::from(block.offset)) < end
}
