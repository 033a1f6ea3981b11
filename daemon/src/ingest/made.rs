//! From what waits at the door to records for the journal: known ones dropped, bodies put where they belong, facts read.
//!
//! Must never acknowledge an event whose record is not in the batch that is about to be journalled.

use ccd_store::{RecordId, Store};
use tokio::sync::oneshot;

use super::record::{BodyV1, GapV1, HookV1, INLINE_MAX, Stored};
use super::writer::{WriteError, Writer, answer};
use super::{Ack, CapturedExchange, HookEvent, Ready, Submission, concat};
use crate::detect::Told;
use crate::detect::events::{self, Answered};
use crate::live::exchange_fact;
use crate::project::hook::{self, HookKind};
use crate::project::session::Fact;

/// A submission turned into a record, before it is journalled.
pub(super) struct Pending {
    pub(super) record: ccd_store::NewRecord,
    pub(super) fact: Option<(String, Fact)>,
    pub(super) ack: Option<oneshot::Sender<Ack>>,
    /// What it has for the detectors, where that is at hand.
    pub(super) told: Option<Told>,
    /// Its body lies in the packs.
    pub(super) has_blob: bool,
}

impl Writer {
    /// The records of what is new in a batch, and who waits for what is known already.
    pub(super) fn made(
        &self,
        store: &mut Store,
        reader: &ccd_store::Reader,
        batch: Vec<Submission>,
    ) -> (Vec<Pending>, Vec<oneshot::Sender<Ack>>) {
        let mut pending: Vec<Pending> = Vec::new();
        let mut again: Vec<oneshot::Sender<Ack>> = Vec::new();
        // Of events that came twice in this batch: durable if the first of them is.
        let mut twins: Vec<([u8; 16], oneshot::Sender<Ack>)> = Vec::new();
        for submission in batch {
            let began_ns = submission.began_ns();
            let (id, submission) = match (identity(&submission), submission) {
                (Some(_), submission) if !self.complete => {
                    answer(who_waits(submission), Ack::Refused);
                    continue;
                }
                (Some(id), submission) => {
                    let twin = pending.iter().any(|p| p.record.id == id);
                    match reader.contains(&id) {
                        // Delivered twice: recorded once, acknowledged both times.
                        Ok(true) => {
                            again.extend(who_waits(submission));
                            continue;
                        }
                        Ok(false) if twin => {
                            twins.extend(who_waits(submission).map(|ack| (id, ack)));
                            continue;
                        }
                        Ok(false) => (id, submission),
                        Err(e) => {
                            self.refuse(&e.into(), who_waits(submission), began_ns);
                            continue;
                        }
                    }
                }
                (None, submission) => ([0; 16], submission),
            };
            let made = match submission {
                Submission::Hook(event, ack) => hook_record(store, id, event, ack),
                Submission::Exchange(captured) => {
                    self.exchange_record(store, *captured).map_err(|e| (e, None))
                }
                Submission::Gap(gap, id, ack) => gap_record(&gap, id, Some(ack)),
                Submission::Kept(captured, ack) => match self.exchange_record(store, *captured) {
                    Ok(made) => Ok(Pending { ack: Some(ack), ..made }),
                    Err(e) => Err((e, Some(ack))),
                },
                Submission::Ready(ready, ack) => {
                    let Ready { record, fact } = *ready;
                    Ok(Pending { record, fact, ack: Some(ack), told: None, has_blob: false })
                }
                Submission::Task(_) | Submission::Swap(_) | Submission::Missed | Submission::Stop => continue,
            };
            match made {
                Ok(made) => pending.push(made),
                Err((error, ack)) => {
                    self.refuse(&error, ack, began_ns);
                    // The store gave up every body since the last sync: whoever has one here has lost it.
                    let (lost, kept): (Vec<_>, Vec<_>) = pending.into_iter().partition(|p| p.has_blob);
                    pending = kept;
                    for p in lost {
                        self.refuse(&error, p.ack, p.record.at_ns);
                    }
                }
            }
        }
        for (id, ack) in twins {
            if pending.iter().any(|p| p.record.id == id) {
                again.push(ack);
            } else {
                answer([ack], Ack::Refused);
            }
        }
        (pending, again)
    }

