//! The command line: what can be typed, and the help that says so.
//!
//! Only shapes: what an argument means is decided by the file of its command.

mod budget;
mod config;
mod detect;
mod export;
mod forward;
mod otel;
mod pages;
mod proxy;
mod questions;
mod redact;
mod search;
mod store;
mod telemetry;
mod token;
mod vault;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::budget::{BudgetArgs, BudgetCommand, BudgetName, BudgetSetArgs, StatusLineArgs, Switch};
pub use self::config::{ConfigArgs, ConfigCommand, ConfigGetArgs, ConfigSetArgs, ConfigUnsetArgs};
pub use self::detect::{
    AnalyzeArgs, DetectionState, DetectionsArgs, HealAllowArgs, HealArgs, HealCommand, HealListArgs,
    HealMode, HealModeArgs, HealPauseArgs, HealResumeArgs, TrendKey,
};
pub use self::export::{Compression, ExportArgs, ExportContent, ExportFormat, ExportKind, ExportTable};
pub use self::forward::{
    ConnectArgs, ForwardAddArgs, ForwardArgs, ForwardCommand, ForwardContent, ForwardExcludeArgs,
    ForwardKind, ForwardNameArgs, SyncArgs,
};
pub use self::otel::{ExportOtelArgs, OtelCompression, OtelContent, OtelProtocol};
pub use self::pages::{CompletionsArgs, ManArgs, OpenArgs, PackageFilesArgs, UpgradeArgs};
pub use self::proxy::{ProxyArgs, ProxyCommand, ProxyInstallArgs, ProxyUninstallArgs, ServeArgs, ShellName};
pub use self::questions::{FilesArgs, ToolsArgs};
pub use self::redact::{RedactArgs, SecretsArgs, SecretsCommand, SecretsScanArgs};
pub use self::search::SearchArgs;
pub use self::store::{BackupArgs, PruneArgs, RestoreArgs, StoreArgs, StoreCommand};
pub use self::telemetry::{
    TelemetryArgs, TelemetryCommand, TelemetryEncoding, TelemetryOffArgs, TelemetryOnArgs, TelemetryWhat,
};
pub use self::token::{TokenArgs, TokenCommand, TokenCreateArgs, TokenRevokeArgs, TokenScope};
pub use self::vault::{
    RevealArgs, VaultArgs, VaultBackupArgs, VaultCommand, VaultDeleteArgs, VaultLookUpArgs, VaultRestoreArgs,
};

const STYLES: Styles =
    Styles::styled().header(AnsiColor::Green.on_default().bold()).usage(AnsiColor::Green.on_default().bold());

