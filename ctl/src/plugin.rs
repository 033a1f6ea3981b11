//! The hooks that Claude Code is given: which events, which command, and the plugin directory that carries
//! them (`<config dir>/skills/ccd/`), the MCP server and the skill.
//!
//! Must never subscribe to `WorktreeCreate` (a hook there has to create the worktree, or the session ends),
//! nor to `MessageDisplay` and `FileChanged` (one call per chunk of text, or per file written). Must never
//! name an event that the client does not know: in a plugin, older clients then drop the whole file.

pub mod server;

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::claude::Version;
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::settings::{Document, hooks};
use crate::skill;

/// What Claude Code 2.1.197 knows, without the three that are never asked for.
const EVENTS: [&str; 27] = [
    "SessionStart",
    "Setup",
    "InstructionsLoaded",
    "UserPromptSubmit",
    "UserPromptExpansion",
    "PreToolUse",
    "PermissionRequest",
    "PermissionDenied",
    "PostToolUse",
    "PostToolUseFailure",
    "PostToolBatch",
    "SubagentStart",
    "SubagentStop",
    "TaskCreated",
    "TaskCompleted",
    "TeammateIdle",
    "Stop",
    "StopFailure",
    "Notification",
    "PreCompact",
    "PostCompact",
    "ConfigChange",
    "CwdChanged",
    "WorktreeRemove",
    "Elicitation",
    "ElicitationResult",
    "SessionEnd",
];

/// What later versions added.
const LATER: [(Version, &str); 3] = [
    (Version(2, 1, 240), "DirectoryAdded"),
    (Version(2, 1, 251), "PreModelSwitch"),
    (Version(2, 1, 251), "PostModelSwitch"),
];

/// How long the client waits for `cc-hook`, in seconds. It takes milliseconds, and bounds itself.
const TIMEOUT_S: u32 = 10;

/// What our `plugin.json` says of itself: by this it is known again.
pub const ABOUT_PLUGIN: &str =
    "The flight recorder for Claude Code: hands its events to the local daemon ccd";
const ABOUT_HOOKS: &str =
    "Written by `ccctl install` for the installed version; removed by `ccctl uninstall`";

/// The events that a client of this version knows; of an unknown one, those that every one does.
#[must_use]
pub fn events(version: Option<Version>) -> Vec<String> {
    let later = LATER.iter().filter(|(since, _)| version.is_some_and(|v| v >= *since)).map(|(_, name)| *name);
    EVENTS.into_iter().chain(later).map(ToOwned::to_owned).collect()
}

/// The events of hooks that are installed, in the order of a file of ours: those that any client we know of knows.
#[must_use]
pub fn known(installed: &[String]) -> Vec<String> {
    let all = EVENTS.into_iter().chain(LATER.iter().map(|(_, name)| *name));
    all.filter(|name| installed.iter().any(|event| event == name)).map(ToOwned::to_owned).collect()
}

/// One command, called for a list of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hooks {
    /// The events.
    pub events: Vec<String>,
    /// The program, as an absolute path.
    pub command: String,
    /// Its arguments: the hook socket and the spool directory.
    pub args: Vec<String>,
}

impl Hooks {
    /// The hooks of this installation, for a client of this version.
    pub fn new(env: &Env, version: Option<Version>) -> Result<Self> {
        let text = |path: &Path| {
            path.to_str().map(ToOwned::to_owned).ok_or_else(|| {
                CommandError::failed(format!(
                    "{} is not UTF-8, and cannot stand in a JSON file",
                    path.display()
                ))
            })
        };
        Ok(Hooks {
            events: events(version),
            command: text(&env.program("cc-hook")?)?,
            args: vec![text(&env.layout.hook_socket())?, text(&env.layout.spool_dir)?],
        })
    }

    /// The entry that calls the command: in exec form, so that no shell is between.
    fn entry(&self) -> Handler<'_> {
        Handler { kind: "command", command: &self.command, args: &self.args, timeout: TIMEOUT_S }
    }

    /// The entry as a value.
    #[must_use]
    pub fn handler(&self) -> Value {
        json!(self.entry())
    }

    /// The entry in a group of its own, for every tool.
    #[must_use]
    pub fn group(&self) -> Value {
        json!({"hooks": [self.entry()]})
    }

    /// `hooks/hooks.json`: one line per event.
    pub fn file(&self) -> Result<String> {
        let entry = serde_json::to_string(&self.entry()).map_err(|e| CommandError::failed(e.to_string()))?;
        let lines: Vec<_> =
            self.events.iter().map(|event| format!("    \"{event}\": [{{\"hooks\": [{entry}]}}]")).collect();
        Ok(format!(
            "{{\n  \"description\": \"{ABOUT_HOOKS}\",\n  \"hooks\": {{\n{}\n  }}\n}}\n",
            lines.join(",\n")
        ))
    }
}

/// One hook entry, in the order that people know its keys in.
#[derive(Serialize)]
struct Handler<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    command: &'a str,
    args: &'a [String],
    timeout: u32,
}

