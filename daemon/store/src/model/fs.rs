//! A file system in memory that keeps after a crash only what it promised, and fails where it is told to.
//!
//! - A write is seen at once. It is durable after the file's next good `sync_data`; until then a crash may keep it,
//!   drop it, tear it (a prefix, or some of its 512-byte sectors), or apply it before earlier ones. So may it do with
//!   changes of the length.
//! - A creation or a removal is durable after the directory's next good `sync_dir`; a crash keeps the first few of
//!   those since, in order.
//! - A `sync_data` that fails has written some of the changes, and forgets that there were others, as Linux does: they
//!   are still seen, the next one succeeds, and they are gone after a crash.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::Random;

const SECTOR: usize = 512;

/// The kinds of calls that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Open,
    Read,
    Write,
    SetLen,
    Allocate,
    Sync,
    SyncDir,
    Remove,
    Rename,
    MakeDir,
    List,
    Stat,
}

impl Call {
    pub(super) const ALL: [Self; 12] = [
        Self::Open,
        Self::Read,
        Self::Write,
        Self::SetLen,
        Self::Allocate,
        Self::Sync,
        Self::SyncDir,
        Self::Remove,
        Self::Rename,
        Self::MakeDir,
        Self::List,
        Self::Stat,
    ];
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Eio,
    Enospc,
    /// Reads and writes do only half of it.
    Short,
    Eintr,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) call: Call,
    /// Which call of this kind; the first is 0.
    pub(super) at: u64,
    pub(super) failure: Failure,
    /// All from then on, not just the one.
    pub(super) stays: bool,
    /// The process dies of it: of a sync only.
    pub(super) dies: bool,
}

/// What a crash leaves of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Survival {
    All,
    None,
    /// Each change is kept or dropped.
    Some,
    /// Each write is torn.
    Torn,
    /// Everything above, in any order.
    Any,
}

impl Survival {
    pub(super) const ALL: [Self; 5] = [Self::All, Self::None, Self::Some, Self::Torn, Self::Any];
}

#[derive(Clone)]
pub(super) enum Change {
    Write { at: usize, bytes: Vec<u8> },
    SetLen(usize),
}

#[derive(Clone, Default)]
pub(super) struct Inode {
    pub(super) seen: Vec<u8>,
    pub(super) durable: Vec<u8>,
    pub(super) unsynced: Vec<Change>,
    /// A sync failed: the process that saw it must not write to it again.
    pub(super) doubtful: bool,
    pub(super) locked: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    Dir,
    File(usize),
}

type Names = BTreeMap<PathBuf, Node>;

#[derive(Clone)]
pub(super) struct State {
    pub(super) random: Random,
    pub(super) inodes: Vec<Inode>,
    pub(super) seen: Names,
    pub(super) durable: Names,
    /// Creations and removals not synced, in order.
    pub(super) unsynced: Vec<(PathBuf, Option<Node>)>,
    pub(super) counts: [u64; Call::ALL.len()],
    pub(super) fault: Option<Fault>,
    pub(super) failed: u64,
    pub(super) changes: u64,
    pub(super) crash_at: Option<u64>,
    pub(super) down: bool,
}

/// The file system; clones are the same one.
#[derive(Clone)]
pub(super) struct ModelFs(Arc<Mutex<State>>);

