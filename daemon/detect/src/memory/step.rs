//! One tool call that has come back, reduced to what repetition is told by.
//!
//! It must never keep the input or the output: only hashes, and one short line for people.
//!
//! Invariant: two steps with the same `call` asked for the same, whatever they were dressed in.

use serde_json::Value;

use crate::event::{Outcome, ToolCall, text};
use crate::normal::{Shape, fold};
use crate::shell::{Command, MAX_COMMAND, is_log};
use crate::text::{Hash, clip, hash};

/// Bytes of the line that names a step to people.
const MAX_LABEL: usize = 120;
/// Bytes of an error that may be a passing one: a long one is a report.
const MAX_PASSING: usize = 800;

/// What a tool does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// Reads a file.
    Read,
    /// Searches for files, in files or on the web.
    Search,
    /// Changes a file.
    Edit,
    /// Runs a command.
    Shell,
    /// Starts a subagent.
    Agent,
    /// Keeps the list of things to do.
    Plan,
    /// Asks the user.
    Ask,
    /// Asks what something in the background is doing.
    Background,
    /// A tool of a server: a browser, a tracker, a database.
    Remote,
    /// Anything else.
    Other,
}

impl Tool {
    /// By its name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        match name {
            "Read" | "NotebookRead" | "LS" => Self::Read,
            "Grep" | "Glob" | "WebSearch" | "ToolSearch" => Self::Search,
            "Edit" | "Write" | "MultiEdit" | "NotebookEdit" => Self::Edit,
            "Bash" | "PowerShell" => Self::Shell,
            "Task" | "Agent" => Self::Agent,
            "TodoWrite" | "TodoRead" | "TaskCreate" | "TaskUpdate" => Self::Plan,
            "AskUserQuestion" | "ExitPlanMode" => Self::Ask,
            "TaskOutput"
            | "BashOutput"
            | "AgentOutputTool"
            | "AgentOutput"
            | "Monitor"
            | "ListMcpResourcesTool" => Self::Background,
            _ if name.starts_with("mcp__") => Self::Remote,
            _ => Self::Other,
        }
    }
}

/// Why a call may give the same answer again and again without anything being wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// It is no waiting.
    No,
    /// It asks about something that changes without the agent.
    Asks,
    /// It waits by itself before it answers.
    Sleeps,
}

/// A call without what came back.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not the states of one thing")]
pub struct Asked {
    /// What was asked for.
    pub call: u64,
    /// The same, to the letter.
    pub raw: u64,
    /// The directory that a command goes to first; 0 is the working directory.
    pub dir: u64,
    /// What the tool does.
    pub tool: Tool,
    /// Whether it waits.
    pub waiting: Waiting,
    /// Only a part of the output was asked for.
    pub windowed: bool,
    /// The last line of the output is dress.
    pub echoes: bool,
    /// It changes something, though it is no edit.
    pub writes: bool,
    /// It searches.
    pub searches: bool,
    /// The file it is about; 0 where there is none.
    pub path: u64,
    /// What an edit takes out.
    pub old: u64,
    /// What an edit, or a write, puts in.
    pub new: u64,
    /// What is searched for, letters and digits only.
    pub sought: u64,
    /// For people.
    pub label: String,
}

/// A call that came back.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not the states of one thing")]
pub struct Step {
    /// The number of its event.
    pub event: usize,
    /// When, if somebody told.
    pub at_ms: Option<i64>,
    /// What was asked.
    pub asked: Asked,
    /// What came back.
    pub shape: Shape,
    /// It failed.
    pub failed: bool,
    /// It failed in a way that passes by itself: a network, a lock.
    pub passing: bool,
    /// A search that found nothing.
    pub found_nothing: bool,
    /// Which answer of the model it belongs to: calls of one answer run side by side.
    pub batch: u64,
    /// The same was asked and answered before in this stretch of work.
    pub repeats: bool,
    /// It takes back, or tries to make again, an edit from before a compaction.
    pub forgets: bool,
}

impl Step {
    /// Whether two steps asked the same and got the same.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        let (asked, before) = (&self.asked, &other.asked);
        // The same window shows the same lines; only different ones have to be matched by their ends.
        let windowed = asked.raw != before.raw && (asked.windowed || before.windowed);
        // A directory named once and left out once is one directory if there is the same to see in it.
        let placed = asked.dir == before.dir || (asked.dir == 0 || before.dir == 0) && !self.shape.empty;
        // `| tail` and `|| true` hide that a command failed.
        let masked = asked.tool == Tool::Shell && asked.raw != before.raw;
        asked.call == before.call
            && placed
            && (self.failed == other.failed || masked)
            && self.shape.same(&other.shape, windowed)
    }
}

