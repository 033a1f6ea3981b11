//! A session's tree, as every answer shows it.
//!
//! One place, so that what a model call was billed is the same in `turns`, `traces`, `show` and the live view, and the
//! same that `usage` counts: it is read off the charge, which knows all sources and all sessions that have the message.
//! A message that another session was charged for (a fork repeats what its original said) is shown, says whose it is, and
//! has no tokens of its own.

use std::collections::{HashMap, HashSet};

use ccd_proto::api::Span;

use super::detections::Shown;
use super::{Ask, QueryError};
use crate::project::account::Account;
use crate::project::billed::{Bill, Charge, ChargeKey, call_key};
use crate::project::price::Prices;
use crate::project::view::{SessionView, SpanView};
use crate::project::{ids, rows, share};

/// The session's turns and spans.
pub fn tree(ask: &Ask, session_id: &str) -> Result<SessionView, QueryError> {
    let prices = ask.shared.live.prices();
    let mut view = ask.shared.live.get(&ask.reader, session_id)?.view(&prices);
    let mut settling = Settling {
        ask,
        prices: &prices,
        session: ids::session_key(session_id),
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
    show_detections(&mut view, Shown::of(&ask.reader, session_id)?);
    Ok(view)
}

/// Gives turns and spans what was found to go wrong in them.
fn show_detections(view: &mut SessionView, mut shown: Shown) {
    if shown.is_empty() {
        return;
    }
    for SpanView { span, .. } in &mut view.spans {
        if let Some(found) = shown.turnless.remove(&span.span_id) {
            shown.turns.entry(span.turn_id.clone()).or_default().extend(found);
        }
        span.detections = shown.spans.remove(&span.span_id).unwrap_or_default();
    }
    for turn in &mut view.turns {
        turn.detections = shown.turns.remove(&turn.turn_id).unwrap_or_default();
    }
}

struct Settling<'a> {
    ask: &'a Ask,
    prices: &'a Prices,
    session: [u8; 16],
    /// Charges that a span has already: no other has them too.
    settled: HashSet<ChargeKey>,
    /// Sessions by their keys.
    names: HashMap<[u8; 16], Option<String>>,
    /// What each tool call has of the charges.
    shares: HashMap<u64, u64>,
}

impl Settling<'_> {
    fn settle(&mut self, span: &mut Span, message: &str, request: Option<&str>) -> Result<(), QueryError> {
        // A charge that is not in the index yet is what its source said.
        let Some((key, charge)) = self.charge(ChargeKey::new(message, request))? else { return Ok(()) };
        let bill = charge.bill();
        if bill.session != self.session || !self.settled.insert(key) {
            (span.tokens, span.cost_usd_micros) = (None, None);
            if bill.session != self.session {
                span.copied_from = self.name(bill.session)?;
            }
            return Ok(());
        }
        let whole = share::whole(&bill, self.prices);
        span.tokens = Some(bill.tokens);
        span.cost_usd_micros = (whole.unpriced == 0).then_some(whole.micros);
        self.share(&bill);
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

    fn share(&mut self, bill: &Bill) {
        for (call, share) in share::calls(bill, share::rates(bill, self.prices).as_ref()) {
            *self.shares.entry(call).or_default() += share.micros;
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
