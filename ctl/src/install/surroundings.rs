//! What stands around an installation and decides what of it works: managed settings, the project's, the user's own
//! switches, other recorders, variables of the shell. Read only; nothing here is ever changed.
//!
//! What wins was tried with the real client (2.1.329): managed settings beat the user's, files of `managed-settings.d` beat
//! `managed-settings.json` and each other in the order of their names; one that does not parse stops the client. A
//! project's `settings.json` counts in its own directory alone, `settings.local.json` in the top of its git work tree,
//! too; both beat the user's. A variable of the shell loses against any settings file. With Bedrock, Vertex and Foundry
//! the base URL is not used at all.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::claude::layers;
use crate::config::shown;
use crate::env::Env;
use crate::human::plural;
use crate::settings::{BASE_URL, Document, hooks};

/// How the client knows our plugin directory.
const PLUGIN: &str = "ccd@skills-dir";
/// Other recorders and gateways, by what their commands and URLs hold.
const RECORDERS: [(&str, &str); 8] = [
    ("cc-tracer", "cc-tracer"),
    ("cctracer", "cc-tracer"),
    ("pisama", "pisama"),
    ("claude-trace", "claude-trace"),
    ("litellm", "LiteLLM"),
    ("langfuse", "Langfuse"),
    ("helicone", "Helicone"),
    ("claude-code-router", "claude-code-router"),
];

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Surroundings {
    /// Why no hook of ours runs for any session, if so.
    pub(crate) no_hooks: Option<String>,
    /// Why our plugin directory is not loaded, if so, while hooks in the settings are.
    pub(crate) no_plugin: Option<String>,
    /// Why no request comes to our base URL, if so.
    pub(crate) no_requests: Option<String>,
    /// What holds for some sessions only, or is good to know.
    pub(crate) notes: Vec<String>,
    /// What of other people's stays as it is.
    pub(crate) stays: Vec<String>,
}

/// One settings file.
struct Source {
    path: PathBuf,
    value: Map<String, Value>,
}

impl Source {
    fn read(path: PathBuf) -> Option<Self> {
        let bytes = std::fs::read(&path).ok()?;
        let value = Document::read(&bytes).ok()?.value().clone();
        Some(Source { path, value })
    }

    fn is_on(&self, key: &str) -> bool {
        self.value.get(key) == Some(&Value::Bool(true))
    }

    fn env(&self, name: &str) -> Option<String> {
        match self.value.get("env")?.get(name)? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    fn has_plugin_off(&self) -> bool {
        self.value.get("enabledPlugins").and_then(|p| p.get(PLUGIN)) == Some(&Value::Bool(false))
    }

    fn says(&self, what: &str) -> String {
        format!("{} {what}", self.path.display())
    }
}

impl Surroundings {
    /// Looks. `settings` are the user's settings files.
    pub(crate) fn find(env: &Env, settings: &[PathBuf]) -> Self {
        let mut found = Surroundings::default();
        let user: Vec<_> = settings.iter().filter_map(|path| Source::read(path.clone())).collect();
        found.managed(&env.managed);
        found.user(env, &user);
        found.project(env, settings);
        found.shell(env, &user);
        found
    }

