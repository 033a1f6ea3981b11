//! Opening a store: what is there, what is damaged, what has to be rebuilt.
//!
//! Must never change anything before the lock is held, nor take a damaged or missing file for an empty store.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, RwLock};

use crate::blobs::{Families, Unsynced};
use crate::catalogue::Catalogue;
use crate::engine::Engine;
use crate::error::{Result, StoreError};
use crate::files::DataFile;
use crate::index::{self, Index, StateV1};
use crate::indexer::Indexer;
use crate::journal::Journal;
use crate::manifest::Manifest;
use crate::pack::PackWriter;
use crate::packs::Packs;
use crate::recover::{Found, IndexDir};
use crate::segment::Segments;
use crate::shared::{Pending, Shared};
use crate::store::Store;
use crate::types::{FileKind, IndexState, Options, Report};
use crate::vfs::{OpenMode, RealFs, Vfs};
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
    /// Whether a store in `dir` is one of a version that this build opens; looks, and changes nothing.
    pub fn check_version(dir: &Path) -> Result<(), StoreError> {
        match newer(&RealFs, dir)? {
            Some(path) => Err(StoreError::Newer { path }),
            None => Ok(()),
        }
    }

    /// Opens the store in `dir`, or creates it. Afterwards the caller brings its views up to date: it replays from
    /// [`Store::applied`] + 1, calling [`Store::reindex`] and [`Store::apply`]; only then is
    /// [`crate::Reader::contains`] complete.
    pub fn open(dir: &Path, options: Options) -> Result<Opened, StoreError> {
        // A restore that was cut short is finished first.
        crate::restore::recover(dir)?;
        let engine = |home: &Path| Box::new(IndexDir::new(home)) as Box<dyn Engine>;
        Self::open_on(&(Arc::new(RealFs) as Arc<dyn Vfs>), engine, dir, options)
    }

    /// As [`Store::open`], on any file system, and with an index of any make: `engine` gets the version's directory.
    pub(crate) fn open_on(
        vfs: &Arc<dyn Vfs>,
        engine: impl FnOnce(&Path) -> Box<dyn Engine>,
        dir: &Path,
        options: Options,
    ) -> Result<Opened> {
        let options = Options {
            segment_bytes: options.segment_bytes.clamp(*SEGMENT_BYTES.start(), *SEGMENT_BYTES.end()),
            ..options
        };
        let home = version_dir(&**vfs, dir)?;
        let lock = DataFile::open(&**vfs, &home.join("lock"), OpenMode::Create)?;
        lock.lock()?;
        let (watermark, mark) = WatermarkFile::open(&**vfs, &home.join("watermark"))?;
        let catalogue = |kind, name| {
            let dir = home.join(name);
            vfs.private_dir(&dir).map(|()| Catalogue::new(Arc::clone(vfs), kind, dir))
        };
        let segments = Arc::new(Segments::new(catalogue(FileKind::Segment, "journal")?));
        let packs = Arc::new(Packs::new(catalogue(FileKind::Pack, "packs")?));
        let mut manifest = Manifest::open(vfs, &home.join("manifest"))?;
        manifest.know(mark.map_or(0, |mark| mark.oldest));
        if let Some(len) = manifest.damaged {
            packs.files.report_as(FileKind::Manifest, 0, 0, len);
        }
        remove_leftovers(&segments.files, &packs.files, &manifest)?;
        let (pack_writer, cut_pack) =
            PackWriter::open(&packs, mark.as_ref(), &manifest.state, options.segment_bytes)?;
        let (journal, cut_journal) =
            Journal::open(Arc::clone(&segments), mark.as_ref(), &manifest.state, options.segment_bytes)?;

        let last_seq = journal.last_seq();
        // A process that was killed may have made what it had no time to make durable.
        vfs.sync_entries(&home)?;
        vfs.sync_entries(dir)?;
        let wanted = Wanted::new(&options, &journal, &pack_writer, &manifest);
        let engine = engine(&home);
        engine.remove_unfinished()?;
        let (index, state, index_state) = open_index(&*engine, &options, &wanted)?;

        let shared = Arc::new(Shared {
            segments,
            packs,
            index: RwLock::new(index),
            indexes: AtomicU64::new(0),
            pending: RwLock::new(Pending::default()),
            last_seq: Arc::new(AtomicU64::new(last_seq)),
            applied: AtomicU64::new(state.applied),
            applied_at: Mutex::new(state.applied_at),
            leaving: RwLock::default(),
        });
        let indexer = Indexer::new(Arc::clone(&shared), options.view_version, manifest.state.oldest_segment);
        let mut store = Store {
            shared,
            options,
            journal,
            packs: pack_writer,
            watermark,
            manifest,
            indexer,
            engine,
            clock_ns: mark.map_or(0, |mark| mark.clock_ns),
            families: Families::default(),
            unsynced: Unsynced::default(),
            given_up: 0,
            unsynced_records: std::collections::HashSet::new(),
            _lock: lock,
        };
        store.indexer.catch_up_packs((state.pack, state.pack_len))?;
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

/// The directory of a newer version.
fn newer(vfs: &dyn Vfs, dir: &Path) -> Result<Option<PathBuf>> {
    let versions = vfs.named(dir, "v", "")?;
    Ok(versions.into_iter().find(|(version, _)| *version > VERSION).map(|(_, path)| path))
}

/// Makes the directory of this version, unless there is one of a newer version.
fn version_dir(vfs: &dyn Vfs, dir: &Path) -> Result<PathBuf> {
    if let Some(path) = newer(vfs, dir)? {
        return Err(StoreError::Newer { path });
    }
    let home = dir.join(format!("v{VERSION}"));
    vfs.private_dir(dir)?;
    // The parents first, and each time until it works: who finds the version's directory knows that they are durable.
    if vfs.kind(&home).map_err(|e| StoreError::io(&home, e))?.is_none() {
        for parent in dir.ancestors().skip(1) {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            match vfs.sync_entries(parent) {
                // Then it is not us who made something in it.
                Err(StoreError::Io { source, .. }) if source.kind() == ErrorKind::PermissionDenied => {}
                other => other?,
            }
        }
    }
    vfs.private_dir(&home)?;
    Ok(home)
}

/// Removes the files that were let go of, and were still there when the process ended.
fn remove_leftovers(segments: &Catalogue, packs: &Catalogue, manifest: &Manifest) -> Result<()> {
    for (number, _) in segments.on_disk()? {
        if number < manifest.state.oldest_segment {
            segments.withdraw(number)?;
        }
    }
    for (number, _) in packs.on_disk()? {
        if manifest.state.dropped(number) {
            packs.withdraw(number)?;
        }
    }
    Ok(())
}

/// What the index must fit.
pub(crate) struct Wanted {
    view_version: u32,
    oldest: u32,
    last_seq: u64,
    pack_end: (u32, u64),
}

impl Wanted {
    pub(crate) fn new(options: &Options, journal: &Journal, packs: &PackWriter, manifest: &Manifest) -> Self {
        Self {
            view_version: options.view_version,
            oldest: manifest.state.oldest_segment,
            last_seq: journal.last_seq(),
            pack_end: packs.end(),
        }
    }

    /// Why an index in this state cannot be used.
    fn refuses(&self, state: &StateV1) -> Option<String> {
        if state.view_version != self.view_version {
            Some(format!("its views have version {}, not {}", state.view_version, self.view_version))
        } else if state.oldest != self.oldest {
            Some(format!("it begins with segment {}, the journal with {}", state.oldest, self.oldest))
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
    engine: &dyn Engine,
    options: &Options,
    wanted: &Wanted,
) -> Result<(Arc<dyn Index>, StateV1, IndexState)> {
    let (opened, found) = engine.open(options)?;
    let fresh = StateV1 { view_version: options.view_version, oldest: wanted.oldest, ..StateV1::default() };
    let nothing_yet = wanted.last_seq == 0 && wanted.pack_end.0 == 0;
    let (index, state, index_state) = match index::state(&*opened) {
        Ok(Some(state)) => match wanted.refuses(&state) {
            Some(reason) => {
                drop(opened);
                (engine.start_over(options)?, fresh, IndexState::Rebuilt { reason })
            }
            None => match found {
                Found::Repaired(reason) => (opened, state, IndexState::Repaired { reason }),
                _ => (opened, state, IndexState::Opened),
            },
        },
        Ok(None) => {
            let index_state = match found {
                Found::Replaced(reason) | Found::Repaired(reason) => IndexState::Rebuilt { reason },
                _ if nothing_yet => IndexState::Empty,
                _ => IndexState::Rebuilt { reason: "there was none".into() },
            };
            (opened, fresh, index_state)
        }
        Err(error) => {
            drop(opened);
            (engine.start_over(options)?, fresh, IndexState::Rebuilt { reason: error.to_string() })
        }
    };
    if matches!(index_state, IndexState::Rebuilt { .. } | IndexState::Empty) {
        index.apply(vec![index::put_state(&state)?])?;
        // The head is written behind: without its state it would be taken for a stranger.
        index.flush()?;
    }
    Ok((index, state, index_state))
}
