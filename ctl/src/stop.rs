//! `ccctl stop`: stops the daemon once the streams under way have ended; `--now` cuts them.

use crate::args::StopArgs;
use crate::daemon;
use crate::env::Env;
use crate::error::Result;
use crate::manifest::Manifest;
use crate::printer::Printer;

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &StopArgs) -> Result<()> {
    if !daemon::stop(env, out, args.now)? {
        return out.line("the daemon was not running");
    }
    out.line("stopped")?;
    if Manifest::load(&env.layout)?.is_some_and(|m| m.options.proxy) {
        out.warn("Claude Code still sends its requests here and fails without the daemon: `ccctl start` or `ccctl uninstall`");
    }
    Ok(())
}
