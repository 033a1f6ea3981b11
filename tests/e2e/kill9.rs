//! `kill -9` of the daemon amid its work: what it acknowledged is there at its next start, and only once.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use ccd_proto::frame::Status;
use ccd_tests::assert_eventually;
use ccd_tests::harness::events::{HookSession, deliver};
use ccd_tests::harness::wire::BodyEnd;
use ccd_tests::harness::{Daemon, TestHome};
use ccd_tests::mock::{Mock, Script, reply, sha256};

use crate::check;
use crate::proxy::Proxy;

/// What a run of writers knows when the daemon is gone.
#[derive(Default)]
struct Run {
    /// Calls whose event the daemon acknowledged.
    acknowledged: Mutex<BTreeSet<String>>,
    /// Events sent.
    sent: AtomicU64,
}

impl Run {
    /// Sends events until the daemon is gone.
    fn write(&self, home: &TestHome, session: &HookSession, writer: &str) {
        let socket = home.layout().hook_socket();
        for n in 0.. {
            let id = format!("toolu_{writer}_{n:05}");
            self.sent.fetch_add(1, Ordering::SeqCst);
            match deliver(&socket, &session.before_tool(&id, "true")) {
                Ok(Status::Durable) => drop(self.acknowledged.lock().unwrap().insert(id)),
                Ok(Status::Refused) | Err(_) => return,
            }
        }
    }

    fn acknowledged(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }
}

#[test]
fn acknowledged_events_survive_three_kills_and_count_once() {
    let home = TestHome::new("http://127.0.0.1:9");
    let (session, run) = (HookSession::new(), Run::default());
    for round in 0..3 {
        let daemon = Daemon::start(&home);
        let before = run.acknowledged();
        thread::scope(|scope| {
            for writer in 0..4 {
                let (run, home, session) = (&run, &home, &session);
                scope.spawn(move || run.write(home, session, &format!("{round}_{writer}")));
            }
            assert_eventually!(run.acknowledged() >= before + 100, "100 events are acknowledged");
            daemon.kill9();
        });
    }
    let _daemon = Daemon::start(&home);
    let spans = check::tool_spans(&home, &session.session);
    let recorded: BTreeSet<String> = spans.iter().filter_map(|span| span.tool_use_id.clone()).collect();
    assert_eq!(recorded.len(), spans.len(), "no call is two spans");
    let acknowledged = run.acknowledged.lock().unwrap();
    let lost: Vec<_> = acknowledged.difference(&recorded).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    // An event whose acknowledgement the kill swallowed may be there, but none that was not sent.
    let events = home.running().hooks.events;
    assert_eq!(events, recorded.len() as u64, "each event counts once");
    assert!(events <= run.sent.load(Ordering::SeqCst));
    assert_eq!(home.running().store.damaged, 0, "a torn end is no damage");
}

#[test]
fn events_spooled_while_the_daemon_was_dead_are_ingested_and_never_counted_twice() {
    let home = TestHome::new("http://127.0.0.1:9");
    let session = HookSession::new();
    let daemon = Daemon::start(&home);
    let _ = home.cc_hook(&session.before_tool("toolu_before", "true")).ok();
    // A machine that is busy spools even this one, for a moment.
    assert_eventually!(home.running().hooks.events == 1 && home.spool().is_empty(), "the first is recorded");
    daemon.kill9();
    for n in 0..20 {
        let _ = home.cc_hook(&session.before_tool(&format!("toolu_dead_{n}"), "true")).ok();
    }
    let spooled: Vec<_> = home.spool().into_iter().map(|p| (std::fs::read(&p).unwrap(), p)).collect();
    assert_eq!(spooled.len(), 20, "the dead daemon's socket is no place to leave events");

    let recorded = || home.running().hooks;
    let daemon = Daemon::start(&home);
    assert_eventually!(recorded().events == 21 && recorded().spooled == 0, "the spool is ingested");
    // Killed between recording an event and deleting its file, the daemon finds it again.
    daemon.kill9();
    for (bytes, path) in &spooled {
        std::fs::write(path, bytes).unwrap();
    }
    let _daemon = Daemon::start(&home);
    assert_eventually!(home.spool().is_empty(), "the spool is ingested again");
    assert_eq!(recorded().events, 21);
    assert_eq!(check::tool_spans(&home, &session.session).len(), 21);
}

#[test]
fn exchanges_that_were_recorded_survive_a_kill_amid_other_streams() {
    let long = reply().block(ccd_tests::mock::Block::Text {
        text: "word ".repeat(2_000),
        deltas: 2_000,
        citations: Vec::new(),
    });
    let mock = Mock::start(
        Script::new()
            .on("SHORT", [reply().thinking_omitted().text("A short answer.")])
            .on("LONG", [long.pace(Duration::from_millis(20))]),
    );
    let home = TestHome::new(&mock.url());
    let daemon = Daemon::start(&home);
    let proxy = Proxy::of(&home);

    let mut long: Vec<_> = (0..4)
        .map(|n| {
            let mut wire = proxy.connect();
            wire.send(proxy.message(&format!("long-{n}"), "LONG", true));
            assert_eq!(wire.read_head().status(), 200);
            let _ = wire.read_body(1_000);
            wire
        })
        .collect();
    let short: BTreeSet<String> = (0..10)
        .map(|n| {
            let mut wire = proxy.connect();
            wire.send(proxy.message(&format!("short-{n}"), "SHORT", true));
            assert_eq!(wire.read_head().status(), 200);
            let (body, end) = wire.read_rest();
            assert_eq!(end, BodyEnd::Whole);
            sha256(&body)
        })
        .collect();
    assert_eventually!(
        check::exchanges(&home).iter().filter(|got| got.complete).count() == short.len(),
        "the short ones are recorded"
    );
    daemon.kill9();
    for wire in &mut long {
        assert_eq!(wire.read_rest().1, BodyEnd::Cut);
    }

    let _daemon = Daemon::start(&home);
    let (whole, cut): (Vec<_>, Vec<_>) = check::exchanges(&home).into_iter().partition(|got| got.complete);
    let bodies: BTreeSet<String> = whole
        .iter()
        .map(|got| sha256(&home.ccctl(&["exchange", &got.exchange_id, "--response"]).ok().stdout))
        .collect();
    assert_eq!(bodies, short, "every recorded exchange is served, byte for byte");
    assert_eq!(whole.len(), short.len(), "and once");
    assert!(cut.len() <= long.len(), "what the kill cut is never passed off as whole");
}
