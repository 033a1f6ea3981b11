//! Programs and other files that `packaging/install.sh` put into place: noted by `install` with their hashes, removed at
//! the end of `uninstall`.
//!
//! Must never remove a file that somebody has changed or replaced since, nor one that a package manager looks after.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::env::Env;
use crate::error::Result;
use crate::exec::Invocation;
use crate::files;
use crate::manifest::hash;

/// Tells who put our programs into place.
const BY: &str = "CCD_INSTALLED_BY";
/// What it put there beside the programs: one absolute path a line.
const FILES: &str = "CCD_INSTALLED_FILES";
/// Directories that it made: one absolute path a line.
const DIRECTORIES: &str = "CCD_INSTALLED_DIRS";
/// The one installer whose files are ours to remove.
const SCRIPT: &str = "install.sh";

/// What an installer has handed over to us.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Placed {
    /// Files, each with the BLAKE3 of its content.
    pub files: Vec<PlacedFile>,
    /// Directories that did not exist, which go if nothing else is in them.
    pub directories: Vec<PathBuf>,
}

/// A file that an installer put into place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedFile {
    /// Where it is.
    pub path: PathBuf,
    /// BLAKE3 of its content.
    pub blake3: String,
}

/// What is noted now: what the installer that calls us tells, and of what was noted `before` the files that are still what
/// they were (an earlier run may have had another prefix).
pub(crate) fn note(env: &Env, before: &Placed) -> Placed {
    if env.text(BY).as_deref() != Some(SCRIPT) {
        return before.clone();
    }
    let lines = |name: &str| -> Vec<PathBuf> {
        let text = env.text(name).unwrap_or_default();
        text.lines().map(PathBuf::from).filter(|path| path.is_absolute()).collect()
    };
    let mut paths = lines(FILES);
    let beside = env.exe.parent().unwrap_or(Path::new("/"));
    paths.extend(["ccd", "cc-hook", "ccctl"].map(|name| beside.join(name)));
    let mut placed = Placed::default();
    for path in paths {
        if placed.files.iter().all(|file| file.path != path)
            && let Some(blake3) = hash_of(&path)
        {
            placed.files.push(PlacedFile { path, blake3 });
        }
    }
    for file in &before.files {
        if is_unchanged(file) && placed.files.iter().all(|new| new.path != file.path) {
            placed.files.push(file.clone());
        }
    }
    placed.directories = lines(DIRECTORIES);
    let more = before.directories.iter().filter(|dir| !placed.directories.contains(dir));
    let more: Vec<_> = more.cloned().collect();
    placed.directories.extend(more);
    placed
}

/// The hash of a plain file; a link is nothing that an installer of ours puts anywhere.
fn hash_of(path: &Path) -> Option<String> {
    path.symlink_metadata().ok().filter(std::fs::Metadata::is_file)?;
    Some(hash(&std::fs::read(path).ok()?))
}

fn is_unchanged(file: &PlacedFile) -> bool {
    hash_of(&file.path).is_some_and(|blake3| blake3 == file.blake3)
}

/// Removes what is still as it was put there: the files that are gone now, and those that were kept because somebody has
/// changed them.
pub(crate) fn remove(placed: &Placed) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let (mut removed, mut kept) = (Vec::new(), Vec::new());
    for file in &placed.files {
        if is_unchanged(file) {
            files::remove_file(&file.path)?;
            removed.push(file.path.clone());
        } else if file.path.symlink_metadata().is_ok() {
            kept.push(file.path.clone());
        }
    }
    let mut dirs = placed.directories.clone();
    dirs.sort_by_key(|dir| std::cmp::Reverse(dir.components().count()));
    for dir in &dirs {
        // Refused where anything is in it.
        let _ = std::fs::remove_dir(dir);
    }
    Ok((removed, kept))
}

/// How our programs are removed by whoever put them where they are: a command, or the directory that they are in.
pub(crate) fn remover(env: &Env) -> String {
    let exe = &env.exe;
    let has = |name: &str| exe.components().any(|part| part.as_os_str() == name);
    let owns = |program: &str, flag: &str| {
        exe.starts_with("/usr")
            && env.on_path(program.as_ref()).is_some_and(|found| {
                let asked = Invocation::new(found, [flag.as_ref(), exe.as_os_str()]);
                env.runner.run(&asked).is_ok_and(|outcome| outcome.success())
            })
    };
    let command = if has("Cellar") {
        "brew uninstall ccd"
    } else if has("node_modules") {
        "npm uninstall --global ccd-recorder"
    } else if is_of_pip(exe) {
        "pip uninstall ccd-recorder"
    } else if owns("dpkg", "-S") {
        "sudo apt-get remove ccd"
    } else if owns("rpm", "-qf") {
        "sudo rpm --erase ccd"
    } else {
        let dir = exe.parent().unwrap_or(exe).display();
        return format!("the programs are yours to delete: ccd, ccctl and cc-hook in {dir}");
    };
    format!("the programs belong to a package: `{command}` removes them")
}

