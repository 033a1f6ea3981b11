//! The Unix sockets of a home: handed over by whoever holds them, else bound, and taken away at the end.
//!
//! Must never remove a socket file that is not ours: one that a manager holds, one that somebody else has put in the
//! place of ours since, or one that is still answered by anybody.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Instant;

use ccd_proto::paths::Layout;

use super::{Home, PID_LOOK, PID_PATIENCE, StartError, file_error};

/// Sockets of a home that a manager holds.
#[derive(Debug, Default)]
pub struct Held {
    /// The hook events'.
    pub hook: Option<UnixListener>,
    /// The control API's.
    pub control: Option<UnixListener>,
}

/// A socket's file that is ours to remove.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    /// The socket that lies there; none if none does.
    fn at(path: &Path) -> Option<Self> {
        let meta = fs_err::symlink_metadata(path).ok().filter(|meta| meta.file_type().is_socket())?;
        Some(SocketFile { path: path.to_owned(), device: meta.dev(), inode: meta.ino() })
    }

    /// Removes it, if it is still the one that lies there.
    pub fn remove(&self) {
        let same =
            Self::at(&self.path).is_some_and(|now| (now.device, now.inode) == (self.device, self.inode));
        if !same {
            tracing::debug!(path = %self.path.display(), "a socket was gone already");
        } else if let Err(error) = fs_err::remove_file(&self.path) {
            tracing::debug!(%error, "a socket cannot be removed");
        }
    }
}

/// The home of who has its lock.
pub(super) fn home(layout: &Layout, lock: File, hooks: bool, held: Held) -> Result<Home, StartError> {
    let mut files = Vec::new();
    let hooks = match held.hook {
        Some(hook) => Some(hook),
        None if hooks => Some(bound(&layout.hook_socket(), &mut files)?),
        None => {
            // One that was killed may have left it: then it goes with us.
            let path = layout.hook_socket();
            files.extend(SocketFile::at(&path).filter(|_| !is_answered(&path)));
            None
        }
    };
    let control = match held.control {
        Some(control) => control,
        None => bound(&layout.control_socket(), &mut files)?,
    };
    Ok(Home { lock, hooks, control, files })
}

fn bound(path: &Path, files: &mut Vec<SocketFile>) -> Result<UnixListener, StartError> {
    let listener = bind(path)?;
    files.extend(SocketFile::at(path));
    Ok(listener)
}

/// Whether somebody listens at a socket.
fn is_answered(path: &Path) -> bool {
    UnixStream::connect(path).is_ok()
}

/// Binds a Unix socket, mode 0600. What lies there from a daemon that was killed is replaced: we hold the lock. One that
/// is answered is not.
pub fn bind(path: &Path) -> Result<UnixListener, StartError> {
    let refuse = |why| Err(StartError::Unsafe { path: path.to_owned(), why });
    match fs_err::symlink_metadata(path) {
        Ok(meta) if meta.file_type().is_socket() => {
            // The system lets go of a killed process's locks before its sockets.
            let until = Instant::now() + PID_PATIENCE;
            while is_answered(path) {
                if Instant::now() >= until {
                    return refuse("is held by another program, a service manager most likely");
                }
                std::thread::sleep(PID_LOOK);
            }
            match fs_err::remove_file(path) {
                Err(e) if e.kind() != ErrorKind::NotFound => {
                    return Err(file_error("cannot replace", path)(e));
                }
                _ => {}
            }
        }
        Ok(_) => return refuse("is in the way and no socket"),
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(source) => {
            return Err(StartError::File { what: "cannot look at", path: path.to_owned(), source });
        }
    }
    let listener = UnixListener::bind(path).map_err(file_error("cannot bind", path))?;
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .map_err(file_error("cannot make private", path))?;
    listener.set_nonblocking(true).map_err(file_error("cannot set up", path))?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> (tempfile::TempDir, Layout, impl Fn() -> File) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::resolve(|n| (n == "CCD_HOME").then(|| dir.path().into())).unwrap();
        fs_err::create_dir_all(&layout.run_dir).unwrap();
        let lock = dir.path().join("lock");
        (dir, layout, move || File::create(&lock).unwrap())
    }

    #[test]
    fn what_a_manager_holds_is_served_and_stays() {
        let (_dir, layout, lock) = world();
        let (hook, control) = (layout.hook_socket(), layout.control_socket());
        let theirs = [UnixListener::bind(&hook).unwrap(), UnixListener::bind(&control).unwrap()];
        let copy = |listener: &UnixListener| Some(listener.try_clone().unwrap());
        for hooks in [true, false] {
            let held = Held { hook: copy(&theirs[0]), control: copy(&theirs[1]) };
            let home = home(&layout, lock(), hooks, held).unwrap();
            assert!(home.files.is_empty() && home.hooks.is_some());
            let waiting = UnixStream::connect(&control).unwrap();
            let (_stream, _) = home.control.accept().unwrap();
            drop(waiting);
        }
        // Only some: the others are ours.
        drop(theirs);
        let ours = home(&layout, lock(), true, Held::default()).unwrap();
        assert_eq!(ours.files.len(), 2);
        ours.files.iter().for_each(SocketFile::remove);
        assert!(!hook.exists() && !control.exists());
    }

    #[test]
    fn a_socket_that_is_answered_is_not_replaced_and_one_that_was_replaced_is_not_removed() {
        let (_dir, layout, lock) = world();
        let path = layout.control_socket();
        let theirs = UnixListener::bind(&path).unwrap();
        let refused = home(&layout, lock(), false, Held::default()).err().unwrap();
        assert!(refused.to_string().contains("held by another program"), "{refused}");
        drop(theirs);
        let ours = home(&layout, lock(), true, Held::default()).unwrap();
        // As service managers do it: the old file out of the way, theirs in its place.
        fs_err::rename(&path, path.with_extension("aside")).unwrap();
        let theirs = UnixListener::bind(&path).unwrap();
        ours.files.iter().for_each(SocketFile::remove);
        assert!(is_answered(&path) && !layout.hook_socket().exists());
        drop(theirs);
    }

    #[test]
    fn what_a_killed_one_left_goes_with_who_captures_nothing() {
        let (_dir, layout, lock) = world();
        drop(UnixListener::bind(layout.hook_socket()).unwrap());
        let ours = home(&layout, lock(), false, Held::default()).unwrap();
        assert!(ours.hooks.is_none());
        ours.files.iter().for_each(SocketFile::remove);
        assert!(!layout.hook_socket().exists() && !layout.control_socket().exists());
    }
}
