//! What is known of one charge: what each source said of it, merged, and what follows from that.
//!
//! Merging is commutative, associative and idempotent: each field keeps a minimum, a maximum or a union. So the order
//! in which observations come, and how often, changes nothing. What follows ([`Charge::bill`]) is worked out from the
//! whole, never stored.
//!
//! Must never grow without bound: what a gateway makes of ids, or a message of its calls, is cut at a fixed number.

use std::collections::BTreeMap;

use ccd_proto::api::Tokens;
use serde::{Deserialize, Serialize};

use super::charge::{Observation, Part, Source};
use super::ids;
use super::telemetry::SOURCE;

/// Calls and results kept of a message; the share of those beyond stays with the conversation.
const PARTS: usize = 24;
/// Longest string kept, in characters.
const MAX_NAME: usize = 120;

/// A charge's key: hashes of its message id and of its request; the latter 0 where no source named a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChargeKey {
    /// Of the message id.
    pub message: u64,
    /// Of the request.
    pub request: u64,
}

impl ChargeKey {
    /// The key of what these name.
    #[must_use]
    pub fn new(message_id: &str, request: Option<&str>) -> Self {
        ChargeKey { message: hash(message_id), request: request.map_or(0, |r| hash(r).max(1)) }
    }

    /// No source named a request.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.request == 0
    }

    /// Where telemetry's word on the same request is kept: see [`told_message`].
    #[must_use]
    pub fn told(self) -> Self {
        ChargeKey { message: hash(&told_name(self.request)), request: self.request }
    }

    /// The anonymous charge of the same message.
    #[must_use]
    pub fn anonymous(self) -> Self {
        ChargeKey { request: 0, ..self }
    }
}

/// The name that no message has, for what telemetry tells of a request: it names no message. Such a charge counts only while
/// no other is of that request.
#[must_use]
pub fn told_message(request: &str) -> String {
    told_name(ChargeKey::new("", Some(request)).request)
}

fn told_name(request: u64) -> String {
    format!("request {request:016x}")
}

/// The hash that a tool call is known by.
#[must_use]
pub fn call_key(tool_use_id: &str) -> u64 {
    hash(tool_use_id)
}

fn hash(text: &str) -> u64 {
    let hash = blake3::hash(text.as_bytes());
    hash.as_bytes().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// A tool and the bytes of its call or result.
pub type Measured = (String, u64);

/// What one kind of source says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Whose it is: of all files that have it, that which was made first.
    pub born_ns: u64,
    /// [`ids::session_key`] of that session; of the empty name where it belongs to none.
    pub session: [u8; 16],
    /// The subagent.
    pub agent: Option<String>,
    /// Another session's file has it too.
    pub copied: bool,
    /// When, in nanoseconds since the Unix epoch.
    pub at_ns: u64,
    /// The model.
    pub model: String,
    /// Tokens.
    pub tokens: Tokens,
    /// Web searches.
    pub web_searches: u64,
    /// The service tier.
    pub tier: String,
    /// The speed.
    pub speed: String,
    /// The git branch.
    pub branch: String,
    /// What it was for.
    pub purpose: String,
    /// It did not come to its end, as far as this source knows.
    pub cut: bool,
    /// Calls that it asks for.
    pub asked: BTreeMap<u64, Measured>,
    /// Results that it brought.
    pub brought: BTreeMap<u64, Measured>,
    /// Bytes of its answer.
    pub answer_bytes: u64,
    /// Bytes of what was new in its request.
    pub fresh_bytes: u64,
    /// Tokens of the prompt before it.
    pub previous_prompt: u64,
}

fn max_of<T: Ord>(slot: &mut T, other: T) {
    if *slot < other {
        *slot = other;
    }
}

/// The larger of each kind: older clients wrote how far a message was before they wrote all of it.
#[must_use]
pub fn most(a: &Tokens, b: &Tokens) -> Tokens {
    Tokens {
        input: a.input.max(b.input),
        output: a.output.max(b.output),
        cache_read: a.cache_read.max(b.cache_read),
        cache_write_5m: a.cache_write_5m.max(b.cache_write_5m),
        cache_write_1h: a.cache_write_1h.max(b.cache_write_1h),
    }
}

