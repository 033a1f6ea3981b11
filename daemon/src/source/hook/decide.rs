//! What a hook event is answered with: a budget's refusal first, else what [`crate::heal`] makes of it.
//!
//! ```text
//! PreToolUse    asked at once, beside the journal: it is about what came before
//! the others    asked once the event is on disk: it may show what is to be told of
//! ```
//!
//! Must never keep `cc-hook` waiting for an answer: what is not there within a few milliseconds is none, and as long as a late
//! one is out, nobody asks again. A payload is looked at only where healing is on for some directory, while the event is
//! being written, and shared with the journal, never copied.
//!
//! Invariant: an answer is given once, and what became of it is known: printed, and on record; or handed back.

use std::future::poll_fn;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ccd_proto::frame::{PRINTED, PRINTED_MS, Status};
use serde::de::{Error, IgnoredAny, Visitor};
use serde::{Deserialize, Deserializer};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

use crate::config::Mode;
use crate::detect::Feed;
use crate::heal::{Answer, Asked, Healing, Occasion};
use crate::ingest::found::InterventionV1;
use crate::ingest::{Ack, Door, HookEvent, Ready};

/// Says what `cc-hook` shall print for an event; from memory, at once.
pub type Decide = Arc<dyn Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync>;
/// Told of the last denial of a turn.
pub type LetRun = Arc<dyn Fn(&InterventionV1) + Send + Sync>;

/// How long what is waited for. The shim waits for 50 ms in all.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// A decision waits so long for its event to be on disk.
    pub decided: Duration,
    /// An answer is waited for so long.
    pub answer: Duration,
    /// An event that took longer to be written is not asked about: the shim is gone before there is an answer.
    pub too_late: Duration,
    /// By then a reply must be on its way.
    pub last: Duration,
    /// What was handed over is to be confirmed within this.
    pub printed: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Times {
            decided: Duration::from_millis(25),
            answer: Duration::from_millis(15),
            too_late: Duration::from_millis(35),
            last: Duration::from_millis(45),
            printed: Duration::from_millis(PRINTED_MS),
        }
    }
}

/// Whom a connection brings its event to.
pub struct Desk {
    /// The way to the journal.
    pub door: Door,
    /// Budgets.
    pub decide: Decide,
    /// Healing.
    pub healer: Healer,
    /// How long what is waited for.
    pub times: Times,
}

/// What is to be printed.
pub(super) enum Said {
    Nothing,
    Budget(Vec<u8>),
    Healing(Box<Answer>),
}

impl Said {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Said::Nothing => &[],
            Said::Budget(json) => json,
            Said::Healing(answer) => &answer.json,
        }
    }
}

/// Asks what is to be done.
pub struct Healer {
    healing: Arc<Healing>,
    feed: Feed,
    let_run: LetRun,
    /// Questions whose answers are late, and still out.
    out: Arc<AtomicUsize>,
}

/// What of a payload matters.
#[derive(Deserialize)]
struct Payload {
    hook_event_name: String,
    session_id: String,
    #[serde(default)]
    agent_id: Option<String>,
    #[serde(default)]
    cwd: Option<PathBuf>,
    #[serde(default)]
    prompt_id: Option<String>,
    #[serde(default)]
    tool_use_id: Option<String>,
    #[serde(default)]
    stop_hook_active: bool,
    /// Whether the prompt is the client's own.
    #[serde(default, deserialize_with = "is_machine")]
    prompt: bool,
}

/// A prompt may be megabytes: it is looked at where it lies.
fn is_machine<'de, D: Deserializer<'de>>(prompt: D) -> Result<bool, D::Error> {
    struct Opening;
    impl<'de> Visitor<'de> for Opening {
        type Value = bool;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a prompt")
        }

        fn visit_str<E: Error>(self, prompt: &str) -> Result<bool, E> {
            Ok(prompt.trim_start().starts_with("<task-notification>"))
        }

        fn visit_unit<E: Error>(self) -> Result<bool, E> {
            Ok(false)
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut blocks: A) -> Result<bool, A::Error> {
            while blocks.next_element::<IgnoredAny>()?.is_some() {}
            Ok(false)
        }
    }
    prompt.deserialize_any(Opening)
}

impl Healer {
    /// Asks `feed`, goes by the settings in `healing` and counts there; `let_run` hears of turns that are let run.
    #[must_use]
    pub fn new(healing: Arc<Healing>, feed: Feed, let_run: LetRun) -> Self {
        Healer { healing, feed, let_run, out: Arc::default() }
    }

    /// What is to be asked about an event, if anything can come of it.
    fn question(&self, arrived_ns: u64, body: &[u8]) -> Option<Asked> {
        let settings = self.healing.settings();
        if settings.is_off() {
            return None;
        }
        let event: Payload = serde_json::from_slice(body).ok()?;
        let occasion = Occasion::named(&event.hook_event_name)?;
        let mode = settings.mode_in(event.cwd.as_deref());
        let can_be = match occasion {
            Occasion::PreToolUse | Occasion::Stop => mode == Mode::Guard,
            // What a background task reports is nothing that the user said.
            Occasion::UserPromptSubmit => mode != Mode::Off && !event.prompt,
            Occasion::PostToolUse | Occasion::PostToolUseFailure | Occasion::PostToolBatch => {
                mode != Mode::Off
            }
        };
        can_be.then_some(Asked {
            occasion,
            session_id: event.session_id,
            agent_id: event.agent_id.filter(|id| !id.is_empty()),
            cwd: event.cwd,
            prompt_id: event.prompt_id,
            tool_use_id: event.tool_use_id,
            stop_hook_active: event.stop_hook_active,
            // The event's own time: what it shows is known by the same.
            at_ns: arrived_ns,
        })
    }