/// Whether pip's notes about our package lie where it keeps them for programs in this directory.
fn is_of_pip(exe: &Path) -> bool {
    let Some(lib) = exe.parent().and_then(Path::parent).map(|prefix| prefix.join("lib")) else {
        return false;
    };
    let inside =
        |dir: PathBuf| std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    inside(lib)
        .filter(|dir| dir.file_name().is_some_and(|name| name.to_string_lossy().starts_with("python")))
        .flat_map(|python| ["site-packages", "dist-packages"].map(|name| python.join(name)))
        .flat_map(inside)
        .any(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ccd_recorder-")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Home, said};

    #[test]
    fn what_the_script_put_there_is_noted_and_only_that_is_removed() {
        let home = Home::new();
        home.programs();
        let page = home.write("share/man/man1/ccctl.1", "page");
        let files = format!("{}\nrelative/path\n/nowhere/at/all\n", page.display());
        let dirs = format!("{}\n{}", home.path().join("share").display(), page.parent().unwrap().display());
        let home = home.var(BY, SCRIPT).var(FILES, files).var(DIRECTORIES, dirs);
        let placed = note(&home.env(), &Placed::default());
        let names: Vec<_> =
            placed.files.iter().map(|f| f.path.file_name().unwrap().to_string_lossy()).collect();
        assert_eq!(names, ["ccctl.1", "ccd", "cc-hook", "ccctl"]);
        home.write("bin/ccd", "replaced by somebody");
        let (removed, kept) = remove(&placed).unwrap();
        assert_eq!((removed.len(), kept), (3, vec![home.path().join("bin/ccd")]));
        assert!(home.path().join("share/man").exists(), "a directory that nobody told of stays");
        assert!(!home.path().join("share/man/man1").exists());
        assert!(home.path().join("bin/claude").exists());
        assert_eq!(remove(&placed).unwrap().0, Vec::<PathBuf>::new(), "twice is once");
    }

    #[test]
    fn another_prefix_adds_and_a_call_by_hand_changes_nothing() {
        let home = Home::new();
        home.programs();
        let old = home.write("old/bin/ccd", "old");
        let before = Placed {
            files: vec![
                PlacedFile { path: old.clone(), blake3: hash(b"old") },
                PlacedFile { path: home.path().join("gone"), blake3: hash(b"old") },
            ],
            directories: vec![home.path().join("old")],
        };
        assert_eq!(note(&home.env(), &before), before, "nobody tells of files");
        let home = home.var(BY, SCRIPT);
        let now = note(&home.env(), &before);
        assert_eq!(now.files.len(), 4, "{now:?}");
        assert!(now.files.iter().any(|file| file.path == old) && now.directories == before.directories);
    }

    #[test]
    fn programs_of_a_package_go_by_their_own_remover() {
        let home = Home::new();
        home.write("venv/lib/python3.12/site-packages/ccd_recorder-1.dist-info/RECORD", "");
        let dpkg = home.write("bin/dpkg", "");
        std::fs::set_permissions(&dpkg, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let path = home.path().join("bin");
        let home = home.var("PATH", path);
        let of = |exe: &Path| {
            let mut env = home.env_with(|call| {
                assert!(call.line().ends_with("bin/dpkg -S /usr/bin/ccctl"), "{}", call.line());
                said("ccd: /usr/bin/ccctl")
            });
            env.exe = exe.to_owned();
            remover(&env)
        };
        assert!(of(Path::new("/opt/homebrew/Cellar/ccd/1/bin/ccctl")).contains("brew uninstall"));
        assert!(of(Path::new("/x/node_modules/ccd-recorder-linux-x64/bin/ccctl")).contains("npm uninstall"));
        assert!(of(&home.path().join("venv/bin/ccctl")).contains("pip uninstall"));
        assert!(of(&home.path().join("bin/ccctl")).contains("yours to delete"));
        assert!(of(Path::new("/usr/bin/ccctl")).contains("apt-get remove ccd"));
    }
}
