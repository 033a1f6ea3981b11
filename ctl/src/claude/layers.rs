//! The settings that Claude Code reads beside the user's own: those of whoever manages the machine, and those of the
//! project it is started in. Read only, and never written.
//!
//! What wins: managed > the command line > `.claude/settings.local.json` > `.claude/settings.json` > the user's
//! (code.claude.com, settings). A file that is no strict JSON counts for nothing, as it does in the client.

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::env::Env;
use crate::settings::{Document, hooks};

/// The plugin id of our directory below `skills/`, by which settings switch it off.
const OUR_PLUGIN: &str = "ccd@skills-dir";

/// Whose settings they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Those of whoever manages the machine: nothing of the user's overrides them.
    Managed,
    /// A project's, for everybody who works on it or for this user alone.
    Project,
    /// The user's own.
    User,
}

/// A settings file.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Whose it is.
    pub whose: Whose,
    /// Where it lies.
    pub path: PathBuf,
    /// What it says.
    document: Document,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())
    }
}

impl Layer {
    /// Reads a file; none where there is none, or none that the client would read.
    #[must_use]
    pub fn read(whose: Whose, path: &Path) -> Option<Self> {
        let document = Document::read(&std::fs::read(path).ok()?).ok()?;
        Some(Layer { whose, path: path.to_owned(), document })
    }

    /// A variable that it sets.
    #[must_use]
    pub fn env(&self, name: &str) -> Option<String> {
        self.document.env(name).filter(|value| !value.is_empty())
    }

    /// A number that it sets.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<u64> {
        self.document.value().get(key)?.as_u64()
    }

    fn is_set(&self, key: &str) -> bool {
        self.document.value().get(key).and_then(Value::as_bool) == Some(true)
    }

    /// The hook sockets that hooks of ours in it lead to, those of other installations included.
    pub fn hook_sockets(&self) -> impl Iterator<Item = PathBuf> {
        hooks::ours(self.document.value())
            .filter_map(|(_, handler)| Some(PathBuf::from(handler.get("args")?.get(0)?.as_str()?)))
    }

    /// The setting by which it keeps our hooks from being called; `in_plugin` says that they stand in the plugin.
    #[must_use]
    pub fn silences_hooks(&self, in_plugin: bool) -> Option<&'static str> {
        if self.is_set("disableAllHooks") {
            return Some("disableAllHooks");
        }
        if self.whose == Whose::Managed && self.is_set("allowManagedHooksOnly") {
            return Some("allowManagedHooksOnly");
        }
        let plugins = self.document.value().get("enabledPlugins").filter(|_| in_plugin)?;
        (plugins.get(OUR_PLUGIN)? == &Value::Bool(false)).then_some("enabledPlugins")
    }

    /// The setting by which it sends requests past any base URL: to the API of a cloud.
    #[must_use]
    pub fn other_api(&self) -> Option<&'static str> {
        other_api(|name| self.env(name))
    }
}

/// The variable that sends requests past any base URL, if one is set.
pub fn other_api(var: impl Fn(&str) -> Option<String>) -> Option<&'static str> {
    let is_on = |name: &&str| {
        let off = |value: &str| matches!(value.to_ascii_lowercase().as_str(), "0" | "false" | "no" | "off");
        var(name).is_some_and(|value| !value.is_empty() && !off(&value))
    };
    ["CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY"].into_iter().find(is_on)
}

/// Where the settings of whoever manages the machine lie.
#[must_use]
pub fn managed_dir() -> &'static Path {
    Path::new(if cfg!(target_os = "macos") {
        "/Library/Application Support/ClaudeCode"
    } else {
        "/etc/claude-code"
    })
}

