//! `ccctl store`: what was recorded is checked, copied while more is recorded, and put back elsewhere.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ccd_proto::frame::Status;
use ccd_tests::assert_eventually;
use ccd_tests::harness::events::{HookSession, deliver};
use ccd_tests::harness::wire::BodyEnd;
use ccd_tests::harness::{Daemon, TestHome};
use ccd_tests::mock::{Mock, Script, reply};
use serde_json::Value;

use crate::check;
use crate::proxy::Proxy;

const EXCHANGES: usize = 4;

/// A mock whose answers are long enough to lie in the packs.
fn mock() -> Mock {
    let answer = |n: usize| reply().thinking("Thought about it.").text(&format!("Answer {n}. ").repeat(80));
    Mock::start((0..EXCHANGES).fold(Script::new(), |script, n| script.on(&format!("ASK-{n}"), [answer(n)])))
}

/// Two sessions of hook events, and an exchange for each answer of the mock.
fn record(home: &TestHome) {
    let socket = home.layout().hook_socket();
    for n in 0..2 {
        let session = HookSession::new();
        let id = format!("toolu_{n}");
        for event in [
            session.start(),
            session.prompt("do it"),
            session.before_tool(&id, "ls"),
            session.after_tool(&id, "ls", &"a.txt ".repeat(20_000)),
            session.stop(),
        ] {
            assert_eq!(deliver(&socket, &event).unwrap(), Status::Durable);
        }
    }
    let proxy = Proxy::of(home);
    for n in 0..EXCHANGES {
        let mut wire = proxy.connect();
        wire.send(proxy.message(
            &format!("session-{}", n % 2),
            &format!("ASK-{n} {}", "words ".repeat(300)),
            true,
        ));
        assert_eq!(wire.read_head().status(), 200);
        assert_eq!(wire.read_rest().1, BodyEnd::Whole);
        assert_eventually!(check::exchanges(home).len() == n + 1, "the exchange is recorded");
    }
}

/// Everything that questions answer, bytes too.
fn everything(home: &TestHome) -> Vec<Vec<u8>> {
    let lists: [&[&str]; 5] = [
        &["sessions", "--json"],
        &["usage", "--json"],
        &["turns", "--json"],
        &["traces", "--json", "--content"],
        &["exchanges", "--json"],
    ];
    let mut all: Vec<_> = lists.iter().map(|args| home.ccctl(args).ok().stdout).collect();
    for exchange in check::exchanges(home) {
        for part in ["--request", "--response", "--headers"] {
            all.push(home.ccctl(&["exchange", &exchange.exchange_id, part]).ok().stdout);
        }
    }
    all
}

fn store(home: &TestHome, args: &[&str]) -> Value {
    home.ccctl(&[&["store"], args, &["--json"]].concat()).ok().json()
}

/// Damages the last byte that counts: the file is longer, it has space ahead.
fn flip_last(home: &TestHome) {
    let end = store(home, &["stats"])["journal"]["bytes"].as_u64().unwrap();
    let path = home.layout().store_dir().join("v1/journal/00000001.log");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[usize::try_from(end).unwrap() - 1] ^= 0x55;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_flipped_byte_is_named_with_its_record_and_the_rest_is_served() {
    let mock = mock();
    let home = TestHome::new(&mock.url());
    let _daemon = Daemon::start(&home);
    record(&home);
    let whole = store(&home, &["verify"]);
    assert_eq!(whole["ok"], true, "{whole}");
    assert_eq!(whole["records"], 10 + EXCHANGES);
    let said = home.ccctl(&["store", "verify"]).ok().text();
    assert!(said.starts_with("whole: 14 records, "), "{said}");

    let before = everything(&home);
    let newest =
        check::exchanges(&home).into_iter().max_by(|a, b| a.exchange_id.cmp(&b.exchange_id)).unwrap();
    flip_last(&home);
    let out = home.ccctl(&["store", "verify"]);
    assert_eq!(out.code, Some(1), "{out}");
    let lost = format!("lost: exchange {}, session {}", newest.exchange_id, newest.session_id.unwrap());
    assert!(out.text().contains(&lost), "{out}");
    assert!(
        out.text().contains("journal/00000001.log, bytes ") && out.text().contains(": record 14 is lost"),
        "{out}"
    );
    assert!(out.stderr.contains("everything else in it is served"), "{out}");
    let lists = |all: &[Vec<u8>]| all[..5].to_vec();
    let after: Vec<_> =
        ["sessions", "usage", "turns"].map(|list| home.ccctl(&[list, "--json"]).ok().stdout).into();
    assert_eq!(after, lists(&before)[..3]);
    assert_eq!(home.running().store.damaged, 1);
    let stats = home.ccctl(&["store", "stats"]).ok().text();
    assert!(stats.contains("damage   1 range"), "{stats}");
}

#[test]
fn a_backup_made_while_events_flow_is_put_back_in_another_home() {
    let mock = mock();
    let home = TestHome::new(&mock.url());
    let daemon = Daemon::start(&home);
    record(&home);
    let dir = home.user().join("backup of ccd");
    let dir = dir.to_str().unwrap();
    let (ended, flowing) = (AtomicBool::new(false), HookSession::new());
    let first = thread::scope(|scope| {
        let (ended, home, flowing) = (&ended, &home, &flowing);
        let flow = scope.spawn(move || {
            let mut sent = 0;
            while !ended.load(Ordering::SeqCst) || sent < 50 {
                let event = flowing.before_tool(&format!("toolu_flow_{sent}"), "true");
                assert_eq!(deliver(&home.layout().hook_socket(), &event).unwrap(), Status::Durable);
                sent += 1;
            }
        });
        let made: Vec<Value> = (0..3).map(|_| store(home, &["backup", dir])).collect();
        ended.store(true, Ordering::SeqCst);
        flow.join().unwrap();
        made
    });
    assert!(first.iter().all(|made| made["incomplete"] == serde_json::json!([])), "{first:?}");

    let other = TestHome::new("http://127.0.0.1:9");
    let restored = Daemon::start(&other);
    let asked = other.ccctl(&["store", "restore", dir]);
    assert_eq!(asked.code, Some(2), "nobody can be asked: {asked}");
    let _ = other.ccctl(&["store", "restore", dir, "--yes"]).ok();
    assert_eq!(store(&other, &["verify"])["ok"], true, "a backup from amid the flow is whole");

    // Brought up to date with nothing flowing, it tells the same to the byte.
    let said = home.ccctl(&["store", "backup", dir]).ok().text();
    assert!(said.starts_with("backed up "), "{said}");
    assert_eq!(store(&home, &["backup", dir])["copied_files"], 0, "what stands is not copied again");
    let put_back = store(&other, &["restore", dir, "--yes"]);
    assert!(put_back["previous"].as_str().unwrap().ends_with("/v1.before-restore-2"), "{put_back}");
    assert_eq!(everything(&other), everything(&home));
    let rebuilt = store(&other, &["rebuild"]);
    assert_eq!(rebuilt["records"], put_back["records"]);
    assert_eq!(everything(&other), everything(&home));

    // It is a store like any other.
    restored.kill9();
    let _daemon = Daemon::start(&other);
    assert_eventually!(
        other.running().store.records == put_back["records"].as_u64().unwrap(),
        "it is all there"
    );
    assert_eq!(other.running().store.damaged, 0);
    daemon.stop(&home);
    assert_eq!(home.ccctl(&["store", "stats"]).code, Some(3));
}
