//! What happens to files while the daemon follows them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use ccd_tests::assert_eventually;

use super::*;

#[test]
fn lines_are_taken_as_they_are_written() {
    let home = home();
    let _daemon = start(&home);
    // Neither the client's directory nor anything in it is there yet.
    assert_eventually!(status(&home).state == "following", "it waits");
    let path = transcript(&home, "-w", "s");
    let mut bytes = 0;
    for n in 0..5 {
        let text = line("s", n);
        append(&path, &text);
        bytes += text.len() as u64;
        assert_eventually!(has(&home, 1, bytes), "the line is taken");
    }
    let agent = transcript(&home, "-w/s/subagents", "agent-1");
    append(&agent, &line("s", 9));
    bytes += line("s", 9).len() as u64;
    assert_eventually!(has(&home, 2, bytes), "so is a subagent's");
}

#[test]
fn half_a_line_is_waited_for_and_a_whole_one_without_its_end_is_taken() {
    let home = home();
    let (path, other) = (transcript(&home, "-w", "s"), transcript(&home, "-w", "t"));
    let (first, second) = (line("s", 0), line("s", 1));
    write(&path, &first);
    let _daemon = start(&home);
    assert_eventually!(has(&home, 1, first.len() as u64), "a whole line");
    let (half, rest) = second.split_at(second.len() / 2);
    append(&path, half);
    write(&other, &first);
    assert_eventually!(status(&home).imported_bytes == 2 * first.len() as u64, "another file");
    assert_eventually!(status(&home).behind == half.len() as u64, "half a line is behind");
    append(&path, rest);
    let whole = (2 * first.len() + second.len()) as u64;
    assert_eventually!(has(&home, 2, whole), "the other half");
    append(&path, line("s", 2).trim_end());
    assert_eventually!(has(&home, 2, whole + line("s", 2).len() as u64 - 1), "nobody writes its end");
    append(&path, &format!("\n{}", line("s", 3)));
    assert_eventually!(
        has(&home, 2, whole + (line("s", 2).len() + line("s", 3).len()) as u64),
        "it goes on behind it"
    );
}

#[test]
fn files_that_move_vanish_or_are_copied_are_not_taken_again() {
    let home = home();
    let path = transcript(&home, "-w", "s");
    let text = lines("s", 0..20);
    write(&path, &text);
    let size = text.len() as u64;
    let _daemon = start(&home);
    assert_eventually!(has(&home, 1, size), "taken");

    let moved = transcript(&home, "-elsewhere", "s");
    fs::create_dir_all(moved.parent().unwrap()).unwrap();
    fs::rename(&path, &moved).unwrap();
    let more = line("s", 20);
    append(&moved, &more);
    let size = size + more.len() as u64;
    assert_eventually!(has(&home, 1, size), "it goes on where it was");
    assert_eq!(status(&home).bytes, size);

    let dir = home.user().join(".claude/projects");
    fs::rename(dir.join("-elsewhere"), dir.join("-renamed")).unwrap();
    let moved = transcript(&home, "-renamed", "s");
    append(&moved, &more);
    let size = size + more.len() as u64;
    assert_eventually!(has(&home, 1, size), "so it does where its directory was renamed");

    let copy = transcript(&home, "-copy", "s");
    fs::create_dir_all(copy.parent().unwrap()).unwrap();
    fs::copy(&moved, &copy).unwrap();
    assert_eventually!(has(&home, 2, 2 * size), "a copy is known");
    assert_eq!(status(&home).bytes, size, "and not taken again");

    fs::remove_file(&moved).unwrap();
    fs::remove_dir_all(copy.parent().unwrap()).unwrap();
    let other = transcript(&home, "-w", "t");
    write(&other, &more);
    assert_eventually!(status(&home).bytes == size + more.len() as u64, "others go on");
    assert_eventually!(home.status().unwrap().store.records == 4, "what was taken stays");
}

#[test]
fn files_that_are_cut_or_written_anew_are_read_again() {
    let home = home();
    let path = transcript(&home, "-w", "s");
    write(&path, &lines("s", 0..20));
    let _daemon = start(&home);
    assert_eventually!(has(&home, 1, lines("s", 0..20).len() as u64), "taken");
    // As long as before, and something else.
    write(&path, &lines("s", 20..40));
    let size = lines("s", 20..40).len() as u64;
    assert_eventually!(
        has(&home, 1, size) && status(&home).bytes == lines("s", 0..20).len() as u64 + size,
        "the new one is taken"
    );
    let cut = lines("s", 20..25);
    fs::File::options().write(true).open(&path).unwrap().set_len(cut.len() as u64).unwrap();
    assert_eventually!(has(&home, 1, cut.len() as u64), "the cut one is known to its end");
    append(&path, &line("s", 60));
    assert_eventually!(has(&home, 1, (cut.len() + line("s", 60).len()) as u64), "and followed from there");
    fs::remove_file(&path).unwrap();
    write(&path, &lines("s", 70..90));
    assert_eventually!(has(&home, 1, lines("s", 70..90).len() as u64), "one made again is taken whole");
}

