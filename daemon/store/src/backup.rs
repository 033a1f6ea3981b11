//! A copy of everything that cannot be derived, made while the store is being written.
//!
//! ```text
//! DIR/ccd-backup.txt   says what this is, to people and to the next run
//! DIR/journal/, packs/ the files, as in the store's version directory
//! DIR/backup.json      format, time, end, and name, length and BLAKE3 of each file; written last
//! ```
//!
//! The writer fixes a [`Cut`]: everything durable, and the lengths at that moment. The files only grow at their ends,
//! so copying up to those lengths needs nobody to wait.
//!
//! Invariants: whatever `backup.json` names is whole, at every moment: a file that it names is never overwritten below
//! its recorded length, and what it no longer needs is removed only once its successor is in place.
//!
//! Must never write outside of the backup's directory, nor touch a directory that is not a backup.

use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::copy::{copy_file, hash_file, read_small, write_whole};
use crate::error::{Result, StoreError};
use crate::files;
use crate::manifest::ManifestV1;
use crate::store::Store;

/// The format of `backup.json`.
const FORMAT: u32 = 1;
/// The layout of the files in it.
const STORE_VERSION: u32 = 1;
pub(crate) const MANIFEST: &str = "backup.json";
const MARK: &str = "ccd-backup.txt";
const MARK_TEXT: &str =
    "A backup of what ccd has recorded. `ccctl store restore` with this directory puts it back.\n";
/// How much of a file's beginning and end is compared before an earlier copy of it is trusted.
const ENDS: u64 = 64 << 10;

/// Files in the version directory, beside journal and packs, that cannot be derived. Small: they are read whole.
pub(crate) fn other_truth_files() -> &'static [&'static str] {
    &["manifest"]
}

/// The end of everything durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// The oldest segment there should be.
    pub oldest: u32,
    /// The last segment, and its length.
    pub segment: u32,
    /// See `segment`.
    pub segment_len: u64,
    /// The last record.
    pub last_seq: u64,
    /// The last pack (0: none), and its length.
    pub pack: u32,
    /// See `pack`.
    pub pack_len: u64,
}

/// A consistent state of the store, as of one moment.
#[derive(Clone, Debug)]
pub struct Cut {
    home: PathBuf,
    end: End,
    /// Files below the version directory, and how much of each counts.
    files: Vec<(String, u64)>,
    others: Vec<(String, Vec<u8>)>,
    let_go: ManifestV1,
}

impl Cut {
    /// Whether the store should have a file of this name, and has it not.
    fn lost(&self, name: &str) -> bool {
        let number = |rest: Option<&str>, suffix| rest?.strip_suffix(suffix)?.parse::<u32>().ok();
        let should = match (
            number(name.strip_prefix("journal/"), ".log"),
            number(name.strip_prefix("packs/"), ".pack"),
        ) {
            (Some(segment), _) => segment >= self.let_go.oldest_segment && segment <= self.end.segment,
            (_, Some(pack)) => !self.let_go.dropped(pack) && pack <= self.end.pack,
            _ => false,
        };
        should && !self.files.iter().any(|(file, _)| file == name)
    }
}

impl Store {
    /// Makes everything durable and says how far it goes.
    pub fn cut(&mut self) -> Result<Cut, StoreError> {
        self.sync()?;
        let (segment, segment_len) = self.journal.position();
        let (pack, pack_len) = self.packs.position();
        let end = End {
            oldest: self.manifest.state.oldest_segment,
            segment,
            segment_len,
            last_seq: self.journal.synced_seq(),
            pack,
            pack_len,
        };
        let home = self.version_dir().to_owned();
        let mut files = Vec::new();
        for (folder, catalogue) in
            [("packs", &self.shared.packs.files), ("journal", &self.shared.segments.files)]
        {
            for (number, entry) in catalogue.list() {
                if let Some(name) = catalogue.path(number).file_name().and_then(|name| name.to_str()) {
                    files.push((format!("{folder}/{name}"), entry.len));
                }
            }
        }
        let mut others = Vec::new();
        for name in other_truth_files() {
            if let Some(bytes) = read_small(&home.join(name))? {
                others.push(((*name).to_owned(), bytes));
            }
        }
        Ok(Cut { home, end, files, others, let_go: self.manifest.state.clone() })
    }

    /// The directory of this version's layout.
    pub(crate) fn version_dir(&self) -> &Path {
        let journal = self.shared.segments.files.dir();
        journal.parent().unwrap_or(journal)
    }
}

