//! `traces`: agents, model calls and tool calls, with their content where it is asked for.

use ccd_proto::api::Spans;

use super::content::Contents;
use super::filter::Filter;
use super::tree::tree;
use super::{Ask, QueryError, sessions};
use crate::clock::parse_rfc3339;
use crate::project::view::SpanView;

/// The newest spans that the filter lets through, in order of their start.
pub fn spans(ask: &Ask, filter: &Filter) -> Result<Spans, QueryError> {
    let mut found: Vec<SpanView> = Vec::new();
    let mut more = false;
    for session in sessions::matching(ask, filter)? {
        // Sessions come by their last activity: none behind this one has anything newer than what is there.
        let newest = filter.nth_newest(found.iter().map(|s| s.start_ns));
        if newest.is_some_and(|ns| parse_rfc3339(&session.last_at).is_ok_and(|last| last < ns)) {
            more = true;
            break;
        }
        let view = tree(ask, &session.session_id)?;
        found.extend(view.spans.iter().filter(|s| matches(filter, s)).cloned());
    }
    // Within one session the view's order (an agent before what it did) is kept: the sort is stable.
    found.sort_by_key(|s| s.start_ns);
    if filter.limit != 0 && found.len() > filter.limit {
        more = true;
        found.drain(..found.len() - filter.limit);
    }
    let mut contents = Contents::new(ask);
    let spans = found.into_iter().map(|s| contents.fill(s, filter)).collect();
    Ok(Spans { spans, more })
}

/// Whether the filter lets a span through.
#[must_use]
pub fn matches(filter: &Filter, view: &SpanView) -> bool {
    let span = &view.span;
    filter.in_range(view.start_ns)
        && filter.kind.as_ref().is_none_or(|k| *k == span.kind)
        && filter.status.as_ref().is_none_or(|s| *s == span.status)
        && filter.matches_turn(&span.turn_id, &span.trace_id)
        && filter
            .tool
            .as_ref()
            .is_none_or(|t| span.tool_name.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(t)))
}
