//! Budgets in force: looks at what is spent whenever it changes, tells of each threshold once, and stops tool calls
//! where the configuration wants that.
//!
//! Invariants: a threshold is told of only after its notice is on disk, so that it is told once, whatever happens;
//! whether a tool call is stopped is answered from memory; without limits, nothing here costs anything.

mod words;

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ccd_proto::api::display_usd;
use serde::Deserialize;
use tokio::sync::Notify;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use crate::alert;
use crate::app::Running;
use crate::config;
use crate::ingest::record::NoticeV1;
use crate::ingest::{Ack, Ready};
use crate::project::budget::{Scope, State, notice_id};
use crate::query::Ask;
use crate::query::budget::{Of, Standing, standings};

/// How often spending is looked at while it changes all the time.
const PACE: Duration = Duration::from_millis(100);
/// How long to wait before a store that cannot be asked is asked again.
const AGAIN: Duration = Duration::from_secs(5);
/// Sessions beyond their limit that are remembered.
const MAX_STOPPED: usize = 4096;

/// Whose tool calls are stopped: what is held in memory for the hooks.
#[derive(Debug, Default)]
struct Stops {
    sessions: BTreeMap<String, String>,
    /// Until when, nanoseconds since the Unix epoch, and why.
    everywhere: Vec<(u64, String)>,
}

impl Stops {
    fn any(&self) -> bool {
        !(self.sessions.is_empty() && self.everywhere.is_empty())
    }
}

/// The budgets in force.
pub struct Guard {
    settings: Mutex<Arc<config::Budget>>,
    /// The settings changed.
    changed: Notify,
    /// Whether any tool call may have to be stopped.
    stopping: AtomicBool,
    stops: Mutex<Stops>,
}

/// What of a hook event decides whether it is stopped.
#[derive(Deserialize)]
struct Event {
    hook_event_name: String,
    #[serde(default)]
    session_id: String,
}

