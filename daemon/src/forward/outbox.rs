//! What waits to be sent to one sink, and what is to be done next: a cursor over what the store has, and no copy of any of
//! it. A sink that is down for days costs the names of what waits, and nothing else.
//!
//! Pure: times are handed in (`now`: nanoseconds of a clock that only goes forward; `wall_ns`: since the Unix epoch), and
//! nothing here reads or writes.
//!
//! Invariants: a unit is noted as sent only after the sink took it, so that a kill between the two sends it again, with
//! the same ids; nothing from before the sink was switched on waits; what is switched off waits for nothing; a unit that
//! the store let go of before it was sent is counted.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The form of the state file.
pub const VERSION: u32 = 1;
/// How long a session is quiet before it is looked at: the last lines of a transcript come a moment after the turn's end.
pub const QUIET: Duration = Duration::from_secs(3);
/// One that is never quiet is looked at all the same after this.
const RESTLESS: Duration = Duration::from_secs(30);
/// Longest words of an error that are kept, in characters.
const WORDS: usize = 300;

/// Something that is sent as one: a turn, or a session. What it is called is the sink's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// Which of its session's.
    pub key: u64,
    /// A hash of what it says.
    pub digest: u64,
}

/// What became of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Past {
    /// A hash of the session's row when it was looked at last; 0 where it has to be looked at again in any case.
    pub seen: u64,
    /// When it was used last, nanoseconds since the Unix epoch: what happened first is sent first.
    pub at_ns: u64,
    /// What was sent.
    pub sent: Vec<Unit>,
    /// What was not, yet.
    pub waiting: Vec<Unit>,
}

/// What is kept on disk of a sink.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// [`VERSION`].
    pub version: u32,
    /// Who it is: another one was sent nothing yet.
    pub identity: String,
    /// When it was switched on, nanoseconds since the Unix epoch; 0: it is off.
    pub since_ns: u64,
    /// Units taken.
    pub sent: u64,
    /// Units that the store let go of before they were sent.
    pub dropped: u64,
    /// Units that the sink does not take.
    pub refused: u64,
    /// Units of which something was left out because the sink takes no more at once.
    pub degraded: u64,
    /// When something was taken last, nanoseconds since the Unix epoch; 0: never.
    pub last_success_ns: u64,
    /// What went wrong last, and when.
    pub last_error: Option<(u64, String)>,
    /// Sessions that are still on record, by id.
    pub sessions: BTreeMap<String, Past>,
}

/// A session, looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// Since when it was looked at: what was seen before it was switched off counts for nothing.
    pub since_ns: u64,
    /// What there is to send of it, oldest first.
    pub units: Vec<Unit>,
    /// A hash of its row.
    pub seen: u64,
    /// When it was used last, nanoseconds since the Unix epoch.
    pub at_ns: u64,
    /// After so long it is to be looked at again although nothing happens: something in it is still running.
    pub again: Option<Duration>,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Look which sessions changed since they were looked at.
    Scan,
    /// Look at a session.
    Look(String),
    /// Send a unit.
    Send(String, Unit),
    /// Nothing until then, or until something happens.
    Wait(Option<u64>),
}

/// What waits, and what is to be done.
#[derive(Debug)]
pub struct Outbox {
    state: State,
    /// A unit that changed is sent again.
    resend: bool,
    /// Sessions that changed: when to look at them, and when they changed first.
    changed: BTreeMap<String, (u64, u64)>,
    scan: bool,
    /// Attempts that failed in a row.
    failed: u32,
    next_try: u64,
    unsaved: bool,
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Outbox {
    /// What a state says; another sink's, or one of another form, counts for nothing.
    #[must_use]
    pub fn new(state: Option<State>, identity: &str) -> Self {
        let known = state.filter(|state| state.version == VERSION && state.identity == identity);
        let fresh = State { version: VERSION, identity: identity.to_owned(), ..State::default() };
        Outbox {
            state: known.unwrap_or(fresh),
            resend: false,
            changed: BTreeMap::new(),
            scan: false,
            failed: 0,
            next_try: 0,
            unsaved: false,
        }
    }

    /// The state, to be kept or shown.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Units that wait.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.state.sessions.values().map(|past| past.waiting.len() as u64).sum()
    }

    /// When the sink is tried again, of the clock that only goes forward; none where nothing waits for that.
    #[must_use]
    pub fn next_try(&self) -> Option<u64> {
        (self.failed > 0 && self.waiting() > 0).then_some(self.next_try)
    }

    /// Whether the state changed since this was asked last.
    pub fn take_unsaved(&mut self) -> bool {
        std::mem::take(&mut self.unsaved)
    }

    /// The state could not be kept: it is not, still.
    pub fn keep_unsaved(&mut self) {
        self.unsaved = true;
    }

    /// From now on. One that was on goes on where it was; one that was off begins now.
    pub fn switch_on(&mut self, resend: bool, wall_ns: u64) {
        self.resend = resend;
        if self.state.since_ns == 0 {
            self.state.since_ns = wall_ns.max(1);
            self.unsaved = true;
        }
        self.scan = true;
        (self.failed, self.next_try) = (0, 0);
    }

    /// Nothing waits any more. What was sent is forgotten, too: what comes before it is switched on again is not sent.
    pub fn switch_off(&mut self) {
        self.unsaved |= self.state.since_ns != 0 || !self.state.sessions.is_empty();
        self.state.since_ns = 0;
        self.state.sessions.clear();
        self.changed.clear();
        self.scan = false;
        (self.failed, self.next_try) = (0, 0);
    }

    /// A session changed.
    pub fn changed(&mut self, session: String, now: u64) {
        let (due, first) = self.changed.entry(session).or_insert((now, now));
        *due = (now + nanos(QUIET)).min(*first + nanos(RESTLESS));
    }

