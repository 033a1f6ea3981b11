//! A working directory's view of its tree: what the detectors ask.
//!
//! Must never do I/O where it is asked, but for one look at one path on a file system that does not hang.
//!
//! Invariant: before its tree was looked through, and after it was dropped, nothing is said to be missing.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use ccd_detect::Index;

use super::limits::Gap;
use super::place::{Place, Within};
use super::scan::Asked;
use super::tree::Tree;
use super::{Shared, locked};

/// One working directory.
pub(super) struct View {
    pub(super) cwd: PathBuf,
    shared: Weak<Shared>,
    me: Weak<View>,
    state: Mutex<Sight>,
}

#[derive(Clone, Default)]
enum Sight {
    /// Nobody asks.
    #[default]
    Closed,
    /// A thread finds its tree.
    Finding,
    Open(Arc<Tree>, Arc<Place>),
    /// It is nobody's project.
    Refused(Gap),
}

impl View {
    pub(super) fn new(cwd: PathBuf, shared: Weak<Shared>) -> Arc<Self> {
        Arc::new_cyclic(|me| Self { cwd, shared, me: Weak::clone(me), state: Mutex::default() })
    }

    fn sight(&self) -> MutexGuard<'_, Sight> {
        locked(&self.state)
    }

    /// Its tree, if it is known; where it is not, somebody begins to find it.
    fn tree(&self) -> Option<(Arc<Tree>, Arc<Place>)> {
        let mut sight = self.sight();
        if let Sight::Open(tree, place) = &*sight {
            if !tree.is_closed() {
                return Some((Arc::clone(tree), Arc::clone(place)));
            }
            *sight = Sight::Closed;
        }
        if matches!(*sight, Sight::Closed)
            && let (Some(shared), Some(me)) = (self.shared.upgrade(), self.me.upgrade())
        {
            *sight = if shared.find(&me) { Sight::Finding } else { Sight::Refused(Gap::Broken) };
        }
        None
    }

    /// Somebody will ask soon.
    pub(super) fn wake(&self) {
        let _ = self.tree();
    }

    /// Its tree was found, or is nobody's.
    pub(super) fn found(&self, found: Result<(Arc<Tree>, Place), Gap>) {
        *self.sight() = match found {
            Ok((tree, place)) => Sight::Open(tree, Arc::new(place)),
            Err(gap) => Sight::Refused(gap),
        };
    }

    /// Whether it holds on to no tree.
    pub(super) fn is_closed(&self) -> bool {
        match &*self.sight() {
            Sight::Open(tree, _) => tree.is_closed(),
            Sight::Finding => false,
            Sight::Closed | Sight::Refused(_) => true,
        }
    }

    /// Why it is of no use, if it is.
    pub(super) fn refused(&self) -> Option<Gap> {
        match &*self.sight() {
            Sight::Refused(gap) => Some(*gap),
            _ => None,
        }
    }

    pub(super) fn touched(&self, path: &Path) {
        // A tree that is about to be looked through will be found as it is then.
        let Some((tree, place)) = self.tree() else { return };
        let Some(path) = path.to_str() else { return tree.stirred() };
        if let Within::Tree(below) = place.within(path) {
            tree.touched(tree.root.join(below));
        }
    }

    pub(super) fn writing(&self, path: &Path) {
        let Some((tree, place)) = self.tree() else { return };
        if let Some(Within::Tree(below)) = path.to_str().map(|path| place.within(path)) {
            tree.kept.writing(&below);
        }
    }

    pub(super) fn expected(&self) {
        if let Some((tree, _)) = self.tree() {
            tree.expected();
        }
    }

    pub(super) fn stirred(&self) {
        if let Some((tree, _)) = self.tree() {
            tree.stirred();
        }
    }

    fn ask<T: Default>(&self, question: impl FnOnce(&Tree, Asked<'_>) -> T) -> T {
        let Some((tree, place)) = self.tree() else { return T::default() };
        tree.kept.ask(|state| question(&tree, Asked { state, place: &place }))
    }
}

/// What was not found exists if nobody can be sure; an index that is not complete finds nothing at all.
fn or_unsure(tree: &Tree, asked: &Asked<'_>, found: bool) -> bool {
    found || asked.state.gap.is_none() && tree.is_unsure()
}

impl Index for View {
    fn is_complete(&self) -> bool {
        self.tree().is_some_and(|(tree, _)| tree.is_complete())
    }
    fn has_file(&self, path: &str) -> bool {
        let Some((tree, place)) = self.tree() else { return false };
        let (known, complete) =
            tree.kept.ask(|state| (Asked { state, place: &place }.file(path), state.gap.is_none()));
        known.unwrap_or_else(|below| complete && tree.exists(&below))
    }
    fn files_named(&self, name: &str) -> Vec<String> {
        self.ask(|tree, asked| {
            let mut paths = asked.files_named(name);
            if paths.is_empty() && or_unsure(tree, &asked, false) {
                paths.push(name.to_owned());
            }
            paths
        })
    }
    fn has_symbol(&self, name: &str) -> bool {
        self.ask(|tree, asked| or_unsure(tree, &asked, asked.state.table.has_symbol(name)))
    }
    fn has_identifier(&self, name: &str) -> bool {
        self.ask(|tree, asked| or_unsure(tree, &asked, asked.state.table.has_word(name)))
    }
    fn is_dependency(&self, name: &str) -> bool {
        self.ask(|tree, asked| or_unsure(tree, &asked, asked.state.table.declares(name)))
    }
    fn similar(&self, name: &str) -> Option<(String, u8)> {
        self.ask(|_, asked| asked.state.table.similar(name))
    }
    fn modules(&self) -> Vec<String> {
        self.ask(|_, asked| if asked.state.gap.is_none() { asked.modules() } else { Vec::new() })
    }
}
