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

/// The client's own edit, as it makes it: all of it is read, one key is set, all of it is written.
fn edit(path: &Path) {
    let read = |bytes: Vec<u8>| serde_json::from_slice(&bytes).unwrap_or_else(|_| serde_json::json!({}));
    let mut value: serde_json::Value = std::fs::read(path).map_or_else(|_| serde_json::json!({}), read);
    value["edited"] = true.into();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, serde_json::to_string_pretty(&value).unwrap()).unwrap();
}

#[test]
fn an_edit_of_the_clients_between_any_two_steps_is_never_lost() {
    for before in [None, Some("{}"), Some("{\r\n  \"model\": \"opus\"\r\n}")] {
        for at in 0..12 {
            let home = Home::new();
            if let Some(text) = before {
                home.write(".claude/settings.json", text);
            }
            let settings = home.path().join(".claude/settings.json");
            let layout = home.env().layout;
            let mut journal = journal(&layout);
            let path = settings.clone();
            journal.meddler = Some((at, Box::new(move || edit(&path))));
            loop {
                let planned = plan(&journal, &settings, 1);
                match journal.apply(&planned) {
                    Err(e) => assert_eq!(e.kind, Kind::Changed, "{e}"),
                    Ok(_) => break,
                }
            }
            assert!(home.read(".claude/settings.json").unwrap().contains(TOKEN));
            journal.undo(&settings).unwrap();
            if journal.meddler.take().is_some() {
                continue;
            }
            let left: serde_json::Value =
                serde_json::from_str(&home.read(".claude/settings.json").unwrap()).unwrap();
            assert_eq!(left["edited"], true, "after {at} steps, before: {before:?}");
            assert!(!left.to_string().contains(TOKEN), "{left}");
        }
    }
}

#[test]
fn large_deep_and_empty_files_come_back_byte_for_byte() {
    let large = format!("{{\n  \"a\": [\n{}    0\n  ]\n}}\n", "    \"0123456789abcdef\",\n".repeat(240_000));
    let deep = format!("{{\"a\": {}1{}}}", "[".repeat(100), "]".repeat(100));
    assert!(large.len() > 5_000_000);
    for text in [large.as_str(), &deep, "", "\n"] {
        let home = Home::new();
        let settings = home.write(".claude/settings.json", text);
        let was = home.foreign_files();
        let layout = home.env().layout;
        let mut journal = journal(&layout);
        let planned = plan(&journal, &settings, 1);
        assert!(journal.apply(&planned).unwrap());
        drop(journal);
        uninstall(&layout);
        assert!(home.foreign_files() == was, "{} bytes", text.len());
    }
}

/// How a settings file lies where it lies.
#[derive(Clone, Copy, Debug)]
enum Form {
    Plain,
    Relative,
    Absolute,
    Chain,
    Directory,
}

/// Makes it, and gives the file's own place.
fn laid(home: &Home, form: Form, text: &str) -> PathBuf {
    use std::os::unix::fs::symlink;
    let claude = home.path().join(".claude");
    let link = claude.join("settings.json");
    if matches!(form, Form::Directory) {
        let real = home.write("dotfiles/claude/settings.json", text);
        symlink("dotfiles/claude", claude).unwrap();
        return real;
    }
    if matches!(form, Form::Plain) {
        return home.write(".claude/settings.json", text);
    }
    std::fs::create_dir(&claude).unwrap();
    let real = home.write("dotfiles/settings.json", text);
    match form {
        Form::Relative => symlink("../dotfiles/settings.json", link).unwrap(),
        Form::Absolute => symlink(&real, link).unwrap(),
        _ => {
            symlink("second", link).unwrap();
            symlink("../dotfiles/settings.json", claude.join("second")).unwrap();
        }
    }
    real
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn links_and_modes_stay_and_what_may_not_be_written_is_not(
        form in prop_oneof![Just(Form::Plain), Just(Form::Relative), Just(Form::Absolute), Just(Form::Chain), Just(Form::Directory)],
        mode in prop_oneof![Just(0o600), Just(0o644), Just(0o640), Just(0o755), Just(0o200), Just(0o444), Just(0o400)],
        text in prop_oneof![Just(""), Just("{}"), Just("{\r\n\t\"model\": \"opus\"\r\n}"), Just("\u{feff}{ }\n")],
    ) {
        use std::os::unix::fs::PermissionsExt;
        let home = Home::new();
        let real = laid(&home, form, text);
        std::fs::set_permissions(&real, PermissionsExt::from_mode(mode)).unwrap();
        let link = home.path().join(".claude/settings.json");
        let leads = |path: &Path| std::fs::read_link(path).ok();
        let was = (leads(&link), leads(link.parent().unwrap()));
        let path = files::resolve(&link, &[home.path().to_owned()]).unwrap();
        prop_assert_eq!(&path, &real.canonicalize().unwrap());
        let layout = home.env().layout;
        let mut journal = journal(&layout);
        // Without the right to read, nothing is planned; root reads everything.
        let Ok(_) = files::read(&path) else { return Ok(()) };
        let done = journal.apply(&plan(&journal, &path, 1));
        prop_assert_eq!(done.is_ok(), mode & 0o200 != 0);
        drop(journal);
        uninstall(&layout);
        prop_assert_eq!(std::fs::read(&real).unwrap(), text.as_bytes());
        prop_assert_eq!(real.metadata().unwrap().permissions().mode() & 0o7777, mode);
        prop_assert_eq!((leads(&link), leads(link.parent().unwrap())), was);
        let beside = std::fs::read_dir(real.parent().unwrap()).unwrap().count();
        prop_assert_eq!(beside, 1, "nothing is left beside it");
    }

    #[test]
    fn what_the_client_could_not_read_is_not_touched(
        head in "[ \n]{0,2}", comment in prop_oneof![Just("// x\n"), Just("/* x */"), Just("")],
        key in "[a-z]{1,4}", comma in prop_oneof![Just(","), Just("")], tail in prop_oneof![Just("}"), Just(""), Just("}}")],
    ) {
        let text = format!("{head}{{{comment}\"{key}\": 1{comma}{tail}");
        let strict = serde_json::from_str::<serde_json::Value>(&text).is_ok();
        let home = Home::new();
        let path = home.write(".claude/settings.json", &text);
        prop_assert_eq!(Document::read(text.as_bytes()).is_ok(), strict);
        let layout = home.env().layout;
        let journal = journal(&layout);
        prop_assert_eq!(journal.base(FileKind::Settings, &path, Some(text.as_bytes())).is_ok(), strict);
        prop_assert_eq!(home.read(".claude/settings.json").unwrap(), text);
    }

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
