//! What the system does to whoever watches files: it refuses, loses events, forbids; and what costs nothing while nothing
//! changes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use ccd_tests::assert_eventually;
use ccd_tests::harness::{Daemon, binary, eventually};

use super::*;

/// Times that any of its threads went to sleep or was put to.
fn switches(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of = |task: fs::DirEntry| {
        let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        let lines = status.lines().filter(|line| line.contains("voluntary_ctxt_switches"));
        lines.filter_map(|line| line.rsplit('\t').next()?.parse::<u64>().ok()).sum::<u64>()
    };
    tasks.flatten().map(of).sum()
}

#[test]
fn a_thousand_watched_files_cost_nothing_while_nobody_writes() {
    let home = home();
    let mut total = 0;
    for n in 0..1_000 {
        let text = line(&format!("s{n}"), 0);
        total += text.len() as u64;
        write(&transcript(&home, &format!("-p{}", n % 20), &format!("s{n}")), &text);
    }
    let daemon = start(&home);
    assert_eventually!(has(&home, 1_000, total), "all of them are taken");
    let watchers = fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().flatten();
    let watchers =
        watchers.filter(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.ends_with("anon_inode:inotify")));
    assert_eq!(watchers.count(), 1, "one watcher for everything: a user has only so many");

    let mut last = switches(daemon.pid());
    let rested = eventually("it rests", || {
        std::thread::sleep(Duration::from_millis(500));
        let now = switches(daemon.pid());
        (std::mem::replace(&mut last, now) == now).then_some(now)
    });
    append(&transcript(&home, "-p7", "s7"), &line("s7", 1));
    assert_eventually!(switches(daemon.pid()) > rested, "it wakes up when somebody writes");
    assert_eventually!(has(&home, 1_000, total + line("s7", 1).len() as u64), "and takes the line");
}

#[test]
fn events_that_the_system_lost_are_made_up_for() {
    let home = home();
    let path = transcript(&home, "-w", "s");
    write(&path, &line("s", 0));
    let daemon = start(&home);
    assert_eventually!(has(&home, 1, line("s", 0).len() as u64), "taken");
    daemon.freeze();
    let most: usize =
        fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    // Each file is at least two events: made, and closed.
    let dir = path.parent().unwrap();
    for n in 0..most / 2 + 1_000 {
        fs::write(dir.join(format!("{n}.txt")), "x").unwrap();
    }
    append(&path, &line("s", 1));
    write(&transcript(&home, "-new/deep", "t"), &line("t", 0));
    daemon.thaw();
    let size = 2 * line("s", 0).len() + line("t", 0).len();
    assert_eventually!(has(&home, 2, size as u64), "everything is looked at");
}

/// A daemon that may read only what its user may, root or not.
fn unprivileged(home: &TestHome) -> Daemon {
    if !rustix::process::geteuid().is_root() {
        return start(home);
    }
    let mut command = home.command(Path::new("setpriv"));
    command.args(["--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all", "--"]).arg(binary("ccd"));
    Daemon::start_as(home, command)
}

#[test]
fn what_is_forbidden_is_told_and_taken_once_it_is_allowed() {
    let home = home();
    let path = transcript(&home, "-w", "s");
    write(&path, &line("s", 0));
    let (file, dir) = (transcript(&home, "-w", "t"), transcript(&home, "-closed", "u"));
    write(&file, &line("t", 0));
    write(&dir, &line("u", 0));
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(&file, 0o000);
    mode(dir.parent().unwrap(), 0o000);
    let _daemon = unprivileged(&home);
    let each = line("s", 0).len() as u64;
    assert_eventually!(status(&home).imported_bytes == each, "what may be read is taken");
    assert_eventually!(
        status(&home).error.is_some_and(|e| e.contains("Permission denied")),
        "the others are told of"
    );
    mode(&file, 0o600);
    mode(dir.parent().unwrap(), 0o700);
    let done: ccd_proto::api::Imported = home.query(&["import"]);
    assert_eq!(done.skipped.len(), 0, "{done:?}");
    assert_eventually!(status(&home).imported_bytes == 3 * each, "once allowed, they are taken");
}
