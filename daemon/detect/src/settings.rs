//! Thresholds, as the configuration gives them.
//!
//! It must never refuse a session: a threshold that makes no sense turns its rule off or makes it quiet, not wrong.
//!
//! Invariant: the defaults are those that the doc pages state.

use serde::{Deserialize, Serialize};

/// All thresholds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Loops.
    #[serde(rename = "loop")]
    pub looping: Looping,
    /// A context that fills.
    pub overflow: Overflow,
    /// Money.
    pub cost: Cost,
    /// Claims at the end.
    pub completion: Completion,
    /// Work that leaves the task.
    pub derailment: Derailment,
    /// Things that do not exist.
    pub hallucination: Hallucination,
}

/// Thresholds of the loop detector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Looping {
    /// Whether it runs.
    pub enabled: bool,
    /// The same call with the same result, so many times in one stretch of work.
    pub repeats: u32,
    /// The same, for a failure that passes by itself, such as a network's.
    pub passing: u32,
    /// The same, for tools of servers: what they act on is not seen here.
    pub remote: u32,
    /// The same, for calls that wait, or ask at long intervals about something outside.
    pub waits: u32,
    /// The same, for calls that ask about something outside without waiting between.
    pub asks: u32,
    /// Seconds between two calls that ask about something outside, from which on it is waiting.
    pub waiting_seconds: u32,
    /// Calls in a row that were all made before in this stretch of work.
    pub cycle: u32,
    /// Searches in a row that find nothing.
    pub empty_searches: u32,
    /// Edits of one file in a row that fail.
    pub missed_edits: u32,
    /// Calls of one tool in a row that fail in the same way.
    pub same_failures: u32,
    /// Stops in a row without a tool call between.
    pub stops: u32,
    /// Answers in a row that say the same, or the same line so often in one answer.
    pub chants: u32,
}

impl Default for Looping {
    fn default() -> Self {
        Self {
            enabled: true,
            repeats: 3,
            passing: 6,
            remote: 5,
            waits: 40,
            asks: 4,
            waiting_seconds: 15,
            cycle: 4,
            empty_searches: 5,
            missed_edits: 4,
            same_failures: 8,
            stops: 3,
            chants: 8,
        }
    }
}

/// Thresholds of the overflow detector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Overflow {
    /// Whether it runs.
    pub enabled: bool,
    /// Percent of the window at which it warns.
    pub warn_percent: u8,
    /// Percent of the window at which it is urgent.
    pub urgent_percent: u8,
    /// Percent of its window at which a subagent's context is told of.
    pub agent_percent: u8,
    /// The window of a model of which nothing is known yet, tokens.
    pub assumed_window: u64,
}

impl Default for Overflow {
    fn default() -> Self {
        Self {
            enabled: true,
            warn_percent: 72,
            urgent_percent: 85,
            agent_percent: 90,
            assumed_window: 200_000,
        }
    }
}

/// Thresholds of the cost detector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cost {
    /// Whether it runs.
    pub enabled: bool,
    /// Answers in a row whose context should have come from the cache and did not.
    pub cache_misses: u32,
    /// Seconds after which a cache has expired by itself.
    pub cache_seconds: u32,
    /// Tokens below which a context is too small to matter.
    pub least_context: u64,
    /// Tokens written in one answer, from which on it is long.
    pub long_output: u64,
    /// Long answers among the last six.
    pub long_outputs: u32,
    /// Answers in a row to the same request.
    pub same_requests: u32,
    /// Subagents at work within ten minutes, each with a context as large as a main thread's.
    pub agents: u32,
    /// Tokens from which on a subagent's context is that large.
    pub agent_context: u64,
    /// What subagents may cost within ten minutes, in tokens of input (a token of output counts as five).
    pub agent_tokens: u64,
}

impl Default for Cost {
    fn default() -> Self {
        Self {
            enabled: true,
            cache_misses: 3,
            cache_seconds: 300,
            least_context: 20_000,
            long_output: 12_000,
            long_outputs: 3,
            same_requests: 4,
            agents: 8,
            agent_context: 80_000,
            agent_tokens: 600_000,
        }
    }
}

/// Thresholds of the completion detector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Completion {
    /// Whether it runs.
    pub enabled: bool,
    /// Open tasks from which on "done" is doubted; 0 is never.
    pub open_tasks: u32,
}

impl Default for Completion {
    fn default() -> Self {
        Self { enabled: true, open_tasks: 1 }
    }
}

/// Thresholds of the hallucination detector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hallucination {
    /// Whether it runs.
    pub enabled: bool,
    /// Files in a row that are asked for and do not exist.
    pub missing_files: u32,
    /// Percent of its parts that an unknown name, taken from something known, shares with one that exists.
    pub likeness: u8,
    /// The same for a name that stands alone: it may be about to be defined.
    pub lone_likeness: u8,
}

impl Default for Hallucination {
    fn default() -> Self {
        Self { enabled: true, missing_files: 3, likeness: 50, lone_likeness: 60 }
    }
}

/// Thresholds of the derailment detector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Derailment {
    /// Whether it runs.
    pub enabled: bool,
    /// Percent of the closing message's topic that is the task's, up to which it counts as another.
    pub closing: u8,
    /// The same for the closing message and the last texts before it.
    pub texts: u8,
    /// Percent of the last places of work whose names have to do with the task, up to which they count as others.
    pub places: u8,
    /// Calls that a turn must have.
    pub least_steps: u32,
    /// Calls from which on a turn is too long to be told by its end.
    pub most_steps: u32,
}

impl Default for Derailment {
    fn default() -> Self {
        Self { enabled: true, closing: 30, texts: 40, places: 67, least_steps: 4, most_steps: 60 }
    }
}
