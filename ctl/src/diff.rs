//! What would change in a file, line by line: `--dry-run`. Pure.

use crate::printer::{Printer, Tone, visible};

/// Unchanged lines shown around a change.
const CONTEXT: usize = 2;
/// Beyond this many line pairs, a region is shown as replaced as a whole.
const MAX_PAIRS: usize = 4_000_000;

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
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (old_mid, new_mid) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    let mut diff: Vec<_> = old[..head].iter().map(|l| Line::Same(l)).collect();
    if old_mid.len().saturating_mul(new_mid.len()) > MAX_PAIRS {
        diff.extend(old_mid.iter().map(|l| Line::Old(l)));
        diff.extend(new_mid.iter().map(|l| Line::New(l)));
    } else {
        diff.extend(longest_common(old_mid, new_mid));
    }
    diff.extend(old[old.len() - tail..].iter().map(|l| Line::Same(l)));
    diff
}

/// The shortest edit, by the table of longest common subsequences.
fn longest_common<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Line<'a>> {
    let width = new.len() + 1;
    let mut common = vec![0_u32; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i * width + j] = if old[i] == new[j] {
                common[(i + 1) * width + j + 1] + 1
            } else {
                common[(i + 1) * width + j].max(common[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j, mut diff) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            diff.push(Line::Same(old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len()
            || (i < old.len() && common[(i + 1) * width + j] >= common[i * width + j + 1])
        {
            diff.push(Line::Old(old[i]));
            i += 1;
        } else {
            diff.push(Line::New(new[j]));
            j += 1;
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
