//! `ccctl open [ID]`: the pages, in the user's browser, by a link that lets that browser in once.
//!
//! No shell ever sees the link. Where other users could read it off the list of processes, and the system does not tell
//! the daemon whose a connection is, the browser is handed a private file that leads on to it. Over ssh, and where there
//! is no screen, the link is printed, with what has to be typed on the machine that has one.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use ccd_proto::api::{Shown, Span, Spans, WebLogin};
use jiff::Timestamp;
use serde::Serialize;

use crate::args::OpenArgs;
use crate::client::{Client, decode};
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::exec::Invocation;
use crate::printer::{Printer, visible};
use crate::query::{Target, encode};

/// How long a browser may take to fail. One that is still there then goes on without us.
const START: Duration = Duration::from_secs(3);
/// How far a model call's beginning may lie from its request's, for the one to be looked for by the other, in seconds.
const AROUND_S: i64 = 5;
/// Whether the daemon knows whose a connection is, so that a link is of no use to other users.
const KNOWS_PEERS: bool = cfg!(target_os = "linux");

/// What `--json` prints.
#[derive(Serialize)]
struct Opened {
    /// The link, good once.
    url: String,
    /// Seconds it is good for.
    valid_s: u64,
    /// The program that was given it; null where none was.
    browser: Option<String>,
    /// What opens it on another machine; null unless this is an ssh session.
    #[serde(skip_serializing_if = "Option::is_none")]
    ssh: Option<String>,
}

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &OpenArgs) -> Result<()> {
    run_as(env, out, args, KNOWS_PEERS)
}

fn run_as(env: &Env, out: &mut Printer, args: &OpenArgs, knows_peers: bool) -> Result<()> {
    let client = Client::new(env)?;
    if args.forget {
        client.post("/v0/web/forget")?;
        return if args.json {
            out.json(&ccd_proto::api::Done { ok: true })
        } else {
            out.line("every browser is logged out: the next `ccctl open` lets one in again")
        };
    }
    // First, so that a code is not made for nothing.
    let to = args.id.as_deref().map(|id| place(&client, out, id)).transpose()?;
    let login: WebLogin = decode(&client.command(out, "/v0/web/login")?)?;
    let url = match &to {
        Some(to) => format!("{}&to={}", login.url, encode(to)),
        None => login.url,
    };
    let (ssh, browser) = match far(env, &url) {
        Ok(()) if args.print => (None, None),
        Ok(()) => (None, open(env, out, &url, knows_peers)?),
        Err(ssh) => (ssh, None),
    };
    if args.json {
        return out.json(&Opened { url, valid_s: login.valid_s, browser, ssh });
    }
    if browser.is_some() {
        return out.line("opened in your browser");
    }
    out.line(&url)?;
    if let Some(ssh) = &ssh {
        out.note(format!("on the machine with the browser, first: {ssh}"));
    }
    out.note(format!("good once, for {} s", login.valid_s));
    Ok(())
}

/// The part of the pages' address that shows the thing with this id.
fn place(client: &Client<'_>, out: &mut Printer, id: &str) -> Result<String> {
    let shown: Shown = decode(&client.get(out, Target::about("/v0/show", id).as_ref())?)?;
    if let Some(session) = &shown.session {
        return Ok(row(&session.session_id, None));
    }
    if let Some(turn) = &shown.turn {
        return Ok(row(&turn.session_id, Some(('t', &turn.turn_id))));
    }
    if let Some(span) = &shown.span {
        return Ok(of_span(span));
    }
    if let Some(detection) = &shown.detection {
        return Ok(row(&detection.session_id, Some(('d', &detection.detection_id))));
    }
    let Some(detail) = &shown.exchange else {
        let text = format!("a `{}` is on no page of this ccctl's", visible(&shown.kind));
        return Err(CommandError::failed(text).hint("`ccctl open` opens the list of sessions"));
    };
    let exchange = &detail.exchange;
    let Some(session) = &exchange.session_id else {
        return Err(CommandError::failed("this request belongs to no session, so it is on no page")
            .hint(format!("`ccctl exchange {}` shows it", visible(&exchange.exchange_id))));
    };
    let span = exchange.started_at.parse::<Timestamp>().ok().and_then(|at| {
        let second = jiff::SignedDuration::from_secs(AROUND_S);
        let (since, until) = (at.checked_sub(second).ok()?, at.checked_add(second).ok()?);
        let target = Target::new("/v0/spans")
            .with("session", Some(session))
            .with("kind", Some("llm"))
            .with("since", Some(since.to_string()))
            .with("until", Some(until.to_string()))
            .with("limit", Some("0"));
        let spans: Spans = decode(&client.quietly(target.as_ref()).ok()?).ok()?;
        spans.spans.into_iter().find(|span| span.exchange_id.as_deref() == Some(&exchange.exchange_id))
    });
    // One that is under way has no span yet.
    Ok(span.map_or_else(|| row(session, None), |span| of_span(&span)))
}

/// The row that shows a span: a turn's root has the prompt's, a subagent that of the call that started it.
fn of_span(span: &Span) -> String {
    let row_of = match (span.kind.as_str(), &span.parent_id) {
        ("agent", None) => ('t', &span.turn_id),
        ("agent", Some(parent)) => ('s', parent),
        _ => ('s', &span.span_id),
    };
    row(&span.session_id, Some(row_of))
}

