//! `store` and what comes behind it.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::JsonArgs;

/// `store`
#[derive(Clone, Debug, Args)]
pub struct StoreArgs {
    /// What to do
    #[command(subcommand)]
    pub command: StoreCommand,
}

/// What can be done with the store
#[derive(Clone, Debug, Subcommand)]
pub enum StoreCommand {
    /// How large it is, what it holds, how it is
    Stats(JsonArgs),
    /// Read every byte, and name every record that is damaged
    Verify(JsonArgs),
    /// Make the index anew from what was recorded
    Rebuild(JsonArgs),
    /// Remove what is old
    Prune(PruneArgs),
    /// Copy what was recorded to a directory; again, to bring that up to date
    Backup(BackupArgs),
    /// Put a backup in the place of what is recorded, which is kept beside it
    Restore(RestoreArgs),
}

/// `store backup`
#[derive(Clone, Debug, Default, Args)]
pub struct BackupArgs {
    /// A new directory, an empty one, or that of an earlier backup
    pub dir: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `store restore`
#[derive(Clone, Debug, Default, Args)]
pub struct RestoreArgs {
    /// The backup's directory
    pub dir: PathBuf,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `store prune`
#[derive(Clone, Debug, Default, Args)]
pub struct PruneArgs {
    /// What is older than this: 30d, 12h, 2w
    #[arg(long, value_name = "AGE")]
    pub older_than: Option<String>,
    /// The oldest, until no more than this is left: 500M, 5GiB, 10G
    #[arg(long, value_name = "SIZE")]
    pub max_bytes: Option<String>,
    /// Say what would go, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}
