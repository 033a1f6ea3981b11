//! Hook frames and replies: any bytes are a frame or refused.
#![no_main]

use ccd_proto::frame::{Frame, decode_reply};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(frame) = Frame::decode(bytes) {
        assert_eq!(frame.body.len(), frame.header.body_len as usize);
    }
    if let Some(reply) = bytes.first_chunk() {
        let _ = decode_reply(reply);
    }
});
