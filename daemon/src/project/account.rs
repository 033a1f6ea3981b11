//! A session's account: what its charges sum up to, by model, and what they are summed up under: the session's project
//! and its subagents' types, which may become known after the charges.
//!
//! Also the remainder: what the client's closing totals have beyond the charges. It is a function of the account and of
//! all closing totals, worked out again whenever one of them changes, so that no order matters.

use std::collections::BTreeMap;

use ccd_proto::api::Tokens;
use serde::{Deserialize, Serialize};

use super::billed::{Bill, most};
use super::charge::{CostState, ModelTotal};
use super::cost::Sum;
use super::price::{Prices, plain_model};
use super::rows::SessionRow;
use super::session::SessionState;
use super::tally::{Dims, Kind, Tally, signed};

/// Subagents whose type is kept; those beyond stand as `subagent`.
const AGENTS: usize = 256;

/// A session's account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The session's id.
    pub session_id: String,
    /// The project, and when the session was in the directory that names it. The earliest counts.
    pub home: Option<(u64, String)>,
    /// Types of subagents.
    pub agents: BTreeMap<String, String>,
    /// Sums of its charges for whole responses, by model.
    pub models: BTreeMap<String, Tally>,
    /// Sums of those for responses that were cut.
    pub cut: BTreeMap<String, Tally>,
    /// Beginnings of the clients whose closing totals it has.
    pub starts: Vec<u64>,
    /// What is booked beyond the charges.
    pub side: Vec<SideRow>,
}

/// What the closing totals have of a model beyond the charges.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideRow {
    /// When it is booked, in nanoseconds since the Unix epoch.
    pub at_ns: u64,
    /// The model.
    pub model: String,
    /// The sum.
    pub tally: Tally,
}

impl Account {
    /// The project; empty where none is known.
    #[must_use]
    pub fn project(&self) -> &str {
        self.home.as_ref().map_or("", |(_, project)| project)
    }

    /// What a bill is summed up under; the tool aside.
    #[must_use]
    pub fn dims(&self, bill: &Bill, kind: Kind) -> Dims {
        let agent = match bill.agent.as_deref() {
            None => "main",
            Some(id) => self.agents.get(id).map_or("subagent", String::as_str),
        };
        Dims {
            project: self.project().to_owned(),
            model: bill.model.clone(),
            agent: agent.to_owned(),
            branch: bill.branch.clone(),
            tool: String::new(),
            kind,
        }
    }

    /// What a remainder is summed up under.
    #[must_use]
    pub fn side_dims(&self, row: &SideRow) -> Dims {
        Dims {
            project: self.project().to_owned(),
            model: row.model.clone(),
            agent: "main".into(),
            kind: Kind::Side,
            ..Dims::default()
        }
    }

    /// Takes over what is known of the session itself.
    pub fn learn(&mut self, state: &SessionState) {
        if let Some(home) = state.home()
            && self.home.as_ref().is_none_or(|known| home < *known)
        {
            self.home = Some(home);
        }
        for (id, kind) in state.agent_types() {
            let kind: String = kind.chars().take(60).collect();
            match self.agents.get_mut(id) {
                Some(known) if kind < *known => *known = kind,
                Some(_) => {}
                None => {
                    self.agents.insert(id.to_owned(), kind);
                }
            }
        }
        while self.agents.len() > AGENTS {
            self.agents.pop_last();
        }
    }

    /// Adds a charge, or takes it back.
    pub fn add(&mut self, bill: &Bill, tally: &Tally, times: i64) {
        let sums = if bill.cut { &mut self.cut } else { &mut self.models };
        let sum = sums.entry(bill.model.clone()).or_default();
        sum.add(tally, times);
        if sum.is_zero() {
            sums.remove(&bill.model);
        }
    }

    /// Sums of all of its charges, by model.
    #[must_use]
    pub fn charged(&self) -> BTreeMap<String, Tally> {
        let mut all = self.models.clone();
        for (model, tally) in &self.cut {
            all.entry(model.clone()).or_default().add(tally, 1);
        }
        all
    }

    /// It tells nothing.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        Account { session_id: String::new(), ..self.clone() } == Account::default()
    }

    /// Whether anything of it was billed.
    #[must_use]
    pub fn is_billed(&self) -> bool {
        !self.models.is_empty() || !self.cut.is_empty() || !self.side.is_empty()
    }

    /// The sum of everything.
    #[must_use]
    pub fn total(&self) -> Sum {
        let mut sum = Sum::default();
        for (model, tally) in self.models.iter().chain(&self.cut) {
            sum.merge(&tally.to_sum(model));
        }
        for row in &self.side {
            sum.merge(&row.tally.to_sum(&row.model));
        }
        sum
    }

    /// Gives a session's row the figures of its account, in place of those that it had: a charge may have gone to another
    /// session since.
    pub fn fill(&self, row: &mut SessionRow) {
        let SessionRow { session, called } = row;
        session.models.truncate(usize::from(*called));
        let sum = self.total();
        session.tokens = sum.tokens;
        session.cost_usd_micros = sum.cost_usd_micros();
        session.cost = sum.display();
        for model in self.models.keys().chain(self.cut.keys()).chain(self.side.iter().map(|row| &row.model)) {
            if session.models.len() < 8 && !session.models.contains(model) {
                session.models.push(model.clone());
            }
        }
        session.unpriced_models = sum.unpriced_models.into_iter().take(8).collect();
    }
}

