//! What is followed, and how often it changed: so that who follows a session compares what it was with what it is, and
//! nobody has to keep messages for a reader that is slow.
//!
//! Must never miss a change: a mark is raised on the writer's thread after the change can be read, and whoever works
//! something out notes the mark before it reads. Nothing is kept of what nobody follows.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::watch;

use crate::project::billed::ChargeKey;
use crate::project::share::Settled;
use crate::project::view::SessionView;

/// Names of changed sessions kept for whoever follows the list; beyond, all of them count as changed.
const NAMED: usize = 4096;
/// Changed charges remembered for who works a tree out meanwhile.
const CHARGES: usize = 4096;

/// What charges mean for the spans of a session, by the keys that the spans name.
pub type Known = HashMap<ChargeKey, Settled>;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A session that somebody follows.
#[derive(Debug)]
pub struct Mark {
    changes: watch::Sender<u64>,
    /// The tree as it was worked out last, and how often the session had changed before that.
    tree: Mutex<Option<(u64, Arc<SessionView>)>>,
    charges: Mutex<Charges>,
}

/// The charges of a session's spans, so that a change does not cost looking all of them up.
#[derive(Debug, Default)]
struct Charges {
    known: Known,
    /// Those that changed of late, with how often the session had changed by then.
    changed: VecDeque<(u64, ChargeKey)>,
    /// What changed up to then may be forgotten.
    floor: Option<u64>,
}

impl Charges {
    /// True if one of them is known.
    fn change(&mut self, count: u64, keys: &[ChargeKey]) -> bool {
        let mut was_known = false;
        for key in keys {
            was_known |= forget(&mut self.known, *key);
            self.changed.push_back((count, *key));
        }
        while self.changed.len() > CHARGES {
            self.floor = self.changed.pop_front().map(|(count, _)| count).or(self.floor);
        }
        was_known
    }

    /// True if one of these changed since they were looked up.
    fn give_back(&mut self, count: u64, mut known: Known) -> bool {
        if self.floor.is_some_and(|floor| floor >= count) {
            return true;
        }
        let mut is_old = false;
        for (at, key) in &self.changed {
            is_old |= *at >= count && forget(&mut known, *key);
        }
        if known.len() >= self.known.len() {
            self.known = known;
        }
        is_old
    }
}

/// Whether it was known. What no source names a request of is another charge where one is named.
fn forget(known: &mut Known, key: ChargeKey) -> bool {
    known.remove(&key).is_some() | known.remove(&key.anonymous()).is_some()
}

impl Mark {
    fn new() -> Self {
        Mark { changes: watch::Sender::new(0), tree: Mutex::default(), charges: Mutex::default() }
    }

    /// What is known of charges; to be given back.
    #[must_use]
    pub fn take_charges(&self) -> Known {
        std::mem::take(&mut locked(&self.charges).known)
    }

    /// Keeps what is known of charges, looked up after so many changes were counted.
    pub fn give_back(&self, count: u64, known: Known) {
        // What was worked out with one that is old counts as old too.
        if locked(&self.charges).give_back(count, known) && self.count() == count {
            self.raise();
        }
    }

    fn raise(&self) {
        self.changes.send_modify(|n| *n += 1);
    }

    /// How often it changed, to be waited on.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// How often it changed.
    #[must_use]
    pub fn count(&self) -> u64 {
        *self.changes.borrow()
    }

    /// The tree, if nothing changed since it was worked out.
    #[must_use]
    pub fn tree(&self) -> Option<Arc<SessionView>> {
        let count = self.count();
        locked(&self.tree).as_ref().filter(|(of, _)| *of == count).map(|(_, view)| Arc::clone(view))
    }

    /// Keeps a tree that was worked out after so many changes were counted.
    pub fn keep(&self, count: u64, view: &Arc<SessionView>) {
        let mut kept = locked(&self.tree);
        if kept.as_ref().is_none_or(|(of, _)| *of <= count) {
            *kept = Some((count, Arc::clone(view)));
        }
    }

    /// Lets go of the tree.
    pub fn forget(&self) {
        *locked(&self.tree) = None;
    }
}

/// Which sessions changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum Changed {
    /// None.
    #[default]
    None,
    /// These.
    Some(BTreeSet<String>),
    /// Any.
    All,
}

/// The list of sessions, followed.
#[derive(Debug)]
pub struct ListMark {
    changes: watch::Sender<u64>,
    changed: Mutex<Changed>,
}

impl ListMark {
    fn raise(&self, sessions: Option<&[String]>) {
        let mut changed = locked(&self.changed);
        *changed = match (std::mem::take(&mut *changed), sessions) {
            (Changed::All, _) | (_, None) => Changed::All,
            (Changed::None, Some(names)) => Changed::Some(names.iter().cloned().collect()),
            (Changed::Some(known), Some(names)) if known.len() + names.len() > NAMED => Changed::All,
            (Changed::Some(mut known), Some(names)) => {
                known.extend(names.iter().cloned());
                Changed::Some(known)
            }
        };
        drop(changed);
        self.changes.send_modify(|n| *n += 1);
    }

    /// How often it changed, to be waited on.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// What changed since this was asked last.
    #[must_use]
    pub fn take(&self) -> Changed {
        std::mem::take(&mut *locked(&self.changed))
    }
}

/// All that is followed.
#[derive(Debug, Default)]
pub struct Marks {
    sessions: Mutex<HashMap<String, Weak<Mark>>>,
    list: Mutex<Weak<ListMark>>,
}

