//! Takes a file in, as far as it goes: stretch after stretch, each handed in once the one before is durable.
//!
//! Each is scrubbed on the thread that read it, before there is a record; places in the file stay those of the file.
//! What is held in memory is only what saves looking again; how far a file was taken is in the index, worked out from
//! the journal. Must never go past a stretch that was refused.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

use super::discover::{Stat, part_of, plain};
use super::read::{self, Next, STRETCH};
use crate::clock::Clock;
use crate::ingest::cursors::{self, Cursor, FileId};
use crate::ingest::record::{Stored, TranscriptPart, TranscriptV2};
use crate::ingest::shared::{Shared, StoreState};
use crate::ingest::{Ack, Door, Ready};
use crate::project::session::Fact;
use crate::project::transcript;

/// How long nobody has to have written before a last line without its end is taken, in nanoseconds.
pub const QUIET_NS: u64 = 2_000_000_000;
/// KiB of stretches that may be on their way to the journal: who else waits for it waits for these too.
const ROOM: u32 = 3 << 10;
/// Disk reads at a time: the other threads are the proxy's.
const READERS: usize = 2;
/// Longest file beside a subagent's transcript.
const LONGEST_META: u64 = 1 << 20;

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is taken as far as it goes.
    Whole,
    /// It ends in half a line.
    Partial,
    /// Somebody else is at it.
    Busy,
    /// The journal does not take it now.
    Refused,
    /// It is not there, or no longer.
    Gone,
    /// It cannot be read.
    Failed(String),
}

/// What is known of a file without looking at it.
#[derive(Clone, Debug, Default)]
struct Seen {
    size: u64,
    written_ns: u64,
    cursor: Cursor,
}

/// How far the files are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub total: u64,
    /// Those that were taken.
    pub taken: u64,
}

/// Takes files in.
pub struct Taker {
    door: Door,
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    seen: Mutex<HashMap<FileId, Seen>>,
    busy: Mutex<HashSet<FileId>>,
    room: Semaphore,
    readers: Semaphore,
    longest: AtomicU64,
    /// Bytes that were taken since the start.
    pub bytes: AtomicU64,
    /// When that was last, nanoseconds since the Unix epoch.
    pub last_ns: AtomicU64,
    /// Lines that were too long.
    pub skipped: AtomicU64,
    /// Files that began again from their beginning: they were cut, or written anew.
    pub rewritten: AtomicU64,
}

/// Somebody is at a file until this is dropped.
struct Hold<'a>(&'a Taker, FileId);

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        locked(&self.0.busy).remove(&self.1);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file that is being taken.
struct Open {
    path: PathBuf,
    part: TranscriptPart,
    file: File,
    stat: Stat,
    cursor: Cursor,
    /// It was cut, or written anew, and is read from its beginning again.
    again: bool,
}

impl Taker {
    /// Hands in at this door.
    #[must_use]
    pub fn new(door: Door, shared: Arc<Shared>, clock: Arc<dyn Clock>, longest: u64) -> Arc<Self> {
        Arc::new(Taker {
            door,
            shared,
            clock,
            seen: Mutex::default(),
            busy: Mutex::default(),
            room: Semaphore::new(ROOM as usize),
            readers: Semaphore::new(READERS),
            longest: AtomicU64::new(longest),
            bytes: AtomicU64::new(0),
            last_ns: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            rewritten: AtomicU64::new(0),
        })
    }

    /// Lines of more bytes than this are not taken.
    pub fn set_longest(&self, bytes: u64) {
        self.longest.store(bytes, Ordering::Relaxed);
    }

    /// Forgets what it knows: another store may have taken the place of the one that it knew.
    pub fn forget(&self) {
        locked(&self.seen).clear();
    }

    /// Forgets files that are not there any more. What was taken of them stays.
    pub fn keep_only(&self, there: &HashSet<FileId>) {
        locked(&self.seen).retain(|id, _| there.contains(id));
    }

    /// How far the files that it knows are taken.
    #[must_use]
    pub fn sums(&self) -> Sums {
        locked(&self.seen).values().fold(Sums::default(), |sums, seen| Sums {
            files: sums.files + 1,
            total: sums.total + seen.size,
            taken: sums.taken + seen.cursor.offset.min(seen.size),
        })
    }

