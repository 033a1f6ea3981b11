//! `store prune`: removes what is older than a time, or what makes the store larger than a size.

use ccd_proto::api::Pruned;

use super::retention;
use super::{Context, write_error};
use crate::clock::rfc3339;
use crate::ingest::prune::{self, Limits};
use crate::query::QueryError;

/// What to remove. With neither limit, those of the configuration hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prune {
    /// What is older than this many nanoseconds.
    pub older_than_ns: Option<u64>,
    /// The oldest, until the store takes no more than this.
    pub max_bytes: Option<u64>,
    /// Only say what would go.
    pub dry_run: bool,
}

impl Prune {
    /// Who names a limit means it: the system's clock is believed then, which [`retention`] does not.
    fn limits(&self, context: &Context) -> Limits {
        let now_ns = context.app.clock.now_ns();
        match (self.older_than_ns, self.max_bytes) {
            (None, None) => retention::limits(&context.app.retention(), now_ns),
            (older_than, max_bytes) => {
                Limits { before_ns: older_than.map(|age| now_ns.saturating_sub(age)), max_bytes }
            }
        }
    }
}

pub(super) fn run(context: &mut Context, what: Prune) -> Result<Pruned, QueryError> {
    let limits = what.limits(context);
    if what.dry_run {
        let plan = prune::look(&context.reader()?, &limits)?.unwrap_or_default();
        return Ok(Pruned {
            records: plan.records,
            segments: plan.segments,
            freed_bytes: plan.bytes,
            until: (plan.until_ns > 0).then(|| rfc3339(plan.until_ns)),
            dry_run: true,
            ..Pruned::default()
        });
    }
    let (door, shared) = (context.app.door.clone(), context.app.shared.clone());
    // It goes on to its end, heard or not.
    let mut tell = |now: ccd_store::Progress| {
        context.tell(now.phase, now.done, now.total, now.unit);
    };
    let done = prune::prune(&door, &shared, &limits, &mut tell).map_err(write_error)?;
    Ok(Pruned {
        records: done.records,
        segments: done.segments,
        packs: done.packs,
        freed_bytes: done.freed_bytes,
        rewritten_bytes: done.rewritten_bytes,
        until: (done.until_ns > 0).then(|| rfc3339(done.until_ns)),
        dry_run: false,
    })
}
