//! The spool: takes in the hook events that `cc-hook` left while the daemon was away or slow, and the exchanges that a
//! worker kept after it had given up the store, or counted because it had none.
//!
//! A file is removed only after what is in it is durable. What is neither is set aside as `*.rejected`, so
//! that it is looked at once and lost never, scrubbed where it is raw; what a later version wrote, as `*.later`, and every daemon that starts tries
//! it again. Events lie there as they came, for `cc-hook` cannot redact: in files of mode 0600, in a directory of mode 0700,
//! until they are taken in, scrubbed like all others, and removed. The directory is read when something appears in it, not by a clock.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ccd_proto::frame::{self, Frame, FrameError};
use ccd_store::RecordId;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::kept::KeptError;
use super::{gap, kept};
use crate::ingest::record::{GapV1, RecordError};
use crate::ingest::scrub::Scrub;
use crate::ingest::{Ack, CapturedExchange, Door};

/// Longest file that is read: an exchange with the largest bodies that are captured is far below.
const MAX_FILE: u64 = 1 << 30;
/// How long to wait after the store refused an event, before the spool is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// What the spool holds.
#[derive(Debug, Default)]
pub struct Counts {
    /// Files waiting.
    pub waiting: AtomicU64,
    /// Files set aside.
    pub rejected: AtomicU64,
    /// Files of a later version, set aside.
    pub later: AtomicU64,
}

/// What the name of a file ends in that is no event and no exchange.
const REJECTED: &str = "rejected";
/// What is put behind the name of a file of a later version.
const LATER: &str = "later";

