//! The sessions that are watched: begun with their first young record, read anew after a loss, let go of when they are over
//! or nobody has used them for a while.
//!
//! Must never hold more than [`MAX_SESSIONS`] of them, nor read a session again that a detector panicked on.
//!
//! Invariant: a session that is held has taken in every record of it up to its `last_seq`, in the journal's order.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ccd_detect::{Kind, ToolCall, Verdict};
use ccd_store::Reader;

use super::history::{self, Next};
use super::session::{Found, Kit, Material, Session, Taken, Trees};
use super::{AGE_NS, Batch, Gauges, Seen, Told};
use crate::config;
use crate::ingest::record::{self, Kept};
use crate::live::LiveError;
use crate::project::price::Prices;
use crate::project::transcript;

/// Sessions that are held.
pub const MAX_SESSIONS: usize = 32;
/// Items that all engines together may hold; one may hold [`ccd_detect::engine::MAX_HELD`].
const MAX_HELD: usize = 16 * ccd_detect::engine::MAX_HELD;
/// A session that was used so lately is not put aside for another: with more live sessions than are held, each event would
/// have a whole session read again.
const BUSY: Duration = Duration::from_secs(60);
/// How long a session is held that nothing is heard of.
pub const REST: Duration = Duration::from_secs(30 * 60);
/// How often working directories that nobody uses are let go of, as long as there are any.
const TREES_REST: Duration = Duration::from_secs(60);
/// Sessions that are remembered as over, or as given up.
const MAX_REMEMBERED: usize = 1024;

/// Something found, and whether it is news: what is not goes on record and nowhere else.
#[derive(Debug)]
pub struct Emitted {
    /// What.
    pub found: Found,
    /// Nobody is to be told: it is history, or was worked out again.
    pub quiet: bool,
}

/// A session cannot be read yet.
struct NotNow;

/// A session, and when it was used last.
struct Held {
    session: Session,
    used: Instant,
}

/// Names that are remembered, the oldest forgotten first.
#[derive(Default)]
struct Names {
    set: HashSet<String>,
    order: VecDeque<String>,
}

impl Names {
    fn has(&self, name: &str) -> bool {
        self.set.contains(name)
    }

    fn add(&mut self, name: &str) {
        if !self.set.insert(name.to_owned()) {
            return;
        }
        if self.order.len() >= MAX_REMEMBERED
            && let Some(old) = self.order.pop_front()
        {
            self.set.remove(&old);
        }
        self.order.push_back(name.to_owned());
    }

    fn remove(&mut self, name: &str) {
        if self.set.remove(name) {
            self.order.retain(|other| other != name);
        }
    }
}

/// The sessions that are watched.
pub struct Engines {
    kit: Kit,
    gauges: Arc<Gauges>,
    held: HashMap<String, Held>,
    /// Up to which record the detections are known of sessions that are to be read anew.
    resume: HashMap<String, u64>,
    /// Up to which record sessions have to be read anew, once the index has it.
    missing: HashMap<String, u64>,
    over: Names,
    given_up: Names,
    /// When to let go of working directories, where there may be any.
    trees_rest_at: Option<Instant>,
}

impl Engines {
    /// None yet.
    #[must_use]
    pub fn new(kit: Kit, gauges: Arc<Gauges>) -> Self {
        Engines {
            kit,
            gauges,
            held: HashMap::new(),
            resume: HashMap::new(),
            missing: HashMap::new(),
            over: Names::default(),
            given_up: Names::default(),
            trees_rest_at: None,
        }
    }

    /// Prices from now on, for sessions that are begun or read anew.
    pub fn set_prices(&mut self, prices: Arc<Prices>) {
        self.kit.prices = prices;
    }

    /// Thresholds from now on: sessions that they change are read anew with their next event.
    pub fn set(&mut self, settings: Arc<config::Detect>) {
        let changed: Vec<String> = self
            .held
            .iter()
            .filter(|(_, held)| held.session.differs(&settings))
            .map(|(id, _)| id.clone())
            .collect();
        self.kit.settings = settings;
        for id in changed {
            self.put_aside(&id);
        }
    }

    /// Forgets everything: another store is written.
    pub fn clear(&mut self) {
        self.held.clear();
        self.resume.clear();
        self.missing.clear();
    }

    /// Something of this session was lost on the way, up to this record: it is read anew once the index has that.
    pub fn miss(&mut self, id: &str, upto: u64) {
        if self.given_up.has(id) {
            return;
        }
        self.put_aside(id);
        self.gauges.lost.fetch_add(1, Ordering::Relaxed);
        let missing = self.missing.entry(id.to_owned()).or_default();
        *missing = (*missing).max(upto);
    }

    /// A detector panicked on it: never again.
    pub fn give_up(&mut self, id: &str) {
        self.held.remove(id);
        self.missing.remove(id);
        self.given_up.add(id);
    }

    /// Whether sessions wait to be read anew.
    #[must_use]
    pub fn has_missing(&self) -> bool {
        !self.missing.is_empty()
    }

