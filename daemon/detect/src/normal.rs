//! Outputs without what changes from run to run: times, durations, dates, ids, temporary paths, the order of lines.
//!
//! It must never drop what tells progress: small numbers (how many tests fail, which line) stay.
//!
//! Invariant: one pass, no allocation.

use crate::text::{Hash, head, tail};

/// Bytes of an output that are looked at from each end.
const LOOKED_AT: usize = 16 * 1024;
/// Lines of an end that stand for an output of which only a part was asked for.
const END_LINES: usize = 3;

/// What an output looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shape {
    /// All lines, in any order.
    pub all: u64,
    /// The first lines.
    pub first: u64,
    /// The last lines.
    pub last: u64,
    /// There is nothing in it.
    pub empty: bool,
}

impl Shape {
    /// Of these texts, one after the other; `echoes` leaves the last line out.
    #[must_use]
    pub fn of(texts: &[&str], echoes: bool) -> Self {
        let mut all = 0_u64;
        let mut firsts = Hash::default();
        let mut count = 0_usize;
        let mut lasts = [0_u64; END_LINES];
        let mut held: Option<u64> = None;
        let mut add = |line: u64| {
            all = all.wrapping_add(line);
            if count < END_LINES {
                firsts.hash(line);
            }
            lasts[count % END_LINES] = line;
            count += 1;
        };
        for text in texts {
            each_line(text, &mut |line| {
                let line = fold(line);
                if let Some(before) = held.replace(line) {
                    add(before);
                }
            });
        }
        if let Some(last) = held
            && !echoes
        {
            add(last);
        }
        let mut last = Hash::default();
        for back in (1..=END_LINES.min(count)).rev() {
            last.hash(lasts[(count - back) % END_LINES]);
        }
        let mut whole = Hash::default();
        whole.hash(all);
        whole.hash(count as u64);
        Self { all: whole.end(), first: firsts.end(), last: last.end(), empty: count == 0 }
    }

    /// Whether two outputs of the same call say the same; `windowed` when only a part of one was asked for.
    #[must_use]
    pub fn same(&self, other: &Self, windowed: bool) -> bool {
        self.all == other.all
            || windowed
                && self.empty == other.empty
                && !self.empty
                && (self.last == other.last || self.first == other.first)
    }
}

/// The lines with something in them, of the ends of a text.
fn each_line<'a>(text: &'a str, line: &mut impl FnMut(&'a str)) {
    let mut pass = |text: &'a str| {
        let returns = text.contains('\r');
        for each in text.lines() {
            // A progress bar writes over itself: what a terminal shows in the end is what stands behind the last return.
            let each = each.trim();
            let each = if returns { each.rsplit('\r').next().unwrap_or(each).trim() } else { each };
            if !each.is_empty() && !is_passing_by(each) {
                line(each);
            }
        }
    };
    if text.len() <= 2 * LOOKED_AT {
        pass(text);
    } else {
        pass(head(text, LOOKED_AT));
        pass(tail(text, LOOKED_AT));
    }
}

/// A line that says nothing of what ran: what Claude Code appends to whatever ran outside of the working directory, and
/// whether a build tool had the answer already.
fn is_passing_by(line: &str) -> bool {
    line.starts_with("Shell cwd was reset to")
        || line.len() < 240
            && line.contains("ache")
            && ["cache hit", "cache miss", "cache bypass", "output from the cache", "outputs match the cache"]
                .iter()
                .any(|sign| line.contains(sign))
        || line.starts_with("Cached:") && line.ends_with("total")
}

/// The hash of a line without what changes from run to run.
#[must_use]
pub fn fold(line: &str) -> u64 {
    let bytes = line.as_bytes();
    let mut hash = Hash::default();
    let (mut at, mut space) = (0, true);
    let mut before: &[u8] = b"";
    // What a line that speaks of seconds gives with decimals was measured.
    let timing = line.len() < 240 && line.contains(" second");
    while at < bytes.len() {
        let byte = bytes[at];
        if byte.is_ascii_alphanumeric() {
            let end = word_end(bytes, at);
            let this = &bytes[at..end];
            let sign = at.checked_sub(1).map_or(b' ', |last| bytes[last]);
            let measured =
                timing && this.contains(&b'.') && this.iter().all(|b| b.is_ascii_digit() || *b == b'.');
            if byte.is_ascii_digit() && (measured || is_given(before, this) || is_elapsed(sign, this)) {
                hash.byte(b'#');
            } else {
                word(this, &bytes[end..], &mut hash);
            }
            before = this;
            space = false;
            at = end;
        } else if byte == 0x1b {
            at = escape_end(bytes, at);
        } else if byte.is_ascii_whitespace() {
            if !space {
                hash.byte(b' ');
            }
            space = true;
            at += 1;
        } else if bytes[at..].starts_with(b"(cached)") {
            hash.byte(b'#');
            at += b"(cached)".len();
        } else if let Some(length) = temporary(&bytes[at..]) {
            hash.byte(b'~');
            at += length;
        } else {
            hash.byte(byte);
            space = false;
            at += 1;
        }
    }
    hash.end()
}

