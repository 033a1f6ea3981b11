//! `store stats`: how large the store is, what it holds and how it is. Answers whatever the store's state is.

use std::collections::BTreeMap;

use ccd_proto::api::{DamagedRange, FileStats, Retention, Session, StoreStats};
use ccd_store::{Damage, Reader};

use super::free_bytes;
use crate::app::Running;
use crate::clock::{parse_rfc3339, rfc3339};
use crate::ingest::shared::StoreState;
use crate::project::rows::{self, Counters};
use crate::query::QueryError;

/// The figures, now.
pub fn stats(app: &Running) -> Result<StoreStats, QueryError> {
    let dir = app.layout.store_dir();
    let counters = app.shared.counters();
    let mut stats = StoreStats {
        path: dir.display().to_string(),
        records: counters.records(),
        kinds: kinds(&counters),
        sessions: counters.sessions,
        retention: Retention {
            days: app.retention().days.map(u64::from),
            max_bytes: app.retention().max_bytes,
        },
        free_bytes: free_bytes(&dir),
        running: app.maintenance.running(),
        ..StoreStats::default()
    };
    let reader = match &*app.shared.state.borrow() {
        StoreState::Ready(reader) => reader.clone(),
        // Sizes would be half-truths.
        _ => return Ok(stats),
    };
    let found = reader.stats()?;
    stats.journal = FileStats { bytes: found.journal_bytes, files: found.segments };
    stats.packs = FileStats { bytes: found.pack_bytes, files: found.packs };
    stats.index = FileStats { bytes: found.index_bytes, files: reader.index_files()? };
    stats.bytes = found.journal_bytes + found.pack_bytes + found.index_bytes;
    (stats.last_seq, stats.applied_seq) = (found.last_seq, found.applied);
    stats.damaged = reader.damage().into_iter().map(|damage| range(&damage)).collect();
    let (oldest, newest) = times(&reader)?;
    (stats.oldest_at, stats.newest_at) = (oldest.map(rfc3339), newest.map(rfc3339));
    Ok(stats)
}

/// How many records there are of each kind.
fn kinds(counters: &Counters) -> BTreeMap<String, u64> {
    let kinds = [
        ("hook", counters.hooks),
        ("exchange", counters.exchanges),
        ("transcript", counters.transcripts),
        ("detection", counters.detections),
        ("intervention", counters.interventions),
        ("judgement", counters.judgements),
        ("unreadable", counters.unreadable),
    ];
    kinds.into_iter().map(|(kind, count)| (kind.to_owned(), count)).collect()
}

/// A damaged range, with nothing known of what it held.
pub(super) fn range(damage: &Damage) -> DamagedRange {
    DamagedRange { file: damage.file_name(), from: damage.from, to: damage.to, ..DamagedRange::default() }
}

/// The first and the last moment that the views tell of: sessions', and those of exchanges that name no session.
fn times(reader: &Reader) -> Result<(Option<u64>, Option<u64>), QueryError> {
    let mut times: Vec<u64> = Vec::new();
    let (from, to) = rows::sessions();
    for row in reader.scan(&from, &to) {
        let session: Session = rows::decode(&row?.1)?;
        let both = [session.started_at, session.last_at];
        times.extend(both.iter().filter_map(|text| parse_rfc3339(text).ok()));
    }
    let mut exchanges = reader.scan(&rows::exchanges_from(0), &rows::exchanges_end());
    for row in [exchanges.next(), exchanges.next_back()].into_iter().flatten() {
        times.extend(rows::exchange_of_key(&row?.0).map(|(at, _)| at));
    }
    Ok((times.iter().min().copied(), times.iter().max().copied()))
}
