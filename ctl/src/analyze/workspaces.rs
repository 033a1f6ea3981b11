//! What working directories hold, out of a file with one of them per line: read when a session names one.
//!
//! Must never hold more than it needs: names and places of all lines, and of what they hold the most recently used ones.
//! The file is read through once for the names, and again for each that is needed and no longer held.

use std::collections::{HashMap, VecDeque};
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ccd_detect::{Index, Workspace};
use flate2::bufread::MultiGzDecoder;
use serde::Deserialize;

use crate::human::bytes;
use crate::lines::{Line, read_line};

/// Bytes of lines whose workspaces are held at once; one is held whatever its size.
const HELD: u64 = if cfg!(test) { 400 } else { 96 << 20 };
/// The longest line.
pub(super) const MAX_LINE: usize = if cfg!(test) { 64 << 10 } else { 256 << 20 };
/// The most that is taken from stdin, where it cannot be read twice.
const MAX_STDIN: u64 = 512 << 20;

/// Where the lines come from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// A file.
    File(PathBuf),
    /// All of them, as they came.
    Memory(Bytes),
}

impl Source {
    /// Takes all of an input that cannot be read twice.
    pub(super) fn taken(input: impl Read) -> io::Result<Self> {
        let mut all = Vec::new();
        if input.take(MAX_STDIN + 1).read_to_end(&mut all)? as u64 > MAX_STDIN {
            return Err(io::Error::other(format!(
                "more than {} MiB on stdin: name a file instead",
                MAX_STDIN >> 20
            )));
        }
        Ok(Source::Memory(all.into()))
    }

    /// The lines from a place on, as they are when unpacked.
    fn open(&self, at: u64) -> io::Result<Box<dyn BufRead>> {
        match self {
            Source::File(path) => from(BufReader::new(fs_err::File::open(path)?), at),
            Source::Memory(bytes) => from(Cursor::new(bytes.clone()), at),
        }
    }
}

fn from(mut input: impl BufRead + Seek + 'static, at: u64) -> io::Result<Box<dyn BufRead>> {
    if !is_packed(input.fill_buf()?) {
        input.seek(SeekFrom::Start(at))?;
        return Ok(Box::new(input));
    }
    let mut input = BufReader::with_capacity(1 << 16, MultiGzDecoder::new(input));
    io::copy(&mut (&mut input).take(at), &mut io::sink())?;
    Ok(Box::new(input))
}

/// Whether these are the first bytes of something that is gzipped.
pub(super) fn is_packed(head: &[u8]) -> bool {
    head.starts_with(&[0x1f, 0x8b])
}

#[derive(Deserialize)]
struct Named {
    workspace: String,
}

/// Where a line is: when unpacked.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: u64,
    len: u64,
}

/// One that is held.
struct Held {
    name: String,
    len: u64,
    index: Arc<dyn Index>,
}

/// The workspaces of a file.
pub(super) struct Workspaces {
    source: Source,
    shown: String,
    places: Option<HashMap<String, Place>>,
    /// The most recently used last.
    held: VecDeque<Held>,
    /// What is wrong with the file, line by line, not told yet.
    pub(super) wrong: Vec<String>,
}

impl Workspaces {
    /// Nothing is read yet.
    pub(super) fn new(source: Source, path: &Path) -> Self {
        let shown = if path == Path::new("-") { "stdin".to_owned() } else { path.display().to_string() };
        Workspaces { source, shown, places: None, held: VecDeque::new(), wrong: Vec::new() }
    }