/// Install ccd, the flight recorder for Claude Code, and ask it what happened
#[derive(Debug, Parser)]
#[command(
    name = "ccctl",
    version,
    styles = STYLES,
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the daemon is not running; `budget` has more."
)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The commands
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Record every Claude Code session of this user from now on
    Install(InstallArgs),
    /// Take back what `install` did, byte for byte
    Uninstall(UninstallArgs),
    /// Check that everything is in place, and say what to do where it is not
    #[command(alias = "doctor")]
    Verify(VerifyArgs),
    /// Start the daemon
    Start,
    /// Stop the daemon, once the streams under way have ended
    Stop(StopArgs),
    /// Stop the daemon and start it again in the environment that it has; `stop`, then `start` takes up a changed one
    Restart(StopArgs),
    /// What the daemon is doing
    Status(JsonArgs),
    /// The daemon's log
    Logs(LogsArgs),
    /// Run Claude Code and record this one session, with nothing installed
    Run(RunArgs),
    /// Sessions, newest first
    Sessions(QueryArgs),
    /// Turns (one prompt until Claude stops), newest first
    Turns(QueryArgs),
    /// What happened inside the turns: agents, model calls and tool calls, as a tree
    Traces(TracesArgs),
    /// Requests to the API, newest first
    Exchanges(QueryArgs),
    /// One request to the API: what is known of it, or its exact bytes
    Exchange(ExchangeArgs),
    /// One session, turn, span, exchange or detection in full
    Show(ShowArgs),
    /// The pages, in your browser: sessions, timelines, exact requests and answers
    Open(OpenArgs),
    /// What a session did to files: lines added and taken away, or the difference itself
    Files(FilesArgs),
    /// How long each tool takes, how often it fails, and the call that took longest
    Tools(ToolsArgs),
    /// Find words in what was captured: prompts, answers, thinking, tools' inputs and outputs, errors
    Search(SearchArgs),
    /// Take what was recorded elsewhere, with credentials taken out: a page, JSON lines, CSV, HAR, OTLP
    Export(ExportArgs),
    /// Send turns to an OpenTelemetry endpoint (OTLP over HTTP): one trace per turn
    ExportOtel(ExportOtelArgs),
    /// What went wrong in a session: the detectors run over it again, and a report of what they find
    Analyze(AnalyzeArgs),
    /// What the detectors found, newest first; what they look for; which of it was a false alarm
    Detections(DetectionsArgs),
    /// What is done about what is found: how it is set, what was done, and how to hold it off
    Heal(HealArgs),
    /// Tokens and cost
    Usage(UsageArgs),
    /// One line for Claude Code's status line: what the session and the day cost, and how far the limits are used
    #[command(name = "statusline")]
    StatusLine(StatusLineArgs),
    /// What was spent beside what may be
    Budget(BudgetArgs),
    /// Connect to the Pisama platform; nothing is sent until you say so
    Connect(ConnectArgs),
    /// Send what is recorded elsewhere: to whom, what, and whether at all; off until you switch it on
    Forward(ForwardArgs),
    /// Send sessions of the past, now
    Sync(SyncArgs),
    /// Single keys of the configuration file
    Config(ConfigArgs),
    /// The way to the API: for one shell, for all sessions, or how it is
    Proxy(ProxyArgs),
    /// Who may hand something in over the network: tokens for other programs
    Token(TokenArgs),
    /// Claude Code's own telemetry, sent to the daemon: what no hook, no request and no transcript tells
    Telemetry(TelemetryArgs),
    /// What is recorded on disk: its size and health, backups, clearing up
    Store(StoreArgs),
    /// What was taken out of records as a credential: sealed, shown to you alone, deleted when you say so
    Vault(VaultArgs),
    /// Answer Claude's questions about its own history: an MCP server on stdin and stdout, started by its client
    Mcp,
    /// Take in transcripts from elsewhere, and what pisama or cc-tracer recorded
    Import(ImportArgs),
    /// Print a text with the credentials in it replaced by marks; needs no daemon, and sends nothing anywhere
    Redact(RedactArgs),
    /// Credentials that are lying about already, in Claude Code's own files or in others
    Secrets(SecretsArgs),
    /// A completion script for your shell
    Completions(CompletionsArgs),
    /// A manual page, as roff: `ccctl man usage | man -l -`
    Man(ManArgs),
    /// What a package carries beside the programs
    #[command(hide = true)]
    PackageFiles(PackageFilesArgs),
    /// Put new programs in place, have the daemon change over to them, and put the old ones back if they do not work here
    #[command(hide = true)]
    Upgrade(UpgradeArgs),
}

