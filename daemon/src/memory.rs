//! How much memory the daemon may use, and what the allocator keeps of it.
//!
//! A container or a service manager may allow far less than the machine has, and kills who takes more; so the capture's
//! limits are shares of what is really allowed ([`Budget`]). glibc holds on to freed memory, per thread and for good,
//! which an always-on daemon that once worked through a large body would show for ever ([`tune`], [`trim`]): never
//! needed for anything to be right, and elsewhere nothing is done.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::Capture;

/// The share of the memory that captured bodies may take while they are held: an eighth.
const QUEUE_SHARE: u64 = 8;
/// The share that the kept copy of one body may have: a 32nd. Reading and storing a body takes the writer about four
/// times its size with the bodies that Claude Code sends, and up to 25 times with a body of a million tiny messages.
const BODY_SHARE: u64 = 32;
/// The share over which nothing more is captured until it is less again: five eighths. The rest is for what is under
/// way.
const OVER: (u64, u64) = (5, 8);
/// How long a look at the memory in use holds. A look takes some ten microseconds.
const LOOK: Duration = Duration::from_millis(50);

/// The memory that is allowed, and what follows from it.
#[derive(Debug)]
pub struct Budget {
    /// Bytes; `None`: the system does not tell.
    total: Option<u64>,
    looked: Mutex<Option<(Instant, bool)>>,
}

impl Budget {
    /// So many bytes.
    #[must_use]
    pub fn of(total: u64) -> Self {
        Budget { total: Some(total), looked: Mutex::new(None) }
    }

    /// As much as is configured.
    #[must_use]
    pub fn unlimited() -> Self {
        Budget { total: None, looked: Mutex::new(None) }
    }

    /// What this system allows this process now: the machine's memory, or the limit of its control group. `root` is
    /// where `proc` and `sys` are: `/`.
    #[must_use]
    pub fn read(root: &Path) -> Self {
        let limits = [machine(root), group_v2(root), group_v1(root)];
        Budget { total: limits.into_iter().flatten().min(), looked: Mutex::new(None) }
    }

    /// The same, or this other limit if that is less.
    #[must_use]
    pub fn within(self, limit: Option<u64>) -> Self {
        Budget { total: self.total.into_iter().chain(limit).min(), ..self }
    }

    /// The bytes allowed.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// The capture's limits: as configured, unless the memory allowed asks for smaller ones.
    #[must_use]
    pub fn capture(&self, configured: Capture) -> Capture {
        let Some(total) = self.total else { return configured };
        Capture {
            max_body_bytes: configured.max_body_bytes.min(total / BODY_SHARE),
            max_queue_bytes: configured.max_queue_bytes.min(total / QUEUE_SHARE),
        }
    }

    /// Whether the daemon now uses so much of it that nothing should be added.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let Some(total) = self.total else { return false };
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        match *looked {
            Some((at, over)) if at.elapsed() < LOOK => over,
            _ => {
                let over = in_use().is_some_and(|used| used > total / OVER.1 * OVER.0);
                *looked = Some((Instant::now(), over));
                over
            }
        }
    }
}

/// Memory of our own in use, file pages left out: those the system takes back when it needs to.
fn in_use() -> Option<u64> {
    let statm = fs_err::read_to_string("/proc/self/statm").ok()?;
    let mut pages = statm.split_whitespace().skip(1).map_while(|n| n.parse::<u64>().ok());
    let (resident, of_files) = (pages.next()?, pages.next()?);
    Some(resident.saturating_sub(of_files) * rustix::param::page_size() as u64)
}

fn machine(root: &Path) -> Option<u64> {
    let text = fs_err::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The smallest limit of a group and those above it. A process may be shown another root than its own group's path
/// begins at; then the path does not exist, and the root's own limit counts.
fn group(root: &Path, mount: &str, path: &str, file: &str) -> Option<u64> {
    let mount = root.join(mount);
    let own = mount.join(path.trim_start_matches('/'));
    let groups = own.ancestors().take_while(|dir| dir.starts_with(&mount));
    groups.filter_map(|dir| fs_err::read_to_string(dir.join(file)).ok()?.trim().parse().ok()).min()
}

fn group_v1(root: &Path) -> Option<u64> {
    let groups = fs_err::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let path = groups.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        controllers.split(',').any(|c| c == "memory").then_some(path)
    })?;
    group(root, "sys/fs/cgroup/memory", path, "memory.limit_in_bytes")
}

