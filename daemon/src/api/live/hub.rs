//! What is followed now: for each session, and for the list of sessions, one state that all its readers share.
//!
//! A state is worked out again when its session changed, once for however many changes came meanwhile, and not again
//! before as much time has passed as that took: following never takes more than half of a processor. What nobody reads is
//! let go of after a while; until then its cursors are known.
//!
//! Must never hold more than [`MAX_SPANS`] spans and one session: states that nobody reads go first, then nobody else is
//! let in. Must never run a timer while nothing changes, but the one that lets go.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use super::board::{Board, Content};
use crate::api::routes::blocking;
use crate::app::Running;
use crate::clock::parse_rfc3339;
use crate::ingest::marks::{Changed, ListMark, Mark};
use crate::query::filter::Filter;
use crate::query::tree::tree;
use crate::query::{Ask, QueryError, detections, sessions};

/// Spans held for all sessions that are followed, before no other session can be.
pub const MAX_SPANS: u64 = 200_000;
/// How long a state is kept that nobody reads.
const KEEP: Duration = Duration::from_secs(60);
/// How often an empty line is sent where nothing changes.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// A session; none is the list of all of them.
type Subject = Option<String>;

/// The state of what is followed; none until it is worked out first.
pub(super) type Latest = Option<Arc<Board>>;

/// What is followed.
pub struct Hub {
    topics: Mutex<HashMap<Subject, Arc<Topic>>>,
    heartbeat_ms: AtomicU64,
    keep_ms: AtomicU64,
    max_spans: AtomicU64,
    worked_out: AtomicU64,
}

struct Topic {
    latest: watch::Sender<Latest>,
    spans: AtomicU64,
    /// Somebody reads it again, or it is not wanted any more.
    looked_at: Notify,
}

impl Default for Hub {
    fn default() -> Self {
        Hub {
            topics: Mutex::default(),
            heartbeat_ms: AtomicU64::new(millis(HEARTBEAT)),
            keep_ms: AtomicU64::new(millis(KEEP)),
            max_spans: AtomicU64::new(MAX_SPANS),
            worked_out: AtomicU64::new(0),
        }
    }
}

fn millis(of: Duration) -> u64 {
    u64::try_from(of.as_millis()).unwrap_or(u64::MAX)
}

/// What of a subject is noted when it changes.
enum Source {
    Session(String, Arc<Mark>),
    List(Arc<ListMark>),
}

impl Hub {
    /// How often an empty line is sent where nothing changes, and how long a state is kept that nobody reads. In
    /// milliseconds; for who cannot wait.
    pub fn set_times(&self, heartbeat_ms: u64, keep_ms: u64) {
        self.heartbeat_ms.store(heartbeat_ms, Ordering::Relaxed);
        self.keep_ms.store(keep_ms, Ordering::Relaxed);
    }

    /// Another [`MAX_SPANS`].
    pub fn set_max_spans(&self, spans: u64) {
        self.max_spans.store(spans, Ordering::Relaxed);
    }

