//! `files`: what a session did to files, from the answers of the tools that edited them: subagents' edits, too, in the
//! order in which they were done. What commands did to files is not told by anybody.
//!
//! Bounded: so many bytes of files are held, and so many sent; beyond it the edits are counted only. Must never call exact
//! what does not fit together.

mod chain;
mod edit;

use std::collections::HashMap;

use ccd_proto::api::{Files, SessionFile};

use self::chain::Chain;
use self::edit::{Edit, TOOLS};
use super::content::Contents;
use super::filter::Filter;
use super::tree::tree;
use super::{Ask, QueryError, sessions};
use crate::project::view::SpanView;

/// Bytes of files that are held while the edits are gone through.
const MAX_HELD: usize = 64 << 20;
/// Bytes of files that are sent.
const MAX_SENT: usize = 16 << 20;

/// What is asked.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// A session, or the start of its id.
    pub session: String,
    /// Only this file.
    pub path: Option<String>,
    /// With what they were before and after.
    pub content: bool,
}

impl Wanted {
    /// Reads a URL's query.
    pub fn parse(query: &str) -> Result<Self, QueryError> {
        let mut path = None;
        let filter = Filter::parse_with(query, &mut |name, value| {
            let own = name == "path";
            if own {
                path = Some(value.to_owned());
            }
            Ok(own)
        })?;
        let session = filter.session.ok_or_else(|| {
            QueryError::bad("session is missing")
                .hint("files are those of one session; the start of its id is enough")
        })?;
        Ok(Wanted { session, path, content: filter.content })
    }
}

/// The files that a session edited.
pub fn files(ask: &Ask, wanted: &Wanted) -> Result<Files, QueryError> {
    let session_id = sessions::resolve(ask, &wanted.session)?;
    let view = tree(ask, &session_id)?;
    let is_edit = |span: &&SpanView| {
        let tool = span.span.tool_name.as_deref().unwrap_or_default();
        span.span.status == "ok" && TOOLS.contains(&tool)
    };
    let mut spans: Vec<&SpanView> = view.spans.iter().filter(is_edit).collect();
    let end = |span: &SpanView| span.start_ns.saturating_add(span.span.duration_ms.unwrap_or(0) * 1_000_000);
    spans.sort_by_key(|span| end(span));
    let (mut contents, mut chains) = (Contents::new(ask), Chains::default());
    for span in spans {
        let (input, response) = contents.call(span);
        let tool = span.span.tool_name.as_deref().unwrap_or_default();
        let edit = Edit::read(tool, &input.unwrap_or_default(), &response.unwrap_or_default());
        if let Some(edit) = edit.filter(|edit| wanted.path.as_ref().is_none_or(|path| *path == edit.path)) {
            chains.add(&span.span.span_id, &edit);
        }
    }
    Ok(Files { session_id, files: chains.told(wanted.content) })
}

#[derive(Default)]
struct Chains {
    by_path: HashMap<String, usize>,
    all: Vec<Chain>,
    held: usize,
}

impl Chains {
    fn add(&mut self, span_id: &str, edit: &Edit) {
        let at = *self.by_path.entry(edit.path.clone()).or_insert(self.all.len());
        if at == self.all.len() {
            self.all.push(Chain::new(&edit.path));
        }
        let Some(chain) = self.all.get_mut(at) else { return };
        let before = chain.weight();
        chain.add(span_id, edit);
        if self.held + chain.weight() > MAX_HELD + before {
            chain.let_go();
        }
        self.held = (self.held + chain.weight()).saturating_sub(before);
    }

    fn told(self, content: bool) -> Vec<SessionFile> {
        let mut room = if content { MAX_SENT } else { 0 };
        let told = self.all.into_iter().map(Chain::told).map(|mut file| {
            let size = |text: &Option<String>| text.as_ref().map_or(0, String::len);
            let left = room.checked_sub(size(&file.before) + size(&file.after));
            if let Some(left) = left.filter(|_| content) {
                room = left;
            } else {
                (file.before, file.after) = (None, None);
            }
            file
        });
        told.collect()
    }
}
