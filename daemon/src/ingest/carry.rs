//! What outlives the records that are let go of: their usage, as charges (how far transcripts were taken, and the judgements
//! in force, are kept beside it: [`super::cursors`], [`super::findings`]). Kept in the store's manifest, in frozen structs.
//!
//! Charges, not sums: what is told again of a message whose records are gone (a transcript that is imported once more, a
//! price that was not known) still finds it, and is never counted twice. Ids of messages and requests are kept as the
//! hashes that they are found by; names that repeat are kept once.
//!
//! Must never be changed once released: a new shape is a new schema number, and a reader for the old one stays.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ccd_proto::api::Tokens;
use ccd_store::{Reader, ViewWriter};
use serde::{Deserialize, Serialize};

use super::ledger::Ledger;
use super::writer::WriteError;
use crate::live::LiveError;
use crate::project::account::{Account, Total, Totals};
use crate::project::billed::{Charge, ChargeKey, Measured, Seen};
use crate::project::price::Prices;
use crate::project::rows::{self, RowError};

const SCHEMA: u8 = 2;
/// More than a decade of charges.
const LIMIT: usize = 1 << 30;
/// Charges put back as one batch.
const BATCH: usize = 1024;

/// Everything kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct CarriedV1 {
    /// Names that others refer to by their place.
    names: Vec<String>,
    sessions: Vec<SessionV1>,
    charges: Vec<ChargeV1>,
    closings: Vec<ClosingV1>,
}

/// Schema 2: everything kept, and behind it what telemetry says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct CarriedV2 {
    first: CarriedV1,
    told: Vec<ToldV1>,
}

/// What telemetry says of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct ToldV1 {
    message: u64,
    request: u64,
    seen: SeenV1,
}