    /// How many states are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.topics().len()
    }

    /// How often a state was worked out.
    #[must_use]
    pub fn worked_out(&self) -> u64 {
        self.worked_out.load(Ordering::Relaxed)
    }

    pub(super) fn heartbeat(&self) -> Duration {
        Duration::from_millis(self.heartbeat_ms.load(Ordering::Relaxed))
    }

    fn topics(&self) -> MutexGuard<'_, HashMap<Subject, Arc<Topic>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The states of a subject, from now on. They end when they cannot be worked out any more.
    pub(super) fn join(
        &self,
        app: &Arc<Running>,
        subject: &Subject,
    ) -> Result<watch::Receiver<Latest>, QueryError> {
        let mut topics = self.topics();
        if let Some(topic) = topics.get(subject) {
            let reader = topic.latest.subscribe();
            topic.looked_at.notify_one();
            return Ok(reader);
        }
        self.make_room(&mut topics)?;
        let (latest, reader) = watch::channel(None);
        let topic = Arc::new(Topic { latest, spans: AtomicU64::new(0), looked_at: Notify::new() });
        topics.insert(subject.clone(), Arc::clone(&topic));
        // Noted from before the first state is worked out.
        let source = match subject {
            Some(session) => Source::Session(session.clone(), app.shared.marks.session(session)),
            None => Source::List(app.shared.marks.list()),
        };
        tokio::spawn(run(Arc::clone(app), subject.clone(), topic, source));
        Ok(reader)
    }

    /// Lets go of what nobody reads where too much is held. An error where all of it is read.
    fn make_room(&self, topics: &mut HashMap<Subject, Arc<Topic>>) -> Result<(), QueryError> {
        let max = self.max_spans.load(Ordering::Relaxed);
        let held = |topics: &HashMap<Subject, Arc<Topic>>| -> u64 {
            topics.values().map(|topic| topic.spans.load(Ordering::Relaxed)).sum()
        };
        if held(topics) >= max {
            topics.retain(|_, topic| {
                let is_read = topic.latest.receiver_count() > 0;
                if !is_read {
                    topic.looked_at.notify_one();
                }
                is_read
            });
        }
        if held(topics) < max {
            return Ok(());
        }
        Err(QueryError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            format!("sessions with {max} spans and more are followed already"),
        )
        .hint("close pages that show other long sessions"))
    }

    /// Whether a state that was just worked out may be held beside the others, those let go of that nobody reads. One alone
    /// always may.
    fn has_room_for(&self, subject: &Subject, topic: &Arc<Topic>) -> bool {
        let max = self.max_spans.load(Ordering::Relaxed);
        let own = topic.spans.load(Ordering::Relaxed);
        let mut topics = self.topics();
        let others = |topics: &HashMap<Subject, Arc<Topic>>| -> u64 {
            let others = topics.iter().filter(|(of, _)| *of != subject);
            others.map(|(_, topic)| topic.spans.load(Ordering::Relaxed)).sum()
        };
        if own.saturating_add(others(&topics)) > max {
            topics.retain(|of, topic| {
                let stays = of == subject || topic.latest.receiver_count() > 0;
                if !stays {
                    topic.looked_at.notify_one();
                }
                stays
            });
        }
        let others = others(&topics);
        others == 0 || own.saturating_add(others) <= max
    }

    /// Lets go of a topic.
    fn let_go(&self, subject: &Subject, topic: &Arc<Topic>) {
        let mut topics = self.topics();
        if holds(&topics, subject, topic) {
            topics.remove(subject);
        }
    }

    /// Lets go of a topic that nobody reads; false if somebody does.
    fn let_go_unread(&self, subject: &Subject, topic: &Arc<Topic>) -> bool {
        let mut topics = self.topics();
        let is_held = holds(&topics, subject, topic);
        if is_held && topic.latest.receiver_count() > 0 {
            return false;
        }
        if is_held {
            topics.remove(subject);
        }
        true
    }

    /// Waits until somebody reads a topic that nobody reads. False: nobody did for long, and it is let go of.
    async fn is_read_again(&self, subject: &Subject, topic: &Arc<Topic>) -> bool {
        let keep = Duration::from_millis(self.keep_ms.load(Ordering::Relaxed));
        let looked_at = timeout(keep, topic.looked_at.notified()).await.is_ok();
        // That may be of somebody who left already: then nobody reads it still, and it is waited again.
        let is_wanted = looked_at && holds(&self.topics(), subject, topic);
        is_wanted || !self.let_go_unread(subject, topic)
    }
}

fn holds(topics: &HashMap<Subject, Arc<Topic>>, subject: &Subject, topic: &Arc<Topic>) -> bool {
    topics.get(subject).is_some_and(|held| Arc::ptr_eq(held, topic))
}

