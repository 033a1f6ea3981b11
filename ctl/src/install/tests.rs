//! Installing and uninstalling as a whole, against a fake daemon and fake programs.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use super::*;
use crate::args::{HooksIn, UninstallArgs};
use crate::exec::{Invocation, Outcome};
use crate::testing::{Daemon, Home, Reply, TOKEN, said};
use crate::{doctor, uninstall};
use serde_json::{Value, json};

/// A daemon of this home, with an upstream that may be changed.
pub(super) fn daemon(home: &Home, upstream: &str) -> (Daemon, Arc<Mutex<String>>) {
    daemon_at(home.socket(), upstream, "daemonized")
}

/// A daemon that says what a daemon says.
fn daemon_at(socket: PathBuf, upstream: &str, manager: &'static str) -> (Daemon, Arc<Mutex<String>>) {
    let port = Arc::new(AtomicU16::new(0));
    let upstream = Arc::new(Mutex::new(upstream.to_owned()));
    let (seen_port, seen_upstream) = (Arc::clone(&port), Arc::clone(&upstream));
    let daemon = Daemon::start(Some(socket), move |request| {
        match request.uri().path() {
        "/v0/status" => Reply::json(
            json!({
                "schema_version": 1,
                "daemon": {"running": true, "pid": 0, "version": ccd_proto::VERSION, "state": "serving", "manager": manager},
                "proxy": {
                    "listen": format!("127.0.0.1:{}", seen_port.load(Ordering::Relaxed)),
                    "upstream": *seen_upstream.lock().unwrap(),
                },
            })
            .to_string(),
        ),
        path if path.ends_with("/.ccd/ping") => {
            Reply::status(204, "").header("ccd-version", ccd_proto::VERSION)
        }
        _ => Reply::json(r#"{"schema_version":1,"ok":true}"#),
    }
    });
    port.store(daemon.proxy.port(), Ordering::Relaxed);
    (daemon, upstream)
}

/// Answers for the client, the daemon's program, the hook and a machine without a service manager.
pub(super) fn programs(call: &Invocation) -> Outcome {
    let line = call.line();
    match line.split_whitespace().next().unwrap_or_default().rsplit('/').next().unwrap_or_default() {
        "claude" => said("2.1.329 (Claude Code)\n"),
        "ccd" => said(&format!("ccd {}\n", ccd_proto::VERSION)),
        "cc-hook" => {
            assert!(call.envs.iter().any(|(k, _)| k == "CCD_HOOK_PROBE"), "{line}");
            said("")
        }
        "systemctl" | "loginctl" => Outcome { code: Some(1), ..Outcome::default() },
        _ => panic!("unexpected program: {line}"),
    }
}

pub(super) fn home() -> Home {
    let home = Home::new();
    home.programs();
    let path = home.path().join("bin");
    home.var("PATH", path)
}

pub(super) fn install(env: &Env, args: &InstallArgs) -> Result<String> {
    let (mut out, text, err) = Printer::captured(100);
    run(env, &mut out, args).map(|()| text.text() + &err.text())
}

pub(super) fn uninstall(env: &Env) -> String {
    let (mut out, text, _) = Printer::captured(100);
    uninstall::run(env, &mut out, &UninstallArgs::default()).unwrap();
    text.text()
}

pub(super) fn settings(home: &Home) -> Value {
    serde_json::from_str(&home.read(".claude/settings.json").unwrap()).unwrap()
}

#[test]
fn uninstalling_takes_the_settings_of_ended_runs_away() {
    let home = home();
    // No process has so high an id.
    home.write("ccd/run/run-2147483646.json", TOKEN);
    let own = format!("ccd/run/run-{}.json", std::process::id());
    home.write(&own, TOKEN);
    uninstall(&home.env_with(programs));
    assert_eq!(home.read("ccd/run/run-2147483646.json"), None);
    assert!(home.read(&own).is_some(), "that client runs");
}

#[test]
fn with_no_client_to_ask_the_installed_hooks_stay_as_they_are() {
    let home = home();
    let (_daemon, _) = daemon(&home, "https://api.anthropic.com");
    install(&home.env_with(programs), &InstallArgs::default()).unwrap();
    let file = ".claude/skills/ccd/hooks/hooks.json";
    let before = home.read(file).unwrap();
    assert!(before.contains("PostModelSwitch"), "what this version knows");
    std::fs::remove_file(home.path().join("bin/claude")).unwrap();
    let said = install(&home.env_with(programs), &InstallArgs::default()).unwrap();
    assert_eq!(home.read(file).unwrap(), before);
    assert!(said.contains("the hooks stay those that are installed"), "{said}");
}

#[test]
fn install_and_uninstall_leave_no_trace() {
    for before in [None, Some("{\"model\":\"opus\"}"), Some("\u{feff}{\r\n\t\"a\" : [1 ,2]\r\n}")] {
        let home = home();
        if let Some(text) = before {
            home.write(".claude/settings.json", text);
        }
        if before.is_some() {
            home.write(".codex/config.toml", "model = \"x\"\n");
        }
        let was = home.foreign_files();
        let (daemon, _) = daemon(&home, "https://api.anthropic.com");
        let env = home.env_with(programs);
        let text = install(&env, &InstallArgs::default()).unwrap();
        assert!(
            text.contains("Remote Control") && text.contains("a hook event (") && text.contains(" arrived"),
            "{text}"
        );
        assert_eq!(
            String::from_utf8(std::fs::read(home.path().join(".claude/settings.json")).unwrap())
                .unwrap()
                .matches(&format!("http://127.0.0.1:{}/{TOKEN}", daemon.proxy.port()))
                .count(),
            1
        );
        let hooks: Value =
            serde_json::from_str(&home.read(".claude/skills/ccd/hooks/hooks.json").unwrap()).unwrap();
        assert_eq!(hooks["hooks"].as_object().unwrap().len(), 30);
        assert_eq!([MCP, SKILL].map(|file| home.read(file).is_some()), [true; 2]);
        assert_eq!(home.read(CODEX).is_some(), before.is_some(), "where Codex is used");
        assert!(!daemon.requests().contains(&"POST /v0/retire".to_owned()));

        let installed = home.foreign_files();
        let again = install(&env, &InstallArgs::default()).unwrap();
        assert!(again.contains("nothing had to be changed"), "{again}");
        assert_eq!(home.foreign_files(), installed);
        let (mut out, _, _) = Printer::captured(100);
        let failed: Vec<_> = doctor::checks(&env, &mut out)
            .into_iter()
            .filter(|c| !c.ok && !["access", "sockets"].contains(&c.name))
            .collect();
        assert_eq!(failed, []);

        uninstall(&env);
        assert_eq!(home.foreign_files(), was, "before: {before:?}");
        assert!(daemon.requests().contains(&"POST /v0/retire".to_owned()));
        assert!(uninstall(&env).contains("nothing was installed"));
        assert_eq!(home.foreign_files(), was);
    }
}

/// The MCP server and the skill in the plugin, and the skill for Codex.
const MCP: &str = ".claude/skills/ccd/.mcp.json";
const SKILL: &str = ".claude/skills/ccd/skills/diagnose/SKILL.md";
const CODEX: &str = ".codex/skills/ccd-diagnose/SKILL.md";

#[test]
fn the_mcp_server_and_the_skill_may_be_left_out_and_come_back() {
    let home = home();
    home.write(".codex/config.toml", "");
    let was = home.foreign_files();
    let (_daemon, _) = daemon(&home, "https://api.anthropic.com");
    let env = home.env_with(programs);
    let there = || [MCP, SKILL, CODEX].map(|file| home.read(file).is_some());
    let no_mcp = InstallArgs { no_mcp: true, ..InstallArgs::default() };
    let no_skill = InstallArgs { no_skill: true, ..InstallArgs::default() };
    let in_settings = InstallArgs { hooks: HooksIn::Settings, ..InstallArgs::default() };
    for (args, wanted) in [
        (&no_mcp, [false, true, true]),
        (&no_skill, [true, false, false]),
        (&InstallArgs::default(), [true; 3]),
        (&in_settings, [false, false, true]),
        (&no_mcp, [false, true, true]),
    ] {
        let dry = install(&env, &InstallArgs { dry_run: true, ..args.clone() }).unwrap();
        let before = home.foreign_files();
        let said = install(&env, args).unwrap();
        assert_eq!(there(), wanted, "{args:?}");
        assert_eq!(said.contains("/ccd:diagnose"), wanted[1], "{said}");
        assert_eq!(said.contains("read-only tools"), wanted[0], "{said}");
        assert_eq!(said.contains("for Codex: ~/.codex/skills/ccd-diagnose"), wanted[2], "{said}");
        for (path, _) in home
            .foreign_files()
            .iter()
            .filter(|(path, now)| path.is_file() && before.get(*path) != Some(*now))
        {
            assert!(dry.contains(path.to_str().unwrap()), "{} changed: {dry}", path.display());
        }
    }
    let again = doctor::repair::run(&env, &mut Printer::captured(80).0).unwrap();
    assert_eq!((again.failed, there()), (None, [false, true, true]), "it is mended as it was asked for");
    uninstall(&env);
    assert_eq!(home.foreign_files(), was);
}

#[test]
fn a_skill_of_the_users_in_our_place_is_left_alone() {
    for (file, hint) in [(CODEX, "--no-skill"), (SKILL, "--no-skill"), (MCP, "--no-mcp")] {
        let home = home();
        home.write(file, "mine");
        home.write(".codex/config.toml", "");
        let was = home.foreign_files();
        let (_daemon, _) = daemon(&home, "https://api.anthropic.com");
        let env = home.env_with(programs);
        let error = install(&env, &InstallArgs::default()).unwrap_err();
        assert!(error.message.contains("not of ours") && error.hints[0].contains(hint), "{error:?}");
        assert_eq!(home.foreign_files(), was);
        let without = InstallArgs { no_skill: true, no_mcp: true, ..InstallArgs::default() };
        install(&env, &without).unwrap();
        assert_eq!(home.read(file).unwrap(), "mine");
        uninstall(&env);
        assert_eq!(home.foreign_files(), was);
    }
}

#[test]
fn a_file_that_claude_code_would_reject_is_not_touched() {
    let home = home();
    home.write(".claude/settings.json", "{\n  \"a\": 1,\n}");
    let was = home.foreign_files();
    let (_daemon, _) = daemon(&home, "https://api.anthropic.com");
    let error = install(&home.env_with(programs), &InstallArgs::default()).unwrap_err();
    assert_eq!(error.exit_code(), 1);
    assert!(error.message.contains("settings.json: line 3, column 1"), "{error}");
    assert_eq!(home.foreign_files(), was);
    assert!(!home.env().layout.install_manifest().exists());
}

#[test]
fn without_programs_or_daemon_nothing_is_changed() {
    let bare = Home::new();
    let error = install(&bare.env(), &InstallArgs::default()).unwrap_err();
    assert!(error.message.contains("`ccd` is missing"), "{error}");
    let home = home();
    let was = home.foreign_files();
    let env = home.env_with(|call| match call.args.first() {
        Some(arg) if arg == "start" => {
            Outcome { code: Some(1), stderr: "error: port taken".into(), ..Outcome::default() }
        }
        _ => programs(call),
    });
    let error = install(&env, &InstallArgs::default()).unwrap_err();
    assert!(error.message.contains("port taken"), "{error}");
    assert_eq!(home.foreign_files(), was);
    assert!(!env.layout.install_manifest().exists());
}

#[test]
fn a_proof_that_fails_takes_everything_back() {
    let home = home();
    home.write(".claude/settings.json", "{ }");
    let was = home.foreign_files();
    let (_daemon, _) = daemon(&home, "https://api.anthropic.com");
    let env = home.env_with(|call| {
        if call.program.to_string_lossy().ends_with("cc-hook") {
            return Outcome { code: Some(1), ..Outcome::default() };
        }
        programs(call)
    });
    let error = install(&env, &InstallArgs::default()).unwrap_err();
    assert!(error.message.contains("no hook event gets through"), "{error}");
    assert_eq!(home.foreign_files(), was);
}

#[test]
fn a_base_url_of_the_user_becomes_our_upstream_and_comes_back() {
    let home = home();
    let text = r#"{"env": {"ANTHROPIC_BASE_URL": "https://gw.example/v", "X": "1"}}"#;
    home.write(".claude/settings.json", text);
    home.write("ccd/config.toml", "# mine\nlog = \"info\"\n");
    let (_daemon, upstream) = daemon(&home, "https://api.anthropic.com");
    // The daemon takes its configuration up when it changes.
    let file = home.path().join("ccd/config.toml");
    let watched = Arc::clone(&upstream);
    let reloading = std::thread::spawn(move || {
        while !std::fs::read_to_string(&file).unwrap_or_default().contains("gw.example") {
            sleep(Duration::from_millis(5));
        }
        *watched.lock().unwrap() = "https://gw.example/v".into();
    });
    let env = home.env_with(programs);
    let said = install(&env, &InstallArgs::default()).unwrap();
    reloading.join().unwrap();
    assert!(said.contains("https://gw.example/v, as before"), "{said}");
    assert_eq!(
        home.read("ccd/config.toml").unwrap(),
        "# mine\nlog = \"info\"\nupstream = \"https://gw.example/v\"\n"
    );
    assert!(install(&env, &InstallArgs::default()).unwrap().contains("nothing had to be changed"));
    uninstall(&env);
    assert_eq!(home.read(".claude/settings.json").unwrap(), text);
    assert_eq!(home.read("ccd/config.toml").unwrap(), "# mine\nlog = \"info\"\n");
}

#[test]
fn an_upstream_that_the_shell_named_holds_when_it_names_none_any_more() {
    let home = home();
    let (_daemon, _) = daemon(&home, "https://gw.example/v");
    let home = home.var("ANTHROPIC_BASE_URL", "https://gw.example/v");
    install(&home.env_with(programs), &InstallArgs::default()).unwrap();
    let configured = home.read("ccd/config.toml").unwrap();
    assert!(configured.contains("https://gw.example/v"));
    let home = home.var("ANTHROPIC_BASE_URL", "");
    install(&home.env_with(programs), &InstallArgs::default()).unwrap();
    assert_eq!(home.read("ccd/config.toml").unwrap(), configured, "the key of the gateway goes nowhere else");
    uninstall(&home.env_with(programs));
    assert_eq!(home.read("ccd/config.toml"), None);
}

#[test]
fn a_hook_of_the_users_that_is_called_like_ours_is_not_ours() {
    let home = home();
    let text = r#"{"hooks":{"Stop":[{"hooks":[{"type":"command","command":"~/bin/cc-hook"}]}]}}"#;
    home.write(".claude/settings.json", text);
    let (_daemon, _) = daemon(&home, "https://api.anthropic.com");
    let env = home.env_with(programs);
    install(&env, &InstallArgs::default()).unwrap();
    assert!(home.read(".claude/settings.json").unwrap().contains("~/bin/cc-hook"));
    uninstall(&env);
    assert_eq!(home.read(".claude/settings.json").unwrap(), text);
}

#[test]
fn an_upstream_that_does_not_come_into_force_is_a_failure() {
    let home = home().var("CCD_UPSTREAM", "");
    home.write(".claude/settings.json", r#"{"env": {"ANTHROPIC_BASE_URL": "https://gw.example"}}"#);
    let was = home.foreign_files();
    let (_daemon, _) = daemon(&home, "https://api.anthropic.com");
    let error = install(&home.env_with(programs), &InstallArgs::default()).unwrap_err();
    assert!(error.message.contains("https://gw.example"), "{error}");
    assert_eq!(home.foreign_files(), was);
    assert_eq!(home.read("ccd/config.toml"), None);
}

#[test]
fn hooks_may_go_into_the_settings_and_back_into_the_plugin() {
    let home = home();
    home.write(".claude/settings.json", "{\"hooks\": {\"Stop\": []}}");
    let was = home.foreign_files();
    let (_daemon, _) = daemon(&home, "https://api.anthropic.com");
    let env = home.env_with(programs);
    install(&env, &InstallArgs::default()).unwrap();
    let in_settings = InstallArgs { hooks: HooksIn::Settings, thinking: true, ..InstallArgs::default() };
    install(&env, &in_settings).unwrap();
    assert_eq!(settings(&home)["hooks"].as_object().unwrap().len(), 30);
    assert_eq!(settings(&home)["showThinkingSummaries"], true);
    assert_eq!(home.read(".claude/skills/ccd/hooks/hooks.json"), None);
    install(&env, &InstallArgs::default()).unwrap();
    assert_eq!(settings(&home)["hooks"], json!({"Stop": []}));
    uninstall(&env);
    assert_eq!(home.foreign_files(), was);
}

#[test]
fn hooks_only_leaves_the_settings_alone() {
    let home = home();
    let (_daemon, _) = daemon(&home, "https://api.anthropic.com");
    let env = home.env_with(programs);
    let text = install(&env, &InstallArgs { no_proxy: true, ..InstallArgs::default() }).unwrap();
    assert!(!text.contains("Remote Control"), "{text}");
    assert_eq!(home.read(".claude/settings.json"), None);
}

#[test]
fn a_dry_run_shows_every_change_and_makes_none() {
    let home = home();
    home.write(".claude/settings.json", "{\n  \"model\": \"opus\"\n}\n");
    let was = home.foreign_files();
    let env = home.env_with(programs);
    let text = install(&env, &InstallArgs { dry_run: true, ..InstallArgs::default() }).unwrap();
    assert!(
        text.contains(&format!("+    \"ANTHROPIC_BASE_URL\": \"http://127.0.0.1:7788/{TOKEN}\"")),
        "{text}"
    );
    assert!(text.contains("hooks.json") && text.contains("+    \"SessionStart\""), "{text}");
    assert_eq!(home.foreign_files(), was);
    assert!(!env.layout.install_manifest().exists());
}

#[test]
fn a_foreign_plugin_in_our_place_is_left_alone() {
    let home = home();
    home.write(".claude/skills/ccd/hooks/hooks.json", "{\"hooks\":{}}");
    let was = home.foreign_files();
    let (_daemon, _) = daemon(&home, "https://api.anthropic.com");
    let error = install(&home.env_with(programs), &InstallArgs::default()).unwrap_err();
    assert!(error.message.contains("not of ours"), "{error}");
    assert_eq!(home.foreign_files(), was);
}

#[test]
fn a_lost_manifest_still_leaves_claude_code_clean() {
    let home = home();
    home.write(".claude/settings.json", "{\n  \"model\": \"opus\"\n}\n");
    home.write(".codex/config.toml", "");
    let was = home.foreign_files();
    let (_daemon, _) = daemon(&home, "https://api.anthropic.com");
    let env = home.env_with(programs);
    install(&env, &InstallArgs::default()).unwrap();
    std::fs::remove_file(env.layout.install_manifest()).unwrap();
    // What an earlier installation left is taken over, and taken away like the rest.
    install(&env, &InstallArgs::default()).unwrap();
    std::fs::remove_file(env.layout.install_manifest()).unwrap();
    uninstall(&env);
    assert_eq!([MCP, SKILL, CODEX].map(|file| home.read(file)), [None, None, None]);
    let now = home.foreign_files();
    assert_eq!(
        now.get(&home.path().join(".claude/settings.json")),
        was.get(&home.path().join(".claude/settings.json"))
    );
    assert_eq!(home.read(".claude/skills/ccd/hooks/hooks.json"), None);
    assert_eq!(home.read(".claude/skills/ccd/.claude-plugin/plugin.json"), None);
}

#[test]
fn a_service_is_written_enabled_and_taken_away() {
    let home = home();
    let was = home.foreign_files();
    let units = home.path().join(".config/systemd/user");
    let socket = home.socket();
    let calls = Rc::new(RefCell::new(Vec::new()));
    let (seen, started) = (Rc::clone(&calls), Rc::new(RefCell::new(None)));
    let env = home.env_with(move |call| {
        if call.program != "systemctl" {
            assert!(!call.line().ends_with("ccd start"), "the service starts it");
            return programs(call);
        }
        let verb = call.args[1].to_string_lossy().into_owned();
        if call.line().ends_with("start ccd.socket ccd.service") {
            *started.borrow_mut() = Some(daemon_at(socket.clone(), "https://api.anthropic.com", "systemd"));
        }
        seen.borrow_mut().push(verb);
        said(&units.display().to_string())
    });
    let text = install(&env, &InstallArgs::default()).unwrap();
    assert!(text.contains("kept running by systemd"), "{text}");
    let unit = home.read(".config/systemd/user/ccd.service").unwrap();
    assert!(unit.contains("CCD_HOME=") && unit.contains("bin/ccd\" supervise"), "{unit}");
    let unit = home.read(".config/systemd/user/ccd.socket").unwrap();
    assert!(unit.contains("ListenStream=127.0.0.1:7788\n"), "{unit}");
    assert_eq!(calls.take(), ["show", "daemon-reload", "enable", "reset-failed", "start", "start"]);
    uninstall(&env);
    assert_eq!(calls.take(), ["disable", "stop", "daemon-reload"]);
    assert_eq!(home.foreign_files(), was);
}

#[test]
fn the_status_line_is_set_told_of_and_taken_back() {
    let home = home();
    let env = home.env_with(programs);
    let (_daemon, _) = daemon(&home, "https://api.anthropic.com");
    let before = "{\n  \"model\": \"opus\"\n}\n";
    home.write(".claude/settings.json", before);
    let args = InstallArgs { statusline: true, ..InstallArgs::default() };
    let text = install(&env, &args).unwrap();
    assert!(text.contains("the status line is ours"), "{text}");
    let set: Value = serde_json::from_str(&home.read(".claude/settings.json").unwrap()).unwrap();
    let command = set["statusLine"]["command"].as_str().unwrap();
    assert!(command.starts_with("CCD_HOME=") && command.ends_with("/bin/ccctl statusline"), "{command}");
    let (mut out, ..) = Printer::captured(100);
    let checks = doctor::checks(&env, &mut out);
    assert!(checks.iter().any(|check| check.name == "statusline" && check.ok), "{checks:?}");
    let again = install(&env, &args).unwrap();
    assert!(again.contains("nothing had to be changed"), "{again}");
    uninstall(&env);
    assert_eq!(home.read(".claude/settings.json").unwrap(), before);
}

#[test]
fn somebody_elses_status_line_stays_unless_forced_and_comes_back() {
    let home = home();
    let env = home.env_with(programs);
    let (_daemon, _) = daemon(&home, "https://api.anthropic.com");
    let before = "{ \"statusLine\" : {\"type\":\"command\",   \"command\":\"mine.sh\", \"padding\": 0} }";
    home.write(".claude/settings.json", before);
    let line = || {
        let settings: Value = serde_json::from_str(&home.read(".claude/settings.json").unwrap()).unwrap();
        settings["statusLine"]["command"].as_str().unwrap().to_owned()
    };
    let args = InstallArgs { statusline: true, ..InstallArgs::default() };
    let text = install(&env, &args).unwrap();
    assert!(text.contains("has a status line already") && text.contains("mine.sh"), "{text}");
    assert_eq!(line(), "mine.sh");
    let text = install(&env, &InstallArgs { force: true, ..args }).unwrap();
    assert!(line().ends_with("/ccctl statusline") && !text.contains("already, which stays"), "{text}");
    // What somebody else changes meanwhile is kept; ours is taken out all the same.
    let changed = home.read(".claude/settings.json").unwrap().replacen('{', "{ \"model\": \"opus\", ", 1);
    home.write(".claude/settings.json", changed);
    uninstall(&env);
    let after: Value = serde_json::from_str(&home.read(".claude/settings.json").unwrap()).unwrap();
    let was: Value = serde_json::from_str(before).unwrap();
    assert_eq!((&after["statusLine"], &after["model"]), (&was["statusLine"], &json!("opus")));
}
