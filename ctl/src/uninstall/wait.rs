//! After an uninstallation: who still needs the daemon, and waiting for its end.

use std::thread::sleep;
use std::time::{Duration, Instant};

use ccd_proto::api::{RetiringSession, Status};

use crate::env::Env;
use crate::error::Result;
use crate::human::plural;
use crate::printer::{Printer, visible};
use crate::{daemon, supervisor};

/// How often we look.
const LOOK: Duration = Duration::from_millis(200);
/// How long is waited for a daemon that nobody holds, unless more is asked for.
const SOON: Duration = Duration::from_secs(15);

/// How a daemon that was retired stands.
pub(super) enum Stand {
    /// It has ended, and what it had to leave is gone.
    Gone,
    /// It goes on for these.
    Goes(Vec<RetiringSession>),
}

/// Waits for the end of a daemon that nobody needs, or with `wait` of any.
pub(super) fn until_gone(env: &Env, out: &mut Printer, wait: bool) -> Result<Stand> {
    let begun = Instant::now();
    let mut told = String::new();
    loop {
        let status = daemon::status(env, out).ok().flatten();
        let Some(status) = status else {
            let ends = supervisor::supervision(&env.layout).ok().flatten().is_some();
            if !ends && !env.layout.leaving_note().exists() {
                out.progress("");
                return Ok(Stand::Gone);
            }
            if begun.elapsed() > SOON && !wait {
                return Ok(Stand::Goes(Vec::new()));
            }
            sleep(LOOK);
            continue;
        };
        let Some(retiring) = status.daemon.retiring.clone() else { return Ok(Stand::Goes(Vec::new())) };
        let soon = retiring.known && retiring.sessions.is_empty() && begun.elapsed() < SOON;
        if !wait && !soon {
            return Ok(Stand::Goes(retiring.sessions));
        }
        let text = waiting(&status, &retiring.sessions);
        if out.is_watched() {
            out.progress(&text);
        } else if wait && text != told {
            out.note(&text);
            told = text;
        }
        sleep(LOOK);
    }
}

fn waiting(status: &Status, sessions: &[RetiringSession]) -> String {
    let streams = match status.proxy.in_flight {
        0 => String::new(),
        n => format!(", {} under way", plural(n, "request")),
    };
    if sessions.is_empty() {
        return format!("waiting for the daemon to end{streams}");
    }
    let each: Vec<_> = sessions.iter().map(named).collect();
    format!("waiting for {}{streams}: {}", plural(sessions.len() as u64, "session"), each.join("; "))
}

/// One of them, in words.
pub(crate) fn named(session: &RetiringSession) -> String {
    let cwd = session.cwd.as_deref().map(|cwd| format!(" in {cwd}")).unwrap_or_default();
    visible(&format!("pid {}{cwd}", session.pid))
}