/// What a backup is made of: `backup.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    format: u32,
    /// When it was made, as the caller wrote it.
    pub created_at: String,
    store_version: u32,
    /// How far it goes.
    pub end: End,
    pub(crate) files: Vec<FileEntry>,
}

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileEntry {
    /// Its place in the store's version directory.
    pub(crate) name: String,
    /// Its place in the backup: its name, or with a number where an older backup needed that one.
    pub(crate) file: String,
    /// How many of its bytes count.
    pub(crate) len: u64,
    /// BLAKE3 of those bytes, in hexadecimal.
    pub(crate) blake3: String,
}

impl Manifest {
    /// Reads the manifest of the backup in `dir`. Nothing else of it is looked at.
    pub fn read(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(MANIFEST);
        Self::read_if_any(dir)?.ok_or_else(|| StoreError::Backup {
            path: dir.to_owned(),
            why: if path.with_file_name(MARK).exists() {
                "this backup was never finished: it has no backup.json".into()
            } else {
                "not a backup of ccd: it has no backup.json".into()
            },
        })
    }

    fn read_if_any(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(MANIFEST);
        let wrong = |why: String| StoreError::Backup { path: path.clone(), why };
        let Some(bytes) = read_small(&path)? else { return Ok(None) };
        let manifest: Self =
            serde_json::from_slice(&bytes).map_err(|e| wrong(format!("not a backup of ccd: {e}")))?;
        if manifest.format != FORMAT || manifest.store_version != STORE_VERSION {
            return Err(wrong("made by another version of ccd; upgrade ccd".into()));
        }
        // What it names becomes paths.
        if let Some(bad) = manifest.files.iter().find(|f| !f.is_sound()) {
            return Err(wrong(format!("names a file that no backup has: {:?}", bad.file)));
        }
        Ok(Some(manifest))
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|f| f.len).sum()
    }

    /// How many files there are.
    #[must_use]
    pub fn file_count(&self) -> u64 {
        self.files.len() as u64
    }

    fn entry(&self, name: &str) -> Option<&FileEntry> {
        self.files.iter().find(|f| f.name == name)
    }
}

impl FileEntry {
    fn is_sound(&self) -> bool {
        let rest = self.file.strip_prefix(&self.name);
        let suffix = rest.is_some_and(|r| r.is_empty() || r.strip_prefix('.').is_some_and(is_number));
        is_store_file(&self.name) && suffix && self.blake3.len() == 64
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit())
}

/// Whether this is the name of a file that a store keeps for good.
fn is_store_file(name: &str) -> bool {
    let numbered =
        |rest: Option<&str>, suffix| rest.and_then(|r| r.strip_suffix(suffix)).is_some_and(is_number);
    numbered(name.strip_prefix("journal/"), ".log")
        || numbered(name.strip_prefix("packs/"), ".pack")
        || other_truth_files().contains(&name)
}

/// What has to be done for a file.
#[derive(Clone, Debug)]
enum How {
    /// Nothing: the copy stands.
    Keep(FileEntry),
    /// Its new bytes go to the end of the copy.
    Append(FileEntry),
    /// The store's file is gone, or not what it was: the copy stays, if it is good.
    Rescue(FileEntry),
    /// All of it is written.
    Write,
}

/// A backup that is about to be made.
pub struct Backup {
    dir: PathBuf,
    cut: Cut,
    old: Option<Manifest>,
    plan: Vec<(String, u64, How)>,
}

/// What a backup did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupReport {
    /// Files in the backup, and their bytes.
    pub files: u64,
    /// See `files`.
    pub bytes: u64,
    /// Files that were written or grew, and the bytes written.
    pub copied_files: u64,
    /// See `copied_files`.
    pub copied_bytes: u64,
    /// Files that the backup no longer needs.
    pub removed: u64,
    /// Files that are gone, shorter than they should be, or not what they were: the store is damaged there. Where an
    /// earlier backup had a good copy, it is kept.
    pub incomplete: Vec<String>,
    /// The last record in it.
    pub last_seq: u64,
}

