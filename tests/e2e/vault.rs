//! The vault from outside: what is taken out of records is a token, its owner gets it back, and once it is deleted nobody does.

use std::path::{Path, PathBuf};

use ccd_proto::api::{Reply, VaultAudit, VaultDeleted, VaultHealth, VaultLookup, VaultStatus};
use ccd_tests::assert_eventually;
use ccd_tests::harness::events::HookSession;
use ccd_tests::harness::{Daemon, TestHome, binary, eventually, run};

const NO_UPSTREAM: &str = "http://127.0.0.1:9";

/// A credential of a kind that is known.
fn secret(seed: u64) -> String {
    ccd_redact::sample::filled("ghp_{a36}", seed)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Files that hold these bytes as they are.
fn holding(home: &TestHome, bytes: &str) -> Vec<PathBuf> {
    let all = files(&home.ccd()).into_iter().filter(|path| path.is_file());
    all.filter(|path| {
        let content = std::fs::read(path).unwrap_or_default();
        content.windows(bytes.len()).any(|window| window == bytes.as_bytes())
    })
    .collect()
}

/// The token in the first mark of a text.
fn token(text: &str) -> Option<String> {
    let mark = text.split("[redacted:").nth(1)?.split(']').next()?;
    Some(mark.split_once(':')?.1.split('~').next()?.to_owned())
}

fn tell(home: &TestHome, session: &HookSession, id: &str, value: &str) -> String {
    assert_eq!(home.cc_hook(&session.start()).code, Some(0));
    let command = format!("curl -H 'Authorization: token {value}' https://host.example/");
    assert_eq!(home.cc_hook(&session.before_tool(id, &command)).code, Some(0));
    assert_eq!(home.cc_hook(&session.after_tool(id, &command, "done")).code, Some(0));
    eventually("the call is shown with a token", || {
        let out = home.ccctl(&["show", id, "--json"]);
        (out.code == Some(0)).then(|| token(&out.text())).flatten()
    })
}

#[test]
fn a_credential_is_a_token_that_its_owner_can_look_up_until_he_deletes_it() {
    let home = TestHome::new(NO_UPSTREAM);
    let mut daemon = Daemon::start(&home);
    let (session, value) = (HookSession::new(), secret(1));
    let mark = tell(&home, &session, "toolu_one", &value);
    assert!(!home.ccctl(&["show", "toolu_one"]).ok().text().contains(&value));
    let revealed = home.ccctl(&["show", "toolu_one", "--reveal", "--json"]).ok().text();
    assert!(revealed.contains(&value), "{revealed}");
    assert_eq!(home.ccctl(&["vault", "lookup", &mark]).code, Some(2), "a reason is needed");
    let found = home.ccctl(&["vault", "lookup", &mark, "--reason", "to rotate it"]).ok();
    assert_eq!((found.text().trim_end(), found.stderr.is_empty()), (value.as_str(), true));
    let full: Reply<VaultLookup> = home.query(&["vault", "lookup", &mark, "--reason", "again"]);
    assert_eq!(full.body.sessions, std::slice::from_ref(&session.session));
    let log: Reply<VaultAudit> = home.query(&["vault", "audit"]);
    let reasons: Vec<&str> = log.body.entries.iter().map(|entry| entry.reason.as_str()).collect();
    assert_eq!(reasons, ["reveal toolu_one", "to rotate it", "again"]);
    assert!(log.body.broken.is_none() && log.body.entries.iter().all(|entry| entry.result == "given"));
    let uid = rustix::process::getuid().as_raw();
    assert!(log.body.entries.iter().all(|entry| entry.uid == uid));

    // The same value has the same token, in another session, after a restart and with another key.
    let _: Reply<serde_json::Value> = home.query(&["vault", "rotate"]);
    daemon.stop(&home);
    daemon = Daemon::start(&home);
    assert_eq!(tell(&home, &HookSession::new(), "toolu_two", &value), mark);
    let health: Reply<VaultHealth> = home.query(&["vault", "health"]);
    assert!(health.body.ok && health.body.opened >= 2, "{:?}", health.body);
    assert_eq!(holding(&home, &value), Vec::<PathBuf>::new());

    let delete = ["vault", "delete", "--value", "--yes", "--json"];
    let out = run(home.command(&binary("ccctl")).args(delete), format!("{value}\n").as_bytes());
    let gone: Reply<VaultDeleted> = out.ok().parse();
    assert_eq!(gone.body.tokens, std::slice::from_ref(&mark));
    let out = home.ccctl(&["vault", "lookup", &mark, "--reason", "too late"]);
    assert!(out.code == Some(1) && out.text().is_empty(), "{out}");
    assert!(out.stderr.contains("deleted"), "{out}");
    // Seen again, it keeps its name, and nothing stands behind it.
    assert_eq!(tell(&home, &HookSession::new(), "toolu_three", &value), mark);
    assert_eq!(home.ccctl(&["vault", "lookup", &mark, "--reason", "x"]).code, Some(1));
    assert!(!home.ccctl(&["show", "toolu_three", "--reveal", "--json"]).ok().text().contains(&value));
    assert_eq!(home.query::<Reply<VaultStatus>>(&["vault", "status"]).body.tokens, 0);
    daemon.stop(&home);
    assert_eq!(holding(&home, &value), Vec::<PathBuf>::new());
    assert_eq!(
        home.ccctl(&["vault", "lookup", &mark, "--reason", "x"]).code,
        Some(3),
        "nobody is there to ask"
    );
}

#[test]
fn a_key_that_is_gone_is_said_credentials_are_taken_out_for_good_and_a_backup_brings_it_back() {
    let home = TestHome::new(NO_UPSTREAM);
    let daemon = Daemon::start(&home);
    let value = secret(2);
    let mark = tell(&home, &HookSession::new(), "toolu_one", &value);
    let file = home.work().join("vault.backup");
    let path = file.to_str().unwrap().to_owned();
    let passphrase = home.work().join("passphrase");
    std::fs::write(&passphrase, "correct horse battery\n").unwrap();
    let sealed = |command: &[&str]| {
        let line = format!("exec \"$@\" --passphrase-fd 3 3<{}", passphrase.display());
        let mut shell = home.command(Path::new("/bin/sh"));
        run(shell.arg("-c").arg(line).arg("sh").arg(binary("ccctl")).args(command), b"")
    };
    let _ = sealed(&["vault", "backup", "-o", &path]).ok();
    assert!(!std::fs::read(&file).unwrap().windows(8).any(|w| w == &value.as_bytes()[..8]));
    daemon.stop(&home);
    let key = home.layout().vault_dir().join("key");
    std::fs::remove_file(&key).unwrap();

    let daemon = Daemon::start(&home);
    let status = home.running().vault;
    assert_eq!(status.state, "closed");
    assert!(status.error.unwrap().contains("key is gone"));
    let (session, other) = (HookSession::new(), secret(3));
    assert_eq!(home.cc_hook(&session.start()).code, Some(0));
    assert_eq!(home.cc_hook(&session.before_tool("toolu_two", &format!("echo {other}"))).code, Some(0));
    assert_eventually!(
        home.ccctl(&["show", "toolu_two"]).text().contains("[redacted:"),
        "the call is shown, without a token"
    );
    assert_eq!(token(&home.ccctl(&["show", "toolu_two", "--json"]).ok().text()), None);
    let doctor = home.ccctl(&["doctor", "vault"]).text();
    assert!(doctor.contains("for good"), "{doctor}");

    let _ = sealed(&["vault", "restore", &path]).ok();
    assert_eq!(home.running().vault.state, "open");
    let found = home.ccctl(&["vault", "lookup", &mark, "--reason", "it is back"]).ok();
    assert_eq!(found.text().trim_end(), value);
    let doctor = home.ccctl(&["doctor", "vault"]).ok().text();
    assert!(doctor.contains(key.to_str().unwrap()), "a key in a file is named: {doctor}");
    daemon.stop(&home);
    for value in [value, other] {
        assert_eq!(holding(&home, &value), Vec::<PathBuf>::new());
    }
}
