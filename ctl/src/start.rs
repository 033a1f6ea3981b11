//! `ccctl start`: starts the daemon and says that it is ready, or what kept it from starting.

use ccd_proto::api::Status;

use crate::daemon;
use crate::env::Env;
use crate::error::Result;
use crate::printer::{Printer, visible};

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer) -> Result<()> {
    let (status, started) = daemon::ensure_lasting(env, out)?;
    out.line(if started { ready(&status) } else { format!("already running, pid {}", status.daemon.pid) })
}

/// One line about a daemon that is ready.
#[must_use]
pub fn ready(status: &Status) -> String {
    visible(&format!(
        "ccd {} is running, pid {}: {} → {}",
        status.daemon.version, status.daemon.pid, status.proxy.listen, status.proxy.upstream
    ))
}
