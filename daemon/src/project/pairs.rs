//! Model calls: what the proxy saw of one, and what the transcript has of it, paired by the ids of the API.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use ccd_proto::api::{Reasoning, Tokens};

use super::billed::{most, told_message};
use super::charge;
use super::ids;
use super::messages::{Message, MessageId};
use super::price::Prices;
use super::request::Purpose;
use super::session::{Call, SessionState};
use super::telemetry::state::SignalCall;
use super::view::{ContentRef, Part};

/// A model call, by whatever tells of it.
pub(super) struct ModelCall<'a> {
    pub span_id: String,
    pub call: Option<&'a Call>,
    pub message: Option<(&'a Arc<MessageId>, &'a Message)>,
    /// The request, and what telemetry tells of it.
    pub told: Option<(&'a str, &'a SignalCall)>,
}

/// The span of the call that a message came with: the same whichever source is first.
#[must_use]
pub fn span_of(session: &str, message: &str, request: &str) -> String {
    ids::span(session, "llm", &format!("{message} {request}"))
}

impl<'a> ModelCall<'a> {
    pub(super) fn agent_id(&self) -> Option<&'a str> {
        let call = self.call.and_then(|c| c.facts.row.agent_id.as_deref());
        let call = call.or_else(|| self.message?.1.agent_id.as_deref());
        call.or_else(|| self.told?.1.agent_id.as_deref())
    }

    pub(super) fn start_ns(&self) -> u64 {
        match (self.call, self.message) {
            (Some(call), _) => call.facts.row.started_ns,
            (None, Some((_, message))) => message.start(),
            (None, None) => self.told.map_or(0, |(_, told)| told.start_ns()),
        }
    }

    pub(super) fn end_ns(&self) -> u64 {
        match (self.call, self.message) {
            (Some(call), _) => call.facts.row.ended_ns(),
            (None, Some((_, message))) => message.last_ns,
            (None, None) => self.told.map_or(0, |(_, told)| told.end_ns()),
        }
    }

    pub(super) fn purpose(&self) -> Purpose {
        match (self.call, self.message) {
            (Some(call), _) => call.facts.row.purpose(),
            (None, Some((_, message))) => message.purpose(),
            (None, None) => self.told.map_or(Purpose::Other, |(_, told)| told.purpose()),
        }
    }

    pub(super) fn model(&self) -> Option<&'a str> {
        let call = self.call.and_then(|c| c.facts.row.model.as_deref());
        let call = call.or_else(|| Some(self.message?.1.model.as_str()).filter(|m| !m.is_empty()));
        call.or_else(|| Some(self.told?.1.request.model.as_str()))
    }

    /// It answered, and asks for nothing more.
    pub(super) fn is_final(&self) -> bool {
        match (self.call, self.message) {
            (_, Some((_, message))) => message.is_final(),
            (Some(call), None) => {
                let row = &call.facts.row;
                row.complete && row.stop_reason.as_deref() != Some("tool_use")
            }
            (None, None) => self.told.is_some_and(|(_, told)| !told.asks),
        }
    }

    /// Why it ended.
    pub(super) fn stop_reason(&self) -> Option<&'a str> {
        let call = self.call.and_then(|c| c.facts.row.stop_reason.as_deref());
        call.or_else(|| Some(self.message?.1.stop_reason.as_ref()?.1.as_str()))
    }

    /// What was billed: of what both tell, field by field the larger.
    pub(super) fn tokens(&self) -> Option<Tokens> {
        let call = self.call.and_then(|c| c.facts.row.tokens);
        let message = self.message.and_then(|(_, m)| m.tokens);
        match (call, message) {
            (Some(call), Some(message)) => Some(most(&call, &message)),
            (None, None) => self.told.map(|(_, told)| told.request.tokens),
            (one, other) => one.or(other),
        }
    }

    /// Cost in micro-dollars.
    pub(super) fn cost(&self, prices: &Prices) -> Option<u64> {
        let tokens = self.tokens()?;
        if let Some(call) = self.call.filter(|c| c.facts.row.tokens == Some(tokens)) {
            return call.facts.row.cost;
        }
        let searches = self.call.map_or(0, |c| c.facts.row.web_searches);
        let searches = searches.max(self.message.map_or(0, |(_, m)| m.web_searches));
        let (tier, speed) =
            self.message.map_or(("", ""), |(_, m)| (m.service_tier.as_str(), m.speed.as_str()));
        let told = self.told.filter(|_| self.call.is_none() && self.message.is_none());
        let speed = told.map_or(speed, |(_, told)| told.request.speed.as_str());
        let rates = prices.rates(self.model()?, self.start_ns(), tokens.prompt(), tier, speed)?;
        Some(rates.cost(&tokens, searches))
    }

    /// The API's message id and request id.
    pub(super) fn billed(&self) -> Option<(String, Option<String>)> {
        match (self.call, self.message) {
            (Some(call), _) => {
                let row = &call.facts.row;
                Some(charge::ids_of(row))
            }
            (None, Some((id, _))) => {
                Some((id.message.clone(), Some(id.request.clone()).filter(|r| !r.is_empty())))
            }
            (None, None) => self.told.map(|(request, _)| (told_message(request), Some(request.to_owned()))),
        }
    }

    /// What is new in its request: the proxy has the exact bytes.
    pub(super) fn input(&self) -> Option<ContentRef> {
        match self.call {
            Some(call) => Some(ContentRef { record: call.record, part: Part::NewMessages }),
            None => self.message?.1.asked_with(),
        }
    }

    /// Its content blocks.
    pub(super) fn output(&self) -> Option<ContentRef> {
        match self.call {
            Some(call) => Some(ContentRef { record: call.record, part: Part::Blocks }),
            None => self.message.map_or_else(|| self.said(), |(_, message)| message.blocks()),
        }
    }

    /// What telemetry lets it say.
    fn said(&self) -> Option<ContentRef> {
        let ((_, record), text) = self.told?.1.said.as_ref()?;
        text.is_some().then_some(ContentRef { record: *record, part: Part::Hook("response") })
    }

    pub(super) fn reasoning(&self) -> Reasoning {
        match (self.call, self.message) {
            (Some(call), _) => call.facts.row.reasoning(),
            (None, Some((_, message))) => Reasoning {
                blocks: message.lines.iter().map(|l| l.thinking).sum(),
                omitted: message.lines.iter().map(|l| l.omitted).sum(),
                text: None,
            },
            (None, None) => Reasoning::default(),
        }
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        let call = self.call.and_then(|c| c.facts.text.as_deref());
        let call = call.or_else(|| self.message?.1.text.as_ref().map(|(_, text)| text.as_str()));
        call.or_else(|| self.told?.1.said.as_ref()?.1.as_deref())
    }
}

