//! `turns`: what was asked, and how it ended.

use ccd_proto::api::{Turn, Turns};

use super::filter::Filter;
use super::tree::tree;
use super::{Ask, QueryError, sessions};
use crate::clock::parse_rfc3339;

/// Turns, newest first.
pub fn turns(ask: &Ask, filter: &Filter) -> Result<Turns, QueryError> {
    let mut turns = Vec::new();
    for session in sessions::matching(ask, filter)? {
        // Sessions come by their last activity: none behind this one has anything newer than what is there.
        let starts = turns.iter().filter_map(|t: &Turn| parse_rfc3339(&t.started_at).ok());
        let newest = filter.nth_newest(starts);
        if newest.is_some_and(|ns| parse_rfc3339(&session.last_at).is_ok_and(|last| last < ns)) {
            break;
        }
        let view = tree(ask, &session.session_id)?;
        let asked_for = |t: &&Turn| {
            parse_rfc3339(&t.started_at).is_ok_and(|ns| filter.in_range(ns))
                && filter.matches_turn(&t.turn_id, &t.trace_id)
        };
        turns.extend(view.turns.iter().filter(asked_for).cloned());
    }
    turns.sort_by(|a, b| b.started_at.cmp(&a.started_at));
    if filter.limit != 0 {
        turns.truncate(filter.limit);
    }
    Ok(Turns { turns })
}
