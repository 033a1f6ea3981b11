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

/// Rates of a model call, in micro-dollars per million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates<'p> {
    /// Input that touched no cache.
    pub input: u64,
    /// Output.
    pub output: u64,
    /// Reads from the cache.
    pub cache_read: u64,
    /// Writes for 5 minutes.
    pub cache_write_5m: u64,
    /// Writes for an hour.
    pub cache_write_1h: u64,
    /// A web search, in micro-dollars.
    pub web_search: u64,
    /// Since when they hold, as the table or the configuration names it.
    pub effective_from: &'p str,
    /// What moved them: `long context`, `batch`, `fast`; empty for the plain ones.
    pub tier: &'static str,
}

const MILLION: u128 = 1_000_000;

impl Rates<'_> {
    fn sum(&self, t: &Tokens) -> u128 {
        let parts = [
            (t.input, self.input),
            (t.output, self.output),
            (t.cache_read, self.cache_read),
            (t.cache_write_5m, self.cache_write_5m),
            (t.cache_write_1h, self.cache_write_1h),
        ];
        parts.iter().map(|(n, price)| u128::from(*n) * u128::from(*price)).sum()
    }

    /// What these cost, in micro-dollars, rounded half up once.
    #[must_use]
    pub fn cost(&self, tokens: &Tokens, web_searches: u64) -> u64 {
        let cost = u64::try_from((self.sum(tokens) + MILLION / 2) / MILLION).unwrap_or(u64::MAX);
        cost.saturating_add(web_searches.saturating_mul(self.web_search))
    }

    /// The same rounded down: of shares, so that they never add up to more than the whole.
    #[must_use]
    pub fn floor(&self, tokens: &Tokens) -> u64 {
        u64::try_from(self.sum(tokens) / MILLION).unwrap_or(u64::MAX)
    }

    /// What the cache saved: its reads as plain input, less what they and its writes cost beyond that.
    #[must_use]
    pub fn saved(&self, t: &Tokens) -> i64 {
        let beyond = |n: u64, price: u64| i128::from(n) * (i128::from(self.input) - i128::from(price));
        let sum = beyond(t.cache_read, self.cache_read)
            + beyond(t.cache_write_5m, self.cache_write_5m)
            + beyond(t.cache_write_1h, self.cache_write_1h);
        i64::try_from(sum.div_euclid(1_000_000)).unwrap_or(0)
    }

    /// What writing so many tokens cost beyond reading them; those of the dearer lifetime last.
    #[must_use]
    pub fn wasted(&self, t: &Tokens, rewritten: u64) -> i64 {
        let five = rewritten.min(t.cache_write_5m);
        let beyond = |n: u64, price: u64| u128::from(n) * u128::from(price.saturating_sub(self.cache_read));
        let sum = beyond(five, self.cache_write_5m) + beyond(rewritten - five, self.cache_write_1h);
        i64::try_from(sum / MILLION).unwrap_or(i64::MAX)
    }
}

/// Prices of one model from a time on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Price {
    from_ns: u64,
    effective_from: String,
    plain: [u64; 5],
    /// From this many prompt tokens on, other prices hold for the whole call.
    above: Option<(u64, [u64; 5])>,
    fast: Option<[u64; 5]>,
    /// Whether batches are half of it: they are, where the API sells the model.
    batch: bool,
    context_window: Option<u64>,
}

/// The prices in force.
#[derive(Clone, Debug)]
pub struct Prices {
    /// Of each model, the newest first.
    by_model: BTreeMap<String, Vec<Price>>,
    web_search_micros: u64,
    fingerprint: u32,
}

