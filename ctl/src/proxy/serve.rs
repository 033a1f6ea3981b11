//! `ccctl proxy serve`: one shell's sessions through ccd, until Ctrl-C.
//!
//! Prints the line to be typed first, alone on stdout; each exchange as it ends goes to stderr. Where no daemon runs,
//! one is started for as long as this lasts: Ctrl-C lets its requests under way end, a second one cuts them. A daemon
//! that ran already stays.
//!
//! The line is the one place where the path token is shown: it must be.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ccd_proto::api::{Exchange, Status};
use ccd_proto::paths::base_url;

use crate::args::{ServeArgs, ShellName};
use crate::client::{Client, Signals, decode};
use crate::env::Env;
use crate::error::{CommandError, Kind, Result};
use crate::exchanges::{outcome, what};
use crate::human::{count, duration_ms, plural};
use crate::manifest::Manifest;
use crate::printer::Printer;
use crate::settings::{self, BASE_URL};
use crate::table::captured;
use crate::{daemon, following, ports, run, start, time};

/// How long the daemon may take to answer.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How often we look.
const LOOK: Duration = Duration::from_millis(50);
/// How much of what the daemon complains about is kept.
const COMPLAINT: usize = 4 << 10;
/// An exchange's line is below a kilobyte or two.
const MAX_LINE: usize = 1 << 20;

/// Runs the command.
pub(super) fn run(env: &Env, out: &mut Printer, args: &ServeArgs) -> Result<()> {
    let client = Client::new(env)?;
    // From here on nothing ends this process but its own end: a daemon of ours must not be left behind.
    let mut signals = client.signals()?;
    let foreign = run::foreign_in_force(env);
    let (status, own) = match daemon::status(env, out)? {
        Some(status) if status.daemon.state != "draining" => (status, None),
        _ => ports::explained(env, Own::start(env, out, &client, &mut signals, foreign.as_deref()))?,
    };
    let mut served = run::same_way(env, &status, foreign.as_deref())
        .and_then(|()| line(env, &status, args.shell))
        .and_then(|line| out.line(line))
        .and_then(|()| out.flush());
    if served.is_ok() {
        remarks(env, out, &status, own.is_some());
        served = follow(env, &client, out, &mut signals);
    }
    let ended = own.map_or(Ok(()), |own| own.end(env, out, &client, &mut signals));
    served.and(ended)
}

/// The line to be typed.
fn line(env: &Env, status: &Status, shell: ShellName) -> Result<String> {
    let token = env.token().ok_or_else(|| {
        CommandError::failed(format!("the daemon has made no token in {}", env.layout.token_file().display()))
            .hint("`ccctl logs` may say why")
    })?;
    let url = base_url(&status.proxy.listen, &token);
    Ok(match shell {
        ShellName::Sh => format!("export {BASE_URL}={url}"),
        ShellName::Fish => format!("set -gx {BASE_URL} {url}"),
    })
}

fn remarks(env: &Env, out: &mut Printer, status: &Status, own: bool) {
    out.note(start::ready(status));
    out.note(if own {
        "Type the line above where Claude Code is to be started. Ctrl-C ends the daemon with this."
    } else {
        "Type the line above where Claude Code is to be started. Ctrl-C ends this; the daemon stays."
    });
    if let Some(file) = run::settings_with_url(env) {
        // What stands in the settings wins over the shell.
        out.warn(format!("{} names a base URL: that one is used, whatever the shell says", file.display()));
    }
    for (name, value) in settings::no_proxy(|_| None, |name| env.text(name)) {
        out.note(format!(
            "An HTTP proxy is set, which must not be asked for ccd: {name}={}",
            captured(&value)
        ));
    }
}

/// Shows each exchange as it ends, until a signal comes or the daemon is gone for good.
fn follow(env: &Env, client: &Client<'_>, out: &mut Printer, signals: &mut Signals) -> Result<()> {
    let target = "/v0/exchanges/follow";
    let asked_to_end = following::follow(env, client, out, target, MAX_LINE, Some(signals), |out, line| {
        let text = one(env, &decode(line)?);
        out.note(text);
        Ok(())
    });
    match asked_to_end {
        Ok(true) => Ok(()),
        Err(e) if !matches!(e.kind, Kind::Disconnected | Kind::NotRunning) => Err(e),
        _ => {
            out.note("the daemon has stopped");
            Ok(())
        }
    }
}

/// An exchange in one line.
fn one(env: &Env, e: &Exchange) -> String {
    let clock = time::short(&e.started_at, env.now, &env.tz);
    let tokens = e.tokens.map(|t| format!("  {} tokens", count(t.total()))).unwrap_or_default();
    let cost = if e.cost.is_empty() { String::new() } else { format!("  {}", captured(&e.cost)) };
    let took = duration_ms(e.duration_ms);
    format!("{clock}  {:7}  {took:>6}  {}{tokens}{cost}", outcome(e).0, captured(&what(e)))
}

/// A daemon that lives as long as this command.
struct Own {
    child: Child,
    said: Arc<Mutex<Vec<u8>>>,
}

