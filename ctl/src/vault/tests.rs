//! What is asked of the daemon, and what is said of its answers.

use super::*;
use crate::testing::{Home, Reply as Answer};

fn told_of(answer: Answer, command: VaultCommand) -> (Result<()>, String, String, Vec<String>) {
    let home = Home::new();
    let daemon = home.daemon(move |_| answer.clone());
    let (mut out, text, err) = Printer::captured(100);
    let done = run(&home.env(), &mut out, &VaultArgs { command });
    (done, text.text(), err.text(), daemon.requests())
}

#[test]
fn a_value_goes_to_stdout_and_an_error_says_what_to_do() {
    let look =
        || VaultCommand::LookUp(VaultLookUpArgs { token: "t".into(), reason: "r".into(), json: false });
    let (done, text, err, asked) =
        told_of(Answer::json("{\"schema_version\":1,\"token\":\"t\",\"value\":\"the value\"}"), look());
    assert_eq!((done, text.as_str(), err.as_str()), (Ok(()), "the value\n", ""));
    assert_eq!(asked, ["POST /v0/vault/lookup"]);
    let gone = "{\"error\":{\"code\":\"deleted\",\"message\":\"it was deleted\",\"hint\":null}}";
    let (done, text, _, _) = told_of(Answer::status(410, gone), look());
    assert_eq!((done.unwrap_err().exit_code(), text.as_str()), (1, ""));
    let home = Home::new();
    let (mut out, _, _) = Printer::captured(100);
    let args = VaultArgs { command: look() };
    assert_eq!(run(&home.env(), &mut out, &args).unwrap_err().exit_code(), 3);
}

#[test]
fn deleting_asks_first() {
    let home = Home::new();
    let daemon = home.daemon(|_| Answer::json("{\"schema_version\":1,\"tokens\":[\"t\"],\"rows\":2}"));
    let delete = |yes| VaultArgs {
        command: VaultCommand::Delete(VaultDeleteArgs {
            token: Some("t".into()),
            yes,
            ..VaultDeleteArgs::default()
        }),
    };
    let (mut out, _, _) = Printer::captured(100);
    assert_eq!(run(&home.env(), &mut out, &delete(false)).unwrap_err().exit_code(), 2);
    let (out, _, _) = Printer::captured(100);
    assert_eq!(run(&home.env(), &mut out.answering("n\n"), &delete(false)).unwrap_err().exit_code(), 1);
    assert_eq!(daemon.requests(), Vec::<String>::new());
    let (mut out, text, _) = Printer::captured(100);
    run(&home.env(), &mut out, &delete(true)).unwrap();
    assert_eq!(text.text(), "deleted: 1 value, 2 rows; the file was read again, and they are not in it\n");
}

#[test]
fn a_log_that_was_tampered_with_and_a_vault_that_is_not_well_are_failures() {
    let log = concat!(
        "{\"schema_version\":1,\"entries\":[{\"seq\":1,\"at\":\"2026-11-20T20:00:00.000000Z\",\"uid\":5,\"pid\":6,",
        "\"tty\":\"pts/1\",\"token\":\"t\",\"reason\":\"x\\u001b[2J\",\"result\":\"given\"}]"
    );
    let audit = || VaultCommand::Audit(JsonArgs::default());
    let (done, text, _, _) = told_of(Answer::json(format!("{log}}}")), audit());
    assert!(done.is_ok() && text.contains("uid 5 pid 6 pts/1") && !text.contains('\u{1b}'), "{text}");
    let (done, _, _, _) = told_of(Answer::json(format!("{log},\"broken\":\"line 2 is missing\"}}")), audit());
    assert!(done.unwrap_err().message.contains("line 2 is missing"));
    let health =
        "{\"schema_version\":1,\"ok\":false,\"opened\":3,\"unopened\":1,\"rules\":{\"github-pat\":2}}";
    let (done, text, _, _) = told_of(Answer::json(health), VaultCommand::Health(JsonArgs::default()));
    assert_eq!(done.unwrap_err().exit_code(), 1);
    assert!(text.contains("3 rows open, 1 do not") && text.contains("github-pat"), "{text}");
}

#[test]
fn a_key_in_a_file_is_named() {
    let status =
        |status: VaultStatus| facts(&status).into_iter().map(|(_, text)| text).collect::<Vec<_>>().join("\n");
    let open = VaultStatus {
        state: "open".into(),
        key: "key file".into(),
        key_file: Some("/s/vault/key".into()),
        tokens: 2,
        loose: vec!["/s/vault/key has mode 0644".into()],
        ..VaultStatus::default()
    };
    let told = status(open);
    assert!(
        told.contains("2 values") && told.contains("key: /s/vault/key") && told.contains("mode 0644"),
        "{told}"
    );
    let closed = VaultStatus {
        state: "closed".into(),
        error: Some("the key is gone".into()),
        irreversible: 3,
        ..VaultStatus::default()
    };
    let told = status(closed);
    assert!(
        told.contains("for good") && told.contains("3 taken out") && told.contains("the key is gone"),
        "{told}"
    );
    assert_eq!(status(VaultStatus::default()), "");
}

#[test]
fn a_backup_is_private_and_replaces_nothing_unasked() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    let _daemon = home.daemon(|_| Answer::json("sealed bytes"));
    let make = |force| {
        let (mut out, _, err) = Printer::captured(100);
        let args =
            VaultBackupArgs { output: "b.vault".into(), with_key: true, force, ..VaultBackupArgs::default() };
        let done = run(&home.env(), &mut out, &VaultArgs { command: VaultCommand::Backup(args) });
        (done, err.text())
    };
    let (done, warned) = make(false);
    assert!(done.is_ok() && warned.contains("not sealed"), "{warned}");
    let path = home.env().cwd.join("b.vault");
    assert_eq!(std::fs::read(&path).unwrap(), b"sealed bytes");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(make(false).0.unwrap_err().message.contains("is there already"));
    make(true).0.unwrap();
}
