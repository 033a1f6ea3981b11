//! Exchanges that a daemon without a store could not capture, counted in a file of the spool for the next daemon to take
//! in.
//!
//! ```text
//! "ccdg" 1 | frame: kind, schema, id, time, record          (frames as in [`super::kept`])
//! ```
//!
//! The file is replaced as the count grows, whole or not at all. Whoever counts holds a lock on it, and nobody takes in
//! what is locked: so it is taken in once, with all that was counted, even if whoever counted was killed. What is counted
//! after it was let go of goes into another file. Must never be written on the streams' way.

use std::fs::{File, TryLockError};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ccd_store::RecordId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::kept::{self, KeptError};
use crate::ingest::record::{self, GapV1, Payload, RecordError};
use crate::ingest::{Gauges, Submission};

/// Its extension.
pub const EXTENSION: &str = "gap";
const MAGIC: &[u8; 5] = b"ccdg\x01";
/// How often the file is written at most.
const RENEWAL: Duration = Duration::from_secs(1);
/// How long to wait after it could not be.
const RETRY: Duration = Duration::from_secs(5);

/// The file's bytes.
pub fn encode(gap: &GapV1, id: RecordId) -> Result<Vec<u8>, RecordError> {
    let mut out = MAGIC.to_vec();
    kept::frame(&mut out, &[&kept::head(&gap.to_record(id)?)]);
    Ok(out)
}

/// What a file's bytes tell, and the id of its record.
pub fn decode(file: &[u8]) -> Result<(GapV1, RecordId), KeptError> {
    let mut rest = kept::unmarked(file, *MAGIC)?;
    let stored = kept::stored(kept::take(&mut rest)?)?;
    if !rest.is_empty() {
        return Err(KeptError::Damaged("something follows its end"));
    }
    match record::read(&stored)? {
        Payload::Gap(gap) => Ok((gap, stored.id)),
        _ => Err(KeptError::Foreign),
    }
}

/// A file's bytes, once nobody counts in it any more; `None`: somebody does.
pub fn read(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    let mut file = File::open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    // Replaced by another between opening and locking.
    if file.metadata()?.nlink() == 0 {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

struct Open {
    gap: GapV1,
    id: RecordId,
    path: PathBuf,
    _lock: File,
}

/// Counts in a file what was missed.
pub struct Gaps {
    dir: PathBuf,
    gauges: Arc<Gauges>,
    open: Mutex<Option<Open>>,
}

impl Gaps {
    /// Counts what `gauges` know of, in a file in `dir`.
    #[must_use]
    pub fn new(dir: PathBuf, gauges: Arc<Gauges>) -> Self {
        Gaps { dir, gauges, open: Mutex::default() }
    }

    /// Writes what was missed since. Blocks.
    pub fn renew(&self) -> std::io::Result<()> {
        self.renewed(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// As [`Gaps::renew`], and leaves the file to whoever takes it in. Blocks.
    pub fn release(&self) -> std::io::Result<()> {
        let open = &mut *self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let done = self.renewed(open);
        *open = None;
        done
    }

    fn renewed(&self, open: &mut Option<Open>) -> std::io::Result<()> {
        let Some(missed) = self.gauges.take_missed() else { return Ok(()) };
        let (gap, id, path) = if let Some(Open { gap, id, path, .. }) = &*open {
            let mut gap = gap.clone();
            gap.add(&missed);
            (gap, *id, path.clone())
        } else {
            let id = uuid::Uuid::now_v7();
            let name = format!("{:020}-{}.{EXTENSION}", missed.from_ns, id.simple());
            (missed.clone(), id.into_bytes(), self.dir.join(name))
        };
        let bytes = encode(&gap, id).map_err(std::io::Error::other);
        match bytes.and_then(|bytes| kept::write(&path, &bytes)) {
            Ok(lock) => {
                *open = Some(Open { gap, id, path, _lock: lock });
                Ok(())
            }
            Err(error) => {
                self.gauges.put_back(missed);
                Err(error)
            }
        }
    }
}

/// Stands behind a door that no writer stands behind: counts what was missed, until `stop`.
pub async fn run(gaps: Arc<Gaps>, mut rx: mpsc::Receiver<Submission>, stop: CancellationToken) {
    loop {
        if !gaps.gauges.has_missed() {
            let come = tokio::select! {
                () = stop.cancelled() => return,
                come = rx.recv() => come,
            };
            match come {
                Some(Submission::Missed) => {}
                // Whoever waits is told by its end.
                Some(_) => continue,
                None => return,
            }
        }
        let all = Arc::clone(&gaps);
        let pause = match super::spool::off_thread(move || all.renew()).await {
            Ok(()) => RENEWAL,
            Err(error) => {
                tracing::warn!(%error, "what is not captured cannot be noted in the spool");
                RETRY
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use proptest::prelude::*;

    use super::*;

    fn files(dir: &Path) -> Vec<PathBuf> {
        let mut files: Vec<_> = fs_err::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        files
    }

    #[test]
    fn one_file_grows_until_it_is_let_go_of_and_nobody_reads_it_before() {
        let dir = tempfile::tempdir().unwrap();
        let gauges = Arc::new(Gauges::default());
        let gaps = Gaps::new(dir.path().to_owned(), Arc::clone(&gauges));
        gaps.release().unwrap();
        assert!(files(dir.path()).is_empty(), "nothing was missed");
        gauges.miss(5, "crashed");
        gaps.renew().unwrap();
        let before = files(dir.path());
        assert_eq!(before.len(), 1);
        assert_eq!(fs_err::metadata(&before[0]).unwrap().permissions().mode() & 0o777, 0o600);
        let written = decode(&fs_err::read(&before[0]).unwrap()).unwrap();
        gauges.miss(7, "crashed");
        gaps.renew().unwrap();
        assert_eq!(files(dir.path()), before);
        assert!(read(&before[0]).unwrap().is_none(), "it may still grow");
        gaps.release().unwrap();
        let (gap, id) = decode(&read(&before[0]).unwrap().unwrap()).unwrap();
        assert_eq!((gap.from_ns, gap.to_ns, gap.exchanges, id), (5, 7, 2, written.1));
        gauges.miss(9, "crashed");
        gaps.release().unwrap();
        let after = files(dir.path());
        assert_eq!(after.len(), 2);
        assert_eq!(decode(&read(&after[1]).unwrap().unwrap()).unwrap().0.exchanges, 1);
    }

    #[test]
    fn what_cannot_be_written_is_kept_in_mind() {
        let dir = tempfile::tempdir().unwrap();
        let gauges = Arc::new(Gauges::default());
        let gaps = Gaps::new(dir.path().join("later"), Arc::clone(&gauges));
        gauges.miss(5, "crashed");
        assert!(gaps.renew().is_err() && gauges.has_missed());
        fs_err::create_dir(dir.path().join("later")).unwrap();
        gaps.release().unwrap();
        assert!(!gauges.has_missed() && files(&dir.path().join("later")).len() == 1);
    }

    proptest! {
        #[test]
        fn no_damaged_file_passes(at in 0usize..10_000, flip in 1u8.., cut in any::<bool>()) {
            let gap = GapV1 { from_ns: 1, to_ns: 2, exchanges: 3, reason: "crashed".into() };
            let mut bytes = encode(&gap, [4; 16]).unwrap();
            prop_assert_eq!(decode(&bytes).unwrap(), (gap, [4; 16]));
            let at = at % bytes.len();
            if cut {
                bytes.truncate(at);
            } else {
                bytes[at] ^= flip;
            }
            prop_assert!(decode(&bytes).is_err());
        }
    }
}
