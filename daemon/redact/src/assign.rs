//! The generic detector: a name that tells of a credential, a sign between, a value that may be one.
//!
//! Written by hand, as one pattern for this would be tried at every name of a text: shell, `.env`, YAML, JSON, TOML, XML,
//! properties, connection strings, command lines, source code. It leaves what only stands for a value: placeholders,
//! references, types, expressions, cursors, digests, UUIDs under a name that says little.

use std::ops::Range;

use crate::names::{self, Class};
use crate::plausible::{is_code, is_hex, is_password, is_placeholder, is_random, is_uuid};

/// A value that was found, and the rule it is told as.
pub(crate) type Named = (Range<usize>, &'static str);

/// How a value was written, which decides how much it must look like a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// Between quotes, or as the whole of a member or an element.
    Quoted,
    /// `NAME=value` of a shell or an env file, `--name value`.
    Shell,
    /// Bare, after `:` or ` = `: may be YAML, may be code.
    Bare,
}

const LONGEST_NAME: usize = 80;
const LONGEST_VALUE: usize = 8 << 10;

/// Looks at the name about a word of [`names::WORDS`]. `after` is where the last name ended: one is looked at once.
pub(crate) fn at(text: &str, word: Range<usize>, after: &mut usize) -> Option<Named> {
    if word.start < *after {
        return None;
    }
    let bytes = text.as_bytes();
    let in_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    let low = word.start.saturating_sub(LONGEST_NAME).max(*after);
    let mut start = word.start;
    while start > low && in_name(&bytes[start - 1]) {
        start -= 1;
    }
    // The letter of an escape is not of the name.
    if start > low
        && start < word.start
        && bytes[start - 1] == b'\\'
        && matches!(bytes[start], b'n' | b'r' | b't')
    {
        start += 1;
    }
    let mut end = word.start;
    let high = bytes.len().min(word.end + LONGEST_NAME);
    while end < high && in_name(&bytes[end]) {
        end += 1;
    }
    let goes_on =
        bytes.get(end).is_some_and(in_name) || (start == low && low > *after && in_name(&bytes[low - 1]));
    *after = end.max(*after);
    // A name that long is a blob.
    if goes_on {
        return None;
    }
    let flag = bytes[start..end].first() == Some(&b'-');
    let name = text.get(start..end)?.trim_start_matches('-').trim_end_matches(['.', '-']);
    let start = end - text[start..end].trim_start_matches('-').len();
    let class = names::class(name);
    if class == Class::No {
        return None;
    }
    let Some((value, written)) = value_after(text, start, start + name.len(), flag) else {
        // A value without an end is no text: what looks like names in it are none.
        let blob = bytes[end..].iter().take(LONGEST_VALUE).take_while(|b| in_blob(**b)).count();
        if blob == LONGEST_VALUE {
            *after = end + blob;
        }
        return None;
    };
    let value = without_scheme(text, value);
    is_credential(class, name, &text[value.clone()], written).then(|| (value, class.rule()))
}

/// What a bare value may go on with.
fn in_blob(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'`' | b';' | b'<' | b'>' | b'|' | b'&' | b'\\')
}

/// Whether the value of a member of that name is a credential.
pub(crate) fn member(name: &str, value: &str) -> Option<Named> {
    let class = names::class(name);
    if class == Class::No || value.len() > LONGEST_VALUE {
        return None;
    }
    let range = without_scheme(value, 0..value.len());
    is_credential(class, name, &value[range.clone()], Written::Quoted).then(|| (range, class.rule()))
}

