//! The tools: one entry each, from which the list that clients get, the check of what they give, and the question to
//! the daemon are made.
//!
//! Where a client does not defer tools, every definition stands in every request to the model: few tools, short words.
//! Every tool only reads.

use clap::ValueEnum;
use serde_json::{Map, Value, json};

use super::ask::{self, Ask};
use crate::args::{Period, SpanKind, SpanStatus, UsageKey, name_of};
use crate::error::{CommandError, Result};
use crate::query::Target;

/// Rows of a list where none are asked for, and at most.
pub const ROWS: (u64, u64) = (20, 200);
/// Bytes of a result where none are asked for, and at most: what clients hand to their model uncut.
pub const BYTES: (u64, u64) = (20_000, 60_000);

/// A tool.
pub struct Tool {
    /// Its name.
    pub name: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// What it is for, for the model.
    pub about: &'static str,
    /// What it takes.
    pub params: &'static [Param],
    /// The daemon's question.
    pub target: fn(&Ask<'_>, &Given<'_>) -> Result<Target>,
    /// What the answer holds.
    pub shape: Shape,
}

/// What an answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Rows under this key, the newest first; older ones are had with `until`.
    NewestFirst(&'static str),
    /// Rows under this key, the newest last.
    NewestLast(&'static str),
    /// Rows under this key, that no point in time continues.
    Rows(&'static str),
    /// One thing, of this `kind`.
    One,
}

impl Shape {
    /// The rows' key.
    #[must_use]
    pub fn rows(self) -> Option<&'static str> {
        match self {
            Shape::NewestFirst(key) | Shape::NewestLast(key) | Shape::Rows(key) => Some(key),
            Shape::One => None,
        }
    }
}

/// Something that a tool takes.
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// What the name does not say; may be empty.
    pub about: &'static str,
    /// What may be given.
    pub kind: Kind,
}

/// What may be given.
pub enum Kind {
    /// Any text.
    Text,
    /// Any text; the call makes no sense without.
    Needed,
    /// Yes or no.
    Flag,
    /// A number from 1: where none is given, and at most.
    Count((u64, u64)),
    /// One of these words.
    One(fn() -> Vec<String>),
    /// Some of these words.
    Some(fn() -> Vec<String>),
}

fn words<T: ValueEnum>() -> Vec<String> {
    T::value_variants().iter().map(name_of).collect()
}

fn kinds() -> Vec<String> {
    ccd_detect::Kind::ALL.map(|kind| kind.as_str().to_owned()).into()
}

const fn param(name: &'static str, about: &'static str, kind: Kind) -> Param {
    Param { name, about, kind }
}

const SINCE: Param = param("since", "12h, 28d, today, RFC 3339", Kind::Text);
const UNTIL: Param = param("until", "", Kind::Text);
const SESSION: Param = param("session", "id or its head", Kind::Text);
const PROJECT: Param = param("project", "directory name", Kind::Text);
const LIMIT: Param = param("limit", "", Kind::Count(ROWS));
const MAX_BYTES: Param = param("max_bytes", "", Kind::Count(BYTES));

/// The tools, in the order that clients list them in.
pub const TOOLS: &[Tool] = &[
    Tool {
        name: "sessions",
        title: "Sessions",
        about: "Recorded Claude Code sessions, newest first: project, models, turns, tool errors, tokens, cost, context.",
        params: &[PROJECT, SESSION, SINCE, UNTIL, LIMIT, MAX_BYTES],
        target: ask::sessions,
        shape: Shape::Rows("sessions"),
    },
    Tool {
        name: "turns",
        title: "Turns",
        about: "Turns (one prompt until Claude stops), newest first: prompt, result, status, tool calls, tokens, cost.",
        params: &[SESSION, PROJECT, SINCE, UNTIL, LIMIT, MAX_BYTES],
        target: ask::turns,
        shape: Shape::NewestFirst("turns"),
    },
    Tool {
        name: "spans",
        title: "Spans",
        about: "What happened inside turns, oldest first: agents, model calls (llm), tool calls.",
        params: &[
            SESSION,
            param("turn", "", Kind::Text),
            param("kind", "", Kind::One(words::<SpanKind>)),
            param("status", "", Kind::One(words::<SpanStatus>)),
            param("tool", "tool name", Kind::Text),
            param("content", "with input and output", Kind::Flag),
            PROJECT,
            SINCE,
            UNTIL,
            LIMIT,
            MAX_BYTES,
        ],
        target: ask::spans,
        shape: Shape::NewestLast("spans"),
    },
    Tool {
        name: "detections",
        title: "Detections",
        about: "What detectors found to go wrong, newest first: evidence with span ids, advice.",
        params: &[SESSION, param("kind", "", Kind::One(kinds)), PROJECT, SINCE, UNTIL, LIMIT, MAX_BYTES],
        target: ask::detections,
        shape: Shape::NewestFirst("detections"),
    },
    Tool {
        name: "search",
        title: "Search",
        about: "Find words in everything recorded (prompts, answers, thinking, tool inputs and outputs, errors), newest \
                first; hits have ids for `show`.",
        params: &[
            param("q", "words that must all be there, \"phrases\"", Kind::Needed),
            param("regex", "words are patterns", Kind::Flag),
            param("raw", "whole API requests too", Kind::Flag),
            SESSION,
            param("kind", "", Kind::One(words::<SpanKind>)),
            param("status", "", Kind::One(words::<SpanStatus>)),
            param("tool", "tool name", Kind::Text),
            PROJECT,
            SINCE,
            UNTIL,
            param("cursor", "from the last result", Kind::Text),
            LIMIT,
            MAX_BYTES,
        ],
        target: ask::search,
        shape: Shape::Rows("hits"),
    },
    Tool {
        name: "show",
        title: "Show",
        about: "One session, turn, span, detection or API exchange in full, by id.",
        params: &[
            param("id", "", Kind::Needed),
            param("reasoning", "with the model's thinking", Kind::Flag),
            MAX_BYTES,
        ],
        target: ask::show,
        shape: Shape::One,
    },
    Tool {
        name: "exchanges",
        title: "API exchanges",
        about: "Requests to the model API, newest first: purpose, status, error, retries, timing, tokens, cost.",
        params: &[SESSION, PROJECT, SINCE, UNTIL, LIMIT, MAX_BYTES],
        target: ask::exchanges,
        shape: Shape::NewestFirst("exchanges"),
    },
    Tool {
        name: "usage",
        title: "Usage",
        about: "Tokens and cost per period, cut further by keys.",
        params: &[
            param("period", "default daily", Kind::One(words::<Period>)),
            param("by", "", Kind::Some(words::<UsageKey>)),
            SESSION,
            PROJECT,
            SINCE,
            UNTIL,
            MAX_BYTES,
        ],
        target: ask::usage,
        shape: Shape::Rows("rows"),
    },
];