impl SessionState {
    /// The session's model calls, in order of their start.
    pub(super) fn model_calls(&self) -> Vec<ModelCall<'_>> {
        let mut out = self.paired_calls();
        let mut taken: HashSet<(&str, &str)> = HashSet::new();
        let session = self.session_id.as_str();
        for call in &mut out {
            call.span_id = match (call.call, call.message) {
                (Some(call), _) => {
                    let row = &call.facts.row;
                    let named =
                        row.message_id.as_deref().map(|m| (m, row.request_id.as_deref().unwrap_or("")));
                    // A second call with the same ids can only be told by our own.
                    match named.filter(|named| taken.insert(*named)) {
                        Some((message, request)) => span_of(session, message, request),
                        None => ids::span(session, "llm", &ids::exchange(row.id)),
                    }
                }
                (None, Some((id, _))) => span_of(session, &id.message, &id.request),
                (None, None) => {
                    call.told.map_or_else(String::new, |(request, _)| span_of(session, "", request))
                }
            };
        }
        out.sort_by(|a, b| (a.start_ns(), &a.span_id).cmp(&(b.start_ns(), &b.span_id)));
        out
    }

    /// The same, without their spans' ids: those that the proxy saw in order of their start, then the others.
    pub(super) fn paired_calls(&self) -> Vec<ModelCall<'_>> {
        let calls = self.calls_by_start();
        let calls: Vec<&Call> = calls.into_iter().filter(|c| c.facts.row.purpose().is_model_call()).collect();
        let mut by_message: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (i, call) in calls.iter().enumerate() {
            if let Some(id) = call.facts.row.message_id.as_deref() {
                by_message.entry(id).or_default().push(i);
            }
        }
        let bare = |call| ModelCall { span_id: String::new(), call, message: None, told: None };
        let mut out: Vec<ModelCall<'_>> = Vec::with_capacity(calls.len() + self.lines.messages.len());
        out.extend(calls.iter().map(|call| bare(Some(*call))));
        for (id, message) in &self.lines.messages {
            let same = by_message.get(id.message.as_str()).map_or(&[][..], Vec::as_slice);
            let found = same.iter().copied().find(|i| {
                let request = calls[*i].facts.row.request_id.as_deref().unwrap_or("");
                out[*i].message.is_none() && (id.request.is_empty() || id.request == request)
            });
            match found {
                Some(i) => out[i].message = Some((id, message)),
                // Told without its request where others of the same name tell theirs: it is one of them.
                None if id.request.is_empty() && (!same.is_empty() || self.is_told_with_request(id)) => {}
                None => out.push(ModelCall { message: Some((id, message)), ..bare(None) }),
            }
        }
        self.add_signals(&mut out);
        out
    }

    /// Telemetry's word on calls: on those that another source tells of too, by their requests; else it stands alone.
    fn add_signals<'a>(&'a self, out: &mut Vec<ModelCall<'a>>) {
        if self.signals.calls.is_empty() {
            return;
        }
        let mut by_request: BTreeMap<&str, usize> = BTreeMap::new();
        for (i, call) in out.iter().enumerate() {
            let named = call.call.and_then(|c| c.facts.row.request_id.as_deref());
            if let Some(request) = named.or_else(|| Some(call.message?.0.request.as_str())) {
                by_request.entry(request).or_insert(i);
            }
        }
        let mut alone = Vec::new();
        for (request, signal) in self.signals.calls.iter().filter(|(_, signal)| signal.at.is_some()) {
            let told = Some((request.as_str(), signal));
            match by_request.get(request.as_str()).and_then(|i| out.get_mut(*i)) {
                Some(call) => call.told = told,
                None => alone.push(ModelCall { span_id: String::new(), call: None, message: None, told }),
            }
        }
        out.extend(alone);
    }

    fn is_told_with_request(&self, id: &MessageId) -> bool {
        let after = Arc::new(MessageId { message: id.message.clone(), request: "\0".into() });
        self.lines.messages.range(after..).next().is_some_and(|(next, _)| next.message == id.message)
    }
}
