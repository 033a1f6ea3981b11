//! What a line defines, language by language.
//!
//! Must never look beyond the line, but for Go's blocks.
//!
//! Invariant: what is told is one of the tokens.

use super::{at, behind, is_name, tell};

/// In what kind of Go's blocks a line stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Block {
    None,
    /// `const (`, `var (`, `type (`
    Values,
    /// `struct {`, `interface {`
    Members,
}

pub(super) fn go<'a>(tokens: &[&'a str], flat: bool, block: &mut Block, found: &mut dyn FnMut(&'a str)) {
    if flat {
        *block = Block::None;
        match at(tokens, 0) {
            "func" => {
                let place = if at(tokens, 1) == "(" { behind(tokens, 1, "(", ")") } else { 1 };
                tell(at(tokens, place), found);
            }
            "type" | "const" | "var" if at(tokens, 1) == "(" => *block = Block::Values,
            "type" | "const" | "var" => {
                tell(at(tokens, 1), found);
                if tokens.contains(&"struct") || tokens.contains(&"interface") {
                    *block = Block::Members;
                }
            }
            _ => {}
        }
    } else if *block != Block::None
        && is_name(at(tokens, 0))
        && !matches!(at(tokens, 0), "return" | "if" | "for")
    {
        // `A, B int`; of a single word in a struct the type is embedded, and defined elsewhere.
        let next = at(tokens, 1);
        if *block == Block::Values || !next.is_empty() && next != "." {
            tell(at(tokens, 0), found);
            let mut place = 1;
            while at(tokens, place) == "," {
                tell(at(tokens, place + 1), found);
                place += 2;
            }
        }
    }
}

pub(super) fn rust<'a>(tokens: &[&'a str], found: &mut dyn FnMut(&'a str)) {
    let mut place = 0;
    while matches!(at(tokens, place), "pub" | "default" | "async" | "unsafe" | "extern" | "\"" | "safe") {
        place += 1;
        if at(tokens, place) == "(" {
            place = behind(tokens, place, "(", ")");
        }
    }
    match at(tokens, place) {
        "const" if at(tokens, place + 1) == "fn" => tell(at(tokens, place + 2), found),
        "const" if matches!(at(tokens, place + 1), "unsafe" | "async") => tell(at(tokens, place + 3), found),
        "fn" | "struct" | "enum" | "trait" | "type" | "const" | "union" | "mod" => {
            tell(at(tokens, place + 1), found);
        }
        "static" => tell(at(tokens, place + 1 + usize::from(at(tokens, place + 1) == "mut")), found),
        "macro_rules" => tell(at(tokens, place + 2), found),
        // A field, or a variant of an enum.
        name if is_name(name) && at(tokens, place + 1) == ":" && at(tokens, place + 2) != ":" => {
            tell(name, found);
        }
        name if name.starts_with(|c: char| c.is_uppercase())
            && (tokens.len() == place + 2 && at(tokens, place + 1) == ","
                || matches!(at(tokens, place + 1), "(" | "{") && tokens.last() == Some(&",")) =>
        {
            tell(name, found);
        }
        _ => {}
    }
}

pub(super) fn python<'a>(tokens: &[&'a str], flat: bool, found: &mut dyn FnMut(&'a str)) {
    let place = usize::from(at(tokens, 0) == "async");
    match at(tokens, place) {
        "def" | "class" => tell(at(tokens, place + 1), found),
        "self" | "cls" if at(tokens, 1) == "." && (at(tokens, 3) == ":" || is_assigned(tokens, 3)) => {
            tell(at(tokens, 2), found);
        }
        // A field of a class, or of the module.
        name if is_name(name)
            && !matches!(name, "else" | "try" | "finally" | "lambda" | "return" | "except")
            && (at(tokens, 1) == ":" && tokens.len() > 2 || flat && is_assigned(tokens, 1)) =>
        {
            tell(name, found);
        }
        _ => {}
    }
}

fn is_assigned(tokens: &[&str], place: usize) -> bool {
    at(tokens, place) == "=" && at(tokens, place + 1) != "="
}

