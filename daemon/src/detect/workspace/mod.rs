//! What the working directories of sessions hold: files, names, dependencies, kept cheaply.
//!
//! ```text
//! limits.rs   the bounds, and why an index is not complete
//! content.rs  what one file adds:  lex.rs  definitions   manifest.rs  dependencies      (pure)
//! table.rs    what a tree holds:   names.rs  words and symbols   packed.rs  small sets  (pure)
//! place.rs    a working directory's tree     walk.rs  what lies in it     scan.rs  looking through it
//! tree.rs     a tree that is kept up to date on its own thread     view.rs  a working directory's view of it
//! ```
//!
//! What git ignores is not looked at, nor are other people's sources (`node_modules` and the like), other file systems
//! and what links lead to. Sessions in one work tree share one index of the whole; paths are told as seen from each
//! session's working directory. The tree is looked through when somebody first asks, again in the background when an
//! answer is older than [`Limits::refresh`], and after commands that may have changed anything; files that the session
//! writes are read at once. Nothing is watched and nothing is polled: where nobody asks, nothing happens.
//!
//! Measured: 2.3 MiB of memory for a repository of 760 files and 4.8 MiB of text, 17 MiB for 3,400 files and 41 MiB; read
//! at some 60 MiB a second; a later look takes 5 and 35 ms.
//!
//! Must never say that something does not exist where nobody looked: bounds that were hit, directories that could not be
//! read, links that lead outside, a look that is too old or not done make [`ccd_detect::Index::is_complete`] false. Must
//! never keep whoever asks longer than [`Limits::patience`].
//!
//! Invariants: a tree has one thread; the memory of all is bounded by [`Limits`]; a panic costs the tree's index.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ccd_detect::{Index, Unknown};

mod content;
mod lex;
mod limits;
mod manifest;
mod names;
mod packed;
mod place;
mod scan;
mod table;
mod tree;
mod view;
mod walk;

pub use limits::{Gap, Limits};
pub use scan::{Scanned, scan};

use place::Place;
use scan::Kept;
use tree::Tree;
use view::View;

/// How willingly the threads let others go first: 19 is most.
#[cfg(target_os = "linux")]
const NICE: i32 = 15;

/// The working directories of all sessions.
pub struct Workspaces {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    limits: Limits,
    home: Option<PathBuf>,
    views: Mutex<HashMap<PathBuf, Arc<View>>>,
    trees: Mutex<HashMap<PathBuf, Arc<Tree>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Workspaces {
    /// None yet. `home` is the user's home directory, which is never looked through.
    #[must_use]
    pub fn new(limits: Limits, home: Option<PathBuf>) -> Arc<Self> {
        let shared = Shared { limits, home, views: Mutex::default(), trees: Mutex::default() };
        Arc::new(Self { shared: Arc::new(shared) })
    }

    /// What this working directory holds. Returns at once; the index answers when somebody has looked.
    #[must_use]
    pub fn of(&self, cwd: &Path) -> Arc<dyn Index> {
        match self.view(cwd) {
            Some(view) => {
                view.wake();
                view
            }
            None => Arc::new(Unknown),
        }
    }

    /// A session in this working directory goes on, and may soon ask: what is known is brought up to date meanwhile,
    /// if it is not. To be called with any event; it takes less than a microsecond.
    pub fn expected(&self, cwd: &Path) {
        if let Some(view) = self.view(cwd) {
            view.expected();
        }
    }

    /// A session in this working directory is about to write or make a file: it is not looked at before
    /// [`Workspaces::touched`] says so.
    pub fn writing(&self, cwd: &Path, path: &Path) {
        if let Some(view) = self.view(cwd) {
            view.writing(path);
        }
    }

    /// A session in this working directory has written, made, moved or deleted a file, or tried to. To be called once the
    /// detectors have seen the event: what it wrote was not there before.
    pub fn touched(&self, cwd: &Path, path: &Path) {
        if let Some(view) = self.view(cwd) {
            view.touched(path);
        }
    }

    /// A session in this working directory has done something that may have changed any file, such as a command. To be
    /// called likewise.
    pub fn stirred(&self, cwd: &Path) {
        if let Some(view) = self.view(cwd) {
            view.stirred();
        }
    }

    fn view(&self, cwd: &Path) -> Option<Arc<View>> {
        let mut views = locked(&self.shared.views);
        if let Some(view) = views.get(cwd) {
            return Some(Arc::clone(view));
        }
        if views.len() >= self.shared.limits.views {
            views.retain(|_, view| Arc::strong_count(view) > 1);
        }
        let fits = views.len() < self.shared.limits.views;
        fits.then(|| {
            let view = View::new(cwd.to_path_buf(), Arc::downgrade(&self.shared));
            views.insert(cwd.to_path_buf(), Arc::clone(&view));
            view
        })
    }

    /// Drops what nobody has asked for in [`Limits::idle`]. Tells whether anything is left that a later call may drop; it
    /// need not be called where nothing is.
    #[expect(clippy::must_use_candidate, reason = "whoever calls it again and again need not know")]
    pub fn rest(&self, now: Instant) -> bool {
        let idle = self.shared.limits.idle;
        let mut trees = locked(&self.shared.trees);
        trees.retain(|_, tree| {
            let rests = now.saturating_duration_since(tree.used()) >= idle;
            if rests {
                tree.close();
            }
            !rests
        });
        let left = !trees.is_empty();
        drop(trees);
        locked(&self.shared.views).retain(|_, view| Arc::strong_count(view) > 1 || !view.is_closed());
        left
    }

    /// What there is.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (views, refused) = {
            let views = locked(&self.shared.views);
            (views.len(), views.values().filter(|view| view.refused().is_some()).count())
        };
        let trees: Vec<Arc<Tree>> = locked(&self.shared.trees).values().cloned().collect();
        let of = |tree: &Arc<Tree>| {
            let (looks, took) = tree.looks();
            TreeStats { looks, took, ..TreeStats::of(&tree.kept, tree.root.clone()) }
        };
        Stats { directories: views, refused, trees: trees.iter().map(of).collect() }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // A thread that was still finding a tree may have added it last.
        locked(&self.trees).drain().for_each(|(_, tree)| tree.close());
    }
}

