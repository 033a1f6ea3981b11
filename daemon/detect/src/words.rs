//! The words and file names that a session has shown: what was seen exists, or was at least not made up now.
//!
//! It must never forget a word: a name that was seen long ago is still no invention.
//!
//! Invariant: of a fixed size. Now and then a word that was not seen counts as seen; never the other way round.

use serde_json::Value;

use crate::text::{Hash, hash, head, tail};

/// Bits of the set: with 100,000 different words, one unseen word of 60 counts as seen.
const BITS: u64 = 1 << 20;
/// Bits per word.
const PROBES: u64 = 3;
/// Bytes of a text that are read from each end.
const MAX_READ: usize = 24 * 1024;
/// Levels of a value that are read.
const MAX_DEPTH: usize = 12;

/// A set of words that only grows (a Bloom filter), 128 KiB once it holds anything.
#[derive(Debug)]
pub struct Words {
    bits: Vec<u64>,
    size: u64,
}

impl Default for Words {
    fn default() -> Self {
        Self { bits: Vec::new(), size: BITS }
    }
}

impl Words {
    /// A set for few words: 8 KiB, 5,000 words for the same share of mistakes.
    #[must_use]
    pub fn small() -> Self {
        Self { bits: Vec::new(), size: BITS / 16 }
    }

    /// Adds a word by its hash.
    pub fn add(&mut self, word: u64) {
        if self.bits.is_empty() {
            self.bits = vec![0; usize::try_from(self.size / 64).unwrap_or(1)];
        }
        for place in places(word, self.size) {
            if let Some(bits) = self.bits.get_mut(usize::try_from(place / 64).unwrap_or(0)) {
                *bits |= 1 << (place % 64);
            }
        }
    }

    /// Whether a word was seen.
    #[must_use]
    pub fn has(&self, word: &str) -> bool {
        self.has_hash(hash(word))
    }

    /// Whether a file of this base name was seen.
    #[must_use]
    pub fn has_file(&self, name: &str) -> bool {
        self.has_hash(file_hash(name))
    }

    fn has_hash(&self, word: u64) -> bool {
        places(word, self.size).all(|place| {
            self.bits
                .get(usize::try_from(place / 64).unwrap_or(0))
                .is_some_and(|bits| bits & (1 << (place % 64)) != 0)
        })
    }

    /// Adds all words and file names of a text.
    pub fn read(&mut self, text: &str) {
        if text.len() > 2 * MAX_READ {
            self.read_all(head(text, MAX_READ));
            self.read_all(tail(text, MAX_READ));
        } else {
            self.read_all(text);
        }
    }

    fn read_all(&mut self, text: &str) {
        each_word(text, &mut |word| self.add(hash(word)));
        each_file(text, &mut |path| {
            let name = path.rsplit('/').next().unwrap_or(path);
            self.add(file_hash(name));
        });
    }

    /// Adds all words of all texts of a value.
    pub fn read_value(&mut self, value: &Value) {
        self.read_deep(value, MAX_DEPTH);
    }

    fn read_deep(&mut self, value: &Value, depth: usize) {
        match value {
            _ if depth == 0 => {}
            Value::String(text) => self.read(text),
            Value::Array(items) => items.iter().for_each(|item| self.read_deep(item, depth - 1)),
            Value::Object(fields) => fields.values().for_each(|item| self.read_deep(item, depth - 1)),
            _ => {}
        }
    }
}

/// The bits of a word; `size` is a power of two.
fn places(word: u64, size: u64) -> impl Iterator<Item = u64> {
    let step = (word >> 32) | 1;
    (0..PROBES)
        .map(move |nth| word.wrapping_add(nth.wrapping_mul(step).wrapping_mul(0x9e37_79b9)) & (size - 1))
}

fn file_hash(name: &str) -> u64 {
    let mut hash = Hash::default();
    hash.byte(b'/');
    hash.bytes(name.as_bytes());
    hash.end()
}

/// Whether a byte may stand in a name.
#[must_use]
pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Calls for each name-like word.
pub fn each_word<'a>(text: &'a str, found: &mut impl FnMut(&'a str)) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !is_word(bytes[at]) {
            at += 1;
            continue;
        }
        let start = at;
        while at < bytes.len() && is_word(bytes[at]) {
            at += 1;
        }
        if bytes[start].is_ascii_digit() {
            continue;
        }
        if let Some(word) = text.get(start..at) {
            found(word);
        }
        // An escape that was written out, such as `\n`, sticks to the word behind it.
        if start > 0
            && bytes[start - 1] == b'\\'
            && let Some(rest) = text.get(start + 1..at)
        {
            found(rest);
        }
    }
}

/// Calls for each word that looks like a path of a file: with an ending of one to six letters and digits.
pub fn each_file<'a>(text: &'a str, found: &mut impl FnMut(&'a str)) {
    let is_path = |byte: u8| is_word(byte) || matches!(byte, b'.' | b'/' | b'-' | b'@' | b'+');
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !is_path(bytes[at]) {
            at += 1;
            continue;
        }
        let start = at;
        while at < bytes.len() && is_path(bytes[at]) {
            at += 1;
        }
        let Some(path) = text.get(start..at).map(|path| path.trim_end_matches(['.', '-', '/'])) else {
            continue;
        };
        let name = path.rsplit('/').next().unwrap_or(path);
        if let Some((stem, end)) = name.rsplit_once('.')
            && (1..=6).contains(&end.len())
            && end.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && stem.bytes().any(|byte| byte.is_ascii_alphanumeric())
        {
            found(path);
        }
    }
}

/// The parts of a name - `load_user`, `LoadUser` - in small letters, at most 12.
#[must_use]
pub fn parts(name: &str) -> Vec<String> {
    let bytes = name.as_bytes();
    let mut parts: Vec<String> = Vec::new();
    let mut start = 0;
    for at in 0..=bytes.len() {
        let here = bytes.get(at).copied().unwrap_or(b'_');
        let before = if at > start { bytes[at - 1] } else { b'_' };
        let next = bytes.get(at + 1).copied().unwrap_or(b'_');
        let ends = !here.is_ascii_alphanumeric()
            || here.is_ascii_uppercase()
                && (before.is_ascii_lowercase() || before.is_ascii_digit() || next.is_ascii_lowercase());
        if ends {
            if at > start
                && parts.len() < 12
                && let Some(part) = name.get(start..at)
            {
                parts.push(part.to_ascii_lowercase());
            }
            start = if here.is_ascii_alphanumeric() { at } else { at + 1 };
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// How much of their parts two names share, percent.
#[must_use]
pub fn likeness<T: PartialEq>(one: &[T], other: &[T]) -> u8 {
    let count = |part: &T, of: &[T]| of.iter().filter(|each| *each == part).count();
    let shared: usize = one
        .iter()
        .enumerate()
        .filter(|(at, part)| !one[..*at].contains(part))
        .map(|(_, part)| count(part, one).min(count(part, other)))
        .sum();
    let all = one.len() + other.len() - shared;
    u8::try_from((shared * 100).checked_div(all).unwrap_or(0)).unwrap_or(100)
}
