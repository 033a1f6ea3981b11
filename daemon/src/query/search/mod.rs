//! `search`: which of what was captured has some words in it.
//!
//! Session by session, the one that was used last first, so that the first hits come at once however much there is. A
//! session's records are looked at as they are stored; only one that may have all of the words is made a tree of, and
//! only the spans whose records have some are looked into.
//!
//! Must never miss what a span shows; never hold more than one session's records and one record's texts; and never work
//! on for nobody: it ends with its reader, and when its time is up, but not before it got anywhere.

mod cursor;
mod raw;
mod records;
mod session;
mod sieve;
mod snippet;
mod texts;
pub mod words;

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use ccd_proto::api::{Hit, SearchEnd, Session};
use ccd_store::Locator;

pub use self::cursor::Cursor;
use self::session::Look;
use self::words::{Manner, Words};
use super::content::Contents;
use super::filter::Filter;
use super::{Ask, QueryError, sessions};
use crate::clock::parse_rfc3339;
use crate::project::exchange::ExchangeRow;
use crate::project::view::{SessionView, SpanView};
use crate::project::{ids, rows};

/// How long a search may take where nothing is said, and at most.
const TIMEOUT: (u64, u64) = (10, 3600);

/// What is asked.
#[derive(Debug)]
pub struct Question {
    /// The words.
    pub words: Words,
    /// Where they are looked for.
    pub filter: Filter,
    /// What no span shows, too.
    pub raw: bool,
    /// Where an earlier search ended.
    pub cursor: Option<Cursor>,
    /// How long it may take.
    pub timeout: Duration,
}

impl Question {
    /// Reads a URL's query.
    pub fn parse(query: &str) -> Result<Self, QueryError> {
        let (mut q, mut manner, mut raw, mut cursor, mut timeout) =
            (String::new(), Manner::default(), false, None, TIMEOUT.0);
        let mut rest = form_urlencoded::Serializer::new(String::new());
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let flag = value == "1" || value == "true";
            match &*key {
                "q" => q = value.into_owned(),
                "regex" => manner.regex = flag,
                "case" => manner.case = flag,
                "raw" => raw = flag,
                "cursor" if value.is_empty() => {}
                "cursor" => {
                    let parsed = value.parse().map_err(|()| {
                        QueryError::bad(format!("cursor={value:?}: not one that a search ended with"))
                    })?;
                    cursor = Some(parsed);
                }
                "timeout_s" => {
                    let parsed = value.parse().ok().filter(|s| (1..=TIMEOUT.1).contains(s));
                    timeout = parsed.ok_or_else(|| {
                        QueryError::bad(format!("timeout_s={value:?}: a number from 1 to {}", TIMEOUT.1))
                    })?;
                }
                _ => drop(rest.append_pair(&key, &value)),
            }
        }
        let filter = Filter::parse(&rest.finish())?;
        let words = Words::parse(&q, manner).map_err(|e| QueryError::bad(e.to_string()))?;
        Ok(Question { words, filter, raw, cursor, timeout: Duration::from_secs(timeout) })
    }

    /// What no span shows has no kind, status, tool or turn.
    fn wants_raw(&self) -> bool {
        let f = &self.filter;
        self.raw && f.kind.is_none() && f.status.is_none() && f.tool.is_none() && f.turn.is_none()
    }
}

/// Who is told.
pub trait Listener {
    /// Something was found. Says whether anybody still listens.
    fn hit(&mut self, hit: Hit) -> bool;
    /// So many sessions were looked at.
    fn scanned(&mut self, sessions: u64);
    /// Whether anybody still listens.
    fn is_there(&self) -> bool;
}

/// When a search is to end before it is done.
struct Stop<'a> {
    is_there: &'a dyn Fn() -> bool,
    /// None: it has not got anywhere yet.
    deadline: Option<Instant>,
}

/// The code of an error that only ends a search early.
const STOPPED: &str = "stopped";

impl Stop<'_> {
    fn check(&self) -> Result<(), QueryError> {
        let late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if late || !(self.is_there)() {
            return Err(QueryError::new(
                http::StatusCode::SERVICE_UNAVAILABLE,
                STOPPED,
                "the search has ended",
            ));
        }
        Ok(())
    }
}

