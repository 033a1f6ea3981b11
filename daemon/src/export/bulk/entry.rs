//! The entries of an export: which there are, and each as a value that may leave the machine.

use std::sync::Arc;

use ccd_otlp::{Encoding, ExportTraceServiceRequest, Message as _};
use ccd_proto::api::{Detection, Intervention, Session, UsageRow};
use serde::Serialize;
use serde_json::{Value, json};

use super::wanted::{Content, Wanted};
use crate::clock::parse_rfc3339;
use crate::config;
use crate::export::clean::Cleaner;
use crate::export::otlp::{self, Story, gather};
use crate::export::{otlp_file, wire};
use crate::project::ids;
use crate::project::view::{SessionView, SpanView};
use crate::query::content::Contents;
use crate::query::exchanges::Whole;
use crate::query::filter::Filter;
use crate::query::tree::tree;
use crate::query::{Ask, QueryError, detections, exchanges, records};

/// One of them, by its place in its [`Group`].
pub(super) enum Entry {
    Session,
    Turn(usize),
    Span(usize),
    Exchange(u64, [u8; 16]),
    Detection(usize),
    Intervention(usize),
    Record(String),
    Usage(usize),
    /// A turn with its spans.
    Trace(usize),
}

impl Entry {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Entry::Session => "session",
            Entry::Turn(_) => "turn",
            Entry::Span(_) => "span",
            Entry::Exchange(..) => "exchange",
            Entry::Detection(_) => "detection",
            Entry::Intervention(_) => "intervention",
            Entry::Record(_) => "record",
            Entry::Usage(_) => "usage",
            Entry::Trace(_) => "trace",
        }
    }
}

/// An entry, fit to leave the machine.
pub(in crate::export) struct Made {
    /// Its type.
    pub kind: &'static str,
    /// An object.
    pub value: Value,
    /// An exchange's bodies.
    pub bodies: Option<Box<Bodies>>,
    /// It as a line, where it is no value of ours.
    pub line: Option<Vec<u8>>,
    /// Something of it could not be read.
    pub unreadable: bool,
}

/// What HAR has of an exchange beside its value.
#[derive(Clone, Debug, Default)]
pub(in crate::export) struct Bodies {
    /// Where it was sent to: scheme, host and path prefix.
    pub upstream: String,
    /// What the client sent.
    pub request: wire::Body,
    /// What the API sent.
    pub response: wire::Body,
}

/// A session's, or what belongs to none.
pub(in crate::export) struct Group {
    session: Option<Session>,
    view: Arc<SessionView>,
    detections: Vec<Detection>,
    done: Vec<Intervention>,
    usage: Vec<UsageRow>,
}

impl Group {
    /// Reads what there is, without contents, and in which order it stands.
    pub(super) fn load(
        ask: &Ask,
        wanted: &Wanted,
        session: Option<&Session>,
        usage: &[UsageRow],
    ) -> Result<(Self, Vec<Entry>), QueryError> {
        let filter = &wanted.filter;
        let mut group = Group {
            session: session.cloned(),
            view: Arc::default(),
            detections: Vec::new(),
            done: Vec::new(),
            usage: Vec::new(),
        };
        let mut entries = Vec::new();
        let id = session.map(|session| session.session_id.as_str());
        if let Some(id) = id {
            if wanted.has("session") {
                entries.push(Entry::Session);
            }
            group.told(ask, wanted, id, session.map_or(0, began), &mut entries)?;
        } else if wanted.has("usage") {
            group.usage = usage.to_vec();
            entries.extend((0..usage.len()).map(Entry::Usage));
        }
        if wanted.has("exchange") {
            let since_ns = filter.since_ns.unwrap_or(0).max(session.map_or(0, began));
            let until_ns = match (filter.until_ns, session.and_then(over)) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            let places = exchanges::places(ask, id, since_ns, until_ns)?.into_iter();
            entries.extend(places.map(|(at_ns, id)| Entry::Exchange(at_ns, id)));
        }
        if wanted.has("detection") {
            entries.extend((0..group.detections.len()).map(Entry::Detection));
        }
        if wanted.has("intervention") {
            entries.extend((0..group.done.len()).map(Entry::Intervention));
        }
        if let Some(id) = id
            && wanted.has("record")
        {
            entries.extend(records::of_session(ask, id)?.into_iter().map(Entry::Record));
        }
        Ok((group, entries))
    }

