//! The supervisor's loop: one `poll` over signals, channels, its own socket and, where it matters, the listeners.
//!
//! Invariants: what happens is decided in [`super::steps`]; here it is only noticed. Nothing in the loop blocks but the
//! `poll` itself, which ends by itself only when something has to be done at a certain time.

use std::fs::File;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::control::Control;
use super::ladder::{Ladder, Policy, Rung};
use super::listeners::{Addresses, Change, Handed, Listeners};
use super::notify::Notifier;
use super::reexec::{Stamp, Succession};
use super::refuse::Refuser;
use super::signals::Signals;
use super::stuck::Watch;
use super::worker::{Role, Worker};
use crate::revival;
use crate::startup::StartError;

/// Reads the configuration anew: where to listen.
pub type Reload = Box<dyn Fn() -> Result<Addresses, String>>;

/// Told what became of the start, once: the worker's process id, or why there is none.
pub type Tell = Box<dyn FnOnce(Result<(u32, SocketAddr), &str>)>;

/// What a supervisor is made of.
#[allow(clippy::struct_excessive_bools, reason = "independent facts, not the states of one thing")]
pub struct Setup {
    /// The program of the workers, and our own. Read again at every start: it may have been replaced.
    pub program: PathBuf,
    /// The listeners.
    pub listeners: Listeners,
    /// What the configuration said when they were made.
    pub configured: Addresses,
    /// Reads the configuration anew.
    pub reload: Reload,
    /// Our own socket.
    pub control: UnixListener,
    /// Held locked until we end.
    pub lock: File,
    /// Who keeps us running.
    pub manager: String,
    /// Whether somebody starts us again if we end: then a start that fails is no reason to.
    pub kept: bool,
    /// Whether workers may find another one that still has the store: a killed supervisor's, which may take a while to
    /// let go of it.
    pub takeover: bool,
    /// Whether workers may write to our standard error.
    pub to_stderr: bool,
    /// How long a worker may take to end after it was told to, its streams included.
    pub patience: Duration,
    /// When to give way.
    pub policy: Policy,
    /// What a hook event brings us back from; taken away when somebody asks for the end. None where we leave none.
    pub note: Option<PathBuf>,
    /// Told once.
    pub tell: Tell,
    /// Tells the service manager.
    pub notifier: Notifier,
}

/// How a supervisor ends.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// As somebody asked.
    Stopped,
    /// The first worker could not start, and why.
    Failed(String),
    /// The first worker found another daemon.
    Running(String),
}

/// A supervisor.
#[allow(clippy::struct_excessive_bools, reason = "independent facts, not the states of one thing")]
pub(super) struct Supervisor {
    pub(super) program: PathBuf,
    pub(super) stamp: Option<Stamp>,
    /// None once the last worker that accepted has ended, and nothing shall follow it.
    pub(super) listeners: Option<Listeners>,
    pub(super) configured: Addresses,
    /// The next worker's, where the configuration names other addresses.
    pub(super) change: Option<Change>,
    pub(super) reload: Reload,
    pub(super) control: Control,
    pub(super) lock: File,
    pub(super) manager: String,
    pub(super) kept: bool,
    pub(super) takeover: bool,
    pub(super) to_stderr: bool,
    pub(super) patience: Duration,
    note: Option<PathBuf>,
    pub(super) tell: Option<Tell>,
    pub(super) notifier: Notifier,
    pub(super) workers: Vec<Worker>,
    pub(super) ladder: Ladder,
    /// What to start, and when.
    pub(super) next: Option<(Instant, Rung)>,
    /// When to start one beside a worker that is stuck.
    pub(super) beside_at: Option<Instant>,
    pub(super) watch: Watch,
    pub(super) refuser: Option<Refuser>,
    pub(super) restarts: u64,
    pub(super) last_exit: Option<String>,
    /// The worker retires: after how many idle seconds, and where requests go until then.
    pub(super) retiring: Option<(u64, String)>,
    /// Why nothing is captured.
    pub(super) reason: Option<String>,
    /// Whether the worker before the next one is to be ended at once.
    pub(super) leave_now: bool,
    pub(super) stopping: bool,
    /// A signal asked for the end.
    signalled: bool,
    /// The program was replaced: become it.
    pub(super) renew: bool,
    pub(super) ended: Option<Ended>,
}

