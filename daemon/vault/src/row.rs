//! Rows: what a frame holds, and how a value is sealed in one.
//!
//! AES-256-GCM, as `ring` is in the product already; a random nonce for each. A row's token, variant, rule, session and
//! digest are the associated data: a sealed value that is put into another row does not open. Only whole rows are read, and
//! nothing in one is believed before it has opened.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::codec::{Put, Take};
use crate::error::{Result, VaultError};
use crate::keys::{Keys, SealingKey};
use crate::token::{Name, Token, Variant};

pub(crate) const VERSION: u8 = 1;

const HEAD: u8 = 0;
const SEALED: u8 = 1;
const SEEN: u8 = 2;
const GONE: u8 = 3;

/// A sealed value and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) name: Name,
    pub(crate) rule: String,
    pub(crate) scope: String,
    pub(crate) digest: [u8; 32],
    pub(crate) key: u32,
    pub(crate) first_s: u64,
    pub(crate) last_s: u64,
    pub(crate) count: u64,
    pub(crate) nonce: [u8; NONCE_LEN],
    pub(crate) sealed: Vec<u8>,
}

/// What a frame holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// The first: the version, the key that seals, and by which both keys are known.
    Head {
        key: u32,
        check: [u8; 16],
    },
    Sealed(Row),
    /// That a row was seen again.
    Seen {
        name: Name,
        scope: String,
        last_s: u64,
        count: u64,
    },
    /// That a value was deleted, and is not to be sealed again.
    Gone {
        token: Token,
        at_s: u64,
    },
}

impl Content {
    pub(crate) fn write(&self) -> Vec<u8> {
        let name = |put: Put, name: &Name| {
            let variant: &[u8] = name.variant.as_ref().map_or(&[], |v| v.bytes().as_slice());
            put.field(name.token.bytes()).field(variant)
        };
        let put = Put::default();
        match self {
            Content::Head { key, check } => put.byte(HEAD).byte(VERSION).u32(*key).field(check),
            Content::Sealed(row) => name(put.byte(SEALED).byte(VERSION), &row.name)
                .field(row.rule.as_bytes())
                .field(row.scope.as_bytes())
                .field(&row.digest)
                .u32(row.key)
                .u64(row.first_s)
                .u64(row.last_s)
                .u64(row.count)
                .field(&row.nonce)
                .field(&row.sealed),
            Content::Seen { name: seen, scope, last_s, count } => {
                name(put.byte(SEEN).byte(VERSION), seen).field(scope.as_bytes()).u64(*last_s).u64(*count)
            }
            Content::Gone { token, at_s } => put.byte(GONE).byte(VERSION).field(token.bytes()).u64(*at_s),
        }
        .0
    }

    /// `Ok(None)`: none of ours.
    pub(crate) fn read(bytes: &[u8]) -> Result<Option<Content>> {
        let mut take = Take(bytes);
        let (Some(kind), Some(version)) = (take.byte(), take.byte()) else { return Ok(None) };
        if version != VERSION {
            return Err(VaultError::Version(version));
        }
        Ok(fields(kind, &mut take).filter(|_| take.0.is_empty()))
    }
}

fn fields(kind: u8, take: &mut Take<'_>) -> Option<Content> {
    let name = |take: &mut Take<'_>| {
        let token = Token::read(take.field()?)?;
        let variant = match take.field()? {
            [] => None,
            bytes => Some(Variant::read(bytes)?),
        };
        Some(Name { token, variant })
    };
    Some(match kind {
        HEAD => Content::Head { key: take.u32()?, check: take.field()?.try_into().ok()? },
        SEALED => Content::Sealed(Row {
            name: name(take)?,
            rule: take.text()?.to_owned(),
            scope: take.text()?.to_owned(),
            digest: take.field()?.try_into().ok()?,
            key: take.u32()?,
            first_s: take.u64()?,
            last_s: take.u64()?,
            count: take.u64()?,
            nonce: take.field()?.try_into().ok()?,
            sealed: take.field()?.to_vec(),
        }),
        SEEN => Content::Seen {
            name: name(take)?,
            scope: take.text()?.to_owned(),
            last_s: take.u64()?,
            count: take.u64()?,
        },
        GONE => Content::Gone { token: Token::read(take.field()?)?, at_s: take.u64()? },
        _ => return None,
    })
}

