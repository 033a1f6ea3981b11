//! A session's tree, as every answer shows it.
//!
//! One place, so that what a model call was billed is the same in `turns`, `traces`, `show` and the live view, and the
//! same that `usage` counts: it is read off the charge, which knows all sources and all sessions that have the message.
//! A message that another session was charged for (a fork repeats what its original said) is shown, says whose it is, and
//! has no tokens of its own.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ccd_proto::api::Span;

use super::{Ask, QueryError, detections};
use crate::ingest::marks::Known;
use crate::project::account::Account;
use crate::project::billed::{Charge, ChargeKey, call_key};
use crate::project::detections::{Brief, Place};
use crate::project::price::Prices;
use crate::project::share::Settled;
use crate::project::view::SessionView;
use crate::project::{ids, rows};

/// The session's turns and spans. Of a session that is followed, what was worked out last is kept until something changes.
pub fn tree(ask: &Ask, session_id: &str) -> Result<Arc<SessionView>, QueryError> {
    let Some(mark) = ask.shared.marks.followed(session_id) else {
        return Ok(Arc::new(grow(ask, session_id, &mut Known::new())?));
    };
    if let Some(view) = mark.tree() {
        return Ok(view);
    }
    // Noted before anything is read: what changes meanwhile is worked out again.
    let count = mark.count();
    let mut known = mark.take_charges();
    let grown = grow(ask, session_id, &mut known);
    mark.give_back(count, known);
    let view = Arc::new(grown?);
    mark.keep(count, &view);
    Ok(view)
}

fn grow(ask: &Ask, session_id: &str, known: &mut Known) -> Result<SessionView, QueryError> {
    let prices = ask.shared.live.prices();
    let mut view = ask.shared.live.get(&ask.reader, session_id)?.view(&prices);
    let mut settling = Settling {
        ask,
        prices: &prices,
        session: ids::session_key(session_id),
        known,
        settled: HashSet::new(),
        names: HashMap::new(),
        shares: HashMap::new(),
    };
    for view in &mut view.spans {
        if let Some((message, request)) = &view.billed {
            settling.settle(&mut view.span, message, request.as_deref())?;
        }
    }
    for view in &mut view.spans {
        let call = view.span.tool_use_id.as_deref().map(call_key);
        let micros = call.and_then(|key| settling.shares.get(&key));
        view.span.attributed_usd_micros = micros.map(|m| i64::try_from(*m).unwrap_or(i64::MAX));
    }
    view.sum_up();
    show_detections(&mut view, detections::counted(&ask.reader, session_id)?);
    Ok(view)
}

/// Gives turns and spans what was found to go wrong in them, oldest first.
fn show_detections(view: &mut SessionView, found: Vec<(Place, Brief)>) {
    if found.is_empty() {
        return;
    }
    let spans: HashMap<String, usize> =
        view.spans.iter().enumerate().map(|(i, s)| (s.span.span_id.clone(), i)).collect();
    let turns: HashMap<String, usize> =
        view.turns.iter().enumerate().map(|(i, t)| (t.turn_id.clone(), i)).collect();
    for (place, brief) in found {
        let named = detections::named(place, &brief);
        let span = brief.span_id.and_then(|id| view.spans.get_mut(*spans.get(&id)?));
        let turn = brief.turn_id.or_else(|| span.as_ref().map(|view| view.span.turn_id.clone()));
        if let Some(view) = span {
            view.span.detections.push(named.detection_id.clone());
        }
        if let Some(turn) = turn.and_then(|id| view.turns.get_mut(*turns.get(&id)?)) {
            turn.detections.push(named);
        }
    }
}

struct Settling<'a> {
    ask: &'a Ask,
    prices: &'a Prices,
    session: [u8; 16],
    /// Charges that were looked up already.
    known: &'a mut Known,
    /// Charges that a span has already: no other has them too.
    settled: HashSet<ChargeKey>,
    /// Sessions by their keys.
    names: HashMap<[u8; 16], Option<String>>,
    /// What each tool call has of the charges.
    shares: HashMap<u64, u64>,
}

impl Settling<'_> {
    fn settle(&mut self, span: &mut Span, message: &str, request: Option<&str>) -> Result<(), QueryError> {
        let asked = ChargeKey::new(message, request);
        if !self.known.contains_key(&asked) {
            // A charge that is not in the index yet is what its source said.
            let Some((key, charge)) = self.charge(asked)? else { return Ok(()) };
            self.known.insert(asked, Settled::new(key, &charge.bill(), self.prices));
        }
        let Some(charge) = self.known.get(&asked) else { return Ok(()) };
        if charge.session != self.session || !self.settled.insert(charge.key) {
            (span.tokens, span.cost_usd_micros) = (None, None);
            let owner = charge.session;
            if owner != self.session {
                span.copied_from = self.name(owner)?;
            }
            return Ok(());
        }
        span.tokens = Some(charge.tokens);
        span.cost_usd_micros = charge.cost;
        for (call, micros) in &charge.shares {
            *self.shares.entry(*call).or_default() += micros;
        }
        Ok(())
    }

    /// The charge that counts: one that names no request counts where no other of its message does.
    fn charge(&self, key: ChargeKey) -> Result<Option<(ChargeKey, Charge)>, QueryError> {
        if key.is_anonymous() {
            let (_, to) = rows::charges_of(key.message);
            let named = ChargeKey { request: 1, ..key };
            if let Some(row) = self.ask.reader.scan(&rows::charge(named), &to).next() {
                let (found, bytes) = row?;
                let named = rows::charge_of_key(&found).unwrap_or(named);
                return Ok(Some((named, rows::decode(&bytes)?)));
            }
        }
        match self.ask.reader.get(&rows::charge(key))? {
            Some(bytes) => Ok(Some((key, rows::decode(&bytes)?))),
            None => Ok(None),
        }
    }

    fn name(&mut self, session: [u8; 16]) -> Result<Option<String>, QueryError> {
        if let Some(name) = self.names.get(&session) {
            return Ok(name.clone());
        }
        let account = self.ask.reader.get(&rows::account(session))?;
        let name = match account {
            Some(bytes) => Some(rows::decode::<Account>(&bytes)?.session_id),
            None => None,
        };
        self.names.insert(session, name.clone());
        Ok(name)
    }
}
