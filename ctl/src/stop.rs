//! `ccctl stop`: stops the daemon once the streams under way have ended; `--now` cuts them.

use crate::args::StopArgs;
use crate::env::Env;
use crate::error::Result;
use crate::manifest::Manifest;
use crate::printer::Printer;
use crate::{daemon, supervisor};

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &StopArgs) -> Result<()> {
    let was_killed = supervisor::is_killed(&env.layout);
    if !daemon::stop(env, out, args.now)? {
        return out.line(if was_killed {
            "the daemon was not running: it was killed; no event of Claude Code brings it back now"
        } else {
            "the daemon was not running"
        });
    }
    out.line("stopped")?;
    if Manifest::load(&env.layout)?.is_some_and(|m| m.options.proxy) {
        out.warn("Claude Code still sends its requests here and fails without the daemon: `ccctl start` or `ccctl uninstall`");
    }
    Ok(())
}