/// Where a word ends; a decimal number, a time of day and an id with hyphens are one word.
fn word_end(bytes: &[u8], start: usize) -> usize {
    // Looked at once per byte: a line may be one endless word.
    let (mut timed, mut hex, mut at) = (bytes[start].is_ascii_digit(), true, start);
    while at < bytes.len() {
        let byte = bytes[at];
        let next = bytes.get(at + 1).copied().unwrap_or(0);
        let inside = byte.is_ascii_alphanumeric()
            || byte >= 0x80
            || matches!(byte, b'.' | b':' | b'-') && timed && next.is_ascii_digit()
            || byte == b'-' && hex && at - start >= 7 && next.is_ascii_hexdigit();
        if !inside {
            break;
        }
        timed &= byte.is_ascii_digit() || matches!(byte, b'.' | b':' | b'-' | b'm' | b'h' | b'T');
        hex &= byte.is_ascii_hexdigit() || byte == b'-';
        at += 1;
    }
    at.max(start + 1)
}

fn is_hex(word: &[u8]) -> bool {
    word.len() >= 7
        && word.iter().all(|b| b.is_ascii_hexdigit() || *b == b'-')
        && word.iter().any(u8::is_ascii_digit)
}

/// A word, or a sign in its place where it is a time, a duration or an id. `rest` is what follows it.
fn word(word: &[u8], rest: &[u8], hash: &mut Hash) {
    let digits = word.iter().take_while(|b| b.is_ascii_digit() || matches!(b, b'.' | b':' | b'-')).count();
    let (number, unit) = word.split_at(digits);
    let changes = digits > 0 && (is_duration(number, unit, rest) || is_moment(number, unit))
        || is_hex(word)
        || is_token(word);
    if changes {
        hash.byte(b'#');
    } else {
        hash.bytes(word);
    }
}

/// A number that the system gives out: a port, a process, a seed.
fn is_given(before: &[u8], number: &[u8]) -> bool {
    const GIVERS: [&[u8]; 9] =
        [b"port", b"pid", b"process", b"seed", b"localhost", b"127.0.0.1", b"0.0.0.0", b"::1", b"ppid"];
    number.len() >= 3
        && number.iter().all(u8::is_ascii_digit)
        && GIVERS.iter().any(|giver| before.eq_ignore_ascii_case(giver))
}

/// `[00:12<00:15`, as progress bars count.
fn is_elapsed(sign: u8, number: &[u8]) -> bool {
    matches!(sign, b'[' | b'<')
        && matches!(number, [a, b, b':', c, d] if [a, b, c, d].iter().all(|byte| byte.is_ascii_digit()))
}

/// A long word of both cases and digits, as services name things.
fn is_token(word: &[u8]) -> bool {
    word.len() >= 16
        && word.iter().filter(|b| b.is_ascii_digit()).count() >= 2
        && word.iter().any(u8::is_ascii_lowercase)
        && word.iter().any(u8::is_ascii_uppercase)
}

/// `1.5s`, `2m10.5s`, `12 seconds`. A bare number is none: it may count something.
fn is_duration(number: &[u8], unit: &[u8], rest: &[u8]) -> bool {
    if number.contains(&b'-')
        || number.contains(&b':') && !(rest.starts_with(b" AM") || rest.starts_with(b" PM"))
    {
        return false;
    }
    match unit {
        b"ms" | b"s" | b"us" | b"ns" | b"m" | b"h" | b"sec" | b"secs" | b"seconds" => true,
        [b'm' | b'h', between @ .., b's' | b'm'] => {
            between.iter().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'm'))
        }
        [] => [
            &b" s"[..],
            b" ms",
            b" sec",
            b" second",
            b" seconds",
            b" secs",
            b" minutes",
            b" minute",
            b" min",
            b" mins",
            b" kB/s",
            b" MB/s",
            b" KB/s",
            b" GB/s",
            b" it/s",
            b" AM",
            b" PM",
        ]
        .iter()
        .any(|spelt| {
            rest.starts_with(spelt) && !rest.get(spelt.len()).is_some_and(u8::is_ascii_alphanumeric)
        }),
        // A speed.
        b"it" | b"kB" | b"MB" | b"GB" | b"KB" | b"B" => rest.starts_with(b"/s"),
        _ => false,
    }
}

/// A time of day with seconds, a date, a number long enough to be an id, or a measured one: three decimals or more.
/// `12:34` may be a line and a column, `81.2` a coverage.
fn is_moment(number: &[u8], unit: &[u8]) -> bool {
    let plain = number.iter().all(u8::is_ascii_digit);
    let date = number.len() >= 10 && number[4] == b'-' && number[7] == b'-';
    // `00:00.123` counts minutes.
    let minutes = number.len() >= 7 && number[2] == b':' && number[5] == b'.';
    let time = number.split(|b| *b == b':').count() == 3 && number.len() >= 7 || minutes;
    let decimals = number.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let dots = number.iter().filter(|b| !b.is_ascii_digit()).count();
    let measured = dots == 1 && number.contains(&b'.') && decimals >= 3 && unit.is_empty();
    measured || date || time && unit.is_empty() || plain && number.len() >= 5 && unit.is_empty()
}

