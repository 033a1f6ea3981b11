//! The note from which a hook event brings this daemon back, written where nobody else does: see
//! [`ccd_proto::revival`].
//!
//! Invariants: it is there from the moment that a daemon in the background serves until somebody asks it to end, or to
//! retire; a kill, a panic, want of memory and the end of the machine leave it. It appears whole or not at all.

use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;

use ccd_proto::revival::{Note, REVIVED, is_carried};

/// What is written down: the program, and what it needs of `vars`, its environment.
///
/// `listen` is where it is found, for one that was free to choose: whoever holds its URL looks for it there.
#[must_use]
pub fn note(
    program: &Path,
    vars: impl Iterator<Item = (OsString, OsString)>,
    listen: Option<SocketAddr>,
) -> Note {
    let mut vars: Vec<_> = vars.filter(|(name, _)| is_carried(name)).collect();
    if let Some(listen) = listen {
        vars.retain(|(name, _)| name != "CCD_PROXY_LISTEN");
        vars.push(("CCD_PROXY_LISTEN".into(), listen.to_string().into()));
    }
    vars.push((REVIVED.into(), "1".into()));
    Note { program: program.into(), vars }
}

/// Writes a note in the place of the one before. A daemon serves as well without: it is said in the log.
pub fn write(path: &Path, note: &Note) {
    let written = match note.encode() {
        Some(bytes) => replace(path, &bytes),
        None => Err(std::io::Error::new(ErrorKind::InvalidInput, "the environment is too long, or no text")),
    };
    if let Err(error) = written {
        tracing::warn!(%error, "no hook event can bring this daemon back after a kill: the note cannot be written");
        // The one before names another program, or another environment.
        forget(path);
    }
}

fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let aside = path.with_extension("new");
    // Of one that was killed here; a new file, so that its mode is ours.
    let _ = std::fs::remove_file(&aside);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
    file.write_all(bytes)?;
    // Its time is that of the last try: there was none.
    file.set_modified(SystemTime::UNIX_EPOCH)?;
    file.sync_all()?;
    std::fs::rename(&aside, path)
}

/// Takes the note away: nobody shall bring this daemon back.
pub fn forget(path: &Path) {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::warn!(%error, "the note cannot be removed: the next hook event starts this daemon again");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn vars() -> impl Iterator<Item = (OsString, OsString)> {
        let vars = [("HOME", "/h"), ("CCD_PROXY_LISTEN", "127.0.0.1:0"), ("ANTHROPIC_API_KEY", "secret")];
        vars.into_iter().map(|(name, value)| (name.into(), value.into()))
    }

    fn shown(note: &Note) -> Vec<String> {
        note.vars.iter().map(|(name, value)| format!("{}={}", name.display(), value.display())).collect()
    }

    #[test]
    fn what_a_daemon_needs_is_written_down_and_no_more() {
        let kept = note(Path::new("/ccd"), vars(), None);
        assert_eq!(shown(&kept), ["HOME=/h", "CCD_PROXY_LISTEN=127.0.0.1:0", "CCD_REVIVED=1"]);
        let found = note(Path::new("/ccd"), vars(), Some("127.0.0.1:77".parse().unwrap()));
        assert_eq!(shown(&found), ["HOME=/h", "CCD_PROXY_LISTEN=127.0.0.1:77", "CCD_REVIVED=1"]);
        // Brought back, it is written down the same way.
        assert_eq!(note(Path::new("/ccd"), kept.vars.clone().into_iter(), None), kept);
    }

    #[test]
    fn it_is_private_whole_and_gone_when_it_is_taken_away() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("revival");
        std::fs::write(path.with_extension("new"), "of one that was killed").unwrap();
        for program in ["/one", "/two"] {
            let note = note(Path::new(program), vars(), None);
            write(&path, &note);
            let meta = std::fs::metadata(&path).unwrap();
            assert_eq!(meta.permissions().mode() & 0o7777, 0o600);
            assert_eq!(meta.modified().unwrap(), SystemTime::UNIX_EPOCH);
            assert_eq!(Note::decode(&std::fs::read(&path).unwrap()), Some(note));
        }
        // What cannot be written leaves nothing that is wrong.
        write(&path, &note(Path::new("/a\0b"), vars(), None));
        assert_eq!(std::fs::read_dir(tmp.path()).unwrap().count(), 0);
        forget(&path);
    }
}
