//! `ccctl package-files DIR`: what a package carries beside the programs, written for the scripts in `packaging/`.
//!
//! Hidden: people type `ccctl man` and `ccctl completions`. Everything here comes from definitions that stand
//! elsewhere: the command line, and the unit that `ccctl install` writes. The same build writes the same bytes.

use std::path::Path;

use clap::{CommandFactory, ValueEnum};

use crate::args::{Cli, PackageFilesArgs};
use crate::error::Result;
use crate::{man, service};

/// What a packaged unit says of itself.
const ABOUT_UNIT: &str = "# Carried by the package and enabled by nobody. `ccctl install` writes a unit of its own,\n\
     # which counts instead of this one; this one alone records nothing that is not sent to it.";

/// Writes the files: `man/*.1`, `completions/`, and `systemd/ccd.service` where it is known where the daemon will lie.
pub fn run(args: &PackageFilesArgs) -> Result<()> {
    let dir = |name: &str| -> Result<_> {
        let dir = args.dir.join(name);
        fs_err::create_dir_all(&dir)?;
        Ok(dir)
    };
    let pages = dir("man")?;
    for (name, page) in man::pages()? {
        fs_err::write(pages.join(name), page)?;
    }
    let completions = dir("completions")?;
    for &shell in clap_complete::Shell::value_variants() {
        clap_complete::generate_to(shell, &mut Cli::command(), "ccctl", &completions)?;
    }
    if let Some(ccd) = &args.ccd {
        fs_err::write(dir("systemd")?.join("ccd.service"), unit(ccd)?)?;
    }
    Ok(())
}

/// The daemon's unit for every user: no variables, no socket of its own.
fn unit(ccd: &Path) -> Result<String> {
    let unit = String::from_utf8_lossy(&service::systemd::units::service(ccd, &[], &[])?).into_owned();
    let (_, rest) = unit.split_once('\n').unwrap_or_default();
    Ok(format!("{ABOUT_UNIT}\n{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn pages_completions_and_the_unit_are_written() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("new/dir");
        run(&PackageFilesArgs { dir: dir.clone(), ccd: Some("/usr/bin/ccd".into()) }).unwrap();
        assert_eq!(names(&dir), ["completions", "man", "systemd"]);
        assert_eq!(
            names(&dir.join("completions")),
            ["_ccctl", "_ccctl.ps1", "ccctl.bash", "ccctl.elv", "ccctl.fish"]
        );
        assert!(names(&dir.join("man")).contains(&"ccctl-usage.1".to_owned()));
        let unit = std::fs::read_to_string(dir.join("systemd/ccd.service")).unwrap();
        assert!(unit.starts_with("# Carried by the package"), "{unit}");
        assert!(unit.contains("\n[Unit]\n") && !unit.contains("ccd.socket"), "{unit}");
        assert!(unit.contains("\nExecStart=\"/usr/bin/ccd\" supervise\n"), "{unit}");
        assert!(!unit.contains("Written by") && !unit.contains("Environment="), "{unit}");
    }
}
