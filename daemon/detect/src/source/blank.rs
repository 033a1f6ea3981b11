//! Source without what is no code in it: strings, comments, regular expressions, the place where a long text was cut.
//!
//! It must never lose a line: what stands in which line is told by it.
//!
//! Invariant: as many lines come out as went in, unless the text was cut.

use super::Language;

/// The text without the halves of words beside a place where a long text was cut.
pub(super) fn uncut(source: &str) -> std::borrow::Cow<'_, str> {
    if !source.contains("…[") && !source.contains("]…") {
        return source.into();
    }
    let half = |c: char| c.is_alphanumeric() || c == '_';
    let mut out = String::with_capacity(source.len());
    let mut parts = source.split("…[").peekable();
    while let Some(part) = parts.next() {
        let part = part
            .split_once("]…")
            .map_or(part, |(_, after)| after.trim_start_matches('\n').trim_start_matches(half));
        let cut =
            if parts.peek().is_some() { part.trim_end_matches('\n').trim_end_matches(half) } else { part };
        out.push_str(cut);
        out.push('\n');
    }
    out.into()
}

/// The text with strings and comments blanked.
pub(super) fn blanked(source: &str, language: Language) -> String {
    let mut out = String::with_capacity(source.len());
    let mut chars = source.char_indices().peekable();
    // A quote in a language where it also marks lifetimes and the like is a string only if it closes soon.
    while let Some((at, c)) = chars.next() {
        let rest = &source[at..];
        let line_comment = language.hash_comments() && c == '#' && !rest.starts_with("#{")
            || !language.hash_comments() && rest.starts_with("//");
        if line_comment {
            let end = rest.find('\n').unwrap_or(rest.len());
            cited(&rest[..end], &mut out);
            while chars.peek().is_some_and(|(next, _)| *next < at + end) {
                chars.next();
            }
        } else if !language.hash_comments() && rest.starts_with("/*") {
            let end = rest.find("*/").map_or(rest.len(), |end| end + 2);
            out.extend(rest[..end].chars().filter(|c| *c == '\n'));
            while chars.peek().is_some_and(|(next, _)| *next < at + end) {
                chars.next();
            }
        } else if let Some(length) =
            string_length(rest, c, language).or_else(|| pattern_length(rest, c, language, &out))
        {
            out.push('"');
            if c == '`' && language == Language::Script {
                inserted(&rest[..length], &mut out);
            } else {
                out.extend(rest[..length].chars().filter(|c| *c == '\n'));
            }
            out.push('"');
            while chars.peek().is_some_and(|(next, _)| *next < at + length) {
                chars.next();
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// The bytes of the string that begins here.
fn string_length(rest: &str, quote: char, language: Language) -> Option<usize> {
    for long in ["\"\"\"", "'''"] {
        if rest.starts_with(long) && matches!(language, Language::Python | Language::Elixir | Language::Java)
        {
            return Some(rest[3..].find(long).map_or(rest.len(), |end| end + 6));
        }
    }
    match quote {
        '`' if matches!(language, Language::Go | Language::Script) => {
            Some(rest[1..].find('`').map_or(rest.len(), |end| end + 2))
        }
        '"' | '\'' => {
            let mut escaped = false;
            for (at, c) in rest.char_indices().skip(1) {
                match c {
                    '\n' => return None,
                    _ if escaped => escaped = false,
                    '\\' => escaped = true,
                    _ if c == quote => {
                        let lifetime = language == Language::Rust && quote == '\'' && at > 8;
                        return (!lifetime).then_some(at + 1);
                    }
                    _ => {}
                }
            }
            None
        }
        _ => None,
    }
}

/// Of a template, what is computed in it: `${total(basket)}`. The rest is blank.
fn inserted(template: &str, out: &mut String) {
    let mut rest = template;
    while let Some(at) = rest.find("${") {
        out.extend(rest[..at].chars().filter(|c| *c == '\n'));
        let inside = &rest[at + 2..];
        let end = inside.find(['}', '`']).unwrap_or(inside.len());
        // Strings within are no code, and what is longer than this is text that only looks so.
        let plain = end < 200 && !inside[..end].contains(['"', '\'', '\n']);
        if plain {
            out.push_str("\" ");
            out.push_str(&inside[..end]);
            out.push_str(" \"");
        }
        rest = &inside[end..];
    }
    out.extend(rest.chars().filter(|c| *c == '\n'));
}

/// The bytes of the regular expression that begins here, in a language that writes them between slashes.
fn pattern_length(rest: &str, c: char, language: Language, before: &str) -> Option<usize> {
    if c != '/' || !matches!(language, Language::Script | Language::Ruby) {
        return None;
    }
    // Behind a value a slash divides.
    let last = before.trim_end().chars().next_back().unwrap_or('(');
    let word = before.trim_end().rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    if !matches!(last, '(' | '=' | ',' | ':' | '[' | '!' | '&' | '|' | '?' | '{' | '}' | ';' | '>' | '+')
        && !matches!(word, "return" | "typeof" | "case" | "in" | "of")
    {
        return None;
    }
    let (mut escaped, mut class) = (false, false);
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '\n' => return None,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => class = true,
            ']' => class = false,
            // `</div>` and `/>` are no patterns.
            '/' if !class => return (at > 1 && !rest[1..].starts_with(['>', ' '])).then_some(at + 1),
            _ => {}
        }
    }
    None
}

/// Of a comment, the calls that it cites: `store.load()`.
fn cited(comment: &str, out: &mut String) {
    for word in comment.split_whitespace() {
        if word.contains("()") && word.contains('.') && !word.starts_with("http") {
            out.push_str(word.trim_matches(['`', '"', '\'', ',', '.', '*', '/']));
            out.push_str(" ; ");
        }
    }
}
