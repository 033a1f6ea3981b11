//! What was counted stays counted: when records are let go of, when the same transcripts come again from elsewhere, when
//! the index is made anew, and when a backup is put back in another home.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ccd_proto::api::{Tokens, Usage, UsageRow};
use ccd_tests::corpus::Spec;
use ccd_tests::corpus::oracle::Oracle;
use ccd_tests::harness::events::{HookSession, deliver};
use ccd_tests::harness::{Daemon, TestHome, eventually};

use super::{World, told};

/// Everything that usage tells, but for what depends on the time of asking.
fn all(home: &TestHome) -> Vec<(Vec<UsageRow>, Tokens, UsageRow)> {
    let asked = [
        &["total"][..],
        &["daily", "--by", "model,branch"],
        &["weekly", "--by", "project,agent"],
        &["monthly", "--by", "tool"],
        &["session", "--by", "model,agent,branch,tool"],
        &["session"],
    ];
    let ask = |args: &[&str]| {
        let usage: Usage = home.query(&[&["usage", "--timezone", "Asia/Kathmandu"], args].concat());
        (usage.rows, usage.side.tokens, usage.totals)
    };
    asked.map(ask).to_vec()
}

#[track_caller]
fn assert_same(what: &str, home: &TestHome, before: &[(Vec<UsageRow>, Tokens, UsageRow)]) {
    for (now, then) in all(home).iter().zip(before) {
        let differ = now.0.iter().zip(&then.0).find(|(now, then)| now != then);
        assert_eq!(differ, None, "{what}");
        assert_eq!(now, then, "{what}");
    }
}

/// Copies a tree, and so makes files that are younger than what they are copies of.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let path = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &path);
        } else {
            std::fs::copy(entry.path(), path).unwrap();
        }
    }
}

#[test]
fn what_was_counted_outlives_its_records_and_never_counts_again() {
    let home = TestHome::new("http://127.0.0.1:9");
    let root = home.user().join(".claude");
    let written =
        ccd_tests::corpus::write(&root, &Spec { sessions: 24, kills: true, ..Spec::small(23) }).unwrap();
    let long_ago = SystemTime::now() - Duration::from_secs(200 * 86_400);
    // Subagents' types lie beside their lines.
    let beside = |file: &PathBuf| Some(file.with_extension("meta.json")).filter(|path| path.exists());
    for file in written.files.iter().flat_map(|file| [Some(file.clone()), beside(file)]).flatten() {
        File::options().write(true).open(file).unwrap().set_modified(long_ago).unwrap();
    }
    let mut world = World { home, written, daemon: None };
    world.start();
    let oracle = Oracle::count(&world.root(), "UTC").total();
    // What is durable is in the index a moment later.
    let before = eventually("everything is counted as the oracle does", || {
        let all = all(&world.home);
        (told(&all[0].2) == (oracle.tokens(), oracle.cost, oracle.messages)).then_some(all)
    });

    // Something of today, so that the old is not what is written to.
    deliver(&world.home.layout().hook_socket(), &HookSession::new().start()).unwrap();
    let records = |home: &TestHome| home.running().store.records;
    let held = records(&world.home);
    let _ = world.home.ccctl(&["store", "prune", "--yes", "--older-than", "30d"]).ok();
    assert!(records(&world.home) < held, "something was let go of");
    assert_same("pruned", &world.home, &before);

    let again = |world: &World, from: &Path, what: &str| {
        let _ = world.home.ccctl(&["import", from.to_str().unwrap()]).ok();
        assert_same(what, &world.home, &before);
    };
    again(&world, &world.root(), "the same files imported");
    let other = world.home.user().join("copy");
    copy(&world.root(), &other);
    again(&world, &other, "copies of them imported");

    let _ = world.home.ccctl(&["store", "rebuild"]).ok();
    assert_same("rebuilt", &world.home, &before);
    again(&world, &other, "rebuilt, and the copies imported");
    world.killed_and_started();
    assert_same("killed and started", &world.home, &before);
    world.daemon.take().unwrap().kill9();
    world.home.delete_index();
    world.start();
    assert_same("the index lost", &world.home, &before);

    let backup = world.home.user().join("backup");
    let _ = world.home.ccctl(&["store", "backup", backup.to_str().unwrap()]).ok();
    let second = TestHome::new("http://127.0.0.1:9");
    let _daemon = Daemon::start(&second);
    let _ = second.ccctl(&["store", "restore", backup.to_str().unwrap(), "--yes"]).ok();
    assert_same("put back elsewhere", &second, &before);
    let _ = second.ccctl(&["import", other.to_str().unwrap()]).ok();
    assert_same("put back elsewhere, and the copies imported", &second, &before);
}

#[test]
fn what_an_import_says_it_took_is_counted_when_it_says_so() {
    let home = TestHome::new("http://127.0.0.1:9");
    let elsewhere = home.user().join("elsewhere");
    let _ = ccd_tests::corpus::write(&elsewhere, &Spec { sessions: 60, ..Spec::small(24) }).unwrap();
    let oracle = Oracle::count(&elsewhere, "UTC").total();
    let _daemon = Daemon::start(&home);
    let _ = home.ccctl(&["import", elsewhere.to_str().unwrap()]).ok();
    let usage: Usage = home.query(&["usage", "total"]);
    assert_eq!(told(&usage.totals), (oracle.tokens(), oracle.cost, oracle.messages));
}
