//! Each check, on both of its sides.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ccd_proto::api::{Retention, Status, StoreStats, Supervision};
use serde_json::json;

use super::store::Disk;
use super::*;
use crate::args::HooksIn;
use crate::claude::layers::{Layer, Whose};
use crate::claude::running::Process;
use crate::claude::{Version, layers};
use crate::doctor::facts::{Dir, Facts};
use crate::doctor::{Check, Level};
use crate::exec::Outcome;
use crate::manifest::{Manifest, Options};
use crate::plugin::{self, Hooks, server};
use crate::settings::BASE_URL;
use crate::skill;
use crate::testing::{Home, said};

/// What there is to be told of a home, without any of it having been asked for.
fn facts(env: &Env) -> Facts<'_> {
    Facts {
        env,
        manifest: Ok(None),
        service: None,
        status: Ok(None),
        supervision: None,
        store: None,
        newest: None,
        probe: None,
        ccd: None,
        cc_hook: None,
        client: None,
        client_version: None,
        dirs: Vec::new(),
        layers: Vec::new(),
        running: Vec::new(),
    }
}

fn manifest(options: Options) -> Manifest {
    Manifest { options, ..Manifest::default() }
}

/// The one configuration directory, as it is now.
fn dir(env: &Env) -> Dir {
    let path = env.claude_dirs().unwrap().remove(0);
    let settings = path.join("settings.json");
    Dir {
        layer: Layer::read(Whose::User, &settings),
        hooks: plugin::in_force(env, &path, None),
        settings,
        path,
        proof: None,
    }
}

fn found<'a>(checks: &'a [Check], name: &str) -> &'a Check {
    checks.iter().find(|check| check.name == name).unwrap_or_else(|| panic!("no {name} in {checks:?}"))
}

fn serving() -> Status {
    let mut status = Status::default();
    status.daemon.version = ccd_proto::VERSION.into();
    status
}

#[test]
fn a_program_that_says_nothing_or_another_version_is_found() {
    let home = Home::new();
    home.programs();
    let env = home.env();
    let told = |ccd: Outcome, cc_hook: Outcome| {
        programs::programs(&Facts { ccd: Some(Ok(ccd)), cc_hook: Some(Ok(cc_hook)), ..facts(&env) })
    };
    let of = |name: &str, version: &str| said(&format!("{name} {version}\n"));
    let ours = ccd_proto::VERSION;
    assert!(told(said(""), of("cc-hook", ours)).unwrap_err().message.ends_with("does not tell its version"));
    assert!(
        told(of("ccd", ours), of("cc-hook", "9.9.9"))
            .unwrap_err()
            .message
            .contains("cc-hook is version 9.9.9")
    );
    assert!(told(of("ccd", ours), said("")).unwrap().ends_with("cc-hook there does not tell its version"));
    assert!(told(of("ccd", ours), of("cc-hook", ours)).unwrap().starts_with("ccd, cc-hook and ccctl"));
    let broken = Facts { ccd: Some(Err(std::io::ErrorKind::PermissionDenied.into())), ..facts(&env) };
    assert!(programs::programs(&broken).unwrap_err().message.starts_with("cannot run "));
}

