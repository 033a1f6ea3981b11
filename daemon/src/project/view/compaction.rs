//! The span of a compaction that no model call stands for.
//!
//! Must never be without an end once nothing can tell of it any more: what it happened in is over, or another one followed.

use super::{Builder, ContentRef, NO_END, Part, SpanView, millis};
use crate::project::compactions::Compaction;
use crate::project::origin::sources;

impl Builder<'_> {
    pub(super) fn compaction_span(&self, one: &Compaction<'_>) -> SpanView {
        let turn = one
            .agent
            .map(|agent| self.turn_of_agent(agent))
            .or_else(|| self.turn_named(one.prompt))
            .unwrap_or_else(|| self.turn_at(one.start_ns));
        let mut span = self.span(turn, one.agent, "compaction", one.name(), one.start_ns);
        span.span_id.clone_from(&one.span_id);
        span.parent_id = self.parent(turn, one.agent);
        span.duration_ms = one.end_ns.map(|end| millis(one.start_ns, end));
        span.summary = one.summary();
        let turn_over = self.turns.get(turn).is_some_and(|t| t.status != "running");
        let over = one.agent.map_or(turn_over, |a| !self.running.contains(a));
        span.status = match one.end_ns {
            Some(_) => "ok".into(),
            None if over || one.is_past || self.state.ended() => {
                span.error = Some(NO_END.into());
                "error".into()
            }
            None => "running".into(),
        };
        let hooks = self.state.told_by("hook", false, one.hooks.iter().copied());
        span.sources = sources(hooks, false, self.state.told_by("transcript", false, one.line), false);
        let summary = Part::Hook("compact_summary");
        let output = one.ended_by.map(|record| ContentRef { record, part: summary });
        SpanView { span, start_ns: one.start_ns, end_ns: one.end_ns, output, ..SpanView::default() }
    }
}
