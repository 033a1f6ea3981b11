//! How large a model's window is in this session: what was told, else what was seen, else what is usual.
//!
//! It must never be a table of names: the same model has been seen with different windows.
//!
//! Invariant: what was told is never changed by what was seen, unless more was seen than was told.

use std::collections::VecDeque;

use super::MAX_MODELS;
use crate::memory::push;
use crate::price::plain_model;
use crate::text::hash;

/// Windows that Claude models are offered with.
const SIZES: [u64; 2] = [200_000, 1_000_000];
/// Windows that others are offered with.
const OTHERS: [u64; 6] = [128_000, 200_000, 256_000, 400_000, 1_000_000, 2_000_000];
/// How much more than a window usage may tell before the window is taken for a larger one, percent.
const SLACK: u64 = 105;

/// What is known of one model.
#[derive(Debug, Clone, Copy)]
struct Known {
    model: u64,
    window: u64,
    sure: bool,
}

/// What is known of the session's models.
#[derive(Debug)]
pub(super) struct Windows {
    assumed: u64,
    known: VecDeque<Known>,
}

fn key(model: &str) -> u64 {
    hash(&plain_model(model))
}

/// Windows that a model of this name may have.
fn sizes(model: &str) -> &'static [u64] {
    let model = model.to_ascii_lowercase();
    let claude = ["claude", "opus", "sonnet", "haiku", "fable"].iter().any(|name| model.contains(name));
    if claude { &SIZES } else { &OTHERS }
}

impl Windows {
    pub(super) fn new(assumed: u64) -> Self {
        Self { assumed: assumed.max(1), known: VecDeque::new() }
    }

    pub(super) fn held(&self) -> usize {
        self.known.len()
    }

    /// The window, and whether it was told or seen.
    pub(super) fn of(&self, model: &str) -> (u64, bool) {
        let model = key(model);
        let known = self.known.iter().find(|known| known.model == model);
        known.map_or((self.assumed, false), |known| (known.window, known.sure))
    }

    /// An answer came with this context, and somebody may have told the window.
    pub(super) fn learn(&mut self, model: &str, told: Option<u64>, context: u64) {
        let told = told
            .filter(|window| *window > 0)
            .or_else(|| model.to_ascii_lowercase().contains("[1m]").then_some(1_000_000));
        let (window, sure) = self.of(model);
        let (window, sure) = told.map_or((window, sure), |told| (told, true));
        if context > window.saturating_mul(SLACK) / 100 {
            let sizes = sizes(model);
            let larger = sizes.iter().copied().find(|size| context <= size.saturating_mul(SLACK) / 100);
            // Where many sizes are offered, the next larger one is only the least that it can be.
            self.set(model, larger.unwrap_or(context), sizes.len() == SIZES.len());
        } else if told.is_some() {
            self.set(model, window, sure);
        }
    }

    /// The client compacted by itself at this context: it does so when about a fifth of the window is left.
    pub(super) fn compacted(&mut self, model: &str, context: u64) {
        if context == 0 || self.of(model).1 {
            return;
        }
        let fits = |size: &u64| context >= size * 7 / 10 && context <= size.saturating_mul(SLACK) / 100;
        if let Some(size) = sizes(model).iter().copied().find(fits) {
            self.set(model, size, true);
        }
    }

    fn set(&mut self, model: &str, window: u64, sure: bool) {
        let model = key(model);
        match self.known.iter_mut().find(|known| known.model == model) {
            Some(known) => (known.window, known.sure) = (window, sure),
            None => push(&mut self.known, MAX_MODELS, Known { model, window, sure }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn told_goes_before_seen_before_usual() {
        let mut windows = Windows::new(200_000);
        assert_eq!(windows.of("claude-m"), (200_000, false));
        windows.learn("claude-m", None, 205_000);
        assert_eq!(windows.of("claude-m"), (200_000, false));
        windows.learn("claude-m", None, 211_000);
        assert_eq!(windows.of("claude-m"), (1_000_000, true));
        windows.learn("claude-m", Some(500_000), 211_000);
        assert_eq!(windows.of("claude-m"), (500_000, true));
        windows.learn("claude-m", Some(200_000), 300_000);
        assert_eq!(windows.of("claude-m"), (1_000_000, true));
        windows.learn("claude-x[1m]", None, 10);
        assert_eq!(windows.of("claude-x[1m]"), (1_000_000, true));
    }

    #[test]
    fn a_compaction_tells_the_window() {
        let mut windows = Windows::new(1_000_000);
        windows.compacted("claude-m", 90_000);
        assert_eq!(windows.of("claude-m"), (1_000_000, false));
        windows.compacted("claude-m", 156_000);
        assert_eq!(windows.of("claude-m"), (200_000, true));
    }

    #[test]
    fn other_models_come_in_more_sizes() {
        let mut windows = Windows::new(200_000);
        windows.learn("gpt", None, 230_000);
        assert_eq!(windows.of("gpt"), (256_000, false));
        windows.learn("gpt", None, 300_000);
        assert_eq!(windows.of("gpt"), (400_000, false));
        windows.compacted("kimi", 101_000);
        assert_eq!(windows.of("kimi"), (128_000, true));
    }

    #[test]
    fn models_are_forgotten() {
        let mut windows = Windows::new(1);
        for model in 0..1000 {
            windows.learn(&model.to_string(), Some(5), 1);
        }
        assert_eq!(windows.known.len(), MAX_MODELS);
    }
}
