//! What is found around an installation, one thing at a time.

use super::*;
use crate::testing::{Home, TOKEN};

fn found(home: &Home) -> Surroundings {
    let mut env = home.env();
    env.managed = home.path().join("etc");
    env.cwd = home.path().join("work/sub");
    Surroundings::find(&env, &[home.path().join(".claude/settings.json")])
}

fn with(path: &str, text: &str) -> Surroundings {
    let home = Home::new();
    home.write(path, text);
    found(&home)
}

#[test]
fn with_nothing_around_nothing_is_said() {
    assert_eq!(found(&Home::new()), Surroundings::default());
    let ours = format!(r#"{{"env":{{"ANTHROPIC_BASE_URL":"http://127.0.0.1:1/{TOKEN}"}}}}"#);
    let home = Home::new();
    home.programs();
    home.write(".claude/settings.json", &ours);
    home.write(".profile", format!("export ANTHROPIC_BASE_URL=http://127.0.0.1:1/{TOKEN}\n"));
    assert_eq!(found(&home), Surroundings::default());
}

#[test]
fn managed_settings_decide_what_works() {
    let managed = |text: &str| with("etc/managed-settings.json", text);
    for key in ["allowManagedHooksOnly", "disableAllHooks"] {
        let why = managed(&format!(r#"{{"{key}": true}}"#)).no_hooks.unwrap();
        assert!(why.contains("the administrator's") && why.contains(key), "{why}");
        assert_eq!(managed(&format!(r#"{{"{key}": false}}"#)), Surroundings::default());
    }
    for (text, hooks, plugin) in [
        (r#"{"strictPluginOnlyCustomization": true}"#, true, false),
        (r#"{"strictPluginOnlyCustomization": ["hooks"]}"#, true, false),
        (r#"{"strictPluginOnlyCustomization": ["skills"]}"#, false, true),
        (r#"{"strictPluginOnlyCustomization": ["agents"]}"#, false, false),
        (r#"{"strictKnownMarketplaces": []}"#, false, true),
        (r#"{"enabledPlugins": {"ccd@skills-dir": false}}"#, true, false),
    ] {
        let found = managed(text);
        assert_eq!((found.no_hooks.is_some(), found.no_plugin.is_some()), (hooks, plugin), "{text}");
    }
    let why = managed(r#"{"env": {"ANTHROPIC_BASE_URL": "https://gw.example"}}"#).no_requests.unwrap();
    assert!(why.contains("https://gw.example"), "{why}");
    assert!(
        managed(r#"{"disableSkillShellExecution": true}"#).notes[0].contains("disableSkillShellExecution")
    );
    assert!(managed("{ // no").notes[0].contains("does not parse"));
}

#[test]
fn later_files_of_the_managed_directory_win() {
    let home = Home::new();
    for (name, host) in [
        ("managed-settings.json", "a"),
        ("managed-settings.d/20.json", "c"),
        ("managed-settings.d/10.json", "b"),
    ] {
        home.write(
            &format!("etc/{name}"),
            format!(r#"{{"env": {{"ANTHROPIC_BASE_URL": "https://{host}.example"}}}}"#),
        );
    }
    home.write("etc/managed-settings.d/99.json.bak", r#"{"disableAllHooks": true}"#);
    let found = found(&home);
    assert!(found.no_requests.unwrap().contains("https://c.example"));
    assert_eq!(found.no_hooks, None);
}

#[test]
fn a_projects_files_count_where_the_client_reads_them() {
    let url = r#"{"env": {"ANTHROPIC_BASE_URL": "https://gw.example"}}"#;
    for (path, counts) in [
        ("work/sub/.claude/settings.json", true),
        ("work/sub/.claude/settings.local.json", true),
        ("work/.claude/settings.local.json", true),
        ("work/.claude/settings.json", false),
        (".claude/settings.local.json", false),
    ] {
        let home = Home::new();
        home.write("work/.git/HEAD", "");
        home.write(path, url);
        let notes = found(&home).notes;
        assert_eq!(
            notes.iter().any(|note| note.contains(path) && note.contains("past ccd")),
            counts,
            "{notes:?}"
        );
    }
    let off = with("work/sub/.claude/settings.json", r#"{"disableAllHooks": true}"#);
    assert!(off.notes[0].contains("no hook runs in this project") && off.no_hooks.is_none());
}

#[test]
fn hooks_and_proxies_of_others_are_named() {
    let hook = |command: &str| format!(r#"[{{"hooks":[{{"type":"command","command":"{command}"}}]}}]"#);
    let text = format!(
        r#"{{"hooks":{{"Stop":{},"PreToolUse":{}}},"env":{{"ANTHROPIC_BASE_URL":"http://localhost:4000"}}}}"#,
        hook("notify"),
        hook("python -m pisama.hook")
    );
    let stays = with(".claude/settings.json", &text).stays;
    assert!(
        stays[0].starts_with("2 hooks of yours stay: PreToolUse, Stop, those of pisama among them"),
        "{stays:?}"
    );
    assert!(
        stays[1].contains("another proxy on this machine") && stays[1].contains("localhost:4000"),
        "{stays:?}"
    );
    let named = |url: &str| recorder(url);
    assert_eq!(named("https://litellm.corp.example/v1"), Some("LiteLLM"));
    assert_eq!(named("https://api.anthropic.com"), None);
    assert_eq!(named("https://gw.example/127.0.0.1"), None);
}

#[test]
fn a_provider_of_its_own_takes_no_base_url() {
    let set = |value: &str| {
        with(".claude/settings.json", &format!(r#"{{"env":{{"CLAUDE_CODE_USE_BEDROCK":{value}}}}}"#))
    };
    assert!(set("\"1\"").no_requests.unwrap().contains("Amazon Bedrock"));
    assert!(set("1").no_requests.is_some());
    assert_eq!(set("\"0\"").no_requests, None);
    let shell = found(&Home::new().var("CLAUDE_CODE_USE_VERTEX", "true"));
    assert_eq!(shell.no_requests, None, "the next shell may be another");
    assert!(shell.notes[0].contains("Google Vertex AI"));
}

#[test]
fn start_up_files_of_shells_are_read() {
    for (text, wanted) in [
        ("export ANTHROPIC_BASE_URL=https://a\n", Some("https://a")),
        ("  ANTHROPIC_BASE_URL='https://a b' # x", Some("https://a b")),
        ("export ANTHROPIC_BASE_URL=\"https://a\"; echo", Some("https://a")),
        ("set -gx ANTHROPIC_BASE_URL https://a", Some("https://a")),
        ("export ANTHROPIC_BASE_URL=https://old\nexport ANTHROPIC_BASE_URL=https://new", Some("https://new")),
        ("# export ANTHROPIC_BASE_URL=https://a", None),
        ("export ANTHROPIC_BASE_URL_2=x\nunset ANTHROPIC_BASE_URL", None),
    ] {
        assert_eq!(exported(text).as_deref(), wanted, "{text}");
    }
    let note = &with(".zshrc", "export ANTHROPIC_BASE_URL=https://gw.example\n").notes[0];
    assert!(note.contains(".zshrc") && note.contains("the settings win"), "{note}");
    let note = &with(".config/claude/settings.json", "{}").notes[0];
    assert!(note.contains("is left alone"), "{note}");
}
