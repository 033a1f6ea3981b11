//! The ledger: what the mock received and sent, byte for byte.
//!
//! It is the truth that captures are compared with, so it derives nothing that a capture would derive: tokens,
//! ids and tool calls are those that the script sent, not read back from the bytes.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use ccd_proto::api::{Reasoning, Tokens};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// How an exchange ended, as the mock saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ended {
    /// It has not.
    #[default]
    Running,
    /// The whole answer went out.
    Whole,
    /// The mock dropped the connection amid the answer, as its script says.
    Cut,
    /// The client went away before the answer's end.
    ClientGone,
}

/// A tool call that an answer asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolCall {
    /// `toolu_…`.
    pub id: String,
    /// The tool.
    pub name: String,
    /// Its input.
    pub input: Value,
}

/// One request and its answer.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    /// HTTP method.
    pub method: String,
    /// Path and query, as received.
    pub path: String,
    /// Request headers in order, names in lower case.
    pub request_headers: Vec<(String, String)>,
    /// The request's body.
    pub request: Bytes,
    /// Answer's status.
    pub status: u16,
    /// Answer's headers in order, names in lower case.
    pub response_headers: Vec<(String, String)>,
    /// The answer's body as sent. After [`Ended::ClientGone`] its last event may not have gone out.
    pub response: Vec<u8>,
    /// How it ended.
    pub ended: Ended,
    /// `request-id` of the answer.
    pub request_id: String,
    /// The message's id, where the answer is one.
    pub message_id: Option<String>,
    /// The model that answered.
    pub model: Option<String>,
    /// Tokens, where the answer told any.
    pub tokens: Option<Tokens>,
    /// Why the model stopped.
    pub stop_reason: Option<String>,
    /// Thinking blocks of the answer.
    pub reasoning: Reasoning,
    /// Tool calls of the answer, in order.
    pub tool_calls: Vec<ToolCall>,
    /// When the request was there.
    pub started: Option<SystemTime>,
    /// When the answer ended.
    pub finished: Option<SystemTime>,
}

impl Exchange {
    /// The first request header of this name (lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.request_headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The session that the client names.
    #[must_use]
    pub fn session(&self) -> Option<&str> {
        self.header("x-claude-code-session-id")
    }

    /// The subagent that the client names; none on the main thread.
    #[must_use]
    pub fn agent(&self) -> Option<&str> {
        self.header("x-claude-code-agent-id")
    }

    /// The agent that started this subagent, where that is a subagent itself.
    #[must_use]
    pub fn parent_agent(&self) -> Option<&str> {
        self.header("x-claude-code-parent-agent-id")
    }

    /// SHA-256 of the request's body, in hexadecimal.
    #[must_use]
    pub fn request_sha256(&self) -> String {
        sha256(&self.request)
    }

    /// SHA-256 of the answer's body as sent, in hexadecimal.
    #[must_use]
    pub fn response_sha256(&self) -> String {
        sha256(&self.response)
    }
}

/// SHA-256 in hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// The book itself. Entries are only ever added and filled in, never taken out.
#[derive(Default)]
pub(crate) struct Ledger {
    entries: Mutex<Vec<Exchange>>,
}

impl Ledger {
    /// Opens an entry and returns its place.
    pub(crate) fn open(&self, exchange: Exchange) -> usize {
        let mut entries = self.lock();
        entries.push(Exchange { started: Some(SystemTime::now()), ..exchange });
        entries.len() - 1
    }

    /// Fills an entry in.
    pub(crate) fn update(&self, place: usize, change: impl FnOnce(&mut Exchange)) {
        change(&mut self.lock()[place]);
    }

    /// Closes an entry.
    pub(crate) fn close(&self, place: usize, ended: Ended) {
        self.update(place, |exchange| {
            exchange.ended = ended;
            exchange.finished = Some(SystemTime::now());
        });
    }

    pub(crate) fn snapshot(&self) -> Vec<Exchange> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Exchange>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