    /// What does not work here, and what is good to know: a line each.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let not = [
            self.no_hooks.as_ref().map(|why| format!("hooks are left out: {why}")),
            self.no_plugin.as_ref().map(|why| format!("hooks go into the settings: {why}")),
            self.no_requests.as_ref().map(|why| format!("requests are not captured: {why}")),
        ];
        not.into_iter().flatten().chain(self.notes.iter().cloned()).collect()
    }

    fn managed(&mut self, dir: &Path) {
        let mut url = None;
        for path in layers::managed_files(dir) {
            let shown_path = path.display().to_string();
            let Some(source) = Source::read(path) else {
                if Path::new(&shown_path).exists() {
                    self.notes
                        .push(format!("{shown_path} does not parse: Claude Code does not start with it"));
                }
                continue;
            };
            let locked = |what: &str| format!("the administrator's {}", source.says(what));
            let strict = source.value.get("strictPluginOnlyCustomization");
            let is_strict = |part: &str| match strict {
                Some(Value::Bool(on)) => *on,
                Some(Value::Array(parts)) => parts.iter().any(|p| p == part),
                _ => false,
            };
            for key in ["allowManagedHooksOnly", "disableAllHooks"] {
                if source.is_on(key) {
                    self.no_hooks = Some(locked(&format!("sets {key}: no hook of yours runs")));
                }
            }
            if is_strict("hooks") {
                self.no_hooks = Some(locked("sets strictPluginOnlyCustomization: no hook of yours runs"));
            } else if is_strict("skills") {
                self.no_plugin =
                    Some(locked("sets strictPluginOnlyCustomization: skill directories are not loaded"));
            }
            if source.value.contains_key("strictKnownMarketplaces") {
                self.no_plugin =
                    Some(locked("sets strictKnownMarketplaces: plugins of your own are not loaded"));
            }
            if source.has_plugin_off() {
                self.no_hooks = Some(locked("switches this plugin off"));
            }
            if source.is_on("disableSkillShellExecution") {
                self.notes
                    .push(locked("sets disableSkillShellExecution: the skill asks before each command"));
            }
            if let Some(theirs) = source.env(BASE_URL) {
                url = Some(locked(&format!(
                    "sends requests to {}, which no settings of yours change",
                    shown(&theirs)
                )));
            }
            self.provider(|name| source.env(name), &locked("uses"), true);
        }
        self.no_requests = url.or(self.no_requests.take());
    }

    fn user(&mut self, env: &Env, sources: &[Source]) {
        for source in sources {
            if source.is_on("disableAllHooks") {
                self.no_hooks =
                    Some(source.says("sets disableAllHooks: no hook runs until that is taken out"));
            }
            if source.has_plugin_off() {
                self.no_hooks = Some(source.says("switches this plugin off (enabledPlugins)"));
            }
            self.provider(|name| source.env(name), &source.says("uses"), true);
            if let Some(line) = others_hooks(&source.value) {
                self.stays.push(format!("{line} ({})", source.path.display()));
            }
            if let Some(url) = source.env(BASE_URL).filter(|url| !env.is_our_url(url))
                && let Some(name) = recorder(&url)
            {
                self.stays.push(format!(
                    "{name} at {} becomes the upstream: it sees every request, as before",
                    shown(&url)
                ));
            }
        }
    }

    /// What sessions in the working directory are told beside the user's settings.
    fn project(&mut self, env: &Env, settings: &[PathBuf]) {
        let real = |path: &Path| path.canonicalize().ok();
        for path in layers::project_files(env) {
            if settings.iter().any(|own| real(own).is_some_and(|own| real(&path) == Some(own))) {
                continue;
            }
            let Some(source) = Source::read(path) else { continue };
            if let Some(url) = source.env(BASE_URL).filter(|url| !env.is_our_url(url)) {
                let note =
                    source.says(&format!("sends the sessions of this project to {}, past ccd", shown(&url)));
                self.notes.push(note);
            }
            if source.is_on("disableAllHooks") {
                self.notes.push(source.says("sets disableAllHooks: no hook runs in this project"));
            }
            if source.has_plugin_off() {
                self.notes.push(source.says("switches this plugin off in this project"));
            }
        }
    }

    /// What the shell says, now and whenever it starts.
    fn shell(&mut self, env: &Env, user: &[Source]) {
        self.provider(|name| env.text(name), "this shell uses", false);
        let Some(home) = env.home() else { return };
        let files = [
            ".zshrc",
            ".zshenv",
            ".zprofile",
            ".bashrc",
            ".bash_profile",
            ".profile",
            ".config/fish/config.fish",
        ];
        for path in files.map(|name| home.join(name)) {
            let Some(url) = std::fs::read_to_string(&path).ok().as_deref().and_then(exported) else {
                continue;
            };
            if url.is_empty() || env.is_our_url(&url) {
                continue;
            }
            let text = format!(
                "{} sets {BASE_URL} to {}: the settings win over it while ccd is installed",
                path.display(),
                shown(&url)
            );
            // Where this shell has it, too, it becomes the upstream.
            let is_known = env.text(BASE_URL).as_ref() == Some(&url)
                || user.iter().any(|source| source.env(BASE_URL).as_ref() == Some(&url));
            let hint =
                if is_known { "" } else { "; if requests shall go there: `upstream` in ccd's config.toml" };
            self.notes.push(text + hint);
        }
        let old = home.join(".config/claude/settings.json");
        if old.exists() && env.claude_dirs().is_ok_and(|dirs| !dirs.iter().any(|dir| old.starts_with(dir))) {
            let note = "is left alone: Claude Code reads it only where CLAUDE_CONFIG_DIR names its directory";
            self.notes.push(format!("{} {note}", old.display()));
        }
    }

    fn provider(&mut self, get: impl Fn(&str) -> Option<String>, who: &str, always: bool) {
        let Some((name, provider)) = layers::provider(get) else { return };
        let text = format!(
            "{who} {provider} ({name}): requests go past every base URL, so hooks and transcripts are captured, requests are not"
        );
        if always { self.no_requests = Some(text) } else { self.notes.push(text) }
    }
}

