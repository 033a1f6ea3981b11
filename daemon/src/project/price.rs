//! Prices: the dated table in `prices.toml`, and what a model call costs by it.
//!
//! Money is whole micro-dollars, rounded once per model call, half up; every sum is a sum of those, so that
//! all commands agree. A model that is not in the table has no price: it is counted and shown as unpriced.

use std::collections::BTreeMap;

use ccd_proto::api::Tokens;
use serde::Deserialize;

use crate::config::PriceOverride;

/// The built-in table.
const TABLE: &str = include_str!("prices.toml");

/// Prices of one model, in micro-dollars per million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    input: u64,
    output: u64,
    cache_read: u64,
    cache_write_5m: u64,
    cache_write_1h: u64,
    /// From this many prompt tokens on, other prices hold for the whole call.
    above: Option<(u64, u64, u64)>,
    context_window: Option<u64>,
}

/// The prices in force.
#[derive(Clone, Debug)]
pub struct Prices {
    by_model: BTreeMap<String, Price>,
    web_search_micros: u64,
    fingerprint: u32,
}

#[derive(Deserialize)]
struct Table {
    #[allow(dead_code)] // Read by people, and by the test that asks for it.
    date: String,
    web_search_per_1000: f64,
    models: BTreeMap<String, Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    input: f64,
    output: f64,
    cache_read: Option<f64>,
    cache_write_5m: Option<f64>,
    cache_write_1h: Option<f64>,
    /// Prompt size from which `above_input` and `above_output` hold.
    above: Option<u64>,
    above_input: Option<f64>,
    above_output: Option<f64>,
    context_window: Option<u64>,
}

/// Dollars to micro-dollars. Prices have few decimals: rounding restores them exactly.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn micros(dollars: f64) -> u64 {
    (dollars.max(0.0) * 1e6).round() as u64
}

impl Price {
    fn new(row: &Row) -> Self {
        let input = micros(row.input);
        Price {
            input,
            output: micros(row.output),
            // The API's general ratios; where a model departs from them, the table says so.
            cache_read: row.cache_read.map_or(input / 10, micros),
            cache_write_5m: row.cache_write_5m.map_or(input * 5 / 4, micros),
            cache_write_1h: row.cache_write_1h.map_or(input * 2, micros),
            above: row
                .above
                .zip(row.above_input)
                .zip(row.above_output)
                .map(|((at, i), o)| (at, micros(i), micros(o))),
            context_window: row.context_window,
        }
    }

    /// What a call costs, in micro-dollars.
    #[must_use]
    pub fn cost(&self, tokens: &Tokens) -> u64 {
        let mut p = *self;
        if let Some((at, input, output)) = self.above
            && tokens.prompt() > at
        {
            // Cache prices keep their ratio to the input price.
            let scale = |price: u64| {
                u64::try_from(u128::from(price) * u128::from(input) / u128::from(self.input.max(1)))
                    .unwrap_or(u64::MAX)
            };
            p = Price {
                input,
                output,
                cache_read: scale(self.cache_read),
                cache_write_5m: scale(self.cache_write_5m),
                cache_write_1h: scale(self.cache_write_1h),
                ..p
            };
        }
        let parts = [
            (tokens.input, p.input),
            (tokens.output, p.output),
            (tokens.cache_read, p.cache_read),
            (tokens.cache_write_5m, p.cache_write_5m),
            (tokens.cache_write_1h, p.cache_write_1h),
        ];
        let sum: u128 = parts.iter().map(|(n, price)| u128::from(*n) * u128::from(*price)).sum();
        u64::try_from((sum + 500_000) / 1_000_000).unwrap_or(u64::MAX)
    }
}

impl Prices {
    /// The built-in table with the configuration's entries over it.
    #[must_use]
    pub fn new(overrides: &BTreeMap<String, PriceOverride>) -> Self {
        // The table is part of the build and read by a test; should it ever not parse, everything is shown
        // as unpriced rather than the daemon not started.
        let table = toml::from_str::<Table>(TABLE).ok();
        let web_search = table.as_ref().map_or(0.0, |t| t.web_search_per_1000);
        let mut by_model: BTreeMap<String, Price> = table
            .map(|t| t.models.iter().map(|(model, row)| (model.clone(), Price::new(row))).collect())
            .unwrap_or_default();
        for (model, o) in overrides {
            let built_in = by_model.get(model).and_then(|p| p.context_window);
            let row = Row {
                input: o.input,
                output: o.output,
                cache_read: o.cache_read,
                cache_write_5m: o.cache_write_5m,
                cache_write_1h: o.cache_write_1h,
                above: None,
                above_input: None,
                above_output: None,
                context_window: o.context_window.or(built_in),
            };
            by_model.insert(model.clone(), Price::new(&row));
        }
        let web_search_micros = micros(web_search / 1000.0);
        let hash = blake3::hash(format!("{by_model:?} {web_search_micros}").as_bytes());
        let [a, b, c, d, ..] = *hash.as_bytes();
        Prices { by_model, web_search_micros, fingerprint: u32::from_be_bytes([a, b, c, d]) }
    }

