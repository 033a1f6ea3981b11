//! A vault that is open: its keys, what it holds, and what can be asked of it.
//!
//! Invariants: what the index says is on disk is; a change is made with the lock held, after what others changed was read;
//! when a write fails, what was written of it is cut off, and the file is read anew before the next.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zeroize::Zeroizing;

use crate::audit::{self, Entry, Who};
use crate::error::{Result, VaultError};
use crate::files::{Files, Step, private};
use crate::frame::{self, Piece};
use crate::index::{Index, Place};
use crate::keys::{KeyStore, Keys};
use crate::row::{Content, Row};
use crate::token::Name;

/// A value that was found, to be sealed.
#[derive(Clone, Copy, Debug)]
pub struct Hit<'a> {
    /// The id of the rule that tells its kind.
    pub rule: &'a str,
    /// The value.
    pub value: &'a [u8],
    /// The bytes that stood for it in the text.
    pub source: &'a [u8],
    /// Where: a session's id.
    pub scope: &'a str,
    /// When, in seconds since the Unix epoch.
    pub at_s: u64,
    /// How often.
    pub times: u64,
}

/// What became of values that were to be sealed.
#[derive(Debug, Default)]
pub struct Sealed {
    /// The name of each, in their order; none for those that are not sealed.
    pub names: Vec<Option<Name>>,
    /// Why the last of those is not.
    pub error: Option<VaultError>,
}

/// A value that was looked up.
pub struct Value {
    /// The bytes as they stood in the text.
    pub bytes: Zeroizing<Vec<u8>>,
    /// The rule that told its kind.
    pub rule: String,
    /// The sessions that it was seen in.
    pub scopes: Vec<String>,
    /// When it was first seen, in seconds since the Unix epoch.
    pub first_s: u64,
    /// When it was last seen, likewise.
    pub last_s: u64,
    /// How often.
    pub count: u64,
}

/// What became of a look-up.
pub enum Answer {
    /// The value.
    Value(Value),
    /// It was deleted then, in seconds since the Unix epoch.
    Deleted(u64),
    /// No value has that name.
    Unknown,
    /// Its row is damaged.
    Damaged,
}

impl Answer {
    /// In a word, for the log.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Answer::Value(_) => "given",
            Answer::Deleted(_) => "deleted",
            Answer::Unknown => "unknown",
            Answer::Damaged => "damaged",
        }
    }
}

/// How large a vault is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Values.
    pub tokens: usize,
    /// Rows: a value has one for each session and way of writing.
    pub rows: usize,
    /// Values that were deleted.
    pub deleted: usize,
    /// Bytes of the file.
    pub bytes: u64,
    /// Places in the file that are damaged.
    pub damaged: u64,
    /// Bytes that a crash left of a row that was not done, and that were cut off.
    pub torn: u64,
}

/// How a vault is, every row looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// How large it is.
    pub stats: Stats,
    /// Rows that open.
    pub opened: usize,
    /// Rows that do not.
    pub unopened: usize,
    /// Values by the rule that told their kind.
    pub rules: BTreeMap<String, usize>,
    /// Where the keys are.
    pub key: &'static str,
    /// What others could read or change.
    pub loose: Vec<String>,
}

pub(crate) struct Inner {
    pub(crate) file: File,
    /// Which file that is.
    id: (u64, u64),
    pub(crate) keys: Keys,
    pub(crate) index: Index,
    /// What is in memory is not what is on disk.
    pub(crate) stale: bool,
}

/// A vault that is open.
pub struct Vault {
    pub(crate) files: Files,
    pub(crate) store: Arc<dyn KeyStore>,
    /// The key's own file, where there is one.
    key_file: Option<PathBuf>,
    pub(crate) step: Step,
    inner: Mutex<Inner>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").field("dir", &self.files.dir).finish_non_exhaustive()
    }
}

impl Vault {
    /// Opens the vault in this directory, or makes it where there is none. `key_file`: the key store's own file, whose
    /// mode is looked at.
    pub fn open(dir: &Path, store: Arc<dyn KeyStore>, key_file: Option<PathBuf>) -> Result<Vault> {
        Self::open_with(dir, store, key_file, Arc::new(|_| Ok(())))
    }

    /// The same; `step` is called before each step of a change.
    pub fn open_with(
        dir: &Path,
        store: Arc<dyn KeyStore>,
        key_file: Option<PathBuf>,
        step: Step,
    ) -> Result<Vault> {
        let files = Files { dir: dir.to_owned() };
        files.make_dir()?;
        let lock = files.lock()?;
        let inner = load(&files, &*store)?;
        let vault = Vault { files, store, key_file, step, inner: Mutex::new(inner) };
        vault.tidy(&mut vault.inner())?;
        drop(lock);
        Ok(vault)
    }

