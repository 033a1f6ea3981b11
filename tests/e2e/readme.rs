//! The README's way in, on a fresh machine: build and install with one command, a session of the real client, the same
//! command again, and all of it taken back.

#[cfg(target_os = "linux")]
mod fresh;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ccd_tests::harness::{TestHome, repo_root, run, run_within};
use ccd_tests::mock::{Mock, Script};

/// A release build from nothing, on two cores that others use as well.
pub(crate) const BUILD: Duration = Duration::from_secs(20 * 60);

/// On Linux in a root of its own, where nothing is but the system's tools, the sources, and the real client. Where the
/// system grants no namespaces, and elsewhere, in a home of its own; which of them it was is printed.
#[test]
fn the_installer_builds_installs_and_proves_it_and_uninstall_takes_it_back() {
    #[cfg(target_os = "linux")]
    match fresh::root() {
        Ok(found) => return fresh::holds(&found),
        Err(why) => says(&format!("no root of its own ({why}): only a home of its own")),
    }
    in_a_home_of_its_own();
}

/// For who reads a test run's output.
#[allow(clippy::print_stderr, reason = "shown by the test runner")]
fn says(text: &str) {
    eprintln!("readme: {text}");
}

fn in_a_home_of_its_own() {
    let mock = Mock::start(Script::new());
    let home = TestHome::new(&mock.url());
    let settings = "{ \"model\": \"opus\" }\n";
    home.write_settings(settings);
    let prefix = home.ccd().with_file_name("prefix");

    let mut install = home.command(&repo_root().join("packaging/install.sh"));
    install.env("CCD_INSTALL_PREFIX", &prefix);
    if cfg!(target_os = "macos") {
        // launchd is the one service manager that a clean environment does not hide.
        install.arg("--no-service");
    }
    can_build(&mut install);
    let _ = run_within(BUILD, &mut install, b"").ok();
    for path in
        ["bin/ccd", "bin/ccctl", "bin/cc-hook", "share/man/man1/ccctl-usage.1", "share/man/man8/ccd.8"]
    {
        assert!(prefix.join(path).is_file(), "{path} is installed");
    }
    works_and_goes(&home, &prefix.join("bin/ccctl"), &prefix.join("bin/cc-hook"), settings);
    assert!(!prefix.exists(), "what the installer put there is gone");
}

/// Gives a command what builds: this toolchain, and the sources that it has already fetched.
pub(crate) fn can_build(command: &mut Command) {
    let optimisation =
        ["OPT_LEVEL", "LTO", "CODEGEN_UNITS"].map(|what| format!("CARGO_PROFILE_RELEASE_{what}"));
    let names =
        ["PATH", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "CARGO_TARGET_DIR"].map(String::from);
    for name in names.into_iter().chain(optimisation) {
        if let Some(value) = std::env::var_os(&name) {
            command.env(&name, value);
        }
    }
    if let Some(user) = std::env::home_dir() {
        for (name, dir) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
            if std::env::var_os(name).is_none() && user.join(dir).is_dir() {
                command.env(name, user.join(dir));
            }
        }
    }
}

/// What is installed serves, its hooks call `cc_hook`, and `uninstall` leaves the settings as they were.
pub(crate) fn works_and_goes(home: &TestHome, ccctl: &Path, cc_hook: &Path, settings: &str) {
    let ccctl = |args: &[&str]| run(home.command(ccctl).args(args), b"");
    let status = ccctl(&["status", "--json"]).ok().json();
    assert_eq!(status["daemon"]["running"], true, "{status}");
    assert_eq!(status["hooks"]["installed"], true, "{status}");
    let _ = ccctl(&["verify"]).ok();
    let hooks = std::fs::read_to_string(plugin(home).join("hooks/hooks.json")).unwrap();
    assert!(hooks.contains(cc_hook.to_str().unwrap()), "{hooks}");

    let _ = ccctl(&["uninstall", "--now"]).ok();
    assert_eq!(std::fs::read_to_string(home.settings()).unwrap(), settings);
    assert!(!plugin(home).exists());
    assert!(!home.layout().control_socket().exists(), "nobody answers any more");
}

fn plugin(home: &TestHome) -> PathBuf {
    home.user().join(".claude/skills/ccd")
}

#[test]
fn the_readme_names_commands_that_exist() {
    let readme = std::fs::read_to_string(repo_root().join("README.md")).unwrap();
    assert!(readme.contains("packaging/install.sh"), "the README tells how to install");
    let home = TestHome::new("http://127.0.0.1:9");
    // Commands stand at the start of a line or in backticks.
    let pieces = readme.lines().flat_map(|line| line.split('`')).map(str::trim_start);
    let commands: BTreeSet<String> = pieces
        .filter_map(|piece| piece.strip_prefix("ccctl "))
        .map(|rest| rest.chars().take_while(char::is_ascii_lowercase).collect())
        .filter(|command: &String| !command.is_empty())
        .collect();
    assert!(commands.len() > 5, "the README shows the commands: {commands:?}");
    for command in commands {
        let _ = home.ccctl(&[&command, "--help"]).ok();
    }
}
