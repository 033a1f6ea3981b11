//! `export`: what can be typed after it. Only shapes, as all of `args`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::QueryArgs;

/// A form that what was recorded is exported in
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportFormat {
    /// One session as one page that needs nothing else: no script, no network
    #[default]
    Html,
    /// One JSON object per line, with all fields: sessions, turns, spans, exchanges, detections
    Jsonl,
    /// One table for a spreadsheet
    Csv,
    /// The exchanges as an HTTP Archive, which browsers' developer tools open
    Har,
    /// OpenTelemetry's JSON lines: one trace per turn
    Otlp,
}

/// A table of CSV
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportTable {
    /// Agents, model calls and tool calls. Tokens and cost of an agent are sums: add up those of kind `llm` only
    #[default]
    Spans,
    /// Sessions
    Sessions,
    /// Turns
    Turns,
    /// Requests to the API
    Exchanges,
    /// Tokens and cost by day and model
    Usage,
    /// What the detectors found
    Detections,
}

/// How much of what was captured goes along
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportContent {
    /// Figures, names and ids: nothing that somebody or something wrote
    None,
    /// Prompts, answers, thinking, tools' inputs and outputs
    #[default]
    Text,
    /// Headers and bodies of requests and answers as well
    Full,
}

/// A type of line
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportKind {
    /// Sessions
    Session,
    /// Turns
    Turn,
    /// Spans
    Span,
    /// Exchanges
    Exchange,
    /// Detections
    Detection,
    /// What was done about detections
    Intervention,
    /// Hook events and transcripts as they came; only where they are asked for
    Record,
}

/// How a file is made smaller
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// As the file's name says, else zstd
    Auto,
    /// Zstandard
    Zstd,
    /// gzip
    Gzip,
}

/// `export`
#[derive(Clone, Debug, Default, Args)]
#[allow(clippy::struct_excessive_bools)] // one per flag
#[command(
    after_help = "Without -o, a pipe is written to; at a terminal, a page makes a file ccd-SESSION-DATE.html here.\n\
                  An export with -o that is interrupted leaves FILE.part; the same command with --resume goes on.\n\
                  --limit is one of sessions. CSV: text that a spreadsheet would take for a formula has a ' before it.\n\
                  Images in a page are shown as they were captured: look at them before you pass the file on."
)]
pub struct ExportArgs {
    /// What every query takes
    #[command(flatten)]
    pub query: QueryArgs,
    /// The form; without it, what the name after -o ends in tells it, else a page
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<ExportFormat>,
    /// Where to: a file that is not there yet, a directory, or - for stdout
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Of CSV: the table
    #[arg(long, value_name = "TABLE")]
    pub table: Option<ExportTable>,
    /// Of JSON lines: only these types
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    pub kinds: Vec<ExportKind>,
    /// How much of what was captured goes along: `text` unless said, `none` with OTLP
    #[arg(long, value_name = "HOW-MUCH")]
    pub content: Option<ExportContent>,
    /// Make it smaller: by the name's end (.zst, .gz), or as this says
    #[arg(long, value_name = "WITH", num_args = 0..=1, default_missing_value = "auto")]
    pub compress: Option<Compression>,
    /// Go on with an export that was interrupted; with --force, it takes the place of a file that is there
    #[arg(long)]
    pub resume: bool,
    /// Take the place of a file that is there; without -o, write to the terminal
    #[arg(long)]
    pub force: bool,
    /// Of a page: long texts whole, which are cut otherwise
    #[arg(long)]
    pub full: bool,
    /// As it is on record, with credentials, names and paths
    #[arg(long)]
    pub reveal: bool,
    /// Print the JSON Schema of the lines of `--format jsonl`, and do nothing else
    #[arg(long)]
    pub schema: bool,
}
