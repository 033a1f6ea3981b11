//! Journal records: any body of any kind and schema decodes or is refused.
#![no_main]

use ccd::ingest::record;
use ccd_store::{Locator, Record};

libfuzzer_sys::fuzz_target!(|input: (u8, u8, &[u8])| {
    let (kind, schema, body) = input;
    let locator = Locator { segment: 1, offset: 0, index: 0 };
    let body = body.to_vec();
    let _ = record::read(&Record { seq: 1, locator, kind, schema, id: [0; 16], at_ns: 0, body });
});
