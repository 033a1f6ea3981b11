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

    fn has(&self, key: &str) -> bool {
        self.document.value().contains_key(key)
    }

    /// Whether only what managed plugins bring of this part is loaded.
    fn locks(&self, part: &str) -> bool {
        match self.document.value().get("strictPluginOnlyCustomization") {
            Some(Value::Bool(on)) => *on,
            Some(Value::Array(parts)) => parts.iter().any(|p| p == part),
            _ => false,
        }
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
        if self.whose == Whose::Managed {
            let locked = self.locks("hooks") || (in_plugin && self.locks("skills"));
            let found = [
                ("allowManagedHooksOnly", self.is_set("allowManagedHooksOnly")),
                ("strictPluginOnlyCustomization", locked),
                ("strictKnownMarketplaces", in_plugin && self.has("strictKnownMarketplaces")),
            ];
            if let Some((key, _)) = found.into_iter().find(|(_, is)| *is) {
                return Some(key);
            }
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

/// Variables that send the client elsewhere than to any base URL, and where.
const PROVIDERS: [(&str, &str); 6] = [
    ("CLAUDE_CODE_USE_BEDROCK", "Amazon Bedrock"),
    ("CLAUDE_CODE_USE_VERTEX", "Google Vertex AI"),
    ("CLAUDE_CODE_USE_FOUNDRY", "Microsoft Foundry"),
    ("CLAUDE_CODE_USE_ANTHROPIC_AWS", "Claude on AWS"),
    ("CLAUDE_CODE_USE_ANTHROPIC_GOOGLE_CLOUD", "Claude on Google Cloud"),
    ("CLAUDE_CODE_USE_MANTLE", "Bedrock Mantle"),
];

/// The variable that sends requests past any base URL, if one is set, and the name of where they go.
pub fn provider(var: impl Fn(&str) -> Option<String>) -> Option<(&'static str, &'static str)> {
    let off = |value: &str| matches!(value.to_ascii_lowercase().as_str(), "0" | "false" | "no" | "off");
    PROVIDERS.into_iter().find(|(name, _)| var(name).is_some_and(|value| !value.is_empty() && !off(&value)))
}

/// That variable.
pub fn other_api(var: impl Fn(&str) -> Option<String>) -> Option<&'static str> {
    provider(var).map(|(name, _)| name)
}

/// The settings files of whoever manages the machine, weakest first: those of `managed-settings.d` win, by their names.
#[must_use]
pub fn managed_files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir.join("managed-settings.d")).into_iter().flatten().flatten();
    let mut more: Vec<_> = entries.map(|entry| entry.path()).collect();
    more.retain(|path| path.extension().is_some_and(|ext| ext == "json"));
    more.sort_unstable();
    let base = dir.join("managed-settings.json");
    [base].into_iter().chain(more).collect()
}

/// The settings files of the project that the working directory lies in, weakest first: `settings.json` counts in that
/// directory alone, `settings.local.json` at the top of its git work tree, too (tried with 2.1.329). Whoever stands in the
/// home has the user's own among them.
#[must_use]
pub fn project_files(env: &Env) -> Vec<PathBuf> {
    let top = env.cwd.ancestors().find(|dir| dir.join(".git").exists());
    let local = |dir: &Path| dir.join(".claude/settings.local.json");
    let mut found = vec![env.cwd.join(".claude/settings.json")];
    found.extend(top.filter(|top| *top != env.cwd).map(local));
    found.push(local(&env.cwd));
    found
}

/// The layers beside the user's own, strongest first: managed ones, then the project's.
#[must_use]
pub fn others(env: &Env) -> Vec<Layer> {
    let users = env.claude_dirs().unwrap_or_default();
    let of_project = project_files(env).into_iter().rev();
    let of_project =
        of_project.filter(|path| path.parent().is_none_or(|dir| !users.iter().any(|user| user == dir)));
    let managed = managed_files(&env.managed).into_iter().rev();
    let managed = managed.filter_map(|path| Layer::read(Whose::Managed, &path));
    managed.chain(of_project.filter_map(|path| Layer::read(Whose::Project, &path))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Home;

    #[test]
    fn layers_are_found_strongest_first_and_the_users_own_is_none_of_them() {
        let home = Home::new();
        home.write(".claude/settings.json", "{}");
        home.write("etc/claude-code/managed-settings.json", "{}");
        home.write("etc/claude-code/managed-settings.d/10-a.json", "{}");
        home.write("etc/claude-code/managed-settings.d/20-b.json", r#"{"cleanupPeriodDays":7}"#);
        home.write("etc/claude-code/managed-settings.d/notes.txt", "{}");
        home.write("work/.git/HEAD", "");
        home.write("work/.claude/settings.json", "{}");
        home.write("work/.claude/settings.local.json", r#"{"env":{"ANTHROPIC_BASE_URL":"http://x"}}"#);
        home.write("work/mid/.claude/settings.local.json", "{}");
        home.write("work/mid/deep/.claude/settings.json", "{}");
        home.write("work/mid/deep/.claude/settings.local.json", "{ // no JSON\n}");
        let mut env = home.env();
        env.cwd = home.path().join("work/mid/deep");
        let layers = others(&env);
        let short = |layer: &Layer| layer.path.strip_prefix(home.path()).unwrap().display().to_string();
        assert_eq!(
            layers.iter().map(short).collect::<Vec<_>>(),
            [
                "etc/claude-code/managed-settings.d/20-b.json",
                "etc/claude-code/managed-settings.d/10-a.json",
                "etc/claude-code/managed-settings.json",
                "work/.claude/settings.local.json",
                "work/mid/deep/.claude/settings.json",
            ]
        );
        assert_eq!(layers[0].number("cleanupPeriodDays"), Some(7));
        assert_eq!(layers[3].env("ANTHROPIC_BASE_URL").as_deref(), Some("http://x"));
        env.cwd = home.path().to_owned();
        env.managed = home.path().join("nowhere");
        assert!(others(&env).is_empty(), "the home is no project");
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
        let strict = r#"{"strictPluginOnlyCustomization":["skills"]}"#;
        assert_eq!(silenced(Whose::Managed, strict, true), Some("strictPluginOnlyCustomization"));
        assert_eq!(silenced(Whose::Managed, strict, false), None, "hooks of the settings still run");
        assert_eq!(silenced(Whose::User, strict, true), None);
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
