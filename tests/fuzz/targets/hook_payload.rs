//! Hook payloads, and the session that they make: any bytes are an event or tell nothing.
#![no_main]

use ccd::project::hook;
use ccd::project::price::Prices;
use ccd::project::session::{Fact, SessionState};
use ccd_store::Locator;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut state = SessionState::new("s");
    for (i, line) in bytes.split(|b| *b == b'\n').enumerate() {
        if let Some(facts) = hook::read(i as u64, b"client", line) {
            state.apply(&Fact::Hook(Box::new(facts)), Locator { segment: 1, offset: i as u32, index: 0 });
        }
    }
    let _ = state.view(&Prices::new(&Default::default()));
});
