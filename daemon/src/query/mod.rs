//! Every question that the product can answer, once: each file is one question, asked by the API and through it
//! by the command line and the pages. Readers only; nothing here changes anything.

mod blocks;
pub mod budget;
mod cells;
pub mod changes;
pub mod content;
pub mod detections;
pub mod exchanges;
pub mod explain;
pub mod files;
pub mod filter;
pub mod limits;
pub mod records;
pub mod search;
pub mod sessions;
pub mod show;
pub mod spans;
pub mod status;
pub mod statusline;
pub mod tools;
pub mod tree;
pub mod turns;
pub mod usage;

use std::sync::Arc;
use std::time::Duration;

use ccd_proto::api::ApiError;
use ccd_store::{Reader, StoreError};
use http::StatusCode;

use crate::ingest::shared::{Shared, StoreState};
use crate::live::LiveError;
use crate::project::rows::RowError;

/// Why a question has no answer.
#[derive(Debug)]
pub struct QueryError {
    /// The HTTP status that fits.
    pub status: StatusCode,
    /// For people and programs.
    pub error: ApiError,
}

impl QueryError {
    /// An error with its status, stable code and text.
    #[must_use]
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        QueryError { status, error: ApiError { code: code.into(), message: message.into(), hint: None } }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.error.hint = Some(hint.into());
        self
    }

    /// There is no such thing.
    #[must_use]
    pub fn not_found(what: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", what)
    }

    /// The question makes no sense.
    #[must_use]
    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }
}

impl From<StoreError> for QueryError {
    fn from(e: StoreError) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "store", e.to_string())
    }
}

impl From<RowError> for QueryError {
    fn from(e: RowError) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "store", e.to_string())
    }
}

impl From<LiveError> for QueryError {
    fn from(e: LiveError) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "store", e.to_string())
    }
}

fn opening(shared: &Shared) -> QueryError {
    let message = format!("the store cannot be asked yet: {}", shared.opening());
    QueryError::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message).hint("try again in a moment")
}

/// How long a question waits for a store that is being opened.
const OPENING: Duration = Duration::from_secs(10);

/// What questions are asked of.
#[derive(Clone)]
pub struct Ask {
    /// The store's reader.
    pub reader: Reader,
    /// Session states and prices.
    pub shared: Arc<Shared>,
    /// Now, nanoseconds since the Unix epoch.
    pub now_ns: u64,
}

impl Ask {
    /// Waits until the store can be asked.
    pub async fn new(shared: &Arc<Shared>, now_ns: u64) -> Result<Self, QueryError> {
        let mut state = shared.state.subscribe();
        let ready =
            tokio::time::timeout(OPENING, state.wait_for(|s| !matches!(s, StoreState::Opening))).await;
        let unavailable =
            |message: String| QueryError::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message);
        match ready {
            Ok(Ok(state)) => match &*state {
                StoreState::Ready(reader) => {
                    Ok(Ask { reader: reader.clone(), shared: Arc::clone(shared), now_ns })
                }
                StoreState::Failed(why) => Err(unavailable(format!("the store cannot be used: {why}"))
                    .hint("requests are relayed all the same; see `ccctl logs`")),
                StoreState::Opening => Err(opening(shared)),
            },
            _ => Err(opening(shared)),
        }
    }
}
