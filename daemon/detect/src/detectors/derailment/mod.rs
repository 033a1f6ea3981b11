//! Derailment: work that has left what was asked for. `docs/derailment.md` is the account of its rule.
//!
//! It must never block: it advises. It must never judge a turn whose prompt does not say by itself what it is about, or
//! one that has gone on for so long that its end tells of details only.
//!
//! Invariants: all prompts of the session count, and the agent's last words before each of them; it looks when a turn
//! ends, and only where the closing message, the last texts and the places of work agree.

mod language;
mod prompts;
mod topic;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use super::Detector;
use crate::detection::{Detection, Kind};
use crate::event::{Event, Outcome, ToolCall, What, text};
use crate::index::Index;
use crate::memory::{Memory, Tool, push};
use crate::settings::{Derailment, Settings};
use crate::shell::Command;
use crate::source::Language;
use crate::text::{clip, head};

use topic::{Frequencies, Stems, extend, stems, stems_of};

/// Texts of the agent that are remembered.
const MAX_TEXTS: usize = 5;
/// Stems that are remembered of a text.
const MAX_STEMS: usize = 96;
/// Steps whose places are remembered.
const MAX_PLACES: usize = 8;
/// Stems below which a closing message that asks something is only that.
const BRIEF: usize = 16;
/// Stems from which on a prompt says much by itself.
const RICH: usize = 10;
/// Stems below which a prompt says next to nothing by itself.
const BARE: usize = 4;
/// Bytes of a prompt that are read: a plan may be long.
const MAX_ASKED: usize = 16 * 1024;
/// Bytes of a prompt in which the names of documents are looked for.
const MAX_NAMED: usize = 4 * 1024;
/// Task derailment.
const MAST: &str = "FM-2.3";

/// The detector of one session.
#[derive(Debug)]
pub struct Derailments {
    settings: Derailment,
    /// Words of the working directory's path: they are in every path.
    home: HashSet<u64>,
    task: Stems,
    prompt: usize,
    asked: String,
    /// The prompt does not say by itself what it is about, or not in words that can be compared.
    leans: bool,
    texts: VecDeque<Stems>,
    closing: Stems,
    places: VecDeque<(usize, bool, String)>,
    steps: u32,
    /// Files were changed in this turn.
    changed: bool,
    /// The prompt only asks something.
    question: bool,
    /// The prompt, in small letters: what it names may be read.
    named: String,
    outputs: Frequencies,
}

/// Makes one, if it is on.
#[must_use]
pub fn make(settings: &Settings, _: &Arc<dyn Index>) -> Option<Box<dyn Detector>> {
    let settings = settings.derailment.clone();
    settings.enabled.then(|| {
        Box::new(Derailments {
            settings,
            home: HashSet::new(),
            task: Stems::new(),
            prompt: 0,
            asked: String::new(),
            leans: true,
            texts: VecDeque::new(),
            closing: Stems::new(),
            places: VecDeque::new(),
            steps: 0,
            changed: false,
            question: false,
            named: String::new(),
            outputs: Frequencies::default(),
        }) as Box<dyn Detector>
    })
}

impl Detector for Derailments {
    fn observe(&mut self, memory: &Memory, event: &Event, out: &mut Vec<Detection>) {
        if event.agent.is_some() {
            return;
        }
        match &event.what {
            What::Start { cwd, .. } => self.home = stems(cwd, &HashSet::new()),
            What::Prompt { text } => self.prompted(memory.event(), text),
            What::Turn(turn) if !turn.text.trim().is_empty() => {
                let words = few(stems(&turn.text, &self.home));
                push(&mut self.texts, MAX_TEXTS, words);
            }
            What::Result { call, outcome } => self.step(memory, call, outcome),
            What::Stop { message, .. } => {
                let closing = stems(message, &self.home);
                self.judge(memory.event(), &closing, message.trim_end().ends_with('?'), out);
                self.closing = few(closing);
            }
            _ => {}
        }
    }

    fn held(&self) -> usize {
        self.task.len()
            + self.closing.len()
            + self.texts.iter().map(HashSet::len).sum::<usize>()
            + self.places.len()
            + self.outputs.held()
    }
}

/// The set within its bound; which ones stay does not depend on the order of a table.
fn few(words: Stems) -> Stems {
    if words.len() <= MAX_STEMS {
        return words;
    }
    let mut kept: Vec<u64> = words.into_iter().collect();
    kept.sort_unstable();
    kept.truncate(MAX_STEMS);
    kept.into_iter().collect()
}

impl Derailments {
    fn prompted(&mut self, at: usize, text: &str) {
        // What the agent said last is what the user answers.
        let closing = std::mem::take(&mut self.closing);
        extend(&mut self.task, &closing);
        let own = stems_of(text, MAX_ASKED, &self.home);
        extend(&mut self.task, &own);
        self.prompt = at;
        self.asked = clip(text.trim(), 200);
        self.leans =
            own.len() < BARE || language::is_foreign(text) || prompts::leans(text) && own.len() < RICH;
        (self.changed, self.question) = (false, prompts::asks(text));
        self.named = head(text, MAX_NAMED).to_lowercase();
        self.texts.clear();
        self.places.clear();
        self.steps = 0;
    }