    /// Engines held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// What a guard is told before this call runs.
    #[must_use]
    pub fn before(&self, id: &str, agent: Option<&str>, call: &ToolCall) -> Option<Verdict> {
        self.held.get(id)?.session.before(agent, call)
    }

    /// Lets go of sessions that nobody has used for a while, and names them.
    pub fn rest(&mut self, now: Instant) -> Vec<String> {
        let is_idle = |held: &Held| now.saturating_duration_since(held.used) >= REST;
        let idle: Vec<String> =
            self.held.iter().filter(|(_, held)| is_idle(held)).map(|(id, _)| id.clone()).collect();
        for id in &idle {
            self.put_aside(id);
        }
        if !idle.is_empty() {
            self.held.shrink_to_fit();
        }
        if self.trees_rest_at.is_some_and(|at| at <= now) {
            self.trees_rest_at = self.kit.trees.rest(now).then(|| now + TREES_REST);
        }
        idle
    }

    /// When there may be something to let go of.
    #[must_use]
    pub fn rests_at(&self) -> Option<Instant> {
        self.held.values().map(|held| held.used + REST).chain(self.trees_rest_at).min()
    }

    /// No longer held; what was found up to here stays found.
    fn put_aside(&mut self, id: &str) {
        if let Some(held) = self.held.remove(id) {
            self.known_to(id, held.session.last_seq);
        }
    }

    /// What a session shows up to this record was told.
    fn known_to(&mut self, id: &str, seq: u64) {
        if self.resume.len() >= MAX_REMEMBERED {
            self.resume.clear();
        }
        self.resume.insert(id.to_owned(), seq);
    }

    /// Takes a record of a batch in; true where its session is over with it.
    pub fn take(&mut self, batch: &Batch, at: usize, now: &Now<'_>, out: &mut Vec<Emitted>) -> bool {
        let Some(seen) = batch.seen.get(at) else { return false };
        let id = seen.session_id.as_str();
        let is_held = self.held.contains_key(id);
        let is_known = self.held.get(id).is_some_and(|held| seen.seq <= held.session.last_seq);
        if is_known || self.given_up.has(id) {
            return false;
        }
        if matches!(seen.told, Told::Past) {
            if is_held {
                self.miss(id, seen.seq);
            }
            return false;
        }
        if let Some(upto) = self.missing.get_mut(id) {
            if !batch.indexed || *upto >= batch.first_seq {
                *upto = (*upto).max(seen.seq);
                return false;
            }
            self.missing.remove(id);
        } else if !is_held {
            if self.is_crowded() {
                self.gauges.crowded.fetch_add(1, Ordering::Relaxed);
                return false;
            }
            let is_late = now.at_ns.saturating_sub(seen.at_ns) > AGE_NS;
            // What follows a session's end are the last lines of its transcript.
            let is_rest = matches!(seen.told, Told::Lines(..)) && self.over.has(id);
            if is_late || is_rest {
                return false;
            }
        }
        let before = match self.held.remove(id) {
            Some(held) => Ok(Some(held.session)),
            None => self.earlier(batch, at, now, out),
        };
        let Ok(before) = before else {
            self.miss(id, seen.seq);
            return false;
        };
        self.feed(before, seen, now, out);
        let is_over = matches!(seen.told, Told::Hook(_, true));
        if is_over {
            self.over.add(id);
            self.put_aside(id);
            self.missing.remove(id);
        } else if matches!(seen.told, Told::Hook(..)) {
            self.over.remove(id);
        }
        is_over
    }

    /// Whether as many sessions are held as can be, and all of them are at work.
    fn is_crowded(&self) -> bool {
        self.held.len() >= MAX_SESSIONS && self.held.values().all(|held| held.used.elapsed() < BUSY)
    }

    /// A session before a record of a batch, read from the journal; none where it has no earlier record. An error: it
    /// cannot be read now.
    fn earlier(
        &mut self,
        batch: &Batch,
        at: usize,
        now: &Now<'_>,
        out: &mut Vec<Emitted>,
    ) -> Result<Option<Session>, NotNow> {
        let (before, rest) = batch.seen.split_at(at);
        let id = rest.first().ok_or(NotNow)?.session_id.as_str();
        let reader = now.reader.filter(|_| batch.indexed).ok_or(NotNow)?;
        let mut session = self.read(id, batch.first_seq, reader, now, out).map_err(|error| {
            tracing::warn!(%error, "a session cannot be read anew");
            NotNow
        })?;
        for seen in before.iter().filter(|seen| seen.session_id == id) {
            if matches!(seen.told, Told::Past) {
                return Err(NotNow);
            }
            self.feed(session.take(), seen, now, out);
            session = Some(self.held.remove(id).ok_or(NotNow)?.session);
        }
        Ok(session)
    }

