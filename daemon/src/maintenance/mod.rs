//! The long operations on the store: one at a time, each on a thread of its own, never on the runtime's threads nor on
//! the writer's. Who asked gets lines: progress, and one result or error at the end.
//!
//! Must never hold up capture, run twice at once, nor take the daemon down: a panic of an operation is its error.

pub mod backup;
pub mod import;
pub mod prune;
pub mod rebuild;
pub mod restore;
pub mod retention;
pub mod stats;
pub mod verify;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ccd_proto::api::{Line, Operation, Progress, Reply};
use ccd_store::{Reader, StoreError};
use http::StatusCode;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::app::Running;
use crate::clock::rfc3339;
use crate::ingest::rebuild::RebuildError;
use crate::ingest::shared::StoreState;
use crate::query::QueryError;

/// Lines that may wait for a slow reader; more progress than that is left out.
const QUEUE: usize = 16;
/// Between two lines of progress.
const PACE: Duration = Duration::from_millis(100);
/// How long the daemon's end waits for an operation to notice.
const PATIENCE: Duration = Duration::from_secs(2);
/// Left free on a disk that we write to.
const SPARE_BYTES: u64 = 16 << 20;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Read everything and say what is damaged.
    Verify,
    /// Copy everything that cannot be derived to this directory.
    Backup(PathBuf),
    /// Put the backup in this directory in the store's place.
    Restore(PathBuf),
    /// Make the index anew.
    Rebuild,
    /// Remove what is old.
    Prune(prune::Prune),
    /// Take in transcripts and other recorders' files.
    Import(import::Import),
}

impl Work {
    /// As it is typed.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Work::Verify => "verify",
            Work::Backup(_) => "backup",
            Work::Restore(_) => "restore",
            Work::Rebuild => "rebuild",
            Work::Prune(_) => "prune",
            Work::Import(_) => "import",
        }
    }

    /// Whether it is of no use to anybody once nobody reads its lines.
    fn ends_with_its_reader(&self) -> bool {
        matches!(self, Work::Verify | Work::Backup(_) | Work::Import(_))
    }
}

/// The operation under way, if there is one.
#[derive(Debug, Default)]
pub struct Maintenance {
    running: Mutex<Option<Operation>>,
    ending: Arc<AtomicBool>,
}