pub(super) fn apply(data: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write { at, bytes } => {
            if data.len() < at + bytes.len() {
                data.resize(at + bytes.len(), 0);
            }
            data[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        Change::SetLen(len) => data.resize(*len, 0),
    }
}

/// Some of the sectors of a write, or its beginning.
fn tear(data: &mut Vec<u8>, at: usize, bytes: &[u8], random: &mut Random) {
    if random.coin() {
        return apply(data, &Change::Write { at, bytes: bytes[..random.below(bytes.len() + 1)].to_vec() });
    }
    if random.coin() && data.len() < at + bytes.len() {
        data.resize(at + bytes.len(), 0);
    }
    let mut from = 0;
    while from < bytes.len() {
        let to = (from + SECTOR - (at + from) % SECTOR).min(bytes.len());
        if random.coin() {
            apply(data, &Change::Write { at: at + from, bytes: bytes[from..to].to_vec() });
        }
        from = to;
    }
}

impl State {
    /// Counts a call, and fails it if it is its turn. True if it is to do only half.
    pub(super) fn enter(&mut self, call: Call) -> io::Result<bool> {
        if self.down {
            return Err(io::Error::other("the machine is down"));
        }
        let count = &mut self.counts[call as usize];
        let number = *count;
        *count += 1;
        let Some(fault) = self.fault else { return Ok(false) };
        if fault.call != call || !(number == fault.at || fault.stays && number > fault.at) {
            return Ok(false);
        }
        self.failed += 1;
        match fault.failure {
            Failure::Eio => Err(io::Error::from_raw_os_error(5)),
            Failure::Enospc => Err(io::ErrorKind::StorageFull.into()),
            Failure::Eintr => Err(io::ErrorKind::Interrupted.into()),
            Failure::Short => Ok(true),
        }
    }

    /// Counts a change; the machine may go down in the middle of it.
    pub(super) fn change(&mut self) -> io::Result<()> {
        self.changes += 1;
        if self.crash_at.is_some_and(|at| self.changes > at) {
            self.down = true;
            return Err(io::Error::other("the machine goes down"));
        }
        Ok(())
    }

    pub(super) fn node(&self, path: &Path) -> io::Result<Node> {
        self.seen.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn set(&mut self, path: &Path, node: Option<Node>) {
        match node {
            Some(node) => drop(self.seen.insert(path.to_owned(), node)),
            None => drop(self.seen.remove(path)),
        }
        self.unsynced.push((path.to_owned(), node));
    }

    pub(super) fn make_durable(&mut self, path: PathBuf, node: Option<Node>) {
        match node {
            Some(node) => drop(self.durable.insert(path, node)),
            None => drop(self.durable.remove(&path)),
        }
    }

    /// What is left when the power comes back.
    fn crash(&mut self, survival: Survival) {
        let mut random = self.random.clone();
        let unsynced = std::mem::take(&mut self.unsynced);
        let mut kept: BTreeMap<PathBuf, usize> = BTreeMap::new();
        for (path, node) in unsynced {
            let dir = path.parent().unwrap().to_owned();
            let left = kept.entry(dir).or_insert_with(|| match survival {
                Survival::All => usize::MAX,
                Survival::None => 0,
                _ => random.below(4),
            });
            if *left > 0 {
                *left -= 1;
                self.make_durable(path, node);
            }
        }
        // What is in a directory that was lost is lost.
        let whole = self.durable.clone();
        self.durable.retain(|path, _| {
            path.ancestors().skip(1).take_while(|p| p.parent().is_some()).all(|p| whole.contains_key(p))
        });
        self.seen = self.durable.clone();
        for inode in &mut self.inodes {
            let mut unsynced = std::mem::take(&mut inode.unsynced);
            if survival == Survival::Any {
                for n in (1..unsynced.len()).rev() {
                    if random.below(4) == 0 {
                        unsynced.swap(n, n - 1);
                    }
                }
            }
            for change in unsynced {
                let tears = matches!(survival, Survival::Torn)
                    || matches!(survival, Survival::Any) && random.below(3) == 0;
                let keeps = match survival {
                    Survival::All | Survival::Torn => true,
                    Survival::None => false,
                    Survival::Some | Survival::Any => random.coin(),
                };
                match change {
                    Change::Write { at, bytes } if tears => tear(&mut inode.durable, at, &bytes, &mut random),
                    change if keeps => apply(&mut inode.durable, &change),
                    _ => {}
                }
            }
            inode.seen = inode.durable.clone();
            (inode.locked, inode.doubtful) = (false, false);
        }
        self.random = random;
        (self.down, self.crash_at, self.fault) = (false, None, None);
    }
}

impl ModelFs {
    /// Has a durable directory `/`.
    pub(super) fn new(seed: u64) -> Self {
        let root = Names::from([(PathBuf::from("/"), Node::Dir)]);
        Self(Arc::new(Mutex::new(State {
            random: Random(seed),
            inodes: Vec::new(),
            seen: root.clone(),
            durable: root,
            unsynced: Vec::new(),
            counts: [0; Call::ALL.len()],
            fault: None,
            failed: 0,
            changes: 0,
            crash_at: None,
            down: false,
        })))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// How many changes were made so far.
    pub(super) fn changes(&self) -> u64 {
        self.state().changes
    }

    /// The machine goes down when that many changes were made.
    pub(super) fn crash_at(&self, changes: u64) {
        self.state().crash_at = Some(changes);
    }

    pub(super) fn is_down(&self) -> bool {
        self.state().down
    }

    /// A copy of the machine, as it comes up again after a crash now.
    pub(super) fn crashed(&self, survival: Survival, seed: u64) -> Self {
        let mut state = self.state().clone();
        state.random = Random(seed);
        state.crash(survival);
        Self(Arc::new(Mutex::new(state)))
    }

    /// A copy of the machine on which nothing but the process has died.
    pub(super) fn killed(&self) -> Self {
        let mut state = self.state().clone();
        state.inodes.iter_mut().for_each(|inode| (inode.locked, inode.doubtful) = (false, false));
        (state.down, state.crash_at, state.fault) = (false, None, None);
        Self(Arc::new(Mutex::new(state)))
    }

    pub(super) fn inject(&self, fault: Option<Fault>) {
        let mut state = self.state();
        state.counts = [0; Call::ALL.len()];
        state.failed = 0;
        state.fault = fault;
    }

    /// How many calls were failed.
    pub(super) fn failed(&self) -> u64 {
        self.state().failed
    }

    /// How many calls of a kind there were since the last [`ModelFs::inject`].
    pub(super) fn count(&self, call: Call) -> u64 {
        self.state().counts[call as usize]
    }

    /// All files and what is in them.
    pub(super) fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let state = self.state();
        let file = |(path, node): (&PathBuf, &Node)| match *node {
            Node::File(inode) => Some((path.clone(), state.inodes[inode].seen.clone())),
            Node::Dir => None,
        };
        state.seen.iter().filter_map(file).collect()
    }

    /// Puts other bytes into a file, durably; none removes it.
    pub(super) fn put(&self, path: &Path, bytes: Option<Vec<u8>>) {
        let mut state = self.state();
        let Node::File(inode) = state.node(path).unwrap() else {
            panic!("{} is a directory", path.display())
        };
        if let Some(bytes) = bytes {
            state.inodes[inode] = Inode { seen: bytes.clone(), durable: bytes, ..Inode::default() };
        } else {
            state.seen.remove(path);
            state.durable.remove(path);
        }
    }
}
