//! The end of a daemon whose installation was taken back: it answers as long as somebody holds its address.
//!
//! Who that is, the system tells where it can ([`crate::holders`]): then the daemon ends shortly after the last of them has.
//! Where it cannot, or where somebody asks whom it did not tell of, the daemon ends after half a day without a request.
//! It never ends amid a request, and never stays longer than [`LONGEST`].

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ccd_proto::api::{RetiringSession, RetiringStatus};

use super::{RETIRING, Running, locked};
use crate::clock::rfc3339;
use crate::holders::{self, Holder, PROC, Seek};

/// How long a retiring daemon waits after the last request of somebody unknown. A session may rest over night and still
/// hold our URL; an idle daemon costs next to nothing.
pub const RETIRE_IDLE: Duration = Duration::from_secs(12 * 3600);
/// How long it waits after the last holder has ended: what that one has started may have a last request.
const QUIET: Duration = Duration::from_secs(3);
/// How often holders are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// After this long the address is given up whoever holds it. An uninstalled daemon that could stay for ever would be none.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// How a retirement stands.
#[derive(Default)]
pub(super) struct Retirement {
    /// When it began, nanoseconds since the Unix epoch.
    since_ns: u64,
    /// After how long without a request it ends.
    idle: Duration,
    /// Who holds the address. None: nobody can tell.
    holders: Option<Vec<Holder>>,
    /// When the last of them had ended.
    empty_ns: u64,
    /// Somebody asked after that.
    stranger: bool,
}

impl Retirement {
    /// Whether to end: `quiet` is how long there was no request, `age` how long the retirement lasts.
    fn is_over(&self, quiet: Duration, age: Duration, busy: bool) -> bool {
        let alone = !self.stranger && self.holders.as_ref().is_some_and(Vec::is_empty);
        !busy && (quiet >= self.idle || (alone && quiet >= QUIET.min(self.idle))) || age >= LONGEST
    }
}

impl Running {
    /// Asks the daemon to end by itself: once nobody holds its address any more, or once nobody has used it for `idle`,
    /// where that is given.
    pub fn retire(self: &Arc<Self>, idle: Option<Duration>) {
        if self.state.swap(RETIRING, Ordering::Relaxed) == RETIRING {
            return;
        }
        self.forget();
        let began_ns = self.clock.now_ns();
        // By the clock alone, if so told.
        let holders = if idle.is_some() { None } else { self.find_holders() };
        let known = holders.as_ref().map(Vec::len);
        let idle = idle.unwrap_or(RETIRE_IDLE);
        tracing::info!(
            idle_s = idle.as_secs(),
            ?known,
            "retiring: answering as long as somebody holds our address"
        );
        *locked(&self.retirement) =
            Some(Retirement { since_ns: began_ns, idle, holders, empty_ns: began_ns, stranger: false });
        self.retires.notify_one();
        let this = Arc::clone(self);
        let look = (idle / 10).clamp(Duration::from_millis(50), LOOK);
        tokio::spawn(async move {
            while this.state.load(Ordering::Relaxed) == RETIRING {
                tokio::time::sleep(look).await;
                if this.is_retired() {
                    tracing::info!("nobody holds our address any more");
                    this.stop(false);
                }
            }
        });
    }

    fn find_holders(&self) -> Option<Vec<Holder>> {
        let token = fs_err::read_to_string(self.layout.token_file()).ok()?;
        let roots = locked(&self.config).transcripts.roots.clone();
        let seek = Seek { token: token.trim(), roots: &roots, uid: rustix::process::getuid().as_raw() };
        holders::find(Path::new(PROC), &seek)
    }

    /// Looks who is still there. Says whether that is nobody.
    fn is_retired(&self) -> bool {
        let gauges = self.proxy.gauges();
        let now_ns = self.clock.now_ns();
        let asked_ns = gauges.last_request_ns.load(Ordering::Relaxed);
        let busy = gauges.in_flight.load(Ordering::Relaxed) > 0;
        let mut retirement = locked(&self.retirement);
        let Some(retirement) = retirement.as_mut() else { return false };
        if let Some(holders) = &mut retirement.holders {
            if !holders.is_empty() {
                holders.retain(|holder| holder.lives(Path::new(PROC)));
                retirement.empty_ns = now_ns;
            }
            // Who asks when all are gone that we know of is one that we do not know of; but for a last request that had not
            // come through when its sender ended.
            let grace_ns = u64::try_from(QUIET.as_nanos()).unwrap_or(u64::MAX);
            retirement.stranger |=
                holders.is_empty() && asked_ns.saturating_sub(retirement.empty_ns) > grace_ns;
        }
        let since = |ns: u64| Duration::from_nanos(now_ns.saturating_sub(ns));
        retirement.is_over(since(asked_ns.max(retirement.since_ns)), since(retirement.since_ns), busy)
    }

    /// How the retirement stands, if there is one.
    #[must_use]
    pub fn retirement(&self) -> Option<RetiringStatus> {
        let retirement = locked(&self.retirement);
        let retirement = retirement.as_ref()?;
        let session = |holder: &Holder| RetiringSession {
            pid: holder.pid,
            session_id: holder.session_id.clone(),
            cwd: holder.cwd.as_ref().map(|cwd| cwd.to_string_lossy().into_owned()),
        };
        let longest_ns = u64::try_from(LONGEST.as_nanos()).unwrap_or(u64::MAX);
        Some(RetiringStatus {
            since: rfc3339(retirement.since_ns),
            until: rfc3339(retirement.since_ns.saturating_add(longest_ns)),
            idle_s: retirement.idle.as_secs(),
            known: retirement.holders.is_some() && !retirement.stranger,
            sessions: retirement.holders.iter().flatten().map(session).collect(),
        })
    }

    /// What a successor is told: how long to wait, if that was given.
    pub(super) fn retire_idle(&self) -> Duration {
        locked(&self.retirement).as_ref().map_or(RETIRE_IDLE, |retirement| retirement.idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_once_nobody_holds_the_address_and_never_amid_a_request() {
        let (short, long, day) = (Duration::ZERO, QUIET, Duration::from_secs(86_400));
        let known = |stranger| Retirement {
            idle: RETIRE_IDLE,
            holders: Some(Vec::new()),
            stranger,
            ..Retirement::default()
        };
        assert!(!known(false).is_over(short, short, false), "a last request may follow");
        assert!(known(false).is_over(long, long, false));
        assert!(!known(false).is_over(long, long, true), "amid a request");
        assert!(!known(true).is_over(long, day, false), "somebody unknown asks");
        assert!(known(true).is_over(RETIRE_IDLE, day, false));
        let unknown = Retirement { idle: RETIRE_IDLE, ..Retirement::default() };
        assert!(!unknown.is_over(long, day, false), "nobody can tell");
        assert!(unknown.is_over(RETIRE_IDLE, day, false));
        assert!(unknown.is_over(short, LONGEST, true), "not for ever");
    }
}