impl Maintenance {
    /// The operation under way.
    #[must_use]
    pub fn running(&self) -> Option<Operation> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    fn begin(&self, work: &Work, now_ns: u64) -> Result<(), QueryError> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if self.ending() {
            return Err(unavailable("the daemon is about to end"));
        }
        if let Some(Operation { name, since }) = &*running {
            let typed = if name == "import" { "import".to_owned() } else { format!("store {name}") };
            let message = format!("`{typed}` has been running since {since}; one runs at a time");
            return Err(QueryError::new(StatusCode::CONFLICT, "busy", message)
                .hint("try again once it is done; `ccctl store stats` shows whether it is"));
        }
        *running = Some(Operation { name: work.name().into(), since: rfc3339(now_ns) });
        Ok(())
    }

    fn end(&self) {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Ends the operation that was begun when it is dropped, also by a panic.
    fn busy(&self) -> Busy<'_> {
        Busy(self)
    }

    /// Asks the operation under way to end, and waits a little until it has. Ended anywhere, none leaves harm.
    pub async fn stop(&self) {
        self.ending.store(true, Ordering::Relaxed);
        let limit = Instant::now() + PATIENCE;
        while self.running().is_some() && Instant::now() < limit {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

struct Busy<'a>(&'a Maintenance);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// What an operation works with.
pub struct Context {
    app: Arc<Running>,
    talk: Talk,
    /// Where what is asynchronous runs.
    runtime: tokio::runtime::Handle,
}

/// How an operation is heard, and hears that it shall end.
struct Talk {
    lines: mpsc::Sender<Bytes>,
    ends_with_its_reader: bool,
    ending: Arc<AtomicBool>,
    phase: &'static str,
    told: Option<Instant>,
}

impl Talk {
    fn new(lines: mpsc::Sender<Bytes>, work: &Work, ending: &Arc<AtomicBool>) -> Self {
        let ends_with_its_reader = work.ends_with_its_reader();
        Talk { lines, ends_with_its_reader, ending: Arc::clone(ending), phase: "", told: None }
    }

    fn tell(&mut self, phase: &'static str, done: u64, total: u64, unit: &'static str) -> bool {
        let due = self.told.is_none_or(|told| told.elapsed() >= PACE) || self.phase != phase;
        if due {
            self.told = Some(Instant::now());
            self.phase = phase;
            let progress = Progress { phase: phase.into(), done, total, unit: unit.into() };
            let line = Line { progress: Some(progress), result: None, error: None };
            // A reader that is slow misses some.
            let _ = self.lines.try_send(to_line::<()>(&line));
        }
        let unheard = self.ends_with_its_reader && self.lines.is_closed();
        !unheard && !self.ending.load(Ordering::Relaxed)
    }
}

impl Context {
    /// Tells how far it is, now and then. Says whether to go on.
    fn tell(&mut self, phase: &'static str, done: u64, total: u64, unit: &'static str) -> bool {
        self.talk.tell(phase, done, total, unit)
    }

    /// The store's reader.
    fn reader(&self) -> Result<Reader, QueryError> {
        match &*self.app.shared.state.borrow() {
            StoreState::Ready(reader) => Ok(reader.clone()),
            StoreState::Opening => {
                Err(unavailable("the store is being opened").hint("try again in a moment"))
            }
            StoreState::Failed(why) => Err(unavailable(format!("the store cannot be used: {why}"))),
        }
    }

    fn seconds(&self, since_ns: u64) -> f64 {
        Duration::from_nanos(self.app.clock.now_ns().saturating_sub(since_ns)).as_secs_f64()
    }
}

/// Starts an operation. The lines end with it; dropping the receiver ends those that are of no use without a reader.
pub fn start(app: &Arc<Running>, work: Work) -> Result<mpsc::Receiver<Bytes>, QueryError> {
    let name = work.name();
    app.maintenance.begin(&work, app.clock.now_ns())?;
    let (lines, receiver) = mpsc::channel(QUEUE);
    let talk = Talk::new(lines, &work, &app.maintenance.ending);
    let mut context = Context { app: Arc::clone(app), talk, runtime: tokio::runtime::Handle::current() };
    let thread = std::thread::Builder::new().name(format!("ccd-{name}")).spawn(move || {
        tracing::info!(operation = name, "begins");
        let last = guarded(name, || run(&mut context, work));
        tracing::info!(operation = name, "ended");
        // Before the last line: whoever has read it may ask for the next.
        context.app.maintenance.end();
        let Context { app, talk, runtime: _ } = context;
        drop(app);
        // Whoever asked may be gone.
        let _ = talk.lines.blocking_send(last);
    });
    thread.map(|_| receiver).map_err(|error| {
        app.maintenance.end();
        failed(format!("no thread: {error}"))
    })
}

/// A defect costs the operation, not the daemon.
fn guarded(name: &str, work: impl FnOnce() -> Bytes) -> Bytes {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|_| {
        tracing::error!(operation = name, "panicked");
        let defect = format!("`store {name}` failed for a defect of ccd");
        let error = QueryError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", defect);
        error_line(error.hint("`ccctl logs` shows why"))
    })
}

fn run(context: &mut Context, work: Work) -> Bytes {
    match work {
        Work::Verify => last_line(verify::run(context)),
        Work::Backup(dir) => last_line(backup::run(context, &dir)),
        Work::Restore(dir) => last_line(restore::run(context, &dir)),
        Work::Rebuild => last_line(rebuild::run(context)),
        Work::Prune(what) => last_line(prune::run(context, what)),
        Work::Import(what) => last_line(import::run(context, &what)),
    }
}

fn last_line<T: Serialize>(done: Result<T, QueryError>) -> Bytes {
    match done {
        Ok(result) => to_line(&Line { progress: None, result: Some(Reply::new(result)), error: None }),
        Err(error) => {
            tracing::warn!(error = error.error.message, "an operation on the store failed");
            error_line(error)
        }
    }
}

fn error_line(error: QueryError) -> Bytes {
    to_line::<()>(&Line { progress: None, result: None, error: Some(error.error) })
}

fn to_line<T: Serialize>(line: &Line<T>) -> Bytes {
    let mut text = serde_json::to_vec(line).unwrap_or_default();
    text.push(b'\n');
    text.into()
}

