//! Which of a session's records may have which words: read as they are stored, before anything is made of them.
//!
//! Most sessions have none of what is looked for, so this decides how long a search takes. A request's history is read
//! once, with the first request that has it, in order of their beginnings.
//!
//! Must never miss a word that a record brings. A record that cannot be read back has none: nothing could show it.

use std::collections::HashMap;

use ccd_store::{BlobRef, Locator, Record, Seen, StoreError};

use super::words::Words;
use super::{Stop, texts};
use crate::ingest::record::{self, ExchangeV3, Payload, Stored};
use crate::live::body;
use crate::project::exchange::{assemble, decoded_request, request_encoding, response_encoding};
use crate::project::foreign;
use crate::query::{Ask, QueryError};

/// A bit for each word, by record.
#[derive(Debug, Default)]
pub(super) struct Masks {
    /// Of each record that may have any.
    pub of: HashMap<Locator, u32>,
    /// Of all of them.
    pub any: u32,
}

impl Masks {
    fn add(&mut self, at: Locator, mask: u32) {
        if mask != 0 {
            *self.of.entry(at).or_default() |= mask;
            self.any |= mask;
        }
    }
}

/// A request that is still to be read.
struct Request {
    started_ns: u64,
    at: Locator,
    body: BlobRef,
}

/// Reads these records; `whole`: with what a request repeats of those before it.
pub(super) fn sift(
    ask: &Ask,
    words: &Words,
    whole: bool,
    records: impl Iterator<Item = Result<Locator, QueryError>>,
    stop: &Stop<'_>,
) -> Result<Masks, QueryError> {
    let mut sifter =
        Sifter { ask, words, whole: whole || !words.bounded, masks: Masks::default(), requests: Vec::new() };
    for at in records {
        stop.check()?;
        let at = at?;
        let read = ask.reader.record(at).and_then(|stored| sifter.record(at, &stored));
        skip_damage(read)?;
    }
    sifter.histories(stop)?;
    Ok(sifter.masks)
}

/// What is damaged is somebody else's to tell; what the index cannot say ends the search.
fn skip_damage(read: Result<(), StoreError>) -> Result<(), QueryError> {
    match read {
        Err(error @ StoreError::Damaged { .. }) => {
            tracing::debug!(%error, "a record cannot be searched");
            Ok(())
        }
        other => Ok(other?),
    }
}

struct Sifter<'a> {
    ask: &'a Ask,
    words: &'a Words,
    whole: bool,
    masks: Masks,
    requests: Vec<Request>,
}

impl Sifter<'_> {
    fn record(&mut self, at: Locator, stored: &Record) -> Result<(), StoreError> {
        let reader = &self.ask.reader;
        let mask = match record::read(stored) {
            Ok(Payload::Hook(hook)) => self.words.in_json(&body(reader, &hook.body)?),
            Ok(Payload::Transcript(lines)) => self.words.in_json(&body(reader, &lines.body)?),
            Ok(Payload::Foreign(lines)) => {
                let bytes = body(reader, &lines.body)?;
                let told = match foreign::content(&lines.format, stored.at_ns, &bytes) {
                    Some(foreign::Content::Hook(payload)) => self.in_value(&payload),
                    Some(foreign::Content::Line(line)) => self.words.in_json(&line),
                    None => 0,
                };
                told | self.words.in_json(&bytes)
            }
            Ok(Payload::Telemetry(told)) => self.words.in_json(&body(reader, &told.body)?),
            Ok(Payload::Exchange(exchange)) => self.exchange(at, &exchange)?,
            Ok(
                Payload::Gap(_)
                | Payload::Status(_)
                | Payload::Notice(_)
                | Payload::Detection(_)
                | Payload::Intervention(_)
                | Payload::Judgement(_),
            )
            | Err(_) => 0,
        };
        self.masks.add(at, mask);
        Ok(())
    }

    fn exchange(&mut self, at: Locator, exchange: &ExchangeV3) -> Result<u32, StoreError> {
        let reader = &self.ask.reader;
        // A stream's texts come in pieces that only make sense together.
        let response = body(reader, &exchange.response.stored)?;
        let answer = assemble(exchange, &response);
        let mut mask = self.in_value(&answer.message);
        mask |= answer.error.as_deref().map_or(0, |error| self.words.in_text(error));
        mask |= exchange.error.as_deref().map_or(0, |error| self.words.in_text(error));
        if answer.message.is_null() {
            let decoded = crate::project::decode::decode(&response, response_encoding(exchange));
            mask |= self.words.in_json(&decoded.bytes);
        }
        let encoded = !request_encoding(exchange).is_empty();
        match &exchange.request.stored {
            Stored::Blob(blob) if !self.whole && !encoded => {
                self.requests.push(Request { started_ns: exchange.started_ns, at, body: *blob });
            }
            stored => {
                let request = body(reader, stored)?;
                mask |= self.words.in_json(&decoded_request(exchange, &request));
            }
        }
        Ok(mask)
    }

    /// The requests, in order of their beginnings: what one has from those before it is not read again.
    fn histories(&mut self, stop: &Stop<'_>) -> Result<(), QueryError> {
        let mut requests = std::mem::take(&mut self.requests);
        requests.sort_by_key(|request| (request.started_ns, request.at));
        let mut seen = Seen::default();
        // The same body again is the same request, sent again.
        let mut of_body: HashMap<[u8; 32], u32> = HashMap::new();
        for request in requests {
            stop.check()?;
            if let Some(mask) = of_body.get(&request.body.id) {
                self.masks.add(request.at, *mask);
                continue;
            }
            let mut mask = 0;
            skip_damage(self.ask.reader.unseen(&request.body, &mut seen).map(|runs| {
                mask = runs.iter().fold(0, |mask, run| mask | self.words.in_json(run));
            }))?;
            of_body.insert(request.body.id, mask);
            self.masks.add(request.at, mask);
        }
        Ok(())
    }

    fn in_value(&self, value: &serde_json::Value) -> u32 {
        let mut mask = 0;
        texts::each(value, &mut |text| mask |= self.words.in_text(text));
        mask
    }
}
