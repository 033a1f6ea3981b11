//! A whole exchange: its bodies, and every text that stands beside them.

use bytes::Bytes;

use super::body::About;
use super::{Scrub, cuts};
use crate::ingest::record::{ExchangeV3, Outcome};
use crate::ingest::{CapturedExchange, concat};
use crate::project::exchange::header;

impl Scrub {
    /// Takes credentials out of an exchange; out of one that was looked through before, nothing.
    ///
    /// May take long; may panic where the scanner's guard does not reach, and then nothing of the exchange may be kept.
    pub fn exchange(&self, captured: &mut CapturedExchange) {
        let CapturedExchange { record, request, response, .. } = captured;
        if record.redaction.scanned {
            return;
        }
        let session = record.session_id.clone().unwrap_or_default();
        let sent = concat(std::mem::take(request));
        let came = concat(std::mem::take(response));
        let of = |headers: &[(String, Vec<u8>)], name: &str| header(headers, name).unwrap_or("").to_owned();
        let encoding = of(&record.request_headers, "content-encoding");
        let (seen, kept) = (record.request.seen, sent.len() as u64);
        // What broke off ends anywhere, as what the limits cut does.
        let is_cut = kept < seen || record.request_end_us.is_none();
        let about = About { session: &session, encoding: &encoding, is_stream: false, is_cut };
        let asked = self.body(&sent, about);
        record.request.kept = kept;

        let encoding = of(&record.response_headers, "content-encoding");
        let is_stream = of(&record.response_headers, "content-type").starts_with("text/event-stream");
        let (seen, kept) = (record.response.seen, came.len() as u64);
        let is_cut = kept < seen || record.outcome != Outcome::Complete;
        let about = About { session: &session, encoding: &encoding, is_stream, is_cut };
        let answer = self.body(&came, about);
        record.response.kept = kept;
        if let Some(bytes) = &answer.bytes {
            if answer.decoded {
                cuts::stretch_arrivals(&mut record.marks, came.len(), bytes.len());
            } else {
                cuts::move_arrivals(&mut record.marks, &answer.changes, came.len());
            }
        }

        let elsewhere = self.beside(&session, record);
        let told = &mut record.redaction;
        (told.scanned, told.elsewhere) = (true, elsewhere);
        (told.request, told.request_unscanned, told.request_decoded) =
            (asked.marks, asked.unscanned, asked.decoded);
        (told.response, told.response_unscanned, told.response_decoded) =
            (answer.marks, answer.unscanned, answer.decoded);
        told.cuts = answer.cuts;
        *request = vec![asked.bytes.unwrap_or(sent)];
        *response = vec![answer.bytes.unwrap_or(came)];
        let is_there = |bytes: &Bytes| !bytes.is_empty();
        request.retain(is_there);
        response.retain(is_there);
    }

    /// The texts beside the bodies; how many were changed.
    fn beside(&self, session: &str, record: &mut ExchangeV3) -> u64 {
        let mut changed = 0;
        let headers = record
            .request_headers
            .iter_mut()
            .chain(&mut record.response_headers)
            .chain(&mut record.response_trailers);
        for (name, value) in headers {
            let new = match str::from_utf8(value) {
                Ok(text) => self.named(session, name, text).map(String::into_bytes),
                Err(_) => Some(self.bytes(session, value).into_owned()).filter(|new| new != value),
            };
            if let Some(new) = new {
                *value = new;
                changed += 1;
            }
        }
        if let Some(path) = self.path(session, &record.path) {
            record.path = path;
            changed += 1;
        }
        let texts =
            [&mut record.session_id, &mut record.agent_id, &mut record.parent_agent_id, &mut record.error]
                .into_iter()
                .flatten()
                .chain([&mut record.upstream, &mut record.method]);
        for text in texts {
            let new = self.text(session, text).into_owned();
            if new != *text {
                *text = new;
                changed += 1;
            }
        }
        changed
    }

    /// A path and query, if it is to be another.
    fn path(&self, session: &str, path: &str) -> Option<String> {
        let whole = self.text(session, path);
        let Some((before, query)) = whole.split_once('?') else {
            return (whole != path).then(|| whole.into_owned());
        };
        let pairs = query.split('&').map(|pair| {
            let new = pair.split_once('=').and_then(|(name, value)| {
                self.named(session, name, value).map(|value| format!("{name}={value}"))
            });
            new.unwrap_or_else(|| pair.to_owned())
        });
        let made = format!("{before}?{}", pairs.collect::<Vec<_>>().join("&"));
        (made != path).then_some(made)
    }
}
