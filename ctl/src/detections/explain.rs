//! What a kind of detection is: its doc page, as the detectors carry it.

use ccd_detect::Kind;
use ccd_detect::detectors::{MAST, explain};
use serde::Serialize;

use crate::analyze::wrap;
use crate::error::{CommandError, Result};
use crate::printer::{Printer, Tone};

/// The page about what is covered of MAST's list.
const LIST: &str = "mast";

#[derive(Serialize)]
struct Page<'a> {
    kind: &'a str,
    /// Markdown.
    page: &'a str,
}

#[derive(Serialize)]
struct Pages<'a> {
    pages: Vec<Page<'a>>,
}

/// Prints the page of a kind, or a line for each kind.
pub(super) fn run(out: &mut Printer, kind: Option<&str>, json: bool) -> Result<()> {
    let kinds = || Kind::ALL.into_iter().map(|kind| (kind.as_str(), explain(kind).unwrap_or_default()));
    let all: Vec<(&str, &str)> = kinds().chain([(LIST, MAST)]).collect();
    let Some(name) = kind else {
        if json {
            return out
                .json(&Pages { pages: all.into_iter().map(|(kind, page)| Page { kind, page }).collect() });
        }
        for (name, page) in all {
            let head = format!("{name:13}  ");
            for (at, line) in wrap(&head, &first_sentence(page), out.width()).iter().enumerate() {
                let (head, rest) = line.split_at(if at == 0 { head.len() } else { 0 });
                out.line(format!("{}{rest}", out.paint(Tone::Strong, head)))?;
            }
        }
        return out.line(
            "\n`ccctl detections --explain KIND` tells its rules, what to do, and what it does not see",
        );
    };
    let page = all.iter().find(|(known, _)| *known == name).map(|(_, page)| *page).ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
        CommandError::usage(format!("there is no kind `{name}`"))
            .hint(format!("there are {}", names.join(", ")))
    })?;
    if json {
        return out.json(&Page { kind: name, page });
    }
    out.line(page.trim_end())
}

/// What a page begins with below its title, up to the first full stop or bracket.
fn first_sentence(page: &str) -> String {
    let text: Vec<&str> =
        page.lines().skip(1).skip_while(|line| line.is_empty()).take_while(|line| !line.is_empty()).collect();
    let text = text.join(" ");
    let end = text.find(" (").into_iter().chain(text.find(". ")).min();
    text[..end.unwrap_or(text.len())].trim_end_matches('.').to_owned()
}