    /// Whether a file is to be looked at, as far as can be told without opening it. Reads the index: for threads that
    /// may block.
    pub fn is_new(&self, path: &Path, stat: &Stat) -> bool {
        if let Some(seen) = locked(&self.seen).get(&stat.id) {
            return (seen.size, seen.written_ns) != (stat.size, stat.written_ns)
                || seen.cursor.offset != stat.size;
        }
        let known = match &*self.shared.state.borrow() {
            StoreState::Ready(reader) => {
                cursors::find(reader, &cursors::name_of(path.as_os_str().as_bytes()), stat.id)
            }
            _ => return true,
        };
        let cursor = known.ok().and_then(|(own, _)| own).unwrap_or_default();
        let is_new = (cursor.offset, cursor.written_ns) != (stat.size, stat.written_ns);
        self.note(stat, &cursor);
        is_new
    }

    fn note(&self, stat: &Stat, cursor: &Cursor) {
        let seen = Seen { size: stat.size, written_ns: stat.written_ns, cursor: cursor.clone() };
        locked(&self.seen).insert(stat.id, seen);
    }

    /// Takes a file in, as far as it goes.
    pub async fn take(self: &Arc<Self>, path: PathBuf) -> Taken {
        self.take_counted(path).await.0
    }

    /// As [`Self::take`], and how many bytes of it were taken.
    pub async fn take_counted(self: &Arc<Self>, path: PathBuf) -> (Taken, u64) {
        let mut bytes = 0;
        let taken = self.take_on(path, &mut bytes).await;
        (taken, bytes)
    }

    async fn take_on(self: &Arc<Self>, path: PathBuf, bytes: &mut u64) -> Taken {
        let Some(part) = part_of(&path) else { return Taken::Gone };
        let opened = {
            let this = Arc::clone(self);
            self.read(move || this.open(path, part)).await
        };
        let mut open = match opened {
            Ok(Ok(open)) => open,
            Ok(Err(taken)) => return taken,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Taken::Gone,
            Err(error) => return Taken::Failed(plain(&error)),
        };
        if !locked(&self.busy).insert(open.stat.id) {
            return Taken::Busy;
        }
        let _hold = Hold(self, open.stat.id);
        // For the whole file: those that are begun are brought to their end before others are, so that few sessions change
        // at a time.
        let left = open.stat.size.saturating_sub(open.cursor.offset);
        let permits = u32::try_from(left.min(STRETCH as u64) >> 10).unwrap_or(ROOM).clamp(4, ROOM);
        let Ok(_room) = self.room.acquire_many(permits).await else { return Taken::Refused };
        loop {
            let this = Arc::clone(self);
            let stretch = self.read(move || {
                let stretch = this.stretch(&open);
                Ok((open, stretch))
            });
            let (back, stretch) = match stretch.await {
                Ok(read) => read,
                Err(error) => return Taken::Failed(plain(&error)),
            };
            open = back;
            let (ready, cursor) = match stretch {
                Ok(Stretch::Lines(ready, cursor)) => (ready, cursor),
                Ok(Stretch::End { partial, cursor }) => {
                    if *bytes > 0 {
                        // What is told as taken is counted.
                        self.door.counted().await;
                    }
                    self.note(&open.stat, &cursor);
                    return if partial { Taken::Partial } else { Taken::Whole };
                }
                Err(error) => return Taken::Failed(plain(&error)),
            };
            match self.door.ready(*ready).await {
                Ack::Durable => {
                    let more = cursor.offset - open.cursor.offset.min(cursor.offset);
                    self.bytes.fetch_add(more, Ordering::Relaxed);
                    self.last_ns.store(self.clock.now_ns(), Ordering::Relaxed);
                    *bytes += more;
                    open.stat.size = open.stat.size.max(cursor.offset);
                    open.cursor = cursor;
                    if open.cursor.offset < open.stat.size {
                        self.note(&open.stat, &open.cursor);
                    }
                }
                Ack::Refused => return Taken::Refused,
            }
        }
    }

