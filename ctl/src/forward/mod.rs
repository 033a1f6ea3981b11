//! `ccctl forward`, `connect`, `sync`: to whom what is recorded is sent, what it would be, and sending it because it was
//! asked for.
//!
//! Who is sent what stands in the configuration, which is changed here; the daemon sends. Must never show a credential,
//! and never say that nothing is sent any more before the daemon said so.

mod connect;
mod sync;

use std::path::PathBuf;

use ccd_proto::api::{ForwardPreview, ForwardSinks, ForwardStatus, Reply};

use crate::args::{
    ForwardAddArgs, ForwardArgs, ForwardCommand, ForwardContent, ForwardExcludeArgs, ForwardKind, Switch,
};
use crate::client::{Client, decode};
use crate::config::command::check;
use crate::config::forward::{self as file, NewSink};
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::files;
use crate::human::{bytes, plural};
use crate::printer::{Printer, Tone, json_safe, visible};
use crate::query::Target;
use crate::store::told_dir;
use crate::table::{Column, Table, captured};

pub use self::connect::run as connect;
pub use self::sync::run as sync;

/// Said where nobody is named.
const NOBODY: &str = "nothing leaves this machine: no sink is configured";
/// The daemon's route.
const ROUTE: &str = "/v0/forward";

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &ForwardArgs) -> Result<()> {
    match &args.command {
        None if args.preview => preview(env, out, args),
        None => status(env, out, args.json),
        Some(ForwardCommand::Status(args)) => status(env, out, args.json),
        Some(ForwardCommand::Add(args)) => add(env, out, args),
        Some(ForwardCommand::Exclude(args)) => exclude(env, out, args),
        Some(ForwardCommand::Remove(args)) => {
            let name = one(env, args.name.as_deref())?;
            change(env, |bytes| file::without_sink(bytes, &name))?;
            let done = taken_up(env, out, args.json, |sinks| !sinks.iter().any(|sink| sink.name == name))?;
            forget(env, &name)?;
            tell(out, args.json, &format!("{} is forgotten", visible(&name)), done)
        }
        Some(command) => match command.switch() {
            Some((way, args)) => switch(env, out, way == Switch::On, args.name.as_deref(), args.json),
            None => Ok(()),
        },
    }
}

/// Removes what was noted about a sink, and what opens its door: the key that `connect` took, the token that it was
/// exchanged for. Files that the user named are the user's.
fn forget(env: &Env, name: &str) -> Result<()> {
    let state = env.layout.state_dir.join("forward");
    let key = path(env)?.parent().map(|dir| dir.join("forward").join(format!("{name}.key")));
    let noted = ["state", "token"].map(|what| state.join(format!("{name}.{what}.json")));
    for file in noted.iter().chain(&key) {
        files::remove_file(file)?;
    }
    Ok(())
}

pub(super) fn level(content: ForwardContent) -> &'static str {
    match content {
        ForwardContent::None => "none",
        ForwardContent::Text => "text",
        ForwardContent::Full => "full",
    }
}

fn path(env: &Env) -> Result<PathBuf> {
    let roots: Vec<PathBuf> = env.home().into_iter().chain(env.layout.home.clone()).collect();
    files::resolve(&env.layout.config_file, &roots)
}

/// Changes the configuration, if that changes anything.
pub(super) fn change(env: &Env, work: impl FnOnce(&[u8]) -> Result<Vec<u8>>) -> Result<()> {
    let path = path(env)?;
    let current = files::read(&path)?;
    let target = work(current.as_deref().unwrap_or_default())?;
    if current.as_deref() == Some(&target) {
        return Ok(());
    }
    if let Some(dir) = path.parent() {
        files::make_dirs(dir)?;
    }
    files::replace(&path, current.as_deref(), &target)
}