    /// Sessions changed, and it is not known which.
    pub fn missed(&mut self) {
        self.scan = true;
    }

    /// What is to be done next.
    #[must_use]
    pub fn next(&self, now: u64) -> Step {
        if self.state.since_ns == 0 {
            return Step::Wait(None);
        }
        if self.scan {
            return Step::Scan;
        }
        let first = self.changed.iter().min_by_key(|(_, (due, _))| *due);
        if let Some((session, (due, _))) = first
            && *due <= now
        {
            return Step::Look(session.clone());
        }
        let oldest = self.state.sessions.iter().filter(|(_, past)| !past.waiting.is_empty());
        let oldest = oldest.min_by_key(|(_, past)| past.at_ns);
        if let Some((session, past)) = oldest
            && let Some(unit) = past.waiting.first()
            && self.next_try <= now
        {
            return Step::Send(session.clone(), *unit);
        }
        let try_again = oldest.map(|_| self.next_try);
        Step::Wait(first.map(|(_, (due, _))| *due).into_iter().chain(try_again).min())
    }

    /// The sessions that were used since it was switched on, with the hashes of their rows; and those that it knows and
    /// that are not on record any more.
    pub fn scanned(&mut self, found: Vec<(String, u64)>, gone: &[String], now: u64) {
        self.scan = false;
        for session in gone {
            self.lost(session);
        }
        for (session, seen) in found {
            if self.state.sessions.get(&session).is_none_or(|past| past.seen != seen) {
                self.changed.insert(session, (now, now));
            }
        }
    }

    /// A session is not on record any more.
    pub fn lost(&mut self, session: &str) {
        self.changed.remove(session);
        if let Some(past) = self.state.sessions.remove(session) {
            self.state.dropped += past.waiting.len() as u64;
            self.unsaved = true;
        }
    }

    /// A session is to be sent to this sink no more: what waited is not counted as lost.
    pub fn excluded(&mut self, session: &str, seen: u64) {
        self.changed.remove(session);
        if self.state.since_ns == 0 {
            return;
        }
        let past = self.state.sessions.entry(session.to_owned()).or_default();
        self.unsaved |= past.seen != seen || !past.waiting.is_empty();
        past.seen = seen;
        past.waiting.clear();
    }

    /// What a session has to send.
    pub fn looked(&mut self, session: &str, looked: Looked, now: u64) {
        self.changed.remove(session);
        if looked.since_ns != self.state.since_ns {
            return;
        }
        if let Some(again) = looked.again {
            self.changed.insert(session.to_owned(), (now + nanos(again), now));
        }
        let past = self.state.sessions.entry(session.to_owned()).or_default();
        let before = past.clone();
        let resend = self.resend;
        let is_sent = |unit: &Unit, sent: &[Unit]| {
            sent.iter().any(|known| known.key == unit.key && (!resend || known.digest == unit.digest))
        };
        let lost =
            past.waiting.iter().filter(|old| !looked.units.iter().any(|new| new.key == old.key)).count();
        self.state.dropped += lost as u64;
        past.waiting = looked.units.into_iter().filter(|unit| !is_sent(unit, &past.sent)).collect();
        // After a restart nobody remembers when to look again.
        past.seen = if looked.again.is_some() { 0 } else { looked.seen };
        past.at_ns = looked.at_ns;
        self.unsaved |= *past != before;
    }

    /// The sink took a unit; with what was left out of it.
    pub fn taken(&mut self, session: &str, unit: Unit, degraded: Option<&str>, wall_ns: u64) {
        self.done(session, unit);
        self.state.sent += 1;
        self.state.last_success_ns = wall_ns;
        if let Some(what) = degraded {
            self.state.degraded += 1;
            self.note(wall_ns, what);
        }
        (self.failed, self.next_try) = (0, 0);
    }

    /// The sink does not take a unit, and never will.
    pub fn refused(&mut self, session: &str, unit: Unit, words: &str, wall_ns: u64) {
        self.done(session, unit);
        self.state.refused += 1;
        self.note(wall_ns, words);
        (self.failed, self.next_try) = (0, 0);
    }

    /// A unit is not on record any more.
    pub fn gone(&mut self, session: &str, unit: Unit) {
        if let Some(past) = self.state.sessions.get_mut(session) {
            past.waiting.retain(|waiting| waiting.key != unit.key);
            self.state.dropped += 1;
            self.unsaved = true;
        }
    }

    /// An attempt failed. How long to wait is worked out from how many did.
    pub fn failed(&mut self, words: &str, pause: impl FnOnce(u32) -> Duration, now: u64, wall_ns: u64) {
        self.failed = self.failed.saturating_add(1);
        self.next_try = now.saturating_add(nanos(pause(self.failed)));
        let same = self.state.last_error.as_ref().is_some_and(|(_, last)| *last == short(words));
        self.note(wall_ns, words);
        // A sink that is down for days is no reason to write a file every few minutes.
        self.unsaved = !same || self.unsaved;
    }

    fn done(&mut self, session: &str, unit: Unit) {
        let Some(past) = self.state.sessions.get_mut(session) else { return };
        // What it says may have changed on the way.
        let resend = self.resend;
        past.waiting.retain(|waiting| waiting.key != unit.key || (resend && waiting.digest != unit.digest));
        past.sent.retain(|sent| sent.key != unit.key);
        past.sent.push(unit);
        self.unsaved = true;
    }

    fn note(&mut self, wall_ns: u64, words: &str) {
        self.state.last_error = Some((wall_ns, short(words)));
    }
}

fn short(words: &str) -> String {
    words.chars().take(WORDS).collect()
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