/// Bytes that a disk has room for, for us. `path` need not exist yet.
fn free_bytes(path: &Path) -> Option<u64> {
    let there = path.ancestors().find(|p| p.exists())?;
    let disk = rustix::fs::statvfs(there).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Refuses what the disk has no room for.
fn needs_room(dir: &Path, bytes: u64) -> Result<(), QueryError> {
    match free_bytes(dir) {
        Some(free) if free < bytes.saturating_add(SPARE_BYTES) => Err(refused(format!(
            "no room on the disk of {}: {bytes} bytes are needed, {free} are free",
            dir.display()
        ))
        .hint("free some space, or choose a directory on another disk")),
        _ => Ok(()),
    }
}

fn failed(message: impl Into<String>) -> QueryError {
    QueryError::new(StatusCode::INTERNAL_SERVER_ERROR, "store", message)
}

fn refused(message: impl Into<String>) -> QueryError {
    QueryError::new(StatusCode::CONFLICT, "refused", message)
}

fn unavailable(message: impl Into<String>) -> QueryError {
    QueryError::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
        .hint("`ccctl status` shows how the store is")
}

/// An error of work on the writer's thread.
fn write_error(error: RebuildError) -> QueryError {
    match error {
        RebuildError::Closed => unavailable("the store is not open, or the daemon is about to end"),
        RebuildError::Write(what) => failed(what),
    }
}

/// An error of the store in the course of an operation.
fn store_error(error: StoreError) -> QueryError {
    match error {
        StoreError::Backup { .. } => refused(error.to_string()),
        StoreError::Stopped => {
            QueryError::new(StatusCode::SERVICE_UNAVAILABLE, "stopped", "stopped before it was done")
        }
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_the_second_is_told_since_when() {
        let maintenance = Maintenance::default();
        maintenance.begin(&Work::Verify, 0).unwrap();
        let error = maintenance.begin(&Work::Rebuild, 1).unwrap_err();
        assert_eq!((error.status, error.error.code.as_str()), (StatusCode::CONFLICT, "busy"));
        assert!(error.error.message.contains("`store verify` has been running since 1970-01-01T00:00:00"));
        maintenance.end();
        maintenance.begin(&Work::Rebuild, 1).unwrap();
        assert_eq!(maintenance.running().unwrap().name, "rebuild");
    }

    #[test]
    fn without_a_reader_only_what_changes_something_goes_on() {
        for (work, goes_on) in [
            (Work::Verify, false),
            (Work::Backup("/b".into()), false),
            (Work::Restore("/b".into()), true),
            (Work::Rebuild, true),
            (Work::Prune(prune::Prune::default()), true),
            (Work::Import(import::Import::default()), false),
        ] {
            let ending = Arc::default();
            let (lines, reader) = mpsc::channel(QUEUE);
            let mut talk = Talk::new(lines, &work, &ending);
            assert!(talk.tell("x", 0, 1, "bytes"), "{work:?}");
            drop(reader);
            assert_eq!(talk.tell("x", 1, 1, "bytes"), goes_on, "{work:?}");
            ending.store(true, Ordering::Relaxed);
            assert!(!talk.tell("x", 1, 1, "bytes"), "the daemon's end ends all: {work:?}");
        }
    }

    #[test]
    fn progress_that_nobody_takes_is_left_out() {
        let (lines, mut reader) = mpsc::channel(1);
        let mut talk = Talk::new(lines, &Work::Verify, &Arc::default());
        assert!(talk.tell("packs", 0, 9, "bytes") && talk.tell("journal", 3, 9, "bytes"));
        let line: Line<()> = serde_json::from_slice(&reader.try_recv().unwrap()).unwrap();
        assert_eq!(line.progress.unwrap().phase, "packs");
        assert!(reader.try_recv().is_err());
    }

    #[test]
    fn a_panic_is_the_operations_error() {
        let line = guarded("verify", || panic!("on purpose"));
        let line: Line<()> = serde_json::from_slice(&line).unwrap();
        assert_eq!(line.error.unwrap().code, "internal");
    }

    #[test]
    fn a_full_disk_is_seen_before_anything_is_written() {
        let dir = tempfile::tempdir().unwrap();
        assert!(needs_room(&dir.path().join("not/there/yet"), 1).is_ok());
        let error = needs_room(dir.path(), u64::MAX).unwrap_err();
        assert!(error.error.message.contains("are needed"), "{}", error.error.message);
    }
}
