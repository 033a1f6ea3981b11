//! New programs in the old ones' place, and back.
//!
//! ```text
//! bin/.ccd-new/       whole copies of the new ones, on disk
//! bin/.ccd-before/    the old ones, all of them, from before the first is replaced until the new ones are known to work
//! ```
//!
//! Invariants: a program is replaced by a rename, so that there is always one, and a whole one; both directories appear
//! whole or not at all. Whatever a run is killed at, the programs work, and the next run goes on: while `.ccd-before` is
//! there, what lies in it is what worked last.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::error::{CommandError, Result};

/// The programs, in the order in which they are replaced.
pub const PROGRAMS: [&str; 3] = ["cc-hook", "ccd", "ccctl"];

const NEW: &str = ".ccd-new";
const BEFORE: &str = ".ccd-before";
/// What is being written of one of them, or removed.
const PART: &str = ".ccd-part";
const GONE: &str = ".ccd-gone";
/// An old program on its way back.
const BACK: &str = ".ccd-back";

/// Called before every step that changes something; an error ends the work there, as a kill would.
type Step<'a> = &'a mut dyn FnMut(&str) -> Result<()>;

/// Programs that are being exchanged.
#[derive(Debug)]
pub struct Swap {
    bin: PathBuf,
    /// Whether a run before this one has not ended.
    pub unfinished: bool,
}

impl Swap {
    /// Copies the programs in `from` to where they can be renamed into place, and keeps those in `bin`. Nothing that
    /// anybody uses has changed afterwards.
    pub fn prepare(bin: &Path, from: &Path, step: Step<'_>) -> Result<Self> {
        for name in [PART, GONE, NEW] {
            step(name)?;
            remove_dir(&bin.join(name))?;
        }
        step(BACK)?;
        remove_file(&bin.join(BACK))?;
        step("copy")?;
        let part = bin.join(PART);
        fs_err::create_dir(&part)?;
        for name in PROGRAMS {
            step(name)?;
            copy(&from.join(name), &part.join(name))?;
        }
        step("copied")?;
        fs_err::rename(&part, bin.join(NEW))?;

        let before = bin.join(BEFORE);
        let unfinished = before.exists();
        if !unfinished {
            step("keep")?;
            fs_err::create_dir(&part)?;
            for name in PROGRAMS.into_iter().filter(|name| bin.join(name).exists()) {
                step(name)?;
                let (program, kept) = (bin.join(name), part.join(name));
                // Some file systems have no second names.
                std::fs::hard_link(&program, &kept).or_else(|_| copy(&program, &kept))?;
            }
            step("kept")?;
            fs_err::rename(&part, before)?;
        }
        sync_dir(bin)?;
        Ok(Swap { bin: bin.to_owned(), unfinished })
    }

    /// Puts the new ones in place.
    pub fn put(&self, step: Step<'_>) -> Result<()> {
        for name in PROGRAMS {
            step(name)?;
            fs_err::rename(self.bin.join(NEW).join(name), self.bin.join(name))?;
        }
        step("new")?;
        remove_dir(&self.bin.join(NEW))?;
        sync_dir(&self.bin)
    }

    /// They work: the old ones are not needed any more.
    pub fn keep(self, step: Step<'_>) -> Result<()> {
        self.forget(step)
    }

    /// Puts the old ones back. What there was no old one of goes.
    pub fn back(self, step: Step<'_>) -> Result<()> {
        for name in PROGRAMS {
            let (program, kept, aside) =
                (self.bin.join(name), self.bin.join(BEFORE).join(name), self.bin.join(BACK));
            step(name)?;
            remove_file(&aside)?;
            if kept.exists() {
                std::fs::hard_link(&kept, &aside).or_else(|_| copy(&kept, &aside))?;
                step("back")?;
                fs_err::rename(&aside, &program)?;
                // Renaming a file over itself leaves both names.
                remove_file(&aside)?;
            } else {
                remove_file(&program)?;
            }
        }
        step("new")?;
        remove_dir(&self.bin.join(NEW))?;
        self.forget(step)
    }

    fn forget(self, step: Step<'_>) -> Result<()> {
        step("forget")?;
        sync_dir(&self.bin)?;
        fs_err::rename(self.bin.join(BEFORE), self.bin.join(GONE))?;
        step("gone")?;
        remove_dir(&self.bin.join(GONE))
    }
}

/// A whole copy that is on disk, and may be started.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs_err::copy(from, to)?;
    fs_err::set_permissions(to, std::fs::Permissions::from_mode(0o755))?;
    fs_err::File::open(to)?.sync_all()
}

