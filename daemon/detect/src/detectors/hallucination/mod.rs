//! Hallucination: names, imports, paths and cited files that exist neither in the tree, nor in its dependencies, nor
//! in what the session has shown. `docs/hallucination.md` is the account of its rules.
//!
//! It must never say that something is missing where nobody looked: without a complete index only failures that the
//! tools themselves told of count.
//!
//! Invariants: what a library offers is not judged; a name is told of once.

mod cited;
mod imported;
mod names;
mod paths;
mod pending;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use super::Detector;
use crate::builtins::{is_builtin, is_variant, with_other_verbs};
use crate::checks::Checks;
use crate::detection::{Detection, Kind};
use crate::event::{Event, Outcome, ToolCall, What, text};
use crate::imports::{From, imports, named};
use crate::index::Index;
use crate::memory::{Memory, Tool, push};
use crate::settings::{Hallucination, Settings};
use crate::source::Language;
use crate::text::{clip, hash, head, is_absolute, tail};
use crate::words::{Words, likeness, parts};

use names::Introduced;
use paths::Missing;
use pending::Pending;

/// Files whose names are remembered as written.
const MAX_WRITTEN: usize = 512;
/// Bytes of a file's beginning in which its imports stand.
const IMPORTS_IN: usize = 8 * 1024;
/// How like a variant of a name is at least, percent: it is one however many parts were put to it.
const VARIANT: u8 = 60;
/// Names that are remembered as defined by the session.
const MAX_MADE: usize = 256;
/// Names that are told of in one edit.
const MAX_FOUND: usize = 4;
/// Reasoning-action mismatch.
const MAST: &str = "FM-2.6";

/// A piece of source that was exchanged.
#[derive(Debug, Clone, Copy)]
struct Change<'a> {
    /// Its file, as the index knows it.
    file: &'a str,
    language: Language,
    old: &'a str,
    new: &'a str,
    /// The file is a new one.
    begun: bool,
}

/// The detector of one session.
pub struct Hallucinations {
    settings: Hallucination,
    index: Arc<dyn Index>,
    modules: Vec<String>,
    /// By what names libraries are spoken of.
    libraries: Words,
    /// Names that the agent said it would bring into being.
    planned: Words,
    /// Files that were written, and their directories, as paths within the tree.
    written: VecDeque<u64>,
    introduced: VecDeque<Introduced>,
    missing: Missing,
    pending: Pending,
    /// Names of several parts that edits of this session have defined.
    made: VecDeque<String>,
}

/// Makes one, if it is on.
#[must_use]
pub fn make(settings: &Settings, index: &Arc<dyn Index>) -> Option<Box<dyn Detector>> {
    let settings = settings.hallucination.clone();
    settings.enabled.then(|| {
        Box::new(Hallucinations {
            settings,
            index: Arc::clone(index),
            modules: index.modules(),
            libraries: Words::small(),
            planned: Words::small(),
            written: VecDeque::new(),
            introduced: VecDeque::new(),
            missing: Missing::default(),
            pending: Pending::default(),
            made: VecDeque::new(),
        }) as Box<dyn Detector>
    })
}

impl Detector for Hallucinations {
    fn observe(&mut self, memory: &Memory, event: &Event, out: &mut Vec<Detection>) {
        match &event.what {
            What::Result { call, outcome } => {
                if let Some((_, step)) = memory.step(event) {
                    let limit = self.settings.missing_files;
                    if let Some(found) =
                        self.missing.take(memory, self.index.as_ref(), step, call, outcome, limit)
                    {
                        out.push(found);
                    }
                }
                match (Tool::named(&call.name), outcome) {
                    (Tool::Edit, Outcome::Ok(_)) => self.edit(memory, call, out),
                    (Tool::Read, Outcome::Ok(response)) => self.read(&memory.cwd, call, response),
                    (Tool::Shell, outcome) => self.check(memory, call, outcome, out),
                    _ => {}
                }
                out.extend(self.pending.due(memory.event(), false));
            }
            What::Turn(turn) => {
                self.plan(&turn.text);
                self.plan(&turn.thinking);
            }
            What::Prompt { .. } => self.missing.clear(),
            What::Stop { message, .. } if self.index.is_complete() => {
                out.extend(self.pending.due(memory.event(), true));
                if let Some(found) = cited::judge(memory, self.index.as_ref(), message) {
                    out.push(found);
                }
            }
            _ => {}
        }
    }

