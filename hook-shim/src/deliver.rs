//! Hands one frame to the daemon and waits for its answer, never beyond the deadline.
//!
//! Reads and writes carry timeouts. `connect` on a Unix socket has none in std, and blocks while the backlog
//! of a stopped daemon is full; a watchdog thread, alive only meanwhile, spools the event and ends the process.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ccd_proto::frame::{PRINTED, REPLY_LEN, Status, decode_reply};

use crate::spool;

/// What the daemon said.
pub(crate) struct Answer {
    /// What became of the event.
    pub(crate) status: Status,
    /// What it wants printed.
    pub(crate) decision: Vec<u8>,
    stream: UnixStream,
}

impl Answer {
    /// Tells the daemon that its decision was printed. It fits any buffer; a daemon that does not want to know is no
    /// reason to do anything else.
    pub(crate) fn printed(mut self) {
        let _ = self.stream.set_nonblocking(true).and_then(|()| self.stream.write(&[PRINTED]));
    }
}

/// Sends `frame` and returns what became of it and what the daemon wants printed.
///
/// `fallback` is where the event goes if connecting alone takes longer than the deadline allows.
pub(crate) fn deliver(
    socket: &Path,
    frame: &'static [u8],
    deadline: Instant,
    fallback: Option<(PathBuf, String)>,
) -> io::Result<Answer> {
    let mut stream = connect(socket, frame, deadline, fallback)?;
    write_all(&mut stream, frame, deadline)?;
    let mut head = [0; REPLY_LEN];
    read_exact(&mut stream, &mut head, deadline)?;
    let (status, len) = decode_reply(&head).map_err(io::Error::other)?;
    let mut decision = vec![0; len as usize];
    read_exact(&mut stream, &mut decision, deadline)?;
    Ok(Answer { status, decision, stream })
}

fn connect(
    socket: &Path,
    frame: &'static [u8],
    deadline: Instant,
    fallback: Option<(PathBuf, String)>,
) -> io::Result<UnixStream> {
    let Some((dir, file)) = fallback else { return UnixStream::connect(socket) };
    // An absent or dead socket answers at once; only a live one can block. Whoever claims the event first, the
    // connected one or the watchdog, looks after it alone.
    let claimed = Arc::new(AtomicBool::new(false));
    let claim = Arc::clone(&claimed);
    let watchdog = std::thread::Builder::new().stack_size(64 << 10).spawn(move || {
        while let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|d| !d.is_zero()) {
            if claim.load(Ordering::Acquire) {
                return;
            }
            std::thread::park_timeout(left);
        }
        if !claim.swap(true, Ordering::AcqRel) {
            spool::write(&dir, &file, frame);
            // Nothing is left to be done, and the main thread sits in a call that nothing ends.
            #[allow(clippy::exit)]
            std::process::exit(0);
        }
    });
    let stream = UnixStream::connect(socket);
    if claimed.swap(true, Ordering::AcqRel) {
        // The watchdog is writing the event into the spool, and ends the process once it has.
        loop {
            std::thread::park();
        }
    }
    if let Ok(watchdog) = watchdog {
        watchdog.thread().unpark();
    }
    stream
}

/// Time left until the deadline; an error once there is none.
fn left(deadline: Instant) -> io::Result<Duration> {
    match deadline.checked_duration_since(Instant::now()) {
        Some(left) if !left.is_zero() => Ok(left),
        _ => Err(io::ErrorKind::TimedOut.into()),
    }
}

fn write_all(stream: &mut UnixStream, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.set_write_timeout(Some(left(deadline)?))?;
        match stream.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => bytes = &bytes[n..],
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn read_exact(stream: &mut UnixStream, mut buf: &mut [u8], deadline: Instant) -> io::Result<()> {
    while !buf.is_empty() {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(buf) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => buf = &mut buf[n..],
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    const FRAME: &[u8] = b"frame";

    /// A daemon that says `{}`, and what it hears after that.
    fn daemon(path: &Path, waits: bool) -> std::thread::JoinHandle<Vec<u8>> {
        let listener = UnixListener::bind(path).unwrap();
        std::thread::spawn(move || {
            let (mut s, _) = listener.accept().unwrap();
            let mut got = [0; 5];
            s.read_exact(&mut got).unwrap();
            assert_eq!(&got, FRAME);
            s.write_all(&ccd_proto::frame::encode_reply(Status::Durable, 2)).unwrap();
            s.write_all(b"{}").unwrap();
            let mut more = Vec::new();
            if waits {
                s.read_to_end(&mut more).unwrap();
            }
            more
        })
    }

    #[test]
    fn the_answer_is_handed_back_and_its_printing_confirmed() {
        let dir = tempfile::tempdir().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        for (n, confirms) in [true, false].into_iter().enumerate() {
            let path = dir.path().join(n.to_string());
            let server = daemon(&path, true);
            let got = deliver(&path, FRAME, deadline, None).unwrap();
            assert_eq!((got.status, &got.decision[..]), (Status::Durable, &b"{}"[..]));
            if confirms {
                got.printed();
            } else {
                drop(got);
            }
            assert_eq!(server.join().unwrap(), if confirms { &[PRINTED][..] } else { &[] });
        }
    }

    #[test]
    fn a_daemon_that_does_not_want_to_know_is_no_failure() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let server = daemon(&path, false);
        let got = deliver(&path, FRAME, Instant::now() + Duration::from_secs(20), None).unwrap();
        server.join().unwrap();
        got.printed();
    }

    #[test]
    fn a_daemon_that_never_answers_ends_in_a_timeout() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let _listener = UnixListener::bind(&path).unwrap();
        let got = deliver(&path, FRAME, Instant::now() + Duration::from_millis(30), None);
        let kind = got.err().unwrap().kind();
        assert!(matches!(kind, io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut), "{kind:?}");
    }
}
