//! The hook frame: how one Claude Code hook event travels from `cc-hook` to `ccd`, over `hook.sock` or as a
//! file in the spool.
//!
//! ```text
//! offset  size  field
//!      0     2  magic "CH"
//!      2     1  frame version (1)
//!      3     1  kind: 0 event, 1 probe (answered, never recorded)
//!      4     4  body length, big-endian
//!      8     8  arrival, nanoseconds since the Unix epoch, big-endian
//!     16     n  body: stdin's bytes, untouched
//!   16+n     2  length of the client's name, big-endian
//!   18+n     m  the client's name and version, as the hook's environment gives it (`AI_AGENT`)
//! ```
//!
//! Hook payloads carry neither a time nor the client's version, so the shim adds both. The same bytes
//! delivered twice (acknowledged too late, then spooled) are one event: arrival and body identify it.
//!
//! The reply is 8 bytes, then a body: what `cc-hook` shall print (empty unless the daemon decided something).
//!
//! Where it has printed a body, whole, the shim sends one byte back, [`PRINTED`]: the daemon then knows that the client
//! was told, and waits for it no longer than [`PRINTED_MS`]. Without it, nothing is known: the shim may be an older one,
//! its time may have been over. The byte is sent once and never answered, so that either side may be of a version that
//! knows nothing of it.
//!
//! This module must never allocate by what a length field claims before that length was checked.

/// First bytes of every frame.
pub const MAGIC: [u8; 2] = *b"CH";
/// First bytes of every reply.
pub const REPLY_MAGIC: [u8; 2] = *b"CR";
/// The frame version written by this build.
pub const VERSION: u8 = 1;
/// Size of the fixed header in bytes.
pub const HEADER_LEN: usize = 16;
/// Size of the fixed part of a reply in bytes.
pub const REPLY_LEN: usize = 8;
/// Largest event accepted, in bytes. A 3 MB Write makes a 7 MB payload; 64 MiB leaves room for far worse.
pub const MAX_BODY: usize = 64 << 20;
/// Largest client name accepted, in bytes.
pub const MAX_CLIENT: usize = 256;
/// What the shim sends back once it has printed what the reply held.
pub const PRINTED: u8 = b'P';
/// How long that byte is waited for, in milliseconds.
pub const PRINTED_MS: u64 = 100;
/// Largest decision that a reply may carry, in bytes.
pub const MAX_REPLY_BODY: usize = 1 << 20;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A hook event to be recorded.
    Event,
    /// A proof that the way is open: answered, never recorded.
    Probe,
}

/// The fixed header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the frame is for.
    pub kind: Kind,
    /// Length of the body in bytes.
    pub body_len: u32,
    /// When the shim started, nanoseconds since the Unix epoch.
    pub arrived_ns: u64,
}

/// Why a frame or reply cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The first bytes are not ours.
    BadMagic,
    /// Written by a build with another frame version.
    BadVersion(u8),
    /// An unknown kind of frame.
    BadKind(u8),
    /// The body is longer than [`MAX_BODY`].
    TooLong(u64),
    /// The frame ends before its lengths say so.
    Truncated,
    /// Bytes follow after the frame's end.
    Trailing,
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FrameError::BadMagic => f.write_str("not a hook frame (wrong magic)"),
            FrameError::BadVersion(v) => write!(f, "hook frame version {v}; this build reads {VERSION}"),
            FrameError::BadKind(k) => write!(f, "unknown hook frame kind {k}"),
            FrameError::TooLong(n) => write!(f, "hook frame of {n} bytes; the limit is {MAX_BODY}"),
            FrameError::Truncated => f.write_str("hook frame ends early"),
            FrameError::Trailing => f.write_str("bytes after the end of the hook frame"),
        }
    }
}

impl std::error::Error for FrameError {}

impl Header {
    /// The header's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[..2].copy_from_slice(&MAGIC);
        out[2] = VERSION;
        out[3] = match self.kind {
            Kind::Event => 0,
            Kind::Probe => 1,
        };
        out[4..8].copy_from_slice(&self.body_len.to_be_bytes());
        out[8..].copy_from_slice(&self.arrived_ns.to_be_bytes());
        out
    }

    /// Reads a header and checks its limits.
    pub fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Self, FrameError> {
        let [m0, m1, version, kind, l0, l1, l2, l3, time @ ..] = *bytes;
        if [m0, m1] != MAGIC {
            return Err(FrameError::BadMagic);
        }
        if version != VERSION {
            return Err(FrameError::BadVersion(version));
        }
        let kind = match kind {
            0 => Kind::Event,
            1 => Kind::Probe,
            other => return Err(FrameError::BadKind(other)),
        };
        let body_len = u32::from_be_bytes([l0, l1, l2, l3]);
        if body_len as usize > MAX_BODY {
            return Err(FrameError::TooLong(u64::from(body_len)));
        }
        Ok(Header { kind, body_len, arrived_ns: u64::from_be_bytes(time) })
    }
}

