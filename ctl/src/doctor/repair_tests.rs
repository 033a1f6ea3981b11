//! Tests of what `doctor --fix` does to settings, against a fake daemon.

use super::*;
use crate::testing::{Daemon, Home, Reply, TOKEN};
use serde_json::{Value, json};

const ORIGINAL: &str =
    "{\n  \"env\": {\"ANTHROPIC_BASE_URL\": \"http://gw.example\"},\n  \"model\": \"opus\"\n}\n";

/// A daemon that answers pings and tells where it listens.
fn daemon(home: &Home) -> Daemon {
    let listen = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let at = std::sync::Arc::clone(&listen);
    let daemon = home.daemon(move |request| {
        if request.uri().path() == format!("/{TOKEN}/.ccd/ping") {
            return Reply::status(204, "").header("ccd-version", ccd_proto::VERSION);
        }
        if request.uri().path().starts_with("/v0") {
            let listen = at.lock().unwrap().clone();
            return Reply::json(
                json!({"schema_version":1,"daemon":{"pid":7},"proxy":{"listen":listen}}).to_string(),
            );
        }
        Reply::status(404, "")
    });
    *listen.lock().unwrap() = daemon.proxy.to_string();
    daemon
}

/// Settings with our base URL in them, as an installation leaves them.
fn installed(home: &Home, url: &str) -> PathBuf {
    home.programs();
    let path = home.write(".claude/settings.json", ORIGINAL);
    let env = home.env();
    let mut journal = Journal::open(&env.layout, env.token()).unwrap();
    let planned = plan(&env, &journal, &path, Some(url)).unwrap();
    assert!(journal.apply(&planned).unwrap());
    path
}

fn url_of(path: &Path) -> Value {
    let value: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    value["env"][BASE_URL].clone()
}

fn settled(home: &Home, running: bool) -> Vec<String> {
    let env = home.env();
    let (mut out, _, _) = Printer::captured(80);
    let status = if running { daemon::status(&env, &mut out).unwrap() } else { None };
    let mut repaired = Repaired::default();
    settle(&env, status.as_ref(), &mut repaired).unwrap();
    repaired.done
}

#[test]
fn without_a_daemon_what_was_there_before_comes_back_and_with_one_the_url_does() {
    let home = Home::new();
    let path = installed(&home, &base_url("127.0.0.1:1", TOKEN));
    let done = settled(&home, false);
    assert!(done[0].starts_with("took env.ANTHROPIC_BASE_URL out of"), "{done:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), ORIGINAL, "byte for byte");
    assert!(settled(&home, false).is_empty(), "done once");
    let manifest = Manifest::load(&home.env().layout).unwrap().unwrap();
    assert!(!is_users_own(&home.env(), &manifest), "what stood there before is nobody's new choice");

    // What an installation does next finds everything as it left it.
    let env = home.env();
    let mut journal = Journal::open(&env.layout, env.token()).unwrap();
    rewrite(&env, &mut journal, &path, Some("http://127.0.0.1:2/x")).unwrap();
    assert_eq!(url_of(&path), "http://127.0.0.1:2/x");
    journal.undo(&path).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), ORIGINAL);
}

#[test]
fn an_old_port_and_an_old_token_are_written_anew() {
    for old in [base_url("127.0.0.1:1", TOKEN), base_url("127.0.0.1:1", &"f".repeat(32))] {
        let home = Home::new();
        let daemon = daemon(&home);
        let path = installed(&home, &old);
        let done = settled(&home, true);
        assert!(done[0].starts_with("wrote the daemon's address into"), "{done:?}");
        assert_eq!(url_of(&path), base_url(&daemon.proxy.to_string(), TOKEN));
        assert!(settled(&home, true).is_empty(), "it is answered now");
    }
}

#[test]
fn a_port_that_a_foreign_program_has_is_not_ours() {
    let home = Home::new();
    let other = Daemon::none();
    let path = installed(&home, &base_url(&other.proxy.to_string(), TOKEN));
    assert_eq!(settled(&home, false).len(), 1);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), ORIGINAL);
}

#[test]
fn what_the_user_chose_or_somebody_added_since_stays() {
    let home = Home::new();
    let path = installed(&home, &base_url("127.0.0.1:1", TOKEN));
    let text = std::fs::read_to_string(&path).unwrap().replace("\"opus\"", "\"sonnet\"");
    std::fs::write(&path, &text).unwrap();
    assert_eq!(settled(&home, false).len(), 1);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), ORIGINAL.replace("\"opus\"", "\"sonnet\""));

    let chosen = r#"{"env":{"ANTHROPIC_BASE_URL":"https://mine.example"}}"#;
    std::fs::write(&path, chosen).unwrap();
    assert!(settled(&home, false).is_empty());
    assert!(is_users_own(&home.env(), &Manifest::load(&home.env().layout).unwrap().unwrap()));
    std::fs::write(&path, "{ // not read\n}").unwrap();
    assert!(settled(&home, false).is_empty());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{ // not read\n}");
}

#[test]
fn open_doors_are_closed() {
    let home = Home::new();
    home.programs();
    let state = home.env().layout.state_dir;
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut repaired = Repaired::default();
    close_doors(&home.env(), &mut repaired);
    assert_eq!(std::fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(repaired.done[0].contains("755"), "{repaired:?}");
}
