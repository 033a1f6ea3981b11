//! Sealing: a value in, its name out.
//!
//! Any number of values at once: their rows are written together, and the disk is waited for once.
//!
//! Must never say that a value is sealed whose row is not durable, but of one that was deleted on purpose: that keeps its name
//! and is not sealed again.

use std::collections::HashMap;
use std::ops::Range;

use crate::error::{Result, VaultError};
use crate::row::{Content, Row};
use crate::token::Name;
use crate::vault::{Hit, Inner, Sealed, Vault};

/// Rows that are taken in; captured text could bring any number of them.
const MOST_ROWS: usize = 200_000;
/// Bytes of a file that is still added to.
const MOST_BYTES: u64 = 256 << 20;
/// The longest value.
const LONGEST: usize = 1 << 20;
/// Rows seen again that are told of along with a new one.
const TOLD_ALONG: usize = 64;

/// Rows that are to be written together.
#[derive(Default)]
struct Batch {
    rows: Vec<Row>,
    /// Where among them those of a name are: one for each session.
    of_name: HashMap<Name, Vec<usize>>,
    /// What they add to the file, roughly.
    bytes: u64,
    /// The names of the values that they are of, each with the value's place in the order that was given.
    names: Vec<(usize, Name)>,
}

impl Vault {
    /// Seals a value, and gives its name. One that is known is counted, and nothing is written. Where nothing can be
    /// written, a value that another session has keeps its name.
    pub fn seal(&self, hit: &Hit<'_>) -> Result<Name> {
        let mut sealed = self.seal_all(std::slice::from_ref(hit));
        match (sealed.names.pop().flatten(), sealed.error) {
            (Some(name), _) => Ok(name),
            (None, error) => Err(error.unwrap_or(VaultError::Seal)),
        }
    }

