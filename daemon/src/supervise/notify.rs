//! What systemd is told of the supervisor: that it is there, how it is, and, where it wants to know, that it lives.
//!
//! The watchdog's ping says that the supervisor's loop turns; a worker that hangs is found by [`super::stuck`], which
//! knows what to do about it. Without a watchdog there is no timer here.
//!
//! Must never block the supervisor, and never end it: what cannot be told is logged once, and left out.

use std::ffi::OsString;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// Where notifications go, and how often a ping is due.
#[derive(Debug, Default)]
pub struct Notifier {
    socket: Option<OsString>,
    /// Half of what systemd waits for.
    interval: Option<Duration>,
    next: Option<Instant>,
    status: String,
    reloading: bool,
    failed: bool,
}

impl Notifier {
    /// `socket` is `NOTIFY_SOCKET`; `watchdog` is how long systemd waits for a ping, where it does.
    #[must_use]
    pub fn new(socket: Option<OsString>, watchdog: Option<Duration>) -> Self {
        let interval =
            watchdog.filter(|_| socket.is_some()).map(|limit| (limit / 2).max(Duration::from_millis(1)));
        Notifier { socket, interval, next: interval.map(|_| Instant::now()), ..Notifier::default() }
    }

    /// Everybody who comes is answered from now on.
    pub(super) fn ready(&mut self) {
        self.tell(&[NotifyState::Ready]);
    }

    /// This process is the service's, also after it has become another program.
    pub(super) fn is_main(&mut self) {
        self.tell(&[NotifyState::MainPid(std::process::id())]);
    }

    /// A new worker is to take over.
    pub(super) fn reloading(&mut self) {
        // Without the time, newer ones take the whole service for failed.
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            self.reloading = true;
            self.tell(&[NotifyState::Reloading, now]);
        }
    }

    /// A new worker has taken over, or the one before goes on.
    pub(super) fn reloaded(&mut self) {
        if std::mem::take(&mut self.reloading) {
            self.tell(&[NotifyState::Ready]);
        }
    }

    /// It ends, and may take so long.
    pub(super) fn stopping(&mut self, patience: Duration) {
        let limit = u32::try_from(patience.as_micros()).unwrap_or(u32::MAX);
        self.tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(limit)]);
    }

    /// How things are, in a line; told when it has changed.
    pub(super) fn status(&mut self, text: String) {
        if self.socket.is_some() && text != self.status {
            let line = text.replace(['\n', '\r'], " ");
            self.status = text;
            self.tell(&[NotifyState::Status(&line)]);
        }
    }

    /// When the next ping is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.next
    }

    /// Pings, if it is time.
    pub(super) fn look(&mut self, now: Instant) {
        if let Some(interval) = self.interval
            && self.next.is_some_and(|at| now >= at)
        {
            // From now on, not from when it was due: a machine that slept owes nothing.
            self.next = Some(now + interval);
            self.tell(&[NotifyState::Watchdog]);
        }
    }

    fn tell(&mut self, states: &[NotifyState<'_>]) {
        let Some(socket) = &self.socket else { return };
        let lines: Vec<String> = states.iter().map(ToString::to_string).collect();
        if let Err(error) = send(socket, format!("{}\n", lines.join("\n")).as_bytes())
            && !std::mem::replace(&mut self.failed, true)
        {
            tracing::warn!(%error, "the service manager could not be told");
        }
    }
}

/// One datagram. A manager that does not read is not waited for.
fn send(socket: &OsString, message: &[u8]) -> io::Result<()> {
    let datagram = UnixDatagram::unbound()?;
    datagram.set_nonblocking(true)?;
    match socket.as_encoded_bytes() {
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => {
            use std::os::linux::net::SocketAddrExt;
            datagram.connect_addr(&std::os::unix::net::SocketAddr::from_abstract_name(name)?)?;
        }
        _ => datagram.connect(socket)?,
    }
    datagram.send(message).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> Vec<String> {
        socket.set_nonblocking(true).unwrap();
        let mut piece = [0; 4096];
        let mut next =
            || socket.recv(&mut piece).ok().map(|n| String::from_utf8_lossy(&piece[..n]).into_owned());
        std::iter::from_fn(&mut next).collect()
    }

    #[test]
    fn systemd_is_told_each_thing_once_and_pinged_at_half_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        let mut notifier = Notifier::new(Some(path.into()), Some(Duration::from_secs(10)));
        notifier.ready();
        notifier.status("serving on\n127.0.0.1:1".into());
        notifier.status("serving on\n127.0.0.1:1".into());
        assert_eq!(heard(&systemd), ["READY=1\n", "STATUS=serving on 127.0.0.1:1\n"]);
        let due = notifier.deadline().unwrap();
        notifier.look(due);
        notifier.look(due + Duration::from_millis(4999));
        assert_eq!(heard(&systemd), ["WATCHDOG=1\n"]);
        assert_eq!(notifier.deadline(), Some(due + Duration::from_secs(5)));
        notifier.look(due + Duration::from_secs(5));
        assert_eq!(heard(&systemd), ["WATCHDOG=1\n"]);
        notifier.reloaded();
        assert!(heard(&systemd).is_empty(), "nothing was reloaded");
        notifier.reloading();
        notifier.reloaded();
        notifier.stopping(Duration::from_secs(3));
        let told = heard(&systemd);
        assert!(told[0].starts_with("RELOADING=1\nMONOTONIC_USEC="), "{told:?}");
        assert_eq!(told[1..], ["READY=1\n", "STOPPING=1\nEXTEND_TIMEOUT_USEC=3000000\n"]);
    }

    #[test]
    fn without_a_watchdog_there_is_no_timer_and_nobody_who_is_gone_hurts() {
        let mut nobody = Notifier::new(None, Some(Duration::from_secs(1)));
        assert_eq!(nobody.deadline(), None);
        nobody.ready();
        let mut gone = Notifier::new(Some("/nonexistent/notify".into()), None);
        assert_eq!(gone.deadline(), None);
        gone.ready();
        gone.status("x".into());
        assert!(gone.failed);
    }

    #[test]
    fn a_manager_that_does_not_read_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let _deaf = UnixDatagram::bind(&path).unwrap();
        let mut notifier = Notifier::new(Some(path.into()), None);
        // More than any queue holds.
        for n in 0..5000 {
            notifier.status(format!("{n}"));
        }
        assert!(notifier.failed);
    }
}
