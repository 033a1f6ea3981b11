//! The overflow detector.

use std::sync::Arc;

use super::Detector;
use crate::detection::Detection;
use crate::event::Event;
use crate::index::Index;
use crate::memory::Memory;
use crate::settings::Settings;

/// Its state.
pub struct Overflow;

/// Makes one, if it is on.
#[must_use]
pub fn make(settings: &Settings, _: &Arc<dyn Index>) -> Option<Box<dyn Detector>> {
    settings.overflow.enabled.then(|| Box::new(Overflow) as Box<dyn Detector>)
}

impl Detector for Overflow {
    fn observe(&mut self, _: &Memory, _: &Event, _: &mut Vec<Detection>) {}
}
