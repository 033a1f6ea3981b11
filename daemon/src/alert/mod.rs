//! Alerts: a notification on the desktop, and one request to whom the user named. Detections and budgets are told alike.
//!
//! ```text
//! mod.rs      who is told of what, and when
//! ledger.rs   what was told last of each session and kind
//! words.rs    what is said
//! desktop.rs  shows it      webhook.rs  sends it
//! ```
//!
//! Best effort, in the background, for a bounded time. Must never run a shell, never hold anything else up, and never let
//! out anything of a session but its id, the name of its directory and what kind of thing went wrong: titles, evidence
//! and advice quote what was captured, and stay on this machine. There is no switch to send them; the id leads to them.
//!
//! Invariant: of one kind in one session there is one alert in the configured time, which says how many it stands for.

mod desktop;
mod ledger;
mod webhook;
mod words;

use std::sync::{Arc, Mutex, PoisonError};

use crate::app::Running;
use crate::config::{self, Channels, Network};
use crate::ingest::found::{DetectionV1, InterventionV1};

use ledger::Ledger;

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// A notification's title: our own words, and numbers.
    pub title: String,
    /// Its text, likewise.
    pub text: String,
    /// What the webhook gets.
    pub json: serde_json::Value,
}

/// The settings in force, and what was told.
#[derive(Debug)]
pub struct Alerts {
    settings: Mutex<Arc<config::Alerts>>,
    ledger: Mutex<Ledger>,
}

impl Alerts {
    /// With these settings.
    #[must_use]
    pub fn new(settings: config::Alerts) -> Self {
        Alerts { settings: Mutex::new(Arc::new(settings)), ledger: Mutex::default() }
    }

    /// Puts other settings in force; what was told still counts.
    pub fn set(&self, settings: config::Alerts) {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    fn settings(&self) -> Arc<config::Alerts> {
        Arc::clone(&self.settings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many were not told since the last alert, if this one is to be told.
    fn due(&self, settings: &config::Alerts, session: &str, kind: &str, at_ns: u64) -> Option<u32> {
        let pause_ns = settings.cooldown_s.saturating_mul(1_000_000_000);
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).due(session, kind, at_ns, pause_ns)
    }
}

/// Tells of a detection that is on record, unless it is slight, or one like it was told of just now. Dismissed ones, and
/// those that are no news, are not to be brought here. For threads of the runtime; does not wait.
pub fn detection(app: &Arc<Running>, detection: &DetectionV1) {
    let settings = app.alerts.settings();
    if detection.severity < settings.severity {
        return;
    }
    let now_ns = app.clock.now_ns();
    if let Some(more) = app.alerts.due(&settings, &detection.session_id, &detection.kind, now_ns) {
        tell(&settings.channels, app.network(), words::detection(detection, more));
    }
}

/// Tells that a call was denied as often as it makes sense, and that the turn is let run. Likewise.
pub fn let_run(app: &Arc<Running>, last: &InterventionV1) {
    let settings = app.alerts.settings();
    // Beside the alert about the loop itself.
    if let Some(more) = app.alerts.due(&settings, &last.session_id, "let-run", app.clock.now_ns()) {
        tell(&settings.channels, app.network(), words::let_run(last, more));
    }
}

/// Tells, and does not wait for it.
pub fn tell(channels: &Channels, network: Network, told: Told) {
    if let Some(desktop) = channels.desktop.clone() {
        let (title, text) = (told.title, told.text);
        // A thread of its own: starting a program may block.
        let shown = move || desktop::show(&desktop, &title, &text);
        drop(std::thread::Builder::new().name("ccd-notify".into()).spawn(shown));
    }
    if let Some(url) = channels.webhook.clone() {
        tokio::spawn(async move { webhook::send(&url, &network, &told.json).await });
    }
}
