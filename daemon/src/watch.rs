//! Watches the two directories that others write into: the configuration's and the spool's.
//!
//! An event is a hint and nothing more: whoever is notified looks at the files. Where the system cannot watch
//! (limits, network file systems), a slow clock stands in for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// How often to look where the system cannot tell.
pub const POLL: Duration = Duration::from_secs(60);

/// Watches as long as it lives.
pub struct Watch {
    _watcher: RecommendedWatcher,
}

/// Tells `config` of changes to the configuration file, and `spool` of files that appear in the spool.
pub fn start(
    config_file: &Path,
    spool_dir: &Path,
    config: Arc<Notify>,
    spool: Arc<Notify>,
) -> notify::Result<Watch> {
    let name = config_file.file_name().map(ToOwned::to_owned);
    let spool_dir_of_events: PathBuf = spool_dir.to_owned();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else {
            // Events were lost: look at everything.
            config.notify_one();
            spool.notify_one();
            return;
        };
        if matches!(event.kind, EventKind::Access(_)) && !event.need_rescan() {
            return;
        }
        if event.need_rescan() || event.paths.iter().any(|p| p.file_name() == name.as_deref()) {
            config.notify_one();
        }
        let appeared = !matches!(event.kind, EventKind::Remove(_));
        let is_event = |p: &PathBuf| {
            p.starts_with(&spool_dir_of_events)
                && p.extension().is_some_and(|e| {
                    e == "frame" || e == crate::source::kept::EXTENSION || e == crate::source::gap::EXTENSION
                })
        };
        if event.need_rescan() || (appeared && event.paths.iter().any(is_event)) {
            spool.notify_one();
        }
    })?;
    // The directory, not the file: editors replace files.
    if let Some(dir) = config_file.parent() {
        watcher.watch(dir, RecursiveMode::NonRecursive)?;
    }
    watcher.watch(spool_dir, RecursiveMode::NonRecursive)?;
    Ok(Watch { _watcher: watcher })
}
