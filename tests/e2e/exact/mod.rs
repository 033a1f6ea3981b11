//! Nobody can tell whether the proxy is there: not by what upstream is asked, not by what the client is answered, not
//! by how anything ends. The same exchange goes to the same scripted upstream twice, directly and through the proxy,
//! and what both ends saw is compared; and what cannot be had directly (an attack, a dead upstream) is held against
//! what a careful gateway does.
//!
//! Never compared: what belongs to one connection (hop-by-hop headers, chunk boundaries, TCP segments) and `Host`.
//! No time is asserted but by generous bounds; what was measured is printed.

mod attack;
mod cases;
mod client;
mod corners;
mod cuts;
mod differential;
mod gaps;
mod h2;
mod large;
mod leaving;
mod origin;
mod stalls;
mod strict;
mod suspend;
mod unreachable;

use ccd_proto::api::{Exchange, ExchangeDetail, Exchanges};
use ccd_tests::harness::raw::Message;
use ccd_tests::harness::{Control, Daemon, TestHome, eventually};

use client::Way;
use origin::Origin;

/// A daemon whose upstream is an [`Origin`].
struct World {
    // Before its home: fields are dropped in their order.
    daemon: Daemon,
    home: TestHome,
    origin: Origin,
}

impl World {
    fn new(origin: Origin) -> Self {
        let home = origin.home();
        let daemon = Daemon::start(&home);
        World { daemon, home, origin }
    }

    fn direct(&self) -> Way {
        self.origin.direct()
    }

    fn proxied(&self) -> Way {
        Way::through(&self.home)
    }

    /// Waits for the one exchange that names this session.
    #[track_caller]
    fn recorded(&self, session: &str) -> Exchange {
        eventually("the exchange is recorded", || {
            let found: Option<Exchanges> =
                Control::of(&self.home).ask(&format!("/v0/exchanges?session={session}"));
            let mut found = found?.exchanges;
            assert!(found.len() < 2, "recorded twice: {found:?}");
            found.pop()
        })
    }

    /// Asserts that this is the proxy's own answer where upstream failed, in the API's shape.
    #[track_caller]
    fn bad_gateway(&self, got: &Message, what: &str) {
        assert!(matches!(got.head.status(), 502 | 504), "{what}: {:?}", got.head);
        assert!(got.head.header("x-ccd-error").is_some(), "{what}: {:?}", got.head);
        assert_eq!(got.head.header("content-type"), Some("application/json"), "{what}");
        let body: serde_json::Value = serde_json::from_slice(&got.body).expect("JSON");
        assert_eq!((&body["type"], &body["error"]["type"]), (&"error".into(), &"api_error".into()), "{what}");
        assert!(body["error"]["message"].as_str().is_some_and(|text| !text.is_empty()), "{what}: {body}");
        let status = self.home.running().proxy;
        assert!(status.last_error.is_some() && status.errors > 0, "{what}: {status:?}");
    }

    /// What is recorded of an exchange.
    #[track_caller]
    fn detail(&self, id: &str) -> ExchangeDetail {
        eventually("the exchange is shown", || Control::of(&self.home).ask(&format!("/v0/exchanges/{id}")))
    }

    /// The captured body, `request` or `response`.
    #[track_caller]
    fn body(&self, id: &str, which: &str) -> Vec<u8> {
        let (status, body) =
            Control::of(&self.home).get(&format!("/v0/exchanges/{id}/{which}")).expect("an answer");
        assert_eq!(status, 200, "{which} of {id}");
        body
    }

    /// Whether the captured body is what came; where chance has made something that looks like a credential, whether it is
    /// once that is put back.
    #[track_caller]
    fn keeps(&self, id: &str, which: &str, came: &[u8]) -> bool {
        let kept = self.body(id, which);
        is_kept_as(came, &kept) || {
            let side = format!("--{which}");
            String::from_utf8_lossy(&kept).contains("[redacted:")
                && self.home.ccctl(&["exchange", id, &side, "--reveal"]).ok().stdout == came
        }
    }
}

/// The most memory that a process ever held, in bytes; none where the system does not tell.
fn peak_memory(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kib| kib << 10)
}

/// Whether what broke off is kept as it came, up to a last word that may be half of a credential.
fn is_kept_as_cut(came: &[u8], kept: &[u8]) -> bool {
    let mark = b"[unscanned ";
    let end = kept.windows(mark.len()).rposition(|part| part == mark);
    kept == came || end.is_some_and(|end| came.starts_with(&kept[..end]) && kept.ends_with(b" bytes]"))
}

/// Whether a body that came like this may be on record like that: a text byte for byte; what is no text was not looked through
/// for credentials, and so is not kept, which the record says.
fn is_kept_as(came: &[u8], kept: &[u8]) -> bool {
    let is_text = std::str::from_utf8(came).is_ok() && !came.contains(&0);
    kept == came || (!is_text && String::from_utf8_lossy(kept).contains("[unscanned "))
}
