//! `ccctl search`: which of what was captured has some words in it, session by session, as it is found.
//!
//! A snippet is captured text, cut to the terminal with its first word in sight.

use ccd_proto::api::{Hit, Search, SearchEnd, SearchLine};
use unicode_width::UnicodeWidthStr;

use crate::args::{SearchArgs, name_of};
use crate::client::{Client, decode, told};
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::human::{plural, short_id};
use crate::printer::{Printer, Tone, visible};
use crate::query::Target;
use crate::sessions::model;
use crate::table::captured;
use crate::time;
use crate::turns::mark;

/// The longest line taken: a snippet has a few hundred characters.
const MAX_LINE: usize = 1 << 20;
/// Columns that a snippet needs to stand beside what it was found in.
const LEAST_SNIPPET: usize = 30;

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &SearchArgs) -> Result<()> {
    let target = target(env, args)?;
    let client = Client::new(env)?;
    let mut found = Search { query: args.words.clone(), ..Search::default() };
    let mut session: Option<String> = None;
    let mut count = 0u64;
    let end = each_line(&client, out, target.as_ref(), |out, line| {
        if let Some(hit) = line.hit {
            count += 1;
            if args.query.json {
                found.hits.push(hit);
                return Ok(());
            }
            out.progress("");
            if session.as_ref() != Some(&hit.session_id) {
                if session.is_some() {
                    out.line("")?;
                }
                out.line(heading(out, &hit))?;
                session = Some(hit.session_id.clone());
            }
            for line in lines(env, out, &hit) {
                out.line(line)?;
            }
            // As it is found.
            return out.flush();
        }
        if let Some(scanned) = line.scanned_sessions {
            out.progress(&format!("{} searched", plural(scanned, "session")));
        }
        Ok(())
    })?;
    if args.query.json {
        found.end = end;
        return out.json(&found);
    }
    out.progress("");
    if count == 0 && end.complete && end.cursor.is_none() {
        out.line(format!("nothing found in {}", plural(end.scanned_sessions, "session")))?;
        if !args.raw {
            out.note("--raw looks through whole requests and responses, too: system prompts, tools, payloads of hooks");
        }
    }
    if let Some(cursor) = &end.cursor {
        let cursor = visible(cursor);
        out.note(if end.complete {
            format!("there is more: --limit shows it, or go on with --cursor {cursor}")
        } else {
            format!(
                "the time was up after {}: go on with --cursor {cursor}, or allow more with --timeout",
                plural(end.scanned_sessions, "session")
            )
        });
    }
    Ok(())
}

fn target(env: &Env, args: &SearchArgs) -> Result<Target> {
    Target::new("/v0/search/lines")
        .with("q", Some(quoted(&args.words)))
        .flag("regex", args.regex)
        .flag("case", args.case)
        .flag("raw", args.raw)
        .with("kind", args.kind.as_ref().map(name_of))
        .with("tool", args.tool.as_ref())
        .with("status", args.status.as_ref().map(name_of))
        .with("cursor", args.cursor.as_ref())
        .with("timeout_s", Some(args.timeout.to_string()))
        .query(env, &args.query, &env.tz)
}

/// Words as the daemon reads them: each in quotes, so that it stays one.
fn quoted(words: &[String]) -> String {
    let quoted = words.iter().map(|w| format!("\"{}\"", w.replace('\\', "\\\\").replace('"', "\\\"")));
    quoted.collect::<Vec<_>>().join(" ")
}

/// Hands over the lines of a search until its end.
fn each_line(
    client: &Client<'_>,
    out: &mut Printer,
    target: &str,
    mut take: impl FnMut(&mut Printer, SearchLine) -> Result<()>,
) -> Result<SearchEnd> {
    let (mut rest, mut ended): (Vec<u8>, Option<SearchEnd>) = (Vec::new(), None);
    client.stream(out, target, |out, piece| {
        rest.extend_from_slice(piece);
        let mut begin = 0;
        while let Some(len) = rest[begin..].iter().position(|byte| *byte == b'\n') {
            let line: SearchLine = decode(&rest[begin..begin + len])?;
            begin += len + 1;
            if let Some(error) = line.error {
                return Err(told(error));
            }
            match line.end {
                Some(end) => ended = Some(end),
                None => take(out, line)?,
            }
        }
        rest.drain(..begin);
        if rest.len() > MAX_LINE {
            return Err(CommandError::failed("the daemon sent a line without end"));
        }
        Ok(())
    })?;
    ended.ok_or_else(|| {
        CommandError::failed("the daemon ended before the search did")
            .hint("`ccctl status` shows how it is; then search again")
    })
}