impl Shared {
    /// Starts a thread that finds the tree of a view, and keeps it if it is the first one there. Tells whether it could.
    fn find(self: &Arc<Self>, view: &Arc<View>) -> bool {
        let (shared, view, cwd) = (Arc::downgrade(self), Arc::downgrade(view), view.cwd.clone());
        let work = move || {
            stand_back();
            let Some(owner) = shared.upgrade() else { return };
            let found = Place::find(&cwd, owner.home.as_deref());
            let mut mine = None;
            let found = found.map(|place| {
                let (tree, new) = owner.tree(&place.root);
                mine = new.then(|| Arc::clone(&tree));
                (tree, place)
            });
            if let Some(view) = view.upgrade() {
                view.found(found);
            }
            drop((owner, view));
            if let Some(tree) = mine {
                // A defect costs the index, not the daemon.
                if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| tree.work())).is_err() {
                    tracing::error!("the index of a working directory panicked");
                    tree.kept.give_up(Gap::Broken);
                }
                drop(tree);
                crate::memory::trim();
            }
        };
        std::thread::Builder::new().name("ccd-workspace".into()).spawn(work).is_ok()
    }

    /// The tree of this root, and whether it is new.
    fn tree(&self, root: &Path) -> (Arc<Tree>, bool) {
        let mut trees = locked(&self.trees);
        if let Some(tree) = trees.get(root).filter(|tree| !tree.is_closed()) {
            return (Arc::clone(tree), false);
        }
        while trees.len() >= self.limits.trees.max(1) {
            let Some(oldest) = trees.values().min_by_key(|tree| tree.used()).map(|tree| tree.root.clone())
            else {
                break;
            };
            if let Some(tree) = trees.remove(&oldest) {
                tree.close();
            }
        }
        let tree = Tree::new(root.to_path_buf(), self.limits.clone(), place::is_remote(root));
        trees.insert(root.to_path_buf(), Arc::clone(&tree));
        (tree, true)
    }
}

/// Lets everything else that wants a processor have it first.
fn stand_back() {
    // Elsewhere the whole process would.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "a working directory is looked through beside everything else");
    }
}

/// What all indexes hold.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// Working directories that are known.
    pub directories: usize,
    /// Those of them that are nobody's project.
    pub refused: usize,
    /// Trees that are kept.
    pub trees: Vec<TreeStats>,
}

/// What one index holds.
#[derive(Debug, Clone, Default)]
pub struct TreeStats {
    /// The directory.
    pub root: PathBuf,
    /// Why it is not complete, if it is not.
    pub gap: Option<Gap>,
    /// Files, whether their content counts or not.
    pub files: usize,
    /// Different words.
    pub identifiers: usize,
    /// Different names that are defined.
    pub symbols: usize,
    /// Dependencies.
    pub dependencies: usize,
    /// Bytes of source code and of other texts that were read.
    pub bytes: u64,
    /// Bytes of memory, reckoned.
    pub heap_bytes: usize,
    /// How often it was looked through.
    pub looks: u64,
    /// How long the last look took.
    pub took: Duration,
}

impl TreeStats {
    fn of(kept: &Kept, root: PathBuf) -> Self {
        kept.ask(|state| {
            let (files, identifiers, symbols, dependencies) = state.table.counts();
            Self {
                root,
                gap: state.gap,
                files,
                identifiers,
                symbols,
                dependencies,
                bytes: state.table.read.source + state.table.read.text,
                heap_bytes: state.table.heap(),
                ..Self::default()
            }
        })
    }
}

#[cfg(test)]
#[path = "workspace_tests.rs"]
mod tests;
