//! `store verify`: every byte of packs and journal, every record, every body, and what the index knows of them.
//!
//! Reads only, beside the writer; looks at what was there when it began. Memory is bounded whatever is found.

use std::collections::{HashMap, HashSet};

use ccd_proto::api::{DamagedRange, DamagedRecord, LostRecord, Session, Verified};
use ccd_store::{BlobRef, Damage, Extent, InIndex, Locator, Lost, Reader, Record, RecordId};

use super::{Context, stats, store_error};
use crate::clock::rfc3339;
use crate::ingest::record::{self, Payload, RecordError, Stored};
use crate::project::{detections, ids, rows};
use crate::query::QueryError;

/// Damaged records listed; the others are counted.
const LISTED: usize = 10_000;
/// Bodies remembered as good: retries send the same ones.
const REMEMBERED: usize = 50_000;
/// Records without a row that are looked for again, and told apart.
const WITHOUT_ROW: usize = 1_000_000;

pub(super) fn run(context: &mut Context) -> Result<Verified, QueryError> {
    let begun = context.app.clock.now_ns();
    let reader = context.reader()?;
    let extent = reader.extent();
    let (journal_bytes, pack_bytes) = (extent.journal_bytes(), extent.pack_bytes());
    let packs = reader
        .verify_packs(&extent, &mut |done| context.tell("packs", done, pack_bytes, "bytes"))
        .map_err(store_error)?;
    let mut check = Check::new(&reader, &extent);
    let lost = reader
        .verify_journal(
            &extent,
            &mut |done| context.tell("journal", done, journal_bytes, "bytes"),
            &mut |record| {
                check.record(&record);
                Ok(())
            },
        )
        .map_err(store_error)?;
    let mut found = check.done();
    let hooks: Vec<Locator> = found.hooks.keys().copied().collect();
    let told = Told::of(&reader, &lost, &hooks)?;
    for (at, index) in found.hooks {
        if let Some(record) = found.verified.damaged_records.get_mut(index) {
            record.session_id = told.sessions.get(&at).cloned();
        }
    }
    let mut verified = found.verified;
    verified.bytes = journal_bytes + pack_bytes;
    verified.damaged = lost.iter().map(|lost| told.range(lost)).collect();
    verified.damaged.extend(packs.iter().map(stats::range));
    verified.ok = verified.damaged.is_empty()
        && verified.damaged_records.is_empty()
        && (verified.index_missing, verified.duplicates) == (0, 0);
    verified.seconds = context.seconds(begun);
    let ranges = verified.damaged.len() as u64;
    context.app.shared.damaged.fetch_max(ranges, std::sync::atomic::Ordering::Relaxed);
    Ok(verified)
}

/// What is found record by record.
struct Check<'a> {
    reader: &'a Reader,
    extent: &'a Extent,
    verified: Verified,
    good: HashSet<[u8; 32]>,
    without_row: HashMap<RecordId, Locator>,
    /// Damaged hook records, whose session only the index knows: where, and which in the list.
    hooks: HashMap<Locator, usize>,
}

struct Found {
    verified: Verified,
    hooks: HashMap<Locator, usize>,
}

impl<'a> Check<'a> {
    fn new(reader: &'a Reader, extent: &'a Extent) -> Self {
        Check {
            reader,
            extent,
            verified: Verified::default(),
            good: HashSet::new(),
            without_row: HashMap::new(),
            hooks: HashMap::new(),
        }
    }

    fn record(&mut self, record: &Record) {
        self.verified.records += 1;
        match self.reader.in_index(record) {
            Ok(InIndex::Yes) => {}
            Ok(InIndex::Duplicate) => self.verified.duplicates += 1,
            Ok(InIndex::No) | Err(_) if self.without_row.len() >= WITHOUT_ROW => {
                self.verified.index_missing += 1;
            }
            Ok(InIndex::No) | Err(_) => {
                if self.without_row.insert(record.id, record.locator).is_some() {
                    self.verified.duplicates += 1;
                }
            }
        }
        match record::read(record) {
            Ok(Payload::Hook(hook)) => self.body(record, None, "payload", &hook.body),
            Ok(Payload::Exchange(exchange)) => {
                let session = exchange.session_id.as_deref();
                self.body(record, session, "request", &exchange.request.stored);
                self.body(record, session, "response", &exchange.response.stored);
            }
            Ok(Payload::Transcript(lines)) => self.body(record, None, "transcript", &lines.body),
            Ok(Payload::Telemetry(told)) => self.body(record, Some(&told.session_id), "body", &told.body),
            Ok(Payload::Foreign(lines)) => self.body(record, None, "lines", &lines.body),
            Ok(
                Payload::Gap(_)
                | Payload::Status(_)
                | Payload::Notice(_)
                | Payload::Detection(_)
                | Payload::Intervention(_)
                | Payload::Judgement(_),
            ) => {}
            Err(RecordError::Unknown { .. }) => self.verified.unreadable += 1,
            Err(error @ RecordError::Damaged(_)) => self.damaged(record, None, "record", error.to_string()),
        }
    }

    fn body(&mut self, record: &Record, session: Option<&str>, part: &str, stored: &Stored) {
        // What lies in the record itself is covered by its frame's checksum.
        let Stored::Blob(blob) = stored else { return };
        self.verified.bodies += 1;
        if let Err(reason) = self.blob(blob) {
            self.damaged(record, session, part, reason);
        }
    }

    fn blob(&mut self, blob: &BlobRef) -> Result<(), String> {
        if self.good.contains(&blob.id) {
            return Ok(());
        }
        self.reader.verify_blob(self.extent, blob)?;
        if self.good.len() >= REMEMBERED {
            self.good.clear();
        }
        self.good.insert(blob.id);
        Ok(())
    }

