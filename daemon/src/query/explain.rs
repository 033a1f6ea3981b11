//! `usage --explain`: the arithmetic of a session's cost, charge by charge.
//!
//! Read off the same charges and the same account as every other figure, so that its sum is theirs.

use std::sync::Arc;

use ccd_proto::api::{Explain, ExplainCharge, ExplainTerm, Tokens, display_usd};

use super::filter::Filter;
use super::{Ask, QueryError, sessions};
use crate::clock::rfc3339;
use crate::project::account::{Account, SideRow};
use crate::project::billed::{Bill, Charge, ChargeKey};
use crate::project::cost::Sum;
use crate::project::foreign::{PISAMA, is_foreign_start};
use crate::project::price::{Prices, Rates};
use crate::project::tally::Tally;
use crate::project::{ids, rows, share};

/// The charges of the session that the filter names.
pub fn explain(ask: &Ask, filter: &Filter) -> Result<Explain, QueryError> {
    let prefix = filter.session.as_deref().ok_or_else(|| QueryError::bad("session is missing"))?;
    let session_id = sessions::resolve(ask, prefix)?;
    let key = ids::session_key(&session_id);
    let account: Account = match ask.reader.get(&rows::account(key))? {
        Some(bytes) => rows::decode(&bytes)?,
        None => Account::default(),
    };
    let prices: Arc<Prices> = ask.shared.live.prices();
    let (mut charges, mut sum) = (Vec::new(), Sum::default());
    let (from, to) = (rows::session_charges_from(key, 0), rows::session_charges_end(key));
    for row in ask.reader.scan(&from, &to) {
        let Some((_, of)) = rows::charge_of_session_key(&row?.0) else { continue };
        let Some(bytes) = ask.reader.get(&rows::charge(of))? else { continue };
        let charge: Charge = rows::decode(&bytes)?;
        let bill = charge.bill();
        sum.merge(&share::whole(&bill, &prices).to_sum(&bill.model));
        charges.push(of_charge(&account, of, &charge, &bill, &prices));
    }
    let foreign = account.models.is_empty()
        && account.cut.is_empty()
        && account.starts.iter().all(|start| is_foreign_start(*start));
    for row in &account.side {
        sum.merge(&row.tally.to_sum(&row.model));
        charges.push(of_side(row, foreign, &prices));
    }
    Ok(Explain {
        session_id,
        charges,
        tokens: sum.tokens,
        cost_usd_micros: sum.cost_usd_micros(),
        cost: sum.display(),
    })
}

fn of_charge(
    account: &Account,
    key: ChargeKey,
    charge: &Charge,
    bill: &Bill,
    prices: &Prices,
) -> ExplainCharge {
    let rates = share::rates(bill, prices);
    let notes = [
        (bill.cut, "cut"),
        (bill.copied, "copied"),
        (key.is_anonymous(), "no request id"),
        (rates.is_none(), "no price"),
        (charge.message_id.is_empty(), "its records are gone"),
    ];
    let mut notes: Vec<String> =
        notes.iter().filter(|(is, _)| *is).map(|(_, note)| (*note).to_owned()).collect();
    notes.extend(rates.map(|r| r.tier.to_owned()).filter(|tier| !tier.is_empty()));
    let id = |id: &str| Some(id.to_owned()).filter(|id| !id.is_empty());
    ExplainCharge {
        at: rfc3339(bill.at_ns),
        agent: account.dims(bill, share::kind(bill)).agent,
        purpose: bill.purpose.clone(),
        sources: charge.sources().into_iter().map(str::to_owned).collect(),
        message_id: id(&charge.message_id),
        request_id: id(&charge.request),
        notes,
        ..priced(&bill.model, &bill.tokens, bill.web_searches, rates, &share::whole(bill, prices))
    }
}

fn of_side(row: &SideRow, foreign: bool, prices: &Prices) -> ExplainCharge {
    let note = if foreign {
        "what another recorder says was billed; no other source tells of it"
    } else {
        "what the client's closing totals have beyond the charges"
    };
    let searches = u64::try_from(row.tally.web_searches).unwrap_or(0);
    let rates = prices.rates(&row.model, row.at_ns, 0, "", "");
    ExplainCharge {
        at: rfc3339(row.at_ns),
        agent: "main".into(),
        purpose: "side".into(),
        sources: vec![if foreign { PISAMA } else { "cost-state" }.into()],
        notes: vec![note.into()],
        ..priced(&row.model, &row.tally.tokens(), searches, rates, &row.tally)
    }
}

fn priced(
    model: &str,
    tokens: &Tokens,
    web_searches: u64,
    rates: Option<Rates<'_>>,
    tally: &Tally,
) -> ExplainCharge {
    let cost = (tally.unpriced == 0).then_some(tally.micros);
    ExplainCharge {
        model: model.to_owned(),
        tokens: *tokens,
        terms: rates.as_ref().map(|rates| terms(tokens, web_searches, rates)).unwrap_or_default(),
        cost_usd_micros: cost,
        cost: cost.map_or_else(|| "unpriced".into(), display_usd),
        effective_from: rates.map(|r| r.effective_from.to_owned()),
        ..ExplainCharge::default()
    }
}

fn terms(t: &Tokens, web_searches: u64, r: &Rates<'_>) -> Vec<ExplainTerm> {
    // A million tokens at a price in micro-dollars: a thousandth of the product is billionths of a dollar.
    let of_tokens = [
        ("input", t.input, r.input),
        ("output", t.output, r.output),
        ("cache read", t.cache_read, r.cache_read),
        ("cache write 5m", t.cache_write_5m, r.cache_write_5m),
        ("cache write 1h", t.cache_write_1h, r.cache_write_1h),
    ];
    let nano = |product: u128, by: u128| u64::try_from(product / by).unwrap_or(u64::MAX);
    let term = |kind: &str, count: u64, price: u64, nano_usd: u64| ExplainTerm {
        kind: kind.to_owned(),
        count,
        price_usd_micros: price,
        nano_usd,
    };
    let mut terms: Vec<ExplainTerm> = of_tokens
        .into_iter()
        .filter(|(_, count, _)| *count > 0)
        .map(|(kind, n, price)| term(kind, n, price, nano(u128::from(n) * u128::from(price), 1000)))
        .collect();
    if web_searches > 0 {
        let product = u128::from(web_searches) * u128::from(r.web_search) * 1000;
        terms.push(term("web search", web_searches, r.web_search, nano(product, 1)));
    }
    terms
}
