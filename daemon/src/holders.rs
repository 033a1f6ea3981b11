//! Which processes still hold our base URL: Claude Code's sessions that were running when it was taken out of the
//! settings. A session keeps the URL that it started with for as long as it lives, whatever the settings say later.
//!
//! Linux alone tells of other processes without asking anybody; elsewhere nothing is found and nothing is claimed. In doubt a
//! process counts as a holder: that keeps the daemon answering a little longer, the other mistake would cut a session
//! off. Reads only what the system shows of processes; must never print or keep anything of their environment.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where the system tells of processes.
pub const PROC: &str = "/proc";

/// Our own programs, which may have the URL in their environment and need nobody to answer it.
const OURS: [&str; 3] = ["ccd", "ccctl", "cc-hook"];

/// A process that may send requests to our base URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// The session that it runs, where the client tells.
    pub session_id: Option<String>,
    /// Where it runs.
    pub cwd: Option<PathBuf>,
    /// When it began, in the kernel's ticks: another process with its id is not it.
    start: u64,
}

/// What to look for.
#[derive(Clone, Debug)]
pub struct Seek<'a> {
    /// The path token in our base URL.
    pub token: &'a str,
    /// The client's `projects` directories whose settings held the URL.
    pub roots: &'a [PathBuf],
    /// Whose processes.
    pub uid: u32,
}

impl Holder {
    /// Whether it is still there.
    #[must_use]
    pub fn lives(&self, proc: &Path) -> bool {
        start_of(proc, self.pid) == Some(self.start)
    }
}

/// Every process that may hold the URL; none if this system does not tell of processes.
#[must_use]
pub fn find(proc: &Path, seek: &Seek<'_>) -> Option<Vec<Holder>> {
    // Its own entry is there wherever others are.
    std::fs::metadata(proc.join("self/stat")).ok()?;
    let entries = std::fs::read_dir(proc).ok()?.flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Some(pids.filter(|pid| *pid != std::process::id()).filter_map(|pid| holder(proc, pid, seek)).collect())
}

fn holder(proc: &Path, pid: u32, seek: &Seek<'_>) -> Option<Holder> {
    let dir = proc.join(pid.to_string());
    if std::fs::metadata(&dir).ok()?.uid() != seek.uid {
        return None;
    }
    let start = start_of(proc, pid)?;
    let line = std::fs::read(dir.join("cmdline")).ok().filter(|line| !line.is_empty())?;
    let mut words = line.split(|b| *b == 0);
    let program = words.next().map(Path::new_bytes)?;
    if program.file_name().and_then(OsStr::to_str).is_some_and(|name| OURS.contains(&name)) {
        return None;
    }
    let script = words.next().unwrap_or_default();
    let name = std::fs::read(dir.join("comm")).unwrap_or_default();
    let file = std::fs::read_link(dir.join("exe")).unwrap_or_default();
    let is_client = name.trim_ascii_end() == b"claude"
        || program.file_name().is_some_and(|name| name == "claude")
        || file.file_name().is_some_and(|name| name == "claude")
        || contains(file.as_os_str().as_bytes(), b"/claude/versions/")
        || contains(script, b"@anthropic-ai/claude");
    let environment = std::fs::read(dir.join("environ")).ok();
    let variable = |wanted: &str| {
        let lines = environment.as_deref().unwrap_or_default().split(|b| *b == 0);
        let mut found = lines.filter_map(|line| line.strip_prefix(wanted.as_bytes())?.strip_prefix(b"="));
        found.next().filter(|value| !value.is_empty())
    };
    // What a session starts has the URL, too, and ends with it or has no use for it.
    let is_told = variable("CLAUDECODE").is_none()
        && variable("ANTHROPIC_BASE_URL").is_some_and(|url| contains(url, seek.token.as_bytes()));
    // A client with another home reads other settings. One that does not show its environment may be any.
    let reads_ours = || {
        let below = |name: &str, rest: &str| variable(name).map(|dir| Path::new_bytes(dir).join(rest));
        let dirs: Vec<PathBuf> = match variable("CLAUDE_CONFIG_DIR") {
            Some(list) => {
                list.split(|b| *b == b',').map(|dir| Path::new_bytes(dir.trim_ascii()).to_owned()).collect()
            }
            None => {
                [below("HOME", ".claude"), below("HOME", ".config/claude")].into_iter().flatten().collect()
            }
        };
        let ours = |dir: &PathBuf| seek.roots.iter().any(|root| dir.join("projects").starts_with(root));
        environment.is_none() || dirs.iter().any(ours)
    };
    let holds = is_told || (is_client && reads_ours());
    if !holds {
        return None;
    }
    let session_id = seek.roots.iter().find_map(|root| session(root.parent()?, pid));
    Some(Holder { pid, session_id, cwd: std::fs::read_link(dir.join("cwd")).ok(), start })
}

