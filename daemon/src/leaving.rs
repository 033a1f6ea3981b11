//! The last act of a daemon whose installation was taken back while sessions still needed it: its process becomes the
//! `ccctl uninstall --finish` that removes what could not go while the daemon ran: programs, sockets, run directory.
//!
//! `ccctl uninstall` leaves a note that names the program. Without a note nothing happens. Nobody else has to stay for
//! this, and no login session has to outlive the daemon.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use ccd_proto::paths::Layout;
use serde::Deserialize;

/// The part of the note that matters here.
#[derive(Deserialize)]
struct Note {
    ccctl: PathBuf,
}

/// The command that the note asks for, if there is one.
fn command(layout: &Layout) -> Option<Command> {
    let note: Note = serde_json::from_slice(&std::fs::read(layout.leaving_note()).ok()?).ok()?;
    if !note.ccctl.is_absolute() {
        return None;
    }
    let mut command = Command::new(note.ccctl);
    command.args(["uninstall", "--finish"]);
    Some(command)
}

/// Becomes the program that finishes an uninstallation, if one is to be finished. Comes back only where it is not, or where
/// that program is gone.
#[must_use]
pub fn finish(layout: &Layout) -> Option<io::Error> {
    Some(command(layout)?.exec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_note_that_names_a_program_asks_for_anything() {
        let home = tempfile::tempdir().unwrap();
        let of_home = |name: &str| (name == "CCD_HOME").then(|| home.path().as_os_str().to_owned());
        let layout = Layout::resolve(of_home).unwrap();
        assert!(command(&layout).is_none());
        std::fs::create_dir_all(&layout.state_dir).unwrap();
        for (note, wanted) in [
            ("", None),
            ("{}", None),
            (r#"{"ccctl":"ccctl"}"#, None),
            (r#"{"ccctl":"/opt/ccctl","files":[]}"#, Some("/opt/ccctl")),
        ] {
            std::fs::write(layout.leaving_note(), note).unwrap();
            let found = command(&layout).map(|command| command.get_program().to_owned());
            assert_eq!(found.as_deref(), wanted.map(std::ffi::OsStr::new), "{note}");
        }
        std::fs::write(layout.leaving_note(), r#"{"ccctl":"/nowhere/ccctl"}"#).unwrap();
        assert_eq!(finish(&layout).map(|e| e.kind()), Some(io::ErrorKind::NotFound));
    }
}