impl Tool {
    /// What clients are told of it.
    #[must_use]
    pub fn definition(&self) -> Value {
        let properties: Map<_, _> =
            self.params.iter().map(|param| (param.name.to_owned(), param.schema())).collect();
        let mut input = json!({"type": "object", "properties": properties, "additionalProperties": false});
        let needed = self.params.iter().filter(|param| matches!(param.kind, Kind::Needed));
        let needed: Vec<_> = needed.map(|param| param.name).collect();
        if !needed.is_empty() {
            input["required"] = json!(needed);
        }
        let (key, kind) = self.shape.rows().map_or(("kind", "string"), |key| (key, "array"));
        json!({
            "name": self.name,
            "title": self.title,
            "description": self.about,
            "inputSchema": input,
            "outputSchema": {
                "type": "object",
                "properties": {
                    key: {"type": kind},
                    "cut": {"type": "array", "items": {"type": "string"}, "description": "What was left out, and how to get it"},
                },
                "required": [key],
            },
            "annotations": {"readOnlyHint": true, "destructiveHint": false, "idempotentHint": true, "openWorldHint": false},
        })
    }

    /// What was given, checked against what is taken.
    pub fn given<'a>(&self, arguments: &'a Map<String, Value>) -> Result<Given<'a>> {
        let names = || self.params.iter().map(|param| param.name).collect::<Vec<_>>().join(", ");
        for (name, value) in arguments {
            let Some(param) = self.params.iter().find(|param| param.name == name) else {
                return Err(CommandError::usage(format!(
                    "`{}` takes no {name:?}: it takes {}",
                    self.name,
                    names()
                )));
            };
            if !value.is_null() {
                param.check(value)?;
            }
        }
        let given = Given(arguments);
        let missing =
            self.params.iter().find(|p| matches!(p.kind, Kind::Needed) && given.text(p.name).is_none());
        match missing {
            Some(param) => Err(CommandError::usage(format!("`{}` needs `{}`", self.name, param.name))),
            None => Ok(given),
        }
    }
}

impl Param {
    fn schema(&self) -> Value {
        let mut schema = match &self.kind {
            Kind::Text | Kind::Needed => json!({"type": "string"}),
            Kind::Flag => json!({"type": "boolean"}),
            Kind::Count((default, most)) => {
                json!({"type": "integer", "minimum": 1, "maximum": most, "default": default})
            }
            Kind::One(words) => json!({"type": "string", "enum": words()}),
            Kind::Some(words) => json!({"type": "array", "items": {"type": "string", "enum": words()}}),
        };
        if !self.about.is_empty() {
            schema["description"] = json!(self.about);
        }
        schema
    }

    fn check(&self, value: &Value) -> Result<()> {
        let one_of =
            |words: &[String], value: &Value| value.as_str().is_some_and(|v| words.iter().any(|w| w == v));
        let (fits, wanted) = match &self.kind {
            Kind::Text | Kind::Needed => (value.is_string(), "a string".to_owned()),
            Kind::Flag => (value.is_boolean(), "true or false".to_owned()),
            Kind::Count((_, most)) => {
                (value.as_u64().is_some_and(|n| n > 0 && n <= *most), format!("a number from 1 to {most}"))
            }
            Kind::One(words) => {
                let words = words();
                (one_of(&words, value), format!("one of {}", words.join(", ")))
            }
            Kind::Some(words) => {
                let words = words();
                let all = value.as_array().is_some_and(|values| values.iter().all(|v| one_of(&words, v)));
                (all, format!("an array of {}", words.join(", ")))
            }
        };
        if fits { Ok(()) } else { Err(CommandError::usage(format!("`{}` must be {wanted}", self.name))) }
    }
}

/// What was given to a tool, each of the kind that it must have.
pub struct Given<'a>(&'a Map<String, Value>);

impl Given<'_> {
    /// A text; an empty one was not given.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// Whether a flag is on.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or_default()
    }

    /// A number, or its default.
    #[must_use]
    pub fn count(&self, name: &str, (default, most): (u64, u64)) -> u64 {
        self.0.get(name).and_then(Value::as_u64).unwrap_or(default).min(most)
    }

    /// Words, with commas between them.
    #[must_use]
    pub fn list(&self, name: &str) -> Option<String> {
        let words: Vec<_> = self.0.get(name)?.as_array()?.iter().filter_map(Value::as_str).collect();
        (!words.is_empty()).then(|| words.join(","))
    }
}
