//! The pages' own files, embedded: what lies at a path, its type, and the tag that a browser asks again by.
//!
//! Nothing captured is in them, so they need no login. A path is looked up as it stands: it is never decoded, and never
//! becomes a path of the file system.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use bytes::Bytes;

/// One file.
#[derive(Debug)]
pub(super) struct Asset {
    /// `Content-Type`.
    pub(super) kind: &'static str,
    /// What it holds.
    pub(super) body: Bytes,
    /// Strong validator: a hash of what it holds, quoted.
    pub(super) etag: String,
}

/// Every file with its path, as they lie in `assets/`.
static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// The pages themselves; they are served by their own rules, and not under these names.
const PAGES: [&str; 2] = ["/index.html", "/login.html"];
/// Where the scripts of the page begin.
const ENTRY: &str = "/js/app.js";

/// Files by path, without the pages.
static ASSETS: LazyLock<HashMap<&str, Asset>> = LazyLock::new(|| {
    let files = FILES.iter().filter(|(path, _)| !PAGES.contains(path));
    files.map(|(path, body)| (*path, Asset::new(path, Bytes::from_static(body)))).collect()
});

/// The page that shows everything.
static INDEX: LazyLock<Asset> = LazyLock::new(|| {
    let text = text(PAGES[0]).unwrap_or_default();
    Asset::new(PAGES[0], Bytes::from(preloading(text, &reached(ENTRY, &text_of))))
});

/// The page that lets somebody in, or says how to get in.
static LOGIN: LazyLock<Asset> =
    LazyLock::new(|| Asset::new(PAGES[1], Bytes::from_static(text(PAGES[1]).unwrap_or_default().as_bytes())));

impl Asset {
    fn new(path: &str, body: Bytes) -> Self {
        let etag = format!("\"{}\"", &blake3::hash(&body).to_hex()[..32]);
        Asset { kind: kind(path), body, etag }
    }
}

/// The file at a path.
pub(super) fn find(path: &str) -> Option<&'static Asset> {
    ASSETS.get(path)
}

/// The page that shows everything.
pub(super) fn index() -> &'static Asset {
    &INDEX
}

/// The page that lets somebody in.
pub(super) fn login() -> &'static Asset {
    &LOGIN
}

fn text(path: &str) -> Option<&'static str> {
    let (_, body) = FILES.iter().find(|(name, _)| *name == path)?;
    std::str::from_utf8(body).ok()
}

fn text_of(path: &str) -> Option<String> {
    text(path).map(ToOwned::to_owned)
}

fn kind(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, end)| end) {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "json" => "application/json",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// The modules that `entry` needs before it can run, itself first left out: what it imports, what those import. A browser
/// would find them one level after the other, with a round trip each.
fn reached(entry: &str, read: &dyn Fn(&str) -> Option<String>) -> BTreeSet<String> {
    let (mut seen, mut waiting) = (BTreeSet::new(), vec![entry.to_owned()]);
    while let Some(path) = waiting.pop() {
        let Some(text) = read(&path) else { continue };
        for name in imports(&text) {
            let Some(target) = resolve(&path, name) else { continue };
            if target != entry && seen.insert(target.clone()) {
                waiting.push(target);
            }
        }
    }
    seen
}

/// What a module imports before it runs, as it is written. Imports of ours stand at the beginning of a line, whose end
/// (or that of a later one, before the first `;`) has the name in double quotes.
fn imports(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
            if rest.is_empty() {
                return None;
            }
            let begins = ["import ", "import{", "export {", "export{", "export *"];
            if begins.iter().any(|word| line.starts_with(word)) {
                let statement = rest.split_once(';').map_or(rest, |(statement, _)| statement);
                rest = after;
                if let Some(name) = named(statement) {
                    return Some(name);
                }
            } else {
                rest = after;
            }
        }
    })
}

/// The module that a statement names.
fn named(statement: &str) -> Option<&str> {
    let (before, name) = statement.strip_suffix('"')?.rsplit_once('"')?;
    let before = before.trim_end();
    (before.ends_with("from") || before == "import").then_some(name)
}

/// The path that a module at `from` means by `name`.
fn resolve(from: &str, name: &str) -> Option<String> {
    if name.starts_with('/') {
        return Some(name.to_owned());
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in name.split('/') {
        match part {
            "." => {}
            ".." => _ = parts.pop()?,
            part => parts.push(part),
        }
    }
    name.starts_with('.').then(|| parts.join("/"))
}

/// The page with a link to each module before its first script.
fn preloading(page: &str, modules: &BTreeSet<String>) -> String {
    let Some(at) = page.find("<script") else { return page.to_owned() };
    let links = modules.iter().fold(String::new(), |mut links, path| {
        links.extend(["<link rel=\"modulepreload\" href=\"", path, "\">\n"]);
        links
    });
    format!("{}{links}{}", &page[..at], &page[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_a_type_and_what_the_page_names_is_there() {
        for (path, _) in FILES {
            assert_ne!(kind(path), "application/octet-stream", "{path}");
            assert_eq!(find(path).is_none(), PAGES.contains(path), "{path}");
        }
        for page in [index(), login()] {
            let text = std::str::from_utf8(&page.body).unwrap();
            let named = ["src=\"", "href=\""].into_iter().flat_map(|of| text.split(of).skip(1));
            let paths: Vec<&str> = named
                .filter_map(|rest| rest.split('"').next())
                .filter(|p| p.starts_with('/') && *p != "/")
                .collect();
            assert!(paths.len() > 2, "{paths:?}");
            for path in paths {
                assert!(find(path).is_some(), "{path}");
            }
            assert!(!text.contains("<style") && !text.contains(" style=") && !text.contains(" onclick"));
        }
    }

    #[test]
    fn tags_follow_the_content() {
        let of = |text: &'static str| Asset::new("/x.js", Bytes::from_static(text.as_bytes())).etag;
        assert_eq!(of("a"), of("a"));
        assert_ne!(of("a"), of("b"));
        assert_eq!(of("a").len(), 34);
    }

    #[test]
    fn modules_are_found_through_each_other() {
        let read = |path: &str| {
            let text = match path {
                "/js/app.js" => {
                    "// import \"./no.js\"\nimport { a,\n b } from \"./a.js\";\nimport \"./sub/s.js\";\nconst x = 1;"
                }
                "/js/a.js" => {
                    "export { b } from \"./b.js\";\nexport const from = \"./no.js\";\nexport * from \"../js/b.js\";"
                }
                "/js/sub/s.js" => {
                    "import * as a from \"../a.js\";\nimport x from \"bare\";\nimport(\"./later.js\");"
                }
                _ => return None,
            };
            Some(text.to_owned())
        };
        let found: Vec<String> = reached("/js/app.js", &read).into_iter().collect();
        assert_eq!(found, ["/js/a.js", "/js/b.js", "/js/sub/s.js"]);
        let page = preloading("<head><script src=x>", &reached("/js/app.js", &read));
        assert!(page.starts_with("<head><link rel=\"modulepreload\" href=\"/js/a.js\">\n"), "{page}");
        assert!(page.ends_with("<script src=x>"));
        // The real ones.
        let modules = reached(ENTRY, &text_of);
        assert!(modules.len() > 20 && modules.iter().all(|path| find(path).is_some()), "{modules:?}");
    }
}
