//! A tool call: what went in and what came out, in the form that suits the tool.
//!
//! Inputs and outputs are somebody's JSON: whatever is not of the form that a tool usually has is shown as what it is.

use std::borrow::Cow;

use super::blocks::{Bounds, diff, images, prose, terminal, value};
use super::clean::{Clean, View};
use super::diff::{Hunk, between, of_patch};
use super::html::{Attr, Html};
use super::image::Found;

/// Tools that change files.
const EDITS: [&str; 4] = ["Edit", "Write", "MultiEdit", "NotebookEdit"];

/// A tool call's content.
pub(super) struct Call<'a> {
    /// The tool's name.
    pub tool: &'a str,
    /// What went in.
    pub input: Option<View<'a>>,
    /// What came out.
    pub output: Option<View<'a>>,
    /// Images that were in it.
    pub images: &'a [Found],
    /// Why it failed.
    pub error: Option<&'a Clean<'a>>,
    /// Whether it failed, or was denied.
    pub failed: bool,
}

/// Whether it changes a file.
#[must_use]
pub(super) fn is_edit(tool: &str) -> bool {
    EDITS.contains(&tool)
}

/// Shows a call.
pub(super) fn show(w: &mut Html<'_>, call: &Call<'_>, bounds: Bounds) {
    let text = |name| call.input.and_then(|input| input.text(name));
    let mut is_shown = true;
    match (call.tool, call.input) {
        ("Bash", Some(_)) if text("command").is_some() => {
            if let Some(why) = text("description") {
                w.with("p", "faint", &why);
            }
            if let Some(command) = text("command") {
                terminal(w, &command, "cmd", bounds);
            }
        }
        (tool, Some(input)) if is_edit(tool) => is_shown = edit(w, input, call, bounds),
        ("Agent" | "Task", Some(_)) if text("prompt").is_some() => {
            label(w, "Prompt");
            if let Some(prompt) = text("prompt") {
                prose(w, &prompt, bounds);
            }
        }
        ("TodoWrite", Some(input)) if input.get("todos").is_some_and(View::is_list) => todos(w, input),
        (_, Some(input)) if !input.is_empty() => {
            label(w, "Input");
            value(w, input, bounds);
        }
        _ => {}
    }
    match call.output.filter(|output| !output.is_empty()) {
        // The difference says it all.
        Some(_) if is_edit(call.tool) && is_shown && !call.failed => {}
        Some(output) => {
            label(w, if call.failed { "Error" } else { "Output" });
            result(w, output, call.failed, bounds);
        }
        None => match call.error {
            Some(error) => terminal(w, error, "bad", bounds),
            None => w.says("p", "faint", "No output is on record."),
        },
    }
    images(w, call.images);
}

fn label(w: &mut Html<'_>, words: &str) {
    w.says("p", "label", words);
}

/// What came out.
fn result(w: &mut Html<'_>, output: View<'_>, failed: bool, bounds: Bounds) {
    let class = if failed { "bad" } else { "" };
    if let Some(text) = output.str() {
        return terminal(w, &text, class, bounds);
    }
    let streams = [output.text("stdout"), output.text("stderr")];
    if streams.iter().any(Option::is_some) {
        let [out, err] = streams.map(|text| text.filter(|t| !t.as_str().is_empty()));
        if out.is_none() && err.is_none() {
            w.says("p", "faint", "It printed nothing.");
        }
        if let Some(out) = out {
            terminal(w, &out, class, bounds);
        }
        if let Some(err) = err {
            label(w, "Standard error");
            terminal(w, &err, class, bounds);
        }
        return;
    }
    if let Some(text) = output.get("file").and_then(|file| file.text("content")) {
        return terminal(w, &text, class, bounds);
    }
    let content = if output.is_list() { Some(output) } else { output.get("content").filter(|c| c.is_list()) };
    match content.filter(|content| content.items().all(|part| part.text("type").is_some())) {
        Some(parts) => {
            for part in parts.items() {
                match part.text("text").filter(|_| part.is("type", "text")) {
                    Some(text) => prose(w, &text, bounds),
                    // Shown behind all of it.
                    None if part.is("type", "image") => {}
                    None => value(w, part, bounds),
                }
            }
        }
        None => value(w, output, bounds),
    }
}

/// The change of a file; false where the call does not tell any.
fn edit(w: &mut Html<'_>, input: View<'_>, call: &Call<'_>, bounds: Bounds) -> bool {
    let file = input.text("file_path").or_else(|| input.text("notebook_path"));
    let file = file.unwrap_or_else(|| Clean::ours("file"));
    // The texts have to live as long as what is told of them.
    let strings: Vec<(Clean<'_>, Clean<'_>)> = strings(input, call.output.filter(|_| !call.failed));
    let patch =
        call.output.and_then(|output| output.get("structuredPatch")).filter(|p| p.is_list() && !call.failed);
    let (hunks, note): (Vec<Hunk<'_>>, &str) = if let Some(patch) = patch {
        (patch.items().map(of_the_client).collect(), "")
    } else {
        let hunks = strings.iter().flat_map(|(old, new)| between(old.as_str(), new.as_str())).collect();
        let is_new = call.output.is_some_and(|output| output.is("type", "create"));
        let is_whole = is_new || call.output.is_some_and(|output| output.text("originalFile").is_some());
        (
            hunks,
            if is_new {
                "new file"
            } else if is_whole {
                ""
            } else {
                "line numbers within the edit"
            },
        )
    };
    if hunks.is_empty() {
        label(w, "Input");
        value(w, input, bounds);
        return false;
    }
    diff(w, &file, if call.failed { "not made" } else { note }, &hunks, bounds);
    true
}

/// A hunk of the client's own patch.
fn of_the_client(part: View<'_>) -> Hunk<'_> {
    let lines = part.get("lines").into_iter().flat_map(View::items);
    let lines = lines.filter_map(|line| Some(Cow::Owned(line.str()?.as_str().to_owned())));
    of_patch(part.number("oldStart").unwrap_or(1), part.number("newStart").unwrap_or(1), lines)
}

/// What was there, and what came in its place.
fn strings<'a>(input: View<'a>, output: Option<View<'a>>) -> Vec<(Clean<'a>, Clean<'a>)> {
    let pair = |of: View<'a>| Some((of.text("old_string")?, of.text("new_string")?));
    if let Some(content) = input.text("content").or_else(|| input.text("new_source")) {
        let before = output.and_then(|output| output.text("originalFile"));
        return vec![(before.unwrap_or_else(|| Clean::ours("")), content)];
    }
    match input.get("edits").filter(|edits| edits.is_list()) {
        Some(edits) => edits.items().filter_map(pair).collect(),
        None => pair(input).into_iter().collect(),
    }
}

fn todos(w: &mut Html<'_>, input: View<'_>) {
    w.el("ul", &[Attr::Is("class", "todos")], |w| {
        for todo in input.get("todos").into_iter().flat_map(View::items) {
            let mark = match () {
                () if todo.is("status", "completed") => "☑ ",
                () if todo.is("status", "in_progress") => "◐ ",
                () => "☐ ",
            };
            w.el("li", &[], |w| {
                w.say(mark);
                if let Some(text) = todo.text("content") {
                    w.text(&text);
                }
            });
        }
    });
}
