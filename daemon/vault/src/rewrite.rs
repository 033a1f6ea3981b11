//! The file made anew: without what is deleted, sealed with another key, or without what it no longer needs.
//!
//! The new file is written beside the old one, synced, put in its place, and read: what the vault then holds is what it says.
//! A crash at any step leaves the old file or the new one, each whole and with its key.

use std::fs::File;
use std::io::Write;

use crate::error::{Result, VaultError};
use crate::files::private;
use crate::frame;
use crate::index::Place;
use crate::keys::Keys;
use crate::keys::wipe;
use crate::row::Content;
use crate::token::{Name, Token};
use crate::vault::{Inner, Vault, load, read};

/// So much of a file may be of no use before it is made anew.
const WASTE: u64 = 256 << 10;

/// What is deleted.
#[derive(Clone, Debug)]
pub enum What<'a> {
    /// The value with this token. It is not sealed again.
    Token(Token),
    /// This value. It is not sealed again.
    Value(&'a [u8]),
    /// All that was seen in the session with this id, or the only one that starts so. Values that other sessions have, too,
    /// stay there.
    Session(&'a str),
}

/// What was deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    /// Tokens that open no more.
    pub tokens: Vec<Token>,
    /// Rows that are gone.
    pub rows: usize,
    /// The session, where one was asked for.
    pub session: Option<String>,
    /// Rows that went with them because they were damaged.
    pub lost: usize,
}

/// What was sealed anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotated {
    /// Rows.
    pub rows: usize,
    /// Rows that did not open with the old key either.
    pub lost: usize,
}

impl Vault {
    /// Deletes values: they cannot be looked up or revealed any more. Proved by reading what is left.
    pub fn delete(&self, what: &What<'_>, at_s: u64) -> Result<Deleted> {
        let (mut inner, _lock) = self.alone()?;
        let token = match what {
            What::Token(token) => Some(*token),
            What::Value(value) => Some(inner.keys.token(value)),
            What::Session(_) => None,
        };
        let session = match what {
            What::Session(prefix) => Some(session(&inner, prefix)?),
            _ => None,
        };
        let goes = |name: &Name, place: &Place| match (&token, &session) {
            (Some(token), _) => name.token == *token,
            (_, Some(session)) => session.as_deref() == Some(&*place.scope),
            _ => false,
        };
        let going: Vec<Name> =
            inner.index.all().filter(|(name, place)| goes(name, place)).map(|(name, _)| *name).collect();
        let mut deleted =
            Deleted { rows: going.len(), session: session.clone().flatten(), ..Deleted::default() };
        let is_new = token.is_some_and(|token| !inner.index.gone.contains_key(&token));
        // A value that was never seen is not to be sealed either, once its owner has said so.
        let says_so = is_new && (matches!(what, What::Value(_)) || !going.is_empty());
        if going.is_empty() && !says_so {
            return Ok(deleted);
        }
        if let Some(token) = token.filter(|_| says_so) {
            inner.index.gone.insert(token, at_s);
        }
        deleted.lost = self.rewrite(&mut inner, None, &|name, place| !goes(name, place))?;
        let left = inner.index.all().filter(|(name, place)| goes(name, place)).count();
        if left > 0 {
            return Err(VaultError::StillThere(left));
        }
        deleted.tokens = going.iter().map(|name| name.token).collect();
        deleted.tokens.sort_unstable();
        deleted.tokens.dedup();
        deleted.tokens.retain(|token| inner.index.find(&Name { token: *token, variant: None }).is_empty());
        Ok(deleted)
    }

    /// Seals every row with a new key, and destroys the old one. Tokens stay.
    pub fn rotate(&self) -> Result<Rotated> {
        let (mut inner, _lock) = self.alone()?;
        let both = inner.keys.with_next()?;
        // From here until the old one is given up there are two keys, and either file opens.
        inner.stale = true;
        (self.step)("rotate: keep both keys")?;
        both.save(&*self.store)?;
        let lost = self.rewrite(&mut inner, Some(&both), &|_, _| true)?;
        self.tidy(&mut inner)?;
        Ok(Rotated { rows: inner.index.len(), lost })
    }

