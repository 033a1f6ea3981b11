//! `status`: how the daemon, the proxy, the hooks and the store are.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use ccd_proto::api::{
    CaptureStatus, DaemonStatus, DetectionStatus, HookStatus, ProxyStatus, RateLimits, ReceiveStatus,
    SocketStatus, Status, StoreStatus, TelemetryStatus, WebStatus,
};

use super::{detections, limits};
use crate::app::Running;
use crate::clock::rfc3339;
use crate::ingest::shared::StoreState;
use crate::supervise::listeners::{Holder, Name};

/// The status, now. Answers whatever the store's state is.
#[must_use]
pub fn status(app: &Running) -> Status {
    let counters = app.shared.counters();
    let gauges = app.door.gauges();
    let proxy = app.proxy.gauges();
    let state = app.shared.state.borrow().clone();
    let last_write_error = app.shared.error.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let (figures, error) = match &state {
        StoreState::Ready(reader) => match reader.stats() {
            Ok(found) => (Some(found), last_write_error),
            Err(e) => (None, Some(e.to_string())),
        },
        StoreState::Failed(why) => (None, Some(why.clone())),
        StoreState::Opening => (None, Some(app.shared.opening())),
    };
    // What opening and replaying found, or what has been found since, by reading.
    let found = figures.as_ref().map_or(0, |s| s.damaged);
    let damaged = app.shared.damaged.load(Ordering::Relaxed).max(found);
    let bypass_reason = app.proxy.bypass().reason();
    let problem = app.config_problem();
    let uptime_ns = app.clock.now_ns().saturating_sub(app.started_ns);
    Status {
        daemon: DaemonStatus {
            running: true,
            pid: std::process::id(),
            version: ccd_proto::VERSION.into(),
            uptime_s: uptime_ns / 1_000_000_000,
            manager: app.manager.into(),
            rss_bytes: rss_bytes(),
            state: app.state().into(),
            log: app.log_filter(),
            config_error_about: problem.as_ref().map_or("", |problem| problem.about).into(),
            config_error: problem.map(|problem| problem.text),
            supervisor: app.supervisor(),
            supervisor_gone: app.has_lost_supervisor(),
            killed: false,
            retiring: app.retirement(),
            sockets: sockets(app),
        },
        proxy: ProxyStatus {
            listen: app.proxy_listen.to_string(),
            upstream: app.proxy.settings().upstream.target().to_string(),
            holder: app.held_by(Name::Proxy).map_or("", Holder::name).into(),
            in_flight: proxy.in_flight.load(Ordering::Relaxed),
            exchanges: counters.exchanges,
            errors: proxy.errors.load(Ordering::Relaxed),
            bypass: bypass_reason.is_some(),
            bypass_reason,
            relayed: app.proxy.bypass().relayed(),
            connections: proxy.connections.load(Ordering::Relaxed),
            refused: proxy.refused.load(Ordering::Relaxed),
            turned_away: proxy.turned_away.load(Ordering::Relaxed),
            retries: counters.retries,
            last_error: proxy.last_error(),
            unreached: proxy.unreached.load(Ordering::Relaxed),
            last_request_at: moment(&proxy.last_request_ns),
            clock_skew_ms: proxy.clock_skew_ms(),
        },
        web: WebStatus {
            listen: app.web.listen().map(|listen| listen.to_string()),
            logins: app.web.logins().count(app.clock.now_ns()) as u64,
            error: app.web.error(),
        },
        receive: receive(app),
        hooks: HookStatus {
            installed: false,
            events: counters.hooks,
            spooled: app.spool.waiting.load(Ordering::Relaxed),
            rejected: app.spool.rejected.load(Ordering::Relaxed),
            later: app.spool.later.load(Ordering::Relaxed),
            last_at: moment(&gauges.last_hook_ns),
        },
        store: StoreStatus {
            path: app.layout.store_dir().display().to_string(),
            bytes: figures.as_ref().map_or(0, |s| s.journal_bytes + s.pack_bytes + s.index_bytes),
            records: counters.records(),
            sessions: counters.sessions,
            damaged: damaged + counters.unreadable,
            opening: matches!(state, StoreState::Opening),
            error,
        },
        capture: CaptureStatus {
            dropped: gauges.dropped.load(Ordering::Relaxed),
            gaps: counters.gaps,
            queue_bytes: gauges.queue_bytes.load(Ordering::Relaxed),
            redacted: app.scrub.redacted(),
            unscanned: app.scrub.unscanned(),
            rules_off: app.scrub.rules_off(),
        },
        detections: open_detections(app, &state),
        detect: app.detect.status(),
        heal: app.heal.status(),
        rate_limits: rate_limits(app, &state),
        transcripts: app.transcripts.status(),
        vault: app.vault.status(),
        forward: app.forwarding.status(app.clock.now_ns()),
        telemetry: TelemetryStatus {
            events: counters.telemetry,
            last_at: Some(counters.telemetry_ns).filter(|ns| *ns > 0).map(rfc3339),
        },
    }
}

/// What other programs hand in.
fn receive(app: &Running) -> ReceiveStatus {
    let now_s = app.clock.now_ns() / 1_000_000_000;
    let (listen, error) = app.web.receiver();
    let tokens = app.receiver.tokens.list();
    ReceiveStatus {
        remote: listen.is_some_and(|listen| !listen.ip().is_loopback()),
        listen: listen.map(|listen| listen.to_string()),
        tokens: tokens.iter().filter(|token| token.is_good(now_s)).count() as u64,
        requests: app.receiver.taken.load(Ordering::Relaxed),
        refused: app.receiver.refused.load(Ordering::Relaxed),
        error,
    }
}

/// Who holds each of the listeners.
fn sockets(app: &Running) -> Vec<SocketStatus> {
    let held = |name: Name| {
        let holder = app.held_by(name)?;
        Some(SocketStatus { name: name.as_str().into(), held_by: holder.name().into() })
    };
    Name::ALL.into_iter().filter_map(held).collect()
}

/// A moment that may not have been yet.
fn moment(ns: &AtomicU64) -> Option<String> {
    Some(ns.load(Ordering::Relaxed)).filter(|ns| *ns > 0).map(rfc3339)
}

/// What the upstream in force told last of its limits. A row that cannot be read is damage that others find.
fn rate_limits(app: &Running, state: &StoreState) -> Option<RateLimits> {
    let StoreState::Ready(reader) = state else { return None };
    let upstream = app.proxy.settings().upstream.target().to_string();
    Some(limits::known(reader, Some(&upstream)).ok()??.to_api(app.clock.now_ns()))
}

/// Rows that cannot be read are damage that others find.
fn open_detections(app: &Running, state: &StoreState) -> DetectionStatus {
    let StoreState::Ready(reader) = state else { return DetectionStatus::default() };
    detections::open(reader, app.clock.now_ns()).unwrap_or_default()
}

/// Resident memory, where the system tells it cheaply.
fn rss_bytes() -> u64 {
    let Ok(statm) = fs_err::read_to_string("/proc/self/statm") else { return 0 };
    let pages = statm.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}
