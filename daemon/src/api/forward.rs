//! The routes of forwarding: how the sinks are, what they would be sent, and what is sent because it was asked for.
//!
//! None of them tells a credential. All are for the control socket alone, but for the list.

use std::sync::Arc;

use ccd_proto::api::{Connected, ForwardSinks};
use http::Response;

use super::body::ApiBody;
use super::routes::{blocking, parameter};
use super::{json, with_type};
use crate::app::Running;
use crate::forward::pisama;
use crate::forward::speaker::Speaker;
use crate::forward::sync::{self, Request};
use crate::query::QueryError;
use crate::query::filter::Filter;

/// All sinks.
pub(super) async fn list(app: &Arc<Running>) -> Result<Response<ApiBody>, QueryError> {
    let app = Arc::clone(app);
    let listed = blocking(move || {
        let problem = app.config_problem().map(|problem| problem.text);
        Ok(ForwardSinks { forward: app.forwarding.status(app.clock.now_ns()), problem })
    });
    json(listed.await?)
}

/// Reads the configuration anew, and answers once what it says of forwarding is in force.
pub(super) async fn reload(app: &Arc<Running>) -> Result<Response<ApiBody>, QueryError> {
    let again = Arc::clone(app);
    blocking(move || {
        again.reload();
        Ok(())
    })
    .await?;
    if app.forwards() {
        app.forwarding.settled().await;
    }
    list(app).await
}

/// What would be sent.
pub(super) async fn preview(app: &Arc<Running>, query: &str) -> Result<Response<ApiBody>, QueryError> {
    let (name, session) = (parameter(query, "name"), parameter(query, "session"));
    let readable = parameter(query, "readable").is_some_and(|on| on == "1");
    json(sync::preview(app, name.as_deref(), session.as_deref(), readable).await?)
}

/// Exchanges the platform's key.
pub(super) async fn connect(app: &Arc<Running>, query: &str) -> Result<Response<ApiBody>, QueryError> {
    let (name, sink) = sync::sink(app, parameter(query, "name").as_deref())?;
    let dashboard = pisama::dashboard(&sink.url);
    json(match Speaker::new(app, &name, &sink).connect().await {
        Ok(tenant_id) => Connected { ok: true, tenant_id, error: None, dashboard },
        Err(failed) => Connected { ok: false, tenant_id: None, error: Some(failed.words), dashboard },
    })
}

/// Sends sessions.
pub(super) async fn synchronise(app: &Arc<Running>, query: &str) -> Result<Response<ApiBody>, QueryError> {
    let mut request = Request::default();
    let mut name = None;
    request.filter = Filter::parse_with(query, &mut |key, value| {
        match key {
            "name" => name = Some(value.to_owned()),
            "outputs" => request.outputs = Some(value == "1"),
            "dry_run" => request.dry_run = value == "1",
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let lines = sync::start(app, name.as_deref(), request).await?;
    Ok(with_type("application/x-ndjson", ApiBody::Lines(lines)))
}
