//! Alerts and the settings of healing, in a running daemon.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::time::Duration;

use crate::common::{Daemon, PATIENCE, home};
use ccd::alert;
use ccd::ingest::found::DetectionV1;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{Receiver, channel};

const DEAD: &str = "http://127.0.0.1:9";

/// What is posted to a server of the test's own.
async fn webhook() -> (String, Receiver<Value>) {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/alerts", server.local_addr().unwrap());
    let (tx, rx) = channel(16);
    tokio::spawn(async move {
        while let Ok((mut peer, _)) = server.accept().await {
            let mut all = Vec::new();
            let body = loop {
                let mut piece = [0; 4096];
                let n = peer.read(&mut piece).await.unwrap();
                assert!(n > 0, "cut off: {}", String::from_utf8_lossy(&all));
                all.extend_from_slice(&piece[..n]);
                let head = all.windows(4).position(|w| w == b"\r\n\r\n");
                if let Some(body) = head.and_then(|at| serde_json::from_slice(&all[at + 4..]).ok()) {
                    break body;
                }
            };
            peer.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await.unwrap();
            if tx.send(body).await.is_err() {
                return;
            }
        }
    });
    (url, rx)
}

fn detection(kind: &str, at_event: u64, severity: u8) -> DetectionV1 {
    DetectionV1 {
        at_ns: 1_795_200_000_000_000_000,
        session_id: "s-1".into(),
        agent_id: None,
        cwd: Some("/home/user/project".into()),
        turn_id: None,
        span_id: None,
        kind: kind.into(),
        rule: "repeat".into(),
        severity,
        confidence: 90,
        at_event,
        title: "canary".into(),
        evidence: Vec::new(),
        advice: "canary".into(),
        mast: None,
        fingerprint: [7; 16],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_in_trouble_is_one_alert_and_settings_change_while_it_runs() {
    let (url, mut told) = webhook().await;
    let home = home();
    let daemon = Daemon::start(home.path(), DEAD).await;
    let config = |more: &str| {
        let text = format!("[alerts]\nnotify = [\"webhook\"]\nwebhook = \"{url}\"\n{more}");
        std::fs::write(&daemon.app.layout.config_file, text).unwrap();
    };
    let heal = async || daemon.get("/v0/status").await["heal"].clone();
    assert_eq!(
        heal().await,
        json!({"mode": "advise", "projects": 0, "advised": 0, "denied": 0, "blocked": 0, "undelivered": 0, "late": 0})
    );
    config("severity = 70\n[heal]\nmode = \"guard\"\n[heal.projects.\"/w\"]\nmode = \"off\"\n");
    assert_eventually!(heal().await["mode"] == "guard", "in force: {}", heal().await);
    assert_eq!(heal().await["projects"], 1);

    let tell = |d: &DetectionV1| alert::detection(&daemon.app, d);
    tell(&detection("loop", 1, 69));
    for n in 2..5 {
        tell(&detection("loop", n, 75));
    }
    let first = tokio::time::timeout(PATIENCE, told.recv()).await.unwrap().unwrap();
    assert_eq!((&first["kind"], &first["severity"], &first["more"]), (&json!("loop"), &json!(75), &json!(0)));
    assert_eq!((&first["session_id"], &first["project"]), (&json!("s-1"), &json!("project")));
    assert!(!first.to_string().contains("canary"), "{first}");

    config("severity = 70\ncooldown_s = 0\n[heal]\nmode = \"off\"\n");
    assert_eventually!(heal().await["mode"] == "off", "in force");
    tell(&detection("loop", 5, 80));
    // Whatever was sent beside it would have come before it, or comes now.
    let second = tokio::time::timeout(PATIENCE, told.recv()).await.unwrap().unwrap();
    assert_eq!((&second["severity"], &second["more"]), (&json!(80), &json!(2)));
    assert!(tokio::time::timeout(Duration::from_millis(50), told.recv()).await.is_err(), "and nothing else");
    daemon.stop().await;
}