    fn told(
        &mut self,
        ask: &Ask,
        wanted: &Wanted,
        id: &str,
        began_ns: u64,
        entries: &mut Vec<Entry>,
    ) -> Result<(), QueryError> {
        let filter = &wanted.filter;
        let is_in = |at: &str| parse_rfc3339(at).is_ok_and(|ns| filter.in_range(ns));
        let traces = wanted.has("trace");
        if wanted.has("turn") || wanted.has("span") || traces {
            self.view = tree(ask, id)?;
        }
        if wanted.has("turn") {
            let turns = (0..).zip(&self.view.turns).filter(|(_, turn)| is_in(&turn.started_at));
            entries.extend(turns.map(|(n, _)| Entry::Turn(n)));
        }
        if traces {
            let turns = (0..).zip(&self.view.turns).filter(|(_, turn)| is_in(&turn.started_at));
            entries.extend(turns.map(|(n, _)| Entry::Trace(n)));
            // What its spans tell of.
            self.detections = detections::of_session(ask, id)?;
            self.done = detections::done_in(ask, id, began_ns)?;
            return Ok(());
        }
        if wanted.has("span") {
            let spans = (0..).zip(&self.view.spans).filter(|(_, view)| filter.in_range(view.start_ns));
            entries.extend(spans.map(|(n, _)| Entry::Span(n)));
        }
        if wanted.has("detection") {
            self.detections = detections::of_session(ask, id)?;
            self.detections.retain(|detection| is_in(&detection.at));
        }
        if wanted.has("intervention") {
            let of = Filter { session: Some(id.to_owned()), limit: 0, ..Filter::default() };
            let of = detections::Wanted { filter: of, ..detections::Wanted::default() };
            // Only what was done is told, not how it is set.
            self.done = detections::heal(ask, &config::Heal::default(), &of)?.interventions;
            self.done.retain(|done| is_in(&done.at));
            self.done.reverse();
        }
        Ok(())
    }

    /// By what an entry is known again.
    pub(super) fn id(&self, entry: &Entry) -> String {
        let id = match entry {
            Entry::Session => None,
            Entry::Turn(n) | Entry::Trace(n) => self.view.turns.get(*n).map(|turn| turn.turn_id.clone()),
            Entry::Span(n) => self.view.spans.get(*n).map(|view| view.span.span_id.clone()),
            Entry::Exchange(_, id) => Some(ids::exchange(*id)),
            Entry::Detection(n) => self.detections.get(*n).map(|d| d.detection_id.clone()),
            Entry::Intervention(n) => self.done.get(*n).map(|done| done.intervention_id.clone()),
            Entry::Record(id) => Some(id.clone()),
            // A sum of many: another sum is another row.
            Entry::Usage(n) => self.usage.get(*n).and_then(|row| serde_json::to_string(row).ok()),
        };
        format!("{} {}", entry.kind(), id.unwrap_or_default())
    }

    /// To read the contents.
    pub(super) fn reader<'a>(&'a self, ask: &'a Ask, wanted: &'a Wanted) -> Result<Reader<'a>, QueryError> {
        let cleaner = if wanted.reveal {
            Cleaner::revealing_by(wanted.revealer.clone())
        } else {
            let cwd = self.session.as_ref().and_then(|session| session.cwd.as_deref());
            Cleaner::standard(&wanted.privacy, cwd).map_err(|e| {
                QueryError::new(http::StatusCode::INTERNAL_SERVER_ERROR, "internal", e.to_string())
            })?
        };
        Ok(Reader { group: self, ask, wanted, contents: Contents::new(ask), cleaner })
    }
}

/// An hour: what tells of a session's beginning may have come a little after its first request.
const AROUND_NS: u64 = 3600 * 1_000_000_000;

fn began(session: &Session) -> u64 {
    parse_rfc3339(&session.started_at).map_or(0, |ns| ns.saturating_sub(AROUND_NS))
}

fn over(session: &Session) -> Option<u64> {
    parse_rfc3339(&session.last_at).ok().map(|ns| ns.saturating_add(AROUND_NS))
}

/// Makes the entries of a group.
pub(super) struct Reader<'a> {
    group: &'a Group,
    ask: &'a Ask,
    wanted: &'a Wanted,
    contents: Contents<'a>,
    cleaner: Cleaner,
}