fn is_credential(class: Class, name: &str, value: &str, written: Written) -> bool {
    if is_placeholder(value) || value.eq_ignore_ascii_case(name) {
        return false;
    }
    if written == Written::Bare && (is_code(value) || is_identifier(value)) {
        return false;
    }
    let spaced = value.bytes().any(|b| b.is_ascii_whitespace());
    if spaced && matches!(class, Class::Secret | Class::Weak) {
        return is_mnemonic(value);
    }
    let reference = value.starts_with("./")
        || value.starts_with("../")
        || value.contains("://")
        || (value.starts_with('/') && value.matches('/').count() > 1 && !is_random(value, 24));
    if reference || value.contains("\u{2192}") {
        return false;
    }
    match class {
        Class::No => false,
        Class::Password => {
            let phrase = name.to_ascii_lowercase().contains("phrase");
            if spaced {
                return phrase
                    && value.split_whitespace().count() >= 3
                    && value.len() >= 12
                    && !value.ends_with(['.', ':', '?']);
            }
            match written {
                Written::Quoted => is_password(value, 4) || is_random(value, 8) || is_chosen_word(value),
                Written::Shell => {
                    let shouted = !name.bytes().any(|b| b.is_ascii_lowercase());
                    value.len() >= 4 && !is_code(value)
                        || is_password(value, 4)
                        || shouted && is_chosen_word(value)
                }
                Written::Bare => is_password(value, 6),
            }
        }
        Class::Secret => {
            !spaced
                && (is_random(value, 12)
                    || is_password(value, 10) && !is_dotted(value)
                    || (is_hex(value) && value.len() >= 16)
                    || is_user_and_password(value))
        }
        Class::Medium => {
            !spaced
                && !is_uuid(value)
                && !is_dotted(value)
                && (is_random(value, 16) || (is_hex(value) && value.len() >= 32 && is_random(value, 32)))
        }
        Class::Weak => {
            is_user_and_password(value)
                || (!spaced
                    && !is_uuid(value)
                    && !is_hex(value)
                    && !is_dotted(value)
                    && is_random(value, 24)
                    && value.bytes().any(|b| b.is_ascii_digit())
                    && value.bytes().any(|b| b.is_ascii_uppercase())
                    && value.bytes().any(|b| b.is_ascii_lowercase())
                    && value.bytes().filter(|b| !b.is_ascii_alphanumeric()).count() <= 4)
        }
    }
}

/// `TestLogin_RoundTrip2`: a name of several words, as test runners write after `PASS:`.
fn is_identifier(value: &str) -> bool {
    let bytes = value.as_bytes();
    if bytes.len() < 10 || !bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"_-/.#".contains(b)) {
        return false;
    }
    // Words of a capital or none and two small letters at least; all of them together are most of it.
    let (mut at, mut words, mut covered) = (0, 0, 0);
    while at < bytes.len() {
        let start = at;
        at += usize::from(bytes[at].is_ascii_uppercase());
        at += bytes[at..].iter().take_while(|b| b.is_ascii_lowercase()).count();
        if at - start >= 3 {
            words += 1;
            covered += at - start;
        }
        at = at.max(start + 1);
    }
    words >= 2 && covered * 3 >= bytes.len() * 2
}

/// The words that a wallet is restored from.
fn is_mnemonic(value: &str) -> bool {
    let words = value.split_ascii_whitespace();
    let plain = |word: &str| (3..=8).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_lowercase());
    matches!(words.clone().count(), 12 | 15 | 18 | 21 | 24) && words.into_iter().all(plain)
}

