//! Credentials that were wrapped: a line ended in the middle of them.

use std::ops::Range;

use regex::Regex;

use crate::hand::floor;
use crate::plausible::{is_hex, is_uuid, is_wordy};
use crate::view::{View, before_line};

/// The narrowest line that a wrap is looked for at.
const NARROWEST: usize = 40;
/// From here on a whole credential at the end of a line may go on in the next.
const FULL: usize = 60;
/// Over how many lines a credential is looked for.
const MOST_LINES: usize = 24;

/// The length of what a rule finds at a place when the lines are joined from there on.
pub(crate) fn joined_match(text: &str, start: usize, regex: &Regex) -> Option<usize> {
    let rest = &text[start..floor(text, start + 2048)];
    let run = rest.bytes().take_while(|b| is_part(*b)).count();
    let wrapped = rest[run..].trim_start_matches(['\r', '\\', '"', ' ', '+']).starts_with('\n');
    if !wrapped || width(text, start + run) < NARROWEST {
        return None;
    }
    // As few lines as are needed: what follows the credential is not of it.
    let ends = memchr::memchr_iter(b'\n', rest.as_bytes()).skip(1).chain([rest.len()]);
    for end in ends.take(MOST_LINES) {
        let view = View::joined(&rest[..end])?;
        if let Some(found) = regex.find(&view.text) {
            let range = view.source(&found.range());
            return (range.start == 0 && range.end > run).then_some(range.end);
        }
    }
    None
}

/// What a rule finds about a keyword when the line after the keyword's is joined with it.
pub(crate) fn joined_about(
    text: &str,
    from: usize,
    keyword: &Range<usize>,
    regex: &Regex,
) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    // The end of the keyword's line may be what cuts the keyword itself.
    let first = keyword.end + memchr::memchr(b'\n', &bytes[keyword.end..])?;
    if first > keyword.end + 512 || width(text, first) < FULL {
        return None;
    }
    let after = &bytes[first + 1..floor(text, first + 512).max(first + 1)];
    let end = first + 1 + memchr::memchr(b'\n', after).unwrap_or(after.len());
    let view = View::joined(text.get(from..end)?)?;
    let groups = regex.captures(&view.text)?;
    let value = groups.iter().skip(1).flatten().next().or_else(|| groups.get(0))?;
    let range = view.source(&value.range());
    let range = from + range.start..from + range.end;
    (range.start < first && range.end > first).then_some(range)
}

/// The range with what follows of it in the next lines, if it ended with a full line.
pub(crate) fn continued(text: &str, mut range: Range<usize>) -> Range<usize> {
    let bytes = text.as_bytes();
    while range.len() >= 16
        && matches!(bytes.get(range.end), Some(b'\n' | b'\r'))
        && width(text, range.end) >= FULL
    {
        let next = range.end + bytes[range.end..].iter().take_while(|b| matches!(b, b'\n' | b'\r')).count();
        if next > range.end + 2 {
            break;
        }
        let line = &text[next..floor(text, next + 512)];
        let line_len = memchr::memchr(b'\n', line.as_bytes()).unwrap_or(line.len());
        let prefix = before_line(&line[..line_len]);
        let run = line.as_bytes()[prefix..line_len].iter().take_while(|b| is_part(**b)).count();
        let part = &line[prefix..prefix + run];
        let ends = line[prefix + run..line_len]
            .trim_start_matches(['"', '\'', '`', ',', ';', '\r', ')', ' '])
            .is_empty();
        let odd = part.bytes().any(|b| b.is_ascii_digit())
            || (part.bytes().any(|b| b.is_ascii_uppercase()) && part.bytes().any(|b| b.is_ascii_lowercase()));
        let assigns = part.trim_end_matches('=').contains('=');
        if !ends || !odd || assigns || is_wordy(part) || is_uuid(part) || (is_hex(part) && part.len() >= 32) {
            break;
        }
        range.end = next + prefix + run;
    }
    range
}

fn is_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+' | b'/' | b'=' | b'.' | b'~' | b'%')
}

/// How many bytes of the line lie before a place.
fn width(text: &str, at: usize) -> usize {
    at - memchr::memrchr(b'\n', &text.as_bytes()[..at]).map_or(0, |newline| newline + 1)
}