impl Asked {
    /// Reads a call that runs in `cwd`.
    #[must_use]
    pub fn read(call: &ToolCall, cwd: &str) -> Self {
        let tool = Tool::named(&call.name);
        let path = ["file_path", "notebook_path", "path"]
            .iter()
            .map(|key| call.text(key))
            .find(|path| !path.is_empty());
        let mut asked = Self {
            call: 0,
            raw: 0,
            dir: 0,
            tool,
            waiting: Waiting::No,
            windowed: false,
            echoes: false,
            writes: false,
            searches: tool == Tool::Search,
            path: path.map_or(0, hash),
            old: hash(call.text("old_string")),
            new: 0,
            sought: 0,
            label: String::new(),
        };
        let mut key = Hash::default();
        key.bytes(call.name.as_bytes());
        match tool {
            Tool::Shell => asked.shell(call, cwd, &mut key),
            Tool::Edit => {
                let new = ["new_string", "content", "new_source"]
                    .iter()
                    .map(|k| call.text(k))
                    .find(|t| !t.is_empty());
                asked.new = new.map_or(0, hash);
                value(&call.input, &mut key, &hash);
            }
            _ => {
                if tool == Tool::Background || waits_by_name(&call.name) {
                    let blocks = call.input.get("block").and_then(Value::as_bool).unwrap_or(true);
                    asked.waiting = if blocks { Waiting::Sleeps } else { Waiting::Asks };
                } else if tool == Tool::Read && path.is_some_and(is_log)
                    // A list of tasks that others work on too changes by itself.
                    || matches!(call.name.as_str(), "TaskList" | "TaskGet")
                {
                    asked.waiting = Waiting::Asks;
                }
                // Servers give out ids: the next request's is another, the question is the same.
                let string: &dyn Fn(&str) -> u64 = if tool == Tool::Remote { &fold } else { &hash };
                value(&call.input, &mut key, string);
            }
        }
        if tool == Tool::Search {
            let sought = ["pattern", "query"].iter().map(|key| call.text(key)).find(|t| !t.is_empty());
            asked.sought = squeezed(sought.unwrap_or_default());
        }
        asked.call = key.end();
        if asked.label.is_empty() {
            let about = ["file_path", "pattern", "query", "url", "task_id", "description", "path", "skill"];
            let about =
                about.iter().map(|key| call.text(key)).find(|text| !text.is_empty()).unwrap_or_default();
            asked.label = clip(format!("{} {about}", call.name).trim(), MAX_LABEL);
        }
        asked
    }

    fn shell(&mut self, call: &ToolCall, cwd: &str, key: &mut Hash) {
        let line = call.text("command");
        let command = Command::read(line, cwd);
        if command.core.is_empty() {
            value(&call.input, key, &hash);
        }
        key.bytes(command.core.as_bytes());
        // What is beyond the part that was read still tells commands apart.
        if line.len() > MAX_COMMAND {
            key.hash(hash(line));
        }
        self.raw = hash(line);
        self.dir = if command.dir.is_empty() { 0 } else { hash(&command.dir) };
        self.waiting = match (command.sleeps, command.asks_outside) {
            (true, _) => Waiting::Sleeps,
            (_, true) => Waiting::Asks,
            _ => Waiting::No,
        };
        self.windowed = command.windowed;
        self.echoes = command.echoes;
        self.writes = command.writes;
        self.searches = command.searches && !command.writes;
        if self.searches {
            self.sought = squeezed(&command.core);
        }
        self.label = clip(&format!("{} {}", call.name, command.core), MAX_LABEL);
    }

    /// The step that it became.
    #[must_use]
    pub fn came_back(self, event: usize, at_ms: Option<i64>, outcome: &Outcome) -> Step {
        let (shape, failed, passing, nothing) = match outcome {
            Outcome::Err(error) => {
                let shell = self.tool == Tool::Shell;
                let nothing = shell && error.trim() == "Exit code 1";
                // The exit code stands before the output, but only where nothing hides it.
                let output =
                    error.split_once('\n').filter(|(first, _)| shell && first.starts_with("Exit code "));
                let output = output.map_or(error.as_str(), |(_, output)| output);
                (Shape::of(&[output], shell && self.echoes), true, is_passing(error), nothing)
            }
            Outcome::Ok(response) => {
                let shape = response_shape(self.tool, response, self.echoes);
                // What fetches or installs may fail in passing behind a pipe too.
                let hidden = self.writes && self.windowed && is_passing(text(response, "stdout"));
                (shape, false, hidden, is_nothing(response))
            }
        };
        let found_nothing = self.searches && nothing;
        Step {
            event,
            at_ms,
            asked: self,
            shape,
            failed,
            passing,
            found_nothing,
            batch: 0,
            repeats: false,
            forgets: false,
        }
    }
}

/// Tools of servers whose name says that they wait or report a state.
fn waits_by_name(name: &str) -> bool {
    let name = name.rsplit("__").next().unwrap_or(name);
    crate::words::parts(name).iter().any(|word| {
        matches!(word.as_str(), "wait" | "poll" | "status" | "sleep" | "state" | "progress" | "health")
    }) || name == "ScheduleWakeup"
}

