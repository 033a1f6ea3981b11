//! What no span shows: whole requests and responses, hook payloads, and lines of transcripts, record by record.
//!
//! A text that was told of already, by a span or by an earlier record, is not told of again.

use ccd_proto::api::Hit;
use ccd_store::{Locator, StoreError};
use serde_json::Value;

use super::Stop;
use super::session::{Found, Look};
use super::snippet::Snippet;
use super::words::Words;
use crate::clock::{parse_rfc3339, rfc3339};
use crate::ingest::record::{self, ExchangeV3, Payload};
use crate::live::body;
use crate::project::exchange::{assemble, decoded_request, response_encoding};
use crate::project::{decode, ids, telemetry};
use crate::query::{Ask, QueryError};

impl Look<'_> {
    /// What the session's records have beside its spans, the newest first.
    pub(super) fn raw(&mut self, ask: &Ask, stop: &Stop<'_>) -> Result<Vec<Hit>, QueryError> {
        let all = self.words.all();
        let mut records: Vec<Locator> =
            self.masks.of.iter().filter(|(_, mask)| **mask == all).map(|(at, _)| *at).collect();
        // The first that has a text tells of it.
        records.sort_unstable();
        let mut hits: Vec<(u64, Hit)> = Vec::new();
        for at in records {
            stop.check()?;
            match self.record(ask, at, &mut hits) {
                Err(error @ StoreError::Damaged { .. }) => {
                    tracing::debug!(%error, "a record cannot be searched");
                }
                other => other?,
            }
        }
        hits.sort_by_key(|(start_ns, _)| std::cmp::Reverse(*start_ns));
        Ok(hits.into_iter().map(|(_, hit)| hit).collect())
    }

    fn record(&mut self, ask: &Ask, at: Locator, hits: &mut Vec<(u64, Hit)>) -> Result<(), StoreError> {
        let stored = ask.reader.record(at)?;
        match record::read(&stored) {
            Ok(Payload::Hook(hook)) => {
                let bytes = body(&ask.reader, &hook.body)?;
                if let Ok(payload) = serde_json::from_slice::<Value>(&bytes) {
                    let name = payload.get("hook_event_name").and_then(Value::as_str).unwrap_or_default();
                    let hit = Hit { kind: "hook".into(), name: name.to_owned(), ..Hit::default() };
                    self.tell(hit, hook.arrived_ns, hits, |m, words| m.look_at(words, "payload", &payload));
                }
            }
            Ok(Payload::Transcript(lines)) => {
                let bytes = body(&ask.reader, &lines.body)?;
                self.lines(&bytes, stored.at_ns, hits);
            }
            Ok(Payload::Telemetry(told)) => {
                let bytes = body(&ask.reader, &told.body)?;
                if let Ok(payload) = serde_json::from_slice::<Value>(&bytes) {
                    let name = telemetry::name_of(&payload).to_owned();
                    let hit = Hit { kind: telemetry::SOURCE.into(), name, ..Hit::default() };
                    let attributes = telemetry::attributes(&payload);
                    self.tell(hit, told.at_ns, hits, |m, words| m.look_at(words, "payload", &attributes));
                }
            }
            Ok(Payload::Foreign(lines)) => {
                let bytes = body(&ask.reader, &lines.body)?;
                self.lines(&bytes, stored.at_ns, hits);
            }
            Ok(Payload::Exchange(exchange)) => {
                let request = body(&ask.reader, &exchange.request.stored)?;
                let response = body(&ask.reader, &exchange.response.stored)?;
                self.exchange(&exchange, &request, &response, hits);
            }
            Ok(
                Payload::Gap(_)
                | Payload::Status(_)
                | Payload::Notice(_)
                | Payload::Detection(_)
                | Payload::Intervention(_)
                | Payload::Judgement(_),
            )
            | Err(_) => {}
        }
        Ok(())
    }

    fn lines(&mut self, bytes: &[u8], at_ns: u64, hits: &mut Vec<(u64, Hit)>) {
        for line in bytes.split(|byte| *byte == b'\n') {
            if self.words.in_json(line) != self.words.all() {
                continue;
            }
            let Ok(value) = serde_json::from_slice::<Value>(line) else { continue };
            let member = |name: &str| value.get(name).and_then(Value::as_str);
            let at_ns = member("timestamp").and_then(|at| parse_rfc3339(at).ok()).unwrap_or(at_ns);
            let name = member("type").or_else(|| member("hook_event_name")).unwrap_or_default();
            let hit = Hit { kind: "line".into(), name: name.to_owned(), ..Hit::default() };
            self.tell(hit, at_ns, hits, |m, words| m.look_at(words, "line", &value));
        }
    }

    fn exchange(
        &mut self,
        exchange: &ExchangeV3,
        request: &[u8],
        response: &[u8],
        hits: &mut Vec<(u64, Hit)>,
    ) {
        let answer = assemble(exchange, response);
        let path = exchange.path.split('?').next().unwrap_or_default();
        let hit = Hit {
            exchange_id: Some(ids::exchange(exchange.id)),
            kind: "exchange".into(),
            name: path.chars().take(200).collect(),
            ..Hit::default()
        };
        self.tell(hit, exchange.started_ns, hits, |m, words| {
            let sent = decoded_request(exchange, request);
            match serde_json::from_slice::<Value>(&sent) {
                Ok(value) => m.look_at(words, "request", &value),
                Err(_) => m.look(words, "request", &String::from_utf8_lossy(&sent)),
            }
            m.look_at(words, "response", &answer.message);
            for error in answer.error.iter().chain(&exchange.error) {
                m.look(words, "response", error);
            }
            if answer.message.is_null() {
                let plain = decode::decode(response, response_encoding(exchange));
                match serde_json::from_slice::<Value>(&plain.bytes) {
                    Ok(value) => m.look_at(words, "response", &value),
                    Err(_) => m.look(words, "response", &String::from_utf8_lossy(&plain.bytes)),
                }
            }
        });
    }

    fn tell(
        &mut self,
        hit: Hit,
        at_ns: u64,
        hits: &mut Vec<(u64, Hit)>,
        look: impl FnOnce(&mut Found, &Words),
    ) {
        if !self.filter.in_range(at_ns) {
            return;
        }
        let mut found = Found::default();
        look(&mut found, self.words);
        let is_new = found.texts.iter().any(|text| !self.told.contains(text));
        let Some((_, field, Snippet { text, ranges })) = found.best else { return };
        if found.mask != self.words.all() || !is_new {
            return;
        }
        self.told.extend(found.texts);
        let hit = Hit {
            session_id: self.session.to_owned(),
            project: self.project.map(str::to_owned),
            at: rfc3339(at_ns),
            field: field.into(),
            snippet: text,
            ranges,
            ..hit
        };
        hits.push((at_ns, hit));
    }
}