    pub(crate) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Both locks, and what is in memory as it is on disk.
    pub(crate) fn alone(&self) -> Result<(MutexGuard<'_, Inner>, File)> {
        let mut inner = self.inner();
        let lock = self.files.lock()?;
        self.refresh(&mut inner)?;
        Ok((inner, lock))
    }

    /// Reads what another process, or a failed write, has changed.
    fn refresh(&self, inner: &mut Inner) -> Result<()> {
        let meta = match std::fs::symlink_metadata(self.files.rows()) {
            Ok(meta) => Some(meta),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        let same = meta.as_ref().is_some_and(|meta| (meta.dev(), meta.ino()) == inner.id);
        let length = meta.map_or(0, |meta| meta.len());
        if inner.stale || !same || length < inner.index.end {
            let counts = inner.index.changed(usize::MAX);
            let counts: Vec<(Name, Place)> = counts.map(|(name, place)| (*name, place.clone())).collect();
            *inner = load(&self.files, &*self.store)?;
            for (name, seen) in counts {
                if let Some(place) = inner.index.find_mut(&name, &seen.scope) {
                    place.count = place.count.max(seen.count);
                    place.last_s = place.last_s.max(seen.last_s);
                }
                inner.index.change(&name, &seen.scope);
            }
        } else if length > inner.index.end {
            let mut more = Vec::new();
            inner.file.seek(SeekFrom::Start(inner.index.end))?;
            (&inner.file).read_to_end(&mut more)?;
            cut(inner, &more)?;
        }
        Ok(())
    }

    /// Appends contents and has them survive; tells where each lies.
    pub(crate) fn append(
        &self,
        inner: &mut Inner,
        contents: &[Content],
    ) -> Result<Vec<std::ops::Range<u64>>> {
        let start = inner.index.end;
        let mut bytes = Vec::new();
        let mut places = Vec::with_capacity(contents.len());
        for content in contents {
            let from = start + bytes.len() as u64;
            bytes.extend_from_slice(&frame::framed(&content.write()));
            places.push(from..start + bytes.len() as u64);
        }
        inner.stale = true;
        let written = (self.step)("append").and_then(|()| {
            inner.file.seek(SeekFrom::Start(start))?;
            inner.file.write_all(&bytes)?;
            (self.step)("append: sync")?;
            inner.file.sync_data()
        });
        if let Err(error) = written {
            // What a failed sync leaves is not to be believed.
            let _ = inner.file.set_len(start);
            return Err(error.into());
        }
        inner.index.end = start + bytes.len() as u64;
        inner.stale = false;
        Ok(places)
    }

    /// How large it is.
    #[must_use]
    pub fn stats(&self) -> Stats {
        stats(&self.inner().index)
    }

    /// Where the keys are kept.
    #[must_use]
    pub fn key(&self) -> &'static str {
        self.store.name()
    }

    /// What others could read or change of its files.
    #[must_use]
    pub fn loose(&self) -> Vec<String> {
        self.files.loose(self.key_file.as_slice())
    }

    /// Looks at every row.
    pub fn health(&self) -> Result<Health> {
        let (inner, _lock) = self.alone()?;
        let mut health = Health {
            stats: stats(&inner.index),
            key: self.store.name(),
            loose: self.loose(),
            ..Health::default()
        };
        let mut kinds = std::collections::HashSet::new();
        for (name, place) in inner.index.all() {
            match read(&inner, place).and_then(|row| row.open(&inner.keys)) {
                Some(_) => health.opened += 1,
                None => health.unopened += 1,
            }
            if kinds.insert(name.token) {
                *health.rules.entry(place.rule.to_string()).or_default() += 1;
            }
        }
        Ok(health)
    }

    /// Looks values up for somebody, for a reason. Each is on the audit log, durably, before it is given.
    pub fn look_up(&self, names: &[Name], who: &Who, reason: &str, at: &str) -> Result<Vec<Answer>> {
        let (inner, _lock) = self.alone()?;
        let answers: Vec<Answer> = names.iter().map(|name| answer(&inner, name)).collect();
        let entries = names.iter().zip(&answers).map(|(name, answer)| Entry {
            seq: 0,
            at: at.to_owned(),
            by: who.clone(),
            token: name.to_string(),
            reason: reason.to_owned(),
            result: answer.word().to_owned(),
            hash: String::new(),
        });
        audit::append(&self.files, &inner.keys, entries.collect(), &self.step)?;
        Ok(answers)
    }

    /// Puts something on the audit log, durably, that is done with all of the vault or takes values from it. `what` must hold
    /// no value.
    pub fn note(&self, what: &str, who: &Who, reason: &str, at: &str) -> Result<()> {
        let (inner, _lock) = self.alone()?;
        let entry = Entry {
            seq: 0,
            at: at.to_owned(),
            by: who.clone(),
            token: what.to_owned(),
            reason: reason.to_owned(),
            result: "asked".to_owned(),
            hash: String::new(),
        };
        audit::append(&self.files, &inner.keys, vec![entry], &self.step)
    }

