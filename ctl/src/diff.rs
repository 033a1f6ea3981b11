//! What changed in a file, line by line: what `--dry-run` would do, what a session did, what a request has that the one
//! before had not.
//!
//! Bounded in time: of texts that differ too much to be compared, what was not reached counts as replaced.

use std::time::{Duration, Instant};

use similar::{Algorithm, ChangeTag, DiffTag, TextDiff};

use crate::printer::{Printer, Tone, visible};

/// Unchanged lines shown around a change.
const CONTEXT: usize = 2;
/// Unchanged lines around a change that stands between others far away.
const RADIUS: usize = 3;
/// How long two texts are compared.
const PATIENCE: Duration = Duration::from_millis(500);

/// One line of a diff.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line<'a> {
    Same(&'a str),
    Old(&'a str),
    New(&'a str),
}

/// The change as lines for people. `None`: there is no such file.
#[must_use]
pub fn render(out: &Printer, path: &str, old: Option<&[u8]>, new: Option<&[u8]>) -> Vec<String> {
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let name = |bytes: Option<&[u8]>| if bytes.is_some() { visible(path) } else { "/dev/null".to_owned() };
    let (before, after) = (text(old), text(new));
    let mut lines = vec![
        out.paint(Tone::Strong, &format!("--- {}", name(old))),
        out.paint(Tone::Strong, &format!("+++ {}", name(new))),
    ];
    let diff = compare(&split(&before), &split(&after));
    let near = |at: usize| {
        let (from, to) = (at.saturating_sub(CONTEXT), (at + CONTEXT + 1).min(diff.len()));
        diff[from..to].iter().any(|line| !matches!(line, Line::Same(_)))
    };
    let mut skipping = false;
    for (at, line) in diff.iter().enumerate() {
        if !near(at) {
            if !skipping {
                lines.push(out.paint(Tone::Faint, "@@"));
            }
            skipping = true;
            continue;
        }
        skipping = false;
        lines.push(match line {
            Line::Same(text) => format!(" {}", visible(text)),
            Line::Old(text) => out.paint(Tone::Bad, &format!("-{}", visible(text))),
            Line::New(text) => out.paint(Tone::Good, &format!("+{}", visible(text))),
        });
    }
    lines
}

/// The change as hunks with their line numbers, without the files' names.
#[must_use]
pub fn hunks(out: &Printer, before: &str, after: &str) -> Vec<String> {
    let diff = TextDiff::configure().timeout(PATIENCE).diff_lines(before, after);
    let mut lines = Vec::new();
    for hunk in diff.unified_diff().context_radius(RADIUS).iter_hunks() {
        lines.push(out.paint(Tone::Faint, &hunk.header().to_string()));
        for change in hunk.iter_changes() {
            let text = visible(change.value().trim_end_matches(['\r', '\n']));
            lines.push(match change.tag() {
                ChangeTag::Equal => format!(" {text}"),
                ChangeTag::Delete => out.paint(Tone::Bad, &format!("-{text}")),
                ChangeTag::Insert => out.paint(Tone::Good, &format!("+{text}")),
            });
            if change.missing_newline() {
                lines.push(out.paint(Tone::Faint, "\\ no newline at end of file"));
            }
        }
    }
    lines
}

/// How many lines come and go.
#[must_use]
pub fn counts(old: Option<&[u8]>, new: Option<&[u8]>) -> (usize, usize) {
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let (before, after) = (text(old), text(new));
    let diff = compare(&split(&before), &split(&after));
    let count = |wanted: fn(&Line<'_>) -> bool| diff.iter().filter(|line| wanted(line)).count();
    (count(|line| matches!(line, Line::New(_))), count(|line| matches!(line, Line::Old(_))))
}

/// Lines without their ends; a missing newline at the end of the file is a line of its own.
fn split(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.split('\n').collect();
    match lines.last() {
        Some(&"") => _ = lines.pop(),
        _ => lines.push("\\ no newline at end of file"),
    }
    lines
}

fn compare<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Line<'a>> {
    let mut diff = Vec::with_capacity(old.len().max(new.len()));
    let deadline = Instant::now().checked_add(PATIENCE);
    for op in similar::capture_diff_slices_deadline(Algorithm::Myers, old, new, deadline) {
        let (tag, old_range, new_range) = op.as_tag_tuple();
        if tag == DiffTag::Equal {
            diff.extend(old[old_range].iter().map(|line| Line::Same(line)));
        } else {
            diff.extend(old[old_range].iter().map(|line| Line::Old(line)));
            diff.extend(new[new_range].iter().map(|line| Line::New(line)));
        }
    }
    diff
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_change_is_shown_with_its_surroundings() {
        let (out, _, _) = Printer::captured(80);
        let old = "{\n  \"a\": 1,\n  \"b\": 2,\n  \"c\": 3,\n  \"d\": 4\n}\n";
        let new = "{\n  \"a\": 1,\n  \"b\": 2,\n  \"c\": 3,\n  \"d\": 4,\n  \"e\": 5\n}";
        let lines = render(&out, "/x", Some(old.as_bytes()), Some(new.as_bytes()));
        insta::assert_snapshot!(lines.join("\n"), @r#"
        --- /x
        +++ /x
        @@
           "b": 2,
           "c": 3,
        -  "d": 4
        +  "d": 4,
        +  "e": 5
         }
        +\ no newline at end of file
        "#);
        assert_eq!(render(&out, "/x", None, Some(b"a\n")), ["--- /dev/null", "+++ /x", "+a"]);
    }

    #[test]
    fn hunks_name_their_lines_and_nothing_in_them_acts() {
        let (out, _, _) = Printer::captured(80);
        let before = (1..=20).map(|n| format!("line {n}")).collect::<Vec<_>>().join("\n") + "\n";
        let after = before.replace("line 2\n", "line \u{1b}[31m2\n").replace("line 19\nline 20\n", "line 19");
        insta::assert_snapshot!(hunks(&out, &before, &after).join("\n"), @r"
        @@ -1,5 +1,5 @@
         line 1
        -line 2
        +line \u{1b}[31m2
         line 3
         line 4
         line 5
        @@ -16,5 +16,4 @@
         line 16
         line 17
         line 18
        -line 19
        -line 20
        +line 19
        \ no newline at end of file
        ");
        assert!(hunks(&out, "same\n", "same\n").is_empty());
    }

    proptest! {
        #[test]
        fn a_diff_holds_both_sides(old in "([ab]\n){0,8}", new in "([abc]\n){0,8}") {
            let (old, new) = (split(&old), split(&new));
            let diff = compare(&old, &new);
            let side = |keep: fn(&Line<'_>) -> bool| -> Vec<&str> {
                diff.iter().filter(|l| keep(l)).map(|(Line::Same(t) | Line::Old(t) | Line::New(t))| *t).collect()
            };
            prop_assert_eq!(side(|l| !matches!(l, Line::New(_))), old);
            prop_assert_eq!(side(|l| !matches!(l, Line::Old(_))), new);
        }
    }
}
