//! A tree that is kept up to date on a thread of its own, at low priority.
//!
//! Must never let a question wait longer than [`Limits::patience`], nor do anything while nobody asks.
//!
//! Invariant: what was not found is only believed where the last look began after everything that the session has told
//! of, and is not older than [`Limits::believed`].

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use super::limits::{Gap, Limits};
use super::scan::{self, Kept};

/// Paths that may wait to be looked at; if there are more, the whole tree is.
const MAX_TOUCHED: usize = 256;
/// Paths that may be asked for at a time.
const MAX_QUESTIONS: usize = 64;
/// How long nobody waits again after somebody has waited in vain.
const IMPATIENT: Duration = Duration::from_millis(250);
/// How long a tree that could not be read is left alone.
const RETRY: Duration = Duration::from_secs(300);

/// One tree.
pub(super) struct Tree {
    pub(super) root: PathBuf,
    pub(super) kept: Kept,
    limits: Limits,
    /// A look at one path may take long: the tree's own thread does it.
    remote: bool,
    born: Instant,
    /// When it was last asked, in milliseconds since it was born.
    used: AtomicU64,
    desk: Mutex<Desk>,
    /// There is something to do.
    bell: Condvar,
    /// Something is done.
    done: Condvar,
}

#[derive(Default)]
struct Desk {
    touched: Vec<PathBuf>,
    questions: Vec<(PathBuf, mpsc::SyncSender<bool>)>,
    /// Something may have changed that nobody told of: a look has to begin after this.
    stirred: bool,
    /// A look would be good.
    wished: bool,
    doing: Doing,
    /// When the last look that ended began, and how long it took.
    looked: Option<(Instant, Duration)>,
    looks: u64,
    /// No look before this.
    pause: Option<Instant>,
    impatient: Option<Instant>,
    closed: bool,
}

/// What the thread does now.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Doing {
    #[default]
    Nothing,
    /// Looks, because it was a while ago.
    Looking,
    /// Looks, because something may have changed.
    LookingAfter,
    /// Reads files that were touched.
    Reading,
}

enum Job {
    Touch(Vec<PathBuf>),
    Answer(PathBuf, mpsc::SyncSender<bool>),
    Look,
    End,
}

