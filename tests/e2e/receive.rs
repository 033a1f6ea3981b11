//! What other programs hand in, as they and other users of the machine see it: tokens by command, whose connection it is,
//! how far the memory goes, and a listener that other machines reach.

use ccd_tests::harness::wire::{Head, Wire};
use ccd_tests::harness::{Daemon, TestHome};
use serde_json::Value;

const INGEST: &str = "/api/v1/traces/claude-code/ingest";

fn post(address: &str, token: &str, more: &str, body: &str) -> (Head, String) {
    let mut wire = Wire::connect(address);
    wire.send(format!(
        "POST {INGEST} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         {more}Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    let head = wire.read_head();
    (head, String::from_utf8(wire.read_rest().0).unwrap())
}

#[test]
fn tokens_are_made_listed_and_taken_back() {
    let home = TestHome::new("http://127.0.0.1:9");
    let daemon = Daemon::start(&home);
    let address = home.running().web.listen.unwrap();
    let none = home.ccctl(&["token", "list"]).ok().text();
    assert!(none.contains("no tokens"), "{none}");
    let made = home.ccctl(&["token", "create", "laptop"]).ok().text();
    let token = made.trim();
    assert!(token.starts_with("ccdt_") && token.len() == 69, "{made}");
    assert_eq!(home.ccctl(&["token", "create", "laptop"]).code, Some(1), "twice");
    assert_eq!(home.ccctl(&["token", "create", "a b"]).code, Some(2));
    assert_eq!(home.ccctl(&["token", "create", "x", "--expires", "soon"]).code, Some(2));
    assert_eq!(home.ccctl(&["token", "revoke", "nobody"]).code, Some(1));
    let event = r#"{"session_id":"s","tool_name":"Bash","hook_type":"post_tool"}"#;
    let (head, body) = post(&address, token, "", event);
    assert_eq!((head.status(), body.as_str()), (202, r#"{"traces_stored":1}"#));
    for (name, value) in [("cache-control", "no-store"), ("x-content-type-options", "nosniff")] {
        assert_eq!(head.header(name), Some(value));
    }
    assert_eq!(head.header("access-control-allow-origin"), None);
    let listed = home.ccctl(&["token", "list"]).ok().text();
    assert!(listed.contains("laptop") && listed.contains("ingest") && !listed.contains(token), "{listed}");
    let listed: Value = home.ccctl(&["token", "list", "--json"]).ok().json();
    assert!(listed["tokens"][0]["used_at"].is_string(), "{listed}");
    let status = home.ccctl(&["status"]).ok().text();
    assert!(status.contains("1 token may hand something in"), "{status}");
    let id = listed["tokens"][0]["id"].as_str().unwrap();
    let _ = home.ccctl(&["token", "revoke", &id[..8]]).ok();
    let (head, _) = post(&address, token, "", event);
    assert_eq!((head.status(), head.header("www-authenticate")), (401, Some("Bearer realm=\"ccd\"")));
    // The token is in no log and no file.
    let log = std::fs::read_to_string(home.layout().log_file()).unwrap_or_default();
    assert!(!log.contains(token));
    daemon.stop(&home);
}

#[cfg(target_os = "linux")]
#[test]
fn another_user_is_not_answered_and_bombs_take_no_memory() {
    use std::os::unix::process::CommandExt;
    let home = TestHome::new("http://127.0.0.1:9");
    let daemon = Daemon::start(&home);
    let address = home.running().web.listen.unwrap();
    let port = address.rsplit_once(':').unwrap().1;
    let made = home.ccctl(&["token", "create", "t"]).ok().text();
    let token = made.trim();
    let script = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{port} && printf 'POST {INGEST} HTTP/1.1\\r\\nHost: {address}\\r\\nAuthorization: Bearer \
         {token}\\r\\nContent-Type: application/json\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n' >&3 && cat <&3"
    );
    let asked_by = |uid: u32| {
        let mut command = std::process::Command::new("/bin/bash");
        command.args(["-c", &script]).env_clear().env("PATH", "/usr/bin:/bin").current_dir("/");
        command.uid(uid).output().unwrap().stdout
    };
    let us = rustix::process::geteuid().as_raw();
    assert!(asked_by(us).starts_with(b"HTTP/1.1 400"));
    // Only root can be somebody else.
    if us == 0 {
        assert_eq!(asked_by(65_534), b"", "not even with a token");
    }
    // Ten gigabytes announced, and nothing of them held; the deepest of lists, and no stack used up.
    for _ in 0..8 {
        let (head, _) = post(&address, token, "", &format!("{}{}", "[".repeat(1 << 20), "]".repeat(1 << 20)));
        assert_eq!(head.status(), 400);
        let mut wire = Wire::connect(&address);
        wire.send(format!(
            "POST {INGEST} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Content-Length: 10737418240\r\n\r\n"
        ));
        assert_eq!(wire.read_head().status(), 413);
    }
    let rss = home.running().daemon.rss_bytes;
    assert!(rss < 200 << 20, "{rss}");
    daemon.stop(&home);
}

#[test]
fn other_machines_reach_it_only_where_that_is_said_and_it_is_said_again() {
    let home = TestHome::new("http://127.0.0.1:9");
    std::fs::create_dir_all(home.ccd()).unwrap();
    let config = home.layout().config_file;
    std::fs::write(&config, "[receive]\nlisten = \"0.0.0.0:0\"\ndangerously_allow_remote = true\n").unwrap();
    let daemon = Daemon::start(&home);
    let receive = home.running().receive;
    assert!(receive.remote);
    let listen = receive.listen.unwrap();
    let address = listen.replace("0.0.0.0", "127.0.0.1");
    let made = home.ccctl(&["token", "create", "t"]).ok().text();
    let (head, _) = post(&address, made.trim(), "", r#"{"session_id":"s"}"#);
    assert_eq!(head.status(), 202);
    let (head, _) = post(&address, "ccdt_wrong", "", r#"{"session_id":"s"}"#);
    assert_eq!(head.status(), 401);
    let mut wire = Wire::connect(&address);
    wire.send(format!("GET /v0/status HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"));
    assert_eq!(wire.read_head().status(), 404);
    let status = home.ccctl(&["status"]).ok().text();
    assert!(status.contains("open to other machines and not encrypted"), "{status}");
    let doctor = home.ccctl(&["doctor"]).text();
    assert!(doctor.contains(&format!("other machines can reach {listen}")), "{doctor}");
    daemon.stop(&home);
}
