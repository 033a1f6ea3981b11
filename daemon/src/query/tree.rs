//! A session's tree, as every answer shows it.
//!
//! One place, so that what a model call was billed is the same in `turns`, `traces`, `show` and the live view.

use super::{Ask, QueryError};
use crate::project::view::SessionView;

/// The session's turns and spans.
pub fn tree(ask: &Ask, session_id: &str) -> Result<SessionView, QueryError> {
    let state = ask.shared.live.get(&ask.reader, session_id)?;
    Ok(state.view(&ask.shared.live.prices()))
}
