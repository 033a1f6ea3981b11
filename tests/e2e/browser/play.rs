//! Runs a script with a browser.
//!
//! Invariants: the script's environment is that of the test's home and nothing else; neither it nor its browser outlives the
//! test; a browser that is missing fails the test and says what to do.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ccd_tests::harness::{TestHome, binary, repo_root, run_within};
use serde_json::{Value, json};

/// How long a script may take. Only what hangs gets near it.
const BOUND: Duration = Duration::from_secs(560);

/// Plays `tests/web/browser/SCRIPT.mjs` before the daemon of `home`; `scene` is what it is told beside the programs' places.
#[track_caller]
pub(super) fn play(home: &TestHome, script: &str, scene: &Value) {
    let temporary = home.work().parent().expect("a home has a parent").join("tmp");
    std::fs::create_dir_all(&temporary).unwrap();
    let _end = Reaper(temporary.clone());
    let mut command = Command::new(program("node"));
    command
        .arg("--test-reporter=spec")
        .arg(repo_root().join(format!("tests/web/browser/{script}.mjs")))
        .env_clear()
        .envs(home.env())
        .env("TMPDIR", &temporary)
        .env("CHROMIUM", chromium())
        .env("WEB_TOOLS", tools())
        .env("WEB_SHOTS", target().join("web-shots"))
        .current_dir(home.work());
    for name in ["UPDATE_SHOTS", "CI"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    let facts = json!({
        "ccctl": binary("ccctl"), "cc_hook": binary("cc-hook"), "socket": home.layout().control_socket(),
        "work": home.work(), "scene": scene,
    });
    let _ = run_within(BOUND, &mut command, facts.to_string().as_bytes()).ok();
}

/// Where builds and what tests need lie.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repo_root().join("target"), PathBuf::from)
}

/// What npm installed for the scripts.
#[track_caller]
fn tools() -> PathBuf {
    let dir = target().join("web-tools");
    let there = dir.join("node_modules/playwright-core").is_dir();
    assert!(there, "playwright-core is missing in {}: `tests/run.sh` installs it", dir.display());
    dir
}

/// The browser that `CCD_TEST_CHROMIUM` names, else the system's.
#[track_caller]
fn chromium() -> PathBuf {
    std::env::var_os("CCD_TEST_CHROMIUM").map_or_else(|| program("chromium"), PathBuf::from)
}

#[track_caller]
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not installed: `tests/run.sh` installs it where it can"))
}

/// Ends every browser whose profile lies in this directory, which is the test's own.
struct Reaper(PathBuf);

impl Drop for Reaper {
    fn drop(&mut self) {
        // A browser whose script has ended ends by itself: this is for the one that does not.
        for pid in using(&self.0) {
            ccd_tests::harness::signal(pid, rustix::process::Signal::KILL);
        }
    }
}

/// Processes that were given a path in `dir`.
fn using(dir: &Path) -> Vec<u32> {
    let dir = dir.as_os_str().as_encoded_bytes();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.windows(dir.len()).any(|part| part == dir)
    })
    .collect()
}
