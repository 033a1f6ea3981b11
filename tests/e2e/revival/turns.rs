//! `kill -9` of everything in turn: the worker, the supervisor, both, hooks and commands under way.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ccd_tests::assert_eventually;
use ccd_tests::harness::events::HookSession;
use ccd_tests::harness::soak::{Random, count, summary};
use ccd_tests::harness::{TestHome, binary, eventually, signal, supervision};
use rustix::process::Signal;

use super::{
    NO_UPSTREAM, answers, assert_gone, assert_recorded, assert_silent, forget_the_last_try, hook, kill_all,
    processes, started,
};
use crate::check;
use crate::proxy::Proxy;

/// How long a command lives at most before it is killed: about as long as it takes.
const LIFE: Duration = Duration::from_millis(60);

/// Waits until the daemon is whole again: one supervisor with one worker, a port that answers.
#[track_caller]
fn assert_whole(home: &TestHome, proxy: &Proxy) -> u32 {
    let pid = eventually("a supervised worker serves", || {
        let told = supervision(home)?;
        let status = home.status()?;
        let is_whole = told.worker.is_some_and(|pid| pid.unsigned_abs() == status.daemon.pid);
        (is_whole && processes(home).len() == 2).then_some(status.daemon.pid)
    });
    assert_eventually!(answers(proxy), "the port answers");
    pid
}

#[test]
fn whatever_is_killed_the_next_event_finds_everything_as_it_was() {
    let home = started(NO_UPSTREAM);
    let (proxy, session, mut calls) = (Proxy::of(&home), HookSession::new(), Vec::new());
    let mut send = |what: &str| {
        let id = format!("toolu_{:03}_{what}", calls.len());
        hook(&home, &session.before_tool(&id, "true"));
        calls.push(id);
    };
    let (rounds, mut slowest, mut before) = (count(1, 10), Duration::ZERO, assert_whole(&home, &proxy));
    for _ in 0..rounds {
        for victim in ["worker", "supervisor", "both", "both and the sockets"] {
            send("before");
            let told = supervision(&home).unwrap();
            let worker = told.worker.unwrap().unsigned_abs();
            match victim {
                "worker" => signal(worker, Signal::KILL),
                "supervisor" => signal(told.supervisor.pid, Signal::KILL),
                _ => kill_all(&home),
            }
            if victim == "both and the sockets" {
                // As after the start of the machine: what lay in memory is gone.
                std::fs::remove_dir_all(home.layout().run_dir).unwrap();
            }
            let begun = Instant::now();
            send("meanwhile");
            if victim == "supervisor" {
                // The worker goes on alone, and is killed in its turn.
                let alone = home.running().daemon.pid;
                assert_eq!(alone, worker);
                signal(alone, Signal::KILL);
                assert_gone(&home);
                send("after");
            }
            let now = assert_whole(&home, &proxy);
            assert_ne!(now, before, "{victim}");
            slowest = slowest.max(begun.elapsed());
            before = now;
            send("afterwards");
        }
    }
    assert_recorded(&home, &session, &calls);
    summary(&format!(
        "worker, supervisor, both, both and the sockets killed {rounds} times each: {} events, each recorded once; \
         the port answers again {} ms after the kill at the latest",
        calls.len(),
        slowest.as_millis()
    ));
}

#[test]
fn thirty_hooks_at_once_bring_one_daemon_back() {
    let home = started(NO_UPSTREAM);
    let (proxy, session, mut calls) = (Proxy::of(&home), HookSession::new(), Vec::new());
    let rounds = count(3, 50);
    for round in 0..rounds {
        kill_all(&home);
        let ids: Vec<String> = (0..30).map(|n| format!("toolu_{round:02}_{n:02}")).collect();
        thread::scope(|scope| {
            for id in &ids {
                let (home, session) = (&home, &session);
                scope.spawn(move || hook(home, &session.before_tool(id, "true")));
            }
        });
        calls.extend(ids);
        let _ = assert_whole(&home, &proxy);
    }
    assert_recorded(&home, &session, &calls);
    let log = home.ccctl(&["logs", "--lines", "100000"]).text();
    let brought = log.lines().filter(|line| line.contains("brought back by a hook event")).count();
    assert_eq!(brought, rounds, "{log}");
    assert!(!log.contains("could not bring it back"), "{log}");
    summary(&format!(
        "{rounds} times 30 hooks at once with no daemon: one each, {} events once",
        calls.len()
    ));
}

