//! The daemon's life, as seen from outside: is it there, start it, wait for it, stop it.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ccd_proto::api::{Reply, Status};

use crate::client::{self, Client};
use crate::env::Env;
use crate::error::{CommandError, Kind, Result};
use crate::exec::Invocation;
use crate::human::plural;
use crate::manifest::Manifest;
use crate::printer::Printer;
use crate::service::Manager;
use crate::{service, supervisor};

/// How long a start may take: a large store that is rebuilt, at worst.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long streams may take to end: longer than the daemon itself waits for them.
const DRAIN_LIMIT: Duration = Duration::from_secs(11 * 60);
/// How long a supervisor may take to end that leaves everything to its workers.
const LEAVE_LIMIT: Duration = Duration::from_secs(10);
/// How long a daemon that another one has started may take to answer.
const RIVAL_LIMIT: Duration = Duration::from_millis(500);
/// How long nothing is said of what is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often we look.
const LOOK: Duration = Duration::from_millis(50);

/// What the daemon says of itself; none if it is not running.
pub fn status(env: &Env, out: &mut Printer) -> Result<Option<Status>> {
    match Client::new(env)?.read::<Reply<Status>>(out, "/v0/status") {
        Ok(reply) => Ok(Some(reply.body)),
        Err(e) if e.kind == Kind::NotRunning => Ok(None),
        Err(e) => Err(e),
    }
}

/// What a daemon of any version says of itself, as far as it tells it in the words that we know: enough to wait for it, to
/// replace it and to stop it. None if it is not running.
pub fn alive(env: &Env) -> Result<Option<Status>> {
    let body = match Client::of_any_version(env)?.quietly("/v0/status") {
        Err(e) if e.kind == Kind::NotRunning => return Ok(None),
        body => body?,
    };
    if let Ok(reply) = client::decode::<Reply<Status>>(&body) {
        return Ok(Some(reply.body));
    }
    let value: serde_json::Value = client::decode(&body)?;
    let text =
        |at: &str| value.pointer(at).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    let number = |at: &str| value.pointer(at).and_then(serde_json::Value::as_u64).unwrap_or_default();
    let mut status = Status::default();
    status.daemon.running = true;
    status.daemon.pid = u32::try_from(number("/daemon/pid")).unwrap_or_default();
    status.daemon.version = text("/daemon/version");
    status.daemon.state = text("/daemon/state");
    status.daemon.manager = text("/daemon/manager");
    status.proxy.in_flight = number("/proxy/in_flight");
    Ok(Some(status))
}

/// Starts the daemon, by the service that keeps it where there is one, and waits until it answers. `extra` are
/// variables for a daemon that is started directly.
pub fn start(env: &Env, out: &mut Printer, extra: &[(String, OsString)]) -> Result<Status> {
    if let Some(manager) = service_of(env)? {
        manager.start(env)?;
        return wait_until_it_answers(env, out);
    }
    start_directly(env, out, extra)
}

/// Starts the daemon with no service manager between.
pub fn start_directly(env: &Env, out: &mut Printer, extra: &[(String, OsString)]) -> Result<Status> {
    let program = env.program("ccd")?;
    let mut invocation = Invocation::new(&program, ["start"]).limit(START_LIMIT);
    invocation.envs.extend_from_slice(extra);
    let outcome = env
        .runner
        .run(&invocation)
        .map_err(|e| CommandError::failed(format!("cannot run {}: {e}", program.display())))?;
    if !outcome.success() {
        // Two sessions may start it at the same moment: one of them wins, and serves both.
        let limit = Instant::now() + RIVAL_LIMIT;
        while Instant::now() < limit {
            if let Some(status) = alive(env)? {
                return Ok(status);
            }
            sleep(LOOK);
        }
        let why = outcome.complaint();
        let why = why.strip_prefix("error: ").unwrap_or(&why);
        return Err(CommandError::failed(format!("the daemon did not start: {why}"))
            .hint("`ccctl logs` may say more"));
    }
    wait_until_it_answers(env, out)
}

/// Waits until the daemon answers and serves.
pub fn wait_until_it_answers(env: &Env, out: &mut Printer) -> Result<Status> {
    let begun = Instant::now();
    loop {
        if let Some(status) = alive(env)? {
            out.progress("");
            return Ok(status);
        }
        if begun.elapsed() >= START_LIMIT {
            return Err(CommandError::failed("the daemon was started, but does not answer")
                .hint("`ccctl logs` may say why"));
        }
        if begun.elapsed() >= PATIENCE {
            out.progress("waiting for the daemon to answer");
        }
        sleep(LOOK);
    }
}

