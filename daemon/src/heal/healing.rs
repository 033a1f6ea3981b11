//! Healing as the rest of the daemon sees it: the settings in force, and what was done since start.
//!
//! Must never be waited for: whoever reads it holds a lock for the time of copying a pointer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ccd_proto::api::HealStatus;

use super::Action;
use crate::config;
use crate::ingest::found::InterventionV1;

/// Something that is counted, since start.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// One more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The settings in force, and counts.
#[derive(Debug, Default)]
pub struct Healing {
    settings: Mutex<Arc<config::Heal>>,
    advised: Count,
    denied: Count,
    blocked: Count,
    /// Answers of which it is not known that they arrived.
    pub undelivered: Count,
    /// Questions that were not answered in time, or could not be asked any more.
    pub late: Count,
}

impl Healing {
    /// With these settings.
    #[must_use]
    pub fn new(settings: config::Heal) -> Self {
        Healing { settings: Mutex::new(Arc::new(settings)), ..Healing::default() }
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> Arc<config::Heal> {
        Arc::clone(&self.settings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts other settings in force: the next question is answered by them.
    pub fn set(&self, settings: config::Heal) {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    /// Something was done.
    pub fn did(&self, intervention: &InterventionV1) {
        for (action, count) in [
            (Action::Advised, &self.advised),
            (Action::Denied, &self.denied),
            (Action::Blocked, &self.blocked),
        ] {
            if intervention.action == action.name() {
                count.add();
            }
        }
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> HealStatus {
        let settings = self.settings();
        HealStatus {
            mode: settings.mode.as_str().into(),
            projects: settings.projects.len() as u64,
            advised: self.advised.get(),
            denied: self.denied.get(),
            blocked: self.blocked.get(),
            undelivered: self.undelivered.get(),
            late: self.late.get(),
        }
    }
}
