//! `ccctl restart`: stop, then start.

use crate::args::StopArgs;
use crate::env::Env;
use crate::error::Result;
use crate::printer::Printer;
use crate::{daemon, start};

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &StopArgs) -> Result<()> {
    // Before anything is stopped.
    env.program("ccd")?;
    daemon::stop(env, out, args.now)?;
    let status = daemon::start(env, out, &[])?;
    out.line(start::ready(&status))
}
