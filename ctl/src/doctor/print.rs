//! What the doctor says, for people: in groups and wrapped where somebody watches, line by line elsewhere, and a verdict
//! at the end.

use super::repair::Repaired;
use super::{Check, Level, family_of};
use crate::env::Env;
use crate::error::Result;
use crate::human::plural;
use crate::printer::{Printer, Tone, visible, visible_block};

/// Columns of a check's name.
const NAME: usize = 11;
/// Columns before what was found: the mark, the name, and a space behind each.
const INDENT: usize = NAME + 3;
/// No column for text is narrower.
const NARROWEST: usize = 30;

/// Prints it.
pub(super) fn print(env: &Env, out: &mut Printer, checks: &[Check], repaired: &Repaired) -> Result<()> {
    for done in &repaired.done {
        let mark = out.paint(Tone::Warn, mark(env, Level::Note));
        out.line(format!("{mark} {:NAME$} {}", "fixed", visible(done)))?;
    }
    if let Some(error) = &repaired.failed {
        out.warn(&error.message);
        error.hints.iter().for_each(|hint| out.note(format!("  {}", visible(hint))));
    }
    let mut family = "";
    for check in checks {
        if out.is_drawn() && family != family_of(check.name) {
            let first = family.is_empty();
            family = family_of(check.name);
            if !first {
                out.line("")?;
            }
            out.line(out.paint(Tone::Strong, family))?;
        }
        for line in lines(env, out, check) {
            out.line(line)?;
        }
    }
    if out.is_drawn() {
        out.line("")?;
    }
    let (tone, verdict) = verdict(checks);
    out.line(out.paint(tone, &verdict))
}

fn lines(env: &Env, out: &Printer, check: &Check) -> Vec<String> {
    let room = out.width().saturating_sub(INDENT).max(NARROWEST);
    let wrap = |text: &str| if out.is_drawn() { wrapped(text, room) } else { vec![text.to_owned()] };
    let mut lines = Vec::new();
    // An error that points at its place keeps its lines.
    for line in visible_block(&check.detail).lines().flat_map(wrap) {
        lines.push(if lines.is_empty() {
            let mark = out.paint(tone(check.level), mark(env, check.level));
            format!("{mark} {:NAME$} {line}", check.name)
        } else {
            format!("{:INDENT$}{line}", "")
        });
    }
    let arrow = if env.is_unicode() { "→" } else { "->" };
    let fix = if check.fixable { " (or `ccctl doctor --fix`)" } else { "" };
    let hint = check.hint.as_ref().map(|hint| {
        let said = hint.contains("doctor --fix");
        format!("{arrow} {}{}", visible(hint), if said { "" } else { fix })
    });
    lines.extend(hint.iter().flat_map(|hint| wrap(hint)).map(|line| format!("{:INDENT$}{line}", "")));
    lines
}

fn mark(env: &Env, level: Level) -> &'static str {
    match (level, env.is_unicode()) {
        (Level::Ok, true) => "✓",
        (Level::Note, true) => "•",
        (Level::Warn, _) => "!",
        (Level::Fail, true) => "✗",
        (Level::Ok, false) => "+",
        (Level::Note, false) => "-",
        (Level::Fail, false) => "x",
    }
}

fn tone(level: Level) -> Tone {
    match level {
        Level::Ok => Tone::Good,
        Level::Note => Tone::Faint,
        Level::Warn => Tone::Warn,
        Level::Fail => Tone::Bad,
    }
}

/// The last line.
pub(super) fn verdict(checks: &[Check]) -> (Tone, String) {
    let names = |level| {
        let mut names: Vec<_> = checks.iter().filter(|c| c.level == level).map(|c| c.name).collect();
        names.dedup();
        names
    };
    let (fails, warns) = (names(Level::Fail), names(Level::Warn));
    let look = |warns: &[&str]| format!("{} to look at: {}", warns.len(), warns.join(", "));
    match (fails.as_slice(), warns.as_slice()) {
        ([], []) => (Tone::Good, format!("healthy: {}", plural(checks.len() as u64, "check"))),
        ([], warns) => (Tone::Warn, format!("healthy, with {}", look(warns))),
        (fails, []) => (Tone::Bad, format!("{} to mend: {}", fails.len(), fails.join(", "))),
        (fails, warns) => {
            (Tone::Bad, format!("{} to mend: {}; {}", fails.len(), fails.join(", "), look(warns)))
        }
    }
}