impl Guard {
    /// With these settings.
    #[must_use]
    pub fn new(settings: config::Budget) -> Self {
        Guard {
            settings: Mutex::new(Arc::new(settings)),
            changed: Notify::new(),
            stopping: AtomicBool::new(false),
            stops: Mutex::default(),
        }
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> Arc<config::Budget> {
        Arc::clone(&self.settings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts other settings in force.
    pub fn set(&self, settings: config::Budget) {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
        // What was stopped by the old ones is not stopped by the new ones until they are looked at.
        self.put(Stops::default());
        self.changed.notify_one();
    }

    fn put(&self, stops: Stops) {
        let any = stops.any();
        *self.stops.lock().unwrap_or_else(PoisonError::into_inner) = stops;
        self.stopping.store(any, Ordering::Release);
    }

    /// What `cc-hook` shall print for an event, if anything is to be stopped by it. From memory.
    #[must_use]
    pub fn decision(&self, event: &[u8], now_ns: u64) -> Option<Vec<u8>> {
        if !self.stopping.load(Ordering::Acquire) {
            return None;
        }
        let event: Event = serde_json::from_slice(event).ok()?;
        if event.hook_event_name != "PreToolUse" {
            return None;
        }
        let stops = self.stops.lock().unwrap_or_else(PoisonError::into_inner);
        let everywhere = stops.everywhere.iter().find(|(until, _)| now_ns < *until).map(|(_, why)| why);
        let why = stops.sessions.get(&event.session_id).or(everywhere)?;
        serde_json::to_vec(&serde_json::json!({"hookSpecificOutput": {
            "hookEventName": "PreToolUse",
            "permissionDecision": "deny",
            "permissionDecisionReason": why,
        }}))
        .ok()
    }

    /// Takes up how the budgets stand.
    fn take_up(&self, settings: &config::Budget, found: &[Standing], all: bool) {
        if !settings.enforce {
            return self.put(Stops::default());
        }
        // Changed where it is: nobody who asks meanwhile is let through.
        let mut stops = self.stops.lock().unwrap_or_else(PoisonError::into_inner);
        if all || stops.sessions.len() > MAX_STOPPED {
            stops.sessions.clear();
        }
        stops.everywhere.clear();
        for standing in found {
            let hit = standing.limits.state(standing.spent) == State::Hit;
            match standing.scope {
                Scope::Session if hit => {
                    stops.sessions.insert(standing.key.clone(), reason(standing));
                }
                Scope::Session => _ = stops.sessions.remove(&standing.key),
                _ if hit => stops.everywhere.push((standing.ends_ns, reason(standing))),
                _ => {}
            }
        }
        self.stopping.store(stops.any(), Ordering::Release);
    }
}

/// Why a tool call is stopped, for the model and for people.
fn reason(standing: &Standing) -> String {
    let usd = |micros: u64| display_usd(i64::try_from(micros).unwrap_or(i64::MAX));
    let whose = match standing.scope {
        Scope::Session => "this session's budget".to_owned(),
        scope => format!("the {}'s budget ({})", scope.name(), standing.key),
    };
    format!(
        "ccd: {whose} is used up: {} of {} spent. No tool may be called until it is raised: \
         `ccctl budget set {} --hard …`, or `--enforce off`.",
        usd(standing.spent),
        usd(standing.limits.hard.unwrap_or(0)),
        standing.scope.name()
    )
}

/// Looks after the budgets until it is aborted.
pub async fn run(app: Arc<Running>) {
    let mut told = HashSet::new();
    loop {
        let settings = app.budget.settings();
        if settings.is_configured() {
            watch(&app, &settings, &mut told).await;
        } else {
            app.budget.put(Stops::default());
            app.budget.changed.notified().await;
        }
    }
}

/// Looks at what is spent as often as it changes, until the settings change.
async fn watch(app: &Arc<Running>, settings: &Arc<config::Budget>, told: &mut HashSet<[u8; 16]>) {
    let mut changed = app.shared.changed.subscribe();
    let mut recorded = app.shared.recorded.subscribe();
    let mut of = Of::Recent;
    loop {
        let looked = Instant::now();
        let Some((found, all)) = look(app, settings, of).await else {
            tokio::select! {
                () = app.budget.changed.notified() => return,
                () = tokio::time::sleep(AGAIN) => {}
            }
            of = Of::Recent;
            continue;
        };
        app.budget.take_up(settings, &found, all);
        tell(app, settings, &found, told).await;
        let mut touched = Vec::new();
        let mut missed = false;
        tokio::select! {
            () = app.budget.changed.notified() => return,
            session = changed.recv() => match session {
                Ok(session) => touched.push(session),
                Err(RecvError::Lagged(_)) => missed = true,
                Err(RecvError::Closed) => return,
            },
            batch = recorded.recv() => if matches!(batch, Err(RecvError::Closed)) { return },
        }
        if let Some(rest) = PACE.checked_sub(looked.elapsed()) {
            tokio::time::sleep(rest).await;
        }
        loop {
            match changed.try_recv() {
                Ok(session) => touched.push(session),
                // Those that were dropped are not known: all are looked at.
                Err(TryRecvError::Lagged(_)) => missed = true,
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        touched.sort_unstable();
        touched.dedup();
        of = if missed { Of::Recent } else { Of::Sessions(touched) };
    }
}

/// How the budgets stand, and whether all recent sessions are among them; `None` where the store cannot be asked.
async fn look(app: &Arc<Running>, settings: &Arc<config::Budget>, of: Of) -> Option<(Vec<Standing>, bool)> {
    let ask = Ask::new(&app.shared, app.clock.now_ns()).await.ok()?;
    let settings = Arc::clone(settings);
    let all = matches!(of, Of::Recent);
    let found = tokio::task::spawn_blocking(move || standings(&ask, &settings, &of)).await.ok()?;
    match found {
        Ok(found) => Some((found, all)),
        Err(error) => {
            tracing::warn!(error = error.error.message, "budgets cannot be worked out");
            None
        }
    }
}

/// Tells of every threshold that is reached and was not told of.
async fn tell(
    app: &Arc<Running>,
    settings: &Arc<config::Budget>,
    found: &[Standing],
    told: &mut HashSet<[u8; 16]>,
) {
    for standing in found {
        for (level, limit) in standing.limits.reached(standing.spent) {
            let id = notice_id(standing.scope, &standing.key, level, limit);
            if told.contains(&id) || standing.told.contains(&level) {
                continue;
            }
            let notice = NoticeV1 {
                at_ns: app.clock.now_ns(),
                scope: standing.scope.name().into(),
                key: standing.key.clone(),
                level: level.name().into(),
                spent_micros: standing.spent,
                limit_micros: limit,
            };
            let Ok(record) = notice.to_record(id) else { continue };
            // Refused: it is come to again with the next change.
            if app.door.ready(Ready { record, fact: None }).await == Ack::Durable {
                told.insert(id);
                tracing::info!(
                    scope = notice.scope,
                    key = notice.key,
                    level = notice.level,
                    "a budget's limit is reached"
                );
                alert::tell(&settings.channels, app.network(), words::notice(&notice));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::budget::Limits;

    fn settings(enforce: bool) -> config::Budget {
        let mut settings = config::Config::parsed("").unwrap().budget;
        settings.enforce = enforce;
        settings
    }

    fn standing(scope: Scope, key: &str, spent: u64) -> Standing {
        let limits = Limits { soft: None, hard: Some(100) };
        Standing { scope, key: key.into(), spent, limits, began_ns: 0, ends_ns: 1000, told: Vec::new() }
    }

    fn event(name: &str, session: &str) -> Vec<u8> {
        serde_json::to_vec(&serde_json::json!({"hook_event_name": name, "session_id": session})).unwrap()
    }

    #[test]
    fn only_the_tools_of_who_is_beyond_the_limit_are_stopped() {
        let guard = Guard::new(settings(true));
        assert_eq!(guard.decision(&event("PreToolUse", "a"), 1), None);
        guard.take_up(
            &settings(true),
            &[standing(Scope::Session, "a", 100), standing(Scope::Session, "b", 99)],
            false,
        );
        let stopped = guard.decision(&event("PreToolUse", "a"), 1).unwrap();
        let stopped: serde_json::Value = serde_json::from_slice(&stopped).unwrap();
        assert_eq!(stopped["hookSpecificOutput"]["permissionDecision"], "deny");
        for event in [event("PreToolUse", "b"), event("PostToolUse", "a"), event("Stop", "a"), b"{".to_vec()]
        {
            assert_eq!(guard.decision(&event, 1), None);
        }
        guard.take_up(&settings(true), &[standing(Scope::Session, "a", 1)], false);
        assert_eq!(guard.decision(&event("PreToolUse", "a"), 1), None);
    }

    #[test]
    fn a_day_stops_everybody_until_it_is_over_and_only_where_that_is_wanted() {
        let guard = Guard::new(settings(true));
        guard.take_up(&settings(true), &[standing(Scope::Day, "2026-11-21", 100)], false);
        assert!(guard.decision(&event("PreToolUse", "a"), 999).is_some());
        assert_eq!(guard.decision(&event("PreToolUse", "a"), 1000), None);
        guard.take_up(&settings(false), &[standing(Scope::Day, "2026-11-21", 100)], false);
        assert_eq!(guard.decision(&event("PreToolUse", "a"), 1), None);
        guard.take_up(&settings(true), &[standing(Scope::Month, "2026-11", 100)], false);
        assert!(guard.decision(&event("PreToolUse", "a"), 1).is_some());
        guard.set(settings(true));
        assert_eq!(guard.decision(&event("PreToolUse", "a"), 1), None);
    }
}