/// The running daemon if it will stay, else a fresh one: one that is on its way out is waited for. Says
/// whether it was started here.
pub fn ensure(env: &Env, out: &mut Printer, extra: &[(String, OsString)]) -> Result<(Status, bool)> {
    match status(env, out)? {
        Some(status) if status.daemon.state == "draining" => {
            wait_until_gone(env, out, Some(status.daemon.pid))?;
            start(env, out, extra).map(|s| (s, true))
        }
        Some(status) => Ok((status, false)),
        // Its supervisor is there, and no worker of it: one more try is what is asked for.
        None if supervisor::supervision(&env.layout)?.is_some() => {
            restart(env, out, false).map(|s| (s, true))
        }
        None => start(env, out, extra).map(|s| (s, true)),
    }
}

/// As [`ensure`], for a daemon that shall stay: one that an uninstallation has left behind is replaced.
pub fn ensure_lasting(env: &Env, out: &mut Printer) -> Result<(Status, bool)> {
    let (status, started) = ensure(env, out, &[])?;
    if status.daemon.state != "retiring" {
        return Ok((status, started));
    }
    stop(env, out, false)?;
    start(env, out, &[]).map(|status| (status, true))
}

/// Stops the daemon and waits until it is gone. Says whether there was one.
pub fn stop(env: &Env, out: &mut Printer, now: bool) -> Result<bool> {
    // One that was killed must not come back with the next event of Claude Code.
    let _ = std::fs::remove_file(env.layout.revival_note());
    let supervision = supervisor::supervision(&env.layout).ok().flatten();
    let status = if supervision.is_some() { None } else { alive(env)? };
    if supervision.is_none() && status.is_none() {
        return Ok(false);
    }
    // A socket unit would start it again with the next request.
    if let Some(manager) = service_of(env)? {
        manager.stop_listening(env)?;
    }
    if supervision.is_some() && supervisor::stop(env, now)? {
        wait_until_gone(env, out, None)?;
        return Ok(true);
    }
    let pid = status.map(|status| status.daemon.pid);
    match Client::of_any_version(env)?.post(if now { "/v0/stop?now=1" } else { "/v0/stop" }) {
        // It may be gone before its answer has arrived.
        Err(e) if now && e.kind == Kind::Disconnected && alive(env).is_ok_and(|s| s.is_none()) => {}
        Err(e) if e.kind == Kind::NotRunning => {}
        other => other?,
    }
    wait_until_gone(env, out, pid)?;
    Ok(true)
}

/// Puts a new daemon in the running one's place, without a moment in which none answers where it is supervised.
pub fn restart(env: &Env, out: &mut Printer, now: bool) -> Result<Status> {
    // Before anything is stopped.
    env.program("ccd")?;
    if out.is_watched() {
        out.progress("starting a new daemon beside the running one");
    }
    let restarted = supervisor::restart(env, now);
    if out.is_watched() {
        out.progress("");
    }
    let Some(pid) = restarted? else {
        stop(env, out, now)?;
        return start(env, out, &[]);
    };
    // It accepts requests; the control socket follows as soon as the one before has let go of it.
    let deadline = Instant::now() + START_LIMIT;
    loop {
        match alive(env) {
            Ok(Some(status)) if status.daemon.pid == pid => return Ok(status),
            Err(e) if !matches!(e.kind, Kind::Disconnected | Kind::NotRunning) => return Err(e),
            _ => {}
        }
        if Instant::now() >= deadline {
            return Err(CommandError::failed(
                "the new daemon relays requests, but the one before does not let go of the store",
            )
            .hint("`ccctl restart --now` ends it, and cuts its streams"));
        }
        sleep(LOOK);
    }
}

/// Has the running daemon make room for one of `manager`'s, which listens already, or listens as soon as it can: nobody
/// is refused for longer than that takes, and streams go on where they are. The manager starts the next one. `changed`
/// are the manager's files that are not what the running one was started with.
pub fn make_room(
    env: &Env,
    out: &mut Printer,
    manager: &Manager,
    running: &Status,
    changed: &[PathBuf],
) -> Result<()> {
    let kept = running.daemon.manager == manager.name();
    if !kept {
        manager.hold(env);
    }
    let supervises =
        |env: &Env| Ok::<_, CommandError>(supervisor::supervision(&env.layout)?.map(|s| s.supervisor.pid));
    let before = supervises(env)?;
    if before.is_some() && supervisor::leave(env)? {
        let deadline = Instant::now() + LEAVE_LIMIT;
        // A request that came meanwhile may have started the next one already.
        let is_there = |env: &Env| {
            is_locked(&env.layout.supervisor_lock())
                && supervises(env).is_ok_and(|now| now.is_none() || now == before)
        };
        while is_there(env) {
            if Instant::now() >= deadline {
                return Err(CommandError::failed("the running daemon does not make room for the service")
                    .hint("`ccctl stop --now` ends it, and cuts its streams"));
            }
            sleep(Duration::from_millis(2));
        }
    } else {
        // Nobody supervises it, or a supervisor that knows no such thing: it ends after its streams.
        stop(env, out, false)?;
    }
    if kept {
        manager.hold_anew(env, changed);
    }
    Ok(())
}

