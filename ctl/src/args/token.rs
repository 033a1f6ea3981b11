//! `ccctl token`: what can be typed after it.

use clap::{Args, Subcommand, ValueEnum};

use super::JsonArgs;

/// `token`
#[derive(Clone, Debug, Args)]
pub struct TokenArgs {
    /// What to do
    #[command(subcommand)]
    pub command: TokenCommand,
}

/// What can be done with tokens
#[derive(Clone, Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token, and show it this once
    Create(TokenCreateArgs),
    /// The tokens there are, and when they were last used
    List(JsonArgs),
    /// Take a token back: it is good no more
    Revoke(TokenRevokeArgs),
}

/// `token create`
#[derive(Clone, Debug, Args)]
pub struct TokenCreateArgs {
    /// What to call it: letters, digits, dots, dashes and underscores
    pub name: String,
    /// What it is good for
    #[arg(long, value_enum, default_value_t)]
    pub scope: TokenScope,
    /// How long it is good: `90d`, `12h`; for ever by default
    #[arg(long, value_name = "TIME")]
    pub expires: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// What a token is good for
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TokenScope {
    /// Traces of other recorders: POST /api/v1/…
    #[default]
    Ingest,
    /// OpenTelemetry: POST /v1/logs, /v1/traces, /v1/metrics
    Telemetry,
    /// Both
    All,
}

impl TokenScope {
    /// As the daemon calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            TokenScope::Ingest => "ingest",
            TokenScope::Telemetry => "telemetry",
            TokenScope::All => "all",
        }
    }
}

/// `token revoke`
#[derive(Clone, Debug, Args)]
pub struct TokenRevokeArgs {
    /// Its name, or the head of its id
    #[arg(value_name = "NAME|ID")]
    pub which: String,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}
