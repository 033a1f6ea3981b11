//! `ccctl import`: files from elsewhere, each line once.

use std::fs;

use ccd_proto::api::Imported;
use ccd_tests::assert_eventually;

use super::*;

fn import(home: &TestHome, args: &[&str]) -> Imported {
    home.query(&[&["import"], args].concat())
}

#[test]
fn a_backup_is_taken_once_and_what_is_followed_is_known() {
    let home = home();
    let here = lines("here", 0..5);
    write(&transcript(&home, "-w", "here"), &here);
    let backup = home.work().join("backup/of/claude");
    write(&backup.join("projects/-w/here.jsonl"), &here);
    let old = lines("old", 0..7);
    write(&backup.join("projects/-w/old.jsonl"), &old);
    write(&backup.join("package.jsonl"), "{\"type\":\"module\"}\n");
    let _daemon = start(&home);
    assert_eventually!(has(&home, 1, here.len() as u64), "the history is taken");

    let path = backup.display().to_string();
    let dry = import(&home, &[&path, "--dry-run"]);
    assert!(dry.dry_run && dry.files == 3 && dry.new_bytes >= old.len() as u64, "{dry:?}");
    let first = import(&home, &[&path]);
    assert_eq!((first.files, first.new_files, first.new_bytes), (3, 1, old.len() as u64), "{first:?}");
    assert_eq!(first.skipped.len(), 1, "{first:?}");
    assert!(first.skipped[0].path.ends_with("package.jsonl"), "{first:?}");
    let again = import(&home, &[&path]);
    assert_eq!((again.new_files, again.new_bytes), (0, 0), "{again:?}");
    let roots = import(&home, &[]);
    assert_eq!((roots.files, roots.new_files), (1, 0), "{roots:?}");
    assert_eventually!(home.status().unwrap().store.records == 2, "two records");
    let text = home.ccctl(&["import", &path]).ok().stdout;
    assert!(String::from_utf8(text).unwrap().starts_with("nothing new in 3 files"));
}

#[test]
fn a_wrong_path_is_an_error() {
    let home = home();
    let _daemon = start(&home);
    let empty = home.work().join("empty");
    fs::create_dir_all(&empty).unwrap();
    for (path, word) in [("/nowhere/at/all", "is not there"), (empty.to_str().unwrap(), "no *.jsonl")] {
        let out = home.ccctl(&["import", path]);
        assert_eq!(out.code, Some(2), "{path}");
        assert!(out.stderr.contains(word), "{path}");
    }
}

#[test]
fn other_recorders_lines_are_taken_once() {
    let home = home();
    let store = home.work().join("logs");
    let events = concat!(
        r#"{"session_id":"s","hook_event_name":"UserPromptSubmit","prompt_id":"p","prompt":"do it","cwd":"/w","_ts":"2026-05-01T10:00:00.5"}"#,
        "\n",
        r#"{"session_id":"s","hook_event_name":"ApiCall","request":{},"response":{"role":"assistant","id":"msg_1","model":"claude-sonnet-4-5","stop_reason":"end_turn","content":[{"type":"text","text":"Hi"}]},"usage":{"input_tokens":3,"output_tokens":5},"_ts":"2026-05-01T10:00:01"}"#,
        "\n"
    );
    write(&store.join("s.jsonl"), events);
    let traces = concat!(
        r#"{"session_id":"s","timestamp":"2026-05-01T10:00:00Z","hook_type":"post","tool_name":"Bash"}"#,
        "\n"
    );
    write(&store.join("traces-2026-05-01.jsonl"), traces);
    let calls =
        concat!(r#"{"ts":"2026-05-01T10:00:00Z","conversation_id":"cc-proxy-1","input_messages":[]}"#, "\n");
    write(&store.join("calls-2026-05-01.jsonl"), calls);
    let _daemon = start(&home);
    let path = store.display().to_string();
    let first = import(&home, &[&path]);
    assert_eq!((first.files, first.new_files, first.new_lines), (3, 3, 4), "{first:?}");
    let again = import(&home, &[&path]);
    assert_eq!((again.new_files, again.new_lines), (0, 0), "{again:?}");
    assert_eventually!(home.status().unwrap().store.records == 4, "a record for each line");
    let sessions: serde_json::Value = home.query(&["sessions"]);
    assert_eq!(sessions["sessions"][0]["session_id"], "s", "{sessions}");
}
