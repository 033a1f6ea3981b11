//! `ccctl install` and `uninstall`: whatever is not ours stays byte for byte, and comes back where it changed.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ccd_tests::harness::TestHome;
use ccd_tests::mock::{Mock, Script};
use serde_json::Value;

use crate::proxy::Proxy;

/// Every file and directory below `dir`: mode, and a file's bytes.
fn tree(dir: &Path) -> BTreeMap<PathBuf, (u32, Option<Vec<u8>>)> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let (path, meta) = (entry.path(), entry.metadata().unwrap());
        if meta.is_dir() {
            found.append(&mut tree(&path));
        }
        let bytes = meta.is_file().then(|| std::fs::read(&path).unwrap());
        found.insert(path, (meta.permissions().mode(), bytes));
    }
    found
}

/// Settings as people have them: odd spacing, keys that nobody knows, hooks of their own, no line break at the end.
const ODD_SETTINGS: &str = "{\r\n\t\"zzz_unknown\" : [1,2 , 3],\n  \"env\": {\"FOO\":\"b\\u0061r\"   },\n\
    \"hooks\":{\"Stop\":[{\"hooks\":[{\"type\":\"command\",\"command\":\"true\"}]}]},\n  \"model\":\"opus\" }";

#[test]
fn install_twice_and_uninstall_leave_the_home_as_it_was() {
    for settings in [None, Some("{}"), Some(ODD_SETTINGS)] {
        let mock = Mock::start(Script::new());
        let home = TestHome::new(&mock.url());
        std::fs::write(home.user().join(".profile"), "# mine\n").unwrap();
        if let Some(text) = settings {
            home.write_settings(text);
            std::fs::set_permissions(home.settings(), PermissionsExt::from_mode(0o640)).unwrap();
        }
        let before = tree(&home.user());

        let _ = home.ccctl(&["install", "--no-service"]).ok();
        let installed = tree(&home.user());
        assert_ne!(installed, before);
        let base_url = home.base_url();
        let text = std::fs::read_to_string(home.settings()).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["env"]["ANTHROPIC_BASE_URL"], *base_url);
        if settings == Some(ODD_SETTINGS) {
            for kept in ["\"zzz_unknown\" : [1,2 , 3]", "\"FOO\":\"b\\u0061r\"", "\"model\":\"opus\""] {
                assert!(text.contains(kept), "{kept} is written as it was: {text}");
            }
        }
        assert!(home.running().hooks.installed);

        let _ = home.ccctl(&["install", "--no-service"]).ok();
        assert_eq!(tree(&home.user()), installed, "a second install changes nothing");

        let _ = home.ccctl(&["uninstall"]).ok();
        assert_eq!(tree(&home.user()), before, "settings were {settings:?}");
    }
}

#[test]
fn the_users_own_base_url_becomes_the_upstream_and_comes_back() {
    let mock = Mock::start(Script::new());
    let home = TestHome::without_upstream();
    let settings = format!("{{\n  \"env\": {{ \"ANTHROPIC_BASE_URL\": \"{}\" }}\n}}\n", mock.url());
    home.write_settings(&settings);
    let _ = home.ccctl(&["install", "--no-service"]).ok();
    assert_eq!(home.running().proxy.upstream.trim_end_matches('/'), mock.url());

    let before = mock.ledger().len();
    let proxy = Proxy::of(&home);
    let mut client = proxy.connect();
    client.send(proxy.message("s", "hi", true));
    assert_eq!(client.read_head().status(), 200);
    let _ = client.read_rest();
    assert_eq!(mock.ledger().len(), before + 1);

    let mut session = home.command(Path::new("sleep"));
    let mut session = session.arg("1000").env("ANTHROPIC_BASE_URL", home.base_url()).spawn().unwrap();
    let _ = home.ccctl(&["uninstall"]).ok();
    assert_eq!(std::fs::read_to_string(home.settings()).unwrap(), settings);
    // A session that was started before holds the old URL for as long as it lives: it must go on.
    let mut client = proxy.connect();
    client.send(proxy.message("s", "still here", true));
    assert_eq!(client.read_head().status(), 200);
    let _ = client.read_rest();
    assert_eq!(mock.ledger().len(), before + 2);
    session.kill().unwrap();
    session.wait().unwrap();
}

#[test]
fn settings_that_cannot_be_read_and_dry_runs_touch_nothing() {
    let mock = Mock::start(Script::new());
    for (settings, args, code) in [
        ("{ \"env\": { // a comment\n } }", &["install", "--no-service"][..], 1),
        ("{ \"env\": ", &["install", "--no-service"][..], 1),
        ("[]", &["install", "--no-service"][..], 1),
        (ODD_SETTINGS, &["install", "--no-service", "--dry-run"][..], 0),
    ] {
        let home = TestHome::new(&mock.url());
        home.write_settings(settings);
        let before = tree(&home.user());
        let out = home.ccctl(args);
        assert_eq!(out.code, Some(code), "{out}");
        assert_eq!(tree(&home.user()), before, "{settings}");
    }
}

#[test]
fn without_a_daemon_a_query_says_so_and_how_to_start_one() {
    let home = TestHome::new("http://127.0.0.1:9");
    for args in [&["sessions"][..], &["usage", "--json"], &["traces"], &["exchanges", "--json"]] {
        let out = home.ccctl(args);
        assert_eq!(out.code, Some(3), "{out}");
        assert!(out.stdout.is_empty(), "{out}");
        assert!(out.stderr.contains("ccctl start"), "{out}");
    }
    let out = home.ccctl(&["status", "--json"]);
    assert_eq!((out.code, &out.json()["daemon"]["running"]), (Some(3), &Value::Bool(false)), "{out}");
    assert_eq!(home.ccctl(&["no-such-command"]).code, Some(2));
}