    /// Gives a record to a session that has taken in all before it; to a new one where there is none.
    fn feed(&mut self, session: Option<Session>, seen: &Seen, now: &Now<'_>, out: &mut Vec<Emitted>) {
        let id = seen.session_id.as_str();
        let (was_at, was_lost) =
            (session.as_ref().map(|s| s.last_seq), session.as_ref().is_some_and(|s| s.cwd().is_none()));
        let is_new = session.is_none();
        let mut session = session.unwrap_or_else(|| Session::new(id, &self.kit, None, seen.at_ns));
        let mut taken = take_in(&mut session, seen, &*self.kit.trees);
        if (is_new || was_lost)
            && let Some(cwd) = session.moved_to()
        {
            if !is_new {
                // It is watched where it happens from its first record on.
                self.known_to(id, was_at.unwrap_or(0));
                return self.miss(id, seen.seq);
            }
            session = Session::new(id, &self.kit, Some(cwd), seen.at_ns);
            taken = take_in(&mut session, seen, &*self.kit.trees);
        }
        self.hold(session);
        self.gauges.events.fetch_add(taken.events, Ordering::Relaxed);
        for found in taken.found {
            self.gauges.found.fetch_add(1, Ordering::Relaxed);
            let quiet = now.is_history(&found);
            out.push(Emitted { found, quiet });
        }
    }

    fn hold(&mut self, session: Session) {
        let id = session.id().to_owned();
        let used = Instant::now();
        self.trees_rest_at.get_or_insert(used + TREES_REST);
        self.held.insert(id.clone(), Held { session, used });
        let mut items: usize = 0;
        if self.held.len() > MAX_SESSIONS / 2 {
            items = self.held.values().map(|held| held.session.held()).sum();
        }
        while self.held.len() > 1 && (self.held.len() > MAX_SESSIONS || items > MAX_HELD) {
            let others = self.held.iter().filter(|(other, _)| **other != id);
            let Some(oldest) = others.min_by_key(|(_, held)| held.used).map(|(id, _)| id.clone()) else {
                break;
            };
            items -= self.held.get(&oldest).map_or(0, |held| held.session.held()).min(items);
            self.put_aside(&oldest);
        }
    }

    /// The sessions to be read anew that the index accounts for by now.
    #[must_use]
    pub fn ready(&self, published: u64) -> Vec<String> {
        self.missing.iter().filter(|(_, upto)| **upto <= published).map(|(id, _)| id.clone()).collect()
    }

    /// Reads a session anew of which something was lost.
    pub fn recover(&mut self, id: &str, now: &Now<'_>, out: &mut Vec<Emitted>) {
        let Some(reader) = now.reader else { return };
        let Some(upto) = self.missing.remove(id) else { return };
        match self.read(id, upto.saturating_add(1), reader, now, out) {
            Ok(session) => session.into_iter().for_each(|session| self.hold(session)),
            Err(error) => tracing::warn!(%error, "a session cannot be read anew"),
        }
    }

    /// Reads a session up to a record. What it shows up to where it was watched is known. What came before this daemon did
    /// was for the one before it: where that is young, it goes on record once more, which changes nothing if it is there;
    /// but what depends on the tree as it was then is not worked
    /// out again. History of a session that was not live is no news at all.
    fn read(
        &mut self,
        id: &str,
        before: u64,
        reader: &Reader,
        now: &Now<'_>,
        out: &mut Vec<Emitted>,
    ) -> Result<Option<Session>, LiveError> {
        let known = self.resume.get(id).copied();
        let upto = known.unwrap_or_else(|| self.gauges.begun.load(Ordering::Acquire));
        let read = history::read(reader, id, before, &self.kit, &mut |seq, taken| {
            let is_news = seq > upto;
            if is_news {
                self.gauges.events.fetch_add(taken.events, Ordering::Relaxed);
            }
            for found in taken.found {
                let is_history = now.is_history(&found);
                let of_tree = found.detection.kind == Kind::Hallucination;
                let goes_on_record = match (is_news, known) {
                    (true, Some(_)) => true,
                    (true, None) => !is_history,
                    (false, None) => !is_history && !of_tree,
                    (false, Some(_)) => false,
                };
                if goes_on_record {
                    self.gauges.found.fetch_add(u64::from(is_news), Ordering::Relaxed);
                    out.push(Emitted { quiet: !is_news || is_history, found });
                }
            }
            Next::GoOn
        });
        // One that could not be read is still known up to where it was.
        if read.is_ok() {
            self.resume.remove(id);
        }
        read
    }
}

/// The moment at which something is taken in.
pub struct Now<'a> {
    /// Nanoseconds since the Unix epoch.
    pub at_ns: u64,
    /// The store, where it can be asked.
    pub reader: Option<&'a Reader>,
}

impl Now<'_> {
    fn is_history(&self, found: &Found) -> bool {
        self.at_ns.saturating_sub(found.record.at_ns) > AGE_NS
    }
}

fn take_in(session: &mut Session, seen: &Seen, trees: &dyn Trees) -> Taken {
    let material = match &seen.told {
        Told::Hook(body, _) => Material::Hook(seen.at_ns, body),
        Told::Answer(answer) => Material::Answer(answer),
        Told::Lines(records, at) => match records.get(*at).map(record::transcript) {
            Some(Ok((head, Kept::Inline(bytes), _))) => {
                Material::Lines(transcript::agent_of(&head.path), bytes)
            }
            _ => return Taken::default(),
        },
        Told::Past => return Taken::default(),
    };
    session.take(seen.seq, material, Some(trees))
}