    fn damaged(&mut self, record: &Record, session: Option<&str>, part: &str, reason: String) {
        let listed = &mut self.verified.damaged_records;
        if listed.len() >= LISTED {
            self.verified.more += 1;
            return;
        }
        if session.is_none() {
            self.hooks.insert(record.locator, listed.len());
        }
        listed.push(DamagedRecord {
            id: id_text(record.kind == record::KIND_EXCHANGE, record.id),
            kind: kind_name(record.kind).into(),
            session_id: session.map(ToOwned::to_owned),
            at: rfc3339(record.at_ns),
            part: part.into(),
            reason,
        });
    }

    /// Looks once more for rows that were not there: the index may have been on its way.
    fn done(mut self) -> Found {
        let still = |(id, at): (&RecordId, &Locator)| {
            let probe =
                Record { seq: 0, locator: *at, kind: 0, schema: 0, id: *id, at_ns: 0, body: Vec::new() };
            !matches!(self.reader.in_index(&probe), Ok(InIndex::Yes | InIndex::Duplicate))
        };
        self.verified.index_missing += self.without_row.iter().filter(|row| still(*row)).count() as u64;
        Found { verified: self.verified, hooks: self.hooks }
    }
}

/// A kind of records, in a word.
fn kind_name(kind: u8) -> &'static str {
    match kind {
        record::KIND_EXCHANGE => "exchange",
        record::KIND_GAP => "gap",
        record::KIND_TRANSCRIPT => "transcript",
        record::KIND_STATUS => "status",
        record::KIND_NOTICE => "notice",
        record::KIND_FOREIGN => "lines",
        record::KIND_DETECTION => "detection",
        record::KIND_INTERVENTION => "intervention",
        record::KIND_JUDGEMENT => "judgement",
        record::KIND_TELEMETRY => "telemetry",
        _ => "hook",
    }
}

/// An exchange's id as everything shows it; other records' ids as their 32 digits.
fn id_text(is_exchange: bool, id: RecordId) -> String {
    if is_exchange { ids::exchange(id) } else { format!("{:032x}", u128::from_be_bytes(id)) }
}

/// What the index still tells of records that cannot be read.
struct Told {
    lost: Vec<(RecordId, Locator)>,
    sessions: HashMap<Locator, String>,
    exchanges: HashMap<RecordId, u64>,
    /// When they were made, and in which session.
    detections: HashMap<RecordId, (u64, String)>,
}

impl Told {
    fn of(reader: &Reader, lost: &[Lost], hooks: &[Locator]) -> Result<Self, QueryError> {
        let ranges: Vec<Damage> = lost.iter().map(|lost| lost.damage).collect();
        let lost = if ranges.is_empty() { Vec::new() } else { reader.known_in(&ranges)? };
        let (sessions, exchanges) = (HashMap::new(), HashMap::new());
        let mut told = Told { sessions, exchanges, detections: HashMap::new(), lost };
        let wanted: HashSet<Locator> =
            told.lost.iter().map(|(_, at)| *at).chain(hooks.iter().copied()).collect();
        if wanted.is_empty() {
            return Ok(told);
        }
        let (from, to) = rows::all_session_records();
        for row in reader.scan(&from, &to) {
            let (key, value) = row?;
            let Ok(at) = <[u8; 10]>::try_from(value.as_slice()).map(Locator::from_bytes) else { continue };
            let Some(session) = rows::session_of_record(&key).filter(|_| wanted.contains(&at)) else {
                continue;
            };
            if let Some(row) = reader.get(&rows::session(session))? {
                told.sessions.insert(at, rows::decode::<Session>(&row)?.session_id);
            }
        }
        for (id, _) in &told.lost {
            let key = detections::by_id(*id);
            let place = reader.get(&key)?.and_then(|value| detections::of_id_key(&key, &value));
            let Some(place) = place else { continue };
            if let Some(row) = reader.get(&detections::detection(place))? {
                let row: detections::DetectionRow = rows::decode(&row)?;
                told.detections.insert(*id, (place.0, row.session_id));
            }
        }
        let ids: HashSet<RecordId> = told.lost.iter().map(|(id, _)| *id).collect();
        for row in reader.scan(&rows::exchanges_from(0), &rows::exchanges_end()) {
            if let Some((at, id)) = rows::exchange_of_key(&row?.0).filter(|(_, id)| ids.contains(id)) {
                told.exchanges.insert(id, at);
            }
        }
        Ok(told)
    }

    fn range(&self, lost: &Lost) -> DamagedRange {
        let Damage { number, from, to, .. } = lost.damage;
        let lies_in = |at: &Locator| at.segment == number && (from..to).contains(&u64::from(at.offset));
        let record = |(id, at): &(RecordId, Locator)| {
            if let Some((at_ns, session_id)) = self.detections.get(id) {
                return LostRecord {
                    id: id_text(false, *id),
                    kind: "detection".into(),
                    session_id: Some(session_id.clone()),
                    at: Some(rfc3339(*at_ns)),
                };
            }
            let began = self.exchanges.get(id);
            LostRecord {
                id: id_text(began.is_some(), *id),
                kind: if began.is_some() { "exchange" } else { "hook" }.into(),
                session_id: self.sessions.get(at).cloned(),
                at: began.map(|ns| rfc3339(*ns)),
            }
        };
        DamagedRange {
            seqs: lost.seqs.map(|(first, last)| [first, last]),
            records: self.lost.iter().filter(|(_, at)| lies_in(at)).take(LISTED).map(record).collect(),
            ..stats::range(&lost.damage)
        }
    }
}
