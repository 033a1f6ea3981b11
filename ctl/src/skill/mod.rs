//! The skill: how a model finds out from the recordings why a run went wrong, and writes a guardrail from it.
//!
//! One text for Claude Code (in the plugin, called `/ccd:diagnose`) and for Codex (`ccd-diagnose`), rendered for an
//! installation. Must name only commands that exist, and must say that what is recorded is data.

use std::path::PathBuf;

use crate::env::Env;
use crate::error::{CommandError, Result};

const TEXT: &str = include_str!("SKILL.md");

/// The skill's name in the plugin, whose own name stands before it.
pub const IN_PLUGIN: &str = "diagnose";
/// Its name where it stands alone.
pub const ALONE: &str = "ccd-diagnose";

/// The skill for this installation, under this name.
pub fn file(env: &Env, name: &str) -> Result<String> {
    let program = env.program("ccctl")?;
    let program = program.to_str().ok_or_else(|| {
        CommandError::failed(format!("{} is not UTF-8, and cannot stand in a text", program.display()))
    })?;
    // Without it, the program would look for the daemon elsewhere.
    let home = env.text("CCD_HOME").map(|dir| format!(" Set `CCD_HOME={dir}` for it.")).unwrap_or_default();
    let text = TEXT.replace("{name}", name).replace("{program}", program).replace("{home}", &home);
    Ok(format!("{text}\n{}\n", mark(env)))
}

/// The last line, by which a skill of this installation is known again.
#[must_use]
pub fn mark(env: &Env) -> String {
    format!(
        "<!-- Written by `ccctl install` for {}; removed by `ccctl uninstall` -->",
        env.layout.state_dir.display()
    )
}

/// Whether a file is the skill of some installation.
#[must_use]
pub fn is_one(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let last = text.trim_end().lines().last().unwrap_or_default();
    last.starts_with("<!-- Written by `ccctl install` for ")
}

/// Whether a file is the skill of this installation.
#[must_use]
pub fn is_ours(env: &Env, bytes: &[u8]) -> bool {
    String::from_utf8_lossy(bytes).trim_end().ends_with(&mark(env))
}

/// Codex's own directory, where Codex is used.
#[must_use]
pub fn codex_home(env: &Env) -> Option<PathBuf> {
    let named = env.var("CODEX_HOME").map(|dir| env.cwd.join(dir));
    named.or_else(|| Some(env.home()?.join(".codex"))).filter(|dir| dir.is_dir())
}

/// Where the skill stands for Codex, where Codex is used.
#[must_use]
pub fn codex_path(env: &Env) -> Option<PathBuf> {
    codex_home(env).map(|dir| dir.join("skills").join(ALONE).join("SKILL.md"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Cli;
    use crate::mcp::tools::TOOLS;
    use crate::testing::Home;
    use clap::Parser;

    fn text() -> String {
        let home = Home::new();
        home.programs();
        file(&home.env(), IN_PLUGIN).unwrap()
    }

    /// Code: fenced lines, and what stands in backticks.
    fn code() -> Vec<String> {
        TEXT.lines().flat_map(|line| line.split('`').map(|piece| piece.trim().to_owned())).collect()
    }

    #[test]
    fn every_command_in_it_can_be_typed() {
        let commands: Vec<_> = code().into_iter().filter(|piece| piece.starts_with("ccctl ")).collect();
        assert!(commands.len() > 12, "{commands:?}");
        for command in &commands {
            let parsed = Cli::try_parse_from(command.split_whitespace());
            assert!(parsed.is_ok(), "{command}: {}", parsed.unwrap_err());
        }
        // A fence's line has nothing after its command that would be taken for prose.
        assert!(commands.iter().any(|c| c == "ccctl show SPAN --json --reasoning"), "{commands:?}");
    }

    #[test]
    fn it_names_the_tools_that_there_are() {
        for tool in TOOLS {
            assert!(TEXT.contains(&format!("`{}`", tool.name)), "{}", tool.name);
        }
    }

    /// The fields of the replies, by their names in JSON.
    #[test]
    fn the_fields_in_its_table_exist() {
        use ccd_proto::api::{Detection, Exchange, Hit, Session, Span, Turn};
        use serde_json::{Value, to_value};
        let of = |list: &str| -> Value {
            match list {
                "turns" => to_value(Turn::default()),
                "spans" => to_value(Span::default()),
                "sessions" => to_value(Session::default()),
                "detections" => to_value(Detection::default()),
                "hits" => to_value(Hit::default()),
                _ => to_value(Exchange::default()),
            }
            .unwrap()
        };
        let mut checked = 0;
        for row in TEXT.lines().filter(|line| line.starts_with("| `")) {
            let cell = row.split('|').nth(1).unwrap();
            let mut value = None;
            for name in cell.split('`').filter(|name| name.contains('.')) {
                let (list, path) = name.split_once('.').unwrap();
                if !list.is_empty() {
                    value = Some(of(list.trim_end_matches("[]")));
                }
                let found = value.as_ref().unwrap().pointer(&format!("/{}", path.replace('.', "/")));
                // These two are left out of a reply that was not asked for them.
                assert!(found.is_some() || ["input", "output"].contains(&path), "{name}");
                checked += 1;
            }
        }
        assert!(checked >= 15, "{checked}");
    }

    #[test]
    fn it_is_rendered_for_an_installation_and_known_again() {
        let home = Home::new();
        home.programs();
        let env = home.env();
        let text = text();
        assert!(text.starts_with("---\nname: diagnose\ndescription: "), "{text}");
        assert!(!text.contains("{program}") && !text.contains("{home}") && !text.contains("{name}"));
        let own = file(&env, ALONE).unwrap();
        assert!(own.contains("name: ccd-diagnose\n"));
        assert!(own.contains(&format!("`CCD_HOME={}`", home.path().join("ccd").display())));
        assert!(is_one(own.as_bytes()) && is_ours(&env, own.as_bytes()));
        assert!(is_one(text.as_bytes()) && !is_ours(&env, text.as_bytes()), "another installation's");
        assert!(!is_one(b"---\nname: diagnose\n---\n"));
        // What clients show of a skill is cut at this length.
        let description = own.lines().find(|line| line.starts_with("description: ")).unwrap();
        assert!(description.len() <= 1024, "{}", description.len());
    }
}
