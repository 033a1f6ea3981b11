//! Lines of `cc-tracer`: the client's hook payloads with a time, and the answers of the API with theirs.

use serde_json::{Value, json};

use super::CC_TRACER;
use crate::clock::rfc3339;
use crate::ingest::record::{Stored, TranscriptPart, TranscriptV2};
use crate::project::session::Fact;
use crate::project::{hook, transcript};

/// Reads a line, and finds its session.
pub(super) fn read(at_ns: u64, line: &[u8]) -> Option<(String, Fact)> {
    let event: Value = serde_json::from_slice(line).ok()?;
    if event.get("hook_event_name")?.as_str()? != "ApiCall" {
        let facts = hook::read(at_ns, b"", line)?;
        return Some((facts.session_id.clone(), Fact::Hook(Box::new(facts))));
    }
    let (session, body) = as_written(at_ns, &event)?;
    let facts = of_line(&session, at_ns, &body)?;
    Some((session, Fact::Transcript(Box::new(facts))))
}

/// An answer of the API as the client itself would have written it, and its session; none of anything else.
pub(super) fn as_written(at_ns: u64, event: &Value) -> Option<(String, Vec<u8>)> {
    if event.get("hook_event_name")?.as_str()? != "ApiCall" {
        return None;
    }
    let session = event.get("session_id")?.as_str()?;
    let response = event.get("response")?;
    let id = response.get("id")?.as_str()?;
    let line = json!({
        "type": "assistant",
        "uuid": format!("{CC_TRACER}-{id}"),
        "timestamp": rfc3339(at_ns),
        "sessionId": session,
        "message": {
            "id": id,
            "type": "message",
            "role": "assistant",
            "model": response.get("model"),
            "content": response.get("content"),
            "stop_reason": response.get("stop_reason"),
            "usage": event.get("usage"),
        },
    });
    Some((session.to_owned(), line.to_string().into_bytes()))
}

/// What a line tells that the client could have written.
pub(super) fn of_line(session: &str, at_ns: u64, line: &[u8]) -> Option<transcript::TranscriptFacts> {
    let record = TranscriptV2 {
        path: format!("{session}.jsonl").into_bytes(),
        part: TranscriptPart::Lines,
        device: 0,
        inode: 0,
        born_ns: at_ns,
        offset: 0,
        body: Stored::Inline(Vec::new()),
        in_file: None,
    };
    transcript::read(&record, line)
}
