//! Reading and replacing files that are not ours alone.
//!
//! Must never leave a file half written, and never follow a link out of the user's home. A file is replaced
//! by renaming a complete, synced copy over it; mode and owner stay; a link stays and its target is replaced;
//! a file that changed since it was read is left alone ([`Kind::Changed`]: the caller looks again).

use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::{CommandError, Kind, Result};

/// Mode of a file that did not exist.
const NEW_FILE: u32 = 0o600;
/// Mode of a directory that did not exist.
const NEW_DIR: u32 = 0o700;

/// A file's bytes; none if there is no such file.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs_err::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if is_absent(&e) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Where a write to `path` would really go. A link that leads out of all `roots` is refused, and so is one
/// that leads nowhere; a place outside of them that the user named directly is taken as it is.
pub fn resolve(path: &Path, roots: &[PathBuf]) -> Result<PathBuf> {
    let (existing, rest) = existing_part(path)?;
    let real = fs_err::canonicalize(&existing)?;
    let inside =
        roots.iter().filter_map(|root| std::fs::canonicalize(root).ok()).any(|root| real.starts_with(root));
    let named = !roots.iter().any(|root| path.starts_with(root)) && !existing.is_symlink();
    if !inside && !named {
        return Err(CommandError::failed(format!(
            "{} leads to {}, outside your home: it was not touched",
            existing.display(),
            real.display()
        ))
        .hint("name the file itself with --settings, if it is the right one"));
    }
    // Joining nothing would end the path in a slash.
    Ok(if rest.as_os_str().is_empty() { real } else { real.join(rest) })
}

/// The longest part of `path` that exists, and the rest.
fn existing_part(path: &Path) -> Result<(PathBuf, PathBuf)> {
    let mut rest = PathBuf::new();
    for part in path.ancestors() {
        match part.symlink_metadata() {
            Ok(meta) if meta.is_symlink() && !part.exists() => {
                return Err(CommandError::failed(format!("{} is a link that leads nowhere", part.display()))
                    .hint("create the file it names, or remove the link"));
            }
            Ok(_) => return Ok((part.to_owned(), rest)),
            Err(_) => {
                let name = part.file_name().unwrap_or_default();
                rest = if rest.as_os_str().is_empty() { name.into() } else { Path::new(name).join(rest) };
            }
        }
    }
    Err(CommandError::failed(format!("{} is not below any directory", path.display())))
}

/// The directories above `path` that do not exist, outermost first.
#[must_use]
pub fn missing_dirs(path: &Path) -> Vec<PathBuf> {
    let above = path.ancestors().skip(1).take_while(|dir| !dir.as_os_str().is_empty());
    let mut missing: Vec<_> = above.take_while(|dir| !dir.exists()).map(Path::to_owned).collect();
    missing.reverse();
    missing
}

/// Makes a directory that only its owner can look into.
pub fn make_dir(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    match std::fs::DirBuilder::new().mode(NEW_DIR).create(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(e) => Err(CommandError::failed(format!("cannot make the directory {}: {e}", path.display()))),
        // Against a umask that takes even more away.
        Ok(()) => Ok(fs_err::set_permissions(path, std::fs::Permissions::from_mode(NEW_DIR))?),
    }
}

/// Makes a directory and those above it.
pub fn make_dirs(path: &Path) -> Result<()> {
    missing_dirs(&path.join("x")).iter().try_for_each(|dir| make_dir(dir))
}

/// Replaces a file's content, if it still is `expected` (none: there is no file).
pub fn replace(path: &Path, expected: Option<&[u8]>, content: &[u8]) -> Result<()> {
    let before = std::fs::metadata(path).ok();
    if before.as_ref().is_some_and(|m| m.permissions().mode() & 0o200 == 0) {
        return Err(CommandError::failed(format!("{} is read-only: it was not touched", path.display()))
            .hint(format!("if that is not on purpose: chmod u+w {}", path.display())));
    }
    let copy = temporary(path);
    let written = write_copy(&copy, before.as_ref(), content).and_then(|()| {
        if read(path)?.as_deref() != expected {
            return Err(CommandError::new(
                Kind::Changed,
                format!("{} is being changed by somebody else", path.display()),
            )
            .hint("try again in a moment"));
        }
        Ok(fs_err::rename(&copy, path)?)
    });
    if written.is_err() {
        // The first failure is the one to tell.
        let _ = std::fs::remove_file(&copy);
    }
    written?;
    sync_dir(path)
}

/// Removes a file, if it still is `expected`.
pub fn remove(path: &Path, expected: &[u8]) -> Result<()> {
    if read(path)?.as_deref() != Some(expected) {
        return Err(CommandError::new(
            Kind::Changed,
            format!("{} is being changed by somebody else", path.display()),
        ));
    }
    fs_err::remove_file(path)?;
    sync_dir(path)
}

/// Removes a file of our own, whatever is in it; none there is as well.
pub fn remove_file(path: &Path) -> Result<()> {
    match fs_err::remove_file(path) {
        Err(e) if !is_absent(&e) => Err(e.into()),
        _ => Ok(()),
    }
}

/// Removes what a killed run may have left beside `path`.
pub fn tidy(path: &Path) {
    let _ = std::fs::remove_file(temporary(path));
}

/// The copy's name. Always the same for a file: one installer runs at a time, and what a killed one has left
/// is replaced by the next.
fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.ccd-tmp"))
}

