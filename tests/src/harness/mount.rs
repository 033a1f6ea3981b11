//! File systems of a test's own, on Linux, where the tests run as root: small, so that they are soon full.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Something mounted; unmounted on drop.
#[derive(Debug)]
pub struct Mount(PathBuf);

impl Mount {
    /// An empty file system of so many megabytes at `place`, which is made; why not, where that is not allowed.
    pub fn tmpfs(place: &Path, megabytes: u32) -> Result<Self, String> {
        let options = format!("size={megabytes}m,mode=700");
        Self::make(place, &["-t", "tmpfs", "-o", &options, "tmpfs"])
    }

    /// `place`, which is made, read-only with whatever is in it; why not, where that is not allowed.
    pub fn read_only(place: &Path) -> Result<Self, String> {
        let source = place.display().to_string();
        let mount = Self::make(place, &["--bind", &source])?;
        let target = place.display().to_string();
        run(&["-o", "remount,bind,ro", &target])?;
        Ok(mount)
    }

    fn make(place: &Path, args: &[&str]) -> Result<Self, String> {
        std::fs::create_dir_all(place).map_err(|error| error.to_string())?;
        let target = place.display().to_string();
        run(&[args, &[target.as_str()]].concat())?;
        Ok(Mount(place.to_owned()))
    }
}

fn run(args: &[&str]) -> Result<(), String> {
    let out = Command::new("mount").args(args).output().map_err(|error| error.to_string())?;
    if out.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&out.stderr).trim().to_owned()) }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: a daemon that a failed test leaves behind may still have files open there.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