#[test]
fn a_try_that_fails_is_told_and_not_repeated_at_once() {
    let home = started(NO_UPSTREAM);
    let (session, listen) = (HookSession::new(), home.running().proxy.listen);
    kill_all(&home);
    let taken = std::net::TcpListener::bind(&listen).unwrap();
    let mut calls = Vec::new();
    let mut send = || {
        let id = format!("toolu_{:02}", calls.len());
        hook(&home, &session.before_tool(&id, "true"));
        calls.push(id);
    };
    let failures = || {
        let log = home.ccctl(&["logs", "--lines", "1000"]).text();
        log.lines().filter(|line| line.contains("could not bring it back")).count()
    };
    (0..10).for_each(|_| send());
    assert_eventually!(failures() == 1, "the cause is in the log");
    let log = home.ccctl(&["logs", "--lines", "1000"]).text();
    assert!(log.contains("another program has this port"), "{log}");
    let status = home.ccctl(&["status"]);
    assert_eq!(status.code, Some(3));
    assert!(status.stderr.contains("was killed") && status.stderr.contains("next event"), "{status}");
    assert_eq!(home.ccctl(&["status", "--json"]).json()["daemon"]["killed"], true);
    (0..10).for_each(|_| send());
    assert!(processes(&home).is_empty());
    assert_eq!(failures(), 1, "within ten seconds nobody tries again");
    drop(taken);
    forget_the_last_try(&home);
    send();
    assert_recorded(&home, &session, &calls);
}

/// Starts a program in a session of its own, and kills it at any moment of its life.
fn kill_within(random: &mut Random, mut command: Command, input: &[u8], life: Duration) -> Option<i32> {
    let mut child: Child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    let written = std::io::Write::write_all(&mut child.stdin.take().unwrap(), input);
    random.pause(life);
    let _ = child.kill();
    let code = child.wait().unwrap().code();
    written.ok().and(code)
}

#[test]
fn hooks_killed_in_flight_lose_what_they_had_not_handed_over_and_nothing_else() {
    let mut random = Random::seeded("hooks in flight");
    let home = started(NO_UPSTREAM);
    let (proxy, session) = (Proxy::of(&home), HookSession::new());
    let (mut sent, mut whole) = (BTreeSet::new(), BTreeSet::new());
    let rounds = count(4, 20);
    for round in 0..rounds {
        let is_dead = round % 2 == 1;
        if is_dead {
            kill_all(&home);
        }
        for n in 0..25 {
            let id = format!("toolu_{round:02}_{n:02}");
            let command = home.command(&binary("cc-hook"));
            let event = session.before_tool(&id, "true");
            if kill_within(&mut random, command, &event, LIFE / 10) == Some(0) {
                whole.insert(id.clone());
            }
            sent.insert(id);
        }
        // One that nobody kills.
        let id = format!("toolu_{round:02}_last");
        if is_dead {
            forget_the_last_try(&home);
        }
        hook(&home, &session.before_tool(&id, "true"));
        sent.insert(id.clone());
        whole.insert(id);
        let _ = assert_whole(&home, &proxy);
    }
    let hooks = || home.running().hooks;
    assert_eventually!(hooks().spooled == 0 && hooks().events >= whole.len() as u64, "all are recorded");
    let spans = check::tool_spans(&home, &session.session);
    let got: BTreeSet<String> = spans.iter().filter_map(|span| span.tool_use_id.clone()).collect();
    assert_eq!(got.len(), spans.len(), "none is there twice");
    let lost: Vec<_> = whole.difference(&got).collect();
    assert!(lost.is_empty() && got.is_subset(&sent), "{lost:?}");
    summary(&format!(
        "{} hooks, {} of them killed in flight: {} recorded, 0 of {} that ended well lost, 0 doubled",
        sent.len(),
        sent.len() - whole.len(),
        got.len(),
        whole.len()
    ));
}

