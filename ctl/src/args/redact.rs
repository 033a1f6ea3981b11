//! `redact` and `secrets`: what can be typed after them. Only shapes, as all of `args`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

/// `redact`
#[derive(Clone, Debug, Default, Args)]
#[allow(clippy::struct_excessive_bools)] // one per flag
#[command(
    after_help = "Goes by [redact] of ccd's configuration where there is one. A text of up to 16 MiB is looked at as a whole; \
                  of a longer one that much at a time, cut at a line's end and not within a key block.\n\
                  With --jsonl each line is looked at by itself and printed as soon as it is done, in its order; a line \
                  that cannot be read is told of by its number, and the exit code is 1."
)]
pub struct RedactArgs {
    /// Files; without any, or for -, stdin
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
    /// Lines {"text":…}: printed with `text` redacted, and all else as it was
    #[arg(long)]
    pub jsonl: bool,
    /// What is looked for
    #[arg(long, conflicts_with_all = ["files", "jsonl"])]
    pub list_rules: bool,
    /// Print one JSON object instead of the text: how much would be replaced, and by which rules
    #[arg(long)]
    pub json: bool,
}

/// `secrets`
#[derive(Clone, Debug, Args)]
pub struct SecretsArgs {
    /// What to do
    #[command(subcommand)]
    pub command: SecretsCommand,
}

/// What can be done about credentials
#[derive(Clone, Debug, Subcommand)]
pub enum SecretsCommand {
    /// Look through Claude Code's files, or others, and tell where credentials lie; never what they are
    Scan(SecretsScanArgs),
}

/// `secrets scan`
#[derive(Clone, Debug, Default, Args)]
#[command(
    after_help = "Without PATH: Claude Code's directory (CLAUDE_CONFIG_DIR, else ~/.claude) with transcripts, history, \
                  settings, todos, shell snapshots, debug logs and pasted texts, and ~/.claude.json.\n\
                  Exit codes: 0 nothing was found, --exit-code (1) where something was, 1 where something could not be read."
)]
pub struct SecretsScanArgs {
    /// Files and directories; links are not followed
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub paths: Vec<PathBuf>,
    /// Only the transcripts of Claude Code
    #[arg(long, conflicts_with = "paths")]
    pub transcripts: bool,
    /// The exit code where something was found
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub exit_code: u8,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}
