//! The sockets and what stands in their place, who may look into our directories, and other installations.
//!
//! What is in our place and not of ours is named, and left there.

use std::fs::{FileType, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use ccd_proto::paths::Layout;

use crate::claude::layers::{Layer, Whose};
use crate::doctor::Check;
use crate::doctor::facts::Facts;
use crate::env::Env;
use crate::plugin;

pub(in crate::doctor) fn all(facts: &Facts<'_>) -> Vec<Check> {
    let l = &facts.env.layout;
    let uid = rustix::process::geteuid().as_raw();
    let sockets = sockets(l, uid, facts.daemon().is_some(), Path::new("/proc"));
    [sockets, access(l, uid)].into_iter().chain(others(facts)).collect()
}

/// What a file is, in a word.
fn kind(kind: FileType) -> &'static str {
    if kind.is_symlink() {
        "a link"
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a file"
    }
}

/// The sockets are there, and nothing else is in their place.
pub(super) fn sockets(l: &Layout, uid: u32, is_running: bool, proc: &Path) -> Check {
    let run = l.run_dir.display();
    let away = "move it away; it is not ours to remove";
    match l.run_dir.symlink_metadata() {
        Err(e) if e.kind() == ErrorKind::NotFound && is_running => {
            let told = format!("{run} is gone: nobody reaches the daemon any more");
            return Check::fail("sockets", told, "`ccctl restart` makes it again");
        }
        Err(e) if e.kind() == ErrorKind::NotFound => return without(l, proc, &[]),
        Err(e) => return Check::fail("sockets", format!("{run}: {e}"), "look at its permissions"),
        Ok(meta) if !meta.is_dir() => {
            return Check::fail(
                "sockets",
                format!("{run} is {}, no directory", kind(meta.file_type())),
                away,
            );
        }
        Ok(meta) if meta.uid() != uid => return foreign(&l.run_dir, &meta),
        Ok(_) => {}
    }
    let mut stale = Vec::new();
    for path in [l.control_socket(), l.hook_socket(), l.supervisor_socket()] {
        let meta = match path.symlink_metadata() {
            Ok(meta) => meta,
            Err(_) if is_running && path == l.hook_socket() => return unheard(&path, "is gone"),
            Err(_) => continue,
        };
        if !meta.file_type().is_socket() {
            let what = kind(meta.file_type());
            let told = format!("{} is {what}, where the daemon's socket must be", path.display());
            return Check::fail("sockets", told, away);
        }
        if meta.uid() != uid {
            return foreign(&path, &meta);
        }
        // One that nobody listens on is left by a daemon that was killed.
        if UnixStream::connect(&path).is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused) {
            if is_running && path == l.hook_socket() {
                return unheard(&path, "has nobody who listens");
            }
            stale.push(path);
        }
    }
    if is_running {
        Check::good("sockets", format!("they answer in {run}"))
    } else {
        without(l, proc, &stale)
    }
}

/// A hook socket that leads nowhere, though the daemon runs.
fn unheard(path: &Path, how: &str) -> Check {
    Check::fail(
        "sockets",
        format!("{} {how}: hook events go to the spool", path.display()),
        "`ccctl restart` makes it anew",
    )
}

fn foreign(path: &Path, meta: &Metadata) -> Check {
    Check::fail(
        "sockets",
        format!("{} belongs to the user with id {}", path.display(), meta.uid()),
        "no daemon of yours can use it: remove it as that user, or choose another CCD_HOME",
    )
}

/// What there is without a daemon that answers.
fn without(l: &Layout, proc: &Path, stale: &[PathBuf]) -> Check {
    if let Some(pid) = lock_holder(proc, &l.lock_file()) {
        return Check::fail(
            "sockets",
            format!("ccd (pid {pid}) holds {}, and does not answer", l.lock_file().display()),
            format!("it is starting or stuck: `ccctl logs` may say why; if it stays so, `kill {pid}`"),
        );
    }
    if stale.is_empty() {
        return Check::good("sockets", "nothing is in their place");
    }
    let paths = stale.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    Check::note("sockets", format!("a daemon that was killed left {paths}"))
        .hint("the next start replaces it")
        .fixable()
}