    /// The one of this name; none where there is none.
    pub(super) fn get(&mut self, name: &str) -> io::Result<Option<Arc<dyn Index>>> {
        if let Some(at) = self.held.iter().position(|held| held.name == name)
            && let Some(held) = self.held.remove(at)
        {
            let index = Arc::clone(&held.index);
            self.held.push_back(held);
            return Ok(Some(index));
        }
        if self.places.is_none() {
            self.places = Some(self.catalogue()?);
        }
        let Some(place) = self.places.as_ref().and_then(|places| places.get(name)).copied() else {
            return Ok(None);
        };
        let mut line = Vec::new();
        self.source.open(place.at)?.take(place.len).read_to_end(&mut line)?;
        let text = String::from_utf8(line).map_err(io::Error::other)?;
        let index: Arc<dyn Index> = match Workspace::from_line(&text) {
            Ok(workspace) => Arc::new(workspace),
            Err(error) => {
                self.wrong.push(format!("{}: workspace {name}: {error}", self.shown));
                self.places.as_mut().and_then(|places| places.remove(name));
                return Ok(None);
            }
        };
        self.held.push_back(Held { name: name.to_owned(), len: place.len, index: Arc::clone(&index) });
        while self.held.len() > 1 && self.held.iter().map(|held| held.len).sum::<u64>() > HELD {
            self.held.pop_front();
        }
        Ok(Some(index))
    }

    /// Names and places of all lines; the last of a name counts.
    fn catalogue(&mut self) -> io::Result<HashMap<String, Place>> {
        let mut input = Counted { inner: self.source.open(0)?, at: 0 };
        let (mut places, mut number) = (HashMap::new(), 0_u64);
        loop {
            let at = input.at;
            number += 1;
            let line = match read_line(&mut input, MAX_LINE)? {
                Line::End => return Ok(places),
                Line::TooLong => {
                    self.wrong(number, &format!("longer than {}", bytes(MAX_LINE as u64)));
                    continue;
                }
                Line::Whole(line) => line,
            };
            if line.trim_ascii().is_empty() {
                continue;
            }
            // A list of values would do, too, otherwise.
            if line.trim_ascii_start().first() != Some(&b'{') {
                self.wrong(number, "not a JSON object");
                continue;
            }
            match serde_json::from_slice::<Named>(&line) {
                Ok(named) => _ = places.insert(named.workspace, Place { at, len: line.len() as u64 }),
                Err(error) => self.wrong(number, &super::file::cause(&error)),
            }
        }
    }

    fn wrong(&mut self, number: u64, cause: &str) {
        self.wrong.push(format!("{}: line {number}: {cause}", self.shown));
    }
}

/// An input that says how far it was read.
struct Counted {
    inner: Box<dyn BufRead>,
    at: u64,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(into)?;
        self.at += n as u64;
        Ok(n)
    }
}

impl BufRead for Counted {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        self.inner.consume(n);
        self.at += n as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn lines() -> String {
        let line = |name: &str, n: usize| {
            format!("{{\"workspace\":\"{name}\",\"files\":[\"{name}/{}.rs\"]}}\n", "x".repeat(n))
        };
        format!("{}\nnot json\n{}{}{}", line("a", 10), line("b", 300), line("c", 300), line("a", 20))
    }

    fn packed(text: &str) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packer.write_all(text.as_bytes()).unwrap();
        packer.finish().unwrap()
    }

    #[test]
    fn each_is_read_when_it_is_named_and_few_are_held() {
        let dir = tempfile::tempdir().unwrap();
        let [plain, gz] = ["w.jsonl", "w.jsonl.gz"].map(|name| dir.path().join(name));
        std::fs::write(&plain, lines()).unwrap();
        std::fs::write(&gz, packed(&lines())).unwrap();
        let memory = Source::taken(packed(&lines()).as_slice()).unwrap();
        for source in [Source::File(plain.clone()), Source::File(gz), memory] {
            let mut workspaces = Workspaces::new(source, &plain);
            for (name, n) in [("a", 20), ("b", 300), ("c", 300), ("b", 300), ("a", 20), ("a", 20)] {
                let index = workspaces.get(name).unwrap().unwrap();
                assert!(index.has_file(&format!("{name}/{}.rs", "x".repeat(n))), "{name}");
                assert!(workspaces.held.len() <= 2);
            }
            assert!(workspaces.get("d").unwrap().is_none());
            assert_eq!(workspaces.wrong.len(), 1);
            assert!(
                workspaces.wrong[0].contains("w.jsonl: line 3: not a JSON object"),
                "{:?}",
                workspaces.wrong
            );
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_said_so() {
        let mut workspaces = Workspaces::new(Source::File("/nowhere/w".into()), Path::new("/nowhere/w"));
        assert!(workspaces.get("a").map(drop).unwrap_err().to_string().contains("/nowhere/w"));
    }
}
