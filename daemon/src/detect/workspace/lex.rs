//! What a source file defines, line by line, by keywords and the shape of a line.
//!
//! Must never be mistaken for a parser. What it misses is only not offered as "what is meant": whether a name exists is
//! asked of all words of the tree.
//!
//! Invariants: linear in the text's length; names are pieces of the text.

use ccd_detect::source::Language;
use ccd_detect::words::is_word;

mod languages;

use languages::{Block, braces, elixir, go, keyword, python, ruby, rust, script, shell};

/// How a file's definitions look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One that the detectors read, too.
    Known(Language),
    /// PHP.
    Php,
    /// Something else that is written by people to be run or to describe what is.
    Other,
}

impl Kind {
    /// By a file's name without its directory; `None` for anything that is no source.
    pub(super) fn of(name: &str) -> Option<Self> {
        if let Some(language) = Language::of(name) {
            return Some(Self::Known(language));
        }
        let end = name.rsplit_once('.').map_or("", |(_, end)| end);
        match end {
            "php" => Some(Self::Php),
            "m" | "mm" | "cu" | "cuh" | "inl" | "ipp" | "hxx" | "ino" => Some(Self::Known(Language::C)),
            "groovy" | "gradle" | "dart" => Some(Self::Known(Language::Java)),
            "rake" | "gemspec" => Some(Self::Known(Language::Ruby)),
            "sql" | "proto" | "thrift" | "graphql" | "gql" | "prisma" | "lua" | "r" | "R" | "jl" | "hs"
            | "ml" | "mli" | "clj" | "cljs" | "erl" | "hrl" | "fs" | "fsx" | "zig" | "nim" | "pl" | "pm"
            | "tcl" | "el" | "lisp" | "scm" | "vim" | "sol" | "move" | "tf" | "nix" | "css" | "scss"
            | "less" | "html" | "erb" | "heex" | "eex" | "astro" | "mdx" | "ps1" | "fish" | "ksh" | "awk"
            | "cmake" | "pyx" | "pxd" => Some(Self::Other),
            _ => None,
        }
    }
}

/// Tokens of a line that are looked at: what it defines stands at its beginning.
const MAX_TOKENS: usize = 24;
/// Bytes of a line beyond which it was not written by hand.
const MAX_LINE: usize = 1000;

/// Calls for each name that is defined; some more than once.
pub(super) fn definitions<'a>(text: &'a str, kind: Kind, found: &mut dyn FnMut(&'a str)) {
    let mut tokens: Vec<&'a str> = Vec::with_capacity(MAX_TOKENS);
    let mut skip = Skip::default();
    let mut block = Block::None;
    for line in text.lines() {
        if line.len() > MAX_LINE || skip.over(line, kind) {
            continue;
        }
        tokenise(line, &mut tokens);
        let Some(first) = tokens.first() else { continue };
        if matches!(*first, "/" | "*") {
            continue;
        }
        let flat = !line.starts_with([' ', '\t']);
        match kind {
            Kind::Known(Language::Go) => go(&tokens, flat, &mut block, found),
            Kind::Known(Language::Rust) => rust(&tokens, found),
            Kind::Known(Language::Python) => python(&tokens, flat, found),
            Kind::Known(Language::Script) => script(&tokens, flat, found),
            Kind::Known(Language::Ruby) => ruby(&tokens, found),
            Kind::Known(Language::Elixir) => elixir(line, &tokens, found),
            Kind::Known(Language::Shell) => shell(&tokens, found),
            Kind::Known(Language::Java) | Kind::Php => braces(&tokens, false, found),
            Kind::Known(Language::C) => braces(&tokens, true, found),
            Kind::Other => keyword(&tokens, found),
        }
    }
}

/// What is left out over several lines: comments, and Python's long strings.
#[derive(Default)]
struct Skip {
    until: Option<&'static str>,
}

impl Skip {
    fn over(&mut self, line: &str, kind: Kind) -> bool {
        if let Some(end) = self.until {
            if line.contains(end) {
                self.until = None;
            }
            return true;
        }
        let start = line.trim_start();
        let marks: &[(&str, &str)] = match kind {
            Kind::Known(Language::Python | Language::Elixir) => &[("\"\"\"", "\"\"\""), ("'''", "'''")],
            Kind::Known(Language::Ruby) => &[("=begin", "=end")],
            Kind::Known(Language::Shell) => &[],
            _ => &[("/*", "*/")],
        };
        for (open, close) in marks {
            // Of a string or a comment that begins further behind, a line or two may be taken for code: no harm.
            let docs = start.strip_prefix("@moduledoc ").or(start.strip_prefix("@doc ")).unwrap_or(start);
            if let Some(rest) = docs.strip_prefix(open) {
                if !rest.contains(close) {
                    self.until = Some(close);
                }
                return true;
            }
        }
        match kind {
            Kind::Known(Language::Python | Language::Elixir | Language::Ruby | Language::Shell) => {
                start.starts_with('#')
            }
            Kind::Known(Language::C) => start.starts_with("//"),
            Kind::Other => start.starts_with("//") || start.starts_with("--") || start.starts_with('#'),
            _ => start.starts_with("//") || start.starts_with("#["),
        }
    }
}

/// The line's first words and signs; strings are one `"`.
fn tokenise<'a>(line: &'a str, tokens: &mut Vec<&'a str>) {
    tokens.clear();
    let bytes = line.as_bytes();
    let mut at = 0;
    while at < bytes.len() && tokens.len() < MAX_TOKENS {
        let start = at;
        match bytes[at] {
            byte if byte.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            byte if is_word(byte) || byte == b'$' => {
                while at < bytes.len() && (is_word(bytes[at]) || bytes[at] == b'$') {
                    at += 1;
                }
            }
            quote @ (b'"' | b'`') => {
                at += 1;
                while at < bytes.len() && bytes[at] != quote {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at = (at + 1).min(bytes.len());
                tokens.push("\"");
                continue;
            }
            _ => at += 1,
        }
        if let Some(token) = line.get(start..at) {
            tokens.push(token);
        }
    }
}

fn is_name(token: &str) -> bool {
    token.bytes().next().is_some_and(|byte| (is_word(byte) || byte == b'$') && !byte.is_ascii_digit())
}

fn at<'a>(tokens: &[&'a str], place: usize) -> &'a str {
    tokens.get(place).copied().unwrap_or_default()
}

/// Tells of a name, without the sign that PHP and JavaScript put before it: the words of a text are without.
fn tell<'a>(name: &'a str, found: &mut dyn FnMut(&'a str)) {
    let name = name.trim_start_matches('$');
    if is_name(name) && !name.contains('$') {
        found(name);
    }
}

/// `(…)` from `place` on: where it ends.
fn behind(tokens: &[&str], place: usize, open: &str, close: &str) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(place) {
        if *token == open {
            depth += 1;
        } else if *token == close {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return at + 1;
            }
        }
    }
    tokens.len()
}

#[cfg(test)]
#[path = "lex_tests.rs"]
mod tests;
