//! `config`: what can be typed after it. Only shapes, as all of `args`.

use clap::{Args, Subcommand};

/// `config`
#[derive(Clone, Debug, Args)]
pub struct ConfigArgs {
    /// What to do with it
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// The commands of `config`
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Where the configuration file is
    Path,
    /// What the file says of a key; without one, the whole file
    Get(ConfigGetArgs),
    /// Have the file say something else of a key. The rest of it stays, comments too; what the daemon would not take is refused
    Set(ConfigSetArgs),
    /// Take a key out of the file: what holds without it holds again
    Unset(ConfigUnsetArgs),
}

/// `config get`
#[derive(Clone, Debug, Default, Args)]
pub struct ConfigGetArgs {
    /// Such as `log` or `proxy.listen`
    pub key: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `config set`
#[derive(Clone, Debug, Default, Args)]
pub struct ConfigSetArgs {
    /// Such as `log` or `proxy.listen`
    pub key: String,
    /// As TOML has it: `true`, `15`, `["a", "b"]`; what is none of that is text
    #[arg(allow_hyphen_values = true)]
    pub value: String,
}

/// `config unset`
#[derive(Clone, Debug, Default, Args)]
pub struct ConfigUnsetArgs {
    /// Such as `log` or `proxy.listen`
    pub key: String,
}