#[derive(Deserialize)]
struct Table {
    #[allow(dead_code)] // Read by people, and by the test that asks for it.
    date: String,
    web_search_per_1000: f64,
    models: BTreeMap<String, Vec<Row>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    effective_from: String,
    input: f64,
    output: f64,
    cache_read: Option<f64>,
    cache_write_5m: Option<f64>,
    cache_write_1h: Option<f64>,
    /// Prompt size from which `above_input` and `above_output` hold.
    above: Option<u64>,
    above_input: Option<f64>,
    above_output: Option<f64>,
    fast_input: Option<f64>,
    fast_output: Option<f64>,
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
        let plain = [
            input,
            micros(row.output),
            // The API's general ratios; where a model departs from them, the table says so.
            row.cache_read.map_or(input / 10, micros),
            row.cache_write_5m.map_or(input * 5 / 4, micros),
            row.cache_write_1h.map_or(input * 2, micros),
        ];
        // Cache prices keep their ratio to the input price.
        let moved = |to_input: f64, to_output: f64| {
            let to = micros(to_input);
            let scale = |price: u64| {
                u64::try_from(u128::from(price) * u128::from(to) / u128::from(input.max(1)))
                    .unwrap_or(u64::MAX)
            };
            [to, micros(to_output), scale(plain[2]), scale(plain[3]), scale(plain[4])]
        };
        let pair = |i: Option<f64>, o: Option<f64>| i.zip(o).map(|(i, o)| moved(i, o));
        Price {
            from_ns: day_ns(&row.effective_from),
            effective_from: row.effective_from.clone(),
            plain,
            above: row.above.zip(pair(row.above_input, row.above_output)),
            fast: pair(row.fast_input, row.fast_output),
            batch: true,
            context_window: row.context_window,
        }
    }

    /// The rates of a call of so large a prompt; `None` where the tier or the speed has no price that is known.
    fn rates(&self, prompt: u64, tier: &str, speed: &str) -> Option<([u64; 5], &'static str)> {
        let (rates, name) = match (speed, self.above) {
            ("fast", _) => (self.fast?, "fast"),
            ("" | "standard", Some((at, rates))) if prompt > at => (rates, "long context"),
            ("" | "standard", _) => (self.plain, ""),
            _ => return None,
        };
        match tier {
            "" | "standard" | "standard_only" | "auto" => Some((rates, name)),
            "batch" if self.batch && name != "fast" => {
                Some((rates.map(|r| r / 2), if name.is_empty() { "batch" } else { "batch, long context" }))
            }
            // Priority is bought as a commitment: no price per token is published.
            _ => None,
        }
    }
}

/// The beginning of a day in UTC; of all time where it is no date.
fn day_ns(date: &str) -> u64 {
    let day = date.parse::<jiff::civil::Date>().ok();
    let start = day.and_then(|d| d.to_zoned(jiff::tz::TimeZone::UTC).ok());
    start.and_then(|z| u64::try_from(z.timestamp().as_nanosecond()).ok()).unwrap_or(0)
}

