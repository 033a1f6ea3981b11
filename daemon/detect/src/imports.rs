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
    let mut quoted = false;
    source
        .lines()
        .take(4000)
        .filter_map(|line| {
            // What stands in a template is text, such as the source that a test writes to a file.
            let ticks = line.bytes().filter(|b| *b == b'`').count();
            let inside = quoted;
            quoted ^= language == Language::Script && ticks % 2 == 1;
            if inside { None } else { import(line.trim(), language, file, modules, is_own) }
        })
        .collect()
}

/// What a piece of source takes by name from modules: the module as it is written, and the names there.
#[must_use]
pub fn named(source: &str, language: Language) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    let mut rest = source;
    let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
    // The name before `as` is the module's.
    let list = |inside: &str| -> Vec<String> {
        let plain: Vec<&str> = inside
            .lines()
            .map(|line| line.split('#').next().unwrap_or(line))
            .map(|line| line.split("//").next().unwrap_or(line))
            .collect();
        plain
            .join(" ")
            .split(',')
            .map(|item| item.trim().trim_start_matches("type ").trim_start())
            .map(|item| item.split(|c| !word(c)).next().unwrap_or_default().to_owned())
            .filter(|name| !name.is_empty() && name != "default")
            .collect()
    };
    while found.len() < 64 {
        let Some(at) = rest.find(if language == Language::Python { "from " } else { "import " }) else {
            break;
        };
        let starts = rest[..at].ends_with('\n')
            || at == 0
            || rest[..at].ends_with(' ') && language == Language::Python;
        let here = &rest[at..];
        rest = rest.get(at + 5..).unwrap_or_default();
        if !starts {
            continue;
        }
        let import = match language {
            Language::Script => {
                let braces =
                    here.find('{').zip(here.find('}')).filter(|(open, close)| open < close && *close < 2000);
                let Some((open, close)) = braces else { continue };
                // Nothing but a default name may stand before the braces, and `from` must follow.
                let plain =
                    here.get(7..open).unwrap_or("{").chars().all(|c| word(c) || matches!(c, ' ' | ','));
                let behind = here[close + 1..].trim_start();
                let module = behind.strip_prefix("from").and_then(quoted);
                module.filter(|_| plain).map(|module| (module.to_owned(), list(&here[open + 1..close])))
            }
            Language::Python => {
                let line = here.lines().next().unwrap_or_default();
                let Some((module, names)) = line.get(5..).unwrap_or_default().split_once(" import ") else {
                    continue;
                };
                let names = match names.trim_start().strip_prefix('(') {
                    Some(_) => here
                        .find('(')
                        .zip(here.find(')'))
                        .map_or("", |(open, close)| here.get(open + 1..close).unwrap_or("")),
                    None => names,
                };
                let plain = |c: char| word(c) || c == '.';
                (module.chars().all(plain) && !names.contains('*')).then(|| (module.to_owned(), list(names)))
            }
            _ => None,
        };
        found.extend(import);
    }
    found
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
        Language::Script => script(line, file, is_own),
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

fn script(line: &str, file: &str, is_own: &dyn Fn(&str) -> bool) -> Option<Import> {
    // A statement stands at the beginning of its line; a call may stand anywhere but in a string.
    let statement = line.starts_with("import") || line.starts_with("export") || line.starts_with('}');
    let from = || line.find("from ").filter(|_| statement).map(|at| &line[at + 5..]);
    let call = |word: &str| {
        let at = line.find(word)?;
        let open = |quote: char| line[..at].matches(quote).count() % 2 == 1;
        (!open('"') && !open('\'')).then(|| &line[at + word.len()..])
    };
    let rest = from()
        .or_else(|| call("require("))
        .or_else(|| call("import("))
        .or_else(|| line.strip_prefix("import "))?;
    let path = quoted(rest).filter(|_| rest.trim_start().starts_with(['"', '\'']))?;
    let (path, _) = path.split_once('?').unwrap_or((path, ""));
    let from = if path.starts_with("./") || path.starts_with("../") {
        From::Tree(vec![joined(file, path)?])
    } else {
        aliased(path, file, is_own)
    };
    let mut name =
        line.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).filter(|word| !word.is_empty());
    let name = name.find(|word| !matches!(*word, "import" | "const" | "let" | "var" | "type" | "as"));
    Some(Import { path: path.to_owned(), name: name.unwrap_or_default().to_owned(), from })
}

/// `@/a/b`, `~/a/b` and `src/a/b` stand for a place that a bundler is told of: below the file's package, or a source
/// directory there. Which one it is shows where the first directory of the path is.
fn aliased(path: &str, file: &str, is_own: &dyn Fn(&str) -> bool) -> From {
    let (inside, roots): (&str, &[&str]) = match path.split_once('/') {
        Some(("@" | "~" | "~~" | "@@", inside)) => (inside, &["src/", "app/", "lib/", ""]),
        Some(("src" | "app", _)) => (path, &[""]),
        _ => return From::Elsewhere,
    };
    let Some((first, _)) = inside.split_once('/') else { return From::Elsewhere };
    let mut places = Vec::new();
    let mut package = file;
    loop {
        package = package.rsplit_once('/').map_or("", |(parent, _)| parent);
        for root in roots {
            let base = if package.is_empty() { (*root).to_owned() } else { format!("{package}/{root}") };
            if is_own(&format!("{base}{first}")) {
                places.push(format!("{base}{inside}"));
            }
        }
        if package.is_empty() {
            break;
        }
    }
    if places.is_empty() { From::Elsewhere } else { From::Tree(places) }
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
