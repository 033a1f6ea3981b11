//! What a session has to send: its turns that have ended, or the session itself once it grew. Reads the index and no
//! contents.

use std::path::Path;
use std::time::Duration;

use ccd_proto::api::{Session, Turn};

use super::outbox::{Looked, Unit};
use crate::clock::parse_rfc3339;
use crate::config::{Sink, SinkKind};
use crate::project::ids;
use crate::project::view::SessionView;
use crate::query::filter::Filter;
use crate::query::tree::tree;
use crate::query::{Ask, QueryError, sessions};

/// What is still running after so long without a word is taken as it is.
const ABANDONED: Duration = Duration::from_secs(30 * 60);
/// The key of a unit that is a whole session.
pub(super) const WHOLE: u64 = 0;

/// What a look at a session found.
pub(super) enum Found {
    /// It is not on record any more.
    Gone,
    /// It is not to be sent. The hash of its row.
    Excluded(u64),
    /// What there is to send.
    Units(Looked),
}

/// Whether a sink is to be sent a session.
pub(super) fn wants(sink: &Sink, session: &Session) -> bool {
    let is_of = |project: &String| {
        let below = session.cwd.as_deref().is_some_and(|cwd| {
            project.starts_with('/') && Path::new(cwd).starts_with(project.trim_end_matches('/'))
        });
        below || Filter { project: Some(project.clone()), ..Filter::default() }.matches_project(session)
    };
    // Where it ran is not known yet, or never will be: it may be what is kept out.
    if session.cwd.is_none() && !sink.exclude_projects.is_empty() {
        return false;
    }
    (sink.projects.is_empty() || sink.projects.iter().any(is_of))
        && !sink.exclude_projects.iter().any(is_of)
        && !sink.exclude_sessions.iter().any(|id| session.session_id.starts_with(id.as_str()))
}

/// A session's row.
pub(super) fn row(ask: &Ask, session_id: &str) -> Result<Option<Session>, QueryError> {
    sessions::row(ask, ids::session_key(session_id))
}

/// Hash of a session's row: whether anything about it changed.
pub(super) fn seen(session: &Session) -> u64 {
    hash(&[&serde_json::to_vec(session).unwrap_or_default()]).max(1)
}

fn hash(parts: &[&[u8]]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut first = [0; 8];
    hasher.finalize_xof().fill(&mut first);
    u64::from_le_bytes(first)
}

/// The key of a turn's unit.
pub(super) fn key_of(turn: &Turn) -> u64 {
    hash(&[turn.turn_id.as_bytes()]).max(1)
}

/// Looks at a session.
pub(super) fn look(ask: &Ask, sink: &Sink, session_id: &str, since_ns: u64) -> Result<Found, QueryError> {
    let Some(session) = row(ask, session_id)? else { return Ok(Found::Gone) };
    let seen = seen(&session);
    if !wants(sink, &session) {
        return Ok(Found::Excluded(seen));
    }
    let at_ns = parse_rfc3339(&session.last_at).unwrap_or(0);
    let view = tree(ask, session_id)?;
    let (units, running) = units(sink.kind, &view, at_ns, since_ns);
    let idle = Duration::from_nanos(ask.now_ns.saturating_sub(at_ns));
    let abandoned = idle >= ABANDONED;
    let again = (running && !abandoned).then(|| ABANDONED.saturating_sub(idle));
    let units = units.into_iter().filter(|(_, ended)| *ended || abandoned).map(|(unit, _)| unit).collect();
    Ok(Found::Units(Looked { since_ns, units, seen, at_ns, again }))
}

/// A session's units, each with whether it has ended; and whether anything is running.
fn units(kind: SinkKind, view: &SessionView, at_ns: u64, since_ns: u64) -> (Vec<(Unit, bool)>, bool) {
    let ended = |turn: &Turn| {
        turn.status != "running"
            && !view.spans.iter().any(|v| v.span.turn_id == turn.turn_id && v.span.status == "running")
    };
    match kind {
        SinkKind::Pisama => {
            let told = view.spans.iter().any(|v| matches!(v.span.kind.as_str(), "tool" | "llm"));
            let all_ended = view.turns.iter().all(ended);
            let unit = Unit { key: WHOLE, digest: digest(view, None) };
            let units = if told && at_ns >= since_ns { vec![(unit, all_ended)] } else { Vec::new() };
            (units, !all_ended)
        }
        SinkKind::Otlp => {
            let young = |turn: &&Turn| parse_rfc3339(&turn.started_at).is_ok_and(|ns| ns >= since_ns);
            let of =
                |turn: &Turn| (Unit { key: key_of(turn), digest: digest(view, Some(turn)) }, ended(turn));
            let units: Vec<_> = view.turns.iter().filter(young).map(of).collect();
            let running = units.iter().any(|(_, ended)| !ended);
            (units, running)
        }
    }
}

