//! `ccctl proxy`: what can be typed after it.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::JsonArgs;

/// `proxy`
#[derive(Clone, Debug, Args)]
pub struct ProxyArgs {
    /// What to do
    #[command(subcommand)]
    pub command: ProxyCommand,
}

/// What can be done with the proxy
#[derive(Clone, Debug, Subcommand)]
pub enum ProxyCommand {
    /// Print the line that sends a shell's sessions here, and show their requests until Ctrl-C
    Serve(ServeArgs),
    /// Whether the proxy answers, who has its port, and whether Claude Code is sent there
    Status(JsonArgs),
    /// Send Claude Code's requests through ccd, and change nothing else
    Install(ProxyInstallArgs),
    /// Take back what `proxy install` did, byte for byte
    Uninstall(ProxyUninstallArgs),
}

/// `proxy serve`
#[derive(Clone, Debug, Default, Args)]
pub struct ServeArgs {
    /// The shell that the line is for
    #[arg(long, value_name = "SHELL", default_value = "sh")]
    pub shell: ShellName,
}

/// A shell's way to set a variable
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ShellName {
    /// sh, and what is like it: bash, zsh, dash
    #[default]
    #[value(alias = "bash", alias = "zsh", alias = "dash")]
    Sh,
    /// fish
    Fish,
}

/// `proxy install`
#[derive(Clone, Debug, Default, Args)]
pub struct ProxyInstallArgs {
    /// Print what would change in every file, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// The settings file to put the base URL into, instead of Claude Code's user settings
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `proxy uninstall`
#[derive(Clone, Debug, Default, Args)]
pub struct ProxyUninstallArgs {
    /// Stop the daemon at once, even if running sessions still need it
    #[arg(long)]
    pub now: bool,
    /// Print what would change in every file, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}