    /// A number that changes with the prices, so that costs worked out by others are worked out again.
    #[must_use]
    pub fn fingerprint(&self) -> u32 {
        self.fingerprint
    }

    fn find(&self, model: &str) -> Option<&Price> {
        // `claude-opus-4-8[1m]` and `claude-sonnet-4-5-20250929` are the models before the suffix.
        let model = model.split('[').next().unwrap_or(model);
        let undated = model
            .rsplit_once('-')
            .filter(|(_, date)| date.len() == 8 && date.bytes().all(|b| b.is_ascii_digit()))
            .map(|(name, _)| name);
        self.by_model.get(model).or_else(|| self.by_model.get(undated?))
    }

    /// What a call costs in micro-dollars; `None` for a model without a price.
    #[must_use]
    pub fn cost(&self, model: &str, tokens: &Tokens, web_searches: u64) -> Option<u64> {
        Some(self.find(model)?.cost(tokens) + web_searches * self.web_search_micros)
    }

    /// A model's context window in tokens, where the table knows it.
    #[must_use]
    pub fn context_window(&self, model: &str) -> Option<u64> {
        if model.ends_with("[1m]") {
            return Some(1_000_000);
        }
        self.find(model)?.context_window
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prices() -> Prices {
        Prices::new(&BTreeMap::new())
    }

    #[test]
    fn the_table_is_dated_sourced_and_whole() {
        let table: Table = toml::from_str(TABLE).unwrap();
        assert!(table.date.parse::<jiff::civil::Date>().is_ok());
        assert!(TABLE.contains("source"));
        assert!(table.models.len() >= 10);
        for (model, row) in &table.models {
            assert!(row.input > 0.0 && row.output > row.input, "{model}");
        }
    }

    #[test]
    fn costs_are_those_of_the_client() {
        // The client's own figure for these counts, read off its status line: $0.062664 in three calls.
        let t = |input, cache_read, output, w| Tokens {
            input,
            output,
            cache_read,
            cache_write_5m: w,
            cache_write_1h: 0,
        };
        let p = prices();
        assert_eq!(p.cost("claude-opus-5-5", &t(12, 15_000, 42, 3_400), 0), Some(48 + 3_000 + 840 + 17_000));
        assert_eq!(p.cost("claude-opus-4-8[1m]", &t(1_000_000, 0, 0, 0), 0), Some(5_000_000));
        assert_eq!(p.cost("claude-sonnet-4-5-20250929", &t(1, 0, 0, 0), 0), Some(3));
        assert_eq!(
            p.cost("claude-haiku-5-5", &t(100_001, 0, 0, 0), 0),
            Some(50_001),
            "the long-prompt price"
        );
    }

    #[test]
    fn an_unknown_model_has_no_price() {
        assert_eq!(prices().cost("gpt-x", &Tokens { input: 5, ..Tokens::default() }, 0), None);
        assert_eq!(prices().context_window("gpt-x"), None);
    }

    #[test]
    fn the_configuration_overrides() {
        let o = PriceOverride {
            input: 1.0,
            output: 2.0,
            cache_read: None,
            cache_write_5m: None,
            cache_write_1h: None,
            context_window: None,
        };
        let p = Prices::new(&BTreeMap::from([("mine".to_owned(), o)]));
        assert_eq!(p.cost("mine", &Tokens { cache_read: 1_000_000, ..Tokens::default() }, 0), Some(100_000));
        assert_ne!(p.fingerprint(), prices().fingerprint());
    }

    proptest! {
        #[test]
        fn costs_grow_with_tokens_and_never_overflow(a in any::<u32>(), b in any::<u32>()) {
            let p = prices();
            let cost = |n: u32| p.cost("claude-opus-5-5", &Tokens { output: n.into(), ..Tokens::default() }, 0).unwrap();
            let (less, more) = (a.min(b), a.max(b));
            prop_assert!(cost(less) <= cost(more));
        }
    }
}
