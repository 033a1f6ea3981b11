//! What tokens cost.
//!
//! It must never be taken for a bill: what a model's family costs in proportion is only for comparing.
//!
//! Invariant: integers, and sums that stop at the largest instead of wrapping.

use crate::event::Usage;

/// Prices in micro-dollars per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    /// Input that is not cached.
    pub input: u64,
    /// Output.
    pub output: u64,
    /// Input from the cache.
    pub cache_read: u64,
    /// Input that is put into the cache.
    pub cache_write: u64,
    /// It is only right in proportion to others of its kind.
    pub relative: bool,
}

/// Somebody who knows prices.
pub trait Prices: Send + Sync {
    /// A model's.
    fn of(&self, model: &str) -> Option<Price>;
}

/// Families of models and what a million tokens of input costs in proportion.
const FAMILIES: [(&str, u64); 4] = [("haiku", 1), ("sonnet", 3), ("opus", 5), ("fable", 8)];

impl Price {
    /// By the family that a model's name tells: in proportion only.
    #[must_use]
    pub fn by_family(model: &str) -> Option<Self> {
        let (_, weight) = FAMILIES.iter().find(|(family, _)| model.contains(family))?;
        let input = weight * 1_000_000;
        Some(Self {
            input,
            output: input * 5,
            cache_read: input / 10,
            cache_write: input * 5 / 4,
            relative: true,
        })
    }

    /// What this usage costs, micro-dollars.
    #[must_use]
    pub fn of(&self, usage: &Usage) -> u64 {
        let parts = [
            (usage.input, self.input),
            (usage.output, self.output),
            (usage.cache_read, self.cache_read),
            (usage.cache_write, self.cache_write),
        ];
        let sum = parts.iter().fold(0_u128, |sum, (tokens, price)| {
            sum.saturating_add(u128::from(*tokens).saturating_mul(u128::from(*price)))
        });
        u64::try_from(sum / 1_000_000).unwrap_or(u64::MAX)
    }

    /// What this usage costs in tokens of input.
    #[must_use]
    pub fn in_input(&self, usage: &Usage) -> u64 {
        self.of(usage).saturating_mul(1_000_000) / self.input.max(1)
    }

    /// For people: dollars where the price is one, else nothing.
    #[must_use]
    pub fn shown(&self, micros: u64) -> String {
        if self.relative {
            String::new()
        } else {
            format!(" (${}.{:02})", micros / 1_000_000, micros % 1_000_000 / 10_000)
        }
    }
}
