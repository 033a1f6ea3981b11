//! `show ID`: one thing in full, whatever it is.

use ccd_proto::api::{Shown, Turn};
use http::StatusCode;

use super::content::Contents;
use super::filter::Filter;
use super::tree::tree;
use super::{Ask, QueryError, exchanges, sessions};
use crate::project::rows;

/// Candidates named where an id is ambiguous.
const MANY: usize = 5;

/// The session, turn, span, tool call or exchange with this id.
pub fn show(ask: &Ask, id: &str, filter: &Filter) -> Result<Shown, QueryError> {
    if let Some((whole, session)) = look_up(ask, id)?
        && let Some(shown) = within(ask, &session, &whole, filter)?
    {
        return Ok(shown);
    }
    let session_id = match sessions::resolve(ask, id) {
        Ok(session_id) => session_id,
        Err(not_a_session) => {
            return match exchanges::exchange(ask, id, filter) {
                Ok(exchange) => {
                    Ok(Shown { kind: "exchange".into(), exchange: Some(exchange), ..Shown::default() })
                }
                Err(_) if not_a_session.error.code == "ambiguous" => Err(not_a_session),
                Err(e) if e.error.code != "not_found" => Err(e),
                Err(_) => Err(QueryError::not_found(format!("nothing has the id {id:?}"))
                    .hint("`ccctl sessions`, `turns`, `traces` and `exchanges` list ids")),
            };
        }
    };
    let of = Filter { session: Some(session_id.clone()), limit: 0, ..Filter::default() };
    let session = sessions::matching(ask, &of)?.into_iter().next();
    let turns = tree(ask, &session_id)?.turns;
    Ok(Shown { kind: "session".into(), session, turns, ..Shown::default() })
}

/// The id of a turn, span, agent or tool call that is, or starts with, `prefix`, and its session.
pub(super) fn look_up(ask: &Ask, prefix: &str) -> Result<Option<(String, String)>, QueryError> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if let Some(session) = ask.reader.get(&rows::lookup(prefix))? {
        return Ok(Some((prefix.to_owned(), text(&session))));
    }
    let (from, to) = rows::lookups(prefix);
    let mut found: Vec<(String, String)> = Vec::new();
    for row in ask.reader.scan(&from, &to).take(MANY) {
        let (key, session) = row?;
        found.push((text(key.get(1..).unwrap_or_default()), text(&session)));
    }
    match found.as_slice() {
        [] => Ok(None),
        [_] => Ok(found.pop()),
        many => {
            let ids: Vec<&str> = many.iter().map(|(id, _)| id.as_str()).collect();
            Err(QueryError::new(
                StatusCode::CONFLICT,
                "ambiguous",
                format!("several things have ids that start with {prefix:?}: {}", ids.join(", ")),
            )
            .hint("give more of the id"))
        }
    }
}

/// A turn or span of a session.
fn within(ask: &Ask, session: &str, id: &str, filter: &Filter) -> Result<Option<Shown>, QueryError> {
    let view = tree(ask, session)?;
    let mut contents = Contents::new(ask);
    // One thing in full has its content; thinking text is asked for.
    let full = Filter { content: true, reasoning: filter.reasoning, ..Filter::default() };
    let is_it = |t: &Turn| t.turn_id == id || t.trace_id == id;
    if let Some(turn) = view.turns.iter().find(|t| is_it(t)).cloned() {
        let spans = view.spans.into_iter().filter(|s| s.span.turn_id == turn.turn_id);
        let spans = spans.map(|s| contents.fill(s, &full)).collect();
        return Ok(Some(Shown { kind: "turn".into(), turn: Some(turn), spans, ..Shown::default() }));
    }
    let span = view.spans.into_iter().find(|s| {
        s.span.span_id == id
            || s.span.tool_use_id.as_deref() == Some(id)
            || (s.span.kind == "agent" && s.span.agent_id.as_deref() == Some(id))
    });
    Ok(span.map(|s| Shown { kind: "span".into(), span: Some(contents.fill(s, &full)), ..Shown::default() }))
}
