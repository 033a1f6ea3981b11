//! A reply's body: whole, lines as they come, or a file as it is made.
//!
//! A file that is not made to its end must never look whole: the connection is broken off instead.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

/// A reply's body.
pub(crate) enum ApiBody {
    /// Whole.
    Full(Option<Bytes>),
    /// Whole, and something to be done once it is on its way.
    Then(Option<Bytes>, #[allow(dead_code, reason = "it is done by being dropped")] Then),
    /// Lines, as long as somebody sends some.
    Lines(mpsc::Receiver<Bytes>),
    /// A file, up to [`FilePiece::End`].
    File(mpsc::Receiver<FilePiece>),
}

/// A piece of a file.
pub(crate) enum FilePiece {
    /// Some of it.
    Bytes(Bytes),
    /// There is no more of it. Where this does not come, the file is not whole.
    End,
}

/// A file could not be made to its end.
#[derive(Debug, thiserror::Error)]
#[error("the file could not be made to its end")]
pub(crate) struct Cut;

/// Something to be done when this is dropped, as a body is that was handed to the connection.
pub(crate) struct Then(Option<Box<dyn FnOnce() + Send>>);

impl Then {
    pub(super) fn new(work: impl FnOnce() + Send + 'static) -> Self {
        Then(Some(Box::new(work)))
    }
}

impl Drop for Then {
    fn drop(&mut self) {
        if let Some(work) = self.0.take() {
            work();
        }
    }
}

impl ApiBody {
    pub(super) fn full(bytes: Vec<u8>) -> Self {
        ApiBody::Full(Some(bytes.into()).filter(|b: &Bytes| !b.is_empty()))
    }
}

impl Body for ApiBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match self.get_mut() {
            ApiBody::Full(bytes) | ApiBody::Then(bytes, _) => {
                Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b))))
            }
            ApiBody::Lines(rx) => rx.poll_recv(cx).map(|line| line.map(|l| Ok(Frame::data(l)))),
            ApiBody::File(rx) => rx.poll_recv(cx).map(|piece| match piece {
                Some(FilePiece::Bytes(bytes)) => Some(Ok(Frame::data(bytes))),
                Some(FilePiece::End) => None,
                None => Some(Err(Cut)),
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, ApiBody::Full(None) | ApiBody::Then(None, _))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ApiBody::Full(bytes) | ApiBody::Then(bytes, _) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64)
            }
            ApiBody::Lines(_) | ApiBody::File(_) => SizeHint::default(),
        }
    }
}