impl SessionState {
    /// When the session was first seen in a directory, and the project that it names.
    #[must_use]
    pub fn home(&self) -> Option<(u64, String)> {
        let (at, _) = self.cwd.as_ref()?;
        Some((*at, self.project()?.chars().take(100).collect()))
    }

    /// Subagents whose type is known.
    pub fn agent_types(&self) -> impl Iterator<Item = (&str, &str)> {
        self.agents.iter().filter_map(|(id, agent)| Some((id.as_str(), agent.kind.as_deref()?)))
    }
}

/// One model's totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Total {
    /// Tokens.
    pub tokens: Tokens,
    /// Web searches.
    pub web_searches: u64,
}

/// Closing totals by model, as the client names it.
pub type Totals = BTreeMap<String, Total>;

/// Adds the larger of each figure.
pub fn raise(totals: &mut Totals, models: impl IntoIterator<Item = (String, Total)>) {
    for (model, new) in models {
        let known = totals.entry(model).or_default();
        known.tokens = most(&known.tokens, &new.tokens);
        known.web_searches = known.web_searches.max(new.web_searches);
    }
}

/// What a closing record totals.
#[must_use]
pub fn totals(state: &CostState) -> Totals {
    let mut out = Totals::new();
    let models = state.models.iter().map(|ModelTotal { model, tokens, web_searches, .. }| {
        let total = Total { tokens: *tokens, web_searches: *web_searches };
        (model.chars().take(120).collect(), total)
    });
    raise(&mut out, models);
    out
}

/// A closing record of the family of a client's beginning: a fork takes over its original's totals with its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    /// [`super::ids::session_key`] of its session.
    pub session: [u8; 16],
    /// When, in nanoseconds since the Unix epoch.
    pub at_ns: u64,
    /// The totals.
    pub totals: Totals,
}

fn less(a: &Tokens, b: &Tokens) -> Tokens {
    Tokens {
        input: a.input.saturating_sub(b.input),
        output: a.output.saturating_sub(b.output),
        cache_read: a.cache_read.saturating_sub(b.cache_read),
        cache_write_5m: a.cache_write_5m.saturating_sub(b.cache_write_5m),
        cache_write_1h: a.cache_write_1h.saturating_sub(b.cache_write_1h),
    }
}

/// What a session's closing totals have beyond its charges.
///
/// `families` are all closing records of each beginning that the session has; `first_ns` is when the first of its own
/// charges was. Within one beginning totals go on (a resumed session's include what came before): the largest counts.
/// What another session had totalled under the same beginning before this one's first charge was taken over, and is the
/// other one's. Different beginnings add up.
#[must_use]
pub fn remainder(
    session: [u8; 16],
    first_ns: u64,
    families: &[Vec<Closing>],
    charged: &BTreeMap<String, Tally>,
    prices: &Prices,
) -> Vec<SideRow> {
    let mut own: BTreeMap<String, (String, Total)> = BTreeMap::new();
    let mut at_ns = 0;
    for family in families {
        let (mut mine, mut taken) = (Totals::new(), Totals::new());
        for closing in family {
            if closing.session == session {
                at_ns = at_ns.max(closing.at_ns);
                raise(&mut mine, closing.totals.clone());
            } else if closing.at_ns < first_ns {
                raise(&mut taken, closing.totals.clone());
            }
        }
        for (model, total) in mine {
            let base = taken.get(&model).copied().unwrap_or_default();
            let name = model.split('[').next().unwrap_or(&model).to_owned();
            let (_, sum) = own.entry(plain_model(&model).to_owned()).or_insert((name, Total::default()));
            sum.tokens += less(&total.tokens, &base.tokens);
            sum.web_searches += total.web_searches.saturating_sub(base.web_searches);
        }
    }
    let mut rows = Vec::new();
    for (plain, (name, total)) in own {
        let same = |model: &&String| plain_model(model) == plain;
        let mut known = Tokens::default();
        for model in charged.keys().filter(same) {
            known += charged.get(model).map(Tally::tokens).unwrap_or_default();
        }
        let known_searches: i64 = charged.iter().filter(|(m, _)| same(m)).map(|(_, t)| t.web_searches).sum();
        let tokens = less(&total.tokens, &known);
        // Of a response that was cut, the client totals its own estimate of the output: that alone is no request.
        if tokens.prompt() == 0 {
            continue;
        }
        let model = charged.keys().find(same).cloned().unwrap_or(name);
        let searches = total.web_searches.saturating_sub(u64::try_from(known_searches).unwrap_or(0));
        // The sizes of the prompts are not known: the plain price.
        let rates = prices.rates(&model, at_ns, 0, "", "");
        let tally = Tally {
            tokens: signed(&tokens),
            web_searches: i64::try_from(searches).unwrap_or(i64::MAX),
            micros: rates.map_or(0, |r| i64::try_from(r.cost(&tokens, searches)).unwrap_or(i64::MAX)),
            priced: i64::from(rates.is_some()),
            unpriced: i64::from(rates.is_none()),
            saved: rates.map_or(0, |r| r.saved(&tokens)),
            ..Tally::default()
        };
        rows.push(SideRow { at_ns, model, tally });
    }
    // All rows are of the same time: whatever range has one has all of them.
    if let Some(first) = rows.first_mut() {
        first.tally.sessions = 1;
    }
    rows
}

#[cfg(test)]
#[path = "account_tests.rs"]
mod tests;
