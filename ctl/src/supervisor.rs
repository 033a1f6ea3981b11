//! The daemon's supervisor, asked on its own socket: it answers whatever its workers do.
//!
//! One line each way. Must never hang: every question has a limit.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use ccd_proto::api::Supervision;
use ccd_proto::paths::Layout;

use crate::env::Env;
use crate::error::{CommandError, Kind, Result};

/// How long a question may take that needs no work.
const QUICK: Duration = Duration::from_secs(5);
/// How long a new worker may take: longer than the supervisor itself waits for it.
const RESTART: Duration = Duration::from_secs(40);

/// Asks; none if there is no supervisor.
fn ask(layout: &Layout, line: &str, limit: Duration) -> Result<Option<String>> {
    let mut stream = match UnixStream::connect(layout.supervisor_socket()) {
        Ok(stream) => stream,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => return Ok(None),
        Err(e) => return Err(CommandError::failed(format!("cannot reach the daemon's supervisor: {e}"))),
    };
    let broken = |e: std::io::Error| {
        CommandError::failed(format!("the daemon's supervisor does not answer: {e}"))
            .hint("`ccctl logs` may say why")
    };
    stream.set_read_timeout(Some(limit)).map_err(broken)?;
    stream.set_write_timeout(Some(QUICK)).map_err(broken)?;
    stream.write_all(format!("{line}\n").as_bytes()).map_err(broken)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).map_err(broken)?;
    if answer.is_empty() {
        // It ended in the middle.
        return Ok(None);
    }
    Ok(Some(answer.trim_end().to_owned()))
}

/// What it says of itself; none if there is none.
pub fn supervision(layout: &Layout) -> Result<Option<Supervision>> {
    let Some(text) = ask(layout, "status", QUICK)? else { return Ok(None) };
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|e| CommandError::failed(format!("cannot read what the daemon's supervisor says: {e}")))
}

/// Has it put a new worker in the old one's place: the new one's process id. None if there is no supervisor.
pub fn restart(env: &Env, now: bool) -> Result<Option<u32>> {
    let Some(answer) = ask(&env.layout, if now { "restart now" } else { "restart" }, RESTART)? else {
        return Ok(None);
    };
    match answer.split_once(' ') {
        Some(("ok", pid)) => pid.parse().map(Some).map_err(|_| CommandError::failed(answer.clone())),
        Some(("error", why)) => Err(CommandError::failed(format!("no new daemon took over: {why}"))
            .hint("the one before goes on as it was; `ccctl logs` says more")),
        _ => Err(CommandError::failed(format!("the daemon's supervisor answered {answer:?}"))),
    }
}

/// Has it end at once and leave its workers to finish their streams, so that another one can take its place. False if
/// there is none, or one that cannot.
pub fn leave(env: &Env) -> Result<bool> {
    ask(&env.layout, "leave", QUICK).map(|answer| answer.as_deref() == Some("ok"))
}

/// Has it end everything. False if there is none.
pub fn stop(env: &Env, now: bool) -> Result<bool> {
    ask(&env.layout, if now { "stop now" } else { "stop" }, QUICK).map(|answer| answer.is_some())
}

/// Why nobody answers on the control socket.
#[must_use]
pub fn absence(layout: &Layout) -> CommandError {
    match supervision(layout) {
        Ok(Some(Supervision { reason: Some(reason), .. })) => {
            CommandError::new(Kind::NotRunning, format!("the daemon cannot run: {reason}"))
                .hint("`ccctl logs` may say more; `ccctl restart` tries again at once")
        }
        _ => CommandError::not_running(),
    }
}