    fn step(&mut self, memory: &Memory, call: &ToolCall, outcome: &Outcome) {
        self.steps = self.steps.saturating_add(1);
        if let Some(place) = place(call, &memory.cwd) {
            let words = stems(&place, &self.home);
            if !words.is_empty() {
                let known = words.iter().any(|word| self.task.contains(word));
                push(&mut self.places, MAX_PLACES, (memory.event(), known, clip(&place, 120)));
            }
        }
        self.changed |= Tool::named(&call.name) == Tool::Edit && matches!(outcome, Outcome::Ok(_));
        self.learn(call, outcome);
        if Tool::named(&call.name) != Tool::Edit {
            let output = match outcome {
                Outcome::Err(error) => error.as_str(),
                Outcome::Ok(response) => shown(response),
            };
            self.outputs.add(&stems(output, &self.home));
        }
    }

    /// What the request only points to belongs to it: a document, an issue or a page that it names, the instructions of
    /// a skill, a plan that the user has accepted, what the user has answered.
    fn learn(&mut self, call: &ToolCall, outcome: &Outcome) {
        let Outcome::Ok(response) = outcome else { return };
        let mut add = |text: &str| {
            let words = stems_of(text, MAX_ASKED, &self.home);
            extend(&mut self.task, &words);
        };
        match (call.name.as_str(), Tool::named(&call.name)) {
            ("ExitPlanMode", _) => {
                add(call.text("plan"));
                add(text(response, "plan"));
            }
            ("AskUserQuestion", _) => {
                add(&call.input.to_string());
                add(&response.to_string());
            }
            ("Skill" | "SlashCommand", _) => {
                add(call.text("args"));
                add(shown(response));
            }
            (_, Tool::Read) => {
                let path = call.text("file_path");
                let is_document = Language::of(path).is_none();
                if is_document && (prompts::names(&self.named, path) || path.contains("/.claude/")) {
                    add(shown(response));
                }
            }
            ("WebFetch", _) | (_, Tool::Remote) if prompts::points_elsewhere(&self.named) => {
                add(shown(response));
                add(&head(&response.to_string(), MAX_ASKED).replace("\\n", " "));
            }
            (_, Tool::Shell)
                if prompts::points_elsewhere(&self.named) && prompts::fetches(call.text("command")) =>
            {
                add(shown(response));
            }
            _ => {}
        }
    }

    fn judge(&self, at: usize, closing: &Stems, asks: bool, out: &mut Vec<Detection>) {
        let limits = &self.settings;
        if self.leans
            // An answer speaks of what it has found, which the question did not know.
            || self.question && !self.changed
            || self.steps < limits.least_steps
            || self.steps > limits.most_steps
            || self.task.len() < 4
            || closing.len() < if asks { BRIEF } else { 4 }
        {
            return;
        }
        let mut said = closing.clone();
        self.texts.iter().for_each(|text| said.extend(text));
        let (ends, says) = (self.outputs.shared(closing, &self.task), self.outputs.shared(&said, &self.task));
        let there = self.places.iter().filter(|(_, known, _)| *known).count();
        // Whole numbers: so many of a hundred.
        let in_place = 100 * there <= usize::from(limits.places) * self.places.len().max(1);
        if ends > f64::from(limits.closing) || says > f64::from(limits.texts) || !in_place {
            return;
        }
        let apart = f64::from(limits.closing) - ends;
        let confidence = if apart > f64::from(limits.closing) / 2.0 { 65 } else { 50 };
        // One word more would change the share of a short message.
        let (severity, confidence) =
            if closing.len() < BRIEF || there > 0 { (35, confidence - 10) } else { (45, confidence) };
        let mut detection = Detection::new(Kind::Derailment, "topic", at, severity, confidence)
            .title("The work of this turn has little to do with what was asked for")
            .advice(
                "Read the request again. If this work is needed for it, say how; if not, leave it and go back to what was \
                 asked for, or ask the user.",
            )
            .mast(MAST)
            .seen(self.prompt, format!("asked for: {}", self.asked));
        for (event, known, place) in &self.places {
            if !known {
                detection = detection.seen(*event, place);
            }
        }
        out.push(detection);
    }
}

/// What a call is about: the file, the thing that is searched for, the command's own words.
fn place(call: &ToolCall, cwd: &str) -> Option<String> {
    match Tool::named(&call.name) {
        Tool::Read | Tool::Edit => {
            let path = ["file_path", "notebook_path"]
                .iter()
                .map(|key| call.text(key))
                .find(|path| !path.is_empty())?;
            path.rsplit('/').next().map(ToOwned::to_owned)
        }
        Tool::Search => {
            let path = call.text("path").rsplit('/').next().unwrap_or_default();
            Some(format!("{} {path}", call.text("pattern")))
        }
        Tool::Shell => {
            let command = Command::read(call.text("command"), cwd);
            // What every task ends with says nothing about it.
            let common = crate::checks::Checks::of(&command.core).any()
                || ["git ", "ls", "gofmt", "echo", "wc "].iter().any(|word| command.core.starts_with(word));
            (!common).then_some(command.core)
        }
        _ => None,
    }
}

/// The text of a response.
fn shown(response: &serde_json::Value) -> &str {
    let inner = response.pointer("/file/content").and_then(serde_json::Value::as_str);
    let texts = [response.as_str(), inner, Some(text(response, "stdout")), Some(text(response, "content"))];
    texts.into_iter().flatten().find(|text| !text.is_empty()).unwrap_or_default()
}
