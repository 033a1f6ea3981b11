//! Where what a span shows comes from: which sources tell of it, and which record has its content.

use ccd_store::Locator;

use super::session::{At, SessionState, Tool, ToolEnd};
use super::telemetry::SOURCE;
use super::view::{ContentRef, Part};

impl SessionState {
    /// Who tells of a span in these records: our own source, or other recorders by their names. `told`: it is told of
    /// even where no record of it is known any more.
    pub(super) fn told_by(
        &self,
        own: &str,
        told: bool,
        records: impl IntoIterator<Item = Locator>,
    ) -> Vec<String> {
        let name = |at: Locator| self.recorders.get(&at).copied().unwrap_or(own);
        let mut names: Vec<&str> = records.into_iter().map(name).collect();
        if names.is_empty() && told {
            names.push(own);
        }
        // Our own first.
        names.sort_by_key(|name| (*name != own, *name));
        names.dedup();
        names.into_iter().map(str::to_owned).collect()
    }

    /// The records of the exchanges that tell of a tool call: of the one that asked for it, and of the first whose
    /// request brings its result. Those behind it repeat that.
    pub fn exchanges_of_tool(&self, tool_use_id: &str) -> impl Iterator<Item = Locator> + use<> {
        let tool = self.tools.get(tool_use_id);
        let asked = tool.and_then(|tool| tool.requested.map(|((_, record), _)| record));
        let brought = tool.and_then(|tool| tool.result.as_ref().map(|((_, record), ..)| *record));
        asked.into_iter().chain(brought)
    }
}

/// A span's sources, each once.
pub(super) fn sources(
    hooks: Vec<String>,
    proxy: bool,
    transcripts: Vec<String>,
    telemetry: bool,
) -> Vec<String> {
    let mut all = hooks;
    all.extend(proxy.then(|| "proxy".to_owned()));
    for name in transcripts {
        if !all.contains(&name) {
            all.push(name);
        }
    }
    all.extend(telemetry.then(|| SOURCE.to_owned()));
    all
}

/// What a call was asked with.
pub(super) fn tool_input(id: &str, tool: &Tool) -> Option<ContentRef> {
    let hook: Option<At> = tool.start.or(tool.end.as_ref().map(|(at, _)| *at));
    match (hook, tool.requested, &tool.asked) {
        (Some((_, record)), ..) => Some(ContentRef { record, part: Part::Hook("tool_input") }),
        (None, Some(((_, record), _)), _) => Some(ContentRef { record, part: Part::UseInput(id.to_owned()) }),
        (None, None, Some(asked)) => {
            Some(ContentRef { record: asked.at.1, part: Part::LineInput(asked.line, id.to_owned()) })
        }
        (None, None, None) => {
            let ((_, record), ..) = tool.signal.as_ref()?.ended.as_ref()?;
            Some(ContentRef { record: *record, part: Part::Hook("tool_input") })
        }
    }
}

/// What it answered.
pub(super) fn tool_output(id: &str, tool: &Tool) -> Option<ContentRef> {
    let (record, part) = match (&tool.end, &tool.batch, &tool.result, &tool.answered) {
        (Some(((_, record), end)), ..) => {
            let member = match end {
                ToolEnd::Ok => "tool_response",
                ToolEnd::Failed(_) => "error",
                ToolEnd::Denied(_) => "reason",
            };
            (*record, Part::Hook(member))
        }
        (None, Some(((_, record), ..)), ..) => (*record, Part::Batch(id.to_owned())),
        (None, None, Some(((_, record), ..)), _) => (*record, Part::ResultContent(id.to_owned())),
        (None, None, None, Some(line)) => (line.at.1, Part::LineResult(line.line, id.to_owned())),
        (None, None, None, None) => return None,
    };
    Some(ContentRef { record, part })
}
