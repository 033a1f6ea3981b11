//! The names of values: what a mark shows of them.
//!
//! A token is 65 bits of a keyed hash, in the letters of RFC 4648's base 32, small. It tells nothing of the value to who has
//! no key. A variant names the bytes that stood in the text, where they were not the value itself.

use std::fmt;
use std::str::FromStr;

use crate::error::VaultError;

const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The name of a value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token([u8; 13]);

/// The name of one way of writing a value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Variant([u8; 8]);

/// The first five bits of each byte's worth of a hash, as letters.
fn letters<const N: usize>(hash: &[u8; 32]) -> [u8; N] {
    let mut bits = hash.iter().flat_map(|byte| (0..8).rev().map(move |n| usize::from(byte >> n & 1)));
    std::array::from_fn(|_| LETTERS[bits.by_ref().take(5).fold(0, |all, bit| all << 1 | bit)])
}

fn parsed<const N: usize>(text: &str) -> Option<[u8; N]> {
    let bytes: [u8; N] = text.as_bytes().try_into().ok()?;
    bytes.iter().all(|byte| LETTERS.contains(byte)).then_some(bytes)
}

macro_rules! name {
    ($name:ident, $length:literal) => {
        impl $name {
            pub(crate) fn of(hash: &[u8; 32]) -> Self {
                $name(letters(hash))
            }

            pub(crate) fn bytes(&self) -> &[u8; $length] {
                &self.0
            }

            pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
                parsed(str::from_utf8(bytes).ok()?).map($name)
            }

            /// As a mark shows it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                str::from_utf8(&self.0).unwrap_or_default()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

name!(Token, 13);
name!(Variant, 8);

/// What stands in a mark for a value: its token, and the way it was written where that was not plain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    /// The value's.
    pub token: Token,
    /// That of the bytes in the text, where they differ from the value.
    pub variant: Option<Variant>,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.variant {
            Some(variant) => write!(f, "{}~{variant}", self.token),
            None => self.token.fmt(f),
        }
    }
}

/// Reads `TOKEN`, `TOKEN~VARIANT`, and the whole mark of either.
impl FromStr for Name {
    type Err = VaultError;

    fn from_str(text: &str) -> Result<Self, VaultError> {
        let bare = text.trim();
        let bare = bare.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(bare);
        let name = bare.rsplit(':').next().unwrap_or(bare);
        let (token, variant) = match name.split_once('~') {
            Some((token, variant)) => (token, Some(variant)),
            None => (name, None),
        };
        let wrong = || VaultError::NotAToken(text.chars().take(64).collect());
        let token = parsed(token).map(Token).ok_or_else(wrong)?;
        let variant = variant.map(|v| parsed(v).map(Variant).ok_or_else(wrong)).transpose()?;
        Ok(Name { token, variant })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_shown_and_from_whole_marks() {
        let name = Name { token: Token::of(&[0xff; 32]), variant: Some(Variant::of(&[0; 32])) };
        assert_eq!(name.to_string(), "7777777777777~aaaaaaaa");
        for text in [name.to_string(), format!("[redacted:github-pat:{name}]"), format!(" {name}\n")] {
            assert_eq!(text.parse::<Name>().unwrap(), name);
        }
        assert_eq!("7777777777777".parse::<Name>().unwrap().variant, None);
        for wrong in
            ["", "777777777777", "[redacted:x]", "7777777777771", "7777777777777~", "7777777777777~a"]
        {
            assert!(wrong.parse::<Name>().is_err(), "{wrong}");
        }
    }
}
