//! Exports: what was recorded, in forms that go elsewhere. Reads like any client, through `query`; changes nothing.
//!
//! A session as one HTML file ([`Page`]): self-contained and inert. It has no script, asks nobody for anything (its own
//! policy forbids it to), and every captured text in it went through [`clean`] (redacted, before anything is cut) and
//! [`html`] (escaped, by a writer that has no way not to). It is written in pieces as the contents are read, so that
//! memory does not grow with its length.
//!
//! Everything else ([`bulk`]): JSON lines, CSV, HAR, of one session or of all, which go on after an interruption.

mod ansi;
mod blocks;
pub mod bulk;
pub mod clean;
mod csv;
mod diff;
mod figures;
mod findings;
mod har;
pub mod html;
pub mod image;
mod jsonl;
pub mod otlp;
mod otlp_file;
mod overview;
mod plot;
mod tool;
mod turn;
mod wire;

use std::sync::{Arc, LazyLock};

use ccd_proto::api::{HTML_END, Session};
use http::StatusCode;

use self::blocks::Bounds;
use self::clean::{Clean, Cleaner, Privacy};
use self::findings::Findings;
use self::html::{Attr, Html};
use self::overview::Taken;
use self::turn::Steps;
use crate::config;
use crate::project::view::SessionView;
use crate::query::filter::Filter;
use crate::query::tree::tree;
use crate::query::{Ask, QueryError, detections, sessions};
use crate::vault::reveal::Revealer;

/// Bytes that are held back until it is known what was taken out, so that the head of the file can say it.
const HELD: usize = 8 << 20;

/// The file's style.
const STYLE: &str = include_str!("style.css");

/// What the file may do: look as its own style says, and show the images that stand in it.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = ring::digest::digest(&ring::digest::SHA256, STYLE.as_bytes());
    format!("default-src 'none'; style-src 'sha256-{}'; img-src data:", base64(hash.as_ref()))
});

/// How a session is told.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Everything in full length.
    pub whole: bool,
    /// As it is on record, with nothing taken out.
    pub reveal: bool,
    /// Then, what was taken out at capture, where there is a vault that has it.
    pub revealer: Option<Arc<Revealer>>,
    /// Else, what is taken out now.
    pub privacy: Privacy,
}

/// A session, ready to be written as one HTML file.
pub struct Page {
    ask: Ask,
    session: Session,
    view: Arc<SessionView>,
    findings: Findings,
    cleaner: Cleaner,
    bounds: Bounds,
}

impl Page {
    /// Finds the session whose id is, or starts with, `prefix`. The contents are read when they are written.
    pub fn new(ask: Ask, prefix: &str, options: &Options) -> Result<Self, QueryError> {
        let id = sessions::resolve(&ask, prefix)?;
        let of = || Filter { session: Some(id.clone()), limit: 0, ..Filter::default() };
        let session = sessions::sessions(&ask, &of())?.sessions.pop();
        let session = session.ok_or_else(|| QueryError::not_found(format!("no session {id:?}")))?;
        let view = tree(&ask, &id)?;
        let wanted = detections::Wanted { filter: of(), ..detections::Wanted::default() };
        // Only what was done is told, not how it is set.
        let mut done = detections::heal(&ask, &config::Heal::default(), &wanted)?.interventions;
        done.reverse();
        let findings = Findings::new(detections::of_session(&ask, &id)?, done, &view);
        let internal =
            |e: regex::Error| QueryError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", e.to_string());
        let cleaner = if options.reveal {
            Cleaner::revealing_by(options.revealer.clone())
        } else {
            Cleaner::standard(&options.privacy, session.cwd.as_deref()).map_err(internal)?
        };
        Ok(Page { ask, session, view, findings, cleaner, bounds: Bounds { whole: options.whole } })
    }

    /// A name for the file, of checked characters: `ccd-SESSIONHEAD-DATE.html`.
    #[must_use]
    pub fn file_name(&self) -> String {
        let id =
            self.session.session_id.chars().filter(char::is_ascii_alphanumeric).take(8).collect::<String>();
        format!(
            "ccd-{}-{}.html",
            if id.is_empty() { "session" } else { &id },
            figures::date(&self.session.started_at)
        )
    }