impl Backup {
    /// Looks at `dir` and at what it holds. Changes nothing.
    pub fn prepare(dir: &Path, cut: Cut) -> Result<Self, StoreError> {
        let refuse = |why: &str| StoreError::Backup { path: dir.to_owned(), why: why.into() };
        if !dir.is_absolute() || dir.components().any(|c| c == Component::ParentDir) {
            return Err(refuse("not an absolute path"));
        }
        let store = cut.home.parent().unwrap_or(&cut.home);
        if real_path(dir)?.starts_with(real_path(store)?) {
            return Err(refuse("inside the store itself; choose another directory"));
        }
        if dir.exists() && !dir.is_dir() {
            return Err(refuse("not a directory"));
        }
        let old = Manifest::read_if_any(dir)?;
        if old.is_none() && !dir.join(MARK).exists() && !files::entries(dir)?.is_empty() {
            return Err(refuse("neither empty nor a backup of ccd; choose a new directory"));
        }
        let mut plan = Vec::new();
        for (name, len) in &cut.files {
            let how = match old.as_ref().and_then(|old| old.entry(name)) {
                Some(copy) if copy.len == *len && same_ends(&cut.home.join(name), dir, copy)? => {
                    How::Keep(copy.clone())
                }
                Some(copy) if copy.len < *len && same_ends(&cut.home.join(name), dir, copy)? => {
                    How::Append(copy.clone())
                }
                Some(copy) if same_start(&cut.home.join(name), dir, copy)? => How::Rescue(copy.clone()),
                // Of another history, as after a restore, or new.
                _ => How::Write,
            };
            plan.push((name.clone(), *len, how));
        }
        for copy in old.iter().flat_map(|old| &old.files) {
            if cut.lost(&copy.name) {
                plan.push((copy.name.clone(), copy.len, How::Rescue(copy.clone())));
            }
        }
        Ok(Self { dir: dir.to_owned(), cut, old, plan })
    }

    /// How many bytes the disk must have room for.
    #[must_use]
    pub fn bytes_to_write(&self) -> u64 {
        let file = |(_, len, how): &(String, u64, How)| match how {
            How::Keep(_) | How::Rescue(_) => 0,
            How::Append(copy) => len - copy.len,
            How::Write => *len,
        };
        self.plan.iter().map(file).sum::<u64>()
            + self.cut.others.iter().map(|(_, b)| b.len() as u64).sum::<u64>()
    }

    /// How many bytes will be read: what `watch` counts up to.
    #[must_use]
    pub fn bytes_to_read(&self) -> u64 {
        self.plan.iter().map(|(_, len, _)| *len).sum()
    }

    /// Makes the backup. `watch` gets the bytes read so far and says whether to go on; a backup that was stopped, or
    /// failed, leaves the former one as it was.
    pub fn run(
        self,
        created_at: &str,
        watch: &mut dyn FnMut(u64) -> bool,
    ) -> Result<BackupReport, StoreError> {
        let Self { dir, cut, old, plan } = self;
        for part in [dir.clone(), dir.join("journal"), dir.join("packs")] {
            files::private_dir(&part)?;
        }
        if !dir.join(MARK).exists() {
            write_whole(&dir.join(MARK), MARK_TEXT.as_bytes())?;
        }
        let mut report = BackupReport { last_seq: cut.end.last_seq, ..BackupReport::default() };
        let mut entries = Vec::new();
        let mut done = 0;
        let taken = |file: &str| old.as_ref().is_some_and(|old| old.files.iter().any(|f| f.file == file));
        let free = |name: &str| {
            let numbered = (1..u32::MAX).map(|n| format!("{name}.{n}"));
            std::iter::once(name.to_owned()).chain(numbered).find(|file| !taken(file)).unwrap_or_default()
        };
        for (name, len, how) in plan {
            let source = cut.home.join(&name);
            let copy = |file: String, from: u64, watch: &mut dyn FnMut(u64) -> bool| {
                let copied = copy_file(&source, &dir.join(&file), from, len, &mut |at| watch(done + at))?;
                Ok::<_, StoreError>(copied.map(|(len, blake3)| FileEntry {
                    name: name.clone(),
                    file,
                    len,
                    blake3,
                }))
            };
            let rescues = matches!(how, How::Rescue(_));
            let (entry, from) = match how {
                How::Keep(entry) | How::Rescue(entry) => {
                    // A copy is read again each time: one that has rotted is no backup.
                    let read = hash_file(&dir.join(&entry.file), entry.len, &mut |at| watch(done + at));
                    if matches!(read, Err(StoreError::Stopped)) {
                        return Err(StoreError::Stopped);
                    }
                    if read.is_ok_and(|hash| hash == entry.blake3) {
                        done += len;
                        if rescues {
                            report.incomplete.push(name.clone());
                        }
                        entries.push(entry);
                        continue;
                    }
                    (copy(free(&name), 0, watch)?, 0)
                }
                How::Append(old) => match copy(old.file.clone(), old.len, watch) {
                    // What is in the backup is not what it was: a copy of its own, then.
                    Err(StoreError::Damaged { .. }) => (copy(free(&name), 0, watch)?, 0),
                    other => (other?, old.len),
                },
                How::Write => (copy(free(&name), 0, watch)?, 0),
            };
            done += len;
            if entry.as_ref().is_none_or(|entry| entry.len < len) {
                report.incomplete.push(name.clone());
            }
            if let Some(entry) = entry {
                report.copied_files += 1;
                report.copied_bytes += entry.len.saturating_sub(from);
                entries.push(entry);
            }
        }
        for (name, bytes) in cut.others {
            let blake3 = blake3::hash(&bytes).to_hex().to_string();
            let len = bytes.len() as u64;
            let same = old.as_ref().and_then(|old| old.entry(&name)).filter(|old| old.blake3 == blake3);
            let file = same.map_or_else(|| free(&name), |same| same.file.clone());
            if same.is_none() {
                write_whole(&dir.join(&file), &bytes)?;
            }
            entries.push(FileEntry { name, file, len, blake3 });
        }
        for part in [dir.join("journal"), dir.join("packs"), dir.clone()] {
            files::sync_dir(&part)?;
        }
        let manifest = Manifest {
            format: FORMAT,
            created_at: created_at.to_owned(),
            store_version: STORE_VERSION,
            end: cut.end,
            files: entries,
        };
        report.files = manifest.file_count();
        report.bytes = manifest.bytes();
        let mut json = serde_json::to_vec_pretty(&manifest).map_err(|_| StoreError::Misuse("backup.json"))?;
        json.push(b'\n');
        write_whole(&dir.join(MANIFEST), &json)?;
        report.removed = remove_unneeded(&dir, &manifest)?;
        Ok(report)
    }
}

