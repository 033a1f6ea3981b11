//! What `install` changed, kept in `install.json` so that `uninstall` takes exactly that back.
//!
//! Invariant: a change stands in the manifest before it is made. What is in it may or may not have happened;
//! what is not in it has not happened. So a run that was killed at any point can be taken back.

use std::path::{Path, PathBuf};

use ccd_proto::paths::Layout;
use serde::{Deserialize, Serialize};

use crate::args::HooksIn;
use crate::error::{CommandError, Result};
use crate::files;
use crate::settings::Written;
use crate::uninstall::Placed;

/// The form of the file.
const VERSION: u32 = 1;

/// Everything that was changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`VERSION`].
    pub version: u32,
    /// The build that wrote it last.
    pub ccd_version: String,
    /// What was asked for.
    pub options: Options,
    /// Files, in the order they were changed in.
    pub files: Vec<FileChange>,
    /// Directories that did not exist, outermost first.
    pub directories: Vec<PathBuf>,
    /// The service.
    pub service: Option<ServiceChange>,
    /// The upstream that we put into the configuration.
    pub upstream: Option<String>,
    /// Programs that are ours to remove.
    #[serde(default)]
    pub placed: Placed,
    /// Directories that did not exist before our own were made in them, outermost first.
    #[serde(default)]
    pub grounds: Vec<PathBuf>,
    /// What other versions note beside: it stays as it is.
    #[serde(flatten)]
    pub others: serde_json::Map<String, serde_json::Value>,
}

/// What every version of the file has.
#[derive(Deserialize)]
struct Form {
    version: u32,
    ccd_version: Option<String>,
}

/// What was asked for.
#[allow(clippy::struct_excessive_bools)] // switches of a command line
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// Whether the base URL is set.
    pub proxy: bool,
    /// Where the hooks are.
    pub hooks: HooksIn,
    /// `--settings`.
    pub settings: Option<PathBuf>,
    /// Nothing but the base URL: `ccctl proxy install`.
    pub only_proxy: bool,
    /// No hooks, because none would run.
    pub no_hooks: bool,
    /// `--no-mcp`.
    pub no_mcp: bool,
    /// `--no-skill`.
    pub no_skill: bool,
    /// Whether our status line is set.
    pub statusline: bool,
    /// Whether it is, even in another one's place.
    pub force: bool,
}

impl Options {
    /// Whether Claude Code is to call our hooks.
    #[must_use]
    pub fn wants_hooks(&self) -> bool {
        !self.only_proxy && !self.no_hooks
    }
}

/// What a file is, which decides how it is mended if somebody else changed it meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// Claude Code's settings: our keys are taken out.
    Settings,
    /// Our daemon's configuration: our upstream is taken out.
    Config,
    /// A file of our own (plugin, unit): it is removed.
    Own,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileChange {
    /// What it is.
    pub kind: FileKind,
    /// Where it really is, links resolved.
    pub path: PathBuf,
    /// What was there; none if there was no file.
    pub original: Option<Saved>,
    /// BLAKE3 of every content of ours since.
    pub ours: Vec<String>,
    /// Keys that we put into a settings file.
    #[serde(default)]
    pub written: Written,
}

/// A copy of a file as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// Where the copy is.
    pub copy: PathBuf,
    /// BLAKE3 of its bytes.
    pub blake3: String,
}

/// The service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceChange {
    /// `systemd` or `launchd`.
    pub manager: String,
    /// Its unit or property list.
    pub path: PathBuf,
}

impl Default for Manifest {
    fn default() -> Self {
        Manifest {
            version: VERSION,
            ccd_version: ccd_proto::VERSION.to_owned(),
            options: Options { proxy: true, ..Options::default() },
            files: Vec::new(),
            directories: Vec::new(),
            service: None,
            upstream: None,
            placed: Placed::default(),
            grounds: Vec::new(),
            others: serde_json::Map::new(),
        }
    }
}

impl Manifest {
    /// The manifest of this installation; none if nothing is installed.
    pub fn load(layout: &Layout) -> Result<Option<Self>> {
        let path = layout.install_manifest();
        let Some(bytes) = files::read(&path)? else { return Ok(None) };
        let unreadable = |e| CommandError::failed(format!("{}: {e}", path.display()));
        // The form first: a later one need not read as ours.
        let form: Form = serde_json::from_slice(&bytes).map_err(unreadable)?;
        if form.version > VERSION {
            let writer = form.ccd_version.map(|version| format!(" ({version})")).unwrap_or_default();
            return Err(CommandError::failed(format!(
                "{} was written by a later version of ccd{writer}; this ccctl is {}",
                path.display(),
                ccd_proto::VERSION
            ))
            .hint("use that version's ccctl, or install that version again"));
        }
        serde_json::from_slice(&bytes).map(Some).map_err(unreadable)
    }

    /// Writes it.
    pub fn save(&self, layout: &Layout) -> Result<()> {
        let path = layout.install_manifest();
        let mut text = serde_json::to_string_pretty(self)
            .map_err(|e| CommandError::failed(format!("cannot write {}: {e}", path.display())))?;
        text.push('\n');
        files::replace(&path, files::read(&path)?.as_deref(), text.as_bytes())
    }

    /// What was done to a file.
    #[must_use]
    pub fn file(&self, path: &Path) -> Option<&FileChange> {
        self.files.iter().find(|change| change.path == path)
    }
}

/// Where copies of changed files are kept.
#[must_use]
pub fn backups(layout: &Layout) -> PathBuf {
    layout.state_dir.join("backups")
}

/// The hash that contents are known by.
#[must_use]
pub fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Home;

    #[test]
    fn what_another_version_notes_stays_and_a_later_form_is_not_touched() {
        let home = Home::new();
        let layout = home.env().layout;
        let mut text: serde_json::Value = serde_json::to_value(Manifest::default()).unwrap();
        text["of_tomorrow"] = serde_json::json!({"a": [1]});
        let path = layout.install_manifest();
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text.to_string()).unwrap();
        let mut manifest = Manifest::load(&layout).unwrap().unwrap();
        manifest.options.statusline = true;
        manifest.save(&layout).unwrap();
        let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(kept["of_tomorrow"], text["of_tomorrow"]);
        assert_eq!(kept["options"]["statusline"], true);

        let later = format!("{{\"version\": {}, \"ccd_version\": \"9.9.9\", \"files\": 7}}", VERSION + 1);
        std::fs::write(&path, &later).unwrap();
        let error = Manifest::load(&layout).unwrap_err();
        assert!(error.message.contains("later version") && error.message.contains("9.9.9"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), later);
    }
}
