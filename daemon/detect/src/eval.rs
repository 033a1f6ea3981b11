//! Sessions from a file: one line per session into events, and what was found into one line.
//!
//! It must never look at more of a line than `trace_id`, `events` and `meta.workspace`: what a line says about its own
//! failures is not evidence.
//!
//! Invariant: the number of an event in a detection is its place in `events`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::detection::{Detection, Kind};
use crate::engine::Engine;
use crate::event::Event;
use crate::index::Index;
use crate::settings::Settings;

/// One session of a file.
#[derive(Debug)]
pub struct Trace {
    /// Its name.
    pub trace_id: String,
    /// The index that stands for its working directory.
    pub workspace: Option<String>,
    /// Its events, in order.
    pub events: Vec<Event>,
}

#[derive(Deserialize)]
struct Line {
    trace_id: String,
    events: Vec<Value>,
    #[serde(default)]
    meta: Option<Meta>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(default)]
    workspace: Option<String>,
}

impl Trace {
    /// From one line.
    ///
    /// # Errors
    /// When the line is not an object with a name and a list of events.
    pub fn from_line(line: &str) -> Result<Self, serde_json::Error> {
        let line: Line = serde_json::from_str(line)?;
        Ok(Self {
            trace_id: line.trace_id,
            workspace: line.meta.and_then(|meta| meta.workspace),
            events: line.events.into_iter().map(Event::from_hook).collect(),
        })
    }

    /// Everything that is found in it.
    #[must_use]
    pub fn detect(&self, settings: &Settings, index: &Arc<dyn Index>) -> Vec<Detection> {
        let mut engine = Engine::new(settings, index);
        self.events.iter().flat_map(|event| engine.observe(event)).collect()
    }

    /// The line that says what was found.
    ///
    /// # Errors
    /// Never in practice: the line is made of numbers and strings.
    pub fn to_line(&self, found: &[Detection]) -> Result<String, serde_json::Error> {
        let detections = found
            .iter()
            .map(|d| Short { kind: d.kind, severity: d.severity, at_event: d.at_event })
            .collect();
        serde_json::to_string(&Found { trace_id: &self.trace_id, detections })
    }
}

#[derive(Serialize)]
struct Found<'a> {
    trace_id: &'a str,
    detections: Vec<Short>,
}

#[derive(Serialize)]
struct Short {
    kind: Kind,
    severity: u8,
    at_event: usize,
}
