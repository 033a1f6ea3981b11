//! Hallucination: names, imports, paths and cited files that exist neither in the tree, nor in its dependencies, nor
//! in what the session has shown. `docs/hallucination.md` is the account of its rules.
//!
//! It must never say that something is missing where nobody looked: without a complete index only failures that the
//! tools themselves told of count.
//!
//! Invariants: what a library offers is not judged; a name is told of once.

mod cited;
mod names;
mod paths;

use std::collections::VecDeque;
use std::sync::Arc;

use super::Detector;
use crate::checks::Checks;
use crate::detection::{Detection, Kind};
use crate::event::{Event, Outcome, ToolCall, What, text};
use crate::imports::{From, imports};
use crate::index::Index;
use crate::memory::{Memory, Tool, push};
use crate::settings::{Hallucination, Settings};
use crate::source::Language;
use crate::text::{clip, hash, head, is_absolute, tail};
use crate::words::Words;

use names::Introduced;
use paths::Missing;

/// Files whose names are remembered as written.
const MAX_WRITTEN: usize = 512;
/// Bytes of a file's beginning in which its imports stand.
const IMPORTS_IN: usize = 8 * 1024;
/// Names that are told of in one edit.
const MAX_FOUND: usize = 4;
/// Reasoning-action mismatch.
const MAST: &str = "FM-2.6";

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
                    (Tool::Read, Outcome::Ok(response)) => self.read(call, response),
                    (Tool::Shell, outcome) => self.check(memory, call, outcome, out),
                    _ => {}
                }
            }
            What::Turn(turn) => {
                self.plan(&turn.text);
                self.plan(&turn.thinking);
            }
            What::Prompt { .. } => self.missing.clear(),
            What::Stop { message, .. } if self.index.is_complete() => {
                if let Some(found) = cited::judge(memory, self.index.as_ref(), message) {
                    out.push(found);
                }
            }
            _ => {}
        }
    }

    fn held(&self) -> usize {
        self.written.len() + self.introduced.len() + self.missing.held()
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
    fn read(&mut self, call: &ToolCall, response: &serde_json::Value) {
        let path = call.text("file_path");
        let Some(language) = Language::of(path) else { return };
        let content = response.pointer("/file/content").and_then(serde_json::Value::as_str);
        let content = content.or_else(|| response.as_str()).unwrap_or_else(|| text(response, "content"));
        self.learn(head(content, IMPORTS_IN), language, path);
    }

    fn learn(&mut self, source: &str, language: Language, path: &str) {
        for import in imports(source, language, path, &self.modules, &|_| false) {
            if import.from == From::Elsewhere && !import.name.is_empty() {
                self.libraries.add(hash(&import.name));
            }
        }
    }

    fn edit(&mut self, memory: &Memory, call: &ToolCall, out: &mut Vec<Detection>) {
        let path = call.text("file_path");
        let within = relative(path, &memory.cwd).unwrap_or(path);
        if let Some(language) = Language::of(path) {
            let pairs = changes(call);
            for (_, new) in &pairs {
                self.learn(head(new, IMPORTS_IN), language, path);
            }
            for (old, new) in pairs {
                if self.index.is_complete() {
                    self.imported(memory, within, language, old, new, out);
                }
                self.named(memory, within, language, old, new, out);
            }
        }
        let mut written = within;
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

    /// Imports of the tree's own packages that are not there.
    fn imported(
        &mut self,
        memory: &Memory,
        file: &str,
        language: Language,
        old: &str,
        new: &str,
        out: &mut Vec<Detection>,
    ) {
        let index = Arc::clone(&self.index);
        for import in imports(new, language, file, &self.modules, &|path| index.has_file(path)) {
            let From::Tree(places) = &import.from else { continue };
            let name = import.path.rsplit(['/', '.']).next().unwrap_or(&import.path);
            let exists = places.iter().any(|place| {
                place.is_empty()
                    || names::module_files(place, language)
                        .iter()
                        .any(|file| index.has_file(file) || self.written.contains(&hash(file)))
            });
            let known = memory.words.has(name)
                || memory.words.has_file(&format!("{name}.ts"))
                || old.contains(&import.path);
            if exists
                || known
                || names::is_generated(&import.path)
                || !self.introduce(memory, &import.path, file, true)
            {
                continue;
            }
            out.push(
                Detection::new(Kind::Hallucination, "import", memory.event(), 70, 90)
                    .title(format!("{file} imports {}, which is not in the tree", import.path))
                    .advice(
                        "Look which packages there are (list the directory, search for the name) and import one that \
                         exists, or create it first.",
                    )
                    .mast(MAST)
                    .seen(memory.event(), format!("imported: {}", import.path)),
            );
            return;
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

    fn named(
        &mut self,
        memory: &Memory,
        path: &str,
        language: Language,
        old: &str,
        new: &str,
        out: &mut Vec<Detection>,
    ) {
        let names = crate::source::names(new, language);
        self.introduced.retain(|known| {
            known.told || !names.defined.contains(&known.name) || known.event == memory.event()
        });
        let complete = self.index.is_complete();
        let mut before: Option<std::collections::HashSet<&str>> = None;
        let mut found: Vec<(String, String, u8)> = Vec::new();
        for mention in &names.used {
            let name = mention.name.as_str();
            if name.len() < 4
                || names.defined.contains(name)
                || memory.words.has(name)
                || self.planned.has(name)
                || self.index.has_identifier(name)
            {
                continue;
            }
            let was = before.get_or_insert_with(|| {
                let mut words = std::collections::HashSet::new();
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
                && crate::words::parts(name).len() > 1
                && !self.is_library(memory, mention, &names.defined);
            let alike = if judged { self.index.similar(name) } else { None };
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
            out.push(detection.seen(memory.event(), format!("in {path}")));
        }
    }

    /// Whether a name is taken from something that is not the tree's own.
    fn is_library(
        &self,
        memory: &Memory,
        mention: &crate::source::Mention,
        defined: &std::collections::HashSet<String>,
    ) -> bool {
        let Some(of) = mention.of.as_deref().filter(|of| !of.is_empty()) else { return false };
        let known =
            of.len() < 4 || defined.contains(of) || memory.words.has(of) || self.index.has_identifier(of);
        names::is_standard(of) || self.libraries.has(of) || !known
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
