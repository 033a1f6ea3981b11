//! `ccctl proxy status`: whether the proxy answers, who has its port, and whether Claude Code is sent there.
//!
//! Works with the daemon down, which is when it is asked. The path token is shown nowhere.

use std::net::SocketAddr;
use std::path::PathBuf;

use ccd_proto::api::{ProxyStatus, RateLimits};
use serde::Serialize;

use crate::args::JsonArgs;
use crate::client::Client;
use crate::config::shown;
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::manifest::Manifest;
use crate::ports::{self, Holder};
use crate::printer::{Printer, Tone, visible, visible_block};
use crate::settings::{BASE_URL, Document};
use crate::{daemon, status};

/// Everything that is known of the proxy.
#[derive(Debug, Default, Serialize)]
struct Report {
    /// Whether the daemon runs.
    running: bool,
    /// What the daemon says of it; none if it is down.
    proxy: Option<ProxyStatus>,
    /// Its port.
    port: Port,
    /// Where Claude Code's settings send requests, file by file.
    settings: Vec<Sent>,
    /// What the API told of its limits.
    rate_limits: Option<RateLimits>,
}

#[derive(Debug, Default, Serialize)]
struct Port {
    /// Where the daemon listens, or would if it ran; none where that is left to chance.
    address: Option<SocketAddr>,
    /// Who listens there.
    holder: Option<Holder>,
    /// Whether that is the daemon.
    ours: bool,
}

/// What a settings file says.
#[derive(Debug, Serialize)]
struct Sent {
    /// The file.
    path: PathBuf,
    /// Its base URL, without what is secret in it.
    base_url: Option<String>,
    /// Whether it is this installation's.
    ours: bool,
    /// The version that answers there.
    answered_by: Option<String>,
    /// Why nobody does, or why the file cannot be read.
    error: Option<String>,
}

/// Runs the command.
pub(super) fn run(env: &Env, out: &mut Printer, args: &JsonArgs) -> Result<()> {
    let told = daemon::status(env, out)?;
    let address = match &told {
        Some(status) => status.proxy.listen.parse().ok(),
        None => ports::configured(env),
    };
    let holder = address.and_then(ports::holder);
    let pid = told.as_ref().map(|status| status.daemon.pid);
    let report = Report {
        running: told.is_some(),
        proxy: told.as_ref().map(|status| status.proxy.clone()),
        port: Port { address, ours: pid.is_some_and(|pid| is_ours(holder.as_ref(), pid)), holder },
        settings: settings(env)?,
        rate_limits: told.as_ref().and_then(|status| status.rate_limits.clone()),
    };
    if args.json {
        out.json(&report)?;
    } else {
        if let Some(status) = &told {
            for (at, (tone, text)) in status::proxy_facts(env, status).into_iter().enumerate() {
                fact(out, if at == 0 { "proxy" } else { "" }, tone, &text)?;
            }
        } else {
            fact(out, "proxy", Tone::Bad, "the daemon is not running")?;
        }
        lines(out, &report)?;
    }
    if report.running { Ok(()) } else { Err(CommandError::not_running()) }
}

/// A daemon may share its socket with whoever holds it for it; where nobody is named, it is the one that answers.
fn is_ours(holder: Option<&Holder>, pid: u32) -> bool {
    holder.is_some_and(|holder| holder.is(pid) || holder.processes.is_empty())
}

fn fact(out: &mut Printer, name: &str, tone: Tone, text: &str) -> Result<()> {
    for (at, line) in visible_block(text).lines().enumerate() {
        let name = out.paint(Tone::Strong, &format!("{:8}", if at == 0 { name } else { "" }));
        let line = out.paint(tone, line);
        out.line(format!("{name} {line}"))?;
    }
    Ok(())
}

fn lines(out: &mut Printer, report: &Report) -> Result<()> {
    let port = &report.port;
    match (&port.address, &port.holder) {
        (Some(address), Some(holder)) if port.ours => {
            fact(out, "port", Tone::Plain, &format!("{address}, held by {}", visible(&holder.to_string())))?;
        }
        (Some(address), Some(holder)) => {
            let text = format!("{address} is taken by {}", visible(&holder.to_string()));
            fact(out, "port", Tone::Bad, &text)?;
        }
        (Some(address), None) => {
            let tone = if report.running { Tone::Warn } else { Tone::Plain };
            fact(out, "port", tone, &format!("{address}, nobody listens there"))?;
        }
        (None, _) => fact(out, "port", Tone::Plain, "chosen at the start of the daemon")?,
    }
    for sent in &report.settings {
        let (tone, what) = match (&sent.base_url, &sent.answered_by, &sent.error) {
            (_, Some(version), _) => (Tone::Good, format!("sent to ccd {version}, which answers")),
            (Some(_), None, Some(error)) if sent.ours => {
                (Tone::Bad, format!("{error}; `ccctl doctor --fix` puts it right"))
            }
            (Some(url), _, _) => (Tone::Plain, format!("sent elsewhere: {url}")),
            (None, _, Some(error)) => (Tone::Bad, error.clone()),
            (None, _, None) => (Tone::Plain, "not sent through ccd".to_owned()),
        };
        fact(out, "settings", tone, &visible(&format!("{}: {what}", sent.path.display())))?;
    }
    Ok(())
}

