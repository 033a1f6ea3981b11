//! Exports that go on line by line: JSON lines, CSV, HAR, OTLP. Many sessions or one, written while they are read.
//!
//! Entries come group by group: sessions by their start, the oldest first, and at the end what belongs to none. At most one
//! session's tree and one exchange's bodies are held at a time. Between two entries there is a place ([`cursor`]) at which the
//! same file goes on after an interruption, byte for byte, if the store is still the same up to there; if it is not, that is
//! said, and never glossed over by an entry that is there twice or not at all. What is added behind a place does not matter.
//!
//! Everything captured goes through [`super::clean`], with the rules of now, whatever was taken out when it was captured.
//! What cannot be read because it is damaged is counted, and the file says that it is not complete.

mod cursor;
mod entry;
mod wanted;

use ccd_proto::api::{ExportEnd, Session, UsageRow};
use http::StatusCode;

use self::cursor::{Chain, Cursor};
pub(super) use self::entry::{Bodies, Made};
use self::entry::{Entry, Group};
pub use self::wanted::{Content, Format, Wanted};
use super::{csv, har, jsonl, otlp_file};
use crate::clock::rfc3339;
use crate::query::filter::Filter;
use crate::query::{Ask, QueryError, sessions, usage};

/// Bytes gathered before they are handed on, at the end of an entry.
const PIECE: usize = 256 << 10;

/// A piece of the file.
#[derive(Debug, Default)]
pub struct Piece {
    /// Its bytes; none where only progress is told.
    pub bytes: Vec<u8>,
    /// Where the file goes on behind it; none at its end.
    pub cursor: Option<String>,
    /// Entries so far.
    pub entries: u64,
    /// Sessions done, and in all.
    pub sessions: (u64, u64),
}

/// What a form is made of.
pub(super) trait Form {
    /// What stands before the first entry.
    fn head(&mut self, about: &About<'_>, out: &mut Vec<u8>);
    /// An entry; `nth`: how many there were before.
    fn entry(&mut self, made: Made, nth: u64, out: &mut Vec<u8>);
    /// What stands behind the last entry.
    fn tail(&mut self, about: &About<'_>, end: &ExportEnd, out: &mut Vec<u8>);
}

/// What an export is about.
pub(super) struct About<'a> {
    pub wanted: &'a Wanted,
    /// When it was begun.
    pub begun_at: String,
    /// Sessions that are in it, oldest first.
    pub sessions: &'a [Session],
}

/// An export, ready to be written.
pub struct Export {
    ask: Ask,
    wanted: Wanted,
    sessions: Vec<Session>,
    usage: Vec<UsageRow>,
    cursor: Cursor,
    /// Whether it goes on after an interruption.
    goes_on: bool,
}

impl Export {
    /// Finds what is asked for. Contents are read when they are written.
    pub fn new(ask: Ask, mut wanted: Wanted) -> Result<Self, QueryError> {
        let (sessions, usage) = if wanted.has("usage") {
            let of = Filter {
                period: Some("daily".into()),
                by: vec!["model".into()],
                limit: 0,
                ..wanted.filter.clone()
            };
            (Vec::new(), usage::usage(&ask, &of)?.rows)
        } else {
            let mut sessions = sessions::sessions(&ask, &wanted.filter)?.sessions;
            sessions.sort_by(|a, b| (&a.started_at, &a.session_id).cmp(&(&b.started_at, &b.session_id)));
            (sessions, Vec::new())
        };
        let fresh = Cursor { question: wanted.question.clone(), begun_ns: ask.now_ns, ..Cursor::default() };
        let after = wanted.after.take();
        let export =
            Export { goes_on: after.is_some(), cursor: after.unwrap_or(fresh), ask, wanted, sessions, usage };
        if export.goes_on {
            export.check()?;
        }
        Ok(export)
    }

    /// A name for the file, of checked characters: `ccd-export-DATE.jsonl`.
    #[must_use]
    pub fn file_name(&self) -> String {
        let date = super::figures::date(&rfc3339(self.cursor.begun_ns));
        let of: String = self.wanted.filter.session.iter().flat_map(|id| id.chars()).collect();
        let of: String = of.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
        let of = if of.is_empty() { "export" } else { &of };
        format!("ccd-{of}-{date}.{}", self.wanted.format.extension())
    }

    /// Its media type.
    #[must_use]
    pub fn media_type(&self) -> &'static str {
        self.wanted.format.media_type()
    }

    /// How many groups there are: the sessions, and one for what belongs to none.
    fn groups(&self) -> usize {
        let has_rest = self.wanted.has("usage")
            || (self.wanted.has("exchange")
                && self.wanted.filter.session.is_none()
                && self.wanted.filter.project.is_none()
                && self.wanted.filter.limit == 0);
        self.sessions.len() + usize::from(has_rest)
    }

    fn name(&self, group: usize) -> &str {
        self.sessions.get(group).map_or("", |session| session.session_id.as_str())
    }

