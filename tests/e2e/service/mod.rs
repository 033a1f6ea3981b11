//! The service under systemd's own user manager: real units, real sockets, real kills.
//!
//! Skipped, with the reason printed, only where the machine refuses namespaces or control groups: without them there is
//! no manager of the test's own.

mod adopt;
mod life;

use ccd_tests::harness::{TestHome, UserManager};

/// A manager for this home; none where the machine allows none, which is said.
#[allow(clippy::print_stdout, reason = "a test that cannot run must say so")]
fn manager(home: &TestHome) -> Option<UserManager<'_>> {
    match UserManager::start(home) {
        Ok(manager) => Some(manager),
        Err(why) => {
            println!("SKIPPED, no user manager of our own: {why}");
            None
        }
    }
}

/// The units, the sockets first.
const UNITS: [&str; 3] = ["ccd.socket", "ccd-web.socket", "ccd.service"];
