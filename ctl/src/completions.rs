//! `ccctl completions SHELL`: a completion script, generated from the command line itself.

use clap::CommandFactory;

use crate::args::{Cli, CompletionsArgs};
use crate::error::Result;
use crate::printer::Printer;

/// Prints the script.
pub fn run(out: &mut Printer, args: &CompletionsArgs) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "ccctl", &mut script);
    out.bytes(&script)
}
