//! Where transcripts lie: the client's own directories, and those that the configuration names.
//!
//! Pure: whoever knows the environment hands it in.

use std::path::{Path, PathBuf};

/// The directory below the client's that holds its transcripts.
const PROJECTS: &str = "projects";

/// What is read, and from where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Whether transcripts are read at all.
    pub enabled: bool,
    /// Directories that are searched, with everything below them.
    pub roots: Vec<PathBuf>,
}

/// The directories of the client: those of `CLAUDE_CONFIG_DIR`, separated by commas, or else both places that it is
/// known to use. Relative ones are of no use to a daemon, and are left out.
#[must_use]
pub fn of_client(config_dirs: Option<&str>, home: Option<&Path>, xdg_config: Option<&Path>) -> Vec<PathBuf> {
    let named = config_dirs.map(|list| {
        let dirs = list.split(',').map(str::trim).filter(|dir| !dir.is_empty());
        dirs.map(|dir| under(home, dir)).collect::<Vec<_>>()
    });
    let dirs = named.filter(|dirs| !dirs.is_empty()).unwrap_or_else(|| {
        let xdg = xdg_config.filter(|dir| dir.is_absolute()).map(Path::to_owned);
        let xdg = xdg.or_else(|| Some(home?.join(".config")));
        [home.map(|home| home.join(".claude")), xdg.map(|dir| dir.join("claude"))]
            .into_iter()
            .flatten()
            .collect()
    });
    dirs.into_iter().filter(|dir| dir.is_absolute()).map(|dir| dir.join(PROJECTS)).collect()
}

/// A path as it was written, where `~` stands for the home.
#[must_use]
pub fn under(home: Option<&Path>, path: &str) -> PathBuf {
    match (path.strip_prefix('~'), home) {
        (Some(""), Some(home)) => home.to_owned(),
        (Some(rest), Some(home)) if rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        _ => PathBuf::from(path),
    }
}

/// Each once, and none that lies below another: what is below is found with it.
#[must_use]
pub fn distinct(roots: impl IntoIterator<Item = PathBuf>) -> Vec<PathBuf> {
    let mut kept: Vec<PathBuf> = Vec::new();
    for root in roots {
        if kept.iter().any(|k| root.starts_with(k)) {
            continue;
        }
        kept.retain(|k| !k.starts_with(&root));
        kept.push(root);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(dirs: Option<&str>, home: Option<&str>, xdg: Option<&str>) -> Vec<String> {
        let found = of_client(dirs, home.map(Path::new), xdg.map(Path::new));
        found.into_iter().map(|p| p.display().to_string()).collect()
    }

    #[test]
    fn both_places_unless_others_are_named() {
        assert_eq!(found(None, Some("/h"), None), ["/h/.claude/projects", "/h/.config/claude/projects"]);
        assert_eq!(found(None, Some("/h"), Some("/x")), ["/h/.claude/projects", "/x/claude/projects"]);
        assert_eq!(found(Some("/a, ~/b ,"), Some("/h"), None), ["/a/projects", "/h/b/projects"]);
        assert_eq!(found(Some(" , "), Some("/h"), None).len(), 2);
        assert_eq!(found(Some("relative"), Some("/h"), None), Vec::<String>::new());
        assert_eq!(found(None, None, None), Vec::<String>::new());
    }

    #[test]
    fn none_is_searched_twice() {
        let roots = ["/a/b", "/c", "/a", "/a/b/c", "/c"].map(PathBuf::from);
        assert_eq!(distinct(roots), ["/c", "/a"].map(PathBuf::from));
        assert_eq!(under(Some(Path::new("/h")), "~x/y"), Path::new("~x/y"));
    }
}
