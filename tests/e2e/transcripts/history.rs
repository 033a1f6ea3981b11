//! What is there before the daemon, and what the daemon's own ends cost: nothing.

use ccd_tests::assert_eventually;
use ccd_tests::harness::{Daemon, Supervised, TestHome};

use super::*;

fn records(home: &TestHome) -> u64 {
    home.status().map_or(0, |status| status.store.records)
}

/// Waits for an import step by step: how long all of it takes is the machine's affair.
fn gets_on(home: &TestHome, total: u64) {
    for step in 1..=8 {
        assert_eventually!(status(home).imported_bytes >= total * step / 8, "it gets on with it");
    }
}

#[test]
fn what_was_there_before_is_taken_once() {
    let home = home();
    let (a, b) = (lines("a", 0..50), lines("b", 0..3));
    write(&transcript(&home, "-w", "a"), &a);
    let agent = transcript(&home, "-w/a/subagents", "agent-1");
    write(&agent, &b);
    let meta = r#"{"agentType":"Explore","description":"d","toolUseId":"toolu_1"}"#;
    write(&agent.with_extension("meta.json"), meta);
    // Nothing of ours.
    write(&home.user().join(".claude/projects/-w/a/tool-results/x.jsonl"), &a);
    write(&home.user().join(".claude/history.jsonl"), &a);
    let bytes = (a.len() + b.len() + meta.len()) as u64;

    let daemon = start(&home);
    assert_eventually!(has(&home, 3, bytes), "the history is taken");
    assert_eventually!(records(&home) == 3, "each is a record");
    daemon.stop(&home);

    let daemon = start(&home);
    assert_eventually!(has(&home, 3, bytes), "it is known");
    assert_eq!((records(&home), status(&home).bytes), (3, 0), "nothing is taken again");
    daemon.kill9();
    let more = lines("a", 50..60);
    append(&transcript(&home, "-w", "a"), &more);
    let _daemon = start(&home);
    assert_eventually!(has(&home, 3, bytes + more.len() as u64), "what came meanwhile is taken");
    assert_eq!(status(&home).bytes, more.len() as u64);
    assert_eventually!(records(&home) == 4, "as one record");
}

#[test]
fn both_places_or_those_that_are_named() {
    let home = TestHome::new(NOWHERE);
    let text = lines("s", 0..2);
    for dir in [".claude", ".config/claude", "one", "two", "three"] {
        write(
            &home
                .user()
                .join(dir)
                .join("projects/-w")
                .join(format!("{}.jsonl", dir.replace(['/', '.'], "-"))),
            &text,
        );
    }
    let each = text.len() as u64;
    let daemon = start(&home);
    assert_eventually!(has(&home, 2, 2 * each), "both of the client's places");
    daemon.stop(&home);

    let dirs = format!("{},{}", home.user().join("one").display(), home.user().join("two").display());
    let home = home.with_env("CLAUDE_CONFIG_DIR", dirs);
    let config = home.layout().config_file;
    let root = home.user().join("three/projects");
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    std::fs::write(&config, format!("[transcripts]\nroots = [{:?}]\n", root.display().to_string())).unwrap();
    let daemon = start(&home);
    assert_eventually!(has(&home, 3, 3 * each), "those that are named");
    std::fs::write(&config, "[transcripts]\nenabled = false\n").unwrap();
    assert_eventually!(status(&home).state == "off", "it is put out without a restart");
    append(&root.join("-w/three.jsonl"), &lines("s", 2..3));
    std::fs::write(&config, format!("[transcripts]\nroots = [{:?}]\n", root.display().to_string())).unwrap();
    assert_eventually!(status(&home).behind == 0 && status(&home).imported_bytes > 3 * each, "and in again");
    daemon.stop(&home);
}

