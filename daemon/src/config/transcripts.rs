//! `[transcripts]`: whether the client's own files are read, and where they lie.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::ConfigError;
use crate::source::transcript::roots::{Settings, distinct, of_client, under};

/// The table as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Table {
    enabled: bool,
    roots: Vec<String>,
}

impl Default for Table {
    fn default() -> Self {
        Table { enabled: true, roots: Vec::new() }
    }
}

impl Table {
    /// With the client's own directories, as the environment tells them.
    pub(super) fn read(self, var: impl Fn(&str) -> Option<String>) -> Result<Settings, ConfigError> {
        let home = var("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
        let xdg = var("XDG_CONFIG_HOME").map(PathBuf::from);
        let dirs = var("CLAUDE_CONFIG_DIR");
        let mut roots = of_client(dirs.as_deref(), home.as_deref(), xdg.as_deref());
        for written in &self.roots {
            let root = under(home.as_deref(), written);
            if !root.is_absolute() || root == Path::new("/") {
                return Err(ConfigError::Value {
                    name: "transcripts.roots",
                    value: written.clone(),
                    reason: "expected directories, each as an absolute path or with ~/ before it".into(),
                });
            }
            roots.push(root);
        }
        Ok(Settings { enabled: self.enabled, roots: distinct(roots) })
    }
}
