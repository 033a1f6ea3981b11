//! From the records of detections, interventions and judgements to their rows, within one batch.
//!
//! What a batch changes is held here until its end, so that a judgement finds the detections that came in the same batch,
//! and the other way round: however records are cut into batches, the rows are the same.
//!
//! Invariant: a session's `detections` is the number of its rows that are not dismissed; a row is dismissed if and only
//! if what it is about is.

use std::collections::{BTreeMap, BTreeSet};

use ccd_store::{Mutation, Reader, Record, RecordId, StoreError};

use super::found::{DetectionV1, InterventionV1, JudgementV1};
use super::record::{self, Payload};
use crate::live::LiveError;
use crate::project::detections::{self as rows, About, DetectionRow, Effect, Gist, InterventionRow, Place};
use crate::project::ids;
use crate::project::rows::{Counters, RowError, decode, encode};

/// What is kept of judgements begins with this where any are in force.
const CARRIED: &[u8] = &[0xcc, 2];
/// A hundred thousand judgements.
const LIMIT: usize = 64 << 20;

/// The rows of a batch.
pub(super) struct Findings<'a> {
    reader: &'a Reader,
    /// Detections that were read or changed.
    rows: BTreeMap<Place, DetectionRow>,
    /// Those that changed.
    changed: BTreeSet<Place>,
    /// Those that are new.
    places: BTreeMap<RecordId, u64>,
    /// The last new intervention of each detection.
    done: BTreeMap<RecordId, Place>,
    /// Judgements that came into force, or out of it, by their keys.
    judged: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    mutations: Vec<Mutation>,
    /// By how much the number of a session's detections that are not dismissed changes.
    counts: BTreeMap<String, i64>,
}

/// What a batch changes.
pub(super) struct Found {
    pub(super) mutations: Vec<Mutation>,
    /// The sessions whose detections or interventions changed, and by how much the number of those that are not dismissed did.
    pub(super) counts: BTreeMap<String, i64>,
}

