//! What a file is by its content, and the lines of other recorders on their way to the journal.
//!
//! Each line is a record, known by what is in it: the same line twice, from whichever copy of its file, is one record.

use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use jiff::tz::TimeZone;

use super::read::{self, Next};
use crate::ingest::Ready;
use crate::ingest::record::{ForeignV1, Stored, first16};
use crate::ingest::scrub::Scrub;
use crate::project::foreign;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// The client's own lines, or what lies beside them.
    Transcript,
    /// Lines of another recorder, by the name of its format.
    Foreign(&'static str),
    /// Nothing yet.
    Empty,
    /// Neither.
    Unknown,
}

/// So many lines are looked at before a file is given up.
const LOOK: usize = 20;

/// What a file holds, by its first lines.
pub fn content_of(path: &Path) -> std::io::Result<Content> {
    let (file, stat) = read::open(path)?;
    if stat.size == 0 {
        return Ok(Content::Empty);
    }
    if path.as_os_str().as_bytes().ends_with(b".meta.json") {
        return Ok(Content::Transcript);
    }
    let Next::Lines { bytes, .. } = read::next(&file, 0, read::LONGEST_LINE, true)? else {
        return Ok(Content::Unknown);
    };
    let lines = bytes.split(|b| *b == b'\n').filter(|line| !line.trim_ascii().is_empty());
    for line in lines.take(LOOK) {
        if let Some(format) = foreign::format_of(line) {
            return Ok(Content::Foreign(format));
        }
        if is_of_client(line) {
            return Ok(Content::Transcript);
        }
    }
    Ok(Content::Unknown)
}

/// Whether a line is one of the client's: it says its type, and which session or message it belongs to.
fn is_of_client(line: &[u8]) -> bool {
    let Ok(line) = serde_json::from_slice::<serde_json::Value>(line) else { return false };
    let has = |key: &str| line.get(key).is_some();
    line.get("type").is_some_and(serde_json::Value::is_string)
        && (has("sessionId") || has("messageId") || has("uuid") || has("leafUuid"))
}

/// Lines of another recorder's file.
pub struct Lines<'a> {
    /// The file.
    pub path: &'a Path,
    /// Whose they are.
    pub format: &'static str,
    /// Where a time without a zone was written.
    pub zone: &'a TimeZone,
    /// The time of lines that tell none, nanoseconds since the Unix epoch.
    pub written_ns: u64,
    /// What takes credentials out of them.
    pub scrub: &'a Scrub,
}

impl Lines<'_> {
    /// The records of the next stretch, and where the one after it begins; none at the end.
    pub fn next(&self, file: &File, offset: u64) -> std::io::Result<Option<(Vec<Ready>, u64)>> {
        let Next::Lines { offset, bytes, .. } = read::next(file, offset, read::LONGEST_LINE, true)? else {
            return Ok(None);
        };
        let end = offset + bytes.len() as u64;
        let (mut at, mut ready) = (offset, Vec::new());
        for line in bytes.split_inclusive(|b| *b == b'\n') {
            if !line.trim_ascii().is_empty() {
                ready.push(self.record(at, line)?);
            }
            at += line.len() as u64;
        }
        Ok(Some((ready, end)))
    }

    fn record(&self, offset: u64, line: &[u8]) -> std::io::Result<Ready> {
        let line = line.trim_ascii();
        let at_ns = foreign::written_at(line).and_then(|text| self.time(&text)).unwrap_or(self.written_ns);
        let mut hash = self.scrub.ids().hasher();
        hash.update(b"ccd foreign v1");
        hash.update(self.format.as_bytes());
        hash.update(line);
        let line = &*self.scrub.payload(line);
        let record = ForeignV1 {
            format: self.format.to_owned(),
            path: self.scrub.foreign_file(self.path.as_os_str().as_bytes()),
            offset,
            body: Stored::Inline(line.to_vec()),
        };
        let fact = foreign::read(self.format, at_ns, line);
        let record = record.to_record(first16(hash.finalize()), at_ns).map_err(std::io::Error::other)?;
        Ok(Ready { record, fact })
    }

    /// With a zone, or without one: then it is that of whoever wrote it.
    fn time(&self, text: &str) -> Option<u64> {
        if let Ok(ns) = crate::clock::parse_rfc3339(text) {
            return Some(ns);
        }
        let local: jiff::civil::DateTime = text.parse().ok()?;
        let at = local.to_zoned(self.zone.clone()).ok()?.timestamp().as_nanosecond();
        u64::try_from(at).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_what_its_lines_say() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.jsonl");
        let content = |text: &str| {
            fs_err::write(&path, text).unwrap();
            content_of(&path).unwrap()
        };
        assert_eq!(content(""), Content::Empty);
        assert_eq!(content("{\"a\":1}\n{\"type\":\"user\",\"sessionId\":\"s\"}\n"), Content::Transcript);
        assert_eq!(content("{\"hook_event_name\":\"Stop\",\"_ts\":\"x\"}"), Content::Foreign("cc-tracer"));
        assert_eq!(content("hello\n"), Content::Unknown);
        assert_eq!(content("{\"type\":\"module\"}\n"), Content::Unknown);
    }

    #[test]
    fn a_time_without_a_zone_is_local() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let scrub = Scrub::default();
        let lines =
            Lines { path: Path::new("/x"), format: "cc-tracer", zone: &zone, written_ns: 7, scrub: &scrub };
        assert_eq!(lines.time("1970-01-01T02:00:01.5"), Some(1_500_000_000));
        assert_eq!(lines.time("1970-01-01T00:00:01+00:00"), Some(1_000_000_000));
        assert_eq!(lines.time("soon"), None);
    }
}