impl Row {
    /// What a value is bound to.
    fn bound(&self) -> Vec<u8> {
        let variant: &[u8] = self.name.variant.as_ref().map_or(&[], |v| v.bytes().as_slice());
        Put::default()
            .byte(VERSION)
            .u32(self.key)
            .field(self.name.token.bytes())
            .field(variant)
            .field(self.rule.as_bytes())
            .field(self.scope.as_bytes())
            .field(&self.digest)
            .0
    }

    /// Puts a value in, sealed.
    pub(crate) fn seal(&mut self, key: &SealingKey, value: &[u8]) -> Result<()> {
        self.key = key.id;
        getrandom::fill(&mut self.nonce).map_err(|_| VaultError::Seal)?;
        // Sealed in place: no copy of the value is left behind, as nothing grows.
        let mut buffer = Vec::with_capacity(value.len() + AES_256_GCM.tag_len());
        buffer.extend_from_slice(value);
        cipher(key)?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(self.nonce),
                Aad::from(self.bound()),
                &mut buffer,
            )
            .map_err(|_| VaultError::Seal)?;
        self.sealed = buffer;
        Ok(())
    }

    /// The value, if the row is what it was made as.
    pub(crate) fn open(&self, keys: &Keys) -> Option<Zeroizing<Vec<u8>>> {
        let key = keys.sealing(self.key)?;
        let mut buffer = Zeroizing::new(self.sealed.clone());
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        let opened = cipher(key).ok()?.open_in_place(nonce, Aad::from(self.bound()), &mut buffer).ok()?.len();
        buffer.truncate(opened);
        (keys.digest(&buffer) == self.digest).then_some(buffer)
    }
}

fn cipher(key: &SealingKey) -> Result<LessSafeKey> {
    Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &*key.key).map_err(|_| VaultError::Seal)?))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn row(keys: &Keys, value: &str, rule: &str, scope: &str) -> Row {
        let mut row = Row {
            name: Name { token: keys.token(value.as_bytes()), variant: None },
            rule: rule.into(),
            scope: scope.into(),
            digest: keys.digest(value.as_bytes()),
            key: 0,
            first_s: 1,
            last_s: 2,
            count: 3,
            nonce: [0; NONCE_LEN],
            sealed: Vec::new(),
        };
        row.seal(keys.newest().unwrap(), value.as_bytes()).unwrap();
        row
    }

    #[test]
    fn a_value_opens_in_its_own_row_with_its_own_key_alone() {
        let keys = Keys::new().unwrap();
        let (one, other) = (row(&keys, "one value", "r", "s"), row(&keys, "two value", "r", "s"));
        assert_eq!(one.open(&keys).unwrap().as_slice(), b"one value");
        assert!(one.open(&Keys::new().unwrap()).is_none());
        let swapped = |change: &dyn Fn(&mut Row)| {
            let mut row = one.clone();
            change(&mut row);
            row.open(&keys).is_none()
        };
        assert!(swapped(&|row| (row.sealed, row.nonce) = (other.sealed.clone(), other.nonce)));
        assert!(swapped(&|row| row.name = other.name));
        assert!(swapped(&|row| row.rule = "q".into()));
        assert!(swapped(&|row| row.scope = "t".into()));
        assert!(swapped(&|row| (row.rule, row.scope) = ("rs".into(), String::new())));
        assert!(swapped(&|row| row.digest[0] ^= 1));
        assert!(swapped(&|row| row.sealed[0] ^= 1));
        assert!(swapped(&|row| row.sealed.clear()));
        let again = row(&keys, "one value", "r", "s");
        assert_ne!((again.nonce, &again.sealed), (one.nonce, &one.sealed));
    }

    #[test]
    fn contents_are_read_as_they_were_written_and_no_others() {
        let keys = Keys::new().unwrap();
        let mut row = row(&keys, "v", "r", "s");
        row.name.variant = Some(keys.variant(b"\\u0076"));
        let name = row.name;
        for content in [
            Content::Head { key: 7, check: [3; 16] },
            Content::Seen { name, scope: "s".into(), last_s: 4, count: 5 },
            Content::Gone { token: name.token, at_s: 6 },
            Content::Sealed(row),
        ] {
            let bytes = content.write();
            assert_eq!(Content::read(&bytes).unwrap().as_ref(), Some(&content));
            for cut in 2..bytes.len() {
                assert_eq!(Content::read(&bytes[..cut]).unwrap(), None, "{content:?} {cut}");
            }
        }
        assert!(matches!(Content::read(&[1, 9]), Err(VaultError::Version(9))));
    }
}
