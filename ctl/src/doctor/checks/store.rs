//! The store, and the disk that it lies on.

use std::path::{Path, PathBuf};

use ccd_proto::api::{Status, StoreStats};

use crate::doctor::Check;
use crate::doctor::facts::Facts;
use crate::human::{bytes, count};

/// Below this, the next long session may not find room.
const SCARCE: u64 = 1 << 30;
/// Below this, nothing is written for long.
const GONE: u64 = 100 << 20;
/// Files that can still be made, below which they are scarce: a store makes few, others on the disk many.
const FEW_FILES: u64 = 1000;

pub(in crate::doctor) fn all(facts: &Facts<'_>) -> Vec<Check> {
    let l = &facts.env.layout;
    let mut checks: Vec<_> = facts.daemon().map(store).into_iter().collect();
    let disks = disks(&[l.store_dir(), l.state_dir.clone(), l.spool_dir.clone(), l.log_dir.clone()]);
    checks.push(disk(&disks, facts.store.as_ref()));
    checks
}

pub(super) fn store(status: &Status) -> Check {
    let about_disk = |error: &str| {
        let error = error.to_lowercase();
        if error.contains("quota") {
            "your quota on that disk is used up: remove something of yours, or `ccctl store prune`"
        } else {
            "make room or repair the disk; requests are relayed meanwhile"
        }
    };
    match &status.store.error {
        Some(how) if status.store.opening => Check::good("store", how.clone()),
        // The supervisor's words: the disk is not what is wrong.
        Some(error) if status.proxy.bypass && error.contains("died again and again") => Check::fail(
            "store",
            format!("nothing is captured: {error}"),
            "`ccctl logs` says why; then `ccctl restart`",
        ),
        Some(error) => Check::fail("store", format!("takes nothing: {error}"), about_disk(error)),
        None if status.store.damaged > 0 => Check::fail(
            "store",
            format!("{} damaged records were found; the rest is served", status.store.damaged),
            "look at the disk; `ccctl logs` names the files",
        ),
        None if status.proxy.bypass => {
            Check::fail("store", "requests are relayed without being captured", "`ccctl logs` says why")
        }
        None => Check::good("store", format!("{}, {}", status.store.path, bytes(status.store.bytes))),
    }
}

/// A disk, as far as it matters to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Disk {
    /// What of ours lies on it.
    pub(super) path: PathBuf,
    /// Bytes that this user may still write.
    pub(super) free: u64,
    /// Files that may still be made; none where the file system does not count them.
    pub(super) files: Option<u64>,
    /// What it is, where locks, memory-mapped files or what was written may not be as on a local disk.
    pub(super) kind: Option<&'static str>,
}

/// The disks below these places, each told once.
fn disks(places: &[PathBuf]) -> Vec<Disk> {
    use std::os::unix::fs::MetadataExt;
    let mut seen = Vec::new();
    let mut found = Vec::new();
    for place in places {
        // What is not there yet will lie where its parent does.
        let Some(path) = place.ancestors().find(|path| path.exists()) else { continue };
        let Ok(device) = path.metadata().map(|meta| meta.dev()) else { continue };
        if seen.contains(&device) {
            continue;
        }
        seen.push(device);
        if let Ok(stat) = rustix::fs::statvfs(path) {
            found.push(Disk {
                path: place.clone(),
                free: stat.f_bavail.saturating_mul(stat.f_frsize),
                files: (stat.f_files > 0).then_some(stat.f_favail),
                kind: kind(path),
            });
        }
    }
    found
}

/// What a file system is, by its magic number (statfs(2)), where that matters.
#[cfg(target_os = "linux")]
fn kind(path: &Path) -> Option<&'static str> {
    let stat = rustix::fs::statfs(path).ok()?;
    // The field's type differs between machines; the numbers have 32 bits.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let magic = stat.f_type as u32;
    Some(match magic {
        0x6969 => "NFS",
        0xff53_4d42 | 0xfe53_4d42 | 0x517b => "SMB",
        0x00c3_6400 => "Ceph",
        0x5346_414f => "AFS",
        0x0bd0_0bd0 => "Lustre",
        0x0102_1997 => "9P",
        0x6573_5546 => "FUSE",
        0x0102_1994 | 0x8584_58f6 => "memory (tmpfs)",
        0x794c_7630 => "an overlay",
        _ => return None,
    })
}

#[cfg(not(target_os = "linux"))]
fn kind(_: &Path) -> Option<&'static str> {
    None
}

pub(super) fn disk(disks: &[Disk], store: Option<&StoreStats>) -> Check {
    let room = "make room, or lower `[retention] max_bytes` in config.toml and `ccctl store prune`";
    if let Some(disk) = disks.iter().find(|disk| disk.free < GONE) {
        let told = format!("{} are left for {}", bytes(disk.free), disk.path.display());
        return Check::fail("disk", told, room);
    }
    if let Some(disk) = disks.iter().find(|disk| disk.files.is_some_and(|files| files < FEW_FILES)) {
        let files = count(disk.files.unwrap_or_default());
        let told = format!("only {files} more files can be made for {}", disk.path.display());
        return Check::warn("disk", told, "remove files that nobody needs from that disk");
    }
    if let Some(disk) = disks.iter().find(|disk| disk.free < SCARCE) {
        let told = format!("only {} are left for {}", bytes(disk.free), disk.path.display());
        return Check::warn("disk", told, room);
    }
    let Some(disk) = disks.first() else {
        return Check::note("disk", "what is left on it cannot be told");
    };
    let free = format!("{} are left", bytes(disk.free));
    if let Some(kind) = disk.kind {
        let told = match kind {
            "memory (tmpfs)" | "an overlay" => {
                "what is recorded is gone with the container or the machine's next start"
            }
            _ => "a network's or another program's file system: the store is made for a local disk",
        };
        return Check::note("disk", format!("{free}; {} is on {kind}: {told}", disk.path.display()))
            .hint("XDG_STATE_HOME or CCD_HOME puts it elsewhere");
    }
    let may_grow = store.and_then(|store| Some(store.retention.max_bytes?.saturating_sub(store.bytes)));
    match may_grow {
        Some(grows) if grows > disk.free => {
            Check::note("disk", format!("{free}; by its retention the store may grow by {}", bytes(grows)))
                .hint("lower `[retention] max_bytes` in config.toml, if the disk is not to fill up")
        }
        Some(grows) => {
            Check::good("disk", format!("{free}; by its retention the store may grow by {}", bytes(grows)))
        }
        None => Check::good("disk", free),
    }
}