    fn held(&self) -> usize {
        self.written.len()
            + self.introduced.len()
            + self.missing.held()
            + self.pending.held()
            + self.made.len()
    }
}

/// A path within the tree; `None` for one elsewhere.
fn relative<'a>(path: &'a str, cwd: &str) -> Option<&'a str> {
    if !is_absolute(path) {
        return Some(path.trim_start_matches("./"));
    }
    path.strip_prefix(cwd.trim_end_matches('/'))?.strip_prefix('/')
}

impl Hallucinations {
    /// Names in sentences that speak of making something.
    fn plan(&mut self, said: &str) {
        for sentence in head(said, IMPORTS_IN).split_inclusive(['.', '\n', ';', '!']) {
            if names::is_plan(sentence) {
                self.planned.read(sentence);
            }
        }
    }

    /// What a file that is read imports.
    fn read(&mut self, cwd: &str, call: &ToolCall, response: &serde_json::Value) {
        let path = call.text("file_path");
        let Some(language) = Language::of(path) else { return };
        // What can be read is there, whatever the index knew.
        if let Some(within) = relative(path, cwd)
            && !self.written.contains(&hash(within))
        {
            push(&mut self.written, MAX_WRITTEN, hash(within));
        }
        let content = response.pointer("/file/content").and_then(serde_json::Value::as_str);
        let content = content.or_else(|| response.as_str()).unwrap_or_else(|| text(response, "content"));
        self.learn(head(content, IMPORTS_IN), language, path);
    }

    fn learn(&mut self, source: &str, language: Language, path: &str) {
        let index = Arc::clone(&self.index);
        let mut elsewhere = Vec::new();
        for import in imports(source, language, path, &self.modules, &|path| index.has_file(path)) {
            if import.from == From::Elsewhere && !import.name.is_empty() {
                self.libraries.add(hash(&import.name));
                elsewhere.push(import.path);
            }
        }
        for (module, names) in named(source, language) {
            if elsewhere.contains(&module) {
                for name in names {
                    self.libraries.add(hash(&name));
                }
            }
        }
    }

    fn edit(&mut self, memory: &Memory, call: &ToolCall, out: &mut Vec<Detection>) {
        // A tree that is looked through in the background is not known yet when the session begins.
        if self.modules.is_empty() {
            self.modules = self.index.modules();
        }
        let path = call.text("file_path");
        let within = self.placed(path, &memory.cwd);
        let file = within.as_deref().unwrap_or(path);
        if let Some(language) = Language::of(path) {
            let pairs = changes(call);
            for (_, new) in &pairs {
                self.learn(head(new, IMPORTS_IN), language, file);
            }
            // A file that was only just begun may speak of what the next one brings.
            let begun = call.name == "Write";
            for (old, new) in pairs {
                let change = Change { file, language, old, new, begun };
                if self.index.is_complete() && within.is_some() {
                    self.imported(memory, &change, out);
                }
                self.named(memory, &change, out);
            }
        }
        self.pending.settle(&|_| false, file);
        let mut written = file;
        loop {
            let known = hash(written);
            if self.written.contains(&known) {
                break;
            }
            push(&mut self.written, MAX_WRITTEN, known);
            match written.rsplit_once('/') {
                Some((directory, _)) => written = directory,
                None => break,
            }
        }
    }

    /// Where the index knows a file: sessions run in directories below a tree's root too, or beside it. `None` where it
    /// is no part of the tree.
    fn placed(&self, path: &str, cwd: &str) -> Option<String> {
        let within = relative(path, cwd);
        if !self.index.is_complete() {
            return within.map(ToOwned::to_owned);
        }
        if let Some(within) = within
            && (self.index.has_file(within) || self.written.contains(&hash(within)))
        {
            return Some(within.to_owned());
        }
        let name = path.rsplit('/').next().unwrap_or(path);
        let ends = |whole: &str, end: &str| whole.strip_suffix(end).is_some_and(|rest| rest.ends_with('/'));
        let known = self.index.files_named(name).into_iter();
        let mut alike =
            known.filter(|known| ends(path, known) || within.is_some_and(|within| ends(known, within)));
        alike.next().or_else(|| within.map(ToOwned::to_owned))
    }

    /// Tells of something, or keeps it back while its file is being begun.
    fn tell(
        &mut self,
        found: Detection,
        about: (Vec<String>, Vec<String>),
        begun: bool,
        out: &mut Vec<Detection>,
    ) {
        if begun {
            self.pending.keep(found, about.0, about.1);
        } else {
            out.push(found);
        }
    }