    /// As [`Vault::seal`], for any number of values: those that are new are written together, and the disk is waited for
    /// once. One that cannot be sealed keeps no other from it.
    pub fn seal_all(&self, hits: &[Hit<'_>]) -> Sealed {
        let mut done = Sealed { names: vec![None; hits.len()], error: None };
        let is_done = {
            let mut inner = self.inner();
            !inner.stale && pass(&mut inner, hits, &mut done).is_empty()
        };
        if !is_done && let Err(error) = self.seal_new(hits, &mut done) {
            done.error = Some(error);
        }
        if done.names.contains(&None) {
            let inner = self.inner();
            for (name, hit) in done.names.iter_mut().zip(hits).filter(|(name, _)| name.is_none()) {
                *name = held(&inner, hit);
            }
        }
        if !done.names.contains(&None) {
            done.error = None;
        }
        done
    }

    /// The name that a value has, or will have once it is sealed, if the keys stay; `source` is what stood for it in the
    /// text. Nothing is sealed.
    #[must_use]
    pub fn name(&self, value: &[u8], source: &[u8]) -> Name {
        shown(&self.inner(), value, source)
    }

    fn seal_new(&self, hits: &[Hit<'_>], done: &mut Sealed) -> Result<()> {
        let (mut inner, _lock) = self.alone()?;
        // Another process may have sealed some, or changed the keys.
        let left = pass(&mut inner, hits, done);
        let mut batch = Batch::default();
        for at in left {
            let Some(hit) = hits.get(at) else { continue };
            match batch.add(&inner, hit) {
                Ok(name) => batch.names.push((at, name)),
                Err(error) => done.error = Some(error),
            }
        }
        if batch.rows.is_empty() {
            return Ok(());
        }
        let mut contents: Vec<Content> = batch.rows.into_iter().map(Content::Sealed).collect();
        contents.extend(told(&inner, TOLD_ALONG));
        let places = self.append(&mut inner, &contents)?;
        note(&mut inner, &places, &contents, TOLD_ALONG);
        for (at, name) in batch.names {
            if let Some(place) = done.names.get_mut(at) {
                *place = Some(name);
            }
        }
        Ok(())
    }

    /// Writes down what was seen again since it was last told.
    pub fn flush(&self) -> Result<()> {
        if self.inner().index.changed(usize::MAX).next().is_none() {
            return Ok(());
        }
        let (mut inner, _lock) = self.alone()?;
        let contents = told(&inner, usize::MAX);
        let places = self.append(&mut inner, &contents)?;
        note(&mut inner, &places, &contents, usize::MAX);
        Ok(())
    }
}

impl Batch {
    /// Seals a value that the index has not, or has not in this session; gives the name that a mark shows.
    fn add(&mut self, inner: &Inner, hit: &Hit<'_>) -> Result<Name> {
        if hit.value.len() > LONGEST || hit.source.len() > LONGEST || hit.scope.len() > 1024 {
            return Err(VaultError::Full("a value of more than 1 MiB is not kept"));
        }
        if inner.index.len() + self.rows.len() >= MOST_ROWS || inner.index.end + self.bytes >= MOST_BYTES {
            return Err(VaultError::Full(
                "it holds 200,000 rows or 256 MiB; delete sessions that are done with",
            ));
        }
        let key = inner.index.head.and_then(|(id, _)| inner.keys.sealing(id));
        let key = key.or(inner.keys.newest()).ok_or(VaultError::Seal)?;
        let names = names(inner, hit);
        let mut new = Vec::with_capacity(names.len());
        for (name, bytes) in &names {
            let digest = inner.keys.digest(bytes);
            let of_name = self.of_name.get(name).into_iter().flatten();
            let mut here = of_name.filter_map(|at| self.rows.get(*at)).peekable();
            if here.peek().is_some_and(|row| row.digest != digest) {
                return Err(VaultError::Collision);
            }
            let is_there = inner.index.find(name).iter().any(|place| *place.scope == *hit.scope);
            if is_there || here.any(|row| row.scope == hit.scope) {
                continue;
            }
            let mut row = Row {
                name: *name,
                rule: hit.rule.to_owned(),
                scope: hit.scope.to_owned(),
                digest,
                key: key.id,
                first_s: hit.at_s,
                last_s: hit.at_s,
                count: 0,
                nonce: Default::default(),
                sealed: Vec::new(),
            };
            row.seal(key, bytes)?;
            new.push(row);
        }
        for row in new {
            self.bytes += (row.sealed.len() + row.scope.len() + row.rule.len()) as u64;
            self.of_name.entry(row.name).or_default().push(self.rows.len());
            self.rows.push(row);
        }
        // Neither the times nor the count are sealed.
        for (name, _) in &names {
            for at in self.of_name.get(name).into_iter().flatten() {
                if let Some(row) = self.rows.get_mut(*at).filter(|row| row.scope == hit.scope) {
                    row.count = row.count.saturating_add(hit.times);
                    row.last_s = row.last_s.max(hit.at_s);
                }
            }
        }
        Ok(shown(inner, hit.value, hit.source))
    }
}

/// Names those that need no row, and counts them; gives the places of the others that have no name yet.
fn pass(inner: &mut Inner, hits: &[Hit<'_>], done: &mut Sealed) -> Vec<usize> {
    let mut left = Vec::new();
    for (at, (name, hit)) in done.names.iter_mut().zip(hits).enumerate().filter(|(_, (n, _))| n.is_none()) {
        let names = names(inner, hit);
        match known(inner, hit, &names) {
            Ok(Some(known)) => *name = Some(known),
            Ok(None) => left.push(at),
            Err(error) => done.error = Some(error),
        }
    }
    left
}

/// The value's name and, where it was written in another way, that one's, with the bytes of each.
fn names<'a>(inner: &Inner, hit: &Hit<'a>) -> Vec<(Name, &'a [u8])> {
    let plain = Name { token: inner.keys.token(hit.value), variant: None };
    let shown = shown(inner, hit.value, hit.source);
    let mut names = vec![(plain, hit.value)];
    if shown != plain {
        names.push((shown, hit.source));
    }
    names
}

/// The name that a mark shows.
fn shown(inner: &Inner, value: &[u8], source: &[u8]) -> Name {
    let variant = (source != value).then(|| inner.keys.variant(source));
    Name { token: inner.keys.token(value), variant }
}

/// The name, if there is nothing to seal.
fn known(inner: &mut Inner, hit: &Hit<'_>, names: &[(Name, &[u8])]) -> Result<Option<Name>> {
    let shown = shown(inner, hit.value, hit.source);
    if inner.index.gone.contains_key(&shown.token) {
        return Ok(Some(shown));
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
            place.count = place.count.saturating_add(hit.times);
            place.last_s = place.last_s.max(hit.at_s);
        }
        inner.index.change(name, hit.scope);
    }
    Ok(Some(shown))
}

/// The name that a mark shows, if it has a row in any session.
fn held(inner: &Inner, hit: &Hit<'_>) -> Option<Name> {
    let names = names(inner, hit);
    let is_held = |(name, bytes): &(Name, &[u8])| {
        let places = inner.index.find(name);
        let digest = inner.keys.digest(bytes);
        !places.is_empty() && places.iter().all(|place| place.digest == digest)
    };
    names.iter().all(is_held).then(|| shown(inner, hit.value, hit.source))
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
fn note(inner: &mut Inner, places: &[Range<u64>], contents: &[Content], most: usize) {
    inner.index.told(most);
    for (content, at) in contents.iter().zip(places) {
        match content {
            Content::Sealed(row) => inner.index.put(row, at.clone()),
            Content::Seen { .. } => inner.index.waste += at.end - at.start,
            Content::Head { .. } | Content::Gone { .. } => {}
        }
    }
}
