//! How captured content looks: running text, output of terminals, differences, values, images.
//!
//! Everything is bounded unless the whole is asked for; what was left out is said, with how much it was. Text is styled,
//! never changed: the marks of Markdown stay in it, only not seen.

use super::ansi;
use super::clean::{Clean, View};
use super::diff::{Hunk, Line, Op, counted};
use super::figures::{bytes, plural};
use super::html::{Attr, Html};
use super::image::Found;

/// Characters of running text that are shown.
const PROSE: usize = 60_000;
/// Characters of output that are shown.
const OUTPUT: usize = 12_000;
/// Lines of a difference that are shown.
const DIFF: usize = 400;
/// Members of an object that are shown in rows of their own.
const MEMBERS: usize = 40;

/// How much is shown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bounds {
    /// Everything.
    pub whole: bool,
}

impl Bounds {
    fn most(self, most: usize) -> usize {
        if self.whole { usize::MAX } else { most }
    }
}

/// A text cut in its middle: its beginning, and where it is too long what was left out and its end.
fn cut(text: &str, most: usize) -> (&str, Option<(&str, &str)>) {
    if text.len() <= most {
        return (text, None);
    }
    // At the end of a line, if there is one near.
    let at_line = |at: usize| {
        let at = at_char(text, at);
        let from = at_char(text, at.saturating_sub(most / 10));
        text[from..at].rfind('\n').map_or(at, |found| from + found + 1)
    };
    let head = at_line(most * 3 / 4);
    let tail = at_line(text.len() - most / 4).max(head);
    (&text[..head], Some((&text[head..tail], &text[tail..])))
}

/// The last place before this one where a character begins.
fn at_char(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

fn left_out(w: &mut Html<'_>, text: &str) {
    let lines = text.lines().count() as u64;
    let size = bytes(text.len() as u64);
    let words = if lines > 1 {
        format!("{} ({size}) left out", plural(lines, "line"))
    } else {
        format!("{size} left out")
    };
    w.says("span", "cut", &format!("… {words} …\n"));
}

/// Shows a text in two pieces where it is too long.
fn in_pieces(w: &mut Html<'_>, text: &Clean<'_>, most: usize, show: impl Fn(&mut Html<'_>, &Clean<'_>)) {
    let (head, rest) = cut(text.as_str(), most);
    show(w, &text.part(head));
    if let Some((missing, tail)) = rest {
        left_out(w, missing);
        show(w, &text.part(tail));
    }
}

/// Running text, with the little of Markdown that helps reading.
pub(super) fn prose(w: &mut Html<'_>, text: &Clean<'_>, bounds: Bounds) {
    let trimmed = text.part(text.as_str().trim_matches('\n'));
    w.el("div", &[Attr::Is("class", "prose")], |w| in_pieces(w, &trimmed, bounds.most(PROSE), markdown));
}

fn markdown(w: &mut Html<'_>, text: &Clean<'_>) {
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = split_line(rest);
        if line.trim_start().starts_with("```") {
            let body = after.split_inclusive('\n').take_while(|l| !l.trim_start().starts_with("```"));
            let len: usize = body.map(str::len).sum();
            let (close, behind) = split_line(&after[len..]);
            w.el("span", &[Attr::Is("class", "fence")], |w| {
                w.with("span", "md", &text.part(line));
                w.text(&text.part(&after[..len]));
                w.with("span", "md", &text.part(close));
            });
            rest = behind;
            continue;
        }
        let marks = line.bytes().take_while(|b| *b == b'#').count();
        if (1..=6).contains(&marks) && line[marks..].starts_with(' ') {
            w.el("strong", &[Attr::Is("class", "heading")], |w| {
                w.with("span", "md", &text.part(&line[..=marks]));
                inline(w, text, &line[marks + 1..]);
            });
        } else {
            inline(w, text, line);
        }
        rest = after;
    }
}

fn split_line(text: &str) -> (&str, &str) {
    text.split_at(text.find('\n').map_or(text.len(), |at| at + 1))
}

