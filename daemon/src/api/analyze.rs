//! Answers `analyze`: one of the questions that take longest.

use std::sync::Arc;

use http::Response;

use super::body::ApiBody;
use super::json;
use super::routes::blocking;
use crate::app::Running;
use crate::detect::analyze::{Asked, Scan, analyze};
use crate::query::{Ask, QueryError};

/// The report on a session.
pub(super) async fn answer(app: &Running, query: &str) -> Result<Response<ApiBody>, QueryError> {
    let asked = Asked::parse(query)?;
    let ask = Ask::new(&app.shared, app.clock.now_ns()).await?;
    let settings = Arc::new(app.thresholds());
    let scan: Scan = Arc::new(|_| Arc::new(ccd_detect::Unknown));
    let _turn = app.questions.acquire().await;
    json(blocking(move || analyze(&ask, &asked, settings, &scan, &|_| Ok(Vec::new()))).await?)
}