/// Looks for it.
pub fn search(ask: &Ask, question: &Question, listener: &mut impl Listener) -> Result<SearchEnd, QueryError> {
    let deadline = Instant::now() + question.timeout;
    let mut end = SearchEnd { complete: true, ..SearchEnd::default() };
    let mut told = 0;
    for place in places(ask, question)? {
        let (place, here) = place?;
        let resumed = question.cursor.filter(|cursor| cursor.is_at(&place));
        let skip = resumed.map_or(0, |cursor| cursor.told);
        let late = end.scanned_sessions > 0 && Instant::now() >= deadline;
        let room = match question.filter.limit {
            0 => usize::MAX,
            limit => limit - told,
        };
        let mut found = Vec::new();
        let looked = if late {
            Err(QueryError::new(http::StatusCode::SERVICE_UNAVAILABLE, STOPPED, ""))
        } else {
            let is_there = || listener.is_there();
            // The first one is looked at to its end: whoever goes on from here would never get past it otherwise.
            let stop =
                Stop { is_there: &is_there, deadline: Some(deadline).filter(|_| end.scanned_sessions > 0) };
            look_into(ask, question, &here, skip.saturating_add(room), &mut found, &stop)
        };
        match looked {
            Ok(()) => {}
            Err(error) if error.error.code == STOPPED => {
                // What was found of it so far is found again by whoever goes on.
                end.complete = false;
                end.cursor = Some(Cursor { told: skip, ..place }.to_string());
                return Ok(end);
            }
            Err(error) => return Err(error),
        }
        end.scanned_sessions += 1;
        listener.scanned(end.scanned_sessions);
        let found_more = found.len() > skip.saturating_add(room);
        for hit in found.into_iter().skip(skip).take(room) {
            told += 1;
            if !listener.hit(hit) {
                end.complete = false;
                return Ok(end);
            }
        }
        if found_more {
            end.more = true;
            end.cursor = Some(Cursor { told: skip + room, ..place }.to_string());
            return Ok(end);
        }
    }
    Ok(end)
}

/// Where is looked.
enum Here {
    Session(Box<Session>),
    /// The exchanges that name no session.
    Strays,
}

/// Everything that is to be looked at, in order, from where an earlier search ended.
fn places<'a>(
    ask: &'a Ask,
    question: &'a Question,
) -> Result<impl Iterator<Item = Result<(Cursor, Here), QueryError>> + 'a, QueryError> {
    let filter = &question.filter;
    let only = match &filter.session {
        Some(prefix) => Some(ids::session_key(&sessions::resolve(ask, prefix)?)),
        None => None,
    };
    let lets = move |session: &Session| {
        let times = (parse_rfc3339(&session.started_at), parse_rfc3339(&session.last_at));
        let in_range = match times {
            (Ok(first), Ok(last)) => filter.overlaps(first, last),
            _ => true,
        };
        in_range && filter.matches_project(session)
    };
    let from = question.cursor;
    let place = |session: Session| {
        let last_ns = parse_rfc3339(&session.last_at).unwrap_or_default();
        let place = Cursor { last_ns, session: ids::session_key(&session.session_id), told: 0 };
        (place, Here::Session(Box::new(session)))
    };
    // The session in which the earlier search ended may have been used since: it comes first, wherever it stands now.
    let first = only.or(from.filter(|cursor| !cursor.is_strays()).map(|cursor| cursor.session));
    let first = match first {
        Some(key) => sessions::row(ask, key)?.filter(lets).map(|session| {
            let (at, here) = place(session);
            (from.filter(|cursor| cursor.session == at.session).map_or(at, |c| Cursor { told: 0, ..c }), here)
        }),
        None => None,
    };
    let strays = question.wants_raw() && filter.session.is_none() && filter.project.is_none();
    let strays = strays.then_some((Cursor::STRAYS, Here::Strays));
    let until_ns = from.map_or(u64::MAX, |cursor| cursor.last_ns);
    let is_behind = move |at: &Cursor| {
        from.is_none_or(|from| {
            at.last_ns < from.last_ns || (at.last_ns == from.last_ns && at.session > from.session)
        })
    };
    let others = only.is_none() && from.is_none_or(|cursor| !cursor.is_strays());
    let others = others.then(|| sessions::recent_until(ask, filter.since_ns.unwrap_or(0), until_ns));
    let others = others.into_iter().flatten().filter_map(move |session| match session {
        Ok(session) if lets(&session) => Some(Ok(place(session)))
            .filter(|at| at.as_ref().is_ok_and(|(at, _): &(Cursor, Here)| is_behind(at))),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    });
    Ok(first.into_iter().map(Ok).chain(others).chain(strays.into_iter().map(Ok)))
}

