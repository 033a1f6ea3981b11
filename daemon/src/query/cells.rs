//! What `usage` adds up: sums of one quarter of an hour, read from the coarsest rows that tell the answer.
//!
//! Without sessions: the roll-ups, pruned by time before they are read. By session: accounts where the whole of each
//! session is asked for, else the charges of those sessions, within the range. All of them are sums of the same charges.

use std::collections::BTreeSet;

use super::filter::Filter;
use super::{Ask, QueryError, sessions};
use crate::project::account::Account;
use crate::project::billed::Charge;
use crate::project::rows::{self, BUCKET_NS};
use crate::project::tally::{self, Family, Kind, Tally};
use crate::project::{ids, share};

/// A sum.
pub(super) struct Cell<'a> {
    /// Its quarter of an hour. Of a session's account: 0.
    pub(super) bucket: u32,
    /// The session, where the question is about sessions.
    pub(super) session: &'a str,
    /// See [`tally::Dims`].
    pub(super) project: &'a str,
    /// See [`tally::Dims`].
    pub(super) model: &'a str,
    /// See [`tally::Dims`].
    pub(super) agent: &'a str,
    /// See [`tally::Dims`].
    pub(super) branch: &'a str,
    /// See [`tally::Dims`].
    pub(super) tool: &'a str,
    /// See [`tally::Dims`].
    pub(super) kind: Kind,
    /// The sum.
    pub(super) tally: &'a Tally,
}

impl Cell<'_> {
    /// What it adds to a sum that is not by tool: a message that asks for three tools is one message.
    pub(super) fn undivided(&self) -> Tally {
        if self.tool.is_empty() {
            return *self.tally;
        }
        Tally { calls: 0, priced: 0, unpriced: 0, ..*self.tally }
    }
}

/// What is asked.
#[allow(clippy::struct_excessive_bools)] // each is a question of its own
pub(super) struct Question {
    /// From this quarter on.
    from: u32,
    /// Until this quarter, exclusive.
    to: u32,
    ranged: bool,
    by_session: bool,
    by_tool: bool,
    /// Something that accounts do not tell.
    in_detail: bool,
    family: Family,
    project: Option<String>,
    /// Only these sessions.
    sessions: Option<BTreeSet<String>>,
    /// Only this tool.
    pub(super) tool: Option<String>,
}

impl Question {
    /// Reads it off the filter.
    pub(super) fn new(ask: &Ask, filter: &Filter, period: &str) -> Result<Self, QueryError> {
        let by = |names: &[&str]| filter.by.iter().any(|by| names.contains(&by.as_str()));
        let until = filter.until_ns.map(|ns| tally::bucket(ns.saturating_add(BUCKET_NS - 1)));
        let sessions = match (&filter.session, filter.project.as_deref()) {
            (Some(prefix), _) => Some(BTreeSet::from([sessions::resolve(ask, prefix)?])),
            // A directory: which sessions were in it only their rows know.
            (None, Some(project)) if project.contains('/') => {
                let of = Filter { limit: 0, project: filter.project.clone(), ..Filter::default() };
                let found = sessions::matching(ask, &of)?;
                Some(found.into_iter().map(|session| session.session_id).collect())
            }
            _ => None,
        };
        let by_tool = by(&["tool"]) || filter.tool.is_some();
        Ok(Question {
            from: filter.since_ns.map_or(0, tally::bucket),
            to: until.unwrap_or(u32::MAX),
            ranged: filter.since_ns.is_some() || until.is_some(),
            by_session: period == "session" || sessions.is_some(),
            by_tool,
            in_detail: by_tool || by(&["agent", "branch", "hour"]) || !matches!(period, "session" | "total"),
            family: match () {
                () if by_tool => Family::Tool,
                () if by(&["project", "agent", "branch"]) || filter.project.is_some() => Family::Place,
                () => Family::Model,
            },
            project: filter.project.clone().filter(|project| !project.contains('/')),
            sessions,
            tool: filter.tool.clone(),
        })
    }

    fn holds(&self, bucket: u32) -> bool {
        self.from <= bucket && bucket < self.to
    }

    fn lets(&self, project: &str, tool: &str) -> bool {
        self.project.as_deref().is_none_or(|asked| asked == project)
            && self.tool.as_deref().is_none_or(|asked| asked.eq_ignore_ascii_case(tool))
    }
}