#[test]
fn commands_killed_in_flight_leave_a_daemon_that_serves_or_comes_back() {
    let mut random = Random::seeded("commands in flight");
    let home = started(NO_UPSTREAM);
    let (proxy, session, mut calls) = (Proxy::of(&home), HookSession::new(), Vec::new());
    let backup = home.work().join("backup");
    let backup = backup.to_str().unwrap();
    let commands: [&[&str]; 5] = [
        &["restart"],
        &["store", "backup", backup],
        &["install", "--no-service"],
        &["start"],
        &["restart", "--now"],
    ];
    let rounds = count(2, 20);
    for round in 0..rounds {
        for (n, args) in commands.into_iter().enumerate() {
            let mut command = home.command(&binary("ccctl"));
            command.args(args);
            let _ = kill_within(&mut random, command, b"", LIFE);
            let id = format!("toolu_{round}_{n}");
            hook(&home, &session.before_tool(&id, "true"));
            calls.push(id);
            assert_eventually!(answers(&proxy), "the port answers after {args:?}");
            // And whoever is killed next comes back as before.
            if round % 2 == 1 {
                assert_eventually!(home.status().is_some() && supervision(&home).is_some(), "it serves");
                kill_all(&home);
                let id = format!("toolu_{round}_{n}_killed");
                hook(&home, &session.before_tool(&id, "true"));
                calls.push(id);
                let _ = assert_whole(&home, &proxy);
            }
        }
    }
    assert_recorded(&home, &session, &calls);
    summary(&format!("{} commands killed in flight, {} events, each recorded once", rounds * 5, calls.len()));
}

/// systemd's own activator, started again whenever it ends, as a service manager does.
struct Activator {
    shell: Child,
}

impl Activator {
    fn start(home: &TestHome, address: &str) -> Self {
        let mut shell = home.command(std::path::Path::new("/bin/sh"));
        let names = ["CCD_HOME", "CCD_UPSTREAM", "CCD_PROXY_LISTEN", "CCD_WEB_LISTEN", "HOME", "PATH"];
        let passed: String = names.iter().flat_map(|name| ["-E ", name, " "]).collect();
        let once = format!(
            "/usr/bin/systemd-socket-activate {passed} -l {address} --fdname=proxy {} supervise",
            binary("ccd").display()
        );
        shell.arg("-c").arg(format!("while :; do {once}; done"));
        shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Activator { shell: shell.spawn().unwrap() }
    }
}

impl Drop for Activator {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

#[test]
fn behind_systemds_activator_everything_comes_back_with_the_next_request() {
    let home = crate::faults::with_fixed_port(TestHome::new(NO_UPSTREAM));
    let env = home.env();
    let listen = env.iter().rev().find(|(name, _)| name == "CCD_PROXY_LISTEN").unwrap().1.to_str().unwrap();
    let activator = Activator::start(&home, listen);
    // It starts the program with the first connection.
    let _first = eventually("the activator listens", || std::net::TcpStream::connect(listen).ok());
    assert_eq!(home.running().proxy.holder, "systemd");
    let (proxy, session, mut calls) = (Proxy::of(&home), HookSession::new(), Vec::new());
    let mut send = |what: &str| {
        let id = format!("toolu_{:03}_{what}", calls.len());
        hook(&home, &session.before_tool(&id, "true"));
        calls.push(id);
    };
    let rounds = count(1, 10);
    for _ in 0..rounds {
        for victim in ["worker", "supervisor", "both"] {
            // It waits for a connection each time; one that the worker before answered on its way out was none.
            assert_eventually!(
                answers(&proxy)
                    && supervision(&home).is_some_and(|told| told.worker.is_some())
                    && home.status().is_some(),
                "a worker serves"
            );
            assert!(!home.layout().revival_note().exists(), "who has a service manager leaves no note");
            send("before");
            let told = supervision(&home).unwrap();
            match victim {
                "worker" => signal(told.worker.unwrap().unsigned_abs(), Signal::KILL),
                "supervisor" => signal(told.supervisor.pid, Signal::KILL),
                _ => kill_all(&home),
            }
            send("meanwhile");
            // Whoever asks is answered: by the one that comes then.
            assert_eventually!(answers(&proxy), "a request after the {victim}'s end is answered");
            send("after");
        }
    }
    assert_recorded(&home, &session, &calls);
    drop(activator);
    assert_silent_end(&home);
    summary(&format!("behind systemd's activator: {} kills, {} events once", rounds * 3, calls.len()));
}

#[track_caller]
fn assert_silent_end(home: &TestHome) {
    let _ = home.ccctl(&["stop"]).ok();
    assert_silent(&home.cc_hook(b"{}"));
    assert_eventually!(
        supervision(home).is_none() && home.status().is_none(),
        "without its activator nobody is left"
    );
}
