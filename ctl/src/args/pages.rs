//! `completions`, `man` and `package-files`: what tells of the command line itself. Only shapes, as all of `args`.

use std::path::PathBuf;

use clap::Args;

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
