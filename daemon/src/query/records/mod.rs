//! Which records of the journal told of a span, and what stands in one of them.
//!
//! A span is made of what several sources say; this goes back to what they said, byte for byte. A record that was joined
//! says by which id ([`joins`]). Only the session's records are read, and of those only what has the id is looked into.
//!
//! Must never show what was not captured: a payload is passed on as it lies in the journal, neither parsed nor put in
//! another order. What is damaged is left out of lists, and says so where it is asked for.

mod content;
mod joins;

use ccd_proto::api::{RecordRef, SpanRecords};
use ccd_store::{Locator, Record, StoreError};
use memchr::memmem::Finder;
use serde_json::Value;

pub use self::content::{Content, content};
use self::joins::{About, Join};
use super::{Ask, QueryError, show};
use crate::clock::{parse_rfc3339, rfc3339};
use crate::ingest::record::{
    self, ExchangeV3, ForeignV1, HookV1, KIND_FOREIGN, KIND_HOOK, KIND_TELEMETRY, KIND_TRANSCRIPT, Payload,
    TranscriptPart, TranscriptV2,
};
use crate::ingest::signals::TelemetryV1;
use crate::live::body;
use crate::project::exchange::{ExchangeRow, header};
use crate::project::session::SessionState;
use crate::project::view::{Part, SessionView, SpanView};
use crate::project::{foreign, ids, rows, telemetry, transcript};

/// The records that told of the span with this id: a span's, a tool call's, an agent's or a turn's, or the head of one.
pub fn of_span(ask: &Ask, id: &str) -> Result<SpanRecords, QueryError> {
    let unknown = || {
        QueryError::not_found(format!("no span {id:?}"))
            .hint("`ccctl traces` lists spans; a turn's, an agent's and a tool call's id will do, too")
    };
    let (id, session) = show::look_up(ask, id)?.ok_or_else(unknown)?;
    let state = ask.shared.live.get(&ask.reader, &session)?;
    let view = state.view(&ask.shared.live.prices());
    let span = find(&view, &id).ok_or_else(unknown)?;
    let mut look = Look { ask, found: Vec::new() };
    let about = look.by_place(&state, &view, span)?;
    if let Some(about) = about {
        look.scan(&session, &about)?;
    }
    let mut found = look.found;
    found.sort_by(|(a_ns, a), (b_ns, b)| {
        (a_ns, &a.source, &a.record_id).cmp(&(b_ns, &b.source, &b.record_id))
    });
    found.dedup_by(|(_, a), (_, b)| a.record_id == b.record_id);
    Ok(SpanRecords { records: found.into_iter().map(|(_, record)| record).collect() })
}

/// The ids of a session's hook events, transcripts' stretches and other recorders' lines, oldest first, as [`content`]
/// takes them. What is damaged is left out.
pub fn of_session(ask: &Ask, session: &str) -> Result<Vec<String>, QueryError> {
    let (from, to) = rows::session_records(ids::session_key(session));
    let mut found = Vec::new();
    for row in ask.reader.scan(&from, &to) {
        let Ok(bytes) = <[u8; 10]>::try_from(row?.1.as_slice()) else { continue };
        match ask.reader.record(Locator::from_bytes(bytes)) {
            Ok(stored) if [KIND_HOOK, KIND_TRANSCRIPT, KIND_FOREIGN].contains(&stored.kind) => {
                found.push(name(&stored.id));
            }
            Ok(_) => {}
            Err(error @ StoreError::Damaged { .. }) => {
                tracing::debug!(%error, "a record of a session cannot be read");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

fn find<'a>(view: &'a SessionView, id: &str) -> Option<&'a SpanView> {
    let is_it = |s: &&SpanView| {
        let agent = s.span.kind == "agent" && s.span.agent_id.as_deref() == Some(id);
        let root = s.span.kind == "agent" && s.span.parent_id.is_none() && s.span.agent_id.is_none();
        s.span.span_id == id
            || s.span.tool_use_id.as_deref() == Some(id)
            || agent
            || (root && (s.span.turn_id == id || s.span.trace_id == id))
    };
    view.spans.iter().find(is_it)
}

/// What a record says of itself in a list.
fn reference(id: &str, source: &str, kind: &str, at_ns: u64, bytes: usize) -> RecordRef {
    RecordRef {
        record_id: id.to_owned(),
        source: source.to_owned(),
        kind: kind.to_owned(),
        at: rfc3339(at_ns),
        bytes: bytes as u64,
        ..RecordRef::default()
    }
}

fn of_exchange(exchange: &ExchangeV3) -> RecordRef {
    let bytes = exchange.request.seen.saturating_add(exchange.response.seen);
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    let mut record = reference(&name(&exchange.id), "proxy", "exchange", exchange.started_ns, bytes);
    record.exchange_id = Some(ids::exchange(exchange.id));
    record
}

/// A record's name as text, and of a line in it, its place behind it.
fn name(id: &[u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(*id))
}

fn line_name(id: &[u8; 16], at: usize) -> String {
    format!("{}.{at}", name(id))
}

/// What a payload or a line calls itself.
fn kind_of(value: &Value) -> &str {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    text("hook_event_name").or_else(|| text("type")).unwrap_or_default()
}

/// A line without the zeros and the mark that some file systems and editors leave before it.
fn bare(line: &[u8]) -> &[u8] {
    let zeros = line.iter().take_while(|b| **b == 0).count();
    let line = &line[zeros..];
    line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line)
}

struct Look<'a> {
    ask: &'a Ask,
    /// With when each came.
    found: Vec<(u64, RecordRef)>,
}

