//! The Claude Code processes of this user that run now, and what of their surroundings decides whether they are
//! recorded. Linux only: elsewhere none are found.
//!
//! Of their environment two variables are looked at, and nothing of any other is kept or shown: it holds the user's
//! keys.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ccd_proto::paths::claude_config_dirs;

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// When it started, seconds since the Unix epoch; none where that cannot be told.
    pub started_s: Option<u64>,
    /// The configuration directories that it uses.
    pub config_dirs: Vec<PathBuf>,
}

/// The processes of `uid`, lowest id first. `proc` is `/proc`.
#[must_use]
pub fn processes(proc: &Path, uid: u32) -> Vec<Process> {
    let boot_s = std::fs::read_to_string(proc.join("stat")).ok().and_then(|text| boot_time(&text));
    let ticks = rustix::param::clock_ticks_per_second();
    let mut found = Vec::new();
    for entry in std::fs::read_dir(proc).into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let dir = entry.path();
        if dir.metadata().map_or(true, |meta| meta.uid() != uid) || !is_claude(&dir) {
            continue;
        }
        // Another one's, or it has ended meanwhile.
        let Ok(environ) = std::fs::read(dir.join("environ")) else { continue };
        let var = |name: &str| variable(&environ, name);
        let stat = std::fs::read_to_string(dir.join("stat")).unwrap_or_default();
        found.push(Process {
            pid,
            started_s: boot_s.zip(start_ticks(&stat)).map(|(boot, at)| boot + at / ticks.max(1)),
            config_dirs: claude_config_dirs(var),
        });
    }
    found.sort_unstable_by_key(|process| process.pid);
    found
}

/// A variable in the form of `/proc/PID/environ`. Empty counts as unset.
fn variable(environ: &[u8], name: &str) -> Option<OsString> {
    let mut lines = environ.split(|byte| *byte == 0);
    let value = lines.find_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    (!value.is_empty()).then(|| OsString::from_vec(value.to_owned()))
}

/// By its program: the native one, which the installer keeps under its version's name, or Node running the package.
fn is_claude(dir: &Path) -> bool {
    let exe = std::fs::read_link(dir.join("exe")).unwrap_or_default();
    let text = exe.as_os_str().as_bytes();
    let text = text.strip_suffix(b" (deleted)").unwrap_or(text);
    let has = |part: &[u8]| text.windows(part.len()).any(|window| window == part);
    if text.ends_with(b"/claude") || has(b"/claude/versions/") {
        return true;
    }
    let line = std::fs::read(dir.join("cmdline")).unwrap_or_default();
    let mut words = line.split(|byte| *byte == 0).skip(1);
    words.next().is_some_and(|script| {
        let package = b"/@anthropic-ai/claude-code/";
        script.windows(package.len()).any(|window| window == package)
    })
}

/// `btime` of `/proc/stat`.
fn boot_time(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// The 22nd field of `/proc/PID/stat`. The second one, the name, may hold anything, closing brackets too.
fn start_ticks(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Home;
    use proptest::prelude::*;

    fn process(home: &Home, pid: u32, exe: &str, cmdline: &str, environ: &str) {
        for (name, text) in [
            ("cmdline", cmdline.to_owned()),
            ("environ", environ.to_owned()),
            ("stat", format!("{pid} (a) b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 500 20")),
        ] {
            home.write(&format!("proc/{pid}/{name}"), text);
        }
        std::os::unix::fs::symlink(exe, home.path().join(format!("proc/{pid}/exe"))).unwrap();
    }

    #[test]
    fn claude_code_is_found_however_it_was_installed_and_nothing_else_is() {
        let home = Home::new();
        home.write("proc/stat", "cpu 1 2\nbtime 1000\n");
        process(&home, 5, "/opt/claude", "claude\0-p\0", "HOME=/h\0ANTHROPIC_API_KEY=secret\0");
        process(&home, 3, "/h/.local/share/claude/versions/2.1.329", "claude\0", "CLAUDE_CONFIG_DIR=/a,/b\0");
        process(
            &home,
            9,
            "/usr/bin/node",
            "node\0/usr/lib/node_modules/@anthropic-ai/claude-code/cli.js\0",
            "HOME=/h\0",
        );
        process(&home, 10, "/opt/claude (deleted)", "claude\0", "HOME=/h\0");
        process(&home, 11, "/usr/bin/vi", "vi\0/x/claude\0", "HOME=/h\0");
        let uid = rustix::process::getuid().as_raw();
        let found = processes(&home.path().join("proc"), uid);
        assert_eq!(found.iter().map(|p| p.pid).collect::<Vec<_>>(), [3, 5, 9, 10]);
        assert_eq!(found[0].config_dirs, [PathBuf::from("/a"), PathBuf::from("/b")]);
        assert_eq!(found[1].config_dirs, [PathBuf::from("/h/.claude")]);
        let ticks = rustix::param::clock_ticks_per_second();
        assert_eq!(found[1].started_s, Some(1000 + 500 / ticks));
        assert!(!format!("{found:?}").contains("secret"));
        assert!(processes(&home.path().join("proc"), uid + 1).is_empty(), "another user's");
        assert!(processes(Path::new("/nowhere"), uid).is_empty());
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in ".{0,120}", bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = start_ticks(&text);
            let _ = boot_time(&text);
            let _ = variable(&bytes, "HOME");
        }
    }
}
