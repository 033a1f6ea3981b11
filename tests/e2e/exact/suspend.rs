//! The machine sleeps, and upstream closes the connections that nobody used meanwhile: the next request goes through
//! at once, and upstream sees it once.

use std::time::Duration;

use ccd_tests::assert_eventually;
use ccd_tests::harness::soak::{count, summary};

use super::World;
use super::client::Request;
use super::origin::{Cut, Flaw, Origin, Script, Step};

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// One connection that both know, which upstream then ends `how`, while the daemon is frozen.
fn wakes_up(world: &World, how: Cut, round: usize) {
    let way = world.proxied();
    let (made, _) = world.origin.connections();
    let gone = std::sync::Arc::<std::sync::atomic::AtomicU64>::default();
    let mut script = Script::answer([ANSWER]);
    script.steps.extend([Step::Await(gone.clone(), 1), Step::End(how)]);
    world.origin.reset();
    world.origin.play([script]);
    let mut client = way.connect();
    let before = Request::post(&format!("before-{how:?}-{round}"), b"{}");
    assert_eq!(client.exchange(&way, &before).map(|got| got.body), Some(b"ok".to_vec()));
    world.origin.seen(1);
    let (_, ended) = world.origin.connections();
    world.daemon.freeze();
    gone.store(1, std::sync::atomic::Ordering::SeqCst);
    assert_eventually!(world.origin.connections().1 > ended, "upstream has ended its connection");
    world.origin.play([Script::answer([ANSWER])]);
    // Written while the daemon sleeps, as by a client that wakes up first.
    let after = Request::post(&format!("after-{how:?}-{round}"), b"{\"x\":1}");
    client.send(&[after.head(&way), after.body()].concat());
    std::thread::sleep(Duration::from_millis(count(50, 5_000) as u64));
    world.daemon.thaw();
    let got = client.response("POST").expect("the client's own connection lives");
    assert_eq!((got.head.status(), got.body.as_slice()), (200, &b"ok"[..]), "{how:?}: {:?}", got.head);
    assert_eq!(world.origin.seen(1)[0].body, b"{\"x\":1}");
    assert!(world.origin.connections().0 > made, "over a connection of its own");
}

#[test]
fn after_a_sleep_the_next_request_goes_through_and_once() {
    for origin in [Origin::plain(), Origin::tls(Flaw::Nothing)] {
        let world = World::new(origin);
        let rounds = count(5, 50);
        for round in 0..rounds {
            for how in [Cut::Fin, Cut::Rst, Cut::NoFarewell] {
                wakes_up(&world, how, round);
            }
        }
        assert_eq!(world.home.running().proxy.errors, 0);
        summary(&format!(
            "F20: {} sleeps in which upstream closed its connection: no request failed",
            3 * rounds
        ));
    }
}
