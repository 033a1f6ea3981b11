//! The operations on the store, in a running daemon.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::common::{Daemon, home, upstream};
use ccd::clock::{Clock as _, SystemClock};
use ccd_proto::frame::Status;
use serde_json::{Value, json};

const DEAD: &str = "http://127.0.0.1:9";
const PAGES: [&str; 5] =
    ["/v0/sessions", "/v0/turns", "/v0/spans?content=1", "/v0/exchanges", "/v0/usage?period=total"];

/// An answer long enough to lie in the packs.
const ANSWER: &str = concat!(
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nrequest-id: req_1\r\ncontent-length: 757\r\nconnection: close\r\n\r\n",
    r#"{"type":"message","id":"msg_1","model":"mystery-1","content":[{"type":"text","text":""#,
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+/0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHI",
    "ZYXWVUTSRQPONMLKJIHGFEDCBAzyxwvutsrqponmlkjihgfedcba9876543210/+ZYXWVUTSRQPONMLKJIHGFEDCBAzyxwvutsrqponmlkji",
    "acegikmoqsuwyACEGIKMOQSUWY13579bdfhjlnprtvxzBDFHJLNPRTVXZ02468acegikmoqsuwyACEGIKMOQSUWY13579bdfhjlnprtvxzBD",
    "bdfhjlnprtvxzBDFHJLNPRTVXZ02468acegikmoqsuwyACEGIKMOQSUWY13579bdfhjlnprtvxzBDFHJLNPRTVXZ02468acegikmoqsuwyAC",
    "qwertyuiopasdfghjklzxcvbnmQWERTYUIOPASDFGHJKLZXCVBNM1234567890mnbvcxzlkjhgfdsapoiuytrewqMNBVCXZLKJHGFDSAPOIU",
    "0a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6q7r8s9t0u1v2w3x4y5z0A1B2C3D4E5F6G7H8I9J0K1L2M3N4O5P6Q7R8S9T0U1V2W3X4Y5Z",
    r#""}],"usage":{"input_tokens":10,"output_tokens":9}}"#,
);

fn event(session: &str, name: &str, n: u64) -> Value {
    json!({"session_id": session, "hook_event_name": name, "cwd": "/p", "prompt_id": format!("p-{n}"), "prompt": "do it"})
}

fn request(n: u64) -> String {
    let numbers: Vec<u64> = (1..200).map(|i| i * (n + 7) * 2_654_435_761 % 4_294_967_291).collect();
    let text = format!("{numbers:?}");
    json!({"model":"mystery-1","messages":[{"role":"user","content":text}]}).to_string()
}

/// A daemon with a session of three hook events and two exchanges.
async fn recorded(home: &Path) -> Daemon {
    let api = upstream(vec![ANSWER], Duration::ZERO).await;
    let daemon = Daemon::start(home, &format!("http://{api}")).await;
    let now_ns = SystemClock.now_ns();
    for n in 0..3 {
        assert_eq!(daemon.hook(now_ns + n, &event("s-1", "UserPromptSubmit", n)).await, Status::Durable);
    }
    for n in 0..2 {
        assert_eq!(daemon.post("/v1/messages", "s-1", &request(n)).await.0, 200);
        assert_eventually!(daemon.get("/v0/status").await["proxy"]["exchanges"] == n + 1, "captured");
    }
    daemon
}

async fn pages(daemon: &Daemon) -> Vec<Value> {
    let mut all = Vec::new();
    for page in PAGES {
        all.push(daemon.get(page).await);
    }
    all
}