fn controls(word: &str) -> bool {
    matches!(
        word,
        "if" | "for"
            | "while"
            | "switch"
            | "catch"
            | "return"
            | "else"
            | "do"
            | "with"
            | "new"
            | "throw"
            | "await"
            | "case"
            | "default"
            | "function"
            | "super"
            | "typeof"
            | "yield"
            | "delete"
            | "in"
            | "of"
            | "import"
            | "using"
            | "lock"
            | "foreach"
            | "match"
            | "when"
            | "guard"
            | "elseif"
            | "echo"
            | "print"
            | "goto"
            | "sizeof"
            | "assert"
            | "try"
            | "finally"
            | "package"
            | "is"
            | "as"
            | "not"
            | "and"
            | "or"
    )
}

pub(super) fn script<'a>(tokens: &[&'a str], flat: bool, found: &mut dyn FnMut(&'a str)) {
    let mut place = 0;
    while matches!(
        at(tokens, place),
        "export"
            | "default"
            | "declare"
            | "abstract"
            | "async"
            | "static"
            | "public"
            | "private"
            | "protected"
            | "readonly"
            | "override"
            | "get"
            | "set"
            | "*"
            | "#"
            | "accessor"
    ) && !matches!(at(tokens, place + 1), "(" | ":" | "=" | "?" | "," | ";")
    {
        place += 1;
    }
    let name = at(tokens, place);
    let next = at(tokens, place + 1);
    match name {
        "function" => tell(at(tokens, place + 1 + usize::from(next == "*")), found),
        "class" | "interface" | "type" | "enum" | "namespace" | "module" => tell(next, found),
        "const" | "let" | "var" if next == "enum" => tell(at(tokens, place + 2), found),
        "const" | "let" | "var" if flat || place > 0 || at(tokens, place + 2) == "=" => {
            // A function in a variable, or what the module holds.
            let function = tokens.contains(&"function") || tokens.windows(2).any(|pair| pair == ["=", ">"]);
            if flat || function {
                tell(next, found);
            }
        }
        _ if !is_name(name) || controls(name) => {}
        // A field or a key, a method.
        _ if next == ":" || next == "?" && at(tokens, place + 2) == ":" => tell(name, found),
        _ if place > 0 && matches!(next, "=" | ";") => tell(name, found),
        _ if matches!(next, "(" | "<") && (tokens.last() == Some(&"{") || place > 0) => tell(name, found),
        _ if next == "(" && at(tokens, behind(tokens, place + 1, "(", ")")) == ":" => tell(name, found),
        _ => {}
    }
}

pub(super) fn ruby<'a>(tokens: &[&'a str], found: &mut dyn FnMut(&'a str)) {
    let place =
        usize::from(matches!(at(tokens, 0), "private" | "protected" | "public" | "private_class_method"));
    match at(tokens, place) {
        "def" => {
            let owner = at(tokens, place + 2) == ".";
            tell(at(tokens, place + 1 + if owner { 2 } else { 0 }), found);
        }
        "class" | "module" => {
            let named = tokens.iter().skip(place + 1).take_while(|token| is_name(token) || **token == ":");
            named.filter(|token| is_name(token)).for_each(|token| tell(token, found));
        }
        "attr_accessor" | "attr_reader" | "attr_writer" | "scope" | "has_many" | "has_one" | "belongs_to"
        | "delegate" | "let" | "enum" => {
            tokens.windows(2).filter(|pair| pair[0] == ":").for_each(|pair| tell(pair[1], found));
        }
        name if name.starts_with(|c: char| c.is_uppercase()) && is_assigned(tokens, 1) => tell(name, found),
        _ => {}
    }
}

pub(super) fn elixir<'a>(line: &'a str, tokens: &[&'a str], found: &mut dyn FnMut(&'a str)) {
    match at(tokens, 0) {
        "def" | "defp" | "defmacro" | "defmacrop" | "defdelegate" | "defguard" | "defguardp" | "defn" => {
            tell(at(tokens, 1), found);
        }
        // Modules are known by their whole name, and by its last part.
        "defmodule" | "defprotocol" | "defimpl" => {
            if let Some(name) = line.split_whitespace().nth(1).map(|name| name.trim_end_matches(',')) {
                found(name);
                if let Some((_, last)) = name.rsplit_once('.') {
                    tell(last, found);
                }
            }
        }
        "field" | "attribute" | "belongs_to" | "has_many" | "has_one" | "embeds_one" | "embeds_many"
            if at(tokens, 1) == ":" =>
        {
            tell(at(tokens, 2), found);
        }
        "@" if !matches!(
            at(tokens, 1),
            "doc" | "moduledoc" | "spec" | "impl" | "type" | "behaviour" | "callback"
        ) =>
        {
            tell(at(tokens, 1), found);
        }
        _ => {}
    }
}