/// `letmein`: one lower-case word. Capitalised ones are labels.
fn is_chosen_word(value: &str) -> bool {
    value.len() >= 6
        && value.len() <= 32
        && value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// `auth.session-token`, `com.example.Key`: parts of words between dots, dashes, slashes.
fn is_dotted(value: &str) -> bool {
    let parts = value.split(['.', '-', '/', ':', '_']);
    let words = parts
        .clone()
        .filter(|part| part.len() >= 2 && part.bytes().all(|b| b.is_ascii_alphabetic()) && part.len() <= 14)
        .count();
    let all = parts.count();
    all >= 2 && words * 3 >= all * 2
}

/// Base 64 of `user:password`, as in Docker's `auth`.
fn is_user_and_password(value: &str) -> bool {
    if value.len() < 8 || value.len() > 4096 {
        return false;
    }
    crate::base64::decoded(value).is_some_and(|text| {
        text.split_once(':').is_some_and(|(user, password)| {
            !user.is_empty()
                && password.len() >= 3
                && !is_placeholder(password)
                && !text.contains(char::is_whitespace)
        })
    })
}

/// The value without `Bearer ` and the like.
fn without_scheme(text: &str, value: Range<usize>) -> Range<usize> {
    let Some(written) = text.get(value.clone()) else { return value };
    for scheme in ["bearer ", "basic ", "token ", "apikey ", "bot ", "digest "] {
        if written.len() > scheme.len()
            && written.as_bytes()[..scheme.len()].eq_ignore_ascii_case(scheme.as_bytes())
        {
            return value.start + scheme.len()..value.end;
        }
    }
    value
}

/// The value that belongs to the name at a range.
fn value_after(text: &str, start: usize, end: usize, flag: bool) -> Option<(Range<usize>, Written)> {
    let bytes = text.as_bytes();
    let before = if start > 0 { bytes[start - 1] } else { b'\n' };
    let mut at = end;
    let quoted_name = matches!(before, b'"' | b'\'' | b'`') && bytes.get(at) == Some(&before);
    at += usize::from(quoted_name);
    if bytes.get(at) == Some(&b']') {
        at += 1;
    }
    let gap = at;
    at = past_blanks(bytes, at);
    match *bytes.get(at)? {
        b'>' if before == b'<' || quoted_name => element(text, at + 1),
        b',' if quoted_name => {
            let mut next = past_white(bytes, at + 1);
            for label in ["\"value\"", "'value'", "\"Value\"", "value", "Value"] {
                if bytes[next..].starts_with(label.as_bytes()) {
                    next = past_white(bytes, next + label.len());
                    if !matches!(bytes.get(next), Some(b':' | b'=')) {
                        return None;
                    }
                    next = past_white(bytes, next + 1);
                    break;
                }
            }
            // A member's name after a member's value is no value.
            let range = quoted(text, next)?;
            let colon = past_white(bytes, range.end + 1);
            (bytes.get(colon) != Some(&b':')).then_some((range, Written::Quoted))
        }
        b'\n' | b'\r' => {
            // YAML's `- name: DB_PASSWORD` and the line after, `value: x`.
            let next = past_white(bytes, at);
            let rest = bytes[next..].strip_prefix(b"value:")?;
            let next = past_blanks(bytes, bytes.len() - rest.len());
            value(text, next, Written::Shell)
        }
        b'|' if at > gap || quoted_name => cell(text, at + 1),
        b':' | b'=' | b'?' | b'+' | b'!' | b'|' => signed(text, start, at, quoted_name, at > gap),
        _ if quoted_name && at > gap && bytes[at..].starts_with(b"value=") => {
            quoted(text, at + 6).map(|range| (range, Written::Quoted))
        }
        _ if quoted_name && at > gap && bytes[at..].starts_with(b"content=") => {
            quoted(text, at + 8).map(|range| (range, Written::Quoted))
        }
        _ if (flag || after_env(text, start)) && at > gap && bytes[at] != b'-' => {
            value(text, at, Written::Shell)
        }
        _ => None,
    }
}

/// `ENV NAME value` of a Dockerfile, `set -x NAME value` of fish, `setx NAME value` of Windows.
fn after_env(text: &str, start: usize) -> bool {
    ["ENV ", "#define ", "aws configure set ", "set -x ", "set -gx ", "set -Ux ", "setx ", "SetEnv "]
        .iter()
        .any(|word| text.as_bytes()[..start].ends_with(word.as_bytes()))
}

/// The next cell of a table of Markdown, if one word fills it.
fn cell(text: &str, from: usize) -> Option<(Range<usize>, Written)> {
    let bytes = text.as_bytes();
    let mut start = past_blanks(bytes, from);
    let quoted = bytes.get(start) == Some(&b'`');
    start += usize::from(quoted);
    let len = bytes
        .get(start..)?
        .iter()
        .take(LONGEST_VALUE)
        .take_while(|b| b.is_ascii_graphic() && !matches!(b, b'|' | b'`'))
        .count();
    let mut end = start + len;
    end += usize::from(quoted && bytes.get(end) == Some(&b'`'));
    (len >= 8 && bytes.get(past_blanks(bytes, end)) == Some(&b'|'))
        .then_some((start..start + len, Written::Bare))
}

/// The value after `:`, `=`, `:=`, `=>`, `: Type =` and the like.
fn signed(
    text: &str,
    start: usize,
    sign: usize,
    quoted_name: bool,
    spaced: bool,
) -> Option<(Range<usize>, Written)> {
    let bytes = text.as_bytes();
    let mut at = sign;
    while bytes.get(at).is_some_and(|b| matches!(b, b':' | b'=' | b'?' | b'+' | b'!' | b'|' | b'>' | b'~'))
        && at < sign + 4
    {
        at += 1;
    }
    let written = &bytes[sign..at];
    if written.starts_with(b"::") && !written.starts_with(b"::=")
        || !written.iter().any(|b| matches!(b, b':' | b'='))
    {
        return None;
    }
    let compares = matches!(written, b"==" | b"===" | b"!=" | b"!==");
    let mut next = past_blanks(bytes, at);
    if quoted_name || bytes.get(next).is_some_and(|b| matches!(b, b'\n' | b'\r')) {
        // Only a value that stands alone there: deeper structure is not of this name.
        let line = past_white(bytes, next);
        let alone = bytes.get(line).is_some_and(|b| matches!(b, b'"' | b'\''));
        next = if quoted_name || alone && written == b"=" { line } else { next };
    }
    // YAML's blocks.
    if written == b":" && bytes.get(next).is_some_and(|b| matches!(b, b'|' | b'>')) {
        let mut line = next + 1;
        while bytes.get(line).is_some_and(|b| matches!(b, b'-' | b'+') || b.is_ascii_digit()) {
            line += 1;
        }
        if bytes.get(line) == Some(&b'\n') {
            return value(text, past_white(bytes, line), Written::Shell);
        }
    }
    if let Some(range) = quoted(text, next) {
        return Some((range, Written::Quoted));
    }
    if compares {
        return None;
    }
    // `password: &str = "x"`, `String password = "x"` is `=` already.
    if written == b":"
        && !quoted_name
        && let Some(range) = after_type(text, next)
    {
        return Some((range, Written::Quoted));
    }
    let name = &text[start..sign];
    let shouted =
        name.bytes().any(|b| b.is_ascii_uppercase()) && !name.bytes().any(|b| b.is_ascii_lowercase());
    let tight = written == b"=" && !spaced && next == at;
    let query = start > 0 && matches!(bytes[start - 1], b'?' | b'&' | b';');
    if quoted_name {
        // A bare value of a JSON member is a number, a word of JSON, or more structure.
        return None;
    }
    let how = if tight
        && (shouted
            || query
            || start == 0
            || bytes[start - 1].is_ascii_whitespace()
            || bytes[start - 1] == b'-')
    {
        Written::Shell
    } else {
        Written::Bare
    };
    if how == Written::Shell && shouted && !query {
        return shell_word(text, next).map(|range| (range, Written::Shell));
    }
    value(text, next, how)
}

/// `Type = "value"` from behind the colon.
fn after_type(text: &str, from: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let len = bytes[from..]
        .iter()
        .take(48)
        .take_while(|b| {
            b.is_ascii_alphanumeric()
                || matches!(b, b'&' | b'<' | b'>' | b'_' | b'\'' | b' ' | b'.' | b'?' | b'[' | b']' | b'|')
        })
        .count();
    let at = from + len;
    if len == 0 || bytes.get(at) != Some(&b'=') {
        return None;
    }
    quoted(text, past_blanks(bytes, at + 1))
}

fn past_blanks(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(|b| matches!(b, b' ' | b'\t')) {
        at += 1;
    }
    at
}

fn past_white(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
        at += 1;
    }
    at
}

