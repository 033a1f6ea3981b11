//! What a text holds: JSON along its structure, everything else as text, each piece on its own.
//!
//! A piece's result depends on the piece alone, and on the values that are known: so it can be remembered, and a text gives
//! the same whether its pieces were seen before or not. Pieces are cut only where no credential can go on:
//! - of JSON, containers up to a size, and the strings of larger ones; names stay with their values, neighbouring strings of
//!   a list together, members that belong together (`name` and `value`) in one look;
//! - of other text, at blank lines, outside key blocks, and scanned over the cut.
//!
//! What is found in JSON lies within strings, whole escapes of them: it stays well-formed, with the same members, whatever
//! is put in its place.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::found::{Found, Rank, merged};
use crate::hand::{ceil, floor};
use crate::json::{Kind, Node, parsed};
use crate::memory::{Memory, SIZES, Seen};
use crate::names::{Class, class};
use crate::plausible::is_placeholder;
use crate::recur::{self, Known};
use crate::view::View;
use crate::{Redactor, base64, engine, walk};

/// How deep JSON may lie in strings of JSON.
const DEPTH: usize = 6;
/// A container up to this size is also looked at as text, where what stands beside a string tells of it.
const SMALL: usize = 4 << 10;
/// Lists up to this size are looked at as the lines of one text.
const LIST: usize = 96 << 10;
/// How a piece was looked at.
const AS_TEXT: u8 = 0;
const AS_CONTENT: u8 = 1;
const AS_CONTAINER: u8 = 2;
/// Text that is longer is cut.
const WHOLE: usize = 192 << 10;
const PIECE: usize = 96 << 10;
/// How much is seen beyond a cut.
const OVERLAP: usize = 16 << 10;

/// One look.
pub(crate) struct Scan<'a> {
    pub(crate) redactor: &'a Redactor,
    pub(crate) memory: Option<&'a Memory>,
    pub(crate) known: &'a Known,
}

impl Scan<'_> {
    /// What is found in a text, in order and apart from each other.
    pub(crate) fn text(&self, text: &str) -> Vec<Found> {
        self.document(text, 0)
    }

    /// What is found of values that came at this count or later.
    pub(crate) fn again(&self, text: &str, since: u64) -> Vec<Found> {
        let mut found = Vec::new();
        recur::again(self.known, since, text, &engine::layers(text), &mut found);
        if let Some(documents) = documents(text) {
            for nodes in documents.iter().filter_map(|document| document.nodes.as_deref()) {
                within_strings(text, nodes, &mut found);
            }
        }
        merged(text, self.unmarked(found))
    }

    fn document(&self, text: &str, depth: usize) -> Vec<Found> {
        let documents = if depth < DEPTH { documents(text) } else { None };
        let Some(documents) = documents else { return self.plain(text) };
        let mut found = Vec::new();
        for document in &documents {
            let Some(nodes) = &document.nodes else {
                let part = &text[document.range.clone()];
                found.extend(self.plain(part).into_iter().map(|one| moved(one, document.range.start)));
                continue;
            };
            let mut walk = Json { scan: self, text, nodes, depth, found: Vec::new() };
            walk.value(0, None, false);
            within_strings(text, nodes, &mut walk.found);
            found.append(&mut walk.found);
        }
        merged(text, found)
    }

    /// Text without structure.
    fn plain(&self, text: &str) -> Vec<Found> {
        if text.len() <= WHOLE {
            return self.piece(AS_TEXT, text, || self.redactor.engine.find(text));
        }
        let mut found = Vec::new();
        let mut start = 0;
        while start < text.len() {
            let end = cut(text, start);
            let seen = ceil(text, start.saturating_sub(OVERLAP))..floor(text, end + OVERLAP);
            let part = &text[seen.clone()];
            let of_piece = self.piece(AS_TEXT, part, || self.redactor.engine.find(part));
            found.extend(of_piece.into_iter().map(|one| moved(one, seen.start)));
            start = end;
        }
        merged(text, found)
    }

    /// A piece, looked at once.
    fn piece(&self, tag: u8, piece: &str, look: impl FnOnce() -> Vec<Found>) -> Vec<Found> {
        let memory = self.memory.filter(|_| SIZES.contains(&piece.len()));
        let Some(memory) = memory else {
            let found = self.unmarked(look());
            return self.with_known(piece, found, 0);
        };
        let key = memory.key(tag, piece);
        let epoch = self.known.epoch();
        let found = match memory.get(&key) {
            Some(seen) if seen.epoch >= epoch => return seen.found.to_vec(),
            Some(seen) => self.with_known(piece, seen.found.to_vec(), seen.epoch),
            None => self.with_known(piece, self.unmarked(look()), 0),
        };
        memory.put(key, Seen { epoch, found: Arc::from(found.as_slice()) });
        found
    }

    fn with_known(&self, piece: &str, mut found: Vec<Found>, since: u64) -> Vec<Found> {
        if self.known.is_empty() || since >= self.known.epoch() {
            return found;
        }
        recur::again(self.known, since, piece, &engine::layers(piece), &mut found);
        merged(piece, self.unmarked(found))
    }

    fn unmarked(&self, found: Vec<Found>) -> Vec<Found> {
        self.redactor.unmarked(found)
    }
}