impl Look<'_> {
    /// Adds the exchanges, whose places are known, and says by which id the others are found.
    fn by_place(
        &mut self,
        state: &SessionState,
        view: &SessionView,
        span: &SpanView,
    ) -> Result<Option<About>, QueryError> {
        let of = &span.span;
        match of.kind.as_str() {
            "tool" => {
                let Some(id) = &of.tool_use_id else { return Ok(None) };
                for at in state.exchanges_of_tool(id) {
                    self.exchange_at(at, ("tool_use_id", id.clone()))?;
                }
                Ok(Some(About::Tool(id.clone())))
            }
            "llm" => self.model_call(span),
            _ if of.parent_id.is_none() && of.agent_id.is_none() => {
                // Without a prompt that anybody names, a turn is named after the first call of it.
                if let Some((message, request)) = of.turn_id.split_once(' ') {
                    let request = Some(request.to_owned()).filter(|r| !r.is_empty());
                    return Ok(Some(About::Call(message.to_owned(), request)));
                }
                if let Ok(id) = uuid::Uuid::parse_str(&of.turn_id)
                    && let Some(stored) = self.ask.reader.record_by_id(&id.into_bytes())?
                {
                    self.exchange(&stored, ("exchange_id", of.turn_id.clone()));
                }
                Ok(Some(About::Turn(of.turn_id.clone())))
            }
            _ => {
                let Some(id) = &of.agent_id else { return Ok(None) };
                // The first request that names it; the others are its model calls.
                let is_its = |s: &&SpanView| s.span.kind == "llm" && s.span.agent_id.as_ref() == Some(id);
                let first = view.spans.iter().filter(is_its).find_map(|s| s.span.exchange_id.as_deref());
                if let Some(id) = first.and_then(|id| uuid::Uuid::parse_str(id).ok())
                    && let Some(stored) = self.ask.reader.record_by_id(&id.into_bytes())?
                {
                    self.exchange(&stored, ("agent_id", of.agent_id.clone().unwrap_or_default()));
                }
                Ok(Some(About::Agent(id.clone())))
            }
        }
    }

    fn model_call(&mut self, span: &SpanView) -> Result<Option<About>, QueryError> {
        let of = &span.span;
        if let Some(text) = &of.exchange_id {
            let Ok(id) = uuid::Uuid::parse_str(text) else { return Ok(None) };
            let Some(stored) = self.ask.reader.record_by_id(&id.into_bytes())? else { return Ok(None) };
            let row = self.ask.reader.get(&rows::exchange(stored.at_ns, stored.id))?;
            let row = row.map(|bytes| rows::decode::<ExchangeRow>(&bytes)).transpose()?.unwrap_or_default();
            let by = match (&row.request_id, &row.message_id) {
                (Some(request), _) => ("request_id", request.clone()),
                (None, Some(message)) => ("message_id", message.clone()),
                (None, None) => ("exchange_id", text.clone()),
            };
            self.exchange(&stored, by);
            return Ok(row.message_id.map(|message| About::Call(message, row.request_id)));
        }
        // The transcript alone has it: its first line tells its ids.
        let Some(Part::Lines(lines)) = span.output.as_ref().map(|at| &at.part) else {
            // Telemetry alone tells of it, by its request.
            let billed = span.billed.as_ref().filter(|(_, request)| request.is_some());
            return Ok(billed.map(|(message, request)| About::Call(message.clone(), request.clone())));
        };
        let Some((record, at)) = lines.first() else { return Ok(None) };
        let stored = self.ask.reader.record(*record)?;
        let bytes = match record::read(&stored) {
            Ok(Payload::Transcript(lines)) => body(&self.ask.reader, &lines.body)?,
            Ok(Payload::Foreign(lines)) => {
                let bytes = body(&self.ask.reader, &lines.body)?;
                match foreign::content(&lines.format, stored.at_ns, &bytes) {
                    Some(foreign::Content::Line(line)) => line,
                    _ => return Ok(None),
                }
            }
            _ => return Ok(None),
        };
        let rest = usize::try_from(*at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
        let line = rest.split(|b| *b == b'\n').next().unwrap_or_default();
        let Some(line) = transcript::json::value(line) else { return Ok(None) };
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let message = text(line.get("message").and_then(|m| m.get("id")));
        Ok(message.map(|message| About::Call(message, text(line.get("requestId")))))
    }

    fn exchange_at(&mut self, at: Locator, join: Join) -> Result<(), QueryError> {
        match self.ask.reader.record(at) {
            Ok(stored) => self.exchange(&stored, join),
            Err(error @ StoreError::Damaged { .. }) => {
                tracing::debug!(%error, "a record that told of a span cannot be read");
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn exchange(&mut self, stored: &Record, join: Join) {
        if let Ok(Payload::Exchange(exchange)) = record::read(stored) {
            self.add(exchange.started_ns, of_exchange(&exchange), join);
        }
    }

    fn add(&mut self, at_ns: u64, record: RecordRef, (by, key): Join) {
        self.found.push((at_ns, RecordRef { joined_by: by.to_owned(), join_key: key, ..record }));
    }

    /// Looks through the session's hooks and lines.
    fn scan(&mut self, session: &str, about: &About) -> Result<(), QueryError> {
        let needle = about.needle();
        if needle.is_empty() {
            return Ok(());
        }
        let finder = Finder::new(needle.as_bytes());
        let request = about.request_needle();
        let request = Finder::new(request.as_bytes());
        let (from, to) = rows::session_records(ids::session_key(session));
        for row in self.ask.reader.scan(&from, &to) {
            let Ok(bytes) = <[u8; 10]>::try_from(row?.1.as_slice()) else { continue };
            let stored = self.ask.reader.record(Locator::from_bytes(bytes));
            match stored.and_then(|stored| self.record(&stored, about, [&finder, &request])) {
                Err(error @ StoreError::Damaged { .. }) => {
                    tracing::debug!(%error, "a record of a session cannot be read");
                }
                other => other?,
            }
        }
        Ok(())
    }

    /// `finders`: of what is looked for, and of that by which telemetry has it.
    fn record(
        &mut self,
        stored: &Record,
        about: &About,
        [finder, told]: [&Finder<'_>; 2],
    ) -> Result<(), StoreError> {
        if ![KIND_HOOK, KIND_TRANSCRIPT, KIND_FOREIGN, KIND_TELEMETRY].contains(&stored.kind) {
            return Ok(());
        }
        match record::read(stored) {
            Ok(Payload::Hook(hook)) => self.hook(stored, &hook, about, finder),
            Ok(Payload::Transcript(lines)) => self.transcript(stored, &lines, about, finder),
            Ok(Payload::Foreign(line)) => self.foreign(stored, &line, about, finder),
            Ok(Payload::Telemetry(item)) => self.telemetry(stored, &item, about, told),
            _ => Ok(()),
        }
    }

    fn hook(
        &mut self,
        stored: &Record,
        hook: &HookV1,
        about: &About,
        finder: &Finder<'_>,
    ) -> Result<(), StoreError> {
        let bytes = body(&self.ask.reader, &hook.body)?;
        if finder.find(&bytes).is_some()
            && let Ok(payload) = serde_json::from_slice::<Value>(&bytes)
            && let Some(join) = about.hook(&payload)
        {
            let kind = kind_of(&payload);
            let record = reference(&name(&stored.id), "hook", kind, hook.arrived_ns, bytes.len());
            self.add(hook.arrived_ns, record, join);
        }
        Ok(())
    }

    fn telemetry(
        &mut self,
        stored: &Record,
        told: &TelemetryV1,
        about: &About,
        finder: &Finder<'_>,
    ) -> Result<(), StoreError> {
        let bytes = body(&self.ask.reader, &told.body)?;
        if finder.find(&bytes).is_some()
            && let Ok(payload) = serde_json::from_slice::<Value>(&bytes)
            && let Some(attributes) = payload.get("attributes")
            && let Some(join) = about.telemetry(attributes)
        {
            let kind = telemetry::name_of(&payload);
            let record = reference(&name(&stored.id), telemetry::SOURCE, kind, told.at_ns, bytes.len());
            self.add(told.at_ns, record, join);
        }
        Ok(())
    }

    fn transcript(
        &mut self,
        stored: &Record,
        lines: &TranscriptV2,
        about: &About,
        finder: &Finder<'_>,
    ) -> Result<(), StoreError> {
        let agent = || transcript::agent_of(&lines.path);
        if lines.part == TranscriptPart::AgentMeta {
            let bytes = body(&self.ask.reader, &lines.body)?;
            if let Some(meta) = transcript::json::value(&bytes)
                && let Some(join) = about.meta(agent().as_deref(), &meta)
            {
                let id = name(&stored.id);
                self.add(stored.at_ns, reference(&id, "transcript", META, stored.at_ns, bytes.len()), join);
            }
            return Ok(());
        }
        let bytes = body(&self.ask.reader, &lines.body)?;
        let mut from = 0;
        while let Some(hit) = finder.find(&bytes[from..]) {
            let hit = from + hit;
            let begin = memchr::memrchr(b'\n', &bytes[..hit]).map_or(0, |at| at + 1);
            let end = memchr::memchr(b'\n', &bytes[hit..]).map_or(bytes.len(), |at| hit + at);
            from = end;
            let line = &bytes[begin..end];
            let Some(value) = transcript::json::value(bare(line)) else { continue };
            if let Some(join) = about.line(&value) {
                let told = value.get("timestamp").and_then(Value::as_str);
                let at_ns = told.and_then(|at| parse_rfc3339(at).ok()).unwrap_or(stored.at_ns);
                let id = line_name(&stored.id, begin);
                self.add(at_ns, reference(&id, "transcript", kind_of(&value), at_ns, line.len()), join);
            }
        }
        Ok(())
    }

    /// A line of another recorder holds what a hook or a transcript's line would, and goes by the recorder's name.
    fn foreign(
        &mut self,
        stored: &Record,
        line: &ForeignV1,
        about: &About,
        finder: &Finder<'_>,
    ) -> Result<(), StoreError> {
        let bytes = body(&self.ask.reader, &line.body)?;
        if finder.find(&bytes).is_none() {
            return Ok(());
        }
        let (join, kind) = match foreign::content(&line.format, stored.at_ns, &bytes) {
            Some(foreign::Content::Hook(payload)) => (about.hook(&payload), kind_of(&payload).to_owned()),
            Some(foreign::Content::Line(written)) => {
                let value = transcript::json::value(&written).unwrap_or_default();
                (about.line(&value), kind_of(&value).to_owned())
            }
            None => return Ok(()),
        };
        if let Some(join) = join {
            let record = reference(&name(&stored.id), &line.format, &kind, stored.at_ns, bytes.len());
            self.add(stored.at_ns, record, join);
        }
        Ok(())
    }
}

/// How the file beside a subagent's transcript is called as a kind.
const META: &str = "agent-meta";

/// The request id that an exchange's answer names.
fn request_id(exchange: &ExchangeV3) -> Option<&str> {
    let headers = &exchange.response_headers;
    header(headers, "request-id").or_else(|| header(headers, "x-request-id"))
}