/// `import`.
#[derive(Clone, Debug, Default, Args)]
pub struct ImportArgs {
    /// Files and directories; without any, Claude Code's own directories are looked through now
    #[arg(value_name = "PATH")]
    pub paths: Vec<std::path::PathBuf>,
    /// Only say what would be taken
    #[arg(long)]
    pub dry_run: bool,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// Only `--json`.
#[derive(Clone, Debug, Default, Args)]
pub struct JsonArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `verify`
#[derive(Clone, Debug, Default, Args)]
pub struct VerifyArgs {
    /// Only these checks, or groups of them; a wrong one has them listed
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Put right what can be put right first, and say what was done
    #[arg(long)]
    pub fix: bool,
    /// Do not try whether the API can be reached; otherwise a connection is made, and nothing is sent on it
    #[arg(long)]
    pub offline: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// What every query takes.
#[derive(Clone, Debug, Default, Args)]
pub struct QueryArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Not before: 2026-11-01, 28d, 12h, today, yesterday, or RFC 3339
    #[arg(long, value_name = "WHEN")]
    pub since: Option<String>,
    /// Not after, in the same forms; a day includes all of it
    #[arg(long, value_name = "WHEN")]
    pub until: Option<String>,
    /// At most this many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
    /// Only this session; the head of its id is enough
    #[arg(long, value_name = "ID", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub session: Option<String>,
    /// Only this project: the name of its directory
    #[arg(long, value_name = "NAME")]
    pub project: Option<String>,
}

/// `traces`
#[derive(Clone, Debug, Default, Args)]
#[allow(clippy::struct_excessive_bools)] // one per flag
pub struct TracesArgs {
    /// What every query takes
    #[command(flatten)]
    pub query: QueryArgs,
    /// Go on printing spans as they happen
    #[arg(short, long)]
    pub follow: bool,
    /// Show what went in and what came out
    #[arg(long)]
    pub content: bool,
    /// Leave input and output off `--json`, which carries them otherwise
    #[arg(long, conflicts_with = "content")]
    pub no_content: bool,
    /// Show the model's thinking
    #[arg(long)]
    pub reasoning: bool,
    /// Only calls of this tool
    #[arg(long, value_name = "NAME")]
    pub tool: Option<String>,
    /// Only spans of this kind
    #[arg(long, value_name = "KIND")]
    pub kind: Option<SpanKind>,
    /// Only spans with this status
    #[arg(long, value_name = "STATUS")]
    pub status: Option<SpanStatus>,
    /// Only this turn
    #[arg(long, value_name = "ID")]
    pub turn: Option<String>,
}

/// A span's kind
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SpanKind {
    /// A turn's root, or a subagent
    Agent,
    /// A model call
    Llm,
    /// A tool call
    Tool,
    /// A compaction that only hooks or transcripts tell of
    Compaction,
}

/// A span's status
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SpanStatus {
    /// It went well
    Ok,
    /// It failed
    Error,
    /// It was not allowed
    Denied,
    /// It has not ended
    Running,
}

/// `exchange`
#[derive(Clone, Debug, Default, Args)]
#[allow(clippy::struct_excessive_bools)] // one per flag
pub struct ExchangeArgs {
    /// The exchange's id
    pub id: String,
    /// The request's body, exactly as it went by
    #[arg(long, group = "part")]
    pub request: bool,
    /// The response's body, exactly as it went by
    #[arg(long, group = "part")]
    pub response: bool,
    /// The headers of both, credentials left out
    #[arg(long, group = "part")]
    pub headers: bool,
    /// What the request has that the one before of the same conversation had not
    #[arg(long, group = "part")]
    pub changes: bool,
    /// Of a body: with the credentials that were taken out
    #[command(flatten)]
    pub reveal: RevealArgs,
    /// Print one JSON object
    #[arg(long, conflicts_with_all = ["request", "response"])]
    pub json: bool,
}

/// `show`
#[derive(Clone, Debug, Default, Args)]
pub struct ShowArgs {
    /// The id of a session, turn, span, exchange or detection
    pub id: String,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Show the model's thinking
    #[arg(long)]
    pub reasoning: bool,
    /// Of a span: the hook events, the exchange and the transcript's lines that told of it
    #[arg(long, conflicts_with = "reasoning")]
    pub records: bool,
    /// With the credentials that were taken out
    #[command(flatten)]
    pub reveal: RevealArgs,
}

/// `usage`
#[derive(Clone, Debug, Args)]
pub struct UsageArgs {
    /// What the rows are cut by
    #[arg(default_value = "daily")]
    pub period: Period,
    /// Cut the rows further by these, in this order
    #[arg(long, value_name = "KEY", value_delimiter = ',')]
    pub by: Vec<UsageKey>,
    /// The zone that days begin in, e.g. Europe/Berlin; the machine's by default
    #[arg(long, value_name = "TZ")]
    pub timezone: Option<String>,
    /// Oldest first, or newest first; by cost, the largest first
    #[arg(long, value_name = "ORDER", default_value = "oldest")]
    pub order: Order,
    /// Only the keys, all tokens in one column, and the cost
    #[arg(long)]
    pub compact: bool,
    /// No bars and no sparkline
    #[arg(long)]
    pub no_bars: bool,
    /// The arithmetic of a session's cost, charge by charge
    #[arg(long, value_name = "SESSION", conflicts_with_all = ["by", "order", "compact"])]
    pub explain: Option<String>,
    /// What every query takes
    #[command(flatten)]
    pub query: QueryArgs,
}

/// What the rows of `usage` are cut by
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Period {
    /// One row for all of it
    Total,
    /// By day
    Daily,
    /// By week, from Monday
    Weekly,
    /// By month
    Monthly,
    /// By session
    Session,
    /// By five-hour block, as subscriptions count them
    Blocks,
}

/// The order of `usage`'s rows
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Order {
    /// By their keys, the oldest first
    #[default]
    Oldest,
    /// By their keys, the newest first
    Newest,
    /// By what they cost, the largest first
    Cost,
}

/// A further key of `usage`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum UsageKey {
    /// The model
    Model,
    /// The tool that a call asked for
    Tool,
    /// The project
    Project,
    /// The subagent's type
    Agent,
    /// The branch that was checked out
    Branch,
    /// The hour of the day
    Hour,
}

