//! `show ID`: one thing in full, whatever it is.

use ccd_proto::api::{DetectionRef, Shown, Turn};
use http::StatusCode;

use super::content::Contents;
use super::filter::Filter;
use super::tree::tree;
use super::{Ask, QueryError, detections, exchanges, sessions};
use crate::project::detections::{Brief, id_text};
use crate::project::{ids, rows};

/// Candidates named where an id is ambiguous.
const MANY: usize = 5;
/// Digits of a detection's id, and the fewest by which one is looked for among everything else.
const WHOLE: usize = 32;
const FEWEST: usize = 4;

/// The session, turn, span, tool call, exchange or detection with this id.
pub fn show(ask: &Ask, id: &str, filter: &Filter) -> Result<Shown, QueryError> {
    let detection = (id.len() >= FEWEST).then(|| detections::resolve(ask, id));
    let Some(detection) = detection else { return other(ask, id, filter) };
    if id.len() == WHOLE && detection.is_ok() {
        return of_detection(ask, id);
    }
    match (other(ask, id, filter), detection) {
        (Err(error), Ok(_)) if error.error.code == "not_found" => of_detection(ask, id),
        (Err(error), Err(many)) if error.error.code == "not_found" && many.error.code == "ambiguous" => {
            Err(many)
        }
        (Ok(_), Ok((_, detection))) if !is_whole(ask, id)? => {
            let message = format!(
                "several things have ids that start with {id:?}, the detection {} among them",
                id_text(detection)
            );
            Err(QueryError::new(StatusCode::CONFLICT, "ambiguous", message).hint("give more of the id"))
        }
        (other, _) => other,
    }
}

fn of_detection(ask: &Ask, id: &str) -> Result<Shown, QueryError> {
    let detection = Some(detections::one(ask, id)?.detection);
    Ok(Shown { kind: "detection".into(), detection, ..Shown::default() })
}

/// Whether it is the whole id of a turn, span, agent, tool call or session.
fn is_whole(ask: &Ask, id: &str) -> Result<bool, QueryError> {
    let session = rows::session(ids::session_key(id));
    Ok(ask.reader.get(&rows::lookup(id))?.is_some() || ask.reader.get(&session)?.is_some())
}

/// The same, if it is no detection.
fn other(ask: &Ask, id: &str, filter: &Filter) -> Result<Shown, QueryError> {
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
                    .hint("`ccctl sessions`, `turns`, `traces`, `exchanges` and `detections` list ids")),
            };
        }
    };
    let of = Filter { session: Some(session_id.clone()), limit: 0, ..Filter::default() };
    let session = sessions::matching(ask, &of)?.into_iter().next();
    let turns = tree(ask, &session_id)?.turns.clone();
    let detections = named(ask, &session_id, |_| true)?;
    Ok(Shown { kind: "session".into(), session, turns, detections, ..Shown::default() })
}

/// Those of a session's detections that are asked for, but for those that were dismissed.
fn named(
    ask: &Ask,
    session: &str,
    asked_for: impl Fn(&Brief) -> bool,
) -> Result<Vec<DetectionRef>, QueryError> {
    let found = detections::counted(&ask.reader, session)?.into_iter();
    let found = found.filter(|(_, brief)| asked_for(brief));
    Ok(found.map(|(place, brief)| detections::named(place, &brief)).collect())
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
        let spans = view.spans.iter().filter(|s| s.span.turn_id == turn.turn_id).cloned();
        let spans = spans.map(|s| contents.fill(s, &full)).collect();
        return Ok(Some(Shown { kind: "turn".into(), turn: Some(turn), spans, ..Shown::default() }));
    }
    let span = view.spans.iter().find(|s| {
        s.span.span_id == id
            || s.span.tool_use_id.as_deref() == Some(id)
            || (s.span.kind == "agent" && s.span.agent_id.as_deref() == Some(id))
    });
    let Some(span) = span.cloned() else { return Ok(None) };
    let of_span = |brief: &Brief| brief.span_id.as_ref() == Some(&span.span.span_id);
    let detections = named(ask, session, of_span)?;
    let span = Some(contents.fill(span, &full));
    Ok(Some(Shown { kind: "span".into(), span, detections, ..Shown::default() }))
}