fn moved(mut found: Found, by: usize) -> Found {
    found.range = found.range.start + by..found.range.end + by;
    found
}

/// One value, or a stretch between values that is none.
struct Document {
    range: Range<usize>,
    nodes: Option<Vec<Node>>,
}

/// The values that a text consists of: one, or one on each line, with other lines between. None where it does not begin as
/// one.
fn documents(text: &str) -> Option<Vec<Document>> {
    let start = text.len() - text.trim_start().len();
    if !matches!(text.as_bytes().get(start), Some(b'{' | b'[' | b'"')) {
        return None;
    }
    let bytes = text.as_bytes();
    let mut out: Vec<Document> = Vec::new();
    let mut at = start;
    while at < bytes.len() {
        let line = memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |len| at + len + 1);
        let first = bytes[at..line].iter().copied().find(|b| !b.is_ascii_whitespace());
        let value = match first {
            Some(b'{' | b'[' | b'"') => parsed(text, at),
            None if !out.is_empty() => {
                at = line;
                continue;
            }
            _ => None,
        };
        // A value ends its line; only the first may go over several.
        let value = value.filter(|(_, end)| {
            let rest = memchr::memchr(b'\n', &bytes[*end..]).map_or(bytes.len(), |len| end + len);
            text[*end..rest].trim().is_empty() && (out.is_empty() || *end <= line)
        });
        match value {
            Some((nodes, end)) => {
                at = memchr::memchr(b'\n', &bytes[end..]).map_or(bytes.len(), |len| end + len + 1);
                out.push(Document { range: nodes[0].range(), nodes: Some(nodes) });
            }
            None if out.is_empty() => return None,
            None => {
                match out.last_mut().filter(|last| last.nodes.is_none()) {
                    Some(last) => last.range.end = line,
                    None => out.push(Document { range: at..line, nodes: None }),
                }
                at = line;
            }
        }
    }
    Some(out)
}

/// Where a long text is cut: at a blank line, else at a line's end; not within a key block.
fn cut(text: &str, start: usize) -> usize {
    let bytes = text.as_bytes();
    if text.len() - start <= WHOLE {
        return text.len();
    }
    let (low, high) = (start + PIECE, start + WHOLE - OVERLAP);
    let part = &bytes[low..high];
    let line = memchr::memmem::find(part, b"\n\n").or_else(|| memchr::memchr(b'\n', part));
    let at = line.map_or(high, |line| low + line + 1);
    // A key that began before and has not ended: it goes whole.
    let before = &bytes[at.saturating_sub(OVERLAP).max(start)..at];
    let open = memchr::memmem::rfind(before, b"-----BEGIN")
        .filter(|open| memchr::memmem::find(&before[*open..], b"-----END").is_none());
    let at = match open.filter(|open| before.len() - open < OVERLAP && at - (before.len() - open) > start) {
        Some(open) => at - (before.len() - open),
        None => at,
    };
    floor(text, at).max(start + 1)
}

/// Finds in JSON, each within the content of one string. What went over several becomes a part of each.
fn within_strings(text: &str, nodes: &[Node], found: &mut Vec<Found>) {
    let (first, last) = (nodes[0].start, nodes[0].end);
    let mut out = Vec::with_capacity(found.len());
    for one in found.drain(..) {
        if one.range.end <= first || one.range.start >= last {
            out.push(one);
            continue;
        }
        if one.rank == Rank::Again && joins(text, nodes, &one.range) {
            continue;
        }
        // Containers begin before what they hold, so that nodes are in the order of their beginnings.
        let mut at = nodes.partition_point(|node| node.start <= one.range.start).saturating_sub(1);
        let mut parts = Vec::new();
        while let Some(node) = nodes.get(at).filter(|node| node.start < one.range.end) {
            at += 1;
            if node.kind == Kind::Text {
                let content = node.content();
                let part = one.range.start.max(content.start)..one.range.end.min(content.end);
                if !part.is_empty() {
                    parts.push(part);
                }
            }
        }
        match parts.as_slice() {
            [part] if *part == one.range => out.push(one),
            [part] => out.push(part_of(&one, text, part.clone())),
            // Only a key lies over several strings, as the lines of a list.
            [..] if &*one.rule == "private-key" => {
                out.extend(parts.iter().map(|part| part_of(&one, text, part.clone())));
            }
            [part, ..] => out.push(part_of(&one, text, part.clone())),
            [] => {}
        }
    }
    *found = out;
}

