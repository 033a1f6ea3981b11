//! `analyze`, `detections` and `heal`: what can be typed after them. Only shapes, as all of `args`.

use std::path::PathBuf;

use ccd_detect::Kind;
use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser};
use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::{JsonArgs, QueryArgs};

/// What is about one detection, or about a kind as such: filters say nothing there.
const ONE: [&str; 4] = ["id", "explain", "dismiss", "reopen"];

fn kinds() -> PossibleValuesParser {
    PossibleValuesParser::new(Kind::ALL.map(Kind::as_str))
}

/// `analyze`
#[derive(Clone, Debug, Default, Args)]
#[allow(clippy::struct_excessive_bools)] // one per flag
#[command(
    group = ArgGroup::new("form").args(["json", "markdown", "guardrail"]),
    after_help = "A line of --file is {\"trace_id\":…, \"events\":[…], \"meta\":{\"workspace\":…}}: events in the shape of \
                  hooks' payloads, and `ApiTurn` for an answer of the model. A line of --workspaces is {\"workspace\":…, \
                  \"files\":[…], \"dependencies\":[…], \"symbols\":{…}, \"identifiers\":[…]} and stands for the working \
                  directory. Both may be gzipped; `-` is stdin. Printed is one line of JSON for each, in their order. \
                  Exit code 1 if a line could not be analysed."
)]
pub struct AnalyzeArgs {
    /// The session, by the head of its id; by default the newest of this directory, else the newest
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new(), conflicts_with = "file")]
    pub session: Option<String>,
    /// Analyse the sessions of a file, without the daemon
    #[arg(long, value_name = "F.jsonl", conflicts_with_all = ["markdown", "guardrail", "tree"])]
    pub file: Option<PathBuf>,
    /// What the working directories of the file's sessions hold
    #[arg(long, value_name = "W.jsonl", requires = "file")]
    pub workspaces: Option<PathBuf>,
    /// Go by the thresholds of `[detect]` in ccd's configuration, or in this one, instead of the defaults
    #[arg(long, value_name = "CONFIG", requires = "file", num_args = 0..=1)]
    #[allow(clippy::option_option)] // not given, given, given with a file
    pub settings: Option<Option<PathBuf>>,
    /// Check names and paths against the working directory as it is now
    #[arg(long)]
    pub tree: bool,
    /// Print one JSON object; what --file prints is JSON lines anyway
    #[arg(long)]
    pub json: bool,
    /// Print Markdown, ready to paste into an issue: what was captured stands in it as plain text
    #[arg(long)]
    pub markdown: bool,
    /// Print only the text for CLAUDE.md
    #[arg(long)]
    pub guardrail: bool,
}

/// `detections`
#[derive(Clone, Debug, Default, Args)]
#[allow(clippy::struct_excessive_bools)] // one per flag
#[command(group = ArgGroup::new("what").args(["id", "by", "explain", "dismiss", "reopen"]))]
pub struct DetectionsArgs {
    /// One of them in full; the head of its id is enough
    #[arg(value_name = "ID")]
    pub id: Option<String>,
    /// Only of this kind
    #[arg(long, value_name = "KIND", value_parser = kinds(), conflicts_with_all = ONE)]
    pub kind: Option<String>,
    /// Only by this rule of a kind, as --explain names it
    #[arg(long, value_name = "RULE", conflicts_with_all = ONE)]
    pub rule: Option<String>,
    /// Only in this state; by default all but dismissed ones
    #[arg(long, value_name = "STATE", conflicts_with = "open", conflicts_with_all = ONE)]
    pub state: Option<DetectionState>,
    /// Only open ones: not dismissed, and not older than a week
    #[arg(long, conflicts_with_all = ONE)]
    pub open: bool,
    /// Only as bad as this or worse, 0 to 100
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=100), conflicts_with_all = ONE)]
    pub min_severity: Option<u8>,
    /// Only as sure as this or surer, 0 to 100
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=100), conflicts_with_all = ONE)]
    pub min_confidence: Option<u8>,
    /// How many there were, cut by these
    #[arg(long, value_name = "KEY", value_delimiter = ',')]
    pub by: Vec<TrendKey>,
    /// No bars and no sparkline
    #[arg(long, requires = "by")]
    pub no_bars: bool,
    /// What a kind is, by which rules it is found, and what to do; `mast` is what is covered of that list. Without a
    /// kind, all of them in a line each
    #[arg(long, value_name = "KIND", num_args = 0..=1)]
    #[allow(clippy::option_option)] // not given, given, given with a kind
    pub explain: Option<Option<String>>,
    /// It was a false alarm: this one is dismissed, and all about the same in that directory, also later ones
    #[arg(long, value_name = "ID")]
    pub dismiss: Option<String>,
    /// Why, in your words
    #[arg(long, value_name = "WORDS", requires = "dismiss")]
    pub reason: Option<String>,
    /// Take a dismissal back
    #[arg(long, value_name = "ID")]
    pub reopen: Option<String>,
    /// What every query takes
    #[command(flatten)]
    pub query: QueryArgs,
}

