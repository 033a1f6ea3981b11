//! The books: from what sources say of billed messages to charges, sessions' accounts and roll-ups.
//!
//! A batch's observations are merged in memory; then each charge that changed is taken out of every sum that it was in
//! and put into those that it belongs in now. What was booked is never remembered by itself: it follows from the rows as
//! they were before the batch.
//!
//! What telemetry says of a request is a charge that counts only while no other source has one of that request: it moves
//! out of the sums when another comes, whichever is first.
//!
//! Invariant: after each batch, the sum of all charges that count, plus the remainders, is the sum of all accounts and of
//! each family of roll-ups. Must never depend on the order in which observations come.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use ccd_store::{Mutation, Reader};

use crate::live::LiveError;
use crate::project::account::{Account, Closing, Totals, raise, remainder, totals};
use crate::project::billed::{Bill, Charge, ChargeKey};
use crate::project::charge::{CostState, Observation};
use crate::project::foreign::is_foreign_start;
use crate::project::price::Prices;
use crate::project::session::SessionState;
use crate::project::tally::{self, Dims, Family, Tally};
use crate::project::{ids, rows, share};

type SessionKey = [u8; 16];

/// A charge's bill before the batch and after it, where it counts.
type Change = (ChargeKey, Option<Bill>, Option<Bill>);

/// A charge before the batch and after it.
#[derive(Default)]
struct Entry {
    old: Option<Charge>,
    new: Option<Charge>,
}

/// An account before the batch and after it.
struct Booked {
    old: Option<Account>,
    new: Account,
}

/// What is booked by a batch.
pub(super) struct Ledger<'a> {
    reader: &'a Reader,
    prices: Arc<Prices>,
    charges: BTreeMap<ChargeKey, Entry>,
    accounts: BTreeMap<SessionKey, Booked>,
    names: BTreeMap<SessionKey, String>,
    closings: BTreeMap<(u64, SessionKey, u64), Totals>,
    cells: HashMap<(u32, Dims), Tally>,
    /// Whether telemetry has told of any request, as far as it was looked up.
    told: Option<bool>,
    /// Keys of [`rows::session_charge`]: there, or not there any more.
    links: BTreeMap<Vec<u8>, bool>,
}

/// What a batch changes.
pub(super) struct Books {
    pub(super) mutations: Vec<Mutation>,
    /// Accounts that changed, and those of the sessions that were looked at.
    pub(super) accounts: Vec<Account>,
    /// Charges whose rows changed.
    pub(super) charges: Vec<ChargeKey>,
}

impl<'a> Ledger<'a> {
    pub(super) fn new(reader: &'a Reader, prices: Arc<Prices>) -> Self {
        Ledger {
            reader,
            prices,
            charges: BTreeMap::new(),
            accounts: BTreeMap::new(),
            names: BTreeMap::new(),
            closings: BTreeMap::new(),
            cells: HashMap::new(),
            told: None,
            links: BTreeMap::new(),
        }
    }

    /// Adds what a source says.
    pub(super) fn observe(&mut self, observation: &Observation) -> Result<(), LiveError> {
        let key = ChargeKey::new(&observation.message_id, observation.request.as_deref());
        self.names
            .entry(ids::session_key(&observation.session_id))
            .or_insert_with(|| observation.session_id.clone());
        self.merge(key, Charge::of(observation))
    }

    /// Adds a charge that was kept, or a part of one.
    pub(super) fn merge(&mut self, key: ChargeKey, charge: Charge) -> Result<(), LiveError> {
        let entry = self.entry(key)?;
        match &mut entry.new {
            Some(known) => known.merge(charge),
            None => entry.new = Some(charge),
        }
        Ok(())
    }

    /// Adds a client's closing totals.
    pub(super) fn close(&mut self, state: &CostState) -> Result<(), LiveError> {
        let session = ids::session_key(&state.session_id);
        self.names.entry(session).or_insert_with(|| state.session_id.clone());
        self.close_with(state.start_ns, session, state.at_ns, totals(state))
    }