pub(super) fn shell<'a>(tokens: &[&'a str], found: &mut dyn FnMut(&'a str)) {
    if at(tokens, 0) == "function" {
        tell(at(tokens, 1), found);
    } else if at(tokens, 1) == "(" && at(tokens, 2) == ")" || is_assigned(tokens, 1) {
        tell(at(tokens, 0), found);
    }
}

/// Languages with braces: Java, Kotlin, Scala, C#, Swift, PHP, Dart, C, C++.
pub(super) fn braces<'a>(tokens: &[&'a str], c: bool, found: &mut dyn FnMut(&'a str)) {
    if c && at(tokens, 0) == "#" {
        if at(tokens, 1) == "define" {
            tell(at(tokens, 2), found);
        }
        return;
    }
    let mut named = false;
    for (place, token) in tokens.iter().enumerate() {
        match *token {
            "class" | "interface" | "enum" | "record" | "struct" | "trait" | "protocol" | "extension"
            | "object" | "namespace" | "fun" | "func" | "function" | "def" | "typealias" | "union"
            | "actor" | "mixin" => {
                // `fun Receiver.name(`, `enum class Name`
                let next = at(tokens, place + 1);
                if next == "class" || next == "struct" {
                    continue;
                }
                // In C also the type of what is defined: `struct user *find(int id)`.
                if c && !matches!(at(tokens, place + 2), "" | "{" | ":" | ";" | "final") {
                    continue;
                }
                let owner = at(tokens, place + 2) == "." && matches!(*token, "fun" | "func");
                tell(if owner { at(tokens, place + 3) } else { next }, found);
                // A class may have its fields in the same line.
                if !matches!(*token, "class" | "record" | "object") {
                    return;
                }
                named = true;
            }
            "val" | "var" | "let" | "const" if at(tokens, place + 2) != "(" => {
                tell(at(tokens, place + 1), found);
            }
            "=" | ";" | "{" => break,
            // `Type name(`: a method or a function; a declaration if a type stands before it.
            "(" if place >= 2 && !named => {
                let (name, before) = (at(tokens, place - 1), at(tokens, place - 2));
                let typed =
                    is_name(before) && !controls(before) || matches!(before, ">" | "*" | "&" | "]" | "?");
                let qualified = before == ":" && place >= 4;
                if is_name(name) && !controls(name) && !controls(at(tokens, 0)) && (typed || qualified) {
                    tell(name, found);
                }
                return;
            }
            _ => {}
        }
    }
    // `private final Type name;`; in C also `int name[4];`, be it a field or a variable. What else begins like that is
    // more often a variable of a function.
    let modified = matches!(
        at(tokens, 0),
        "public"
            | "private"
            | "protected"
            | "internal"
            | "static"
            | "final"
            | "readonly"
            | "extern"
            | "volatile"
            | "const"
    );
    let end = tokens.iter().position(|token| matches!(*token, "=" | ";" | "{" | "["));
    if let Some(end) = end.filter(|end| *end >= 2 && !named && (modified || c && at(tokens, *end) != "=")) {
        let (name, before) = (at(tokens, end - 1), at(tokens, end - 2));
        let typed = is_name(before) && !controls(before) || matches!(before, ">" | "*" | "]" | "?" | "}");
        if is_name(name) && typed && !controls(at(tokens, 0)) {
            tell(name, found);
        }
    }
}

/// Anything else: what stands behind the words that most languages define with.
pub(super) fn keyword<'a>(tokens: &[&'a str], found: &mut dyn FnMut(&'a str)) {
    for pair in tokens.windows(2) {
        let word = pair[0].to_ascii_lowercase();
        let defines = matches!(
            word.as_str(),
            "function"
                | "def"
                | "defn"
                | "fn"
                | "proc"
                | "sub"
                | "message"
                | "service"
                | "rpc"
                | "enum"
                | "model"
                | "type"
                | "struct"
                | "interface"
                | "contract"
                | "input"
                | "table"
                | "view"
                | "class"
                | "const"
        );
        if defines && is_name(pair[1]) {
            tell(pair[1], found);
            return;
        }
    }
}
