//! What tokens cost, as the detectors ask: the daemon's price table at one time.
//!
//! Long contexts, tiers and speeds with prices of their own are not told apart: detectors compare, `usage` counts.

use std::sync::Arc;

use ccd_detect::Price;

use crate::project::price::Prices;

/// The prices that were in force then.
#[derive(Clone, Debug)]
pub struct PricesAt {
    prices: Arc<Prices>,
    at_ns: u64,
}

impl PricesAt {
    /// Those of this time, nanoseconds since the Unix epoch.
    #[must_use]
    pub fn new(prices: Arc<Prices>, at_ns: u64) -> Self {
        PricesAt { prices, at_ns }
    }
}

impl ccd_detect::Prices for PricesAt {
    fn of(&self, model: &str) -> Option<Price> {
        let rates = self.prices.rates(model, self.at_ns, 0, "", "")?;
        Some(Price {
            input: rates.input,
            output: rates.output,
            cache_read: rates.cache_read,
            cache_write: rates.cache_write_5m,
            relative: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use ccd_detect::Prices as _;

    #[test]
    fn money_is_real_where_the_table_knows_the_model() {
        let prices = PricesAt::new(Arc::new(Prices::new(&BTreeMap::new())), u64::MAX);
        let price = prices.of("claude-opus-4-8").unwrap();
        assert_eq!(
            (price.input, price.output, price.cache_read, price.relative),
            (5_000_000, 25_000_000, 500_000, false)
        );
        let usage = ccd_detect::Usage { output: 1_000_000, ..ccd_detect::Usage::default() };
        assert_eq!(price.of(&usage), 25_000_000);
        assert!(prices.of("mystery-1").is_none());
    }
}