/// The value that a shell's start-up file gives the base URL last.
fn exported(text: &str) -> Option<String> {
    let value = |line: &str| {
        let line = line.trim();
        let rest = match line.strip_prefix("set ") {
            // fish: `set -gx NAME VALUE`
            Some(rest) => rest.split_once(BASE_URL)?.1.strip_prefix(' ')?,
            None => line
                .strip_prefix("export ")
                .unwrap_or(line)
                .trim_start()
                .strip_prefix(BASE_URL)?
                .strip_prefix('=')?,
        };
        let rest = rest.trim_start();
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
        let end = |c: char| quote.map_or(c.is_whitespace() || c == ';' || c == '#', |quote| c == quote);
        let rest = quote.map_or(rest, |quote| rest.trim_start_matches(quote));
        Some(rest.split(end).next().unwrap_or_default().to_owned())
    };
    text.lines().rev().find_map(value)
}

/// A recorder or gateway of somebody else that a command or URL leads to.
fn recorder(text: &str) -> Option<&'static str> {
    let lower = text.to_ascii_lowercase();
    let named = RECORDERS.into_iter().find(|(part, _)| lower.contains(part)).map(|(_, name)| name);
    let host = lower.split("//").nth(1).unwrap_or_default();
    let is_here = ["127.", "localhost", "[::1]"].iter().any(|start| host.starts_with(start));
    named.or_else(|| is_here.then_some("another proxy on this machine"))
}

/// The hooks that are not ours, in one line.
fn others_hooks(settings: &Map<String, Value>) -> Option<String> {
    let events = settings.get("hooks").and_then(Value::as_object)?;
    let (mut count, mut names, mut known) = (0, Vec::new(), Vec::new());
    for (event, groups) in events {
        let groups = groups.as_array().into_iter().flatten();
        let handlers = groups.filter_map(|group| group.get("hooks")?.as_array()).flatten();
        let theirs: Vec<_> = handlers.filter(|handler| !hooks::is_ours(handler)).collect();
        count += theirs.len();
        if !theirs.is_empty() {
            names.push(event.as_str());
        }
        let commands =
            theirs.iter().filter_map(|handler| handler.get("command").or(handler.get("url"))?.as_str());
        known.extend(commands.filter_map(recorder));
    }
    known.sort_unstable();
    known.dedup();
    let whose =
        if known.is_empty() { String::new() } else { format!(", those of {} among them", known.join(", ")) };
    let verb = if count == 1 { "stays" } else { "stay" };
    let list = names.join(", ");
    (count > 0).then(|| format!("{} of yours {verb}: {list}{whose}", plural(count as u64, "hook")))
}

#[cfg(test)]
mod tests;
