//! Claude Code's own telemetry, as a fourth source: OTLP over HTTP, behind the web door.
//!
//! ```text
//!   body ── decode ── cut into items by session ── scrub ── journal ── answer
//! ```
//!
//! Taken is what Claude Code sends and nothing else: another service's data is answered as the protocol asks (it is
//! rejected, and must not be sent again) and never stored. Acknowledged is what is durable; where the journal takes
//! nothing now, the client is told when to come again, and what it sends twice is one record ([`items`]).
//!
//! Must never panic over what is sent, wait for room at the door, or store what was not scrubbed.

mod items;
#[cfg(test)]
mod tests;
mod value;

use std::sync::Arc;

use bytes::Bytes;
pub use ccd_otlp::{Encoding, Signal};
use ccd_otlp::{
    ExportLogsPartialSuccess, ExportLogsServiceResponse, ExportMetricsPartialSuccess,
    ExportMetricsServiceResponse, ExportTracePartialSuccess, ExportTraceServiceResponse, Message, RpcStatus,
};
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};

use crate::api::ApiBody;
use crate::app::Running;
use crate::ingest::record::{RecordError, Stored};
use crate::ingest::scrub::Scrub;
use crate::ingest::signals::{SignalV1, TelemetryV1};
use crate::ingest::{Ack, Door, Ready};
use crate::live::telemetry_fact;
use crate::receive::Problem;
use items::Item;

/// Records handed in at a time: the proxy's and the hooks' are between them.
const PART: usize = 256;
/// When to come again, in seconds, while the journal takes nothing.
const AGAIN_S: u64 = 5;
/// Codes of gRPC, which answers name beside HTTP's.
const INVALID: i32 = 3;
const UNAVAILABLE: i32 = 14;

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP's status.
    pub status: StatusCode,
    /// How the body is written: as the question was.
    pub encoding: Encoding,
    /// The body.
    pub body: Vec<u8>,
    /// When to come again, in seconds.
    pub retry_after: Option<u64>,
}

impl Answer {
    fn taken(signal: Signal, encoding: Encoding, rejected: u64, why: String) -> Self {
        let rejected = i64::try_from(rejected).unwrap_or(i64::MAX);
        let is_partial = rejected > 0 || !why.is_empty();
        let body = match signal {
            Signal::Logs => {
                let partial = ExportLogsPartialSuccess { rejected_log_records: rejected, error_message: why };
                let partial_success = is_partial.then_some(partial);
                ExportLogsServiceResponse { partial_success }.to_bytes(encoding)
            }
            Signal::Traces => {
                let partial = ExportTracePartialSuccess { rejected_spans: rejected, error_message: why };
                let partial_success = is_partial.then_some(partial);
                ExportTraceServiceResponse { partial_success }.to_bytes(encoding)
            }
            Signal::Metrics => {
                let partial =
                    ExportMetricsPartialSuccess { rejected_data_points: rejected, error_message: why };
                let partial_success = is_partial.then_some(partial);
                ExportMetricsServiceResponse { partial_success }.to_bytes(encoding)
            }
        };
        Answer { status: StatusCode::OK, encoding, body, retry_after: None }
    }

    fn refused(encoding: Encoding, status: StatusCode, code: i32, why: String) -> Self {
        let retry_after = (code == UNAVAILABLE).then_some(AGAIN_S);
        let body = RpcStatus { code, message: why }.to_bytes(encoding);
        Answer { status, encoding, body, retry_after }
    }
}

/// Takes a message in. It was unpacked, and whoever sends it has a token for it.
pub(crate) async fn receive(
    app: &Arc<Running>,
    signal: Signal,
    kind: Encoding,
    body: Bytes,
) -> Result<Response<ApiBody>, Problem> {
    let Answer { status, encoding, body, retry_after } =
        take(&app.door, app.clock.now_ns(), signal, kind, body).await;
    let mut response = Response::new(ApiBody::Full(Some(body.into())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(encoding.content_type()));
    if let Some(seconds) = retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    Ok(response)
}

/// Takes a message in, and answers once it is durable. `now_ns`: for what tells no time itself.
pub async fn take(door: &Door, now_ns: u64, signal: Signal, encoding: Encoding, body: Bytes) -> Answer {
    let later =
        |why: &str| Answer::refused(encoding, StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE, why.to_owned());
    // Decoding and scrubbing take their time: not on the threads that the proxy's streams are on.
    let scrub = Arc::clone(door.scrub());
    let made = tokio::task::spawn_blocking(move || {
        let cut = items::cut(signal, encoding, &body, scrub.ids(), now_ns)?;
        Ok::<_, ccd_otlp::DecodeError>((records(cut.items, &scrub), cut.rejected, cut.why))
    });
    let (all, rejected, why) = match made.await {
        Ok(Ok((Ok(all), rejected, why))) => (all, rejected, why),
        Ok(Ok((Err(error), ..))) => {
            tracing::error!(%error, "telemetry cannot be written");
            return later("it cannot be written");
        }
        Ok(Err(error)) => {
            return Answer::refused(encoding, StatusCode::BAD_REQUEST, INVALID, error.to_string());
        }
        Err(_) => return later("it could not be read"),
    };
    let mut all = all.into_iter();
    loop {
        let part: Vec<Ready> = all.by_ref().take(PART).collect();
        if part.is_empty() {
            return Answer::taken(signal, encoding, rejected, why);
        }
        if door.all_ready(part).await == Ack::Refused {
            return later("the journal does not take it now");
        }
    }
}

/// The records of items, scrubbed, with what they tell.
fn records(items: Vec<Item>, scrub: &Scrub) -> Result<Vec<Ready>, RecordError> {
    items.into_iter().map(|item| record(item, scrub)).collect()
}

fn record(item: Item, scrub: &Scrub) -> Result<Ready, RecordError> {
    let Item { id, at_ns, signal, session_id, resource, body } = item;
    let session_id = scrub.text(&session_id, &session_id).into_owned();
    let body = scrub.bytes(&session_id, &body).into_owned();
    let mut record = TelemetryV1 { at_ns, signal, session_id, resource, body: Stored::Inline(Vec::new()) };
    let fact = if signal == SignalV1::Resource { None } else { telemetry_fact(&record, &body) };
    record.body = Stored::Inline(body);
    Ok(Ready { record: record.to_record(id)?, fact })
}