impl Reader<'_> {
    pub(super) fn make(&mut self, entry: &Entry) -> Made {
        let group = self.group;
        let texts = self.wanted.content != Content::None;
        let (value, bodies) = match entry {
            Entry::Session => (plain(&group.session), None),
            Entry::Turn(n) => (plain(&group.view.turns.get(*n)), None),
            Entry::Span(n) => {
                // A table has no room for them.
                let texts = texts && self.wanted.format == super::Format::Jsonl;
                let of = Filter { content: texts, reasoning: texts, ..Filter::default() };
                let span = group.view.spans.get(*n).cloned().map(|view| self.contents.fill(view, &of));
                (plain(&span), None)
            }
            Entry::Exchange(at_ns, id) => return self.exchange(*at_ns, *id),
            Entry::Trace(n) => return self.trace(*n),
            Entry::Detection(n) => (plain(&group.detections.get(*n)), None),
            Entry::Intervention(n) => (plain(&group.done.get(*n)), None),
            Entry::Usage(n) => (plain(&group.usage.get(*n)), None),
            Entry::Record(id) => match records::content(self.ask, id) {
                Ok(content) if texts => (plain(&content), None),
                Ok(content) => (json!({"record": content.record}), None),
                Err(error) => {
                    return self.unreadable(entry.kind(), json!({"record": {"record_id": id}}), &error);
                }
            },
        };
        Made { kind: entry.kind(), value: self.clean(value), bodies, line: None, unreadable: false }
    }

    fn unreadable(&self, kind: &'static str, mut value: Value, error: &QueryError) -> Made {
        tracing::warn!(error = error.error.message, "an entry of an export cannot be read whole");
        value["unreadable"] = error.error.message.clone().into();
        Made { kind, value: self.clean(value), bodies: None, line: None, unreadable: true }
    }

    fn trace(&mut self, n: usize) -> Made {
        let mut made = Made { kind: "trace", value: Value::Null, bodies: None, line: None, unreadable: true };
        let group = self.group;
        let (Some(session), Some(turn)) = (&group.session, group.view.turns.get(n)) else { return made };
        let calls = match gather::calls(self.ask, &group.view, &turn.turn_id) {
            Ok(calls) => calls,
            Err(error) => {
                tracing::warn!(error = error.error.message, "a turn cannot be exported");
                return made;
            }
        };
        let story = Story {
            session,
            view: &group.view,
            calls: &calls,
            detections: &group.detections,
            interventions: &group.done,
        };
        let options = otlp_file::options(self.wanted.content);
        let contents = &mut self.contents;
        let mut fill =
            |of: &SpanView, with_system: bool| gather::fill(contents, of, with_system, options.content);
        let spans = otlp::trace(&story, turn, &options, &self.cleaner, &mut fill).spans;
        let all = otlp::resource_spans(otlp::resource(session, &options), spans);
        made.line = Some(ExportTraceServiceRequest { resource_spans: vec![all] }.to_bytes(Encoding::Json));
        made.unreadable = false;
        made
    }

    fn exchange(&mut self, at_ns: u64, id: [u8; 16]) -> Made {
        let kind = "exchange";
        let row = match exchanges::one(self.ask, at_ns, id) {
            Ok(Some(row)) => plain(&row),
            Ok(None) => json!({"exchange_id": ids::exchange(id)}),
            Err(error) => return self.unreadable(kind, json!({"exchange_id": ids::exchange(id)}), &error),
        };
        let is_har = self.wanted.format == super::Format::Har;
        if self.wanted.content != Content::Full && !is_har {
            return Made { kind, value: self.clean(row), bodies: None, line: None, unreadable: false };
        }
        let of = Filter { reasoning: true, ..Filter::default() };
        match exchanges::whole(self.ask, id, &of) {
            Ok(whole) => {
                let mut made = self.whole(kind, whole, is_har);
                // An archive's entry needs its address and headers; its bodies only where they are asked for.
                if self.wanted.content != Content::Full {
                    made.bodies = None;
                }
                made
            }
            Err(error) => self.unreadable(kind, row, &error),
        }
    }

    fn whole(&self, kind: &'static str, whole: Whole, is_har: bool) -> Made {
        let Whole { mut detail, upstream, request, response, cut } = whole;
        let headers = |all: &mut Vec<(String, String)>| {
            for (name, value) in all {
                *value = self.cleaner.named(name, value);
            }
        };
        headers(&mut detail.request_headers);
        headers(&mut detail.response_headers);
        headers(&mut detail.response_trailers);
        let media = |all: &[(String, String)]| {
            let found = all.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        let body = |bytes: &[u8], media: String, sizes: (u64, Option<u64>), cut: Option<String>| {
            wire::Body::new(&self.cleaner, bytes, media, sizes, cut)
        };
        let (asked, got) = (media(&detail.request_headers), media(&detail.response_headers));
        let of = &detail.exchange;
        let request = body(&request, asked, (of.request_bytes, detail.request_kept), cut.0);
        let response = body(&response, got, (of.response_bytes, detail.response_kept), cut.1);
        let mut value = plain(&detail);
        if let Value::Object(members) = &mut value
            && let Some(Value::Object(of)) = members.remove("exchange")
        {
            members.extend(of);
        }
        if is_har {
            let upstream = self.cleaner.text(&upstream).as_str().to_owned();
            let bodies = Some(Box::new(Bodies { upstream, request, response }));
            return Made { kind, value: self.clean(value), bodies, line: None, unreadable: false };
        }
        let mut value = self.clean(value);
        value["request_body"] = request.to_json();
        value["response_body"] = response.to_json();
        Made { kind, value, bodies: None, line: None, unreadable: false }
    }

    fn clean(&self, mut value: Value) -> Value {
        if self.wanted.content == Content::None {
            for name in CAPTURED {
                if let Some(text) = value.get_mut(name) {
                    *text = Value::Null;
                }
            }
            for place in ["/reasoning/text", "/intervention/text"] {
                if let Some(text) = value.pointer_mut(place) {
                    *text = Value::Null;
                }
            }
        }
        // Those may have been cut when they were captured.
        for name in ["prompt", "result", "summary", "error", "title"] {
            if let Some(Value::String(text)) = value.get_mut(name) {
                *text = self.cleaner.text(text).as_str().to_owned();
            }
        }
        self.cleaner.value(value).into_value()
    }
}

/// Members that somebody or something wrote.
const CAPTURED: [&str; 13] = [
    "prompt", "result", "summary", "error", "title", "evidence", "advice", "text", "input", "output",
    "message", "reason", "payload",
];

fn plain<T: Serialize>(of: &T) -> Value {
    serde_json::to_value(of).unwrap_or_default()
}