impl Marks {
    /// From now on changes of this session are counted, as long as the mark is held.
    #[must_use]
    pub fn session(&self, session_id: &str) -> Arc<Mark> {
        let mut sessions = locked(&self.sessions);
        if let Some(mark) = sessions.get(session_id).and_then(Weak::upgrade) {
            return mark;
        }
        sessions.retain(|_, mark| mark.strong_count() > 0);
        let mark = Arc::new(Mark::new());
        sessions.insert(session_id.to_owned(), Arc::downgrade(&mark));
        mark
    }

    /// From now on changes of the list are counted, as long as the mark is held.
    #[must_use]
    pub fn list(&self) -> Arc<ListMark> {
        let mut list = locked(&self.list);
        if let Some(mark) = list.upgrade() {
            return mark;
        }
        let mark = Arc::new(ListMark { changes: watch::Sender::new(0), changed: Mutex::default() });
        *list = Arc::downgrade(&mark);
        mark
    }

    /// The mark of a session, if it is followed.
    #[must_use]
    pub fn followed(&self, session_id: &str) -> Option<Arc<Mark>> {
        locked(&self.sessions).get(session_id).and_then(Weak::upgrade)
    }

    /// These sessions and charges changed.
    pub(super) fn changed(&self, names: &[String], charges: &[ChargeKey]) {
        let sessions = locked(&self.sessions);
        for (name, mark) in sessions.iter() {
            let Some(mark) = mark.upgrade() else { continue };
            // A charge may be one of a session that is not named: of a copy of it.
            let is_charged = locked(&mark.charges).change(mark.count(), charges);
            if is_charged || names.contains(name) {
                mark.raise();
            }
        }
        drop(sessions);
        if !names.is_empty()
            && let Some(list) = locked(&self.list).upgrade()
        {
            list.raise(Some(names));
        }
    }

    /// Any session may have changed: the index is another one, or the prices are others.
    pub(crate) fn renewed(&self) {
        for mark in locked(&self.sessions).values().filter_map(Weak::upgrade) {
            let mut charges = locked(&mark.charges);
            // What is looked up now may be of either index.
            *charges = Charges { floor: Some(mark.count()), ..Charges::default() };
            drop(charges);
            mark.raise();
        }
        if let Some(list) = locked(&self.list).upgrade() {
            list.raise(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_served_until_the_session_changes() {
        let marks = Marks::default();
        let mark = marks.session("s");
        let view = Arc::new(SessionView::default());
        let before = mark.count();
        marks.changed(&["s".into(), "t".into()], &[]);
        mark.keep(before, &view);
        assert!(mark.tree().is_none(), "it changed while the tree was worked out");
        mark.keep(mark.count(), &view);
        assert!(marks.followed("s").is_some_and(|mark| mark.tree().is_some()));
        marks.renewed();
        assert!(mark.tree().is_none());
        drop(mark);
        assert!(marks.followed("s").is_none(), "nothing is kept of what nobody follows");
    }

    #[test]
    fn charges_are_known_until_they_change() {
        let marks = Marks::default();
        let mark = marks.session("s");
        let key = |message| ChargeKey { message, request: 5 };
        let settled = |message| Settled {
            key: key(message),
            session: [0; 16],
            tokens: ccd_proto::api::Tokens::default(),
            cost: None,
            shares: Vec::new(),
        };
        let looked_up = || Known::from([1, 2, 3].map(|n| (key(n), settled(n))));
        let count = mark.count();
        // While they are looked up, one changes that another session is named with, and then one that is none of ours.
        marks.changed(&["t".into()], &[key(2)]);
        assert_eq!(mark.count(), count, "nobody knows yet that it is one of ours");
        mark.give_back(count, looked_up());
        assert_eq!(mark.count(), count + 1, "what was worked out with it is old");
        marks.changed(&["t".into()], &[key(9)]);
        assert_eq!(mark.count(), count + 1);
        let known = mark.take_charges();
        assert!(known.contains_key(&key(1)) && !known.contains_key(&key(2)));
        mark.give_back(mark.count(), known);
        marks.changed(&["t".into()], &[key(3)]);
        assert_eq!(mark.count(), count + 2, "it is known to be one of ours");
        // One without a request, until one with a request is told of.
        let bare = ChargeKey { message: 4, request: 0 };
        mark.give_back(mark.count(), Known::from([(bare, settled(4))]));
        marks.changed(&[], &[key(4)]);
        assert!(!mark.take_charges().contains_key(&bare));
        let count = mark.count();
        marks.renewed();
        mark.give_back(count, looked_up());
        assert!(mark.take_charges().is_empty(), "looked up in another index");
    }

    #[test]
    fn the_list_knows_what_changed_or_that_it_does_not() {
        let marks = Marks::default();
        marks.changed(&["a".into()], &[]);
        let list = marks.list();
        assert_eq!(list.take(), Changed::None);
        marks.changed(&["a".into()], &[]);
        marks.changed(&["b".into(), "a".into()], &[]);
        assert_eq!(list.take(), Changed::Some(BTreeSet::from(["a".into(), "b".into()])));
        assert_eq!(list.take(), Changed::None);
        for n in 0..=NAMED {
            marks.changed(&[n.to_string()], &[]);
        }
        marks.changed(&["a".into()], &[]);
        assert_eq!(list.take(), Changed::All);
        marks.renewed();
        assert_eq!(list.take(), Changed::All);
    }
}
