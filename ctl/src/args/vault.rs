//! `vault` and what comes behind it.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args, Subcommand};

use super::JsonArgs;

/// `vault`
#[derive(Clone, Debug, Args)]
pub struct VaultArgs {
    /// What to do
    #[command(subcommand)]
    pub command: VaultCommand,
}

/// What can be done with the vault
#[derive(Clone, Debug, Subcommand)]
pub enum VaultCommand {
    /// Whether it is open, where its key is, and how many values it holds
    Status(JsonArgs),
    /// The value that a mark stands for; who looks, and why, goes on the audit log first
    #[command(name = "lookup")]
    LookUp(VaultLookUpArgs),
    /// Delete values for good: nothing shows them any more, and they are not kept again
    Delete(VaultDeleteArgs),
    /// Seal everything with a new key, and destroy the old one; tokens stay
    Rotate(JsonArgs),
    /// All of it as one file, sealed with a passphrase
    Backup(VaultBackupArgs),
    /// Put back what a backup holds; values that were deleted since stay so
    Restore(VaultRestoreArgs),
    /// Open every row, count what does not, and look at who else could read the files
    Health(JsonArgs),
    /// Who looked which value up, when and why, and whether a line of that is missing
    Audit(JsonArgs),
}

/// `vault lookup`
#[derive(Clone, Debug, Default, Args)]
pub struct VaultLookUpArgs {
    /// What stands in a mark behind the kind, or the whole mark
    #[arg(value_name = "TOKEN", value_parser = NonEmptyStringValueParser::new())]
    pub token: String,
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub reason: String,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `vault delete`
#[derive(Clone, Debug, Default, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["token", "session", "value"])))]
pub struct VaultDeleteArgs {
    /// The value with this token
    #[arg(long, value_name = "TOKEN", value_parser = NonEmptyStringValueParser::new())]
    pub token: Option<String>,
    /// All that was seen in this session; the head of its id is enough
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub session: Option<String>,
    /// The value that is read from stdin: never an argument, which others can see
    #[arg(long)]
    pub value: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `vault backup`
#[derive(Clone, Debug, Default, Args)]
pub struct VaultBackupArgs {
    /// Where to write it
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Do not seal it: whoever has the file has every value
    #[arg(long, conflicts_with = "passphrase_fd")]
    pub with_key: bool,
    /// Read the passphrase from this file descriptor instead of the terminal
    #[arg(long, value_name = "N")]
    pub passphrase_fd: Option<u32>,
    /// Write over a file that is there
    #[arg(long)]
    pub force: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `vault restore`
#[derive(Clone, Debug, Default, Args)]
pub struct VaultRestoreArgs {
    /// The backup
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Read the passphrase from this file descriptor instead of the terminal
    #[arg(long, value_name = "N")]
    pub passphrase_fd: Option<u32>,
    /// Where it is another vault's: put it in the place of this one, whose values are then lost
    #[arg(long)]
    pub replace: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// What shows values in the place of marks.
#[derive(Clone, Debug, Default, Args)]
pub struct RevealArgs {
    /// Show credentials that were taken out, as the vault has them; each goes on its audit log
    #[arg(long)]
    pub reveal: bool,
    /// Why, for that log
    #[arg(long, value_name = "TEXT", requires = "reveal")]
    pub reason: Option<String>,
}
