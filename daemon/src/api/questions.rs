//! What stands behind spans and requests: records, changes, files, tools' times.

use http::Response;

use super::body::ApiBody;
use super::json;
use super::routes::{ask, blocking, unescape};
use crate::app::Running;
use crate::query::files::{self, Wanted};
use crate::query::{Ask, QueryError, changes, records, tools};

/// One of these questions.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Question<'a> {
    /// Which records told of a span.
    Records(&'a str),
    /// What stands in one.
    Record(&'a str),
    /// What an exchange's request has that the one before had not.
    Changes(&'a str),
    /// The files that a session edited.
    Files,
    /// How long tools take.
    Tools,
}

/// Answers it.
pub(super) async fn answer(
    app: &Running,
    question: Question<'_>,
    query: &str,
) -> Result<Response<ApiBody>, QueryError> {
    match question {
        Question::Records(id) => {
            let id = unescape(id)?;
            ask(app, query, move |a, _| records::of_span(a, &id)).await
        }
        Question::Record(id) => {
            let id = unescape(id)?;
            ask(app, query, move |a, _| records::content(a, &id)).await
        }
        Question::Changes(id) => {
            let id = unescape(id)?;
            ask(app, query, move |a, _| changes::changes(a, &id)).await
        }
        Question::Files => {
            let wanted = Wanted::parse(query)?;
            let a = Ask::new(&app.shared, app.clock.now_ns()).await?;
            let _turn = app.questions.acquire().await;
            json(blocking(move || files::files(&a, &wanted)).await?)
        }
        Question::Tools => ask(app, query, tools::tools).await,
    }
}
