//! `ccctl man [COMMAND]`: manual pages, made from the same definitions as `--help`.
//!
//! Must never hold a text of its own about a command or an option: what a page says stands in `args`. The same build
//! gives the same bytes, so that packages can be compared.

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::args::{Cli, ManArgs};
use crate::error::{CommandError, Result};
use crate::printer::Printer;

/// Prints one page as roff.
pub fn run(out: &mut Printer, args: &ManArgs) -> Result<()> {
    let root = built();
    let mut command = &root;
    for word in &args.command {
        command = command.find_subcommand(word).filter(|c| !c.is_hide_set()).ok_or_else(|| {
            CommandError::usage(format!("there is no command `ccctl {}`", args.command.join(" ")))
                .hint("`ccctl help` lists the commands")
        })?;
    }
    out.bytes(&page(&root, command)?)
}

/// Every page with the name of its file. Another name of a command gets a page that leads to the command's.
pub fn pages() -> Result<Vec<(String, Vec<u8>)>> {
    let root = built();
    let mut pages = Vec::new();
    collect(&root, &root, &mut pages)?;
    Ok(pages)
}

/// The command line, with the names that pages go by. What `help` can do stands in every page.
fn built() -> Command {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    root
}

fn collect(root: &Command, command: &Command, pages: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    let name = name(command);
    pages.push((format!("{name}.1"), page(root, command)?));
    for alias in command.get_all_aliases() {
        let other =
            name.rsplit_once('-').map_or_else(|| alias.to_owned(), |(head, _)| format!("{head}-{alias}"));
        pages.push((format!("{other}.1"), format!(".so man1/{name}.1\n").into_bytes()));
    }
    command.get_subcommands().filter(|c| !c.is_hide_set()).try_for_each(|c| collect(root, c, pages))
}

/// The page's name: `ccctl-store-backup`.
fn name(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

fn page(root: &Command, command: &Command) -> Result<Vec<u8>> {
    let name = name(command);
    let man = Man::new(command.clone());
    // The page has no date. `Man` leaves an empty one out, and all that follows would stand in the wrong place.
    let version = root.get_version().unwrap_or_default();
    let mut page = format!(".TH {name} 1 \"\" \"ccd {version}\" \"ccd, the flight recorder\"\n").into_bytes();
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if command.get_arguments().any(|a| !a.is_hide_set()) {
        man.render_options_section(&mut page)?;
    }
    if command.get_subcommands().any(|c| !c.is_hide_set()) {
        man.render_subcommands_section(&mut page)?;
    }
    let mut rest = Roff::new();
    if let Some(codes) = root.get_after_help() {
        rest.control("SH", ["EXIT STATUS"]);
        rest.text([roman(codes.to_string())]);
    }
    rest.control("SH", ["SEE ALSO"]);
    let parent = name.rsplit_once('-').map_or("cc-hook", |(head, _)| head);
    rest.text([bold(parent), roman("(1), "), bold("ccd"), roman("(8)")]);
    rest.to_writer(&mut page)?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(name: &str) -> String {
        let (_, page) = pages().unwrap().into_iter().find(|(n, _)| n == name).unwrap();
        String::from_utf8(page).unwrap()
    }

    /// Every command that `--help` shows, as it is typed.
    fn typed(command: &Command, words: &[String], all: &mut Vec<Vec<String>>) {
        all.push(words.to_vec());
        for inner in command.get_subcommands().filter(|c| !c.is_hide_set()) {
            typed(inner, &[words, &[inner.get_name().to_owned()]].concat(), all);
        }
    }

    #[test]
    fn every_command_has_a_page_with_all_its_options() {
        let root = built();
        let mut commands = Vec::new();
        typed(&root, &[], &mut commands);
        assert!(commands.len() > 25, "{commands:?}");
        let pages = pages().unwrap();
        for words in commands {
            let (mut out, text, _) = Printer::captured(80);
            run(&mut out, &ManArgs { command: words.clone() }).unwrap();
            let file = format!("{}.1", [&["ccctl".to_owned()], &words[..]].concat().join("-"));
            let (_, page) = pages.iter().find(|(name, _)| *name == file).unwrap();
            assert_eq!(text.bytes(), *page, "{file}");
            let command = words.iter().fold(&root, |c, word| c.find_subcommand(word).unwrap());
            // A hyphen that stands for itself is escaped.
            let plain = text.text().replace("\\-", "-");
            for long in command.get_arguments().filter(|a| !a.is_hide_set()).filter_map(|a| a.get_long()) {
                assert!(plain.contains(&format!("--{long}")), "{file}: --{long}");
            }
        }
    }

    #[test]
    fn a_page_names_itself_its_version_and_its_neighbours() {
        let page = text_of("ccctl-store-backup.1");
        assert!(
            page.contains(&format!(".TH ccctl-store-backup 1 \"\" \"ccd {}\"", ccd_proto::VERSION)),
            "{page}"
        );
        assert!(page.contains("\\fBccctl\\-store\\fR(1), \\fBccd\\fR(8)"), "{page}");
        assert!(text_of("ccctl.1").contains("3 the daemon is not running"));
        assert_eq!(text_of("ccctl-doctor.1"), ".so man1/ccctl-verify.1\n");
    }

    #[test]
    fn an_unknown_command_is_wrong_usage() {
        let (mut out, text, _) = Printer::captured(80);
        for words in [&["nothing"][..], &["store", "nothing"], &["package-files"]] {
            let args = ManArgs { command: words.iter().map(|&w| w.to_owned()).collect() };
            assert_eq!(run(&mut out, &args).unwrap_err().exit_code(), 2, "{words:?}");
        }
        assert_eq!(text.text(), "");
    }
}
