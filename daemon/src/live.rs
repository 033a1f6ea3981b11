//! Session states: the recent ones held ready, the others read back from the journal when they are asked for.
//!
//! Only the writer puts states in, so that a reader can never put an older one over a newer one. The size is
//! bounded by facts held, not by sessions.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use ccd_store::{Locator, Reader, Record, StoreError};

use crate::ingest::record::{self, ExchangeV3, Payload, Stored};
use crate::ingest::signals::{SignalV1, TelemetryV1};
use crate::project::price::Prices;
use crate::project::session::{Changes, Fact, SessionState};
use crate::project::text::text_hash;
use crate::project::{exchange, foreign, hook, ids, rows, telemetry, transcript};

/// Facts held over all sessions: while they change, and at rest.
const MAX_WEIGHT: usize = 40_000;
const REST_WEIGHT: usize = 4_000;
/// Ids remembered as written.
const MAX_IDS: usize = 50_000;
/// Sessions held, likewise. One that is not held is read back from the journal for its next event.
const MAX_SESSIONS: usize = 2_048;
const REST_SESSIONS: usize = 32;

/// The recent sessions' states.
pub struct Live {
    states: Mutex<States>,
    /// Hashes of ids whose rows were written lately, so that they are not written with every event.
    ids: Mutex<HashSet<u64>>,
    prices: RwLock<Arc<Prices>>,
}

#[derive(Default)]
struct States {
    by_key: HashMap<[u8; 16], (u64, Arc<SessionState>)>,
    tick: u64,
}

/// Why a session's state cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A row of the index.
    #[error(transparent)]
    Row(#[from] rows::RowError),
}

impl Live {
    /// Nothing held yet.
    #[must_use]
    pub fn new(prices: Prices) -> Self {
        Live { states: Mutex::default(), ids: Mutex::default(), prices: RwLock::new(Arc::new(prices)) }
    }

