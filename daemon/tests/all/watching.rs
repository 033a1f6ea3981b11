//! Where the system watches no more directories: it is told, and everything is looked at now and then instead.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::{Daemon, home};
use ccd::watch::{Handler, Make};
use notify::{Config, ErrorKind, EventHandler, RecursiveMode, Watcher, WatcherKind};

/// Watches nothing, and refuses directory trees as the system does at its limit.
struct Full(Arc<AtomicBool>);

impl Watcher for Full {
    fn new<F: EventHandler>(_: F, _: Config) -> notify::Result<Self> {
        Err(notify::Error::new(ErrorKind::MaxFilesWatch))
    }
    fn watch(&mut self, _: &Path, mode: RecursiveMode) -> notify::Result<()> {
        if mode == RecursiveMode::Recursive && self.0.load(Ordering::Relaxed) {
            return Err(notify::Error::new(ErrorKind::MaxFilesWatch));
        }
        Ok(())
    }
    fn unwatch(&mut self, _: &Path) -> notify::Result<()> {
        Ok(())
    }
    fn kind() -> WatcherKind {
        WatcherKind::NullWatcher
    }
}

const LINE: &str = concat!(
    r#"{"type":"user","uuid":"u","sessionId":"s","cwd":"/w","timestamp":"2026-05-01T10:00:00Z","#,
    r#""message":{"role":"user","content":"do it"}}"#,
    "\n"
);

/// A home with one session's transcript.
fn with_transcript() -> tempfile::TempDir {
    let home = home();
    let root = home.path().join("projects");
    std::fs::create_dir_all(root.join("-w")).unwrap();
    std::fs::write(root.join("-w/s.jsonl"), LINE).unwrap();
    let dir = home.path().to_owned();
    let env = move |name: &str| (name == "CCD_HOME").then(|| dir.clone().into_os_string());
    let file = ccd_proto::paths::Layout::resolve(&env).unwrap().config_file;
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, format!("[transcripts]\nroots = [{:?}]\n", root.display().to_string())).unwrap();
    home
}

async fn falls_back(watcher: Make, full: Option<&AtomicBool>) {
    let home = with_transcript();
    let daemon = Daemon::start_watching(home.path(), watcher).await;
    let taken = async |bytes: usize| daemon.get("/v0/status").await["transcripts"]["imported_bytes"] == bytes;
    assert_eventually!(taken(LINE.len()).await, "what is there is taken all the same");
    let told = daemon.get("/v0/status").await["transcripts"].clone();
    assert_eq!(
        (told["state"].as_str(), told["roots"][0]["watched"].as_bool()),
        (Some("sweeping"), Some(false)),
        "{told}"
    );
    let error = told["error"].as_str().unwrap();
    assert!(error.contains("max_user_watches") || error.contains("cannot watch"), "{told}");

    // A sweep finds what came, and tries to watch again.
    std::fs::write(home.path().join("projects/-w/t.jsonl"), LINE).unwrap();
    if let Some(full) = full {
        full.store(false, Ordering::Relaxed);
    }
    daemon.app.transcripts.look();
    assert_eventually!(taken(2 * LINE.len()).await, "everything is looked at");
    let wanted = if full.is_some() { "following" } else { "sweeping" };
    assert_eventually!(daemon.get("/v0/status").await["transcripts"]["state"] == wanted, "it is {wanted}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_directories_are_looked_at_now_and_then() {
    let full = Arc::new(AtomicBool::new(true));
    let given = Arc::clone(&full);
    falls_back(Box::new(move |_: Handler| Ok(Box::new(Full(Arc::clone(&given))))), Some(&full)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_are_all_where_the_system_gives_no_watcher() {
    falls_back(Box::new(|_: Handler| Err(notify::Error::generic("no more instances"))), None).await;
}
