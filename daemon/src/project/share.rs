//! What a charge counts as: its sum, and the parts of it that tools are answerable for.
//!
//! The rule: of the output, a call has the share that its bytes have of the answer; of the input that no cache had and
//! of what was written to the cache, a result has the share that its bytes have of what was new in the request. What the
//! cache had, and what does not divide, is the conversation's. Parts add up to the charge, to the token and the
//! micro-dollar.

use std::collections::BTreeMap;

use ccd_proto::api::Tokens;

use super::billed::{Bill, ChargeKey, Measured};
use super::price::{Prices, Rates};
use super::tally::{Kind, Tally, signed};

/// What is a call's own, by [`super::billed::call_key`]: its tool, its tokens and its cost in micro-dollars.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallShare {
    /// The tool.
    pub tool: String,
    /// It was asked for, not only its result brought.
    pub asked: bool,
    /// Tokens.
    pub tokens: Tokens,
    /// Cost.
    pub micros: u64,
}

fn part(whole: u64, bytes: u64, of: u64) -> u64 {
    let share = u128::from(whole) * u128::from(bytes) / u128::from(of.max(1));
    u64::try_from(share).unwrap_or(whole).min(whole)
}

fn of_all(parts: &BTreeMap<u64, Measured>, told: u64) -> u64 {
    parts.values().fold(0u64, |sum, (_, bytes)| sum.saturating_add(*bytes)).max(told)
}

/// The rates that hold for a bill.
#[must_use]
pub fn rates<'p>(bill: &Bill, prices: &'p Prices) -> Option<Rates<'p>> {
    prices.rates(&bill.model, bill.at_ns, bill.tokens.prompt(), &bill.tier, &bill.speed)
}

/// What each call has of a charge, what was asked for first. The same call's result may be in another charge.
#[must_use]
pub fn calls(bill: &Bill, rates: Option<&Rates<'_>>) -> Vec<(u64, CallShare)> {
    let mut out = Vec::with_capacity(bill.asked.len() + bill.brought.len());
    let answer = of_all(&bill.asked, bill.answer_bytes);
    let fresh = of_all(&bill.brought, bill.fresh_bytes);
    let mut push = |key: u64, tool: &str, asked, tokens: Tokens| {
        let micros = rates.map_or(0, |r| r.floor(&tokens));
        out.push((key, CallShare { tool: tool.to_owned(), asked, tokens, micros }));
    };
    for (key, (tool, bytes)) in &bill.asked {
        let output = part(bill.tokens.output, *bytes, answer);
        push(*key, tool, true, Tokens { output, ..Tokens::default() });
    }
    for (key, (tool, bytes)) in &bill.brought {
        let share = |whole| part(whole, *bytes, fresh);
        let tokens = Tokens {
            input: share(bill.tokens.input),
            cache_write_5m: share(bill.tokens.cache_write_5m),
            cache_write_1h: share(bill.tokens.cache_write_1h),
            ..Tokens::default()
        };
        push(*key, tool, false, tokens);
    }
    out
}

/// What a charge means for the span that it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The charge.
    pub key: ChargeKey,
    /// [`super::ids::session_key`] of the session that was charged.
    pub session: [u8; 16],
    /// Tokens billed.
    pub tokens: Tokens,
    /// Their cost in micro-dollars; none where they have no price.
    pub cost: Option<i64>,
    /// What each tool call has of it, by [`super::billed::call_key`], in micro-dollars.
    pub shares: Vec<(u64, u64)>,
}

impl Settled {
    /// What a charge that is billed so means.
    #[must_use]
    pub fn new(key: ChargeKey, bill: &Bill, prices: &Prices) -> Self {
        let whole = whole(bill, prices);
        let shares = calls(bill, rates(bill, prices).as_ref()).into_iter();
        Settled {
            key,
            session: bill.session,
            tokens: bill.tokens,
            cost: (whole.unpriced == 0).then_some(whole.micros),
            shares: shares.map(|(call, share)| (call, share.micros)).collect(),
        }
    }
}

/// The kind of row that a bill is summed up in.
#[must_use]
pub fn kind(bill: &Bill) -> Kind {
    if bill.cut { Kind::Cut } else { Kind::Whole }
}

/// What a bill counts as, undivided.
#[must_use]
pub fn whole(bill: &Bill, prices: &Prices) -> Tally {
    let rates = rates(bill, prices);
    let t = &bill.tokens;
    let web_searches = i64::try_from(bill.web_searches).unwrap_or(i64::MAX);
    let mut tally = Tally { calls: 1, tokens: signed(t), web_searches, ..Tally::default() };
    let Some(rates) = rates else {
        tally.unpriced = 1;
        return tally;
    };
    tally.priced = 1;
    tally.micros = i64::try_from(rates.cost(t, bill.web_searches)).unwrap_or(i64::MAX);
    tally.saved = rates.saved(t);
    // What the conversation's prompt had before, and the cache had no more.
    let had = bill.previous_prompt.min(t.prompt()).saturating_sub(t.cache_read);
    let rewritten = had.min(t.cache_write_5m + t.cache_write_1h);
    tally.rewritten = i64::try_from(rewritten).unwrap_or(i64::MAX);
    tally.wasted = rates.wasted(t, rewritten);
    tally
}

/// What a bill counts as, shared out among the conversation (no name; always there) and tools.
#[must_use]
pub fn by_tool(bill: &Bill, prices: &Prices) -> BTreeMap<String, Tally> {
    let mut rest = whole(bill, prices);
    let counts = (rest.priced, rest.unpriced);
    let mut out: BTreeMap<String, Tally> = BTreeMap::new();
    for (_, share) in calls(bill, rates(bill, prices).as_ref()) {
        if share.tool.is_empty() {
            continue;
        }
        let tally = Tally {
            tokens: signed(&share.tokens),
            micros: i64::try_from(share.micros).unwrap_or(i64::MAX),
            ..Tally::default()
        };
        rest.add(&tally, -1);
        let sum = out.entry(share.tool).or_default();
        sum.add(&tally, 1);
        sum.calls += i64::from(share.asked);
        (sum.priced, sum.unpriced) = counts;
    }
    out.insert(String::new(), rest);
    out
}