/// What the client has written about its own process.
fn session(dir: &Path, pid: u32) -> Option<String> {
    let text = std::fs::read(dir.join("sessions").join(format!("{pid}.json"))).ok()?;
    let about: serde_json::Value = serde_json::from_slice(&text).ok()?;
    let id = about.get("sessionId")?.as_str()?;
    let is_plain = id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    is_plain.then(|| id.to_owned())
}

/// When a process began. None: it is not there, or has ended and nobody has taken note.
fn start_of(proc: &Path, pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(proc.join(pid.to_string()).join("stat")).ok()?;
    // The name, in brackets, may hold anything.
    let mut rest = text.rsplit_once(')')?.1.split_whitespace();
    let state = rest.next()?;
    (state != "Z" && state != "X").then(|| rest.nth(18)?.parse().ok())?
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && text.windows(part.len()).any(|window| window == part)
}

trait FromBytes {
    fn new_bytes(bytes: &[u8]) -> &Path;
}

impl FromBytes for Path {
    fn new_bytes(bytes: &[u8]) -> &Path {
        Path::new(OsStr::from_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    struct Process<'a> {
        pid: u32,
        comm: &'a str,
        line: &'a str,
        environment: &'a str,
        state: char,
    }

    impl Default for Process<'_> {
        fn default() -> Self {
            Process { pid: 100, comm: "claude", line: "claude\0-p", environment: "HOME=/h\0", state: 'S' }
        }
    }

    fn found(processes: &[Process<'_>]) -> Vec<u32> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("self")).unwrap();
        std::fs::write(dir.path().join("self/stat"), "").unwrap();
        for p in processes {
            let of = dir.path().join(p.pid.to_string());
            std::fs::create_dir(&of).unwrap();
            let stat = format!("{} (a) b) {} 1{} 4711 0", p.pid, p.state, " 0".repeat(17));
            for (name, text) in
                [("stat", stat.as_str()), ("comm", p.comm), ("cmdline", p.line), ("environ", p.environment)]
            {
                std::fs::write(of.join(name), text).unwrap();
            }
            symlink("/usr/bin/x", of.join("exe")).unwrap();
        }
        let uid = std::fs::metadata(dir.path()).unwrap().uid();
        let roots = ["/h/.claude/projects".into(), "/h/.config/claude/projects".into()];
        let found = find(dir.path(), &Seek { token: "abc123", roots: &roots, uid }).unwrap();
        assert!(found.iter().all(|holder| holder.start == 4711 && holder.lives(dir.path())));
        assert!(find(dir.path(), &Seek { token: "abc123", roots: &roots, uid: uid + 1 }).unwrap().is_empty());
        found.iter().map(|holder| holder.pid).collect()
    }

    #[test]
    fn clients_that_read_these_settings_hold_the_url() {
        assert_eq!(found(&[Process::default()]), [100]);
        let node = "node\0/usr/lib/node_modules/@anthropic-ai/claude-code/cli.js";
        assert_eq!(found(&[Process { comm: "node", line: node, ..Process::default() }]), [100]);
        let named = "HOME=/other\0CLAUDE_CONFIG_DIR=/h/.claude\0";
        assert_eq!(found(&[Process { environment: named, ..Process::default() }]), [100]);
        for other in ["HOME=/other\0", "HOME=/h\0CLAUDE_CONFIG_DIR=/x\0"] {
            assert!(found(&[Process { environment: other, ..Process::default() }]).is_empty(), "{other:?}");
        }
        assert!(found(&[Process { comm: "vim", line: "vim\0claude.md", ..Process::default() }]).is_empty());
        assert!(found(&[Process { state: 'Z', ..Process::default() }]).is_empty(), "it has ended");
    }

    #[test]
    fn whoever_was_started_with_the_url_holds_it() {
        let told = "ANTHROPIC_BASE_URL=http://127.0.0.1:1/abc123\0";
        let of =
            |environment, line| found(&[Process { comm: "python", line, environment, ..Process::default() }]);
        assert_eq!(of(told, "python\0agent.py"), [100]);
        assert!(of("ANTHROPIC_BASE_URL=http://127.0.0.1:1/other\0", "python").is_empty());
        let by_session = format!("CLAUDECODE=1\0{told}");
        assert!(of(&by_session, "npm\0run").is_empty(), "started by a session");
        assert!(of(told, "/opt/bin/ccctl\0uninstall").is_empty(), "one of our own");
    }

    #[test]
    fn a_system_that_tells_nothing_is_not_taken_for_one_without_processes() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(find(dir.path(), &Seek { token: "t", roots: &[], uid: 0 }), None);
    }
}
