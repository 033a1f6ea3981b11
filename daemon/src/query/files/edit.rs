//! One edit of a file, as the tool that made it tells. Pure, and total over any JSON.
//!
//! What the tool answered counts before what it was asked: somebody may have changed the edit before allowing it, and the
//! client finds the place with quotes and blanks of its own. The answer's patch shows leading tabs as blanks, so that it
//! says where something changed and how many lines that are, and the strings say what: a text is taken for the result only
//! where both agree.
//!
//! Transcripts keep the file as it was with few edits: an empty original beside something that was found in it is no
//! original.

use serde_json::Value;
use similar::{Algorithm, DiffOp};
use std::time::{Duration, Instant};

/// The tools that edit files.
pub(super) const TOOLS: [&str; 4] = ["Edit", "Write", "MultiEdit", "NotebookEdit"];

/// How the file was before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Original {
    /// There was none.
    Absent,
    /// All of it.
    Whole(String),
    /// Not told.
    Unknown,
}

/// A replacement.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    old: String,
    new: String,
    all: bool,
}

/// A part of a patch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Hunk {
    old_start: usize,
    new_start: usize,
    lines: Vec<String>,
}

/// An edit.
#[derive(Clone, Debug)]
pub(super) struct Edit {
    pub path: String,
    pub original: Original,
    /// All of what it is after, where that is told.
    told: Option<String>,
    steps: Vec<Step>,
    patch: Vec<Hunk>,
    /// It lies somewhere else until somebody takes it over.
    pub staged: bool,
}

fn text<'a>(value: &'a Value, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| value.get(name)?.as_str())
}

fn step(value: &Value) -> Option<Step> {
    let old = text(value, &["oldString", "old_string", "old_source"])?;
    let new = text(value, &["newString", "new_string", "new_source"])?;
    let all = ["replaceAll", "replace_all"].iter().any(|name| value.get(name) == Some(&Value::Bool(true)));
    Some(Step { old: old.to_owned(), new: new.to_owned(), all })
}

fn hunk(value: &Value) -> Option<Hunk> {
    let number = |name: &str| usize::try_from(value.get(name)?.as_u64()?).ok();
    let lines = value.get("lines")?.as_array()?;
    Some(Hunk {
        old_start: number("oldStart")?,
        new_start: number("newStart")?,
        lines: lines.iter().filter_map(|l| l.as_str().map(str::to_owned)).collect(),
    })
}

impl Edit {
    /// Reads a call that worked; none where it names no file, or changed nothing.
    pub(super) fn read(tool: &str, input: &Value, response: &Value) -> Option<Self> {
        let in_either = |names: &[&str]| text(response, names).or_else(|| text(input, names));
        let path = text(input, &["file_path", "notebook_path"])
            .or_else(|| text(response, &["filePath", "notebook_path"]))?
            .to_owned();
        let hunks = response.get("structuredPatch").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let mut parts: Vec<Hunk> = hunks.iter().filter_map(hunk).collect();
        if parts.len() != hunks.len() {
            // What cannot be read as a whole is no patch.
            parts.clear();
        }
        let staged = response.get("staged") == Some(&Value::Bool(true));
        let modified = response.get("userModified") == Some(&Value::Bool(true));
        let original = text(response, &["originalFile", "originalFileContents", "original_file"]);
        let mut edit =
            Edit { path, original: Original::Unknown, told: None, steps: Vec::new(), patch: parts, staged };
        match tool {
            "Write" => {
                let created = text(response, &["type"]) == Some("create");
                edit.original = match original {
                    Some(whole) => Original::Whole(whole.to_owned()),
                    None if created => Original::Absent,
                    None => Original::Unknown,
                };
                let answered = text(response, &["content"]).filter(|content| !content.is_empty());
                let asked = text(input, &["content"]).filter(|_| !modified);
                edit.told = answered.or(asked).map(str::to_owned);
            }
            "NotebookEdit" => {
                if text(response, &["error"]).is_some_and(|error| !error.is_empty()) {
                    return None;
                }
                let whole = |text: Option<&str>| text.filter(|t| !t.is_empty()).map(str::to_owned);
                edit.original = whole(original).map_or(Original::Unknown, Original::Whole);
                edit.told = whole(text(response, &["updated_file"]));
                let old = text(response, &["old_source"]).unwrap_or_default();
                let new = in_either(&["new_source"]).unwrap_or_default();
                edit.steps = vec![Step { old: old.to_owned(), new: new.to_owned(), all: false }];
            }
            _ => {
                let edits = |of: &Value| of.get("edits").and_then(Value::as_array).cloned();
                edit.steps = match edits(response).or_else(|| edits(input)) {
                    Some(edits) => edits.iter().filter_map(step).collect(),
                    None => {
                        step(response).or_else(|| step(input).filter(|_| !modified)).into_iter().collect()
                    }
                };
                let begins_empty = edit.steps.first().is_some_and(|first| first.old.is_empty());
                edit.original = match original {
                    Some("") if begins_empty => Original::Absent,
                    Some("") | None => Original::Unknown,
                    Some(whole) => Original::Whole(whole.to_owned()),
                };
            }
        }
        Some(edit)
    }

