//! `ccctl telemetry`: Claude Code's own telemetry, sent to the daemon on this machine and nowhere else.
//!
//! The variables stand in `env` of Claude Code's settings, put there and taken out by the same journal of changes as
//! everything else of ours. They hold one destination: where the user or the organisation has named another, or anything
//! about it, this is refused and nothing is changed.
//!
//! Must never send content without being asked to, or let the token be read by others: it stands in private files alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ccd_proto::api::{Status, TelemetryStatus, TokenCreated, TokenList};
use serde::Serialize;
use serde_json::Map;

use crate::args::{TelemetryArgs, TelemetryCommand, TelemetryEncoding, TelemetryOnArgs, TelemetryWhat};
use crate::changes::{Journal, Planned};
use crate::claude::layers;
use crate::client::{Client, decode};
use crate::daemon;
use crate::env::Env;
use crate::error::{CommandError, Kind, Result};
use crate::files::{self, Lock};
use crate::install::show_plans;
use crate::manifest::FileKind;
use crate::printer::{Printer, visible};
use crate::query::Target;
use crate::settings::{self, Document, Wanted, Written};

/// How our token is called among the daemon's.
const NAME: &str = "claude-code";
/// What carries it.
pub(crate) const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
/// Where it goes.
pub(crate) const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// What stands before the token.
const BEARER: &str = "Authorization=Bearer ";
/// The variables that turn it on and that begin with none of [`PREFIX`].
const SWITCHES: [&str; 2] = ["CLAUDE_CODE_ENABLE_TELEMETRY", "CLAUDE_CODE_ENHANCED_TELEMETRY_BETA"];
const PREFIX: &str = "OTEL_";

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &TelemetryArgs) -> Result<()> {
    match &args.command {
        TelemetryCommand::On(args) => on(env, out, args),
        TelemetryCommand::Off(args) => off(env, out, args.dry_run, args.json),
        TelemetryCommand::Status(args) => status(env, out, args.json),
        TelemetryCommand::Env(what) => shell(env, out, what),
    }
}

/// Whether a variable is one of those that we set, or that say where telemetry goes.
#[must_use]
pub(crate) fn is_about_it(name: &str) -> bool {
    name.starts_with(PREFIX) || SWITCHES.contains(&name)
}

