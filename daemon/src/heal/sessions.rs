//! What the policy remembers of each session.
//!
//! Must never forget, while a session goes on, how much was done in it: the limits rest on that. Sessions beyond the
//! bound are forgotten whole, the one that was longest without a word first.
//!
//! Invariant: bounded in sessions, and in items and bytes of each.

use std::collections::{BTreeMap, VecDeque};

use ccd_store::RecordId;

use super::Action;
use super::exceptions::Exceptions;
use crate::ingest::found::{DetectionV1, InterventionV1};

/// Sessions that are remembered.
pub(super) const MAX_SESSIONS: usize = 256;
/// Detections of one session that wait to be told.
pub(super) const MAX_WAITING: usize = 8;
/// Detections of one session that are known to have been met.
const MAX_MET: usize = 64;
/// Detections of one session that a denied call may be about.
const MAX_RECENT: usize = 16;
/// Different calls of one turn whose denials are counted.
pub(super) const MAX_DENIED: usize = 32;
/// How often one call is denied in one turn.
pub(super) const MAX_TIMES: u32 = 3;
/// What was told in one session and may still turn out not to have arrived.
const MAX_GIVEN: usize = 4;
/// How often an advice is tried.
const TRIES: u8 = 2;
/// Bytes that are kept of a title or an advice.
const MAX_TEXT: usize = 600;

/// A detection that waits to be told.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) id: RecordId,
    /// What its dismissal is known by.
    pub(super) key: [u8; 16],
    pub(super) agent: Option<String>,
    pub(super) kind: String,
    pub(super) rule: String,
    pub(super) severity: u8,
    pub(super) confidence: u8,
    pub(super) at_ns: u64,
    pub(super) title: String,
    pub(super) advice: String,
    tries: u8,
}

impl Waiting {
    /// It is about how a turn ended, and is told with the next: that may be hours away.
    pub(super) fn awaits_a_prompt(&self) -> bool {
        self.kind == "completion" && self.agent.is_none()
    }

    /// What is told first: the worst, then the surest, then the latest.
    fn rank(&self) -> (u8, u8, u64, RecordId) {
        (self.severity, self.confidence, self.at_ns, self.id)
    }
}

/// A detection that a denied call may be about.
#[derive(Clone, Debug)]
pub(super) struct Recent {
    pub(super) id: RecordId,
    pub(super) key: [u8; 16],
    pub(super) agent: Option<String>,
    pub(super) kind: String,
    pub(super) rule: String,
}

/// How often one call was denied in this turn.
#[derive(Clone, Debug)]
pub(super) struct Denied {
    pub(super) call: [u8; 16],
    pub(super) times: u32,
    /// The last of them.
    pub(super) tool_use_id: Option<String>,
}

/// A session.
#[derive(Debug, Default)]
pub(super) struct Session {
    used: u64,
    waiting: Vec<Waiting>,
    met: VecDeque<RecordId>,
    recent: VecDeque<Recent>,
    given: VecDeque<(Action, Waiting)>,
    pub(super) advised_ns: Option<u64>,
    pub(super) advices: u32,
    pub(super) denials: u32,
    /// Of this turn.
    pub(super) denied: VecDeque<Denied>,
    /// Nothing more is denied in this turn.
    pub(super) let_run: bool,
    /// How often this turn was kept from ending.
    pub(super) blocks: u32,
    /// How often any was.
    pub(super) blocked: u32,
}

fn push<T>(list: &mut VecDeque<T>, most: usize, item: T) {
    if list.len() >= most {
        list.pop_front();
    }
    list.push_back(item);
}