fn write_copy(copy: &Path, like: Option<&std::fs::Metadata>, content: &[u8]) -> Result<()> {
    match std::fs::remove_file(copy) {
        Err(e) if !is_absent(&e) => return Err(e.into()),
        _ => {}
    }
    let mut options = fs_err::OpenOptions::new();
    options.write(true).create_new(true);
    fs_err::os::unix::fs::OpenOptionsExt::mode(&mut options, NEW_FILE);
    let mut file = options.open(copy)?;
    file.write_all(content)?;
    if let Some(like) = like {
        if file.metadata()?.uid() != like.uid() || file.metadata()?.gid() != like.gid() {
            // Only root can give a file away; elsewhere the group may be out of reach, which changes nothing.
            let _ = std::os::unix::fs::fchown(file.file(), Some(like.uid()), Some(like.gid()));
        }
        file.set_permissions(std::fs::Permissions::from_mode(like.permissions().mode() & 0o7777))?;
    } else {
        file.set_permissions(std::fs::Permissions::from_mode(NEW_FILE))?;
    }
    Ok(file.sync_all()?)
}

fn sync_dir(path: &Path) -> Result<()> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    Ok(fs_err::File::open(dir)?.sync_all()?)
}

/// Held while the installation is being changed: one installer at a time.
pub struct Lock {
    _file: fs_err::File,
}

impl Lock {
    /// Takes the lock, or says that somebody else has it.
    pub fn take(state_dir: &Path) -> Result<Self> {
        make_dirs(state_dir)?;
        let path = Self::path(state_dir);
        loop {
            let mut options = fs_err::OpenOptions::new();
            options.write(true).create(true).truncate(false);
            fs_err::os::unix::fs::OpenOptionsExt::mode(&mut options, NEW_FILE);
            let file = options.open(&path)?;
            rustix::fs::flock(file.file(), rustix::fs::FlockOperation::NonBlockingLockExclusive).map_err(
                |_| {
                    CommandError::failed("another `ccctl install` or `uninstall` is running")
                        .hint("wait until it has ended")
                },
            )?;
            // The one before may have removed the file at its very end: then this is nobody's lock.
            let (ours, there) = (file.metadata()?, std::fs::metadata(&path));
            if there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
                return Ok(Lock { _file: file });
            }
        }
    }

    /// The file that is locked.
    pub(crate) fn path(state_dir: &Path) -> PathBuf {
        state_dir.join("install.lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Home;

    #[test]
    fn mode_and_link_stay_and_the_target_is_replaced() {
        let home = Home::new();
        let real = home.write("dotfiles/settings.json", "old");
        std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).unwrap();
        std::fs::create_dir(home.path().join(".claude")).unwrap();
        let link = home.path().join(".claude/settings.json");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let target = resolve(&link, &[home.path().to_owned()]).unwrap();
        replace(&target, Some(b"old"), b"new").unwrap();
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(std::fs::read(&link).unwrap(), b"new");
        assert_eq!(real.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(
            std::fs::read_dir(real.parent().unwrap()).unwrap().count(),
            1,
            "nothing is left beside it"
        );
    }

    #[test]
    fn links_out_of_the_home_and_into_nowhere_are_refused() {
        let (home, other) = (Home::new(), Home::new());
        let outside = other.write("settings.json", "{}");
        let roots = [home.path().to_owned()];
        let link = home.path().join("settings.json");
        std::os::unix::fs::symlink(&outside, &link).unwrap();
        assert!(resolve(&link, &roots).unwrap_err().message.contains("outside your home"));
        std::fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(other.path(), home.path().join("dir")).unwrap();
        assert!(resolve(&home.path().join("dir/new/settings.json"), &roots).is_err());
        std::os::unix::fs::symlink("/nowhere/at/all", &link).unwrap();
        assert!(resolve(&link, &roots).unwrap_err().message.contains("leads nowhere"));
        // A file that is named directly is taken where it is.
        assert_eq!(resolve(&outside, &roots).unwrap(), outside.canonicalize().unwrap());
        let new = home.path().join("a/b/settings.json");
        assert_eq!(
            resolve(&new, &roots).unwrap(),
            home.path().canonicalize().unwrap().join("a/b/settings.json")
        );
    }

    #[test]
    fn a_file_that_changed_meanwhile_is_left_alone() {
        let home = Home::new();
        let path = home.write("f", "theirs");
        for expected in [None, Some(&b"ours"[..])] {
            assert_eq!(replace(&path, expected, b"x").unwrap_err().kind, Kind::Changed);
        }
        assert_eq!(remove(&path, b"ours").unwrap_err().kind, Kind::Changed);
        assert_eq!(std::fs::read(&path).unwrap(), b"theirs");
        remove(&path, b"theirs").unwrap();
        assert_eq!(read(&path).unwrap(), None);
    }

    #[test]
    fn read_only_files_are_respected_and_leftovers_replaced() {
        let home = Home::new();
        let path = home.write("f", "old");
        std::fs::write(temporary(&path), "left by a killed run").unwrap();
        replace(&path, Some(b"old"), b"new").unwrap();
        assert!(!temporary(&path).exists());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o444)).unwrap();
        assert!(replace(&path, Some(b"new"), b"x").unwrap_err().message.contains("read-only"));
    }

    #[test]
    fn one_installer_at_a_time() {
        let home = Home::new();
        let lock = Lock::take(home.path()).unwrap();
        assert!(Lock::take(home.path()).is_err());
        drop(lock);
        Lock::take(home.path()).unwrap();
    }
}