    /// Whether this is the first time that a name is introduced.
    fn introduce(&mut self, memory: &Memory, name: &str, file: &str, told: bool) -> bool {
        if self.introduced.iter().any(|known| known.name == name) {
            return false;
        }
        let known = Introduced { name: clip(name, 120), event: memory.event(), file: clip(file, 160), told };
        push(&mut self.introduced, names::MAX_INTRODUCED, known);
        true
    }

    fn named(&mut self, memory: &Memory, change: &Change<'_>, out: &mut Vec<Detection>) {
        let Change { file: path, language, old, new, begun } = *change;
        let names = crate::source::names(new, language);
        self.pending.settle(&|name| names.defined.contains(name), "");
        let from_libraries = self.got_from_libraries(new);
        self.introduced.retain(|known| {
            known.told || !names.defined.contains(&known.name) || known.event == memory.event()
        });
        let complete = self.index.is_complete();
        let mut before: Option<HashSet<&str>> = None;
        let mut found: Vec<(String, String, u8)> = Vec::new();
        for mention in &names.used {
            let name = mention.name.as_str();
            if name.len() < 4
                || names.defined.contains(name)
                || memory.words.has(name)
                || self.planned.has(name)
                || self.index.has_identifier(name)
                || is_builtin(name, language)
            {
                continue;
            }
            let was = before.get_or_insert_with(|| {
                let mut words = HashSet::new();
                crate::words::each_word(old, &mut |word| {
                    words.insert(word);
                });
                words
            });
            if was.contains(name) {
                continue;
            }
            // One word alone is like too many others.
            let judged = complete
                && found.len() < MAX_FOUND
                && parts(name).len() > 1
                && !self.is_library(memory, mention, &names.defined, &from_libraries);
            let alike = if judged { self.alike(name) } else { None };
            let least = if mention.of.as_ref().is_some_and(|of| !of.is_empty()) {
                self.settings.likeness
            } else {
                self.settings.lone_likeness
            };
            let alike = alike.filter(|(_, like)| *like >= least);
            if self.introduce(memory, name, path, alike.is_some())
                && let Some((existing, like)) = alike
            {
                found.push((name.to_owned(), existing, like));
            }
        }
        // What it defines itself is believed, unless a compiler says of this very file that it does not exist.
        let unknown = |name: &&String| {
            complete && name.len() >= 6 && !memory.words.has(name) && !self.index.has_identifier(name)
        };
        let mut defined: Vec<&String> = names.defined.iter().filter(unknown).collect();
        defined.sort();
        for name in defined.into_iter().take(16) {
            self.introduce(memory, name, path, false);
        }
        self.remember(&names.defined);
        if let Some((name, existing, like)) = found.first() {
            let mut detection =
                Detection::new(Kind::Hallucination, "name", memory.event(), 60, 50 + (like.min(&90) / 3))
                    .title(format!("{name} exists nowhere in the tree or the session; there is {existing}"))
                    .advice(format!(
                        "Look whether {existing} is what is meant, and use it; if {name} is to be new, define it now.",
                    ))
                    .mast(MAST);
            for (name, existing, _) in &found {
                detection = detection.seen(memory.event(), format!("used: {name}; exists: {existing}"));
            }
            let about = found.iter().map(|(name, _, _)| name.clone()).collect();
            self.tell(detection.seen(memory.event(), format!("in {path}")), (about, Vec::new()), begun, out);
        }
    }

    /// Remembers the names that an edit has defined.
    fn remember(&mut self, defined: &HashSet<String>) {
        let mut names: Vec<&String> =
            defined.iter().filter(|name| name.len() >= 6 && parts(name).len() > 1).collect();
        names.sort();
        for name in names.into_iter().take(32) {
            if !self.made.contains(name) {
                push(&mut self.made, MAX_MADE, clip(name, 120));
            }
        }
    }

    /// What exists and is like a name. One word in common with another single word is no likeness, unless the name is a
    /// variant of it: its verb exchanged, or a modifier behind it.
    fn alike(&self, name: &str) -> Option<(String, u8)> {
        let own = parts(name);
        let judge = |existing: &str, like: u8| {
            let other = parts(existing);
            let shared = own.iter().filter(|part| other.contains(part)).count();
            if is_variant(&own, &other) { Some(like.max(VARIANT)) } else { (shared >= 2).then_some(like) }
        };
        let known =
            self.index.similar(name).and_then(|(existing, like)| Some((judge(&existing, like)?, existing)));
        // What the session itself has made may not be in the index yet.
        let made = self.made.iter().filter(|made| made.as_str() != name).filter_map(|made| {
            let like = likeness(&own, &parts(made));
            Some((judge(made, like).filter(|like| *like > 0)?, made.clone()))
        });
        let close =
            known.into_iter().chain(made).max_by_key(|(like, _)| *like).map(|(like, name)| (name, like));
        close.or_else(|| {
            let existing =
                with_other_verbs(name).find(|other| other != name && self.index.has_symbol(other))?;
            Some((existing, VARIANT))
        })
    }

