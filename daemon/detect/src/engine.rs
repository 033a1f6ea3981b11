//! The engine of one session: hands each event to the memory, then to every detector that is on.
//!
//! It must never do I/O, read a clock, or hold one session's state for another: one engine per session.
//!
//! Invariants: [`Engine::observe`] numbers events from 0 in the order in which they come; [`Engine::before`] changes
//! nothing, so that asking twice gives the same answer.

use std::sync::Arc;

use crate::detection::{Detection, Verdict};
use crate::detectors::{DETECTORS, Detector};
use crate::event::{Event, ToolCall};
use crate::index::Index;
use crate::memory::Memory;
use crate::price::Prices;
use crate::settings::Settings;

/// The most items that an engine holds, however long its session is. Most are hashes; the largest are prompts, of
/// which there are 32 of 8 KiB. Beside them are sets of words of fixed size, 144 KiB together.
pub const MAX_HELD: usize = 16_384;

/// The detectors of one session.
pub struct Engine {
    memory: Memory,
    detectors: Vec<Box<dyn Detector>>,
}

impl Engine {
    /// One that has seen nothing yet.
    #[must_use]
    pub fn new(settings: &Settings, index: &Arc<dyn Index>) -> Self {
        let detectors = DETECTORS.iter().filter_map(|entry| (entry.make)(settings, index)).collect();
        Self { memory: Memory::default(), detectors }
    }

    /// With what tokens cost; without it, costs are told in proportion only.
    #[must_use]
    pub fn with_prices(mut self, prices: Arc<dyn Prices>) -> Self {
        self.memory.prices = Some(prices);
        self
    }

    /// Takes the next event in and tells what it shows to be wrong.
    pub fn observe(&mut self, event: &Event) -> Vec<Detection> {
        let mut found = Vec::new();
        self.memory.begin(event);
        for detector in &mut self.detectors {
            detector.observe(&self.memory, event, &mut found);
        }
        self.memory.end(event);
        found
    }

    /// What a guard is told before this call of the main thread or of a subagent runs; `None` is "let it run".
    #[must_use]
    pub fn before(&self, agent: Option<&str>, call: &ToolCall) -> Option<Verdict> {
        self.detectors.iter().find_map(|detector| detector.before(&self.memory, agent, call))
    }

    /// How many items the memory and the detectors hold: at most [`MAX_HELD`].
    #[must_use]
    pub fn held(&self) -> usize {
        self.memory.held() + self.detectors.iter().map(|detector| detector.held()).sum::<usize>()
    }

    /// What the session has shown so far.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.memory
    }
}
