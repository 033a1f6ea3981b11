//! Dictionaries for the journal: most frames hold one small record, which zstd alone hardly shrinks.
//!
//! `1.dict` was trained (`zstd::dict::from_samples`, 6 KiB) on the records of a few scripted sessions of Claude Code
//! 2.1.329: hook events and exchanges without their bodies. Measured on other sessions in another directory, records
//! take 42 % of what they take without it.
//!
//! A released dictionary is frozen, and stays: frames name the one that they were written with by its number. They are
//! part of the program, so there is no file that could be lost and take the journal along.
//!
//! Must never be changed or removed once released; a better one gets the next number.

use std::sync::LazyLock;

use zstd::dict::{DecoderDictionary, EncoderDictionary};

/// The one that is written with.
pub(crate) const NEWEST: u8 = 1;
/// Frames whose payload is longer go without: they have enough to refer to in themselves.
pub(crate) const LONGEST: usize = 256 << 10;

const BYTES: [&[u8]; 1] = [include_bytes!("1.dict")];
const LEVEL: i32 = 3;

static ENCODER: LazyLock<EncoderDictionary<'static>> =
    LazyLock::new(|| EncoderDictionary::copy(BYTES[usize::from(NEWEST) - 1], LEVEL));
static DECODERS: LazyLock<[DecoderDictionary<'static>; 1]> =
    LazyLock::new(|| BYTES.map(DecoderDictionary::copy));

/// For writing with [`NEWEST`].
pub(crate) fn encoder() -> &'static EncoderDictionary<'static> {
    &ENCODER
}

/// For reading; none if the number is a later program's.
pub(crate) fn decoder(number: u8) -> Option<&'static DecoderDictionary<'static>> {
    DECODERS.get(usize::from(number).checked_sub(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn released_dictionaries_are_frozen() {
        let names = BYTES.map(|bytes| blake3::hash(bytes).to_hex()[..16].to_owned());
        assert_eq!(names, [FIRST]);
        assert!(decoder(0).is_none() && decoder(1).is_some() && decoder(2).is_none());
    }

    const FIRST: &str = "4cdf873328025f49";
}