    /// The same of what was kept.
    pub(super) fn close_with(
        &mut self,
        start_ns: u64,
        session: SessionKey,
        at_ns: u64,
        new: Totals,
    ) -> Result<(), LiveError> {
        let at = (start_ns, session, at_ns);
        if !self.closings.contains_key(&at) {
            let row = self.reader.get(&rows::closing(start_ns, session, at_ns))?;
            let known = row.map(|bytes| rows::decode(&bytes)).transpose()?.unwrap_or_default();
            self.closings.insert(at, known);
        }
        if let Some(known) = self.closings.get_mut(&at) {
            raise(known, new);
        }
        let starts = &mut self.account(session)?.new.starts;
        if let Err(place) = starts.binary_search(&start_ns) {
            starts.insert(place, start_ns);
        }
        Ok(())
    }

    /// Takes over what is known of a session by now.
    pub(super) fn learn(&mut self, session_id: &str, state: &SessionState) -> Result<(), LiveError> {
        let key = ids::session_key(session_id);
        self.names.entry(key).or_insert_with(|| session_id.to_owned());
        self.account(key)?.new.learn(state);
        Ok(())
    }

    /// Takes over an account's own knowledge that was kept.
    pub(super) fn keep(&mut self, kept: Account) -> Result<(), LiveError> {
        let key = ids::session_key(&kept.session_id);
        self.names.entry(key).or_insert_with(|| kept.session_id.clone());
        let account = &mut self.account(key)?.new;
        account.home = kept.home;
        account.agents = kept.agents;
        Ok(())
    }

    fn entry(&mut self, key: ChargeKey) -> Result<&mut Entry, LiveError> {
        if !self.charges.contains_key(&key) {
            let old = self.stored(key)?;
            self.charges.insert(key, Entry { new: old.clone(), old });
        }
        Ok(self.charges.entry(key).or_default())
    }

    fn stored(&self, key: ChargeKey) -> Result<Option<Charge>, LiveError> {
        let row = self.reader.get(&rows::charge(key))?;
        Ok(row.map(|bytes| rows::decode(&bytes)).transpose()?)
    }

    fn account(&mut self, key: SessionKey) -> Result<&mut Booked, LiveError> {
        if !self.accounts.contains_key(&key) {
            let row = self.reader.get(&rows::account(key))?;
            let old: Option<Account> = row.map(|bytes| rows::decode(&bytes)).transpose()?;
            let mut new = old.clone().unwrap_or_default();
            if new.session_id.is_empty()
                && let Some(name) = self.names.get(&key)
            {
                new.session_id.clone_from(name);
            }
            self.accounts.insert(key, Booked { old, new });
        }
        let fresh = || Booked { old: None, new: Account::default() };
        Ok(self.accounts.entry(key).or_insert_with(fresh))
    }

