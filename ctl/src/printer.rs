//! The one place that writes to stdout and stderr.
//!
//! Results go to stdout; everything else (notes, progress, errors, hints) to stderr, so that `--json` and
//! exact bytes are never mixed with talk.
//!
//! Invariants:
//! - captured text reaches a terminal only through [`visible`] or [`visible_block`]: no captured string
//!   becomes a terminal escape;
//! - colour only on a terminal, and not with `NO_COLOR`;
//! - a reader that has gone (`| head`) ends the command quietly.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, BufRead, Write};
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressDrawTarget};
use owo_colors::{OwoColorize, Style};
use serde::Serialize;

use crate::env::Env;
use crate::error::{CommandError, Kind, Result};

/// Width of a table where neither the terminal nor `COLUMNS` tells one.
const DEFAULT_WIDTH: usize = 100;

/// What a piece of text means; decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// No colour.
    Plain,
    /// Headings, and what matters most.
    Strong,
    /// What matters least.
    Faint,
    /// It went well.
    Good,
    /// It went wrong.
    Bad,
    /// Look at this.
    Warn,
}

/// Writes results and talk.
#[allow(clippy::struct_excessive_bools)] // one per fact of the two ends
pub struct Printer {
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    width: usize,
    colour: bool,
    drawing: bool,
    err_colour: bool,
    err_is_terminal: bool,
    /// Somebody to ask.
    input: Option<Box<dyn BufRead>>,
    warned: BTreeSet<String>,
}

impl Printer {
    /// The process's own stdout and stderr.
    #[must_use]
    pub fn stdio(env: &Env) -> Self {
        use std::io::IsTerminal;
        let wanted = env.var("NO_COLOR").is_none() && env.text("TERM").as_deref() != Some("dumb");
        let terminal = || terminal_size::terminal_size().map(|(w, _)| usize::from(w.0));
        let columns = || env.text("COLUMNS").and_then(|c| c.parse().ok());
        let (out, err) = (io::stdout(), io::stderr());
        let err_is_terminal = err.is_terminal();
        Printer {
            width: columns().or_else(terminal).filter(|w| *w > 0).unwrap_or(DEFAULT_WIDTH).clamp(40, 400),
            colour: wanted && out.is_terminal(),
            drawing: out.is_terminal(),
            err_colour: wanted && err_is_terminal,
            err_is_terminal,
            input: (err_is_terminal && io::stdin().is_terminal())
                .then(|| Box::new(io::BufReader::new(io::stdin())) as Box<dyn BufRead>),
            warned: BTreeSet::new(),
            out: Box::new(io::BufWriter::new(out)),
            err: Box::new(err),
        }
    }

    /// Writes into memory: what tests read.
    #[must_use]
    pub fn captured(width: usize) -> (Self, Captured, Captured) {
        let (out, err) = (Captured::default(), Captured::default());
        let printer = Printer {
            out: Box::new(out.clone()),
            err: Box::new(err.clone()),
            width,
            colour: false,
            drawing: false,
            err_colour: false,
            err_is_terminal: false,
            input: None,
            warned: BTreeSet::new(),
        };
        (printer, out, err)
    }

    /// With somebody who types this.
    #[must_use]
    pub fn answering(mut self, typed: &'static str) -> Self {
        self.input = Some(Box::new(typed.as_bytes()));
        self
    }

    /// Asks a question that is answered with yes or no; `None` where there is nobody to ask.
    pub fn ask(&mut self, question: &str) -> Option<bool> {
        self.input.as_ref()?;
        let _ = self.flush();
        let _ = write!(self.err, "{} [y/N] ", visible(question));
        let _ = self.err.flush();
        let mut answer = String::new();
        self.input.as_mut()?.read_line(&mut answer).ok()?;
        Some(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }

    /// A bar of progress on stderr, which shows only where somebody watches.
    #[must_use]
    pub fn bar(&self) -> ProgressBar {
        let target =
            if self.err_is_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        ProgressBar::with_draw_target(Some(0), target)
    }

    /// Columns that a line may take.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Whether results are coloured.
    #[must_use]
    pub fn colour(&self) -> bool {
        self.colour
    }

    /// Whether somebody watches results, who may be shown bars.
    #[must_use]
    pub fn is_drawn(&self) -> bool {
        self.drawing
    }

    /// As if somebody watched, with or without colour: for tests.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn drawn(mut self, colour: bool) -> Self {
        self.drawing = true;
        self.colour = colour;
        self
    }

