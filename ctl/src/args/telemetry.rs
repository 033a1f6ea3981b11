//! `ccctl telemetry`: what can be typed after it.

use clap::{Args, Subcommand, ValueEnum};

use super::JsonArgs;

/// `telemetry`
#[derive(Clone, Debug, Args)]
pub struct TelemetryArgs {
    /// What to do
    #[command(subcommand)]
    pub command: TelemetryCommand,
}

/// What can be done about Claude Code's own telemetry
#[derive(Clone, Debug, Subcommand)]
pub enum TelemetryCommand {
    /// Have every session send it to the daemon on this machine
    On(TelemetryOnArgs),
    /// Take that back
    Off(TelemetryOffArgs),
    /// Whether it is on, and what came of it
    Status(JsonArgs),
    /// The variables for one shell: `eval "$(ccctl telemetry env)"`
    Env(TelemetryWhat),
}

/// `telemetry on`
#[derive(Clone, Debug, Default, Args)]
pub struct TelemetryOnArgs {
    /// What is sent
    #[command(flatten)]
    pub what: TelemetryWhat,
    /// Print what would change in every file, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `telemetry off`
#[derive(Clone, Debug, Default, Args)]
pub struct TelemetryOffArgs {
    /// Print what would change in every file, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// What is sent, and how
#[derive(Clone, Debug, Default, Args)]
pub struct TelemetryWhat {
    /// How it is written
    #[arg(long, value_enum, default_value_t)]
    pub encoding: TelemetryEncoding,
    /// Spans too, beside events and metrics: a beta of Claude Code's
    #[arg(long)]
    pub traces: bool,
    /// What was typed, answered and run too, not only that it was
    #[arg(long)]
    pub content: bool,
}

/// How telemetry is written
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TelemetryEncoding {
    /// Protocol buffers
    #[default]
    Protobuf,
    /// JSON
    Json,
}
