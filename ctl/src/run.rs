//! `ccctl run ARGS`: one Claude Code session, recorded, with nothing installed.
//!
//! The client gets one `--settings` argument that carries our base URL and hooks; no file is changed. Settings
//! that the user gives on the command line are merged into it. The client then takes this process's place, so
//! that signals, the terminal and the exit code are its own.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use ccd_proto::api::Status;
use ccd_proto::paths::base_url;
use serde_json::{Map, Value};

use crate::args::{RunArgs, TelemetryWhat};
use crate::claude;
use crate::config::{self, same_upstream};
use crate::daemon;
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::plugin::{self, Hooks};
use crate::printer::Printer;
use crate::settings::{self, BASE_URL, Document, THINKING, Wanted};
use crate::telemetry;

/// Runs the command; returns only if it fails.
pub fn run(env: &Env, out: &mut Printer, args: &RunArgs) -> Result<()> {
    let client = claude::required(env)?;
    let given = Given::take(env, &args.args)?;
    let foreign = foreign_url(env, &given.settings);
    let status = upstream_checked(env, out, foreign.as_deref())?;
    let hooks =
        if has_hooks(env, &given) { None } else { Some(Hooks::new(env, claude::version(env, &client))?) };
    let more = if args.telemetry {
        telemetry::wanted(env, out, &status, &TelemetryWhat::default())?
    } else {
        BTreeMap::new()
    };
    let arguments = arguments(env, args.thinking, given, &status, hooks, more)?;
    out.flush()?;
    let error = Command::new(&client).args(arguments).exec();
    Err(CommandError::failed(format!("cannot run {}: {error}", client.display())))
}

/// The user's arguments, with `--settings` taken out of them.
struct Given {
    args: Vec<OsString>,
    /// Where among `args` their `--settings` stood: an option before it may take any number of values.
    at: usize,
    settings: Map<String, Value>,
}

impl Given {
    fn take(env: &Env, args: &[OsString]) -> Result<Self> {
        let mut given = Given { args: Vec::new(), at: 0, settings: Map::new() };
        let mut last = None;
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            if arg == "--" {
                given.args.push(arg.clone());
                given.args.extend(rest.by_ref().cloned());
            } else if arg == "--settings" {
                let value = rest.next().ok_or_else(|| {
                    CommandError::usage("--settings needs a value: a file or a JSON object")
                })?;
                last = Some(value.clone());
                given.at = given.args.len();
            } else if let Some(value) = arg.as_bytes().strip_prefix(b"--settings=") {
                last = Some(OsStr::from_bytes(value).to_owned());
                given.at = given.args.len();
            } else {
                given.args.push(arg.clone());
            }
        }
        // As in the client, the last one counts.
        if let Some(value) = last {
            given.settings = read_settings(env, &value)?;
        }
        Ok(given)
    }

    /// Whether the client was told not to read the user's own settings and plugins.
    fn without_user_settings(&self) -> bool {
        let mut args = self.args.iter().map(|a| a.to_string_lossy()).take_while(|a| a != "--");
        while let Some(arg) = args.next() {
            let sources = match arg.strip_prefix("--setting-sources") {
                Some("") => args.next().map(std::borrow::Cow::into_owned),
                Some(rest) => rest.strip_prefix('=').map(ToOwned::to_owned),
                None => None,
            };
            if let Some(sources) = sources {
                return !sources.split(',').any(|s| s.trim() == "user");
            }
        }
        false
    }
}

/// What the client takes for `--settings`: a JSON object, or a file that holds one.
fn read_settings(env: &Env, value: &OsStr) -> Result<Map<String, Value>> {
    let inline = value.to_str().map(str::trim).filter(|text| text.starts_with('{'));
    let (name, bytes) = if let Some(text) = inline {
        ("--settings".into(), text.as_bytes().to_owned())
    } else {
        let path = env.cwd.join(value);
        let bytes = fs_err::read(&path).map_err(|e| CommandError::usage(format!("--settings: {e}")))?;
        (path, bytes)
    };
    Ok(Document::read(&bytes).map_err(|e| e.of(Path::new(&name)))?.value().clone())
}

