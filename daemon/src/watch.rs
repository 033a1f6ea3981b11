//! What the system tells of changes in directories: one watcher for the whole daemon, because a user has only so many.
//!
//! An event is a hint and nothing more: whoever hears of one looks at the files. Where the system cannot watch
//! (limits, network file systems), a slow clock stands in for it. Listeners hear everything that anybody's directories
//! bring, and pick what is theirs; they must not block.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use notify::{Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// How often to look where the system cannot tell.
pub const POLL: Duration = Duration::from_secs(60);

/// What a watcher hands its events to.
pub type Handler = Box<dyn FnMut(notify::Result<Event>) + Send>;
/// Makes a watcher.
pub type Make = Box<dyn Fn(Handler) -> notify::Result<Box<dyn Watcher + Send>> + Send + Sync>;

type Listener = Arc<dyn Fn(&notify::Result<Event>) + Send + Sync>;
type Listeners = Arc<Mutex<Vec<(u64, Listener)>>>;

/// The system's own watcher, which follows no links.
#[must_use]
pub fn of_system() -> Make {
    Box::new(|handler| {
        let watcher = RecommendedWatcher::new(handler, Config::default().with_follow_symlinks(false))?;
        Ok(Box::new(watcher))
    })
}

/// The daemon's one watcher. It is made when something is watched for the first time.
pub struct Watches {
    make: Make,
    listeners: Listeners,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    watcher: Option<Box<dyn Watcher + Send>>,
    /// Whose directories are watched, and how.
    dirs: Vec<(u64, PathBuf, RecursiveMode)>,
    last: u64,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watches {
    /// Watches nothing yet.
    #[must_use]
    pub fn new(make: Make) -> Arc<Self> {
        Arc::new(Watches { make, listeners: Arc::default(), inner: Mutex::default() })
    }

    /// Has a listener hear of changes, as long as what is returned lives.
    ///
    /// # Errors
    ///
    /// The system gives no watcher.
    pub fn listen(
        self: &Arc<Self>,
        listener: impl Fn(&notify::Result<Event>) + Send + Sync + 'static,
    ) -> notify::Result<Watch> {
        let mut inner = locked(&self.inner);
        if inner.watcher.is_none() {
            let listeners = Arc::clone(&self.listeners);
            let handler = Box::new(move |event: notify::Result<Event>| {
                let all: Vec<Listener> = locked(&listeners).iter().map(|(_, one)| Arc::clone(one)).collect();
                for listener in &all {
                    listener(&event);
                }
            });
            inner.watcher = Some((self.make)(handler)?);
        }
        inner.last += 1;
        let id = inner.last;
        locked(&self.listeners).push((id, Arc::new(listener)));
        Ok(Watch { watches: Arc::clone(self), id })
    }
}

/// A listener and its directories. Dropping it may wait for the watcher's thread.
pub struct Watch {
    watches: Arc<Watches>,
    id: u64,
}

impl Watch {
    /// Watches a directory too.
    ///
    /// # Errors
    ///
    /// The system cannot.
    pub fn add(&self, dir: &Path, mode: RecursiveMode) -> notify::Result<()> {
        let mut inner = locked(&self.watches.inner);
        let Some(watcher) = &mut inner.watcher else { return Ok(()) };
        watcher.watch(dir, mode)?;
        inner.dirs.push((self.id, dir.to_owned(), mode));
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        locked(&self.watches.listeners).retain(|(id, _)| *id != self.id);
        let mut inner = locked(&self.watches.inner);
        let Inner { watcher: Some(watcher), dirs, .. } = &mut *inner else { return };
        let gone: Vec<PathBuf> =
            dirs.iter().filter(|(id, ..)| *id == self.id).map(|(_, dir, _)| dir.clone()).collect();
        dirs.retain(|(id, ..)| *id != self.id);
        for dir in &gone {
            // It may have gone by itself.
            let _ = watcher.unwatch(dir);
        }
        // What others watch there too went with it.
        for (_, dir, mode) in dirs.iter().filter(|(_, dir, _)| gone.iter().any(|g| dir.starts_with(g))) {
            let _ = watcher.watch(dir, *mode);
        }
    }
}

/// Tells `config` of changes to the configuration file, and `spool` of files that appear in the spool.
///
/// # Errors
///
/// The system cannot watch one of the two.
pub fn start(
    watches: &Arc<Watches>,
    config_file: &Path,
    spool_dir: &Path,
    config: Arc<Notify>,
    spool: Arc<Notify>,
) -> notify::Result<Watch> {
    let (config_path, spool_path) = (config_file.to_owned(), spool_dir.to_owned());
    let watch = watches.listen(move |event| {
        let Ok(event) = event else {
            // Events were lost: look at everything.
            config.notify_one();
            spool.notify_one();
            return;
        };
        if matches!(event.kind, EventKind::Access(_)) && !event.need_rescan() {
            return;
        }
        let is_config = |p: &PathBuf| p.file_name() == config_path.file_name();
        if event.need_rescan() || event.paths.iter().any(is_config) {
            config.notify_one();
        }
        let appeared = !matches!(event.kind, EventKind::Remove(_));
        let is_event = |p: &PathBuf| {
            p.starts_with(&spool_path)
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
        watch.add(dir, RecursiveMode::NonRecursive)?;
    }
    watch.add(spool_dir, RecursiveMode::NonRecursive)?;
    Ok(watch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::WatcherKind;

    /// Remembers what it was told, and passes on what it is given.
    #[derive(Clone, Default)]
    struct Fake(Arc<Mutex<Vec<String>>>);

    impl Watcher for Fake {
        fn new<F: notify::EventHandler>(_: F, _: Config) -> notify::Result<Self> {
            Ok(Fake::default())
        }
        fn watch(&mut self, path: &Path, mode: RecursiveMode) -> notify::Result<()> {
            if path.ends_with("full") {
                return Err(notify::Error::new(notify::ErrorKind::MaxFilesWatch));
            }
            locked(&self.0).push(format!("+{} {}", path.display(), mode == RecursiveMode::Recursive));
            Ok(())
        }
        fn unwatch(&mut self, path: &Path) -> notify::Result<()> {
            locked(&self.0).push(format!("-{}", path.display()));
            Ok(())
        }
        fn kind() -> WatcherKind {
            WatcherKind::NullWatcher
        }
    }

    #[test]
    fn one_watcher_for_all_and_nobody_loses_anothers_directory() {
        let fake = Fake::default();
        let made = Arc::new(Mutex::new(Vec::<Handler>::new()));
        let (keep, given) = (Arc::clone(&made), fake.clone());
        let watches = Watches::new(Box::new(move |handler| {
            locked(&keep).push(handler);
            Ok(Box::new(given.clone()))
        }));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hear = |name: &'static str| {
            let heard = Arc::clone(&heard);
            watches.listen(move |_| locked(&heard).push(name)).unwrap()
        };
        let (one, two) = (hear("one"), hear("two"));
        one.add(Path::new("/a"), RecursiveMode::Recursive).unwrap();
        two.add(Path::new("/a/b"), RecursiveMode::NonRecursive).unwrap();
        assert!(two.add(Path::new("/full"), RecursiveMode::Recursive).is_err());
        locked(&made)[0](Ok(Event::new(EventKind::Any)));
        assert_eq!(*locked(&heard), ["one", "two"]);
        drop(one);
        locked(&made)[0](Ok(Event::new(EventKind::Any)));
        assert_eq!(*locked(&heard), ["one", "two", "two"]);
        assert_eq!(locked(&made).len(), 1, "there is one watcher");
        drop(two);
        assert_eq!(*locked(&fake.0), ["+/a true", "+/a/b false", "-/a", "+/a/b false", "-/a/b"]);
    }
}