/// A text in lines of at most `width` characters. A longer word stays whole; the spaces that the text begins with stay.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let words = text.trim_start();
    let mut line = text[..text.len() - words.len()].to_owned();
    let mut lines = Vec::new();
    let (mut used, mut is_empty) = (line.chars().count(), true);
    for word in words.split(' ') {
        let long = word.chars().count();
        if !is_empty && used + 1 + long > width {
            lines.push(std::mem::take(&mut line));
            (used, is_empty) = (0, true);
        }
        if !is_empty {
            line.push(' ');
            used += 1;
        }
        line.push_str(word);
        (used, is_empty) = (used + long, false);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Home;
    use proptest::prelude::*;

    fn told() -> Vec<Check> {
        vec![
            Check::good("programs", "ccd, cc-hook and ccctl 0.1.0 in /usr/bin"),
            Check::fail("config", "line 1\n  |\n1 | x\u{1b}", "correct it"),
            Check::warn(
                "hooks",
                "Claude Code 2.1.329 knows 3 more: DirectoryAdded, PreModelSwitch, PostModelSwitch",
                "`ccctl install` adds them",
            )
            .fixable(),
            Check::note("features", "Remote Control does not work"),
        ]
    }

    #[test]
    fn a_terminal_gets_groups_that_fit_and_a_pipe_gets_lines() {
        let env = Home::new().env();
        let (out, text, _) = Printer::captured(60);
        print(&env, &mut out.drawn(false), &told(), &Repaired::default()).unwrap();
        insta::assert_snapshot!(text.text(), @r"
        programs
        ✓ programs    ccd, cc-hook and ccctl 0.1.0 in /usr/bin

        daemon
        ✗ config      line 1
                        |
                      1 | x\u{1b}
                      → correct it

        hooks
        ! hooks       Claude Code 2.1.329 knows 3 more:
                      DirectoryAdded, PreModelSwitch,
                      PostModelSwitch
                      → `ccctl install` adds them (or `ccctl doctor
                      --fix`)

        client
        • features    Remote Control does not work

        1 to mend: config; 1 to look at: hooks
        ");
        let (mut out, text, _) = Printer::captured(60);
        let repaired = Repaired { done: vec!["started the daemon, pid 7".into()], failed: None };
        let env = Home::new().var("LANG", "C").env();
        print(&env, &mut out, &told()[2..], &repaired).unwrap();
        insta::assert_snapshot!(text.text(), @r"
        - fixed       started the daemon, pid 7
        ! hooks       Claude Code 2.1.329 knows 3 more: DirectoryAdded, PreModelSwitch, PostModelSwitch
                      -> `ccctl install` adds them (or `ccctl doctor --fix`)
        - features    Remote Control does not work
        healthy, with 1 to look at: hooks
        ");
    }

    #[test]
    fn the_verdict_says_what_is_to_be_done() {
        let checks = told();
        assert_eq!(verdict(&checks[..1]).1, "healthy: 1 check");
        assert_eq!(verdict(&checks[..2]).1, "1 to mend: config");
        assert_eq!(verdict(&checks[3..]).1, "healthy: 1 check");
    }

    proptest! {
        #[test]
        fn wrapping_keeps_every_word_and_the_width(text in "[a-z ]{0,120}", width in 30usize..80) {
            let lines = wrapped(&text, width);
            prop_assert!(lines.iter().all(|line| line.chars().count() <= width || !line.trim().contains(' ')));
            let words = |text: &str| text.split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(words(&lines.join(" ")), words(&text));
        }
    }
}
