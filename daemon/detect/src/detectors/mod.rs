//! The detectors, one file per kind, and the table of them.
//!
//! A detector must never look at anything but the memory, the event and its own bounded state.
//!
//! Invariant: each kind has exactly one entry and one doc page.

use std::sync::Arc;

use crate::detection::{Detection, Kind, Verdict};
use crate::event::{Event, ToolCall};
use crate::index::Index;
use crate::memory::Memory;
use crate::settings::Settings;

pub mod completion;
pub mod cost;
pub mod derailment;
pub mod hallucination;
pub mod looping;
pub mod overflow;

/// Finds one kind of failure in one session.
pub trait Detector: Send {
    /// Looks at the next event; the memory already knows of it.
    fn observe(&mut self, memory: &Memory, event: &Event, out: &mut Vec<Detection>);

    /// How many items its lists hold: what the test of bounds looks at.
    fn held(&self) -> usize;

    /// What a guard is told before this call runs.
    fn before(&self, _memory: &Memory, _agent: Option<&str>, _call: &ToolCall) -> Option<Verdict> {
        None
    }
}

/// Makes a detector; `None` where it is turned off.
pub type Make = fn(&Settings, &Arc<dyn Index>) -> Option<Box<dyn Detector>>;

/// One kind's entry.
pub struct Entry {
    /// The kind.
    pub kind: Kind,
    /// Its doc page: rule, reason, evidence, advice, known limits.
    pub doc: &'static str,
    /// Makes one.
    pub make: Make,
}

/// All detectors.
pub static DETECTORS: &[Entry] = &[
    Entry { kind: Kind::Loop, doc: include_str!("../../docs/loop.md"), make: looping::make },
    Entry { kind: Kind::Overflow, doc: include_str!("../../docs/overflow.md"), make: overflow::make },
    Entry { kind: Kind::Cost, doc: include_str!("../../docs/cost.md"), make: cost::make },
    Entry { kind: Kind::Derailment, doc: include_str!("../../docs/derailment.md"), make: derailment::make },
    Entry {
        kind: Kind::Hallucination,
        doc: include_str!("../../docs/hallucination.md"),
        make: hallucination::make,
    },
    Entry { kind: Kind::Completion, doc: include_str!("../../docs/completion.md"), make: completion::make },
];

/// Which of MAST's failure modes are covered, and why the others are not.
pub const MAST: &str = include_str!("../../docs/mast.md");

/// The doc page of a kind.
#[must_use]
pub fn explain(kind: Kind) -> Option<&'static str> {
    DETECTORS.iter().find(|entry| entry.kind == kind).map(|entry| entry.doc)
}