fn file(daemon: &Daemon, name: &str) -> PathBuf {
    daemon.app.layout.store_dir().join("v1").join(name)
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0x55;
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_figures_add_up() {
    let home = home();
    let daemon = recorded(home.path()).await;
    let stats = daemon.get("/v0/store/stats").await;
    assert_eq!(stats["schema_version"], 1);
    let sum: u64 =
        ["journal", "packs", "index"].iter().map(|kind| stats[kind]["bytes"].as_u64().unwrap()).sum();
    assert_eq!(stats["bytes"], sum);
    assert_eq!(
        (&stats["records"], &stats["sessions"], &stats["last_seq"]),
        (&json!(5), &json!(1), &json!(5))
    );
    assert_eq!((&stats["journal"]["files"], &stats["packs"]["files"]), (&json!(1), &json!(1)));
    assert!(stats["oldest_at"].as_str().unwrap() > "2020", "{stats}");
    assert!(stats["newest_at"].as_str() > stats["oldest_at"].as_str(), "{stats}");
    assert_eq!((&stats["damaged"], &stats["running"]), (&json!([]), &Value::Null));
    assert!(stats["free_bytes"].as_u64().unwrap() > 0);
    assert_eq!(stats["retention"], json!({"days": 90, "max_bytes": 10_737_418_240_u64}));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verification_names_every_damaged_record_and_only_those() {
    let home = home();
    let daemon = recorded(home.path()).await;
    let whole = daemon.operate("/v0/store/verify").await.unwrap();
    assert_eq!(
        (&whole["ok"], &whole["records"], &whole["bodies"]),
        (&json!(true), &json!(5), &json!(4)),
        "{whole}"
    );
    assert_eq!((&whole["schema_version"], &whole["index_missing"]), (&json!(1), &json!(0)));

    let exchanges = daemon.get("/v0/exchanges").await;
    let newest = &exchanges["exchanges"][0]["exchange_id"];
    // The last frame of the journal is the newest exchange.
    let journal = file(&daemon, "journal/00000001.log");
    let stats = daemon.get("/v0/store/stats").await;
    let end = usize::try_from(stats["journal"]["bytes"].as_u64().unwrap()).unwrap();
    flip(&journal, end - 1);
    let found = daemon.operate("/v0/store/verify").await.unwrap();
    let damaged = &found["damaged"][0];
    assert_eq!((&found["ok"], &found["records"]), (&json!(false), &json!(4)), "{found}");
    assert_eq!((&damaged["file"], &damaged["to"]), (&json!("journal/00000001.log"), &json!(end)));
    assert_eq!((&damaged["seqs"], &damaged["records"][0]["id"]), (&json!([5, 5]), newest));
    assert_eq!(damaged["records"][0]["session_id"], "s-1");
    assert_eq!(damaged["records"][0]["at"], exchanges["exchanges"][0]["started_at"]);
    assert_eq!(daemon.get("/v0/status").await["store"]["damaged"], 1, "and it shows");
    assert_eq!(daemon.get("/v0/exchanges").await, exchanges, "the rest is served");
    flip(&journal, end - 1);

    // The first block of the pack is the first exchange's request.
    let oldest = &exchanges["exchanges"][1];
    let pack = file(&daemon, "packs/000001.pack");
    flip(&pack, 200);
    daemon.stop().await;
    let daemon = Daemon::start(home.path(), DEAD).await;
    let found = daemon.operate("/v0/store/verify").await.unwrap();
    assert_eq!(found["damaged"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!(found["damaged"][0]["file"], "packs/000001.pack");
    let named: Vec<_> = found["damaged_records"].as_array().unwrap().iter().collect();
    let first = named.iter().find(|r| r["part"] == "request" && r["id"] == oldest["exchange_id"]).unwrap();
    assert_eq!((&first["session_id"], &first["at"]), (&json!("s-1"), &oldest["started_at"]));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_made_while_events_flow_is_restored_elsewhere_and_tells_the_same() {
    let (home, other, kept) = (home(), home(), home());
    let daemon = recorded(home.path()).await;
    let dir = kept.path().join("backup");
    let before = pages(&daemon).await;
    let made = daemon.operate(&format!("/v0/store/backup?dir={}", dir.display())).await.unwrap();
    assert_eq!((&made["last_seq"], &made["files"], &made["incomplete"]), (&json!(5), &json!(2), &json!([])));
    for n in 10..20 {
        daemon.hook(n, &event("s-2", "UserPromptSubmit", n)).await;
    }
    let id = before[3]["exchanges"][0]["exchange_id"].as_str().unwrap().to_owned();
    daemon.stop().await;

    let daemon = Daemon::start(other.path(), DEAD).await;
    daemon.hook(99, &event("s-3", "UserPromptSubmit", 99)).await;
    let restored = daemon.operate(&format!("/v0/store/restore?dir={}", dir.display())).await.unwrap();
    assert_eq!((&restored["records"], &restored["damaged"]), (&json!(5), &json!(0)), "{restored}");
    let previous = PathBuf::from(restored["previous"].as_str().unwrap());
    assert_eq!(previous, daemon.app.layout.store_dir().join("v1.before-restore-1"));
    assert!(previous.join("journal/00000001.log").exists());
    assert_eq!(pages(&daemon).await, before);
    let (status, _) = daemon.api(&format!("GET /v0/exchanges/{id}/request")).await;
    assert_eq!(status, 200);
    assert_eq!(daemon.operate("/v0/store/verify").await.unwrap()["ok"], true);
    // It goes on from there, also after a restart.
    assert_eq!(daemon.hook(100, &event("s-1", "Stop", 0)).await, Status::Durable);
    daemon.stop().await;
    let daemon = Daemon::start(other.path(), DEAD).await;
    assert_eq!(daemon.get("/v0/sessions").await["sessions"].as_array().unwrap().len(), 1, "it is open");
    assert_eq!(daemon.get("/v0/status").await["hooks"]["events"], 4);
    assert_eq!(daemon.get("/v0/status").await["store"]["damaged"], 0);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_cannot_be_leaves_everything_as_it_was() {
    let (home, kept) = (home(), home());
    let daemon = recorded(home.path()).await;
    let dir = kept.path().join("backup");
    daemon.operate(&format!("/v0/store/backup?dir={}", dir.display())).await.unwrap();
    let before = pages(&daemon).await;
    flip(&dir.join("journal/00000001.log"), 50);
    let restore = format!("/v0/store/restore?dir={}", dir.display());
    let error = daemon.operate(&restore).await.unwrap_err();
    assert_eq!(error["code"], "refused");
    assert!(error["message"].as_str().unwrap().contains("journal/00000001.log"), "{error}");
    assert!(daemon.operate("/v0/store/restore?dir=/nowhere").await.is_err());
    assert_eq!(pages(&daemon).await, before);
    let store = daemon.app.layout.store_dir();
    let names: Vec<_> = std::fs::read_dir(store).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["v1"]);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_does_not_open_can_be_restored() {
    let (home, kept) = (home(), home());
    let daemon = recorded(home.path()).await;
    let dir = kept.path().join("backup");
    daemon.operate(&format!("/v0/store/backup?dir={}", dir.display())).await.unwrap();
    let before = pages(&daemon).await;
    let journal = file(&daemon, "journal");
    daemon.stop().await;
    std::fs::remove_dir_all(&journal).unwrap();
    std::fs::write(&journal, "no directory").unwrap();

    let daemon = Daemon::start(home.path(), DEAD).await;
    assert_eventually!(daemon.get("/v0/status").await["proxy"]["bypass"] == true, "it does not open");
    assert_eq!(daemon.api("POST /v0/store/verify").await.0, 503);
    daemon.operate(&format!("/v0/store/restore?dir={}", dir.display())).await.unwrap();
    assert_eq!(pages(&daemon).await, before);
    assert_eq!(daemon.get("/v0/status").await["proxy"]["bypass"], false);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_gives_the_same_views() {
    let home = home();
    let daemon = recorded(home.path()).await;
    let before = pages(&daemon).await;
    let rebuilt = daemon.operate("/v0/store/rebuild").await.unwrap();
    assert_eq!(rebuilt["records"], 5, "{rebuilt}");
    assert_eq!(pages(&daemon).await, before);
    assert_eq!(daemon.operate("/v0/store/verify").await.unwrap()["ok"], true);
    assert_eq!(daemon.api("POST /v0/store/prune?max_bytes=x").await.0, 400);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_during_a_restore_is_recorded_before_or_after_it_or_refused() {
    let (home, kept) = (home(), home());
    let daemon = recorded(home.path()).await;
    let dir = kept.path().join("backup");
    daemon.operate(&format!("/v0/store/backup?dir={}", dir.display())).await.unwrap();
    let restore = format!("/v0/store/restore?dir={}", dir.display());
    let (mut acknowledged, mut n) = (Vec::new(), 1_000);
    let mut restoring = Box::pin(daemon.operate(&restore));
    let previous = loop {
        let body = event("s-9", "UserPromptSubmit", n);
        tokio::select! {
            restored = &mut restoring => break restored.unwrap()["previous"].as_str().unwrap().to_owned(),
            status = daemon.hook(n, &body) => {
                if status == Status::Durable {
                    acknowledged.push(ccd::ingest::record::HookV1::record_id(daemon.app.scrub.ids(), n, body.to_string().as_bytes()));
                }
            }
        }
        n += 1;
    };
    drop(restoring);
    assert!(!acknowledged.is_empty());
    let store = daemon.app.layout.store_dir();
    daemon.stop().await;
    let before = home.path().join("before");
    std::fs::create_dir(&before).unwrap();
    std::fs::rename(previous, before.join("v1")).unwrap();
    let mut recorded = std::collections::HashSet::new();
    for dir in [before, store] {
        let store = ccd_store::Store::open(&dir, ccd_store::Options::default()).unwrap().store;
        let mut keep = |record: ccd_store::Record| {
            recorded.insert(record.id);
            Ok(())
        };
        store.reader().replay(1, &mut keep).unwrap();
    }
    assert!(acknowledged.iter().all(|id| recorded.contains(id)), "acknowledged is recorded");
}