impl Prices {
    /// The built-in table with the configuration's entries over it.
    #[must_use]
    pub fn new(overrides: &BTreeMap<String, PriceOverride>) -> Self {
        // The table is part of the build and read by a test; should it ever not parse, everything is shown
        // as unpriced rather than the daemon not started.
        let table = toml::from_str::<Table>(TABLE).ok();
        let web_search = table.as_ref().map_or(0.0, |t| t.web_search_per_1000);
        let mut by_model: BTreeMap<String, Vec<Price>> = BTreeMap::new();
        for (model, rows) in table.into_iter().flat_map(|t| t.models) {
            let mut prices: Vec<Price> = rows.iter().map(Price::new).collect();
            prices.sort_by_key(|p| std::cmp::Reverse(p.from_ns));
            by_model.insert(model, prices);
        }
        for (model, o) in overrides {
            let built_in = by_model.get(model).and_then(|p| p.first()?.context_window);
            let row = Row {
                effective_from: "config.toml".into(),
                input: o.input,
                output: o.output,
                cache_read: o.cache_read,
                cache_write_5m: o.cache_write_5m,
                cache_write_1h: o.cache_write_1h,
                above: None,
                above_input: None,
                above_output: None,
                fast_input: None,
                fast_output: None,
                context_window: o.context_window.or(built_in),
            };
            by_model.insert(model.clone(), vec![Price::new(&row)]);
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

    fn find(&self, model: &str) -> Option<&[Price]> {
        let name = model.split('[').next().unwrap_or(model);
        let prices = self.by_model.get(name).or_else(|| self.by_model.get(plain_model(model)))?;
        Some(prices)
    }

    /// The rates of a call at a time; `None` where nobody knows a price: of the model, or of the tier or the speed that
    /// the response named. Before a model's first row, the first one holds.
    #[must_use]
    pub fn rates(&self, model: &str, at_ns: u64, prompt: u64, tier: &str, speed: &str) -> Option<Rates<'_>> {
        let prices = self.find(model)?;
        let price = prices.iter().find(|p| p.from_ns <= at_ns).or(prices.last())?;
        let ([input, output, cache_read, short, long], tier) = price.rates(prompt, tier, speed)?;
        Some(Rates {
            input,
            output,
            cache_read,
            cache_write_5m: short,
            cache_write_1h: long,
            web_search: self.web_search_micros,
            effective_from: &price.effective_from,
            tier,
        })
    }

    /// A model's context window in tokens, where the table knows it.
    #[must_use]
    pub fn context_window(&self, model: &str) -> Option<u64> {
        if model.ends_with("[1m]") {
            return Some(1_000_000);
        }
        self.find(model)?.first()?.context_window
    }
}

/// A model's name without what a client or a date adds to it: `claude-opus-4-8[1m]` and `claude-sonnet-4-5-20250929` are
/// the models before the suffix.
#[must_use]
pub fn plain_model(model: &str) -> &str {
    let model = model.split('[').next().unwrap_or(model);
    match model.rsplit_once('-') {
        Some((name, date)) if date.len() == 8 && date.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => model,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prices() -> Prices {
        Prices::new(&BTreeMap::new())
    }

    fn cost(prices: &Prices, model: &str, tokens: &Tokens) -> Option<u64> {
        Some(prices.rates(model, 1_795_000_000_000_000_000, tokens.prompt(), "standard", "")?.cost(tokens, 0))
    }

    #[test]
    fn the_price_in_force_then_holds() {
        let row = |from: &str, input| Row {
            effective_from: from.into(),
            input,
            output: 5.0,
            cache_read: None,
            cache_write_5m: None,
            cache_write_1h: None,
            above: None,
            above_input: None,
            above_output: None,
            fast_input: None,
            fast_output: None,
            context_window: None,
        };
        let mut p = prices();
        p.by_model.insert(
            "m".into(),
            vec![Price::new(&row("2026-06-01", 2.0)), Price::new(&row("2026-01-01", 3.0))],
        );
        let input = |day: &str| p.rates("m", day_ns(day), 0, "", "").unwrap().input;
        assert_eq!(
            [input("2025-12-01"), input("2026-05-31"), input("2026-06-01")],
            [3_000_000, 3_000_000, 2_000_000]
        );
    }

    #[test]
    fn tiers_and_speeds_have_their_own_price_or_none() {
        let p = prices();
        let input =
            |tier, speed| p.rates("claude-opus-4-6", u64::MAX, 0, tier, speed).map(|r| (r.input, r.tier));
        assert_eq!(input("standard", "standard"), Some((5_000_000, "")));
        assert_eq!(input("batch", ""), Some((2_500_000, "batch")));
        assert_eq!(input("", "fast"), Some((30_000_000, "fast")));
        assert_eq!((input("priority", ""), input("", "warp")), (None, None));
        assert_eq!(p.rates("claude-haiku-4-5", u64::MAX, 0, "", "fast"), None);
    }

    #[test]
    fn the_table_is_dated_sourced_and_whole() {
        let table: Table = toml::from_str(TABLE).unwrap();
        assert!(table.date.parse::<jiff::civil::Date>().is_ok());
        assert!(TABLE.contains("source"));
        assert!(table.models.len() >= 10);
        for (model, rows) in &table.models {
            assert!(!rows.is_empty(), "{model}");
            for row in rows {
                assert!(row.input > 0.0 && row.output > row.input, "{model}");
                assert!(day_ns(&row.effective_from) > 0, "{model}: {}", row.effective_from);
            }
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
        let cost = |model: &str, tokens| cost(&p, model, &tokens);
        assert_eq!(cost("claude-opus-5-5", t(12, 15_000, 42, 3_400)), Some(48 + 3_000 + 840 + 17_000));
        assert_eq!(cost("claude-opus-4-8[1m]", t(1_000_000, 0, 0, 0)), Some(5_000_000));
        assert_eq!(cost("claude-sonnet-4-5-20250929", t(1, 0, 0, 0)), Some(3));
        assert_eq!(cost("claude-haiku-5-5", t(100_001, 0, 0, 0)), Some(50_001), "the long-prompt price");
        assert_eq!(cost("claude-haiku-5-5", t(1, 100_000, 0, 0)), Some(5_001), "what the cache had counts");
    }

    #[test]
    fn an_unknown_model_has_no_price() {
        assert_eq!(cost(&prices(), "gpt-x", &Tokens { input: 5, ..Tokens::default() }), None);
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
        assert_eq!(cost(&p, "mine", &Tokens { cache_read: 1_000_000, ..Tokens::default() }), Some(100_000));
        assert_ne!(p.fingerprint(), prices().fingerprint());
    }

    proptest! {
        #[test]
        fn costs_grow_with_tokens_and_never_overflow(a in any::<u32>(), b in any::<u32>()) {
            let p = prices();
            let cost = |n: u32| cost(&p, "claude-opus-5-5", &Tokens { output: n.into(), ..Tokens::default() }).unwrap();
            let (less, more) = (a.min(b), a.max(b));
            prop_assert!(cost(less) <= cost(more));
        }
    }
}
