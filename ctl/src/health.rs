//! Whether the daemon that runs does what it is there for: the probe that ends an upgrade, and every `ccctl restart`.
//!
//! Asks as Claude Code would, and records nothing. Must never take longer than its limits, and never judge a store by its
//! size: one that is being worked out again is whole.

use std::thread::sleep;
use std::time::{Duration, Instant};

use ccd_proto::VERSION;
use ccd_proto::api::Status;
use ccd_proto::paths::base_url;

use crate::client::Client;
use crate::daemon;
use crate::doctor::proof;
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::plugin::Hooks;
use crate::printer::Printer;

/// How long a store may take to open before that is what is told of it.
const OPENING: Duration = Duration::from_secs(10);
/// How often we look.
const LOOK: Duration = Duration::from_millis(50);

/// One hook event and one request get through to a daemon of our own version, whose store takes them.
pub fn probe(env: &Env, out: &mut Printer) -> Result<Status> {
    let status = opened(env, out)?;
    let d = &status.daemon;
    if d.version != VERSION {
        return Err(CommandError::failed(format!("ccd {} answers, and not {VERSION}", d.version)));
    }
    if d.state != "serving" {
        return Err(CommandError::failed(format!("the daemon is {}", d.state)));
    }
    if status.proxy.bypass {
        let why = status.proxy.bypass_reason.as_deref().unwrap_or("the log says why");
        return Err(CommandError::failed(format!("requests are relayed without being captured: {why}")));
    }
    if let Some(error) = status.store.error.as_deref().filter(|_| !status.store.opening) {
        return Err(CommandError::failed(format!("the store takes nothing: {error}")));
    }
    proof::hook(env, &Hooks::new(env, None)?)?;
    let token = env.token().ok_or_else(|| CommandError::failed("the daemon has made no token"))?;
    let answered = Client::new(env)?.ping(&base_url(&status.proxy.listen, &token))?;
    if answered == VERSION {
        return Ok(status);
    }
    Err(CommandError::failed(format!("requests are answered by ccd {answered}, and not {VERSION}")))
}

/// The daemon's status, once its store is open, which takes a moment after a start.
fn opened(env: &Env, out: &mut Printer) -> Result<Status> {
    let begun = Instant::now();
    loop {
        let status = daemon::alive(env)?.ok_or_else(CommandError::not_running)?;
        if !status.store.opening || begun.elapsed() >= OPENING {
            out.progress("");
            return Ok(status);
        }
        out.progress("waiting for the store to open");
        sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU16, Ordering};

    use serde_json::{Value, json};

    use super::*;
    use crate::exec::Outcome;
    use crate::testing::{Home, Reply, said};

    /// What the probe finds of a daemon that tells this.
    fn of(status: Value, answers: &'static str, hook: Outcome) -> Result<Status> {
        let home = Home::new();
        home.programs();
        let port = Arc::new(AtomicU16::new(0));
        let seen = Arc::clone(&port);
        let daemon = home.daemon(move |request| {
            if request.uri().path().ends_with("/.ccd/ping") {
                return Reply::status(204, "").header("ccd-version", answers);
            }
            let mut status = status.clone();
            status["proxy"]["listen"] = json!(format!("127.0.0.1:{}", seen.load(Ordering::Relaxed)));
            Reply::json(status.to_string())
        });
        port.store(daemon.proxy.port(), Ordering::Relaxed);
        let (mut out, _, _) = Printer::captured(80);
        probe(&home.env_with(move |_| hook.clone()), &mut out)
    }

    fn serving() -> Value {
        json!({"schema_version": 1, "daemon": {"version": VERSION, "state": "serving"}, "proxy": {}, "store": {}})
    }

    #[test]
    fn a_daemon_that_does_its_work_passes() {
        assert!(of(serving(), VERSION, said("")).is_ok());
    }

    #[test]
    fn what_does_not_work_is_named() {
        let with = |at: &str, value: Value| {
            let mut status = serving();
            *status.pointer_mut(at).unwrap() = value;
            status
        };
        let failing = Outcome { code: Some(1), ..Outcome::default() };
        let cases = [
            (with("/daemon", json!({"version": "9.9.9", "state": "serving"})), VERSION, said(""), "9.9.9"),
            (
                with("/daemon", json!({"version": VERSION, "state": "draining"})),
                VERSION,
                said(""),
                "draining",
            ),
            (with("/store", json!({"error": "disk full"})), VERSION, said(""), "disk full"),
            (
                with("/proxy", json!({"bypass": true, "bypass_reason": "why"})),
                VERSION,
                said(""),
                "captured: why",
            ),
            (serving(), VERSION, failing, "no hook event gets through"),
            (serving(), "9.9.9", said(""), "answered by ccd 9.9.9"),
        ];
        for (status, answers, hook, why) in cases {
            let error = of(status, answers, hook).unwrap_err();
            assert!(error.message.contains(why), "{error}");
        }
    }

    #[test]
    fn without_a_daemon_that_is_said() {
        let (mut out, _, _) = Printer::captured(80);
        assert_eq!(probe(&Home::new().env(), &mut out).unwrap_err().exit_code(), 3);
    }
}
