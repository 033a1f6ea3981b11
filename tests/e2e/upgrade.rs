//! What `packaging/install.sh` does with what it has built: new programs in the old ones' place under a running daemon,
//! and the old ones back where the new ones do not work.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use ccd_tests::assert_eventually;
use ccd_tests::harness::events::HookSession;
use ccd_tests::harness::wire::Upstream;
use ccd_tests::harness::{Out, TestHome, binary, run};

use crate::proxy::Proxy;
use crate::supervise::Stream;

const PROGRAMS: [&str; 3] = ["ccd", "ccctl", "cc-hook"];

/// A home with an installation below `prefix it`, and a directory in which the next version lies.
struct World {
    home: TestHome,
    prefix: PathBuf,
    next: PathBuf,
}

impl World {
    /// The product as it was built, installed without a service.
    fn installed(upstream: &str) -> Self {
        let home = TestHome::new(upstream);
        home.write_settings("{}\n");
        let (prefix, next) = (home.user().join("prefix it"), home.work().join("next one"));
        let world = World { home, prefix, next };
        world.stage();
        let _ = world.upgrade().ok();
        let _ = run(world.command("ccctl").args(["install", "--no-service"]), b"").ok();
        world
    }

    /// The next version: the same programs.
    fn stage(&self) {
        std::fs::create_dir_all(self.next.join("bin")).unwrap();
        for name in PROGRAMS {
            std::fs::copy(binary(name), self.next.join("bin").join(name)).unwrap();
        }
    }

    /// Another file is another version to whoever starts it.
    fn mark(&self, mark: &str) {
        for name in PROGRAMS {
            let mut bytes = std::fs::read(binary(name)).unwrap();
            bytes.extend_from_slice(mark.as_bytes());
            std::fs::write(self.next.join("bin").join(name), bytes).unwrap();
        }
    }

    /// The next `ccd` is a script, which may start the real one.
    fn script(&self, text: &str) {
        let text = format!("#!/bin/sh\nREAL='{}'\n{text}\n", binary("ccd").display());
        std::fs::write(self.next.join("bin/ccd"), text).unwrap();
    }

    fn program(&self, name: &str) -> PathBuf {
        self.prefix.join("bin").join(name)
    }

    fn command(&self, name: &str) -> Command {
        self.home.command(&self.program(name))
    }

    fn upgrading(&self) -> Command {
        let mut command = self.home.command(&self.next.join("bin/ccctl"));
        command.arg("upgrade").arg("--from").arg(&self.next).arg("--prefix").arg(&self.prefix);
        command
    }

    fn upgrade(&self) -> Out {
        run(&mut self.upgrading(), b"")
    }

    /// Everything in the directory of the programs.
    fn bin(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = std::fs::read_dir(self.prefix.join("bin")).unwrap().map(Result::unwrap);
        entries
            .map(|e| (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap_or_default()))
            .collect()
    }