fn escape_end(bytes: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    if bytes.get(end) == Some(&b'[') {
        end += 1;
        while end < bytes.len() && !bytes[end].is_ascii_alphabetic() {
            end += 1;
        }
        end += 1;
    }
    end.min(bytes.len())
}

/// How long a path below a temporary directory is.
fn temporary(bytes: &[u8]) -> Option<usize> {
    [&b"/tmp/"[..], b"/var/folders/", b"/private/tmp/", b"/private/var/folders/"]
        .iter()
        .any(|start| bytes.starts_with(start))
        .then(|| {
            bytes
                .iter()
                .take_while(|b| !b.is_ascii_whitespace() && !matches!(b, b'"' | b'\'' | b')' | b','))
                .count()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_from_run_to_run_is_left_out() {
        for (a, b) in [
            ("ok  pkg 0.42s", "ok  pkg 12.1s"),
            ("ok pkg (cached)", "ok pkg 3.2s"),
            ("took 950ms", "took 1.2s"),
            ("took 9.5 seconds", "took 12 seconds"),
            ("done in 1m4s", "done in 2m10.5s"),
            ("2026-01-02T10:00:01Z start", "2026-02-12T11:09:41Z start"),
            ("10:00:01.123 start", "23:59:59.001 start"),
            ("time=0.1234", "time=12.071"),
            ("made req_011CSHoEeqs5C35K2UUqR7Fy", "made req_9aBCdEfGhIjKlMnOpQrStU99"),
            ("pid 81234 died", "pid 10022 died"),
            ("commit 9f8e7d6c", "commit 1a2b3c4d5e6f"),
            ("id 0a1b2c3d-1111-4222-8333-444455556666", "id 9f1b2c3d-9999-4aaa-8bbb-ccccddddeeee"),
            ("wrote /tmp/go-build12/x.a", "wrote /tmp/go-build97/y.a"),
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("a   b", "a b"),
            ("Time: 00:00.123, Memory", "Time: 01:02.998, Memory"),
            ("Randomized with seed 4812", "Randomized with seed 912"),
            ("ready on http://localhost:5173/", "ready on http://localhost:5174/"),
            ("started (PID: 812)", "started (PID: 4410)"),
            ("50/50 [00:12<00:00, 3.2it/s]", "50/50 [00:14<00:00, 2.91it/s]"),
            ("12 MB/s eta", "9.5 MB/s eta"),
            ("at 10:22 AM", "at 11:48 AM"),
            ("OK (1.23=setup[0.03]+cmd[1.20] seconds)", "OK (0.98=setup[0.04]+cmd[0.94] seconds)"),
        ] {
            assert_eq!(fold(a), fold(b), "{a} | {b}");
        }
        let same = |a: &str, b: &str| Shape::of(&[a], false).same(&Shape::of(&[b], false), false);
        assert!(same("a\n10%\r60%\r100% done\nb", "a\n 5%\r100% done\nb"), "a bar that writes over itself");
        assert!(same("web: cache miss, executing 12ab\nok", "web: cache hit, replaying logs 12ab\nok"));
    }

    #[test]
    fn what_tells_progress_is_kept() {
        for (a, b) in [
            ("3 tests failed", "2 tests failed"),
            ("main.rs:12: error", "main.rs:13: error"),
            ("main.rs:12:14: error", "main.rs:12:15: error"),
            ("coverage 81.2%", "coverage 84.0%"),
            ("part4.ts", "part5.ts"),
            ("facade", "decade1"),
            ("FAIL TestA", "FAIL TestB"),
            ("port of entry 12", "port of entry 13"),
            ("process 12 of 30", "process 13 of 30"),
            ("at [12:34] in", "at (12:35) in"),
        ] {
            assert_ne!(fold(a), fold(b), "{a} | {b}");
        }
    }

    #[test]
    fn the_order_of_lines_does_not_matter_and_an_end_stands_for_the_whole() {
        let whole = Shape::of(&["a\nb\nc\nd\ne"], false);
        assert!(whole.same(&Shape::of(&["e\nd\nc\nb\na"], false), false));
        let end = Shape::of(&["c\nd\ne"], false);
        assert!(!whole.same(&end, false));
        assert!(whole.same(&end, true));
        assert!(whole.same(&Shape::of(&["a\nb\nc"], false), true));
        assert!(whole.same(&Shape::of(&["a\nb\nc\nd\ne\nexit: 0"], true), false));
        assert!(Shape::of(&["", " \n"], false).empty);
    }
}