/// The sink that is meant: the one that is named, or the only one.
fn one(env: &Env, name: Option<&str>) -> Result<String> {
    let names = file::names(&files::read(&path(env)?)?.unwrap_or_default())?;
    match (name, names.as_slice()) {
        (Some(name), names) if names.iter().any(|known| known == name) => Ok(name.to_owned()),
        (Some(name), _) => Err(nobody(&format!("no sink `{}` is configured", visible(name)))),
        (None, [only]) => Ok(only.clone()),
        (None, []) => Err(nobody("no sink is configured")),
        (None, many) => {
            Err(CommandError::usage(format!("there are several sinks: {}", many.join(", "))).hint("name one"))
        }
    }
}

fn nobody(what: &str) -> CommandError {
    CommandError::failed(what)
        .hint("`ccctl forward add NAME --kind otlp --url URL` names one, `ccctl connect` the Pisama platform")
}

/// Has the daemon go by the changed configuration, and makes sure that it does. False: it is not running, and reads it when
/// it starts.
pub(super) fn taken_up(
    env: &Env,
    out: &mut Printer,
    json: bool,
    holds: impl Fn(&[ForwardStatus]) -> bool,
) -> Result<bool> {
    let asked = Client::new(env)?.command(out, &format!("{ROUTE}/reload"));
    let body = match asked {
        Err(error) if error.exit_code() == 3 => return Ok(false),
        other => other?,
    };
    let sinks: Reply<ForwardSinks> = decode(&body)?;
    if sinks.body.problem.is_some() || !holds(&sinks.body.forward) {
        let error = CommandError::failed("the daemon goes on by the old configuration");
        return Err(match sinks.body.problem {
            Some(problem) => error.hint(visible(&problem)),
            None => {
                error.hint("`ccctl logs` says why: it refuses a configuration in which anything is wrong")
            }
        });
    }
    if json {
        out.object(&body)?;
    }
    Ok(true)
}

fn tell(out: &mut Printer, json: bool, text: &str, is_taken_up: bool) -> Result<()> {
    if json && is_taken_up {
        return Ok(());
    }
    if json {
        return out.json(&Reply::new(ForwardSinks::default()));
    }
    out.line(text)?;
    if !is_taken_up {
        out.line("the daemon is not running: it goes by this from its next start on")?;
    }
    Ok(())
}

fn switch(env: &Env, out: &mut Printer, on: bool, name: Option<&str>, json: bool) -> Result<()> {
    // Off is off, for all of them where none is named.
    let all = file::names(&files::read(&path(env)?)?.unwrap_or_default())?;
    if !on && name.is_none() && all.is_empty() {
        return if json { out.json(&Reply::new(ForwardSinks::default())) } else { out.line(NOBODY) };
    }
    let names = match name {
        None if !on && !all.is_empty() => all,
        name => vec![one(env, name)?],
    };
    change(env, |bytes| {
        names.iter().try_fold(bytes.to_vec(), |bytes, name| file::with_enabled(&bytes, name, on))
    })?;
    let holds = |sinks: &[ForwardStatus]| {
        names.iter().all(|name| sinks.iter().any(|sink| sink.name == *name && sink.enabled == on))
    };
    let done = taken_up(env, out, json, holds)?;
    let shown = names.iter().map(|name| visible(name)).collect::<Vec<_>>().join(", ");
    let text = if on {
        let url = file::said(&files::read(&path(env)?)?.unwrap_or_default(), &names[0], "url")?;
        let url = url.map_or_else(String::new, |url| format!(" to {}", visible(host(&url))));
        format!(
            "{shown}: what is recorded from now on is sent{url}\n\
             `ccctl forward --preview {shown}` shows exactly what; `ccctl sync {shown}` sends sessions of the past"
        )
    } else {
        format!("{shown}: nothing is sent any more, and nothing waits to be")
    };
    tell(out, json, &text, done)
}

/// Scheme, host and port of a URL: the rest may be a secret.
pub(super) fn host(url: &str) -> &str {
    let from = url.find("://").map_or(0, |at| at + 3);
    let end = url[from..].find(['/', '?']).map_or(url.len(), |at| from + at);
    &url[..end]
}