#[test]
fn what_cannot_be_read_is_told_and_keeps_nobody() {
    let home = home();
    let path = transcript(&home, "-w", "s");
    write(&path, &line("s", 0));
    let pipe = transcript(&home, "-w", "pipe");
    let status_of = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(status_of.success());
    std::os::unix::fs::symlink(".", home.user().join(".claude/projects/-w/loop")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", transcript(&home, "-w", "zero")).unwrap();
    let closed = transcript(&home, "-closed", "t");
    write(&closed, &line("t", 0));
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let _daemon = start(&home);
    // Whoever is root may read it all the same.
    let root = fs::File::open(&closed).is_ok();
    let expected = (1 + u64::from(root)) * line("s", 0).len() as u64;
    assert_eventually!(status(&home).imported_bytes == expected, "what can be read is taken");
    assert_eventually!(
        root || status(&home).error.is_some_and(|e| e.contains("t.jsonl")),
        "the other is told"
    );
    append(&path, &line("s", 1));
    assert_eventually!(
        status(&home).imported_bytes == expected + line("s", 1).len() as u64,
        "and it goes on"
    );
}

#[test]
fn a_file_that_was_cut_is_read_again_once_and_not_at_each_start() {
    let home = home();
    let path = transcript(&home, "-w", "s");
    let first = lines("s", 0..5);
    write(&path, &first);
    let daemon = start(&home);
    assert_eventually!(has(&home, 1, first.len() as u64), "taken");
    append(&path, &lines("s", 5..10));
    assert_eventually!(has(&home, 1, lines("s", 0..10).len() as u64), "and what came behind it");
    // Cut to what was a stretch of its own: the bytes are known, and the cursor lies behind the end.
    fs::File::options().write(true).open(&path).unwrap().set_len(first.len() as u64).unwrap();
    assert_eventually!(has(&home, 1, first.len() as u64), "the cut one is known to its end");
    daemon.stop(&home);
    let _daemon = start(&home);
    assert_eventually!(has(&home, 1, first.len() as u64), "it still is");
    assert_eq!(status(&home).bytes, 0, "without being read again");
    assert_eq!(output_tokens(&home), (0..10).map(|n| 10 + n).sum::<u64>(), "each answer counts once");
}

#[test]
fn a_copy_that_ends_before_its_original_adds_nothing() {
    let home = home();
    let text = lines("s", 0..20);
    write(&transcript(&home, "-w", "s"), &text);
    let _daemon = start(&home);
    assert_eventually!(has(&home, 1, text.len() as u64), "taken");
    let short = lines("s", 0..7);
    write(&transcript(&home, "-copy", "s"), &short);
    assert_eventually!(has(&home, 2, (text.len() + short.len()) as u64), "the copy is looked at");
    assert_eq!(output_tokens(&home), (0..20).map(|n| 10 + n).sum::<u64>(), "each answer counts once");
}

#[test]
fn a_directory_that_is_renamed_to_and_fro_while_its_file_grows_loses_nothing() {
    let home = home();
    let root = home.user().join(".claude/projects");
    let (here, there) = (root.join("-here"), root.join("-there"));
    write(&here.join("s.jsonl"), &line("s", 0));
    let _daemon = start(&home);
    assert_eventually!(has(&home, 1, line("s", 0).len() as u64), "taken");
    let (mut from, mut to) = (here, there);
    for n in 1..40 {
        fs::rename(&from, &to).unwrap();
        append(&to.join("s.jsonl"), &line("s", n));
        std::mem::swap(&mut from, &mut to);
    }
    let size = lines("s", 0..40).len() as u64;
    assert_eventually!(has(&home, 1, size), "it is followed to where it is");
    assert_eq!(status(&home).bytes, size, "and nothing is taken twice");
    append(&from.join("s.jsonl"), &line("s", 40));
    assert_eventually!(has(&home, 1, lines("s", 0..41).len() as u64), "and it is followed from there");
}
