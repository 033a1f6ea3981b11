//! The index: recent rows in sled and, mirrored, in memory; all others in immutable sorted runs.
//!
//! When the head has taken enough it is *folded*: its rows become a run, and an empty head takes over. Runs are merged
//! in the background ([`super::compact`]). Each batch carries the store's state row, which goes the same way as the
//! rows: if a head is lost, what the runs hold is the state at the last fold, and the journal brings back the rest.
//!
//! Readers hold on to a [`View`]: they wait for nobody, and nothing that happens to sled, to the disk's free space or to
//! the files' names reaches them.
//!
//! The head is written behind: a few batches together cost sled what one alone would. What a crash takes of them the
//! journal brings back, as it does with all that was never synced.
//!
//! Must never lose a row that was shown, nor show one that was refused, nor switch over to what is not durable.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::JoinHandle;

use super::cache::Cache;
use super::generation::{self, CurrentV1, Generation};
use super::head::{self, Head};
use super::merged::{Merged, Source, present};
use super::mirror::{Mirror, MirrorScan};
use super::run::Run;
use super::run_scan::RunScan;
use super::run_write::RunWriter;
use super::{Index, Rows, compact, filter};
use crate::catalogue::{lock, read, write};
use crate::error::{Result, StoreError};
use crate::files;
use crate::types::{Mutation, Options};

/// So many changes are written to the head at once, and so many a crash may leave to the journal.
const BEHIND: usize = 256;
/// Batches of more changes than this are history that is taken in: they are not written to the head, which would cost
/// more than all the rest of it, but left to the journal until they are a run, which is before long.
const LARGE_BATCH: usize = 256;
/// A head whose rows take so much memory is folded, however few they are.
const MEMORY: usize = 5 << 20;
/// A head whose log has grown to this is folded: sled writes a page anew for each few changes in it.
const LOG: u64 = 24 << 20;

/// The rows as a reader sees them.
pub(crate) struct View {
    pub(crate) mirror: Arc<Mirror>,
    /// The oldest first.
    pub(crate) runs: Vec<Arc<Run>>,
}

/// Shared with the thread that merges.
pub(crate) struct Inner {
    pub(crate) dir: PathBuf,
    pub(crate) cache: Arc<Cache>,
    view: RwLock<Arc<View>>,
    layout: Mutex<Layout>,
    /// The index is being dropped.
    pub(crate) stop: AtomicBool,
    damaged: AtomicBool,
}

struct Layout {
    current: CurrentV1,
    next: u32,
}

struct Writer {
    /// None: opened when the next batch comes, so that the one before has let go of its memory by then.
    head: Option<Head>,
    /// Changes that the mirror has and the head has not.
    behind: Vec<Mutation>,
    /// Changes since the last fold.
    taken: usize,
    /// A fold that failed is tried again when so many were taken.
    not_before: usize,
    /// sled fails for good once a write has failed.
    broken: bool,
    /// Filled for the first time: what a crash takes is thrown away with the rest, so the head need not have it.
    bulk: bool,
}

/// An index on disk.
pub(crate) struct LayeredIndex {
    inner: Arc<Inner>,
    writer: Mutex<Writer>,
    merging: Mutex<Option<JoinHandle<()>>>,
    options: Options,
}

impl LayeredIndex {
    pub(crate) fn new(generation: Generation, head: Head, mirror: Mirror, options: &Options) -> Self {
        let Generation { dir, current, next, runs, cache } = generation;
        let writer = Mutex::new(Writer {
            head: Some(head),
            behind: Vec::new(),
            taken: mirror.rows(),
            not_before: 0,
            broken: false,
            bulk: false,
        });
        let inner = Inner {
            dir,
            cache,
            view: RwLock::new(Arc::new(View { mirror: Arc::new(mirror), runs })),
            layout: Mutex::new(Layout { current, next }),
            stop: AtomicBool::new(false),
            damaged: AtomicBool::new(false),
        };
        Self { inner: Arc::new(inner), writer, merging: Mutex::new(None), options: *options }
    }

    /// Until it is flushed, nothing is kept in the head: for an index that is thrown away if its filling is not
    /// finished.
    pub(crate) fn in_bulk(self) -> Self {
        lock(&self.writer).bulk = true;
        self
    }

    /// Makes the head's rows a run, and goes on with an empty head, which is opened later.
    fn fold(&self, writer: &mut Writer) -> Result<()> {
        let inner = &self.inner;
        let mirror = Arc::clone(&inner.view().mirror);
        let run = if mirror.rows() > 0 {
            Some(inner.write_run(|run| mirror.each(|key, value| run.push(key, value)))?)
        } else {
            None
        };
        let number = inner.number();
        let mut old = 0;
        let switched = files::private_dir(&generation::head_dir(&inner.dir, number)).and_then(|()| {
            inner.switch(|current, view| {
                old = std::mem::replace(&mut current.head, number);
                view.mirror = Arc::default();
                current.runs.extend(run.as_ref().map(|run| run.number()));
                view.runs.extend(run.clone());
            })
        });
        if let Err(error) = switched {
            if let Some(run) = run {
                inner.give_up(&run);
            }
            return Err(error);
        }
        match writer.head.take() {
            Some(head) => head.discard(),
            None => head::remove(&generation::head_dir(&inner.dir, old)),
        }
        writer.behind.clear();
        (writer.taken, writer.not_before, writer.broken) = (0, 0, false);
        self.merge_if_due();
        Ok(())
    }