/// The layers beside the user's own, strongest first: managed ones below `managed`, then those of the project that the
/// working directory lies in. Directories above it are looked at up to the home, which is no project.
#[must_use]
pub fn others(env: &Env, managed: &Path) -> Vec<Layer> {
    let mut dropped: Vec<PathBuf> = std::fs::read_dir(managed.join("managed-settings.d"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "json"))
        .collect();
    // What comes later by name wins.
    dropped.sort_unstable_by(|a, b| b.cmp(a));
    dropped.push(managed.join("managed-settings.json"));
    let home = env.home();
    let projects = env.cwd.ancestors().take_while(|dir| Some(*dir) != home.as_deref());
    let users = env.claude_dirs().unwrap_or_default();
    let in_project = projects
        .map(|dir| dir.join(".claude"))
        .filter(|dir| !users.contains(dir))
        .flat_map(|dir| [dir.join("settings.local.json"), dir.join("settings.json")]);
    let managed = dropped.iter().filter_map(|path| Layer::read(Whose::Managed, path));
    managed.chain(in_project.filter_map(|path| Layer::read(Whose::Project, &path))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Home;

    #[test]
    fn layers_are_found_strongest_first_and_the_users_own_is_none_of_them() {
        let home = Home::new();
        home.write(".claude/settings.json", "{}");
        home.write("etc/managed-settings.json", "{}");
        home.write("etc/managed-settings.d/10-a.json", "{}");
        home.write("etc/managed-settings.d/20-b.json", r#"{"cleanupPeriodDays":7}"#);
        home.write("etc/managed-settings.d/notes.txt", "{}");
        home.write("work/.claude/settings.json", r#"{"env":{"ANTHROPIC_BASE_URL":"http://x"}}"#);
        home.write("work/.claude/settings.local.json", "{ // no JSON\n}");
        home.write("work/deep/.claude/settings.local.json", "{}");
        let mut env = home.env();
        env.cwd = home.path().join("work/deep");
        let layers = others(&env, &home.path().join("etc"));
        let short = |layer: &Layer| layer.path.strip_prefix(home.path()).unwrap().display().to_string();
        assert_eq!(
            layers.iter().map(short).collect::<Vec<_>>(),
            [
                "etc/managed-settings.d/20-b.json",
                "etc/managed-settings.d/10-a.json",
                "etc/managed-settings.json",
                "work/deep/.claude/settings.local.json",
                "work/.claude/settings.json",
            ]
        );
        assert_eq!(layers[0].number("cleanupPeriodDays"), Some(7));
        assert_eq!(layers[4].env("ANTHROPIC_BASE_URL").as_deref(), Some("http://x"));
        env.cwd = home.path().to_owned();
        assert!(others(&env, Path::new("/nowhere")).is_empty(), "the home is no project");
    }

    #[test]
    fn what_silences_hooks_is_told_by_its_key() {
        let home = Home::new();
        let silenced = |whose, text: &str, in_plugin| {
            Layer::read(whose, &home.write("s.json", text)).unwrap().silences_hooks(in_plugin)
        };
        let all = r#"{"disableAllHooks":true}"#;
        assert_eq!(silenced(Whose::User, all, false), Some("disableAllHooks"));
        assert_eq!(silenced(Whose::User, r#"{"disableAllHooks":false}"#, true), None);
        let managed = r#"{"allowManagedHooksOnly":true}"#;
        assert_eq!(silenced(Whose::Managed, managed, true), Some("allowManagedHooksOnly"));
        assert_eq!(silenced(Whose::User, managed, true), None, "only managed settings can say so");
        let plugin = r#"{"enabledPlugins":{"ccd@skills-dir":false,"x@y":true}}"#;
        assert_eq!(silenced(Whose::Project, plugin, true), Some("enabledPlugins"));
        assert_eq!(silenced(Whose::Project, plugin, false), None, "they do not stand in the plugin");
        assert_eq!(silenced(Whose::Project, r#"{"enabledPlugins":{"ccd@skills-dir":true}}"#, true), None);
    }

    #[test]
    fn other_apis_are_known_by_their_switch() {
        let with = |value: &'static str| {
            other_api(move |name| (name == "CLAUDE_CODE_USE_VERTEX").then(|| value.to_owned()))
        };
        assert_eq!(with("1"), Some("CLAUDE_CODE_USE_VERTEX"));
        for off in ["", "0", "false"] {
            assert_eq!(with(off), None, "{off:?}");
        }
    }
}
