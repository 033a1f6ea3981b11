//! Response bodies: any bytes decode within the limits, split into events, and assemble.
#![no_main]

use ccd::project::{decode, message, sse};

libfuzzer_sys::fuzz_target!(|input: (u8, &[u8])| {
    let (kind, bytes) = input;
    let encoding = ["", "gzip", "deflate", "br", "zstd", "gzip, br"][usize::from(kind) % 6];
    let decoded = decode::decode(bytes, encoding);
    let mut end = 0;
    for event in sse::Events::new(&decoded.bytes) {
        assert!(event.range.start >= end && event.range.end > event.range.start);
        end = event.range.end;
    }
    for answer in [message::from_stream(&decoded.bytes), message::from_json(&decoded.bytes)] {
        let _ = (answer.usage(), answer.reasoning(true), answer.text());
    }
});
