//! Spans as lists need them: without what says nothing.
//!
//! Left out, always: `session_id` (the stream's first line has it), `trace_id` (the span's turn has it), `name` (it is the
//! kind with the model, the tool or the agent's type), `input` and `output` (asked for with a span's id). Left out where
//! null or empty: everything else but `span_id`, `turn_id`, `kind`, `started_at` and `status`, which every span has.
//!
//! Must never leave out what a reader cannot do without: a field that is new in [`Span`] does not compile here until it is
//! said what becomes of it.

use ccd_proto::api::Span;
use serde::ser::{Serialize, SerializeMap, Serializer};

/// A span, written light.
pub(super) struct Light<'a>(pub(super) &'a Span);

impl Serialize for Light<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Span {
            span_id,
            trace_id: _,
            parent_id,
            session_id: _,
            turn_id,
            agent_id,
            agent_type,
            kind,
            name: _,
            started_at,
            duration_ms,
            execution_ms,
            status,
            tool_use_id,
            tool_name,
            input: _,
            output: _,
            summary,
            error,
            model,
            purpose,
            exchange_id,
            ttfb_ms,
            stop_reason,
            retry_of,
            requested_by,
            tokens,
            cost_usd_micros,
            attributed_usd_micros,
            reasoning,
            copied_from,
            decision,
            decided_by,
            asked_by,
            client_usd_micros,
            sources,
            detections,
        } = self.0;
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("span_id", span_id)?;
        map.serialize_entry("turn_id", turn_id)?;
        map.serialize_entry("kind", kind)?;
        map.serialize_entry("started_at", started_at)?;
        map.serialize_entry("status", status)?;
        let texts = [
            ("parent_id", parent_id),
            ("agent_id", agent_id),
            ("agent_type", agent_type),
            ("tool_use_id", tool_use_id),
            ("tool_name", tool_name),
            ("summary", summary),
            ("error", error),
            ("model", model),
            ("purpose", purpose),
            ("exchange_id", exchange_id),
            ("stop_reason", stop_reason),
            ("retry_of", retry_of),
            ("requested_by", requested_by),
            ("copied_from", copied_from),
            ("decision", decision),
            ("decided_by", decided_by),
            ("asked_by", asked_by),
        ];
        for (key, text) in texts {
            if let Some(text) = text {
                map.serialize_entry(key, text)?;
            }
        }
        for (key, ms) in [("duration_ms", duration_ms), ("execution_ms", execution_ms), ("ttfb_ms", ttfb_ms)]
        {
            if let Some(ms) = ms {
                map.serialize_entry(key, ms)?;
            }
        }
        if let Some(tokens) = tokens {
            map.serialize_entry("tokens", tokens)?;
        }
        let money = [
            ("cost_usd_micros", cost_usd_micros),
            ("attributed_usd_micros", attributed_usd_micros),
            ("client_usd_micros", client_usd_micros),
        ];
        for (key, micros) in money {
            if let Some(micros) = micros {
                map.serialize_entry(key, micros)?;
            }
        }
        if let Some(reasoning) = reasoning {
            map.serialize_entry("reasoning", reasoning)?;
        }
        for (key, list) in [("sources", sources), ("detections", detections)] {
            if !list.is_empty() {
                map.serialize_entry(key, list)?;
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use ccd_proto::api::{Reasoning, Tokens};

    use super::*;

    #[test]
    fn what_is_read_back_is_the_span_without_what_is_said_to_be_left_out() {
        let text = |text: &str| Some(text.to_owned());
        let whole = Span {
            span_id: "a".into(),
            trace_id: "left out".into(),
            parent_id: text("b"),
            session_id: "left out".into(),
            turn_id: "t".into(),
            agent_id: text("c"),
            agent_type: text("d"),
            kind: "llm".into(),
            name: "left out".into(),
            started_at: "2026-11-01T00:00:00Z".into(),
            duration_ms: Some(1),
            execution_ms: Some(2),
            status: "ok".into(),
            tool_use_id: text("e"),
            tool_name: text("f"),
            input: Some(1.into()),
            output: Some(2.into()),
            summary: text("g"),
            error: text("h"),
            model: text("i"),
            purpose: text("j"),
            exchange_id: text("k"),
            ttfb_ms: Some(3),
            stop_reason: text("l"),
            retry_of: text("m"),
            requested_by: text("n"),
            tokens: Some(Tokens { input: 1, ..Tokens::default() }),
            cost_usd_micros: Some(0),
            attributed_usd_micros: Some(5),
            reasoning: Some(Reasoning { blocks: 1, ..Reasoning::default() }),
            copied_from: text("o"),
            decision: text("m"),
            decided_by: text("n"),
            asked_by: text("o"),
            client_usd_micros: Some(7),
            sources: vec!["hook".into()],
            detections: vec!["p".into()],
        };
        let read: Span = serde_json::from_str(&serde_json::to_string(&Light(&whole)).unwrap()).unwrap();
        let without = Span {
            trace_id: String::new(),
            session_id: String::new(),
            name: String::new(),
            input: None,
            output: None,
            ..whole
        };
        assert_eq!(read, without);
        let least = serde_json::to_string(&Light(&Span::default())).unwrap();
        assert_eq!(least, r#"{"span_id":"","turn_id":"","kind":"","started_at":"","status":""}"#);
    }
}
