//! What the product promises whatever fails beneath it: killed at any moment, a disk that is full or broken,
//! files damaged, two daemons at once, more events than it can take.
//!
//! Each test has a short form, which always runs, and a long one (`tests/run.sh --soak`), and ends with one line
//! of what it counted. What is random is random on purpose; its seed is printed. No time is asserted.

mod burst;
mod damage;
#[cfg(target_os = "linux")]
mod disk;
#[cfg(target_os = "linux")]
mod full;
#[cfg(target_os = "linux")]
mod gone;
mod kills;
pub(crate) mod load;
mod many;
mod prune;

use ccd_proto::api::Status;
use ccd_tests::harness::soak::Random;
use ccd_tests::harness::{Control, TestHome, eventually};

/// No hook event goes to an upstream.
const NO_UPSTREAM: &str = "http://127.0.0.1:9";

/// The same home, its proxy on one port for ever, as an installed one is. The port is none that the system hands
/// out by itself, so that nobody takes it while the daemon is down.
pub(crate) fn with_fixed_port(home: TestHome) -> TestHome {
    let mut random = Random::of(&home.ccd().display().to_string());
    let free = eventually("a free port", || {
        let address = format!("127.0.0.1:{}", 11_000 + random.below(20_000));
        std::net::TcpListener::bind(&address).ok().map(|_| address)
    });
    home.with_env("CCD_PROXY_LISTEN", free)
}

/// The daemon's status, which it gives whatever has happened to its store.
#[track_caller]
fn status(home: &TestHome) -> Status {
    let control = Control::of(home);
    eventually("the daemon tells its status", || control.ask("/v0/status"))
}

/// Milliseconds, for summaries.
fn millis(duration: std::time::Duration) -> u128 {
    duration.as_millis()
}
