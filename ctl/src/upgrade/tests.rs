//! An upgrade as a whole, with a made-up daemon: what is asked, what is put back, what is told.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::{Value, json};

use super::*;
use crate::exec::Outcome;
use crate::testing::{Daemon, Home, Reply, said};

fn programs(dir: &Path, version: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs_err::create_dir_all(dir).unwrap();
    for name in PROGRAMS {
        fs_err::write(dir.join(name), version).unwrap();
        fs_err::set_permissions(dir.join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

fn versions(bin: &Path) -> Vec<String> {
    PROGRAMS.iter().map(|name| fs_err::read_to_string(bin.join(name)).unwrap_or_default()).collect()
}

/// A home with the old programs in `p/bin`, and the new ones in `new/bin`.
fn home() -> (Home, UpgradeArgs) {
    let home = Home::new();
    programs(&home.path().join("p/bin"), "old");
    programs(&home.path().join("new/bin"), "new");
    home.write("new/share/man/man1/ccctl.1", "page");
    home.write("ccd/state/token", crate::testing::TOKEN);
    let args =
        UpgradeArgs { from: home.path().join("new"), prefix: home.path().join("p"), files_only: false };
    (home, args)
}

/// A daemon without a supervisor, which is there or not.
fn daemon(home: &Home, status: Value) -> Daemon {
    let port = Arc::new(AtomicU16::new(0));
    let seen = Arc::clone(&port);
    let daemon = home.daemon(move |request| {
        if request.uri().path().ends_with("/.ccd/ping") {
            return Reply::status(204, "").header("ccd-version", VERSION);
        }
        let mut status = status.clone();
        status["proxy"]["listen"] = json!(format!("127.0.0.1:{}", seen.load(Ordering::Relaxed)));
        Reply::json(status.to_string())
    });
    port.store(daemon.proxy.port(), Ordering::Relaxed);
    daemon
}

/// Runs it; what it printed, and what it said.
fn upgrade(home: &Home, args: &UpgradeArgs, ccd: Outcome) -> (Result<()>, String, String) {
    let mut env = home.env_with(move |call| {
        let line = call.line();
        if line.ends_with("bin/ccd check") || line.ends_with("bin/ccd start") {
            ccd.clone()
        } else {
            said("")
        }
    });
    env.exe = args.prefix.join("bin/ccctl");
    let (mut out, text, err) = Printer::captured(100);
    let done = run(&env, &mut out, args);
    (done, text.text(), err.text())
}

fn failing(why: &str) -> Outcome {
    Outcome { code: Some(1), stderr: why.to_owned(), ..Outcome::default() }
}

#[test]
fn where_nothing_runs_and_nothing_is_installed_only_files_are_put() {
    let (home, args) = home();
    let bin = args.prefix.join("bin");
    let (done, printed, said_too) = upgrade(&home, &args, said(""));
    done.unwrap();
    assert_eq!(versions(&bin), ["new"; 3]);
    let want = ["bin/cc-hook", "bin/ccd", "bin/ccctl", "share/man/man1/ccctl.1"];
    let want: Vec<_> = want.iter().map(|path| args.prefix.join(path)).collect();
    assert_eq!(printed.lines().map(PathBuf::from).collect::<Vec<_>>(), want);
    assert!(said_too.contains("are in") && !said_too.contains("serve"), "{said_too}");
    assert_eq!(fs_err::read_dir(&bin).unwrap().count(), 3, "nothing is left over");
}

#[test]
fn a_new_program_that_cannot_work_here_changes_nothing() {
    let (home, args) = home();
    let (done, printed, _) = upgrade(&home, &args, failing("ccd: the store: written by a newer ccd"));
    let error = done.unwrap_err();
    assert_eq!(error.message, format!("ccd {VERSION} cannot work here: the store: written by a newer ccd"));
    assert_eq!(error.hints, ["nothing was changed"]);
    assert_eq!((versions(&args.prefix.join("bin")), printed.as_str()), (vec!["old".to_owned(); 3], ""));
}

#[test]
fn a_daemon_that_does_not_start_afterwards_brings_the_old_programs_back() {
    let (home, args) = home();
    Manifest::default().save(&home.env().layout).unwrap();
    home.write("ccd/logs/ccd.log", "one\nthe reason\n");
    // The check passes, the start does not.
    let mut env = home.env_with(move |call| {
        if call.line().ends_with("bin/ccd start") { failing("error: no libraries") } else { said("") }
    });
    env.exe = args.prefix.join("bin/ccctl");
    let (mut out, _, err) = Printer::captured(100);
    let error = run(&env, &mut out, &args).unwrap_err();
    assert!(error.message.contains("does not work here: the daemon did not start: no libraries"), "{error}");
    assert_eq!(error.hints[0], "the programs are as they were before");
    assert!(err.text().contains("  the reason\n"), "{}", err.text());
    let bin = args.prefix.join("bin");
    assert_eq!(versions(&bin), ["old"; 3]);
    assert_eq!(fs_err::read_dir(&bin).unwrap().count(), 3);
    assert!(!args.prefix.join("share/man").exists());
}

#[test]
fn one_that_retires_is_left_to_install() {
    let (home, args) = home();
    let daemon = daemon(
        &home,
        json!({"schema_version": 1, "daemon": {"pid": 7, "state": "retiring", "version": "0"}, "proxy": {}}),
    );
    upgrade(&home, &args, said("")).0.unwrap();
    assert_eq!(versions(&args.prefix.join("bin")), ["new"; 3]);
    assert!(daemon.requests().iter().all(|line| line == "GET /v0/status"), "{:?}", daemon.requests());
}

#[test]
fn programs_of_another_prefix_are_told_of() {
    let (home, args) = home();
    programs(&home.path().join("before/bin"), "older");
    let hook = home.path().join("before/bin/cc-hook");
    let mut env = home.env();
    env.exe = home.path().join("before/bin/ccctl");
    let hooks = plugin::Hooks::new(&env, None).unwrap();
    assert_eq!(hooks.command, hook.to_str().unwrap());
    home.write(".claude/skills/ccd/.claude-plugin/plugin.json", "{}");
    home.write(".claude/skills/ccd/hooks/hooks.json", hooks.file().unwrap());
    let (done, _, said_too) = upgrade(&home, &args, said(""));
    done.unwrap();
    assert!(said_too.contains(home.path().join("before/bin").to_str().unwrap()), "{said_too}");
}

#[test]
fn files_alone_ask_nobody() {
    let (home, args) = home();
    let args = UpgradeArgs { files_only: true, ..args };
    let env = home.env();
    let (mut out, _, _) = Printer::captured(100);
    run(&env, &mut out, &args).unwrap();
    assert_eq!(versions(&args.prefix.join("bin")), ["new"; 3]);
    assert!(!env.layout.state_dir.join("install.lock").exists());
}