/// The base URL that would be in force without us, if it is not ours. In the client's own order: the command
/// line, the project's settings, the user's, the shell.
fn foreign_url(env: &Env, given: &Map<String, Value>) -> Option<String> {
    let in_map = |map: &Map<String, Value>| map.get("env")?.get(BASE_URL)?.as_str().map(ToOwned::to_owned);
    let in_file = |path: &Path| in_map(Document::read(&std::fs::read(path).ok()?).ok()?.value());
    let url = in_map(given)
        .or_else(|| settings_in_force(env).iter().find_map(|path| in_file(path)))
        .or_else(|| env.text(BASE_URL))?;
    (!url.is_empty() && !env.is_our_url(&url)).then_some(url)
}

/// The base URL that would be in force in this directory and shell without us, if it is not ours.
#[must_use]
pub(crate) fn foreign_in_force(env: &Env) -> Option<String> {
    foreign_url(env, &Map::new())
}

/// The settings file in force here that names a base URL which is not ours: it wins over the shell's.
#[must_use]
pub(crate) fn settings_with_url(env: &Env) -> Option<PathBuf> {
    settings_in_force(env).into_iter().find(|path| {
        let url = std::fs::read(path).ok().and_then(|bytes| Document::read(&bytes).ok()?.env(BASE_URL));
        url.is_some_and(|url| !url.is_empty() && !env.is_our_url(&url))
    })
}

/// The settings files that a client here reads, in its order.
fn settings_in_force(env: &Env) -> Vec<PathBuf> {
    let project = env.cwd.join(".claude");
    let user = env.claude_dirs().ok().and_then(|dirs| dirs.into_iter().next());
    let files = [
        Some(project.join("settings.local.json")),
        Some(project.join("settings.json")),
        user.map(|d| d.join("settings.json")),
    ];
    files.into_iter().flatten().collect()
}

/// Variables for a daemon that is started here, so that it sends requests where the client would have sent them.
pub(crate) fn extra_for(env: &Env, foreign: Option<&str>) -> Result<Vec<(String, OsString)>> {
    let mut extra = Vec::new();
    if let (Some(url), None) = (foreign, env.text("CCD_UPSTREAM")) {
        let configured =
            std::fs::read(&env.layout.config_file).ok().map(|bytes| config::upstream(&bytes)).transpose()?;
        if configured.flatten().is_none() {
            extra.push(("CCD_UPSTREAM".to_owned(), OsString::from(url)));
        }
    }
    Ok(extra)
}

/// A running daemon that sends requests where the client would have sent them.
fn upstream_checked(env: &Env, out: &mut Printer, foreign: Option<&str>) -> Result<Status> {
    let (status, _) = daemon::ensure(env, out, &extra_for(env, foreign)?)?;
    same_way(env, &status, foreign).map(|()| status)
}

/// Whether the running daemon sends requests where the client would have sent them.
pub(crate) fn same_way(env: &Env, status: &Status, foreign: Option<&str>) -> Result<()> {
    let by_env = env.text("CCD_UPSTREAM");
    let upstream = &status.proxy.upstream;
    // CCD_UPSTREAM is the user's own word on it.
    let wanted = by_env.as_deref().or(foreign);
    match wanted {
        Some(wanted) if !same_upstream(wanted, upstream) => {
            let source = if by_env.is_some() { "CCD_UPSTREAM" } else { BASE_URL };
            Err(CommandError::failed(format!(
                "{source} says {}, but the running daemon sends requests to {upstream}",
                config::shown(wanted)
            ))
            .hint("`ccctl stop`, then run this again: the daemon is started with the right one")
            .hint(format!("or set `upstream` in {}", env.layout.config_file.display())))
        }
        _ => Ok(()),
    }
}

/// Whether the client finds our hooks by itself: a second set would record every event twice.
fn has_hooks(env: &Env, given: &Given) -> bool {
    let dir = env.claude_dirs().ok().and_then(|dirs| dirs.into_iter().next());
    !given.without_user_settings() && dir.is_some_and(|dir| plugin::in_force(env, &dir, None).is_some())
}