impl Tree {
    /// One at which nobody has looked; [`Tree::work`] does. Where it is `remote`, a look at one path may take long.
    pub(super) fn new(root: PathBuf, limits: Limits, remote: bool) -> Arc<Self> {
        let desk = Desk { wished: true, ..Desk::default() };
        Arc::new(Self {
            remote,
            root,
            kept: Kept::default(),
            limits,
            born: Instant::now(),
            used: AtomicU64::new(0),
            desk: Mutex::new(desk),
            bell: Condvar::new(),
            done: Condvar::new(),
        })
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A file was written, made, moved or deleted.
    pub(super) fn touched(&self, path: PathBuf) {
        let mut desk = self.desk();
        if desk.touched.len() < MAX_TOUCHED {
            desk.touched.push(path);
        } else {
            desk.stirred = true;
        }
        desk.wished |= self.is_due(&desk);
        drop(desk);
        self.bell.notify_one();
    }

    /// Anything may have changed.
    pub(super) fn stirred(&self) {
        self.desk().stirred = true;
        self.bell.notify_one();
    }

    /// Somebody will ask soon: has it looked through again if the last time was a while ago.
    pub(super) fn expected(&self) {
        let mut desk = self.desk();
        let looks = matches!(desk.doing, Doing::Looking | Doing::LookingAfter);
        if self.is_due(&desk) && !desk.wished && !looks {
            desk.wished = true;
            drop(desk);
            self.bell.notify_one();
        }
    }

    fn is_due(&self, desk: &Desk) -> bool {
        desk.looked.is_none_or(|(began, _)| began.elapsed() >= self.limits.refresh)
    }

    fn is_behind(&self, desk: &Desk) -> bool {
        matches!(desk.doing, Doing::LookingAfter | Doing::Reading)
            || desk.stirred
            || !desk.touched.is_empty()
            || desk.looked.is_none_or(|(began, _)| began.elapsed() >= self.limits.believed)
    }

    /// Whether there is anything about which it does not know yet; without waiting.
    pub(super) fn is_unsure(&self) -> bool {
        self.is_behind(&self.desk())
    }

    /// Whether what is not found does not exist; waits a little for what is under way.
    pub(super) fn is_complete(&self) -> bool {
        self.use_now();
        self.expected();
        if self.kept.ask(|state| state.gap.is_some()) {
            return false;
        }
        let mut desk = self.desk();
        let until = Instant::now() + self.limits.patience;
        // The first look takes longer than anybody would wait.
        while desk.looked.is_some() && self.is_behind(&desk) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                desk.impatient = Some(Instant::now());
            }
            if desk.impatient.is_some_and(|since| since.elapsed() < IMPATIENT) {
                return false;
            }
            desk = self.done.wait_timeout(desk, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        desk.impatient = None;
        let looked = desk.looked.is_some();
        drop(desk);
        looked && self.kept.ask(|state| state.gap.is_none())
    }

    /// Whether something is at this path; if that cannot be told soon, it is.
    pub(super) fn exists(&self, below: &str) -> bool {
        let path = self.root.join(below);
        if !self.remote {
            return scan::exists(&path);
        }
        let (tx, rx) = mpsc::sync_channel(1);
        {
            let mut desk = self.desk();
            let tired = desk.impatient.is_some_and(|since| since.elapsed() < IMPATIENT);
            if tired || desk.closed || desk.questions.len() >= MAX_QUESTIONS {
                return true;
            }
            desk.questions.push((path, tx));
        }
        self.bell.notify_one();
        rx.recv_timeout(self.limits.patience).unwrap_or_else(|_| {
            self.desk().impatient = Some(Instant::now());
            true
        })
    }

    fn use_now(&self) {
        let now = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.used.fetch_max(now, Ordering::Relaxed);
    }

    /// When it was asked last.
    pub(super) fn used(&self) -> Instant {
        let used = Duration::from_millis(self.used.load(Ordering::Relaxed));
        self.born.checked_add(used).unwrap_or(self.born)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.desk().closed
    }

    /// Ends its thread, which empties it.
    pub(super) fn close(&self) {
        self.desk().closed = true;
        self.bell.notify_one();
    }

    /// How many looks there were, and how long the last took.
    pub(super) fn looks(&self) -> (u64, Duration) {
        let desk = self.desk();
        (desk.looks, desk.looked.map_or(Duration::ZERO, |(_, took)| took))
    }

    /// No look before this.
    #[cfg(test)]
    pub(super) fn hold(&self, until: Instant) {
        self.desk().pause = Some(until);
        self.bell.notify_one();
    }

    /// Works until it is closed. This is the thread.
    pub(super) fn work(&self) {
        loop {
            match self.next() {
                Job::End => break,
                Job::Touch(paths) => self.touch(&paths),
                Job::Answer(path, tx) => {
                    // Whoever asked may have given up.
                    let _ = tx.try_send(scan::exists(&path));
                }
                Job::Look => self.look(),
            }
            self.desk().doing = Doing::Nothing;
            self.done.notify_all();
        }
        self.kept.give_up(Gap::Unbuilt);
    }

    fn next(&self) -> Job {
        let mut desk = self.desk();
        loop {
            if desk.closed {
                return Job::End;
            }
            if let Some((path, tx)) = desk.questions.pop() {
                return Job::Answer(path, tx);
            }
            // Before the first look there is nothing to put right.
            if desk.looked.is_none() {
                desk.touched.clear();
            }
            if !desk.touched.is_empty() {
                desk.doing = Doing::Reading;
                return Job::Touch(std::mem::take(&mut desk.touched));
            }
            if !(desk.stirred || desk.wished) {
                desk = self.bell.wait(desk).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let left =
                desk.pause.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                desk.doing = if desk.stirred { Doing::LookingAfter } else { Doing::Looking };
                (desk.stirred, desk.wished) = (false, false);
                return Job::Look;
            }
            desk = self.bell.wait_timeout(desk, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn touch(&self, paths: &[PathBuf]) {
        // What is given up stays so until the next look.
        if self.kept.ask(|state| state.gap.is_some()) {
            return;
        }
        let mut all = false;
        for path in paths {
            all |= self.kept.touch(&self.root, path, &self.limits);
        }
        if all {
            self.desk().stirred = true;
        }
    }

    fn look(&self) {
        if self.kept.ask(|state| state.gap.is_some_and(Gap::lasts)) {
            return;
        }
        let began = Instant::now();
        self.kept.sweep(&self.root, &self.limits, &|| self.is_closed());
        let took = began.elapsed();
        let gap = self.kept.ask(|state| state.gap);
        let pause = if gap.is_some() { RETRY } else { took.saturating_mul(self.limits.pause) };
        let mut desk = self.desk();
        desk.looked = Some((began, took));
        desk.looks += 1;
        desk.pause = began.checked_add(took + pause);
        drop(desk);
        tracing::debug!(root = %self.root.display(), ?took, gap = gap.map(Gap::as_str), "looked through a working directory");
    }
}