/// Hands over every sum that the question is about. `until` tells of a quarter before which one those that follow it
/// may be summed up with it; a cell stands at the first of its quarters.
pub(super) fn each(
    ask: &Ask,
    q: &Question,
    until: &mut dyn FnMut(u32) -> u32,
    f: &mut dyn FnMut(&Cell<'_>),
) -> Result<(), QueryError> {
    if q.by_session {
        return of_sessions(ask, q, f);
    }
    let to = if q.to == u32::MAX { tally::end(q.family) } else { tally::until(q.family, q.to) };
    for row in ask.reader.scan(&tally::from(q.family, q.from), &to) {
        let (key, value) = row?;
        let row = tally::Row::decode(&value)?;
        if !q.lets(row.project, row.tool) {
            continue;
        }
        let mut hand_over = |bucket: u32, tally: &Tally| {
            f(&Cell {
                bucket,
                session: "",
                project: row.project,
                model: row.model,
                agent: row.agent,
                branch: row.branch,
                tool: row.tool,
                kind: row.kind(),
                tally,
            });
        };
        let mut sum: Option<(u32, u32, Tally)> = None;
        for (bucket, tally) in row.quarters(&key).filter(|(bucket, _)| q.holds(*bucket)) {
            match &mut sum {
                Some((_, end, sum)) if bucket < *end => sum.add(tally, 1),
                _ => {
                    if let Some((bucket, _, sum)) = sum.replace((bucket, until(bucket), *tally)) {
                        hand_over(bucket, &sum);
                    }
                }
            }
        }
        if let Some((bucket, _, sum)) = sum {
            hand_over(bucket, &sum);
        }
    }
    Ok(())
}

/// How many sessions have usage that only the closing totals tell of.
pub(super) fn side_sessions(ask: &Ask, q: &Question) -> Result<u64, QueryError> {
    let mut count = 0;
    accounts(ask, q, &mut |account| {
        let mut any = false;
        of_side(q, account, &mut |_| any = true);
        count += u64::from(any);
        Ok(())
    })?;
    Ok(count)
}

/// The same, session by session.
fn of_sessions(ask: &Ask, q: &Question, f: &mut dyn FnMut(&Cell<'_>)) -> Result<(), QueryError> {
    accounts(ask, q, &mut |account| of_account(ask, q, account, f))
}

/// Hands over the accounts of the sessions and of the project that the question is about.
fn accounts(
    ask: &Ask,
    q: &Question,
    f: &mut dyn FnMut(&Account) -> Result<(), QueryError>,
) -> Result<(), QueryError> {
    let mut hand_over = |bytes: &[u8]| {
        let account: Account = rows::decode(bytes)?;
        if q.project.as_deref().is_none_or(|asked| asked == account.project()) { f(&account) } else { Ok(()) }
    };
    if let Some(sessions) = &q.sessions {
        for id in sessions {
            if let Some(bytes) = ask.reader.get(&rows::account(ids::session_key(id)))? {
                hand_over(&bytes)?;
            }
        }
        return Ok(());
    }
    let (from, to) = rows::accounts();
    for row in ask.reader.scan(&from, &to) {
        hand_over(&row?.1)?;
    }
    Ok(())
}

fn blank(account: &Account) -> Cell<'_> {
    const NOTHING: &Tally = &Tally::NONE;
    Cell {
        bucket: 0,
        session: &account.session_id,
        project: account.project(),
        model: "",
        agent: "main",
        branch: "",
        tool: "",
        kind: Kind::Whole,
        tally: NOTHING,
    }
}

/// What only the closing totals tell of.
fn of_side(q: &Question, account: &Account, f: &mut dyn FnMut(&Cell<'_>)) {
    for row in &account.side {
        let bucket = tally::bucket(row.at_ns);
        if q.holds(bucket) && q.lets(account.project(), "") {
            f(&Cell { bucket, model: &row.model, kind: Kind::Side, tally: &row.tally, ..blank(account) });
        }
    }
}

fn of_account(
    ask: &Ask,
    q: &Question,
    account: &Account,
    f: &mut dyn FnMut(&Cell<'_>),
) -> Result<(), QueryError> {
    of_side(q, account, f);
    if !q.ranged && !q.in_detail {
        for (sums, kind) in [(&account.models, Kind::Whole), (&account.cut, Kind::Cut)] {
            for (model, tally) in sums {
                f(&Cell { model, kind, tally, ..blank(account) });
            }
        }
        return Ok(());
    }
    of_charges(ask, q, account, ids::session_key(&account.session_id), f)
}

fn of_charges(
    ask: &Ask,
    q: &Question,
    account: &Account,
    session: [u8; 16],
    f: &mut dyn FnMut(&Cell<'_>),
) -> Result<(), QueryError> {
    let prices = ask.shared.live.prices();
    let from = rows::session_charges_from(session, u64::from(q.from) * BUCKET_NS);
    for row in ask.reader.scan(&from, &rows::session_charges_end(session)) {
        let Some((at_ns, key)) = rows::charge_of_session_key(&row?.0) else { continue };
        let bucket = tally::bucket(at_ns);
        if bucket >= q.to {
            break;
        }
        let Some(bytes) = ask.reader.get(&rows::charge(key))? else { continue };
        let bill = rows::decode::<Charge>(&bytes)?.bill();
        let kind = share::kind(&bill);
        let dims = account.dims(&bill, kind);
        let parts = if q.by_tool {
            share::by_tool(&bill, &prices)
        } else {
            [(String::new(), share::whole(&bill, &prices))].into()
        };
        for (tool, tally) in &parts {
            if q.lets(&dims.project, tool) {
                f(&Cell {
                    bucket,
                    session: &account.session_id,
                    project: &dims.project,
                    model: &dims.model,
                    agent: &dims.agent,
                    branch: &dims.branch,
                    tool,
                    kind,
                    tally,
                });
            }
        }
    }
    Ok(())
}
