//! Backups: rows and keys in one file, sealed with a passphrase; or openly with the key, for whoever keeps the file safe.
//!
//! The passphrase is stretched by Argon2id: who has stolen the file tries few of them. A vault is never replaced by a backup
//! of another one unless its owner says so, and what was deleted does not come back.

use argon2::{Algorithm, Argon2, Params, Version};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::codec::{Put, Take};
use crate::error::{Result, VaultError};
use crate::index::Index;
use crate::keys::Keys;
use crate::row::{Content, Row};
use crate::token::Name;
use crate::vault::{Vault, load};
use crate::{frame, frame::Piece};

const SIGN: &[u8; 8] = b"ccdVbak1";
const OPEN: u8 = 0;
const SEALED: u8 = 1;
/// Argon2id as its authors and RFC 9106 advise where memory is scarce: 64 MiB, three passes, one lane.
const MEMORY_KIB: u32 = 64 << 10;
const PASSES: u32 = 3;
/// A file may not ask for more.
const MOST_MEMORY_KIB: u32 = 1 << 20;
const MOST_PASSES: u32 = 16;

/// How a backup is sealed.
#[derive(Clone, Copy, Debug)]
pub enum Lock<'a> {
    /// With a passphrase.
    Passphrase(&'a str),
    /// Not at all: whoever has the file has the values.
    WithKey,
}

/// How a backup is opened.
#[derive(Clone, Copy, Debug)]
pub struct Unlock<'a> {
    /// The passphrase, where there is one.
    pub passphrase: Option<&'a str>,
    /// Put it in the place of another vault.
    pub replace: bool,
}

/// What was put back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Rows that were not there.
    pub added: usize,
    /// Rows that were there already.
    pub known: usize,
    /// Rows of values that were deleted here, and stay so.
    pub deleted: usize,
    /// Rows of the backup that do not open.
    pub lost: usize,
    /// Rows of another vault that it took the place of.
    pub replaced: usize,
}

fn stretched(passphrase: &str, salt: &[u8], memory: u32, passes: u32) -> Result<Zeroizing<[u8; 32]>> {
    let params = Params::new(memory, passes, 1, Some(32)).map_err(|_| VaultError::NotABackup)?;
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.as_bytes(), salt, &mut *key)
        .map_err(|_| VaultError::Seal)?;
    Ok(key)
}

fn cipher(key: &[u8; 32]) -> Result<LessSafeKey> {
    Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).map_err(|_| VaultError::Seal)?))
}

