//! Traces into the journal: scrubbed, one record each, acknowledged once they are on disk.
//!
//! A session is sent again and again, longer each time. What came already is known by its bytes and not recorded again;
//! what came in another form is another record of the same call, of which the fullest counts ([`crate::project::foreign`]).
//! Nothing that was sent is ever taken back by an upload that has less: clients leave out outputs and the oldest steps of
//! sessions that have grown too large.
//!
//! Must never hand the journal what was not scrubbed, or say that it is taken before it is on disk.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::json;
use tokio::task::JoinSet;

use super::problem::{self, Problem};
use super::traces::{Batch, Item};
use crate::api::ApiBody;
use crate::app::Running;
use crate::ingest::record::{ForeignV1, Stored, first16};
use crate::ingest::scrub::Scrub;
use crate::ingest::{Ack, Ready};
use crate::project::foreign::platform::{self, Sender};
use crate::project::foreign::{PLATFORM, read};

/// Records handed to the journal at a time.
const AT_ONCE: usize = 256;

/// Takes a body in, as `read` reads it.
pub(super) async fn take(
    app: &Arc<Running>,
    body: Bytes,
    tenant: String,
    read: fn(&[u8], &str) -> Result<Batch, Problem>,
) -> Result<Response<ApiBody>, Problem> {
    let (scrub, now_ns) = (Arc::clone(&app.scrub), app.clock.now_ns());
    // Off the runtime's threads: it reads and scrubs megabytes.
    let made = tokio::task::spawn_blocking(move || {
        let batch = read(&body, &tenant)?;
        drop(body);
        let Batch { sender, items } = batch;
        items.into_iter().map(|item| record(&scrub, &sender, &item, now_ns)).collect::<Result<Vec<_>, _>>()
    });
    let mut records = made.await.map_err(|_| failed())??;
    let stored = records.len();
    while !records.is_empty() {
        let rest = records.split_off(records.len().min(AT_ONCE));
        let mut tasks: JoinSet<Ack> = JoinSet::new();
        for record in std::mem::replace(&mut records, rest) {
            let door = app.door.clone();
            tasks.spawn(async move { door.ready(record).await });
        }
        while let Some(ack) = tasks.join_next().await {
            if !matches!(ack, Ok(Ack::Durable)) {
                return Err(Problem::later("the store takes nothing now"));
            }
        }
    }
    Ok(problem::json(StatusCode::ACCEPTED, &json!({ "traces_stored": stored })))
}

fn failed() -> Problem {
    tracing::error!("what was handed in could not be read: a bug");
    Problem::later("it could not be read now")
}

/// A trace's record. Its id is of the bytes that came, so that it stays the same whatever the rules are.
fn record(scrub: &Scrub, sender: &Sender, item: &Item, now_ns: u64) -> Result<Ready, Problem> {
    let mut hash = scrub.ids().hasher();
    for part in ["ccd platform v1", &sender.tenant, &sender.source, &item.text] {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let line = platform::line(sender, &item.text);
    let line = scrub.bytes(&item.session, line.as_bytes()).into_owned();
    let at_ns = item.at_ns.unwrap_or(now_ns);
    let fact = read(PLATFORM, at_ns, &line);
    let record =
        ForeignV1 { format: PLATFORM.to_owned(), path: Vec::new(), offset: 0, body: Stored::Inline(line) };
    let record = record.to_record(first16(hash.finalize()), at_ns).map_err(|_| failed())?;
    Ok(Ready { record, fact })
}
