//! Source code as far as a name's place in it has to be told: what is defined, what is called or taken from something.
//!
//! It must never be mistaken for a parser: it reads tokens, of whatever language, and when in doubt calls a name defined.
//!
//! Invariant: strings are blanked, comments too but for calls that they cite; the text keeps its lines.

mod blank;

use std::collections::HashSet;

use crate::text::head;
use crate::words::is_word;
use blank::{blanked, uncut};

/// Bytes of a text that are read.
const MAX_SOURCE: usize = 48 * 1024;

/// A language, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Go.
    Go,
    /// JavaScript and TypeScript.
    Script,
    /// Python.
    Python,
    /// Rust.
    Rust,
    /// Elixir.
    Elixir,
    /// Java, Kotlin, Scala, C#, Swift.
    Java,
    /// C and C++.
    C,
    /// Ruby.
    Ruby,
    /// Shells.
    Shell,
}

impl Language {
    /// By a file's name; `None` for anything that is no code.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        let (_, end) = path.rsplit_once('.')?;
        Some(match end {
            "go" => Self::Go,
            "ts" | "tsx" | "js" | "jsx" | "mjs" | "cjs" | "mts" | "cts" | "vue" | "svelte" => Self::Script,
            "py" | "pyi" => Self::Python,
            "rs" => Self::Rust,
            "ex" | "exs" => Self::Elixir,
            "java" | "kt" | "kts" | "scala" | "cs" | "swift" => Self::Java,
            "c" | "h" | "cc" | "cpp" | "cxx" | "hpp" | "hh" => Self::C,
            "rb" => Self::Ruby,
            "sh" | "bash" | "zsh" => Self::Shell,
            _ => return None,
        })
    }

    fn hash_comments(self) -> bool {
        matches!(self, Self::Python | Self::Elixir | Self::Ruby | Self::Shell)
    }
}

/// A name that is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mention {
    /// The name.
    pub name: String,
    /// What it is taken from: `a` in `a.name`; "" where that is an expression.
    pub of: Option<String>,
    /// What the chain begins with: `a` in `a.b(c).name`; "" where there is none.
    pub root: String,
}

/// The names of a piece of source.
#[derive(Debug, Default)]
pub struct Names {
    /// Those that are called, or taken from something.
    pub used: Vec<Mention>,
    /// Those that it defines itself.
    pub defined: HashSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Token<'a> {
    text: &'a str,
    word: bool,
    /// The first of its line.
    first: bool,
    /// The first word of the line that it stands in.
    line: &'a str,
}

/// Words before a name that is being defined.
fn defines(word: &str) -> bool {
    matches!(
        word,
        "func"
            | "fn"
            | "def"
            | "defp"
            | "defmacro"
            | "defmodule"
            | "defstruct"
            | "class"
            | "function"
            | "type"
            | "struct"
            | "interface"
            | "enum"
            | "trait"
            | "const"
            | "let"
            | "var"
            | "val"
            | "static"
            | "module"
            | "macro"
            | "fun"
            | "record"
            | "import"
            | "as"
            | "package"
            | "namespace"
            | "using"
            | "alias"
            | "mod"
            | "for"
            | "object"
            | "union"
            | "typedef"
            | "attr_accessor"
            | "attr_reader"
            | "mut"
            | "async"
            | "get"
            | "set"
            | "local"
            | "declare"
            | "export"
            | "use"
            | "union_type"
            | "protocol"
    )
}

/// Words that control, so that a parenthesis behind them is no call.
fn controls(word: &str) -> bool {
    matches!(
        word,
        "if" | "for"
            | "while"
            | "switch"
            | "match"
            | "elif"
            | "unless"
            | "until"
            | "case"
            | "select"
            | "when"
            | "return"
            | "else"
            | "catch"
            | "do"
            | "go"
            | "defer"
            | "range"
            | "await"
            | "yield"
            | "throw"
            | "with"
            | "assert"
            | "try"
            | "not"
            | "and"
            | "or"
            | "in"
            | "raise"
            | "new"
            | "cond"
            | "loop"
            | "guard"
    )
}

/// Reads a piece of source.
#[must_use]
pub fn names(source: &str, language: Language) -> Names {
    let clean = blanked(&uncut(head(source, MAX_SOURCE)), language);
    let tokens = tokens(&clean);
    let mut names = Names::default();
    for (at, token) in tokens.iter().enumerate() {
        if token.word {
            word(&tokens, at, &mut names);
        } else if matches!(token.text, "=" | ":=") {
            assigned(&tokens, at, &mut names.defined);
        }
    }
    names
}

fn text_at<'a>(tokens: &[Token<'a>], at: Option<usize>) -> &'a str {
    at.and_then(|at| tokens.get(at)).map_or("", |token| token.text)
}

