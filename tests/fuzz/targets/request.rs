//! Request bodies: any bytes are read.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some(members) = ccd::project::members::read(bytes) {
        let _ = ccd::project::request::read(&members);
    }
});
