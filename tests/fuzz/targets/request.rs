//! Request bodies: any bytes are read.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = ccd::project::request::read(bytes);
});
