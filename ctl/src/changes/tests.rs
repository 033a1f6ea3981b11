//! Changes are taken back exactly: wherever the run was killed, and whoever changed the file meanwhile.

use super::*;
use crate::settings::{BASE_URL, Wanted};
use crate::testing::{Home, TOKEN};
use ccd_proto::paths::base_url;
use proptest::prelude::*;

fn journal(layout: &Layout) -> Journal<'_> {
    files::make_dirs(&layout.state_dir).unwrap();
    Journal::open(layout, Some(TOKEN.into())).unwrap()
}

/// Plans our base URL into a settings file, as `install` does.
fn plan(journal: &Journal<'_>, path: &Path, port: u16) -> Planned {
    let current = files::read(path).unwrap();
    let original = journal.base(FileKind::Settings, path, current.as_deref()).unwrap();
    let mut wanted = Wanted::default();
    wanted.env.insert(BASE_URL.into(), base_url(&format!("127.0.0.1:{port}"), TOKEN));
    let merged = Document::read(original.as_deref().unwrap_or_default()).unwrap().merged(&wanted).unwrap();
    Planned {
        kind: FileKind::Settings,
        path: path.to_owned(),
        original,
        current,
        target: Some(merged.bytes()),
        written: wanted.written(),
    }
}

fn own(path: PathBuf) -> Planned {
    Planned {
        kind: FileKind::Own,
        path,
        original: None,
        current: None,
        target: Some(b"ours".to_vec()),
        written: Written::default(),
    }
}

fn uninstall(layout: &Layout) {
    let mut journal = journal(layout);
    let paths: Vec<_> = journal.manifest.files.iter().map(|c| c.path.clone()).collect();
    for path in paths {
        journal.undo(&path).unwrap();
    }
    journal.remove_directories().unwrap();
    journal.close().unwrap();
}

#[test]
fn a_change_can_be_taken_back_wherever_it_was_killed() {
    for before in [None, Some("{\"env\":{\"ANTHROPIC_BASE_URL\":\"https://gw\"}}"), Some("{ }\r\n")] {
        for fuse in 0.. {
            let home = Home::new();
            if let Some(text) = before {
                home.write(".claude/settings.json", text);
            }
            let was = home.foreign_files();
            let layout = home.env().layout;
            let mut journal = journal(&layout);
            journal.fuse = Some(fuse);
            let settings = home.path().join(".claude/settings.json");
            let done = (|| {
                journal.apply(&own(home.path().join(".claude/skills/ccd/hooks/hooks.json")))?;
                let planned = plan(&journal, &settings, 1);
                journal.apply(&planned)?;
                // A second installation, on another port.
                let planned = plan(&journal, &settings, 2);
                journal.apply(&planned)
            })();
            drop(journal);
            uninstall(&layout);
            assert_eq!(home.foreign_files(), was, "killed after {fuse} steps, before: {before:?}");
            assert!(!layout.install_manifest().exists());
            if done.is_ok() {
                break;
            }
        }
    }
}

#[test]
fn taking_back_can_be_killed_too() {
    for fuse in 0..4 {
        let home = Home::new();
        home.write(".claude/settings.json", "{\"a\": 1}");
        let was = home.foreign_files();
        let layout = home.env().layout;
        let mut first = journal(&layout);
        let settings = home.path().join(".claude/settings.json");
        let planned = plan(&first, &settings, 1);
        first.apply(&planned).unwrap();
        first.fuse = Some(fuse);
        let _ = first.undo(&settings);
        drop(first);
        uninstall(&layout);
        assert_eq!(home.foreign_files(), was, "killed after {fuse} steps");
    }
}

#[test]
fn a_second_installation_keeps_the_first_original() {
    let home = Home::new();
    let settings = home.write("settings.json", "{\"a\":  1}");
    let layout = home.env().layout;
    let mut journal = journal(&layout);
    assert!(journal.apply(&plan(&journal, &settings, 1)).unwrap());
    assert!(!journal.apply(&plan(&journal, &settings, 1)).unwrap(), "nothing left to do");
    assert!(journal.apply(&plan(&journal, &settings, 2)).unwrap());
    assert_eq!(journal.undo(&settings).unwrap(), Undone::Restored);
    assert_eq!(home.read("settings.json").unwrap(), "{\"a\":  1}");
}

#[test]
fn what_somebody_else_changed_survives_a_second_installation_and_the_end() {
    let home = Home::new();
    let settings = home.write("settings.json", "{\n  \"a\": 1\n}\n");
    let layout = home.env().layout;
    let mut journal = journal(&layout);
    journal.apply(&plan(&journal, &settings, 1)).unwrap();
    let changed = home.read("settings.json").unwrap().replace("\"a\": 1", "\"a\": 2");
    std::fs::write(&settings, &changed).unwrap();
    journal.apply(&plan(&journal, &settings, 2)).unwrap();
    assert!(home.read("settings.json").unwrap().contains("\"a\": 2"));
    journal.undo(&settings).unwrap();
    assert_eq!(home.read("settings.json").unwrap(), "{\n  \"a\": 2\n}\n");
}

#[test]
fn a_file_that_became_somebody_elses_is_not_deleted() {
    let home = Home::new();
    let settings = home.path().join(".claude/settings.json");
    let layout = home.env().layout;
    let mut journal = journal(&layout);
    journal.apply(&plan(&journal, &settings, 1)).unwrap();
    let mut value: serde_json::Value = serde_json::from_slice(&std::fs::read(&settings).unwrap()).unwrap();
    value["model"] = "opus".into();
    std::fs::write(&settings, serde_json::to_string_pretty(&value).unwrap()).unwrap();
    assert_eq!(journal.undo(&settings).unwrap(), Undone::TakenOut);
    assert_eq!(home.read(".claude/settings.json").unwrap(), "{\n  \"model\": \"opus\"\n}");
    assert_eq!(journal.remove_directories().unwrap(), [home.path().join(".claude")]);
}

#[test]
fn a_deleted_file_stays_deleted() {
    let home = Home::new();
    let settings = home.write("settings.json", "{}");
    let layout = home.env().layout;
    let mut journal = journal(&layout);
    journal.apply(&plan(&journal, &settings, 1)).unwrap();
    std::fs::remove_file(&settings).unwrap();
    assert_eq!(journal.undo(&settings).unwrap(), Undone::Nothing);
    assert!(!settings.exists());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn installing_and_uninstalling_changes_no_byte(text in prop::option::of(prop_oneof![
        Just(String::new()),
        Just("\u{feff}".to_owned()),
        Just("\u{feff}{}".to_owned()),
        Just(" \n".to_owned()),
        "(\u{feff})?\\{[ \t\r\n]{0,4}(\"env\"[ ]?:[ ]?\\{(\"A\": ?\"[a-z]{0,3}\")?\\},)?[ \r\n]{0,3}\"model\": \"[a-z]{0,5}\"[ \r\n]{0,3}\\}[\r\n]{0,3}",
    ])) {
        let home = Home::new();
        let path = home.path().join(".claude/settings.json");
        if let Some(text) = &text {
            home.write(".claude/settings.json", text);
        }
        let was = home.foreign_files();
        let layout = home.env().layout;
        let mut journal = journal(&layout);
        let planned = plan(&journal, &path, 1);
        journal.apply(&planned).unwrap();
        prop_assert!(home.read(".claude/settings.json").unwrap().contains(TOKEN));
        drop(journal);
        uninstall(&layout);
        prop_assert_eq!(home.foreign_files(), was);
    }
}