fn group_v2(root: &Path) -> Option<u64> {
    let groups = fs_err::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let at = |mount| [group(root, mount, path, "memory.max"), group(root, mount, path, "memory.high")];
    // Beside controllers of version 1 it is mounted elsewhere.
    at("sys/fs/cgroup").into_iter().chain(at("sys/fs/cgroup/unified")).flatten().min()
}

/// Few arenas, and large blocks that go back to the system as soon as they are freed. For the start of the process,
/// before there are threads.
pub fn tune() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // What is used again and again (windows of zstd, bodies of the usual sizes) must not be mapped and zeroed each time.
        const LARGE: libc::c_int = 4 << 20;
        const KEPT: libc::c_int = 8 << 20;
        for (parameter, value) in
            [(libc::M_ARENA_MAX, 2), (libc::M_MMAP_THRESHOLD, LARGE), (libc::M_TRIM_THRESHOLD, KEPT)]
        {
            #[allow(unsafe_code, reason = "there is no safe wrapper")]
            // SAFETY: mallopt only sets a parameter of the allocator; it takes no pointers.
            unsafe {
                libc::mallopt(parameter, value);
            }
        }
    }
}

/// Gives freed memory back to the system. For a moment of rest: it takes a millisecond or so.
pub fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[allow(unsafe_code, reason = "there is no safe wrapper")]
    // SAFETY: malloc_trim may be called at any time from any thread; memory in use is not touched.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system(files: &[(&str, &str)]) -> (tempfile::TempDir, Option<u64>) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        }
        let total = Budget::read(dir.path()).total();
        (dir, total)
    }

    #[test]
    fn the_smallest_limit_counts() {
        let meminfo = ("proc/meminfo", "MemTotal:       8000000 kB\nMemFree: 1 kB\n");
        assert_eq!(system(&[]).1, None);
        assert_eq!(system(&[meminfo]).1, Some(8_192_000_000));
        let v1 = [
            meminfo,
            ("proc/self/cgroup", "9:cpu:/\n4:memory,hugetlb:/a/b\n0::/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "268435456\n"),
            ("sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "536870912\n"),
        ];
        assert_eq!(system(&v1).1, Some(256 << 20));
        // Seen from inside a container, the root is its group.
        let inside = [meminfo, ("proc/self/cgroup", "4:memory:/docker/x\n"), (v1[2].0, "1000000000\n")];
        assert_eq!(system(&inside).1, Some(1_000_000_000));
        let v2 = [
            meminfo,
            ("proc/self/cgroup", "0::/user.slice/ccd.service\n"),
            ("sys/fs/cgroup/user.slice/memory.max", "max\n"),
            ("sys/fs/cgroup/user.slice/ccd.service/memory.max", "536870912\n"),
            ("sys/fs/cgroup/user.slice/ccd.service/memory.high", "400000000\n"),
        ];
        assert_eq!(system(&v2).1, Some(400_000_000));
    }

    #[test]
    fn the_captures_limits_are_shares_of_it() {
        let configured = Capture::default();
        assert_eq!(Budget::unlimited().capture(configured), configured);
        assert_eq!(Budget::of(64 << 30).capture(configured), configured);
        let small = Budget::of(256 << 20).capture(configured);
        assert_eq!((small.max_body_bytes, small.max_queue_bytes), (8 << 20, 32 << 20));
        let own = Capture { max_body_bytes: 1, max_queue_bytes: 2 };
        assert_eq!(Budget::of(256 << 20).capture(own), own);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn memory_in_use_is_seen() {
        assert!(Budget::of(1 << 10).is_over());
        assert!(!Budget::of(1 << 50).is_over() && !Budget::unlimited().is_over());
    }
}
