//! Forwarding: what was recorded, sent to whom the user named. Off until the user says so.
//!
//! ```text
//! outbox.rs    what waits for a sink, and what is to be done next (pure)     keep.rs    its file
//! look.rs      what a session has to send                                     run.rs     does it, for as long as it is on
//! speaker.rs   units as parcels, and how they are sent                        sync.rs    what is sent because it was asked for
//! otlp.rs      traces as OTLP      pisama/  sessions as the Pisama platform takes them
//! deliver.rs   one HTTP delivery   retry.rs when to try again
//! ```
//!
//! A sink is sent what began after it was switched on (of the platform: sessions that went on after it, whole), at least
//! once, with ids that stay the same. There is no copy of what waits: it is read from the store when it is sent, and
//! redacted by the rules of then. What the store let go of meanwhile is counted.
//!
//! Must never look anything up, connect or send before a sink was switched on, or after it was switched off; never send
//! what an exclusion is about; never wake without a reason: what is recorded wakes it, and a timer only while something
//! waits.

pub mod deliver;
pub mod keep;
mod look;
pub mod otlp;
pub mod outbox;
pub mod pisama;
pub mod retry;
mod run;
pub mod speaker;
pub mod sync;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ccd_proto::api::ForwardStatus;
use ccd_proto::paths::Layout;
use http::{HeaderMap, StatusCode};
use tokio::sync::watch;

use crate::clock::rfc3339;
use crate::config::{Forward, Sink};

use self::outbox::Outbox;

pub use self::run::run;

/// An attempt that failed, and may not fail later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Why. No secret is in it.
    pub words: String,
    /// How long the sink asked to be left alone.
    pub asked: Option<Duration>,
    /// It is the credential, the address or the like: somebody has to change something first.
    pub held: bool,
}

impl Failed {
    /// It may pass by itself.
    #[must_use]
    pub fn passing(words: impl Into<String>) -> Self {
        Failed { words: words.into(), asked: None, held: false }
    }

    /// Somebody has to change something.
    #[must_use]
    pub fn held(words: impl Into<String>) -> Self {
        Failed { held: true, ..Self::passing(words) }
    }
}

/// What came of sending something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It was taken.
    Taken {
        /// Traces or spans of it that were sent.
        items: u64,
        /// What is to be said about it all the same.
        note: Option<String>,
    },
    /// Less of it may be taken. What it said.
    TooLarge(String),
    /// It is not taken, and never will be.
    Refused(String),
    /// Not now.
    Failed(Failed),
}

/// Whether a status is about the credential or the address, and not about what was sent: whatever is sent next fares no
/// better, and nothing is to be thrown away for it.
#[must_use]
pub fn is_about_the_door(status: StatusCode) -> bool {
    status.is_redirection()
        || matches!(status.as_u16(), 401 | 402 | 403 | 404 | 405 | 407 | 410 | 421 | 426 | 451)
}

/// The headers that the user wants sent along.
pub fn headers(sink: &Sink) -> Result<HeaderMap, String> {
    let mut headers = sink.headers.clone();
    let Some(file) = &sink.headers_file else { return Ok(headers) };
    for (n, line) in keep::secret(file)?.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) =
            deliver::header(line).map_err(|why| format!("{}, line {}: {why}", file.display(), n + 1))?;
        headers.insert(name, value);
    }
    Ok(headers)
}

/// A sink's outbox, for whoever sends and whoever asks.
pub struct Board {
    file: PathBuf,
    outbox: Mutex<Outbox>,
    began: Instant,
}

impl Board {
    fn open(file: PathBuf, identity: &str) -> Self {
        let outbox = Mutex::new(Outbox::new(keep::read(&file), identity));
        Board { file, outbox, began: Instant::now() }
    }

    fn lock(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Now, of a clock that only goes forward.
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Keeps the state, if it changed. Blocks.
    fn save(&self) {
        let mut outbox = self.lock();
        if outbox.take_unsaved()
            && let Err(error) = keep::write(&self.file, outbox.state())
        {
            // What is sent twice has the same ids.
            tracing::warn!(%error, "what was forwarded cannot be noted: it may be sent again after a restart");
            outbox.keep_unsaved();
        }
    }
}

type Boards = BTreeMap<String, (String, Arc<Board>)>;

/// The sinks in force.
pub struct Forwarding {
    layout: Layout,
    /// With how often they were set.
    settings: watch::Sender<(u64, Arc<Forward>)>,
    /// How far that was taken up.
    settled: watch::Sender<u64>,
    boards: Mutex<Boards>,
}

impl Forwarding {
    /// With these sinks; nothing is sent before [`run`].
    #[must_use]
    pub fn new(settings: Forward, layout: &Layout) -> Self {
        Forwarding {
            layout: layout.clone(),
            settings: watch::Sender::new((1, Arc::new(settings))),
            settled: watch::Sender::new(0),
            boards: Mutex::default(),
        }
    }

    /// Puts other sinks in force.
    pub fn set(&self, settings: Forward) {
        self.settings.send_modify(|(times, now)| {
            *times += 1;
            *now = Arc::new(settings);
        });
    }

    /// The sinks.
    #[must_use]
    pub fn settings(&self) -> Arc<Forward> {
        Arc::clone(&self.settings.borrow().1)
    }

    /// Waits until what was set is in force: what is off now sends nothing any more.
    pub async fn settled(&self) {
        let wanted = self.settings.borrow().0;
        let _ = self.settled.subscribe().wait_for(|times| *times >= wanted).await;
    }

    /// A sink's outbox. Another sink of the same name has another one.
    pub(crate) fn board(&self, name: &str, sink: &Sink) -> Arc<Board> {
        let mut boards = self.boards.lock().unwrap_or_else(PoisonError::into_inner);
        let identity = sink.identity();
        match boards.get(name) {
            Some((known, board)) if *known == identity => Arc::clone(board),
            _ => {
                let board = Arc::new(Board::open(keep::place(&self.layout, name, "state"), &identity));
                boards.insert(name.to_owned(), (identity, Arc::clone(&board)));
                board
            }
        }
    }

    fn token_file(&self, name: &str) -> PathBuf {
        keep::place(&self.layout, name, "token")
    }

    /// How the sinks are. Reads files of sinks that nobody asked about yet.
    #[must_use]
    pub fn status(&self, wall_ns: u64) -> Vec<ForwardStatus> {
        let settings = self.settings();
        let time = |ns: u64| (ns > 0).then(|| rfc3339(ns));
        let each = settings.iter().map(|(name, sink)| {
            let board = self.board(name, sink);
            let outbox = board.lock();
            let state = outbox.state();
            let next_try = outbox.next_try().map(|at| wall_ns + at.saturating_sub(board.now()));
            ForwardStatus {
                name: name.clone(),
                kind: sink.kind.name().into(),
                url: deliver::shown(&sink.url),
                enabled: sink.enabled,
                content: sink.content.name().into(),
                since: time(state.since_ns),
                sent: state.sent,
                waiting: outbox.waiting(),
                dropped: state.dropped,
                refused: state.refused,
                degraded: state.degraded,
                last_success: time(state.last_success_ns),
                last_error: state.last_error.as_ref().map(|(_, words)| words.clone()),
                last_error_at: state.last_error.as_ref().and_then(|(at, _)| time(*at)),
                next_try: next_try.and_then(time),
            }
        });
        each.collect()
    }
}