    /// Finishes what a crash left: keys that no row needs are destroyed. Makes a file anew that is mostly waste.
    pub(crate) fn tidy(&self, inner: &mut Inner) -> Result<()> {
        if inner.index.damaged > 0 {
            return Ok(());
        }
        if let Some((id, _)) = inner.index.head
            && inner.keys.count() > 1
        {
            let only = inner.keys.only(id);
            (self.step)("rotate: destroy the old key")?;
            only.save(&*self.store)?;
            inner.keys = only;
        }
        if inner.index.waste > WASTE.max(inner.index.end / 2) {
            self.rewrite(inner, None, &|_, _| true)?;
        }
        Ok(())
    }

    /// Makes the file anew with the rows that are kept; sealed with the newest of `keys`, where some are given. Gives how
    /// many rows were lost because they do not open.
    pub(crate) fn rewrite(
        &self,
        inner: &mut Inner,
        keys: Option<&Keys>,
        keeps: &dyn Fn(&Name, &Place) -> bool,
    ) -> Result<usize> {
        inner.stale = true;
        let all = keys.unwrap_or(&inner.keys);
        let sealing = match inner.index.head {
            Some((id, _)) if keys.is_none() => all.sealing(id),
            _ => all.newest(),
        };
        let sealing = sealing.ok_or(VaultError::Seal)?;
        let head = Content::Head { key: sealing.id, check: all.check(sealing) };
        let mut bytes = frame::framed(&head.write());
        for (token, at_s) in &inner.index.gone {
            bytes.extend_from_slice(&frame::framed(&Content::Gone { token: *token, at_s: *at_s }.write()));
        }
        let mut lost = 0;
        for (name, place) in inner.index.all().filter(|(name, place)| keeps(name, place)) {
            let Some(mut row) = read(inner, place).filter(|row| row.name == *name) else {
                lost += 1;
                continue;
            };
            (row.last_s, row.count) = (place.last_s, place.count);
            if row.key != sealing.id {
                let Some(value) = row.open(&inner.keys) else {
                    lost += 1;
                    continue;
                };
                row.seal(sealing, &value)?;
            }
            bytes.extend_from_slice(&frame::framed(&Content::Sealed(row).write()));
        }
        (self.step)("rewrite: write")?;
        let mut file = private().create(true).truncate(true).write(true).open(self.files.rows_new())?;
        file.write_all(&bytes)?;
        (self.step)("rewrite: sync")?;
        file.sync_all()?;
        let before = private().write(true).open(self.files.rows())?;
        (self.step)("rewrite: rename")?;
        std::fs::rename(self.files.rows_new(), self.files.rows())?;
        (self.step)("rewrite: sync the directory")?;
        self.files.sync_dir()?;
        (self.step)("rewrite: wipe")?;
        done_with(before);
        *inner = load(&self.files, &*self.store)?;
        Ok(lost)
    }
}

/// The blocks of the file before: another process that still reads from it finds no row, and looks for the new one.
fn done_with(file: File) {
    // What can be done about blocks; a file system that copies on write keeps them, sealed as they are.
    let _ = wipe(file);
}

/// The session that is meant: this one, or the only one that starts so.
fn session(inner: &Inner, prefix: &str) -> Result<Option<String>> {
    let mut all: Vec<&str> = inner.index.all().map(|(_, place)| &*place.scope).collect();
    all.sort_unstable();
    all.dedup();
    if all.binary_search(&prefix).is_ok() {
        return Ok(Some(prefix.to_owned()));
    }
    let found: Vec<&&str> =
        all.iter().filter(|scope| prefix.len() >= 4 && scope.starts_with(prefix)).collect();
    match found.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some((**only).to_owned())),
        many => Err(VaultError::Ambiguous(many.len(), prefix.to_owned())),
    }
}
