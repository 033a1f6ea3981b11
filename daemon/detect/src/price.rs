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

/// A model's name without who serves it and which build it is: `claude-opus-4-6-20260101`,
/// `us.anthropic.claude-opus-4-6-v1:0`, `anthropic/claude-opus-4-6` and `claude-opus-4-6@20260101` are one model. What
/// stands in brackets, such as `[1m]`, is kept: it is another window.
#[must_use]
pub fn plain_model(model: &str) -> String {
    let lower = model.to_ascii_lowercase();
    let (name, bracket) = lower.find('[').map_or((lower.as_str(), ""), |at| lower.split_at(at));
    let name = name.rsplit('/').next().unwrap_or(name);
    let name = name.split_once("anthropic.").map_or(name, |(_, name)| name);
    let name = name.split('@').next().unwrap_or(name);
    let name = name.split(':').next().unwrap_or(name);
    let name = name.strip_suffix("-latest").unwrap_or(name);
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    let undated =
        |name: &str| name.rsplit_once('-').filter(|(_, end)| digits(end, 8)).map(|(name, _)| name.to_owned());
    let version = |name: &str| {
        name.rsplit_once("-v")
            .filter(|(_, end)| digits(end, 1))
            .map_or_else(|| name.to_owned(), |(name, _)| name.to_owned())
    };
    let name = version(name);
    // `4.6` and `4-6` are one version.
    format!("{}{bracket}", undated(&name).unwrap_or(name).replace('.', "-"))
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

    /// Of a model that nobody knows: in proportion only, with what most providers take for the parts.
    #[must_use]
    pub fn usual() -> Self {
        let input = 1_000_000;
        Self { input, output: input * 5, cache_read: input / 10, cache_write: input * 5 / 4, relative: true }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_model_has_many_names() {
        for name in [
            "claude-opus-4-6",
            "claude-opus-4-6-20260101",
            "us.anthropic.claude-opus-4-6-v1:0",
            "us.anthropic.claude-opus-4-6-20260101-v1:0",
            "global.anthropic.claude-opus-4-6-v1",
            "anthropic/claude-opus-4.6",
            "claude-opus-4-6@20260101",
            "Claude-Opus-4-6-latest",
        ] {
            assert_eq!(plain_model(name), "claude-opus-4-6", "{name}");
        }
        assert_eq!(plain_model("us.anthropic.claude-opus-4-6-v1:0[1m]"), "claude-opus-4-6[1m]");
        assert_ne!(plain_model("claude-opus-4-5"), plain_model("claude-opus-4-6"));
        assert_eq!(plain_model("gpt-5.2"), "gpt-5-2");
        for odd in ["", "[", "@", ":", "a[b]c", "ä/ö@ü", "-20260101"] {
            let _ = plain_model(odd);
        }
    }
}
