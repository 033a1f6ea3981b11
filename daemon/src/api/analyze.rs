//! Answers `analyze`: one of the questions that take longest.

use std::sync::Arc;

use http::Response;

use super::body::ApiBody;
use super::json;
use super::routes::blocking;
use crate::app::Running;
use crate::detect::analyze::{Asked, Scan, analyze};
use crate::detect::workspace;
use crate::query::{Ask, QueryError, detections};

/// The report on a session.
pub(super) async fn answer(app: &Running, query: &str) -> Result<Response<ApiBody>, QueryError> {
    let asked = Asked::parse(query)?;
    let ask = Ask::new(&app.shared, app.clock.now_ns()).await?;
    let settings = Arc::new(app.thresholds());
    let home = settings.home.clone();
    let scan: Scan =
        Arc::new(move |cwd| workspace::scan(cwd, home.as_deref(), &workspace::Limits::default()).shared());
    let _turn = app.questions.acquire().await;
    let work = move || analyze(&ask, &asked, settings, &scan, &|id| detections::of_session(&ask, id));
    json(blocking(work).await?)
}