/// The service manager that keeps this installation's daemon.
fn service_of(env: &Env) -> Result<Option<Manager>> {
    let service = Manifest::load(&env.layout)?.and_then(|m| m.service).filter(|s| s.path.exists());
    Ok(service.and_then(|s| service::named(env, &s.manager)))
}

fn wait_until_gone(env: &Env, out: &mut Printer, pid: Option<u32>) -> Result<()> {
    let deadline = Instant::now() + DRAIN_LIMIT;
    let (begun, mut told) = (Instant::now(), false);
    let mut tell = |out: &mut Printer, status: &Status| {
        if status.proxy.in_flight == 0 {
            return;
        }
        let waiting = format!("waiting for {} to end", plural(status.proxy.in_flight, "stream"));
        if out.is_watched() {
            out.progress(&waiting);
        } else if !told && begun.elapsed() > PATIENCE {
            out.note(&waiting);
        }
        told |= begun.elapsed() > PATIENCE || out.is_watched();
    };
    loop {
        // While it goes down, an answer may break off: only a socket that refuses counts as gone.
        if is_locked(&env.layout.supervisor_lock()) {
            // Nothing is gone before it is; how far its worker is, the worker says itself, as long as it can.
            if let Ok(Some(status)) = alive(env) {
                tell(out, &status);
            }
            if Instant::now() < deadline {
                sleep(LOOK);
                continue;
            }
        }
        match alive(env) {
            Ok(None) => break,
            Ok(Some(status)) if pid.is_some_and(|pid| pid != status.daemon.pid) => {
                return Err(CommandError::failed(format!(
                    "it was started again at once by {}",
                    status.daemon.manager
                ))
                .hint(
                    "stop it there: `systemctl --user stop ccd`, or `launchctl bootout` of dev.ccd.daemon",
                ));
            }
            Ok(Some(status)) => tell(out, &status),
            Err(_) => {}
        }
        if Instant::now() >= deadline {
            return Err(CommandError::failed("the daemon is still waiting for streams to end")
                .hint("`ccctl stop --now` cuts them"));
        }
        sleep(LOOK);
    }
    if told {
        out.progress("");
    }
    // It holds its lock a moment longer than its socket, and the next one needs it.
    let limit = Instant::now() + Duration::from_secs(5);
    while is_locked(&env.layout.lock_file()) && Instant::now() < limit {
        sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Whether a daemon holds this lock file.
fn is_locked(lock: &Path) -> bool {
    File::open(lock).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::Outcome;
    use crate::testing::{Home, Reply, said};

    #[test]
    fn a_start_relays_the_real_reason_of_a_failure() {
        let home = Home::new();
        home.programs();
        let env = home.env_with(|call| {
            assert!(call.line().ends_with("bin/ccd start"), "{}", call.line());
            Outcome {
                code: Some(1),
                stderr: "error: 127.0.0.1:7788 is taken by pid 42\n".into(),
                ..Outcome::default()
            }
        });
        let (mut out, _, _) = Printer::captured(80);
        let error = start(&env, &mut out, &[]).unwrap_err();
        assert_eq!(error.message, "the daemon did not start: 127.0.0.1:7788 is taken by pid 42");
    }

    #[test]
    fn a_start_waits_until_the_daemon_answers() {
        let home = Home::new();
        home.programs();
        let _daemon =
            home.daemon(|_| Reply::json(r#"{"schema_version":1,"daemon":{"running":true,"pid":7}}"#));
        let (mut out, _, _) = Printer::captured(80);
        assert_eq!(start(&home.env_with(|_| said("")), &mut out, &[]).unwrap().daemon.pid, 7);
        let missing = Home::new();
        assert!(start(&missing.env(), &mut out, &[]).unwrap_err().message.contains("`ccd` is missing"));
    }

    #[test]
    fn stopping_what_is_not_running_is_fine() {
        let (mut out, _, _) = Printer::captured(80);
        assert!(!stop(&Home::new().env(), &mut out, false).unwrap());
    }
}
