//! A request's body: a session's traces, and never more than the platform takes.
//!
//! What does not fit is left out in steps, each of which is told: first what tools answered, then all but the beginning of
//! long texts, then the oldest traces. Only as much of a session is held at once as fits into one body.
//!
//! The same session gives the same bytes, so that what is shown beforehand is what is sent, and what is sent again is the
//! same: the body is dated by the session, not by the clock.

use std::collections::VecDeque;

use bytes::Bytes;
use serde::Serialize;

use super::traces::Trace;

/// Longest body, in bytes: the platform refuses from ten million on.
pub const LIMIT: usize = 9_000_000;
/// Longest text of a trace where there is room, in characters.
pub const FIELD: usize = 1_000_000;
/// Longest text of a trace where there is none.
const SHORT_FIELD: usize = 2_000;
/// What stands at the end of a text that was cut.
const CUT: &str = "...[truncated]";
/// The protocol's version, as its own client tells it, and who speaks.
const SPOKEN: &str = concat!("0.6.5+ccd.", env!("CARGO_PKG_VERSION"));

/// A body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
    /// JSON.
    pub bytes: Bytes,
    /// Traces in it.
    pub traces: u64,
    /// What was left out because it would have been too long.
    pub degraded: Option<String>,
}

/// What is left out of traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// What tools answered goes along.
    pub outputs: bool,
    /// Longest text, in characters.
    pub field: usize,
}

#[derive(Serialize)]
struct Head<'a> {
    source: &'static str,
    version: &'static str,
    uploaded_at: &'a str,
    trace_count: u64,
}

/// Gives a session's traces, in order, to whom it is handed, until that says that it is enough.
pub type Each<'a> = dyn FnMut(Shape, &mut dyn FnMut(Trace) -> bool) + 'a;

/// Makes a body of at most `limit` bytes. `each` gives a session's traces, in order, to whom it is handed, until that says
/// that it is enough; it is called once for each step.
pub fn build(dated: &str, outputs: bool, limit: usize, each: &mut Each<'_>) -> Body {
    let full = Shape { outputs, field: FIELD };
    let (traces, fits) = collect(full, limit, false, each);
    if fits {
        return put_together(dated, &traces, None);
    }
    if outputs {
        let (traces, fits) = collect(Shape { outputs: false, ..full }, limit, false, each);
        if fits {
            return put_together(
                dated,
                &traces,
                Some("tool outputs left out: the session is too long".into()),
            );
        }
    }
    let short = Shape { outputs: false, field: SHORT_FIELD };
    let (traces, fits) = collect(short, limit, true, each);
    let words = if fits {
        "tool outputs left out and long texts cut: the session is too long".to_owned()
    } else {
        format!("only the {} newest steps, long texts cut: the session is too long", traces.len())
    };
    put_together(dated, &traces, Some(words))
}

/// Traces in their JSON, and whether all of them fit; where they do not, none, or the newest.
fn collect(shape: Shape, limit: usize, newest: bool, each: &mut Each<'_>) -> (VecDeque<Vec<u8>>, bool) {
    // The head, and the brackets.
    let room = limit.saturating_sub(256);
    let (mut traces, mut bytes, mut fits) = (VecDeque::new(), 0, true);
    each(shape, &mut |mut trace| {
        trace.shape(shape);
        let text = serde_json::to_vec(&trace).unwrap_or_default();
        bytes += text.len() + 1;
        traces.push_back(text);
        while bytes > room && traces.len() > 1 {
            fits = false;
            let Some(oldest) = traces.pop_front() else { break };
            bytes -= oldest.len() + 1;
        }
        fits &= bytes <= room;
        fits || newest
    });
    (traces, fits)
}

