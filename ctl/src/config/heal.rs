//! `[heal]` in the daemon's `config.toml`: how far ccd goes, everywhere and in single directories.

use toml_edit::{Item, Table, TableLike, value};

use super::{parse, put, text};
use crate::error::{CommandError, Result};

/// The configuration with a mode changed: a directory's, or where no directory says otherwise.
pub fn with_mode(bytes: &[u8], project: Option<&str>, mode: &str) -> Result<Vec<u8>> {
    let mut document = parse(text(bytes)?)?;
    let heal = table(document.as_table_mut(), "heal", "heal", false)?;
    let place = match project {
        None => heal,
        Some(dir) => {
            // Only the tables of the directories have headings.
            let projects = table(heal, "projects", "heal.projects", true)?;
            table(projects, dir, "heal.projects", false)?
        }
    };
    put(place, "mode", Some(value(mode)));
    Ok(document.to_string().into_bytes())
}

fn table<'a>(
    parent: &'a mut dyn TableLike,
    key: &str,
    name: &str,
    implicit: bool,
) -> Result<&'a mut dyn TableLike> {
    let fresh = || {
        let mut table = Table::new();
        table.set_implicit(implicit);
        Item::Table(table)
    };
    parent
        .entry(key)
        .or_insert_with(fresh)
        .as_table_like_mut()
        .ok_or_else(|| CommandError::failed(format!("config.toml: `{name}` is no table")))
}

/// The mode that a configuration names: a directory's own, or where no directory says otherwise.
pub fn mode_in(bytes: &[u8], project: Option<&str>) -> Result<Option<String>> {
    let document = parse(text(bytes)?)?;
    let heal = document.get("heal");
    let place = match project {
        None => heal,
        Some(dir) => heal.and_then(|heal| heal.get("projects")).and_then(|projects| projects.get(dir)),
    };
    Ok(place.and_then(|place| place.get("mode")).and_then(Item::as_str).map(ToOwned::to_owned))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with(file: &str, project: Option<&str>, mode: &str) -> String {
        String::from_utf8(with_mode(file.as_bytes(), project, mode).unwrap()).unwrap()
    }

    #[test]
    fn the_mode_is_set_and_the_rest_stays() {
        let before =
            "# mine\nlog = \"debug\"   # loud\n\n[heal]\nseverity = 60 # less\nmode = \"advise\" # for now\n";
        let after = with(before, None, "guard");
        assert_eq!(after, before.replace("\"advise\"", "\"guard\""));
        let after = with(&after, Some("/w/a b.c"), "off");
        assert!(after.starts_with(&before.replace("\"advise\"", "\"guard\"")), "{after}");
        assert!(after.ends_with("\n[heal.projects.\"/w/a b.c\"]\nmode = \"off\"\n"), "{after}");
        assert_eq!(mode_in(after.as_bytes(), Some("/w/a b.c")).unwrap().as_deref(), Some("off"));
        assert_eq!(mode_in(after.as_bytes(), Some("/w")).unwrap(), None);
        assert_eq!(mode_in(after.as_bytes(), None).unwrap().as_deref(), Some("guard"));
        assert_eq!(with("", None, "off"), "[heal]\nmode = \"off\"\n");
        assert!(
            with("heal = { severity = 1 }\n", Some("/w"), "off").contains("projects"),
            "an inline table will do"
        );
    }

    #[test]
    fn a_file_that_makes_no_sense_is_left_alone() {
        for file in ["heal = 3", "[heal]\nprojects = 1", "[heal.projects]\n\"/w\" = 1", "= 1"] {
            assert_eq!(with_mode(file.as_bytes(), Some("/w"), "off").unwrap_err().exit_code(), 1, "{file}");
        }
    }

    proptest! {
        #[test]
        fn any_directory_is_found_again(dir in "/\\PC{0,30}", mode in "off|advise|guard") {
            let file = with_mode(b"[heal]\nmode = \"off\"\n", Some(&dir), &mode).unwrap();
            prop_assert_eq!(mode_in(&file, Some(&dir)).unwrap(), Some(mode));
        }
    }
}
