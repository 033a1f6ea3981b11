//! Completion: a closing claim that the checks, or the list of things to do, do not bear out. `docs/completion.md` is the
//! account of its rules.
//!
//! It must never judge work that nobody called done, or an ending that admits what is missing.
//!
//! Invariants: it looks only when a turn ends; one ending is told of once, by the gravest of the rules that hold.

mod tasks;

use std::collections::VecDeque;
use std::sync::Arc;

use super::Detector;
use crate::checks::{self, Checks, Said};
use crate::claims::Claims;
use crate::detection::{Detection, Kind};
use crate::event::{Event, Outcome, ToolCall, What, text};
use crate::index::Index;
use crate::memory::{Memory, Tool, slot};
use crate::settings::{Completion, Settings};
use crate::shell::Command;
use crate::text::{clip, hash, tail};

use tasks::Tasks;

/// Subagents whose calls are counted.
const MAX_AGENTS: usize = 32;
/// Bytes of an output's end in which it sums up.
const MAX_SUMMARY: usize = 4 * 1024;
/// Bytes of a command that is shown.
const MAX_LABEL: usize = 120;

/// What a check last said.
#[derive(Debug, Clone)]
struct Last {
    event: usize,
    said: Said,
    label: String,
}

/// What a subagent did.
#[derive(Debug)]
struct Calls {
    agent: u64,
    count: u32,
}

/// The detector of one session.
#[derive(Debug)]
pub struct Completions {
    settings: Completion,
    tests: Option<Last>,
    lint: Option<Last>,
    build: Option<Last>,
    /// When anything was last checked, by whatever means.
    checked: Option<usize>,
    /// When code was last changed, and which file.
    edited: Option<(usize, String)>,
    /// Something was checked by other means than a command: a subagent, a browser, the user.
    elsewhere: bool,
    tasks: Tasks,
    agents: VecDeque<Calls>,
}

/// Makes one, if it is on.
#[must_use]
pub fn make(settings: &Settings, _: &Arc<dyn Index>) -> Option<Box<dyn Detector>> {
    let settings = settings.completion.clone();
    settings.enabled.then(|| {
        Box::new(Completions {
            settings,
            tests: None,
            lint: None,
            build: None,
            checked: None,
            edited: None,
            elsewhere: false,
            tasks: Tasks::default(),
            agents: VecDeque::new(),
        }) as Box<dyn Detector>
    })
}

impl Detector for Completions {
    fn observe(&mut self, memory: &Memory, event: &Event, out: &mut Vec<Detection>) {
        match &event.what {
            What::Result { call, outcome } => {
                if let Some(agent) = &event.agent {
                    let agent = hash(agent);
                    let new = || Calls { agent, count: 0 };
                    let calls =
                        slot(&mut self.agents, MAX_AGENTS, |calls| calls.agent == agent, |_| false, new);
                    calls.count = calls.count.saturating_add(1);
                }
                self.result(memory.event(), call, outcome, out);
            }
            // What was checked before is not known; what is changed from here on is.
            What::Start { source, .. }
                if matches!(source.as_str(), "resume" | "fork") && self.checked.is_none() =>
            {
                self.checked = Some(memory.event());
                self.elsewhere = true;
            }
            What::Prompt { text } if event.agent.is_none() => {
                self.tasks.prompt();
                // What the user saw with their own eyes is checked.
                if Claims::read(text).passes.any() {
                    self.checked = Some(memory.event());
                    self.elsewhere = true;
                    (self.tests, self.lint, self.build) = (None, None, None);
                }
            }
            What::Stop { message, hook_active: false } => match &event.agent {
                None => self.stop(memory.event(), message, out),
                Some(agent) => self.report(memory.event(), hash(agent), message, out),
            },
            _ => {}
        }
    }

    fn held(&self) -> usize {
        self.tasks.held() + self.agents.len() + 5
    }
}

impl Completions {
    fn result(&mut self, at: usize, call: &ToolCall, outcome: &Outcome, out: &mut Vec<Detection>) {
        match Tool::named(&call.name) {
            Tool::Edit if matches!(outcome, Outcome::Ok(_)) => {
                let path =
                    ["file_path", "notebook_path"].iter().map(|key| call.text(key)).find(|p| !p.is_empty());
                if let Some(path) = path.filter(|path| is_code(path)) {
                    self.edited = Some((at, clip(path, MAX_LABEL)));
                }
            }
            _ if matches!(call.name.as_str(), "SendMessage" | "TeamCreate") => self.tasks.share(),
            Tool::Plan => self.tasks.take(at, call, outcome),
            Tool::Shell => self.command(at, call, outcome),
            Tool::Agent => {
                if let Outcome::Ok(response) = outcome {
                    // What it did inside may not be seen here; it may well have run the checks.
                    self.checked = Some(at);
                    self.elsewhere = true;
                    Self::empty_report(at, response, out);
                }
            }
            // A check that ran in the background, a browser, an editor's diagnostics.
            Tool::Background | Tool::Remote => {
                self.checked = Some(at);
                self.elsewhere = true;
            }
            _ => {}
        }
    }

