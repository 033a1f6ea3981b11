//! `tools`: how long each tool takes, and which call took longest.
//!
//! What counts is how long the tool itself ran, where the client measured it: the wait for somebody's permission is not the
//! tool's. Where it did not, it is from the call to its result. What was denied never ran, and what has not ended is not
//! slow yet; both are counted as calls alone.
//!
//! Bounded in time: sessions are looked at from the newest on, and how many were left out is told.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ccd_proto::api::{Span, ToolTime, ToolTimes};

use super::filter::Filter;
use super::tree::tree;
use super::{Ask, QueryError, sessions};

/// How long it may take.
const TIME: Duration = Duration::from_secs(2);

/// How long the tools took.
pub fn tools(ask: &Ask, filter: &Filter) -> Result<ToolTimes, QueryError> {
    let deadline = Instant::now() + TIME;
    let mut found = sessions::matching(ask, filter)?;
    found.sort_by(|a, b| (&b.last_at, &b.session_id).cmp(&(&a.last_at, &a.session_id)));
    let mut times = Times::default();
    let mut out = ToolTimes::default();
    for session in found.iter().filter(|session| session.tool_calls > 0) {
        // One is looked at, whatever it takes.
        if out.sessions > 0 && Instant::now() >= deadline {
            out.left_out += 1;
            continue;
        }
        out.sessions += 1;
        let view = tree(ask, &session.session_id)?;
        for view in view.spans.iter().filter(|view| filter.in_range(view.start_ns)) {
            times.add(&view.span);
        }
    }
    out.tools = times.told();
    Ok(out)
}

/// What is known of one tool.
#[derive(Default)]
struct Of {
    told: ToolTime,
    /// Of each call that ran to its end.
    times: Vec<u64>,
}

#[derive(Default)]
struct Times(BTreeMap<String, Of>);

impl Times {
    fn add(&mut self, span: &Span) {
        let Some(name) = span.tool_name.as_deref().filter(|_| span.kind == "tool") else { return };
        if !self.0.contains_key(name) {
            self.0.insert(name.to_owned(), Of::default());
        }
        let Some(of) = self.0.get_mut(name) else { return };
        of.told.calls += 1;
        match span.status.as_str() {
            "denied" => of.told.denied += 1,
            "error" => of.told.errors += 1,
            _ => {}
        }
        let ran =
            span.execution_ms.or(span.duration_ms).filter(|_| !matches!(&*span.status, "denied" | "running"));
        let Some(ms) = ran else { return };
        of.times.push(ms);
        of.told.total_ms = of.told.total_ms.saturating_add(ms);
        if of.told.max_ms.is_none_or(|max| ms > max) {
            of.told.max_ms = Some(ms);
            of.told.slowest_span_id = Some(span.span_id.clone());
            of.told.slowest_session_id = Some(span.session_id.clone());
        }
    }

    /// Those that took longest in all first.
    fn told(self) -> Vec<ToolTime> {
        let each = self.0.into_iter().map(|(tool, Of { told, mut times })| {
            times.sort_unstable();
            ToolTime { tool, p50_ms: percentile(&times, 50), p95_ms: percentile(&times, 95), ..told }
        });
        let mut all: Vec<ToolTime> = each.collect();
        all.sort_by(|a, b| b.total_ms.cmp(&a.total_ms).then_with(|| a.tool.cmp(&b.tool)));
        all
    }
}

/// The least of the sorted values that at least so many of a hundred do not exceed.
fn percentile(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn span(tool: &str, status: &str, ran: Option<u64>, lasted: Option<u64>) -> Span {
        Span {
            span_id: format!("{tool}-{lasted:?}"),
            session_id: "s".into(),
            kind: "tool".into(),
            tool_name: Some(tool.into()),
            status: status.into(),
            execution_ms: ran,
            duration_ms: lasted,
            ..Span::default()
        }
    }

    #[test]
    fn only_the_tools_own_time_counts() {
        let mut times = Times::default();
        for span in [
            span("Bash", "ok", Some(20), Some(60_000)),
            span("Bash", "error", None, Some(50)),
            span("Bash", "denied", None, Some(90_000)),
            span("Bash", "running", None, None),
            span("Read", "ok", Some(500), Some(501)),
            Span { kind: "llm".into(), ..span("Bash", "ok", None, Some(7)) },
        ] {
            times.add(&span);
        }
        let told = times.told();
        assert_eq!(told.iter().map(|t| t.tool.as_str()).collect::<Vec<_>>(), ["Read", "Bash"]);
        let bash = &told[1];
        assert_eq!((bash.calls, bash.errors, bash.denied, bash.total_ms), (4, 1, 1, 70));
        assert_eq!((bash.p50_ms, bash.p95_ms, bash.max_ms), (Some(20), Some(50), Some(50)));
        assert_eq!(bash.slowest_span_id.as_deref(), Some("Bash-Some(50)"));
        let mut never = Times::default();
        never.add(&span("Edit", "denied", None, Some(5)));
        assert_eq!((never.told()[0].p50_ms, percentile(&[], 95)), (None, None));
    }

    proptest! {
        #[test]
        fn a_percentile_is_one_of_the_values_and_exceeds_as_many_as_it_says(
            mut values in proptest::collection::vec(0u64..100, 1..60), percent in 1usize..100,
        ) {
            values.sort_unstable();
            let found = percentile(&values, percent).unwrap();
            let below = values.iter().filter(|v| **v <= found).count();
            prop_assert!(below * 100 >= percent * values.len());
            let less = values.iter().filter(|v| **v < found).count();
            prop_assert!(less * 100 < percent * values.len());
        }
    }
}
