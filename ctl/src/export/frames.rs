//! The frames that an export comes in: a line of JSON, then so many bytes of the file. Each is handed on whole.

use ccd_proto::api::ExportFrame;

use crate::client::decode;
use crate::error::{CommandError, Result};

/// Longest line that a frame may open with.
const LINE: usize = 64 << 10;
/// Most bytes of one frame: a piece, and an entry with two bodies of the largest size behind it.
const MOST: u64 = 1 << 30;

/// Puts frames together.
#[derive(Default)]
pub(super) struct Frames {
    held: Vec<u8>,
    /// How far it was looked through for the end of a line.
    looked: usize,
    open: Option<ExportFrame>,
}

impl Frames {
    /// Takes what came, and hands on what is whole.
    pub(super) fn take(
        &mut self,
        piece: &[u8],
        each: &mut dyn FnMut(ExportFrame, &[u8]) -> Result<()>,
    ) -> Result<()> {
        self.held.extend_from_slice(piece);
        let mut at = 0;
        loop {
            if self.open.is_none() {
                let from = at.max(self.looked);
                let Some(end) = self.held[from..].iter().position(|b| *b == b'\n') else {
                    if self.held.len() - at > LINE {
                        return Err(strange());
                    }
                    self.looked = self.held.len();
                    break;
                };
                let frame: ExportFrame = decode(&self.held[at..from + end])?;
                if frame.bytes > MOST {
                    return Err(strange());
                }
                at = from + end + 1;
                self.looked = at;
                self.open = Some(frame);
            }
            let bytes =
                self.open.as_ref().map_or(0, |frame| usize::try_from(frame.bytes).unwrap_or(usize::MAX));
            let Some(content) = self.held.get(at..at.saturating_add(bytes)) else { break };
            if let Some(frame) = self.open.take() {
                each(frame, content)?;
            }
            at += bytes;
            self.looked = at;
        }
        self.held.drain(..at);
        self.looked = self.looked.saturating_sub(at);
        Ok(())
    }
}

fn strange() -> CommandError {
    CommandError::failed("the daemon's answer is no export")
        .hint("ccctl and the daemon may be of different versions: `ccctl restart` brings them together")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frames_are_the_same_however_they_come(contents in prop::collection::vec("[a{}\n\"]{0,20}", 0..8), size in 1usize..40) {
            let mut wire = Vec::new();
            for (n, content) in (0u64..).zip(&contents) {
                let frame = ExportFrame { bytes: content.len() as u64, entries: n, ..ExportFrame::default() };
                wire.extend(serde_json::to_vec(&frame).unwrap());
                wire.push(b'\n');
                wire.extend(content.as_bytes());
            }
            let (mut frames, mut got) = (Frames::default(), Vec::new());
            for piece in wire.chunks(size) {
                frames.take(piece, &mut |frame, bytes| {
                    got.push((frame.entries, String::from_utf8(bytes.to_vec()).unwrap()));
                    Ok(())
                }).unwrap();
            }
            prop_assert!(frames.held.is_empty());
            let want: Vec<_> = (0u64..).zip(contents).collect();
            prop_assert_eq!(got, want);
        }

        #[test]
        fn anything_else_is_an_error_or_waits(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Frames::default().take(&bytes, &mut |_, _| Ok(()));
        }
    }
}
