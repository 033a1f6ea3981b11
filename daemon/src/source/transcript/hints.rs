//! What the system tells of changes below the roots: hints, and nothing more. Whoever gets one looks at the files.
//!
//! A root that is not there is waited for in the nearest directory above it that is; nothing is scanned for that.
//! Must never touch a file, and never hold more than a bounded number of hints: beyond that, everything is looked at.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::{CreateKind, ModifyKind};
use notify::{Event, EventKind, RecursiveMode};
use tokio::sync::Notify;

use super::discover::part_of;
use crate::watch::{self, Watches};

/// Hints held at most.
const MOST: usize = 4096;

/// What changed.
#[derive(Debug, Default)]
pub struct Changes {
    /// Files that were written, and directories that appeared.
    pub paths: HashSet<PathBuf>,
    /// Hints were lost: everything is to be looked at.
    pub all: bool,
    /// A root appeared, went away or was replaced: the watching has to begin again.
    pub roots: bool,
    /// The system cannot watch everything, and why.
    pub error: Option<String>,
}

/// Where hints wait.
#[derive(Debug, Default)]
pub struct Hints {
    changes: Mutex<Changes>,
    /// There are some.
    pub come: Notify,
}

impl Hints {
    /// Takes what there is.
    pub fn take(&self) -> Changes {
        std::mem::take(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, change: impl FnOnce(&mut Changes)) {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut changes);
        if changes.paths.len() > MOST {
            changes.paths = HashSet::new();
            changes.all = true;
        }
        drop(changes);
        self.come.notify_one();
    }

    fn hear(&self, roots: &[PathBuf], event: &notify::Result<Event>) {
        let event = match event {
            Ok(event) => event,
            Err(error) => return self.add(|c| (c.all, c.error) = (true, Some(in_words(error)))),
        };
        if event.need_rescan() {
            return self.add(|c| c.all = true);
        }
        if matches!(event.kind, EventKind::Access(_) | EventKind::Modify(ModifyKind::Metadata(_))) {
            return;
        }
        let gone = matches!(event.kind, EventKind::Remove(_));
        let appears = matches!(
            event.kind,
            EventKind::Create(CreateKind::Folder | CreateKind::Any) | EventKind::Modify(ModifyKind::Name(_))
        );
        for path in &event.paths {
            let above = roots.iter().any(|root| root.starts_with(path));
            if above {
                if gone || appears {
                    self.add(|c| c.roots = true);
                }
            } else if gone && part_of(path).is_some() {
                // Which file it was is not told: what is there is counted again.
                self.add(|c| c.all = true);
            } else if !gone
                && (appears || part_of(path).is_some())
                && roots.iter().any(|root| path.starts_with(root))
            {
                self.add(|c| c.paths.extend([path.clone()]));
            }
        }
    }
}

fn in_words(error: &notify::Error) -> String {
    match error.kind {
        notify::ErrorKind::MaxFilesWatch => {
            "the system watches no more directories (fs.inotify.max_user_watches): looking now and then instead".into()
        }
        _ => format!("cannot watch: {error}"),
    }
}

/// Watches as long as it lives.
pub struct Watch {
    _heard: watch::Watch,
    /// Those of the roots that are watched.
    pub watched: Vec<PathBuf>,
    /// Why not all of them are, if so.
    pub error: Option<String>,
}

/// Watches the roots, and what they lie in.
pub fn watch(watches: &Arc<Watches>, roots: &[PathBuf], hints: &Arc<Hints>) -> notify::Result<Watch> {
    let (told, of) = (Arc::clone(hints), roots.to_vec());
    let watch = watches.listen(move |event| told.hear(&of, event))?;
    let (mut armed, mut failed) = (Vec::new(), None);
    for root in roots {
        // First what it lies in: it may go away and come again.
        if let Some(dir) = root.ancestors().skip(1).find(|dir| dir.is_dir())
            && let Err(error) = watch.add(dir, RecursiveMode::NonRecursive)
        {
            failed = Some(in_words(&error));
        }
        if !root.is_dir() {
            continue;
        }
        match watch.add(&real(root), RecursiveMode::Recursive) {
            Ok(()) => armed.push(root.clone()),
            Err(error) => failed = Some(in_words(&error)),
        }
    }
    Ok(Watch { _heard: watch, watched: armed, error: failed })
}

/// The root, with a slash behind it where it is a link: links are not followed otherwise.
fn real(root: &Path) -> PathBuf {
    if root.is_symlink() { root.join("") } else { root.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{AccessKind, DataChange, Flag, RemoveKind};

    fn heard(kind: EventKind, path: &str) -> Changes {
        let hints = Hints::default();
        hints.hear(&[PathBuf::from("/h/.claude/projects")], &Ok(Event::new(kind).add_path(path.into())));
        hints.take()
    }

    #[test]
    fn only_what_matters_is_heard() {
        let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        let made = EventKind::Create(CreateKind::Folder);
        let file = "/h/.claude/projects/-w/s.jsonl";
        assert_eq!(heard(written, file).paths.len(), 1);
        assert_eq!(heard(made, "/h/.claude/projects/-w").paths.len(), 1);
        for (kind, path) in [
            (EventKind::Access(AccessKind::Any), file),
            (EventKind::Remove(RemoveKind::File), "/h/.claude/projects/-w/s/x.txt"),
            (written, "/h/.claude/projects/-w/s/tool-results/x.txt"),
            (written, "/h/.claude/history.jsonl"),
            (written, "/h/.claude"),
            (made, "/h/.claude/shell-snapshots"),
        ] {
            let changes = heard(kind, path);
            assert!(changes.paths.is_empty() && !changes.roots && !changes.all, "{kind:?} {path}");
        }
        assert!(heard(made, "/h/.claude/projects").roots && heard(made, "/h/.claude").roots);
        assert!(heard(EventKind::Remove(RemoveKind::File), file).all);
        assert!(heard(EventKind::Remove(RemoveKind::Folder), "/h/.claude/projects").roots);
    }

    #[test]
    fn too_much_is_everything() {
        let hints = Hints::default();
        for n in 0..=MOST {
            let kind = EventKind::Create(CreateKind::Folder);
            hints.hear(&["/r".into()], &Ok(Event::new(kind).add_path(format!("/r/{n}").into())));
        }
        assert!(hints.take().all);
        hints.hear(&[], &Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan)));
        assert!(hints.take().all);
        hints.hear(&[], &Err(notify::Error::new(notify::ErrorKind::MaxFilesWatch)));
        let changes = hints.take();
        assert!(changes.all && changes.error.unwrap().contains("max_user_watches"));
    }
}