/// A session: its key, and what its account knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct SessionV1 {
    key: [u8; 16],
    id: String,
    home: Option<(u64, String)>,
    agents: Vec<(u32, u32)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct ChargeV1 {
    message: u64,
    request: u64,
    proxy: Option<SeenV1>,
    transcript: Option<SeenV1>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct SeenV1 {
    born_ns: u64,
    session: u32,
    agent: Option<u32>,
    copied: bool,
    at_ns: u64,
    model: u32,
    /// Input, output, read, written for 5 minutes, for an hour.
    tokens: [u64; 5],
    web_searches: u64,
    tier: u32,
    speed: u32,
    branch: u32,
    purpose: u32,
    cut: bool,
    asked: Vec<(u64, u32, u64)>,
    brought: Vec<(u64, u32, u64)>,
    answer_bytes: u64,
    fresh_bytes: u64,
    previous_prompt: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct ClosingV1 {
    start_ns: u64,
    session: u32,
    at_ns: u64,
    totals: Vec<(u32, [u64; 5], u64)>,
}

fn split(t: &Tokens) -> [u64; 5] {
    [t.input, t.output, t.cache_read, t.cache_write_5m, t.cache_write_1h]
}

fn joined([input, output, cache_read, short, long]: [u64; 5]) -> Tokens {
    Tokens { input, output, cache_read, cache_write_5m: short, cache_write_1h: long }
}

/// Gathers what is kept.
#[derive(Default)]
struct Packer {
    out: CarriedV1,
    told: Vec<ToldV1>,
    names: HashMap<String, u32>,
    sessions: HashMap<[u8; 16], u32>,
}

impl Packer {
    fn name(&mut self, name: &str) -> u32 {
        if let Some(place) = self.names.get(name) {
            return *place;
        }
        let place = u32::try_from(self.out.names.len()).unwrap_or(u32::MAX);
        self.out.names.push(name.to_owned());
        self.names.insert(name.to_owned(), place);
        place
    }

    fn session(&mut self, key: [u8; 16]) -> u32 {
        let next = u32::try_from(self.out.sessions.len()).unwrap_or(u32::MAX);
        let place = *self.sessions.entry(key).or_insert(next);
        if place == next {
            self.out.sessions.push(SessionV1 { key, ..SessionV1::default() });
        }
        place
    }

    fn account(&mut self, key: [u8; 16], account: Account) {
        let agents = account.agents.iter().map(|(id, kind)| (self.name(id), self.name(kind))).collect();
        let place = self.session(key) as usize;
        if let Some(session) = self.out.sessions.get_mut(place) {
            *session = SessionV1 { key, id: account.session_id, home: account.home, agents };
        }
    }

    fn parts(&mut self, parts: &BTreeMap<u64, Measured>) -> Vec<(u64, u32, u64)> {
        parts.iter().map(|(key, (tool, bytes))| (*key, self.name(tool), *bytes)).collect()
    }

    fn seen(&mut self, seen: &Seen) -> SeenV1 {
        SeenV1 {
            born_ns: seen.born_ns,
            session: self.session(seen.session),
            agent: seen.agent.as_deref().map(|agent| self.name(agent)),
            copied: seen.copied,
            at_ns: seen.at_ns,
            model: self.name(&seen.model),
            tokens: split(&seen.tokens),
            web_searches: seen.web_searches,
            tier: self.name(&seen.tier),
            speed: self.name(&seen.speed),
            branch: self.name(&seen.branch),
            purpose: self.name(&seen.purpose),
            cut: seen.cut,
            asked: self.parts(&seen.asked),
            brought: self.parts(&seen.brought),
            answer_bytes: seen.answer_bytes,
            fresh_bytes: seen.fresh_bytes,
            previous_prompt: seen.previous_prompt,
        }
    }

    fn charge(&mut self, key: ChargeKey, charge: &Charge) {
        if let Some(seen) = charge.telemetry.as_ref().filter(|_| charge.is_told_only()) {
            let seen = self.seen(seen);
            self.told.push(ToldV1 { message: key.message, request: key.request, seen });
            return;
        }
        let kept = ChargeV1 {
            message: key.message,
            request: key.request,
            proxy: charge.proxy.as_ref().map(|seen| self.seen(seen)),
            transcript: charge.transcript.as_ref().map(|seen| self.seen(seen)),
        };
        self.out.charges.push(kept);
    }
}

impl CarriedV1 {
    fn name(&self, place: u32) -> String {
        self.names.get(place as usize).cloned().unwrap_or_default()
    }

    fn session(&self, place: u32) -> [u8; 16] {
        self.sessions.get(place as usize).map_or([0; 16], |s| s.key)
    }

    fn parts(&self, parts: &[(u64, u32, u64)]) -> BTreeMap<u64, Measured> {
        parts.iter().map(|(key, tool, bytes)| (*key, (self.name(*tool), *bytes))).collect()
    }

    fn seen(&self, kept: &SeenV1) -> Seen {
        Seen {
            born_ns: kept.born_ns,
            session: self.session(kept.session),
            agent: kept.agent.map(|agent| self.name(agent)),
            copied: kept.copied,
            at_ns: kept.at_ns,
            model: self.name(kept.model),
            tokens: joined(kept.tokens),
            web_searches: kept.web_searches,
            tier: self.name(kept.tier),
            speed: self.name(kept.speed),
            branch: self.name(kept.branch),
            purpose: self.name(kept.purpose),
            cut: kept.cut,
            asked: self.parts(&kept.asked),
            brought: self.parts(&kept.brought),
            answer_bytes: kept.answer_bytes,
            fresh_bytes: kept.fresh_bytes,
            previous_prompt: kept.previous_prompt,
        }
    }

    fn charge(&self, kept: &ChargeV1) -> (ChargeKey, Charge) {
        let charge = Charge {
            proxy: kept.proxy.as_ref().map(|seen| self.seen(seen)),
            transcript: kept.transcript.as_ref().map(|seen| self.seen(seen)),
            ..Charge::default()
        };
        (ChargeKey { message: kept.message, request: kept.request }, charge)
    }
}

/// All usage that a generation of the index knows, as bytes to keep.
pub(super) fn collect(reader: &Reader) -> Result<Vec<u8>, LiveError> {
    let mut packer = Packer::default();
    let (from, to) = rows::accounts();
    for row in reader.scan(&from, &to) {
        let (key, value) = row?;
        if let Some(key) = key.get(1..17).and_then(|k| k.try_into().ok()) {
            packer.account(key, rows::decode(&value)?);
        }
    }
    let (from, to) = rows::charges();
    for row in reader.scan(&from, &to) {
        let (key, value) = row?;
        if let Some(key) = rows::charge_of_key(&key) {
            packer.charge(key, &rows::decode(&value)?);
        }
    }
    let (from, to) = rows::all_closings();
    for row in reader.scan(&from, &to) {
        let (key, value) = row?;
        let Some((start_ns, session, at_ns)) = rows::closing_of_key(&key) else { continue };
        let totals: Totals = rows::decode(&value)?;
        let session = packer.session(session);
        let totals = totals.iter().map(|(m, t)| (packer.name(m), split(&t.tokens), t.web_searches)).collect();
        packer.out.closings.push(ClosingV1 { start_ns, session, at_ns, totals });
    }
    Ok(encode(&CarriedV2 { first: packer.out, told: packer.told })?)
}

fn encode(kept: &CarriedV2) -> Result<Vec<u8>, RowError> {
    let mut bytes = vec![SCHEMA];
    bytes.extend(rows::encode(kept)?);
    Ok(bytes)
}

fn decode(bytes: &[u8]) -> Result<CarriedV2, RowError> {
    match bytes.split_first() {
        None => Ok(CarriedV2::default()),
        Some((1, body)) => {
            let first = rows::decode_within::<_, LIMIT>(body)?;
            Ok(CarriedV2 { first, told: Vec::new() })
        }
        Some((&SCHEMA, body)) => rows::decode_within::<_, LIMIT>(body),
        Some((schema, _)) => {
            Err(RowError::new(format!("kept usage of schema {schema}: written by a newer ccd")))
        }
    }
}

/// Books what was kept in a new generation. Done again after a failure, it changes nothing more.
pub(super) fn restore(
    bytes: &[u8],
    views: &mut impl ViewWriter,
    prices: &Arc<Prices>,
) -> Result<(), WriteError> {
    let CarriedV2 { first: kept, told } = decode(bytes)?;
    let reader = views.reader();
    for sessions in kept.sessions.chunks(BATCH) {
        let mut ledger = Ledger::new(&reader, Arc::clone(prices));
        // Those without a name are only referred to.
        for session in sessions.iter().filter(|session| !session.id.is_empty()) {
            let agents = session.agents.iter().map(|(id, kind)| (kept.name(*id), kept.name(*kind))).collect();
            ledger.keep(Account {
                session_id: session.id.clone(),
                home: session.home.clone(),
                agents,
                ..Account::default()
            })?;
        }
        views.apply(views.applied(), ledger.finish()?.mutations)?;
    }
    for charges in kept.charges.chunks(BATCH) {
        let mut ledger = Ledger::new(&reader, Arc::clone(prices));
        for (key, charge) in charges.iter().map(|charge| kept.charge(charge)) {
            ledger.merge(key, charge)?;
        }
        views.apply(views.applied(), ledger.finish()?.mutations)?;
    }
    for told in told.chunks(BATCH) {
        let mut ledger = Ledger::new(&reader, Arc::clone(prices));
        for one in told {
            let key = ChargeKey { message: one.message, request: one.request };
            let telemetry = Some(kept.seen(&one.seen));
            ledger.merge(key, Charge { telemetry, ..Charge::default() })?;
        }
        views.apply(views.applied(), ledger.finish()?.mutations)?;
    }
    for closings in kept.closings.chunks(BATCH) {
        let mut ledger = Ledger::new(&reader, Arc::clone(prices));
        for closing in closings {
            let total = |(model, tokens, web_searches): &(u32, [u64; 5], u64)| {
                (kept.name(*model), Total { tokens: joined(*tokens), web_searches: *web_searches })
            };
            let totals = closing.totals.iter().map(total).collect();
            ledger.close_with(closing.start_ns, kept.session(closing.session), closing.at_ns, totals)?;
        }
        views.apply(views.applied(), ledger.finish()?.mutations)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kept() -> CarriedV2 {
        let mut packer = Packer::default();
        let seen = Seen {
            born_ns: 5,
            session: [7; 16],
            at_ns: 9,
            model: "m".into(),
            tokens: Tokens { input: 300, output: 2, ..Tokens::default() },
            asked: BTreeMap::from([(1, ("Bash".into(), 4))]),
            ..Seen::default()
        };
        let charge = Charge { transcript: Some(seen.clone()), ..Charge::default() };
        packer.charge(ChargeKey { message: 1, request: 2 }, &charge);
        let told = Charge { telemetry: Some(Seen { asked: BTreeMap::new(), ..seen }), ..Charge::default() };
        packer.charge(ChargeKey { message: 3, request: 2 }, &told);
        packer.account([7; 16], Account { session_id: "s".into(), ..Account::default() });
        CarriedV2 { first: packer.out, told: packer.told }
    }

    #[test]
    fn charges_come_back() {
        let kept = kept();
        assert_eq!(decode(&encode(&kept).unwrap()).unwrap(), kept);
        let kept = kept.first;
        let (key, charge) = kept.charge(&kept.charges[0]);
        assert_eq!(key, ChargeKey { message: 1, request: 2 });
        let seen = charge.transcript.unwrap();
        assert_eq!((seen.session, seen.tokens.input, &*seen.model), ([7; 16], 300, "m"));
        assert_eq!(seen.asked, BTreeMap::from([(1, ("Bash".to_owned(), 4))]));
    }

    #[test]
    fn golden_bytes_of_the_first_schema() {
        let bytes = [
            &[1, 3, 1, b'm', 0, 4][..],
            b"Bash",
            &[1],
            &[7; 16],
            &[1, b's', 0, 0, 1, 1, 2, 0, 1, 5, 0, 0, 0, 9, 0, 251, 44, 1, 2, 0, 0, 0, 0, 1, 1, 1, 1, 0],
            &[1, 1, 2, 4, 0, 0, 0, 0, 0],
        ]
        .concat();
        let first = CarriedV2 { told: Vec::new(), ..kept() };
        assert_eq!(decode(&bytes).unwrap(), first);
        assert!(decode(&[]).unwrap() == CarriedV2::default() && decode(&[9, 1]).is_err());
        // The second: the same, and what telemetry says.
        let told = [1, 3, 2, 5, 0, 0, 0, 9, 0, 251, 44, 1, 2, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0];
        let bytes = [&[2][..], &bytes[1..], &told].concat();
        assert_eq!(encode(&kept()).unwrap(), bytes);
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }
    }
}
