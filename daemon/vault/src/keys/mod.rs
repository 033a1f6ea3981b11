//! The keys of a vault, and where they are kept.
//!
//! Two kinds: the one that names values stays as long as the vault; those that seal them are changed. Both are random, so
//! that an old sealing key that was destroyed cannot be had from what is left. They leave this process to a [`KeyStore`]
//! alone, and are wiped from memory when they are done with.

#[cfg(target_os = "linux")]
mod dbus;
mod file;
#[cfg(target_os = "macos")]
mod keychain;
#[cfg(target_os = "linux")]
mod secret_service;

use std::fmt::{self, Write};

use zeroize::Zeroizing;

use crate::codec::{hex, unhex};
use crate::error::{Result, VaultError};
use crate::token::{Token, Variant};

pub use file::KeyFile;
pub(crate) use file::wipe;
#[cfg(target_os = "macos")]
pub use keychain::Keychain;
#[cfg(target_os = "linux")]
pub use secret_service::SecretService;

/// Why a key store did not give or take the keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is no such store here.
    #[error("there is no {0} here: {1}")]
    Absent(&'static str, String),
    /// It is there, and does not open now.
    #[error("the {0} is locked: {1}")]
    Locked(&'static str, String),
    /// It failed.
    #[error("the {0} failed: {1}")]
    Failed(&'static str, String),
    /// What it holds is no key of ours.
    #[error("what the {0} holds is no key of a vault's")]
    Malformed(&'static str),
}

/// A place for the keys of one vault. Whatever may wait for a person, or for another process, has a bound of its own.
pub trait KeyStore: Send + Sync {
    /// What people know it by: `keychain`, `key file`.
    fn name(&self) -> &'static str;
    /// What it holds for this vault, if anything.
    fn load(&self) -> std::result::Result<Option<Zeroizing<String>>, KeyError>;
    /// Puts it there, in the place of what was there. Once this returns, it survives.
    fn store(&self, keys: &str) -> std::result::Result<(), KeyError>;
}

#[derive(Clone)]
pub(crate) struct SealingKey {
    pub(crate) id: u32,
    pub(crate) key: Zeroizing<[u8; 32]>,
}

/// The keys of a vault.
#[derive(Clone)]
pub struct Keys {
    naming: Zeroizing<[u8; 32]>,
    /// One, or two while one takes the other's place.
    sealing: Vec<SealingKey>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

/// The first word of what a store holds.
const MARK: &str = "ccd-vault-key-1";

fn random() -> Result<Zeroizing<[u8; 32]>> {
    let mut key = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *key).map_err(|_| VaultError::Seal)?;
    Ok(key)
}

impl Keys {
    /// Keys that nobody had before.
    pub fn new() -> Result<Keys> {
        Ok(Keys { naming: random()?, sealing: vec![SealingKey { id: 1, key: random()? }] })
    }

    /// As they are kept: words of letters and digits.
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        let mut out = Zeroizing::new(String::with_capacity(320));
        out.push_str(MARK);
        out.push(' ');
        out.push_str(&Zeroizing::new(hex(&*self.naming)));
        for one in &self.sealing {
            let _ = write!(out, " {}:", one.id);
            out.push_str(&Zeroizing::new(hex(&*one.key)));
        }
        out
    }

    /// What was kept.
    #[must_use]
    pub fn read(text: &str) -> Option<Keys> {
        let mut words = text.split_ascii_whitespace();
        if words.next() != Some(MARK) {
            return None;
        }
        let naming = Zeroizing::new(unhex(words.next()?)?);
        let mut keys = Keys { naming, sealing: Vec::new() };
        for word in words {
            let (id, key) = word.split_once(':')?;
            keys.sealing.push(SealingKey { id: id.parse().ok()?, key: Zeroizing::new(unhex(key)?) });
        }
        (!keys.sealing.is_empty()).then_some(keys)
    }

    pub(crate) fn load(store: &dyn KeyStore) -> Result<Option<Keys>> {
        let Some(text) = store.load()? else { return Ok(None) };
        Ok(Some(Keys::read(&text).ok_or(KeyError::Malformed(store.name()))?))
    }

    /// Puts them where they are kept, and looks whether they are there.
    pub(crate) fn save(&self, store: &dyn KeyStore) -> Result<()> {
        let text = self.text();
        store.store(&text)?;
        match store.load()? {
            Some(kept) if kept.trim() == text.as_str() => Ok(()),
            _ => Err(KeyError::Failed(store.name(), "it does not keep what it is given".into()).into()),
        }
    }

    /// The key that seals from now on.
    pub(crate) fn newest(&self) -> Option<&SealingKey> {
        self.sealing.iter().max_by_key(|one| one.id)
    }

    pub(crate) fn sealing(&self, id: u32) -> Option<&SealingKey> {
        self.sealing.iter().find(|one| one.id == id)
    }

    pub(crate) fn count(&self) -> usize {
        self.sealing.len()
    }

    /// The same, and one more key to seal with.
    pub(crate) fn with_next(&self) -> Result<Keys> {
        let mut keys = self.clone();
        let id = self.newest().map_or(0, |one| one.id).wrapping_add(1);
        keys.sealing.push(SealingKey { id, key: random()? });
        Ok(keys)
    }

    /// The same with one key to seal with.
    pub(crate) fn only(&self, id: u32) -> Keys {
        let mut keys = self.clone();
        keys.sealing.retain(|one| one.id == id);
        keys
    }

    /// Whether both name values alike.
    pub(crate) fn is_same_vault(&self, other: &Keys) -> bool {
        self.sub("ccd vault 1: check") == other.sub("ccd vault 1: check")
    }

    fn sub(&self, purpose: &str) -> [u8; 32] {
        blake3::derive_key(purpose, &*self.naming)
    }

    fn hash(&self, purpose: &str, bytes: &[u8]) -> [u8; 32] {
        let key = Zeroizing::new(self.sub(purpose));
        *blake3::keyed_hash(&key, bytes).as_bytes()
    }

    /// The name of a value.
    #[must_use]
    pub fn token(&self, value: &[u8]) -> Token {
        Token::of(&self.hash("ccd vault 1: token", value))
    }

    /// The name of a way of writing one.
    #[must_use]
    pub fn variant(&self, source: &[u8]) -> Variant {
        Variant::of(&self.hash("ccd vault 1: variant", source))
    }

    /// By which it is known whether two values are one, without either.
    pub(crate) fn digest(&self, bytes: &[u8]) -> [u8; 32] {
        self.hash("ccd vault 1: digest", bytes)
    }

    /// Binds the lines of the audit log.
    pub(crate) fn audit(&self, bytes: &[u8]) -> [u8; 32] {
        self.hash("ccd vault 1: audit", bytes)
    }

    /// By which it is known whether these are the keys of some rows.
    pub(crate) fn check(&self, sealing: &SealingKey) -> [u8; 16] {
        let both = Zeroizing::new([*self.naming, *sealing.key].concat());
        let hash = self.hash("ccd vault 1: check of rows", &both);
        std::array::from_fn(|n| hash[n])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_were_kept_and_shown_to_nobody() {
        let keys = Keys::new().unwrap().with_next().unwrap();
        let read = Keys::read(&keys.text()).unwrap();
        assert_eq!(*read.text(), *keys.text());
        assert_eq!((read.count(), read.newest().map(|one| one.id)), (2, Some(2)));
        assert_eq!(format!("{keys:?}"), "Keys { .. }");
        assert_eq!(keys.token(b"x"), keys.only(2).token(b"x"), "names stay");
        assert!(keys.is_same_vault(&read) && !keys.is_same_vault(&Keys::new().unwrap()));
        for wrong in ["", "ccd-vault-key-1", "ccd-vault-key-2 00", &keys.text()[..90]] {
            assert!(Keys::read(wrong).is_none(), "{wrong}");
        }
    }
}
