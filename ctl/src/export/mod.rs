//! `ccctl export`: what was recorded, taken elsewhere. The daemon makes the file; it is written here as it comes.
//!
//! Must never write over a file unless it is told to, follow a link that somebody laid there, leave a file that others can
//! read, or leave one that is cut off and looks whole.

mod bulk;
mod frames;
mod page;
mod part;
mod squeeze;

use std::path::Path;

use crate::args::{ExportArgs, ExportFormat};
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::printer::Printer;

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &ExportArgs) -> Result<()> {
    if args.schema {
        return out.bytes(ccd_proto::api::EXPORT_SCHEMA.as_bytes());
    }
    let format = args.format.unwrap_or_else(|| by_name(args.output.as_deref()));
    let only = |flag: &str, of: &str| Err(CommandError::usage(format!("{flag} is for --format {of}")));
    match format {
        ExportFormat::Html => {
            if args.table.is_some() {
                return only("--table", "csv");
            }
            if !args.kinds.is_empty() {
                return only("--kinds", "jsonl");
            }
            let others = [args.compress.is_some(), args.resume, args.query.json, args.content.is_some()];
            let ranges = [args.query.since.is_some(), args.query.until.is_some(), args.query.limit.is_some()];
            if others.into_iter().chain(ranges).any(|given| given) || args.query.project.is_some() {
                return Err(CommandError::usage(
                    "a page shows one session: it takes --session, --full, --reveal, -o and --force",
                )
                .hint("the other options are for --format jsonl, csv, har and otlp"));
            }
            page::run(env, out, args)
        }
        _ if args.full => {
            only("--full", "html").map_err(|e: CommandError| e.hint("--content full has the bodies"))
        }
        format => bulk::run(env, out, args, format),
    }
}

/// The form that a file's name tells.
fn by_name(output: Option<&Path>) -> ExportFormat {
    let name = output.and_then(Path::file_name).unwrap_or_default().to_string_lossy().to_lowercase();
    let name = name.strip_suffix(".zst").or_else(|| name.strip_suffix(".gz")).unwrap_or(&name);
    let ends = [
        (".otlp.jsonl", ExportFormat::Otlp),
        (".otlp.json", ExportFormat::Otlp),
        (".jsonl", ExportFormat::Jsonl),
        (".ndjson", ExportFormat::Jsonl),
        (".csv", ExportFormat::Csv),
        (".har", ExportFormat::Har),
    ];
    ends.iter().find(|(end, _)| name.ends_with(end)).map_or(ExportFormat::Html, |(_, format)| *format)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_form() {
        for (name, want) in [
            ("a.jsonl", ExportFormat::Jsonl),
            ("a.jsonl.zst", ExportFormat::Jsonl),
            ("x/A.HAR.gz", ExportFormat::Har),
            ("a.otlp.jsonl", ExportFormat::Otlp),
            ("a.csv", ExportFormat::Csv),
            ("a.html", ExportFormat::Html),
            ("a", ExportFormat::Html),
        ] {
            assert_eq!(by_name(Some(Path::new(name))), want, "{name}");
        }
    }
}
