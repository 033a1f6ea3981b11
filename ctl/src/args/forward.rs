//! `connect`, `forward`, `sync`: what can be typed after them. Only shapes, as all of `args`.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::Switch;

/// How much of what was said and done is sent
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ForwardContent {
    /// Nothing: names, times, tokens, cost
    None,
    /// Prompts, answers and thinking
    Text,
    /// And what tools were given and answered
    Full,
}

/// What is spoken with a sink
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ForwardKind {
    /// OpenTelemetry's protocol over HTTP
    Otlp,
    /// The Pisama platform's protocol; `ccctl connect` is the shorter way
    Pisama,
}

/// `connect`
#[derive(Clone, Debug, Args)]
#[command(
    group = ArgGroup::new("key").required(true).args(["api_key_stdin", "api_key"]),
    after_help = "Nothing is sent until `ccctl sync`, or `ccctl forward on`, which --auto-sync does at once."
)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct ConnectArgs {
    /// Read the API key from stdin
    #[arg(long)]
    pub api_key_stdin: bool,
    /// The API key; others can see it while this runs, so --api-key-stdin is better
    #[arg(long, value_name = "KEY", value_parser = NonEmptyStringValueParser::new())]
    pub api_key: Option<String>,
    /// The platform's address
    #[arg(long, value_name = "URL", default_value = "https://api.pisama.ai")]
    pub api_url: String,
    /// Send each session from now on, a moment after each of its turns
    #[arg(long, overrides_with = "no_auto_sync")]
    pub auto_sync: bool,
    /// Send nothing unless it is asked for; so it is by default
    #[arg(long)]
    pub no_auto_sync: bool,
    /// How much of what was said and done is sent; redacted in any case
    #[arg(long, value_name = "LEVEL", default_value = "full")]
    pub content: ForwardContent,
    /// What the platform is called here
    #[arg(long, value_name = "NAME", default_value = "pisama")]
    pub name: String,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// `forward`
#[derive(Clone, Debug, Default, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ForwardArgs {
    /// What to do; how the sinks are, without it
    #[command(subcommand)]
    pub command: Option<ForwardCommand>,
    /// Show exactly what would be sent, and send nothing; of very much, the beginning
    #[arg(long)]
    pub preview: bool,
    /// The sink, where there are several
    #[arg(value_name = "NAME", requires = "preview")]
    pub name: Option<String>,
    /// Of this session, and not of the newest; the head of its id is enough
    #[arg(long, value_name = "ID", requires = "preview")]
    pub session: Option<String>,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// What can be done about forwarding
#[derive(Clone, Debug, Subcommand)]
pub enum ForwardCommand {
    /// Send what is recorded from now on
    On(ForwardNameArgs),
    /// Send nothing any more, from this moment on
    Off(ForwardNameArgs),
    /// How the sinks are
    Status(super::JsonArgs),
    /// Name somebody to whom to send; nothing is sent before `forward on`
    Add(ForwardAddArgs),
    /// Forget a sink, and what was noted about it
    Remove(ForwardNameArgs),
    /// Never send a project, or a session
    Exclude(ForwardExcludeArgs),
}

/// A sink
#[derive(Clone, Debug, Default, Args)]
pub struct ForwardNameArgs {
    /// The sink, where there are several
    pub name: Option<String>,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// `forward add`
#[derive(Clone, Debug, Args)]
pub struct ForwardAddArgs {
    /// What it is called here: small letters, digits, - and _
    pub name: String,
    /// What is spoken
    #[arg(long, value_name = "KIND")]
    pub kind: ForwardKind,
    /// Where to: https, or http to this machine
    #[arg(long, value_name = "URL")]
    pub url: String,
    /// Plain HTTP to another machine, where everybody on the way can read it
    #[arg(long)]
    pub allow_http: bool,
    /// How much of what was said and done is sent; redacted in any case
    #[arg(long, value_name = "LEVEL", default_value = "none")]
    pub content: ForwardContent,
    /// A file, readable by you alone, with a `NAME: VALUE` on each line
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub headers_file: Option<PathBuf>,
    /// For the platform: a file, readable by you alone, with the API key
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub key_file: Option<PathBuf>,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// `forward exclude`
#[derive(Clone, Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["project", "session"]))]
pub struct ForwardExcludeArgs {
    /// The sink; without it, all of them
    pub name: Option<String>,
    /// A project: the name of its directory, or the whole path
    #[arg(long, value_name = "P", value_parser = NonEmptyStringValueParser::new())]
    pub project: Option<String>,
    /// A session, or the head of its id
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub session: Option<String>,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

impl ForwardCommand {
    /// Whether it is a switch, which way, and of what.
    #[must_use]
    pub fn switch(&self) -> Option<(Switch, &ForwardNameArgs)> {
        match self {
            ForwardCommand::On(args) => Some((Switch::On, args)),
            ForwardCommand::Off(args) => Some((Switch::Off, args)),
            _ => None,
        }
    }
}

/// `sync`
#[derive(Clone, Debug, Default, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct SyncArgs {
    /// The sink, where there are several
    pub name: Option<String>,
    /// The newest N sessions
    #[arg(long, value_name = "N", conflicts_with_all = ["since", "session"])]
    pub last: Option<u32>,
    /// Sessions that were used since then: `2026-11-01`, `28d`, `today`
    #[arg(long, value_name = "TIME", conflicts_with = "session")]
    pub since: Option<String>,
    /// One session; the head of its id is enough
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub session: Option<String>,
    /// Send what tools were given and answered, whatever the sink says
    #[arg(long, overrides_with = "no_outputs")]
    pub include_outputs: bool,
    /// Leave out what tools answered
    #[arg(long)]
    pub no_outputs: bool,
    /// Only say what would be sent
    #[arg(long)]
    pub dry_run: bool,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}