    /// Writes the file, piece by piece, until `sink` says that nobody wants it.
    pub fn write(&self, sink: &mut dyn FnMut(String) -> bool) {
        let mut waiting = Some(String::new());
        let mut collect = |piece: String| {
            let Some(before) = &mut waiting else { return sink(piece) };
            before.push_str(&piece);
            if before.len() < HELD {
                return true;
            }
            let head = self.head(&self.taken(false));
            let before = waiting.take().unwrap_or_default();
            sink(head) && sink(before)
        };
        let mut w = Html::new(&mut collect);
        self.body(&mut w);
        w.flush();
        if let Some(body) = waiting {
            let _ = sink(self.head(&self.taken(true))) && sink(body);
        }
    }

    fn taken(&self, all_is_known: bool) -> Taken {
        match all_is_known {
            _ if self.cleaner.reveals() => Taken::Nothing,
            true => Taken::Counted(self.cleaner.found(), self.cleaner.paths()),
            false => Taken::AtTheEnd,
        }
    }

    /// Everything until the end of the page's head.
    fn head(&self, taken: &Taken) -> String {
        let mut all = String::new();
        let mut sink = |piece: String| {
            all.push_str(&piece);
            true
        };
        let mut w = Html::new(&mut sink);
        w.doctype();
        w.open("html", &[Attr::Is("lang", "en")]);
        w.section("head", &[], |w| {
            w.void("meta", &[Attr::Is("charset", "utf-8")]);
            let policy = Clean::ours(POLICY.as_str());
            w.void(
                "meta",
                &[Attr::Is("http-equiv", "Content-Security-Policy"), Attr::Words("content", &policy)],
            );
            w.void(
                "meta",
                &[Attr::Is("name", "viewport"), Attr::Is("content", "width=device-width, initial-scale=1")],
            );
            w.void("meta", &[Attr::Is("name", "referrer"), Attr::Is("content", "no-referrer")]);
            w.void("meta", &[Attr::Is("name", "color-scheme"), Attr::Is("content", "light dark")]);
            let name = overview::name(&self.session, &self.cleaner);
            let when = Clean::ours(figures::date(&self.session.started_at));
            w.el("title", &[], |w| w.text(&Clean::joined(&[name, when], " · ")));
            w.style(STYLE);
        });
        w.open("body", &[]);
        overview::head(&mut w, &self.session, &self.cleaner, taken, self.ask.now_ns);
        w.flush();
        all
    }

    fn body(&self, w: &mut Html<'_>) {
        let cleaner = &self.cleaner;
        let has_findings = self.findings.count() != (0, 0);
        overview::contents(w, &self.view.turns, has_findings, cleaner);
        w.section("main", &[], |w| {
            overview::overview(w, &self.session, &self.view, cleaner);
            self.findings.list(w, cleaner);
            w.section("section", &[Attr::Is("class", "turns")], |w| {
                w.says("h2", "", "Turns");
                let mut steps = Steps::new(&self.ask, &self.view, cleaner, &self.findings, self.bounds);
                for turn in &self.view.turns {
                    if !w.is_read() {
                        return;
                    }
                    steps.turn(w, turn);
                }
                steps.rest(w);
            });
        });
        overview::foot(w, cleaner);
        w.say("\n");
        w.close_all(HTML_END);
    }
}

/// Base64, with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let of = |i: usize| chunk.get(i).copied().map_or(0, u32::from);
        let bits = of(0) << 16 | of(1) << 8 | of(2);
        for i in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * i) & 63) as usize];
            out.push(if i <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_everybody() {
        for (bytes, want) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(bytes.as_bytes()), want);
        }
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }

    #[test]
    fn the_style_asks_nobody_for_anything() {
        for word in ["url(", "@import", "@font-face", "<", "http", "expression", "\\"] {
            assert!(!STYLE.contains(word), "{word}");
        }
    }
}
