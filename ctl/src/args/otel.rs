//! `export-otel`: what can be typed after it. Only shapes, as all of `args`.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};

use super::QueryArgs;

/// How requests are written
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OtelProtocol {
    /// Protobuf over HTTP
    #[value(name = "http/protobuf")]
    Protobuf,
    /// JSON over HTTP
    #[value(name = "http/json")]
    Json,
}

/// How bodies are compressed
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OtelCompression {
    /// With gzip
    Gzip,
    /// Not at all
    None,
}

/// How much of what was said goes along
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OtelContent {
    /// Names and figures
    #[default]
    None,
    /// And prompts, answers with their thinking, and errors
    #[value(alias = "prompts")]
    Text,
    /// And what tools were given and answered, and the system prompt
    Full,
}

/// `export-otel`
#[derive(Clone, Debug, Default, Args)]
#[command(
    after_help = "Without -e, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or OTEL_EXPORTER_OTLP_ENDPOINT says where to; the variables \
                        for headers, protocol, compression, timeout and the service's name are heeded, too.\n\
                        Ids stay the same: whoever gets a turn twice can know it again. Credentials are taken out."
)]
#[allow(clippy::struct_excessive_bools)] // one per flag
pub struct ExportOtelArgs {
    /// Which turns: --limit is the newest so many
    #[command(flatten)]
    pub query: QueryArgs,
    /// Where to; /v1/traces is added unless the path ends so
    #[arg(short, long, value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    pub endpoint: Option<String>,
    /// A header to send along; may be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE")]
    pub headers: Vec<String>,
    /// How requests are written [default: http/protobuf]
    #[arg(long, value_name = "PROTOCOL")]
    pub protocol: Option<OtelProtocol>,
    /// How bodies are compressed [default: gzip]
    #[arg(long, value_name = "HOW")]
    pub compress: Option<OtelCompression>,
    /// How much of what was said goes along
    #[arg(long, value_name = "LEVEL", default_value = "none")]
    pub content: OtelContent,
    /// The service's name [default: claude-code]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub service_name: Option<String>,
    /// Tell this machine's name
    #[arg(long)]
    pub host_name: bool,
    /// The GenAI conventions by which attributes are spelt: 1.41 or 1.44
    #[arg(long, value_name = "VERSION", value_parser = ["1.41", "1.44"])]
    pub semconv: Option<String>,
    /// Turns that still run, too, as far as they are
    #[arg(long)]
    pub running: bool,
    /// Plain HTTP to another machine, where everybody on the way can read it
    #[arg(long)]
    pub allow_http: bool,
    /// How long one request may take, in seconds [default: 60]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: Option<u64>,
    /// How long to wait in all for an endpoint that fails, in seconds [default: 60]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=86400))]
    pub retry_for: Option<u64>,
    /// Send nothing, and say what would be
    #[arg(long)]
    pub dry_run: bool,
}