fn word(tokens: &[Token<'_>], at: usize, names: &mut Names) {
    let token = tokens[at];
    let before = text_at(tokens, at.checked_sub(1));
    let next = tokens.get(at + 1).filter(|next| !next.first);
    let behind = next.map_or("", |next| next.text);
    let member = matches!(before, "." | "::" | "->" | "?.") && !token.first
        // A chain that goes on in the next line.
        || token.line == token.text && matches!(before, "." | "?.");
    let defined = !member
        && (defines(before)
            || before == ")" && token.line == "func"
            || matches!(behind, ":" | "?:") && !controls(token.text)
            || token.first
                && next.is_some_and(|next| next.word || matches!(next.text, "*" | "["))
                && !controls(token.text)
            || behind == "(" && is_signature(tokens, at));
    if defined {
        names.defined.insert(token.text.to_owned());
        if behind == "(" || behind == "<" || behind == "[" {
            parameters(tokens, at, &mut names.defined);
        }
        return;
    }
    if controls(token.text) || defines(token.text) {
        return;
    }
    if member {
        let of = at.checked_sub(2).and_then(|of| tokens.get(of)).filter(|of| of.word);
        let of = of.map_or(String::new(), |of| of.text.to_owned());
        let root = root(tokens, at).map_or(String::new(), ToOwned::to_owned);
        names.used.push(Mention { name: token.text.to_owned(), of: Some(of), root });
    } else if behind == "("
        || matches!(before, "new" | "<") && token.text.starts_with(|c: char| c.is_uppercase())
    {
        names.used.push(Mention { name: token.text.to_owned(), of: None, root: String::new() });
    }
}

/// The word that a chain of members, calls and indexes begins with, seen from one of its members.
fn root<'a>(tokens: &[Token<'a>], member: usize) -> Option<&'a str> {
    let (mut at, mut found) = (member.checked_sub(1)?, None);
    for _ in 0..200 {
        // Here stands a `.` or the like; before it a word, or what was called or indexed.
        let mut before = at.checked_sub(1)?;
        let mut depth = 0_u32;
        loop {
            match tokens.get(before)?.text {
                ")" | "]" => depth += 1,
                "(" | "[" => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 && tokens[before].word {
                break;
            }
            if depth == 0 && !matches!(tokens[before].text, "(" | "[" | "!" | "?") || member - before > 400 {
                return found;
            }
            before = before.checked_sub(1)?;
        }
        found = Some(tokens[before].text);
        match before.checked_sub(1).and_then(|place| tokens.get(place)) {
            Some(token) if matches!(token.text, "." | "::" | "->" | "?.") => at = before - 1,
            _ => return found,
        }
    }
    found
}

/// `name(…)` that is the head of a method or an item of an interface, not a call.
fn is_signature(tokens: &[Token<'_>], at: usize) -> bool {
    let token = tokens[at];
    if controls(token.line) && token.line != token.text {
        return false;
    }
    let typed = at.checked_sub(1).and_then(|before| tokens.get(before)).is_some_and(|before| {
        before.word && !controls(before.text) || matches!(before.text, "*" | ">" | "]" | "&")
    });
    if !token.first && !typed {
        return false;
    }
    let mut depth = 0_u32;
    for (place, inner) in tokens.iter().enumerate().skip(at + 1).take(200) {
        match inner.text {
            "(" => depth += 1,
            ")" => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return tokens.get(place + 1).is_some_and(|after| {
                        !after.first && (after.word || matches!(after.text, "{" | "(" | "*" | "[" | ":" | "->" | "=>"))
                            // In C and Java a type before the name and a semicolon behind is a declaration.
                            || typed && after.text == ";"
                    });
                }
            }
            _ => {}
        }
    }
    false
}

/// The names between the parentheses behind a definition.
fn parameters(tokens: &[Token<'_>], at: usize, defined: &mut HashSet<String>) {
    let mut depth = 0_u32;
    for inner in tokens.iter().skip(at + 1).take(120) {
        match inner.text {
            "(" | "[" | "<" => depth += 1,
            ")" | "]" | ">" => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return;
                }
            }
            _ if inner.word => {
                defined.insert(inner.text.to_owned());
            }
            _ => {}
        }
    }
}

/// `a, b = …`, `{ a, b } = …`: what stands before an assignment.
fn assigned(tokens: &[Token<'_>], at: usize, defined: &mut HashSet<String>) {
    let mut place = at;
    for _ in 0..24 {
        let Some(before) = place.checked_sub(1) else { return };
        let token = tokens[before];
        let owned = matches!(text_at(tokens, before.checked_sub(1)), "." | "::" | "->");
        if token.word && !owned {
            defined.insert(token.text.to_owned());
        } else if !matches!(token.text, "," | "{" | "}" | "(" | ")" | "[" | "]" | ":" | "*" | "&") {
            return;
        }
        if token.first {
            return;
        }
        place = before;
    }
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    for line in text.lines() {
        let bytes = line.as_bytes();
        let (mut at, mut first, mut head) = (0, true, "");
        while at < bytes.len() {
            let start = at;
            let word = is_word(bytes[at]);
            if word {
                while at < bytes.len() && is_word(bytes[at]) {
                    at += 1;
                }
            } else if bytes[at].is_ascii_whitespace() {
                at += 1;
                continue;
            } else {
                let two = line.get(at..at + 2).unwrap_or_default();
                at += if matches!(two, ":=" | "::" | "->" | "=>" | "==" | "!=" | "<=" | ">=" | "?." | "?:") {
                    2
                } else {
                    1
                };
            }
            let Some(text) = line.get(start..at) else { continue };
            if first {
                head = text;
            }
            let word = word && !text.starts_with(|c: char| c.is_ascii_digit());
            tokens.push(Token { text, word, first, line: head });
            first = false;
        }
    }
    tokens
}
