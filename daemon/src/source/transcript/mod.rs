//! Transcripts: the client's own files, taken in from their beginning and followed for ever.
//!
//! ```text
//! notify ─ hints ─┐
//! sweep (rare) ───┴─► files that changed ─► take: open, find the cursor, whole lines ─► the door
//!      roots, discover                       read, ingest/cursors
//! ```
//!
//! A file that is deleted costs nothing of what was taken; one that moves goes on where it was; one that was cut or
//! written anew is read again. Must never write to the client's directories, read by a clock more often than every
//! [`SWEEP`], or hold up what else comes in: only so much is on its way to the journal at a time.

pub mod discover;
pub mod foreign;
pub mod hints;
pub mod read;
pub mod roots;
pub mod take;

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ccd_proto::api::{TranscriptRoot, TranscriptStatus};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::rfc3339;
use crate::ingest::shared::{Shared, StoreState};
use crate::watch::Watches;
use discover::{Found, search};
use hints::{Hints, Watch};
use roots::Settings;
use take::{Taken, Taker};

/// How often everything is looked at where the system cannot tell what changed.
pub const SWEEP: Duration = Duration::from_secs(600);
/// And where it can: it has been known to lose some.
const WATCHED_SWEEP: Duration = Duration::from_secs(3600);
/// How long hints are gathered.
const GATHER: Duration = Duration::from_millis(100);
/// How long after half a line, or a new directory, to look again.
const AGAIN: Duration = Duration::from_millis(2_100);
/// How long to wait after the journal refused something.
const RETRY: Duration = Duration::from_secs(5);
/// Files under way at a time.
const FILES: usize = 256;

/// What the rest of the daemon sees of it.
pub struct Transcripts {
    settings: watch::Sender<Settings>,
    watches: Arc<Watches>,
    /// Takes files in.
    pub taker: Arc<Taker>,
    /// Everything is to be looked at.
    look: Notify,
    told: Mutex<Told>,
}

#[derive(Clone, Debug, Default)]
struct Told {
    state: &'static str,
    watched: Vec<PathBuf>,
    /// Why the system cannot tell what changes.
    watch_error: Option<String>,
    /// What could not be looked at or read.
    read_error: Option<String>,
}

impl Transcripts {
    /// Not yet running.
    #[must_use]
    pub fn new(settings: Settings, taker: Arc<Taker>, watches: Arc<Watches>) -> Arc<Self> {
        let state = if settings.enabled { "waiting" } else { "off" };
        let told = Mutex::new(Told { state, ..Told::default() });
        Arc::new(Transcripts {
            settings: watch::Sender::new(settings),
            watches,
            taker,
            look: Notify::new(),
            told,
        })
    }

    /// Puts other settings in force.
    pub fn set(&self, settings: Settings) {
        self.settings.send_if_modified(|old| {
            let changed = *old != settings;
            *old = settings;
            changed
        });
    }

    /// The directories that are read.
    #[must_use]
    pub fn roots(&self) -> Vec<PathBuf> {
        self.settings.borrow().roots.clone()
    }

    /// Has everything looked at now.
    pub fn look(&self) {
        self.look.notify_one();
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For `status`.
    #[must_use]
    pub fn status(&self) -> TranscriptStatus {
        use std::sync::atomic::Ordering::Relaxed;
        let told = self.told().clone();
        let sums = self.taker.sums();
        let settings = self.settings.borrow().clone();
        let roots = settings.roots.iter().map(|root| TranscriptRoot {
            path: root.display().to_string(),
            exists: root.is_dir(),
            watched: told.watched.contains(root),
        });
        TranscriptStatus {
            enabled: settings.enabled,
            state: told.state.into(),
            roots: roots.collect(),
            files: sums.files,
            bytes: self.taker.bytes.load(Relaxed),
            imported_bytes: sums.taken,
            total_bytes: sums.total,
            behind: sums.total - sums.taken,
            skipped_lines: self.taker.skipped.load(Relaxed),
            last_at: Some(self.taker.last_ns.load(Relaxed)).filter(|ns| *ns > 0).map(rfc3339),
            error: told.read_error.or(told.watch_error),
        }
    }
}

/// Takes in what is there, then whatever changes, until `stop`.
pub async fn run(transcripts: Arc<Transcripts>, shared: Arc<Shared>, stop: CancellationToken) {
    let mut settings = transcripts.settings.subscribe();
    loop {
        let now = settings.borrow_and_update().clone();
        let follow = async {
            if !now.enabled || now.roots.is_empty() {
                transcripts.told().state = "off";
                return std::future::pending().await;
            }
            Follower::new(&transcripts, now.roots).follow(&shared).await;
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = follow => {}
            changed = settings.changed() => if changed.is_err() { return },
        }
        transcripts.taker.forget();
    }
}

/// Follows the files below the roots.
struct Follower<'a> {
    transcripts: &'a Transcripts,
    roots: Vec<PathBuf>,
    hints: Arc<Hints>,
    watch: Option<Watch>,
    /// Files to be taken, in order, and the same as a set.
    queue: VecDeque<PathBuf>,
    queued: HashSet<PathBuf>,
    /// Files under way.
    busy: HashSet<PathBuf>,
    tasks: JoinSet<(PathBuf, Taken)>,
    /// Files and directories to be looked at again, and when.
    later: BTreeSet<(Instant, PathBuf)>,
    refused: bool,
}