/// A string that begins here, with the letters that languages put before quotes.
fn quoted(text: &str, mut at: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let prefix = bytes
        .get(at..)
        .unwrap_or_default()
        .iter()
        .take(3)
        .take_while(|b| {
            matches!(b, b'b' | b'r' | b'f' | b'u' | b'B' | b'R' | b'F' | b'U' | b'@' | b'$' | b'L' | b'#')
        })
        .count();
    if prefix > 0 && !matches!(bytes.get(at + prefix), Some(b'"' | b'\'')) {
        return None;
    }
    at += prefix;
    let quote = *bytes.get(at)?;
    if !matches!(quote, b'"' | b'\'' | b'`') {
        return None;
    }
    let start = at + 1;
    let mut end = start;
    while let Some(byte) = bytes.get(end) {
        match *byte {
            b if b == quote => return (end > start && end - start <= LONGEST_VALUE).then_some(start..end),
            b'\\' => end += 2,
            b'\n' => return None,
            _ => end += 1,
        }
        if end - start > LONGEST_VALUE {
            return None;
        }
    }
    // Cut off: the first word of what is there.
    let ends = |b: &u8| b.is_ascii_whitespace() || matches!(b, b'"' | b'\'' | b'\\' | b'<' | b',');
    let len = bytes[start..].iter().take_while(|b| !ends(b)).count();
    (len >= 8).then_some(start..start + len)
}