/// Whether a place is the whole value of a member that records are joined by.
fn joins(text: &str, nodes: &[Node], range: &Range<usize>) -> bool {
    let at = nodes.partition_point(|node| node.start <= range.start).saturating_sub(1);
    let Some((name, node)) = at.checked_sub(1).and_then(|name| Some((nodes[name], nodes.get(at)?))) else {
        return false;
    };
    if name.kind != Kind::Text || node.kind != Kind::Text || node.content() != *range {
        return false;
    }
    let is_name = text.get(name.end..node.start).is_some_and(|between| between.trim() == ":");
    let value = &text[range.clone()];
    is_name
        && match &text[name.content()] {
            "id" => JOINING_IDS.iter().any(|prefix| value.starts_with(prefix)),
            name => JOINING.contains(&name),
        }
}

fn part_of(one: &Found, text: &str, range: Range<usize>) -> Found {
    let value = Zeroizing::new(text[range.clone()].to_owned());
    Found { range, value, ..one.clone() }
}

/// What a string of JSON says, and the way back where escapes were taken off.
enum Said<'a> {
    Plain(&'a str),
    Escaped(View),
}

impl Said<'_> {
    fn new(content: &str) -> Said<'_> {
        match View::of_json(content) {
            Some(view) => Said::Escaped(view),
            None => Said::Plain(content),
        }
    }

    fn text(&self) -> &str {
        match self {
            Said::Plain(text) => text,
            Said::Escaped(view) => &view.text,
        }
    }

    fn source(&self, range: &Range<usize>) -> Range<usize> {
        match self {
            Said::Plain(_) => range.clone(),
            Said::Escaped(view) => view.source(range),
        }
    }
}

/// A walk through one document.
struct Json<'a> {
    scan: &'a Scan<'a>,
    text: &'a str,
    nodes: &'a [Node],
    depth: usize,
    /// As places in the text.
    found: Vec<Found>,
}

impl<'a> Json<'a> {
    /// `covered` tells that a container about it was looked at as text.
    fn value(&mut self, at: usize, name: Option<&str>, covered: bool) {
        let node = self.nodes[at];
        match node.kind {
            Kind::Other => {}
            Kind::Text => self.string(node, name, covered),
            Kind::Object | Kind::Array if covered => self.children(at, name, true),
            Kind::Object | Kind::Array => self.container(at, name),
        }
    }

    fn container(&mut self, at: usize, name: Option<&str>) {
        let node = self.nodes[at];
        let raw = &self.text[node.range()];
        let small = raw.len() <= SMALL;
        let look = || {
            let mut inner = Json {
                scan: self.scan,
                text: self.text,
                nodes: self.nodes,
                depth: self.depth,
                found: Vec::new(),
            };
            // What structure tells of a value goes before what the text about it does.
            inner.children(at, name, small);
            if small {
                let found = self.scan.redactor.engine.find(raw);
                inner.found.extend(found.into_iter().map(|one| moved(one, node.start)));
            }
            let mut found = inner.found;
            within_strings(self.text, &self.nodes[at..node.after], &mut found);
            for one in &mut found {
                one.range = one.range.start - node.start..one.range.end - node.start;
            }
            merged(raw, found)
        };
        // What a name outside tells of it is not of the piece.
        let found = if name.is_some() {
            let found = look();
            if small { self.scan.with_known(raw, self.scan.unmarked(found), 0) } else { found }
        } else if small || SIZES.contains(&raw.len()) {
            self.scan.piece(AS_CONTAINER, raw, look)
        } else {
            look()
        };
        self.found.extend(found.into_iter().map(|one| moved(one, node.start)));
    }

    fn children(&mut self, at: usize, name: Option<&str>, covered: bool) {
        match self.nodes[at].kind {
            Kind::Object => self.object(at, name, covered),
            Kind::Array => self.list(at, covered),
            Kind::Text | Kind::Other => {}
        }
    }

    fn list(&mut self, at: usize, covered: bool) {
        let items = self.items(at);
        for item in &items {
            self.value(*item, None, covered);
        }
        let node = self.nodes[at];
        if items.len() >= 2
            && node.end - node.start <= LIST
            && items.iter().all(|item| self.nodes[*item].kind == Kind::Text)
        {
            self.joined(&items);
        }
    }

