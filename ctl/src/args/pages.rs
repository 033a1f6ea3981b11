//! `open`, `completions`, `man`, `package-files` and `upgrade`: what tells of the command line itself, and what the installing
//! scripts call. Only shapes, as all of `args`.

use std::path::PathBuf;

use clap::Args;

/// `open`
#[derive(Clone, Debug, Default, Args)]
#[allow(clippy::struct_excessive_bools)] // one per flag
pub struct OpenArgs {
    /// A session, turn, span, exchange or detection to begin at; the head of its id is enough
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub id: Option<String>,
    /// Print the link instead; it is good once, for a minute
    #[arg(long)]
    pub print: bool,
    /// Log every browser out
    #[arg(long, conflicts_with_all = ["id", "print"])]
    pub forget: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `completions`
#[derive(Clone, Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// `man`
#[derive(Clone, Debug, Default, Args)]
pub struct ManArgs {
    /// The command: `usage`, `store backup`; ccctl itself by default
    #[arg(value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// `package-files`
#[derive(Clone, Debug, Args)]
pub struct PackageFilesArgs {
    /// Where to put them
    pub dir: PathBuf,
    /// Where the package puts the daemon; the unit names it
    #[arg(long, value_name = "PATH")]
    pub ccd: Option<PathBuf>,
}

/// `upgrade`
#[derive(Clone, Debug, Args)]
pub struct UpgradeArgs {
    /// The new files, as they shall lie below the prefix: bin/ccd, bin/ccctl, bin/cc-hook, and what else there is
    #[arg(long, value_name = "DIR")]
    pub from: PathBuf,
    /// Where to put them
    #[arg(long, value_name = "DIR")]
    pub prefix: PathBuf,
    /// Only put the files in place: leave the daemon as it is
    #[arg(long)]
    pub files_only: bool,
}