/// `stop`, `restart`
#[derive(Clone, Debug, Default, Args)]
pub struct StopArgs {
    /// Cut the streams under way
    #[arg(long)]
    pub now: bool,
}

/// `logs`
#[derive(Clone, Debug, Default, Args)]
pub struct LogsArgs {
    /// Go on printing lines as they are written
    #[arg(short, long)]
    pub follow: bool,
    /// Begin this many lines before the end
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
    pub lines: usize,
    /// Set the running daemon's log level: error, warn, info, debug, trace, or a filter such as `ccd::source=debug`
    #[arg(long, value_name = "LEVEL")]
    pub level: Option<String>,
}

/// `run`
#[derive(Clone, Debug, Default, Args)]
pub struct RunArgs {
    /// Ask the API for the text of Claude's thinking, which it leaves out otherwise
    #[arg(long)]
    pub thinking: bool,
    /// Take Claude Code's own telemetry of this session, too
    #[arg(long)]
    pub telemetry: bool,
    /// Arguments for Claude Code
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    pub args: Vec<OsString>,
}

/// `install`
#[derive(Clone, Debug, Default, Args)]
#[allow(clippy::struct_excessive_bools)] // one per flag
pub struct InstallArgs {
    /// Print what would change in every file, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// The settings file to put the base URL into, instead of Claude Code's user settings
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,
    /// Record hooks only: leave the way to the API alone
    #[arg(long)]
    pub no_proxy: bool,
    /// Do not register a service: start the daemon directly
    #[arg(long)]
    pub no_service: bool,
    /// Leave the MCP server out, which lets Claude ask about its own history
    #[arg(long)]
    pub no_mcp: bool,
    /// Leave the skill out, with which Claude finds out why a run went wrong
    #[arg(long)]
    pub no_skill: bool,
    /// Where the hooks go; `settings` for clients too old for plugin directories
    #[arg(long, value_name = "WHERE", default_value = "plugin")]
    pub hooks: HooksIn,
    /// Have interactive sessions ask the API for the text of Claude's thinking
    #[arg(long)]
    pub thinking: bool,
    /// Put our line into Claude Code's status line, too
    #[arg(long)]
    pub statusline: bool,
    /// Put it there even where another command has the place; `uninstall` puts that one back
    #[arg(long, requires = "statusline")]
    pub force: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Do not show first what will be done, and ask nothing
    #[arg(long, short)]
    pub yes: bool,
    /// Nothing but the base URL: what `proxy install` asks for
    #[arg(skip)]
    pub only_proxy: bool,
    /// No hooks, because none would run
    #[arg(skip)]
    pub no_hooks: bool,
}