/// The process that holds this lock, as the kernel tells. What the file itself says may be of a process that is long
/// gone, its number somebody else's.
pub(super) fn lock_holder(proc: &Path, lock: &Path) -> Option<u32> {
    let inode = lock.metadata().ok()?.ino();
    let table = std::fs::read_to_string(proc.join("locks")).ok()?;
    table.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip_while(|word| *word != "FLOCK");
        let pid: u32 = words.nth(3)?.parse().ok()?;
        let held: u64 = words.next()?.rsplit(':').next()?.parse().ok()?;
        let name = std::fs::read_to_string(proc.join(pid.to_string()).join("comm")).unwrap_or_default();
        // Inodes of two disks may have the same number.
        (held == inode && name.trim_end() == "ccd").then_some(pid)
    })
}

/// Nobody else can look into our directories and sockets.
pub(super) fn access(l: &Layout, uid: u32) -> Check {
    let places = [&l.state_dir, &l.run_dir, &l.spool_dir, &l.log_dir].into_iter().cloned();
    let places = places.chain([l.control_socket(), l.hook_socket(), l.supervisor_socket(), l.token_file()]);
    let wrong: Vec<(String, bool)> = places.filter_map(|path| too_open(&path, uid)).collect();
    if wrong.is_empty() {
        return Check::good("access", "only you can look into ccd's files");
    }
    let told = wrong.iter().map(|(told, _)| told.as_str()).collect::<Vec<_>>().join("; ");
    let check = Check::fail("access", told, "chmod go-rwx on them");
    if wrong.iter().all(|(_, fixable)| *fixable) { check.fixable() } else { check }
}

/// What is wrong with who may look into it, and whether that can be put right.
fn too_open(path: &Path, uid: u32) -> Option<(String, bool)> {
    let meta = path.symlink_metadata().ok()?;
    let mode = meta.permissions().mode() & 0o777;
    if meta.uid() != uid {
        return Some((format!("{} belongs to the user with id {}", path.display(), meta.uid()), false));
    }
    (!meta.is_symlink() && mode & 0o077 != 0).then(|| (format!("{} has mode {mode:o}", path.display()), true))
}

/// Other installations of this user, which have hooks in the same files, or a home of their own.
fn others(facts: &Facts<'_>) -> Option<Check> {
    let env = facts.env;
    let mut found: Vec<String> = Vec::new();
    for dir in &facts.dirs {
        let plugin = plugin::hooks_path(&plugin::directory(&dir.path));
        for layer in Layer::read(Whose::User, &plugin).iter().chain(&dir.layer) {
            let theirs = layer.hook_sockets().find(|socket| socket != &env.layout.hook_socket());
            found.extend(theirs.map(|socket| {
                let home = socket.parent().unwrap_or(Path::new("/")).display().to_string();
                format!("{layer} has hooks of the installation with its sockets in {home}")
            }));
        }
    }
    if let Some(default) = default_layout(env)
        && default.install_manifest().exists()
    {
        found.push(format!(
            "{} tells of an installation without CCD_HOME",
            default.install_manifest().display()
        ));
    }
    (!found.is_empty()).then(|| {
        Check::note("others", found.join("; ")).hint(
            "each records for itself; `ccctl uninstall` with the CCD_HOME of the one that is not wanted",
        )
    })
}

/// Where everything lies without `CCD_HOME`, where that is another place.
fn default_layout(env: &Env) -> Option<Layout> {
    env.var("CCD_HOME")?;
    Layout::resolve(|name| env.var(name).filter(|_| name != "CCD_HOME")).ok()
}
