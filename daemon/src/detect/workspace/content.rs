//! What one file's text adds to an index: its words, what it defines, what it declares.
//!
//! Must never read anything: it is given the bytes.
//!
//! Invariant: the same bytes under the same name give the same content.

use std::collections::HashSet;
use std::hash::BuildHasherDefault;

use ccd_detect::text::hash;
use ccd_detect::words::each_word;

use super::lex::{self, Kind};
use super::manifest;
use super::names::Plain;

/// Bytes of a file's beginning that tell whether it is a text.
const PROBE: usize = 8 * 1024;
/// Bytes of a word beyond which it is data, not a name.
const MAX_WORD: usize = 200;

/// What a file adds.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Content {
    /// Hashes of its words, each once.
    pub(super) words: Vec<u64>,
    /// Names that it defines, each once.
    pub(super) symbols: Vec<String>,
    /// Dependencies, and `mod:` with a Go module's own path.
    pub(super) declared: Vec<String>,
}

/// How a file is read, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    /// It defines names.
    Source(Kind),
    /// Its words count.
    Text,
    /// It is nothing to read.
    Data,
}

impl Sort {
    pub(super) fn of(path: &str) -> Self {
        let name = path.rsplit('/').next().unwrap_or(path);
        if let Some(kind) = Kind::of(name) {
            return Self::Source(kind);
        }
        let end = name.rsplit_once('.').map_or("", |(_, end)| end).to_ascii_lowercase();
        let data = matches!(
            end.as_str(),
            "png"
                | "jpg"
                | "jpeg"
                | "gif"
                | "webp"
                | "ico"
                | "bmp"
                | "tiff"
                | "pdf"
                | "woff"
                | "woff2"
                | "ttf"
                | "otf"
                | "eot"
                | "mp3"
                | "mp4"
                | "mov"
                | "webm"
                | "wav"
                | "ogg"
                | "avi"
                | "zip"
                | "gz"
                | "tgz"
                | "bz2"
                | "xz"
                | "zst"
                | "7z"
                | "rar"
                | "tar"
                | "jar"
                | "war"
                | "class"
                | "o"
                | "a"
                | "so"
                | "dylib"
                | "dll"
                | "exe"
                | "rlib"
                | "rmeta"
                | "pyc"
                | "pyo"
                | "wasm"
                | "bin"
                | "dat"
                | "db"
                | "sqlite"
                | "sqlite3"
                | "parquet"
                | "npy"
                | "npz"
                | "pkl"
                | "pt"
                | "onnx"
                | "safetensors"
                | "psd"
                | "icns"
        );
        if data { Self::Data } else { Self::Text }
    }
}

/// Reads a file's bytes; nothing where they are no text.
pub(super) fn content(path: &str, bytes: &[u8]) -> Content {
    let wide = utf16(bytes);
    if wide.is_none() && bytes.iter().take(PROBE).any(|byte| *byte == 0) {
        return Content::default();
    }
    let text = match &wide {
        Some(text) => text.as_str().into(),
        None => String::from_utf8_lossy(bytes),
    };
    let mut words: HashSet<u64, BuildHasherDefault<Plain>> = HashSet::default();
    each_word(&text, &mut |word| {
        if word.len() <= MAX_WORD {
            words.insert(hash(word));
        }
    });
    let mut symbols: HashSet<&str> = HashSet::new();
    if let Sort::Source(kind) = Sort::of(path) {
        lex::definitions(&text, kind, &mut |name| {
            if name.len() <= MAX_WORD {
                symbols.insert(name);
            }
        });
    }
    let mut declared = manifest::declared(path, &text);
    declared.sort();
    declared.dedup();
    Content {
        words: words.into_iter().collect(),
        symbols: symbols.into_iter().map(ToOwned::to_owned).collect(),
        declared,
    }
}

/// The text of UTF-16 with its mark: some editors write sources so.
fn utf16(bytes: &[u8]) -> Option<String> {
    let unit: fn([u8; 2]) -> u16 = match bytes.get(..2)? {
        [0xff, 0xfe] => u16::from_le_bytes,
        [0xfe, 0xff] => u16::from_be_bytes,
        _ => return None,
    };
    let units = bytes.get(2..)?.chunks_exact(2).filter_map(|pair| Some(unit(pair.try_into().ok()?)));
    Some(char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(content: &Content, word: &str) -> bool {
        content.words.contains(&hash(word))
    }

    #[test]
    fn words_of_texts_and_nothing_of_data() {
        let read = content("a/b.md", b"one two_three \xff four");
        assert!(has(&read, "two_three") && has(&read, "four") && read.symbols.is_empty());
        assert_eq!(content("a.txt", b"one\0two"), Content::default());
        let wide: Vec<u8> = [0xff, 0xfe]
            .into_iter()
            .chain("class Basket {}".encode_utf16().flat_map(u16::to_le_bytes))
            .collect();
        let read = content("Basket.cs", &wide);
        assert!(has(&read, "Basket") && read.symbols == ["Basket"]);
        assert_eq!(Sort::of("a/logo.PNG"), Sort::Data);
    }
}
