//! Control groups of a test's own, on Linux, where the tests run as root: so much memory, so many threads, and no more.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::home::TestHome;

/// A control group; removed on drop, when what ran in it has ended.
#[derive(Debug)]
pub struct Group {
    dir: PathBuf,
}

impl Group {
    /// One whose processes may use so many bytes together; why not, where that is not allowed.
    pub fn memory(bytes: u64) -> Result<Self, String> {
        Self::make(
            "memory",
            &[("memory.limit_in_bytes", bytes)],
            &[("memory.max", bytes), ("memory.swap.max", 0)],
        )
    }

    /// One that may have so many threads; why not, where that is not allowed.
    pub fn threads(number: u64) -> Result<Self, String> {
        Self::make("pids", &[("pids.max", number)], &[("pids.max", number)])
    }

    /// By version 1, where the controller is there, else by version 2.
    fn make(controller: &str, first: &[(&str, u64)], second: &[(&str, u64)]) -> Result<Self, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let root = Path::new("/sys/fs/cgroup");
        let (mount, limits) = match root.join(controller) {
            own if own.is_dir() => (own, first),
            _ => (root.to_owned(), second),
        };
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let dir = mount.join(format!("ccd-test-{}-{number}", std::process::id()));
        let failed = |error: std::io::Error| format!("{}: {error}", dir.display());
        std::fs::create_dir(&dir).map_err(failed)?;
        let group = Group { dir: dir.clone() };
        for (file, limit) in limits {
            std::fs::write(group.dir.join(file), limit.to_string()).map_err(failed)?;
        }
        Ok(group)
    }

    /// A command of this home that becomes `program`, within the group.
    #[must_use]
    pub fn command(&self, home: &TestHome, program: &Path) -> Command {
        let mut command = home.command(Path::new("/bin/sh"));
        command.args(["-c", "echo $$ >\"$0/cgroup.procs\" && exec \"$@\""]).arg(&self.dir).arg(program);
        command
    }

    /// How often the system killed a process of the group for want of memory.
    #[must_use]
    pub fn kills(&self) -> u64 {
        let read = |file: &str| std::fs::read_to_string(self.dir.join(file)).unwrap_or_default();
        let text = read("memory.oom_control") + &read("memory.events");
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.and_then(|number| number.trim().parse().ok()).unwrap_or_default()
    }

    /// The most that the group ever used, files' pages included, in bytes; 0 where the system does not tell.
    #[must_use]
    pub fn peak(&self) -> u64 {
        let read = |file: &str| std::fs::read_to_string(self.dir.join(file)).unwrap_or_default();
        let text = read("memory.max_usage_in_bytes") + &read("memory.peak");
        text.trim().parse().unwrap_or_default()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = super::wait::poll(super::wait::PATIENCE, || std::fs::remove_dir(&self.dir).ok());
    }
}