    fn command(&mut self, at: usize, call: &ToolCall, outcome: &Outcome) {
        let line = call.text("command");
        let checks = Checks::of(line);
        if !checks.any() {
            // A check under a name that says nothing is told by what it prints.
            if !is_reader(line) && sums_up(outcome) {
                self.checked = Some(at);
                self.elsewhere = true;
            }
            return;
        }
        let Some(said) = checks::said(line, outcome) else { return };
        self.checked = Some(at);
        let last = Last { event: at, said, label: clip(line, MAX_LABEL) };
        for (is, slot) in
            [(checks.tests, &mut self.tests), (checks.lint, &mut self.lint), (checks.build, &mut self.build)]
        {
            if is {
                *slot = Some(last.clone());
            }
        }
    }

    /// The check that speaks against the claim, if one does.
    fn against(&self, claimed: Checks) -> Option<&Last> {
        let failed = |last: &'_ &Last| last.said == Said::Failed;
        let tests = self.tests.as_ref().filter(|_| claimed.tests).filter(failed);
        let lint = self.lint.as_ref().filter(|_| claimed.lint).filter(failed);
        // Tests that pass have been built, unless they ran on what is there now: then a build that fails has reasons of
        // its own.
        let changed = self.edited.as_ref().map_or(0, |(edited, _)| *edited);
        let ran = |tests: &Last| tests.said == Said::Passed && tests.event > changed;
        let tested = self.tests.as_ref().is_some_and(ran);
        let build = self
            .build
            .as_ref()
            .filter(|_| claimed.build || claimed.tests && !tested)
            .filter(failed)
            .filter(|build| self.tests.as_ref().is_none_or(|tests| tests.event <= build.event));
        [tests, lint, build].into_iter().flatten().max_by_key(|last| last.event)
    }

    fn stop(&mut self, at: usize, message: &str, out: &mut Vec<Detection>) {
        let claims = Claims::read(message);
        if claims.admits {
            return;
        }
        let passes = claims.passes.any();
        if passes && let Some(last) = self.against(claims.passes) {
            out.push(
                Detection::new(Kind::Completion, "failing", at, 80, 90)
                    .title("The closing message says that checks pass; they failed when they last ran")
                    .advice(
                        "Run the check again and read what it says. If it fails, mend it or say that it fails; do not \
                         call the work done before.",
                    )
                    .mast("FM-3.3")
                    .seen(last.event, format!("failed: {}", last.label))
                    .seen(at, &claims.sentence),
            );
            return;
        }
        if passes && let Some((edited, path)) = &self.edited {
            // Whoever has only linted has not tested.
            let untested = claims.passes.tests && self.tests.is_none() && !self.elsewhere;
            let found = match self.checked {
                Some(_) if untested => Some(("never_run", "no test ran in this session", "FM-3.2", 80)),
                None => Some(("never_run", "no check ran in this session", "FM-3.2", 90)),
                Some(checked) if checked < *edited => {
                    Some(("stale", "code changed after the last check", "FM-3.2", 80))
                }
                Some(_) => None,
            };
            if let Some((rule, what, mast, confidence)) = found {
                let mut detection = Detection::new(Kind::Completion, rule, at, 65, confidence)
                    .title(format!("The closing message says that checks pass; {what}"))
                    .advice(
                        "Run the project's checks on what is there now, and report what they say. If they cannot be run \
                         here, say so instead of claiming that they pass.",
                    )
                    .mast(mast);
                if let Some(checked) = self.checked {
                    detection = detection.seen(checked, "last checked, as far as is known");
                }
                out.push(detection.seen(*edited, format!("changed: {path}")).seen(at, &claims.sentence));
                return;
            }
        }
        if claims.done && !claims.asks && !claims.open && self.settings.open_tasks > 0 {
            self.open(at, message, out);
        }
    }

