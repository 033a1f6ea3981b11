//! What needs more than a pattern: credentials in URLs, private keys between their lines, cookies, Kubernetes secrets.
//!
//! Each function is given where its keyword lies and answers with ranges of values; each looks a bounded way about it.

use std::ops::Range;

use crate::plausible::{is_placeholder, is_random};
use crate::view::before_line;

/// The farthest that the end of a key block is looked for.
const LONGEST_KEY: usize = 64 << 10;

/// The password, or the token that stands for a user, in a URL. `at` is the place of `://`.
pub(crate) fn url(text: &str, at: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let start = at + 3;
    let len = bytes[start..]
        .iter()
        .take(1024)
        .take_while(|b| {
            !b.is_ascii_whitespace()
                && !b.is_ascii_control()
                && !matches!(b, b'/' | b'"' | b'\'' | b'<' | b'>' | b'`' | b'\\' | b')' | b',' | b'|')
        })
        .count();
    // A password may hold what ends an authority, so the last `@` of the word counts where there is none before.
    let authority = &bytes[start..start + len];
    let user_info = match memchr::memrchr(b'@', authority) {
        Some(sign) => start..start + sign,
        None => start..start + late_sign(&bytes[start..])?,
    };
    let info = text.get(user_info.clone())?;
    let Some((user, password)) = info.split_once(':') else {
        return (is_random(info, 20) && !is_placeholder(info)).then_some(user_info);
    };
    if matches!(password, "" | "x-oauth-basic" | "x-token-auth") {
        let user = user_info.start..user_info.start + user.len();
        return (user.len() >= 16 && is_random(&text[user.clone()], 16)).then_some(user);
    }
    let plain = password.starts_with('$')
        || password.starts_with("%s")
        || password.starts_with('{')
        || password.starts_with('#')
        || password.starts_with('*');
    if password.len() < 3 || plain || password.eq_ignore_ascii_case(user) || is_placeholder(password) {
        return None;
    }
    Some(user_info.end - password.len()..user_info.end)
}

/// The place of the `@` where the password before it holds a slash.
fn late_sign(rest: &[u8]) -> Option<usize> {
    let ends = |b: &&u8| {
        b.is_ascii_graphic()
            && !matches!(b, b'"' | b'\'' | b'`' | b'<' | b'>' | b'\\' | b'?' | b'#' | b',' | b')')
    };
    let word = rest.iter().take(256).take_while(ends).count();
    let sign = memchr::memchr(b'@', &rest[..word])?;
    let colon = memchr::memchr(b':', &rest[..sign])?;
    let slash = memchr::memchr(b'/', &rest[..sign])?;
    // A port and a path, or a package at a version: no user.
    let port = slash > colon && rest[colon + 1..slash].iter().all(u8::is_ascii_digit);
    (slash > colon && !port && !rest[colon..sign].ends_with(b"/")).then_some(sign)
}

/// What lies between the lines of a private key, or as much of it as is there. `at` is the place of `-----BEGIN`.
pub(crate) fn key_block(text: &str, at: usize) -> Option<Range<usize>> {
    let head = line_of_dashes(text, at, "-----BEGIN")?;
    if !is_private(&text[head.clone()]) {
        return None;
    }
    let start = head.end;
    let within = floor(text, start + LONGEST_KEY);
    let whole = text[start..within].find("-----").filter(|len| !holds_structure(&text[start..start + len]));
    let len = whole.unwrap_or_else(|| body_len(&text[start..within]));
    worth_it(text, start..start + len)
}

/// What stands before the last line of a private key whose first is missing. `at` is the place of `-----END`.
pub(crate) fn key_tail(text: &str, at: usize) -> Option<Range<usize>> {
    let tail = line_of_dashes(text, at, "-----END")?;
    if !is_private(&text[tail]) {
        return None;
    }
    let low = ceil(text, at.saturating_sub(LONGEST_KEY));
    let before = &text[low..at];
    let mut start = at;
    for line in before.split_inclusive('\n').rev() {
        if line.trim().is_empty() && start == at {
            start -= line.len();
            continue;
        }
        if !is_body_line(line) {
            break;
        }
        start -= line.len();
    }
    // A whole block is found by its beginning.
    let line_before =
        text[ceil(text, start.saturating_sub(120))..start].trim_end().rsplit('\n').next().unwrap_or_default();
    if line_before.contains("-----BEGIN") {
        return None;
    }
    worth_it(text, start..at)
}

/// `-----BEGIN RSA PRIVATE KEY-----`.
fn line_of_dashes(text: &str, at: usize, start: &str) -> Option<Range<usize>> {
    let from = at + start.len();
    let name = text
        .as_bytes()
        .get(from..)?
        .iter()
        .take(64)
        .take_while(|b| b.is_ascii_alphanumeric() || **b == b' ')
        .count();
    text.as_bytes()[from + name..].starts_with(b"-----").then_some(at..from + name + 5)
}

fn is_private(line: &str) -> bool {
    line.contains("PRIVATE KEY")
}

fn worth_it(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let body = text.get(range.clone())?;
    let solid = body.bytes().filter(u8::is_ascii_alphanumeric).count();
    let shown = body.contains("...") && solid < 200;
    (solid >= 24 && !shown && !body.contains("[redacted")).then_some(range)
}

/// Whether more than a block lies there: the end that was found is another one's.
fn holds_structure(body: &str) -> bool {
    body.contains("\":")
        || body.contains("\",\"")
        || body.contains("\", \"")
        || body.contains(['{', '}', '[', ';'])
}