    /// Whether it is time to fold. The head's log is looked at where it has grown.
    fn is_due(&self, writer: &Writer, mirror: &Mirror, has_grown: bool) -> bool {
        writer.taken >= writer.not_before
            && (writer.taken >= self.options.head_mutations
                || mirror.bytes() >= MEMORY
                || (has_grown && writer.head.as_ref().is_some_and(|head| head.log_bytes() >= LOG)))
    }

    /// The head, opened if it is not, in place of one that failed.
    fn head<'a>(&self, writer: &'a mut Writer) -> Result<&'a Head> {
        if writer.broken {
            self.fold(writer)?;
        }
        if writer.head.is_none() {
            let number = lock(&self.inner.layout).current.head;
            // What is in the way of this one may not be in the way of the next.
            writer.broken = true;
            let (head, _) = Head::open(&generation::head_dir(&self.inner.dir, number), &self.options)?;
            writer.broken = false;
            writer.head = Some(head);
        }
        writer.head.as_ref().ok_or_else(|| StoreError::Index("it has no head".into()))
    }

    /// Gives the head what it lacks. If it does not take it, the mirror has it still, and so has the run that replaces the
    /// head.
    fn catch_up(&self, writer: &mut Writer) -> Result<()> {
        if writer.behind.is_empty() {
            return Ok(());
        }
        let behind = std::mem::take(&mut writer.behind);
        // Replacing a broken head has taken them along.
        let was_broken = writer.broken;
        let head = self.head(writer)?;
        if was_broken {
            return Ok(());
        }
        head.apply(&behind).inspect_err(|_| writer.broken = true)
    }

    /// Merges runs on a thread of its own, if there are enough of them, and none is at it.
    fn merge_if_due(&self) {
        let mut merging = lock(&self.merging);
        if merging.as_ref().is_some_and(|thread| !thread.is_finished())
            || compact::plan(&self.inner.view().runs).is_none()
        {
            return;
        }
        let inner = Arc::clone(&self.inner);
        let thread =
            std::thread::Builder::new().name("ccd-index-merge".into()).spawn(move || compact::run(&inner));
        match thread {
            Ok(thread) => *merging = Some(thread),
            Err(error) => tracing::warn!(%error, "could not start merging the index's runs"),
        }
    }
}

/// What tests do to it, and look at.
#[cfg(test)]
#[allow(clippy::unwrap_used)]
impl LayeredIndex {
    pub(crate) fn break_head(&self) {
        lock(&self.writer).broken = true;
    }

    pub(crate) fn wait_for_merge(&self) {
        if let Some(thread) = lock(&self.merging).take() {
            thread.join().unwrap();
        }
    }

    pub(crate) fn runs(&self) -> usize {
        self.inner.view().runs.len()
    }
}

