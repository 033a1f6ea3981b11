//! `[detect]`: the detectors' thresholds, and `[detect.projects."/dir"]`: those of a working directory and all below it.
//!
//! A project's table need only name what differs.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use ccd_detect::Settings;
use serde::Deserialize;

use super::ConfigError;

/// The detectors' settings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Detect {
    /// Where no project says otherwise.
    pub settings: Settings,
    /// Those of working directories, whole.
    pub projects: BTreeMap<PathBuf, Settings>,
    /// The user's home directory, which is nobody's working directory.
    pub home: Option<PathBuf>,
}

impl Detect {
    /// Those of a working directory: of the nearest directory above it that has any.
    #[must_use]
    pub fn of(&self, cwd: Option<&Path>) -> &Settings {
        let of = |dir: &Path| self.projects.get(dir);
        cwd.into_iter().flat_map(Path::ancestors).find_map(of).unwrap_or(&self.settings)
    }
}

/// The table as it is written.
#[derive(Deserialize, Default)]
pub(super) struct Table {
    #[serde(default)]
    projects: BTreeMap<PathBuf, toml::Table>,
    #[serde(flatten)]
    all: toml::Table,
}

impl Table {
    pub(super) fn read(self, env: impl Fn(&str) -> Option<OsString>) -> Result<Detect, ConfigError> {
        let settings = read("detect", &self.all)?;
        let mut projects = BTreeMap::new();
        for (dir, own) in self.projects {
            if !dir.is_absolute() {
                return Err(ConfigError::Value {
                    name: "detect.projects",
                    value: dir.display().to_string(),
                    reason: "expected the whole path of a directory".into(),
                });
            }
            let mut whole = self.all.clone();
            merge(&mut whole, &own);
            projects.insert(dir, read("detect.projects", &whole)?);
        }
        let home = env("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
        Ok(Detect { settings, projects, home })
    }
}

fn read(name: &'static str, table: &toml::Table) -> Result<Settings, ConfigError> {
    table.clone().try_into().map_err(|e: toml::de::Error| ConfigError::Value {
        name,
        value: "…".into(),
        reason: e.message().to_owned(),
    })
}

fn merge(whole: &mut toml::Table, own: &toml::Table) {
    for (key, value) in own {
        match (whole.get_mut(key), value) {
            (Some(toml::Value::Table(whole)), toml::Value::Table(own)) => merge(whole, own),
            _ => drop(whole.insert(key.clone(), value.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detect(text: &str) -> Result<Detect, String> {
        let table: Table = toml::from_str(text).map_err(|e| e.to_string())?;
        table.read(|_| None).map_err(|e| e.to_string())
    }

    #[test]
    fn a_project_names_only_what_differs() {
        let text = "[loop]\nrepeats = 4\n[projects.\"/w\".loop]\nwaits = 90\n[projects.\"/w\".cost]\nenabled = false\n";
        let detect = detect(text).unwrap();
        let of = detect.of(Some(Path::new("/w/src")));
        assert_eq!((of.looping.repeats, of.looping.waits, of.cost.enabled), (4, 90, false));
        let others = detect.of(Some(Path::new("/x")));
        assert_eq!((others.looping.repeats, others.cost.enabled), (4, true));
        assert_eq!(others.looping.waits, Settings::default().looping.waits);
    }

    #[test]
    fn a_misspelt_threshold_is_named() {
        assert!(detect("[loop]\nrepeat = 4").unwrap_err().contains("repeat"));
        assert!(detect("[loops]\nrepeats = 4").unwrap_err().contains("loops"));
        assert!(detect("[projects.app.loop]\nrepeats = 4").unwrap_err().contains("detect.projects"));
    }
}