impl Vault {
    /// All of the vault as one file.
    pub fn backup(&self, lock: Lock<'_>) -> Result<Zeroizing<Vec<u8>>> {
        let (inner, alone) = self.alone()?;
        let rows = std::fs::read(self.files.rows())?;
        // Made at its full size: nothing with a key in it is left behind by growing.
        let room = Put(Vec::with_capacity(rows.len() + 1024));
        let inside = Zeroizing::new(room.field(inner.keys.text().as_bytes()).field(&rows).0);
        drop((inner, alone));
        let mut out = Zeroizing::new(SIGN.to_vec());
        match lock {
            Lock::WithKey => {
                out.push(OPEN);
                out.extend_from_slice(&inside);
                let sum = blake3::hash(&out);
                out.extend_from_slice(sum.as_bytes());
            }
            Lock::Passphrase(passphrase) => {
                let mut random = [0; 28];
                getrandom::fill(&mut random).map_err(|_| VaultError::Seal)?;
                let (salt, nonce) = random.split_at(16);
                let head =
                    Put(out.to_vec()).byte(SEALED).u32(MEMORY_KIB).u32(PASSES).field(salt).field(nonce).0;
                let key = stretched(passphrase, salt, MEMORY_KIB, PASSES)?;
                let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| VaultError::Seal)?;
                let mut sealed = Vec::with_capacity(inside.len() + AES_256_GCM.tag_len());
                sealed.extend_from_slice(&inside);
                cipher(&key)?
                    .seal_in_place_append_tag(nonce, Aad::from(&head), &mut sealed)
                    .map_err(|_| VaultError::Seal)?;
                *out = head;
                out.extend_from_slice(&sealed);
            }
        }
        Ok(out)
    }

    /// Puts a backup's rows back: those that are not here into this vault, or all of them where there is none. Does not need
    /// an open vault: one whose key is lost is what a backup is for.
    pub fn restore(
        dir: &std::path::Path,
        store: &std::sync::Arc<dyn crate::KeyStore>,
        key_file: Option<std::path::PathBuf>,
        bytes: &[u8],
        unlock: Unlock<'_>,
    ) -> Result<Restored> {
        let (keys, rows) = opened(bytes, unlock.passphrase)?;
        let mut index = Index::default();
        index.take(&rows)?;
        match Vault::open(dir, std::sync::Arc::clone(store), key_file.clone()) {
            Ok(vault) => vault.merge(&keys, &rows, &index, unlock.replace),
            Err(VaultError::KeyLost(..) | VaultError::WrongKey(_)) => {
                let files = crate::files::Files { dir: dir.to_owned() };
                // The rows that nothing opens may be just those of the backup's key; if not, they are kept aside.
                let lock = files.lock()?;
                keys.save(&**store)?;
                if load(&files, &**store).is_err() {
                    std::fs::rename(files.rows(), dir.join("rows.unopened"))?;
                }
                drop(lock);
                Vault::open(dir, std::sync::Arc::clone(store), key_file)?.merge(&keys, &rows, &index, false)
            }
            Err(error) => Err(error),
        }
    }

    fn merge(&self, keys: &Keys, rows: &[u8], theirs: &Index, replace: bool) -> Result<Restored> {
        let (mut inner, lock) = self.alone()?;
        let mut restored = Restored::default();
        if !inner.keys.is_same_vault(keys) {
            let here = inner.index.tokens();
            if here > 0 && !replace {
                return Err(VaultError::OtherVault(here));
            }
            restored.replaced = inner.index.len();
            inner.stale = true;
            keys.save(&*self.store)?;
            let id = keys.newest().map_or(0, |key| key.id);
            let only = keys.only(id);
            let head = only.newest().map(|key| Content::Head { key: key.id, check: only.check(key) });
            let head = head.ok_or(VaultError::NotABackup)?;
            crate::files::replace(&self.files.rows(), &frame::framed(&head.write()))?;
            *inner = load(&self.files, &*self.store)?;
        }
        let key = inner.index.head.and_then(|(id, _)| inner.keys.sealing(id)).cloned();
        let key = key.ok_or(VaultError::Seal)?;
        let mut contents = Vec::new();
        for (token, at_s) in &theirs.gone {
            if !inner.index.gone.contains_key(token) {
                contents.push(Content::Gone { token: *token, at_s: *at_s });
            }
        }
        for piece in frame::pieces(rows) {
            let Piece::Frame(_, content) = piece else { continue };
            let Some(Content::Sealed(mut row)) = Content::read(content)? else { continue };
            if inner.index.gone.contains_key(&row.name.token) {
                restored.deleted += 1;
            } else if has(&inner.index, &row.name, &row) {
                restored.known += 1;
            } else if let Some(value) = row.open(keys) {
                row.seal(&key, &value)?;
                restored.added += 1;
                contents.push(Content::Sealed(row));
            } else {
                restored.lost += 1;
            }
        }
        if !contents.is_empty() {
            self.append(&mut inner, &contents)?;
            inner.stale = true;
        }
        drop((inner, lock));
        // Read anew, as it is on disk.
        drop(self.alone()?);
        Ok(restored)
    }
}

fn has(index: &Index, name: &Name, row: &Row) -> bool {
    index.find(name).iter().any(|place| *place.scope == *row.scope)
}

/// The keys and the rows of a backup.
fn opened(bytes: &[u8], passphrase: Option<&str>) -> Result<(Keys, Vec<u8>)> {
    let mut take = Take(bytes);
    if take.bytes(SIGN.len()) != Some(SIGN) {
        return Err(VaultError::NotABackup);
    }
    let inside = match take.byte() {
        Some(OPEN) => {
            let end =
                bytes.len().checked_sub(32).filter(|end| *end > SIGN.len()).ok_or(VaultError::NotABackup)?;
            if blake3::hash(&bytes[..end]).as_bytes() != &bytes[end..] {
                return Err(VaultError::NotABackup);
            }
            Zeroizing::new(bytes[SIGN.len() + 1..end].to_vec())
        }
        Some(SEALED) => sealed(bytes, &mut take, passphrase)?,
        _ => return Err(VaultError::NotABackup),
    };
    let mut take = Take(&inside);
    let keys = take.text().and_then(Keys::read).ok_or(VaultError::NotABackup)?;
    let rows = take.field().ok_or(VaultError::NotABackup)?;
    Ok((keys, rows.to_vec()))
}

fn sealed(bytes: &[u8], take: &mut Take<'_>, passphrase: Option<&str>) -> Result<Zeroizing<Vec<u8>>> {
    let mut head = || Some((take.u32()?, take.u32()?, take.field()?, take.field()?));
    let (memory, passes, salt, nonce) = head().ok_or(VaultError::NotABackup)?;
    if memory > MOST_MEMORY_KIB || passes > MOST_PASSES || salt.len() != 16 {
        return Err(VaultError::NotABackup);
    }
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| VaultError::NotABackup)?;
    let key = stretched(passphrase.ok_or(VaultError::PassphraseNeeded)?, salt, memory, passes)?;
    let head = &bytes[..bytes.len() - take.0.len()];
    let mut inside = Zeroizing::new(take.0.to_vec());
    let opened = cipher(&key)?
        .open_in_place(nonce, Aad::from(head), &mut inside)
        .map_err(|_| VaultError::Passphrase)?;
    let length = opened.len();
    inside.truncate(length);
    Ok(inside)
}
