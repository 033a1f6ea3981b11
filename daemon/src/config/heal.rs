//! `[heal]`: what is done about what the detectors find. `[heal.projects."/dir"]` gives a working directory, and all below
//! it, a mode of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::ConfigError;

/// How far ccd goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Nothing is done.
    Off,
    /// The model is told, with the next prompt or tool result.
    #[default]
    Advise,
    /// Tool calls that go on with a loop are denied, and a turn that ends with a claim that is not so goes on, too.
    Guard,
}

impl Mode {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Off => "off",
            Mode::Advise => "advise",
            Mode::Guard => "guard",
        }
    }
}

/// What is done about detections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heal {
    /// Where no project says otherwise.
    pub mode: Mode,
    /// Working directories with a mode of their own.
    pub projects: BTreeMap<PathBuf, Mode>,
    /// Advices are given about detections of this severity and more.
    pub severity: u8,
    /// Seconds between two advices to one session.
    pub cooldown_s: u64,
    /// Advices to one session.
    pub max_advices: u32,
    /// Calls denied in one session.
    pub max_denials: u32,
    /// How often one turn is kept from ending.
    pub max_stop_blocks: u32,
}

impl Default for Heal {
    fn default() -> Self {
        Heal {
            mode: Mode::default(),
            projects: BTreeMap::new(),
            severity: 50,
            cooldown_s: 60,
            max_advices: 10,
            max_denials: 10,
            max_stop_blocks: 2,
        }
    }
}

impl Heal {
    /// The mode in a working directory: that of the nearest directory above it that has one.
    #[must_use]
    pub fn mode_in(&self, cwd: Option<&Path>) -> Mode {
        let of = |dir: &Path| self.projects.get(dir).copied();
        cwd.into_iter().flat_map(Path::ancestors).find_map(of).unwrap_or(self.mode)
    }

    /// Whether nothing is done anywhere.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.mode == Mode::Off && self.projects.values().all(|mode| *mode == Mode::Off)
    }
}

/// The table as it is written.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Table {
    mode: Option<Mode>,
    severity: Option<u8>,
    cooldown_s: Option<u64>,
    max_advices: Option<u32>,
    max_denials: Option<u32>,
    max_stop_blocks: Option<u32>,
    projects: BTreeMap<PathBuf, Project>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Project {
    mode: Mode,
}

impl Table {
    pub(super) fn read(self) -> Result<Heal, ConfigError> {
        let usual = Heal::default();
        let severity = self.severity.unwrap_or(usual.severity);
        if severity > 100 {
            return Err(ConfigError::Value {
                name: "heal.severity",
                value: severity.to_string(),
                reason: "expected a number from 0 to 100".into(),
            });
        }
        if let Some(dir) = self.projects.keys().find(|dir| !dir.is_absolute()) {
            return Err(ConfigError::Value {
                name: "heal.projects",
                value: dir.display().to_string(),
                reason: "expected the whole path of a directory".into(),
            });
        }
        Ok(Heal {
            mode: self.mode.unwrap_or(usual.mode),
            projects: self.projects.into_iter().map(|(dir, project)| (dir, project.mode)).collect(),
            severity,
            cooldown_s: self.cooldown_s.unwrap_or(usual.cooldown_s),
            max_advices: self.max_advices.unwrap_or(usual.max_advices),
            max_denials: self.max_denials.unwrap_or(usual.max_denials),
            max_stop_blocks: self.max_stop_blocks.unwrap_or(usual.max_stop_blocks),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Heal, String> {
        let table: Table = toml::from_str(text).map_err(|e| e.to_string())?;
        table.read().map_err(|e| e.to_string())
    }

    #[test]
    fn the_nearest_directory_says_what_is_done() {
        let heal = read(
            "mode = \"guard\"\n[projects.\"/w\"]\nmode = \"off\"\n[projects.\"/w/app\"]\nmode = \"advise\"\n",
        )
        .unwrap();
        let mode = |dir: &str| heal.mode_in(Some(Path::new(dir)));
        assert_eq!((mode("/w/app/src"), mode("/w/lib"), mode("/x")), (Mode::Advise, Mode::Off, Mode::Guard));
        assert_eq!(heal.mode_in(None), Mode::Guard);
        assert!(!heal.is_off() && read("mode = \"off\"").unwrap().is_off());
        assert_eq!(read("").unwrap(), Heal::default());
    }

    #[test]
    fn mistakes_are_named() {
        for (text, want) in [
            ("mode = \"strict\"", "strict"),
            ("severity = 101", "heal.severity"),
            ("[projects.app]\nmode = \"off\"", "heal.projects"),
            ("cooldown = 5", "cooldown"),
        ] {
            assert!(read(text).unwrap_err().contains(want), "{text}");
        }
    }
}