/// A failure that passes by itself, so that trying again is sensible for a while.
fn is_passing(error: &str) -> bool {
    const SIGNS: [&str; 30] = [
        "socket hang up",
        "network error",
        "fetch failed",
        "no such host",
        "could not connect",
        "connection error",
        "could not get lock",
        "index.lock",
        "resource busy",
        "database is locked",
        "overloaded",
        "etimedout",
        "econnreset",
        "econnrefused",
        "enotfound",
        "eai_again",
        "connection reset",
        "connection refused",
        "connection timed out",
        "could not resolve",
        "temporary failure",
        "handshake timeout",
        "service unavailable",
        "bad gateway",
        "gateway timeout",
        "rate limit",
        "too many requests",
        "i/o timeout",
        "temporarily unavailable",
        "network is unreachable",
    ];
    if error.len() > MAX_PASSING {
        return false;
    }
    let error = error.to_ascii_lowercase();
    SIGNS.iter().any(|sign| error.contains(sign))
}

/// An error that is not the agent's: somebody refused the call, or it was cut short with its siblings.
#[must_use]
pub fn is_refusal(error: &str) -> bool {
    error.contains("doesn't want to proceed") || error.contains("[Request interrupted by user")
}

/// An error that only says that another call of the same message failed.
#[must_use]
pub fn is_sibling(error: &str) -> bool {
    error.contains("Sibling tool call errored")
}

/// What a read answers when the file is as it was: it stands for the answer before.
pub(super) const UNCHANGED: u64 = 1;

fn response_shape(tool: Tool, response: &Value, echoes: bool) -> Shape {
    if tool == Tool::Edit {
        // What it did is in what was asked; the rest is how the whole file looked.
        return Shape { all: 2, first: 2, last: 2, empty: false };
    }
    if text(response, "type") == "file_unchanged" {
        return Shape { all: UNCHANGED, ..Shape::default() };
    }
    if let Some(content) = response.pointer("/file/content").and_then(Value::as_str) {
        return Shape::of(&[content], false);
    }
    match response {
        Value::String(text) => Shape::of(&[text], echoes),
        Value::Object(fields) if fields.contains_key("stdout") => {
            Shape::of(&[text(response, "stderr"), text(response, "stdout")], echoes)
        }
        _ => {
            let mut all = Hash::default();
            value(response, &mut all, &|text| Shape::of(&[text], false).all);
            Shape { all: all.end(), first: 1, last: 1, empty: is_nothing(response) }
        }
    }
}

/// Keys of inputs and responses that say nothing about what was done.
const DRESS: [&str; 11] = [
    "description",
    "timeout",
    "durationMs",
    "durationSeconds",
    "totalDurationMs",
    "interrupted",
    "activeForm",
    "dangerouslyDisableSandbox",
    "oldTodos",
    "statusChange",
    "updatedFields",
];

/// Feeds a value to a hash: keys in order, strings by their own hash, dress left out.
fn value(of: &Value, hash: &mut Hash, string: &dyn Fn(&str) -> u64) {
    match of {
        Value::Object(fields) => {
            for (key, item) in fields {
                if !DRESS.contains(&key.as_str()) {
                    hash.bytes(key.as_bytes());
                    hash.byte(b':');
                    value(item, hash, string);
                }
            }
            hash.byte(b'}');
        }
        Value::Array(items) => {
            for item in items {
                value(item, hash, string);
                hash.byte(b',');
            }
            hash.byte(b']');
        }
        Value::String(text) => hash.hash(string(text)),
        other => hash.bytes(other.to_string().as_bytes()),
    }
}

/// A response that says that nothing was found.
fn is_nothing(response: &Value) -> bool {
    match response {
        Value::String(text) => {
            let text = text.trim();
            text.is_empty() || text.starts_with("No files found") || text.starts_with("No matches found")
        }
        Value::Object(fields) if fields.contains_key("stdout") => {
            text(response, "stdout").trim().is_empty() && text(response, "stderr").trim().is_empty()
        }
        Value::Object(fields) => {
            let looks_like_a_search = fields.contains_key("mode")
                || fields.contains_key("numFiles")
                || fields.contains_key("filenames");
            let some = |key: &str| match fields.get(key) {
                Some(Value::Number(count)) => count.as_u64() != Some(0),
                Some(Value::String(text)) => !text.trim().is_empty(),
                Some(Value::Array(items)) => !items.is_empty(),
                _ => false,
            };
            looks_like_a_search
                && !["numFiles", "numLines", "numMatches", "content", "filenames"].iter().any(|key| some(key))
        }
        _ => false,
    }
}

/// The letters and digits of a text, in one case.
fn squeezed(text: &str) -> u64 {
    let mut hash = Hash::default();
    for byte in text.bytes().filter(u8::is_ascii_alphanumeric) {
        hash.byte(byte.to_ascii_lowercase());
    }
    hash.end()
}
