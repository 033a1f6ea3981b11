//! The detectors' thread: takes what it is told in its order, and answers whoever asks.
//!
//! Must never be waited for by the writer. A panic while one record or one question is dealt with costs that session's
//! engine, nothing else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ccd_detect::{Event, What};
use tokio::sync::mpsc::Sender;

use super::engines::{Emitted, Engines, Now};
use super::recorder::ToRecord;
use super::session::Kit;
use super::{Batch, Feed, Gauges, Message};
use crate::clock::Clock;
use crate::config;
use crate::heal::{Answer, Asked, Occasion, Policy};
use crate::ingest::shared::{Shared, StoreState};

/// How often to look whether the index has got to where a session can be read anew.
const LOOK: Duration = Duration::from_millis(20);

/// What the thread is made of.
pub struct Detecting {
    rx: Receiver<Message>,
    gauges: Arc<Gauges>,
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    engines: Engines,
    policy: Policy,
    heal: Arc<config::Heal>,
    out: Sender<ToRecord>,
    store: u64,
    /// What was let go of has not been given back to the system yet.
    untrimmed: bool,
}

impl Detecting {
    /// Nothing seen yet. `out`: where detections go.
    #[must_use]
    pub fn new(
        feed: &Feed,
        rx: Receiver<Message>,
        shared: Arc<Shared>,
        kit: Kit,
        heal: Arc<config::Heal>,
        out: Sender<ToRecord>,
    ) -> Self {
        let gauges = Arc::clone(feed.gauges());
        Detecting {
            rx,
            shared,
            clock: Arc::clone(&feed.clock),
            engines: Engines::new(kit, Arc::clone(&gauges)),
            policy: Policy::new(Arc::clone(&heal)),
            heal,
            out,
            store: gauges.store.load(Ordering::Acquire),
            gauges,
            untrimmed: false,
        }
    }