/// One line, with what is code or bold in it.
fn inline(w: &mut Html<'_>, whole: &Clean<'_>, line: &str) {
    let mut rest = line;
    while let Some(at) = rest.find(['`', '*']) {
        let mark = if rest[at..].starts_with("**") { "**" } else { "`" };
        let inner = rest[at..].strip_prefix(mark).and_then(|inner| Some((inner, inner.find(mark)?)));
        if let Some((inner, len)) = inner.filter(|(inner, len)| *len > 0 && !inner.starts_with(' ')) {
            w.text(&whole.part(&rest[..at]));
            w.el(if mark == "`" { "code" } else { "strong" }, &[], |w| {
                w.says("span", "md", mark);
                w.text(&whole.part(&inner[..len]));
                w.says("span", "md", mark);
            });
            rest = &inner[len + mark.len()..];
        } else {
            let next = at + rest[at..].bytes().take_while(|b| *b == rest.as_bytes()[at]).count();
            w.text(&whole.part(&rest[..next]));
            rest = &rest[next..];
        }
    }
    w.text(&whole.part(rest));
}

/// Output of a program, with its colours.
pub(super) fn terminal(w: &mut Html<'_>, text: &Clean<'_>, class: &'static str, bounds: Bounds) {
    w.pre(&[Attr::Class("term", class), Attr::Is("tabindex", "0")], |w| {
        in_pieces(w, text, bounds.most(OUTPUT), |w, text| {
            ansi::runs(text.as_str(), |run, look| {
                let run = text.part(run);
                nested(w, &mut look.classes(), &run);
            });
        });
    });
}

fn nested(w: &mut Html<'_>, classes: &mut dyn Iterator<Item = &'static str>, run: &Clean<'_>) {
    match classes.next() {
        Some(class) => w.el("span", &[Attr::Is("class", class)], |w| nested(w, classes, run)),
        None => w.text(run),
    }
}

/// A value: an object's members in rows, anything else as JSON, a string as the text that it is.
pub(super) fn value(w: &mut Html<'_>, view: View<'_>, bounds: Bounds) {
    let members = view.members().count();
    if members == 0 || members > MEMBERS {
        return terminal(w, &view.readable(), "", bounds);
    }
    w.el("dl", &[Attr::Is("class", "members")], |w| {
        for (name, member) in view.members() {
            w.with("dt", "", &name.line(80));
            w.el("dd", &[], |w| {
                let text = member.readable();
                if text.as_str().contains('\n') || text.as_str().len() > 200 {
                    terminal(w, &text, "", bounds);
                } else {
                    w.with("code", "", &text);
                }
            });
        }
    });
}

