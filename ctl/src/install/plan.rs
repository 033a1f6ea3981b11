//! What an installation would do: worked out from what is there, without changing anything.
//!
//! Everything that can be wrong (a program that is missing, a settings file that cannot be read, a foreign
//! file in our place) is found here, before the first change.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::args::{HooksIn, InstallArgs};
use crate::changes::{Journal, Planned};
use crate::claude::{self, Version};
use crate::config::{self, is_anothers, same_upstream, shown};
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::files;
use crate::manifest::{FileKind, hash};
use crate::plugin::{self, ABOUT_PLUGIN, Hooks};
use crate::settings::{self, BASE_URL, Document, THINKING, Wanted, Written, hooks, status_line};
use crate::skill;
use crate::telemetry;

/// What is to be done.
#[allow(clippy::struct_excessive_bools)] // switches of a command line
pub(crate) struct Plan {
    /// The daemon's program.
    pub(crate) ccd: PathBuf,
    /// Claude Code's configuration directories.
    pub(crate) dirs: Vec<PathBuf>,
    /// The settings files to be changed, links resolved.
    pub(crate) settings: Vec<PathBuf>,
    /// The hooks.
    pub(crate) hooks: Hooks,
    /// The client's version.
    pub(crate) client: Option<Version>,
    /// Where requests went before, if not to the API itself.
    pub(crate) foreign: Option<String>,
    /// That, where it is to be written into the configuration.
    pub(crate) upstream: Option<String>,
    /// What the user should know.
    pub(crate) warnings: Vec<String>,
    hooks_in: HooksIn,
    only_proxy: bool,
    has_hooks: bool,
    /// `.mcp.json`, where it is wanted.
    server: Option<String>,
    /// The skill in the plugin, where it is wanted.
    skill: Option<String>,
    /// Where the skill goes for Codex, and what stands there, where it is wanted.
    codex: Option<(PathBuf, Option<String>)>,
    thinking: bool,
    statusline: bool,
    force: bool,
    config_file: PathBuf,
    roots: Vec<PathBuf>,
}

impl Plan {
    pub(crate) fn make(env: &Env, args: &InstallArgs) -> Result<Self> {
        let ccd = env.program("ccd")?;
        let dirs = env.claude_dirs()?;
        let roots: Vec<PathBuf> = env.home().into_iter().chain(dirs.iter().cloned()).collect();
        let mut warnings = Vec::new();
        let program = claude::find(env);
        let client = program.as_deref().and_then(|program| claude::version(env, program));
        let mut hooks = Hooks::new(env, client)?;
        // Which hooks the client knows matters to who writes hooks.
        if client.is_none() && args.has_hooks() {
            let what = if program.is_some() { "does not tell its version" } else { "was not found" };
            // What is there was written for a client that told, and may do so again.
            let installed = dirs.iter().find_map(|dir| plugin::in_force(env, dir, args.settings.as_deref()));
            let installed = installed.map(|installed| plugin::known(&installed.events));
            let which = match installed.filter(|events| events.len() > hooks.events.len()) {
                Some(events) => {
                    hooks.events = events;
                    "the hooks stay those that are installed"
                }
                None => "the hooks are those that every supported version knows",
            };
            warnings.push(format!(
                "`{}` {what}: {which}; install again after it was installed or updated",
                claude::name(env).to_string_lossy()
            ));
        }
        let named = settings_files(env, args)?;
        let mut settings = Vec::new();
        for path in named {
            let real = files::resolve(&path, &roots)?;
            if !settings.contains(&real) {
                settings.push(real);
            }
        }
        let wants_skill = !args.no_skill && args.has_hooks();
        let skill = |name| wants_skill.then(|| skill::file(env, name)).transpose();
        let mut plan = Plan {
            ccd,
            hooks,
            dirs,
            settings,
            client,
            foreign: None,
            upstream: None,
            warnings,
            hooks_in: args.hooks,
            only_proxy: args.only_proxy,
            has_hooks: args.has_hooks(),
            server: (!args.no_mcp && args.has_hooks()).then(|| plugin::server::file(env)).transpose()?,
            skill: skill(skill::IN_PLUGIN)?,
            codex: match skill::codex_path(env) {
                Some(path) => Some((files::resolve(&path, &roots)?, skill(skill::ALONE)?)),
                None => None,
            },
            thinking: args.thinking,
            statusline: args.statusline,
            force: args.force,
            config_file: env.layout.config_file.clone(),
            roots,
        };
        // Everything is worked out once before anything is done: what cannot be changed is found now.
        let mut journal = Journal::open(&env.layout, env.token())?;
        if !args.no_proxy {
            plan.foreign = plan.find_foreign(env, &journal)?;
        }
        if env.var("CCD_UPSTREAM").is_some() {
            plan.foreign = None;
        }
        plan.upstream.clone_from(&plan.foreign);
        plan.config(&mut journal)?;
        if plan.foreign.is_some() {
            let base = base(&journal, FileKind::Config, &plan.config_file)?;
            // The user's own configuration says it already.
            if config::upstream(&base.unwrap_or_default())?.is_some() {
                plan.upstream = None;
            }
        }
        for path in plan.settings.clone() {
            if let Some(warning) = plan.other_status_line(&journal, &path)? {
                plan.warnings.push(warning);
            }
            plan.settings(env, &mut journal, &path, (!args.no_proxy).then_some("http://127.0.0.1:1/x"))?;
        }
        for (path, content) in plan.own_files()? {
            if let Some(content) = content {
                own(&journal, &path, content.as_bytes())?;
            }
        }
        Ok(plan)
    }