/// Finds what there is, until there is one more than `enough`.
fn look_into(
    ask: &Ask,
    question: &Question,
    here: &Here,
    enough: usize,
    found: &mut Vec<Hit>,
    stop: &Stop<'_>,
) -> Result<(), QueryError> {
    let Question { words, filter, .. } = question;
    let whole = question.wants_raw() && words.terms.len() > 1;
    let masks = match here {
        Here::Session(session) => {
            let (from, to) = rows::session_records(ids::session_key(&session.session_id));
            let records = ask.reader.scan(&from, &to).filter_map(|row| match row {
                Ok((_, value)) => Some(Ok(Locator::from_bytes(value.as_slice().try_into().ok()?))),
                Err(error) => Some(Err(error.into())),
            });
            records::sift(ask, words, whole, records, stop)?
        }
        Here::Strays => records::sift(ask, words, whole, strays(ask, filter), stop)?,
    };
    if masks.any != words.all() {
        return Ok(());
    }
    let (session, project) = match here {
        Here::Session(session) => (session.session_id.as_str(), session.project.as_deref()),
        Here::Strays => ("", None),
    };
    let contents = Contents::new(ask);
    let mut look = Look { words, masks: &masks, filter, session, project, contents, told: HashSet::new() };
    if let Here::Session(session) = here {
        let view = ask.shared.live.get(&ask.reader, &session.session_id)?.view(&ask.shared.live.prices());
        let SessionView { turns, spans } = view;
        let mut by_turn: HashMap<String, Vec<SpanView>> = HashMap::new();
        for span in spans {
            by_turn.entry(span.span.turn_id.clone()).or_default().push(span);
        }
        for turn in turns.iter().rev() {
            let spans = by_turn.remove(&turn.turn_id).unwrap_or_default();
            found.extend(look.turn(Some(turn), spans, stop)?);
            if found.len() > enough {
                return Ok(());
            }
        }
        let rest: Vec<SpanView> = by_turn.into_values().flatten().collect();
        found.extend(look.turn(None, rest, stop)?);
    }
    if question.wants_raw() && found.len() <= enough {
        found.extend(look.raw(ask, stop)?);
    }
    Ok(())
}

/// The records of exchanges that name no session, the newest first.
fn strays<'a>(ask: &'a Ask, filter: &Filter) -> impl Iterator<Item = Result<Locator, QueryError>> + use<'a> {
    let from = rows::exchanges_from(filter.since_ns.unwrap_or(0));
    let to = filter.until_ns.map_or_else(rows::exchanges_end, rows::exchanges_from);
    ask.reader.scan(&from, &to).rev().filter_map(|row| {
        let locate = || -> Result<Option<Locator>, QueryError> {
            let row: ExchangeRow = rows::decode(&row?.1)?;
            if row.session_id.is_some() {
                return Ok(None);
            }
            Ok(ask.reader.record_by_id(&row.id)?.map(|stored| stored.locator))
        };
        locate().transpose()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_read_and_checked() {
        let q = Question::parse("q=disk+%22no+such%22&case=1&limit=5&kind=tool&timeout_s=3&raw=1").unwrap();
        assert_eq!(q.words.terms.iter().map(|t| t.given.as_str()).collect::<Vec<_>>(), ["disk", "no such"]);
        assert_eq!((q.filter.limit, q.filter.kind.as_deref(), q.timeout.as_secs()), (5, Some("tool"), 3));
        assert!(q.raw && !q.wants_raw(), "what has no kind is none of that kind");
        for bad in [
            "",
            "q=",
            "q=%22%22",
            "q=(&regex=1",
            "q=a&cursor=x",
            "q=a&timeout_s=0",
            "q=a&sesion=1",
            "q=a&kind=x",
        ] {
            assert_eq!(Question::parse(bad).unwrap_err().error.code, "bad_request", "{bad}");
        }
    }
}
