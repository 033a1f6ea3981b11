//! The way into the pages, as `ccctl open` asks for it: links that open them once, and the end of all logins.
//!
//! Must never be asked by a page: who is in could let others in.

use std::sync::Arc;

use ccd_proto::api::{Done, WebLogin};
use http::{Response, StatusCode};

use super::body::ApiBody;
use super::json;
use super::routes::blocking;
use crate::app::Running;
use crate::query::QueryError;
use crate::web::CODE_S;

/// A link that opens the pages once.
pub(super) fn login(app: &Running) -> Result<Response<ApiBody>, QueryError> {
    let Some(address) = app.web.url() else {
        let why = app.web.error().unwrap_or_else(|| "the daemon is only starting, or ending".into());
        let text = format!("the pages are not served: {why}");
        return Err(QueryError::new(StatusCode::SERVICE_UNAVAILABLE, "web_closed", text)
            .hint("a free port: `ccctl config set web.listen 127.0.0.1:0`; it is opened at once"));
    };
    let code =
        app.web.logins().code(app.clock.now_ns()).map_err(|e| internal(format!("no random numbers: {e}")))?;
    json(WebLogin { url: format!("{address}/login#code={code}"), valid_s: CODE_S })
}

/// Ends all logins.
pub(super) async fn forget(app: &Running) -> Result<Response<ApiBody>, QueryError> {
    let logins = Arc::clone(app.web.logins());
    let removed =
        move || logins.forget().map_err(|e| internal(format!("the file of logins is not removed: {e}")));
    blocking(removed).await?;
    json(Done { ok: true })
}

fn internal(why: String) -> QueryError {
    QueryError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", why)
}
