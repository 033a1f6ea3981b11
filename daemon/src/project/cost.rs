//! Sums of tokens and money that stay honest about what has no price.

use std::collections::BTreeSet;

use ccd_proto::api::{Span, Tokens, UsageRow, display_usd};
use serde::{Deserialize, Serialize};

use super::exchange::ExchangeRow;

/// A sum over model calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// Calls with usage.
    pub calls: u64,
    /// Tokens.
    pub tokens: Tokens,
    /// Cost of the priced calls, in micro-dollars.
    pub micros: u64,
    /// Calls that have a price.
    pub priced: u64,
    /// Models of the calls that have none.
    pub unpriced_models: BTreeSet<String>,
}

impl Sum {
    /// Adds an exchange, if it was billed anything.
    pub fn add(&mut self, row: &ExchangeRow) {
        self.add_call(row.tokens, row.cost, row.model.as_deref());
    }

    /// Adds a model call's span, if it was billed anything.
    pub fn add_span(&mut self, span: &Span) {
        self.add_call(
            span.tokens,
            span.cost_usd_micros.and_then(|c| u64::try_from(c).ok()),
            span.model.as_deref(),
        );
    }

    /// Adds a model call, if it was billed anything.
    pub fn add_call(&mut self, tokens: Option<Tokens>, cost: Option<u64>, model: Option<&str>) {
        let Some(tokens) = tokens else { return };
        self.calls += 1;
        self.tokens += tokens;
        match cost {
            Some(micros) => {
                self.micros += micros;
                self.priced += 1;
            }
            None => {
                self.unpriced_models.insert(model.unwrap_or("unknown").to_owned());
            }
        }
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &Sum) {
        self.calls += other.calls;
        self.tokens += other.tokens;
        self.micros += other.micros;
        self.priced += other.priced;
        self.unpriced_models.extend(other.unpriced_models.iter().cloned());
    }

    /// Micro-dollars; `None` where there were calls and none of them has a price.
    #[must_use]
    pub fn cost_usd_micros(&self) -> Option<i64> {
        if self.priced == 0 && !self.unpriced_models.is_empty() {
            return None;
        }
        Some(i64::try_from(self.micros).unwrap_or(i64::MAX))
    }

    /// The cost for people.
    #[must_use]
    pub fn display(&self) -> String {
        match (self.cost_usd_micros(), self.unpriced_models.is_empty()) {
            (None, _) => "unpriced".into(),
            (Some(micros), true) => display_usd(micros),
            (Some(micros), false) => format!("{} + unpriced", display_usd(micros)),
        }
    }

    /// As a row of `usage`.
    #[must_use]
    pub fn to_row(&self, key: std::collections::BTreeMap<String, String>) -> UsageRow {
        UsageRow {
            key,
            tokens: self.tokens,
            cost_usd_micros: self.cost_usd_micros(),
            cost: self.display(),
            exchanges: self.calls,
            ..UsageRow::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cost: Option<u64>) -> ExchangeRow {
        ExchangeRow {
            tokens: Some(Tokens { input: 1, ..Tokens::default() }),
            model: Some("m".into()),
            cost,
            ..ExchangeRow::default()
        }
    }

    #[test]
    fn what_has_no_price_is_never_silently_zero() {
        let mut sum = Sum::default();
        assert_eq!((sum.cost_usd_micros(), sum.display().as_str()), (Some(0), "$0.00"));
        sum.add(&row(None));
        assert_eq!((sum.cost_usd_micros(), sum.display().as_str()), (None, "unpriced"));
        sum.add(&row(Some(2_000_000)));
        assert_eq!((sum.cost_usd_micros(), sum.display().as_str()), (Some(2_000_000), "$2.00 + unpriced"));
        assert_eq!(sum.tokens.input, 2);
    }
}
