//! The web door: HTTP/1.1 on a loopback port, for browsers.
//!
//! ```text
//!   a connection ── whose is it? ── room ── guard: who may ask what ── door ─┬─ assets   our own files
//!                   (the system)                                            ├─ login    a code becomes a cookie
//!                                                                           ├─ api      the questions of ccd.sock
//!                                                                           └─ receive  what other programs hand in
//! ```
//!
//! Must never keep the daemon from starting, or anything else from working: a port that is taken is told in `status`
//! and tried again. Must never be answered to another user, to another site's page, or by another name than ours
//! ([`guard`]); and nothing that was captured to who has not come by `ccctl open` ([`login`]).

mod assets;
mod door;
mod guard;
mod login;
mod room;

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::Running;
use crate::source::proxy::peer::{Peer, Peers};
use crate::startup;
use crate::supervise::listeners::{Holder, Listener};
use door::Door;
use guard::{Guard, HEAD};
pub(crate) use login::CODE_S;
use login::Logins;
use room::{Place, Room};

/// Connections at a time. Those that have nothing to say make room; while all are answered, others wait.
const CONNECTIONS: usize = 128;
/// How long a connection may take to bring a request.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long nothing is accepted after that failed: the system is out of something, files most likely.
const PAUSE: Duration = Duration::from_millis(100);
/// How long answers under way may take once the door closes.
const LAST: Duration = Duration::from_secs(2);

/// The door, open or not.
pub struct Web {
    state: Mutex<State>,
    /// The listener for other programs only, where there is one.
    receiver: Mutex<State>,
    logins: Arc<Logins>,
    /// Whose questions are answered here.
    app: OnceLock<Weak<Running>>,
    closing: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Default)]
struct State {
    open: Option<(SocketAddr, Holder)>,
    error: Option<String>,
}

impl Web {
    /// Closed as yet; who is logged in lies in this file.
    #[must_use]
    pub fn new(logins: PathBuf) -> Arc<Self> {
        Arc::new(Web {
            state: Mutex::default(),
            receiver: Mutex::default(),
            logins: Arc::new(Logins::new(logins)),
            app: OnceLock::new(),
            closing: CancellationToken::new(),
            tasks: TaskTracker::new(),
        })
    }

    /// Says whose questions are answered here; before it opens, and once.
    pub fn belongs_to(&self, app: &Arc<Running>) {
        let _ = self.app.set(Arc::downgrade(app));
    }

    /// Codes and logins.
    pub(crate) fn logins(&self) -> &Arc<Logins> {
        &self.logins
    }