    fn exchange_record(&self, store: &mut Store, captured: CapturedExchange) -> Result<Pending, WriteError> {
        let CapturedExchange { mut record, request, response, budget } = captured;
        let request = concat(request);
        let response = concat(response);
        // Requests of one conversation repeat each other; a subagent's repeat its own.
        let family = format!(
            "{} {}",
            record.session_id.as_deref().unwrap_or(""),
            record.agent_id.as_deref().unwrap_or("")
        );
        record.request = stored(store, family.as_bytes(), &request, &record.request)?;
        record.response = stored(store, format!("< {family}").as_bytes(), &response, &record.response)?;
        let prices = self.shared.live.prices();
        let mut fact = exchange_fact(&record, &request, &response, &prices);
        drop(budget);
        let told = match &mut fact {
            (session, Fact::Exchange(facts)) if !session.is_empty() => Answered::take(facts, &prices),
            _ => None,
        };
        let told = told.map(|answer| Told::Answer(Box::new(answer)));
        let in_packs = |body: &BodyV1| matches!(body.stored, Stored::Blob(_));
        let has_blob = in_packs(&record.request) || in_packs(&record.response);
        Ok(Pending { record: record.to_record()?, fact: Some(fact), ack: None, told, has_blob })
    }
}

/// The id of what may have come before; an exchange comes once.
fn identity(submission: &Submission) -> Option<RecordId> {
    match submission {
        Submission::Hook(event, _) => Some(event.id),
        Submission::Gap(_, id, _) => Some(*id),
        Submission::Kept(captured, _) => Some(captured.record.id),
        Submission::Ready(ready, _) => Some(ready.record.id),
        _ => None,
    }
}

fn who_waits(submission: Submission) -> Option<oneshot::Sender<Ack>> {
    match submission {
        Submission::Hook(_, ack) => ack,
        Submission::Gap(_, _, ack) | Submission::Kept(_, ack) | Submission::Ready(_, ack) => Some(ack),
        _ => None,
    }
}

pub(super) type Made = Result<Pending, (WriteError, Option<oneshot::Sender<Ack>>)>;

fn hook_record(store: &mut Store, id: [u8; 16], event: HookEvent, ack: Option<oneshot::Sender<Ack>>) -> Made {
    let HookEvent { arrived_ns, client, body, .. } = event;
    let facts = hook::read(arrived_ns, &client, &body);
    let told = facts.as_ref().filter(|facts| events::is_telling(&facts.event));
    let told = told.map(|facts| Told::Hook(body.clone(), facts.kind == HookKind::SessionEnd));
    let fact = facts.map(|f| (f.session_id.clone(), Fact::Hook(Box::new(f))));
    let made = (|| -> Result<_, WriteError> {
        let body = if body.len() <= INLINE_MAX {
            Stored::Inline(body.to_vec())
        } else {
            Stored::Blob(store.put_blob(b"", &body)?)
        };
        let has_blob = matches!(body, Stored::Blob(_));
        Ok((HookV1 { arrived_ns, client, body }.to_record(id)?, has_blob))
    })();
    match made {
        Ok((record, has_blob)) => Ok(Pending { record, fact, ack, told, has_blob }),
        Err(error) => Err((error, ack)),
    }
}

pub(super) fn gap_record(gap: &GapV1, id: [u8; 16], ack: Option<oneshot::Sender<Ack>>) -> Made {
    match gap.to_record(id) {
        Ok(record) => Ok(Pending { record, fact: None, ack, told: None, has_blob: false }),
        Err(error) => Err((error.into(), ack)),
    }
}

fn stored(store: &mut Store, family: &[u8], bytes: &[u8], body: &BodyV1) -> Result<BodyV1, WriteError> {
    let stored = if bytes.len() <= 512 {
        Stored::Inline(bytes.to_vec())
    } else {
        Stored::Blob(store.put_blob(family, bytes)?)
    };
    Ok(BodyV1 { stored, ..*body })
}
