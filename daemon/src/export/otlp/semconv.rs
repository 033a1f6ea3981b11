//! How attributes are spelt: OpenTelemetry's GenAI conventions, and ours (`ccd.*`) for what they have no word for.
//!
//! The conventions are in development and rename things: whatever differs between versions is decided here, by
//! [`Version`], and nowhere else.

/// A version of the GenAI conventions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// 1.41: what is written to the cache is `cache_creation`.
    #[default]
    V1_41,
    /// 1.44: it is `cache_write`.
    V1_44,
}

impl Version {
    /// Of `1.41` or `1.44`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "1.41" => Some(Version::V1_41),
            "1.44" => Some(Version::V1_44),
            _ => None,
        }
    }

    /// Tokens written to the prompt cache.
    #[must_use]
    pub fn cache_write_tokens(self) -> &'static str {
        match self {
            Version::V1_41 => "gen_ai.usage.cache_creation.input_tokens",
            Version::V1_44 => "gen_ai.usage.cache_write.input_tokens",
        }
    }
}

/// What is done: [`operation`].
pub const OPERATION_NAME: &str = "gen_ai.operation.name";
/// Whose model it is.
pub const PROVIDER_NAME: &str = "gen_ai.provider.name";
/// The session.
pub const CONVERSATION_ID: &str = "gen_ai.conversation.id";
/// The first model call after a compaction.
pub const CONVERSATION_COMPACTED: &str = "gen_ai.conversation.compacted";
/// The session once more, as backends group by it.
pub const SESSION_ID: &str = "session.id";
/// A subagent.
pub const AGENT_ID: &str = "gen_ai.agent.id";
/// An agent's type; `main` for the session's own.
pub const AGENT_NAME: &str = "gen_ai.agent.name";
/// The model asked.
pub const REQUEST_MODEL: &str = "gen_ai.request.model";
/// Whether the answer was asked for as a stream.
pub const REQUEST_STREAM: &str = "gen_ai.request.stream";
/// The model that answered.
pub const RESPONSE_MODEL: &str = "gen_ai.response.model";
/// The API's message id.
pub const RESPONSE_ID: &str = "gen_ai.response.id";
/// Why the model stopped, in the API's words.
pub const FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
/// Seconds until the first byte of the answer's body.
pub const TIME_TO_FIRST_CHUNK: &str = "gen_ai.response.time_to_first_chunk";
/// Everything the model read: cached or not.
pub const INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
/// Everything the model wrote, thinking included.
pub const OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
/// Of what it read: from the prompt cache.
pub const CACHE_READ_TOKENS: &str = "gen_ai.usage.cache_read.input_tokens";
/// A tool.
pub const TOOL_NAME: &str = "gen_ai.tool.name";
/// A tool call.
pub const TOOL_CALL_ID: &str = "gen_ai.tool.call.id";
/// `function`: all of Claude Code's tools run at the client.
pub const TOOL_TYPE: &str = "gen_ai.tool.type";
/// What a tool was given (content).
pub const TOOL_ARGUMENTS: &str = "gen_ai.tool.call.arguments";
/// What a tool answered (content).
pub const TOOL_RESULT: &str = "gen_ai.tool.call.result";
/// What a model or an agent was told (content).
pub const INPUT_MESSAGES: &str = "gen_ai.input.messages";
/// What it answered (content).
pub const OUTPUT_MESSAGES: &str = "gen_ai.output.messages";
/// The system prompt (content).
pub const SYSTEM_INSTRUCTIONS: &str = "gen_ai.system_instructions";
/// The class of an error.
pub const ERROR_TYPE: &str = "error.type";
/// The HTTP status of an answer.
pub const HTTP_STATUS: &str = "http.response.status_code";
/// The API's host, as the proxy sent to it.
pub const SERVER_ADDRESS: &str = "server.address";
/// Its port.
pub const SERVER_PORT: &str = "server.port";

/// Values of [`OPERATION_NAME`].
pub mod operation {
    /// A model call.
    pub const CHAT: &str = "chat";
    /// A turn, or a subagent.
    pub const INVOKE_AGENT: &str = "invoke_agent";
    /// A tool call.
    pub const EXECUTE_TOOL: &str = "execute_tool";
    /// A compaction; the conventions have no word for it.
    pub const COMPACT: &str = "compact";
}

/// Ours.
pub mod ccd {
    /// `ok`, `error`, `denied` or `running`.
    pub const STATUS: &str = "ccd.status";
    /// True where nothing tells of the end: the span's is the last sign of life.
    pub const END_UNKNOWN: &str = "ccd.end_unknown";
    /// `hook`, `proxy`, `transcript`: who told.
    pub const SOURCES: &str = "ccd.sources";
    /// A turn's id: Claude Code's prompt id.
    pub const TURN_ID: &str = "ccd.turn.id";
    /// 1 for a session's first turn.
    pub const TURN_NUMBER: &str = "ccd.turn.number";
    /// `user`, or `machine`.
    pub const TURN_SOURCE: &str = "ccd.turn.source";
    /// Last component of the working directory.
    pub const PROJECT: &str = "ccd.project";
    /// A model call's purpose.
    pub const PURPOSE: &str = "ccd.purpose";
    /// A model call's exchange.
    pub const EXCHANGE_ID: &str = "ccd.exchange.id";
    /// The API's `request-id`.
    pub const REQUEST_ID: &str = "ccd.request.id";
    /// The session that was charged for a message that this one only repeats.
    pub const COPIED_FROM: &str = "ccd.copied_from";
    /// A model call's cost in micro-dollars.
    pub const COST: &str = "ccd.cost_usd_micros";
    /// A tool call's share of model calls' cost, in micro-dollars; part of their own.
    pub const ATTRIBUTED: &str = "ccd.attributed_usd_micros";
    /// How long a tool itself ran, in milliseconds.
    pub const EXECUTION_MS: &str = "ccd.execution_ms";
    /// What a link means: `retry_of`, `requested_by`, `started_by`, `traceparent`.
    pub const LINK: &str = "ccd.link";
}
