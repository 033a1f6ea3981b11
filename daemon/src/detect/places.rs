//! Where a session's events stand: which turn and which span each is part of, so that evidence becomes links.
//!
//! Must never hold more than [`MAX_PLACES`] and [`MAX_PROMPTS`] of them: what is older has no link. Detectors look back no
//! further than a few hundred events, but for prompts, which are kept apart.
//!
//! Invariant: ids are those that `traces` and `show` give ([`crate::project::ids`]).

use std::collections::VecDeque;
use std::sync::Arc;

/// Events whose places are held.
pub const MAX_PLACES: usize = 2048;
/// Prompts whose places are held.
pub const MAX_PROMPTS: usize = 64;

/// Where an event stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The turn.
    pub turn_id: Option<Arc<str>>,
    /// The span: 16 hexadecimal digits, as a number.
    span: Option<u64>,
    /// It is a prompt.
    pub is_prompt: bool,
}

impl Place {
    /// A place in a turn, and in the span of this id.
    #[must_use]
    pub fn new(turn_id: Option<Arc<str>>, span_id: Option<&str>) -> Self {
        Place { turn_id, span: span_id.and_then(|id| u64::from_str_radix(id, 16).ok()), is_prompt: false }
    }

    /// The span's id.
    #[must_use]
    pub fn span_id(&self) -> Option<String> {
        self.span.map(|span| format!("{span:016x}"))
    }
}

/// The places of a session's events.
#[derive(Debug, Default)]
pub struct Places {
    /// The number of the first in the ring.
    first: usize,
    ring: VecDeque<Place>,
    prompts: VecDeque<(usize, Place)>,
}

impl Places {
    /// The next event stands here.
    pub fn push(&mut self, place: Place) {
        let number = self.next();
        if place.is_prompt {
            ccd_detect::memory::push(&mut self.prompts, MAX_PROMPTS, (number, place.clone()));
        }
        if self.ring.len() >= MAX_PLACES {
            self.ring.pop_front();
            self.first += 1;
        }
        self.ring.push_back(place);
    }

    /// How many events there were: the number of the next.
    #[must_use]
    pub fn next(&self) -> usize {
        self.first + self.ring.len()
    }

    /// Where an event stands; none where that is forgotten.
    #[must_use]
    pub fn of(&self, event: usize) -> Option<&Place> {
        let recent = event.checked_sub(self.first).and_then(|at| self.ring.get(at));
        recent.or_else(|| self.prompts.iter().find(|(number, _)| *number == event).map(|(_, place)| place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_by_number_and_prompts_are_kept_longer() {
        let mut places = Places::default();
        places.push(Place { is_prompt: true, ..Place::new(Some("p".into()), Some("00000000000000ff")) });
        for n in 0..MAX_PLACES as u64 + 5 {
            places.push(Place::new(None, Some(&format!("{n:016x}"))));
        }
        assert_eq!(places.next(), MAX_PLACES + 6);
        let span = |n| places.of(n).and_then(Place::span_id);
        assert_eq!(span(0).as_deref(), Some("00000000000000ff"), "a prompt");
        assert_eq!(span(1), None);
        assert_eq!(span(MAX_PLACES + 5).as_deref(), Some(&*format!("{:016x}", MAX_PLACES + 4)));
        assert_eq!(span(MAX_PLACES + 6), None);
    }
}
