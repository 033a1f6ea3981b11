use std::os::unix::fs::PermissionsExt;

use ccd_redact::sample::filled;
use serde_json::{Value, json};

use super::*;
use crate::testing::Home;

fn scanned(home: &Home, args: SecretsScanArgs) -> (String, String, Result<()>) {
    let (mut out, text, talk) = Printer::captured(100);
    let args = SecretsArgs { command: SecretsCommand::Scan(args) };
    let result = run(&home.env(), &mut out, &args);
    (text.text(), talk.text(), result)
}

/// A home with credentials in it, and what they are.
fn home() -> (Home, [String; 2]) {
    let (token, password) = (filled("ghp_{a36}", 1), filled("{p14}", 2));
    let home = Home::new();
    let line = json!({"type": "user", "message": {"content": format!("export GITHUB_TOKEN={token}")}});
    let clean = json!({"type": "user", "message": {"content": "hello"}});
    home.write(".claude/projects/-p/s.jsonl", format!("{clean}\n{line}\n{clean}\n{line}\n"));
    home.write(
        ".claude/history.jsonl",
        format!("{}\n", json!({"display": format!("the password is {password}, use {token}")})),
    );
    home.write(".claude/shell-snapshots/x.sh", format!("export DB_PASSWORD='{password}'\n"));
    home.write(".claude/todos/a.json", "[]");
    home.write(".claude/image.bin", [b"\0\x01".as_slice(), token.as_bytes()].concat());
    std::os::unix::fs::symlink("/etc", home.path().join(".claude/link")).unwrap();
    for (path, mode) in
        [("history.jsonl", 0o600), ("shell-snapshots/x.sh", 0o644), ("projects/-p/s.jsonl", 0o600)]
    {
        let path = home.path().join(".claude").join(path);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_790_000_000);
        std::fs::File::options().append(true).open(&path).unwrap().set_modified(at).unwrap();
    }
    // Whatever lies above it, nobody else gets in.
    let dir = home.path().join(".claude");
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700)).unwrap();
    (home, [token, password])
}

#[test]
fn a_file_is_open_to_others_if_the_way_to_it_is() {
    let home = Home::new();
    let path = home.write("a/b.txt", "x");
    let file = |mode: u32, dir: u32| {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        std::fs::set_permissions(home.path().join("a"), std::fs::Permissions::from_mode(dir)).unwrap();
        walk::others_can_read(&walk::files(std::slice::from_ref(&path)).files[0])
    };
    assert!(!file(0o600, 0o755) && !file(0o644, 0o700) && !file(0o640, 0o755));
    let open_above = home.path().ancestors().all(|dir| dir.metadata().unwrap().permissions().mode() & 1 != 0);
    assert_eq!(file(0o644, 0o755), open_above);
}

#[test]
fn places_are_told_and_never_values() {
    let (home, values) = home();
    let (text, talk, result) = scanned(&home, SecretsScanArgs { exit_code: 1, ..SecretsScanArgs::default() });
    assert_eq!(result.unwrap_err().exit_code(), 1);
    insta::assert_snapshot!(text);
    assert_eq!(talk, "");
    let json_args = SecretsScanArgs { exit_code: 0, json: true, ..SecretsScanArgs::default() };
    let (read, _, result) = scanned(&home, json_args);
    assert_eq!(result.unwrap_err().exit_code(), 0);
    for value in &values {
        for part in value.as_bytes().windows(8) {
            let part = str::from_utf8(part).unwrap();
            assert!(!text.contains(part) && !read.contains(part));
        }
    }
    let read: Value = serde_json::from_str(&read).unwrap();
    assert_eq!(
        (&read["distinct"], &read["occurrences"], &read["binaries"]),
        (&json!(2), &json!(5), &json!(1))
    );
    assert_eq!(read["found"][1]["findings"][0]["lines"], json!([2, 4]));
}

#[test]
fn what_is_clean_is_said_to_be() {
    let home = Home::new();
    home.write(".claude/projects/p/s.jsonl", "{\"a\":1}\n");
    home.write(
        ".claude/settings.json",
        format!("{{\"env\":{{\"GITHUB_TOKEN\":\"{}\"}}}}", filled("ghp_{a36}", 1)),
    );
    let (text, _, result) =
        scanned(&home, SecretsScanArgs { transcripts: true, ..SecretsScanArgs::default() });
    assert_eq!((text.as_str(), result), ("no credentials found: 1 file (8 B) looked through\n", Ok(())));
    let paths = vec!["missing".into()];
    let (_, _, result) = scanned(&home, SecretsScanArgs { paths, ..SecretsScanArgs::default() });
    assert_eq!(result.unwrap_err().exit_code(), 1);
    let elsewhere = Home::new();
    assert!(
        scanned(&elsewhere, SecretsScanArgs::default())
            .2
            .unwrap_err()
            .message
            .contains("nothing to look through")
    );
}

#[test]
fn long_files_have_their_lines_counted_on() {
    let home = Home::new();
    let token = filled("ghp_{a36}", 7);
    let filler = "a line that says nothing of interest to anybody\n".repeat(60_000);
    home.write("big.log", format!("{filler}{token}\n{filler}{token}\n"));
    let (text, _, _) = scanned(
        &home,
        SecretsScanArgs { paths: vec!["big.log".into()], json: true, ..SecretsScanArgs::default() },
    );
    let read: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(read["found"][0]["findings"][0]["lines"], json!([60_001, 120_002]));
    assert_eq!(read["distinct"], json!(1));
}
