//! A mock of the Messages API: scripted answers over HTTP/1.1 on a free loopback port, and a ledger of
//! exactly what was received and sent.
//!
//! What it answers is decided by the request alone ([`script`]), never by the order in which requests arrive:
//! sessions, subagents and retries may interleave as they like and each still gets its own next answer.
//!
//! The mock never talks to anybody and never sends what its ledger does not hold.

mod ids;
mod ledger;
mod message;
mod request;
pub mod script;
mod serve;
pub mod trouble;

use std::net::SocketAddr;
use std::sync::Arc;

use ccd_proto::api::Tokens;
pub use ledger::{Ended, Exchange, ToolCall, sha256};
pub use message::{Block, Event, Message};
pub use script::{Answer, Conversation, End, Failure, Reply, Script, Step, fail, reply};

use ledger::Ledger;

/// A running mock. It stops when dropped.
pub struct Mock {
    address: SocketAddr,
    ledger: Arc<Ledger>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Mock {
    /// Starts a mock that plays `script` on a free port of the loopback address.
    #[must_use]
    pub fn start(script: Script) -> Self {
        Self::start_at(script, SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free loopback port")
    }

    /// Starts a mock at `address`.
    pub fn start_at(script: Script, address: SocketAddr) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(tokio::net::TcpListener::bind(address))?;
        let address = listener.local_addr()?;
        let ledger = Arc::new(Ledger::default());
        runtime.spawn(serve::accept(listener, Arc::new(serve::Api::new(script, Arc::clone(&ledger)))));
        Ok(Mock { address, ledger, runtime: Some(runtime) })
    }

    /// The base URL, without a closing slash.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What the `number`th exchange will be, counted from 1, if its answer leaves the tokens to the mock: request id,
    /// message id and tokens. So what tells of an exchange can be there before it is.
    #[must_use]
    pub fn foretold(number: u64) -> (String, String, Tokens) {
        (ids::id("req", number), ids::id("msg", number), message::distinct_tokens(number))
    }

    /// `address:port`.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything received and sent so far, in order of arrival.
    #[must_use]
    pub fn ledger(&self) -> Vec<Exchange> {
        self.ledger.snapshot()
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests;