/// A hash of what a turn, or the whole session, says: of its spans, and of where their contents are.
fn digest(view: &SessionView, of: Option<&Turn>) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for turn in view.turns.iter().filter(|turn| of.is_none_or(|of| of.turn_id == turn.turn_id)) {
        hasher.update(turn.turn_id.as_bytes());
        hasher.update(turn.prompt.as_deref().unwrap_or("\0").as_bytes());
    }
    for view in view.spans.iter().filter(|view| of.is_none_or(|of| of.turn_id == view.span.turn_id)) {
        let mut span = view.span.clone();
        // What we think of it is not sent.
        span.detections.clear();
        hasher.update(&serde_json::to_vec(&span).unwrap_or_default());
        hasher.update(&[u8::from(view.input.is_some()), u8::from(view.output.is_some())]);
    }
    let mut first = [0; 8];
    hasher.finalize_xof().fill(&mut first);
    u64::from_le_bytes(first)
}

#[cfg(test)]
mod tests {
    use ccd_proto::api::Span;

    use super::*;
    use crate::config::Config;
    use crate::project::view::SpanView;

    fn sink(more: &str) -> Sink {
        let text = format!("[forward.a]\nkind = \"otlp\"\nurl = \"https://o.example\"\n{more}");
        Config::parsed(&text).unwrap().forward.remove("a").unwrap()
    }

    #[test]
    fn exclusions_are_by_project_and_by_session() {
        let session = Session {
            session_id: "abc-1".into(),
            cwd: Some("/w/shop".into()),
            project: Some("shop".into()),
            ..Session::default()
        };
        for (more, wanted) in [
            ("", true),
            ("projects = [\"shop\"]", true),
            ("projects = [\"/w/shop/\", \"x\"]", true),
            ("projects = [\"x\"]", false),
            ("exclude_projects = [\"/w/shop\"]", false),
            ("projects = [\"shop\"]\nexclude_sessions = [\"abc\"]", false),
            ("exclude_sessions = [\"abd\", \"\"]", true),
        ] {
            assert_eq!(wants(&sink(more), &session), wanted, "{more}");
        }
    }

    #[test]
    fn turns_wait_for_their_end_and_what_is_old_is_left_alone() {
        let turn = |id: &str, second: u32, status: &str| Turn {
            turn_id: id.into(),
            started_at: format!("2026-11-20T10:00:{second:02}Z"),
            status: status.into(),
            ..Turn::default()
        };
        let span = |turn: &str, status: &str| SpanView {
            span: Span { turn_id: turn.into(), kind: "llm".into(), status: status.into(), ..Span::default() },
            ..SpanView::default()
        };
        let mut view = SessionView {
            turns: vec![
                turn("a", 0, "ok"),
                turn("b", 10, "ok"),
                turn("c", 20, "ok"),
                turn("d", 30, "running"),
            ],
            spans: vec![span("b", "ok"), span("c", "running")],
        };
        let since = parse_rfc3339("2026-11-20T10:00:05Z").unwrap();
        let (units, running) = super::units(SinkKind::Otlp, &view, since, since);
        assert_eq!(units.iter().map(|(_, ended)| *ended).collect::<Vec<_>>(), [true, false, false]);
        assert!(running);
        let (whole, _) = super::units(SinkKind::Pisama, &view, since, since);
        assert_eq!((whole.len(), whole[0].1), (1, false));
        assert!(super::units(SinkKind::Pisama, &view, since - 1, since).0.is_empty());
        view.spans[0].span.status = "error".into();
        let (changed, _) = super::units(SinkKind::Otlp, &view, since, since);
        assert!(changed[0].0.key == units[0].0.key && changed[0].0.digest != units[0].0.digest);
        assert_eq!(changed[1], units[1], "the others say the same");
        assert_ne!(super::units(SinkKind::Pisama, &view, since, since).0[0].0.digest, whole[0].0.digest);
    }
}