#[test]
fn what_a_shell_finds_is_compared_with_these_programs() {
    let home = Home::new();
    home.programs();
    let program = |path: &str| {
        let path = home.write(path, "");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    for name in ["ccctl", "ccd", "cc-hook"] {
        program(&format!("other/{name}"));
    }
    symlink(home.path().join("bin"), home.path().join("link")).unwrap();
    let told = |dirs: &[&str]| {
        let path = std::env::join_paths(dirs.iter().map(|dir| home.path().join(dir))).unwrap();
        let mut env = home.env();
        env.vars = Box::new(move |name| (name == "PATH").then(|| path.clone()));
        programs::path(&env).unwrap()
    };
    assert_eq!(told(&["bin"]).level, Level::Ok);
    assert_eq!(told(&["link"]).level, Level::Ok, "the same programs by another way");
    let check = told(&["other", "bin"]);
    assert_eq!(check.level, Level::Warn);
    assert!(check.detail.contains("other/ccctl before"), "{}", check.detail);
    let check = told(&["bin", "other"]);
    assert_eq!(check.level, Level::Note);
    assert!(check.detail.ends_with("other/cc-hook"), "{}", check.detail);
    let check = told(&["nothing"]);
    assert!(check.level == Level::Note && check.detail.ends_with("bin is not in PATH"), "{check:?}");
}

#[test]
fn a_supervisor_that_is_gone_or_old_fails() {
    let env = Home::new().env();
    assert_eq!(daemon::daemon(&env, &serving(), None).level, Level::Ok);
    let mut status = serving();
    status.daemon.supervisor_gone = true;
    let check = daemon::daemon(&env, &status, None);
    assert_eq!((check.ok, check.hint.as_deref()), (false, Some("`ccctl restart`")));
    let told = |version: &str| {
        let supervision = Supervision { version: version.into(), ..Supervision::default() };
        daemon::daemon(&env, &serving(), Some(&supervision))
    };
    assert_eq!(told(ccd_proto::VERSION).level, Level::Ok);
    let check = told("0.0.1");
    assert!(!check.ok && check.detail.contains("version 0.0.1 supervises it"), "{check:?}");
    let mut status = serving();
    status.daemon.version = "0.0.1".into();
    assert!(daemon::daemon(&env, &status, None).detail.contains("version 0.0.1 is running"));
}

#[test]
fn what_is_wrong_is_looked_for_where_it_is() {
    let env = Home::new().env();
    assert_eq!(daemon::config(&env, &serving()).detail, "defaults");
    let mut status = serving();
    let mut told = |about: &str| {
        status.daemon.config_error = Some("x = y".into());
        status.daemon.config_error_about = about.into();
        let check = daemon::config(&env, &status);
        assert!(!check.ok);
        format!("{} → {}", check.detail, check.hint.unwrap())
    };
    assert_eq!(
        told("environment"),
        "the environment: x = y → change it, then `ccctl stop` and `ccctl start`"
    );
    assert_eq!(told("restart"), "x = y → `ccctl restart`");
    assert!(told("file").contains("config.toml is not in force: x = y → correct it"));
}

/// The sockets of a home, with a made-up `/proc`.
fn sockets_of(home: &Home, is_running: bool) -> Check {
    let uid = rustix::process::geteuid().as_raw();
    sockets::sockets(&home.env().layout, uid, is_running, &home.path().join("proc"))
}

#[test]
fn what_stands_in_a_sockets_place_is_named_and_left_there() {
    let home = Home::new();
    let l = home.env().layout;
    assert_eq!(sockets_of(&home, false).level, Level::Ok, "nothing is there yet");
    assert!(!sockets_of(&home, true).ok, "the directory was removed under a daemon");

    home.write("ccd/run/ccd.sock", "");
    let check = sockets_of(&home, false);
    assert!(!check.ok && check.detail.contains("is a file"), "{check:?}");
    std::fs::remove_file(l.control_socket()).unwrap();
    std::fs::create_dir(l.hook_socket()).unwrap();
    let check = sockets_of(&home, false);
    assert!(!check.ok && check.detail.contains("hook.sock is a directory"), "{check:?}");
    std::fs::remove_dir(l.hook_socket()).unwrap();
    symlink("/nowhere", l.hook_socket()).unwrap();
    let check = sockets_of(&home, true);
    assert!(!check.ok && check.detail.contains("hook.sock is a link"), "{check:?}");
    assert!(l.hook_socket().is_symlink(), "it is not ours to remove");
    std::fs::remove_file(l.hook_socket()).unwrap();

    let uid = rustix::process::geteuid().as_raw();
    let check = sockets::sockets(&l, uid + 1, true, Path::new("/nowhere"));
    assert!(!check.ok && check.detail.contains("belongs to the user with id"), "{check:?}");
    std::fs::remove_dir_all(&l.run_dir).unwrap();
    symlink(home.path(), &l.run_dir).unwrap();
    let check = sockets_of(&home, false);
    assert!(!check.ok && check.detail.contains("run is a link"), "{check:?}");
}

#[test]
fn a_socket_that_a_killed_daemon_left_is_a_note_and_one_under_a_running_one_is_not() {
    let home = Home::new();
    let l = home.env().layout;
    drop(UnixListener::bind(home.socket()).unwrap());
    let check = sockets_of(&home, false);
    assert_eq!((check.level, check.fixable), (Level::Note, true));
    assert!(check.detail.contains("ccd.sock") && l.control_socket().exists(), "{check:?}");

    std::fs::remove_file(l.control_socket()).unwrap();
    let control = UnixListener::bind(l.control_socket()).unwrap();
    let check = sockets_of(&home, true);
    assert!(!check.ok && check.detail.contains("hook.sock is gone"), "{check:?}");
    drop(UnixListener::bind(l.hook_socket()).unwrap());
    let check = sockets_of(&home, true);
    assert!(!check.ok && check.detail.contains("has nobody who listens"), "{check:?}");
    std::fs::remove_file(l.hook_socket()).unwrap();
    let hook = UnixListener::bind(l.hook_socket()).unwrap();
    assert_eq!(sockets_of(&home, true).level, Level::Ok);
    drop((control, hook));
}

#[test]
fn who_holds_the_lock_is_told_by_the_kernel_and_never_by_the_file() {
    use std::os::unix::fs::MetadataExt;
    let home = Home::new();
    // A number that somebody else's process has by now.
    let lock = home.write("ccd/state/LOCK", "1\n");
    assert_eq!(sockets_of(&home, false).level, Level::Ok);
    let inode = lock.metadata().unwrap().ino();
    home.write("proc/locks", format!("1: POSIX  ADVISORY  WRITE 9 00:1:{inode} 0 EOF\n2: FLOCK  ADVISORY  WRITE 77 08:01:{inode} 0 EOF\n"));
    home.write("proc/77/comm", "vi\n");
    assert_eq!(sockets_of(&home, false).level, Level::Ok, "the same inode of another disk");
    home.write("proc/77/comm", "ccd\n");
    let check = sockets_of(&home, false);
    assert!(!check.ok && check.detail.contains("ccd (pid 77) holds"), "{check:?}");
    home.write("proc/locks", format!("1: FLOCK  ADVISORY  WRITE 77 08:01:{} 0 EOF\n", inode + 1));
    assert_eq!(sockets_of(&home, false).level, Level::Ok);
}

#[test]
fn doors_that_are_open_are_told() {
    let home = Home::new();
    let token = home.write("ccd/state/token", "x");
    let state = home.env().layout.state_dir;
    let modes = |dir: u32, file: u32| {
        std::fs::set_permissions(&state, std::fs::Permissions::from_mode(dir)).unwrap();
        std::fs::set_permissions(&token, std::fs::Permissions::from_mode(file)).unwrap();
        sockets::access(&home.env().layout, rustix::process::geteuid().as_raw())
    };
    assert_eq!(modes(0o700, 0o600).level, Level::Ok);
    let check = modes(0o711, 0o640);
    assert!(!check.ok && check.fixable);
    assert!(check.detail.contains("mode 711") && check.detail.contains("mode 640"), "{check:?}");
    modes(0o700, 0o600);
    let theirs = sockets::access(&home.env().layout, rustix::process::geteuid().as_raw() + 1);
    assert!(!theirs.ok && !theirs.fixable, "what is another user's cannot be closed: {theirs:?}");
}

#[test]
fn other_installations_are_told() {
    let home = Home::new();
    home.programs();
    let env = home.env();
    let write = |home: &Home| {
        let hooks = Hooks::new(&home.env(), None).unwrap().file().unwrap();
        let plugin = plugin::directory(&home.env().claude_dirs().unwrap()[0]);
        std::fs::create_dir_all(plugin::hooks_path(&plugin).parent().unwrap()).unwrap();
        std::fs::write(plugin::hooks_path(&plugin), hooks).unwrap();
    };
    write(&home);
    let told = |env: &Env| {
        let checks = sockets::all(&Facts { dirs: vec![dir(env)], ..facts(env) });
        checks.into_iter().find(|check| check.name == "others")
    };
    assert_eq!(told(&env), None, "these are ours");
    home.write(".local/state/ccd/install.json", "{}");
    assert!(told(&env).unwrap().detail.contains("tells of an installation without CCD_HOME"));
    let home = home.var("CCD_HOME", "/elsewhere");
    let other = home.env();
    let check = told(&other).unwrap();
    assert!(
        check.level == Level::Note && check.detail.contains("has hooks of the installation"),
        "{check:?}"
    );
}

#[test]
fn parts_of_the_plugin_are_there_and_current() {
    let home = Home::new();
    home.programs();
    home.write(".codex/config.toml", "");
    let env = home.env();
    let plugin = plugin::directory(&env.claude_dirs().unwrap()[0]);
    let told = |options: &Options| install::plugin_parts(&env, &manifest(options.clone()), &[dir(&env)]);
    let all = Options { proxy: true, ..Options::default() };
    let check = told(&all).unwrap();
    assert!(check.level == Level::Warn && check.fixable, "{check:?}");
    assert_eq!(check.detail.matches("is missing").count(), 4, "{check:?}");
    let put = |path: PathBuf, text: String| {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    put(plugin::manifest_path(&plugin), plugin::manifest_file());
    put(server::path(&plugin), server::file(&env).unwrap());
    put(plugin::skill_path(&plugin), skill::file(&env, skill::IN_PLUGIN).unwrap());
    let codex = skill::codex_path(&env).unwrap();
    put(codex.clone(), skill::file(&env, skill::ALONE).unwrap());
    let check = told(&all).unwrap();
    assert_eq!(
        (check.level, check.detail.as_str()),
        (Level::Ok, "the plugin, the MCP server, the skill, the skill for Codex: current")
    );
    // Another ccctl, which need not be there any more.
    put(server::path(&plugin), server::file(&env).unwrap().replace("/bin/ccctl", "/old/ccctl"));
    std::fs::write(&codex, "mine").unwrap();
    let check = told(&all).unwrap();
    assert!(check.detail.contains("the MCP server in") && check.detail.contains("Codex in"), "{check:?}");
    let without = Options { no_mcp: true, no_skill: true, ..Options::default() };
    assert_eq!(told(&without).unwrap().detail, "the plugin: current", "what was not asked for is not missed");
    assert_eq!(told(&Options { hooks: HooksIn::Settings, no_skill: true, ..Options::default() }), None);
    assert_eq!(told(&Options { only_proxy: true, ..Options::default() }), None);
}

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

/// What is told of what comes in.
fn incoming(status: Status, change: impl FnOnce(&mut Facts<'_>)) -> Vec<Check> {
    let env = Home::new().env();
    let mut facts = Facts {
        manifest: Ok(Some(manifest(Options { proxy: true, ..Options::default() }))),
        status: Ok(Some(status)),
        ..facts(&env)
    };
    change(&mut facts);
    events::all(&facts)
}

#[test]
fn the_last_of_each_source_is_told() {
    let mut status = serving();
    assert_eq!(found(&incoming(status.clone(), |_| ()), "events").level, Level::Note, "nothing came ever");
    status.proxy.exchanges = 4;
    status.proxy.last_request_at = Some("2026-11-20T21:29:00Z".into());
    let checks = incoming(status.clone(), |_| ());
    assert_eq!(found(&checks, "events").level, Level::Warn, "requests, and no hook ever");
    let only = Options { only_proxy: true, ..Options::default() };
    let checks = incoming(status.clone(), |facts| facts.manifest = Ok(Some(manifest(only))));
    assert_eq!(found(&checks, "events").detail, "the last request 1m00s ago", "there are no hooks to come");
    status.hooks.events = 9;
    status.hooks.last_at = Some("2026-11-20T21:29:58Z".into());
    let checks = incoming(status.clone(), |_| ());
    assert_eq!(found(&checks, "events").detail, "the last hook 2.0s ago, request 1m00s ago");
    status.hooks.last_at = None;
    status.proxy.last_request_at = None;
    let session = ccd_proto::api::Session { last_at: "2026-11-20T20:30:00Z".into(), ..Default::default() };
    let checks = incoming(status, |facts| facts.newest = Some(session));
    assert_eq!(found(&checks, "events").detail, "none since the daemon started; the last 1h00m ago");
}

#[test]
fn what_was_not_captured_is_told() {
    let mut status = serving();
    assert_eq!(events::capture(&status).level, Level::Ok);
    status.capture.gaps = 2;
    assert_eq!(events::capture(&status).level, Level::Note);
    status.capture.dropped = 1;
    status.daemon.uptime_s = 60;
    let check = events::capture(&status);
    assert_eq!(
        (check.level, check.detail.as_str()),
        (Level::Warn, "1 exchange not captured since start, 1m00s ago")
    );
    status.capture.dropped = 0;
    status.hooks.rejected = 3;
    assert!(events::capture(&status).detail.contains("3 files in the spool set aside"));
}

#[test]
fn what_waits_in_the_spool_is_told_with_its_age() {
    let home = Home::new();
    let env = home.env();
    let spool = env.layout.spool_dir.strip_prefix(home.path()).unwrap().display().to_string();
    let now = || SystemTime::now() + Duration::from_secs(1);
    assert_eq!(events::spool(&env, true, now()).level, Level::Ok);
    home.write(&format!("{spool}/.half"), "x");
    assert_eq!(events::spool(&env, true, now()).level, Level::Ok, "it is being written");
    home.write(&format!("{spool}/1"), "x");
    assert_eq!(events::spool(&env, true, now()).level, Level::Note, "it is being taken up");
    let later = now() + Duration::from_secs(600);
    let check = events::spool(&env, true, later);
    assert!(check.level == Level::Warn && check.detail.starts_with("1 event waits in "), "{check:?}");
    let check = events::spool(&env, false, now());
    assert!(check.level == Level::Warn && check.fixable, "{check:?}");
}

#[test]
fn how_long_transcripts_last_is_told() {
    let home = Home::new();
    home.write(".claude/settings.json", r#"{"cleanupPeriodDays":7}"#);
    let env = home.env();
    let mut status = serving();
    status.transcripts.enabled = true;
    status.transcripts.state = "following".into();
    status.transcripts.files = 3;
    let store = |days| StoreStats { retention: Retention { days, max_bytes: None }, ..StoreStats::default() };
    let told = |status: &Status, store: Option<StoreStats>, layers: Vec<Layer>| {
        events::transcripts(&Facts { dirs: vec![dir(&env)], store, layers, ..facts(&env) }, status)
    };
    let check = told(&status, Some(store(Some(365))), Vec::new());
    assert_eq!(
        (check.level, check.detail.as_str()),
        (Level::Ok, "3 files taken in; Claude Code deletes its transcripts after 7 days; ccd keeps 365 days")
    );
    assert_eq!(told(&status, Some(store(Some(5))), Vec::new()).level, Level::Note, "ours would go first");
    assert_eq!(told(&status, Some(store(None)), Vec::new()).level, Level::Ok);
    let managed = Layer::read(Whose::Managed, &home.write("m.json", r#"{"cleanupPeriodDays":3}"#)).unwrap();
    assert!(told(&status, None, vec![managed]).detail.contains("after 3 days"));
    status.transcripts.error = Some("cannot be read".into());
    assert_eq!(told(&status, None, Vec::new()).level, Level::Warn);
    status.transcripts.enabled = false;
    let check = told(&status, None, Vec::new());
    assert!(check.level == Level::Note && check.detail.starts_with("not read; "), "{check:?}");
}

#[test]
fn a_crash_loop_is_no_matter_of_the_disk_and_a_quota_is() {
    let mut status = serving();
    assert!(store::store(&status).ok);
    status.proxy.bypass = true;
    for (error, advice) in [
        ("the worker died again and again, at last: signal 6", "`ccctl logs` says why; then `ccctl restart`"),
        ("no space left on device", "make room or repair the disk; requests are relayed meanwhile"),
        (
            "Disk quota exceeded (os error 122)",
            "your quota on that disk is used up: remove something of yours, or `ccctl store prune`",
        ),
    ] {
        status.store.error = Some(error.into());
        assert_eq!(store::store(&status).hint.as_deref(), Some(advice));
    }
}

#[test]
fn room_on_the_disk_is_measured_by_what_may_come() {
    let disk = |free, files, kind| Disk { path: "/s/store".into(), free, files, kind };
    let stats = |bytes, max| StoreStats {
        bytes,
        retention: Retention { days: None, max_bytes: max },
        ..StoreStats::default()
    };
    let level = |disk: Disk, stats: Option<&StoreStats>| store::disk(&[disk], stats).level;
    assert_eq!(level(disk(50 << 20, None, None), None), Level::Fail);
    assert_eq!(level(disk(500 << 20, None, None), None), Level::Warn);
    assert_eq!(level(disk(9 << 30, Some(12), None), None), Level::Warn);
    assert_eq!(level(disk(9 << 30, Some(1 << 20), Some("NFS")), None), Level::Note);
    assert_eq!(level(disk(9 << 30, Some(1 << 20), None), Some(&stats(1 << 30, Some(20 << 30)))), Level::Note);
    let check = store::disk(&[disk(9 << 30, None, None)], Some(&stats(1 << 30, Some(5 << 30))));
    assert_eq!(
        (check.level, check.detail.as_str()),
        (Level::Ok, "9.0 GiB are left; by its retention the store may grow by 4.0 GiB")
    );
    assert_eq!(store::disk(&[], None).level, Level::Note);
    let two = [disk(9 << 30, None, None), Disk { path: "/spool".into(), free: 1, files: None, kind: None }];
    assert!(store::disk(&two, None).detail.ends_with("/spool"), "the other disk counts, too");
}

#[test]
fn the_clock_is_held_against_the_apis_and_against_what_is_recorded() {
    let now = "2026-11-20T21:30:00Z".parse().unwrap();
    let level = |newest, skew| clock::clock(now, newest, skew, "UTC").level;
    assert_eq!(level(None, None), Level::Ok);
    assert_eq!(level(Some("2026-11-20T21:30:30Z"), Some(-1500)), Level::Ok);
    assert_eq!(level(Some("2026-11-20T22:30:00Z"), None), Level::Warn);
    let check = clock::clock(now, None, Some(180_000), "UTC");
    assert_eq!((check.level, check.detail.as_str()), (Level::Warn, "3m00s behind the API's clock"));
    assert!(clock::clock(now, None, Some(-40_000), "UTC").detail.ends_with("ahead of the API's clock"));
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
            layers: layers::others(&env, Path::new("/nowhere")),
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