fn add(env: &Env, out: &mut Printer, args: &ForwardAddArgs) -> Result<()> {
    let told = |path: &Option<PathBuf>| path.as_ref().map(|path| told_dir(env, path)).transpose();
    let kind = match args.kind {
        ForwardKind::Otlp => "otlp",
        ForwardKind::Pisama => "pisama",
    };
    if kind == "pisama" && args.key_file.is_none() {
        return Err(CommandError::usage("the platform asks for an API key: --key-file is missing")
            .hint("`ccctl connect --api-key-stdin` takes the key itself"));
    }
    let known = file::names(&files::read(&path(env)?)?.unwrap_or_default())?;
    if known.contains(&args.name) {
        return Err(CommandError::failed(format!("there is a sink `{}` already", visible(&args.name)))
            .hint("`ccctl forward remove` takes it away"));
    }
    let new = NewSink {
        kind,
        url: args.url.clone(),
        content: level(args.content),
        headers_file: told(&args.headers_file)?,
        key_file: told(&args.key_file)?,
        enabled: false,
        allow_http: args.allow_http,
    };
    let name = args.name.clone();
    // What the daemon would not take is refused here, whether it runs or not.
    let path = path(env)?;
    let target = file::with_sink(&files::read(&path)?.unwrap_or_default(), &name, &new)?;
    if let Some(dir) = path.parent() {
        files::make_dirs(dir)?;
    }
    check(env, &path, &target).map_err(|error| {
        let is_plain = error.message.contains("allow_http");
        if is_plain { error.hint("--allow-http has it sent all the same") } else { error }
    })?;
    change(env, |_| Ok(target))?;
    let taken = taken_up(env, out, args.json, |sinks| sinks.iter().any(|sink| sink.name == name));
    if taken.is_err() {
        // A configuration that is refused would keep everything else from being changed, too.
        change(env, |bytes| file::without_sink(bytes, &name))?;
    }
    let text = format!("{} is known; nothing is sent before `ccctl forward on {0}`", visible(&name));
    tell(out, args.json, &text, taken?)
}

fn exclude(env: &Env, out: &mut Printer, args: &ForwardExcludeArgs) -> Result<()> {
    let names = match &args.name {
        Some(name) => vec![one(env, Some(name))?],
        None => file::names(&files::read(&path(env)?)?.unwrap_or_default())?,
    };
    if names.is_empty() {
        return Err(nobody("no sink is configured"));
    }
    let (list, entry) = match (&args.project, &args.session) {
        (Some(project), _) => ("exclude_projects", project.clone()),
        (None, session) => ("exclude_sessions", session.clone().unwrap_or_default()),
    };
    change(env, |bytes| {
        names.iter().try_fold(bytes.to_vec(), |bytes, name| file::with_excluded(&bytes, name, list, &entry))
    })?;
    let done = taken_up(env, out, args.json, |_| true)?;
    let shown = names.iter().map(|name| visible(name)).collect::<Vec<_>>().join(", ");
    let text = format!(
        "{} is not sent to {shown}\n`ccctl config set forward.{}.{list} '[]'` empties the list again",
        visible(&entry),
        visible(&names[0]),
    );
    tell(out, args.json, &text, done)
}

fn status(env: &Env, out: &mut Printer, json: bool) -> Result<()> {
    let body = Client::new(env)?.get(out, ROUTE)?;
    if json {
        return out.object(&body);
    }
    let sinks: Reply<ForwardSinks> = decode(&body)?;
    let sinks = sinks.body.forward;
    if sinks.is_empty() {
        return out.line(NOBODY);
    }
    table(&sinks).print(out)?;
    for sink in &sinks {
        if let Some(error) = &sink.last_error {
            let next =
                sink.next_try.as_deref().map_or_else(String::new, |at| format!("; tried again at {at}"));
            let at = sink.last_error_at.as_deref().unwrap_or_default();
            let text =
                format!("{}, {}: {}{}", captured(&sink.name), captured(at), visible(error), visible(&next));
            let text = out.paint(Tone::Warn, &text);
            out.line(text)?;
        }
    }
    if sinks.iter().all(|sink| !sink.enabled) {
        out.line("nothing leaves this machine: all of them are off")?;
    }
    Ok(())
}