/// A row of a session's timeline; without one, the session.
fn row(session: &str, row: Option<(char, &String)>) -> String {
    let session = encode(session);
    row.map_or_else(|| format!("#/s/{session}"), |(kind, id)| format!("#/s/{session}/{kind}:{}", encode(id)))
}

/// Whether a browser here would be on nobody's screen; for an ssh session, with what brings the pages to the other end.
fn far(env: &Env, url: &str) -> std::result::Result<(), Option<String>> {
    // Whoever names a browser knows where it opens: editors that work from afar do.
    if env.var("BROWSER").is_some() {
        return Ok(());
    }
    let ssh = ["SSH_CONNECTION", "SSH_TTY", "SSH_CLIENT"].iter().any(|name| env.var(name).is_some());
    if ssh {
        return Err(Some(tunnel(env, url)));
    }
    let has_screen = cfg!(target_os = "macos")
        || is_wsl(env)
        || ["WAYLAND_DISPLAY", "DISPLAY"].iter().any(|name| env.var(name).is_some());
    if has_screen { Ok(()) } else { Err(None) }
}

/// What brings this machine's pages to the one that the ssh session comes from. The port has to be the same there.
fn tunnel(env: &Env, url: &str) -> String {
    let address = url.strip_prefix("http://").and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let port = address.rsplit_once(':').map_or("", |(_, port)| port);
    let connection = env.text("SSH_CONNECTION").unwrap_or_default();
    let mut words = connection.split_whitespace().skip(2);
    let host = words.next().and_then(|ip| ip.parse::<IpAddr>().ok()).map(|ip| ip.to_string());
    let ssh_port = words.next().and_then(|port| port.parse::<u16>().ok()).filter(|port| *port != 22);
    let is_name = |name: &String| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    let user = env.text("USER").filter(is_name).map(|user| format!("{user}@")).unwrap_or_default();
    let by = ssh_port.map(|port| format!("-p {port} ")).unwrap_or_default();
    format!("ssh {by}-N -L {port}:{address} {user}{}", host.unwrap_or_else(|| "THIS-MACHINE".into()))
}

fn is_wsl(env: &Env) -> bool {
    env.var("WSL_DISTRO_NAME").is_some()
}

/// Hands the link to the first program that takes it, and says which. None: none did, and why was said.
fn open(env: &Env, out: &mut Printer, url: &str, knows_peers: bool) -> Result<Option<String>> {
    let link = if knows_peers { url.to_owned() } else { leading_on(&env.layout.link_page(), url)? };
    let mut why = Vec::new();
    for (name, args) in browsers(env, &link) {
        let Some(program) = env.on_path(&name) else {
            why.push(format!("{} is not there", name.to_string_lossy()));
            continue;
        };
        match env.runner.launch(&Invocation::new(&program, &args).limit(START)) {
            Ok(None | Some(0)) => return Ok(Some(program.to_string_lossy().into_owned())),
            Ok(Some(code)) => why.push(format!("{} ended with {code}", name.to_string_lossy())),
            Err(error) => why.push(format!("{}: {error}", name.to_string_lossy())),
        }
    }
    out.warn(format!("no browser was opened ({}): open the link yourself, or set BROWSER", why.join("; ")));
    Ok(None)
}

/// Programs that open links, with their words, the best first. `$BROWSER` is a list, as the desktops read it: between
/// colons a program and its words, `%s` for the link, which else comes last.
fn browsers(env: &Env, link: &str) -> Vec<(OsString, Vec<String>)> {
    let named = env.text("BROWSER").unwrap_or_default();
    let of_user = named.split(':').filter_map(|entry| {
        let mut words = entry.split_whitespace().map(ToOwned::to_owned);
        let program = words.next()?;
        let mut args: Vec<String> = words.collect();
        if args.iter().any(|word| word.contains("%s")) {
            args = args.into_iter().map(|word| word.replace("%s", link)).collect();
        } else {
            args.push(link.to_owned());
        }
        Some((OsString::from(program), args))
    });
    let of_system: &[&str] = if cfg!(target_os = "macos") {
        &["open"]
    } else if is_wsl(env) {
        &["wslview", "xdg-open"]
    } else {
        &["xdg-open"]
    };
    of_user.chain(of_system.iter().map(|name| (OsStr::new(name).to_owned(), vec![link.to_owned()]))).collect()
}

/// A private file that leads a browser on to the link; its address. The next one takes its place, and by then its code is
/// used, or too old.
fn leading_on(path: &Path, url: &str) -> Result<String> {
    let text: String =
        url.chars().map(|c| if c == '&' { "&amp;".to_owned() } else { c.to_string() }).collect();
    let page = format!(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <meta http-equiv=\"refresh\" content=\"0; url={text}\">\n<title>ccd</title>\n"
    );
    let _ = std::fs::remove_file(path);
    // A new file, so that its mode is ours.
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(page.as_bytes()))
        .map_err(|e| CommandError::failed(format!("{}: {e}", path.display())))?;
    // Everything but what a path is made of is written as its bytes.
    Ok(format!("file://{}", encode(&path.to_string_lossy()).replace("%2F", "/")))
}

#[cfg(test)]
#[path = "open_tests.rs"]
mod tests;
