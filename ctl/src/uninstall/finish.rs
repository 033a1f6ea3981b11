//! What can go only when the daemon is gone: programs, sockets, locks, logs, directories. The daemon needs its program to
//! the end (a worker that dies is replaced), so whoever is last does this: `ccctl uninstall` where no daemon runs, else the
//! daemon's own process, which becomes `ccctl uninstall --finish` (see `leaving` there).
//!
//! Must never touch what was recorded (but for `--purge`), a daemon that runs, or an installation made since. The note goes
//! last: killed at any point, it can be run again.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ccd_proto::paths::Layout;
use serde::{Deserialize, Serialize};

use super::programs::{self, Placed};
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::files::{self, Lock};
use crate::manifest::{Manifest, backups};

/// How long whoever else is at work here may take.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 30 });

/// What is to be done once the daemon has ended.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Note {
    /// The program that does it: this one. The daemon reads this field.
    pub(crate) ccctl: PathBuf,
    /// What an installer had put into place.
    pub(crate) placed: Placed,
    /// Directories that were made for ours, outermost first.
    pub(crate) grounds: Vec<PathBuf>,
}

impl Note {
    /// The note that is there.
    pub(crate) fn load(layout: &Layout) -> Result<Option<Self>> {
        let path = layout.leaving_note();
        let Some(bytes) = files::read(&path)? else { return Ok(None) };
        // One that does not read is as good as none: its files stay, and are told of by their package or their user.
        Ok(serde_json::from_slice(&bytes).ok())
    }

    /// Writes it.
    pub(crate) fn save(&self, layout: &Layout) -> Result<()> {
        let path = layout.leaving_note();
        let text = serde_json::to_string(self)
            .map_err(|e| CommandError::failed(format!("cannot write {}: {e}", path.display())))?;
        files::replace(&path, files::read(&path)?.as_deref(), text.as_bytes())
    }

    /// Forgets it: something is installed again.
    pub(crate) fn forget(layout: &Layout) -> Result<Self> {
        let note = Self::load(layout)?.unwrap_or_default();
        files::remove_file(&layout.leaving_note())?;
        Ok(note)
    }
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Finished {
    /// Programs that are gone.
    pub(crate) removed: Vec<PathBuf>,
    /// Programs that somebody has changed since, which stay.
    pub(crate) kept: Vec<PathBuf>,
}

/// As the daemon's last act: nothing where something is installed again, or another daemon runs.
pub(crate) fn run(env: &Env) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let lock = loop {
        match Lock::take(&env.layout.state_dir) {
            Ok(lock) => break lock,
            Err(e) if Instant::now() >= deadline => return Err(e),
            Err(_) => sleep(Duration::from_millis(50)),
        }
    };
    if Note::load(&env.layout)?.is_none() || Manifest::load(&env.layout)?.is_some() {
        return Ok(());
    }
    all(env, lock, false).map(drop)
}

/// Removes everything of ours but what was recorded; that too with `purge`.
pub(super) fn all(env: &Env, lock: Lock, purge: bool) -> Result<Finished> {
    let l = &env.layout;
    let note = Note::load(l)?.unwrap_or_default();
    let daemons = [l.supervisor_lock(), l.lock_file()].map(|path| free(&path));
    if daemons.iter().any(Result::is_err) {
        return Err(CommandError::failed("the daemon has not ended: its programs and sockets stay")
            .hint("`ccctl uninstall --now` ends it"));
    }
    let _ = crate::run::remove_ended(&l.run_dir);
    for socket in [l.control_socket(), l.hook_socket(), l.supervisor_socket(), l.link_page()] {
        files::remove_file(&socket)?;
    }
    delete(&l.log_dir)?;
    // What opens the doors of others, and how far they were sent what.
    delete(&l.state_dir.join("forward"))?;
    if purge {
        for dir in [l.store_dir(), l.spool_dir.clone(), backups(l), l.run_dir.clone()] {
            delete(&dir)?;
        }
    }
    let (removed, kept) = programs::remove(&note.placed)?;
    for file in [
        l.token_file(),
        l.web_logins(),
        l.receive_tokens(),
        l.state_dir.join("telemetry.token"),
        l.lock_file(),
        l.supervisor_lock(),
        l.leaving_note(),
        Lock::path(&l.state_dir),
    ] {
        files::remove_file(&file)?;
    }
    drop(daemons);
    drop(lock);
    if purge {
        delete(&l.state_dir)?;
    }
    // Gone if nothing else is in them: events that no daemon has taken, what was recorded, what is not ours.
    let copies = backups(l);
    let dirs = [&l.spool_dir, &l.run_dir, &copies, &l.state_dir].map(PathBuf::as_path);
    let config = l.config_file.parent();
    // What is below goes first: an installer's directories and ours may lie in one another.
    let mut grounds: Vec<&Path> =
        note.grounds.iter().chain(&note.placed.directories).map(PathBuf::as_path).collect();
    grounds.sort_by_key(|dir| std::cmp::Reverse(dir.components().count()));
    for dir in dirs.into_iter().chain(config).chain(l.home.as_deref()).chain(grounds) {
        let _ = std::fs::remove_dir(dir);
    }
    Ok(Finished { removed, kept })
}

/// A daemon has its lock.
struct Runs;

/// The lock of a daemon that is not there, held. A lock file that does not exist is nobody's.
fn free(path: &Path) -> std::result::Result<Option<File>, Runs> {
    let Ok(file) = File::open(path) else { return Ok(None) };
    let deadline = Instant::now() + Duration::from_secs(5).min(PATIENCE);
    while file.try_lock().is_err() {
        if Instant::now() >= deadline {
            return Err(Runs);
        }
        sleep(Duration::from_millis(20));
    }
    Ok(Some(file))
}

fn delete(dir: &Path) -> Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(CommandError::failed(format!("cannot delete {}: {e}", dir.display())))
        }
        _ => Ok(()),
    }
}