impl<'a> Follower<'a> {
    fn new(transcripts: &'a Transcripts, roots: Vec<PathBuf>) -> Self {
        Follower {
            transcripts,
            roots,
            hints: Arc::default(),
            watch: None,
            queue: VecDeque::new(),
            queued: HashSet::new(),
            busy: HashSet::new(),
            tasks: JoinSet::new(),
            later: BTreeSet::new(),
            refused: false,
        }
    }

    /// Until the store is another one.
    async fn follow(mut self, shared: &Shared) {
        let mut store = shared.state.subscribe();
        self.transcripts.told().state = "waiting";
        if store.wait_for(|state| matches!(state, StoreState::Ready(_))).await.is_err() {
            return std::future::pending().await;
        }
        store.mark_unchanged();
        self.arm().await;
        self.sweep().await;
        let mut swept = Instant::now();
        loop {
            self.start();
            self.tell();
            let sweep_at = swept + if self.is_watching() { WATCHED_SWEEP } else { SWEEP };
            let next = self.later.first().map(|(at, _)| *at);
            let hints = Arc::clone(&self.hints);
            tokio::select! {
                _ = store.changed() => return,
                Some(done) = self.tasks.join_next() => {
                    if let Ok((path, taken)) = done {
                        self.done(path, taken);
                    }
                }
                () = hints.come.notified() => {
                    tokio::time::sleep(GATHER).await;
                    if self.changed().await {
                        swept = Instant::now();
                    }
                }
                () = tokio::time::sleep_until(next.unwrap_or(sweep_at)), if next.is_some() => self.due().await,
                () = tokio::time::sleep_until(sweep_at) => {
                    self.sweep().await;
                    swept = Instant::now();
                }
                () = self.transcripts.look.notified() => {
                    self.arm().await;
                    self.sweep().await;
                    swept = Instant::now();
                }
            }
        }
    }