    /// Whether a message had a charge with a request before the batch.
    fn had_named(&self, message: u64) -> Result<bool, LiveError> {
        let (from, to) = rows::charges_of(message);
        // The anonymous one comes first.
        for row in self.reader.scan(&from, &to).take(2) {
            if rows::charge_of_key(&row?.0).is_some_and(|key| !key.is_anonymous()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a source other than telemetry had a charge of a request before the batch.
    fn had_other(&self, request: u64) -> Result<bool, LiveError> {
        let (from, to) = rows::request_of(request);
        Ok(self.reader.scan(&from, &to).next().transpose()?.is_some())
    }

    /// Takes up what telemetry has told of the requests whose first charges of another source the batch brings.
    fn take_told(&mut self) -> Result<(), LiveError> {
        if self.told.is_none() {
            self.told = Some(self.reader.get(rows::TOLD)?.is_some());
        }
        if self.told != Some(true) {
            return Ok(());
        }
        let is_new = |(key, entry): (&ChargeKey, &Entry)| {
            let new = entry.new.as_ref().filter(|_| entry.old.is_none() && !key.is_anonymous())?;
            (!new.is_told_only()).then(|| key.told())
        };
        let told: Vec<ChargeKey> = self.charges.iter().filter_map(is_new).collect();
        for key in told {
            self.entry(key)?;
        }
        self.charges.retain(|_, entry| entry.new.is_some());
        Ok(())
    }

    /// The bills before and after of all charges that changed.
    fn changes(&mut self) -> Result<Vec<Change>, LiveError> {
        self.take_told()?;
        let is_other = |entry: &Entry| entry.new.as_ref().is_some_and(|charge| !charge.is_told_only());
        let others: BTreeSet<u64> = self
            .charges
            .iter()
            .filter(|(key, entry)| !key.is_anonymous() && is_other(entry))
            .map(|(key, _)| key.request)
            .collect();
        let messages: BTreeSet<u64> = self.charges.keys().map(|key| key.message).collect();
        let mut out = Vec::with_capacity(self.charges.len());
        for message in messages {
            // A named charge takes the place of the anonymous one.
            let anonymous = ChargeKey { message, request: 0 };
            self.entry(anonymous)?;
            let range = anonymous..=ChargeKey { message, request: u64::MAX };
            let named = self.charges.range(range.clone()).any(|(k, e)| !k.is_anonymous() && e.new.is_some());
            let bare = self.charges.get(&anonymous).is_some_and(|e| e.new.is_some());
            let had_named = bare && self.had_named(message)?;
            let empty = self.charges.get(&anonymous).is_some_and(|e| e.new.is_none());
            for (key, entry) in self.charges.range(range) {
                let bill = |charge: &Option<Charge>, counts: bool| {
                    charge.as_ref().filter(|_| counts || !key.is_anonymous()).map(Charge::bill)
                };
                let (old, new) = if entry.new.as_ref().is_some_and(Charge::is_told_only) {
                    let had = self.had_other(key.request)?;
                    let has = had || others.contains(&key.request);
                    (bill(&entry.old, false).filter(|_| !had), bill(&entry.new, false).filter(|_| !has))
                } else {
                    (bill(&entry.old, !had_named), bill(&entry.new, !had_named && !named))
                };
                if old != new {
                    out.push((*key, old, new));
                }
            }
            if empty {
                self.charges.remove(&anonymous);
            }
        }
        Ok(out)
    }

    /// Books a bill's parts in the cells: once, or minus once.
    fn book(&mut self, dims: &Dims, bill: &Bill, times: i64) {
        let bucket = tally::bucket(bill.at_ns);
        for (tool, part) in share::by_tool(bill, &self.prices) {
            let dims = Dims { tool, ..dims.clone() };
            self.cells.entry((bucket, dims)).or_default().add(&part, times);
        }
    }

    fn count(&mut self, key: ChargeKey, bill: &Bill, times: i64) -> Result<(), LiveError> {
        let whole = share::whole(bill, &self.prices);
        self.account(bill.session)?.new.add(bill, &whole, times);
        self.links.insert(rows::session_charge(bill.session, bill.at_ns, key), times > 0);
        Ok(())
    }

    /// Works everything out.
    pub(super) fn finish(mut self) -> Result<Books, LiveError> {
        let changes = self.changes()?;
        for (key, old, new) in &changes {
            if let Some(bill) = old {
                self.count(*key, bill, -1)?;
            }
            if let Some(bill) = new {
                self.count(*key, bill, 1)?;
            }
        }
        let none = Account::default();
        for (_, old, new) in &changes {
            for (bill, times) in [(old, -1), (new, 1)] {
                let Some(bill) = bill else { continue };
                let booked = self.account(bill.session)?;
                let account = if times < 0 { booked.old.as_ref().unwrap_or(&none) } else { &booked.new };
                let dims = account.dims(bill, share::kind(bill));
                self.book(&dims, bill, times);
            }
        }
        let done: BTreeSet<ChargeKey> = changes.iter().map(|(key, ..)| *key).collect();
        self.move_others(&done)?;
        self.book_remainders()?;
        self.write()
    }

    /// Where a session's project or a subagent's type became known: its charges that did not change move.
    fn move_others(&mut self, done: &BTreeSet<ChargeKey>) -> Result<(), LiveError> {
        let moved: Vec<(SessionKey, Account, Account)> = self
            .accounts
            .iter()
            .filter_map(|(key, booked)| Some((*key, booked.old.clone()?, booked.new.clone())))
            .filter(|(_, old, new)| old.project() != new.project() || old.agents != new.agents)
            .collect();
        for (session, old, new) in moved {
            let from = rows::session_charges_from(session, 0);
            for row in self.reader.scan(&from, &rows::session_charges_end(session)) {
                let Some((_, key)) = rows::charge_of_session_key(&row?.0) else { continue };
                if done.contains(&key) {
                    continue;
                }
                let Some(bill) = self.stored(key)?.map(|c| c.bill()) else { continue };
                let kind = share::kind(&bill);
                let (from, to) = (old.dims(&bill, kind), new.dims(&bill, kind));
                if from != to {
                    self.book(&from, &bill, -1);
                    self.book(&to, &bill, 1);
                }
            }
        }
        Ok(())
    }

    /// Works out again what closing totals have beyond the charges, of all sessions for which that may have changed.
    fn book_remainders(&mut self) -> Result<(), LiveError> {
        let mut families: BTreeMap<u64, Vec<Closing>> = BTreeMap::new();
        let told: BTreeSet<u64> = self.closings.keys().map(|(start, ..)| *start).collect();
        for start in told {
            let family = self.family(start)?;
            for closing in &family {
                self.account(closing.session)?;
            }
            families.insert(start, family);
        }
        let sessions: Vec<SessionKey> = self.accounts.keys().copied().collect();
        for session in sessions {
            let Some(booked) = self.accounts.get(&session) else { continue };
            let (mut starts, charged) = (booked.new.starts.clone(), booked.new.charged());
            if starts.is_empty() {
                continue;
            }
            // What another recorder totals counts only where nothing else was billed.
            if !charged.is_empty() || starts.iter().any(|start| !is_foreign_start(*start)) {
                starts.retain(|start| !is_foreign_start(*start));
            }
            let first_ns = self.first_charge(session)?;
            let mut own = Vec::with_capacity(starts.len());
            for start in starts {
                let family = match families.get(&start) {
                    Some(family) => family.clone(),
                    None => self.family(start)?,
                };
                families.entry(start).or_insert_with(|| family.clone());
                own.push(family);
            }
            let side = remainder(session, first_ns, &own, &charged, &self.prices);
            let Some(booked) = self.accounts.get_mut(&session) else { continue };
            booked.new.side = side;
            let (old, new) = (booked.old.clone().unwrap_or_default(), booked.new.clone());
            if old.side == new.side && old.project() == new.project() {
                continue;
            }
            for (account, times) in [(&old, -1), (&new, 1)] {
                for row in &account.side {
                    let cell = (tally::bucket(row.at_ns), account.side_dims(row));
                    self.cells.entry(cell).or_default().add(&row.tally, times);
                }
            }
        }
        Ok(())
    }

    /// All closing totals of a client's beginning.
    fn family(&self, start_ns: u64) -> Result<Vec<Closing>, LiveError> {
        let (from, to) = rows::closings(start_ns);
        let mut found: BTreeMap<(SessionKey, u64), Totals> = BTreeMap::new();
        for row in self.reader.scan(&from, &to) {
            let (key, value) = row?;
            if let Some((_, session, at_ns)) = rows::closing_of_key(&key) {
                found.insert((session, at_ns), rows::decode(&value)?);
            }
        }
        let of_batch = (start_ns, [0; 16], 0)..=(start_ns, [0xff; 16], u64::MAX);
        for ((_, session, at_ns), totals) in self.closings.range(of_batch) {
            found.insert((*session, *at_ns), totals.clone());
        }
        let closing = |((session, at_ns), totals)| Closing { session, at_ns, totals };
        Ok(found.into_iter().map(closing).collect())
    }

    /// When the first charge of a session's own was; never, if there is none.
    fn first_charge(&self, session: SessionKey) -> Result<u64, LiveError> {
        let (from, to) = (rows::session_charges_from(session, 0), rows::session_charges_end(session));
        let at = |key: &[u8]| rows::charge_of_session_key(key).map_or(u64::MAX, |(at_ns, _)| at_ns);
        let new = self.links.range(from.clone()..to.clone()).find(|(_, there)| **there);
        let mut first = new.map_or(u64::MAX, |(key, _)| at(key));
        for row in self.reader.scan(&from, &to) {
            let (key, _) = row?;
            if self.links.get(&key) != Some(&false) {
                first = first.min(at(&key));
                break;
            }
        }
        Ok(first)
    }

    fn write(self) -> Result<Books, LiveError> {
        let (mut mutations, mut charges) = (Vec::new(), Vec::new());
        for (key, entry) in &self.charges {
            if entry.old != entry.new
                && let Some(charge) = &entry.new
            {
                mutations.push(Mutation::Put(rows::charge(*key), rows::encode(charge)?));
                if charge.is_told_only() {
                    mutations.push(Mutation::Put(rows::TOLD.to_vec(), Vec::new()));
                } else if entry.old.is_none() && !key.is_anonymous() {
                    mutations.push(Mutation::Put(rows::request(*key), Vec::new()));
                }
                charges.push(*key);
            }
        }
        for (key, there) in self.links {
            mutations.push(if there { Mutation::Put(key, Vec::new()) } else { Mutation::Delete(key) });
        }
        for ((start_ns, session, at_ns), totals) in &self.closings {
            let key = rows::closing(*start_ns, *session, *at_ns);
            mutations.push(Mutation::Put(key, rows::encode(totals)?));
        }
        for family in Family::ALL {
            roll_up(self.reader, family, &self.cells, &mut mutations)?;
        }
        let mut accounts = Vec::with_capacity(self.accounts.len());
        for (key, booked) in self.accounts {
            if booked.new.is_blank() {
                // Its charges turned out to be another session's.
                mutations.extend(booked.old.map(|_| Mutation::Delete(rows::account(key))));
            } else if booked.old.as_ref() != Some(&booked.new) {
                mutations.push(Mutation::Put(rows::account(key), rows::encode(&booked.new)?));
            }
            accounts.push(booked.new);
        }
        Ok(Books { mutations, accounts, charges })
    }
}

/// Adds differences to a family's rows.
fn roll_up(
    reader: &Reader,
    family: Family,
    cells: &HashMap<(u32, Dims), Tally>,
    mutations: &mut Vec<Mutation>,
) -> Result<(), LiveError> {
    let mut changes: BTreeMap<Vec<u8>, (Dims, BTreeMap<u32, Tally>)> = BTreeMap::new();
    for ((bucket, dims), tally) in cells {
        let share = family.share(dims, tally);
        if share.is_zero() {
            continue;
        }
        let dims = family.of(dims);
        let (_, quarters) =
            changes.entry(tally::key(family, *bucket, &dims)).or_insert_with(|| (dims, BTreeMap::new()));
        quarters.entry(*bucket).or_default().add(&share, 1);
    }
    for (key, (dims, quarters)) in changes {
        if quarters.values().all(Tally::is_zero) {
            continue;
        }
        let stored = reader.get(&key)?;
        let mut row = match &stored {
            Some(bytes) => tally::Row::decode(bytes)?,
            None => tally::Row::new(&dims),
        };
        for (bucket, tally) in &quarters {
            row.add(*bucket, tally);
        }
        if row.is_empty() {
            mutations.push(Mutation::Delete(key));
        } else {
            let value = rows::encode(&row)?;
            mutations.push(Mutation::Put(key, value));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