fn unite(into: &mut BTreeMap<u64, Measured>, other: BTreeMap<u64, Measured>) {
    for (key, (tool, bytes)) in other {
        let slot = into.entry(key).or_default();
        max_of(&mut slot.0, tool);
        max_of(&mut slot.1, bytes);
    }
    // The smallest keys of a union are those of the smallest keys of its parts: the order does not matter here either.
    while into.len() > PARTS {
        into.pop_last();
    }
}

fn short(text: &str) -> String {
    text.chars().take(MAX_NAME).collect()
}

fn measured(parts: &[Part]) -> BTreeMap<u64, Measured> {
    let mut out = BTreeMap::new();
    for part in parts {
        unite(
            &mut out,
            BTreeMap::from([(
                call_key(&part.tool_use_id),
                (part.tool.chars().take(60).collect(), part.bytes),
            )]),
        );
    }
    out
}

impl Seen {
    fn of(o: &Observation) -> Self {
        Seen {
            born_ns: o.born_ns,
            session: ids::session_key(&o.session_id),
            agent: o.agent_id.as_deref().map(short),
            copied: false,
            at_ns: o.at_ns,
            model: short(&o.model),
            tokens: o.tokens,
            web_searches: o.web_searches,
            tier: short(&o.service_tier),
            speed: short(&o.speed),
            branch: short(&o.branch),
            purpose: short(&o.purpose),
            cut: o.cut,
            asked: measured(&o.asked),
            brought: measured(&o.brought),
            answer_bytes: o.answer_bytes,
            fresh_bytes: o.fresh_bytes,
            previous_prompt: o.previous_prompt,
        }
    }

    fn merge(&mut self, other: Seen) {
        self.copied |= other.copied || self.session != other.session;
        let owner = |s: &Seen| (s.born_ns, s.session);
        match owner(&other).cmp(&owner(self)) {
            std::cmp::Ordering::Less => {
                (self.born_ns, self.session) = owner(&other);
                self.agent = other.agent;
            }
            std::cmp::Ordering::Equal => {
                if let Some(agent) = other.agent
                    && self.agent.as_ref().is_none_or(|known| agent < *known)
                {
                    self.agent = Some(agent);
                }
            }
            std::cmp::Ordering::Greater => {}
        }
        self.at_ns = self.at_ns.min(other.at_ns);
        max_of(&mut self.model, other.model);
        self.tokens = most(&self.tokens, &other.tokens);
        max_of(&mut self.web_searches, other.web_searches);
        max_of(&mut self.tier, other.tier);
        max_of(&mut self.speed, other.speed);
        max_of(&mut self.branch, other.branch);
        max_of(&mut self.purpose, other.purpose);
        self.cut &= other.cut;
        unite(&mut self.asked, other.asked);
        unite(&mut self.brought, other.brought);
        max_of(&mut self.answer_bytes, other.answer_bytes);
        max_of(&mut self.fresh_bytes, other.fresh_bytes);
        max_of(&mut self.previous_prompt, other.previous_prompt);
    }
}

/// A charge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// The message's id; empty where only its hash outlived its records.
    pub message_id: String,
    /// The request's id, likewise.
    pub request: String,
    /// What the proxy says.
    pub proxy: Option<Seen>,
    /// What transcripts say.
    pub transcript: Option<Seen>,
    /// What telemetry says: such a charge is one of its own, and nothing else is merged into it.
    pub telemetry: Option<Seen>,
}

/// What is billed by a charge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bill {
    /// [`ids::session_key`] of the session that it belongs to.
    pub session: [u8; 16],
    /// The subagent.
    pub agent: Option<String>,
    /// When, in nanoseconds since the Unix epoch.
    pub at_ns: u64,
    /// The model.
    pub model: String,
    /// Tokens.
    pub tokens: Tokens,
    /// Web searches.
    pub web_searches: u64,
    /// The service tier that the response named; may be empty.
    pub tier: String,
    /// The speed that it named; may be empty.
    pub speed: String,
    /// The git branch; may be empty.
    pub branch: String,
    /// What it was for; may be empty.
    pub purpose: String,
    /// The response did not come to its end.
    pub cut: bool,
    /// Another session's file has it too.
    pub copied: bool,
    /// Calls that it asks for, by [`call_key`].
    pub asked: BTreeMap<u64, Measured>,
    /// Results that it brought.
    pub brought: BTreeMap<u64, Measured>,
    /// Bytes of its answer.
    pub answer_bytes: u64,
    /// Bytes of what was new in its request.
    pub fresh_bytes: u64,
    /// Tokens of the prompt before it.
    pub previous_prompt: u64,
}