impl<'a> Findings<'a> {
    pub(super) fn new(reader: &'a Reader) -> Self {
        Findings {
            reader,
            rows: BTreeMap::new(),
            changed: BTreeSet::new(),
            places: BTreeMap::new(),
            done: BTreeMap::new(),
            judged: BTreeMap::new(),
            mutations: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    /// Takes a record in. False: it is of another kind.
    pub(super) fn add(&mut self, record: &Record, counters: &mut Counters) -> Result<bool, LiveError> {
        if !matches!(record.kind, record::KIND_DETECTION | record::KIND_INTERVENTION | record::KIND_JUDGEMENT)
        {
            return Ok(false);
        }
        match record::read(record) {
            Ok(Payload::Detection(found)) => {
                counters.detections += 1;
                self.detection(record, &found)?;
            }
            Ok(Payload::Intervention(done)) => {
                counters.interventions += 1;
                self.intervention(record, &done)?;
            }
            Ok(Payload::Judgement(said)) => {
                counters.judgements += 1;
                self.judgement(&said, &record.body)?;
            }
            Ok(_) | Err(_) => {
                tracing::warn!(seq = record.seq, kind = record.kind, "a record cannot be read");
                counters.unreadable += 1;
            }
        }
        Ok(true)
    }

    fn detection(&mut self, record: &Record, found: &DetectionV1) -> Result<(), LiveError> {
        let id = record.id;
        // The journal may have it twice: the first one counts.
        if self.when(id)?.is_some() {
            return Ok(());
        }
        let about = rows::about(found.fingerprint, found.cwd.as_deref());
        let dismissed = self.in_force(&rows::dismissal(about))?;
        let mut row = DetectionRow::new(found, record.locator, dismissed);
        row.intervention = self.last_intervention(id)?;
        let place = (found.at_ns, id);
        *self.counts.entry(found.session_id.clone()).or_default() += i64::from(!dismissed);
        self.put(rows::by_id(id), found.at_ns.to_be_bytes().to_vec());
        self.put(rows::about_key(about, place), Vec::new());
        self.places.insert(id, found.at_ns);
        self.rows.insert(place, row);
        self.changed.insert(place);
        Ok(())
    }

    fn intervention(&mut self, record: &Record, done: &InterventionV1) -> Result<(), LiveError> {
        let place = (done.at_ns, record.id);
        let row = InterventionRow::new(done, record.locator);
        self.put(rows::intervention(place), encode(&row)?);
        self.counts.entry(done.session_id.clone()).or_default();
        let Some(detection) = done.detection else { return Ok(()) };
        self.put(rows::of_detection(detection, place), Vec::new());
        let last = self.done.entry(detection).or_insert(place);
        *last = place.max(*last);
        if let Some(at_ns) = self.when(detection)? {
            self.change((at_ns, detection), |row| {
                row.intervention = row.intervention.max(Some(place));
                0
            })?;
        }
        Ok(())
    }

    fn judgement(&mut self, said: &JudgementV1, body: &[u8]) -> Result<(), LiveError> {
        match rows::effect(said) {
            Effect::Dismiss(about) => {
                self.judged.insert(rows::dismissal(about), Some(body.to_vec()));
                self.dismiss(about, true)
            }
            Effect::Reopen(about) => {
                self.judged.insert(rows::dismissal(about), None);
                self.dismiss(about, false)
            }
            Effect::Except(key) => {
                self.judged.insert(key, Some(body.to_vec()));
                Ok(())
            }
            Effect::Resume(ranges) => {
                for (from, to) in ranges {
                    let known: Vec<_> = self.reader.scan(&from, &to).collect::<Result<_, StoreError>>()?;
                    let new = self.judged.range(from..to).map(|(key, _)| key.clone());
                    let all: Vec<Vec<u8>> = known.into_iter().map(|(key, _)| key).chain(new).collect();
                    self.judged.extend(all.into_iter().map(|key| (key, None)));
                }
                Ok(())
            }
            Effect::Nothing => Ok(()),
        }
    }

    /// Dismisses everything about something, or takes that back.
    fn dismiss(&mut self, about: About, dismissed: bool) -> Result<(), LiveError> {
        let (from, to) = rows::all_about(about);
        let mut places: Vec<Place> =
            self.rows.iter().filter(|(_, row)| row.about == about).map(|(place, _)| *place).collect();
        for row in self.reader.scan(&from, &to) {
            places.extend(rows::of_about_key(&row?.0));
        }
        for place in places {
            self.change(place, |row| {
                let was = std::mem::replace(&mut row.brief.gist.dismissed, dismissed);
                i64::from(was) - i64::from(dismissed)
            })?;
        }
        Ok(())
    }

    /// Changes a row; what is returned is added to the number of its session's detections.
    fn change(&mut self, place: Place, with: impl FnOnce(&mut DetectionRow) -> i64) -> Result<(), LiveError> {
        if !self.rows.contains_key(&place) {
            let Some(bytes) = self.reader.get(&rows::detection(place))? else { return Ok(()) };
            self.rows.insert(place, decode(&bytes)?);
        }
        let Some(row) = self.rows.get_mut(&place) else { return Ok(()) };
        let before = row.clone();
        let more = with(row);
        if *row != before {
            self.changed.insert(place);
        }
        // Of one that was dismissed already, the reason may be another.
        *self.counts.entry(before.session_id).or_default() += more;
        Ok(())
    }

    /// When a detection was, if there is one of this id.
    fn when(&self, id: RecordId) -> Result<Option<u64>, StoreError> {
        if let Some(at_ns) = self.places.get(&id) {
            return Ok(Some(*at_ns));
        }
        let key = rows::by_id(id);
        let row = self.reader.get(&key)?;
        Ok(row.and_then(|value| rows::of_id_key(&key, &value)).map(|(at_ns, _)| at_ns))
    }

    fn last_intervention(&self, detection: RecordId) -> Result<Option<Place>, StoreError> {
        let (from, to) = rows::all_of_detection(detection);
        let mut last = self.done.get(&detection).copied();
        // Newest first; of those of one moment, the one with the least id first.
        let mut newest = None;
        for row in self.reader.scan(&from, &to) {
            let Some(place) = rows::of_detection_key(&row?.0) else { continue };
            if *newest.get_or_insert(place.0) != place.0 {
                break;
            }
            last = last.max(Some(place));
        }
        Ok(last)
    }

    fn in_force(&self, key: &[u8]) -> Result<bool, StoreError> {
        match self.judged.get(key) {
            Some(said) => Ok(said.is_some()),
            None => Ok(self.reader.get(key)?.is_some()),
        }
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.mutations.push(Mutation::Put(key, value));
    }

    /// The rows.
    pub(super) fn finish(mut self) -> Result<Found, RowError> {
        for place in std::mem::take(&mut self.changed) {
            let Some(row) = self.rows.remove(&place) else { continue };
            let key = rows::of_session(ids::session_key(&row.session_id), place);
            self.mutations.push(Mutation::Put(key, encode(&row.brief)?));
            self.mutations.push(Mutation::Put(rows::detection(place), encode(&row)?));
        }
        for (key, said) in self.judged {
            self.mutations.push(match said {
                Some(body) => Mutation::Put(key, body),
                None => Mutation::Delete(key),
            });
        }
        Ok(Found { mutations: self.mutations, counts: self.counts })
    }
}

/// How many of a session's detections are not dismissed, as the index knows them.
pub(super) fn counted(reader: &Reader, session: [u8; 16]) -> Result<u64, LiveError> {
    let (from, to) = rows::session_detections(session, 0, None);
    let mut count = 0;
    for row in reader.scan(&from, &to) {
        count += u64::from(!decode::<Gist>(&row?.1)?.dismissed);
    }
    Ok(count)
}

/// What is kept of records that are let go of, with the judgements in force before it: what the user said of a detection
/// holds for those to come, whatever becomes of the record.
pub(super) fn carried(reader: &Reader, kept: Vec<u8>) -> Result<Vec<u8>, LiveError> {
    let (from, to) = rows::judgements();
    let said: Vec<Vec<u8>> =
        reader.scan(&from, &to).map(|row| row.map(|(_, body)| body)).collect::<Result<_, StoreError>>()?;
    if said.is_empty() {
        return Ok(kept);
    }
    let said = encode(&said)?;
    Ok([CARRIED, &(said.len() as u64).to_le_bytes(), &said, &kept].concat())
}

/// The rows of the judgements in what [`carried`] gave, and the rest of it.
pub(super) fn split(kept: &[u8]) -> Result<(&[u8], Vec<Mutation>), RowError> {
    let Some(rest) = kept.strip_prefix(CARRIED) else { return Ok((kept, Vec::new())) };
    let damaged = || RowError::new("what is kept ends too early".into());
    let (len, rest) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
    let len = usize::try_from(u64::from_le_bytes(*len)).unwrap_or(usize::MAX);
    let (said, rest) = rest.split_at_checked(len).ok_or_else(damaged)?;
    let said: Vec<Vec<u8>> = crate::project::rows::decode_within::<_, LIMIT>(said)?;
    let mut rows = Vec::with_capacity(said.len());
    for body in said {
        match record::judgement(&body).map(|said| rows::effect(&said)) {
            Ok(Effect::Dismiss(about)) => rows.push(Mutation::Put(rows::dismissal(about), body)),
            Ok(Effect::Except(key)) => rows.push(Mutation::Put(key, body)),
            Ok(_) => {}
            Err(error) => return Err(RowError::new(format!("a judgement that is kept: {error}"))),
        }
    }
    Ok((rest, rows))
}

#[cfg(test)]
#[path = "findings_tests.rs"]
mod tests;