/// The text of an XML element.
fn element(text: &str, from: usize) -> Option<(Range<usize>, Written)> {
    let bytes = text.as_bytes();
    let mut from = past_white(bytes, from);
    let data = b"<![CDATA[";
    let mut until = b'<';
    if bytes[from..].starts_with(data) {
        from += data.len();
        until = b']';
    }
    if bytes[from..].starts_with(b"<string>") {
        from += 8;
    }
    let len = memchr::memchr2(until, b'\n', &bytes[from..])?;
    let value = text[from..from + len].trim_end();
    (!value.is_empty()).then(|| (from..from + value.len(), Written::Quoted))
}

/// A bare value, up to what ends one in most languages.
fn value(text: &str, from: usize, written: Written) -> Option<(Range<usize>, Written)> {
    if let Some(range) = quoted(text, from) {
        return Some((range, Written::Quoted));
    }
    let bytes = text.as_bytes();
    let mut end = from;
    while let Some(byte) = bytes.get(end) {
        let next = bytes.get(end + 1);
        match byte {
            b'"' | b'\'' | b'`' | b';' | b'<' | b'>' | b'|' | b'&' => break,
            b if b.is_ascii_whitespace() || b.is_ascii_control() => break,
            b',' | b')' | b'}' | b']'
                if next.is_none_or(|b| {
                    b.is_ascii_whitespace() || matches!(b, b'"' | b'\'' | b';' | b',' | b'}' | b')' | b']')
                }) =>
            {
                break;
            }
            b'\\' => break,
            _ => end += 1,
        }
        if end - from > LONGEST_VALUE {
            return None;
        }
    }
    scheme_word(text, from, end).or_else(|| bare(text, from, end)).map(|range| (range, written))
}

/// A word of a shell: up to a blank.
fn shell_word(text: &str, from: usize) -> Option<Range<usize>> {
    if let Some(range) = quoted(text, from) {
        return Some(range);
    }
    let bytes = text.as_bytes();
    let len = bytes[from..]
        .iter()
        .take(LONGEST_VALUE + 1)
        .take_while(|b| {
            !b.is_ascii_whitespace()
                && !b.is_ascii_control()
                && !matches!(b, b'"' | b'\'' | b'`' | b'<' | b'\\')
        })
        .count();
    let kept = text.get(from..from + len)?.trim_end_matches([',', ';', ')', '}', ']']).len();
    scheme_word(text, from, from + kept).or_else(|| bare(text, from, from + kept))
}

/// `Bearer x` without quotes about it.
fn scheme_word(text: &str, from: usize, end: usize) -> Option<Range<usize>> {
    let word = text.get(from..end)?;
    if !["bearer", "basic", "token", "bot"].iter().any(|scheme| word.eq_ignore_ascii_case(scheme)) {
        return None;
    }
    let bytes = text.as_bytes();
    let next = past_blanks(bytes, end);
    let len = bytes[next..]
        .iter()
        .take_while(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'~' | b'+' | b'/' | b'=')
        })
        .count();
    bare(text, next, next + len)
}

fn bare(text: &str, from: usize, end: usize) -> Option<Range<usize>> {
    let value = text.get(from..end)?;
    let kept = value.trim_end_matches(['.', ',', ':']).len();
    (kept > 0 && kept <= LONGEST_VALUE).then_some(from..from + kept)
}