impl Index for LayeredIndex {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let view = self.inner.view();
        if let Some(value) = view.mirror.get(key) {
            return Ok(value);
        }
        let hash = filter::hash(key);
        for run in view.runs.iter().rev() {
            let found = run.get(key, hash).inspect_err(|error| self.inner.note(error))?;
            if let Some(value) = found {
                return Ok(value);
            }
        }
        Ok(None)
    }

    fn apply(&self, batch: Vec<Mutation>) -> Result<()> {
        let mut writer = lock(&self.writer);
        let limit = if batch.len() > LARGE_BATCH { usize::MAX } else { BEHIND };
        let is_full = writer.behind.len() >= limit.min(self.options.head_mutations);
        if is_full {
            // Before the batch counts: one that is refused must not be seen.
            self.catch_up(&mut writer)?;
        }
        if !writer.bulk {
            writer.behind.extend_from_slice(&batch);
        }
        writer.taken += batch.len();
        let mirror = Arc::clone(&self.inner.view().mirror);
        mirror.apply(batch);
        if self.is_due(&writer, &mirror, is_full)
            && let Err(error) = self.fold(&mut writer)
        {
            if writer.bulk {
                // The rows are in memory alone, and would all come to be.
                return Err(error);
            }
            tracing::warn!(%error, "the index's recent rows could not be folded; that is tried again");
            writer.not_before = writer.taken + self.options.head_mutations / 4;
        }
        Ok(())
    }

    fn scan(&self, from: &[u8], to: &[u8]) -> Rows {
        if from >= to {
            return Box::new(std::iter::empty());
        }
        let view = self.inner.view();
        let mut sources: Vec<Box<dyn Source>> =
            vec![Box::new(MirrorScan::new(Arc::clone(&view.mirror), from, to))];
        for run in view.runs.iter().rev() {
            match RunScan::new(Arc::clone(run), from, Some(to)) {
                Ok(scan) => sources.push(Box::new(scan)),
                Err(error) => {
                    self.inner.note(&error);
                    return Box::new(std::iter::once(Err(error)));
                }
            }
        }
        let inner = Arc::clone(&self.inner);
        Box::new(present(Merged::new(sources)).inspect(move |row| {
            if let Err(error) = row {
                inner.note(error);
            }
        }))
    }

    fn flush(&self) -> Result<()> {
        let mut writer = lock(&self.writer);
        if writer.bulk {
            self.fold(&mut writer)?;
            writer.bulk = false;
        }
        self.catch_up(&mut writer)?;
        if writer.head.is_none() && !writer.broken { Ok(()) } else { self.head(&mut writer)?.flush() }
    }

    fn mend(&self) -> Result<bool> {
        let mut writer = lock(&self.writer);
        if !writer.broken || self.inner.damaged.load(Ordering::Relaxed) {
            return Ok(false);
        }
        match self.head(&mut writer) {
            Ok(_) => Ok(true),
            Err(StoreError::Index(why)) => {
                tracing::warn!(%why, "the index's head cannot be replaced");
                Ok(false)
            }
            Err(other) => Err(other),
        }
    }

    fn bytes(&self) -> Result<u64> {
        let runs: u64 = self.inner.view().runs.iter().map(|run| run.bytes()).sum();
        let head = generation::head_dir(&self.inner.dir, lock(&self.inner.layout).current.head);
        Ok(runs + files::disk_bytes(&head)?)
    }

    fn dir(&self) -> Option<&Path> {
        Some(&self.inner.dir)
    }
}

impl Drop for LayeredIndex {
    fn drop(&mut self) {
        self.inner.stop.store(true, Ordering::Relaxed);
        let mut writer = lock(&self.writer);
        // A head that fails is left as it is: the journal has what it lacks.
        if !writer.broken
            && let Err(error) = self.catch_up(&mut writer)
        {
            tracing::debug!(%error, "the index's last rows are left to the journal");
        }
        drop(writer);
        if let Some(thread) = lock(&self.merging).take() {
            // It looks at each row whether it should stop; what it wrote is removed at the next opening.
            drop(thread.join());
        }
    }
}

impl Inner {
    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&read(&self.view))
    }

    /// Remembers damage, so that the next opening starts over.
    pub(crate) fn note(&self, error: &StoreError) {
        if !matches!(error, StoreError::Index(_)) || self.damaged.swap(true, Ordering::Relaxed) {
            return;
        }
        tracing::error!(%error, "the index is damaged; it is rebuilt when it is opened again");
        if let Err(error) = generation::mark_damaged(&self.dir) {
            tracing::error!(%error, "could not note that the index is damaged");
        }
    }

    pub(crate) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    fn number(&self) -> u32 {
        let mut layout = lock(&self.layout);
        layout.next += 1;
        layout.next - 1
    }

    /// Writes a run; if that fails, nothing is left of it.
    pub(crate) fn write_run(&self, fill: impl FnOnce(&mut RunWriter) -> Result<()>) -> Result<Arc<Run>> {
        let number = self.number();
        let path = generation::run_path(&self.dir, number);
        let written = RunWriter::create(&path, number).and_then(|mut run| {
            fill(&mut run)?;
            run.finish()?;
            files::sync_dir(&self.dir.join("runs"))?;
            Run::open(&path, number, Arc::clone(&self.cache))
        });
        if written.is_err() {
            drop(files::remove(&path));
        }
        written.map(Arc::new)
    }

    /// Removes a run that could not be switched over to, unless it counts on disk all the same.
    pub(crate) fn give_up(&self, run: &Run) {
        if generation::read(&self.dir)
            .is_ok_and(|on_disk| on_disk.is_some_and(|c| !c.runs.contains(&run.number())))
            && let Err(error) = files::remove(run.path())
        {
            tracing::warn!(%error, "could not remove a run that is not used; the next start does");
        }
    }

    /// Changes what counts: on disk, then for the readers.
    pub(crate) fn switch(&self, change: impl FnOnce(&mut CurrentV1, &mut View)) -> Result<()> {
        let mut layout = lock(&self.layout);
        let mut current = layout.current.clone();
        let old = self.view();
        let mut view = View { mirror: Arc::clone(&old.mirror), runs: old.runs.clone() };
        change(&mut current, &mut view);
        generation::write(&self.dir, &current)?;
        layout.current = current;
        *write(&self.view) = Arc::new(view);
        Ok(())
    }
}