/// A path with its links followed as far as it exists.
fn real_path(path: &Path) -> Result<PathBuf> {
    for there in path.ancestors() {
        match fs_err::canonicalize(there) {
            Ok(real) => return Ok(real.join(path.strip_prefix(there).unwrap_or(Path::new("")))),
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(StoreError::io(there, e)),
        }
    }
    Ok(path.to_owned())
}

/// Whether a file of the store and its copy begin alike and, up to the copy's length, end alike. Both are full of
/// checksums and times, so that is as good as comparing all of them.
fn same_ends(source: &Path, dir: &Path, copy: &FileEntry) -> Result<bool> {
    let open = |path: &Path| files::open_read(path).and_then(|f| Ok((f.len()?, f)));
    let (Ok((source_len, source)), Ok((copy_len, file))) = (open(source), open(&dir.join(&copy.file))) else {
        return Ok(false);
    };
    if source_len < copy.len || copy_len < copy.len {
        return Ok(false);
    }
    let size = copy.len.min(ENDS);
    for at in [0, copy.len - size] {
        let size = usize::try_from(size).unwrap_or_default();
        if source.read(at, size)? != file.read(at, size)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a file of the store and its copy begin alike, as far as both go.
fn same_start(source: &Path, dir: &Path, copy: &FileEntry) -> Result<bool> {
    let open = |path: &Path| files::open_read(path).and_then(|f| Ok((f.len()?, f)));
    let (Ok((source_len, source)), Ok((copy_len, file))) = (open(source), open(&dir.join(&copy.file))) else {
        return Ok(false);
    };
    let size = usize::try_from(source_len.min(copy_len).min(copy.len).min(ENDS)).unwrap_or_default();
    Ok(size > 0 && source.read(0, size)? == file.read(0, size)?)
}

/// Removes files of earlier backups that this one does not need. Touches nothing that has not the name of one.
fn remove_unneeded(dir: &Path, manifest: &Manifest) -> Result<u64> {
    let mut removed = 0;
    for folder in ["", "journal/", "packs/"] {
        for (path, is_dir) in files::entries(&dir.join(folder))? {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let file = format!("{folder}{name}");
            let stem =
                file.rsplit_once('.').filter(|(_, n)| is_number(n)).map_or(file.as_str(), |(stem, _)| stem);
            let ours = is_store_file(&file) || is_store_file(stem);
            if !is_dir && ours && !manifest.files.iter().any(|f| f.file == file) {
                files::remove(&path)?;
                removed += 1;
            }
        }
    }
    Ok(removed)
}