    /// The audit log, and whether every line of it is there.
    pub fn audit(&self) -> Result<audit::Log> {
        let (inner, _lock) = self.alone()?;
        audit::read(&self.files, &inner.keys)
    }

    /// At most so many of the values, each behind its rule, those seen last before others: by which redaction knows them again.
    #[must_use]
    pub fn values(&self, most: usize) -> Vec<(String, Zeroizing<String>)> {
        let inner = self.inner();
        let mut last: Vec<(&Name, &Place)> =
            inner.index.all().filter(|(name, _)| name.variant.is_none()).collect();
        last.sort_by_key(|(name, place)| (std::cmp::Reverse(place.last_s), **name));
        last.dedup_by_key(|(name, _)| name.token);
        let opened = last.into_iter().take(most).filter_map(|(_, place)| {
            let row = read(&inner, place)?;
            let bytes = row.open(&inner.keys)?;
            Some((row.rule.clone(), Zeroizing::new(str::from_utf8(&bytes).ok()?.to_owned())))
        });
        opened.collect()
    }
}

fn stats(index: &Index) -> Stats {
    Stats {
        tokens: index.tokens(),
        rows: index.len(),
        deleted: index.gone.len(),
        bytes: index.end,
        damaged: index.damaged,
        torn: index.torn,
    }
}

fn answer(inner: &Inner, name: &Name) -> Answer {
    let places = inner.index.find(name);
    let opened = places.iter().find_map(|place| Some((place, read(inner, place)?.open(&inner.keys)?)));
    match opened {
        Some((place, bytes)) => Answer::Value(Value {
            bytes,
            rule: place.rule.to_string(),
            scopes: places.iter().map(|place| place.scope.to_string()).collect(),
            first_s: places.iter().map(|place| place.first_s).min().unwrap_or_default(),
            last_s: places.iter().map(|place| place.last_s).max().unwrap_or_default(),
            count: places.iter().map(|place| place.count).sum(),
        }),
        None if !places.is_empty() => Answer::Damaged,
        None => inner.index.gone.get(&name.token).map_or(Answer::Unknown, |at| Answer::Deleted(*at)),
    }
}

/// The row at a place, if its bytes are what they were.
pub(crate) fn read(inner: &Inner, place: &Place) -> Option<Row> {
    let mut bytes = vec![0; usize::try_from(place.at.end - place.at.start).ok()?];
    inner.file.read_exact_at(&mut bytes, place.at.start).ok()?;
    let [Piece::Frame(_, content)] = frame::pieces(&bytes)[..] else { return None };
    let Ok(Some(Content::Sealed(row))) = Content::read(content) else { return None };
    Some(row)
}

/// Takes in what follows, and cuts the half of a frame off that a crash left at the end.
fn cut(inner: &mut Inner, more: &[u8]) -> Result<()> {
    if inner.index.take(more)? > 0 {
        inner.file.set_len(inner.index.end)?;
        inner.file.sync_data()?;
    }
    Ok(())
}

/// Reads keys and rows. The lock is held.
pub(crate) fn load(files: &Files, store: &dyn KeyStore) -> Result<Inner> {
    match std::fs::remove_file(files.rows_new()) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let mut file = private().create(true).read(true).write(true).truncate(false).open(files.rows())?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let meta = file.metadata()?;
    let mut index = Index::default();
    let torn = index.take(&bytes)?;
    if index.end == 0 && torn > 0 {
        // Nothing in it but the half of a head: the vault was being made.
        file.set_len(0)?;
    }
    let keys = match Keys::load(store)? {
        Some(keys) => keys,
        None if index.len() > 0 => return Err(VaultError::KeyLost(store.name(), index.tokens())),
        None => {
            let keys = Keys::new()?;
            keys.save(store)?;
            // What was left by keys that are gone is not ours.
            index = Index::default();
            file.set_len(0)?;
            keys
        }
    };
    if let Some((id, check)) = index.head
        && keys.sealing(id).map(|key| keys.check(key)) != Some(check)
    {
        if index.len() > 0 {
            return Err(VaultError::WrongKey(store.name()));
        }
        index = Index::default();
        file.set_len(0)?;
    }
    let mut inner = Inner { file, id: (meta.dev(), meta.ino()), keys, index, stale: false };
    if torn > 0 {
        inner.file.set_len(inner.index.end)?;
        inner.file.sync_data()?;
    }
    if inner.index.end == 0 {
        let key = inner.keys.newest().ok_or(VaultError::Seal)?;
        let (id, check) = (key.id, inner.keys.check(key));
        let head = frame::framed(&Content::Head { key: id, check }.write());
        inner.file.set_len(0)?;
        inner.file.seek(SeekFrom::Start(0))?;
        inner.file.write_all(&head)?;
        inner.file.sync_all()?;
        files.sync_dir()?;
        inner.index.end = head.len() as u64;
        inner.index.head = Some((id, check));
    }
    Ok(inner)
}
