//! Brings a killed daemon back, where no service manager does: nobody holds the port then, and Claude Code cannot
//! reach its API.
//!
//! The daemon leaves a note of how it was started, and takes it away when somebody asks it to end; that the note is
//! there while the socket is dead means that it was killed. What is started looks after itself: it leaves this session,
//! and steps back where another daemon runs.
//!
//! Invariants: nothing is waited for, nothing is printed; over all hooks at most one try per [`PAUSE`], whatever the
//! clock does; a note or a program that somebody else could have written is not used.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::SystemTime;

use ccd_proto::paths::revival_note;
use ccd_proto::revival::{MAX_NOTE, Note, PAUSE};

#[allow(unsafe_code, reason = "std does not tell the user, and this program links nothing but std")]
// SAFETY: POSIX's `geteuid` takes nothing, always succeeds, and returns a `uid_t`: 32 bits without sign on Linux and
// macOS alike.
unsafe extern "C" {
    safe fn geteuid() -> u32;
}

/// Starts the daemon again if it was killed. `None` where it is not to be, or cannot.
pub(crate) fn revive(socket: &Path, spool_dir: &Path) -> Option<()> {
    // What is in the socket's place keeps the daemon from serving: only a person can mend that.
    if std::fs::symlink_metadata(socket).is_ok_and(|found| !found.file_type().is_socket()) {
        return None;
    }
    let path = revival_note(spool_dir);
    let (file, note) = read(&path, geteuid())?;
    claim(&file, SystemTime::now())?;
    let mut command = Command::new(&note.program);
    command.arg("start").env_clear().current_dir("/").process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.envs(note.vars);
    command.spawn().ok().map(drop)
}

/// The note, if it and the program that it names are `user`'s and nobody else can have written them.
fn read(path: &Path, user: u32) -> Option<(File, Note)> {
    let dir = std::fs::symlink_metadata(path.parent()?).ok()?;
    if !dir.is_dir() || dir.uid() != user || dir.mode() & 0o022 != 0 {
        return None;
    }
    let is_ours = |found: &Metadata| {
        found.is_file()
            && found.uid() == user
            && found.mode() & 0o7777 == 0o600
            && found.len() <= MAX_NOTE as u64
    };
    // Looked at before it is opened: a pipe in its place would block.
    let found = std::fs::symlink_metadata(path).ok().filter(is_ours)?;
    let file = File::open(path).ok()?;
    let opened = file.metadata().ok().filter(is_ours)?;
    if (opened.dev(), opened.ino()) != (found.dev(), found.ino()) {
        return None;
    }
    let mut bytes = Vec::new();
    (&file).take(MAX_NOTE as u64 + 1).read_to_end(&mut bytes).ok()?;
    let note = Note::decode(&bytes)?;
    let program = std::fs::metadata(&note.program).ok()?;
    let is_safe = note.program.is_absolute()
        && program.is_file()
        && program.mode() & 0o111 != 0
        && program.mode() & 0o002 == 0
        && [user, 0].contains(&program.uid());
    is_safe.then_some((file, note))
}

