//! Opening a store: what is there, what is damaged, what has to be rebuilt.
//!
//! Must never change anything before the lock is held, nor take a damaged or missing file for an empty store.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, RwLock};

use crate::blobs::{Families, Unsynced};
use crate::catalogue::Catalogue;
use crate::error::{Result, StoreError};
use crate::files::{self, DataFile};
use crate::index::{self, Index, StateV1};
use crate::journal::Journal;
use crate::pack::PackWriter;
use crate::packs::Packs;
use crate::recover::{Found, IndexDir};
use crate::segment::Segments;
use crate::shared::{Pending, Shared};
use crate::store::Store;
use crate::types::{FileKind, IndexState, Options, Report};
use crate::watermark::WatermarkFile;

/// The layout that this version reads and writes.
const VERSION: u32 = 1;
const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = 4_096..=1 << 30;

/// An open store, and what opening it found.
pub struct Opened {
    /// The writer.
    pub store: Store,
    /// What was found.
    pub report: Report,
}

impl Store {
    /// Opens the store in `dir`, or creates it. Afterwards the caller brings its views up to date: it replays from
    /// [`Store::applied`] + 1, calling [`Store::reindex`] and [`Store::apply`]; only then is
    /// [`crate::Reader::contains`] complete.
    pub fn open(dir: &Path, options: Options) -> Result<Opened, StoreError> {
        let options = Options {
            segment_bytes: options.segment_bytes.clamp(*SEGMENT_BYTES.start(), *SEGMENT_BYTES.end()),
            ..options
        };
        crate::restore::recover(dir)?;
        let home = version_dir(dir)?;
        let lock = DataFile::open(&home.join("lock"), true)?;
        lock.lock()?;
        let (watermark, mark) = WatermarkFile::open(&home.join("watermark"))?;
        let catalogue = |kind, name| {
            let dir = home.join(name);
            files::private_dir(&dir).map(|()| Catalogue::new(kind, dir))
        };
        let segments = Arc::new(Segments::new(catalogue(FileKind::Segment, "journal")?));
        let packs = Arc::new(Packs::new(catalogue(FileKind::Pack, "packs")?));
        let (pack_writer, cut_pack) = PackWriter::open(&packs, mark.as_ref(), options.segment_bytes)?;
        let (journal, cut_journal) =
            Journal::open(Arc::clone(&segments), mark.as_ref(), options.segment_bytes)?;

        let last_seq = journal.last_seq();
        let rebuild_marker = home.join("rebuild");
        let wanted = Wanted::new(&options, &journal, &pack_writer, &rebuild_marker);
        let index_dir = IndexDir::new(&home);
        let (index, state, index_state) = open_index(&index_dir, &options, &wanted)?;
        files::remove(&rebuild_marker)?;

        let shared = Arc::new(Shared {
            segments,
            packs,
            index: RwLock::new(index),
            pending: RwLock::new(Pending::default()),
            last_seq: AtomicU64::new(last_seq),
            applied: AtomicU64::new(state.applied),
            applied_at: Mutex::new(state.applied_at),
        });
        let mut store = Store {
            shared,
            options,
            journal,
            packs: pack_writer,
            watermark,
            oldest: mark.map_or(1, |mark| mark.oldest),
            index_dir,
            rebuild_marker,
            families: Families::default(),
            unsynced: Unsynced::default(),
            unsynced_records: std::collections::HashSet::new(),
            unapplied: std::collections::VecDeque::new(),
            _lock: lock,
        };
        store.index_packs(state.pack, state.pack_len)?;
        store.write_watermark();
        let mut damage = store.shared.segments.files.damage();
        damage.extend(store.shared.packs.files.damage());
        let report = Report {
            cut_bytes: cut_journal + cut_pack,
            damaged: damage.len() as u64,
            damage,
            index: index_state,
            applied: state.applied,
            last_seq,
        };
        Ok(Opened { store, report })
    }
}

/// Makes the directory of this version, unless there is one of a newer version.
fn version_dir(dir: &Path) -> Result<PathBuf> {
    if let Some((_, path)) = files::named(dir, "v", "")?.into_iter().find(|(version, _)| *version > VERSION) {
        return Err(StoreError::Newer { path });
    }
    let home = dir.join(format!("v{VERSION}"));
    files::private_dir(dir)?;
    files::private_dir(&home)?;
    Ok(home)
}

/// What the index must fit.
pub(crate) struct Wanted {
    view_version: u32,
    last_seq: u64,
    pack_end: (u32, u64),
    marked: bool,
}

impl Wanted {
    pub(crate) fn new(
        options: &Options,
        journal: &Journal,
        packs: &PackWriter,
        rebuild_marker: &Path,
    ) -> Self {
        Self {
            view_version: options.view_version,
            last_seq: journal.last_seq(),
            pack_end: packs.end(),
            marked: rebuild_marker.exists(),
        }
    }

    /// Why an index in this state cannot be used.
    fn refuses(&self, state: &StateV1) -> Option<String> {
        if self.marked {
            Some("it knew records that were given up after a failed sync".into())
        } else if state.view_version != self.view_version {
            Some(format!("its views have version {}, not {}", state.view_version, self.view_version))
        } else if state.applied > self.last_seq {
            Some(format!("it is ahead of the journal ({} > {})", state.applied, self.last_seq))
        } else if (state.pack, state.pack_len) > self.pack_end {
            Some("it is ahead of the packs".into())
        } else {
            None
        }
    }
}

/// Opens the index; starts a new one if what it holds does not fit the files.
pub(crate) fn open_index(
    dir: &IndexDir,
    options: &Options,
    wanted: &Wanted,
) -> Result<(Arc<dyn Index>, StateV1, IndexState)> {
    let (opened, found) = dir.open(options)?;
    let fresh = StateV1 { view_version: options.view_version, ..StateV1::default() };
    let nothing_yet = wanted.last_seq == 0 && wanted.pack_end.0 == 0;
    let (index, state, index_state) = match index::state(&opened) {
        Ok(Some(state)) => match wanted.refuses(&state) {
            Some(reason) => {
                drop(opened);
                (dir.start_over(options)?, fresh, IndexState::Rebuilt { reason })
            }
            None if matches!(found, Found::Repaired) => (opened, state, IndexState::Repaired),
            None => (opened, state, IndexState::Opened),
        },
        Ok(None) => {
            let index_state = match found {
                Found::Replaced(reason) => IndexState::Rebuilt { reason },
                _ if nothing_yet => IndexState::Empty,
                _ => IndexState::Rebuilt { reason: "there was none".into() },
            };
            (opened, fresh, index_state)
        }
        Err(error) => {
            drop(opened);
            (dir.start_over(options)?, fresh, IndexState::Rebuilt { reason: error.to_string() })
        }
    };
    if matches!(index_state, IndexState::Rebuilt { .. } | IndexState::Empty) {
        index.apply(vec![index::put_state(&state)?])?;
    }
    Ok((Arc::new(index), state, index_state))
}
