//! What a line of another recorder tells. Pure, and total over any bytes.
//!
//! `cc-tracer` kept the client's hook payloads as they came, and of each API call its answer with the message's own id:
//! both are read as if they were ours, and join what else is known by the same ids, so that nothing is counted twice.
//! `pisama` kept neither the call's nor the message's id: its lines are kept, and add to no session and to no total,
//! because nobody could tell what of it another source has told already.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::session::Fact;
use super::{hook, transcript};
use crate::clock::rfc3339;
use crate::ingest::record::{Stored, TranscriptPart, TranscriptV1};

/// Lines of `cc-tracer`.
pub const CC_TRACER: &str = "cc-tracer";
/// Lines of `pisama`'s hooks.
pub const PISAMA_TRACES: &str = "pisama-traces";
/// Lines of `pisama`'s proxy.
pub const PISAMA_CALLS: &str = "pisama-calls";

/// Whose a line is; none if it is nobody's that is known.
#[must_use]
pub fn format_of(line: &[u8]) -> Option<&'static str> {
    #[derive(Deserialize)]
    struct Line<'a> {
        #[serde(borrow)]
        hook_event_name: Option<&'a RawValue>,
        #[serde(borrow, rename = "_ts")]
        ts: Option<&'a RawValue>,
        #[serde(borrow)]
        hook_type: Option<&'a RawValue>,
        #[serde(borrow)]
        session_id: Option<&'a RawValue>,
        #[serde(borrow)]
        conversation_id: Option<&'a RawValue>,
        #[serde(borrow)]
        input_messages: Option<&'a RawValue>,
    }
    let line: Line<'_> = serde_json::from_slice(line).ok()?;
    if line.hook_event_name.is_some() && line.ts.is_some() {
        Some(CC_TRACER)
    } else if line.hook_type.is_some() && line.session_id.is_some() {
        Some(PISAMA_TRACES)
    } else if line.conversation_id.is_some() && line.input_messages.is_some() {
        Some(PISAMA_CALLS)
    } else {
        None
    }
}

/// When a line says that it was written: in whose time, only whoever wrote it knows.
#[must_use]
pub fn written_at(line: &[u8]) -> Option<String> {
    let line: Value = serde_json::from_slice(line).ok()?;
    ["_ts", "timestamp", "ts"].iter().find_map(|key| Some(line.get(key)?.as_str()?.to_owned()))
}

/// Reads a line that was written at `at_ns`, and finds its session.
#[must_use]
pub fn read(format: &str, at_ns: u64, line: &[u8]) -> Option<(String, Fact)> {
    if format != CC_TRACER {
        return None;
    }
    let event: Value = serde_json::from_slice(line).ok()?;
    if event.get("hook_event_name")?.as_str()? != "ApiCall" {
        let facts = hook::read(at_ns, b"", line)?;
        return Some((facts.session_id.clone(), Fact::Hook(Box::new(facts))));
    }
    let session = event.get("session_id")?.as_str()?;
    let response = event.get("response")?;
    let id = response.get("id")?.as_str()?;
    // As the client itself would have written it.
    let as_written = json!({
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
    let body = as_written.to_string().into_bytes();
    let record = TranscriptV1 {
        path: format!("{session}.jsonl").into_bytes(),
        part: TranscriptPart::Lines,
        device: 0,
        inode: 0,
        born_ns: at_ns,
        offset: 0,
        body: Stored::Inline(Vec::new()),
    };
    let facts = transcript::read(&record, &body)?;
    Some((facts.session_id.clone(), Fact::Transcript(Box::new(facts))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOOK: &str =
        r#"{"session_id":"s","hook_event_name":"Stop","cwd":"/w","_ts":"2026-05-01T10:00:00.5"}"#;
    const CALL: &str = r#"{"session_id":"s","hook_event_name":"ApiCall","request":{},"response":{"role":"assistant",
        "id":"msg_1","model":"claude-sonnet-4-5","stop_reason":"end_turn","content":[{"type":"text","text":"Hi"}]},
        "usage":{"input_tokens":3,"output_tokens":5},"_ts":"2026-05-01T10:00:01"}"#;
    const TRACE: &str =
        r#"{"session_id":"s","timestamp":"2026-05-01T10:00:00Z","hook_type":"post","tool_name":"Bash"}"#;
    const PROXY: &str = r#"{"ts":"2026-05-01T10:00:00Z","conversation_id":"cc-proxy-1","input_messages":[]}"#;

    #[test]
    fn each_is_known_by_its_content() {
        for (line, format) in [
            (HOOK, Some(CC_TRACER)),
            (CALL, Some(CC_TRACER)),
            (TRACE, Some(PISAMA_TRACES)),
            (PROXY, Some(PISAMA_CALLS)),
            (r#"{"type":"user","sessionId":"s"}"#, None),
            ("no line", None),
        ] {
            assert_eq!(format_of(line.as_bytes()), format, "{line}");
        }
        assert_eq!(written_at(PROXY.as_bytes()).as_deref(), Some("2026-05-01T10:00:00Z"));
    }

    #[test]
    fn what_has_ids_joins_and_what_has_none_is_only_kept() {
        let (session, fact) = read(CC_TRACER, 5, HOOK.as_bytes()).unwrap();
        assert!(session == "s" && matches!(fact, Fact::Hook(_)));
        let (session, fact) = read(CC_TRACER, 5, CALL.as_bytes()).unwrap();
        let Fact::Transcript(facts) = fact else { panic!("{fact:?}") };
        assert_eq!((session.as_str(), facts.lines.len()), ("s", 1));
        assert_eq!(read(PISAMA_TRACES, 5, TRACE.as_bytes()).map(|(s, _)| s), None);
        assert_eq!(read(PISAMA_CALLS, 5, PROXY.as_bytes()).map(|(s, _)| s), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (format_of(&bytes), written_at(&bytes), read(CC_TRACER, 1, &bytes));
        }
    }
}
