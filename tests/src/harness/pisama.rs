//! `pisama-cc`, the client of another recorder's platform, pinned: what really is sent to our ingestion.

use std::path::PathBuf;
use std::process::Command;

use super::home::{TestHome, repo_root};
use super::process::{self, Out};

/// The version that the tests are written for; `tests/run.sh` installs it by `tests/pisama.txt`.
pub const PISAMA_VERSION: &str = "0.6.5";

/// The program's directory: that of `CCD_TEST_PISAMA`, else the one that `tests/run.sh` put under the target directory.
#[track_caller]
#[must_use]
pub fn pisama_bin() -> PathBuf {
    let cached = || {
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repo_root().join("target"), PathBuf::from);
        target.join("pisama").join(PISAMA_VERSION).join("bin")
    };
    let bin = std::env::var_os("CCD_TEST_PISAMA").map_or_else(cached, PathBuf::from);
    assert!(
        bin.join("pisama-cc").is_file(),
        "pisama-cc is missing at {}: `tests/run.sh` installs it (or name its directory in CCD_TEST_PISAMA)",
        bin.display()
    );
    bin
}

fn command(home: &TestHome, program: &str) -> Command {
    let bin = pisama_bin();
    let mut command = Command::new(bin.join(program));
    let path = format!("{}:/usr/bin:/bin", bin.display());
    command.env_clear().env("HOME", home.user()).env("PATH", path).env("LC_ALL", "C.UTF-8");
    // Whatever way this machine has to the network: everything here is on loopback.
    command.env("NO_PROXY", "*").env("PYTHONDONTWRITEBYTECODE", "1").current_dir(home.work());
    command
}

/// `pisama-cc ARGS` as the user of this home.
#[must_use]
pub fn pisama(home: &TestHome, args: &[&str]) -> Out {
    process::run(command(home, "pisama-cc").args(args), b"")
}

/// One of its hooks, by its module, fed with a payload.
#[must_use]
pub fn pisama_hook(home: &TestHome, module: &str, more: &[&str], payload: &[u8]) -> Out {
    process::run(command(home, "python3").args(["-m", module]).args(more), payload)
}
