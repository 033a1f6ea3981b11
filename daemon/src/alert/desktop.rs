//! Shows a notification, by the program that the system has for it.
//!
//! Must never run a shell, or make what is shown a part of a script.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::config::Desktop;

/// How long a notification's program may run.
const PATIENCE: Duration = Duration::from_secs(5);

/// Shows it, where something can, and waits for that a bounded time. For a thread of its own.
pub(super) fn show(desktop: &Desktop, title: &str, text: &str) {
    if let Some(mut command) = command(desktop, title, text) {
        run(&mut command);
    }
}

/// The program that shows a notification, where there is one.
fn command(desktop: &Desktop, title: &str, text: &str) -> Option<Command> {
    let find = |name: &str| {
        std::env::split_paths(&desktop.path)
            .map(|dir| dir.join(name))
            .find(|p| p.is_absolute() && is_program(p))
    };
    let mut args: Vec<OsString> = Vec::new();
    let program = if let Some(program) = find("notify-send") {
        args.extend(["--app-name=ccd", "--", title, text].map(OsString::from));
        program
    } else {
        // The words are arguments of the script, and never part of it.
        let script = "display notification (item 2 of argv) with title (item 1 of argv)";
        args.extend(
            ["-e", "on run argv", "-e", script, "-e", "end run", "--", title, text].map(OsString::from),
        );
        find("osascript")?
    };
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
    if let Some(bus) = desktop.bus.as_deref().filter(|bus| is_there(bus)) {
        command.env("DBUS_SESSION_BUS_ADDRESS", bus);
    }
    Some(command)
}

fn is_program(path: &PathBuf) -> bool {
    fs_err::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn is_there(bus: &OsStr) -> bool {
    bus.to_str()
        .and_then(|bus| bus.strip_prefix("unix:path="))
        .is_some_and(|path| fs_err::metadata(path).is_ok())
}

/// Runs it to its end, or until it has taken too long.
fn run(command: &mut Command) {
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return tracing::debug!(%error, "no notification"),
    };
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        match child.try_wait() {
            Ok(None) => std::thread::sleep(Duration::from_millis(20)),
            Ok(Some(status)) if !status.success() => {
                return tracing::debug!(%status, "a notification was not shown");
            }
            Ok(Some(_)) | Err(_) => return,
        }
    }
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_no_option_and_no_script() {
        let dir = tempfile::tempdir().unwrap();
        let desktop = Desktop { path: dir.path().into(), bus: Some("unix:path=/nonexistent".into()) };
        assert!(command(&desktop, "--title", "text").is_none());
        for (name, dashes) in [("osascript", 6), ("notify-send", 1)] {
            let program = dir.path().join(name);
            std::fs::write(&program, "").unwrap();
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
            let command = command(&desktop, "--title", "text").unwrap();
            let args: Vec<_> = command.get_args().collect();
            assert_eq!(args[dashes..], ["--", "--title", "text"], "{name}");
            assert_eq!(command.get_envs().count(), 0);
        }
    }
}
