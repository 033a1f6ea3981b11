//! Nothing can be captured: requests go through all the same, each is counted, and it ends by itself.

use ccd_tests::assert_eventually;
use ccd_tests::harness::soak::summary;
use ccd_tests::harness::{Daemon, TestHome, eventually};
use ccd_tests::mock::{Mock, Script};

use crate::check;
use crate::faults::load::Streams;

#[test]
fn a_store_that_cannot_be_used_is_spared_and_taken_up_again() {
    let mock = Mock::start(Script::new());
    let home = TestHome::new(&mock.url());
    // A store of a version to come is left alone.
    let newer = home.layout().store_dir().join("v2/journal");
    std::fs::create_dir_all(&newer).unwrap();
    std::fs::write(newer.join("00000001.log"), "of a version to come").unwrap();
    let daemon = Daemon::start(&home);
    let proxy = || home.running().proxy;
    let reason = eventually("the reason is told", || proxy().bypass_reason);
    assert!(reason.contains("newer ccd") && proxy().bypass, "{reason}");
    let shown = home.ccctl(&["status"]).ok().text();
    assert!(shown.contains("nothing is captured") && shown.contains("newer ccd"), "{shown}");

    let streams = Streams::of(&home);
    // At first it may be over in a moment, and exchanges are held for it; then they are relayed only.
    assert_eventually!(streams.stream("relayed") && proxy().relayed >= 3, "requests are relayed");
    for sent in mock.ledger() {
        streams.assert_relayed(&sent);
    }
    let sent = streams.whole() as u64;
    assert_eventually!(home.running().capture.dropped == sent, "each of {sent} is counted");
    let relayed = proxy().relayed;
    let shown = home.ccctl(&["status"]).ok().text();
    assert!(shown.contains(&format!("{relayed} relayed only")), "{shown}");

    std::fs::remove_dir_all(home.layout().store_dir().join("v2")).unwrap();
    assert_eventually!(!proxy().bypass && proxy().bypass_reason.is_none(), "it ends by itself");
    assert!(streams.stream("captured"));
    assert_eventually!(check::exchanges(&home).len() == 1, "and the next one is captured");
    assert_eq!((proxy().relayed, home.running().capture.dropped), (relayed, sent));
    assert_eventually!(home.running().capture.gaps == sent, "what was missed stays counted");
    daemon.stop(&home);
    let daemon = Daemon::start(&home);
    assert_eventually!(home.running().capture.gaps == sent, "beyond a restart");
    assert_eq!(home.running().capture.dropped, 0);
    daemon.stop(&home);
    summary(&format!(
        "bypass: {sent} streams byte-identical, {relayed} of them relayed only, all counted; 1 captured after"
    ));
}