/// Runs until somebody asks for the end. `succession` is what a predecessor of the same process left.
pub fn supervise(setup: Setup, succession: Option<&Succession>) -> Result<Ended, StartError> {
    let mut signals =
        Signals::catch().map_err(|e| StartError::Process(format!("signals cannot be caught: {e}")))?;
    setup.control.set_nonblocking(true).map_err(|e| StartError::Process(format!("control socket: {e}")))?;
    let mut this = Supervisor::new(setup);
    match succession {
        Some(left) => this.succeed(left),
        None => this.next = Some((Instant::now(), Rung::Full)),
    }
    loop {
        let now = Instant::now();
        let came = signals.take();
        if came.stop {
            if !came.of_system {
                this.forget();
            }
            // The second signal is the impatient one.
            let again = std::mem::replace(&mut this.signalled, true);
            this.stop(again, now);
        }
        if came.hup {
            this.hand_over(false, now);
        }
        this.hear(now);
        this.reap(now);
        this.asked(now);
        this.act(now);
        if let Some(ended) = this.ended.take() {
            return Ok(ended);
        }
        this.notifier.status(this.situation());
        this.notifier.look(now);
        if this.renew {
            this.become_the_new();
        }
        this.wait(&signals, Instant::now());
    }
}

impl Supervisor {
    fn new(setup: Setup) -> Self {
        Supervisor {
            stamp: Stamp::of(&setup.program),
            program: setup.program,
            listeners: Some(setup.listeners),
            configured: setup.configured,
            change: None,
            reload: setup.reload,
            control: Control::new(setup.control),
            lock: setup.lock,
            manager: setup.manager,
            kept: setup.kept,
            takeover: setup.takeover,
            to_stderr: setup.to_stderr,
            patience: setup.patience,
            note: setup.note,
            tell: Some(setup.tell),
            notifier: setup.notifier,
            workers: Vec::new(),
            ladder: Ladder::new(setup.policy),
            next: None,
            beside_at: None,
            watch: Watch::Armed,
            refuser: None,
            restarts: 0,
            last_exit: None,
            retiring: None,
            reason: None,
            leave_now: false,
            stopping: false,
            signalled: false,
            renew: false,
            ended: None,
        }
    }

    /// Somebody asked for the end: nobody shall bring us back.
    pub(super) fn forget(&self) {
        if let Some(note) = &self.note {
            revival::forget(note);
        }
    }

    /// Whether the listener is looked at: somebody should accept there, and may not.
    fn is_watching(&self) -> bool {
        self.watch == Watch::Armed && self.workers.iter().any(|w| w.role == Role::Serving && w.ready)
    }

    /// The proxy's listener.
    pub(super) fn proxy(&self) -> Option<&TcpListener> {
        self.listeners.as_ref().map(|listeners| &listeners.proxy.socket)
    }

