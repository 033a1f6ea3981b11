//! What was found to go wrong, and what was done about it: each told once, where it was seen, and listed at the beginning.

use std::collections::{HashMap, HashSet};

use ccd_proto::api::{Detection, Intervention};

use super::clean::Cleaner;
use super::figures::moment;
use super::html::{Anchor, Attr, Html};
use crate::project::view::SessionView;

/// Detections and interventions of a session, and where they are told.
pub(super) struct Findings {
    detections: Vec<Detection>,
    interventions: Vec<Intervention>,
    /// Indices by the span that showed them.
    of_span: HashMap<String, Vec<usize>>,
    /// Indices of those that no span of the file showed, by turn.
    of_turn: HashMap<String, Vec<usize>>,
    /// Interventions about no detection of the file, by the span that they met.
    done_to: HashMap<String, Vec<usize>>,
    /// Those that are told at the beginning, for no place in the file is theirs.
    nowhere: (Vec<usize>, Vec<usize>),
}

impl Findings {
    /// Finds the places.
    #[must_use]
    pub(super) fn new(
        detections: Vec<Detection>,
        interventions: Vec<Intervention>,
        view: &SessionView,
    ) -> Self {
        let spans: HashSet<&str> = view.spans.iter().map(|s| s.span.span_id.as_str()).collect();
        let turns: HashSet<&str> = view.turns.iter().map(|t| t.turn_id.as_str()).collect();
        let known: HashSet<&str> = detections.iter().map(|d| d.detection_id.as_str()).collect();
        let mut of_span: HashMap<String, Vec<usize>> = HashMap::new();
        let mut of_turn: HashMap<String, Vec<usize>> = HashMap::new();
        let mut done_to: HashMap<String, Vec<usize>> = HashMap::new();
        let mut nowhere = (Vec::new(), Vec::new());
        for (i, found) in detections.iter().enumerate() {
            match (found.span_id.as_deref(), found.turn_id.as_deref()) {
                (Some(span), _) if spans.contains(span) => {
                    of_span.entry(span.to_owned()).or_default().push(i);
                }
                (_, Some(turn)) if turns.contains(turn) => {
                    of_turn.entry(turn.to_owned()).or_default().push(i);
                }
                _ => nowhere.0.push(i),
            }
        }
        for (i, done) in interventions.iter().enumerate() {
            match (done.detection_id.as_deref(), done.span_id.as_deref()) {
                (Some(about), _) if known.contains(about) => {}
                (_, Some(span)) if spans.contains(span) => {
                    done_to.entry(span.to_owned()).or_default().push(i);
                }
                _ => nowhere.1.push(i),
            }
        }
        Findings { detections, interventions, of_span, of_turn, done_to, nowhere }
    }

    /// How many there are, dismissed ones included, and interventions.
    #[must_use]
    pub(super) fn count(&self) -> (usize, usize) {
        (self.detections.len(), self.interventions.len())
    }

    /// Whether a span showed something.
    #[must_use]
    pub(super) fn has(&self, span: &str) -> bool {
        self.of_span.contains_key(span) || self.done_to.contains_key(span)
    }

    /// Tells what a span showed, and what was done to it.
    pub(super) fn at_span(&self, w: &mut Html<'_>, cleaner: &Cleaner, span: &str) {
        for i in self.of_span.get(span).into_iter().flatten() {
            self.detection(w, cleaner, *i);
        }
        for i in self.done_to.get(span).into_iter().flatten() {
            w.el("aside", &[Attr::Is("class", "finding"), Attr::Is("aria-label", "Intervention")], |w| {
                intervention(w, cleaner, &self.interventions[*i]);
            });
        }
    }

    /// Tells what was found in a turn as a whole.
    pub(super) fn at_turn(&self, w: &mut Html<'_>, cleaner: &Cleaner, turn: &str) {
        for i in self.of_turn.get(turn).into_iter().flatten() {
            self.detection(w, cleaner, *i);
        }
    }

    /// The list at the beginning, and what has no other place.
    pub(super) fn list(&self, w: &mut Html<'_>, cleaner: &Cleaner) {
        if self.detections.is_empty() && self.interventions.is_empty() {
            return;
        }
        let place = Anchor::new("found", "");
        w.section("section", &[Attr::Is("class", "found"), Attr::Id(&place)], |w| {
            w.says("h2", "", "What was found");
            w.el("ul", &[], |w| {
                let told: HashSet<usize> = self.nowhere.0.iter().copied().collect();
                for (_, found) in self.detections.iter().enumerate().filter(|(i, _)| !told.contains(i)) {
                    w.el("li", &[], |w| {
                        let anchor = Anchor::new("d", &found.detection_id);
                        w.el("a", &[Attr::To(&anchor)], |w| w.text(&cleaner.line(&found.title, 200)));
                        w.say(" ");
                        w.with(
                            "span",
                            "faint",
                            &cleaner.line(&format!("{} · {}", found.kind, found.state), 80),
                        );
                    });
                }
            });
            self.nowhere.0.iter().for_each(|i| self.detection(w, cleaner, *i));
            for i in &self.nowhere.1 {
                w.el("div", &[Attr::Is("class", "finding")], |w| {
                    intervention(w, cleaner, &self.interventions[*i]);
                });
            }
        });
    }

    fn detection(&self, w: &mut Html<'_>, cleaner: &Cleaner, i: usize) {
        let found = &self.detections[i];
        let anchor = Anchor::new("d", &found.detection_id);
        let class = if found.state == "dismissed" { "dismissed" } else { "" };
        let [class, id] = [Attr::Class("finding", class), Attr::Id(&anchor)];
        w.section("aside", &[class, id, Attr::Is("aria-label", "Detection")], |w| {
            w.with("p", "title", &cleaner.text(&found.title));
            let facts = format!(
                "{} · {} · severity {} · confidence {} · {}{}",
                found.kind,
                found.rule,
                found.severity,
                found.confidence,
                moment(&found.at),
                found.mast.as_ref().map(|m| format!(" · {m}")).unwrap_or_default(),
            );
            w.with("p", "faint", &cleaner.text(&facts));
            if !found.evidence.is_empty() {
                w.el("ul", &[], |w| {
                    for evidence in &found.evidence {
                        w.el("li", &[], |w| {
                            w.text(&cleaner.text(&evidence.text));
                            if let Some(span) = &evidence.span_id {
                                w.say(" ");
                                w.el("a", &[Attr::To(&Anchor::new("s", span))], |w| w.say("seen here"));
                            }
                        });
                    }
                });
            }
            if !found.advice.is_empty() {
                w.with("p", "advice", &cleaner.text(&found.advice));
            }
            if found.state == "dismissed" {
                let reason = found.reason.as_deref().unwrap_or("without a reason");
                w.with("p", "faint", &cleaner.text(&format!("Dismissed: {reason}")));
            }
            let about =
                |done: &&Intervention| done.detection_id.as_deref() == Some(found.detection_id.as_str());
            self.interventions.iter().filter(about).for_each(|done| intervention(w, cleaner, done));
        });
    }
}

fn intervention(w: &mut Html<'_>, cleaner: &Cleaner, done: &Intervention) {
    w.el("div", &[Attr::Is("class", "done")], |w| {
        let delivered = if done.delivered { "" } else { " · not known to have arrived" };
        let head =
            format!("Intervention: {} at {} · {}{delivered}", done.action, moment(&done.at), done.event);
        w.with("p", "faint", &cleaner.text(&head));
        if !done.text.is_empty() {
            w.with("p", "words", &cleaner.text(&done.text));
        }
    });
}
