//! From records to the index's rows: one atomic batch for each batch of records.

use std::collections::{BTreeMap, BTreeSet};

use ccd_proto::api::Session;
use ccd_store::{Mutation, Reader, Record};

use super::findings::{Findings, counted};
use super::ledger::Ledger;
use super::lookups::look_ups;
use super::record::Payload;
use super::shared::RowOf;
use super::signals::SignalV1;
use crate::clock::parse_rfc3339;
use crate::live::{Live, LiveError, read_fact};
use crate::project::billed::ChargeKey;
use crate::project::charge;
use crate::project::ids;
use crate::project::limits::{LimitsRow, Told};
use crate::project::retries::Relinked;
use crate::project::rows::{self, Counters, SessionRow};
use crate::project::session::Fact;
use crate::project::status;

/// Collects the rows of a batch.
pub struct Batch<'a> {
    live: &'a Live,
    reader: &'a Reader,
    counters: Counters,
    mutations: Vec<Mutation>,
    ledger: Ledger<'a>,
    findings: Findings<'a>,
    limits: BTreeMap<String, LimitsRow>,
    touched: BTreeSet<String>,
    exchanges: Vec<RowOf>,
}

/// A batch's rows, and the sessions that it changed.
pub struct Applied {
    /// For the index.
    pub mutations: Vec<Mutation>,
    /// The store's counters after it.
    pub counters: Counters,
    /// Sessions that it changed.
    pub sessions: Vec<String>,
    /// Exchanges that it brought.
    pub exchanges: Vec<RowOf>,
    /// Charges that it changed.
    pub charges: Vec<ChargeKey>,
}

impl<'a> Batch<'a> {
    /// Starts from the counters before the batch.
    #[must_use]
    pub fn new(live: &'a Live, reader: &'a Reader, counters: Counters) -> Self {
        Batch {
            live,
            reader,
            counters,
            mutations: Vec::new(),
            ledger: Ledger::new(reader, live.prices()),
            findings: Findings::new(reader),
            limits: BTreeMap::new(),
            touched: BTreeSet::new(),
            exchanges: Vec::new(),
        }
    }

    /// Adds a record whose fact is known already, or is to be read from the record.
    pub fn add(&mut self, record: &Record, fact: Option<(String, Fact)>) -> Result<(), LiveError> {
        if record.kind == super::record::KIND_GAP {
            match super::record::read(record) {
                Ok(Payload::Gap(gap)) => {
                    self.counters.gaps = self.counters.gaps.saturating_add(gap.exchanges);
                }
                _ => self.counters.unreadable += 1,
            }
            return Ok(());
        }
        if self.findings.add(record, &mut self.counters)? {
            return Ok(());
        }
        if record.kind == super::record::KIND_TRANSCRIPT {
            self.mutations.extend(super::cursors::row(self.reader, record)?);
        }
        if record.kind == super::record::KIND_NOTICE {
            self.put(rows::notice(record.id), Vec::new());
        }
        if record.kind == super::record::KIND_STATUS
            && let Ok(Payload::Status(snapshot)) = super::record::read(record)
            && let Some(told) = status::told(&snapshot)
        {
            self.add_limits(&told)?;
        }
        let fact = match fact {
            Some(fact) => Some(fact),
            None => read_fact(self.reader, record, &self.live.prices())?,
        };
        match &fact {
            Some((_, Fact::Exchange(facts))) => {
                self.counters.exchanges += 1;
                self.counters.gaps += u64::from(facts.row.gap);
            }
            _ => match record.kind {
                super::record::KIND_HOOK => self.counters.hooks += 1,
                super::record::KIND_TRANSCRIPT | super::record::KIND_FOREIGN => {
                    self.counters.transcripts += 1;
                }
                // Where it comes from is none of it.
                super::record::KIND_TELEMETRY if is_resource(record) => {}
                super::record::KIND_TELEMETRY => {
                    self.counters.telemetry += 1;
                    self.counters.telemetry_ns = self.counters.telemetry_ns.max(record.at_ns);
                }
                super::record::KIND_STATUS | super::record::KIND_NOTICE => {}
                _ => self.counters.unreadable += 1,
            },
        }
        let Some((session_id, fact)) = fact else { return Ok(()) };
        if !session_id.is_empty() {
            let key = ids::session_key(&session_id);
            if self.touched.insert(session_id.clone()) && self.reader.get(&rows::session(key))?.is_none() {
                self.counters.sessions += 1;
            }
            let changes = self.live.apply(self.reader, &session_id, &fact, record.locator)?;
            self.relink(changes.relinked)?;
            for observation in &changes.observed {
                self.ledger.observe(observation)?;
            }
            for state in &changes.cost_states {
                self.ledger.close(state)?;
            }
            self.put(rows::session_record(key, record.seq), record.locator.to_bytes().to_vec());
            for id in look_ups(&session_id, &fact) {
                if self.live.is_new_id(&id) {
                    self.put(rows::lookup(&id), session_id.as_bytes().to_vec());
                }
            }
        }
        if let Fact::Exchange(facts) = &fact {
            let row = &facts.row;
            self.put(rows::exchange(row.started_ns, row.id), rows::encode(row)?);
            self.exchanges.push((row.started_ns, row.id));
            if let Some(told) = &facts.limits {
                self.add_limits(told)?;
            }
            // No session's state told of it.
            if session_id.is_empty()
                && let Some(observation) = charge::of_exchange(facts)
            {
                self.ledger.observe(&observation)?;
            }
        }
        Ok(())
    }

