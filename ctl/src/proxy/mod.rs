//! `ccctl proxy`: the way to the API, by itself: for one shell, for all sessions, or how it is.

mod install;
mod serve;
mod status;

use crate::args::{ProxyArgs, ProxyCommand};
use crate::env::Env;
use crate::error::Result;
use crate::printer::Printer;

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &ProxyArgs) -> Result<()> {
    match &args.command {
        ProxyCommand::Serve(args) => serve::run(env, out, args),
        ProxyCommand::Status(args) => status::run(env, out, args),
        ProxyCommand::Install(args) => install::install(env, out, args),
        ProxyCommand::Uninstall(args) => install::uninstall(env, out, args),
    }
}