    fn items(&self, at: usize) -> Vec<usize> {
        let mut items = Vec::new();
        let mut next = at + 1;
        while next < self.nodes[at].after {
            items.push(next);
            next = self.nodes[next].after;
        }
        items
    }

    /// Strings that are the lines of one text, or the words of a command.
    fn joined(&mut self, items: &[usize]) {
        let contents: Vec<Range<usize>> = items.iter().map(|item| self.nodes[*item].content()).collect();
        let text = self.text;
        let said: Vec<Said<'_>> = contents.iter().map(|content| Said::new(&text[content.clone()])).collect();
        let flags = said.iter().any(|one| one.text().starts_with('-')) && items.len() <= 64;
        for between in if flags { &["\n", " "][..] } else { &["\n"] } {
            let mut joined = String::new();
            let mut starts = Vec::with_capacity(items.len());
            for one in &said {
                starts.push(joined.len());
                joined.push_str(one.text().trim_end_matches('\n'));
                joined.push_str(between);
            }
            for one in self.scan.unmarked(self.scan.redactor.engine.find(&joined)) {
                // Each string's part of it.
                let first = starts.partition_point(|start| *start <= one.range.start).saturating_sub(1);
                for item in first..items.len() {
                    if starts[item] >= one.range.end {
                        break;
                    }
                    let len = said[item].text().trim_end_matches('\n').len();
                    let part = one.range.start.max(starts[item]) - starts[item]
                        ..(one.range.end - starts[item]).min(len);
                    if part.start >= part.end {
                        continue;
                    }
                    let value = Zeroizing::new(said[item].text()[part.clone()].to_owned());
                    let source = said[item].source(&part);
                    let range = source.start + contents[item].start..source.end + contents[item].start;
                    self.found.push(Found { range, value, ..one.clone() });
                }
            }
        }
    }

    fn object(&mut self, at: usize, outer: Option<&str>, covered: bool) {
        let items = self.items(at);
        let members: Vec<(usize, usize)> = items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
        let names: Vec<Cow<'a, str>> = members.iter().map(|(name, _)| self.said(*name)).collect();
        let find = |names: &[Cow<'a, str>], wanted: &[&str]| {
            wanted.iter().find_map(|wanted| names.iter().position(|name| name == wanted))
        };
        let text_of = |this: &Self, position: usize| {
            let value = members[position].1;
            (this.nodes[value].kind == Kind::Text).then(|| this.said(value))
        };
        // `{"name": "DB_PASSWORD", "value": "x"}`, as containers, recordings of HTTP and stores of secrets write it.
        let told = find(&names, TELLING).and_then(|position| text_of(self, position));
        let kube = find(&names, &["kind"])
            .and_then(|position| text_of(self, position))
            .is_some_and(|kind| kind == "Secret");
        let sensitive = find(&names, &["sensitive"])
            .is_some_and(|position| &self.text[self.nodes[members[position].1].range()] == "true");
        let opaque = find(&names, &["media_type"])
            .and_then(|position| text_of(self, position))
            .is_some_and(|kind| kind.starts_with("image/") || kind == "application/pdf");
        for (position, (key, value)) in members.iter().enumerate() {
            let name = names[position].as_ref();
            let node = self.nodes[*value];
            let is_blob = opaque && name == "data" || name == "signature" && node.end - node.start > 64;
            if is_blob && node.kind == Kind::Text && base64::is_run(&self.text[node.content()]) {
                self.blob(node);
                continue;
            }
            let told = if VALUES.contains(&name) {
                told.as_deref().or(outer).or(sensitive.then_some("password")).or(Some(name))
            } else {
                Some(name)
            };
            if kube && node.kind == Kind::Object && matches!(name, "data" | "stringData") {
                self.kube(*value, covered);
            } else {
                self.member(*value, told, covered);
            }
            if !covered {
                self.beside(self.nodes[*key], node);
            }
        }
    }

    /// Bytes in base 64 that hold no text: only what is known is looked for.
    fn blob(&mut self, node: Node) {
        let content = node.content();
        let mut found = Vec::new();
        self.scan.known.find(&self.text[content.clone()], 0, &mut found);
        let found = self.scan.unmarked(found);
        self.found.extend(found.into_iter().map(|one| moved(one, content.start)));
    }