/// Changes of a file.
pub(super) fn diff(w: &mut Html<'_>, path: &Clean<'_>, note: &str, hunks: &[Hunk<'_>], bounds: Bounds) {
    let (added, removed) = counted(hunks);
    w.el("div", &[Attr::Is("class", "diff")], |w| {
        w.el("p", &[Attr::Is("class", "file")], |w| {
            w.with("code", "", path);
            w.says("span", "add", &format!("+{added}"));
            w.says("span", "del", &format!("−{removed}"));
            if !note.is_empty() {
                w.says("span", "faint", note);
            }
        });
        let label = Clean::ours("Changed lines: number before, number after, mark, text");
        let mut room = bounds.most(DIFF);
        w.el(
            "div",
            &[
                Attr::Is("class", "lines"),
                Attr::Is("role", "group"),
                Attr::Is("tabindex", "0"),
                Attr::Words("aria-label", &label),
            ],
            |w| {
                for (n, hunk) in hunks.iter().enumerate() {
                    if n > 0 && room > 0 {
                        w.says("div", "skip", "⋯");
                    }
                    for line in hunk.iter().take(room) {
                        diff_line(w, line);
                    }
                    room = room.saturating_sub(hunk.len());
                }
            },
        );
        let all: usize = hunks.iter().map(Vec::len).sum();
        if all > bounds.most(DIFF) {
            w.says("p", "cut", &format!("… {} left out …", plural((all - DIFF) as u64, "further line")));
        }
    });
}

fn diff_line(w: &mut Html<'_>, line: &Line<'_>) {
    let (class, mark) = match line.op {
        Op::Same => ("", " "),
        Op::Old => ("old", "−"),
        Op::New => ("new", "+"),
    };
    let number = |n: Option<u64>| n.map(|n| n.to_string()).unwrap_or_default();
    w.el("div", &[Attr::Class("l", class)], |w| {
        w.says("span", "n", &number(line.old));
        w.says("span", "n", &number(line.new));
        w.says("span", "m", mark);
        let text = Clean::ours(line.text.as_ref());
        let (from, to) = (line.changed.start, line.changed.end);
        w.el("code", &[], |w| {
            match (text.as_str().get(..from), text.as_str().get(from..to), text.as_str().get(to..)) {
                (Some(before), Some(changed), Some(after)) if !changed.is_empty() => {
                    w.text(&text.part(before));
                    w.with("b", "", &text.part(changed));
                    w.text(&text.part(after));
                }
                _ => w.text(&text),
            }
        });
    });
    w.line();
}

/// Images that were taken out of a value.
pub(super) fn images(w: &mut Html<'_>, found: &[Found]) {
    for image in found {
        match image {
            Found::Image(image) => {
                let kind = image.media_type().trim_start_matches("image/").to_uppercase();
                let alt = Clean::ours(format!("{kind} image, {}", bytes(image.bytes())));
                w.el("figure", &[], |w| {
                    w.void(
                        "img",
                        &[Attr::Image(image), Attr::Words("alt", &alt), Attr::Is("loading", "lazy")],
                    );
                    w.el("figcaption", &[], |w| w.text(&alt));
                });
            }
            Found::Large(size) => w.says("p", "cut", &format!("… an image of {} left out …", bytes(*size))),
            Found::Other => {
                w.says("p", "cut", "… an image left out: only PNG, JPEG, GIF and WebP are shown …");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a reader of the file would copy out of it.
    fn copied(make: impl FnOnce(&mut Html<'_>)) -> String {
        let mut all = String::new();
        let mut sink = |piece: String| {
            all.push_str(&piece);
            true
        };
        let mut w = Html::new(&mut sink);
        make(&mut w);
        w.flush();
        let strings = html5gum::Tokenizer::new(&all).flatten().filter_map(|token| match token {
            html5gum::Token::String(s) => Some(String::from_utf8(s.to_vec()).unwrap()),
            _ => None,
        });
        strings.collect()
    }

    #[test]
    fn what_is_left_out_is_said() {
        let text = "12345678\n".repeat(5000);
        let seen = copied(|w| terminal(w, &Clean::ours(text.as_str()), "", Bounds::default()));
        assert!(seen.len() < 13_000 && seen.contains("lines (32 KiB) left out"), "{}", seen.len());
        let seen = copied(|w| terminal(w, &Clean::ours(text.as_str()), "", Bounds { whole: true }));
        assert_eq!(seen.trim_start_matches('\n'), text);
    }

    proptest! {
        #[test]
        fn text_is_styled_and_not_changed(text in "(\\PC|[`*# \n]|```|\\*\\*){0,80}") {
            let clean = Clean::ours(text.as_str());
            let seen = copied(|w| prose(w, &clean, Bounds::default()));
            prop_assert_eq!(seen, crate::export::html::shown(text.trim_matches('\n')));
        }

        #[test]
        fn a_cut_is_at_whole_characters(text in "[aä😀\n]{0,200}", most in 4usize..100) {
            let (head, rest) = cut(&text, most);
            let (missing, tail) = rest.unwrap_or_default();
            prop_assert_eq!(format!("{head}{missing}{tail}"), text);
        }
    }
}