fn either(first: &str, second: &str) -> String {
    if first.is_empty() { second } else { first }.to_owned()
}

/// Parts as the one source measured them, with the names that the other one knows.
fn named(of: &BTreeMap<u64, Measured>, other: &BTreeMap<u64, Measured>) -> BTreeMap<u64, Measured> {
    let name = |key: &u64, known: &str| either(known, other.get(key).map_or("", |(tool, _)| tool));
    of.iter().map(|(key, (tool, bytes))| (*key, (name(key, tool), *bytes))).collect()
}

impl Charge {
    /// A charge of which one thing was said.
    #[must_use]
    pub fn of(o: &Observation) -> Self {
        let seen = Some(Seen::of(o));
        let (proxy, transcript, telemetry) = match o.source {
            Source::Proxy => (seen, None, None),
            Source::Transcript => (None, seen, None),
            Source::Telemetry => (None, None, seen),
        };
        Charge {
            message_id: short(&o.message_id),
            request: o.request.as_deref().map(short).unwrap_or_default(),
            proxy,
            transcript,
            telemetry,
        }
    }

    /// Only telemetry tells of it.
    #[must_use]
    pub fn is_told_only(&self) -> bool {
        self.telemetry.is_some() && self.proxy.is_none() && self.transcript.is_none()
    }

    /// Adds what is known from elsewhere.
    pub fn merge(&mut self, other: Charge) {
        max_of(&mut self.message_id, other.message_id);
        max_of(&mut self.request, other.request);
        let parts = [
            (&mut self.proxy, other.proxy),
            (&mut self.transcript, other.transcript),
            (&mut self.telemetry, other.telemetry),
        ];
        for (mine, theirs) in parts {
            match (mine, theirs) {
                (Some(mine), Some(theirs)) => mine.merge(theirs),
                (mine @ None, theirs) => *mine = theirs,
                (Some(_), None) => {}
            }
        }
    }

    /// What is billed. The proxy's word on time, session, purpose and end counts; a transcript fills in what the proxy
    /// does not see, and stands alone where there was no proxy.
    #[must_use]
    pub fn bill(&self) -> Bill {
        let none = Seen::default();
        let (first, second) = match (&self.proxy, &self.transcript) {
            (Some(proxy), Some(transcript)) => (proxy, transcript),
            (Some(one), None) | (None, Some(one)) => (one, &none),
            (None, None) => (self.telemetry.as_ref().unwrap_or(&none), &none),
        };
        let both = self.proxy.is_some() && self.transcript.is_some();
        let owner = if both && first.session == ids::session_key("") { second } else { first };
        let same = both && first.session == second.session;
        let unknown = first.model.is_empty() || first.model == "unknown";
        // Each source measures for itself: its parts go with its wholes.
        let answer = if first.answer_bytes > 0 { (first, second) } else { (second, first) };
        let fresh = if first.fresh_bytes > 0 { (first, second) } else { (second, first) };
        Bill {
            session: owner.session,
            agent: owner.agent.clone().or_else(|| second.agent.clone().filter(|_| same)),
            at_ns: first.at_ns,
            model: if unknown && !second.model.is_empty() { &second.model } else { &first.model }.clone(),
            tokens: most(&first.tokens, &second.tokens),
            web_searches: first.web_searches.max(second.web_searches),
            tier: either(&first.tier, &second.tier),
            speed: either(&first.speed, &second.speed),
            branch: either(&first.branch, &second.branch),
            purpose: either(&first.purpose, &second.purpose),
            cut: first.cut,
            copied: second.copied || first.copied,
            asked: named(&answer.0.asked, &answer.1.asked),
            brought: named(&fresh.0.brought, &fresh.1.brought),
            answer_bytes: answer.0.answer_bytes,
            fresh_bytes: fresh.0.fresh_bytes,
            previous_prompt: first.previous_prompt.max(second.previous_prompt),
        }
    }

    /// Who told of it, in a fixed order.
    #[must_use]
    pub fn sources(&self) -> Vec<&'static str> {
        let proxy = self.proxy.is_some().then_some("proxy");
        let transcript = self.transcript.is_some().then_some("transcript");
        let telemetry = self.telemetry.is_some().then_some(SOURCE);
        [proxy, transcript, telemetry].into_iter().flatten().collect()
    }
}
