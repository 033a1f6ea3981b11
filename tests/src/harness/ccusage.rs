//! `ccusage`, the best-known counter of transcripts, pinned and offline: what others see in the same files.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::home::repo_root;
use super::process::{self, Out};

/// The version that the comparison is written for; `tests/run.sh` installs it.
pub const CCUSAGE_VERSION: &str = "20.0.24";

/// The program of `CCD_TEST_CCUSAGE`, else the one that `tests/run.sh` put under the target directory.
#[track_caller]
#[must_use]
pub fn ccusage() -> PathBuf {
    let cached = || {
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repo_root().join("target"), PathBuf::from);
        target.join("ccusage").join(CCUSAGE_VERSION).join("ccusage")
    };
    let program = std::env::var_os("CCD_TEST_CCUSAGE").map_or_else(cached, PathBuf::from);
    assert!(
        program.is_file(),
        "ccusage is missing at {}: `tests/run.sh` installs it (or name one in CCD_TEST_CCUSAGE)",
        program.display()
    );
    program
}

/// `ccusage ARGS` over the transcripts of a configuration directory, with nothing of this machine's own.
#[must_use]
pub fn ccusage_command(root: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(ccusage());
    command
        .env_clear()
        .env("HOME", root)
        .env("CLAUDE_CONFIG_DIR", root)
        .env("PATH", "/usr/bin:/bin")
        .env("NO_COLOR", "1");
    command.current_dir(root).args(args).arg("--offline");
    command
}

/// What `ccusage claude PERIOD --json` tells.
#[track_caller]
#[must_use]
pub fn ccusage_told(root: &Path, period: &str, zone: &str) -> Value {
    let args = ["claude", period, "--json", "--timezone", zone];
    let out: Out = process::run(&mut ccusage_command(root, &args), b"");
    out.ok().json()
}