    fn open(&self, at: usize, message: &str, out: &mut Vec<Detection>) {
        let open = self.tasks.open();
        if open < usize::try_from(self.settings.open_tasks).unwrap_or(usize::MAX) {
            return;
        }
        let mut detection = Detection::new(Kind::Completion, "open_tasks", at, 50, 75)
            .title(format!("The closing message says done; {open} of the session's own tasks are open"))
            .advice(
                "Go through the open tasks: do them, or say which are left and why. Mark those that are done as done, so \
                 that the list tells the truth.",
            )
            .mast("FM-3.1");
        for name in self.tasks.names().take(4) {
            detection = detection.seen(self.tasks.at(), name);
        }
        out.push(detection.seen(at, message.lines().next().unwrap_or_default()));
    }

    /// A subagent that ends with claims about work, without a call of its own.
    fn report(&mut self, at: usize, agent: u64, message: &str, out: &mut Vec<Detection>) {
        let known = self.agents.iter().position(|calls| calls.agent == agent);
        let calls = known.and_then(|place| self.agents.remove(place)).map_or(0, |calls| calls.count);
        if calls == 0 && is_report(message) {
            out.push(unfounded(at, message));
        }
    }

    /// The same, told by the client's own count.
    fn empty_report(at: usize, response: &serde_json::Value, out: &mut Vec<Detection>) {
        let calls = response.get("totalToolUseCount").and_then(serde_json::Value::as_u64);
        let said: String = response
            .get("content")
            .and_then(serde_json::Value::as_array)
            .into_iter()
            .flatten()
            .take(4)
            .map(|part| text(part, "text"))
            .collect();
        if calls == Some(0) && is_report(&said) {
            out.push(unfounded(at, &said));
        }
    }
}

/// Whether a report claims that checks ran and passed: a review that speaks of tests does not.
fn is_report(message: &str) -> bool {
    let claims = Claims::read(message);
    claims.passes.any() && claims.plain && !claims.admits
}

/// Whether an output sums up as a check's does.
fn sums_up(outcome: &Outcome) -> bool {
    let outputs = match outcome {
        Outcome::Err(error) => [error.as_str(), ""],
        Outcome::Ok(response) => [text(response, "stdout"), text(response, "stderr")],
    };
    outputs.into_iter().any(|output| checks::summary(tail(output, MAX_SUMMARY)).is_some())
}

/// Whether a command shows what is written somewhere: a summary there is not its own.
fn is_reader(line: &str) -> bool {
    let read = Command::read(line, "");
    let program = read.core.split_whitespace().next().unwrap_or_default();
    read.searches
        || read.core.starts_with("git log")
        || read.core.starts_with("git show")
        || read.core.starts_with("git diff")
        || matches!(
            program,
            "cat"
                | "sed"
                | "head"
                | "tail"
                | "less"
                | "awk"
                | "jq"
                | "echo"
                | "printf"
                | "ls"
                | "wc"
                | "gh"
                | "glab"
                | "curl"
                | "wget"
                | "bat"
                | "nl"
                | "diff"
        )
}

fn unfounded(at: usize, message: &str) -> Detection {
    Detection::new(Kind::Completion, "unfounded_report", at, 60, 80)
        .title("A subagent reports that checks pass, and has not made a single tool call")
        .advice("Do not rely on the report: run the checks, or start the subagent again with the tools that it needs.")
        .mast("FM-3.3")
        .seen(at, message.lines().next().unwrap_or_default())
}

/// Whether a change of this file can break a check: source code, and what says how it is built and checked. Data and prose
/// are kept beside it and change with every step of some ways of working.
fn is_code(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let lower = name.to_ascii_lowercase();
    match lower.rsplit_once('.') {
        Some((stem, end)) => match end {
            "md" | "mdx" | "txt" | "rst" | "adoc" | "log" | "csv" | "tsv" | "svg" | "png" | "jpg" | "ico"
            | "gitignore" | "lock" | "env" | "example" | "pdf" | "diff" | "patch" | "ipynb"
            | "gitattributes" | "editorconfig" => false,
            // Of these only what a build reads.
            "json" | "yaml" | "yml" | "toml" | "ini" | "cfg" | "xml" | "jsonc" | "json5" => {
                stem.contains("config")
                    || stem.starts_with('.')
                    || [
                        "package",
                        "cargo",
                        "pyproject",
                        "pom",
                        "go",
                        "composer",
                        "deno",
                        "turbo",
                        "nx",
                        "project",
                        "setup",
                        "tox",
                    ]
                    .contains(&stem)
            }
            _ => true,
        },
        None => !matches!(name, "LICENSE" | "README" | "CHANGELOG" | "CODEOWNERS" | "NOTICE"),
    }
}
