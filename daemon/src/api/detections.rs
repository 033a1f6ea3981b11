//! The routes of detections and interventions: questions, and what the user says of them.
//!
//! What is said goes on record before it is answered, and the answer knows it already.

use std::sync::Arc;

use ccd_proto::api::Heal;
use http::{Response, StatusCode};
use serde::Serialize;

use super::body::ApiBody;
use super::json;
use super::routes::blocking;
use crate::app::Running;
use crate::ingest::found::JudgementV1;
use crate::ingest::{Ack, Ready};
use crate::query::detections::{self, OF_LIST, OF_TREND, Wanted};
use crate::query::{Ask, QueryError, sessions};

/// Bytes of a reason.
const MAX_REASON: usize = 2_000;
/// The longest pause, in seconds: a year.
const MAX_PAUSE_S: u64 = 366 * 86_400;

/// A question, asked off the runtime's threads: it may read the disk.
async fn ask<T: Serialize + Send + 'static>(
    app: &Running,
    question: impl FnOnce(&Ask) -> Result<T, QueryError> + Send + 'static,
) -> Result<Response<ApiBody>, QueryError> {
    let a = Ask::new(&app.shared, app.clock.now_ns()).await?;
    let _turn = app.questions.acquire().await;
    json(blocking(move || question(&a)).await?)
}

/// The list.
pub(super) async fn list(app: &Running, query: &str) -> Result<Response<ApiBody>, QueryError> {
    let wanted = Wanted::parse(query, &OF_LIST)?;
    ask(app, move |a| detections::detections(a, &wanted)).await
}

/// Counts by keys.
pub(super) async fn trend(app: &Running, query: &str) -> Result<Response<ApiBody>, QueryError> {
    let wanted = Wanted::parse(query, &OF_TREND)?;
    ask(app, move |a| detections::trend(a, &wanted)).await
}

/// One of them.
pub(super) async fn one(app: &Running, id: String) -> Result<Response<ApiBody>, QueryError> {
    ask(app, move |a| detections::one(a, &id)).await
}

/// How interventions are set, and the audit list.
pub(super) async fn heal(app: &Running, query: &str) -> Result<Response<ApiBody>, QueryError> {
    let wanted = Wanted::parse(query, &[])?;
    json(healed(app, wanted).await?)
}

async fn healed(app: &Running, wanted: Wanted) -> Result<Heal, QueryError> {
    let (a, settings) = (Ask::new(&app.shared, app.clock.now_ns()).await?, app.heal());
    let _turn = app.questions.acquire().await;
    blocking(move || detections::heal(&a, &settings, &wanted)).await
}

/// Says that a detection, and all that are about the same, is a false alarm (`dismiss`), or takes that back (`reopen`).
pub(super) async fn judge(
    app: &Arc<Running>,
    id: String,
    what: &str,
    query: &str,
) -> Result<Response<ApiBody>, QueryError> {
    let mut reason = String::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "reason" if what == "dismiss" && value.len() <= MAX_REASON => reason = value.into_owned(),
            "reason" if what == "dismiss" => return Err(QueryError::bad("the reason is too long")),
            other => return Err(QueryError::bad(format!("unknown parameter {other:?}"))),
        }
    }
    let at_ns = app.clock.now_ns();
    let a = Ask::new(&app.shared, at_ns).await?;
    let (id, found) = blocking(move || detections::recorded(&a, &id)).await?;
    let said = JudgementV1 {
        at_ns,
        what: what.to_owned(),
        detection: Some(id),
        fingerprint: Some(found.fingerprint),
        cwd: found.cwd,
        session_id: None,
        kind: Some(found.kind),
        until_ns: None,
        reason: app.scrub.text("", &reason).into_owned(),
    };
    say(app, said).await?;
    one(app, crate::project::detections::id_text(id)).await
}

/// Excepts something from the interventions, or takes that back: `allow`, `pause`, `resume`.
pub(super) async fn except(
    app: &Arc<Running>,
    what: &str,
    query: &str,
) -> Result<Response<ApiBody>, QueryError> {
    let (mut session, mut kind, mut for_s) = (None, None, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match (&*name, what) {
            // A variable that was not set must not mean everything.
            (name, _) if value.is_empty() => return Err(QueryError::bad(format!("{name} is empty"))),
            ("session", _) => session = Some(value.into_owned()),
            ("kind", "allow") => kind = Some(detections::kind(&value)?),
            ("for_s", "pause") => {
                let number = value.parse::<u64>().ok().filter(|s| (1..=MAX_PAUSE_S).contains(s));
                let wrong = || QueryError::bad(format!("for_s={value:?}: seconds from 1 to {MAX_PAUSE_S}"));
                for_s = Some(number.ok_or_else(wrong)?);
            }
            (other, _) => return Err(QueryError::bad(format!("unknown parameter {other:?}"))),
        }
    }
    if what == "allow" && session.is_none() {
        return Err(QueryError::bad("session is missing"));
    }
    let at_ns = app.clock.now_ns();
    let a = Ask::new(&app.shared, at_ns).await?;
    let session_id = match session {
        Some(prefix) => Some(blocking(move || sessions::resolve(&a, &prefix)).await?),
        None => None,
    };
    let said = JudgementV1 {
        at_ns,
        what: what.to_owned(),
        detection: None,
        fingerprint: None,
        cwd: None,
        session_id,
        kind,
        until_ns: for_s.map(|s| at_ns.saturating_add(s.saturating_mul(1_000_000_000))),
        reason: String::new(),
    };
    say(app, said).await?;
    json(healed(app, Wanted::default()).await?)
}

/// Puts what the user said on record, and waits until questions know it.
async fn say(app: &Arc<Running>, said: JudgementV1) -> Result<(), QueryError> {
    let unavailable = |why: String| QueryError::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", why);
    let record = said.to_record(uuid::Uuid::now_v7().into_bytes());
    let record =
        record.map_err(|e| QueryError::new(StatusCode::INTERNAL_SERVER_ERROR, "encode", e.to_string()))?;
    if app.door.ready(Ready { record, fact: None }).await != Ack::Durable {
        return Err(unavailable("it could not be put on record".into()).hint("`ccctl status` says why"));
    }
    tell(app, &said);
    // It is acknowledged before its rows are written; what is done between two batches is done after them.
    let door = app.door.clone();
    blocking(move || door.with_store(|_| ()).map_err(|e| unavailable(e.to_string()))).await
}

/// Tells whoever decides about interventions.
fn tell(app: &Running, said: &JudgementV1) {
    app.detect.judged(said.clone());
}
