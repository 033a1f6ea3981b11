//! Writes HTML so that no captured text can become markup.
//!
//! Names of elements and attributes are literals of this program; values are literals, numbers, [`Anchor`]s made of checked
//! characters, checked images, or escaped text. There is no way to write an event attribute, a `style`, an address that
//! leads out of the file, or anything unescaped but [`Html::style`], which takes a literal.
//!
//! Invariants:
//! - whatever the text, parsing the output gives back that text as [`shown`] words it, and no element that was not made here;
//! - characters that act instead of being seen are written out, as everywhere in the product;
//! - once nobody reads, everything that is still written goes nowhere, and [`Html::is_read`] says so.

use std::fmt::Write as _;

use super::clean::Clean;
use super::image::Image;

/// Bytes gathered before they are handed on.
const PIECE: usize = 64 << 10;

/// A place in the file that links of the file lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor(String);

impl Anchor {
    /// The anchor of a thing: its kind, and of its id the letters and digits.
    #[must_use]
    pub fn new(kind: &'static str, id: &str) -> Self {
        let id = id.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).take(40);
        Anchor(format!("{kind}-{}", id.collect::<String>()))
    }
}

/// An attribute.
#[derive(Clone, Copy, Debug)]
pub enum Attr<'a> {
    /// A literal.
    Is(&'static str, &'static str),
    /// One that is there.
    Has(&'static str),
    /// A further class, beside one that [`Attr::Is`] gives: `class="first second"`.
    Class(&'static str, &'static str),
    /// `id`.
    Id(&'a Anchor),
    /// `href`: to a place in the same file.
    To(&'a Anchor),
    /// `src`: an image that stands in the file.
    Image(&'a Image),
    /// A whole number.
    Number(&'static str, u64),
    /// The corners of a line, in tenths at most.
    Points(&'a [(f64, f64)]),
    /// Text: `title`, `aria-label`, `alt`, `datetime`.
    Words(&'static str, &'a Clean<'a>),
}

/// The writer.
pub struct Html<'s> {
    out: String,
    sink: &'s mut dyn FnMut(String) -> bool,
    is_read: bool,
}

impl<'s> Html<'s> {
    /// A writer that hands what it wrote to `sink`, which says whether somebody still wants it.
    pub fn new(sink: &'s mut dyn FnMut(String) -> bool) -> Self {
        Html { out: String::with_capacity(PIECE + (4 << 10)), sink, is_read: true }
    }

    /// Whether somebody reads what is written.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.is_read
    }

    /// Hands over what was gathered.
    pub fn flush(&mut self) {
        if self.is_read && !self.out.is_empty() {
            self.is_read = (self.sink)(std::mem::take(&mut self.out));
        }
        self.out.clear();
    }

    fn gathered(&mut self) {
        if self.out.len() >= PIECE {
            self.flush();
        }
    }

    /// An element and what is in it.
    pub fn el(&mut self, name: &'static str, attrs: &[Attr<'_>], content: impl FnOnce(&mut Self)) {
        self.begin(name, attrs);
        content(self);
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
        self.gathered();
    }

    /// Opens the frame of the file: `html`, `body`, what is closed after other things were written.
    pub fn open(&mut self, name: &'static str, attrs: &[Attr<'_>]) {
        self.begin(name, attrs);
    }

    /// Closes what [`Html::open`] opened: the literal end of the file.
    pub fn close_all(&mut self, end: &'static str) {
        self.out.push_str(end);
    }

    /// An element that has nothing in it and no end: `meta`, `img`.
    pub fn void(&mut self, name: &'static str, attrs: &[Attr<'_>]) {
        self.begin(name, attrs);
    }

    /// As [`Html::el`], with what is in it on lines of its own.
    pub fn section(&mut self, name: &'static str, attrs: &[Attr<'_>], content: impl FnOnce(&mut Self)) {
        self.line();
        self.el(name, attrs, content);
        self.line();
    }

    /// An element with captured text in it.
    pub fn with(&mut self, name: &'static str, class: &'static str, text: &Clean<'_>) {
        self.el(name, &[Attr::Is("class", class)], |w| w.text(text));
    }

    /// An element with words or figures of ours in it.
    pub fn says(&mut self, name: &'static str, class: &'static str, words: &str) {
        self.el(name, &[Attr::Is("class", class)], |w| w.say(words));
    }

    /// A line feed between elements, for whoever reads the source.
    pub fn line(&mut self) {
        self.out.push('\n');
    }

    /// Text that keeps its lines.
    pub fn pre(&mut self, attrs: &[Attr<'_>], content: impl FnOnce(&mut Self)) {
        self.el("pre", attrs, |w| {
            // A parser drops the first line feed of a `pre`: this one, not one of the text.
            w.out.push('\n');
            content(w);
        });
    }

    /// Captured text.
    pub fn text(&mut self, text: &Clean<'_>) {
        self.escaped(text.as_str());
    }

    /// Words and figures of ours.
    pub fn say(&mut self, words: &str) {
        self.escaped(words);
    }

    /// The file's style. `css` is a literal of ours without `<`.
    pub fn style(&mut self, css: &'static str) {
        debug_assert!(!css.contains('<'), "it would end the element");
        self.el("style", &[], |w| w.out.push_str(css));
    }

    /// `<!doctype html>`.
    pub fn doctype(&mut self) {
        self.out.push_str("<!doctype html>\n");
    }

    fn begin(&mut self, name: &'static str, attrs: &[Attr<'_>]) {
        self.out.push('<');
        self.out.push_str(name);
        for attr in attrs {
            self.attr(attr);
        }
        self.out.push('>');
    }

    fn attr(&mut self, attr: &Attr<'_>) {
        let out = &mut self.out;
        match attr {
            Attr::Is(_, "") => {}
            Attr::Is(name, value) => _ = write!(out, " {name}=\"{value}\""),
            Attr::Has(name) => _ = write!(out, " {name}"),
            Attr::Class(first, second) => _ = write!(out, " class=\"{first} {second}\""),
            Attr::Id(Anchor(id)) => _ = write!(out, " id=\"{id}\""),
            Attr::To(Anchor(id)) => _ = write!(out, " href=\"#{id}\""),
            Attr::Image(image) => {
                _ = write!(out, " src=\"data:{};base64,{}\"", image.media_type(), image.base64());
            }
            Attr::Number(name, n) => _ = write!(out, " {name}=\"{n}\""),
            Attr::Points(points) => {
                out.push_str(" points=\"");
                points.iter().for_each(|(x, y)| _ = write!(out, "{},{} ", tenths(*x), tenths(*y)));
                out.push('"');
            }
            Attr::Words(name, text) => {
                _ = write!(out, " {name}=\"");
                escape(text.as_str(), out);
                out.push('"');
            }
        }
    }

    fn escaped(&mut self, text: &str) {
        if !self.is_read {
            return;
        }
        escape(text, &mut self.out);
        self.gathered();
    }
}

fn tenths(at: f64) -> f64 {
    (at * 10.0).round() / 10.0
}

/// The text as it is shown: what would act is written out, as `\u{1b}`; lines end with a line feed.
#[must_use]
pub fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    each(text, |c, written_out| if written_out { written(c, &mut out) } else { out.push(c) });
    out
}

fn escape(text: &str, out: &mut String) {
    each(text, |c, written_out| match c {
        _ if written_out => written(c, out),
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '"' => out.push_str("&quot;"),
        '\'' => out.push_str("&#39;"),
        c => out.push(c),
    });
}

fn written(c: char, out: &mut String) {
    _ = write!(out, "\\u{{{:x}}}", u32::from(c));
}

/// Each character, and whether it is to be written out.
fn each(text: &str, mut take: impl FnMut(char, bool)) {
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' if chars.peek() == Some(&'\n') => {}
            '\n' | '\t' => take(c, false),
            c => take(c, is_hidden(c)),
        }
    }
}

/// C0, C1, line separators, bidirectional controls, zero-width and other invisible characters, and what is no character.
pub(super) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fdd0}'..='\u{fdef}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
        || u32::from(c) & 0xfffe == 0xfffe
}

#[cfg(test)]
#[path = "html_tests.rs"]
mod tests;
