//! Imports of the tree's own modules: whether they are there, and whether they have what is taken from them by name.
//!
//! It must never judge a library's module, or one that a tool makes.
//!
//! Invariant: one import of an edit is told of, the first.

use std::sync::Arc;

use super::{Change, Hallucinations, MAST, names};
use crate::detection::{Detection, Kind};
use crate::imports::{From, imports, named};
use crate::memory::Memory;
use crate::source::Language;
use crate::text::hash;

impl Hallucinations {
    /// Judges what an edit imports.
    pub(super) fn imported(&mut self, memory: &Memory, change: &Change<'_>, out: &mut Vec<Detection>) {
        let Change { file, language, old, new, begun } = *change;
        if is_made_up(file) {
            return;
        }
        let index = Arc::clone(&self.index);
        let by_name = named(new, language);
        for import in imports(new, language, file, &self.modules, &|path| index.has_file(path)) {
            let From::Tree(places) = &import.from else { continue };
            if names::is_generated(&import.path) {
                continue;
            }
            let files: Vec<String> =
                places.iter().flat_map(|place| names::module_files(place, language)).collect();
            let exists = places.iter().any(String::is_empty)
                || files.iter().any(|file| index.has_file(file) || self.written.contains(&hash(file)));
            let name = last_part(&import.path, language);
            let found = if exists {
                let names = by_name.iter().find(|(module, _)| *module == import.path);
                let names = names.map_or(&[][..], |(_, names)| names.as_slice());
                // Only what is source has its words in the index.
                let source = files.iter().any(|file| index.has_file(file) && Language::of(file).is_some());
                let Some(missing) = names.iter().find(|name| {
                    source
                        && name.len() >= 4
                        && !memory.words.has(name)
                        && !self.planned.has(name)
                        && !index.has_identifier(name)
                        && !old.contains(name.as_str())
                }) else {
                    continue;
                };
                let key = format!("{}:{missing}", import.path);
                if !self.introduce(memory, &key, file, true) {
                    continue;
                }
                Detection::new(Kind::Hallucination, "import", memory.event(), 65, 85)
                    .title(format!(
                        "{file} imports {missing} from {}, where nothing is called so",
                        import.path
                    ))
                    .advice("Look what the module exports, and import that; or define the name there first.")
                    .seen(memory.event(), format!("imported: {missing} from {}", import.path))
            } else {
                let seen = |file: &String| {
                    let base = file.rsplit('/').next().unwrap_or(file);
                    base.contains('.') && base.starts_with(name) && memory.words.has_file(base)
                };
                let known = memory.words.has(name)
                    || files.iter().any(seen)
                    || self.planned.has_file(name)
                    || old.contains(&import.path);
                if known || !self.introduce(memory, &import.path, file, true) {
                    continue;
                }
                Detection::new(Kind::Hallucination, "import", memory.event(), 70, 90)
                    .title(format!("{file} imports {}, which is not in the tree", import.path))
                    .advice(
                        "Look which packages there are (list the directory, search for the name) and import one that \
                         exists, or create it first.",
                    )
                    .seen(memory.event(), format!("imported: {}", import.path))
            };
            let about = by_name.iter().find(|(module, _)| *module == import.path);
            let about = about.filter(|_| exists).map_or_else(Vec::new, |(_, names)| names.clone());
            self.tell(found.mast(MAST), (about, files), begun, out);
            return;
        }
    }
}

/// The name of an imported module, without where it is and what it ends with.
fn last_part(path: &str, language: Language) -> &str {
    match language {
        Language::Python => path.rsplit('.').next().unwrap_or(path),
        Language::Script => {
            let name = path.rsplit('/').next().unwrap_or(path);
            ["js", "jsx", "mjs", "cjs", "ts", "tsx", "json", "css", "vue", "svelte"]
                .iter()
                .find_map(|end| name.strip_suffix(end)?.strip_suffix('.'))
                .unwrap_or(name)
        }
        _ => path.rsplit('/').next().unwrap_or(path),
    }
}

/// Whether a file only stands for others: what it imports need not be there.
fn is_made_up(file: &str) -> bool {
    file.split('/').any(|part| {
        matches!(
            part,
            "fixtures" | "__fixtures__" | "fixture" | "testdata" | "__mocks__" | "templates" | "examples"
        )
    })
}