    /// The address of the pages, for a browser on this machine; none while they are not served.
    #[must_use]
    pub fn url(&self) -> Option<String> {
        let mut listen = self.listen()?;
        if listen.ip().is_unspecified() {
            listen.set_ip(match listen.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        Some(format!("http://{listen}"))
    }

    /// Where it is open.
    #[must_use]
    pub fn listen(&self) -> Option<SocketAddr> {
        self.state().open.map(|(listen, _)| listen)
    }

    /// Who holds its listener.
    #[must_use]
    pub fn holder(&self) -> Option<Holder> {
        self.state().open.map(|(_, holder)| holder)
    }

    /// Why it is not open.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        self.state().error.clone()
    }

    /// Opens on the listener that was handed to us, else on one of our own. Nothing to do where it is open already.
    pub fn open(self: &Arc<Self>, given: Option<Listener>, wanted: SocketAddr) {
        let mut state = self.state();
        if state.open.is_some() || self.closing.is_cancelled() {
            return;
        }
        let own = || startup::listen_as(wanted, "web").map(|socket| Listener { socket, holder: Holder::Own });
        let opened = given.map_or_else(own, Ok).map_err(|e| e.to_string()).and_then(|listener| {
            let holder = listener.holder;
            let socket = TcpListener::from_std(listener.socket).map_err(|e| e.to_string())?;
            let listen = socket.local_addr().map_err(|e| e.to_string())?;
            Ok((socket, listen, holder))
        });
        match opened {
            Ok((socket, listen, holder)) => {
                *state = State { open: Some((listen, holder)), error: None };
                let door = self.door(Guard::new(listen));
                self.tasks.spawn(Arc::clone(self).serve(socket, door, true));
            }
            Err(error) => {
                if state.error.as_ref() != Some(&error) {
                    tracing::warn!(error, "the web pages cannot be served");
                }
                state.error = Some(error);
            }
        }
    }

    /// Where other programs hand something in beside the web port, or why not.
    #[must_use]
    pub fn receiver(&self) -> (Option<SocketAddr>, Option<String>) {
        let state = self.receiver.lock().unwrap_or_else(PoisonError::into_inner);
        (state.open.map(|(listen, _)| listen), state.error.clone())
    }

    /// Opens a listener for other programs, that serves nothing else. Nothing to do where it is open already.
    pub fn open_receiver(self: &Arc<Self>, wanted: Option<SocketAddr>) {
        let mut state = self.receiver.lock().unwrap_or_else(PoisonError::into_inner);
        if state.open.is_some() || self.closing.is_cancelled() {
            return;
        }
        let Some(wanted) = wanted else {
            state.error = None;
            return;
        };
        let opened = startup::listen_as(wanted, "receive").map_err(|e| e.to_string()).and_then(|socket| {
            let socket = TcpListener::from_std(socket).map_err(|e| e.to_string())?;
            let listen = socket.local_addr().map_err(|e| e.to_string())?;
            Ok((socket, listen))
        });
        match opened {
            Ok((socket, listen)) => {
                *state = State { open: Some((listen, Holder::Own)), error: None };
                if !listen.ip().is_loopback() {
                    tracing::warn!(%listen, "other machines can hand something in here, unencrypted");
                }
                let door = self.door(Guard::of_receiver(listen));
                self.tasks.spawn(Arc::clone(self).serve(socket, door, listen.ip().is_loopback()));
            }
            Err(error) => {
                if state.error.as_ref() != Some(&error) {
                    tracing::warn!(error, "other programs have no listener of their own");
                }
                state.error = Some(error);
            }
        }
    }

    fn door(&self, guard: Guard) -> Door {
        Door {
            guard,
            logins: Arc::clone(&self.logins),
            app: self.app.get().cloned().unwrap_or_default(),
            closing: self.closing.clone(),
        }
    }

    /// Accepts nothing more, and lets go of the listener. What is under way is waited for, shortly.
    pub async fn close(&self) {
        self.closing.cancel();
        self.tasks.close();
        let _ = tokio::time::timeout(LAST, self.tasks.wait()).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `is_ours`: only our own user is let in. Where other machines are, a token has to do.
    async fn serve(self: Arc<Self>, listener: TcpListener, door: Door, is_ours: bool) {
        let (room, door) = (Room::new(CONNECTIONS), Arc::new(door));
        let us = rustix::process::geteuid().as_raw();
        let (mut peers, mut failing) = (Peers::default(), false);
        loop {
            let accepted = tokio::select! {
                () = self.closing.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, "the web door cannot accept");
                    }
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            failing = false;
            match if is_ours { peers.owner(&stream, peer) } else { Peer::Unknown } {
                owner if owner.is_welcome(us) => {}
                Peer::Gone => continue,
                owner => {
                    tracing::warn!(?owner, "another user's connection to the web door was refused");
                    continue;
                }
            }
            let place = tokio::select! {
                () = self.closing.cancelled() => return,
                place = room.enter() => place,
            };
            let Some(place) = place else { return };
            let door = Arc::clone(&door);
            self.tasks.spawn(async move { connection(stream, &place, door).await });
        }
    }
}

async fn connection(stream: TcpStream, place: &Place, door: Arc<Door>) {
    let line = &place.line;
    let service = service_fn(|request| {
        let (door, line) = (Arc::clone(&door), Arc::clone(line));
        async move { Ok::<_, Infallible>(door.answer(request, &line).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = door.closing.cancelled() => None,
        () = line.leave.cancelled() => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        // Nothing is on its way there, not even what the system has not taken yet.
        None if line.is_unused() => Ok(()),
        None => {
            connection.as_mut().graceful_shutdown();
            connection.as_mut().await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a web connection ended in an error");
    }
}
