//! What is to be replaced in a stream of server-sent events.
//!
//! The API cuts what the model says anywhere, so that a credential may begin in one event and end in the next. What belongs
//! together (the deltas of one content block) is joined, as it stands escaped in the events' JSON, and looked through as one
//! text; what is taken out of it is taken out of each event that has a piece of it. Everything else of an event is looked
//! through by itself.
//!
//! An event's data may come in several lines, and a client joins them. What the lines say is looked through joined, without
//! the line ends and names of fields between them; those always stay, so that as many lines are left as came.
//!
//! Every byte outside of what is replaced stays as it came, and every event that was JSON stays so. Total: any bytes are
//! survived.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::iter::once;
use std::ops::Range;

use ccd_redact::Edit;
use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::cuts::Change;
use crate::project::sse::{Event, Events, data_lines};

/// So many texts that most events have in common are remembered as clean.
const CLEAN: usize = 256;
/// Members whose strings are names and signatures, not pieces of what is said.
const NAMES: [&str; 6] = ["type", "id", "name", "signature", "data", "tool_use_id"];

/// How a text is looked through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum As {
    /// The inside of a JSON string.
    Text,
    /// A document, if it is one.
    Document,
}

/// A text made of pieces of a body.
#[derive(Default)]
struct Woven {
    text: Vec<u8>,
    /// Where each begins in the text, and its range in the body.
    pieces: Vec<(usize, Range<usize>)>,
}

impl Woven {
    fn add(&mut self, body: &[u8], range: Range<usize>) {
        let Some(bytes) = body.get(range.clone()).filter(|bytes| !bytes.is_empty()) else { return };
        match self.pieces.last_mut() {
            Some((start, last)) if last.end == range.start && *start + last.len() == self.text.len() => {
                last.end = range.end;
            }
            _ => self.pieces.push((self.text.len(), range)),
        }
        self.text.extend_from_slice(bytes);
    }

    /// A line end that is not the body's.
    fn gap(&mut self) {
        self.text.push(b'\n');
    }

    /// The pieces of the body that a range of the text was made of, each behind its place in the text.
    fn of(&self, range: &Range<usize>) -> Vec<(usize, Range<usize>)> {
        let first = self.pieces.partition_point(|(start, piece)| start + piece.len() <= range.start);
        let within = self.pieces[first..].iter().take_while(|(start, _)| *start < range.end);
        within
            .map(|(start, piece)| {
                let from = range.start.max(*start);
                let to = range.end.min(start + piece.len());
                (from, piece.start + (from - start)..piece.start + (to - start))
            })
            .filter(|(_, piece)| !piece.is_empty())
            .collect()
    }

    fn changes(&self, edits: Vec<Edit>, out: &mut Vec<Change>) {
        for edit in edits {
            let pieces = self.of(&edit.range);
            let in_pieces = !matches!(&pieces[..], [(_, only)] if only.len() == edit.range.len());
            for (number, (at, range)) in pieces.into_iter().enumerate() {
                let with = if number == 0 { edit.mark.clone() } else { String::new() };
                let piece = in_pieces.then(|| (edit.mark.clone(), (at - edit.range.start) as u64));
                out.push(Change { range, with, piece });
            }
        }
    }
}

/// The members of an object, as they stand in it.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(All)
    }
}

impl<'a> Members<'a> {
    fn of(json: &'a str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| *value)
    }
}

/// One content block's member that comes in pieces.
struct Said {
    index: String,
    text: Woven,
}

struct Reader<'a> {
    body: &'a [u8],
    find: &'a dyn Fn(&[u8], As) -> Vec<Edit>,
    said: Vec<Said>,
    /// Where in `said` each is: by its block, then by its member. Who answers says how many there are.
    known: HashMap<String, HashMap<String, usize>>,
    /// Blocks that were said to their end.
    ended: HashSet<String>,
    /// The whole message was, after the last that was said.
    is_over: bool,
    clean: HashSet<Vec<u8>>,
    changes: Vec<Change>,
}

/// What is to be replaced, in order and apart from each other. `is_cut`: the body is not whole, so that what stands at its
/// end, and at the end of what was being said, may be the beginning of a credential, or the middle of one.
pub(super) fn changes(body: &[u8], is_cut: bool, find: &dyn Fn(&[u8], As) -> Vec<Edit>) -> Vec<Change> {
    let mut reader = Reader {
        body,
        find,
        said: Vec::new(),
        known: HashMap::new(),
        ended: HashSet::new(),
        is_over: false,
        clean: HashSet::new(),
        changes: Vec::new(),
    };
    let mut done = 0;
    for event in Events::new(body) {
        reader.rest(As::Text, once(done..event.range.start));
        done = event.range.end;
        reader.event(&lines_of(body, &event), event.range);
    }
    let is_torn = reader.tail(done, is_cut);
    reader.finish(is_cut || is_torn)
}

