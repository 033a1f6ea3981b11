//! One session: its records through its engine, and what is found as a record.
//!
//! Must never read a clock or a file: live, read anew and analysed are the same.
//!
//! Invariant: an event's number is its place among the session's events, from 0 on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use ccd_detect::{Detection, Engine, Event, Index, Settings, ToolCall, Verdict, What};

use super::events::{Answered, Reading, Step};
use super::places::Places;
use super::prices::PricesAt;
use super::workspace::Workspaces;
use crate::config;
use crate::ingest::found::{DetectionV1, EvidenceV1};
use crate::project::price::Prices;

/// What watches a session: [`Engine`], but in tests.
pub trait Watcher: Send {
    /// Takes the next event in and tells what it shows to be wrong.
    fn observe(&mut self, event: &Event) -> Vec<Detection>;
    /// What a guard is told before this call runs.
    fn before(&self, agent: Option<&str>, call: &ToolCall) -> Option<Verdict>;
    /// How many items it holds.
    fn held(&self) -> usize;
}

impl Watcher for Engine {
    fn observe(&mut self, event: &Event) -> Vec<Detection> {
        Engine::observe(self, event)
    }
    fn before(&self, agent: Option<&str>, call: &ToolCall) -> Option<Verdict> {
        Engine::before(self, agent, call)
    }
    fn held(&self) -> usize {
        Engine::held(self)
    }
}

/// Makes what watches a session.
pub type Make = Arc<dyn Fn(&Settings, &Arc<dyn Index>, PricesAt) -> Box<dyn Watcher> + Send + Sync>;

/// Makes engines.
#[must_use]
pub fn engines() -> Make {
    Arc::new(|settings, index, prices| {
        Box::new(Engine::new(settings, index).with_prices(Arc::new(prices))) as Box<dyn Watcher>
    })
}

/// Whoever knows working directories. Nothing here may take long.
pub trait Trees: Send + Sync {
    /// What is known of one.
    fn of(&self, cwd: &Path) -> Arc<dyn Index>;
    /// A session in it goes on, and may soon ask.
    fn expected(&self, cwd: &Path);
    /// A session in it is about to change this file.
    fn writing(&self, cwd: &Path, path: &Path);
    /// A session in it changed this file, or tried to; told once the detectors have seen the event.
    fn touched(&self, cwd: &Path, path: &Path);
    /// A session in it did something that may have changed any file, likewise.
    fn stirred(&self, cwd: &Path);
    /// Lets go of what no session has used for a while; whether anything is left that a later call may let go of.
    fn rest(&self, now: Instant) -> bool;
}

impl Trees for Arc<Workspaces> {
    fn of(&self, cwd: &Path) -> Arc<dyn Index> {
        Workspaces::of(self, cwd)
    }
    fn expected(&self, cwd: &Path) {
        Workspaces::expected(self, cwd);
    }
    fn writing(&self, cwd: &Path, path: &Path) {
        Workspaces::writing(self, cwd, path);
    }
    fn touched(&self, cwd: &Path, path: &Path) {
        Workspaces::touched(self, cwd, path);
    }
    fn stirred(&self, cwd: &Path) {
        Workspaces::stirred(self, cwd);
    }
    fn rest(&self, now: Instant) -> bool {
        Workspaces::rest(self, now)
    }
}

/// Nobody looks at working directories.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTrees;

impl Trees for NoTrees {
    fn of(&self, _: &Path) -> Arc<dyn Index> {
        Arc::new(ccd_detect::Unknown)
    }
    fn expected(&self, _: &Path) {}
    fn writing(&self, _: &Path, _: &Path) {}
    fn touched(&self, _: &Path, _: &Path) {}
    fn stirred(&self, _: &Path) {}
    fn rest(&self, _: Instant) -> bool {
        false
    }
}

/// What a session is watched with.
#[derive(Clone)]
pub struct Kit {
    /// Thresholds.
    pub settings: Arc<config::Detect>,
    /// Prices.
    pub prices: Arc<Prices>,
    /// Working directories.
    pub trees: Arc<dyn Trees>,
    /// Makes what watches.
    pub make: Make,
}