/// A whole frame, as found in a spool file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The fixed header.
    pub header: Header,
    /// stdin's bytes.
    pub body: &'a [u8],
    /// The client's name and version, or empty.
    pub client: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads a frame that fills `bytes` exactly.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let (head, rest) = bytes.split_first_chunk::<HEADER_LEN>().ok_or(FrameError::Truncated)?;
        let header = Header::decode(head)?;
        let (body, rest) = rest.split_at_checked(header.body_len as usize).ok_or(FrameError::Truncated)?;
        let (len, rest) = rest.split_first_chunk::<2>().ok_or(FrameError::Truncated)?;
        let (client, rest) =
            rest.split_at_checked(usize::from(u16::from_be_bytes(*len))).ok_or(FrameError::Truncated)?;
        if !rest.is_empty() {
            return Err(FrameError::Trailing);
        }
        Ok(Frame { header, body, client })
    }
}

/// What follows the body: the length of the client's name, then the name (cut at [`MAX_CLIENT`]).
#[must_use]
pub fn trailer(client: &[u8]) -> Vec<u8> {
    let client = &client[..client.len().min(MAX_CLIENT)];
    let mut out = Vec::with_capacity(2 + client.len());
    // `client` is at most MAX_CLIENT bytes, which fits.
    out.extend_from_slice(&u16::try_from(client.len()).unwrap_or(0).to_be_bytes());
    out.extend_from_slice(client);
    out
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is on disk: nothing short of losing the disk loses it.
    Durable,
    /// It was not taken: the shim spools it.
    Refused,
}

/// The fixed part of a reply: status and the length of the body that follows.
#[must_use]
pub fn encode_reply(status: Status, body_len: u32) -> [u8; REPLY_LEN] {
    let mut out = [0; REPLY_LEN];
    out[..2].copy_from_slice(&REPLY_MAGIC);
    out[2] = VERSION;
    out[3] = match status {
        Status::Durable => 0,
        Status::Refused => 1,
    };
    out[4..].copy_from_slice(&body_len.to_be_bytes());
    out
}

/// Reads the fixed part of a reply.
pub fn decode_reply(bytes: &[u8; REPLY_LEN]) -> Result<(Status, u32), FrameError> {
    let [m0, m1, version, status, len @ ..] = *bytes;
    if [m0, m1] != REPLY_MAGIC {
        return Err(FrameError::BadMagic);
    }
    if version != VERSION {
        return Err(FrameError::BadVersion(version));
    }
    let status = match status {
        0 => Status::Durable,
        1 => Status::Refused,
        other => return Err(FrameError::BadKind(other)),
    };
    let len = u32::from_be_bytes(len);
    if len as usize > MAX_REPLY_BODY {
        return Err(FrameError::TooLong(u64::from(len)));
    }
    Ok((status, len))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(body: &[u8], client: &[u8]) -> Vec<u8> {
        let header =
            Header { kind: Kind::Event, body_len: u32::try_from(body.len()).unwrap(), arrived_ns: 42 };
        [&header.encode()[..], body, &trailer(client)].concat()
    }

    #[test]
    fn a_frame_comes_back_as_it_went() {
        let bytes = frame(b"{\"a\":1}\n", b"claude-code_2-1-329_harness");
        let got = Frame::decode(&bytes).unwrap();
        assert_eq!(got.body, b"{\"a\":1}\n");
        assert_eq!(got.client, b"claude-code_2-1-329_harness");
        assert_eq!(got.header.arrived_ns, 42);
    }

    #[test]
    fn every_cut_of_a_frame_is_truncated_and_never_a_panic() {
        let bytes = frame(b"payload", b"client");
        for n in 0..bytes.len() {
            assert_eq!(Frame::decode(&bytes[..n]), Err(FrameError::Truncated), "cut at {n}");
        }
        let longer = [&bytes[..], b"x"].concat();
        assert_eq!(Frame::decode(&longer), Err(FrameError::Trailing));
    }

    #[test]
    fn foreign_headers_are_refused_by_name() {
        let good = Header { kind: Kind::Probe, body_len: 0, arrived_ns: 0 }.encode();
        for (at, value, want) in [
            (0, b'X', FrameError::BadMagic),
            (2, 9, FrameError::BadVersion(9)),
            (3, 7, FrameError::BadKind(7)),
            (4, 0xff, FrameError::TooLong(0xff00_0000)),
        ] {
            let mut bad = good;
            bad[at] = value;
            assert_eq!(Header::decode(&bad), Err(want));
        }
    }

    #[test]
    fn replies_carry_status_and_length() {
        assert_eq!(decode_reply(&encode_reply(Status::Durable, 0)), Ok((Status::Durable, 0)));
        assert_eq!(decode_reply(&encode_reply(Status::Refused, 12)), Ok((Status::Refused, 12)));
        assert_eq!(decode_reply(b"xxxxxxxx"), Err(FrameError::BadMagic));
    }
}