    /// Rows of exchanges that repeat or are repeated.
    fn relink(&mut self, relinked: Vec<Relinked>) -> Result<(), LiveError> {
        for link in relinked {
            let key = rows::retry(link.row.started_ns, link.row.id);
            if link.is_alone() {
                self.mutations.push(Mutation::Delete(key));
            } else {
                self.put(key, rows::encode(&link.row)?);
            }
            self.counters.retries += u64::from(link.is_retry());
            self.counters.retries -= u64::from(link.was_retry).min(self.counters.retries);
        }
        Ok(())
    }

    fn add_limits(&mut self, told: &Told) -> Result<(), LiveError> {
        let key = rows::limits(&told.upstream);
        if !self.limits.contains_key(&told.upstream) {
            let row = match self.reader.get(&key)? {
                Some(bytes) => rows::decode(&bytes)?,
                None => LimitsRow::new(&told.upstream),
            };
            self.limits.insert(told.upstream.clone(), row);
        }
        if let Some(row) = self.limits.get_mut(&told.upstream) {
            row.add(told);
        }
        Ok(())
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.mutations.push(Mutation::Put(key, value));
    }

    /// The rows.
    pub fn finish(mut self) -> Result<Applied, LiveError> {
        let prices = self.live.prices();
        let mut sessions: Vec<String> = std::mem::take(&mut self.touched).into_iter().collect();
        let mut summaries = BTreeMap::new();
        for session_id in &sessions {
            let state = self.live.get(self.reader, session_id)?;
            self.ledger.learn(session_id, &state)?;
            summaries.insert(session_id.clone(), SessionRow::new(state.summary(&prices)));
        }
        let books = self.ledger.finish()?;
        self.mutations.extend(books.mutations);
        let found = self.findings.finish()?;
        self.mutations.extend(found.mutations);
        let mut changed: BTreeMap<String, SessionRow> = BTreeMap::new();
        for account in books.accounts {
            let row = match summaries.remove(&account.session_id) {
                Some(row) => Some(row),
                // Another session's transcript told of its charges.
                None => stored(self.reader, &account.session_id)?
                    .inspect(|_| sessions.push(account.session_id.clone())),
            };
            if let Some(mut row) = row {
                account.fill(&mut row);
                changed.insert(account.session_id, row);
            }
        }
        for session_id in
            found.counts.keys().filter(|id| !changed.contains_key(*id)).cloned().collect::<Vec<_>>()
        {
            // One of which nothing else is known is no session.
            if let Some(row) = stored(self.reader, &session_id)? {
                sessions.push(session_id.clone());
                changed.insert(session_id, row);
            }
        }
        for (session_id, mut row) in changed {
            let key = ids::session_key(&session_id);
            let old: Option<Session> =
                self.reader.get(&rows::session(key))?.map(|bytes| rows::decode(&bytes)).transpose()?;
            // Detections may have been there before the session's row was.
            let count = old.as_ref().map_or_else(|| counted(self.reader, key), |old| Ok(old.detections))?;
            let more = found.counts.get(&session_id).copied().unwrap_or(0);
            row.session.detections = count.saturating_add_signed(more);
            self.mutations.extend(recent(key, old.as_ref(), &row.session));
            self.mutations.push(Mutation::Put(rows::session(key), rows::encode(&row)?));
        }
        for (upstream, known) in std::mem::take(&mut self.limits) {
            let row = rows::encode(&known)?;
            self.mutations.push(Mutation::Put(rows::limits(&upstream), row));
        }
        self.mutations.push(Mutation::Put(rows::COUNTERS.to_vec(), rows::encode(&self.counters)?));
        Ok(Applied {
            mutations: self.mutations,
            counters: self.counters,
            sessions,
            exchanges: self.exchanges,
            charges: books.charges,
        })
    }
}

fn is_resource(record: &Record) -> bool {
    let read = super::record::read(record);
    matches!(read, Ok(Payload::Telemetry(told)) if told.signal == SignalV1::Resource)
}

/// A session's row, as the index has it.
fn stored(reader: &Reader, session_id: &str) -> Result<Option<SessionRow>, LiveError> {
    let row = reader.get(&rows::session(ids::session_key(session_id)))?;
    Ok(row.map(|bytes| rows::decode(&bytes)).transpose()?)
}

/// Moves a session to when it was last used.
fn recent(key: [u8; 16], old: Option<&Session>, session: &Session) -> Vec<Mutation> {
    let row = |session: &Session| rows::recent(parse_rfc3339(&session.last_at).unwrap_or(0), key);
    let (old, new) = (old.map(row), row(session));
    if old.as_ref() == Some(&new) {
        return Vec::new();
    }
    let gone = old.map(Mutation::Delete);
    gone.into_iter().chain([Mutation::Put(new, Vec::new())]).collect()
}