    fn is_watching(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.error.is_none())
    }

    fn tell(&self) {
        let importing = !self.tasks.is_empty() || !self.queue.is_empty();
        let mut told = self.transcripts.told();
        told.state = match (self.refused, importing, self.is_watching()) {
            (true, ..) => "refused",
            (_, true, _) => "importing",
            (_, _, true) => "following",
            (_, _, false) => "sweeping",
        };
    }

    /// Begins to watch, or begins again.
    async fn arm(&mut self) {
        let (roots, hints) = (self.roots.clone(), Arc::clone(&self.hints));
        let watches = Arc::clone(&self.transcripts.watches);
        // The old one goes first: its directories count against the system's limit.
        let old = self.watch.take();
        let armed = tokio::task::spawn_blocking(move || {
            drop(old);
            hints::watch(&watches, &roots, &hints)
        });
        let (watch, error) = match armed.await {
            Ok(Ok(watch)) => {
                let error = watch.error.clone();
                (Some(watch), error)
            }
            Ok(Err(error)) => (None, Some(format!("cannot watch: {error}"))),
            Err(error) => (None, Some(format!("cannot watch: {error}"))),
        };
        if let Some(error) = &error {
            tracing::warn!(error, "transcripts: changes are not told; looking now and then instead");
        }
        let mut told = self.transcripts.told();
        told.watched = watch.as_ref().map(|watch| watch.watched.clone()).unwrap_or_default();
        told.watch_error = error;
        drop(told);
        self.watch = watch;
    }

    /// Looks at everything.
    async fn sweep(&mut self) {
        let roots = self.roots.clone();
        self.look_at(roots, true).await;
    }

    /// Looks at everything below some directories.
    async fn look_at(&mut self, dirs: Vec<PathBuf>, everything: bool) {
        let taker = Arc::clone(&self.transcripts.taker);
        let searched = tokio::task::spawn_blocking(move || {
            let mut found = search(&dirs);
            if everything && found.failed == 0 {
                taker.keep_only(&found.files.iter().map(|file| file.stat.id).collect());
            }
            found.files.retain(|Found { path, stat }| taker.is_new(path, stat));
            found
        });
        let Ok(found) = searched.await else { return };
        if everything {
            self.transcripts.told().read_error = found.errors.first().map(|first| match found.failed {
                1 => first.clone(),
                more => format!("{first}, and {} more", more - 1),
            });
        }
        for file in found.files {
            self.add(file.path);
        }
    }

    fn add(&mut self, path: PathBuf) {
        if self.queued.insert(path.clone()) {
            self.queue.push_back(path);
        }
    }

    /// Starts on what waits, as long as there is room.
    fn start(&mut self) {
        let mut aside = Vec::new();
        while self.tasks.len() < FILES && !self.refused {
            let Some(path) = self.queue.pop_front() else { break };
            if self.busy.contains(&path) {
                // It changed while it was being taken: again, after that.
                aside.push(path);
                continue;
            }
            self.queued.remove(&path);
            self.busy.insert(path.clone());
            let taker = Arc::clone(&self.transcripts.taker);
            self.tasks.spawn(async move {
                let outcome = taker.take(path.clone()).await;
                (path, outcome)
            });
        }
        self.queue.extend(aside);
    }

    fn done(&mut self, path: PathBuf, taken: Taken) {
        self.busy.remove(&path);
        let again = |pause| Instant::now() + pause;
        match taken {
            Taken::Whole | Taken::Gone => {}
            Taken::Partial | Taken::Busy => drop(self.later.insert((again(AGAIN), path))),
            Taken::Refused => {
                self.refused = true;
                self.later.insert((again(RETRY), path));
            }
            Taken::Failed(why) => {
                tracing::warn!(file = %path.display(), why, "a transcript cannot be read");
                self.transcripts.told().read_error = Some(format!("{}: {why}", path.display()));
            }
        }
    }

    /// What was to be looked at again by now.
    async fn due(&mut self) {
        self.refused = false;
        let now = Instant::now();
        let mut paths = HashSet::new();
        while self.later.first().is_some_and(|(at, _)| *at <= now) {
            paths.extend(self.later.pop_first().map(|(_, path)| path));
        }
        self.look_into(paths, false).await;
    }

    /// Follows hints; true if everything was looked at.
    async fn changed(&mut self) -> bool {
        let changes = self.hints.take();
        if let Some(error) = changes.error {
            tracing::warn!(error, "transcripts: changes are not told; looking now and then instead");
            if let Some(watch) = &mut self.watch {
                watch.error = Some(error.clone());
            }
            self.transcripts.told().watch_error = Some(error);
        }
        if changes.roots {
            self.arm().await;
        }
        if changes.roots || changes.all {
            self.sweep().await;
            return true;
        }
        self.look_into(changes.paths, true).await;
        false
    }

    /// Looks at files, and into directories. `fresh`: those have just appeared, and may get files before they are
    /// watched: they are looked into a second time.
    async fn look_into(&mut self, paths: HashSet<PathBuf>, fresh: bool) {
        let (files, others): (Vec<_>, Vec<_>) =
            paths.into_iter().partition(|path| discover::part_of(path).is_some());
        for file in files {
            self.add(file);
        }
        if others.is_empty() {
            return;
        }
        if fresh {
            let at = Instant::now() + AGAIN;
            self.later.extend(others.iter().map(|path| (at, path.clone())));
        }
        self.look_at(others, false).await;
    }
}
