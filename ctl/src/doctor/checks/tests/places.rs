//! Programs, the daemon, sockets, other installations and the parts of the plugin.

use super::*;

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
    let home = Home::new();
    home.programs();
    let supervision = Supervision { replaced: true, ..Supervision::default() };
    let check = daemon::daemon(&home.env(), &serving(), Some(&supervision));
    assert!(!check.ok && check.detail.contains("replaced on disk"), "{check:?}");
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
