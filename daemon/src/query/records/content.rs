//! What stands in one record, or in one line of it, as it came.
//!
//! JSON is passed on as its bytes are; what is no JSON, as text. Of an exchange, whose bodies have routes of their own, it
//! is what is known of it.

use ccd_proto::api::RecordRef;
use ccd_store::{Record, StoreError};
use http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{META, kind_of, line_name, name, of_exchange, reference, request_id};
use crate::clock::parse_rfc3339;
use crate::ingest::record::{self, Payload, TranscriptPart};
use crate::live::body;
use crate::project::{ids, telemetry, transcript};
use crate::query::filter::Filter;
use crate::query::{Ask, QueryError, exchanges};

/// As [`ccd_proto::api::RecordContent`], its payload's bytes untouched.
#[derive(Debug, Serialize)]
pub struct Content {
    /// What it is.
    pub record: RecordRef,
    /// Where it is JSON.
    pub payload: Option<Box<RawValue>>,
    /// Where it is not.
    pub text: Option<String>,
}

impl Content {
    fn of(record: RecordRef, bytes: &[u8]) -> Self {
        match serde_json::from_slice::<Box<RawValue>>(bytes) {
            Ok(payload) => Content { record, payload: Some(payload), text: None },
            Err(_) => {
                Content { record, payload: None, text: Some(String::from_utf8_lossy(bytes).into_owned()) }
            }
        }
    }
}

/// The record of this id, as [`super::of_span`] names it.
pub fn content(ask: &Ask, text: &str) -> Result<Content, QueryError> {
    let Some((id, line)) = parse(text) else {
        return Err(QueryError::bad(format!("{text:?} is no record's id"))
            .hint("`ccctl show SPAN --records` lists the records that told of a span"));
    };
    let unknown = || {
        QueryError::not_found(format!("no record {text:?}"))
            .hint("it may have been cleared away since it was listed")
    };
    let stored = ask.reader.record_by_id(&id).map_err(|e| damaged(text, e))?.ok_or_else(unknown)?;
    read(ask, &stored, text, line)
}

fn read(ask: &Ask, stored: &Record, text: &str, line: Option<usize>) -> Result<Content, QueryError> {
    let id = name(&stored.id);
    let load = |of| body(&ask.reader, of).map_err(|e| damaged(text, e));
    let no_line = || QueryError::not_found(format!("record {id:?} has no line at that place"));
    let payload = record::read(stored).map_err(|e| {
        QueryError::new(StatusCode::GONE, "damaged", format!("record {id:?} cannot be read: {e}"))
    })?;
    if line.is_some()
        && !matches!(&payload, Payload::Transcript(lines) if lines.part == TranscriptPart::Lines)
    {
        return Err(no_line());
    }
    match payload {
        Payload::Hook(hook) => {
            let bytes = load(&hook.body)?;
            let kind = kind_in(&bytes);
            Ok(Content::of(reference(&id, "hook", &kind, hook.arrived_ns, bytes.len()), &bytes))
        }
        Payload::Transcript(lines) => {
            let bytes = load(&lines.body)?;
            let Some(begin) = line else {
                let kind = if lines.part == TranscriptPart::AgentMeta { META } else { "lines" };
                let record = reference(&id, "transcript", kind, stored.at_ns, bytes.len());
                return Ok(Content::of(record, &bytes));
            };
            let begins = begin == 0 || bytes.get(begin - 1) == Some(&b'\n');
            let rest = bytes.get(begin..).filter(|rest| begins && !rest.is_empty()).ok_or_else(no_line)?;
            let line = rest.split(|b| *b == b'\n').next().unwrap_or_default();
            let value = transcript::json::value(super::bare(line)).unwrap_or_default();
            let told = value.get("timestamp").and_then(serde_json::Value::as_str);
            let at_ns = told.and_then(|at| parse_rfc3339(at).ok()).unwrap_or(stored.at_ns);
            let id = line_name(&stored.id, begin);
            Ok(Content::of(
                reference(&id, "transcript", kind_of(&value), at_ns, line.len()),
                super::bare(line),
            ))
        }
        Payload::Foreign(line) => {
            let bytes = load(&line.body)?;
            let kind = kind_in(&bytes);
            Ok(Content::of(reference(&id, &line.format, &kind, stored.at_ns, bytes.len()), &bytes))
        }
        Payload::Telemetry(told) => {
            let bytes = load(&told.body)?;
            let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
            let kind = telemetry::name_of(&value);
            Ok(Content::of(reference(&id, telemetry::SOURCE, kind, told.at_ns, bytes.len()), &bytes))
        }
        Payload::Exchange(exchange) => {
            let mut record = of_exchange(&exchange);
            if let Some(request) = request_id(&exchange) {
                (record.joined_by, record.join_key) = ("request_id".into(), request.to_owned());
            }
            let filter = Filter { reasoning: true, ..Filter::default() };
            let detail = exchanges::exchange(ask, &ids::exchange(exchange.id), &filter)?;
            let json = serde_json::to_vec(&detail).unwrap_or_default();
            Ok(Content::of(record, &json))
        }
        _ => Err(QueryError::not_found(format!(
            "record {id:?} is of no hook, exchange, transcript or telemetry"
        ))
        .hint("`ccctl show ID` shows detections; `ccctl heal` lists what was done about them")),
    }
}

fn kind_in(bytes: &[u8]) -> String {
    transcript::json::value(bytes).map(|value| kind_of(&value).to_owned()).unwrap_or_default()
}

fn damaged(id: &str, error: StoreError) -> QueryError {
    match error {
        StoreError::Damaged { .. } => {
            QueryError::new(StatusCode::GONE, "damaged", format!("record {id:?} is damaged: {error}"))
                .hint("`ccctl store verify` tells what is damaged, and what that costs")
        }
        other => other.into(),
    }
}

/// A record's id, and where in it a line begins.
fn parse(text: &str) -> Option<([u8; 16], Option<usize>)> {
    let (id, line) = match text.split_once('.') {
        Some((id, line)) => (id, Some(line)),
        None => (text, None),
    };
    let digits = |text: &str, hex: bool| {
        text.bytes().all(|b| if hex { b.is_ascii_hexdigit() } else { b.is_ascii_digit() })
    };
    if id.len() != 32 || !digits(id, true) || line.is_some_and(|line| !digits(line, false)) {
        return None;
    }
    let id = u128::from_str_radix(id, 16).ok()?.to_be_bytes();
    Some((id, line.map(str::parse).transpose().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_payload_is_passed_on_as_it_is() {
        let json = br#"{"b":1.50,"a":"\u0041\ud800","b":2,"big":123456789012345678901234567890}"#;
        let content = Content::of(RecordRef::default(), json);
        assert_eq!(content.payload.unwrap().get().as_bytes(), json);
        let content = Content::of(RecordRef::default(), b"{\"a\":\"\xff\"}");
        assert_eq!(
            (content.payload.is_none(), content.text.as_deref()),
            (true, Some("{\"a\":\"\u{fffd}\"}"))
        );
    }

    #[test]
    fn an_id_is_read_as_it_was_named() {
        let id = [7; 16];
        assert_eq!(parse(&name(&id)), Some((id, None)));
        assert_eq!(parse(&line_name(&id, 512)), Some((id, Some(512))));
        for bad in ["", "x", "+0000000000000000000000000000007", "00000000000000000000000000000007.", "07.-1"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_an_id_or_not(text in "[0-9a-f.]{0,60}|.{0,40}") {
            let _ = parse(&text);
        }
    }
}
