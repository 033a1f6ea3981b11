//! Installing where not everything works, and the one screen that tells.

use super::tests::{daemon, home, install, programs, settings, uninstall};
use super::*;
use crate::testing::Home;

const HOOKS: &str = ".claude/skills/ccd/hooks/hooks.json";

fn managed(home: &Home, text: &str) {
    home.write("etc/claude-code/managed-settings.json", text);
}

#[test]
fn what_an_administrator_forbids_is_left_out_and_said_and_the_rest_works() {
    for (text, hooks, url, title) in [
        (r#"{"allowManagedHooksOnly": true}"#, false, true, "for requests and transcripts only"),
        (r#"{"disableAllHooks": true}"#, false, true, "for requests and transcripts only"),
        (
            r#"{"env": {"ANTHROPIC_BASE_URL": "https://gw.example"}}"#,
            true,
            false,
            "for hooks and transcripts only",
        ),
        (r#"{"env": {"CLAUDE_CODE_USE_BEDROCK": "1"}}"#, true, false, "for hooks and transcripts only"),
        (
            r#"{"strictPluginOnlyCustomization": true, "env": {"ANTHROPIC_BASE_URL": "https://gw.example"}}"#,
            false,
            false,
            "for transcripts only",
        ),
    ] {
        let home = home();
        home.write(".claude/settings.json", "{\n  \"model\": \"opus\"\n}\n");
        managed(&home, text);
        let was = home.foreign_files();
        let (_daemon, _) = daemon(&home, "https://api.anthropic.com");
        let env = home.env_with(programs);
        let said = install(&env, &InstallArgs::default()).unwrap();
        assert!(said.contains(title), "{text}: {said}");
        assert!(said.contains("warning:") && said.contains("the administrator's"), "{said}");
        assert_eq!(home.read(HOOKS).is_some(), hooks, "{text}");
        assert_eq!(settings(&home)["env"]["ANTHROPIC_BASE_URL"].is_string(), url, "{text}");
        // Mended as it is, nothing more is put there.
        let again = crate::doctor::repair::run(&env, &mut Printer::captured(80).0).unwrap();
        assert!(again.failed.is_none() && home.read(HOOKS).is_some() == hooks, "{again:?}");
        uninstall(&env);
        assert_eq!(home.foreign_files(), was, "{text}");
    }
}

#[test]
fn where_plugins_are_locked_the_hooks_go_into_the_settings() {
    let home = home();
    managed(&home, r#"{"strictKnownMarketplaces": []}"#);
    let (_daemon, _) = daemon(&home, "https://api.anthropic.com");
    let said = install(&home.env_with(programs), &InstallArgs::default()).unwrap();
    assert!(said.contains("hooks go into the settings"), "{said}");
    assert_eq!(home.read(HOOKS), None);
    assert!(settings(&home)["hooks"]["SessionStart"].is_array());
}

#[test]
fn the_way_to_the_api_alone_is_not_set_where_no_request_would_take_it() {
    let home = home();
    managed(&home, r#"{"env": {"ANTHROPIC_BASE_URL": "https://gw.example"}}"#);
    let was = home.foreign_files();
    let args = InstallArgs { only_proxy: true, ..InstallArgs::default() };
    let error = install(&home.env_with(programs), &args).unwrap_err();
    assert!(error.message.contains("https://gw.example"), "{error:?}");
    assert_eq!(home.foreign_files(), was);
}

#[test]
fn json_tells_what_is_captured_and_what_stays() {
    let home = home();
    managed(&home, r#"{"allowManagedHooksOnly": true}"#);
    home.write(
        ".claude/settings.json",
        r#"{"hooks":{"Stop":[{"hooks":[{"type":"command","command":"x"}]}]}}"#,
    );
    let (_daemon, _) = daemon(&home, "https://api.anthropic.com");
    let (mut out, text, _) = Printer::captured(100);
    run(&home.env_with(programs), &mut out, &InstallArgs { json: true, ..InstallArgs::default() }).unwrap();
    let told: serde_json::Value = serde_json::from_str(&text.text()).unwrap();
    assert_eq!(told["captured"], serde_json::json!(["requests", "transcripts"]), "{told}");
    assert!(told["stays"][0].as_str().unwrap().starts_with("1 hook of yours stays: Stop"), "{told}");
    let warnings = told["warnings"].as_array().unwrap();
    assert!(warnings.iter().any(|text| text.as_str().unwrap().contains("allowManagedHooksOnly")), "{told}");
    assert_eq!((&told["proof"]["hook"], &told["proof"]["request"]), (&false.into(), &true.into()));
    assert!(told["proof"]["request_ms"].is_u64() && told["proof"]["hook_ms"].is_null(), "{told}");
}

#[test]
fn one_screen_shows_it_all_where_somebody_watches() {
    let home = home();
    home.write(".claude/settings.json", "{\n  \"model\": \"opus\"\n}\n");
    let (_daemon, _) = daemon(&home, "https://api.anthropic.com");
    let (out, text, _) = Printer::captured(80);
    let mut out = out.drawn(false);
    let env = home.env_with(programs);
    run(&env, &mut out, &InstallArgs::default()).unwrap();
    let shown = text.text();
    let lines: Vec<_> = shown.lines().collect();
    assert!(lines.len() <= 24, "{} lines:\n{shown}", lines.len());
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{shown}");
    let order = [
        " will",
        "~/.claude/skills/ccd",
        "~/.claude/settings.json (+4 -1)",
        "✓ daemon",
        "✓ ",
        " arrived",
        "is installed.",
        "ccctl sessions",
    ];
    let mut at = 0;
    for wanted in order {
        let found = shown[at..].find(wanted);
        assert!(found.is_some(), "{wanted:?} after {at}:\n{shown}");
        at += found.unwrap_or_default();
    }
    // Nothing to do: nothing is announced.
    let (out, text, _) = Printer::captured(80);
    run(&env, &mut out.drawn(false), &InstallArgs::default()).unwrap();
    assert!(
        !text.text().contains(" will") && text.text().contains("nothing had to be changed"),
        "{}",
        text.text()
    );
}

#[test]
fn who_has_a_gateway_is_asked_and_no_is_no() {
    let home = home();
    home.write(".claude/settings.json", r#"{"env": {"ANTHROPIC_BASE_URL": "http://localhost:4000"}}"#);
    let was = home.foreign_files();
    let (_daemon, _) = daemon(&home, "https://api.anthropic.com");
    let (out, text, err) = Printer::captured(80);
    let mut out = out.drawn(false).answering("n\n");
    let error = run(&home.env_with(programs), &mut out, &InstallArgs::default()).unwrap_err();
    assert!(error.message.contains("nothing was changed"), "{error:?}");
    assert!(
        err.text().contains("http://localhost:4000") && text.text().contains("another proxy"),
        "{}",
        err.text()
    );
    assert_eq!(home.foreign_files(), was);
    assert!(!home.env().layout.install_manifest().exists());
}
