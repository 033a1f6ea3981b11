//! The `ccctl` program: arguments → surroundings → command → exit code. Nothing else happens here.

use std::process::ExitCode;

use anstream::eprintln;
use ccctl::args::{Cli, Command};
use ccctl::env::Env;
use ccctl::exec::System;
use ccctl::printer::Printer;
use ccctl::{statusline, upgrade};
use ccd_proto::paths::Layout;
use clap::Parser;

#[allow(clippy::print_stderr)] // before there is a printer
fn main() -> ExitCode {
    // Wrong usage ends here with code 2, `--help` and `--version` with 0.
    let cli = Cli::try_parse().unwrap_or_else(|error| match statusline::instead(std::env::args_os()) {
        Some(cli) if error.use_stderr() => cli,
        _ => error.exit(),
    });
    let never_fails = matches!(cli.command, Command::StatusLine(_));
    let layout = match Layout::resolve(|name| std::env::var_os(name)) {
        Ok(layout) => layout,
        Err(_) if never_fails => statusline::no_layout(),
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let env = Env {
        vars: Box::new(|name| std::env::var_os(name)),
        layout,
        now: jiff::Timestamp::now(),
        clock: jiff::Timestamp::now,
        tz: jiff::tz::TimeZone::system(),
        exe: upgrade::place(&cli.command).unwrap_or_else(|| std::env::current_exe().unwrap_or_default()),
        cwd: std::env::current_dir().unwrap_or_else(|_| "/".into()),
        managed: ccctl::env::MANAGED.into(),
        runner: Box::new(System),
    };
    let mut out = Printer::stdio(&env);
    let result = ccctl::dispatch(&env, &mut out, &cli).and_then(|()| out.flush());
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) if never_fails => ExitCode::SUCCESS,
        Err(error) => {
            out.error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}
