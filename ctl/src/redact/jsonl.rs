//! `redact --jsonl`: one line of JSON in, the same line out with its `text` redacted.
//!
//! Every byte outside `text` stays, and the whole line where nothing is found. A line depends on itself alone: the same
//! line gives the same, whatever stands about it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead};
use std::ops::Range;
use std::thread;

use ccd_redact::Redactor;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Counts;
use crate::analyze::cause;
use crate::error::Result;
use crate::human::bytes;
use crate::printer::Printer;

/// A line that is longer is told of and not read.
const MAX_LINE: usize = 64 << 20;
/// Lines that are wrong and told of one by one.
const TOLD: u64 = 50;
/// What is worth a thread of its own.
const SHARE: usize = 64 << 10;

/// How a file went.
#[derive(Default)]
pub(super) struct Done {
    pub(super) lines: u64,
    pub(super) wrong: u64,
}

/// Goes through a file's lines. With `counts`, counts what is found instead of printing.
pub(super) fn run(
    out: &mut Printer,
    redactor: &Redactor,
    shown: &str,
    mut input: impl BufRead,
    mut counts: Option<&mut Counts>,
) -> Result<Done> {
    let mut done = Done::default();
    let mut held: Vec<u8> = Vec::new();
    let mut skipping = false;
    loop {
        let ended = {
            let piece = match input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            held.extend_from_slice(piece);
            let len = piece.len();
            input.consume(len);
            len == 0
        };
        // What is there is answered at once: whoever waits for a line's answer before the next gets it.
        let end =
            if ended { held.len() } else { held.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1) };
        if end == 0 && !ended {
            if held.len() > MAX_LINE {
                held.clear();
                skipping = true;
            }
            continue;
        }
        let rest = held.split_off(end);
        let mut batch = std::mem::replace(&mut held, rest);
        if skipping {
            skipping = false;
            done.lines += 1;
            wrong(out, &mut done, shown, &format!("longer than {}", bytes(MAX_LINE as u64)));
            let first = batch.iter().position(|b| *b == b'\n').map_or(batch.len(), |at| at + 1);
            batch.drain(..first);
        }
        let lines: Vec<&[u8]> = batch.split_inclusive(|b| *b == b'\n').collect();
        for answer in answers(redactor, &lines, counts.is_some()) {
            done.lines += 1;
            match answer {
                Ok(answer) => match counts.as_deref_mut() {
                    Some(counts) => counts.add(answer.rules, answer.line.len()),
                    None => out.bytes(&answer.line)?,
                },
                Err(why) => wrong(out, &mut done, shown, &why),
            }
        }
        if counts.is_none() {
            out.flush()?;
        }
        if ended {
            if done.wrong > TOLD {
                out.note(format!("and {} more lines", done.wrong - TOLD));
            }
            return Ok(done);
        }
    }
}

fn wrong(out: &mut Printer, done: &mut Done, shown: &str, why: &str) {
    done.wrong += 1;
    if done.wrong <= TOLD {
        let line = done.lines;
        out.note(format!("error: {}: line {line}: {why}", crate::printer::visible(shown)));
    }
}

struct Answer<'a> {
    line: Cow<'a, [u8]>,
    rules: BTreeMap<String, u64>,
}

/// The answers to lines, in their order, made by as many threads as are worth it.
fn answers<'a>(redactor: &Redactor, lines: &[&'a [u8]], count: bool) -> Vec<Result<Answer<'a>, String>> {
    let size: usize = lines.iter().map(|line| line.len()).sum();
    let threads = thread::available_parallelism().map_or(1, usize::from).min(size / SHARE).max(1);
    let one = |line: &&'a [u8]| answer(redactor, line, count);
    if threads == 1 {
        return lines.iter().map(one).collect();
    }
    let share = lines.len().div_ceil(threads).max(1);
    thread::scope(|scope| {
        let parts: Vec<_> = lines
            .chunks(share)
            .map(|part| (part, scope.spawn(move || part.iter().map(one).collect::<Vec<_>>())))
            .collect();
        // A thread that ended by a panic has its lines told of, and none printed as it was.
        let failed = |part: &[&[u8]]| part.iter().map(|_| Err("could not be redacted".to_owned())).collect();
        parts.into_iter().flat_map(|(part, thread)| thread.join().unwrap_or_else(|_| failed(part))).collect()
    })
}

fn answer<'a>(redactor: &Redactor, line: &'a [u8], count: bool) -> Result<Answer<'a>, String> {
    let mut rules = BTreeMap::new();
    if line.iter().all(u8::is_ascii_whitespace) {
        return Ok(Answer { line: Cow::Borrowed(line), rules });
    }
    let text = str::from_utf8(line).map_err(|_| "is not UTF-8 text".to_owned())?;
    let json = text.strip_prefix('\u{feff}').unwrap_or(text);
    let offset = text.len() - json.len();
    let texts = texts(json)?;
    if texts.is_empty() {
        return Err("has no `text`".to_owned());
    }
    let mut out = Vec::new();
    let mut done = 0;
    for range in texts {
        let raw = &json[range.clone()];
        let redacted = redacted(redactor, raw);
        if count {
            // What a string says; other values are counted as they are written.
            let said = serde_json::from_str::<String>(raw).map_or(Cow::Borrowed(raw), Cow::Owned);
            for found in redactor.find(&said) {
                *rules.entry(found.rule.to_string()).or_default() += 1;
            }
        }
        if let Some(redacted) = redacted {
            out.extend_from_slice(&line[done..offset + range.start]);
            out.extend_from_slice(redacted.as_bytes());
            done = offset + range.end;
        }
    }
    if done == 0 {
        return Ok(Answer { line: Cow::Borrowed(line), rules });
    }
    out.extend_from_slice(&line[done..]);
    Ok(Answer { line: Cow::Owned(out), rules })
}

/// A value of JSON without credentials. None where there are none.
fn redacted(redactor: &Redactor, raw: &str) -> Option<String> {
    if let Ok(text) = serde_json::from_str::<String>(raw) {
        return match redactor.text(&text) {
            Cow::Borrowed(_) => None,
            Cow::Owned(made) => serde_json::to_string(&made).ok(),
        };
    }
    // A string with half a character in it, or more than a string.
    match redactor.text(raw) {
        Cow::Borrowed(_) => None,
        Cow::Owned(made) => Some(made),
    }
}

/// Where the values of `text` lie in an object.
fn texts(json: &str) -> Result<Vec<Range<usize>>, String> {
    struct Texts<'a>(&'a str);
    impl<'de> Visitor<'de> for Texts<'de> {
        type Value = Vec<Range<usize>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object with `text` in it")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut texts = Vec::new();
            while let Some(name) = map.next_key::<String>()? {
                if name == "text" {
                    let value: &'de RawValue = map.next_value()?;
                    let start = value.get().as_ptr().addr() - self.0.as_ptr().addr();
                    texts.push(start..start + value.get().len());
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(texts)
        }
    }
    let mut reader = serde_json::Deserializer::from_str(json);
    // What is wrong is told without what stands there.
    let told = |error: serde_json::Error| match error.classify() {
        serde_json::error::Category::Data => "is no object with `text` in it".to_owned(),
        _ => cause(&error),
    };
    let texts = reader.deserialize_map(Texts(json)).map_err(told)?;
    reader.end().map_err(told)?;
    Ok(texts)
}