fn heading(out: &Printer, hit: &Hit) -> String {
    if hit.session_id.is_empty() {
        return out.paint(Tone::Strong, "no session");
    }
    let project = hit.project.as_deref().map(|name| format!(" · {}", captured(name))).unwrap_or_default();
    out.paint(Tone::Strong, &format!("session {}{project}", captured(short_id(&hit.session_id))))
}

/// A hit: what it is, and the words with what is around them, beside it or below.
fn lines(env: &Env, out: &Printer, hit: &Hit) -> Vec<String> {
    let id = if hit.span_id.is_empty() { hit.exchange_id.as_deref().unwrap_or("–") } else { &hit.span_id };
    let (id, at) = (captured(short_id(id)), time::short(&hit.at, env.now, &env.tz));
    let (sign, tone) = if hit.status.is_empty() { ("·", Tone::Faint) } else { mark(&hit.status) };
    let what = match hit.kind.as_str() {
        "llm" => format!("{} {}", model(Some(&hit.name)), hit.field),
        "agent" if hit.name == "main" => hit.field.clone(),
        _ => format!("{} {}", hit.name, hit.field),
    };
    let what = captured(&what);
    let taken = 2 + id.width() + 2 + at.width() + 2 + 2 + what.width() + 2;
    let head = format!("  {}  {at}  {} {what}", out.paint(Tone::Faint, &id), out.paint(tone, sign));
    let room = out.width().saturating_sub(taken);
    if room >= LEAST_SNIPPET {
        return vec![format!("{head}  {}", marked(out, hit, room))];
    }
    vec![head, format!("      {}", marked(out, hit, out.width().saturating_sub(6)))]
}

/// The snippet on one line of at most `room` columns, its words marked.
fn marked(out: &Printer, hit: &Hit, room: usize) -> String {
    let mut text = String::new();
    for (piece, is_word) in fitted(hit, room) {
        text.push_str(&if is_word { out.paint(Tone::Warn, &piece) } else { piece });
    }
    text
}

/// The snippet in pieces, each a word that was looked for or what stands between: blanks as one blank, hidden characters
/// visible, and cut at both ends to `room` columns, so that the first word is in sight.
fn fitted(hit: &Hit, room: usize) -> Vec<(String, bool)> {
    let is_word =
        |at: usize| hit.ranges.iter().any(|(from, to)| (*from as usize..*to as usize).contains(&at));
    let mut cells: Vec<(String, usize, bool)> = Vec::new();
    for (at, c) in hit.snippet.chars().enumerate() {
        let word = is_word(at);
        let shown = if c.is_whitespace() { " ".to_owned() } else { visible(c.encode_utf8(&mut [0; 4])) };
        if shown == " " && cells.last().is_none_or(|(last, _, before)| last == " " && *before == word) {
            continue;
        }
        let width = shown.width();
        cells.push((shown, width, word));
    }
    while cells.last().is_some_and(|(last, ..)| last == " ") {
        cells.pop();
    }
    let total: usize = cells.iter().map(|(_, width, _)| width).sum();
    if total > room {
        // A third of the room for what stands before the first word.
        let first = cells.iter().position(|(_, _, word)| *word).unwrap_or(0);
        let mut before = 0;
        let from = cells[..first].iter().rposition(|(_, width, _)| {
            before += width;
            before > room / 3
        });
        if let Some(from) = from {
            cells.drain(..=from);
            cells.insert(0, ("…".into(), 1, false));
        }
        let mut used = 0;
        let end = cells.iter().position(|(_, width, _)| {
            used += width;
            used > room.saturating_sub(1)
        });
        let rest: usize = end.map_or(0, |end| cells[end..].iter().map(|(_, width, _)| width).sum());
        if let Some(end) = end.filter(|_| used > room || rest > 1) {
            cells.truncate(end);
            cells.push(("…".into(), 1, false));
        }
    }
    let mut pieces: Vec<(String, bool)> = Vec::new();
    for (shown, _, word) in cells {
        match pieces.last_mut() {
            Some((piece, before)) if *before == word => piece.push_str(&shown),
            _ => pieces.push((shown, word)),
        }
    }
    pieces
}

#[cfg(test)]
mod tests;
