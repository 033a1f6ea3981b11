//! `ccctl restart`: a new daemon in the running one's place; streams under way are not cut.

use crate::args::StopArgs;
use crate::env::Env;
use crate::error::Result;
use crate::printer::Printer;
use crate::{daemon, start};

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &StopArgs) -> Result<()> {
    let status = daemon::restart(env, out, args.now)?;
    out.line(start::ready(&status))
}