impl Reader<'_> {
    /// `lines`: where its data lies; `whole`: all of it.
    fn event(&mut self, lines: &[Range<usize>], whole: Range<usize>) {
        let mut data = Woven::default();
        for line in lines {
            data.add(self.body, line.clone());
        }
        // Between two lines nobody is to read a letter: what one says is text by itself, or none.
        let is_text =
            lines.iter().all(|line| self.body.get(line.clone()).is_some_and(|l| str::from_utf8(l).is_ok()));
        let parsed = str::from_utf8(&data.text).ok().filter(|_| is_text);
        let Some(text) = parsed.filter(|text| serde_json::from_str::<IgnoredAny>(text).is_ok()) else {
            return self.other(lines, &data, whole);
        };
        let mut insides = Vec::new();
        if let Some(members) = Members::of(text) {
            let index = members.get("index").map_or("", RawValue::get);
            match members.get("type").map(RawValue::get) {
                Some("\"content_block_stop\"") => {
                    self.ended.insert(index.to_owned());
                }
                Some("\"message_stop\"") => self.is_over = true,
                _ => {}
            }
            for holder in ["content_block", "delta"] {
                let Some(held) = members.get(holder).and_then(|held| Members::of(held.get())) else {
                    continue;
                };
                for (member, value) in held.0 {
                    let Some(inside) = within(&data.text, value.get().as_bytes())
                        .filter(|inside| data.text.get(inside.start) == Some(&b'"') && inside.len() > 2)
                        .filter(|_| !NAMES.contains(&member.as_str()))
                    else {
                        continue;
                    };
                    let inside = inside.start + 1..inside.end - 1;
                    self.say(index, &member, data.of(&inside));
                    insides.push(inside);
                }
            }
        }
        insides.sort_by_key(|inside| inside.start);
        let mut at = 0;
        let mut parts = Vec::with_capacity(insides.len() + 1);
        for inside in insides {
            parts.extend(data.of(&(at..inside.start)));
            at = inside.end;
        }
        parts.extend(data.of(&(at..data.text.len())));
        let before = self.changes.len();
        self.rest(As::Document, parts.into_iter().map(|(_, part)| part));
        if self.breaks(lines, before) {
            self.changes.truncate(before);
            let mut with = format!("\"{}\"", super::unscanned(data.text.len()));
            for (_, range) in data.pieces {
                self.changes.push(Change { range, with: std::mem::take(&mut with), piece: None });
            }
        }
        self.rest(As::Text, outside(lines, whole));
    }

    /// An event whose data is no document. What a client makes of its lines is looked through; and what they are without the
    /// line ends, for what is found in no other way.
    fn other(&mut self, lines: &[Range<usize>], data: &Woven, whole: Range<usize>) {
        if lines.len() < 2 {
            return self.rest(As::Text, once(whole));
        }
        let mut joined = Woven::default();
        for line in lines {
            joined.add(self.body, line.clone());
            joined.gap();
        }
        let mut known = Vec::new();
        joined.changes((self.find)(&joined.text, As::Text), &mut known);
        let is_new = |(_, piece): &(usize, Range<usize>)| {
            let next = known.partition_point(|change| change.range.end <= piece.start);
            known.get(next).is_none_or(|change| change.range.start >= piece.end)
        };
        let mut edits = (self.find)(&data.text, As::Text);
        edits.retain(|edit| {
            let pieces = data.of(&edit.range);
            pieces.len() > 1 && pieces.iter().all(is_new)
        });
        data.changes(edits, &mut self.changes);
        self.changes.append(&mut known);
        self.rest(As::Text, outside(lines, whole));
    }

    /// Whether data in several lines is no document any more, as a client joins them, once the changes from this one on are
    /// made.
    fn breaks(&self, lines: &[Range<usize>], from: usize) -> bool {
        let changes = self.changes.get(from..).unwrap_or_default();
        if lines.len() < 2 || changes.is_empty() {
            return false;
        }
        let is_document = |changes: &[Change]| {
            let mut changes = changes.iter().peekable();
            let mut joined = Vec::new();
            for line in lines {
                let mut done = line.start;
                while let Some(change) = changes.next_if(|change| change.range.start < line.end) {
                    joined.extend_from_slice(self.body.get(done..change.range.start).unwrap_or_default());
                    joined.extend_from_slice(change.with.as_bytes());
                    done = change.range.end;
                }
                joined.extend_from_slice(self.body.get(done..line.end).unwrap_or_default());
                joined.push(b'\n');
            }
            serde_json::from_slice::<IgnoredAny>(&joined).is_ok()
        };
        is_document(&[]) && !is_document(changes)
    }

    fn say(&mut self, index: &str, member: &str, inside: Vec<(usize, Range<usize>)>) {
        self.ended.remove(index);
        self.is_over = false;
        let known = self.known.get(index).and_then(|members| members.get(member)).copied();
        let at = known.unwrap_or_else(|| {
            let at = self.said.len();
            self.said.push(Said { index: index.to_owned(), text: Woven::default() });
            self.known.entry(index.to_owned()).or_default().insert(member.to_owned(), at);
            at
        });
        if let Some(said) = self.said.get_mut(at) {
            for (_, piece) in inside {
                said.text.add(self.body, piece);
            }
        }
    }

    /// What is behind the last event: one that only lacks its blank line, or one that is torn. Of that nobody can tell
    /// where it goes on with what was said before. True: it is torn, though the connection may not have told so.
    fn tail(&mut self, start: usize, is_cut: bool) -> bool {
        let body = self.body;
        let tail = body.get(start..).unwrap_or_default();
        let closed = [tail, b"\n\n"].concat();
        let lines = Events::new(&closed).next().map(|event| lines_of(&closed, &event)).unwrap_or_default();
        let lines: Vec<_> = lines.into_iter().map(|line| start + line.start..start + line.end).collect();
        let data = lines.iter().filter_map(|line| body.get(line.clone())).collect::<Vec<_>>().concat();
        let is_whole = serde_json::from_slice::<IgnoredAny>(&data).is_ok();
        let is_torn = is_cut || (!is_whole && data.starts_with(b"{"));
        let range = start..body.len();
        if is_whole || !is_torn {
            self.event(&lines, range);
        } else if memchr::memmem::find(tail, b"data:").is_some() {
            self.changes.push(Change { with: super::unscanned(tail.len()), range, piece: None });
        } else {
            let mut edits = (self.find)(tail, As::Text);
            super::body::without_end(tail, &mut edits);
            let mut woven = Woven::default();
            woven.add(body, range);
            woven.changes(edits, &mut self.changes);
        }
        is_torn
    }

    fn rest(&mut self, how: As, parts: impl IntoIterator<Item = Range<usize>>) {
        let mut woven = Woven::default();
        for part in parts {
            woven.add(self.body, part);
        }
        if woven.text.is_empty() || self.clean.contains(&woven.text) {
            return;
        }
        let edits = (self.find)(&woven.text, how);
        if !edits.is_empty() {
            woven.changes(edits, &mut self.changes);
        } else if self.clean.len() < CLEAN {
            self.clean.insert(woven.text);
        }
    }

    fn finish(mut self, is_cut: bool) -> Vec<Change> {
        for said in &self.said {
            let mut edits = (self.find)(&said.text.text, As::Text);
            if is_cut && !self.is_over && !self.ended.contains(&said.index) {
                super::body::without_end(&said.text.text, &mut edits);
            }
            said.text.changes(edits, &mut self.changes);
        }
        self.changes.sort_by_key(|change| (change.range.start, Reverse(change.range.end)));
        // They are apart by the way they are made, but for data that had to be left out whole.
        let mut done = 0;
        self.changes.retain_mut(|change| {
            let is_there = change.range.end > done && !change.range.is_empty();
            if is_there && change.range.start < done {
                let range = done..change.range.end;
                *change = Change { with: super::unscanned(range.len()), range, piece: None };
            }
            done = done.max(change.range.end);
            is_there
        });
        self.changes
    }
}

/// Where an event's data lies.
fn lines_of(body: &[u8], event: &Event<'_>) -> Vec<Range<usize>> {
    match &event.data {
        // In one line, as every server writes it.
        Cow::Borrowed(data) => within(body, data).into_iter().collect(),
        Cow::Owned(_) => data_lines(body, &event.range),
    }
}

/// What of an event is not its data.
fn outside(lines: &[Range<usize>], whole: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let starts = once(whole.start).chain(lines.iter().map(|line| line.end));
    let ends = lines.iter().map(|line| line.start).chain(once(whole.end));
    starts.zip(ends).map(|(start, end)| start..end)
}

/// Where a part of a body lies in it, told by its address.
fn within(body: &[u8], part: &[u8]) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(body.as_ptr().addr())?;
    let end = start.checked_add(part.len())?;
    (end <= body.len()).then_some(start..end)
}
