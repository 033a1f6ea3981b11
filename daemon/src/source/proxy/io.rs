//! The connection to upstream as bytes: TCP, TLS over it, or TLS inside the TLS of the network's own proxy.
//!
//! A connection that rested is looked at by the system's own eyes before it is used again. And what comes back is shown
//! to whoever looks for informational responses in it.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::interim::Interim;
use super::outlet::ToClient;

/// A connection to upstream, and whether it is to be looked at afresh.
pub(super) struct Io {
    stream: Stream,
    suspect: Suspect,
    inform: Inform,
    /// Of the request that is under way, until the final head.
    interim: Option<Interim>,
}

/// The bytes' way.
pub(super) enum Stream {
    /// Plain HTTP.
    Tcp(TcpStream),
    /// TLS.
    Tls(Box<TlsStream<TcpStream>>),
    /// TLS through a proxy that is itself spoken to over TLS.
    Nested(Box<TlsStream<TlsStream<TcpStream>>>),
    /// Both ends are the test's.
    #[cfg(test)]
    Memory(tokio::io::DuplexStream),
}

/// Has the next read ask the system itself, and not just the runtime, which may not have noticed yet that the peer is
/// gone.
#[derive(Clone, Default)]
pub(super) struct Suspect(Arc<AtomicBool>);

impl Suspect {
    /// The next read looks.
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Who gets the informational responses to the request that is written next. Not before it is: what an idle connection
/// brings is nobody's.
#[derive(Clone, Default)]
pub(super) struct Inform(Arc<(AtomicBool, Mutex<Option<ToClient>>)>);

impl Inform {
    /// To this client, or to none.
    pub(super) fn set(&self, to_client: Option<ToClient>) {
        let mut slot = self.0.1.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.0.store(to_client.is_some(), Ordering::Relaxed);
        *slot = to_client;
    }

    fn take(&self) -> Option<ToClient> {
        if !self.0.0.swap(false, Ordering::Relaxed) {
            return None;
        }
        self.0.1.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Io {
    pub(super) fn new(stream: Stream) -> Self {
        Io { stream, suspect: Suspect::default(), inform: Inform::default(), interim: None }
    }

    pub(super) fn inform(&self) -> Inform {
        self.inform.clone()
    }

    /// Something is written: with it begins the wait for what a new request is answered.
    fn writes(&mut self) {
        if let Some(to_client) = self.inform.take() {
            self.interim = Some(Interim::new(to_client));
        }
    }

    pub(super) fn suspect(&self) -> Suspect {
        self.suspect.clone()
    }

    /// Whether something came that nobody asked for: the end, most likely.
    fn stirs(&self) -> bool {
        let tcp = match &self.stream {
            Stream::Tcp(tcp) => tcp,
            Stream::Tls(tls) => tls.get_ref().0,
            Stream::Nested(tls) => tls.get_ref().0.get_ref().0,
            #[cfg(test)]
            Stream::Memory(_) => return false,
        };
        let mut byte = [0_u8; 1];
        !matches!(recv(tcp, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT), Err(Errno::AGAIN))
    }
}

macro_rules! each {
    ($io:expr, $inner:ident => $what:expr) => {
        match &mut $io.get_mut().stream {
            Stream::Tcp($inner) => $what,
            Stream::Tls($inner) => $what,
            Stream::Nested($inner) => $what,
            #[cfg(test)]
            Stream::Memory($inner) => $what,
        }
    };
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.suspect.0.swap(false, Ordering::Relaxed) && self.stirs() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let before = buf.filled().len();
        let read = each!(self.as_mut(), inner => Pin::new(inner).poll_read(cx, buf));
        if let Some(interim) = &mut self.interim
            && buf.filled().len() > before
            && !interim.look(&buf.filled()[before..])
        {
            self.interim = None;
        }
        read
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.writes();
        each!(self, inner => Pin::new(inner).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writes();
        each!(self, inner => Pin::new(inner).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Tcp(inner) => inner.is_write_vectored(),
            Stream::Tls(inner) => inner.is_write_vectored(),
            Stream::Nested(inner) => inner.is_write_vectored(),
            #[cfg(test)]
            Stream::Memory(inner) => inner.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, inner => Pin::new(inner).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, inner => Pin::new(inner).poll_shutdown(cx))
    }
}