    /// The base URL in force that is not ours: the settings', else the shell's.
    fn find_foreign(&self, env: &Env, journal: &Journal<'_>) -> Result<Option<String>> {
        let mut found: Option<(String, &Path)> = None;
        for path in &self.settings {
            let Some(bytes) = base(journal, FileKind::Settings, path)? else { continue };
            let Some(url) = Document::read(&bytes).map_err(|e| e.of(path))?.env(BASE_URL) else { continue };
            if env.is_our_url(&url) || url.is_empty() {
                continue;
            }
            if is_anothers(&url) {
                return Err(CommandError::failed(format!(
                    "{}: env.{BASE_URL} belongs to another installation of ccd ({})",
                    path.display(),
                    shown(&url)
                ))
                .hint(format!(
                    "uninstall that one with its own CCD_HOME, or remove the key {BASE_URL} from the file"
                )));
            }
            match &found {
                Some((other, theirs)) if !same_upstream(other, &url) => {
                    return Err(CommandError::failed(format!(
                        "{} and {} name different base URLs, but the daemon has one upstream",
                        theirs.display(),
                        path.display()
                    ))
                    .hint(
                        "install with CLAUDE_CONFIG_DIR set to one of the directories, or set CCD_UPSTREAM",
                    ));
                }
                _ => found = Some((url, path)),
            }
        }
        let shell = || env.text(BASE_URL).filter(|url| !env.is_our_url(url) && !is_anothers(url));
        // Asked again from a shell, or from within Claude Code, that does not name it: it holds all the same.
        let before = || journal.manifest.upstream.clone();
        Ok(found.map(|(url, _)| url).or_else(shell).or_else(before))
    }

    /// The change to the daemon's configuration.
    pub(crate) fn config(&self, journal: &mut Journal<'_>) -> Result<Option<Planned>> {
        let path = files::resolve(&self.config_file, &self.roots)?;
        let current = files::read(&path)?;
        if current.is_none() && self.foreign.is_none() {
            return Ok(None);
        }
        let original = journal.base(FileKind::Config, &path, current.as_deref())?;
        let mut target = original.clone();
        if let Some(wanted) = &self.foreign {
            let bytes = original.clone().unwrap_or_default();
            match config::upstream(&bytes)? {
                None => target = Some(config::with_upstream(&bytes, Some(wanted))?),
                Some(configured) if same_upstream(&configured, wanted) => {}
                Some(configured) => {
                    return Err(CommandError::failed(format!(
                        "Claude Code's base URL is {}, but `upstream` in {} is {}",
                        shown(wanted),
                        path.display(),
                        shown(&configured)
                    ))
                    .hint("remove one of the two, or set CCD_UPSTREAM"));
                }
            }
        }
        Ok(Some(Planned {
            kind: FileKind::Config,
            path,
            original,
            current,
            target,
            written: Written::default(),
        }))
    }

    /// The change to a settings file; `url` is our base URL.
    pub(crate) fn settings(
        &self,
        env: &Env,
        journal: &mut Journal<'_>,
        path: &Path,
        url: Option<&str>,
    ) -> Result<Option<Planned>> {
        let wrong = |e: settings::SettingsError| e.of(path);
        let current = files::read(path)?;
        let now = current.as_deref().map(Document::read).transpose().map_err(wrong)?;
        let original = journal.base(FileKind::Settings, path, current.as_deref())?;
        let base = Document::read(original.as_deref().unwrap_or_default()).map_err(wrong)?;
        let mut wanted = Wanted::default();
        if let Some(url) = url {
            wanted.env = settings::no_proxy(|name| base.env(name), |name| env.text(name));
            wanted.env.insert(BASE_URL.to_owned(), url.to_owned());
        }
        // What `telemetry on` has put there stays.
        let known = journal.manifest.file(path).map(|change| telemetry::kept(&change.written));
        wanted.env.extend(known.unwrap_or_default());
        if self.thinking {
            wanted.top.insert(THINKING.to_owned(), Value::Bool(true));
        }
        let others = base.value().get(status_line::KEY).is_some_and(|line| !status_line::is_ours(line));
        if self.statusline && (self.force || !others) {
            wanted.top.insert(status_line::KEY.to_owned(), status_line::ours(env));
        }
        if self.has_hooks && self.hooks_in == HooksIn::Settings {
            wanted.hooks = Some(self.hooks.clone());
        }
        let merged = base.merged(&wanted).map_err(wrong)?;
        // A file that says the same in another form is left in that form.
        let same = now.as_ref().is_some_and(|now| now.value() == merged.value());
        let target = if same {
            current.clone()
        } else if original.is_none() && merged.value().is_empty() {
            None
        } else {
            Some(merged.bytes())
        };
        let written = wanted.written();
        Ok(Some(Planned {
            kind: FileKind::Settings,
            path: path.to_owned(),
            original,
            current,
            target,
            written,
        }))
    }

