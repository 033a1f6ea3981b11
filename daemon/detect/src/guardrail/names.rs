//! Names of files, tools and commands out of captured text, as code spans of Markdown.
//!
//! It must never let anything through that is more than a name: letters, digits and a few signs, short, of a command no
//! more than the program and what it is told to do, never what is assigned to something or follows a long option.
//!
//! Invariant: what is given out is a backtick, at most [`MAX_NAME`] characters of the alphabet, and a backtick.

use crate::checks::Checks;
use crate::detection::Detection;
use crate::shell;

/// Characters of a name.
pub(super) const MAX_NAME: usize = 56;
/// Characters of one word of a command: credentials are longer.
const MAX_WORD: usize = 24;

/// What a loop repeats: `Tool about`.
pub(super) struct Call<'a> {
    /// The tool's name.
    pub(super) tool: Option<String>,
    about: &'a str,
}

impl<'a> Call<'a> {
    /// The call at the end of the title, or else of the evidence.
    pub(super) fn of(detection: &'a Detection) -> Self {
        let label = detection.title.split_once(": ").map(|(_, label)| label);
        let label =
            label.or_else(|| detection.evidence.last().map(|seen| seen.text.as_str())).unwrap_or_default();
        let (tool, about) = label.split_once(' ').unwrap_or((label, ""));
        let is_tool = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let tool = (!tool.is_empty() && tool.len() <= MAX_NAME && tool.chars().all(is_tool))
            .then(|| tool.to_owned());
        Call { tool, about }
    }

    fn is_shell(&self) -> bool {
        matches!(self.tool.as_deref(), Some("Bash" | "PowerShell"))
    }

    /// The command, or the tool.
    pub(super) fn subject(&self) -> String {
        let command = if self.is_shell() { command(self.about) } else { None };
        command.unwrap_or_else(|| if self.is_shell() { "a command".into() } else { self.tool_name() })
    }

    /// The tool.
    pub(super) fn tool_name(&self) -> String {
        self.tool.as_ref().map_or_else(|| "a tool".to_owned(), |tool| format!("`{tool}`"))
    }

    /// The file that the call is about.
    pub(super) fn file(&self) -> Option<String> {
        if self.is_shell() { None } else { file(self.about) }
    }
}

/// The check that failed.
pub(super) fn failed(detection: &Detection) -> Option<String> {
    after(detection, "failed: ").and_then(command)
}

/// The file that was changed last.
pub(super) fn changed(detection: &Detection) -> Option<String> {
    after(detection, "changed: ").and_then(file)
}

/// The file in which a name was used.
pub(super) fn edited(detection: &Detection) -> Option<String> {
    after(detection, "in ").or_else(|| after(detection, "used in ")).and_then(file)
}

/// The file that imports.
pub(super) fn importer(detection: &Detection) -> Option<String> {
    detection.title.split_once(" imports ").and_then(|(path, _)| file(path))
}

fn after<'a>(detection: &'a Detection, head: &str) -> Option<&'a str> {
    detection.evidence.iter().find_map(|seen| seen.text.strip_prefix(head))
}

/// A file: its name, and that of its directory.
pub(super) fn file(path: &str) -> Option<String> {
    let is_plain = |part: &&str| {
        !part.is_empty()
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+'))
    };
    let mut parts = path.trim().rsplit('/');
    let name = parts.next().filter(is_plain).filter(|name| name.len() <= MAX_NAME && has_letter(name))?;
    // Work on a place is told by files: a word alone may be anything.
    name.trim_start_matches('.').contains('.').then_some(())?;
    let whole = parts
        .next()
        .filter(is_plain)
        .filter(|dir| has_letter(dir))
        .map(|dir| format!("{dir}/{name}"))
        .filter(|whole| whole.len() <= MAX_NAME);
    Some(format!("`{}`", whole.as_deref().unwrap_or(name)))
}

/// A command: the program and what it is told to do; of one that checks, up to four words.
fn command(line: &str) -> Option<String> {
    let parts = shell::split(line);
    let checks = parts.iter().map(|(_, part)| *part).find(|part| Checks::of(part).any());
    let part = checks.or_else(|| parts.first().map(|(_, part)| *part))?;
    // What is set for it may be secret.
    let mut words = part.split_whitespace().skip_while(|word| word.contains('='));
    let mut text = program(words.next()?)?;
    for word in words.take(if checks.is_some() { 3 } else { 1 }) {
        let fits = if checks.is_some() { is_argument(word) } else { is_verb(word) };
        if !fits || word == "--" || text.len() + 1 + word.len() > MAX_NAME {
            break;
        }
        text.push(' ');
        text.push_str(word);
        if word.starts_with("--") {
            break;
        }
    }
    Some(format!("`{text}`"))
}

fn has_letter(text: &str) -> bool {
    text.chars().any(|c| c.is_ascii_alphabetic())
}

fn program(word: &str) -> Option<String> {
    let own = word.strip_prefix("./").map(|own| own.split('/').collect::<Vec<_>>());
    let is_name = |name: &&str| {
        !name.is_empty()
            && name.len() <= MAX_WORD
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+'))
            && has_letter(name)
    };
    if let Some(parts) = own.filter(|parts| parts.len() <= 2 && parts.iter().all(is_name)) {
        return Some(format!("./{}", parts.join("/")));
    }
    word.rsplit('/').next().filter(is_name).map(ToOwned::to_owned)
}

/// `test`, `run-all`.
fn is_verb(word: &str) -> bool {
    word.len() <= 16
        && word.starts_with(|c: char| c.is_ascii_lowercase())
        && word.chars().all(|c| c.is_ascii_lowercase() || c == '-')
}

/// `./...`, `-m`, `tests/unit`.
fn is_argument(word: &str) -> bool {
    word.len() <= MAX_WORD
        && !word.contains("//")
        && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | '/' | ':'))
}
