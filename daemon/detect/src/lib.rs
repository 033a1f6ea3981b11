//! ccd's detectors: what goes wrong in a session, told from its events and nothing else.
//!
//! ```text
//! event.rs      what happened, whatever told of it: a hook, an exchange, a line of a file
//! index.rs      what exists in the working directory, as far as somebody looked it up
//! memory.rs     what several detectors want to know of the session so far, worked out once per event
//! text.rs       hashes and cuts     normal.rs  outputs without what changes from run to run     shell/  commands
//! price.rs      what tokens cost
//! checks/       which commands check, and what they said     claims/  what a closing message claims
//! source/       names in source code     imports.rs  what it imports     builtins.rs  what languages name themselves
//! words.rs      what the session has shown
//! detectors/    one file per kind
//! engine.rs     hands each event to the memory, then to every detector
//! eval.rs       lines of a file into events, and detections into lines
//! guardrail.rs  what was found into lines for a model to go by
//! ```
//!
//! It must never read a file, a clock or the environment, draw a random number, keep anything outside an [`Engine`],
//! or panic: it is linked into a daemon that has to go on whatever is in a session.
//!
//! Invariants: the same events in the same order give the same detections; what an engine holds is bounded, however
//! long the session is.

#![deny(missing_docs)]

pub mod builtins;
pub mod checks;
pub mod claims;
pub mod detection;
pub mod detectors;
pub mod engine;
pub mod eval;
pub mod event;
pub mod guardrail;
pub mod imports;
pub mod index;
pub mod memory;
pub mod normal;
pub mod price;
pub mod settings;
pub mod shell;
pub mod source;
pub mod text;
pub mod words;

pub use detection::{Detection, Evidence, Kind, Verdict};
pub use engine::Engine;
pub use event::{Event, ModelTurn, Outcome, ToolCall, Usage, What};
pub use index::{Index, Unknown, Workspace};
pub use memory::Memory;
pub use price::{Price, Prices};
pub use settings::Settings;