    /// That somebody else's status line keeps its place, if so.
    fn other_status_line(&self, journal: &Journal<'_>, path: &Path) -> Result<Option<String>> {
        if !self.statusline || self.force {
            return Ok(None);
        }
        let bytes = base(journal, FileKind::Settings, path)?.unwrap_or_default();
        let document = Document::read(&bytes).map_err(|e| e.of(path))?;
        let others = document.value().get(status_line::KEY).filter(|line| !status_line::is_ours(line));
        let command = |line: &Value| line.get("command").and_then(Value::as_str).unwrap_or("?").to_owned();
        Ok(others.map(|line| {
            format!(
                "{} has a status line already, which stays: `{}`; with --force ours takes its place until `ccctl uninstall`",
                path.display(),
                command(line)
            )
        }))
    }

    /// The settings files in which the status line is ours now.
    pub(crate) fn status_lines(&self) -> Vec<PathBuf> {
        let is_set =
            |path: &&PathBuf| status_line::in_file(path).is_some_and(|line| status_line::is_ours(&line));
        self.settings.iter().filter(is_set).cloned().collect()
    }

    /// Where the skill goes for Codex, where it does.
    pub(crate) fn codex_skill(&self) -> Option<&Path> {
        self.codex.as_ref().filter(|(_, content)| content.is_some()).map(|(path, _)| path.as_path())
    }

    /// The files of our own: those of the plugin directories, and the skill for Codex. None: no such file, which for
    /// hooks in the settings means that they are not called twice.
    pub(crate) fn own_files(&self) -> Result<Vec<(PathBuf, Option<String>)>> {
        let mut found = Vec::new();
        if self.only_proxy {
            return Ok(found);
        }
        let hooks = self.hooks.file()?;
        for dir in &self.dirs {
            let plugin = files::resolve(&plugin::directory(dir), &self.roots)?;
            let files = [
                (plugin::manifest_path(&plugin), Some(plugin::manifest_file())),
                (plugin::hooks_path(&plugin), Some(hooks.clone())),
                (plugin::server::path(&plugin), self.server.clone()),
                (plugin::skill_path(&plugin), self.skill.clone()),
            ];
            let wanted = self.has_hooks && self.hooks_in == HooksIn::Plugin;
            found.extend(files.into_iter().map(|(path, content)| (path, content.filter(|_| wanted))));
        }
        found.extend(self.codex.clone());
        Ok(found)
    }
}

/// The settings files that an installation changes, links not resolved.
pub(super) fn settings_files(env: &Env, args: &InstallArgs) -> Result<Vec<PathBuf>> {
    Ok(match &args.settings {
        Some(path) => vec![env.cwd.join(path)],
        None => env.claude_dirs()?.iter().map(|dir| dir.join("settings.json")).collect(),
    })
}

/// What is there, with nothing of ours in it.
fn base(journal: &Journal<'_>, kind: FileKind, path: &Path) -> Result<Option<Vec<u8>>> {
    journal.base(kind, path, files::read(path)?.as_deref())
}

/// The change to a file of our own.
pub(crate) fn own(journal: &Journal<'_>, path: &Path, content: &[u8]) -> Result<Option<Planned>> {
    let current = files::read(path)?;
    let is_known = journal.manifest.file(path).is_some();
    if let Some(bytes) = &current
        && !is_known
        && hash(bytes) != hash(content)
        && !is_recognised(path, bytes)
    {
        let leave_out = match path.file_name().and_then(OsStr::to_str) {
            Some("SKILL.md") => "--no-skill",
            Some(".mcp.json") => "--no-mcp",
            _ => "--hooks settings",
        };
        return Err(CommandError::failed(format!("{} is there already, and not of ours", path.display()))
            .hint(format!("move it away, or install with {leave_out}")));
    }
    Ok(Some(Planned {
        kind: FileKind::Own,
        path: path.to_owned(),
        original: None,
        current,
        target: Some(content.to_owned()),
        written: Written::default(),
    }))
}

/// Whether a file in our place is one that an earlier installation left there.
fn is_recognised(path: &Path, bytes: &[u8]) -> bool {
    if path.ends_with("SKILL.md") {
        return skill::is_one(bytes);
    }
    let Ok(document) = Document::read(bytes) else { return false };
    match path.file_name().and_then(OsStr::to_str) {
        Some("plugin.json") => document.value().get("description").is_some_and(|text| text == ABOUT_PLUGIN),
        Some(".mcp.json") => plugin::server::is_one(document.value()),
        Some("hooks.json") => hooks::ours(document.value()).next().is_some(),
        _ => false,
    }
}