    /// Work on the disk, off the threads that the streams run on.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
    ) -> std::io::Result<T> {
        let _turn = self.readers.acquire().await;
        crate::source::spool::off_thread(work).await
    }

    /// Opens a file, and finds where to go on in it.
    fn open(&self, path: PathBuf, part: TranscriptPart) -> std::io::Result<Result<Open, Taken>> {
        let StoreState::Ready(reader) = self.shared.state.borrow().clone() else {
            return Ok(Err(Taken::Refused));
        };
        let (file, stat) = read::open(&path)?;
        let name = cursors::name_of(path.as_os_str().as_bytes());
        let (row, others) = cursors::find(&reader, &name, stat.id).map_err(std::io::Error::other)?;
        let seen = locked(&self.seen).get(&stat.id).map(|seen| seen.cursor.clone()).filter(|c| c.offset > 0);
        let mut from = Cursor { born_ns: stat.born_ns, ..Cursor::default() };
        let own = seen.or(row);
        for known in own.iter().chain(&others) {
            if known.offset > 0 && read::fits(&file, stat.size, known, self.door.scrub().ids())? {
                // What is copied was made when it was copied.
                let born_ns = if own.as_ref() == Some(known) { known.born_ns } else { stat.born_ns };
                from = Cursor { born_ns, ..known.clone() };
                break;
            }
        }
        let again = own.is_some_and(|own| own.offset > 0) && from.offset == 0;
        if again && part == TranscriptPart::Lines {
            tracing::info!(file = %path.display(), "a transcript was cut or written anew: it is read again");
            self.rewritten.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Ok(Open { path, part, file, stat, cursor: from, again }))
    }

    /// The next stretch of a file, as a record.
    fn stretch(&self, open: &Open) -> std::io::Result<Stretch> {
        let now_ns = self.clock.now_ns();
        let quiet = now_ns.saturating_sub(open.stat.written_ns) >= QUIET_NS;
        let (offset, bytes) = match open.part {
            TranscriptPart::Lines => {
                match read::next(&open.file, open.cursor.offset, self.longest.load(Ordering::Relaxed), quiet)?
                {
                    Next::Lines { offset, bytes, skipped } => {
                        self.skipped.fetch_add(skipped, Ordering::Relaxed);
                        (offset, bytes)
                    }
                    Next::Nothing { partial, offset, skipped } => {
                        self.skipped.fetch_add(skipped, Ordering::Relaxed);
                        let cursor = Cursor { offset, ..open.cursor.clone() };
                        return Ok(Stretch::End { partial: partial > 0 && !quiet, cursor });
                    }
                }
            }
            TranscriptPart::AgentMeta => {
                let known = open.cursor.offset == open.stat.size && open.stat.size > 0;
                let bytes = if known || open.stat.size > LONGEST_META {
                    None
                } else {
                    let mut bytes = vec![0; usize::try_from(open.stat.size).unwrap_or(0)];
                    std::os::unix::fs::FileExt::read_exact_at(&open.file, &mut bytes, 0)?;
                    Some(bytes).filter(|bytes| read::is_object(bytes))
                };
                let Some(bytes) = bytes else {
                    return Ok(Stretch::End { partial: !known && !quiet, cursor: open.cursor.clone() });
                };
                (0, bytes)
            }
        };
        let path = open.path.as_os_str().as_bytes();
        let at_ns = open.stat.written_ns.min(now_ns);
        let cursor = Cursor::behind(open.cursor.born_ns, open.stat.written_ns, offset, &bytes);
        let mut name = cursors::name_of(path);
        if open.again {
            // A record of its own, though it may be one that is known: or else the cursor would stay where the file was
            // longer, and every start would read it again. Each of its lines counts once all the same.
            name.extend_from_slice(&open.stat.written_ns.to_be_bytes());
        }
        let scrub = self.door.scrub();
        let id = TranscriptV2::record_id(scrub.ids(), &name, offset, &bytes);
        let session = transcript::session_of(path).unwrap_or_default();
        let (bytes, in_file) = scrub.stretch(&session, open.part, bytes);
        let record = TranscriptV2 {
            path: scrub.file(path),
            part: open.part,
            device: open.stat.id.0,
            inode: open.stat.id.1,
            born_ns: open.cursor.born_ns,
            offset,
            body: Stored::Inline(bytes),
            in_file,
        };
        let Stored::Inline(bytes) = &record.body else { return Err(std::io::Error::other("no bytes")) };
        let fact = transcript::read(&record, bytes)
            .map(|facts| (facts.session_id.clone(), Fact::Transcript(Box::new(facts))));
        let record = record.to_record(id, at_ns).map_err(std::io::Error::other)?;
        Ok(Stretch::Lines(Box::new(Ready { record, fact }), cursor))
    }
}

enum Stretch {
    /// A record, and the cursor behind it.
    Lines(Box<Ready>, Cursor),
    /// Nothing more for now.
    End { partial: bool, cursor: Cursor },
}
