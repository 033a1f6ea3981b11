//! What counts as found, missed and false. A detection counts for a failing session if it is at or after the place
//! where the failure begins; on a session that does not fail, any counts against it; where it is not known whether a
//! session fails, none counts. Latency is tool calls from the failure's beginning to the detection, both included; for
//! overflow and cost, answers of the model.

use std::collections::{BTreeMap, HashMap, HashSet};

use ccd_detect::{Detection, Kind};
use serde::Deserialize;
use serde_json::Value;

/// What a line says about itself.
#[derive(Deserialize)]
pub(crate) struct Labelled {
    trace_id: String,
    pub(crate) source_session: String,
    focus: String,
    subtype: String,
    #[serde(default)]
    clean: bool,
    #[serde(default)]
    stub: bool,
    #[serde(default)]
    labels: HashMap<String, Option<bool>>,
    #[serde(default)]
    meta: HashMap<String, Value>,
    n_calls: u64,
    events: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    hook_event_name: String,
}

/// True and false positives and negatives.
#[derive(Default, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) tp: u32,
    pub(crate) fp: u32,
    pub(crate) fn_: u32,
    pub(crate) tn: u32,
}

impl Counts {
    pub(crate) fn precision(self) -> Option<f64> {
        ratio(self.tp, self.tp + self.fp)
    }
    pub(crate) fn recall(self) -> Option<f64> {
        ratio(self.tp, self.tp + self.fn_)
    }
    pub(crate) fn f1(self) -> Option<f64> {
        ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn_)
    }
}

fn ratio(part: u32, whole: u32) -> Option<f64> {
    (whole > 0).then(|| f64::from(part) / f64::from(whole))
}

/// The scores of one kind.
#[derive(Default)]
pub(crate) struct KindScores {
    pub(crate) focus: Counts,
    pub(crate) all: Counts,
    pub(crate) early: u32,
    pub(crate) latency: Vec<i64>,
    /// By (fails, subtype): flagged, of how many.
    pub(crate) subtypes: BTreeMap<(bool, String), (u32, u32)>,
    pub(crate) alarms: u32,
}

/// The scores of a set.
#[derive(Default)]
pub(crate) struct Scores {
    pub(crate) traces: u32,
    pub(crate) clean: u32,
    pub(crate) clean_calls: u64,
    pub(crate) clean_full_calls: u64,
    pub(crate) kinds: BTreeMap<Kind, KindScores>,
}

fn start_key(kind: Kind) -> &'static str {
    match kind {
        Kind::Loop => "loop_start",
        Kind::Derailment => "derail_at",
        Kind::Overflow => "overflow_warn_from",
        Kind::Cost => "cost_at",
        Kind::Hallucination => "halluc_at",
        _ => "completion_at",
    }
}

fn about_turns(kind: Kind) -> bool {
    matches!(kind, Kind::Overflow | Kind::Cost)
}

impl Labelled {
    fn place(&self, key: &str) -> Option<usize> {
        self.meta.get(key).and_then(Value::as_u64).and_then(|at| usize::try_from(at).ok())
    }

    fn count(&self, from: usize, to: usize, names: &[&str]) -> i64 {
        let events = self.events.get(from..to.min(self.events.len())).unwrap_or_default();
        i64::try_from(events.iter().filter(|e| names.contains(&e.hook_event_name.as_str())).count())
            .unwrap_or(i64::MAX)
    }

    fn latency(&self, kind: Kind, start: usize, at: usize) -> i64 {
        if about_turns(kind) {
            let from =
                if kind == Kind::Overflow { self.place("overflow_at").unwrap_or(start) } else { start };
            return if at >= from {
                self.count(from, at + 1, &["ApiTurn"])
            } else {
                -self.count(at, from, &["ApiTurn"])
            };
        }
        let mut names = vec!["PostToolUse", "PostToolUseFailure"];
        if matches!(kind, Kind::Completion | Kind::Loop) {
            names.push("Stop");
        }
        self.count(start, at + 1, &names)
    }
}

impl Scores {
    /// Adds one session; says so if it is wrong about `tell`.
    pub(crate) fn add(&mut self, line: &Labelled, found: &[Detection], tell: Option<&str>) {
        self.traces += 1;
        if line.clean {
            self.clean += 1;
            self.clean_calls += line.n_calls;
            self.clean_full_calls += if line.stub { 0 } else { line.n_calls };
            for kind in found.iter().map(|d| d.kind).collect::<HashSet<_>>() {
                let known_bad = line.labels.get(kind.as_str()) == Some(&Some(true));
                if !known_bad && (!line.stub || about_turns(kind)) {
                    self.kinds.entry(kind).or_default().alarms += 1;
                    if tell == Some(kind.as_str()) {
                        println!("alarm on {} ({}) {}", line.trace_id, line.subtype, first(found, kind));
                    }
                }
            }
        }
        for kind in Kind::ALL {
            if let Some(&Some(label)) = line.labels.get(kind.as_str()) {
                self.kind(kind, label, line, found, tell);
            }
        }
    }

    fn kind(&mut self, kind: Kind, label: bool, line: &Labelled, found: &[Detection], tell: Option<&str>) {
        let scores = self.kinds.entry(kind).or_default();
        let mine: Vec<usize> = found.iter().filter(|d| d.kind == kind).map(|d| d.at_event).collect();
        let focus = line.focus == kind.as_str();
        let start = line.place(start_key(kind));
        let first_in_time = mine.iter().copied().filter(|&at| start.is_none_or(|start| at >= start)).min();
        let flagged = if label { first_in_time.is_some() } else { !mine.is_empty() };
        if label && !mine.is_empty() && first_in_time.is_none() {
            scores.early += 1;
        }
        if let (true, true, Some(start), Some(at)) = (label, focus, start, first_in_time) {
            scores.latency.push(line.latency(kind, start, at));
        }
        let add = |counts: &mut Counts| match (label, flagged) {
            (true, true) => counts.tp += 1,
            (true, false) => counts.fn_ += 1,
            (false, true) => counts.fp += 1,
            (false, false) => counts.tn += 1,
        };
        add(&mut scores.all);
        if focus {
            add(&mut scores.focus);
            let (hits, of) = scores.subtypes.entry((label, line.subtype.clone())).or_default();
            *hits += u32::from(flagged);
            *of += 1;
        }
        if label != flagged && tell == Some(kind.as_str()) {
            let wrong = if label { "missed" } else { "false" };
            println!("{wrong} {} ({}, starts {start:?}) {}", line.trace_id, line.subtype, first(found, kind));
        }
        if label && flagged && focus && tell == Some(kind.as_str()) {
            let late = line.latency(kind, start.unwrap_or(0), first_in_time.unwrap_or(0));
            println!("found {} ({}) latency {late} {}", line.trace_id, line.subtype, first(found, kind));
        }
    }
}

fn first(found: &[Detection], kind: Kind) -> String {
    found
        .iter()
        .find(|d| d.kind == kind)
        .map_or_else(String::new, |d| format!("{} at {}: {}", d.rule, d.at_event, d.title))
}