fn table(sinks: &[ForwardStatus]) -> Table {
    let columns = vec![
        Column::Whole("SINK"),
        Column::Whole("KIND"),
        Column::Whole("STATE"),
        Column::Whole("CONTENT"),
        Column::Number("SENT"),
        Column::Number("WAITING"),
        Column::Number("DROPPED"),
        Column::Number("REFUSED"),
        Column::Whole("LAST SENT"),
        Column::Whole("TO"),
    ];
    let mut table = Table::new(columns).spare(["REFUSED", "LAST SENT", "CONTENT", "KIND"]);
    for sink in sinks {
        let (state, tone) = match (sink.enabled, &sink.next_try) {
            (false, _) => ("off", Tone::Faint),
            (true, Some(_)) => ("waiting", Tone::Warn),
            (true, None) => ("on", Tone::Good),
        };
        let lost = if sink.dropped > 0 { Tone::Bad } else { Tone::Plain };
        table.toned(vec![
            (captured(&sink.name), Tone::Strong),
            (captured(&sink.kind), Tone::Plain),
            (state.to_owned(), tone),
            (captured(&sink.content), Tone::Plain),
            (sink.sent.to_string(), Tone::Plain),
            (sink.waiting.to_string(), Tone::Plain),
            (sink.dropped.to_string(), lost),
            (sink.refused.to_string(), if sink.refused > 0 { Tone::Warn } else { Tone::Plain }),
            (captured(sink.last_success.as_deref().unwrap_or("–")), Tone::Faint),
            (captured(&sink.url), Tone::Faint),
        ]);
    }
    table
}

fn preview(env: &Env, out: &mut Printer, args: &ForwardArgs) -> Result<()> {
    // At a terminal what is sent in protobuf is shown as the same message in JSON.
    let is_read = out.is_drawn() && !args.json;
    let target = Target::new(ROUTE)
        .part("preview")
        .with("name", args.name.as_ref())
        .with("session", args.session.as_ref())
        .flag("readable", is_read);
    let body = Client::new(env)?.get(out, target.as_ref())?;
    if args.json {
        return out.object(&body);
    }
    let preview: Reply<ForwardPreview> = decode(&body)?;
    let preview = preview.body;
    if let Some(reason) = &preview.reason {
        return out.line(visible(reason));
    }
    for request in &preview.requests {
        // Beside what is shown, so that stdout is exactly what would be sent.
        out.note(format!(
            "POST {} ({}, {}, {}{})",
            visible(&request.url),
            visible(&request.content_type),
            bytes(request.bytes),
            plural(request.items, &request.unit),
            request.degraded.as_deref().map_or_else(String::new, |what| format!("; {}", visible(what)))
        ));
        match (&request.readable, &request.body) {
            (Some(text), _) => {
                out.note("shown as JSON; a file or a pipe gets the bytes themselves");
                out.line(json_safe(text))?;
            }
            (None, Some(body)) if is_read => out.line(json_safe(body))?,
            (None, Some(body)) => out.bytes(body.as_bytes())?,
            (None, None) => {
                out.bytes(&request.body_base64.as_deref().and_then(unbase64).unwrap_or_default())?;
            }
        }
    }
    let more = [(preview.more_requests, "more request"), (preview.more_turns, "more turn")];
    let more: Vec<_> = more.iter().filter(|(n, _)| *n > 0).map(|(n, what)| plural(*n, what)).collect();
    if !more.is_empty() {
        out.note(format!("and {}: only the beginning of so much is shown", more.join(" of this turn, and ")));
    }
    if !preview.enabled {
        out.note("nothing of this is sent: the sink is off");
    }
    Ok(())
}

fn unbase64(text: &str) -> Option<Vec<u8>> {
    let (mut out, mut bits, mut count) = (Vec::with_capacity(text.len() * 3 / 4), 0u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(six)) & 0xff_ffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).unwrap_or(0));
        }
    }
    Some(out)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