    /// The value of a member, with what tells of it.
    fn member(&mut self, at: usize, told: Option<&str>, covered: bool) {
        let told = told.filter(|told| tells(told));
        let kind = self.nodes[at].kind;
        // What lies in a container has names of its own, but for a value's, and for texts of a list.
        let inner = match kind {
            Kind::Object => told.filter(|_| self.has_value(at)),
            Kind::Array => told.filter(|_| self.is_list_of_texts(at)),
            Kind::Text | Kind::Other => told,
        };
        if let (Kind::Array, Some(told)) = (kind, inner) {
            for item in self.items(at) {
                self.value(item, Some(told), covered);
            }
        } else {
            self.value(at, inner, covered);
        }
    }

    fn has_value(&self, at: usize) -> bool {
        self.items(at).chunks_exact(2).any(|pair| VALUES.contains(&self.said(pair[0]).as_ref()))
    }

    fn is_list_of_texts(&self, at: usize) -> bool {
        let items = self.items(at);
        !items.is_empty() && items.iter().all(|item| self.nodes[*item].kind == Kind::Text)
    }

    /// A name of a large object, with its value where that is short: what they tell of each other.
    fn beside(&mut self, key: Node, value: Node) {
        let short = value.kind == Kind::Text && value.end - key.start <= SMALL;
        let range = key.start..if short { value.end } else { key.end };
        let raw = &self.text[range.clone()];
        let found = self.scan.piece(AS_TEXT, raw, || self.scan.redactor.engine.find(raw));
        self.found.extend(found.into_iter().map(|one| moved(one, range.start)));
    }

    /// Every value of a Kubernetes secret.
    fn kube(&mut self, at: usize, covered: bool) {
        for pair in self.items(at).chunks_exact(2) {
            let node = self.nodes[pair[1]];
            if node.kind == Kind::Text {
                let said = self.said(pair[1]);
                if said.len() >= 4 && !is_placeholder(&said) && !self.scan.redactor.is_marked(&said) {
                    self.found.push(Found::new(node.content(), "kubernetes-secret", &said, Rank::Form));
                }
            }
            self.value(pair[1], None, covered);
        }
    }

    fn said(&self, at: usize) -> Cow<'a, str> {
        let content = &self.text[self.nodes[at].content()];
        match Said::new(content) {
            Said::Plain(text) => Cow::Borrowed(text),
            Said::Escaped(view) => Cow::Owned(view.text),
        }
    }

    fn string(&mut self, node: Node, name: Option<&str>, covered: bool) {
        let content = node.content();
        let raw = &self.text[content.clone()];
        if raw.len() < 3 {
            return;
        }
        let nested = |text: &str| {
            text.len() > 1 && matches!(text.trim_start().as_bytes().first(), Some(b'{' | b'[' | b'"'))
        };
        // The containers about a covered one were looked at with all that they hold; only what its name and its own structure
        // tell is new.
        if covered && name.is_none() && !nested(raw) {
            return;
        }
        let look = || {
            let said = Said::new(raw);
            let text = said.text();
            let mut found = if nested(text) {
                self.scan.document(text, self.depth + 1)
            } else if covered {
                Vec::new()
            } else {
                self.scan.redactor.engine.find(text)
            };
            if let Some(name) = name {
                found.extend(walk::find_named(self.scan.redactor, name, text));
                found = merged(text, found);
            }
            for one in &mut found {
                one.range = said.source(&one.range);
            }
            found
        };
        let found = if covered || name.is_some() {
            let found = self.scan.unmarked(look());
            if covered { found } else { self.scan.with_known(raw, found, 0) }
        } else {
            self.scan.piece(AS_CONTENT, raw, look)
        };
        self.found.extend(found.into_iter().map(|one| moved(one, content.start)));
    }
}

/// Members that join records.
const JOINING: &[&str] = &[
    "session_id",
    "sessionId",
    "tool_use_id",
    "toolUseId",
    "uuid",
    "parentUuid",
    "parent_uuid",
    "request_id",
    "requestId",
    "prompt_id",
    "promptId",
    "message_id",
    "messageId",
];
/// How an `id` begins that joins records, too.
const JOINING_IDS: &[&str] = &["msg_", "toolu_", "srvtoolu_", "req_"];
/// Members that tell what the value beside them is.
const TELLING: &[&str] = &[
    "name",
    "key",
    "Name",
    "Key",
    "label",
    "field",
    "variable",
    "header",
    "ParameterKey",
    "param",
    "parameter",
    "id",
];
/// Members that hold the value.
const VALUES: &[&str] = &["value", "Value", "val", "ParameterValue", "secretValue", "plaintext"];

/// Whether a name says something about its value.
fn tells(name: &str) -> bool {
    class(name) != Class::No
        || ["cookie", "set-cookie", "authorization", "proxy-authorization"]
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known))
}
