//! `search`: what can be typed after it. Only shapes, as all of `args`.

use clap::Args;

use super::{QueryArgs, SpanKind, SpanStatus};

/// `search`
#[derive(Clone, Debug, Default, Args)]
#[allow(clippy::struct_excessive_bools)] // one per flag
#[command(
    after_help = "Each argument is looked for as it stands: one with blanks in it is a phrase. What has all of them \
                        is found, whatever their case.\nExit code 0 also where nothing is found."
)]
pub struct SearchArgs {
    /// What to look for
    #[arg(required = true, value_name = "WORD")]
    pub words: Vec<String>,
    /// The words are regular expressions
    #[arg(short = 'E', long)]
    pub regex: bool,
    /// Upper and lower case are different
    #[arg(long)]
    pub case: bool,
    /// Look through what no span shows, too: whole requests and responses, hook payloads, lines of transcripts
    #[arg(long)]
    pub raw: bool,
    /// Only spans of this kind
    #[arg(long, value_name = "KIND")]
    pub kind: Option<SpanKind>,
    /// Only calls of this tool
    #[arg(long, value_name = "NAME")]
    pub tool: Option<String>,
    /// Only spans with this status
    #[arg(long, value_name = "STATUS")]
    pub status: Option<SpanStatus>,
    /// Go on where an earlier search ended
    #[arg(long, value_name = "CURSOR")]
    pub cursor: Option<String>,
    /// Seconds that it may take
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: u64,
    /// What every query takes
    #[command(flatten)]
    pub query: QueryArgs,
}