    /// The prices in force.
    #[must_use]
    pub fn prices(&self) -> Arc<Prices> {
        Arc::clone(&self.prices.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts other prices in force and forgets all states, which hold costs.
    pub fn set_prices(&self, prices: Prices) {
        *self.prices.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(prices);
        self.clear();
    }

    /// Forgets all states.
    pub fn clear(&self) {
        self.lock().by_key.clear();
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Whether an id was not seen lately. For the writer only.
    pub fn is_new_id(&self, id: &str) -> bool {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        if ids.len() >= MAX_IDS {
            ids.clear();
        }
        ids.insert(text_hash(id))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, States> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self, key: [u8; 16]) -> Option<Arc<SessionState>> {
        let mut states = self.lock();
        states.tick += 1;
        let tick = states.tick;
        let (used, state) = states.by_key.get_mut(&key)?;
        *used = tick;
        Some(Arc::clone(state))
    }

    /// A session's state, for reading. Empty where there is no such session.
    pub fn get(&self, reader: &Reader, session_id: &str) -> Result<Arc<SessionState>, LiveError> {
        let key = ids::session_key(session_id);
        match self.held(key) {
            Some(state) => Ok(state),
            None => Ok(Arc::new(self.load(reader, session_id)?)),
        }
    }

    /// Adds a fact to a session's state, and holds it at least until [`Live::trim`]: the index does not have
    /// the fact yet. Gives what it changed beyond the state. For the writer only.
    pub fn apply(
        &self,
        reader: &Reader,
        session_id: &str,
        fact: &Fact,
        at: Locator,
    ) -> Result<Changes, LiveError> {
        let key = ids::session_key(session_id);
        let mut state = match self.lock().by_key.remove(&key) {
            Some((_, state)) => state,
            None => Arc::new(self.load(reader, session_id)?),
        };
        // Copies only while a query is reading it.
        let changes = Arc::make_mut(&mut state).apply(fact, at);
        let mut states = self.lock();
        states.tick += 1;
        let tick = states.tick;
        states.by_key.insert(key, (tick, state));
        Ok(changes)
    }

    /// Lets go of what is too much. For the writer, once the index has what the states have.
    pub fn trim(&self) {
        self.lock().shrink(MAX_WEIGHT, MAX_SESSIONS);
    }

    /// Lets go of what a daemon at rest need not hold.
    pub fn rest(&self) {
        self.lock().shrink(REST_WEIGHT, REST_SESSIONS);
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        *ids = HashSet::new();
    }

    fn load(&self, reader: &Reader, session_id: &str) -> Result<SessionState, LiveError> {
        let mut state = SessionState::new(session_id);
        let prices = self.prices();
        let (from, to) = rows::session_records(ids::session_key(session_id));
        for row in reader.scan(&from, &to) {
            let (_, value) = row?;
            let Ok(bytes) = <[u8; 10]>::try_from(value.as_slice()) else { continue };
            let at = Locator::from_bytes(bytes);
            // A damaged record costs its own fact; the rest of the session is served.
            match reader.record(at).map_err(LiveError::from).and_then(|r| read_fact(reader, &r, &prices)) {
                Ok(Some((_, fact))) => drop(state.apply(&fact, at)),
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "a record of a session cannot be read"),
            }
        }
        Ok(state)
    }
}

impl States {
    fn shrink(&mut self, max_weight: usize, max_sessions: usize) {
        let mut weight: usize = self.by_key.values().map(|(_, s)| s.weight()).sum();
        if weight <= max_weight && self.by_key.len() <= max_sessions {
            return;
        }
        let mut oldest: Vec<_> = self.by_key.iter().map(|(key, (used, _))| (*used, *key)).collect();
        oldest.sort_unstable();
        for (_, key) in oldest {
            // A little further than needed, so that it is not done with every event.
            let fits = weight <= max_weight / 4 * 3 && self.by_key.len() <= max_sessions / 4 * 3;
            if fits || self.by_key.len() <= 1 {
                break;
            }
            weight -= self.by_key.remove(&key).map_or(0, |(_, state)| state.weight());
        }
        self.by_key.shrink_to_fit();
    }
}

/// The bytes of a captured body.
pub fn body(reader: &Reader, stored: &Stored) -> Result<Vec<u8>, StoreError> {
    match stored {
        Stored::Inline(bytes) => Ok(bytes.clone()),
        Stored::Blob(blob) => reader.blob(blob),
    }
}

/// Reads a record into its fact and the session it belongs to. `None` where it tells nothing.
pub fn read_fact(
    reader: &Reader,
    record: &Record,
    prices: &Prices,
) -> Result<Option<(String, Fact)>, LiveError> {
    match record::read(record) {
        Ok(Payload::Hook(hook)) => {
            let bytes = body(reader, &hook.body)?;
            Ok(hook::read(hook.arrived_ns, &hook.client, &bytes)
                .map(|facts| (facts.session_id.clone(), Fact::Hook(Box::new(facts)))))
        }
        Ok(Payload::Exchange(exchange)) => {
            let request = body(reader, &exchange.request.stored)?;
            let response = body(reader, &exchange.response.stored)?;
            Ok(Some(exchange_fact(&exchange, &request, &response, prices)))
        }
        Ok(Payload::Transcript(lines)) => {
            let bytes = body(reader, &lines.body)?;
            Ok(transcript::read(&lines, &bytes)
                .map(|facts| (facts.session_id.clone(), Fact::Transcript(Box::new(facts)))))
        }
        Ok(Payload::Foreign(lines)) => {
            let bytes = body(reader, &lines.body)?;
            Ok(foreign::read(&lines.format, record.at_ns, &bytes))
        }
        Ok(Payload::Telemetry(told)) => {
            let bytes = body(reader, &told.body)?;
            Ok(telemetry_fact(&told, &bytes))
        }
        Ok(
            Payload::Gap(_)
            | Payload::Status(_)
            | Payload::Notice(_)
            | Payload::Detection(_)
            | Payload::Intervention(_)
            | Payload::Judgement(_),
        ) => Ok(None),
        Err(error) => {
            tracing::warn!(seq = record.seq, %error, "a record cannot be read");
            Ok(None)
        }
    }
}

/// What an item of telemetry tells, and its session.
#[must_use]
pub fn telemetry_fact(record: &TelemetryV1, body: &[u8]) -> Option<(String, Fact)> {
    let signal = match record.signal {
        SignalV1::Resource => return None,
        SignalV1::Log => telemetry::Signal::Log,
        SignalV1::Span => telemetry::Signal::Span,
        SignalV1::Metric => telemetry::Signal::Metric,
    };
    let facts = telemetry::read(signal, &record.session_id, record.at_ns, body)?;
    Some((facts.session_id.clone(), Fact::Telemetry(Box::new(facts))))
}

/// An exchange's fact, and its session (empty where it names none).
#[must_use]
pub fn exchange_fact(
    record: &ExchangeV3,
    request: &[u8],
    response: &[u8],
    prices: &Prices,
) -> (String, Fact) {
    let facts = exchange::read(record, request, response, prices);
    (facts.row.session_id.clone().unwrap_or_default(), Fact::Exchange(Box::new(facts)))
}
