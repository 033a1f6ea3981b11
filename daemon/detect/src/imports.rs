//! What a piece of source imports, line by line, in the ways of several languages.
//!
//! It must never call a library's module one of the tree's own.
//!
//! Invariant: what cannot be told is [`From::Elsewhere`].

use crate::source::Language;

/// Where an import comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum From {
    /// A path of the tree, as the language writes it: a directory or a file without its ending. Any of these.
    Tree(Vec<String>),
    /// A library, or nobody knows.
    Elsewhere,
}

/// One import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// As it is written.
    pub path: String,
    /// The name by which the source speaks of it.
    pub name: String,
    /// Where it comes from.
    pub from: From,
}

/// The imports of a piece of source that belongs at `file`, a path within the tree. `modules` are the names by which
/// the tree's own packages are imported; `is_own` tells whether a top-level name is a directory of the tree.
pub fn imports(
    source: &str,
    language: Language,
    file: &str,
    modules: &[String],
    is_own: &dyn Fn(&str) -> bool,
) -> Vec<Import> {
    source
        .lines()
        .take(4000)
        .filter_map(|line| import(line.trim(), language, file, modules, is_own))
        .collect()
}

fn import(
    line: &str,
    language: Language,
    file: &str,
    modules: &[String],
    is_own: &dyn Fn(&str) -> bool,
) -> Option<Import> {
    match language {
        Language::Go => go(line, modules),
        Language::Script => script(line, file),
        Language::Python => python(line, file, is_own),
        Language::Java => {
            let path =
                line.strip_prefix("import ")?.trim_start_matches("static ").trim_end_matches([';', ' ']);
            let name = path.rsplit('.').next().unwrap_or(path);
            Some(Import { path: path.to_owned(), name: name.to_owned(), from: From::Elsewhere })
        }
        Language::Rust => {
            let path = line.trim_start_matches("pub ").strip_prefix("use ")?.trim_end_matches(';');
            let name = path.split("::").next().unwrap_or(path);
            let own = matches!(name, "crate" | "self" | "super");
            (!own).then(|| Import { path: path.to_owned(), name: name.to_owned(), from: From::Elsewhere })
        }
        Language::Ruby => {
            let path =
                quoted(line.strip_prefix("require ").or_else(|| line.strip_prefix("require_relative "))?)?;
            let from = if line.starts_with("require_relative") {
                From::Tree(vec![joined(file, path)?])
            } else {
                From::Elsewhere
            };
            Some(Import { path: path.to_owned(), name: last(path).to_owned(), from })
        }
        Language::C | Language::Elixir | Language::Shell => None,
    }
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn quoted(text: &str) -> Option<&str> {
    let start = text.find(['"', '\''])?;
    let quote = text.get(start..=start)?;
    let rest = text.get(start + 1..)?;
    rest.split_once(quote).map(|(inside, _)| inside).filter(|inside| !inside.is_empty())
}

/// `name "path"` alone on its line.
fn go(line: &str, modules: &[String]) -> Option<Import> {
    let line = line.strip_prefix("import ").unwrap_or(line).trim();
    let (alias, rest) = line.split_once('"')?;
    let (path, behind) = rest.split_once('"')?;
    let alias = alias.trim();
    let plain = |text: &str| {
        text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'/'))
    };
    let commented = behind.trim().is_empty() || behind.trim().starts_with("//");
    if path.is_empty() || !plain(path) || !plain(alias) || alias.contains('/') || !commented {
        return None;
    }
    let own = modules
        .iter()
        .find_map(|module| path.strip_prefix(module.as_str()).filter(|rest| rest.starts_with('/')));
    let from = own.map_or(From::Elsewhere, |rest| From::Tree(vec![rest.trim_start_matches('/').to_owned()]));
    // A version at the end is not the package's name.
    let version = |part: &str| part.strip_prefix('v').is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
    let name = path.rsplit('/').find(|part| !version(part)).unwrap_or(path);
    let name = if alias.is_empty() || alias == "_" || alias == "." { name } else { alias };
    Some(Import { path: path.to_owned(), name: name.to_owned(), from })
}

fn script(line: &str, file: &str) -> Option<Import> {
    let rest = ["from ", "require(", "import("]
        .iter()
        .find_map(|word| line.find(word).map(|at| &line[at + word.len()..]))
        .or_else(|| line.strip_prefix("import "))?;
    let path = quoted(rest).filter(|_| rest.trim_start().starts_with(['"', '\'']))?;
    let (path, _) = path.split_once('?').unwrap_or((path, ""));
    let from = if path.starts_with("./") || path.starts_with("../") {
        From::Tree(vec![joined(file, path)?])
    } else {
        From::Elsewhere
    };
    let mut name =
        line.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).filter(|word| !word.is_empty());
    let name = name.find(|word| !matches!(*word, "import" | "const" | "let" | "var" | "type" | "as"));
    Some(Import { path: path.to_owned(), name: name.unwrap_or_default().to_owned(), from })
}

fn python(line: &str, file: &str, is_own: &dyn Fn(&str) -> bool) -> Option<Import> {
    let path = line.strip_prefix("from ").or_else(|| line.strip_prefix("import "))?;
    let path = path.split([' ', ',', ';']).next().unwrap_or(path);
    if path.is_empty() || !path.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.')) {
        return None;
    }
    let name = path.rsplit('.').next().unwrap_or(path).to_owned();
    let dots = path.bytes().take_while(|b| *b == b'.').count();
    let from = if dots > 0 {
        let up = "../".repeat(dots - 1);
        let inside = path.trim_start_matches('.').replace('.', "/");
        if inside.is_empty() {
            From::Elsewhere
        } else {
            From::Tree(vec![joined(file, &format!("./{up}{inside}"))?])
        }
    } else {
        let slashed = path.replace('.', "/");
        let top = slashed.split('/').next().unwrap_or_default();
        let roots: Vec<String> = ["", "src/", "lib/", "app/", "backend/"]
            .iter()
            .filter(|root| slashed.contains('/') && is_own(&format!("{root}{top}")))
            .map(|root| format!("{root}{slashed}"))
            .collect();
        if roots.is_empty() { From::Elsewhere } else { From::Tree(roots) }
    };
    Some(Import { path: path.to_owned(), name, from })
}

/// A relative path, seen from a file's directory; `None` where it leaves the tree.
fn joined(file: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}
