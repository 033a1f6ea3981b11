//! `ccctl`: what people type to install ccd and to ask it what happened.
//!
//! The library does, the binary talks: every command takes its surroundings as [`env::Env`], writes through
//! [`printer::Printer`] and returns [`error::CommandError`]. One file per subcommand; [`client`] is the only
//! way to the daemon, and the store is never linked. The detectors are: `analyze --file` runs without a daemon.

pub mod analyze;
pub mod args;
pub mod budget;
pub mod changes;
pub mod claude;
pub mod client;
pub mod completions;
pub mod config;
pub mod daemon;
pub mod detections;
pub mod diff;
pub mod doctor;
pub mod env;
pub mod error;
pub mod exchange;
pub mod exchanges;
pub mod exec;
pub mod export;
pub mod export_otel;
pub mod files;
pub mod following;
pub mod forward;
pub mod heal;
pub mod health;
pub mod human;
pub mod import;
pub mod install;
pub mod limits;
pub mod lines;
pub mod logs;
pub mod man;
pub mod manifest;
pub mod marks;
pub mod mcp;
pub mod open;
pub mod package;
pub mod plugin;
pub mod ports;
pub mod printer;
pub mod proxy;
pub mod query;
pub mod records;
pub mod redact;
pub mod request_changes;
pub mod restart;
pub mod run;
pub mod search;
pub mod secrets;
pub mod service;
pub mod session_files;
pub mod sessions;
pub mod settings;
pub mod show;
pub mod skill;
pub mod start;
pub mod status;
pub mod statusline;
pub mod stop;
pub mod store;
pub mod supervisor;
pub mod table;
pub mod telemetry;
pub mod time;
pub mod token;
pub mod tools;
pub mod traces;
pub mod tree;
pub mod turns;
pub mod uninstall;
pub mod upgrade;
pub mod usage;
pub mod vault;
pub mod waterfall;

#[cfg(test)]
mod skew_tests;
#[cfg(test)]
mod testing;

use args::{Cli, Command};
use env::Env;
use error::Result;
use printer::Printer;

/// Does what was asked.
pub fn dispatch(env: &Env, out: &mut Printer, cli: &Cli) -> Result<()> {
    match &cli.command {
        Command::Install(args) => ports::explained(env, install::run(env, out, args)),
        Command::Uninstall(args) => uninstall::run(env, out, args),
        Command::Verify(args) => doctor::run(env, out, args),
        Command::Start => {
            ports::explained(env, start::run(env, out)).and_then(|()| doctor::repair::after_start(env, out))
        }
        Command::Stop(args) => stop::run(env, out, args),
        Command::Restart(args) => ports::explained(env, restart::run(env, out, args))
            .and_then(|()| doctor::repair::after_start(env, out)),
        Command::Status(args) => status::run(env, out, args),
        Command::Logs(args) => logs::run(env, out, args),
        Command::Run(args) => ports::explained(env, run::run(env, out, args)),
        Command::Sessions(args) => sessions::run(env, out, args),
        Command::Turns(args) => turns::run(env, out, args),
        Command::Traces(args) => traces::run(env, out, args),
        Command::Exchanges(args) => exchanges::run(env, out, args),
        Command::Exchange(args) => exchange::run(env, out, args),
        Command::Show(args) => show::run(env, out, args),
        Command::Open(args) => open::run(env, out, args),
        Command::Files(args) => session_files::run(env, out, args),
        Command::Tools(args) => tools::run(env, out, args),
        Command::Search(args) => search::run(env, out, args),
        Command::Export(args) => export::run(env, out, args),
        Command::ExportOtel(args) => export_otel::run(env, out, args),
        Command::Analyze(args) => analyze::run(env, out, args),
        Command::Detections(args) => detections::run(env, out, args),
        Command::Heal(args) => heal::run(env, out, args),
        Command::Usage(args) => usage::run(env, out, args),
        Command::StatusLine(args) => statusline::run(env, out, args),
        Command::Budget(args) => budget::run(env, out, args),
        Command::Connect(args) => forward::connect(env, out, args),
        Command::Forward(args) => forward::run(env, out, args),
        Command::Sync(args) => forward::sync(env, out, args),
        Command::Config(args) => config::command::run(env, out, args),
        Command::Proxy(args) => proxy::run(env, out, args),
        Command::Token(args) => token::run(env, out, args),
        Command::Telemetry(args) => telemetry::run(env, out, args),
        Command::Store(args) => store::run(env, out, args),
        Command::Vault(args) => vault::run(env, out, args),
        Command::Mcp => mcp::run(env, out),
        Command::Import(args) => import::run(env, out, args),
        Command::Redact(args) => redact::run(env, out, args),
        Command::Secrets(args) => secrets::run(env, out, args),
        Command::Completions(args) => completions::run(out, args),
        Command::Man(args) => man::run(out, args),
        Command::PackageFiles(args) => package::run(args),
        Command::Upgrade(args) => ports::explained(env, upgrade::run(env, out, args)),
    }
}
