//! Answers the status line: at once or not at all, because whoever asks waits for milliseconds.

use std::sync::Arc;

use ccd_proto::api::StatusLine;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

use super::body::ApiBody;
use super::json;
use super::routes::blocking;
use crate::app::Running;
use crate::ingest::Ready;
use crate::ingest::shared::StoreState;
use crate::project::status;
use crate::query::{Ask, QueryError, statusline};

/// Largest snapshot that is read. The client's are 2 KB.
const MAX_SNAPSHOT: usize = 256 << 10;

/// The figures; and what the client told that is news goes on record, which is not waited for.
pub(super) async fn answer(app: &Arc<Running>, body: Incoming) -> Result<Response<ApiBody>, QueryError> {
    let snapshot = Limited::new(body, MAX_SNAPSHOT).collect().await;
    let snapshot = snapshot.map_err(|e| QueryError::bad(format!("the snapshot: {e}")))?.to_bytes();
    if !matches!(&*app.shared.state.borrow(), StoreState::Ready(_)) {
        let message = "the store cannot be asked yet";
        return Err(QueryError::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message));
    }
    let ask = Ask::new(&app.shared, app.clock.now_ns()).await?;
    let (settings, upstream) = (app.budget.settings(), app.proxy.settings().upstream.target().to_string());
    let scrub = Arc::clone(&app.scrub);
    let work = move || statusline::statusline(&ask, &settings, &upstream, &scrub.payload(&snapshot));
    let (line, news): (StatusLine, _) = blocking(work).await?;
    if let Some(snapshot) = news
        && let Ok(record) = snapshot.to_record(status::id(&snapshot.body))
    {
        let door = app.door.clone();
        tokio::spawn(async move { door.ready(Ready { record, fact: None }).await });
    }
    json(line)
}