/// Takes in what is there, then whatever `changed` tells of, until `stop`.
pub async fn run(
    dir: PathBuf,
    door: Door,
    counts: Arc<Counts>,
    changed: Arc<Notify>,
    stop: CancellationToken,
) {
    let all = dir.clone();
    if let Err(error) = off_thread(move || retry_later_ones(&all)).await {
        tracing::warn!(%error, "what a later version left is not tried again");
    }
    loop {
        let refused = match take_in(&dir, &door, &counts, &stop).await {
            Ok(refused) => refused,
            Err(error) => {
                tracing::warn!(%error, "the spool cannot be read");
                true
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = changed.notified() => {}
            () = tokio::time::sleep(RETRY), if refused => {}
        }
    }
}

/// The bytes of a file that is one, and not larger than any of ours can be: what else lies there is not waited for.
fn read_regular(path: &Path) -> std::io::Result<Vec<u8>> {
    use fs_err::os::unix::fs::OpenOptionsExt;
    use std::io::{Error, ErrorKind, Read};
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW;
    let mut file = fs_err::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() || meta.len() > MAX_FILE {
        return Err(Error::new(ErrorKind::InvalidData, "no file of ours"));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Gives files of a later version their names back: this daemon may be of that version.
fn retry_later_ones(dir: &Path) -> std::io::Result<()> {
    for entry in fs_err::read_dir(dir)? {
        let path = entry?.path();
        if is(&path, LATER) {
            fs_err::rename(&path, path.with_extension(""))?;
        }
    }
    Ok(())
}

/// The files to be taken in, oldest first, and how many were set aside: as none of ours, and as of a later version.
fn list(dir: &Path) -> std::io::Result<(Vec<PathBuf>, u64, u64)> {
    let mut events = Vec::new();
    let (mut rejected, mut later) = (0, 0);
    for entry in fs_err::read_dir(dir)? {
        let path = entry?.path();
        let hidden = path.file_name().is_none_or(|n| n.as_encoded_bytes().starts_with(b"."));
        match path.extension().and_then(|e| e.to_str()) {
            Some("frame" | kept::EXTENSION | gap::EXTENSION) if !hidden => events.push(path),
            Some(REJECTED) => rejected += 1,
            Some(LATER) => later += 1,
            _ => {}
        }
    }
    events.sort();
    Ok((events, rejected, later))
}

/// Hands in whatever waits. True if some of it is to be tried again.
async fn take_in(
    dir: &Path,
    door: &Door,
    counts: &Counts,
    stop: &CancellationToken,
) -> std::io::Result<bool> {
    let (events, rejected, of_later) = off_thread({
        let dir = dir.to_owned();
        move || list(&dir)
    })
    .await?;
    counts.rejected.store(rejected, Ordering::Relaxed);
    counts.later.store(of_later, Ordering::Relaxed);
    counts.waiting.store(events.len() as u64, Ordering::Relaxed);
    let mut later = false;
    for path in events {
        if stop.is_cancelled() {
            return Ok(false);
        }
        let read = off_thread({
            let path = path.clone();
            move || if is(&path, gap::EXTENSION) { gap::read(&path) } else { read_regular(&path).map(Some) }
        });
        let bytes = match read.await {
            Ok(Some(bytes)) => bytes,
            // Whoever counts in it tells nobody when it ends.
            Ok(None) => {
                later = true;
                continue;
            }
            // Taken away by its owner: nothing is left to be done.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            // One file that cannot be read must not hold up those behind it.
            Err(error) => {
                set_aside(path, &Why::Unreadable(error), door, counts).await;
                continue;
            }
        };
        match read_file(&path, bytes) {
            Ok(found) => {
                let ack = match found {
                    Found::Event { arrived_ns, client, body } => {
                        door.hook(door.scrub().hook_beside(arrived_ns, client, body).await).await
                    }
                    Found::Exchange(exchange) => door.kept(*exchange).await,
                    Found::Gap(gap, id) => door.gap(gap, id).await,
                };
                if ack == Ack::Refused {
                    return Ok(true);
                }
                // Left there it would come again, and be known by its id.
                off_thread(move || fs_err::remove_file(path)).await?;
            }
            Err(why) => set_aside(path, &why, door, counts).await,
        }
        counts.waiting.fetch_sub(1, Ordering::Relaxed);
    }
    Ok(later)
}

/// What a file holds.
enum Found {
    /// As it came: `cc-hook` cannot redact.
    Event {
        arrived_ns: u64,
        client: Vec<u8>,
        body: Bytes,
    },
    Exchange(Box<CapturedExchange>),
    Gap(GapV1, RecordId),
}

fn is(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|e| e == extension)
}

/// Why a file is not taken in.
#[derive(Debug, thiserror::Error)]
enum Why {
    /// The file system does not give it.
    #[error(transparent)]
    Unreadable(#[from] std::io::Error),
    /// It is no event.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// It is no exchange and no gap.
    #[error(transparent)]
    Kept(#[from] KeptError),
}

impl Why {
    /// Whether a later version would take it.
    fn is_of_later_version(&self) -> bool {
        match self {
            Why::Frame(error) => matches!(error, FrameError::BadVersion(v) if *v > frame::VERSION),
            Why::Kept(KeptError::Later(_) | KeptError::Record(RecordError::Unknown { .. })) => true,
            Why::Unreadable(_) | Why::Kept(_) => false,
        }
    }
}

fn read_file(path: &Path, bytes: Vec<u8>) -> Result<Found, Why> {
    if is(path, gap::EXTENSION) {
        let (gap, id) = gap::decode(&bytes)?;
        return Ok(Found::Gap(gap, id));
    }
    if is(path, kept::EXTENSION) {
        return Ok(Found::Exchange(Box::new(kept::decode(&bytes.into())?)));
    }
    let frame = Frame::decode(&bytes)?;
    Ok(Found::Event {
        arrived_ns: frame.header.arrived_ns,
        client: frame.client.to_vec(),
        body: Bytes::copy_from_slice(frame.body),
    })
}

async fn set_aside(path: PathBuf, why: &Why, door: &Door, counts: &Counts) {
    let later = why.is_of_later_version();
    let (to, count) = if later {
        tracing::warn!(error = %why, file = %path.display(), "set aside until a daemon of its version starts");
        let mut name = path.clone().into_os_string();
        name.push(".");
        name.push(LATER);
        (name.into(), &counts.later)
    } else {
        tracing::warn!(error = %why, file = %path.display(), "set aside: neither event nor exchange");
        (path.with_extension(REJECTED), &counts.rejected)
    };
    // What the daemon itself wrote was scrubbed before.
    let is_raw = !later && !matches!(why, Why::Unreadable(_)) && is(&path, "frame");
    let scrub = Arc::clone(door.scrub());
    let moved =
        off_thread(move || if is_raw { keep_scrubbed(&path, &to, &scrub) } else { fs_err::rename(path, to) });
    match moved.await {
        Ok(()) => {
            count.fetch_add(1, Ordering::Relaxed);
        }
        Err(error) => tracing::warn!(%error, "it stays where it is"),
    }
}

/// Moves a file that stays for ever, without the credentials in it.
fn keep_scrubbed(from: &Path, to: &Path, scrub: &Scrub) -> std::io::Result<()> {
    use fs_err::os::unix::fs::OpenOptionsExt;
    use std::io::Write;
    let bytes = read_regular(from)?;
    let scrubbed = match scrub.bytes("", &bytes) {
        Cow::Borrowed(_) => return fs_err::rename(from, to),
        Cow::Owned(scrubbed) => scrubbed,
    };
    let aside = to.with_extension("aside");
    // Of one that was killed here.
    let _ = fs_err::remove_file(&aside);
    let mut file = fs_err::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
    file.write_all(&scrubbed)?;
    file.sync_all()?;
    fs_err::rename(&aside, to)?;
    fs_err::remove_file(from)
}

/// Disk work off the threads that the streams run on: a disk may hang.
pub(super) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(std::io::Error::other(e)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_set_aside_for_ever_holds_no_credential() {
        let dir = tempfile::tempdir().unwrap();
        let (door, _writer) = Door::new();
        let value = ccd_redact::sample::filled("ghp_{a36}", 3);
        let torn = dir.path().join("7-1.frame");
        fs_err::write(&torn, [b"\0\x01 no frame, but a command: ", value.as_bytes()].concat()).unwrap();
        let _ = take_in(dir.path(), &door, &Counts::default(), &CancellationToken::new()).await.unwrap();
        let kept = fs_err::read(dir.path().join("7-1.rejected")).unwrap();
        assert!(!String::from_utf8_lossy(&kept).contains(&value[4..]) && !torn.exists());
        assert_eq!(fs_err::read_dir(dir.path()).unwrap().count(), 1);
    }
}
