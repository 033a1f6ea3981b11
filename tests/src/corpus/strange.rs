//! What stands in transcripts and is no message: ends that nobody closed, and failures that look like answers. None of
//! it may count.

use std::io;

use serde_json::json;

use super::lines::{self, Lines, Message};
use super::session::Session;
use super::{Oddity, Tokens};

impl Session<'_> {
    /// How files end that nobody closed.
    pub(super) fn ending(&mut self, file: &mut Lines) -> io::Result<()> {
        match self.random.within(0, 10) {
            0 if self.manner.is(Oddity::Strangers) => {
                // A line that was cut in the middle counts for nothing.
                let (id, uuid) = (self.random.id("msg"), self.random.uuid());
                let message = Message {
                    id: &id,
                    request: None,
                    model: self.model,
                    stop_reason: "end_turn",
                    tokens: Tokens { input: 1_000_000, ..Tokens::default() },
                    searches: 0,
                    tier: "standard",
                };
                let text = json!({"type": "text", "text": "never finished"});
                let line = lines::block(&self.place, &uuid, None, self.at_ms, &message, &text).to_string();
                self.account.torn += line.len() as u64 - 9;
                file.raw(&line.as_bytes()[..line.len() - 9])
            }
            1 if self.manner.is(Oddity::Strangers) => {
                // And one that only lacks its line feed is whole.
                let line = json!({"type": "mode", "mode": "normal", "sessionId": self.place.session});
                file.raw(line.to_string().as_bytes())
            }
            _ => Ok(()),
        }
    }

    /// Attempts that failed, and what the client shows of them.
    pub(super) fn failure(&mut self, file: &mut Lines) -> io::Result<()> {
        for _ in 0..2 {
            let uuid = self.random.uuid();
            file.push(lines::system(&self.place, &uuid, self.parent.as_deref(), self.at_ms, "api_error"))?;
            self.pass(1, 30);
        }
        let (uuid, id) = (self.random.uuid(), self.random.uuid());
        file.push(lines::synthetic(&self.place, &uuid, self.parent.as_deref(), self.at_ms, &id))
    }
}