    /// Whether a connection waits at the proxy's listener.
    pub(super) fn waits(&self) -> bool {
        let Some(listener) = self.proxy() else { return false };
        let mut fds = [PollFd::new(listener, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|n| n > 0)
    }

    /// Waits until something happens, or has to.
    fn wait(&mut self, signals: &Signals, now: Instant) {
        let timeout = self.deadline().map(|at| at.saturating_duration_since(now));
        let refusing = self.refuser.as_ref().is_some_and(Refuser::has_room);
        let watched = self.proxy().filter(|_| refusing || self.is_watching());
        let mut fds: Vec<BorrowedFd<'_>> = vec![signals.as_fd()];
        fds.extend(watched.map(AsFd::as_fd));
        // Nobody is there to answer at the others, either.
        let others = self.listeners.iter().filter(|_| refusing).flat_map(|listeners| listeners.handed(None));
        let others: Vec<Handed<'_>> = others.skip(1).collect();
        fds.extend(others.iter().map(AsFd::as_fd));
        fds.extend(self.workers.iter().filter(|w| !w.channel.ended).map(|w| w.channel.as_fd()));
        fds.extend(self.control.fds());
        fds.extend(self.refuser.iter().flat_map(Refuser::fds));
        let mut polled: Vec<PollFd<'_>> =
            fds.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        let timeout = timeout.map(|t| Timespec {
            tv_sec: i64::try_from(t.as_secs()).unwrap_or(i64::MAX),
            // A millisecond more: not to wake before the time has come.
            tv_nsec: i64::from(t.subsec_nanos()).min(998_000_000) + 1_000_000,
        });
        // An error is an interruption by a signal, which the next turn sees.
        let _ = poll(&mut polled, timeout.as_ref());
        let came = watched.is_some() && !polled[1].revents().is_empty();
        drop((polled, fds));
        drop(others);
        let now = Instant::now();
        if came && self.refuser.is_none() {
            self.watch.comes(now);
        }
        if let (Some(refuser), Some(listeners)) = (&mut self.refuser, &self.listeners) {
            refuser.accept(&listeners.proxy.socket, now);
            if let Some(web) = &listeners.web {
                refuser.accept(&web.socket, now);
            }
            for listener in [&listeners.hook, &listeners.control].into_iter().flatten() {
                refuser.turn_away(&listener.socket, now);
            }
            refuser.advance(now);
        }
    }

    /// When something has to be done next.
    fn deadline(&self) -> Option<Instant> {
        let retry = if self.has(Role::Coming) || self.stopping { None } else { self.ladder.retry_at() };
        [
            self.next.map(|(at, _)| at),
            self.beside_at,
            self.watch.deadline(),
            retry,
            self.control.deadline(),
            self.notifier.deadline(),
            self.refuser.as_ref().and_then(Refuser::deadline),
        ]
        .into_iter()
        .chain(self.workers.iter().map(|w| w.kill_at))
        .flatten()
        .min()
    }

    pub(super) fn has(&self, role: Role) -> bool {
        self.workers.iter().any(|w| w.role == role)
    }

    /// Says how things are, for our own socket.
    pub(super) fn status(&self) -> String {
        serde_json::to_string(&ccd_proto::api::Supervision {
            supervisor: self.about(),
            version: ccd_proto::VERSION.into(),
            program: self.program.display().to_string(),
            replaced: self.is_replaced(),
            worker: self.workers.iter().find(|w| w.role == Role::Serving && w.ready).map(Worker::number),
            workers: self.workers.iter().map(Worker::number).collect(),
            refusing: self.refuser.is_some(),
            reason: self.reason.clone(),
            listen: self
                .proxy()
                .and_then(|listener| listener.local_addr().ok())
                .map(|addr| addr.to_string())
                .unwrap_or_default(),
        })
        .unwrap_or_default()
    }

    /// How things are, in a line for the service manager.
    fn situation(&self) -> String {
        let why = || self.reason.as_deref().unwrap_or("it was asked for");
        let serving = self.workers.iter().find(|w| w.role == Role::Serving && w.ready);
        match serving {
            _ if self.stopping => "draining: streams in flight finish".into(),
            _ if self.refuser.is_some() => format!("refusing every request: {}", why()),
            _ if self.watch == Watch::Stuck => "relaying without capture: the worker does not answer".into(),
            Some(worker) if worker.kind == Rung::Bypass => format!("relaying without capture: {}", why()),
            Some(_) => match self.proxy().and_then(|listener| listener.local_addr().ok()) {
                Some(addr) => format!("serving on {addr}"),
                None => "serving".into(),
            },
            None => "starting a worker".into(),
        }
    }

    pub(super) fn about(&self) -> ccd_proto::api::SupervisorStatus {
        ccd_proto::api::SupervisorStatus {
            pid: std::process::id(),
            restarts: self.restarts,
            last_exit: self.last_exit.clone(),
        }
    }

    /// Tells whoever started us, once.
    pub(super) fn say(&mut self, outcome: Result<(u32, SocketAddr), &str>) {
        if let Some(tell) = self.tell.take() {
            tell(outcome);
            // The port is answered, if only with a refusal: that is what there is to wait for.
            self.notifier.ready();
        }
        let _ = std::io::stderr().flush();
    }
}
