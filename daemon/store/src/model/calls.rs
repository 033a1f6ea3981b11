//! The calls of the file system in memory: what the store does to it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::fs::{Call, Change, Inode, ModelFs, Node, State, apply};
use crate::vfs::{Kind, OpenMode, Vfs, VfsFile};

impl Vfs for ModelFs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn VfsFile>> {
        let mut state = self.state();
        state.enter(Call::Open)?;
        let inode = match state.node(path) {
            Ok(Node::File(inode)) => inode,
            Ok(Node::Dir) => return Err(io::ErrorKind::IsADirectory.into()),
            Err(_) if mode == OpenMode::Create => {
                if state.node(path.parent().unwrap())? != Node::Dir {
                    return Err(io::ErrorKind::NotADirectory.into());
                }
                state.inodes.push(Inode::default());
                let inode = state.inodes.len() - 1;
                state.set(path, Some(Node::File(inode)));
                state.change()?;
                inode
            }
            Err(e) => return Err(e),
        };
        Ok(Box::new(ModelFile { fs: self.clone(), inode, locks: Mutex::new(false) }))
    }

    fn kind(&self, path: &Path) -> io::Result<Option<Kind>> {
        let mut state = self.state();
        state.enter(Call::Stat)?;
        Ok(state.seen.get(path).map(|node| if *node == Node::Dir { Kind::Dir } else { Kind::File }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<(PathBuf, Kind)>> {
        let mut state = self.state();
        state.enter(Call::List)?;
        state.node(dir)?;
        let inside = state.seen.iter().filter(|(path, _)| path.parent() == Some(dir));
        let kind = |node: &Node| if *node == Node::Dir { Kind::Dir } else { Kind::File };
        Ok(inside.map(|(path, node)| (path.clone(), kind(node))).collect())
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.enter(Call::MakeDir)?;
        if state.node(path).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.set(path, Some(Node::Dir));
        state.change()
    }

    fn make_dir_private(&self, path: &Path) -> io::Result<()> {
        self.state().node(path).map(drop)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.enter(Call::Rename)?;
        let node = state.node(from)?;
        // A crash may keep the first without the second: the file then has both names.
        state.set(to, Some(node));
        state.set(from, None);
        state.change()
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.enter(Call::Remove)?;
        state.node(path)?;
        state.set(path, None);
        state.change()
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.enter(Call::SyncDir)?;
        state.change()?;
        let (here, elsewhere) = std::mem::take(&mut state.unsynced)
            .into_iter()
            .partition::<Vec<_>, _>(|(path, _)| path.parent() == Some(dir));
        state.unsynced = elsewhere;
        for (path, node) in here {
            state.make_durable(path, node);
        }
        Ok(())
    }
}

struct ModelFile {
    fs: ModelFs,
    inode: usize,
    locks: Mutex<bool>,
}

impl ModelFile {
    fn change(&self, state: &mut State, change: Change) -> io::Result<()> {
        let inode = &mut state.inodes[self.inode];
        apply(&mut inode.seen, &change);
        inode.unsynced.push(change);
        state.change()
    }
}

impl Drop for ModelFile {
    fn drop(&mut self) {
        if *self.locks.lock().unwrap() {
            self.fs.state().inodes[self.inode].locked = false;
        }
    }
}

impl VfsFile for ModelFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.fs.state();
        let half = state.enter(Call::Read)?;
        let seen = &state.inodes[self.inode].seen;
        let from = usize::try_from(offset).unwrap().min(seen.len());
        let len = bytes.len().min(seen.len() - from);
        let len = if half { len.div_ceil(2) } else { len };
        bytes[..len].copy_from_slice(&seen[from..from + len]);
        Ok(len)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut state = self.fs.state();
        let half = state.enter(Call::Write)?;
        let len = if half { bytes.len().div_ceil(2) } else { bytes.len() };
        assert!(!state.inodes[self.inode].doubtful, "written to after a failed sync");
        let at = usize::try_from(offset).unwrap();
        self.change(&mut state, Change::Write { at, bytes: bytes[..len].to_vec() })?;
        Ok(len)
    }

    fn len(&self) -> io::Result<u64> {
        let mut state = self.fs.state();
        state.enter(Call::Stat)?;
        Ok(state.inodes[self.inode].seen.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.fs.state();
        state.enter(Call::SetLen)?;
        state.inodes[self.inode].doubtful &= len > 0;
        self.change(&mut state, Change::SetLen(usize::try_from(len).unwrap()))
    }

    fn allocate(&self, from: u64, len: u64) -> io::Result<()> {
        let mut state = self.fs.state();
        let half = state.enter(Call::Allocate)?;
        let len = if half { len / 2 } else { len };
        let end = usize::try_from(from + len).unwrap();
        if state.inodes[self.inode].seen.len() < end {
            self.change(&mut state, Change::SetLen(end))?;
        }
        if half { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.fs.state();
        let entered = state.enter(Call::Sync);
        if entered.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::Interrupted) || state.down {
            return entered.map(drop);
        }
        state.change()?;
        let State { random, inodes, .. } = &mut *state;
        let inode = &mut inodes[self.inode];
        inode.doubtful = entered.is_err();
        for change in std::mem::take(&mut inode.unsynced) {
            if entered.is_ok() || random.coin() {
                apply(&mut inode.durable, &change);
            }
        }
        state.down = entered.is_err() && state.fault.is_some_and(|fault| fault.dies);
        entered.map(drop)
    }

    fn try_lock(&self) -> io::Result<bool> {
        let mut state = self.fs.state();
        let free = !state.inodes[self.inode].locked;
        if free {
            state.inodes[self.inode].locked = true;
            *self.locks.lock().unwrap() = true;
        }
        Ok(free)
    }
}