fn remove_file(path: &Path) -> Result<()> {
    absent_is_fine(fs_err::remove_file(path))
}

fn remove_dir(path: &Path) -> Result<()> {
    absent_is_fine(fs_err::remove_dir_all(path))
}

fn absent_is_fine(done: std::io::Result<()>) -> Result<()> {
    match done {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(CommandError::from(e)),
        _ => Ok(()),
    }
}

fn sync_dir(dir: &Path) -> Result<()> {
    Ok(fs_err::File::open(dir)?.sync_all()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn programs(dir: &Path, version: &str, names: &[&str]) {
        fs_err::create_dir_all(dir).unwrap();
        for name in names {
            fs_err::write(dir.join(name), format!("{name} {version}")).unwrap();
            fs_err::set_permissions(dir.join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    /// The version of each program that lies there; each is whole, and may be started.
    fn versions(bin: &Path) -> Vec<String> {
        let read = |name: &str| {
            let text = fs_err::read_to_string(bin.join(name)).unwrap_or_default();
            assert!(
                text.is_empty() || bin.join(name).metadata().unwrap().permissions().mode() & 0o111 == 0o111
            );
            text.strip_prefix(&format!("{name} ")).unwrap_or_default().to_owned()
        };
        PROGRAMS.iter().map(|name| read(name)).collect()
    }

    fn leftovers(bin: &Path) -> Vec<String> {
        let names = fs_err::read_dir(bin).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !PROGRAMS.contains(&name.as_str()) && name != "other").collect()
    }

    /// One run, which is killed at its `limit`th step.
    fn run(bin: &Path, from: &Path, works: bool, limit: usize) -> Result<()> {
        let mut left = limit;
        let mut step = |_: &str| {
            left = left.checked_sub(1).ok_or_else(|| CommandError::failed("killed"))?;
            Ok(())
        };
        let swap = Swap::prepare(bin, from, &mut step)?;
        swap.put(&mut step)?;
        if works { swap.keep(&mut step) } else { swap.back(&mut step) }
    }

    #[test]
    fn a_first_installation_leaves_programs_and_nothing_else_and_one_that_fails_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (bin, new) = (dir.path().join("bin"), dir.path().join("new"));
        programs(&bin, "", &["other"]);
        programs(&new, "1", &PROGRAMS);
        run(&bin, &new, false, usize::MAX).unwrap();
        assert_eq!((versions(&bin), leftovers(&bin)), (vec![String::new(); 3], vec![]));
        run(&bin, &new, true, usize::MAX).unwrap();
        assert_eq!((versions(&bin), leftovers(&bin)), (vec!["1".to_owned(); 3], vec![]));
        assert!(bin.join("other").exists());
    }

    #[test]
    fn what_is_missing_among_the_new_ones_is_found_before_anything_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        let (bin, new) = (dir.path().join("bin"), dir.path().join("new"));
        programs(&bin, "1", &PROGRAMS);
        programs(&new, "2", &PROGRAMS[..2]);
        assert!(run(&bin, &new, true, usize::MAX).is_err());
        assert_eq!(versions(&bin), vec!["1".to_owned(); 3]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
        /// Any number of runs, each of which may be killed anywhere and may find that the new programs do not work.
        #[test]
        fn killed_anywhere_all_programs_are_there_and_the_next_run_ends_well(
            runs in proptest::collection::vec((0..40_usize, any::<bool>()), 1..4), works in any::<bool>(),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let (bin, new) = (dir.path().join("bin"), dir.path().join("new"));
            programs(&bin, "good", &PROGRAMS);
            let mut good = "good".to_owned();
            for (n, (limit, works)) in runs.into_iter().enumerate() {
                programs(&new, &n.to_string(), &PROGRAMS);
                let done = run(&bin, &new, works, limit);
                let found = versions(&bin);
                prop_assert!(found.iter().all(|version| !version.is_empty()), "{:?}", found);
                if done.is_ok() && works {
                    good = n.to_string();
                } else if !bin.join(BEFORE).exists() && found == vec![n.to_string(); 3] {
                    // Killed after it was known that they work.
                    good = n.to_string();
                }
                if bin.join(BEFORE).exists() {
                    prop_assert_eq!(versions(&bin.join(BEFORE)), vec![good.clone(); 3]);
                }
            }
            programs(&new, "last", &PROGRAMS);
            run(&bin, &new, works, usize::MAX).unwrap();
            let want = if works { "last".to_owned() } else { good };
            prop_assert_eq!((versions(&bin), leftovers(&bin)), (vec![want; 3], vec![]));
        }
    }
}
