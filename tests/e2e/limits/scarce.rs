//! Too few files, threads, or too little address space: no crash, no spinning, a port that is answered, or a start that
//! says what is lacking.

use std::path::Path;
use std::time::Instant;

use ccd_tests::assert_eventually;
use ccd_tests::harness::group::Group;
use ccd_tests::harness::soak::summary;
use ccd_tests::harness::{Daemon, TestHome, binary, run};
use ccd_tests::mock::{Mock, Script};

use super::{World, at_once};
use crate::check;
use crate::proxy::Proxy;

/// A test that needs what only some machines have says so where it is missing; where all are to run, it fails.
pub(super) fn cannot_run(what: &str, why: &str) {
    assert!(std::env::var_os("CI").is_none(), "{what} cannot be tested here: {why}");
    summary(&format!("{what}: NOT TESTED: {why}"));
}

/// Processor time of a process so far, in hundredths of a second.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // Behind the name, which may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// `prlimit LIMIT ccd`.
fn limited(home: &TestHome, limit: &str) -> std::process::Command {
    let mut command = home.command(Path::new("prlimit"));
    command.arg(limit).arg(binary("ccd"));
    command
}

#[test]
fn with_few_files_connections_are_turned_away_and_nothing_breaks() {
    const CLIENTS: usize = 100;
    let mock = Mock::start(Script::new());
    let home = TestHome::new(&mock.url());
    let mut daemon = Daemon::start_as(&home, limited(&home, "--nofile=64:64"));
    let proxy = Proxy::of(&home);
    let message = proxy.message("few-files", "hi", true);
    // All at once, and all stay.
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| proxy.connect()).collect();
    let statuses: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = clients
            .iter_mut()
            .map(|client| {
                let message = &message;
                scope.spawn(move || {
                    client.send(message);
                    let head = client.read_head();
                    let (body, end) = client.read_rest();
                    assert_eq!(end, ccd_tests::harness::wire::BodyEnd::Whole);
                    if head.status() == 503 {
                        assert_eq!(head.header("retry-after"), Some("1"));
                        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
                        assert_eq!(body["type"], "error");
                    }
                    head.status()
                })
            })
            .collect();
        running.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let served = statuses.iter().filter(|status| **status == 200).count();
    let away = statuses.iter().filter(|status| **status == 503).count();
    assert!(served >= 8 && served + away == CLIENTS, "{statuses:?}");
    let told = home.running().proxy;
    assert_eq!((told.turned_away, told.connections), (away as u64, served as u64));
    let shown = home.ccctl(&["status"]).ok().text();
    assert!(shown.contains(&format!("{away} connections turned away")), "{shown}");

    // Those that stay, and others that keep knocking, cost next to nothing.
    let (begun, before) = (Instant::now(), ticks(daemon.pid()));
    let mut asked = 0_u32;
    while begun.elapsed().as_secs() < 2 {
        let _ = home.running();
        asked += 1;
    }
    let percent =
        (ticks(daemon.pid()) - before) * 100 / u64::try_from(begun.elapsed().as_millis() / 10).unwrap();
    // Spinning would be a hundred.
    assert!(percent < 50, "{percent} % of a processor while {asked} questions were answered");
    // They keep their connections and ask nothing: in time, others come in their place.
    let mut come_in = 0;
    assert_eventually!(
        {
            let mut client = proxy.connect();
            client.send(&message);
            come_in += usize::from(client.read_head().status() == 200);
            come_in > 0
        },
        "somebody who rests makes room"
    );
    drop(clients);
    assert_eventually!(home.running().proxy.connections == 0, "they are gone");
    let mut client = proxy.connect();
    client.send(&message);
    assert_eq!(client.read_head().status(), 200, "and all is as it was");
    assert_eventually!(check::exchanges(&home).len() == served + 2, "what was served is recorded");
    assert!(daemon.ended().is_none());
    summary(&format!(
        "64 open files, {CLIENTS} connections at once: {served} served, {away} told to come again, 0 broken; {percent} % \
         of a processor while they stayed, {asked} questions answered"
    ));
}

#[test]
fn the_soft_limit_of_open_files_is_raised() {
    let world = World::start(|home| Daemon::start_as(home, limited(home, "--nofile=64:4096")));
    let clients: Vec<_> = (0..200).map(|_| world.connect()).collect();
    assert_eventually!(world.status().proxy.connections == 200, "all of them are let in");
    drop(clients);
    world.assert_answered();
}

#[test]
fn a_start_that_lacks_threads_or_address_space_says_so() {
    let home = TestHome::new("http://127.0.0.1:9");
    let fails = |command: &mut std::process::Command, words: &[&str]| {
        let out = run(command.arg("run"), b"");
        assert_eq!(out.code, Some(1), "{out}");
        for word in words {
            assert!(out.stderr.contains(word), "{word}: {out}");
        }
        assert!(!out.stderr.contains("panicked"), "{out}");
    };
    // Less would not do to load the program itself, unoptimised as it is here.
    for megabytes in [56, 72, 128] {
        let limit = format!("--as={}", megabytes << 20);
        fails(&mut limited(&home, &limit), &["address space", &format!("{megabytes} MiB")]);
    }
    match Group::threads(4) {
        Ok(group) => fails(&mut group.command(&home, &binary("ccd")), &["3 threads", "pids.max"]),
        Err(why) => return cannot_run("a limit of threads", &why),
    }
    summary("lacking threads or address space: 4 starts ended with a clear error");
}

#[test]
fn with_just_enough_threads_or_address_space_the_port_is_answered() {
    let mut command_of = Vec::new();
    let group = Group::threads(20);
    match &group {
        Ok(group) => command_of.push(("20 threads", Some(group))),
        Err(why) => cannot_run("a limit of threads", why),
    }
    command_of.push(("240 MB of address space", None));
    for (what, group) in &command_of {
        let mock = Mock::start(Script::new());
        let home = TestHome::new(&mock.url());
        let command = match group {
            Some(group) => group.command(&home, &binary("ccd")),
            None => limited(&home, &format!("--as={}", 240 << 20)),
        };
        let mut daemon = Daemon::start_as(&home, command);
        let proxy = Proxy::of(&home);
        let statuses = at_once(16, |n| {
            let mut client = proxy.connect();
            client.send(proxy.message(&format!("scarce-{n}"), &"words ".repeat(100_000), true));
            let status = client.read_head().status();
            assert_eq!(client.read_rest().1, ccd_tests::harness::wire::BodyEnd::Whole, "{what}");
            status
        });
        assert!(statuses.iter().all(|status| *status == 200), "{what}: {statuses:?}");
        let accounted = || check::exchanges(&home).len() as u64 + home.running().capture.dropped == 16;
        assert_eventually!(accounted(), "{what}: each is recorded or counted");
        assert!(daemon.ended().is_none(), "{what}");
        summary(&format!("{what}: 16 streams answered, {} recorded", check::exchanges(&home).len()));
    }
}