/// A detection's state
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DetectionState {
    /// Not dismissed, and not older than a week
    Open,
    /// A false alarm, as you said
    Dismissed,
    /// Older than a week
    Past,
    /// All of them
    All,
}

/// A key of the trend
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TrendKey {
    /// The kind
    Kind,
    /// The kind's rule
    Rule,
    /// The project
    Project,
    /// The week, from Monday
    Week,
    /// The day
    Day,
    /// The session
    Session,
}

/// `heal`
#[derive(Clone, Debug, Default, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct HealArgs {
    /// What to do; without it, `status`
    #[command(subcommand)]
    pub command: Option<HealCommand>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// What can be done with interventions
#[derive(Clone, Debug, Subcommand)]
pub enum HealCommand {
    /// How far ccd goes, where it goes further or less far, what holds it off, and how much it did
    Status(JsonArgs),
    /// What was done, newest first
    List(HealListArgs),
    /// Do nothing more about a kind, or about anything, in one session
    Allow(HealAllowArgs),
    /// Do nothing at all for a while
    Pause(HealPauseArgs),
    /// Take pauses back, and in one session what is allowed there, too
    Resume(HealResumeArgs),
    /// How far ccd goes, from now on; the configuration is changed, and keeps its comments
    Mode(HealModeArgs),
}

/// `heal list`
#[derive(Clone, Debug, Default, Args)]
pub struct HealListArgs {
    /// Only about this kind
    #[arg(long, value_name = "KIND", value_parser = kinds())]
    pub kind: Option<String>,
    /// What every query takes
    #[command(flatten)]
    pub query: QueryArgs,
}

/// `heal allow`
#[derive(Clone, Debug, Default, Args)]
pub struct HealAllowArgs {
    /// The session; the head of its id is enough
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub session: String,
    /// Only about this kind
    #[arg(long, value_name = "KIND", value_parser = kinds())]
    pub kind: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `heal pause`
#[derive(Clone, Debug, Default, Args)]
pub struct HealPauseArgs {
    /// Only in this session; the head of its id is enough
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub session: Option<String>,
    /// How long: 30m, 2h, 1d; until `resume` by default
    #[arg(long = "for", value_name = "TIME")]
    pub time: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `heal resume`
#[derive(Clone, Debug, Default, Args)]
pub struct HealResumeArgs {
    /// Only in this session; the head of its id is enough
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub session: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `heal mode`
#[derive(Clone, Debug, Args)]
pub struct HealModeArgs {
    /// How far
    pub mode: HealMode,
    /// Only in this directory, and all below it
    #[arg(long, value_name = "DIR")]
    pub project: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// How far ccd goes
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HealMode {
    /// Nothing is done
    Off,
    /// The model is told, with the next prompt or tool result
    Advise,
    /// Calls that go on with a loop are denied, too, and a turn that ends with a claim that is not so goes on
    Guard,
}