/// Keeps a topic's state up to date until nobody has read it for a while, or it cannot be worked out.
async fn run(app: Arc<Running>, subject: Subject, topic: Arc<Topic>, source: Source) {
    let mut changes = match &source {
        Source::Session(_, mark) => mark.changes(),
        Source::List(mark) => mark.changes(),
    };
    let mut board = Arc::new(Board::new(uuid::Uuid::new_v4().as_u64_pair().0));
    let hub = &app.live;
    loop {
        // Whoever only passed by costs nothing; who comes back soon goes on from what he had.
        if board.last() == 0 && topic.latest.receiver_count() == 0 && hub.let_go_unread(&subject, &topic) {
            return;
        }
        changes.mark_unchanged();
        let begun = Instant::now();
        let (next, whole) = match work_out(&app, &source, &board).await {
            Ok(worked_out) => worked_out,
            Err(error) => {
                // Whoever reads it sees the end, asks again, and is told why.
                tracing::warn!(error = error.error.message, "what is followed cannot be worked out");
                hub.let_go(&subject, &topic);
                return;
            }
        };
        hub.worked_out.fetch_add(1, Ordering::Relaxed);
        topic.spans.store(whole, Ordering::Relaxed);
        if !hub.has_room_for(&subject, &topic) {
            // How long a session is, is known only now. Whoever reads it sees the end, and asks again.
            hub.let_go(&subject, &topic);
            return;
        }
        board = next;
        topic.latest.send_replace(Some(Arc::clone(&board)));
        let (took, ended) = (begun.elapsed(), Instant::now());
        loop {
            tokio::select! {
                more = changes.changed() => {
                    if more.is_err() {
                        return;
                    }
                    break;
                }
                () = topic.latest.closed() => {
                    if !hub.is_read_again(&subject, &topic).await {
                        return;
                    }
                }
            }
        }
        sleep(took.saturating_sub(ended.elapsed())).await;
    }
}

/// Makes what there is now from what there was.
type Work = Box<dyn FnOnce(&Content) -> Result<Content, QueryError> + Send>;

async fn work_out(
    app: &Arc<Running>,
    source: &Source,
    before: &Arc<Board>,
) -> Result<(Arc<Board>, u64), QueryError> {
    let ask = Ask::new(&app.shared, app.clock.now_ns()).await?;
    let _turn = app.questions.acquire().await;
    let before = Arc::clone(before);
    let content: Work = match source {
        Source::Session(id, _) => {
            let id = id.clone();
            Box::new(move |_| of_session(&ask, &id))
        }
        Source::List(mark) => {
            let changed = mark.take();
            let is_first = before.last() == 0;
            Box::new(move |old| of_list(&ask, old, if is_first { Changed::All } else { changed }))
        }
    };
    blocking(move || {
        let content = content(before.content())?;
        let spans = content.view.spans.len() as u64;
        Ok((Arc::new(before.next(content)), spans))
    })
    .await
}

fn of_session(ask: &Ask, session_id: &str) -> Result<Content, QueryError> {
    let session = sessions::row(ask, crate::project::ids::session_key(session_id))?;
    let since_ns = session.as_ref().and_then(|s| parse_rfc3339(&s.started_at).ok()).unwrap_or(0);
    Ok(Content {
        sessions: session.map(Arc::new).into_iter().collect(),
        view: tree(ask, session_id)?,
        detections: detections::of_session(ask, session_id)?,
        interventions: detections::done_in(ask, session_id, since_ns)?,
    })
}

fn of_list(ask: &Ask, old: &Content, changed: Changed) -> Result<Content, QueryError> {
    let sessions = match changed {
        Changed::None => old.sessions.clone(),
        Changed::All => {
            let all = sessions::sessions(ask, &Filter { limit: 0, ..Filter::default() })?;
            all.sessions.into_iter().map(Arc::new).collect()
        }
        Changed::Some(names) => {
            let mut sessions = old.sessions.clone();
            for name in names {
                let row = sessions::row(ask, crate::project::ids::session_key(&name))?.map(Arc::new);
                let at = sessions.iter().position(|s| s.session_id == name);
                match (at, row) {
                    (Some(at), Some(row)) => sessions[at] = row,
                    (Some(at), None) => drop(sessions.remove(at)),
                    (None, Some(row)) => sessions.push(row),
                    (None, None) => {}
                }
            }
            sessions
        }
    };
    Ok(Content { sessions, ..Content::default() })
}