/// What of a file's keys of ours is about telemetry: an installation leaves it in place.
#[must_use]
pub(crate) fn kept(written: &Written) -> BTreeMap<String, String> {
    written.env.iter().filter(|(name, _)| is_about_it(name)).map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// The token in a value of [`HEADERS`] that is ours.
pub(crate) fn token_in(headers: &str) -> Option<&str> {
    headers.strip_prefix(BEARER).filter(|token| token.starts_with("ccdt_"))
}

fn variables(what: &TelemetryWhat, listen: &str, token: &str) -> BTreeMap<String, String> {
    let protocol = match what.encoding {
        TelemetryEncoding::Protobuf => "http/protobuf",
        TelemetryEncoding::Json => "http/json",
    };
    // What listens everywhere is reached here.
    let listen = listen.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:");
    let mut all = vec![
        (SWITCHES[0], "1".to_owned()),
        ("OTEL_LOGS_EXPORTER", "otlp".to_owned()),
        ("OTEL_METRICS_EXPORTER", "otlp".to_owned()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.to_owned()),
        (ENDPOINT, format!("http://{listen}")),
        (HEADERS, format!("{BEARER}{token}")),
    ];
    let one = |name| (name, "1".to_owned());
    if what.traces {
        all.extend([one(SWITCHES[1]), ("OTEL_TRACES_EXPORTER", "otlp".to_owned())]);
    }
    if what.content {
        all.extend(
            ["OTEL_LOG_USER_PROMPTS", "OTEL_LOG_ASSISTANT_RESPONSES", "OTEL_LOG_TOOL_DETAILS"].map(one),
        );
        if what.traces {
            all.push(one("OTEL_LOG_TOOL_CONTENT"));
        }
    }
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The variables for what runs here, with a token that is good.
pub(crate) fn wanted(
    env: &Env,
    out: &mut Printer,
    status: &Status,
    what: &TelemetryWhat,
) -> Result<BTreeMap<String, String>> {
    let listen = status.web.listen.as_deref().ok_or_else(|| {
        let error =
            CommandError::failed("the daemon's web port is not open, where telemetry would be sent to");
        error.hint("`ccctl status` says why")
    })?;
    Ok(variables(what, listen, &token(env, out)?))
}

fn token_file(env: &Env) -> PathBuf {
    env.layout.state_dir.join("telemetry.token")
}

/// Our token: the one that is kept, while the daemon knows it; else a new one. It is kept as `ID TOKEN`, in a private file.
fn token(env: &Env, out: &mut Printer) -> Result<String> {
    let path = token_file(env);
    let old = files::read(&path)?;
    let text = String::from_utf8_lossy(old.as_deref().unwrap_or_default()).into_owned();
    let client = Client::new(env)?;
    let all: TokenList = client.read(out, "/v0/tokens")?;
    if let Some((id, token)) = text.trim().split_once(' ')
        && all.tokens.iter().any(|known| known.id == id && !known.expired)
    {
        return Ok(token.to_owned());
    }
    if all.tokens.iter().any(|known| known.name == NAME) {
        let revoke = Target::new("/v0/tokens").part("revoke").with("which", Some(NAME));
        client.command(out, revoke.as_ref())?;
    }
    let create =
        Target::new("/v0/tokens").part("create").with("name", Some(NAME)).with("scope", Some("telemetry"));
    let made: TokenCreated = decode(&client.command(out, create.as_ref())?)?;
    files::replace(&path, old.as_deref(), format!("{} {}\n", made.info.id, made.token).as_bytes())?;
    Ok(made.token)
}

/// Refuses where telemetry goes elsewhere, or is said anything about. `given`: whose settings files these are, with what
/// stands in them that is not ours.
fn refused(env: &Env, given: &[(PathBuf, Document)]) -> Result<()> {
    let said = |place: &Path, name: &str| {
        let text = format!(
            "{} sets {name} already, and Claude Code's telemetry has one destination",
            place.display()
        );
        CommandError::failed(visible(&text))
            .hint("nothing was changed; take it out there to have it here")
            .hint("to have both: leave telemetry to that one, and record with `ccctl install`; `ccctl forward` sends traces on")
    };
    for (path, document) in given {
        let set = document.value().get("env").and_then(|env| env.as_object());
        if let Some(name) = set.and_then(|set| set.keys().find(|name| is_about_it(name))) {
            return Err(said(path, name));
        }
    }
    let names = [
        SWITCHES[0],
        ENDPOINT,
        HEADERS,
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "OTEL_LOGS_EXPORTER",
        "OTEL_METRICS_EXPORTER",
        "OTEL_TRACES_EXPORTER",
        "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    ];
    for layer in layers::others(env) {
        if let Some(name) = names.iter().find(|name| layer.env(name).is_some()) {
            return Err(said(&layer.path, name));
        }
    }
    let ours = |name: &str| env.text(HEADERS).is_some_and(|h| token_in(&h).is_some()) && is_about_it(name);
    match names.iter().find(|name| env.text(name).is_some() && !ours(name)) {
        Some(name) => Err(said(Path::new("this shell's environment"), name)),
        None => Ok(()),
    }
}

fn settings_files(env: &Env) -> Result<Vec<PathBuf>> {
    let dirs = env.claude_dirs()?;
    let roots: Vec<PathBuf> = env.home().into_iter().chain(dirs.iter().cloned()).collect();
    let mut found = Vec::new();
    for dir in dirs {
        let path = files::resolve(&dir.join("settings.json"), &roots)?;
        if !found.contains(&path) {
            found.push(path);
        }
    }
    Ok(found)
}

/// A settings file without anything of ours.
fn base(journal: &Journal<'_>, path: &Path, current: Option<&[u8]>) -> Result<(Option<Vec<u8>>, Document)> {
    let original = journal.base(FileKind::Settings, path, current)?;
    let document = Document::read(original.as_deref().unwrap_or_default()).map_err(|e| e.of(path))?;
    Ok((original, document))
}

fn written(journal: &Journal<'_>, path: &Path) -> Written {
    journal.manifest.file(path).map(|change| change.written.clone()).unwrap_or_default()
}

/// The variables put into a settings file, everything else left as it is.
fn put(journal: &Journal<'_>, path: &Path, env: &BTreeMap<String, String>) -> Result<Planned> {
    let current = files::read(path)?;
    let (original, _) = base(journal, path, current.as_deref())?;
    let now = without(journal, path, current.as_deref())?;
    let wanted = Wanted { env: env.clone(), ..Wanted::default() };
    let target = now.merged(&wanted).map_err(|e| e.of(path))?;
    let mut written = written(journal, path);
    written.env.retain(|name, _| !is_about_it(name));
    written.env.extend(env.clone());
    let target = Some(target.bytes());
    Ok(Planned { kind: FileKind::Settings, path: path.to_owned(), original, current, target, written })
}

/// A settings file with our variables about telemetry taken out, and nothing else.
fn without(journal: &Journal<'_>, path: &Path, current: Option<&[u8]>) -> Result<Document> {
    let document = Document::read(current.unwrap_or_default()).map_err(|e| e.of(path))?;
    let ours = Written { env: kept(&written(journal, path)), ..Written::default() };
    document.stripped(&Map::new(), &ours, None).map_err(|e| e.of(path))
}

/// What `telemetry on` and `off` say with `--json`.
#[derive(Serialize)]
struct Done {
    on: bool,
    files: Vec<PathBuf>,
}

fn on(env: &Env, out: &mut Printer, args: &TelemetryOnArgs) -> Result<()> {
    let _lock = Lock::take(&env.layout.state_dir)?;
    let mut journal = Journal::open(&env.layout, env.token())?;
    let paths = settings_files(env)?;
    let mut given = Vec::new();
    for path in &paths {
        let (_, document) = base(&journal, path, files::read(path)?.as_deref())?;
        given.push((path.clone(), document));
    }
    refused(env, &given)?;
    let variables = if args.dry_run {
        variables(&args.what, "127.0.0.1:7789", "ccdt_…")
    } else {
        let (status, _) = daemon::ensure_lasting(env, out)?;
        wanted(env, out, &status, &args.what)?
    };
    let mut changed = Vec::new();
    let mut planned = Vec::new();
    for (path, document) in &given {
        // Each file has its own way round a proxy.
        let mut variables = variables.clone();
        variables.extend(settings::no_proxy(|name| document.env(name), |name| env.text(name)));
        for _ in 0..5 {
            let plan = put(&journal, path, &variables)?;
            if args.dry_run {
                planned.push(plan);
                break;
            }
            match journal.apply(&plan) {
                Err(error) if error.kind == Kind::Changed => {}
                other => {
                    other?;
                    changed.push(path.clone());
                    break;
                }
            }
        }
    }
    if args.dry_run {
        return show_plans(out, &planned, args.json);
    }
    if args.json {
        return out.json(&Done { on: true, files: changed });
    }
    for path in &changed {
        out.line(visible(&format!("telemetry goes to the daemon: {}", path.display())))?;
    }
    out.note("sessions that are running take it up when they are started again");
    Ok(())
}

fn off(env: &Env, out: &mut Printer, dry_run: bool, json: bool) -> Result<()> {
    let _lock = Lock::take(&env.layout.state_dir)?;
    let mut journal = Journal::open(&env.layout, env.token())?;
    let mut changed = Vec::new();
    let mut planned = Vec::new();
    for path in settings_files(env)? {
        let ours = written(&journal, &path);
        if kept(&ours).is_empty() {
            continue;
        }
        let left = Written {
            env: ours
                .env
                .iter()
                .filter(|(n, _)| !is_about_it(n))
                .map(|(n, v)| (n.clone(), v.clone()))
                .collect(),
            top: ours.top.clone(),
        };
        let current = files::read(&path)?;
        let stripped = without(&journal, &path, current.as_deref())?;
        let (original, document) = base(&journal, &path, current.as_deref())?;
        // Nothing else of ours is in it but the way round a proxy, which came with it: it becomes what it was, byte for byte.
        let is_way = |name: &String| name.eq_ignore_ascii_case("no_proxy");
        let only_way = left.top.is_empty() && !left.env.is_empty() && left.env.keys().all(is_way);
        let is_all = only_way || stripped.value() == document.value();
        let target = if is_all { original.clone() } else { Some(stripped.bytes()) };
        let kind = FileKind::Settings;
        let plan = Planned { kind, path: path.clone(), original, current, target, written: left };
        if dry_run {
            planned.push(plan);
            continue;
        }
        if is_all {
            journal.undo(&path)?;
        } else {
            journal.apply(&plan)?;
        }
        changed.push(path);
    }
    if dry_run {
        return show_plans(out, &planned, json);
    }
    let manifest = &journal.manifest;
    if !changed.is_empty() && manifest.files.is_empty() && manifest.service.is_none() {
        journal.remove_directories()?;
        journal.close()?;
    }
    revoke(env, out);
    if json {
        return out.json(&Done { on: false, files: changed });
    }
    if changed.is_empty() {
        return out.line("telemetry was not on");
    }
    changed.iter().try_for_each(|path| out.line(visible(&format!("telemetry is off: {}", path.display()))))
}

/// The token is good no more. What carries it is gone, so that it is no harm if the daemon is not there to hear it.
fn revoke(env: &Env, out: &mut Printer) {
    let path = token_file(env);
    let Ok(Some(old)) = files::read(&path) else { return };
    let target = Target::new("/v0/tokens").part("revoke").with("which", Some(NAME));
    if let Ok(client) = Client::new(env)
        && client.command(out, target.as_ref()).is_ok()
    {
        let _ = files::remove(&path, &old);
    }
}

/// How it stands: whether settings send telemetry here, with a token that is good.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Stand {
    /// Settings files that send it here.
    pub(crate) files: Vec<PathBuf>,
    /// Where they send it to.
    pub(crate) endpoint: Option<String>,
    /// Whether the daemon knows the token that they show; null where it could not be asked.
    pub(crate) token_is_good: Option<bool>,
}

/// Looks at the settings, and asks the daemon for its tokens.
pub(crate) fn stand(env: &Env) -> Stand {
    let mut stand = Stand::default();
    let mut shown = None;
    for path in settings_files(env).unwrap_or_default() {
        let Some(document) = files::read(&path).ok().flatten().and_then(|b| Document::read(&b).ok()) else {
            continue;
        };
        let headers = document.env(HEADERS);
        if let Some(token) = headers.as_deref().and_then(token_in) {
            shown = Some(token.to_owned());
            stand.endpoint = document.env(ENDPOINT);
            stand.files.push(path);
        }
    }
    if let Some(shown) = shown {
        let kept = files::read(&token_file(env)).ok().flatten().unwrap_or_default();
        let kept = String::from_utf8_lossy(&kept).into_owned();
        let id =
            kept.trim().split_once(' ').filter(|(_, token)| *token == shown).map(|(id, _)| id.to_owned());
        let asked =
            Client::new(env).and_then(|client| client.quietly("/v0/tokens").map(|body| decode(&body)));
        if let Ok(Ok(all)) = asked {
            let all: TokenList = all;
            let is_good = |id: &String| all.tokens.iter().any(|token| token.id == *id && !token.expired);
            stand.token_is_good = Some(id.as_ref().is_some_and(is_good));
        }
    }
    stand
}

fn status(env: &Env, out: &mut Printer, json: bool) -> Result<()> {
    #[derive(Serialize)]
    struct Told {
        on: bool,
        #[serde(flatten)]
        stand: Stand,
        telemetry: TelemetryStatus,
    }
    let stand = stand(env);
    let running = daemon::status(env, out)?;
    let telemetry = running.as_ref().map(|status| status.telemetry.clone()).unwrap_or_default();
    if json {
        return out.json(&Told { on: !stand.files.is_empty(), stand, telemetry });
    }
    if stand.files.is_empty() {
        out.line("off: `ccctl telemetry on` has Claude Code send its telemetry to the daemon")?;
    }
    for path in &stand.files {
        let to = stand.endpoint.as_deref().unwrap_or("?");
        out.line(visible(&format!("on: {} sends to {to}", path.display())))?;
    }
    if stand.token_is_good == Some(false) {
        out.warn("the daemon does not know its token: `ccctl telemetry on` makes another");
    }
    let last = telemetry.last_at.map(|at| format!(", the last at {at}")).unwrap_or_default();
    out.line(format!("{} events taken in{last}", telemetry.events))
}

fn shell(env: &Env, out: &mut Printer, what: &TelemetryWhat) -> Result<()> {
    let (status, _) = daemon::ensure(env, out, &[])?;
    for (name, value) in wanted(env, out, &status, what)? {
        // Of what we write there, nothing has a quote in it.
        out.line(format!("export {name}='{value}'"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Home, Reply};

    fn daemon(home: &Home) -> crate::testing::Daemon {
        home.daemon(|request| {
            let path = request.uri().path();
            if path == "/v0/tokens/create" {
                Reply::json(r#"{"schema_version":1,"token":"ccdt_abc","id":"i1","name":"claude-code","scope":"telemetry"}"#)
            } else if path == "/v0/tokens" {
                Reply::json(r#"{"schema_version":1,"tokens":[]}"#)
            } else {
                let mut status = Status::default();
                status.daemon.running = true;
                status.daemon.state = "serving".into();
                status.web.listen = Some("127.0.0.1:7789".into());
                Reply::json(serde_json::to_string(&ccd_proto::api::Reply::new(status)).unwrap())
            }
        })
    }

    #[test]
    fn on_and_off_leave_a_settings_file_as_it_was() {
        let home = Home::new();
        home.programs();
        let _daemon = daemon(&home);
        for before in [None, Some("{\n    \"model\": \"opus\"  }\n"), Some("{\"env\": {\"A\": \"1\"}}")] {
            match before {
                Some(text) => _ = home.write(".claude/settings.json", text),
                None => _ = std::fs::remove_file(home.path().join(".claude/settings.json")),
            }
            let (mut out, ..) = Printer::captured(80);
            on(&home.env(), &mut out, &TelemetryOnArgs::default()).unwrap();
            let during = Document::read(home.read(".claude/settings.json").unwrap().as_bytes()).unwrap();
            assert_eq!(during.env(ENDPOINT).as_deref(), Some("http://127.0.0.1:7789"));
            assert_eq!(during.env(HEADERS).as_deref(), Some("Authorization=Bearer ccdt_abc"));
            assert_eq!(during.env("OTEL_LOG_USER_PROMPTS"), None, "no content unless it is asked for");
            on(&home.env(), &mut out, &TelemetryOnArgs::default()).unwrap();
            off(&home.env(), &mut out, false, false).unwrap();
            assert_eq!(home.read(".claude/settings.json").as_deref(), before);
        }
    }

    #[test]
    fn another_destination_is_left_alone() {
        for (path, text) in [
            (".claude/settings.json", r#"{"env":{"OTEL_EXPORTER_OTLP_ENDPOINT":"http://x"}}"#),
            (".claude/settings.json", r#"{"env":{"CLAUDE_CODE_ENABLE_TELEMETRY":"0"}}"#),
            ("etc/claude-code/managed-settings.json", r#"{"env":{"OTEL_LOGS_EXPORTER":"otlp"}}"#),
        ] {
            let home = Home::new();
            home.programs();
            let _daemon = daemon(&home);
            home.write(path, text);
            let (mut out, ..) = Printer::captured(80);
            let error = on(&home.env(), &mut out, &TelemetryOnArgs::default()).unwrap_err();
            assert!(error.message.contains("one destination"), "{}", error.message);
            assert_eq!(home.read(path).as_deref(), Some(text));
        }
    }

    #[test]
    fn what_is_sent_is_what_was_asked_for() {
        let what = TelemetryWhat { encoding: TelemetryEncoding::Json, traces: true, content: true };
        let all = variables(&what, "0.0.0.0:7789", "ccdt_x");
        assert_eq!(all["OTEL_EXPORTER_OTLP_PROTOCOL"], "http/json");
        assert_eq!(all[ENDPOINT], "http://127.0.0.1:7789");
        for name in ["CLAUDE_CODE_ENHANCED_TELEMETRY_BETA", "OTEL_LOG_USER_PROMPTS", "OTEL_LOG_TOOL_CONTENT"]
        {
            assert_eq!(all[name], "1", "{name}");
        }
        assert!(all.keys().all(|name| is_about_it(name)));
        assert_eq!(token_in(&all[HEADERS]), Some("ccdt_x"));
        assert_eq!(token_in("Authorization=Bearer other"), None);
        let least = variables(&TelemetryWhat::default(), "127.0.0.1:1", "ccdt_x");
        assert_eq!(least.len(), 6);
    }
}