/// What a record holds.
#[derive(Debug)]
pub enum Material<'a> {
    /// A hook event's payload.
    Hook(u64, &'a [u8]),
    /// One that is parsed already.
    Payload(u64, serde_json::Value),
    /// An answer of the model.
    Answer(&'a Answered),
    /// Lines of a transcript, and whose they are.
    Lines(Option<String>, &'a [u8]),
}

/// Something found.
#[derive(Clone, Debug)]
pub struct Found {
    /// As the detector tells it.
    pub detection: Detection,
    /// As it goes on record.
    pub record: DetectionV1,
}

/// What came of a record.
#[derive(Debug, Default)]
pub struct Taken {
    /// What was found.
    pub found: Vec<Found>,
    /// Events in it.
    pub events: u64,
}

/// A session that is watched.
pub struct Session {
    id: String,
    reading: Reading,
    places: Places,
    watcher: Box<dyn Watcher>,
    settings: Settings,
    /// The working directory that its settings and its index are of.
    cwd: Option<PathBuf>,
    /// The last record that was taken in.
    pub last_seq: u64,
}

impl Session {
    /// One that has seen nothing, and happens in this working directory. `at_ns`: when it began, for prices.
    #[must_use]
    pub fn new(id: &str, kit: &Kit, cwd: Option<PathBuf>, at_ns: u64) -> Self {
        let settings = kit.settings.of(cwd.as_deref()).clone();
        let index = cwd.as_deref().map_or_else(|| NoTrees.of(Path::new("")), |cwd| kit.trees.of(cwd));
        let watcher = (kit.make)(&settings, &index, PricesAt::new(Arc::clone(&kit.prices), at_ns));
        Session {
            id: id.to_owned(),
            reading: Reading::new(id, Arc::clone(&kit.prices)),
            places: Places::default(),
            watcher,
            settings,
            cwd,
            last_seq: 0,
        }
    }

    /// Its working directory, where it was told by now, and is not the one that it is watched in: it then has to be read
    /// again from the beginning.
    #[must_use]
    pub fn moved_to(&self) -> Option<PathBuf> {
        let told = self.reading.cwd().map(PathBuf::from);
        told.filter(|told| self.cwd.as_ref() != Some(told))
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The working directory that it is watched in.
    #[must_use]
    pub fn cwd(&self) -> Option<&Path> {
        self.cwd.as_deref()
    }

    /// Whether it would be watched in another way with these settings.
    #[must_use]
    pub fn differs(&self, settings: &config::Detect) -> bool {
        *settings.of(self.cwd.as_deref()) != self.settings
    }

    /// How many items its watcher holds.
    #[must_use]
    pub fn held(&self) -> usize {
        self.watcher.held()
    }

    /// Events so far.
    #[must_use]
    pub fn events(&self) -> usize {
        self.places.next()
    }

    /// What a guard is told before this call runs.
    #[must_use]
    pub fn before(&self, agent: Option<&str>, call: &ToolCall) -> Option<Verdict> {
        self.watcher.before(agent, call)
    }

    /// Takes a record in. `live`: who is to be told what happens in the working directory, now that it does.
    pub fn take(&mut self, seq: u64, material: Material<'_>, live: Option<&dyn Trees>) -> Taken {
        self.last_seq = seq;
        match material {
            Material::Hook(at_ns, body) => self.reading.hook(at_ns, body),
            Material::Payload(at_ns, payload) => self.reading.payload(at_ns, payload, 0),
            Material::Answer(answer) => self.reading.answered(answer),
            Material::Lines(agent, body) => self.reading.lines(agent.as_deref(), body),
        }
        let mut taken = Taken::default();
        let live = live.zip(self.cwd.as_deref());
        for Step { event, place, at_ns } in self.reading.take() {
            taken.events += 1;
            self.places.push(place);
            let found = self.watcher.observe(&event);
            if let Some((trees, cwd)) = live {
                tell(trees, cwd, &event);
            }
            taken.found.extend(found.into_iter().map(|found| self.found(found, &event, at_ns)));
        }
        taken
    }

    fn found(&self, detection: Detection, event: &Event, at_ns: u64) -> Found {
        let span_of = |event| self.places.of(event).and_then(super::places::Place::span_id);
        let place = self.places.of(detection.at_event);
        let evidence = detection.evidence.iter();
        let record = DetectionV1 {
            at_ns,
            session_id: self.id.clone(),
            agent_id: event.agent.clone(),
            cwd: self.reading.cwd().map(str::to_owned),
            turn_id: place.and_then(|place| place.turn_id.as_deref()).map(str::to_owned),
            span_id: span_of(detection.at_event),
            kind: detection.kind.as_str().into(),
            rule: detection.rule.into(),
            severity: detection.severity,
            confidence: detection.confidence,
            at_event: detection.at_event as u64,
            title: detection.title.clone(),
            evidence: evidence
                .map(|e| EvidenceV1 { span_id: span_of(e.event), text: e.text.clone() })
                .collect(),
            advice: detection.advice.clone(),
            mast: detection.mast.map(str::to_owned),
            fingerprint: detection.fingerprint(),
        };
        Found { detection, record }
    }
}

/// Tells what an event did to the working directory, after the detectors have seen it: by then an edit is written, and
/// what it writes is no proof that it was there before. For the same reason its file is not looked at while the call runs.
fn tell(trees: &dyn Trees, cwd: &Path, event: &Event) {
    let (call, is_over) = match &event.what {
        What::Call(call) => (call, false),
        What::Result { call, .. } => (call, true),
        // The user may have written anything since the last turn.
        What::Start { .. } | What::Prompt { .. } => return trees.stirred(cwd),
        _ => return,
    };
    let file = match call.name.as_str() {
        "Edit" | "Write" | "MultiEdit" => Some(call.text("file_path")),
        "NotebookEdit" => Some(call.text("notebook_path")),
        _ => None,
    };
    match (file, is_over) {
        (Some(file), false) => trees.writing(cwd, Path::new(file)),
        (Some(file), true) => trees.touched(cwd, Path::new(file)),
        (None, false) => {}
        (None, true) if matches!(call.name.as_str(), "Bash" | "PowerShell") => trees.stirred(cwd),
        (None, true) => trees.expected(cwd),
    }
}