    fn changed() -> QueryError {
        let message = "what was recorded has changed since the export was begun: going on would double or lose some of it";
        QueryError::new(StatusCode::CONFLICT, "changed", message).hint("begin it again")
    }

    /// That what is before the place is still what it was.
    fn check(&self) -> Result<(), QueryError> {
        let at = &self.cursor;
        let begun = at.groups + usize::from(at.entries > 0);
        if begun > self.groups() || Chain::of((0..begun).map(|n| self.name(n))) != at.seen_groups {
            return Err(Self::changed());
        }
        if at.entries > 0 {
            let (group, entries) =
                Group::load(&self.ask, &self.wanted, self.sessions.get(at.groups), &self.usage)?;
            let ids: Vec<String> = entries.iter().take(at.entries).map(|entry| group.id(entry)).collect();
            if ids.len() < at.entries || Chain::of(ids.iter().map(String::as_str)) != at.seen_entries {
                return Err(Self::changed());
            }
        }
        Ok(())
    }

    /// Writes the file, piece by piece, until `sink` says that nobody wants it.
    pub fn write(&self, sink: &mut dyn FnMut(Piece) -> bool) -> Result<Option<ExportEnd>, QueryError> {
        let mut form: Box<dyn Form> = match self.wanted.format {
            Format::Csv => Box::new(csv::Csv::new(self.wanted.kinds.first().copied().unwrap_or_default())),
            Format::Har => Box::new(har::Har),
            Format::Otlp => Box::new(otlp_file::OtlpFile),
            Format::Jsonl => Box::new(jsonl::Jsonl),
        };
        let about =
            About { wanted: &self.wanted, begun_at: rfc3339(self.cursor.begun_ns), sessions: &self.sessions };
        let mut writer = Writer { out: Vec::new(), at: self.cursor.clone(), all: self.sessions.len(), sink };
        if !self.goes_on {
            form.head(&about, &mut writer.out);
        }
        for n in self.cursor.groups..self.groups() {
            if !writer.progress() {
                return Ok(None);
            }
            let (group, entries) =
                match Group::load(&self.ask, &self.wanted, self.sessions.get(n), &self.usage) {
                    Ok(loaded) => loaded,
                    Err(error) => {
                        tracing::warn!(error = error.error.message, "a session cannot be exported");
                        writer.at.unreadable += 1;
                        writer.group(self.name(n));
                        writer.done();
                        continue;
                    }
                };
            let mut reader = group.reader(&self.ask, &self.wanted)?;
            for entry in entries.iter().skip(writer.at.entries) {
                let made = reader.make(entry);
                if made.unreadable {
                    writer.at.unreadable += 1;
                }
                form.entry(made, writer.at.total(), &mut writer.out);
                if !writer.entry(self.name(n), entry, &group) {
                    return Ok(None);
                }
            }
            if writer.at.entries == 0 {
                writer.group(self.name(n));
            }
            writer.done();
        }
        let at = writer.at.clone();
        let end = ExportEnd {
            entries: at.total(),
            counts: at.counts,
            unreadable: at.unreadable,
            complete: at.unreadable == 0,
            marks_left: self.wanted.revealer.as_ref().map_or(0, |revealer| revealer.missing()),
        };
        // What stands behind the last entry is made again where it is missing.
        if !writer.flush(true) {
            return Ok(None);
        }
        form.tail(&about, &end, &mut writer.out);
        Ok(writer.flush(false).then_some(end))
    }
}

struct Writer<'s> {
    out: Vec<u8>,
    at: Cursor,
    all: usize,
    sink: &'s mut dyn FnMut(Piece) -> bool,
}

impl Writer<'_> {
    fn group(&mut self, name: &str) {
        self.at.seen_groups.push(name);
    }

    /// The group is done.
    fn done(&mut self) {
        self.at.groups += 1;
        self.at.entries = 0;
        self.at.seen_entries = Chain::default();
    }

    /// An entry was written; false once nobody reads.
    fn entry(&mut self, name: &str, entry: &Entry, group: &Group) -> bool {
        if self.at.entries == 0 {
            self.group(name);
        }
        self.at.entries += 1;
        self.at.seen_entries.push(&group.id(entry));
        *self.at.counts.entry(entry.kind().to_owned()).or_default() += 1;
        self.out.len() < PIECE || self.flush(true)
    }

    fn flush(&mut self, goes_on: bool) -> bool {
        if self.out.is_empty() {
            return true;
        }
        let bytes = std::mem::take(&mut self.out);
        self.send(bytes, goes_on)
    }

    fn progress(&mut self) -> bool {
        self.send(Vec::new(), false)
    }

    fn send(&mut self, bytes: Vec<u8>, goes_on: bool) -> bool {
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        (self.sink)(Piece {
            bytes,
            cursor: goes_on.then(|| self.at.to_text()),
            entries: self.at.total(),
            sessions: (count(self.at.groups.min(self.all)), count(self.all)),
        })
    }
}