/// How much of a cut-off block looks like its body.
fn body_len(body: &str) -> usize {
    let mut len = 0;
    for line in body.split_inclusive('\n') {
        let blank = line
            .trim_end_matches(['\n', '\r'])
            .get(before_line(line)..)
            .unwrap_or_default()
            .trim()
            .is_empty();
        if !blank && !is_body_line(line) {
            // The rest of the line may still begin with it, as in a string that was cut.
            let run = line
                .bytes()
                .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'\\'))
                .count();
            return len + if run >= 40 { run } else { 0 };
        }
        len += line.len();
    }
    len
}

fn is_body_line(line: &str) -> bool {
    let line = line.trim_end();
    let line = line
        .get(before_line(line).min(line.len())..)
        .unwrap_or(line)
        .trim_matches(['"', '\'', '+', ',', ' ', '\\']);
    let header = ["Proc-Type:", "DEK-Info:", "Version:", "Comment:", "Hash:"]
        .iter()
        .any(|name| line.starts_with(name));
    let escaped = line.replace("\\n", "");
    header
        || (!escaped.is_empty()
            && !escaped.contains(' ')
            && escaped.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'-')))
}

/// The values of the cookies of a `Cookie:` or `Set-Cookie:` header. `at` is the place of the header's name. Tells up
/// to where it looked.
pub(crate) fn cookies(text: &str, at: usize, found: &mut Vec<Range<usize>>) -> usize {
    let bytes = text.as_bytes();
    let Some(colon) = bytes[at..].iter().take(14).position(|b| *b == b':') else { return at };
    let mut start = at + colon + 1;
    while bytes.get(start).is_some_and(|b| matches!(b, b' ' | b'"' | b'\'' | b'[')) {
        start += 1;
    }
    let len = bytes[start..]
        .iter()
        .take(8 << 10)
        .take_while(|b| !matches!(b, b'\n' | b'\r' | b'"' | b'\'' | b'\\'))
        .count();
    cookie_pairs(text, start..floor(text, start + len), found);
    start + len
}

/// The values in `a=b; c=d`.
pub(crate) fn cookie_pairs(text: &str, range: Range<usize>, found: &mut Vec<Range<usize>>) {
    let mut from = range.start;
    for pair in text.get(range).unwrap_or_default().split(';') {
        if let Some((name, value)) = pair.split_once('=') {
            let lower = name.trim().to_ascii_lowercase();
            let attribute = matches!(
                lower.as_str(),
                "path" | "domain" | "expires" | "max-age" | "samesite" | "version" | "priority"
            );
            let told = [
                "sess", "sid", "auth", "token", "csrf", "xsrf", "jwt", "login", "secure", "host-", "remember",
            ]
            .iter()
            .any(|word| lower.contains(word));
            let value_end = value.trim_end().len();
            let least = if told { 6 } else { 16 };
            if !attribute
                && value_end >= least
                && !is_placeholder(value)
                && (told || is_random(value.trim_end(), 16))
            {
                let value_start = from + name.len() + 1;
                found.push(value_start..value_start + value_end);
            }
        }
        from += pair.len() + 1;
    }
}

/// The values under `data:` and `stringData:` of a Kubernetes secret in YAML. `at` is the place of `kind:`.
/// Tells up to where it looked.
pub(crate) fn kube_secret(text: &str, at: usize, found: &mut Vec<Range<usize>>) -> usize {
    // The document about it.
    let low = ceil(text, at.saturating_sub(16 << 10));
    let start = text[low..at].rfind("\n---").map_or(low, |cut| low + cut + 1);
    let high = floor(text, at + (16 << 10));
    let end = text[at..high].find("\n---").map_or(high, |cut| at + cut);
    let mut from = start;
    let mut block: Option<usize> = None;
    for line in text[start..end].split_inclusive('\n') {
        let begin = number_len(line);
        let content = line.get(begin..).unwrap_or_default();
        let indent = content.len() - content.trim_start_matches([' ', '+']).len();
        let word = content.trim();
        if matches!(word, "data:" | "stringData:") {
            block = Some(indent);
        } else if let Some(base) = block {
            if !word.is_empty() && indent <= base {
                block = None;
            } else if let Some((key, value)) = content.split_once(": ") {
                let trimmed = value.trim().trim_matches(['"', '\'']);
                if trimmed.len() >= 4
                    && !is_placeholder(trimmed)
                    && !matches!(trimmed, "|" | ">" | "|-" | ">-")
                {
                    let value_start = from + begin + key.len() + 2 + value.find(trimmed).unwrap_or(0);
                    found.push(value_start..value_start + trimmed.len());
                }
            }
        }
        from += line.len();
    }
    end
}

/// The number that a viewer put before a line, without the line's own indentation.
fn number_len(line: &str) -> usize {
    let blanks = line.len() - line.trim_start_matches([' ', '\t']).len();
    let rest = &line[blanks..];
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return 0;
    }
    match rest[digits..].chars().next() {
        Some(mark @ ('\u{2192}' | '\t' | '|')) => blanks + digits + mark.len_utf8(),
        _ => 0,
    }
}

/// The nearest boundary of a character at or before a place.
pub(crate) fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The nearest boundary of a character at or after a place.
pub(crate) fn ceil(text: &str, mut at: usize) -> usize {
    while at < text.len() && !text.is_char_boundary(at) {
        at += 1;
    }
    at.min(text.len())
}