fn settings(env: &Env) -> Result<Vec<Sent>> {
    let named = Manifest::load(&env.layout).ok().flatten().and_then(|m| m.options.settings);
    let dirs = env.claude_dirs().unwrap_or_default();
    let files = match named {
        Some(file) => vec![file],
        None => dirs.into_iter().map(|dir| dir.join("settings.json")).collect(),
    };
    files.into_iter().map(|path| sent(env, path)).collect()
}

fn sent(env: &Env, path: PathBuf) -> Result<Sent> {
    let nothing = |error| Sent { path: path.clone(), base_url: None, ours: false, answered_by: None, error };
    let Ok(bytes) = std::fs::read(&path) else { return Ok(nothing(None)) };
    let document = match Document::read(&bytes) {
        Ok(document) => document,
        Err(error) => return Ok(nothing(Some(format!("Claude Code does not read it: {error}")))),
    };
    let Some(url) = document.env(BASE_URL) else { return Ok(nothing(None)) };
    let ours = env.is_our_url(&url);
    // A stranger's URL is not asked: its path may be a secret, and it is none of our business.
    let answer = if ours { Some(Client::new(env)?.ping(&url)) } else { None };
    let (answered_by, error) = match answer {
        Some(Ok(version)) => (Some(version), None),
        Some(Err(error)) => (None, Some(error.message)),
        None => (None, None),
    };
    let base_url = Some(if ours { crate::client::without_token(&url) } else { shown(&url) });
    Ok(Sent { path, base_url, ours, answered_by, error })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Home, Reply, TOKEN};
    use serde_json::{Value, json};

    fn told(home: &Home, json: bool) -> (Result<()>, String) {
        let (mut out, text, _) = Printer::captured(120);
        let done = run(&home.env(), &mut out, &JsonArgs { json });
        assert!(!text.text().contains(TOKEN), "the token is shown nowhere: {}", text.text());
        (done, text.text().replace(&home.path().display().to_string(), "~"))
    }

    #[test]
    fn a_daemon_that_is_down_and_a_url_that_nobody_answers() {
        let home = Home::new().var("CCD_PROXY_LISTEN", "127.0.0.1:1");
        home.programs();
        let url = format!("http://127.0.0.1:1/{TOKEN}");
        home.write(".claude/settings.json", json!({"env":{BASE_URL: url}}).to_string());
        let (done, text) = told(&home, false);
        assert_eq!(done.unwrap_err().exit_code(), 3);
        let error = "http://127.0.0.1:1/… is not answered by ccd: ";
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[..2],
            ["proxy    the daemon is not running", "port     127.0.0.1:1, nobody listens there"]
        );
        assert!(lines[2].starts_with(&format!("settings ~/.claude/settings.json: {error}")), "{text}");
        assert!(lines[2].ends_with("; `ccctl doctor --fix` puts it right"), "{text}");
        let value: Value = serde_json::from_str(&told(&home, true).1).unwrap();
        assert_eq!((&value["running"], &value["settings"][0]["ours"]), (&json!(false), &json!(true)));
        assert_eq!(value["settings"][0]["base_url"], "http://127.0.0.1:1/…");
    }

    #[test]
    fn a_daemon_that_answers() {
        let home = Home::new();
        home.programs();
        let status = r#"{"schema_version":1,"daemon":{"running":true,"pid":PID},"proxy":{"listen":"LISTEN","upstream":"https://api.anthropic.com"}}"#;
        let status = status.replace("PID", &std::process::id().to_string());
        let listen = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
        let at = std::sync::Arc::clone(&listen);
        let daemon = home.daemon(move |request| {
            if request.uri().path().ends_with("/.ccd/ping") {
                return Reply::status(204, "").header("ccd-version", "9.9.9");
            }
            Reply::json(status.replace("LISTEN", &at.lock().unwrap()))
        });
        *listen.lock().unwrap() = daemon.proxy.to_string();
        let url = format!("http://{}/{TOKEN}", daemon.proxy);
        home.write(".claude/settings.json", json!({"env":{BASE_URL: url}}).to_string());
        let (done, text) = told(&home, false);
        done.unwrap();
        assert!(text.contains("sent to ccd 9.9.9, which answers"), "{text}");
        let value: Value = serde_json::from_str(&told(&home, true).1).unwrap();
        assert_eq!(value["settings"][0]["answered_by"], "9.9.9");
        if cfg!(target_os = "linux") {
            assert_eq!(value["port"]["ours"], true, "{value}");
        }
    }
}