/// The client's arguments: one `--settings` of ours, then the user's own.
fn arguments(
    env: &Env,
    thinking: bool,
    given: Given,
    status: &Status,
    hooks: Option<Hooks>,
    more: BTreeMap<String, String>,
) -> Result<Vec<OsString>> {
    let token = env.token().ok_or_else(|| {
        CommandError::failed(format!("the daemon has made no token in {}", env.layout.token_file().display()))
            .hint("`ccctl logs` may say why")
    })?;
    let user =
        env.claude_dirs().ok().and_then(|dirs| std::fs::read(dirs.first()?.join("settings.json")).ok());
    let user = user.and_then(|bytes| Document::read(&bytes).ok()).unwrap_or_default();
    let in_given = |name: &str| given.settings.get("env")?.get(name)?.as_str().map(ToOwned::to_owned);
    let mut wanted = Wanted {
        env: settings::no_proxy(|name| in_given(name).or_else(|| user.env(name)), |name| env.text(name)),
        hooks,
        ..Wanted::default()
    };
    wanted.env.insert(BASE_URL.to_owned(), base_url(&status.proxy.listen, &token));
    wanted.env.extend(more);
    if thinking {
        wanted.top.insert(THINKING.to_owned(), Value::Bool(true));
    }
    let mut settings = given.settings;
    settings::merge_value(&mut settings, &wanted);
    let file = settings_file(env, &Value::Object(settings))?;
    let mut arguments = given.args;
    let mut ours: Vec<OsString> = vec!["--settings".into(), file.into()];
    if thinking {
        ours.extend(["--thinking-display".into(), "summarized".into()]);
    }
    arguments.splice(given.at..given.at, ours);
    Ok(arguments)
}

