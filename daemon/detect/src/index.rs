//! What exists in the working directory, as far as somebody has looked it up.
//!
//! It must never say that something does not exist where nobody looked: an index that is not
//! [complete](Index::is_complete) supports no detection of something missing.
//!
//! Invariant: paths are relative to the working directory, with `/`.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use crate::text::hash;
use crate::words::{likeness, parts};

/// What the working directory holds.
pub trait Index: Send + Sync {
    /// Whether everything was looked at: only then does "not found" mean "does not exist".
    fn is_complete(&self) -> bool;
    /// A file, or a directory that holds one, at this path.
    fn has_file(&self, path: &str) -> bool;
    /// The paths of the files of this base name, at most 16.
    fn files_named(&self, name: &str) -> Vec<String>;
    /// Something of this name is defined in the tree.
    fn has_symbol(&self, name: &str) -> bool;
    /// This word occurs in the tree's sources.
    fn has_identifier(&self, name: &str) -> bool;
    /// A dependency of this name is declared.
    fn is_dependency(&self, name: &str) -> bool;
    /// The symbol whose parts are most like this name's, and how much of them is shared, percent.
    fn similar(&self, _name: &str) -> Option<(String, u8)> {
        None
    }
    /// The names by which the tree's own packages are imported from its root: a Go module's path.
    fn modules(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Nobody looked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unknown;

impl Index for Unknown {
    fn is_complete(&self) -> bool {
        false
    }
    fn has_file(&self, _: &str) -> bool {
        false
    }
    fn files_named(&self, _: &str) -> Vec<String> {
        Vec::new()
    }
    fn has_symbol(&self, _: &str) -> bool {
        false
    }
    fn has_identifier(&self, _: &str) -> bool {
        false
    }
    fn is_dependency(&self, _: &str) -> bool {
        false
    }
}

/// An index that was given as lists of names.
#[derive(Debug, Clone, Default)]
pub struct Workspace {
    name: String,
    files: HashSet<String>,
    /// Directories that hold a file, without a slash at the end.
    directories: HashSet<String>,
    by_name: HashMap<String, Vec<String>>,
    symbols: HashMap<String, Vec<String>>,
    identifiers: HashSet<String>,
    dependencies: Vec<String>,
    /// The symbols, and the hashes of their names' parts.
    split: Vec<(String, Vec<u64>)>,
    /// Which of them have this part in their name.
    by_part: HashMap<u64, Vec<usize>>,
}

/// Symbols that are remembered per part: a part that more have in common says little.
const MAX_ALIKE: usize = 512;
/// The most paths that [`Index::files_named`] tells.
const MAX_NAMED: usize = 16;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Lists {
    workspace: String,
    files: Vec<String>,
    dependencies: Vec<String>,
    symbols: HashMap<String, Vec<String>>,
    identifiers: Vec<String>,
}

fn hashed_parts(name: &str) -> Vec<u64> {
    parts(name).iter().map(|part| hash(part)).collect()
}

impl Workspace {
    /// From one line: `{"workspace","files","dependencies","symbols":{name:["kind:path"…]},"identifiers"}`.
    ///
    /// # Errors
    /// When the line is not such an object.
    pub fn from_line(line: &str) -> Result<Self, serde_json::Error> {
        Ok(Self::from_lists(serde_json::from_str(line)?))
    }

    fn from_lists(lists: Lists) -> Self {
        let mut workspace = Self {
            name: lists.workspace,
            symbols: lists.symbols,
            identifiers: lists.identifiers.into_iter().collect(),
            dependencies: lists.dependencies,
            ..Self::default()
        };
        let mut symbols: Vec<String> = workspace.symbols.keys().cloned().collect();
        symbols.sort();
        for symbol in symbols {
            let own = hashed_parts(&symbol);
            for part in &own {
                let alike = workspace.by_part.entry(*part).or_default();
                if alike.len() < MAX_ALIKE && alike.last() != Some(&workspace.split.len()) {
                    alike.push(workspace.split.len());
                }
            }
            workspace.split.push((symbol, own));
        }
        for file in lists.files {
            let mut directory = file.as_str();
            while let Some((parent, _)) = directory.rsplit_once('/') {
                if !workspace.directories.insert(parent.to_owned()) {
                    break;
                }
                directory = parent;
            }
            let name = file.rsplit('/').next().unwrap_or(&file).to_owned();
            workspace.by_name.entry(name).or_default().push(file.clone());
            workspace.files.insert(file);
        }
        workspace
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where something of this name is defined: `kind:path`.
    #[must_use]
    pub fn definitions(&self, name: &str) -> &[String] {
        self.symbols.get(name).map_or(&[], Vec::as_slice)
    }

    /// The dependencies, as they were given.
    #[must_use]
    pub fn dependencies(&self) -> &[String] {
        &self.dependencies
    }
}

impl Index for Workspace {
    fn is_complete(&self) -> bool {
        !self.files.is_empty()
    }
    fn has_file(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        self.files.contains(path) || self.directories.contains(path)
    }
    fn files_named(&self, name: &str) -> Vec<String> {
        self.by_name
            .get(name)
            .map(|paths| paths.iter().take(MAX_NAMED).cloned().collect())
            .unwrap_or_default()
    }
    fn has_symbol(&self, name: &str) -> bool {
        self.symbols.contains_key(name)
    }
    fn has_identifier(&self, name: &str) -> bool {
        self.identifiers.contains(name) || self.symbols.contains_key(name)
    }
    fn similar(&self, name: &str) -> Option<(String, u8)> {
        let own = hashed_parts(name);
        let mut best: Option<(&String, u8)> = None;
        for (symbol, other) in own
            .iter()
            .filter_map(|part| self.by_part.get(part))
            .flatten()
            .filter_map(|at| self.split.get(*at))
        {
            let like = likeness(&own, other);
            let better = best.is_none_or(|(first, most)| like > most || like == most && symbol < first);
            if like > 0 && symbol != name && better {
                best = Some((symbol, like));
            }
        }
        best.map(|(symbol, like)| (symbol.clone(), like))
    }
    fn modules(&self) -> Vec<String> {
        self.dependencies
            .iter()
            .filter_map(|known| known.strip_prefix("mod:"))
            .map(ToOwned::to_owned)
            .collect()
    }
    fn is_dependency(&self, name: &str) -> bool {
        self.dependencies.iter().any(|known| known == name)
    }
}