    /// The file after it, given what it was before.
    pub(super) fn result(&self, before: Option<&str>) -> Option<String> {
        if let Some(told) = &self.told {
            return Some(told.clone());
        }
        let before = before?;
        let plain = replaced(before, &self.steps, false);
        // The client takes a line's end away with the line.
        let with_ends = || replaced(before, &self.steps, true);
        plain.filter(|text| self.fits(text)).or_else(|| with_ends().filter(|text| self.fits(text)))
    }

    /// Whether a text may be what the patch leads to.
    fn fits(&self, after: &str) -> bool {
        let lines: Vec<&str> = after.lines().collect();
        self.patch.iter().all(|hunk| {
            let mut at = hunk.new_start.saturating_sub(1);
            hunk.lines.iter().all(|line| match line.split_at_checked(1) {
                Some((" " | "+", line)) => {
                    let fits = lines.get(at).is_some_and(|own| own.trim() == line.trim());
                    at += 1;
                    fits
                }
                _ => true,
            })
        })
    }

    /// Lines that it added and took away, as far as it tells.
    pub(super) fn counts(&self, before: Option<&str>, after: Option<&str>) -> (u64, u64) {
        if !self.patch.is_empty() {
            let count = |mark: char| {
                let lines = self.patch.iter().flat_map(|hunk| &hunk.lines);
                lines.filter(|line| line.starts_with(mark)).count() as u64
            };
            return (count('+'), count('-'));
        }
        let before = if self.original == Original::Absent { Some("") } else { before };
        match (before, after, &self.told) {
            (Some(before), Some(after), _) => line_counts(before, after),
            (None, _, Some(told)) => line_counts("", told),
            _ => self.steps.iter().fold((0, 0), |(added, removed), step| {
                let (more, less) = line_counts(&step.old, &step.new);
                (added + more, removed + less)
            }),
        }
    }

    /// What it shows of the file without the rest: before and after.
    pub(super) fn parts(&self) -> (String, String) {
        let join = |side: &dyn Fn(&Step) -> &str| {
            self.steps
                .iter()
                .map(|step| side(step).trim_end_matches('\n').to_owned())
                .collect::<Vec<_>>()
                .join("\n")
        };
        match &self.told {
            Some(told) if self.steps.is_empty() => (String::new(), told.trim_end_matches('\n').to_owned()),
            _ if self.steps.is_empty() => self.of_patch(),
            _ => (join(&|step| &step.old), join(&|step| &step.new)),
        }
    }

    fn of_patch(&self) -> (String, String) {
        let side = |marks: [char; 2]| {
            let lines = self.patch.iter().flat_map(|hunk| &hunk.lines);
            let lines = lines.filter(|line| line.starts_with(marks)).map(|line| &line[1..]);
            lines.collect::<Vec<_>>().join("\n")
        };
        (side([' ', '-']), side([' ', '+']))
    }
}

/// Longest text that replacements may make, in bytes: what stands on record may multiply without end.
const LARGEST: usize = 16 << 20;

/// The text with all replacements made; none where one finds nothing to replace, or where it would be too long.
fn replaced(before: &str, steps: &[Step], with_ends: bool) -> Option<String> {
    if steps.is_empty() {
        return None;
    }
    let mut text = before.to_owned();
    for step in steps {
        if step.old.is_empty() {
            if !text.is_empty() {
                return None;
            }
            text.clone_from(&step.new);
            continue;
        }
        let line = format!("{}\n", step.old);
        let takes_line =
            with_ends && step.new.is_empty() && !step.old.ends_with('\n') && text.contains(&line);
        let old = if takes_line { &line } else { &step.old };
        if !text.contains(old.as_str()) {
            return None;
        }
        let times = if step.all { text.matches(old.as_str()).count() } else { 1 };
        let kept = text.len().saturating_sub(times.saturating_mul(old.len()));
        if kept.saturating_add(times.saturating_mul(step.new.len())) > LARGEST {
            return None;
        }
        text = if step.all {
            text.replace(old.as_str(), &step.new)
        } else {
            text.replacen(old.as_str(), &step.new, 1)
        };
    }
    Some(text)
}

/// How long two texts are compared; then what is left counts as replaced.
const PATIENCE: Duration = Duration::from_millis(200);

/// Lines that come and go from one text to the other.
pub(super) fn line_counts(before: &str, after: &str) -> (u64, u64) {
    let (old, new): (Vec<&str>, Vec<&str>) =
        (before.split_inclusive('\n').collect(), after.split_inclusive('\n').collect());
    let deadline = Instant::now().checked_add(PATIENCE);
    let ops = similar::capture_diff_slices_deadline(Algorithm::Myers, &old, &new, deadline);
    ops.iter().fold((0, 0), |(added, removed), op| match op {
        DiffOp::Equal { .. } => (added, removed),
        DiffOp::Delete { old_len, .. } => (added, removed + *old_len as u64),
        DiffOp::Insert { new_len, .. } => (added + *new_len as u64, removed),
        DiffOp::Replace { old_len, new_len, .. } => (added + *new_len as u64, removed + *old_len as u64),
    })
}