/// Puts the settings into a private file of this run: arguments can be read by every user of the machine, and the
/// settings hold the path token. The client takes our place and keeps our process id, so files of processes that
/// are gone are taken away by the next run.
fn settings_file(env: &Env, settings: &Value) -> Result<PathBuf> {
    let dir = &env.layout.run_dir;
    let failed = |e: std::io::Error| CommandError::failed(format!("the session's settings: {e}"));
    remove_ended(dir).map_err(failed)?;
    let path = dir.join(format!("run-{}.json", std::process::id()));
    let _ = fs_err::remove_file(&path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
    file.write_all(settings.to_string().as_bytes()).map_err(failed)?;
    Ok(path)
}

/// Removes the files of runs that have ended.
pub(crate) fn remove_ended(dir: &Path) -> std::io::Result<()> {
    for entry in fs_err::read_dir(dir)?.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|n| n.strip_prefix("run-")?.strip_suffix(".json")?.parse().ok());
        let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) else { continue };
        if rustix::process::test_kill_process(pid).is_err() {
            // Another run may have been quicker.
            let _ = fs_err::remove_file(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Home, Reply, TOKEN};
    use serde_json::json;

    fn status() -> Status {
        let mut status = Status::default();
        status.proxy.listen = "127.0.0.1:7788".into();
        status.proxy.upstream = "https://api.anthropic.com".into();
        status
    }

    fn built(env: &Env, thinking: bool, args: &[&str]) -> (Value, Vec<String>) {
        let args: Vec<OsString> = args.iter().map(Into::into).collect();
        let given = Given::take(env, &args).unwrap();
        let hooks = (!has_hooks(env, &given)).then(|| Hooks::new(env, None).unwrap());
        std::fs::create_dir_all(&env.layout.run_dir).unwrap();
        let built = arguments(env, thinking, given, &status(), hooks, BTreeMap::new()).unwrap();
        let mut text: Vec<_> = built.into_iter().map(|a| a.into_string().unwrap()).collect();
        let end = text.iter().position(|a| a == "--").unwrap_or(text.len());
        let at = text[..end].iter().position(|a| a == "--settings").unwrap();
        let file = text.drain(at..at + 2).next_back().unwrap();
        assert!(Path::new(&file).starts_with(&env.layout.run_dir), "private: {file}");
        (serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap(), text)
    }

    #[test]
    fn one_settings_argument_carries_url_and_hooks() {
        let home = Home::new();
        home.programs();
        let (settings, rest) = built(&home.env(), false, &["-p", "hi"]);
        assert_eq!(settings["env"], json!({BASE_URL: format!("http://127.0.0.1:7788/{TOKEN}")}));
        assert_eq!(settings["hooks"].as_object().unwrap().len(), 27);
        assert_eq!(settings.get(THINKING), None);
        assert_eq!(rest, ["-p", "hi"]);
    }

    #[test]
    fn the_users_settings_are_merged_into_ours() {
        let home = Home::new();
        home.programs();
        home.write("s.json", r#"{"model":"opus","env":{"A":"1"},"hooks":{"Stop":[{"hooks":[{"type":"command","command":"x"}]}]}}"#);
        let inline = home.read("s.json").unwrap();
        for args in
            [&["-p", "--settings", "s.json", "hi"][..], &["-p", &format!("--settings={inline}"), "hi"]]
        {
            let (settings, rest) = built(&home.env(), true, args);
            assert_eq!(settings["model"], "opus");
            assert_eq!(settings["env"]["A"], "1");
            assert!(settings["env"][BASE_URL].is_string());
            assert_eq!(settings["hooks"]["Stop"].as_array().unwrap().len(), 2);
            assert_eq!(settings[THINKING], true);
            assert_eq!(rest, ["-p", "--thinking-display", "summarized", "hi"]);
        }
        let args = ["-p", "--allowedTools", "Bash", "--settings", "s.json", "hi"];
        let env = home.env();
        std::fs::create_dir_all(&env.layout.run_dir).unwrap();
        let given = Given::take(&env, &args.map(OsString::from)).unwrap();
        let whole = arguments(&env, false, given, &status(), None, BTreeMap::new()).unwrap();
        assert_eq!(
            whole[3], "--settings",
            "an option with any number of values ends where the user ended it"
        );
        assert_eq!(whole[5], "hi");
        let (_, rest) = built(&home.env(), false, &["--", "--settings", "not ours"]);
        assert_eq!(rest, ["--", "--settings", "not ours"]);
        let wrong = |args: &[&str]| {
            Given::take(&home.env(), &args.iter().map(Into::into).collect::<Vec<_>>()).err().unwrap()
        };
        assert_eq!(wrong(&["--settings"]).exit_code(), 2);
        assert_eq!(wrong(&["--settings", "missing.json"]).exit_code(), 2);
        assert!(wrong(&["--settings", "{oops"]).message.contains("line 1"));
    }

    #[test]
    fn installed_hooks_are_not_given_twice() {
        let home = Home::new();
        home.programs();
        let hooks = Hooks::new(&home.env(), None).unwrap();
        home.write(".claude/skills/ccd/hooks/hooks.json", hooks.file().unwrap());
        assert_eq!(built(&home.env(), false, &[]).0.get("hooks"), None);
        // Not read by a session like this, so they are given.
        assert!(built(&home.env(), false, &["--setting-sources", "project,local"]).0.get("hooks").is_some());
        assert_eq!(built(&home.env(), false, &["--setting-sources=user,project"]).0.get("hooks"), None);
    }

    #[test]
    fn an_http_proxy_is_kept_out_of_the_way() {
        let home = Home::new().var("HTTPS_PROXY", "http://corp:3128").var("NO_PROXY", "intra.example");
        home.programs();
        assert_eq!(built(&home.env(), false, &[]).0["env"]["NO_PROXY"], "intra.example,127.0.0.1,localhost");
    }

    #[test]
    fn a_foreign_base_url_is_found_in_the_clients_order() {
        let home = Home::new().var(BASE_URL, "http://shell");
        home.programs();
        let found = |given: Value| foreign_url(&home.env(), given.as_object().unwrap());
        assert_eq!(found(json!({})).as_deref(), Some("http://shell"));
        home.write(".claude/settings.json", r#"{"env":{"ANTHROPIC_BASE_URL":"http://user"}}"#);
        assert_eq!(found(json!({})).as_deref(), Some("http://user"));
        assert_eq!(found(json!({"env":{BASE_URL:"http://given"}})).as_deref(), Some("http://given"));
        assert_eq!(found(json!({"env":{BASE_URL: base_url("127.0.0.1:7788", TOKEN)}})), None);
    }

    #[test]
    fn a_daemon_with_another_upstream_is_not_used() {
        let home = Home::new();
        home.programs();
        let _daemon = home.daemon(|_| {
            Reply::json(r#"{"schema_version":1,"proxy":{"upstream":"https://api.anthropic.com"}}"#)
        });
        let (mut out, _, _) = Printer::captured(80);
        let mut ask = |env: &Env, url: Option<&str>| upstream_checked(env, &mut out, url);
        assert!(ask(&home.env(), None).is_ok());
        assert!(ask(&home.env(), Some("https://api.anthropic.com/")).is_ok());
        let error = ask(&home.env(), Some("http://gateway")).unwrap_err();
        assert!(
            error.message.contains("http://gateway") && error.hints[0].contains("ccctl stop"),
            "{error:?}"
        );
        let home = home.var("CCD_UPSTREAM", "https://api.anthropic.com");
        assert!(ask(&home.env(), Some("http://gateway")).is_ok());
    }
}
