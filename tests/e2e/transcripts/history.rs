//! What is there before the daemon, and what the daemon's own ends cost: nothing.

use ccd_tests::assert_eventually;
use ccd_tests::harness::{Daemon, TestHome};

use super::*;

fn records(home: &TestHome) -> u64 {
    home.status().map_or(0, |status| status.store.records)
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
    for n in 0..2_000 {
        let text = line(&format!("s{n}"), 0);
        total += text.len() as u64;
        write(&transcript(&home, &format!("-p{}", n % 50), &format!("s{n}")), &text);
    }
    let daemon: Daemon = start(&home);
    assert_eventually!(has(&home, 2_000, total), "all of them are taken");
    daemon.stop(&home);
    let _daemon = start(&home);
    assert_eventually!(has(&home, 2_000, total), "and known");
    assert_eq!(status(&home).bytes, 0);
}
