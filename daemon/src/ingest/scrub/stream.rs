//! What is to be replaced in a stream of server-sent events.
//!
//! The API cuts what the model says anywhere, so that a credential may begin in one event and end in the next. What belongs
//! together (the deltas of one content block) is joined, as it stands escaped in the events' JSON, and looked through as one
//! text; what is taken out of it is taken out of each event that has a piece of it. Everything else of an event is looked
//! through by itself.
//!
//! Every byte outside of what is replaced stays as it came, and every event that was JSON stays so. Total: any bytes are
//! survived.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::iter::once;
use std::ops::Range;

use ccd_redact::Edit;
use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::cuts::Change;
use crate::project::sse::{Event, Events};

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

    /// The pieces of the body that a range of the text was made of.
    fn of(&self, range: &Range<usize>) -> Vec<Range<usize>> {
        let first = self.pieces.partition_point(|(start, piece)| start + piece.len() <= range.start);
        let within = self.pieces[first..].iter().take_while(|(start, _)| *start < range.end);
        within
            .map(|(start, piece)| {
                let from = range.start.max(*start) - start;
                let to = range.end.min(start + piece.len()) - start;
                piece.start + from..piece.start + to
            })
            .filter(|piece| !piece.is_empty())
            .collect()
    }

    fn changes(&self, edits: Vec<Edit>, out: &mut Vec<Change>) {
        for edit in edits {
            let pieces = self.of(&edit.range);
            let in_pieces = pieces.len() > 1;
            let mut from = 0;
            for (at, range) in pieces.into_iter().enumerate() {
                let len = range.len() as u64;
                let with = if at == 0 { edit.mark.clone() } else { String::new() };
                let piece = in_pieces.then(|| (edit.mark.clone(), from));
                out.push(Change { range, with, piece });
                from += len;
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
        reader.event(&event);
    }
    let is_torn = reader.tail(done, is_cut);
    reader.finish(is_cut || is_torn)
}

impl Reader<'_> {
    fn event(&mut self, event: &Event<'_>) {
        let whole = event.range.clone();
        // In one line, as every server writes it; what comes in several is looked through as it stands.
        let data = match &event.data {
            Cow::Borrowed(data) => within(self.body, data),
            Cow::Owned(_) => None,
        };
        let parsed = data.clone().and_then(|data| {
            let text = str::from_utf8(self.body.get(data)?).ok()?;
            serde_json::from_str::<IgnoredAny>(text).ok()?;
            Some(text)
        });
        let (Some(data), Some(text)) = (data, parsed) else {
            return self.rest(As::Text, once(whole));
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
                    let Some(inside) = within(self.body, value.get().as_bytes())
                        .filter(|inside| self.body.get(inside.start) == Some(&b'"') && inside.len() > 2)
                        .filter(|_| !NAMES.contains(&member.as_str()))
                    else {
                        continue;
                    };
                    let inside = inside.start + 1..inside.end - 1;
                    self.say(index, &member, inside.clone());
                    insides.push(inside);
                }
            }
        }
        insides.sort_by_key(|inside| inside.start);
        let mut at = data.start;
        let mut parts = Vec::with_capacity(insides.len() + 1);
        for inside in insides {
            parts.push(at..inside.start);
            at = inside.end;
        }
        parts.push(at..data.end);
        self.rest(As::Document, parts);
        self.rest(As::Text, [whole.start..data.start, data.end..whole.end]);
    }

    fn say(&mut self, index: &str, member: &str, inside: Range<usize>) {
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
            said.text.add(self.body, inside);
        }
    }

    /// What is behind the last event: one that only lacks its blank line, or one that is torn. Of that nobody can tell
    /// where it goes on with what was said before. True: it is torn, though the connection may not have told so.
    fn tail(&mut self, start: usize, is_cut: bool) -> bool {
        let body = self.body;
        let tail = body.get(start..).unwrap_or_default();
        let closed = [tail, b"\n\n"].concat();
        let data = Events::new(&closed).next().and_then(|event| match event.data {
            Cow::Borrowed(data) => within(&closed, data),
            Cow::Owned(_) => None,
        });
        let data = data.and_then(|data| body.get(start + data.start..start + data.end));
        let whole = data.filter(|data| serde_json::from_slice::<IgnoredAny>(data).is_ok());
        let is_torn = is_cut || (whole.is_none() && data.is_some_and(|data| data.starts_with(b"{")));
        let range = start..body.len();
        if let Some(data) = whole {
            self.event(&Event { name: b"", data: Cow::Borrowed(data), range });
        } else if !is_torn {
            self.rest(As::Text, once(range));
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
        self.changes.sort_by_key(|change| change.range.start);
        // They are apart by the way they are made; but for the promise.
        let mut done = 0;
        self.changes.retain_mut(|change| {
            change.range.start = change.range.start.max(done);
            let is_there = change.range.start < change.range.end;
            done = done.max(change.range.end);
            is_there
        });
        self.changes
    }
}

/// Where a part of a body lies in it, told by its address.
fn within(body: &[u8], part: &[u8]) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(body.as_ptr().addr())?;
    let end = start.checked_add(part.len())?;
    (end <= body.len()).then_some(start..end)
}
