//! Sealing: a value in, its name out.
//!
//! Must never give the name of a value whose row is not durable, but of one that was deleted on purpose: that keeps its name
//! and is not sealed again.

use std::ops::Range;

use crate::error::{Result, VaultError};
use crate::row::{Content, Row};
use crate::token::Name;
use crate::vault::{Hit, Inner, Vault};

/// Rows that are taken in; captured text could bring any number of them.
const MOST_ROWS: usize = 200_000;
/// Bytes of a file that is still added to.
const MOST_BYTES: u64 = 256 << 20;
/// The longest value.
const LONGEST: usize = 1 << 20;
/// Rows seen again that are told of along with a new one.
const TOLD_ALONG: usize = 64;

impl Vault {
    /// Seals a value, and gives its name. One that is known is counted, and nothing is written. Where nothing can be
    /// written, a value that another session has keeps its name.
    pub fn seal(&self, hit: &Hit<'_>) -> Result<Name> {
        self.try_seal(hit).or_else(|error| held(&self.inner(), hit).ok_or(error))
    }

    fn try_seal(&self, hit: &Hit<'_>) -> Result<Name> {
        let mut inner = self.inner();
        let names = names(&inner, hit);
        if !inner.stale
            && let Some(name) = known(&mut inner, hit, &names)?
        {
            return Ok(name);
        }
        drop(inner);
        let (mut inner, _lock) = self.alone()?;
        // Another process may have changed the keys.
        let names = self::names(&inner, hit);
        if let Some(name) = known(&mut inner, hit, &names)? {
            return Ok(name);
        }
        self.add(&mut inner, hit, &names)
    }

    fn add(&self, inner: &mut Inner, hit: &Hit<'_>, names: &[(Name, &[u8])]) -> Result<Name> {
        if hit.value.len() > LONGEST || hit.source.len() > LONGEST || hit.scope.len() > 1024 {
            return Err(VaultError::Full("a value of more than 1 MiB is not kept"));
        }
        if inner.index.len() >= MOST_ROWS || inner.index.end >= MOST_BYTES {
            return Err(VaultError::Full(
                "it holds 200,000 rows or 256 MiB; delete sessions that are done with",
            ));
        }
        let key = inner.index.head.and_then(|(id, _)| inner.keys.sealing(id));
        let key = key.or(inner.keys.newest()).ok_or(VaultError::Seal)?;
        let mut rows = Vec::new();
        for (name, bytes) in names {
            if inner.index.find(name).iter().any(|place| *place.scope == *hit.scope) {
                continue;
            }
            let mut row = Row {
                name: *name,
                rule: hit.rule.to_owned(),
                scope: hit.scope.to_owned(),
                digest: inner.keys.digest(bytes),
                key: key.id,
                first_s: hit.at_s,
                last_s: hit.at_s,
                count: 1,
                nonce: Default::default(),
                sealed: Vec::new(),
            };
            row.seal(key, bytes)?;
            rows.push(row);
        }
        let mut contents: Vec<Content> = rows.iter().cloned().map(Content::Sealed).collect();
        contents.extend(told(inner, TOLD_ALONG));
        let places = self.append(inner, &contents)?;
        note(inner, &rows, &places, &contents, TOLD_ALONG);
        names.last().map(|(name, _)| *name).ok_or(VaultError::Seal)
    }

    /// Writes down what was seen again since it was last told.
    pub fn flush(&self) -> Result<()> {
        if self.inner().index.changed(usize::MAX).next().is_none() {
            return Ok(());
        }
        let (mut inner, _lock) = self.alone()?;
        let contents = told(&inner, usize::MAX);
        let places = self.append(&mut inner, &contents)?;
        note(&mut inner, &[], &places, &contents, usize::MAX);
        Ok(())
    }
}

/// The value's name and, where it was written in another way, that one's, with the bytes of each; the one that a mark shows
/// is the last.
fn names<'a>(inner: &Inner, hit: &Hit<'a>) -> Vec<(Name, &'a [u8])> {
    let token = inner.keys.token(hit.value);
    let mut names = vec![(Name { token, variant: None }, hit.value)];
    if hit.source != hit.value {
        names.push((Name { token, variant: Some(inner.keys.variant(hit.source)) }, hit.source));
    }
    names
}

/// The name, if there is nothing to seal.
fn known(inner: &mut Inner, hit: &Hit<'_>, names: &[(Name, &[u8])]) -> Result<Option<Name>> {
    let Some((shown, _)) = names.last() else { return Ok(None) };
    if inner.index.gone.contains_key(&shown.token) {
        return Ok(Some(*shown));
    }
    let mut all = true;
    for (name, bytes) in names {
        let digest = inner.keys.digest(bytes);
        let places = inner.index.find(name);
        if places.iter().any(|place| place.digest != digest) {
            return Err(VaultError::Collision);
        }
        all &= places.iter().any(|place| *place.scope == *hit.scope);
    }
    if !all {
        return Ok(None);
    }
    for (name, _) in names {
        if let Some(place) = inner.index.find_mut(name, hit.scope) {
            place.count = place.count.saturating_add(1);
            place.last_s = place.last_s.max(hit.at_s);
        }
        inner.index.change(name, hit.scope);
    }
    Ok(Some(*shown))
}

/// The name that a mark shows, if it has a row in any session.
fn held(inner: &Inner, hit: &Hit<'_>) -> Option<Name> {
    let names = names(inner, hit);
    let is_held = |(name, bytes): &(Name, &[u8])| {
        let places = inner.index.find(name);
        let digest = inner.keys.digest(bytes);
        !places.is_empty() && places.iter().all(|place| place.digest == digest)
    };
    names.iter().all(is_held).then(|| names.last().map(|(name, _)| *name)).flatten()
}

/// What is to be told of rows that were seen again.
fn told(inner: &Inner, most: usize) -> Vec<Content> {
    inner
        .index
        .changed(most)
        .map(|(name, place)| Content::Seen {
            name: *name,
            scope: place.scope.to_string(),
            last_s: place.last_s,
            count: place.count,
        })
        .collect()
}

/// Notes what was written, with at most so many rows seen again.
fn note(inner: &mut Inner, rows: &[Row], places: &[Range<u64>], contents: &[Content], most: usize) {
    inner.index.told(most);
    for (row, at) in rows.iter().zip(places) {
        inner.index.put(row, at.clone());
    }
    for (content, at) in contents.iter().zip(places) {
        if let Content::Seen { .. } = content {
            inner.index.waste += at.end - at.start;
        }
    }
}