    async fn ask(&self, asked: Asked, payload: Bytes, patience: Duration) -> Option<Answer> {
        if self.out.load(Ordering::Relaxed) > 0 {
            self.healing.late.add();
            return None;
        }
        let feed = self.feed.clone();
        let mut asking = Box::pin(async move { feed.ask(asked, payload).await });
        if let Ok(answer) = timeout(patience, &mut asking).await {
            return answer;
        }
        self.healing.late.add();
        self.out.fetch_add(1, Ordering::Relaxed);
        let (feed, out) = (self.feed.clone(), Arc::clone(&self.out));
        tokio::spawn(async move {
            if let Some(answer) = asking.await {
                feed.undelivered(answer.intervention);
            }
            out.fetch_sub(1, Ordering::Relaxed);
        });
        None
    }
}

fn status(ack: Ack) -> Status {
    match ack {
        Ack::Durable => Status::Durable,
        Ack::Refused => Status::Refused,
    }
}

impl Desk {
    /// Brings an event to the journal; what became of it, and what is to be printed.
    pub(super) async fn event(&self, event: HookEvent) -> (Status, Said) {
        let begun = Instant::now();
        if let Some(decision) = (self.decide)(&event.body) {
            // A decision must be there before the shim stops waiting; the event it then spools is the same one.
            let ack = timeout(self.times.decided, self.door.hook(event)).await.unwrap_or(Ack::Refused);
            return (status(ack), Said::Budget(decision));
        }
        let (arrived_ns, body) = (event.arrived_ns, event.body.clone());
        let mut recorded = pin!(self.door.hook(event));
        // Handed in first: it is looked at while it is being written.
        let early = poll_fn(|cx| match recorded.as_mut().poll(cx) {
            Poll::Ready(ack) => Poll::Ready(Some(ack)),
            Poll::Pending => Poll::Ready(None),
        })
        .await;
        let mut recorded = pin!(async move {
            match early {
                Some(ack) => ack,
                None => recorded.await,
            }
        });
        let Some(asked) = self.healer.question(arrived_ns, &body) else {
            return (status(recorded.await), Said::Nothing);
        };
        let (ack, answer) = if asked.occasion == Occasion::PreToolUse {
            let mut asking = pin!(self.healer.ask(asked, body, self.times.answer));
            tokio::select! {
                answer = &mut asking => {
                    let patience =
                        if answer.is_some() { self.times.decided.saturating_sub(begun.elapsed()) } else { Duration::MAX };
                    (timeout(patience, recorded).await.unwrap_or(Ack::Refused), answer)
                }
                ack = &mut recorded => (ack, asking.await),
            }
        } else {
            let ack = recorded.await;
            (ack, if ack == Ack::Durable { self.ask_after(asked, body, begun).await } else { None })
        };
        (status(ack), answer.map_or(Said::Nothing, |answer| Said::Healing(Box::new(answer))))
    }

    /// Asks about an event that is on disk, if the shim still waits.
    async fn ask_after(&self, asked: Asked, body: Bytes, begun: Instant) -> Option<Answer> {
        let taken = begun.elapsed();
        if taken > self.times.too_late {
            self.healer.healing.late.add();
            return None;
        }
        self.healer.ask(asked, body, self.times.answer.min(self.times.last.saturating_sub(taken))).await
    }

    /// What became of an answer: waits until `cc-hook` says that it was printed, and puts it on record.
    ///
    /// An advice of which nothing is heard is handed back: it is given once more, later. A denial or a block may have been
    /// obeyed all the same: it is on record, as one of which that is not known, and counts.
    pub(super) async fn settle(&self, stream: &mut (impl AsyncRead + Unpin), answer: Answer, replied: bool) {
        let Healer { healing, feed, let_run, .. } = &self.healer;
        let is_advice = answer.is_advice();
        let Answer { mut intervention, gives_up, .. } = answer;
        let heard = timeout(self.times.printed, stream.read_u8());
        intervention.delivered = replied && matches!(heard.await, Ok(Ok(PRINTED)));
        if !intervention.delivered {
            healing.undelivered.add();
            if is_advice || !replied {
                return feed.undelivered(intervention);
            }
        }
        healing.did(&intervention);
        if gives_up {
            let_run(&intervention);
        }
        match intervention.to_record(uuid::Uuid::now_v7().into_bytes()) {
            Ok(record) => {
                if self.door.ready(Ready { record, fact: None }).await == Ack::Refused {
                    tracing::warn!(action = intervention.action, "an intervention could not be recorded");
                }
            }
            Err(error) => tracing::error!(%error, "an intervention could not be recorded"),
        }
    }
}
