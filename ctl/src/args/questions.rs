//! `files` and `tools`: what can be typed after them. Only shapes, as all of `args`.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::QueryArgs;

/// `files`
#[derive(Clone, Debug, Default, Args)]
pub struct FilesArgs {
    /// Only this file, as the list names it
    #[arg(value_name = "FILE", value_parser = NonEmptyStringValueParser::new())]
    pub path: Option<String>,
    /// The session; the head of its id is enough. By default the newest of this directory, else the newest
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub session: Option<String>,
    /// The difference that the session made, file by file
    #[arg(long)]
    pub diff: bool,
    /// Print one JSON object; with --diff, the files are in it as they were before and after
    #[arg(long)]
    pub json: bool,
}

/// `tools`
#[derive(Clone, Debug, Default, Args)]
pub struct ToolsArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Not before: 2026-11-01, 28d, 12h, today, yesterday, or RFC 3339
    #[arg(long, value_name = "WHEN")]
    pub since: Option<String>,
    /// Not after, in the same forms; a day includes all of it
    #[arg(long, value_name = "WHEN")]
    pub until: Option<String>,
    /// Only this session; the head of its id is enough
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub session: Option<String>,
    /// Only this project: the name of its directory
    #[arg(long, value_name = "NAME")]
    pub project: Option<String>,
}

impl ToolsArgs {
    /// The same, as every query takes it.
    #[must_use]
    pub fn query(&self) -> QueryArgs {
        let ToolsArgs { json, since, until, session, project } = self.clone();
        QueryArgs { json, since, until, limit: None, session, project }
    }
}