    /// An event through the installed shim arrives.
    #[track_caller]
    fn records(&self) {
        let before = self.home.running().hooks.events;
        let _ = run(&mut self.command("cc-hook"), &HookSession::new().start()).ok();
        assert_eventually!(self.home.running().hooks.events > before, "an event is recorded");
    }
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[test]
fn a_new_version_takes_over_during_a_stream_and_going_back_is_the_same() {
    let upstream = Upstream::new();
    let world = World::installed(&upstream.url());
    let proxy = Proxy::of(&world.home);
    let mut pid = world.home.running().daemon.pid;
    for version in ["next version", ""] {
        let mut stream = Stream::open(&format!("live{version}"), &proxy, &upstream);
        stream.step();
        world.mark(version);
        let out = world.upgrade().ok();
        let paths: Vec<PathBuf> = out.text().lines().map(PathBuf::from).collect();
        assert_eq!(
            paths,
            ["cc-hook", "ccd", "ccctl"].map(|name| world.program(name)),
            "what was put is told"
        );
        for name in PROGRAMS {
            assert!(read(&world.program(name)).ends_with(version.as_bytes()), "{name}");
        }
        assert_eq!(world.bin().len(), 3, "nothing is left over: {:?}", world.bin().keys());
        let now = world.home.running().daemon.pid;
        assert_ne!(now, pid, "another one serves");
        pid = now;
        stream.step();
        let _ = stream.end();
        world.records();
    }
    assert!(world.home.spool().is_empty(), "no event was left behind");
}

#[test]
fn a_new_version_that_does_not_serve_or_does_not_work_is_taken_back_and_nothing_is_cut() {
    let upstream = Upstream::new();
    let world = World::installed(&upstream.url());
    let proxy = Proxy::of(&world.home);
    let before = world.bin();
    let mut stream = Stream::open("held", &proxy, &upstream);
    stream.step();
    let cases = [
        // It cannot even be asked: nothing is touched.
        ("exit 7", "cannot work here", "nothing was changed"),
        (
            "case $1 in check) ;; *) echo broken >&2; exit 1 ;; esac",
            "no new daemon took over",
            "is back, and serves",
        ),
        // It serves, and captures nothing.
        (
            "case $1 in run) shift; exec \"$REAL\" run --bypass 'a broken build' ;; *) exec \"$REAL\" \"$@\" ;; esac",
            "without being captured: a broken build",
            "is back, and serves",
        ),
    ];
    for (script, why, then) in cases {
        world.script(script);
        let out = world.upgrade();
        assert_eq!((out.code, out.text().as_str()), (Some(1), ""), "{out}");
        assert!(out.stderr.contains(why) && out.stderr.contains(then), "{out}");
        assert_eq!(world.bin(), before, "the programs are as they were: {script}");
        stream.step();
        let status = world.home.running();
        assert!(status.daemon.state == "serving" && !status.proxy.bypass, "{status:?}");
        world.records();
    }
    let _ = stream.end();
}

#[test]
fn a_store_of_a_newer_version_is_refused_before_anything_changes() {
    let world = World::installed("http://127.0.0.1:9");
    let (before, pid) = (world.bin(), world.home.running().daemon.pid);
    let newer = world.home.layout().store_dir().join("v2");
    std::fs::create_dir(&newer).unwrap();
    std::fs::write(newer.join("watermark"), "of tomorrow").unwrap();
    world.mark("next version");
    let out = world.upgrade();
    assert_eq!(out.code, Some(1), "{out}");
    assert!(out.stderr.contains("newer ccd") && out.stderr.contains("nothing was changed"), "{out}");
    assert_eq!((world.bin(), world.home.running().daemon.pid), (before, pid));
    assert_eq!(read(&newer.join("watermark")), b"of tomorrow");
}

#[test]
fn killed_in_the_middle_it_leaves_what_works_and_the_next_run_ends_it() {
    let world = World::installed("http://127.0.0.1:9");
    for round in 0..5 {
        world.mark(&format!("version {round}"));
        let kept = world.prefix.join("bin/.ccd-before");
        let mut child = world.upgrading().spawn().unwrap();
        // Wherever it is by then: the programs are being exchanged, or the daemon changes over.
        assert_eventually!(
            kept.exists() || child.try_wait().unwrap().is_some(),
            "the programs before are kept, or it has ended"
        );
        let _ = child.kill();
        let _ = child.wait();
        for name in PROGRAMS {
            let said = run(world.command(name).arg("--version"), b"").ok().text();
            assert_eq!(said, format!("{name} {}\n", env!("CARGO_PKG_VERSION")), "{name} is whole");
        }
        world.records();
    }
    let _ = world.upgrade().ok();
    for name in PROGRAMS {
        assert!(read(&world.program(name)).ends_with(b"version 4"), "{name}");
    }
    assert_eq!(world.bin().len(), 3, "{:?}", world.bin().keys());
    world.records();
}

#[test]
fn another_prefix_is_moved_to_and_the_old_one_told_of() {
    let mut world = World::installed("http://127.0.0.1:9");
    let (pid, old) = (world.home.running().daemon.pid, world.prefix.join("bin"));
    world.prefix = world.home.user().join("another prefix");
    let out = world.upgrade().ok();
    assert!(out.stderr.contains(old.to_str().unwrap()), "{out}");
    assert_ne!(world.home.running().daemon.pid, pid);
    let _ = run(world.command("ccctl").args(["install", "--no-service"]), b"").ok();
    std::fs::remove_dir_all(old).unwrap();
    let _ = run(world.command("ccctl").arg("restart"), b"").ok();
    world.records();
}
