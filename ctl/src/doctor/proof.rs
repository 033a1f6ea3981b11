//! Proof that the ways are open: one hook event and one request, sent as Claude Code would send them.

use std::io;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::exec::{Invocation, Outcome};
use crate::plugin::Hooks;
use crate::settings::{BASE_URL, Document};

/// How long the daemon may take: `cc-hook` itself waits for 50 ms, which a machine that has just built something, or a
/// daemon that has just started, may not keep to.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 0 } else { 5 });
/// How long to wait before another try.
const AGAIN: Duration = Duration::from_millis(50);

/// The installed hook command as Claude Code calls it. With `CCD_HOOK_PROBE` it asks for an answer instead of handing
/// in an event, and is the only time it may exit with anything but 0.
#[must_use]
pub fn hook_call(hooks: &Hooks) -> Invocation {
    Invocation::new(&hooks.command, &hooks.args)
        .env("CCD_HOOK_PROBE", "1")
        .stdin(&b"{\"hook_event_name\":\"Probe\"}\n"[..])
}

/// What came of it.
pub fn of_hook(command: &str, said: io::Result<Outcome>) -> Result<()> {
    let failed = |why: String| {
        CommandError::failed(format!("no hook event gets through: {command} {why}"))
            .hint("`ccctl status` tells whether the daemon is running; `ccctl install` puts the hooks right")
    };
    let outcome = said.map_err(|e| failed(format!("cannot be run: {e}")))?;
    match outcome.code {
        Some(0) => Ok(()),
        Some(1) => Err(failed("got no answer from the daemon".into())),
        _ => Err(failed(outcome.complaint())),
    }
}

/// Calls the installed hook command, and says whether an event gets through.
pub fn hook(env: &Env, hooks: &Hooks) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let outcome = env.runner.run(&hook_call(hooks));
        let unanswered = outcome.as_ref().is_ok_and(|outcome| outcome.code == Some(1));
        if !unanswered || Instant::now() >= deadline {
            return of_hook(&hooks.command, outcome);
        }
        sleep(AGAIN);
    }
}

/// Asks the base URL that stands in a settings file. Returns the version that answered.
pub fn request(env: &Env, settings: &Path) -> Result<String> {
    request_within(env, settings, Duration::from_secs(30))
}

/// As [`request`], and waits no longer than this for the answer.
pub fn request_within(env: &Env, settings: &Path, limit: Duration) -> Result<String> {
    let document = Document::read(&fs_err::read(settings)?).map_err(|e| e.of(settings))?;
    let url = document.env(BASE_URL).ok_or_else(|| {
        CommandError::failed(format!("{} has no env.{BASE_URL}", settings.display()))
            .hint("`ccctl doctor --fix` puts it there")
    })?;
    if !env.is_our_url(&url) {
        return Err(CommandError::failed(format!("{}: env.{BASE_URL} is not ours", settings.display()))
            .hint("`ccctl install` takes it for its upstream and puts ours in its place"));
    }
    Client::new(env)?.within(limit).ping(&url)
}
