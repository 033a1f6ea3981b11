//! A session's records, read back from the journal in their order.
//!
//! Must never fail on one record: what is damaged costs itself.

use ccd_store::{Locator, Reader};

use super::events::Answered;
use super::session::{Kit, Material, Session, Taken};
use crate::ingest::record::{self, ExchangeV3, Kept, Payload, TranscriptPart};
use crate::live::{LiveError, body};
use crate::project::exchange::{self, ExchangeFacts, ExchangeRow};
use crate::project::price::Prices;
use crate::project::{foreign, ids, rows, transcript};

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// On.
    GoOn,
    /// Enough.
    Enough,
}

/// Hands over what a session's records hold that stand before `before` in the journal, each with its place there and its
/// time.
pub fn records(
    reader: &Reader,
    session_id: &str,
    before: u64,
    prices: &Prices,
    each: &mut dyn FnMut(u64, u64, Material<'_>) -> Next,
) -> Result<(), LiveError> {
    let (from, to) = rows::session_records(ids::session_key(session_id));
    for row in reader.scan(&from, &to) {
        let (_, value) = row?;
        let Ok(bytes) = <[u8; 10]>::try_from(value.as_slice()) else { continue };
        let record = match reader.record(Locator::from_bytes(bytes)) {
            Ok(record) => record,
            Err(error) => {
                tracing::warn!(%error, "a record of a session cannot be read");
                continue;
            }
        };
        if record.seq >= before {
            break;
        }
        match one(reader, &record, prices, each) {
            Ok(Next::GoOn) => {}
            Ok(Next::Enough) => break,
            Err(error) => tracing::warn!(%error, "a record of a session cannot be read"),
        }
    }
    Ok(())
}

fn one(
    reader: &Reader,
    stored: &ccd_store::Record,
    prices: &Prices,
    each: &mut dyn FnMut(u64, u64, Material<'_>) -> Next,
) -> Result<Next, LiveError> {
    let (seq, at_ns) = (stored.seq, stored.at_ns);
    if stored.kind == record::KIND_TRANSCRIPT {
        let Ok((head, kept, _)) = record::transcript(stored) else { return Ok(Next::GoOn) };
        if head.part != TranscriptPart::Lines {
            return Ok(Next::GoOn);
        }
        let agent = transcript::agent_of(&head.path);
        return Ok(match kept {
            Kept::Inline(bytes) => each(seq, at_ns, Material::Lines(agent, bytes)),
            Kept::Blob(blob) => each(seq, at_ns, Material::Lines(agent, &reader.blob(&blob)?)),
        });
    }
    Ok(match record::read(stored) {
        Ok(Payload::Hook(hook)) => {
            let bytes = body(reader, &hook.body)?;
            each(seq, hook.arrived_ns, Material::Hook(hook.arrived_ns, &bytes))
        }
        Ok(Payload::Exchange(exchange)) => match answered(reader, &exchange, prices)? {
            Some(answer) => each(seq, at_ns, Material::Answer(&answer)),
            None => Next::GoOn,
        },
        Ok(Payload::Foreign(lines)) => {
            let bytes = body(reader, &lines.body)?;
            match foreign::content(&lines.format, at_ns, &bytes) {
                Some(foreign::Content::Hook(payload)) => each(seq, at_ns, Material::Payload(at_ns, payload)),
                Some(foreign::Content::Line(line)) => each(seq, at_ns, Material::Lines(None, &line)),
                None => Next::GoOn,
            }
        }
        _ => Next::GoOn,
    })
}

/// The answer in an exchange. Its request may be megabytes and is only read where its row in the index does not say what
/// it was for.
fn answered(reader: &Reader, record: &ExchangeV3, prices: &Prices) -> Result<Option<Answered>, LiveError> {
    let row: Option<ExchangeRow> = reader
        .get(&rows::exchange(record.started_ns, record.id))?
        .map(|bytes| rows::decode(&bytes))
        .transpose()?;
    let response = body(reader, &record.response.stored)?;
    let mut facts = match row {
        Some(row) if row.complete && row.status.is_some_and(|status| status < 400) => {
            let answer = exchange::assemble(record, &response);
            let said = exchange::is_talk(row.purpose()) && answer.usage().is_some();
            ExchangeFacts {
                said: said.then(|| Box::new(exchange::said(&answer))),
                row,
                ..ExchangeFacts::default()
            }
        }
        _ => {
            let request = body(reader, &record.request.stored)?;
            exchange::read(record, &request, &response, prices)
        }
    };
    Ok(Answered::take(&mut facts, prices))
}

/// A session, read from its beginning; `each` is told what came of every record, and ends it early.
pub fn read(
    reader: &Reader,
    session_id: &str,
    before: u64,
    kit: &Kit,
    each: &mut dyn FnMut(u64, Taken) -> Next,
) -> Result<Option<Session>, LiveError> {
    let mut cwd = None;
    loop {
        let mut session: Option<Session> = None;
        // Kept back until it is known that the session is watched where it happens.
        let mut early: Vec<(u64, Taken)> = Vec::new();
        let mut moved = None;
        records(reader, session_id, before, &kit.prices, &mut |seq, at_ns, material| {
            let session = session.get_or_insert_with(|| Session::new(session_id, kit, cwd.clone(), at_ns));
            let taken = session.take(seq, material, None);
            if cwd.is_none() {
                moved = session.moved_to();
                if moved.is_some() {
                    return Next::Enough;
                }
                early.push((seq, taken));
                return Next::GoOn;
            }
            each(seq, taken)
        })?;
        if let Some(told) = moved {
            cwd = Some(told);
            continue;
        }
        for (seq, taken) in early {
            if each(seq, taken) == Next::Enough {
                break;
            }
        }
        return Ok(session);
    }
}