    /// Whether somebody watches stderr.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.err_is_terminal
    }

    /// Text in the colour of its meaning.
    #[must_use]
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        paint(self.colour, tone, text)
    }

    /// One line of a result.
    pub fn line(&mut self, text: impl AsRef<str>) -> Result<()> {
        self.bytes(text.as_ref().as_bytes())?;
        self.bytes(b"\n")
    }

    /// Exact bytes of a result.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(|e| output_error(&e))
    }

    /// An object of ours as one line of JSON, `schema_version` first.
    pub fn json<T: Serialize>(&mut self, body: &T) -> Result<()> {
        let reply = ccd_proto::api::Reply::new(body);
        let text = serde_json::to_string(&reply).map_err(|e| CommandError::failed(e.to_string()))?;
        self.line(text)
    }

    /// The daemon's object, as it came, with a newline at its end.
    pub fn object(&mut self, body: &[u8]) -> Result<()> {
        self.bytes(body.trim_ascii_end())?;
        self.bytes(b"\n")
    }

    /// Hands what was written to the reader.
    pub fn flush(&mut self) -> Result<()> {
        self.out.flush().map_err(|e| output_error(&e))
    }

    /// A remark beside the result, on stderr.
    pub fn note(&mut self, text: impl AsRef<str>) {
        let _ = self.flush();
        // Nobody can be told that stderr is gone.
        let _ = writeln!(self.err, "{}", text.as_ref());
    }

    /// A remark that something deserves attention, on stderr; once, however often it is found.
    pub fn warn(&mut self, text: impl AsRef<str>) {
        if !self.warned.insert(text.as_ref().to_owned()) {
            return;
        }
        let head = paint(self.err_colour, Tone::Warn, "warning:");
        self.note(format!("{head} {}", visible(text.as_ref())));
    }

    /// A line of progress that the next one replaces; only where somebody watches.
    pub fn progress(&mut self, text: &str) {
        if self.err_is_terminal {
            let _ = write!(self.err, "\r\x1b[K{text}");
            let _ = self.err.flush();
        }
    }

    /// Why the command failed, and what to do.
    pub fn error(&mut self, error: &CommandError) {
        if matches!(error.kind, Kind::OutputClosed | Kind::Verdict(_)) {
            return;
        }
        let head = paint(self.err_colour, Tone::Bad, "error:");
        self.note(format!("{head} {}", visible_block(&error.message)));
        for hint in &error.hints {
            let head = paint(self.err_colour, Tone::Strong, "hint:");
            self.note(format!("{head} {}", visible_block(hint)));
        }
    }
}

pub(crate) fn paint(colour: bool, tone: Tone, text: &str) -> String {
    let style = match tone {
        Tone::Plain => return text.to_owned(),
        _ if !colour || text.is_empty() => return text.to_owned(),
        Tone::Strong => Style::new().bold(),
        Tone::Faint => Style::new().dimmed(),
        Tone::Good => Style::new().green(),
        Tone::Bad => Style::new().red(),
        Tone::Warn => Style::new().yellow(),
    };
    text.style(style).to_string()
}

fn output_error(error: &io::Error) -> CommandError {
    match error.kind() {
        io::ErrorKind::BrokenPipe => CommandError::new(Kind::OutputClosed, "the reader has gone"),
        _ => CommandError::failed(format!("cannot write the result: {error}")),
    }
}

/// Captured text on one line: every character that a terminal would act on, or that hides or reorders text,
/// is shown by its number.
#[must_use]
pub fn visible(text: &str) -> String {
    escape(text, |c, out| match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        _ => _ = write!(out, "\\u{{{:x}}}", u32::from(c)),
    })
}

/// Captured text as a block of lines: as [`visible`], with newlines kept and tabs as spaces.
#[must_use]
pub fn visible_block(text: &str) -> String {
    escape(&text.replace("\r\n", "\n"), |c, out| match c {
        '\n' => out.push('\n'),
        '\t' => out.push_str("    "),
        _ => _ = write!(out, "\\u{{{:x}}}", u32::from(c)),
    })
}

/// A JSON text in which what a terminal would act on, or that hides or reorders text, is written as an escape: the same
/// JSON, and visible.
#[must_use]
pub fn json_safe(json: &str) -> String {
    if json.bytes().all(|byte| (b' '..0x7f).contains(&byte)) {
        return json.to_owned();
    }
    escape(json, |c, out| {
        let mut units = [0; 2];
        for unit in c.encode_utf16(&mut units) {
            _ = write!(out, "\\u{unit:04x}");
        }
    })
}

fn escape(text: &str, mut show: impl FnMut(char, &mut String)) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) { show(c, &mut out) } else { out.push(c) }
    }
    out
}

/// C0, C1, line separators, bidirectional controls, zero-width and other invisible characters.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Memory that a [`Printer`] writes to.
#[derive(Clone, Debug, Default)]
pub struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    /// What was written so far.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    /// The bytes written so far.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_terminal_would_act_on_is_shown() {
        assert_eq!(visible("a\x1b[31mb"), "a\\u{1b}[31mb");
        assert_eq!(visible("x\ty\nz"), "x\\ty\\nz");
        assert_eq!(visible("\u{202e}evil\u{200b}"), "\\u{202e}evil\\u{200b}");
        assert_eq!(visible("naïve – 日本語 🎉"), "naïve – 日本語 🎉");
        assert_eq!(visible_block("a\r\n\tb\rc\u{9b}"), "a\n    b\\u{d}c\\u{9b}");
    }

    proptest! {
        #[test]
        fn no_control_character_gets_through(text in "(\\PC|\\p{C}|\\p{Cf}|[\u{0}-\u{9f}]){0,80}") {
            prop_assert!(!visible(&text).chars().any(is_hidden));
            prop_assert!(!visible_block(&text).chars().any(|c| c != '\n' && is_hidden(c)));
        }

        #[test]
        fn harmless_text_is_left_alone(text in "[a-zA-Z0-9 .,:;/äöü日本語-]{0,80}") {
            prop_assert_eq!(visible(&text), text.clone());
            prop_assert_eq!(visible_block(&text), text);
        }
    }

    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_gone_is_no_failure() {
        let (mut printer, _, err) = Printer::captured(80);
        printer.out = Box::new(Gone);
        let error = printer.line("x").unwrap_err();
        assert_eq!(error.exit_code(), 0);
        printer.error(&error);
        assert_eq!(err.text(), "");
    }
}