fn put_together(dated: &str, traces: &VecDeque<Vec<u8>>, degraded: Option<String>) -> Body {
    let count = traces.len() as u64;
    let head = Head { source: "claude-code", version: SPOKEN, uploaded_at: dated, trace_count: count };
    let mut out = serde_json::to_vec(&head).unwrap_or_default();
    // The last brace makes room for the list.
    out.pop();
    out.extend_from_slice(b",\"traces\":[");
    for (i, trace) in traces.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(trace);
    }
    out.extend_from_slice(b"]}");
    Body { bytes: out.into(), traces: count, degraded }
}

/// A text of at most so many characters, and a word that says so where it was longer.
pub(super) fn cut(text: &mut String, most: usize) {
    if text.len() > most
        && let Some((end, _)) = text.char_indices().nth(most)
    {
        text.truncate(end);
        text.push_str(CUT);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn body(traces: &[Trace], outputs: bool, limit: usize) -> (Body, Value) {
        let body = build("2026-11-20T10:00:00Z", outputs, limit, &mut |_, take| {
            let _ = traces.iter().cloned().all(&mut *take);
        });
        let read = serde_json::from_slice(&body.bytes).unwrap();
        (body, read)
    }

    fn trace(n: usize, input: usize, output: usize) -> Trace {
        Trace {
            tool_name: format!("t{n}"),
            tool_input: Some(json!({"a": ["ä".repeat(input)]})),
            tool_output: Some(json!("o".repeat(output))),
            ..Trace::default()
        }
    }

    #[test]
    fn a_session_that_fits_is_sent_whole() {
        let (body, read) = body(&[trace(1, 3, 4)], true, LIMIT);
        assert_eq!((body.traces, body.degraded), (1, None));
        assert_eq!(read["source"], "claude-code");
        assert_eq!((&read["trace_count"], &read["uploaded_at"]), (&json!(1), &json!("2026-11-20T10:00:00Z")));
        assert_eq!(read["traces"][0]["tool_output"], "oooo");
        let (_, without) = super::tests::body(&[trace(1, 3, 4)], false, LIMIT);
        assert_eq!(without["traces"][0].get("tool_output"), None);
    }

    #[test]
    fn what_does_not_fit_is_left_out_in_steps_and_told() {
        let all: Vec<Trace> = (0..10).map(|n| trace(n, 3_000, 5_000)).collect();
        let (no_outputs, read) = body(&all, true, 80_000);
        assert_eq!(no_outputs.traces, 10);
        assert!(no_outputs.degraded.unwrap().contains("tool outputs"));
        assert_eq!(read["traces"][3].get("tool_output"), None);
        let (cut, read) = body(&all, true, 50_000);
        assert!(cut.traces == 10 && cut.degraded.unwrap().contains("cut"));
        let text = read["traces"][0]["tool_input"]["a"][0].as_str().unwrap();
        assert_eq!(text.chars().count(), 2_000 + CUT.len());
        let (newest, read) = body(&all, true, 20_000);
        assert!(newest.traces < 10 && newest.traces > 1 && newest.degraded.unwrap().contains("newest"));
        assert_eq!(read["traces"][0]["tool_name"], format!("t{}", 10 - newest.traces));
        assert_eq!(read["trace_count"], newest.traces);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn no_body_is_longer_than_it_may_be(sizes in proptest::collection::vec((0usize..4000, 0usize..4000), 0..12), limit in 6_000usize..60_000) {
            let all: Vec<Trace> = sizes.iter().enumerate().map(|(n, (i, o))| trace(n, *i, *o)).collect();
            let (made, read) = body(&all, true, limit);
            prop_assert!(made.bytes.len() <= limit, "{} of {limit}", made.bytes.len());
            prop_assert_eq!(read["traces"].as_array().unwrap().len() as u64, made.traces);
            prop_assert_eq!(made.traces == all.len() as u64, made.degraded.as_ref().is_none_or(|words| !words.contains("newest")));
            let (again, _) = body(&all, true, limit);
            prop_assert_eq!(again, made);
        }
    }
}