    /// The variables that a piece of source gets from libraries: what they offer is the libraries'.
    fn got_from_libraries(&self, source: &str) -> HashSet<String> {
        let mut found = HashSet::new();
        for line in head(source, IMPORTS_IN).lines().take(600) {
            let Some((left, right)) = line.split_once(":=").or_else(|| line.split_once(" = ")) else {
                continue;
            };
            let word = |c: char| !(c.is_alphanumeric() || c == '_');
            let first = right
                .split(word)
                .find(|word| !word.is_empty() && !matches!(*word, "await" | "new" | "yield" | "async"));
            let known =
                |first: &str| names::is_standard(first) || self.libraries.has(first) || found.contains(first);
            if first.is_some_and(known) {
                let names: Vec<String> = left
                    .split(word)
                    .filter(|name| !name.is_empty() && !matches!(*name, "const" | "let" | "var"))
                    .map(ToOwned::to_owned)
                    .collect();
                found.extend(names);
            }
        }
        found
    }

    /// Whether a name is taken from something that is not the tree's own.
    fn is_library(
        &self,
        memory: &Memory,
        mention: &crate::source::Mention,
        defined: &HashSet<String>,
        from_libraries: &HashSet<String>,
    ) -> bool {
        let foreign = |word: &str| {
            names::is_standard(word) || self.libraries.has(word) || from_libraries.contains(word)
        };
        if !mention.root.is_empty() && foreign(&mention.root) {
            return true;
        }
        let Some(of) = mention.of.as_deref().filter(|of| !of.is_empty()) else { return false };
        let known =
            of.len() < 4 || defined.contains(of) || memory.words.has(of) || self.index.has_identifier(of);
        foreign(of) || !known
    }

    /// A compiler or a test that says that a name which was just introduced does not exist.
    fn check(&mut self, memory: &Memory, call: &ToolCall, outcome: &Outcome, out: &mut Vec<Detection>) {
        if self.introduced.is_empty() || !Checks::of(call.text("command")).any() {
            return;
        }
        let outputs = match outcome {
            Outcome::Err(error) => [error.as_str(), ""],
            Outcome::Ok(response) => [text(response, "stdout"), text(response, "stderr")],
        };
        for output in outputs {
            for line in
                tail(head(output, 32 * 1024), 16 * 1024).lines().filter(|line| names::says_unknown(line))
            {
                let mut word_of = None;
                crate::words::each_word(line, &mut |word| {
                    if word_of.is_none()
                        && let Some(at) =
                            self.introduced.iter().position(|known| !known.told && known.name == word)
                    {
                        word_of = Some(at);
                    }
                });
                let Some(known) = word_of.and_then(|at| self.introduced.get_mut(at)) else { continue };
                known.told = true;
                // A test that is written before what it tests fails so, and should; a name that was defined elsewhere
                // is only not imported.
                let here = known.file.rsplit('/').next().unwrap_or(&known.file);
                if names::is_test(&known.file) || !line.contains(here) {
                    continue;
                }
                out.push(
                    Detection::new(Kind::Hallucination, "undefined", memory.event(), 65, 85)
                        .title(format!(
                            "{} was used as if it existed; the check says that it does not",
                            known.name
                        ))
                        .advice("Search for what the code really offers, and use that; or define the name.")
                        .mast(MAST)
                        .seen(known.event, format!("used in {}", known.file))
                        .seen(memory.event(), line.trim()),
                );
                return;
            }
        }
    }
}

/// What an edit takes out and puts in.
fn changes(call: &ToolCall) -> Vec<(&str, &str)> {
    let many = call.input.get("edits").and_then(serde_json::Value::as_array);
    if let Some(many) = many {
        return many.iter().map(|edit| (text(edit, "old_string"), text(edit, "new_string"))).collect();
    }
    let new =
        ["new_string", "content", "new_source"].iter().map(|key| call.text(key)).find(|new| !new.is_empty());
    vec![(call.text("old_string"), new.unwrap_or_default())]
}