fn head(text: &str) -> String {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

impl Session {
    /// Takes a detection in, once; one that is news waits to be told.
    pub(super) fn found(&mut self, d: &DetectionV1, is_news: bool) {
        let id = DetectionV1::record_id(&d.session_id, &d.kind, &d.rule, d.at_event);
        let too_long = [&d.kind, &d.rule].iter().any(|name| name.len() > super::MAX_ID)
            || d.agent_id.as_ref().is_some_and(|agent| agent.len() > super::MAX_ID);
        if too_long || self.met.contains(&id) {
            return;
        }
        push(&mut self.met, MAX_MET, id);
        let key = Exceptions::key(d);
        let (agent, kind, rule) = (d.agent_id.clone(), d.kind.clone(), d.rule.clone());
        let recent = Recent { id, key, agent: agent.clone(), kind: kind.clone(), rule: rule.clone() };
        push(&mut self.recent, MAX_RECENT, recent);
        if is_news {
            let (title, advice) = (head(&d.title), head(&d.advice));
            let (severity, confidence, at_ns) = (d.severity, d.confidence, d.at_ns);
            let waiting =
                Waiting { id, key, agent, kind, rule, severity, confidence, at_ns, title, advice, tries: 0 };
            self.wait(waiting);
        }
    }

    fn wait(&mut self, new: Waiting) {
        self.waiting.push(new);
        if self.waiting.len() > MAX_WAITING {
            let least = self.waiting.iter().enumerate().min_by_key(|(_, w)| w.rank()).map(|(n, _)| n);
            least.map(|n| self.waiting.swap_remove(n));
        }
    }

    /// Lets go of those that wait in vain.
    pub(super) fn keep(&mut self, is_wanted: impl FnMut(&Waiting) -> bool) {
        self.waiting.retain(is_wanted);
    }

    /// The first of those that fit.
    pub(super) fn first(&self, mut fits: impl FnMut(&Waiting) -> bool) -> Option<&Waiting> {
        self.waiting.iter().filter(|w| fits(w)).max_by_key(|w| w.rank())
    }

    /// It is told now, in this way.
    pub(super) fn give(&mut self, action: Action, id: RecordId) -> Option<Waiting> {
        let at = self.waiting.iter().position(|w| w.id == id)?;
        let mut told = self.waiting.swap_remove(at);
        told.tries += 1;
        push(&mut self.given, MAX_GIVEN, (action, told.clone()));
        Some(told)
    }

    /// The latest detection that a verdict on this agent's call is likely to be about.
    pub(super) fn about(&self, agent: Option<&str>, kind: &str, rule: &str) -> Option<&Recent> {
        let mut of_kind =
            self.recent.iter().rev().filter(|r| r.agent.as_deref() == agent && r.kind == kind).peekable();
        let latest = of_kind.peek().copied();
        of_kind.find(|r| r.rule == rule).or(latest)
    }

    /// The user begins another turn: what was not said about the last one is not said any more, and what is counted by
    /// turn begins anew. Subagents may go on in the background.
    pub(super) fn turn_over(&mut self) {
        self.waiting.retain(|w| w.agent.is_some());
        // A block of the last turn does not count in this one, whether it arrived or not.
        self.given.retain(|(action, _)| *action != Action::Blocked);
        self.denied.clear();
        self.let_run = false;
        self.blocks = 0;
    }

    /// Takes back what did not arrive, where it is still known.
    pub(super) fn undelivered(&mut self, intervention: &InterventionV1) {
        if intervention.action == Action::Denied.name() {
            return self.not_denied(intervention.tool_use_id.as_deref());
        }
        let is_it = |(action, given): &(Action, Waiting)| {
            action.name() == intervention.action && Some(given.id) == intervention.detection
        };
        let Some((action, given)) = self.given.iter().position(is_it).and_then(|at| self.given.remove(at))
        else {
            return;
        };
        match action {
            Action::Blocked => self.blocks = self.blocks.saturating_sub(1),
            Action::Advised | Action::Denied => self.advices = self.advices.saturating_sub(1),
        }
        if given.tries < TRIES {
            self.wait(given);
        }
    }

    fn not_denied(&mut self, tool_use_id: Option<&str>) {
        let is_it = |d: &&mut Denied| d.times > 0 && d.tool_use_id.as_deref() == tool_use_id;
        let Some(denied) = self.denied.iter_mut().find(is_it) else { return };
        self.let_run &= denied.times < MAX_TIMES;
        denied.times -= 1;
        // Not twice.
        denied.tool_use_id = None;
        self.denials = self.denials.saturating_sub(1);
    }

    /// Nothing is expected of it for now; what was done in it is kept, and so is what waits for the user's next prompt, with
    /// which it may be resumed.
    pub(super) fn rest(&mut self) {
        self.waiting.retain(Waiting::awaits_a_prompt);
        self.waiting.shrink_to_fit();
        self.met = VecDeque::new();
        self.recent = VecDeque::new();
        self.given = VecDeque::new();
        self.denied = VecDeque::new();
    }

    #[cfg(test)]
    fn held(&self) -> usize {
        self.waiting.len() + self.met.len() + self.recent.len() + self.given.len() + self.denied.len()
    }
}

/// All sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    sessions: BTreeMap<String, Session>,
    uses: u64,
}

impl Sessions {
    /// A session that is known.
    pub(super) fn get(&mut self, id: &str) -> Option<&mut Session> {
        self.uses += 1;
        let session = self.sessions.get_mut(id)?;
        session.used = self.uses;
        Some(session)
    }

    /// A session, known or not.
    pub(super) fn of(&mut self, id: &str) -> &mut Session {
        self.uses += 1;
        if !self.sessions.contains_key(id) && self.sessions.len() >= MAX_SESSIONS {
            let oldest = self.sessions.iter().min_by_key(|(_, s)| s.used).map(|(id, _)| id.clone());
            oldest.map(|id| self.sessions.remove(&id));
        }
        let session = self.sessions.entry(id.to_owned()).or_default();
        session.used = self.uses;
        session
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.sessions.values().map(|session| 1 + session.held()).sum()
    }
}

#[cfg(test)]
/// The most that all sessions hold.
pub(super) const MAX_HELD: usize =
    MAX_SESSIONS * (1 + MAX_WAITING + MAX_MET + MAX_RECENT + MAX_GIVEN + MAX_DENIED);