/// Takes the one try of this while. The note's time is that of the last try; the daemon that writes it sets it to long
/// ago.
fn claim(note: &File, now: SystemTime) -> Option<()> {
    // Held until this process ends: whoever else comes meanwhile leaves it to us.
    note.try_lock().ok()?;
    // A time to come was set by a clock that was put back since: it says nothing.
    let last = note.metadata().ok()?.modified().ok()?;
    if now.duration_since(last).is_ok_and(|ago| ago < PAUSE) {
        return None;
    }
    note.set_modified(now).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;
    use std::time::Duration;

    struct Place {
        dir: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            let place = Place { dir: tempfile::tempdir().unwrap() };
            mode(place.dir.path(), 0o700);
            std::fs::write(place.program(), "#!/bin/sh\n").unwrap();
            mode(&place.program(), 0o755);
            place.note(&place.program());
            place
        }

        fn program(&self) -> PathBuf {
            self.dir.path().join("ccd")
        }

        fn path(&self) -> PathBuf {
            self.dir.path().join("revival")
        }

        fn note(&self, program: &Path) {
            let note = Note { program: program.into(), vars: vec![("A".into(), "b".into())] };
            std::fs::write(self.path(), note.encode().unwrap()).unwrap();
            mode(&self.path(), 0o600);
        }

        fn is_read(&self) -> bool {
            read(&self.path(), geteuid()).is_some()
        }
    }

    fn mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_note_that_is_ours_alone_is_read() {
        let place = Place::new();
        let (_, note) = read(&place.path(), geteuid()).unwrap();
        assert_eq!((note.program, note.vars), (place.program(), vec![("A".into(), "b".into())]));
        assert!(read(&place.path(), geteuid() + 1).is_none(), "of another user");
    }

    #[test]
    fn what_somebody_else_could_have_written_is_not_used() {
        type Case = (&'static str, fn(&Place));
        let cases: [Case; 11] = [
            ("the directory", |p| mode(p.dir.path(), 0o770)),
            ("a note that others read", |p| mode(&p.path(), 0o640)),
            ("a note that others write", |p| mode(&p.path(), 0o602)),
            ("a note that is too long", |p| {
                std::fs::write(p.path(), vec![0; MAX_NOTE + 1]).unwrap();
            }),
            ("no note", |p| std::fs::write(p.path(), "x").unwrap()),
            ("a link", |p| {
                std::fs::rename(p.path(), p.dir.path().join("other")).unwrap();
                symlink("other", p.path()).unwrap();
            }),
            ("a directory", |p| {
                std::fs::remove_file(p.path()).unwrap();
                std::fs::create_dir(p.path()).unwrap();
            }),
            ("a relative program", |p| p.note(Path::new("ccd"))),
            ("a program that all may write", |p| mode(&p.program(), 0o757)),
            ("a program that nobody may run", |p| mode(&p.program(), 0o644)),
            ("no program", |p| std::fs::remove_file(p.program()).unwrap()),
        ];
        for (what, spoil) in cases {
            let place = Place::new();
            assert!(place.is_read());
            spoil(&place);
            assert!(!place.is_read(), "{what}");
            mode(place.dir.path(), 0o700);
        }
    }

    #[test]
    fn one_try_at_a_time_and_then_none_for_a_while_whatever_the_clock_does() {
        let place = Place::new();
        let open = || File::open(place.path()).unwrap();
        let now = SystemTime::now();
        open().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let first = open();
        assert!(claim(&first, now).is_some());
        assert!(claim(&open(), now + 2 * PAUSE).is_none(), "while another one is at it");
        drop(first);
        assert!(claim(&open(), now + PAUSE / 2).is_none(), "too soon");
        assert!(claim(&open(), now + PAUSE).is_some());
        assert!(claim(&open(), now + PAUSE).is_none());
        // Put back by a day, the clock would otherwise keep everybody from trying for a day.
        let back = now - Duration::from_secs(86_400);
        assert!(claim(&open(), back).is_some());
        assert!(claim(&open(), back).is_none());
    }

    #[test]
    fn what_is_no_socket_in_its_place_starts_nothing() {
        let place = Place::new();
        let (socket, spool) = (place.dir.path().join("hook.sock"), place.dir.path().join("spool"));
        std::fs::create_dir(&socket).unwrap();
        assert!(revive(&socket, &spool).is_none());
        std::fs::remove_dir(&socket).unwrap();
        symlink("nowhere", &socket).unwrap();
        assert!(revive(&socket, &spool).is_none());
        std::fs::remove_file(&socket).unwrap();
        File::open(place.path()).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert!(revive(&socket, &spool).is_some());
        assert!(revive(&socket, &spool).is_none(), "and once only");
    }
}