    /// Until it is told to stop, or nobody can tell it anything any more.
    pub fn run(mut self) {
        loop {
            let next = self.next();
            self.prepare();
            match next {
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    self.recover();
                    break;
                }
                Ok(message) => {
                    self.handle(message);
                    self.settle();
                    // Last: whoever sees that nothing waits sees what came of it.
                    self.gauges.behind.fetch_sub(1, Ordering::Release);
                }
                Err(RecvTimeoutError::Timeout) => self.settle(),
            }
        }
        self.gauges.sessions.store(0, Ordering::Relaxed);
    }

    /// What there is to do beside messages.
    fn settle(&mut self) {
        self.recover();
        self.rest();
        self.gauges.sessions.store(self.engines.len() as u64, Ordering::Relaxed);
    }

    /// The next message; a time-out where there is something else to do first.
    fn next(&self) -> Result<Message, RecvTimeoutError> {
        let patience = if self.engines.has_missing() {
            Some(LOOK)
        } else {
            self.engines.rests_at().map(|at| at.saturating_duration_since(Instant::now()))
        };
        match patience {
            None => self.rx.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(patience) => self.rx.recv_timeout(patience),
        }
    }

    /// What has to be known before the next message is understood.
    fn prepare(&mut self) {
        let store = self.gauges.store.load(Ordering::Acquire);
        if store != self.store {
            self.store = store;
            self.engines.clear();
        }
        if let Some((detect, heal)) = self.gauges.take_settings() {
            self.policy.set(Arc::clone(&heal));
            self.heal = heal;
            self.engines.set(detect);
        }
        if let Some(said) = self.gauges.take_said() {
            if said.anew {
                self.policy.nothing_said();
            }
            said.judgements.iter().for_each(|judgement| self.policy.judged(judgement));
        }
        for (session, upto) in self.gauges.take_missing() {
            self.engines.miss(&session, upto);
        }
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Seen(batch) => {
                let bytes = batch.bytes();
                if batch.store == self.store {
                    self.seen(&batch);
                }
                drop(batch);
                self.gauges.waiting.fetch_sub(bytes, Ordering::Relaxed);
            }
            Message::Ask(asked, payload, answer) => {
                // Whoever gave up waiting has let the event through.
                if answer.is_closed() {
                    return;
                }
                let found = self.guarded(&asked.session_id, |this| this.answer(&asked, &payload)).flatten();
                if let Err(Some(late)) = answer.send(found) {
                    self.policy.undelivered(&late.intervention);
                }
            }
            Message::Undelivered(intervention) => self.policy.undelivered(&intervention),
            Message::Stop => {}
        }
    }

    fn seen(&mut self, batch: &Batch) {
        self.engines.set_prices(self.shared.live.prices());
        let reader = self.reader();
        for (at, seen) in batch.seen.iter().enumerate() {
            let now = Now { at_ns: self.clock.now_ns(), reader: reader.as_ref() };
            let mut out = Vec::new();
            let taken = catch_unwind(AssertUnwindSafe(|| self.engines.take(batch, at, &now, &mut out)));
            self.emit(out);
            match taken {
                Ok(true) => self.forget(&seen.session_id),
                Ok(false) => {}
                Err(_) => self.panicked(&seen.session_id),
            }
        }
    }

    fn recover(&mut self) {
        if !self.engines.has_missing() {
            return;
        }
        let reader = self.reader();
        let now = Now { at_ns: self.clock.now_ns(), reader: reader.as_ref() };
        let published = self.gauges.published.load(Ordering::Acquire);
        for session in self.engines.ready(published) {
            let mut out = Vec::new();
            let read = AssertUnwindSafe(|| self.engines.recover(&session, &now, &mut out));
            if catch_unwind(read).is_err() {
                self.panicked(&session);
            }
            self.emit(out);
        }
    }

    /// The store, where it can be asked.
    fn reader(&self) -> Option<ccd_store::Reader> {
        match &*self.shared.state.borrow() {
            StoreState::Ready(reader) => Some(reader.clone()),
            _ => None,
        }
    }

    /// Does something about a session; a panic ends the watch of it.
    fn guarded<T>(&mut self, session: &str, work: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let done = catch_unwind(AssertUnwindSafe(|| work(self)));
        if done.is_err() {
            self.panicked(session);
        }
        done.ok()
    }

    fn panicked(&mut self, session: &str) {
        tracing::error!(session, "a detector panicked: this session is not watched any more");
        self.gauges.panics.fetch_add(1, Ordering::Relaxed);
        self.engines.give_up(session);
    }

    fn answer(&mut self, asked: &Asked, payload: &Bytes) -> Option<Answer> {
        if self.heal.mode_in(asked.cwd.as_deref()) == config::Mode::Off {
            return None;
        }
        let verdict = match asked.occasion {
            Occasion::PreToolUse => match serde_json::from_slice(payload).map(Event::from_hook) {
                Ok(Event { what: What::Call(call), agent, .. }) => {
                    self.engines.before(&asked.session_id, agent.as_deref(), &call)
                }
                _ => None,
            },
            _ => None,
        };
        self.policy.answer(asked, verdict.as_ref())
    }

    fn emit(&mut self, found: Vec<Emitted>) {
        for Emitted { found, quiet } in found {
            let detection = found.record;
            let quiet = quiet || self.policy.is_dismissed(&detection);
            if quiet {
                // Nothing is said of it; a call that is denied for it is about it, unless it is dismissed.
                self.policy.known(&detection);
            } else {
                self.policy.found(&detection);
            }
            if self.out.try_send(ToRecord { detection, quiet }).is_err() {
                self.gauges.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn forget(&mut self, session: &str) {
        self.policy.forget(session);
        self.untrimmed = true;
    }

    fn rest(&mut self) {
        for session in self.engines.rest(Instant::now()) {
            self.forget(&session);
        }
        // Not with each of many sessions that end: once the last one is gone.
        if self.untrimmed && self.engines.is_empty() {
            self.untrimmed = false;
            crate::memory::trim();
        }
    }
}