#[test]
fn kills_in_the_middle_of_an_import_lose_nothing_and_repeat_nothing() {
    let home = home();
    let mut total = 0;
    for n in 0..24 {
        let session = format!("s{n:02}");
        let text = lines(&session, 0..2000);
        total += text.len() as u64;
        write(&transcript(&home, &format!("-p{}", n % 4), &session), &text);
    }
    for round in 0..3 {
        let daemon = start(&home);
        assert_eventually!(status(&home).imported_bytes > total * round / 4, "it gets on with it");
        daemon.kill9();
    }
    let _daemon = start(&home);
    assert_eventually!(has(&home, 24, total), "everything is taken");
    // Each file is less than a stretch.
    assert_eventually!(records(&home) >= 24, "their views are worked out");
    assert_eq!(records(&home), 24, "each stretch is one record");
}

#[test]
fn thousands_of_small_files() {
    let home = home();
    let mut total = 0;
    for n in 0..10_000 {
        let text = line(&format!("s{n}"), 0);
        total += text.len() as u64;
        write(&transcript(&home, &format!("-p{}", n % 50), &format!("s{n}")), &text);
    }
    let daemon: Daemon = start(&home);
    gets_on(&home, total);
    assert_eventually!(has(&home, 10_000, total), "all of them are taken");
    daemon.stop(&home);
    let _daemon = start(&home);
    assert_eventually!(has(&home, 10_000, total), "and known");
    assert_eq!(status(&home).bytes, 0);
}

#[test]
fn what_was_pruned_stays_counted_and_is_not_taken_again() {
    let home = home();
    let day = std::time::Duration::from_hours(24);
    std::fs::create_dir_all(home.user().join(".claude/projects/-w")).unwrap();
    let daemon = start(&home);
    let mut total = 0;
    for (n, days) in (0..).zip([60, 50, 40, 0]) {
        let session = format!("s{n}");
        let text = lines(&session, 0..30);
        total += text.len() as u64;
        let path = home.work().join("made");
        write(&path, &text);
        let written = std::time::SystemTime::now() - day * days;
        std::fs::File::options().append(true).open(&path).unwrap().set_modified(written).unwrap();
        std::fs::rename(&path, transcript(&home, "-w", &session)).unwrap();
        // One after the other: what was recorded together goes together.
        assert_eventually!(has(&home, n + 1, total) && records(&home) == n + 1, "it is taken");
    }
    let counted = output_tokens(&home);
    assert_eq!(counted, 4 * (0..30).map(|n| 10 + n).sum::<u64>());
    let _ = home.ccctl(&["store", "prune", "--yes", "--older-than", "720h"]).ok();
    assert_eventually!(records(&home) < 4, "old records are gone");
    let left = records(&home);
    for look in ["by itself", "when asked", "after a restart"] {
        assert_eventually!(has(&home, 4, total), "{look}: all of it is known");
        let again: ccd_proto::api::Imported = home.query(&["import"]);
        assert_eq!((again.files, again.new_files, again.new_bytes), (4, 0, 0), "{look}: {again:?}");
        assert_eq!((records(&home), output_tokens(&home)), (left, counted), "{look}");
    }
    daemon.stop(&home);
    let _daemon = start(&home);
    assert_eventually!(has(&home, 4, total), "all of it is known");
    assert_eq!((status(&home).bytes, records(&home), output_tokens(&home)), (0, left, counted));
}

#[test]
fn another_daemon_goes_on_where_an_import_was() {
    let home = home();
    let mut total = 0;
    for n in 0..8 {
        let session = format!("s{n:02}");
        let text = lines(&session, 0..4_000);
        total += text.len() as u64;
        write(&transcript(&home, "-w", &session), &text);
    }
    let supervised = Supervised::start(&home);
    for _ in 0..2 {
        assert_eventually!(status(&home).imported_bytes > 0, "it is at it");
        let before = supervised.worker();
        let _ = home.ccctl(&["restart"]).ok();
        assert_eventually!(supervised.worker() != before, "another one has the home");
    }
    gets_on(&home, total);
    assert_eventually!(has(&home, 8, total), "everything is taken");
    let counted = 8 * (0..4_000).map(|n| 10 + n).sum::<u64>();
    assert_eventually!(output_tokens(&home) == counted, "and counted once");
    // More than a stretch each, and no stretch twice.
    assert!(records(&home) <= 8 * (total / 8).div_ceil(1 << 19), "{} records", records(&home));
    supervised.stop();
}