/// `.claude-plugin/plugin.json`.
#[must_use]
pub fn manifest_file() -> String {
    let version = ccd_proto::VERSION;
    format!(
        "{{\n  \"name\": \"ccd\",\n  \"version\": \"{version}\",\n  \"description\": \"{ABOUT_PLUGIN}\"\n}}\n"
    )
}

/// Our plugin directory below a configuration directory of Claude Code.
#[must_use]
pub fn directory(config_dir: &Path) -> PathBuf {
    config_dir.join("skills").join("ccd")
}

/// Where the client lets our plugin keep data of its own; it keeps none.
#[must_use]
pub fn data_directory(config_dir: &Path) -> PathBuf {
    config_dir.join("plugins/data/ccd-skills-dir")
}

/// `hooks.json` below our plugin directory.
#[must_use]
pub fn hooks_path(plugin: &Path) -> PathBuf {
    plugin.join("hooks").join("hooks.json")
}

/// `plugin.json` below our plugin directory.
#[must_use]
pub fn manifest_path(plugin: &Path) -> PathBuf {
    plugin.join(".claude-plugin").join("plugin.json")
}

/// The skill below our plugin directory.
#[must_use]
pub fn skill_path(plugin: &Path) -> PathBuf {
    plugin.join("skills").join(skill::IN_PLUGIN).join("SKILL.md")
}

/// The hooks of ours that Claude Code finds in this configuration directory: in the plugin, else in the
/// settings. Those of another installation (another `CCD_HOME`) do not count.
#[must_use]
pub fn in_force(env: &Env, config_dir: &Path, settings: Option<&Path>) -> Option<Hooks> {
    let default = config_dir.join("settings.json");
    let files = [hooks_path(&directory(config_dir)), settings.map_or(default, Path::to_owned)];
    files.iter().find_map(|path| {
        let document = Document::read(&fs_err::read(path).ok()?).ok()?;
        read(document.value(), &env.layout.hook_socket())
    })
}

/// Our hooks in a `hooks.json` or settings value, as far as they lead to `socket`.
fn read(value: &Map<String, Value>, socket: &Path) -> Option<Hooks> {
    let strings = |handler: &Value| -> Vec<String> {
        let args = handler.get("args").and_then(Value::as_array).into_iter().flatten();
        args.filter_map(|a| a.as_str().map(ToOwned::to_owned)).collect()
    };
    let mut found =
        hooks::ours(value).filter(|(_, h)| strings(h).first().is_some_and(|s| Path::new(s) == socket));
    let (event, handler) = found.next()?;
    let command = handler.get("command")?.as_str()?.to_owned();
    let events = std::iter::once(event).chain(found.map(|(event, _)| event)).map(ToOwned::to_owned).collect();
    Some(Hooks { events, command, args: strings(handler) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Home;

    #[test]
    fn events_fit_the_clients_version() {
        let at = |n| events(Some(Version(2, 1, n)));
        assert_eq!(at(197).len(), 27);
        assert_eq!(events(None), at(197));
        assert_eq!(at(239), at(197));
        assert_eq!(at(240)[27..], ["DirectoryAdded"]);
        assert_eq!(at(250), at(240));
        assert_eq!(at(251)[27..], ["DirectoryAdded", "PreModelSwitch", "PostModelSwitch"]);
        assert_eq!(events(Some(Version(3, 0, 0))), at(251));
    }

    #[test]
    fn the_dangerous_events_are_never_asked_for() {
        for name in ["WorktreeCreate", "MessageDisplay", "FileChanged"] {
            assert!(!events(Some(Version(99, 0, 0))).iter().any(|e| e == name), "{name}");
        }
    }

    #[test]
    fn the_manifest_is_json_with_a_name() {
        let value: Value = serde_json::from_str(&manifest_file()).unwrap();
        assert_eq!((&value["name"], &value["version"]), (&json!("ccd"), &json!(ccd_proto::VERSION)));
    }

    #[test]
    fn the_file_is_in_exec_form_and_reads_back() {
        let home = Home::new();
        home.programs();
        let env = home.env();
        let hooks = Hooks::new(&env, Some(Version(2, 1, 251))).unwrap();
        let value: Value = serde_json::from_str(&hooks.file().unwrap()).unwrap();
        assert_eq!(
            value["hooks"]["PreToolUse"],
            json!([{"hooks": [{
                "type": "command",
                "command": home.path().join("bin/cc-hook"),
                "args": [home.path().join("ccd/run/hook.sock"), home.path().join("ccd/state/spool")],
                "timeout": 10
            }]}])
        );
        home.write(".claude/skills/ccd/hooks/hooks.json", hooks.file().unwrap());
        let mut found = in_force(&env, &home.path().join(".claude"), None).unwrap();
        found.events.sort();
        let mut wanted = hooks.clone();
        wanted.events.sort();
        assert_eq!(found, wanted);
        // Another installation's hooks are not ours.
        let other = home.var("CCD_HOME", "/somewhere/else").env();
        assert_eq!(in_force(&other, &other.home().unwrap().join(".claude"), None), None);
    }
}