impl Own {
    /// Starts it; none of our own where somebody else was quicker.
    fn start(
        env: &Env,
        out: &mut Printer,
        client: &Client<'_>,
        signals: &mut Signals,
        foreign: Option<&str>,
    ) -> Result<(Status, Option<Self>)> {
        let program = env.program("ccd")?;
        let mut command = Command::new(&program);
        // In a process group of its own: a Ctrl-C is for us, who ask it to end in good order.
        command.arg("run").process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.envs(run::extra_for(env, foreign)?);
        if is_port_free_to_choose(env)? {
            command.env("CCD_PROXY_LISTEN", "127.0.0.1:0");
        }
        let mut child = command
            .spawn()
            .map_err(|e| CommandError::failed(format!("cannot run {}: {e}", program.display())))?;
        let said = Arc::new(Mutex::new(Vec::new()));
        if let Some(pipe) = child.stderr.take() {
            let said = Arc::clone(&said);
            std::thread::spawn(move || keep_last(pipe, &said));
        }
        let mut own = Own { child, said };
        match own.wait_until_it_answers(env, out, client, signals) {
            Ok((status, true)) => Ok((status, Some(own))),
            Ok((status, false)) => Ok((status, None)),
            Err(error) => {
                own.kill();
                Err(error)
            }
        }
    }

    /// The status of the daemon that answers, and whether it is this one.
    fn wait_until_it_answers(
        &mut self,
        env: &Env,
        out: &mut Printer,
        client: &Client<'_>,
        signals: &mut Signals,
    ) -> Result<(Status, bool)> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let ended = self.child.try_wait()?;
            if let Some(status) = daemon::status(env, out)? {
                let is_it = status.daemon.pid == self.child.id();
                if is_it || ended.is_some() {
                    return Ok((status, is_it));
                }
            } else if ended.is_some() {
                let said = self.said.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let said = String::from_utf8_lossy(&said).trim().to_owned();
                let why = said.lines().last().map_or("it ended at once", |line| line);
                let why = why.strip_prefix("ccd: ").unwrap_or(why);
                return Err(CommandError::failed(format!("the daemon did not start: {why}"))
                    .hint("`ccctl logs` may say more"));
            }
            if Instant::now() >= deadline {
                return Err(CommandError::failed("the daemon was started, but does not answer")
                    .hint("`ccctl logs` may say why"));
            }
            if client.pause(signals, LOOK) {
                return Err(CommandError::new(Kind::Interrupted, "interrupted"));
            }
        }
    }

    /// Asks it to end once its requests have, waits for that, and cuts them at the next signal.
    fn end(mut self, env: &Env, out: &mut Printer, client: &Client<'_>, signals: &mut Signals) -> Result<()> {
        let mut ask = "/v0/stop";
        let mut told = false;
        loop {
            // It may be gone already.
            let _ = client.post(ask);
            loop {
                if self.child.try_wait()?.is_some() {
                    return Ok(());
                }
                if let Ok(Some(status)) = daemon::status(env, out)
                    && status.proxy.in_flight > 0
                    && !std::mem::replace(&mut told, true)
                {
                    let waiting = plural(status.proxy.in_flight, "request");
                    out.note(format!("waiting for {waiting} to end; Ctrl-C again cuts them"));
                }
                if client.pause(signals, LOOK) {
                    break;
                }
            }
            ask = "/v0/stop?now=1";
        }
    }

    fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether any port will do: nothing names one, and no settings send anybody to the usual one.
fn is_port_free_to_choose(env: &Env) -> Result<bool> {
    let named = match std::fs::read(&env.layout.config_file) {
        Ok(bytes) => crate::config::listen(&bytes)?.is_some(),
        Err(_) => false,
    };
    let installed = Manifest::load(&env.layout)?.is_some_and(|m| m.options.proxy);
    Ok(!named && !installed && env.var("CCD_PROXY_LISTEN").is_none())
}

fn keep_last(mut pipe: impl Read, said: &Mutex<Vec<u8>>) {
    let mut chunk = [0; 1024];
    while let Ok(n @ 1..) = pipe.read(&mut chunk) {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        said.extend_from_slice(&chunk[..n]);
        let excess = said.len().saturating_sub(COMPLAINT);
        said.drain(..excess);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Home, TOKEN};

    #[test]
    fn the_line_is_exactly_what_is_typed() {
        let home = Home::new();
        let mut status = Status::default();
        status.proxy.listen = "127.0.0.1:7788".into();
        assert!(line(&home.env(), &status, ShellName::Sh).is_err(), "there is no token yet");
        home.programs();
        let of = |shell| line(&home.env(), &status, shell).unwrap();
        assert_eq!(of(ShellName::Sh), format!("export ANTHROPIC_BASE_URL=http://127.0.0.1:7788/{TOKEN}"));
        assert_eq!(of(ShellName::Fish), format!("set -gx ANTHROPIC_BASE_URL http://127.0.0.1:7788/{TOKEN}"));
    }

    #[test]
    fn an_exchange_in_one_line() {
        let e = Exchange {
            status: Some(529),
            started_at: "2026-11-20T20:15:09Z".into(),
            duration_ms: 2100,
            purpose: "main".into(),
            model: Some("claude-opus-5-5".into()),
            error: Some("overloaded_error: \u{1b}".into()),
            attempt: 2,
            cost: "$0.01".into(),
            ..Exchange::default()
        };
        insta::assert_snapshot!(one(&Home::new().env(), &e), @r"20:15:09  529        2.1s  ↻2 main opus-5-5: overloaded_error: \u{1b}  $0.01");
    }

    #[test]
    fn a_port_that_anything_names_is_kept() {
        let home = Home::new();
        assert!(is_port_free_to_choose(&home.env()).unwrap());
        let config = home.env().layout.config_file.strip_prefix(home.path()).unwrap().display().to_string();
        home.write(&config, "[proxy]\nlisten = \"127.0.0.1:99\"\n");
        assert!(!is_port_free_to_choose(&home.env()).unwrap());
        home.write(&config, "upstream = \"http://x\"\n");
        assert!(is_port_free_to_choose(&home.env()).unwrap());
        assert!(!is_port_free_to_choose(&home.var("CCD_PROXY_LISTEN", "127.0.0.1:1").env()).unwrap());
    }
}