impl InstallArgs {
    /// Whether the hooks are registered, and what stands beside them.
    #[must_use]
    pub fn has_hooks(&self) -> bool {
        !self.only_proxy && !self.no_hooks
    }
}

/// Where the hooks are registered
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HooksIn {
    /// In a plugin directory of their own
    #[default]
    Plugin,
    /// In the settings file
    Settings,
}

/// `uninstall`
#[derive(Clone, Debug, Default, Args)]
#[allow(clippy::struct_excessive_bools)] // one per flag
pub struct UninstallArgs {
    /// Stop the daemon at once, even if running sessions still need it
    #[arg(long)]
    pub now: bool,
    /// Delete everything recorded, too; implies --now
    #[arg(long)]
    pub purge: bool,
    /// Show the sessions that still need the daemon, and wait until all is gone
    #[arg(long, conflicts_with = "now")]
    pub wait: bool,
    /// Remove what could not go while the daemon ran: what the daemon itself asks for at its end
    #[arg(long, hide = true)]
    pub finish: bool,
    /// Print what would change in every file, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// The name of a value as it is typed, which is also what the daemon is asked with.
pub fn name_of(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_clients_arguments_are_left_alone() {
        for line in [
            &["ccctl", "run", "--thinking", "--", "-p", "--json", "hi"][..],
            &["ccctl", "run", "--thinking", "-p", "--json", "hi"],
        ] {
            let Command::Run(args) = Cli::parse_from(line).command else { panic!() };
            assert!(args.thinking);
            assert_eq!(args.args, ["-p", "--json", "hi"]);
        }
    }

    #[test]
    fn the_proxys_commands_have_help_and_completions() {
        let mut cli = Cli::command().term_width(100);
        let help = cli.find_subcommand_mut("proxy").unwrap().render_help().to_string();
        insta::assert_snapshot!(help, @r"
        The way to the API: for one shell, for all sessions, or how it is

        Usage: proxy <COMMAND>

        Commands:
          serve      Print the line that sends a shell's sessions here, and show their requests until Ctrl-C
          status     Whether the proxy answers, who has its port, and whether Claude Code is sent there
          install    Send Claude Code's requests through ccd, and change nothing else
          uninstall  Take back what `proxy install` did, byte for byte
          help       Print this message or the help of the given subcommand(s)

        Options:
          -h, --help  Print help
        ");
        for (shell, word) in
            [(clap_complete::Shell::Bash, "ccctl__subcmd__proxy"), (clap_complete::Shell::Fish, "proxy")]
        {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "ccctl", &mut script);
            let script = String::from_utf8(script).unwrap();
            for part in [word, "serve", "fix"] {
                assert!(script.contains(part), "{shell}: {part}");
            }
        }
        let line = ["ccctl", "proxy", "serve", "--shell", "zsh"];
        let Command::Proxy(ProxyArgs { command: ProxyCommand::Serve(args) }) = Cli::parse_from(line).command
        else {
            panic!()
        };
        assert_eq!(args.shell, ShellName::Sh);
    }

    #[test]
    fn doctor_is_verify_and_usage_is_daily() {
        assert!(matches!(Cli::parse_from(["ccctl", "doctor"]).command, Command::Verify(_)));
        let Command::Usage(args) = Cli::parse_from(["ccctl", "usage", "--by", "model,tool"]).command else {
            panic!()
        };
        assert_eq!(args.period, Period::Daily);
        assert_eq!(args.by, [UsageKey::Model, UsageKey::Tool]);
    }
}
