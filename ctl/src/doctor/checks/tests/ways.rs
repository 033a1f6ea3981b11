//! The ways of an event and of a request, and the client that goes them.

use super::*;

/// A home whose hooks are installed in the plugin, and what is told of them.
fn hooks_of(home: &Home, change: impl FnOnce(&mut Facts<'_>)) -> Vec<Check> {
    let env = home.env();
    let mut facts = Facts {
        manifest: Ok(Some(manifest(Options { proxy: true, ..Options::default() }))),
        dirs: vec![dir(&env)],
        client_version: Some(Version(2, 1, 329)),
        ..facts(&env)
    };
    change(&mut facts);
    hooks::all(&facts)
}

fn with_hooks(version: Option<Version>) -> Home {
    let home = Home::new();
    home.programs();
    let file = Hooks::new(&home.env(), version).unwrap().file().unwrap();
    home.write(".claude/skills/ccd/hooks/hooks.json", file);
    home
}

#[test]
fn hooks_fit_the_client_or_it_is_said_how_they_do_not() {
    let home = with_hooks(Some(Version(2, 1, 329)));
    let checks = hooks_of(&home, |_| ());
    assert_eq!(found(&checks, "hooks").detail, "30 events for Claude Code 2.1.329");
    let checks = hooks_of(&home, |facts| facts.client_version = Some(Version(2, 1, 197)));
    let check = found(&checks, "hooks");
    assert!(!check.ok && check.fixable && check.detail.contains("does not know DirectoryAdded"), "{check:?}");
    let home = with_hooks(Some(Version(2, 1, 197)));
    let checks = hooks_of(&home, |_| ());
    let check = found(&checks, "hooks");
    assert!(
        check.level == Level::Warn && check.fixable && check.detail.contains("knows 3 more"),
        "{check:?}"
    );
    let bare = Home::new();
    bare.programs();
    let checks = hooks_of(&bare, |_| ());
    let check = found(&checks, "hooks");
    assert!(!check.ok && check.fixable && check.detail.contains("do not stand in"), "{check:?}");
    let only = Options { only_proxy: true, ..Options::default() };
    assert_eq!(hooks_of(&bare, |facts| facts.manifest = Ok(Some(manifest(only)))), []);
}

#[test]
fn what_silences_the_hooks_is_told_with_who_did_it() {
    let home = with_hooks(Some(Version(2, 1, 329)));
    let layer = |whose, text: &str| Layer::read(whose, &home.write("x/settings.json", text)).unwrap();
    let off = r#"{"disableAllHooks":true}"#;
    for (whose, text, level) in [
        (Whose::Managed, off, Level::Warn),
        (Whose::Managed, r#"{"allowManagedHooksOnly":true}"#, Level::Warn),
        (Whose::Project, off, Level::Warn),
        (Whose::Project, r#"{"enabledPlugins":{"ccd@skills-dir":false}}"#, Level::Warn),
    ] {
        let checks = hooks_of(&home, |facts| facts.layers = vec![layer(whose, text)]);
        let [check] = &checks[..] else { panic!("one line: {checks:?}") };
        assert!(check.level == level && check.detail.contains("switches them off by `"), "{check:?}");
    }
    home.write(".claude/settings.json", off);
    let checks = hooks_of(&home, |_| ());
    assert_eq!(found(&checks, "hooks").level, Level::Fail, "the user's own can be mended");
}

#[test]
fn the_hooks_call_the_program_beside_us_and_each_event_once() {
    let home = with_hooks(Some(Version(2, 1, 329)));
    let text = home.read(".claude/skills/ccd/hooks/hooks.json").unwrap();
    let other = home.write("other/cc-hook", "");
    std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o755)).unwrap();
    home.write(".claude/skills/ccd/hooks/hooks.json", text.replace("/bin/cc-hook", "/other/cc-hook"));
    let check = hooks_of(&home, |_| ()).remove(0);
    assert!(
        check.level == Level::Warn && check.fixable && check.detail.contains("beside this ccctl"),
        "{check:?}"
    );
    std::fs::remove_file(other).unwrap();
    let check = hooks_of(&home, |_| ()).remove(0);
    assert!(!check.ok && check.detail.contains("which is not there"), "{check:?}");
    home.write(".claude/skills/ccd/hooks/hooks.json", &text);
    home.write(".claude/settings.json", &text);
    let check = hooks_of(&home, |_| ()).remove(0);
    assert!(check.level == Level::Warn && check.detail.contains("comes twice"), "{check:?}");
}

/// What is told of the way of a request, with these settings of the user's, of others, and in this shell.
fn request_of(settings: &str, layers: &[(Whose, &str)], shell: &[(&str, &str)]) -> Vec<Check> {
    let mut home = Home::new();
    for (name, value) in shell {
        home = home.var(name, *value);
    }
    home.programs();
    home.write(".claude/settings.json", settings);
    let env = home.env();
    let layers = layers.iter().map(|(whose, text)| Layer::read(*whose, &home.write("x.json", text)).unwrap());
    let facts = Facts {
        manifest: Ok(Some(manifest(Options { proxy: true, ..Options::default() }))),
        dirs: vec![dir(&env)],
        layers: layers.collect(),
        ..facts(&env)
    };
    request::all(&facts)
}

#[test]
fn whatever_overrides_the_base_url_is_told() {
    let none = |checks: Vec<Check>| assert!(checks.iter().all(|c| c.name != "override"), "{checks:?}");
    none(request_of("{}", &[], &[]));
    let elsewhere = format!(r#"{{"env":{{"{BASE_URL}":"https://u:secret@gw.example/x"}}}}"#);
    for whose in [Whose::Managed, Whose::Project] {
        let checks = request_of("{}", &[(whose, &elsewhere)], &[]);
        let check = found(&checks, "override");
        assert!(check.level == Level::Warn && check.detail.contains("https://gw.example/x"), "{check:?}");
        assert!(!check.detail.contains("secret"), "{check:?}");
    }
    let checks = request_of("{}", &[], &[(BASE_URL, "https://gw.example")]);
    assert_eq!(found(&checks, "override").level, Level::Note, "settings win over the shell");
    let ours = format!("http://127.0.0.1:1/{}", crate::testing::TOKEN);
    none(request_of("{}", &[], &[(BASE_URL, &ours)]));
    let cloud = r#"{"env":{"CLAUDE_CODE_USE_BEDROCK":"1"}}"#;
    for checks in [
        request_of(cloud, &[], &[]),
        request_of("{}", &[(Whose::Managed, cloud)], &[]),
        request_of("{}", &[], &[("CLAUDE_CODE_USE_BEDROCK", "1")]),
    ] {
        assert!(found(&checks, "override").detail.contains("past any base URL"), "{checks:?}");
    }
    none(request_of("{}", &[], &[("CLAUDE_CODE_USE_BEDROCK", "0")]));
}

#[test]
fn an_http_proxy_must_not_get_what_is_for_loopback() {
    let is_told = |settings: &str, shell: &[(&str, &str)]| {
        request_of(settings, &[], shell).iter().any(|check| check.name == "no_proxy" && check.fixable)
    };
    let proxy = ("HTTPS_PROXY", "http://proxy:3128");
    assert!(!is_told("{}", &[]));
    assert!(!is_told("{}", &[("NO_PROXY", "x")]), "there is no proxy");
    assert!(is_told("{}", &[proxy]));
    assert!(is_told("{}", &[proxy, ("NO_PROXY", "internal,127.0.0.10")]));
    assert!(!is_told("{}", &[proxy, ("NO_PROXY", "internal, 127.0.0.1")]));
    assert!(!is_told("{}", &[proxy, ("no_proxy", "*")]));
    assert!(is_told("{}", &[proxy, ("NO_PROXY", "127.0.0.1"), ("no_proxy", "internal")]), "which one wins?");
    assert!(is_told(r#"{"env":{"ALL_PROXY":"http://p"}}"#, &[]));
    assert!(
        !is_told(r#"{"env":{"NO_PROXY":"127.0.0.1,localhost"}}"#, &[proxy, ("NO_PROXY", "x")]),
        "settings win"
    );
}

#[test]
fn an_upstream_that_no_request_reaches_fails_until_one_does() {
    let mut status = serving();
    assert_eq!(request::upstream(&status, None), None);
    status.proxy.upstream = "https://api.example".into();
    status.proxy.errors = 3;
    status.proxy.last_error = Some("connection refused".into());
    assert!(request::upstream(&status, None).unwrap().ok, "one has reached it since");
    status.proxy.unreached = 2;
    let check = request::upstream(&status, None).unwrap();
    assert_eq!((check.ok, check.hint.is_some()), (false, true));
    assert_eq!(check.detail, "https://api.example is not reached (2 requests in a row): connection refused");
}

#[test]
fn the_client_is_known_by_where_it_lies() {
    for (path, origin, updates) in [
        ("/h/.local/share/claude/versions/2.1.329", "by its native installer", true),
        ("/h/.claude/local/node_modules/.bin/claude", "by npm, below its own directory", true),
        ("/opt/homebrew/Caskroom/claude-code/2/claude", "by Homebrew", false),
        ("/usr/lib/node_modules/@anthropic-ai/claude-code/cli.js", "by npm", true),
        ("/usr/bin/claude", "", false),
    ] {
        assert_eq!(client::origin(Path::new(path)), (origin, updates), "{path}");
    }
    let env = Home::new().env();
    let told = |program: Option<&str>, version| {
        let facts = Facts { client: program.map(Into::into), client_version: version, ..facts(&env) };
        client::all(&facts).remove(0)
    };
    assert_eq!(told(None, None).level, Level::Warn);
    assert_eq!(told(Some("/usr/bin/claude"), None).level, Level::Warn);
    let check = told(Some("/x/claude/versions/2.1.329"), Some(Version(2, 1, 329)));
    assert!(check.level == Level::Ok && check.detail.contains("it updates itself"), "{check:?}");
    let env = Home::new().var("DISABLE_AUTOUPDATER", "1").env();
    let facts = Facts {
        client: Some("/x/claude/versions/2.1.329".into()),
        client_version: Some(Version(2, 1, 329)),
        ..self::facts(&env)
    };
    assert!(!client::all(&facts).remove(0).detail.contains("updates"));
}

#[test]
fn sessions_that_are_not_wholly_recorded_are_told() {
    let process = |pid, started_s, dir: &str| Process {
        pid,
        started_s: Some(started_s),
        config_dirs: vec![dir.into()],
    };
    let ours = [Path::new("/h/.claude")];
    let told = |running: &[Process]| client::told_of(running, &ours, Some(100));
    assert_eq!(told(&[]), []);
    let checks = told(&[process(1, 100, "/h/.claude"), process(2, 200, "/h/.claude")]);
    assert_eq!((checks.len(), checks[0].level, checks[0].detail.as_str()), (1, Level::Ok, "2 sessions now"));
    let checks = told(&[process(1, 99, "/h/.claude"), process(2, 200, "/h/.claude")]);
    assert!(
        checks.len() == 1 && checks[0].level == Level::Note && checks[0].detail.contains("(pid 1)"),
        "{checks:?}"
    );
    let checks = told(&[process(7, 200, "/other")]);
    assert!(checks.len() == 1 && checks[0].level == Level::Warn, "{checks:?}");
    assert!(checks[0].detail.contains("/other") && checks[0].detail.contains("pid 7"), "{checks:?}");
}

#[test]
fn what_is_left_off_is_told_for_the_version_and_what_was_switched_on_again_is_not() {
    let home = Home::new();
    home.write(
        ".claude/settings.json",
        json!({"env": {"CLAUDE_CODE_ENABLE_FINE_GRAINED_TOOL_STREAMING": "1"}}).to_string(),
    );
    let env = home.env();
    let told = |proxy: bool, version| {
        let manifest = manifest(Options { proxy, ..Options::default() });
        let facts = Facts {
            manifest: Ok(Some(manifest)),
            dirs: vec![dir(&env)],
            client_version: version,
            layers: layers::others(&env),
            ..facts(&env)
        };
        client::all(&facts).into_iter().find(|check| check.name == "features")
    };
    let check = told(true, Some(Version(2, 1, 329))).unwrap();
    assert_eq!(check.level, Level::Note);
    assert!(check.detail.contains("Remote Control") && !check.detail.contains("fine-grained"), "{check:?}");
    assert!(check.detail.contains("CLAUDE_CODE_PROPAGATE_TRACEPARENT=1"), "{check:?}");
    assert_eq!(told(false, Some(Version(2, 1, 329))), None, "nothing is sent through us");
}
